"""pards.jax.scan against the plain loop, jax.lax.scan, and finite differences."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spec

pytestmark = pytest.mark.jax
jax = pytest.importorskip("jax", minversion="0.6", reason="needs JAX 0.6 or newer: pip install '.[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import pards.jax  # noqa: E402
from pards import lds  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        yield


def cases(lead, T, D):
    """Name, A, and A in full, of a batch with some leading axes; D is even."""
    index = RNG.permuted(np.broadcast_to(np.arange(D), (*lead, T, D)), axis=-1)
    dense, diagonal = RNG.uniform(-1, 1, (*lead, T, D, D)) / D, RNG.uniform(-1, 1, (*lead, T, D))
    scaled, blocks = RNG.uniform(-1, 1, (*lead, T)), RNG.uniform(-1, 1, (*lead, T, D // 2, 2, 2)) / 2
    eye, full = np.eye(D), np.zeros((*lead, T, D, D))
    for i in range(D // 2):
        full[..., 2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = blocks[..., i, :, :]
    yield "dense", lds.Dense(dense), dense
    yield "diagonal", lds.Diagonal(diagonal), diagonal[..., None] * eye
    yield "scaled_identity", lds.ScaledIdentity(scaled), scaled[..., None, None] * eye
    yield "identity", lds.Identity(), np.broadcast_to(eye, (*lead, T, D, D))
    yield "zero", lds.Zero(), np.zeros((*lead, T, D, D))
    yield "permutation", lds.Permutation(index), eye[index]
    yield "block_diagonal", lds.BlockDiagonal(blocks), full


NAMES = [name for name, *_ in cases((), 1, 2)]


def case(name, lead, T, D):
    return next(given[1:] for given in cases(lead, T, D) if given[0] == name)


def cast(A, dtype):
    return A if A.whole else jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), A)


def test_every_structure_has_a_case() -> None:
    assert sorted(NAMES) == sorted(pards._catalog_structures.STRUCTURES)


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
    for lead, T, D in [((), 0, 2), ((), 1, 4), ((3,), 7, 4), ((2, 2), 100, 6)]:
        A, full, n = *case(name, lead, T, D), math.prod(lead)
        b, x0 = (RNG.standard_normal((*lead, *own)).astype(dtype) for own in ((T, D), (D,)))
        given = (cast(A, dtype), b, x0 if start else None)
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


def test_structures_are_pytrees() -> None:
    for _, A, _ in cases((), 3, 2):
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
    ],
)  # fmt: skip
def test_errors(args, error, text) -> None:
    with pytest.raises(error, match=text):
        jax.jit(lambda: pards.jax.scan(*args))()


def test_float64_is_not_cut() -> None:
    with jax.enable_x64(False) if hasattr(jax, "enable_x64") else jax.experimental.disable_x64():
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
