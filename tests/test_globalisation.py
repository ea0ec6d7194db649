"""Windows and damping that adapt: they reach the trajectory where the plain iteration overflows or does not end."""

import numpy as np
import pytest

import pards

METHODS = ["newton", "quasi_newton", "rotated_quasi_newton", "scaled_identity", "picard", "jacobi", "chord"]


def crossing(batch: int, dim: int, steps: int, components: int, step_size: float, guess: str):
    """A Langevin chain that crosses wells, and the guesses of refresh_bench: noise, or accumulated noise and drift."""
    r = np.random.default_rng(3)
    z = r.standard_normal((components, dim + 1, dim))
    means = r.standard_normal((components, dim))
    potential = pards.cells.GaussianMixture(means, 2 * z.swapaxes(-1, -2) @ z, np.zeros(components))
    cell = pards.cells.Langevin(potential, step_size)
    u = r.standard_normal((batch, steps, dim))
    start = r.standard_normal((steps, dim)) if guess == "noise" else np.cumsum(cell(np.zeros_like(u), u), 1)
    return cell, np.zeros(dim), u, start


@pytest.mark.parametrize("guess", ["noise", "drift"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_windows_that_adapt_cannot_fail(method: str, dtype, guess: str) -> None:
    """On a problem on which every method overflows whole, or takes more updates than it may."""
    cell, x0, u, start = crossing(2, 4, 2000, 8, 5e-3, guess)
    options = {"dtype": dtype, "guess": start, "max_iterations": 30}
    assert not pards.solve(cell, x0, u, method=method, raise_on_failure=False, **options).success.any()
    sol = pards.solve(cell, x0, u, method=method, window="auto", trace=True, **options)
    want = pards.solve(cell, x0, u, method="sequential", dtype=dtype).states
    # each of hundreds of windows is solved to rtol, and steps across a ridge amplify what the windows before left
    assert np.abs(sol.states - want).max() <= 300 * (1e-4 if dtype == np.float32 else 1e-8)
    assert sol.window_iterations.max() <= 24
    assert np.array_equal(sol.window_advances.sum(1), [2000, 2000])
    assert np.array_equal(sol.window_iterations.sum(1), sol.iterations)
    windows = np.array([np.flatnonzero(n)[-1] + 1 for n in sol.window_iterations])
    assert np.array_equal((~np.isnan(sol.trace.merit)).sum(0), sol.iterations + windows)


def test_a_batch_of_a_function_waits_for_its_slowest() -> None:
    """Sequences of a function are solved in one call; those that give a window up go through it in shorter ones without
    the others, who wait for them at its end."""
    cell, x0, u, start = crossing(3, 4, 1500, 8, 5e-3, "drift")
    u[0], start = 0, np.stack([np.zeros_like(start[0]), start[1], start[2]])  # the first is easy: it rolls into a well
    seen: list[int] = []

    def f(x, u):
        seen.append(len(x))
        return cell(x, u)

    sol = pards.solve(f, x0, u, method="newton", jac=cell.jacobian, window="auto", guess=start)
    want = pards.solve(cell, x0, u, method="sequential").states
    assert np.abs(sol.states - want).max() <= 1e-6
    assert np.array_equal(sol.window_advances.sum(1), [1500] * 3)
    assert sol.window_advances[0, 0] == 1500
    assert all((sol.window_advances[i] == 0).any() for i in (1, 2))
    assert set(seen) == {1, 2, 3}


@pytest.mark.parametrize(
    ("method", "size", "guess"),
    [
        ("newton", (2, 4, 4000, 4, 5e-3), "noise"),
        ("newton", (2, 8, 4000, 8, 3e-3), "noise"),
        ("rotated_quasi_newton", (2, 16, 5000, 8, 2e-3), "drift"),
    ],
)
def test_damping_that_adapts_brings_down_what_overflows(method: str, size: tuple, guess: str) -> None:
    cell, x0, u, start = crossing(*size, guess)
    options = {"method": method, "guess": start, "dtype": np.float32}
    plain = pards.solve(cell, x0, u, raise_on_failure=False, **options)
    assert np.array_equal(plain.status, ["nonfinite"] * 2)
    sol = pards.solve(cell, x0, u, damping="adaptive", **options)
    want = pards.solve(cell, x0, u, method="sequential", dtype=np.float32).states
    # rtol is 1e-4; a ridge on the way amplifies it
    assert np.abs(sol.states - want).max() <= 3e-3


@pytest.mark.parametrize("seed", [1, 3, 9])
def test_damping_goes_as_far_as_it_must(seed: int) -> None:
    """Guesses an ulp or so apart, of which some lead to where A itself overflows: then an update is f alone."""
    cell, x0, u, start = crossing(2, 16, 3000, 8, 1e-3, "noise")
    start *= 1 + 1e-6 * np.random.default_rng(seed).standard_normal(start.shape)
    options = {"method": "rotated_quasi_newton", "guess": start, "dtype": np.float32}
    sol = pards.solve(cell, x0, u, damping="adaptive", **options)
    want = pards.solve(cell, x0, u, method="sequential", dtype=np.float32).states
    assert np.abs(sol.states - want).max() <= 3e-3  # as above


def test_what_overflows_itself_is_told() -> None:
    """No window helps a model that overflows; what comes before is right."""
    cell = pards.cells.Linear(np.array([[1e30]]), np.eye(1))
    sol = pards.solve(cell, np.ones(1), np.zeros((20, 1)), method="picard", window="auto", raise_on_failure=False)
    assert sol.status == "nonfinite"
    assert np.allclose(sol.states[:10, 0], 1e30 ** np.arange(1, 11))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("method", [*METHODS, "elk", "quasi_elk", pards.BlockNewton(block=1)])
def test_a_jacobian_that_is_not_finite_or_singular(method, value: float) -> None:
    """The status names it; in windows that adapt the answer is right, as the first A of a window is not read."""

    def f(x, u):
        return 0.5 * np.tanh(x) + u

    u = np.random.default_rng(0).standard_normal((200, 2))
    want = pards.solve(f, np.zeros(2), u, method="sequential").states
    options = {"jac": lambda x, u: np.full((*x.shape, 2), value)}
    whole = pards.solve(f, np.zeros(2), u, method=method, raise_on_failure=False, **options)
    assert whole.status == "nonfinite" or np.abs(whole.states - want).max() <= 1e-7
    parts = pards.solve(f, np.zeros(2), u, method=method, window="auto", **options)
    assert np.abs(parts.states - want).max() <= 1e-7
    assert np.abs(pards.solve(f, np.zeros(2), u, **options).states - want).max() <= 1e-7


def test_a_window_longer_than_the_problem_is_the_whole() -> None:
    cell, x0, u, _ = crossing(1, 2, 50, 2, 1e-4, "noise")
    whole = pards.solve(cell, x0, u, method="newton")
    assert np.array_equal(whole.states, pards.solve(cell, x0, u, method="newton", window=10**12).states)


def roots(x, u):
    """From 1e300 plain iterates are 1e30, 1e3 and 2, so that updates shrink by many orders, until they do not."""
    return np.abs(x) ** 0.1


@pytest.mark.parametrize("window", [None, 20, "auto"])
def test_nothing_is_done_with_a_large_residual(window) -> None:
    given = {"x0": np.full(1, 2.0), "length": 40, "guess": np.full((40, 1), 1e300), "method": "jacobi"}
    sol = pards.solve(roots, **given, window=window)
    assert np.abs(sol.states - pards.solve(roots, given["x0"], length=40, method="sequential").states).max() <= 1e-7


def test_a_well_that_overflows_is_left_aright() -> None:
    """From the ridge between two wells J = 3.8: the first updates are 1e25, the third is 8 and was taken for the last."""
    potential = pards.cells.GaussianMixture(np.array([[-1.0], [1.0]]), np.full((2, 1, 1), 8.0), np.zeros(2))
    cell, u = pards.cells.Langevin(potential, 0.05), np.random.default_rng(100_000).standard_normal((100_000, 1))
    loop = pards.solve(cell, np.zeros(1), u, method="sequential").states
    for method in ("newton", "quasi_newton"):
        for window in ("auto", 100, None):
            sol = pards.solve(cell, np.zeros(1), u, method=method, window=window, raise_on_failure=False)
            assert sol.success or window is None
            assert not sol.success or np.abs(sol.states - loop).max() <= 1e-6  # rtol, summed over the windows
