"""Solves and scans on an NVIDIA GPU, and arrays that are there. `pytest -m gpu` runs what needs one; without it the rest runs."""

import _thread
import copy
import ctypes
import gc
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time

import jax_devices
import numpy as np
import pytest
from golden import METHODS, NAMES, PRECISIONS, ROUNDING, TOL, Case

import pards
from pards import _device, _lib

REASON = _lib.described()["gpu"]


def gpu(test):
    return pytest.mark.gpu(pytest.mark.skipif(bool(REASON), reason=f"no GPU: {REASON}")(test))


def library(name: str):
    """Another library with arrays on the GPU: how it takes a NumPy array there, and how it takes one of ours."""
    if name == "cupy":
        cupy = pytest.importorskip("cupy")
        return cupy.asarray, cupy.from_dlpack, cupy.asnumpy
    if name == "torch":
        torch = pytest.importorskip("torch")
        return lambda a: torch.from_numpy(a).cuda(), torch.from_dlpack, lambda t: t.cpu().numpy()
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray, jax.dlpack.from_dlpack, np.asarray


LIBRARIES = ("cupy", "torch", "jax")
EPS = {np.float32: 6e-8, np.float64: 1.1e-16}


def gru(d: int, m: int, dtype=np.float32, seed: int = 0) -> pards.cells.GRU:
    r = np.random.default_rng(seed)
    draw = [r.uniform(-1, 1, shape) / np.sqrt(d) for shape in ((3 * d, m), (3 * d, d), (3 * d,), (d,))]
    return pards.cells.GRU(*(a.astype(dtype) for a in draw))


def problem(d: int = 4, m: int = 3, batch: int = 2, steps: int = 200, dtype=np.float32, seed: int = 0):
    r = np.random.default_rng(seed)
    return gru(d, m, dtype, seed), np.zeros((batch, d), dtype), r.standard_normal((batch, steps, m)).astype(dtype)


class Interface:
    """An object with nothing but __cuda_array_interface__."""

    def __init__(self, **changes) -> None:
        self.__cuda_array_interface__ = {
            "shape": (4,),
            "typestr": "<f4",
            "data": (512, False),
            "version": 3,
            "strides": None,
        } | changes


class Tensor:
    """An object on a device of some type of DLPack."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self):
        return self.kind, 0

    def __array__(self, dtype=None, copy=None):
        return np.zeros(4, np.float32)


# Without a GPU


@pytest.fixture
def mapped(tmp_path):
    """Runs code where a driver is found that shows no device, and returns whether it was opened."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler to make a driver with")
    source = tmp_path / "driver.c"
    source.write_text("""
#include <stdlib.h>
static int told(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }
int cuInit(unsigned flags) { return told("START", 100); }
int cuDriverGetVersion(int *version) { *version = told("VERSION", 12000); return 0; }
int cuDeviceGetCount(int *count) { *count = 0; return 0; }
int cuGetErrorName(int error, const char **name) { *name = "NAME"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = error == 100 ? "nothing here" : "?"; return 0; }
""")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", source], check=True)

    def run(code: str) -> bool:
        code = f"import numpy as np, pards\n{code}\nprint(str({str(tmp_path)!r} + '/libcuda') in open('/proc/self/maps').read())"
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.split()[-1] == "True"

    return run


def test_driver_stays_away_from_import_and_small_solves(mapped) -> None:
    small = """
u = np.zeros((1000, 2))
pards.solve(pards.cells.Linear(A=np.eye(2) / 2, B=np.eye(2)), np.zeros(2), u)
pards.lds.scan(np.zeros((5, 2, 2)), np.zeros((5, 2)))
pards.solve(lambda x, u: x / 2 + u, np.zeros(2), np.zeros((3000000, 2)), method="jacobi", max_iterations=1, raise_on_failure=False)
"""
    assert not mapped(small)


def test_auto_looks_for_a_gpu_for_a_large_solve(mapped) -> None:
    large = """
sol = pards.solve(pards.cells.Linear(A=np.eye(1) / 2, B=np.eye(1)), np.zeros(1), np.ones((1 << 21, 1)))
assert sol.device == "cpu" and "GPU" not in sol.reason, sol.explain()
"""
    assert mapped(large)
    assert not mapped(large.replace("<< 21, 1)))", '<< 21, 1)), device="cpu")'))


