"""What must hold for any input: found by hypothesis."""

import pickle

import numpy as np
import pytest
import spec
import structures
from golden import true_error
from hypothesis import given, settings
from hypothesis import strategies as st

import pards
from pards import lds
from pards._memory import PROBLEMS

settings.register_profile("pards", max_examples=60, deadline=None, derandomize=True)
settings.load_profile("pards")


@given(
    name=st.sampled_from(structures.NAMES),
    T=st.integers(0, 70),
    D=st.integers(1, 9),
    start=st.booleans(),
    reverse=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_scan_is_the_loop(name, T, D, start, reverse, dtype, seed) -> None:
    rng = np.random.default_rng(seed)
    A, full = structures.draw(rng, name, (), T, D)
    b, x0 = rng.standard_normal((T, D)).astype(dtype), rng.standard_normal(D).astype(dtype) if start else None
    got = lds.scan(structures.cast(A, dtype), b, x0, reverse=reverse)
    want = spec.scan(
        full.astype(dtype).astype(float), b.astype(float), None if x0 is None else x0.astype(float), "dense", reverse
    )
    top = max(1.0, np.abs(want).max(initial=0))
    assert got.dtype == dtype
    # A rounding a product, none amplified.
    assert np.abs(got - want).max(initial=0) <= (D + 1) * max(T, 1) * np.finfo(dtype).eps * top


def goes_on(A, b, x0, got, whole, reverse=False) -> bool:
    """Whether a scan went on as it would have: diagonals of 16 bytes or less and matrices of two or four rows are composed some steps at a
    time, which a part cuts elsewhere. Either scan adds up to 6 or 3 ulp of s, s = |A| s + |b|, at each step to what its error becomes."""
    D = b.shape[1]
    if isinstance(A, lds.Diagonal) and D in (1, 2):
        ulps, sizes = 6, np.abs(A.a)[:, :, None] * np.eye(D)
    elif isinstance(A, lds.Dense) and D in (2, 4):
        ulps, sizes = 3, np.abs(A.A)
    else:
        return np.array_equal(got, whole)
    s, bound, most = np.abs(x0), np.zeros(D), np.zeros(D)
    for a, one in list(zip(sizes, np.abs(b), strict=True))[:: -1 if reverse else 1]:
        s = a @ s + one
        bound = a @ bound + 2 * ulps * np.finfo(float).eps * s
        most = np.maximum(most, bound)
    return bool((np.abs(got - whole) <= most).all())


@given(T=st.integers(1, 60), split=st.integers(0, 60), D=st.integers(1, 6), seed=st.integers(0, 1000))
def test_scan_in_two_parts_is_the_scan(T, split, D, seed) -> None:
    """From the last state of a first part the second goes on: to the bit, or where rows share a vector to its bound, since neither is cut."""
    rng, split = np.random.default_rng(seed), min(split, T)
    a, b = rng.uniform(-1, 1, (T, D)), rng.standard_normal((T, D))
    whole = lds.scan(lds.Diagonal(a), b)
    first = lds.scan(lds.Diagonal(a[:split]), b[:split])
    second = lds.scan(lds.Diagonal(a[split:]), b[split:], first[-1] if split else None)
    assert goes_on(lds.Diagonal(a), b, np.zeros(D), np.concatenate([first, second]), whole)


@given(
    name=st.sampled_from(structures.NAMES),
    T=st.integers(1, 40),
    D=st.integers(1, 6),
    first=st.integers(0, 40),
    last=st.integers(0, 40),
    stride=st.integers(1, 3),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_piece_goes_on_from_the_state_beside_it(name, T, D, first, last, stride, reverse, seed) -> None:
    """Any part of a scan, taken out of larger arrays as a view with an offset and a stride, follows from the state beside it."""
    rng = np.random.default_rng(seed)
    A, _ = structures.draw(rng, name, (), T, D)
    room = rng.standard_normal((T + 3, stride * D + 2))
    b = room[2 : T + 2, 1 : 1 + stride * D : stride]
    lo, hi = sorted((first % T, last % (T + 1)))
    whole = lds.scan(A, b, np.ones(D), reverse=reverse)
    beside = hi if reverse else lo - 1
    start = whole[beside] if 0 <= beside < T else np.ones(D)
    part = A if A.array is None else type(A)(A.array[lo:hi])
    got = lds.scan(part, b[lo:hi], start, reverse=reverse)
    # So short a scan is not cut, whichever part of it is asked for.
    assert goes_on(A, b, np.ones(D), got, whole[lo:hi], reverse)


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("name", ["diagonal", "scaled", "identity", "dense"])
def test_a_scan_cut_over_time_is_the_loop(name: str, more: int) -> None:
    """Of one long sequence: chunks of 2**14 steps, each begun from what the ones before it come to, which nothing damps."""
    rng, T, D = np.random.default_rng(5), 4 * 2**14 + more, 17
    D = 3 if name == "dense" else D
    T = T if D * T >= 2**21 else 2**21 // D // 2**14 * 2**14 + 2**14 + more
    A, b = (
        {
            "diagonal": lambda: lds.Diagonal(rng.choice([-1.0, 1.0], (T, D))),
            "scaled": lambda: lds.ScaledIdentity(rng.choice([-1.0, 1.0], T)),
            "identity": lds.Identity,
            "dense": lambda: lds.Dense(np.eye(D)[rng.permuted(np.tile(np.arange(D), (T, 1)), axis=1)]),
        }[name](),
        rng.standard_normal((T, D)),
    )
    got = lds.scan(A, b)
    times = {"diagonal": lambda t, x: A.a[t] * x, "scaled": lambda t, x: A.a[t] * x, "identity": lambda t, x: x}
    product = times.get(name, lambda t, x: A.A[t] @ x)
    want = b.copy()
    for t in range(1, T):
        want[t] += product(t, want[t - 1])
    # roundings of T sums, at random, none amplified
    assert np.abs(got - want).max() <= 4 * T**0.5 * np.finfo(float).eps * max(1.0, np.abs(want).max())


@given(
    method=st.sampled_from(["picard", "jacobi", "scaled_identity", "quasi_newton"]),
    T=st.integers(1, 20),
    D=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_methods_are_exact_after_T_updates(method, T, D, seed) -> None:
    """Propositions 1 and 2 of the methods themselves: iterate T is the trajectory."""
    rng = np.random.default_rng(seed)
    W, x0, u = rng.uniform(-1, 1, (D, D)), rng.standard_normal(D), rng.standard_normal((T, D))

    def f(x, u):
        return np.tanh(x @ W.T + u)

    options = {"merit_tol": 0.0, "max_iterations": T, "raise_on_failure": False, "nonfinite": "continue"}
    sol = pards.solve(f, x0, u, method=method, **options)
    x = x0
    for t in range(T):
        x = f(x, u[t])
        # step t is made in update t + 1 from states that are exact, so it adds one rounding of f, which D products amplify from step to step
        assert np.abs(sol.states[t] - x).max() <= 1e-15 * (1 + D) ** (t + 1)


@given(
    T=st.integers(1, 12), D=st.integers(1, 4), batch=st.integers(1, 3), scale=st.floats(0, 2), seed=st.integers(0, 1000)
)
def test_any_A_is_exact_after_T_updates(T, D, batch, scale, seed) -> None:
    """Propositions 1 and 2: with any matrices for the Jacobian, iterate T is the trajectory."""
    rng = np.random.default_rng(seed)
    W = rng.uniform(-1, 1, (D, D))
    A = scale * rng.uniform(-1, 1, (batch, T, D, D))
    x0, u = rng.standard_normal((batch, D)), rng.standard_normal((batch, T, D))

    def f(x, u):
        return np.tanh(x @ W.T + u)

    def jac(x, u):
        which = [next(i for i in range(batch) if np.array_equal(u[k], inputs[i])) for k in range(len(u))]
        return A[which]

    inputs = u
    sol = pards.solve(
        f,
        x0,
        u,
        method="newton",
        jac=jac,
        merit_tol=0.0,
        max_iterations=T,
        raise_on_failure=False,
        nonfinite="continue",
    )
    x = x0
    for t in range(T):
        x = f(x, u[:, t])
        # each state is made once from the states before it; iterates grow by at most (1 + 2 D)^T, of which the update's rounding is eps
        assert np.abs(sol.states[:, t] - x).max() <= 1e-16 * (2 + 2 * D) ** T + 1e-14


@given(
    method=st.sampled_from(
        ["newton", "quasi_newton", "picard", "jacobi", "scaled_identity", "rotated_quasi_newton", "chord"]
    ),
    T=st.integers(1, 120),
    window=st.integers(1, 130),
    seed=st.integers(0, 100),
)
def test_windows_equal_whole(method, T, window, seed) -> None:
    rng = np.random.default_rng(seed)
    cell = pards.cells.GRU(*(rng.uniform(-0.5, 0.5, s) for s in ((9, 2), (9, 3), (9,), (3,))))
    x0, u = rng.standard_normal(3), rng.standard_normal((T, 2))
    whole = pards.solve(cell, x0, u, method=method)
    parts = pards.solve(cell, x0, u, method=method, window=window)
    assert true_error(parts.states, whole.states, 1e-8) <= 3e-8
    assert parts.window_iterations.sum() == parts.iterations


@given(hidden=st.integers(1, 9), T=st.integers(1, 80), seed=st.integers(0, 100))
def test_float32_is_float64_to_rounding(hidden, T, seed) -> None:
    rng = np.random.default_rng(seed)
    cell = pards.cells.GRU.init(hidden, 2, seed, np.float32)
    x0, u = rng.standard_normal(hidden).astype(np.float32), rng.standard_normal((T, 2)).astype(np.float32)
    single = pards.solve(cell, x0, u, method="newton")
    double = pards.solve(cell, x0, u, method="newton", dtype=np.float64)
    assert single.states.dtype == np.float32
    assert double.states.dtype == np.float64
    assert true_error(single.states, double.states, 1e-4) <= 3e-4  # both within the rtol of float32


@given(D=st.integers(1, 5), seed=st.integers(0, 100))
def test_cells_survive_pickling(D, seed) -> None:
    rng = np.random.default_rng(seed)
    cell = pards.cells.Linear(rng.uniform(-1, 1, (D, D)), rng.uniform(-1, 1, (D, 2)))
    x, u = rng.standard_normal((3, D)), rng.standard_normal((3, 2))
    assert np.array_equal(pickle.loads(pickle.dumps(cell))(x, u), cell(x, u))


@pytest.mark.parametrize("name", [name for name, make in PROBLEMS.items() if make is not None])
def test_every_cell_and_its_solutions_survive_pickling(name: str) -> None:
    cell, rng = PROBLEMS[name](4), np.random.default_rng(2)
    u = (
        rng.integers(0, 1, (2, 30))
        if cell.words
        else rng.standard_normal((2, 30, cell.inputs))
        if cell.inputs
        else None
    )
    x0 = rng.standard_normal((2, cell.dim))
    sol = pards.solve(cell, x0, u, length=30, method="newton", trace=True)
    again = pickle.loads(pickle.dumps(sol))
    for field in ("states", "iterations", "merit", "residual", "error", "update", "success"):
        assert np.array_equal(getattr(again, field), getattr(sol, field), equal_nan=True)
    assert list(again.status) == list(sol.status)
    assert again.method == sol.method
    assert sol.explain().startswith(again.explain())  # the theory needs the model, which a pickle leaves out
    back = pickle.loads(pickle.dumps(cell))
    assert np.array_equal(pards.solve(back, x0, u, length=30, method="newton").states, sol.states)


@pytest.mark.parametrize("method", ["newton", "quasi_newton", "picard", "sequential"])
def test_same_call_same_bits(method: str) -> None:
    p = pards.problems.gru(3000, 4, 2, seed=1)
    a, b = (p.solve(method=method, raise_on_failure=False, max_iterations=20) for _ in range(2))
    assert np.array_equal(a.states, b.states)
