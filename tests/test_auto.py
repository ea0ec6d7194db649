"""method="auto": what it takes for which model, and that it is never wrong. A function's price is paid by sleeping, so
that the choice is the same on a machine that others use too."""

import re
import time

import numpy as np
import pytest

import pards

CALL = 2e-3  # seconds, far above what else a call takes, also where others are at work


def contracting(x, u):
    return 0.5 * np.tanh(x[..., ::-1]) + u


def lorenz(x, u):
    def slope(x):
        return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + 8

    h = 0.02
    k1 = slope(x)
    k2 = slope(x + h / 2 * k1)
    k3 = slope(x + h / 2 * k2)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x + h * k3))


def dear(f, call: float = CALL, row: float = 0.0):
    """f, made to cost so much a call and a row."""

    def g(x, u):
        time.sleep(call + row * x.size / x.shape[-1])
        return f(x, u)

    return g


U = np.random.default_rng(0).standard_normal((400, 2))
LOOP = pards.solve(contracting, np.zeros(2), U, method="sequential").states


def test_a_function_whose_calls_are_dear_is_solved_by_an_iteration() -> None:
    sol = pards.solve(dear(contracting), np.zeros(2), U)
    assert sol.method == "newton"
    assert 0 < sol.looped < 40
    assert "newton promises" in sol.reason
    assert np.abs(sol.states - LOOP).max() <= 1e-8
    assert sol.window_advances.sum() == 400 - sol.looped
    assert sol.window_iterations.sum() == sol.iterations