@pytest.mark.parametrize(
    ("start", "version", "words"),
    [
        ("100", "12000", "the NVIDIA driver does not start: nothing here (NAME)"),
        ("0", "11080", "the NVIDIA driver is for CUDA 11.8, want 12.0 or newer"),
        ("0", "12000", "there is no device 0: the driver shows 0"),
    ],
)
def test_a_driver_that_does_not_serve_says_why(mapped, monkeypatch, start: str, version: str, words: str) -> None:
    monkeypatch.setenv("START", start)
    monkeypatch.setenv("VERSION", version)
    code = f"""
try:
    pards.lds.scan(pards.lds.Identity(), np.zeros((5, 2)), device="cuda")
except RuntimeError as error:
    assert {words!r} in str(error), error
else:
    assert False
"""
    assert mapped(code)


@pytest.mark.skipif(not REASON, reason="there is a GPU")
def test_without_a_gpu_the_error_says_why() -> None:
    cell, x0, u = problem()
    for ask in (
        lambda: pards.solve(cell, x0, u, device="cuda"),
        lambda: pards.lds.scan(pards.lds.Identity(), u, device="cuda:1"),
    ):
        with pytest.raises(RuntimeError, match=r'device is "cuda.*", want "auto" or "cpu".*') as error:
            ask()
        assert REASON.split(":")[0] in str(error.value)
    with pytest.raises(RuntimeError, match='device is "cuda"'):
        pards.solve(cell, Interface(), u)


def test_pinned_and_host_tensors_are_numpy() -> None:
    cell, _, u = problem()
    for kind in (1, 3):
        assert isinstance(pards.solve(cell, Tensor(kind), u).states, np.ndarray)


def test_unsuitable_device_arrays_are_refused() -> None:
    cell, x0, u = problem()
    with pytest.raises(TypeError, match="x0 is on a device of DLPack's type 10, want the host or CUDA"):
        pards.solve(cell, Tensor(10), u)
    with pytest.raises(TypeError, match="x0 has a mask"):
        pards.solve(cell, Interface(mask=1), u)
    with pytest.raises(ValueError, match="out is read-only"):
        pards.solve(cell, x0, u, out=Interface(data=(512, True)))
    with pytest.raises(TypeError, match="byte order"):
        pards.solve(cell, Interface(typestr=">f4"), u)


class Pretender:
    """A NumPy array that says to be on cuda:3; nothing reads it."""

    def __init__(self, array) -> None:
        self.array = array

    def __dlpack_device__(self):
        return 2, 3

    def __dlpack__(self, stream):
        assert stream == 1
        return self.array.__dlpack__()


def test_dlpack_is_read_as_it_is_meant() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for part in (array, array[1:], array[:, :1, :][:1], array[:0], array.astype(np.int16), array[0, 0, 0:1]):
        found = _device.take("solve", "x0", Pretender(part))
        assert isinstance(found, pards.DeviceArray)
        assert (found.shape, found.dtype, found.device) == (part.shape, part.dtype, "cuda:3")
        assert not part.size or found.__cuda_array_interface__["data"] == (part.__array_interface__["data"][0], False)
    for part, error, said in (
        (
            array.transpose(0, 2, 1),
            ValueError,
            r"x0 on cuda:3 has shape \(2, 4, 3\) and strides \(48, 4, 16\) in bytes, want it C-contiguous",
        ),
        (array[:, 1:], ValueError, "C-contiguous"),
        (array.astype(np.float16), TypeError, "x0 has dtype float16, want float32, float64 or integers"),
        (array.astype(np.complex64), TypeError, r"x0 has DLPack's dtype \(5, 64, 1\)"),
    ):
        with pytest.raises(error, match=said):
            _device.take("solve", "x0", Pretender(part))
    there = Pretender(array)
    cell = gru(4, 4, np.float64)
    with pytest.raises(TypeError, match=r"inputs on cuda:3 has dtype float32, want float64, .* or give dtype="):
        pards.solve(cell, np.zeros(4), there)
    with pytest.raises(TypeError, match="f is a function for NumPy"):
        pards.solve(lambda x, u: x, np.zeros(4), there)
    with pytest.raises(ValueError, match=r"A on cuda:3 has shape .* broadcast it there"):
        pards.lds.scan(pards.lds.Diagonal(Pretender(array[:1])), array)
    with pytest.raises(ValueError, match="out shares memory"):
        pards.lds.scan(pards.lds.Identity(), there, out=there)


