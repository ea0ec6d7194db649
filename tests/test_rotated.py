"""Rotated quasi-Newton on the paper's Langevin problem, from the paper's guess: at most three updates a window.

The whole of it, D to 256, T to 30000, ten seeds, takes half an hour: PARDS_ROTATED=full pytest tests/test_rotated.py
"""

import os

import numpy as np
import pytest

import pards

FULL = os.environ.get("PARDS_ROTATED") == "full"
SEEDS, SIZES, STEPS = (range(10), (32, 64, 128, 256), (1000, 10_000, 30_000)) if FULL else ((0, 7), (32, 128), (3000,))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dim", SIZES)
@pytest.mark.parametrize("steps", STEPS)
def test_the_papers_langevin_problem(steps: int, dim: int, seed: int) -> None:
    problem = pards.problems.langevin(steps, dim, seed=seed)
    loop = problem.solve(method="sequential")
    whole = problem.solve(method="rotated_quasi_newton", merit_tol=5e-4)
    parts = problem.solve(method="rotated_quasi_newton", merit_tol=1e-5, window="auto")
    # two, but where the first update leaves part of a long chain of D = 32 in the other well, whose eigenvectors are others
    assert np.all(whole.iterations <= (5 if steps > 10_000 else 3))
    assert np.all(parts.window_iterations <= 3)
    assert np.abs(whole.states - loop.states).max() <= 1e-3
    assert np.abs(parts.states - loop.states).max() <= 1e-3


def test_its_basis_for_a_function() -> None:
    """The same for a function, whose Jacobian is known by differences."""
    problem = pards.problems.langevin(1000, 16, seed=1, dtype=np.float64)
    sol = pards.solve(
        problem.cell.__call__,
        problem.x0,
        problem.inputs,
        guess=problem.guess,
        method="rotated_quasi_newton",
        merit_tol=5e-4,
    )
    assert np.all(sol.iterations <= 3)
    assert np.abs(sol.states - problem.solve(method="sequential").states).max() <= 1e-3