def test_a_function_whose_rows_are_dear_is_left_to_the_loop() -> None:
    rows = []

    def counted(x, u):
        rows.append(x.size // 2)
        return contracting(x, u)

    sol = pards.solve(dear(counted, 0, CALL), np.zeros(2), U)
    assert sol.method == "sequential"
    assert sol.looped == 400
    assert sum(rows) <= 1.2 * 400  # never slower than 1.2 times the loop
    assert np.array_equal(sol.states, LOOP)


def test_what_is_nearly_the_identity_is_solved_by_sums() -> None:
    """Newton calls f on 1 + D rows each update: picard takes a quarter of the time, if the Jacobians that say so are those of f."""

    def f(x, u):
        return x + 1e-4 * (np.tanh(x[..., ::-1]) - x) + u

    u = np.random.default_rng(0).standard_normal((200, 8))
    sol = pards.solve(dear(f, 5 * CALL, 2.5e-4), np.zeros(8), u)
    assert sol.method.startswith("picard")  # and the loop, if others hold it up by much
    want = pards.solve(f, np.zeros(8), u, method="sequential").states
    assert np.abs(sol.states - want).max() <= 3e-8 * np.abs(want).max()  # rtol is 1e-8, in each of some windows


def test_what_a_pilot_predicts_is_told() -> None:
    sol = pards.solve(dear(contracting), np.zeros(2), U)
    loop = float(re.findall(r"the plain loop takes (\S+) s", sol.reason)[0])
    told = {name: float(s) for name, s in re.findall(r"(\w+) (?:promises )?([\d.e-]+) s with", sol.reason)}
    assert set(told) == {"newton", "quasi_newton", "picard", "jacobi"}
    assert 400 * CALL <= loop <= 10 * 400 * CALL  # it sleeps that long, where others are at work longer
    assert sol.method in told
    assert told[sol.method] == min(told.values()) < loop


def test_an_iteration_that_turns_out_slow_is_overtaken() -> None:
    """Many rows at once are dear, and the pilot asks for few: the loop takes over, and what was tried is kept."""

    def f(x, u):
        rows = x.size // 2
        time.sleep(CALL if rows <= 64 else CALL * rows)
        return contracting(x, u)

    sol = pards.solve(f, np.zeros(2), U, trace=True)
    assert sol.method == "newton+sequential"
    assert "it takes longer than the loop" in sol.reason
    assert len(sol.trace.merit) == sol.iterations + len(sol.window_iterations) > 0
    assert sol.looped + sol.window_advances.sum() == 400
    assert np.abs(sol.states - LOOP).max() <= 1e-8


@pytest.mark.parametrize("batch", [None, 3])
def test_a_chaotic_function_is_left_to_the_loop(batch: int | None) -> None:
    x0 = np.sin(np.arange(8)) if batch is None else np.sin(np.arange(24)).reshape(3, 8)
    sol = pards.solve(dear(lorenz), x0, length=700, trace=True)
    assert sol.method == "newton+sequential"
    assert "chaotic" in sol.reason
    assert np.all(sol.looped == 700)
    assert np.all(sol.iterations > 0)
    assert np.array_equal(sol.states, pards.solve(lorenz, x0, length=700, method="sequential").states)


def test_a_long_chaotic_function_is_not_tried() -> None:
    """The first 156 steps tell, of which the pilot has the Jacobians."""
    sol = pards.solve(dear(lorenz, 1e-4), np.sin(np.arange(8)), length=5000)
    assert sol.method == "sequential"
    assert sol.iterations == 0
    assert "chaotic" in sol.reason


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("chaotic", [False, True])
def test_chaos_is_told_of_what_is_left_to_the_loop(given: bool, chaotic: bool) -> None:
    """Where a row is as dear as a call: it sleeps by itself, so that late timers do not make many rows cheap. Without jac= the loop's
    last steps are followed by products, each a call; few enough."""
    calls, r = [], 3.9 if chaotic else 3.2

    def f(x, u):
        calls.append(len(x))
        for _ in range(x.size // x.shape[-1]):
            time.sleep(5e-5)
        return r * x * (1 - x)

    def jac(x, u):
        return (r - 2 * r * x)[..., None] * np.eye(4)

    T = 700 if given else 5000
    sol = pards.solve(f, np.array([0.3, 0.4, 0.5, 0.6]), length=T, jac=jac if given else None)
    assert sol.method == "sequential"
    assert ("chaotic" in sol.reason) == chaotic
    assert len(calls) <= 1.05 * T


def test_one_sequence_that_overflows_at_once_does_not_end_the_others() -> None:
    def f(x, u):
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(np.abs(x) > 5, x * x, 0.5 * x + u[..., :1])

    x0 = np.array([[10.0], [0.0]])
    sol = pards.solve(dear(f), x0, U, raise_on_failure=False)
    want = pards.solve(f, x0, U, method="sequential", raise_on_failure=False)
    assert list(sol.status) == ["nonfinite", "converged"]
    assert list(sol.bad_step) == list(want.bad_step) == [8, -1]
    assert np.array_equal(sol.states, want.states, equal_nan=True)
    assert "sequential ended as nonfinite on 1 of 2 sequences" in sol.reason


def test_what_failed_is_told() -> None:
    """A Jacobian that is not finite where states are large, which they are from step 100 on: windows of one step are left,
    which cost twice the loop's time: what newton saved before is spent after some hundred of them, however busy the machine."""

    def jac(x, u):
        j = 0.5 * (1 - np.tanh(x[..., ::-1]) ** 2)[..., None] * np.array([[0.0, 1.0], [1.0, 0.0]])
        return np.where(np.abs(x).max(-1)[..., None, None] > 50, np.nan, j)

    u = np.where(np.arange(400) < 100, 0.0, 100.0)[:, None] + U
    sol = pards.solve(dear(contracting), np.zeros(2), u, jac=jac, trace=True)
    assert sol.method == "newton+sequential"
    end = re.search(
        r"newton was given up at step (\d+) of 400 after (\d+) updates, its merit then ([\d.e-]+)", sol.reason
    )
    assert end is not None
    assert int(end[1]) == 400 - (sol.looped - 17) > 101
    assert int(end[2]) == sol.iterations > 0
    assert float(end[3]) > 0
    assert "the first overflow at step 101" in sol.explain()
    assert len(sol.trace.merit) == sol.iterations + len(sol.window_iterations)


def test_one_long_affine_component_is_scanned() -> None:
    p = pards.problems.scalar_lds(10_000, dtype=np.float64)
    sol = p.solve()
    assert (sol.method, sol.iterations.tolist()) == ("newton", [1])  # exact, at every level of vectors
    assert "affine" in sol.explain()
    off = np.abs(sol.states - p.solve(method="sequential").states).max()
    assert off <= 1e-14  # states are below 8 and forget by 0.9 a step: ten roundings of 8 eps


def test_a_chaotic_cell_is_told() -> None:
    cell = pards.cells.Lorenz96(8)
    told = pards.solve(cell, np.sin(np.arange(8)), length=20_000)
    assert told.method == "sequential"
    assert "chaotic or expanding" in told.explain()
    assert "no other method can promise to agree with the loop" in told.reason  # some do, as Newton's on affine models
    assert "chaotic" not in pards.problems.gru(20_000, 4).solve().reason


def test_few_steps_are_not_worth_a_pilot() -> None:
    calls = []

    def f(x, u):
        calls.append(len(x))
        return contracting(x, u)

    sol = pards.solve(f, np.zeros(2), U[:100])
    assert sol.method == "sequential"
    assert calls == [1] * 100


@pytest.mark.parametrize("steps", [0, 1, 127, 128, 129, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_auto_is_right(steps: int, dtype, batch: int | None) -> None:
    r = np.random.default_rng(steps)
    u = r.standard_normal((steps, 3) if batch is None else (batch, steps, 3)).astype(dtype)
    w = (0.4 * r.standard_normal((3, 3))).astype(dtype)

    def f(x, u):
        return np.tanh(x @ w + u)

    x0 = np.zeros(3, dtype)
    sol = pards.solve(f, x0, u)
    want = pards.solve(f, x0, u, method="sequential").states
    assert np.abs(sol.states - want).max(initial=0) <= 3 * (1e-4 if dtype == np.float32 else 1e-8)
    assert sol.states.dtype == dtype
    assert np.shape(sol.iterations) == np.shape(sol.looped) == ((batch,) if batch else ())