def test_exports_refuse_what_they_cannot_use() -> None:
    handle, address = ctypes.c_int64(), ctypes.c_int64()
    for name, arguments, said in (
        ("pards_device_alloc", (0, 8, None, address), "memory or address is null"),
        ("pards_device_alloc", (-1, 8, handle, address), "ordinal is -1"),
        ("pards_device_alloc", (0, -8, handle, address), "bytes is -8"),
        ("pards_device_alloc", (0, 1 << 63 - 1, handle, address), "bytes is"),
        ("pards_device_copy", (0, None, None, -1, 0), "bytes is -1"),
        ("pards_device_wait", (1 << 40, 1), "ordinal is"),
        ("pards_device_of", (0, None), "ordinal is null"),
        ("pards_device_dlpack", (12345, None, address), "handle is 12345"),
    ):
        with pytest.raises((ValueError, RuntimeError), match=said):
            _lib.call(name, *arguments)
    cell = gru(2, 2)
    with pytest.raises(RuntimeError, match="not a memory of a GPU"):
        _lib.call("pards_device_dlpack", next(iter(vars(cell)["_handles"].values())), None, address)
    assert _lib.get().pards_search(None, None, 0) == 0


# With one


@gpu
@pytest.mark.parametrize("name", LIBRARIES)
def test_arrays_stay_on_the_device(name: str) -> None:
    there, back, home = library(name)
    cell, x0, u = problem()
    want = pards.solve(cell, x0, u, method="newton", device="cuda")
    sol = pards.solve(cell, there(x0), there(u), method="newton")
    states = sol.states
    assert isinstance(states, pards.DeviceArray) and sol.device == states.device == "cuda:0"
    assert (
        states.shape == want.states.shape
        and states.dtype == np.float32
        and len(states) == 2
        and states.nbytes == want.states.nbytes
    )
    assert repr(states) == "DeviceArray(shape=(2, 200, 4), dtype=float32, device='cuda:0')"
    np.testing.assert_array_equal(states.numpy(), want.states)  # the same kernel on the same numbers
    np.testing.assert_array_equal(np.asarray(states), want.states)
    taken = back(states)
    address = states.__cuda_array_interface__["data"][0]
    del states, sol
    gc.collect()
    other = pards.solve(cell, there(x0 + 1), there(u), method="newton")  # whose memory is not that of what was taken
    assert other.states.__cuda_array_interface__["data"][0] != address
    np.testing.assert_array_equal(home(taken), want.states)
    again = pards.solve(cell, x0, u, guess=taken, method="newton")  # NumPy beside it is brought there
    assert isinstance(again.states, pards.DeviceArray) and (again.iterations <= 2).all()


@gpu
@pytest.mark.parametrize("name", LIBRARIES)
def test_scan_of_device_arrays(name: str) -> None:
    there, back, home = library(name)
    r = np.random.default_rng(0)
    a, b = r.uniform(-1, 1, (3, 500, 4)), r.standard_normal((3, 500, 4))
    x = pards.lds.scan(pards.lds.Diagonal(there(a)), there(b), np.ones((3, 4)), reverse=True)
    want = pards.lds.scan(pards.lds.Diagonal(a), b, np.ones((3, 4)), reverse=True)
    np.testing.assert_allclose(home(back(x)), want, rtol=0, atol=1e-12)  # a few eps of sums up to 10


