"""pards.jax.scan against the plain loop, jax.lax.scan, and finite differences."""

import ctypes
import math
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax_devices
import numpy as np
import pytest
import spec
import structures
from structures import NAMES

pytestmark = pytest.mark.jax
jax = pytest.importorskip("jax", minversion="0.6", reason="needs JAX 0.6 or newer: pip install '.[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import pards.jax  # noqa: E402
from pards import _lib, lds  # noqa: E402
from pards.jax._primitive import loop as loop_alone  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def double():
    with jax_devices.x64(True):
        yield


def case(name, lead, T, D):
    return structures.draw(RNG, name, lead, T, D)


def loop(full, b, x0, reverse):
    """The plain loop by lax.scan, of dense matrices."""

    def step(x, ab):
        x = ab[0] @ x + ab[1]
        return x, x

    if x0 is None:
        x0 = jnp.zeros_like(b[..., 0, :])
    f = lambda full, b, x0: jax.lax.scan(step, x0, (full, b), reverse=reverse)[1]  # noqa: E731
    for _ in b.shape[:-2]:
        f = jax.vmap(f)
    return f(full, b, x0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_scan(name, start, reverse, dtype) -> None:
    for lead, T, D in [((), 0, 2), ((), 1, 4), ((2, 2), 100, 6)]:
        A, full, n = *case(name, lead, T, D), math.prod(lead)
        b, x0 = (RNG.standard_normal((*lead, *own)).astype(dtype) for own in ((T, D), (D,)))
        given = (structures.cast(A, dtype), b, x0 if start else None)
        got = jax.jit(lambda *a: pards.jax.scan(*a, reverse=reverse))(*given)
        want = np.reshape(
            [
                spec.scan(m, y.astype(float), x.astype(float) if start else None, "dense", reverse)
                for m, y, x in zip(full.reshape(n, T, D, D), b.reshape(n, T, D), x0.reshape(n, D), strict=True)
            ],
            b.shape,
        )
        assert got.dtype == dtype and got.shape == b.shape
        # T steps of D + 1 roundings of numbers up to the largest, none amplified since |A| <= 1
        tolerance = (D + 1) * max(T, 1) * np.finfo(dtype).eps * max(1, np.abs(want).max(initial=0))
        assert np.allclose(got, want, rtol=0, atol=tolerance)
    assert np.array_equal(got, pards.jax.scan(*given, reverse=reverse)), "eager"


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name, start, reverse) -> None:
    """Of first and second order, both ways, by differences."""
    A, _ = case(name, (2,), 5, 4)
    floats = (RNG.standard_normal((2, 5, 4)), *([RNG.standard_normal((2, 4))] if start else []))
    if A.whole:
        check_grads(lambda *a: pards.jax.scan(A, *a, reverse=reverse), floats, 2)
    else:
        check_grads(lambda *a: pards.jax.scan(*a, reverse=reverse), (A, *floats), 2)


@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_against_lax_scan(reverse) -> None:
    A, b, x0 = RNG.uniform(-1, 1, (6, 3, 3)), RNG.standard_normal((6, 3)), RNG.standard_normal(3)
    weights = RNG.standard_normal((6, 3))
    ours = lambda A, b, x0: jnp.sum(weights * jnp.sin(pards.jax.scan(A, b, x0, reverse=reverse)))  # noqa: E731
    theirs = lambda A, b, x0: jnp.sum(weights * jnp.sin(loop(A, b, x0, reverse)))  # noqa: E731
    for derivative in (jax.grad, jax.jacfwd, jax.jacrev, jax.hessian):
        got, want = (jax.jit(derivative(f, (0, 1, 2)))(A, b, x0) for f in (ours, theirs))
        for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            # some hundred products of numbers up to 10
            assert np.allclose(x, y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_folds_into_the_batch(name) -> None:
    A, _ = case(name, (4, 3), 9, 2)
    b, x0 = RNG.standard_normal((3, 4, 9, 2)), RNG.standard_normal((3, 2))
    got = jax.vmap(pards.jax.scan, (0, 1, None), 1)(A, b, x0)
    want = pards.jax.scan(A, np.swapaxes(b, 0, 1), x0)
    assert np.array_equal(np.swapaxes(got, 0, 1), want)
    text = str(jax.make_jaxpr(jax.vmap(pards.jax.scan, (0, 1, None), 1))(A, b, x0))
    assert text.count("pards_scan") == (name != "zero")
    assert jax.vmap(lambda b: pards.jax.scan(A, b))(np.zeros((0, 4, 3, 9, 2))).shape == (0, 4, 3, 9, 2)


def test_structures_are_pytrees() -> None:
    for name in NAMES:
        A, _ = case(name, (), 3, 2)
        leaves, tree = jax.tree.flatten(A)
        assert jax.tree.unflatten(tree, leaves) == A or len(leaves) == 1
        assert type(jax.tree.unflatten(tree, [object()] * len(leaves))) is type(A)
    assert jax.jit(lambda a: lds.Diagonal(2 * a))(jnp.ones((2, 2))).a[0, 0] == 2
    assert isinstance(lds.Diagonal(jnp.ones((2, 2))).a, jax.Array)


def test_the_first_matrix_is_not_read() -> None:
    """Nor has it a say in derivatives."""
    A, b = RNG.standard_normal((4, 2, 2)), RNG.standard_normal((4, 2))
    A[0] = np.nan
    f = lambda A: pards.jax.scan(A, b).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(f)(A)
    assert np.isfinite(value) and np.isfinite(gradient).all() and not gradient[0].any()
    assert np.isfinite(jax.jvp(f, (A,), (A * 0 + 1,))[1])


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((np.ones((3, 2, 2)), np.ones(3)), ValueError, r"scan: b has shape \(3,\), want \(..., time, dim\)"),
        ((np.ones((4, 2, 2)), np.ones((3, 2))), ValueError, r"scan: A has shape \(4, 2, 2\), want \(..., time=3, dim=2, dim=2\), or"),
        ((lds.Diagonal(np.ones((3, 3))), np.ones((3, 2))), ValueError, r"scan: A \(diagonal\) has shape \(3, 3\), want \(..., time=3, dim=2\); b has"),
        ((lds.BlockDiagonal(np.ones((3, 2, 2, 2))), np.ones((3, 2))), ValueError, r"want \(..., time=3, n, d, d\) with n d = 2"),
        ((np.ones((3, 2)), np.ones((3, 2)), np.ones(3)), ValueError, r"scan: x0 has shape \(3,\), want \(..., dim=2\)"),
        ((np.ones((4, 3, 2)), np.ones((5, 3, 2))), ValueError, r"scan: the batch axes of A \(4, 3, 2\), b \(5, 3, 2\) do not broadcast"),
        ((np.ones((2, 2, 2)), np.ones((2, 2, 2))), ValueError, r"may be dense or diagonal; say which: pards.lds.Dense\(A\)"),
        ((np.ones((3, 2)), np.ones((3, 2), int)), TypeError, r"scan: b has dtype int64, want float32 or float64"),
        ((np.ones((3, 2), np.float32), np.ones((3, 2))), TypeError, r"scan: A has dtype float32, want float64, which b has"),
        ((np.ones((3, 2)), np.ones((3, 2)), np.ones(2, np.float32)), TypeError, r"scan: x0 has dtype float32, want float64"),
        ((np.ones((3, 2)), np.ones((3, 2), np.float16)), TypeError, r"scan: b has dtype float16"),
        (("word", np.ones((3, 2))), TypeError, r"scan: A is of type str, want an array"),
        ((lds.Identity, np.ones((3, 2))), TypeError, r"scan: A is the class Identity, want an object of it: Identity\(\)"),
    ],
)  # fmt: skip
def test_errors(args, error, text) -> None:
    with pytest.raises(error, match=text):
        jax.jit(lambda: pards.jax.scan(*args))()


