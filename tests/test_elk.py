"""Trust regions: against the public code's iterates, against dense algebra, and where Newton overflows."""

from pathlib import Path

import numpy as np
import pytest

import pards

DATA = np.load(Path(__file__).parent / "data" / "elk" / "iterates.npz")


@pytest.mark.parametrize("model", ["mild", "wild"])
@pytest.mark.parametrize("trust", [0.5, 100.0])
@pytest.mark.parametrize("quasi", [False, True])
def test_iterates_of_the_public_code(model, trust, quasi) -> None:
    """Its filter, an update at a time. Its dense filter adds 1e-9 to the diagonal of what it solves; the other one does not."""
    given = {name: DATA[f"{model}_{name}"] for name in ("W", "V", "b", "u", "x0", "guess")}
    cell = pards.cells.Elman(given["V"], given["W"], given["b"])
    method = (pards.QuasiELK if quasi else pards.ELK)(trust=trust, adaptive=False, smoother=False)
    want = DATA[f"{model}_{'quasi_' if quasi else ''}{trust:g}"]
    for k, iterate in enumerate(want):
        sol = pards.solve(
            cell, given["x0"], given["u"], guess=given["guess"], method=method, max_iterations=k, raise_on_failure=False
        )
        assert np.abs(sol.states - iterate).max() <= (1e-12 if quasi else 2e-8)


@pytest.mark.parametrize("quasi", [False, True])
@pytest.mark.parametrize("callable_", [False, True])
def test_update_is_the_minimiser(quasi, callable_) -> None:
    """One update against the dense system (J'J + I / trust) dx = -J'r, whose condition is at most 1 + 100 |J|^2, below 1e5."""
    model, trust = "wild", 100.0
    x0, u, x, W, V, b = (DATA[f"{model}_{name}"] for name in ("x0", "u", "guess", "W", "V", "b"))
    (T, D), before = x.shape, np.concatenate([x0[None], x[:-1]])
    F = np.tanh(before @ W.T + u @ V.T + b)
    A = (1 - F**2)[:, :, None] * W
    if quasi:
        A = A * np.eye(D)
    J = np.eye(T * D)
    for t in range(1, T):
        J[t * D : (t + 1) * D, (t - 1) * D : t * D] = -A[t]
    dx = np.linalg.solve(J.T @ J + np.eye(T * D) / trust, -J.T @ (x - F).ravel()).reshape(T, D)

    def f(x, u):
        return np.tanh(x @ W.T + u @ V.T + b)

    def jac(x, u):
        return (1 - f(x, u) ** 2)[..., None] * W

    cell = f if callable_ else pards.cells.Elman(V, W, b)
    method = (pards.QuasiELK if quasi else pards.ELK)(trust=trust, adaptive=False)
    options = {"jac": jac} if callable_ else {}
    sol = pards.solve(cell, x0, u, guess=x, method=method, max_iterations=1, raise_on_failure=False, **options)
    assert np.abs(sol.states - (x + dx)).max() <= 1e-10


def two_wells(dtype, T=1000, D=2, step=0.1):
    """x' = x + step (x - x^3) + noise from the ridge between its wells, where J = 1 + step at every step of the guess."""
    u = np.random.default_rng(0).standard_normal((T, D)).astype(dtype)

    def f(x, u):
        return x + x.dtype.type(step) * (x - x**3) + x.dtype.type(0.3) * u

    def jac(x, u):
        return (1 + x.dtype.type(step) * (1 - 3 * x**2))[..., None] * np.eye(D, dtype=x.dtype)

    return {"f": f, "x0": np.zeros(D, dtype), "inputs": u, "jac": jac, "raise_on_failure": False}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_newton_overflows(dtype) -> None:
    problem = two_wells(dtype)
    want = pards.solve(**problem, method="sequential").states
    for method in ("newton", "quasi_newton", "picard"):
        assert pards.solve(**problem, method=method).status == "nonfinite"
    for method in ("elk", "quasi_elk"):
        sol = pards.solve(**problem, method=method)
        assert sol.success
        assert np.abs(sol.states - want).max() <= 2 * (1e-4 if dtype == np.float32 else 1e-8)


def test_adaptive_keeps_what_lowers_the_merit() -> None:
    """Where a merit rises, the next iterate starts again from the lowest one before."""
    merit = pards.solve(**two_wells(np.float64), method="elk", trace=True).trace.merit
    best = np.minimum.accumulate(merit)
    assert (merit[1:] > merit[:-1]).any()  # there are updates to take back
    last = 0
    for k in range(1, len(merit)):
        last = 0 if merit[k] <= best[k] else last + 1
        assert last <= 40  # an update is kept at last


def test_held_back_below_rounding_is_not_converged() -> None:
    """A residual of 0.05 in a region of 2e-7 moves states of size 1 by 1e-8, which float32 does not show: an update of 0 says nothing."""

    def f(x, u):
        return np.float32(0.95) * x

    method = pards.ELK(trust=2e-7, adaptive=False)
    x0 = np.ones(2, np.float32)
    sol = pards.solve(f, x0, length=5, method=method, max_iterations=5, trace=True, raise_on_failure=False)
    assert sol.trace.update[-1] == 0
    assert sol.status == "max_iterations"


def test_windows_and_batches() -> None:
    problem = two_wells(np.float64, T=500)
    problem["x0"] = np.stack([problem["x0"], problem["x0"] + 1, problem["x0"] - 1])
    want = pards.solve(**problem, method="sequential").states
    for window in (None, 64):
        sol = pards.solve(**problem, method="elk", window=window)
        assert sol.success.all()
        assert np.abs(sol.states - want).max() <= 1e-7


@pytest.mark.parametrize("trust", [0.0, -1.0, np.nan, np.inf, 1e-30])
def test_trust_out_of_range(trust) -> None:
    with pytest.raises(ValueError, match=r"ELK: trust is .*, want a"):
        pards.solve(**two_wells(np.float64), method=pards.ELK(trust=trust))
    with pytest.raises(ValueError, match=r"QuasiELK: trust is .*, want a"):
        pards.solve(**two_wells(np.float64), method=pards.QuasiELK(trust=trust))


@pytest.mark.parametrize("method", ["elk", "quasi_elk"])
def test_time_cut_into_chunks(method) -> None:
    """A million numbers: the smoother is cut over time. Bits do not depend on the workers, and the result is the loop's."""
    p = pards.problems.gru(530_000, 2)
    want = pards.solve(p.cell, p.x0, p.inputs[0], method="sequential").states
    found = [pards.solve(p.cell, p.x0, p.inputs[0], method=method, num_threads=n) for n in (1, 2)]
    assert np.array_equal(found[0].states, found[1].states)
    assert found[0].success
    assert np.abs(found[0].states - want).max() <= 3e-4