@gpu
def test_what_a_device_array_is_used_for() -> None:
    there, _, _ = library("cupy")
    cell, x0, u = problem()
    sol = pards.solve(cell, there(x0), there(u), method="newton")
    copied = pickle.loads(pickle.dumps(sol))
    assert isinstance(copied.states, np.ndarray) and (copied.states == sol.states.numpy()).all()
    assert isinstance(copy.deepcopy(sol.states), np.ndarray)
    assert "float32" in repr(sol) and "on cuda:0" in sol.explain() and "on cuda:0" in sol._repr_html_()
    pytest.importorskip("matplotlib")
    sol.plot()


@gpu
@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_out_on_the_device(name: str) -> None:
    there, _, home = library(name)
    cell, x0, u = problem()
    want = pards.solve(cell, x0, u, device="cuda", method="newton").states
    out = there(np.zeros_like(want))
    sol = pards.solve(cell, x0, u, out=out, method="newton")
    assert isinstance(sol.states, pards.DeviceArray)
    np.testing.assert_array_equal(home(out), want)
    with pytest.raises(ValueError, match="out has shape"):
        pards.solve(cell, x0, u, out=out[:1])
    with pytest.raises(ValueError, match="out shares memory"):
        pards.lds.scan(pards.lds.Identity(), out, out=out)
    host = np.zeros_like(want)
    assert pards.solve(cell, there(x0), there(u), out=host, method="newton").states is host
    np.testing.assert_array_equal(host, want)


@gpu
def test_streams_are_waited_for() -> None:
    cupy = pytest.importorskip("cupy")
    cell, x0, u = problem(steps=1000)
    want = pards.solve(cell, x0, u, device="cuda", method="newton").states

    class Plain:  # without DLPack
        def __init__(self, array, stream) -> None:
            self.array = array
            self.__cuda_array_interface__ = {**array.__cuda_array_interface__, "stream": stream}

    stream = cupy.cuda.Stream(non_blocking=True)
    big, source, late = cupy.ones((4096, 4096), cupy.float32), cupy.asarray(u), cupy.zeros(u.shape, cupy.float32)
    cupy.cuda.Device().synchronize()
    with stream:
        for _ in range(20):
            big = big @ big * 0
        late += source + big[0, 0]
        sol = pards.solve(cell, cupy.asarray(x0), Plain(late, stream.ptr), method="newton")
    np.testing.assert_array_equal(sol.states.numpy(), want)


@gpu
def test_device_arrays_that_do_not_suit() -> None:
    cupy = pytest.importorskip("cupy")
    cell, x0, u = problem()
    there = cupy.asarray(u)
    for bad, error, said in (
        (there[:, ::2], ValueError, "strides .* want it C-contiguous"),
        (there.astype("f8"), TypeError, "inputs on cuda:0 has dtype float64, want float32|x0"),
        (there.astype("f2"), TypeError, "inputs has dtype float16"),
        (there.astype("c8"), TypeError, "dtype"),
    ):
        with pytest.raises(error, match=said):
            pards.solve(cell, x0, bad, dtype=np.float32)
    with pytest.raises(TypeError, match="f is a function for NumPy"):
        pards.solve(lambda x, u: x, x0, there)
    with pytest.raises(ValueError, match='inputs is on cuda:0, want an array on the host; device is "cpu"'):
        pards.solve(cell, x0, there, device="cpu")
    with pytest.raises(ValueError, match="broadcast it there"):
        pards.lds.scan(pards.lds.Diagonal(there[:1]), there)


@gpu
def test_words_on_the_device() -> None:
    cupy = pytest.importorskip("cupy")
    c = Case("s5_T200_s0", np.float32)
    want = pards.solve(c.cell, c.x0, c.inputs, method="newton", device="cpu")
    for dtype in (np.int16, np.int32, np.int64):
        for method in ("newton", "sequential"):
            sol = pards.solve(c.cell, cupy.asarray(c.x0), cupy.asarray(c.inputs.astype(dtype)), method=method)
            np.testing.assert_array_equal(sol.states.numpy(), want.states)  # permutations move numbers and change none
        for word in (-1, len(c.cell.permutations)):
            words = c.inputs.astype(dtype)
            words[1, 17:19] = word
            for x0, u in ((cupy.asarray(c.x0), cupy.asarray(words)), (c.x0, words)):
                with pytest.raises(
                    ValueError, match=rf"inputs holds {word} at \(1, 17\), want words: whole numbers from 0 to"
                ):
                    pards.solve(c.cell, x0, u, method="newton", device="cuda")
    with pytest.raises(TypeError, match="inputs has dtype float32, want integers"):
        pards.solve(c.cell, cupy.asarray(c.x0), cupy.asarray(c.inputs.astype(np.float32)))


