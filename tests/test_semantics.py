"""pards.solve against the NumPy statement of its semantics (spec.py), option by option and at random."""

import itertools

import numpy as np
import pytest
import spec
from golden import true_error

import pards


def gru(rng, dtype, D, M):
    w = [rng.uniform(-0.5, 0.5, s).astype(dtype) for s in ((3 * D, M), (3 * D, D), (3 * D,), (D,))]
    return spec.GRU(*w), pards.cells.GRU(*w)


def langevin(rng, dtype, D, K, step):
    Z = rng.standard_normal((K, D + 1, D))
    parts = [
        v.astype(dtype) for v in (rng.standard_normal((K, D)), np.einsum("kij,kil->kjl", Z, Z), rng.standard_normal(K))
    ]
    return spec.Langevin(spec.GaussianMixture(*parts), step), pards.cells.Langevin(
        pards.cells.GaussianMixture(*parts), step
    )


def linear(rng, dtype, D):
    A, B, bias = (0.3 * rng.standard_normal(s) for s in ((D, D), (D, 2), (D,)))
    parts = [v.astype(dtype) for v in (A, B, bias)]
    return spec.Linear(*parts), pards.cells.Linear(*parts)


METHODS = {
    "newton": (spec.newton, "newton"),
    "quasi": (spec.quasi_newton, "quasi_newton"),
    "picard": (spec.picard, "picard"),
    "jacobi": (spec.jacobi, "jacobi"),
    "scaled": (spec.scaled_identity, "scaled_identity"),
    **{f"rotated_{r}": (spec.rotated_quasi_newton(refresh=r), pards.RotatedQuasiNewton(refresh=r)) for r in ("iteration", "window", "never")},
}  # fmt: skip


def compare(cells, dtype, x0, u, guess, method, **options) -> None:
    """Counts, statuses, states and traces agree.

    The spec scans b = f - A x, pards scans about the iterate: equal in exact arithmetic. Under the merit rule, far above rounding, counts
    and statuses are equal. The default rule stops near rounding, where the form of the scan can make a window an update or two longer or
    shorter, and "floor" may stand for "converged".
    """
    theirs, ours = METHODS[method]
    eps = np.finfo(dtype).eps
    want = spec.solve(cells[0], x0, u, theirs, guess=guess, **options)
    got = pards.solve(cells[1], x0, u, method=ours, guess=guess, trace=True, raise_on_failure=False, **options)
    for b, w in enumerate(want):
        scale = max(1.0, float(np.abs(w.states).max(initial=0.0)))
        counts = np.abs(np.array(w.window_iterations) - got.window_iterations[b])
        if options.get("merit_tol"):
            assert not counts.any() and w.status == got.status[b]
        else:
            assert counts.max() <= 2 and w.status in ("converged", "floor") and got.success[b]
        if not counts.any():
            bound = 1e5 * eps * scale  # rounding, amplified along some tens of steps that contract on the whole
            assert np.abs(w.states - got.states[b]).max(initial=0.0) <= bound
            k = min(w.iterations, int(got.iterations[b]), 5)
            assert np.allclose(w.trace[:k, 0], got.trace.merit[:k, b], rtol=1e-2, atol=1e3 * eps)
        assert w.resets == got.resets[b] and w.bad_step == got.bad_step[b]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["gru", "langevin", "linear"])
def test_against_the_spec(model: str, method: str, dtype: type) -> None:
    rng = np.random.default_rng(3)
    D, M = 4, 2 if model == "linear" else 4
    cells = {
        "gru": lambda: gru(rng, dtype, D, M),
        "langevin": lambda: langevin(rng, dtype, D, 2, 1e-3),
        "linear": lambda: linear(rng, dtype, D),
    }[model]()
    for window, damping, clip, merit, T in itertools.product(
        (None, 16), (0.0, 0.3), (False, True), (None, 1e-6), (1, 53)
    ):
        x0, u = rng.standard_normal((2, D)).astype(dtype), rng.standard_normal((2, T, M)).astype(dtype)
        guess = rng.standard_normal((2, T, D)).astype(dtype) if clip else None
        compare(cells, dtype, x0, u, guess, method, window=window, damping=damping, clip=clip, merit_tol=merit)


