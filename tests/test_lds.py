"""pards.lds.scan against the plain loop."""

import numpy as np
import pytest
import spec
import structures

import pards
from pards import lds

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize(("T", "D"), [(0, 2), (1, 1), (7, 3), (300, 9)])
def test_scan(T, D, start, reverse, dtype) -> None:
    for name in ("array", *structures.NAMES):
        A, full = structures.draw(RNG, name.replace("array", "dense"), (), T, D)
        b = RNG.standard_normal((T, D)).astype(dtype)
        x0 = RNG.standard_normal(D).astype(dtype) if start else None
        got = lds.scan(full.astype(dtype) if name == "array" else structures.cast(A, dtype), b, x0, reverse=reverse)
        want = spec.scan(
            full.astype(float), b.astype(float), None if x0 is None else x0.astype(float), "dense", reverse
        )
        assert got.dtype == dtype and got.shape == b.shape, name
        # T steps of D + 1 roundings of numbers up to the largest, none amplified since |A| <= 1
        assert np.allclose(
            got, want, rtol=0, atol=(D + 1) * max(T, 1) * np.finfo(dtype).eps * max(1, np.abs(want).max(initial=0))
        ), name


def test_batch_axes_broadcast() -> None:
    A, b, x0 = RNG.uniform(-1, 1, (20, 3)), RNG.standard_normal((2, 4, 20, 3)), RNG.standard_normal((4, 3))
    got = lds.scan(lds.Diagonal(A), b, x0)
    assert got.shape == b.shape
    for i in range(2):
        for j in range(4):
            assert np.array_equal(got[i, j], lds.scan(lds.Diagonal(A), b[i, j], x0[j]))


def test_dtype_is_numpys() -> None:
    a, b = np.ones((5, 2), np.float32), np.ones((5, 2))
    assert lds.scan(lds.Diagonal(a), b).dtype == np.float64
    assert lds.scan(lds.Diagonal(a), b.astype(np.float32)).dtype == np.float32
    assert lds.scan(lds.Identity(), [[1, 2], [3, 4]]).tolist() == [[1.0, 2.0], [4.0, 6.0]]


def test_out() -> None:
    out = np.full((5, 2), np.nan)
    assert lds.scan(lds.Identity(), np.ones((5, 2)), out=out) is out
    assert np.array_equal(out[:, 0], np.arange(1, 6))


def test_transposed_scan_is_the_adjoint() -> None:
    """<w, scan(A, b)> = <scan of the transposes backwards (w), b>: what a gradient needs."""
    T, D = 30, 3
    A, b, w = RNG.uniform(-1, 1, (T, D, D)) / D, RNG.standard_normal((T, D)), RNG.standard_normal((T, D))
    x = lds.scan(A, b)
    back = np.concatenate([A[1:].swapaxes(-1, -2), np.zeros((1, D, D))])
    y = pards.lds.scan(back, w, reverse=True)
    assert np.isclose((w * x).sum(), (y * b).sum(), rtol=1e-12)  # sums of some hundred terms