@gpu
def test_memory_is_given_back() -> None:
    cell, x0, u = problem()
    for _ in range(3):
        pards.solve(cell, x0, u, out=None, device="cuda", method="newton")
    there, back, _ = library("cupy")
    gc.collect()
    before = _lib.get().pards_handles()
    for _ in range(5):
        sol = pards.solve(cell, there(x0), there(u), method="newton")
        back(sol.states)
        sol.states.__dlpack__()  # a capsule that nobody takes
    del sol
    gc.collect()
    assert _lib.get().pards_handles() == before


@gpu
def test_life_in_one_process() -> None:
    cell, x0, u = problem(steps=1000)
    want = pards.solve(cell, x0, u, device="cuda", method="newton").states
    for name in LIBRARIES * 2:
        there, back, home = library(name)
        a = there(u)
        taken = back(pards.solve(cell, there(x0), a * 1, method="newton").states)
        np.testing.assert_array_equal(home(taken * 1), want)


@gpu
def test_two_threads() -> None:
    problems = [problem(seed=seed, steps=2000) for seed in range(2)]
    want = [pards.solve(*p, method="newton", device="cuda").states for p in problems]
    bad: list[object] = []

    def work(i: int) -> None:
        try:
            for _ in range(50):
                np.testing.assert_array_equal(pards.solve(*problems[i], method="newton", device="cuda").states, want[i])
        except BaseException as error:
            bad.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[0]


@gpu
def test_ctrl_c() -> None:
    """In a chaotic model Jacobi's iterates are right one step further after each update, so two million steps take as many."""
    calm, x0, u = problem(d=4, m=3, batch=1, steps=2_000_000)
    cell = pards.cells.GRU(calm.weight_ih, 8 * calm.weight_hh, calm.bias, calm.bias_n)
    rough = {"method": "jacobi", "merit_tol": 0.0, "device": "cuda", "raise_on_failure": False}
    pards.solve(cell, x0, u, max_iterations=2, **rough)  # compiled
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        pards.solve(cell, x0, u, max_iterations=300_000, **rough)
    assert time.perf_counter() - start < 2
    assert pards.solve(calm, x0, u[:, :1000], device="cuda", method="newton").success.all()


@gpu
def test_out_of_memory_says_how_much() -> None:
    d = 512
    cell = pards.cells.Linear(A=np.eye(d, dtype=np.float32) / 2, B=np.eye(d, 1, dtype=np.float32))
    u = np.zeros((1, 2_000_000, 1), np.float32)
    with pytest.raises(MemoryError, match=r"needs .* TiB a sequence on the GPU, .* are free; window=\d+ would fit"):
        pards.solve(cell, np.zeros((1, d), np.float32), u, method="newton", device="cuda")
    cell, x0, u = problem()
    assert pards.solve(cell, x0, u, device="cuda", method="newton").success.all()