@pytest.mark.parametrize("nonfinite", ["stop", "continue", "reset"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_overflow(nonfinite: str, dtype: type) -> None:
    """An expanding model under Picard overflows: policy, bad step, resets and returned iterate are the spec's."""
    T, rng = 400, np.random.default_rng(0)
    A, B = np.array([[4.0]], dtype), np.eye(1, dtype=dtype)
    u = rng.standard_normal((T, 1)).astype(dtype)
    x0 = np.zeros(1, dtype)
    options = {"nonfinite": nonfinite, "max_iterations": 150, "rtol": 1e-3}
    (want,) = spec.solve(spec.Linear(A, B), x0, u, spec.picard, **options)
    got = pards.solve(pards.cells.Linear(A, B), x0, u, method="picard", raise_on_failure=False, **options)
    assert (got.status, got.iterations, got.resets) == (want.status, want.iterations, want.resets)
    assert got.bad_step == want.bad_step
    assert np.array_equal(np.isfinite(got.states), np.isfinite(want.states))
    if dtype is np.float32:
        assert want.bad_step >= 0, "this case is here because it overflows"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floor(dtype: type) -> None:
    """A tolerance below rounding ends at the floor, not at the cap."""
    rng = np.random.default_rng(5)
    theirs, ours = langevin(rng, dtype, 4, 2, 1e-3)
    x0, u = np.zeros(4, dtype), rng.standard_normal((300, 4)).astype(dtype)
    sol = pards.solve(ours, x0, u, method="quasi_newton", rtol=1e-18, atol=1e-21)
    assert sol.success and sol.iterations < 60
    # 300 steps, a few roundings each
    assert true_error(sol.states, spec.sequential(theirs, x0, u, 300), 1e-4) <= 1e3 * np.finfo(dtype).eps


def test_slow_contraction_is_not_fooled() -> None:
    """Jacobi on x = 0.99 x + u moves by little each time and is far from done: the estimate knows."""
    u = np.random.default_rng(1).standard_normal((3000, 1))
    cell = pards.cells.Linear(np.array([[0.99]]), np.eye(1))
    sol = pards.solve(cell, np.zeros(1), u, method="jacobi", max_iterations=4000)
    want = spec.sequential(spec.Linear(cell.A, cell.B), np.zeros(1), u, 3000)
    assert sol.status == "converged" and true_error(sol.states, want, 1e-8) <= 1e-8


@pytest.mark.parametrize(
    "method", ["newton", "quasi_newton", "picard", "jacobi", "scaled_identity", "rotated_quasi_newton"]
)
def test_windows_equal_whole(method: str) -> None:
    rng = np.random.default_rng(2)
    _, cell = langevin(rng, np.float64, 3, 2, 1e-2)
    x0, u = rng.standard_normal((3, 3)), rng.standard_normal((3, 101, 3))
    whole = pards.solve(cell, x0, u, method=method)
    for window in (1, 7, 100, 101, 500):
        parts = pards.solve(cell, x0, u, method=method, window=window)
        assert max(true_error(a, b, 1e-8) for a, b in zip(parts.states, whole.states, strict=False)) <= 3e-8
        n = -(-101 // min(window, 101))
        assert parts.window_iterations.shape == (3, n)
        assert np.array_equal(parts.window_iterations.sum(1), parts.iterations)


def test_a_basis_is_found_when_it_is_first_needed() -> None:
    """refresh="never": a first window whose guess is the trajectory needs no basis, a later one does."""
    theirs, cell = langevin(np.random.default_rng(2), np.float64, 3, 2, 1e-2)
    x0, u = np.zeros(3), np.random.default_rng(3).standard_normal((40, 3))
    want = spec.sequential(theirs, x0, u, 40)
    guess = want.copy()
    guess[20:] = 0
    sol = pards.solve(
        cell, x0, u, method=pards.RotatedQuasiNewton(refresh="never"), guess=guess, window=20, merit_tol=1e-18
    )
    assert sol.window_iterations[0] == 0
    assert sol.window_iterations[1] > 0
    assert true_error(sol.states, want, 1e-8) <= 1e-8


def test_first_A_is_never_read() -> None:
    """A NaN in the derivative of the first step of a window does no harm."""

    def jac(x, u):
        J = np.full((*x.shape, x.shape[-1]), 0.5)
        J[..., 0, :, :] = np.nan
        return J

    sol = pards.solve(lambda x, u: 0.5 * x + u, np.zeros(1), np.ones((20, 1)), method="newton", jac=jac)
    assert sol.success
    # the sum of 0.5^k, a few roundings
    assert np.allclose(sol.states[:, 0], 2 - 2 * 0.5 ** np.arange(1, 21), rtol=1e-12)


def test_empty() -> None:
    cell = pards.cells.Linear(np.eye(2), np.eye(2))
    for x0, u, shape in ((np.zeros(2), np.zeros((0, 2)), (0, 2)), (np.zeros((0, 2)), np.zeros((0, 5, 2)), (0, 5, 2))):
        sol = pards.solve(cell, x0, u, method="newton")
        assert sol.states.shape == shape and np.all(sol.success) and np.all(sol.iterations == 0)


def test_block_newton_spans_quasi_newton_to_newton() -> None:
    """Blocks of 1 are quasi-Newton, one block is Newton; a smaller last block is allowed."""
    rng = np.random.default_rng(4)
    _, cell = gru(rng, np.float64, 5, 3)
    x0, u = rng.standard_normal(5), rng.standard_normal((80, 3))
    solve = lambda method: pards.solve(cell, x0, u, method=method, merit_tol=1e-10, trace=True)  # noqa: E731
    for block, other in ((1, "quasi_newton"), (5, "newton"), (9, "newton")):
        a, b = solve(pards.BlockNewton(block=block)), solve(other)
        assert a.iterations == b.iterations
        # the same A, multiplied in another order
        assert np.allclose(a.trace.merit, b.trace.merit, rtol=1e-6, atol=1e-18)
    counts = [solve(pards.BlockNewton(block=k)).iterations for k in (1, 2, 5)]
    assert counts[0] >= counts[1] >= counts[2]


def test_chord_holds_its_jacobian() -> None:
    """With period 1 it is Newton; a held Jacobian is asked for once a period, and still leads to the trajectory."""
    rng = np.random.default_rng(4)
    theirs, cell = gru(rng, np.float64, 4, 3)
    x0, u = rng.standard_normal(4), rng.standard_normal((80, 3))
    newton = pards.solve(cell, x0, u, method="newton")
    assert np.array_equal(pards.solve(cell, x0, u, method=pards.Chord(period=1)).states, newton.states)
    asked = []

    def jac(x, u):
        asked.append(len(x))
        return theirs.jac(x, u)

    sol = pards.solve(lambda x, u: theirs.f(x, u), x0, u, method=pards.Chord(period=3), jac=jac)
    assert sol.success and sol.iterations > newton.iterations
    assert len(asked) == -(-sol.iterations // 3)
    assert true_error(sol.states, newton.states, 1e-8) <= 3e-8


@pytest.mark.parametrize("method", ["newton", "quasi", "rotated_iteration", "scaled"])
def test_long_runs_cross_blocks_and_panels(method: str) -> None:
    """T far beyond what is evaluated and scanned at a time: what is carried from piece to piece decides the counts and merits."""
    rng = np.random.default_rng(6)
    theirs, ours = gru(rng, np.float64, 2, 2)
    T = 20_011  # two panels of 32 blocks, and some
    x0, u = np.zeros(2), rng.standard_normal((T, 2))
    (want,) = spec.solve(theirs, x0, u, METHODS[method][0], merit_tol=1e-8)
    got = pards.solve(ours, x0, u, method=METHODS[method][1], merit_tol=1e-8, trace=True)
    assert got.iterations == want.iterations
    # sums of squares of residuals known to 1e-12 and better
    assert np.allclose(got.trace.merit, want.trace[:, 0], rtol=1e-6)