def test_what_must_be_static() -> None:
    A, b = np.ones((3, 2)), np.ones((3, 2))
    with pytest.raises(TypeError, match="scan: reverse is 'no', want True or False"):
        pards.jax.scan(np.ones((3, 1)), np.ones((3, 1)), reverse="no")
    with pytest.raises(TypeError, match="scan: reverse is traced, want True or False"):
        jax.jit(lambda reverse: pards.jax.scan(A, b, reverse=reverse))(True)
    with pytest.raises(ValueError, match="scan: axis_name is 'time', want an axis of the mesh"):
        pards.jax.scan(A, b, axis_name="time")


def test_float64_is_not_cut() -> None:
    with jax_devices.x64(False):
        with pytest.raises(TypeError, match="scan: b has dtype float64, which JAX would cut to float32"):
            pards.jax.scan(lds.Identity(), np.ones((3, 2)))
        assert pards.jax.scan(lds.Identity(), [[1.0], [2.0]]).dtype == np.float32


@pytest.mark.parametrize("version", ["0.5.3", None])
def test_version_of_jax(version) -> None:
    """Importing pards does not import JAX, and pards.jax says which version it wants."""
    fake = f"import types; jax = types.ModuleType('jax'); jax.__version__ = {version!r}; sys.modules['jax'] = jax"
    code = f"""
import sys, pards
assert 'jax' not in sys.modules
{fake if version else "sys.modules['jax'] = None"}
import pards.jax
"""
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    want = f"JAX has version {version}, want 0.6 or newer" if version else "JAX is missing"
    assert got.returncode == 1 and f"ImportError: pards.jax: {want}" in got.stderr, got.stderr