@gpu
@pytest.mark.parametrize("p", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_golden_counts(name: str, p: str) -> None:
    c = Case(name, PRECISIONS[p])
    wrong = []
    for method in METHODS:
        want = c.data[f"iters_{method}_{p}"] - (c.data[f"merit_near_{method}_{p}"][:, 1] <= TOL)
        sol = c.solve(
            c.method(method), merit_tol=TOL, nonfinite=c.nonfinite(method), device="cuda", raise_on_failure=False
        )
        slack, _ = ROUNDING.get((name, method), (0, ""))
        if np.any(np.abs(sol.iterations - want) > slack) or np.any(sol.status != "converged"):
            wrong.append(f"{method}: {sol.iterations} {sol.status}, want {want}")
    assert not wrong, "\n".join(wrong)


@gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_shapes_agree_with_the_cpu(dtype: type) -> None:
    """500 shapes a precision. Both stop within rtol of the trajectory, so they agree to 10 rtol of states of order 1."""
    r, wrong, rtol = np.random.default_rng(7), [], 1e-4 if dtype is np.float32 else 1e-8
    cells = {(d, m): gru(d, m, dtype, d) for d in (1, 2, 3, 4, 5, 7, 8, 12, 16, 33) for m in (1, 3)}
    for i in range(500):
        d, m = list(cells)[r.integers(len(cells))]
        batch, steps = (
            int(r.integers(1, 5)),
            int(r.choice([1, 2, 3, 31, 32, 33, 100, 127, 128, 129, 255, 257, 1000, 2049])),
        )
        method = str(r.choice(["newton", "quasi_newton", "auto", "sequential"]))
        u = r.standard_normal((batch, steps, m)).astype(dtype)
        x0 = r.uniform(-1, 1, (batch, d)).astype(dtype)
        window = None if r.random() < 0.7 else int(r.integers(1, steps + 1))
        try:
            got = pards.solve(cells[d, m], x0, u, method=method, device="cuda", window=window, raise_on_failure=False)
        except Exception as error:
            wrong.append(f"{i}: {(d, m, batch, steps, method, window)}: {type(error).__name__}: {error}"[:300])
            continue
        want = pards.solve(cells[d, m], x0, u, method="sequential", device="cpu").states
        distance = np.abs(got.states - want).max()
        if not (got.success.all() and distance <= 10 * rtol):
            wrong.append(f"{i}: {(d, m, batch, steps, method, window)}: {got.status}, {distance}")
    assert not wrong, f"{len(wrong)} of 500:\n" + "\n".join(wrong[:10])


@gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scans_agree_with_the_cpu(dtype: type) -> None:
    """Every structure. Sums of T numbers of order 1 grow to about sqrt(T), each rounded T times, and a step of D products D times."""
    r, wrong = np.random.default_rng(3), []
    for _ in range(150):
        d, steps, batch = int(r.integers(1, 20)), int(r.choice([1, 2, 31, 33, 257, 1000])), int(r.integers(1, 4))
        b, x0 = r.standard_normal((batch, steps, d)).astype(dtype), r.standard_normal((batch, d)).astype(dtype)
        dense = (r.uniform(-1, 1, (batch, steps, d, d)) / d).astype(dtype)
        structures = [dense, pards.lds.Diagonal(r.uniform(-1, 1, b.shape).astype(dtype)), pards.lds.Identity(),
                      pards.lds.ScaledIdentity(r.uniform(-1, 1, (batch, steps)).astype(dtype)),
                      pards.lds.Permutation(r.permuted(np.tile(np.arange(d), (batch, steps, 1)), axis=-1))]  # fmt: skip
        for a in structures:
            for start, reverse in ((None, False), (x0, False), (x0, True), (None, True)):
                want = pards.lds.scan(a, b, start, reverse=reverse, device="cpu")
                got = [pards.lds.scan(a, b, start, reverse=reverse, device="cuda") for _ in range(2)]
                if not (np.abs(got[0] - want).max() <= 4 * (steps**1.5 + d) * EPS[dtype] and (got[0] == got[1]).all()):
                    wrong.append(
                        f"{type(a).__name__} D={d} T={steps} B={batch} {reverse=}: {np.abs(got[0] - want).max()}"
                    )
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:10])


@gpu
@pytest.mark.parametrize("method", ["newton", "quasi_newton", "picard", "jacobi", "rotated_quasi_newton", "sequential"])
def test_same_bits_twice(method: str) -> None:
    for d in (3, 8, 33):
        p = problem(d=d, batch=3, steps=3000)
        first, second = (
            pards.solve(*p, method=method, device="cuda", max_iterations=20, raise_on_failure=False) for _ in range(2)
        )
        np.testing.assert_array_equal(first.states.view(np.int32), second.states.view(np.int32))
        np.testing.assert_array_equal(first.merit, second.merit)


@gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "batch", "steps"), [(3, 3, 4000), (8, 3, 4000), (20, 1, 9000)])
def test_auto_falls_back_on_the_loop(d: int, batch: int, steps: int, dtype: type) -> None:
    """One update is not enough, so the loop ends what newton and quasi_newton began. 1000 roundings of a step, in states that forget them."""
    cell, x0, u = problem(d, 5, batch=batch, steps=steps, dtype=dtype)
    sol = pards.solve(cell, x0, u, device="cuda", max_iterations=1)
    want = pards.solve(cell, x0, u, method="sequential", device="cpu").states
    assert sol.success.all() and sol.method == "newton+quasi_newton+sequential" and (sol.looped == steps).all()
    assert np.abs(sol.states - want).max() <= 1000 * EPS[dtype]


@gpu
@pytest.mark.parametrize(("d", "batch", "steps"), [(40, 16, 400), (200, 1, 400), (8, 2048, 100)])
def test_auto_takes_the_loop_where_it_is_faster(d: int, batch: int, steps: int) -> None:
    sol = pards.solve(*problem(d, 5, batch=batch, steps=steps), device="cuda")
    assert sol.success.all() and sol.method == "sequential" and "by the plain loop" in sol.reason


@gpu
def test_the_loop_of_wide_states_on_the_device() -> None:
    """Arrays of another library, inputs that a batch shares, and an interrupt that ends the loop."""
    cupy = pytest.importorskip("cupy")
    cell, x0, u = problem(d=150, m=20, batch=4, steps=300)
    sol = pards.solve(cell, cupy.asarray(x0), cupy.asarray(u[0]), method="sequential")
    want = pards.solve(cell, x0, u[0], method="sequential", device="cpu").states
    assert np.abs(sol.states.numpy() - want).max() <= 1000 * EPS[np.float32]
    ring = pards.cells.Lorenz96(40)
    options = {"method": "sequential", "device": "cuda"}
    pards.solve(ring, np.ones(40), length=10, **options)  # compiled
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        pards.solve(ring, cupy.ones(40), length=20_000_000, **options)
    assert time.perf_counter() - start < 2


@gpu
def test_auto_takes_the_gpu_for_what_is_large() -> None:
    small, large = problem(), problem(d=8, m=3, batch=16, steps=100_000)
    assert pards.solve(*small).device == "cpu"
    sol = pards.solve(*large, raise_on_failure=False)
    assert sol.device == "cuda:0" and "GPU" in sol.reason and "on cuda:0" in sol.explain()


@gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_in_jax(dtype: type) -> None:
    """pards.jax.solve of a cell is pards.solve there; its gradient, of some 1000 terms, is that of the CPU's trajectory."""
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    import pards.jax

    with jax_devices.x64(True):
        cell, x0, u = problem(d=8, m=3, batch=4, steps=1000, dtype=dtype)
        for method in ("newton", "quasi_newton", "sequential", pards.QuasiNewton("hutchinson", probes=2)):
            options = (
                {"method": method, "key": jax.random.key(0)}
                if isinstance(method, pards.QuasiNewton)
                else {"method": method}
            )
            run = jax.jit(lambda cell, x0, u: jax.vmap(lambda x0, u: pards.jax.solve(cell, x0, u, **options))(x0, u))  # noqa: B023
            found = run(cell, x0, u)
            assert found.success.all() and found.states.devices() == {jax.devices("gpu")[0]}
            if isinstance(method, str):
                want = pards.solve(cell, x0, u, method=method, device="cuda")
                np.testing.assert_array_equal(found.states, want.states)
                np.testing.assert_array_equal(found.iterations, want.iterations)
        bad = run(cell, x0, np.where(np.arange(4)[:, None, None] == 1, np.nan, u))
        assert bad.success.tolist() == [True, False, True, True]
        assert not run(jax.tree.map(lambda a: a * np.nan, cell), x0, u).success.any()

        def slope(run):
            return jax.jit(
                jax.grad(lambda cell: jnp.sin(jax.vmap(lambda x0, u: run(cell, x0, u).states)(x0, u)).sum())
            )(cell)

        own = slope(lambda *given: pards.jax.solve(*given, rtol=1e-6 if dtype is np.float32 else 1e-10))
        with jax.default_device(jax.devices("cpu")[0]):
            want = slope(lambda *given: pards.jax.solve(*given, method="sequential"))
        for got, exact in zip(jax.tree.leaves(own), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=1e4 * EPS[dtype] * np.abs(exact).max())