def test_mesh() -> None:
    """Eight devices in one process."""
    done = subprocess.run([sys.executable, Path(__file__).with_name("jax_mesh.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*NAMES, "passed"]


def test_two_processes() -> None:
    """Two devices in each of two, which talk over the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = Path(__file__).with_name("jax_processes.py")
    started = [
        subprocess.Popen([sys.executable, program, address, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    try:
        for process in started:
            out, errors = process.communicate(timeout=120)
            assert process.returncode == 0 and out.endswith(b"passed\n"), errors.decode()  # gloo prints before
    finally:
        for process in started:
            process.kill()


LAYOUT = """
#include "xla/ffi/api/c_api.h"
#include "xla.h"
#define SAME(ours, a, theirs, b) _Static_assert(offsetof(ours, a) == offsetof(theirs, b) && sizeof(((ours *)0)->a) == sizeof(((theirs *)0)->b), #a)
SAME(xla_extension, kind, XLA_FFI_Metadata_Extension, extension_base.type);
SAME(xla_extension, next, XLA_FFI_Metadata_Extension, extension_base.next);
SAME(xla_version, minor, XLA_FFI_Api_Version, minor_version);
SAME(xla_metadata_request, answer, XLA_FFI_Metadata_Extension, metadata);
_Static_assert(offsetof(__typeof__(*((xla_metadata_request *)0)->answer), traits) == offsetof(XLA_FFI_Metadata, traits), "traits");
SAME(xla_buffer, dtype, XLA_FFI_Buffer, dtype);
SAME(xla_buffer, data, XLA_FFI_Buffer, data);
SAME(xla_buffer, ndim, XLA_FFI_Buffer, rank);
SAME(xla_buffer, shape, XLA_FFI_Buffer, dims);
SAME(xla_buffers, count, XLA_FFI_Args, size);
SAME(xla_buffers, at, XLA_FFI_Args, args);
SAME(xla_buffers, kinds, XLA_FFI_Rets, types);
SAME(xla_buffers, at, XLA_FFI_Rets, rets);
SAME(xla_text, length, XLA_FFI_ByteSpan, len);
SAME(xla_scalar, at, XLA_FFI_Scalar, value);
SAME(xla_attributes, count, XLA_FFI_Attrs, size);
SAME(xla_attributes, kinds, XLA_FFI_Attrs, types);
SAME(xla_attributes, names, XLA_FFI_Attrs, names);
SAME(xla_attributes, at, XLA_FFI_Attrs, attrs);
SAME(xla_new_error, text, XLA_FFI_Error_Create_Args, message);
SAME(xla_new_error, code, XLA_FFI_Error_Create_Args, errc);
SAME(xla_get_stream, stream, XLA_FFI_Stream_Get_Args, stream);
SAME(xla_get_ordinal, ordinal, XLA_FFI_DeviceOrdinal_Get_Args, device_ordinal);
SAME(xla_api, version, XLA_FFI_Api, api_version);
SAME(xla_api, error_create, XLA_FFI_Api, XLA_FFI_Error_Create);
SAME(xla_api, stream_get, XLA_FFI_Api, XLA_FFI_Stream_Get);
SAME(xla_api, ordinal_get, XLA_FFI_Api, XLA_FFI_DeviceOrdinal_Get);
SAME(xla_frame, api, XLA_FFI_CallFrame, api);
SAME(xla_frame, context, XLA_FFI_CallFrame, ctx);
SAME(xla_frame, stage, XLA_FFI_CallFrame, stage);
SAME(xla_frame, arguments, XLA_FFI_CallFrame, args);
SAME(xla_frame, results, XLA_FFI_CallFrame, rets);
SAME(xla_frame, attributes, XLA_FFI_CallFrame, attrs);
_Static_assert(xla_metadata == XLA_FFI_Extension_Metadata && xla_is_scalar == XLA_FFI_AttrType_SCALAR && xla_is_text == XLA_FFI_AttrType_STRING, "kinds");
_Static_assert(xla_bool == XLA_FFI_DataType_PRED && xla_int32 == XLA_FFI_DataType_S32 && xla_int64 == XLA_FFI_DataType_S64, "whole");
_Static_assert(xla_float32 == XLA_FFI_DataType_F32 && xla_float64 == XLA_FFI_DataType_F64, "floats");
_Static_assert(xla_invalid_argument == XLA_FFI_Error_Code_INVALID_ARGUMENT && xla_internal == XLA_FFI_Error_Code_INTERNAL, "errors");
_Static_assert(xla_resource_exhausted == XLA_FFI_Error_Code_RESOURCE_EXHAUSTED && XLA_FFI_API_MAJOR == 0, "errors, version");
"""


CAPI = Path(__file__).resolve().parents[1] / "capi"


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc on PATH")
@pytest.mark.skipif(not CAPI.exists(), reason="capi is not beside the tests")
def test_declarations_are_those_of_xla(tmp_path) -> None:
    """capi/xla.h lays structs out as the header of the JAX that is installed."""
    Path(tmp_path, "layout.c").write_text(LAYOUT)
    command = ["gcc", "-std=gnu11", "-fsyntax-only", f"-I{jax.ffi.include_dir()}", f"-I{CAPI}", "layout.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@jax_devices.of_a_cpu("on a GPU nobody looks whether indices are a permutation")
def test_errors_of_the_library_come_through() -> None:
    twice = lds.Permutation(jnp.zeros((3, 2), int))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"scan: A \(permutation\) has a row that holds 0 twice"):
        jax.jit(pards.jax.scan)(twice, jnp.ones((3, 2))).block_until_ready()


def test_threads() -> None:
    """Executions side by side do not meet."""
    cases = [
        tuple(map(jnp.asarray, (RNG.uniform(-1, 1, (n, 3, 3)), RNG.standard_normal((n, 3)))))
        for n in (10, 500, 3000, 40000)
    ]
    scans = [jax.jit(pards.jax.scan).lower(*case).compile() for case in cases]
    want = [np.asarray(scan(*case)) for scan, case in zip(scans, cases, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        for got, i in [(pool.submit(scans[i % 4], *cases[i % 4]), i % 4) for i in range(200)]:
            assert np.array_equal(got.result(), want[i])


def test_an_array_may_be_dense_or_diagonal_by_its_shape() -> None:
    a, b = RNG.uniform(-1, 1, (5, 3)), RNG.standard_normal((2, 5, 3))
    want = pards.jax.scan(lds.Diagonal(a), b)
    assert np.array_equal(pards.jax.scan(a, b), want)
    assert np.allclose(pards.jax.scan(a[:, None] * np.eye(3), b), want, rtol=1e-14, atol=0)


def test_loop_of_jax_alone() -> None:
    """What runs on devices that the library does not know."""
    for name in NAMES:
        if name == "zero":  # no scan
            continue
        A, _ = case(name, (2,), 6, 4)
        given = [*jax.tree.leaves(A), RNG.standard_normal((2, 6, 4)), RNG.standard_normal((2, 4))]
        for start in (False, True):
            for reverse in (False, True):
                args = given if start else given[:-1]
                got = loop_alone(*args, structure=name, reverse=reverse, start=start)
                want = pards.jax.scan(A, args[-2 if start else -1], *args[-1:] if start else (), reverse=reverse)
                assert np.allclose(got, want, rtol=1e-13, atol=1e-13), name


class _Version(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extensions", ctypes.c_void_p),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
    )


class _Answer(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("version", _Version), ("traits", ctypes.c_uint32))


class _Request(ctypes.Structure):
    """The extension of a call's frame that asks for what is told of a handler, instead of running it."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("answer", ctypes.c_void_p),
    )


@pytest.mark.parametrize(("name", "traits"), [("cpu", 0), ("cuda", 0), ("cuda_scan", 1)])
def test_scans_alone_may_be_recorded(name: str, traits: int) -> None:
    """Into graphs of XLA's: of a GPU's other calls the host waits for the outcome."""
    answer = _Answer(traits=7)
    request = _Request(ctypes.sizeof(_Request), 1, None, ctypes.addressof(answer))
    frame = (ctypes.c_size_t * 64)(8 * 64, ctypes.addressof(request))
    handler = getattr(_lib.get(), f"pards_xla_{name}")
    handler.restype = ctypes.c_void_p
    assert handler(frame) is None and (answer.traits, answer.version.major) == (traits, 0)


def test_a_scan_on_a_gpu_is_one_that_may_be_recorded() -> None:
    given = jnp.ones((5, 2, 2)), jnp.ones((5, 2))
    text = jax.jit(pards.jax.scan).trace(*given).lower(lowering_platforms=("cuda",)).as_text()
    assert "@pards_xla_cuda_scan" in text