RECORDED = """
import sys
import numpy as np, jax, jax.numpy as jnp, pards.jax
from concurrent.futures import ThreadPoolExecutor

def solve(x0, u, w):
    return pards.jax.solve(lambda x, u, w: jnp.tanh(w @ x + u), x0, u, w)

rng, calls, slopes = np.random.default_rng(0), [], jax.jit(jax.grad(lambda x0, u, w: solve(x0, u, w).states.sum(), 2))
for d, steps in ((2, 5000), (24, 3000), (40, 700)):
    w = rng.standard_normal((d, d)).astype(np.float32) / (2 * np.sqrt(d))
    calls += [(np.zeros(d, np.float32), rng.standard_normal((steps, d)).astype(np.float32), w) for _ in range(3)]
run = jax.jit(solve)
with ThreadPoolExecutor(3) as pool:  # graphs are made, and run again with other numbers, side by side
    found = list(pool.map(lambda i: (run(*calls[i % 9]), slopes(*calls[i % 9])), range(45)))
np.savez(sys.argv[1], **{f"{i} {j}": a for i, of in enumerate(found) for j, a in enumerate(jax.tree.leaves(of))})
"""


@gpu
def test_scans_recorded_into_graphs(tmp_path) -> None:
    """Of XLA's, with the loop around them or without: the bits of scans that are started one by one, of products that are
    not tuned anew."""
    pytest.importorskip("jax")
    found = []
    for i, kinds in enumerate(["", "FUSION,CUSTOM_CALL", "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,WHILE,CONDITIONAL"]):
        flags = f"--xla_gpu_enable_command_buffer={kinds} --xla_gpu_graph_min_graph_size=1 --xla_gpu_autotune_level=0"
        to = tmp_path / f"{i}.npz"
        done = subprocess.run(
            [sys.executable, "-c", RECORDED, to], env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(np.load(to))
    for one in found[1:]:
        for name in found[0]:
            np.testing.assert_array_equal(one[name], found[0][name], name)


LENT = """
import ctypes, jax, jax.numpy as jnp, pards.jax

def used():
    cuda, context, free, total = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == cuda.cuCtxPushCurrent_v2(context) == 0
    assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    assert cuda.cuCtxPopCurrent_v2(ctypes.byref(context)) == cuda.cuDevicePrimaryCtxRelease_v2(0) == 0
    return total.value - free.value

run = jax.jit(lambda A, b: pards.jax.scan(A / 80, b))
A, b = jnp.ones((2000, 40, 40)), jnp.ones((2000, 40))
kept, after = [], {}
for i in range(300):  # results that are kept, so that each is elsewhere, and the graph recorded anew
    kept.append(run(A, b).block_until_ready())
    after[i] = used()
print(after[299] - after[40])
"""


@gpu
def test_work_areas_of_recorded_scans_are_given_back() -> None:
    """Those of recordings that are gone: 3 MB each here, of which XLA keeps a few; it takes its own memory beforehand."""
    pytest.importorskip("jax")
    flags = "--xla_gpu_enable_command_buffer=FUSION,CUSTOM_CALL --xla_gpu_graph_min_graph_size=1"
    environment = os.environ | {"XLA_FLAGS": flags, "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
    done = subprocess.run([sys.executable, "-c", LENT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) < 64 << 20, done.stdout


@gpu
def test_bench_on_the_device() -> None:
    """What `pards bench --device cuda` measures: every flavour runs there, and agrees with pards' first."""
    from pards._bench import harness, scans, solves

    settings = harness.Settings(quick=True, device="cuda")
    for case in (*scans.cases(settings), *solves.cases(settings)):
        rows = harness.measure(case, settings)
        assert {row["flavour"] for row in rows} >= case.flavours.keys()
        assert not any("missing" in row for row in rows)
