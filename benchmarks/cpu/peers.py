"""What pards is to reach on a CPU, and what a user would run instead of it, in one run; README shows it. Float32 and float64.

- loops: the plain loop of native cells, T = 30000, against jax.lax.scan of the same step, torch.nn.GRU and a loop compiled by Numba; one
  sequence and sixteen, these also with one worker.
- scans: long diagonal and dense recurrences against associative_scan, lax.scan and Numba's loop, and the speed of copying memory.
- paper: newton, quasi_newton (Hutchinson's) and picard on the paper's problems against its public code (benchmarks/_reference.py), by its
  stopping rule, one sequence, float32. Lengths at which that code takes more than some seconds are left out.
- windows: the rotated iteration in windows against the own loop, one long chain.

usage: python benchmarks/cpu/peers.py benchmarks/results/cpu-peers.json --budget 1, on a quiet machine: eight minutes on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pards
from pards._bench import harness, scans, solves

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import _reference

DTYPES = (np.float32, np.float64)
CELLS = ("GRU, D = 8", "Langevin, D = 32", "Langevin, D = 64", "S5")
DIAGONAL = ((1, 1 << 20, 1), (1, 1 << 20, 8), (16, 10_000, 64))  # B, T, D
DENSE = ((1, 100_000, 2), (1, 100_000, 4), (1, 100_000, 8), (1, 10_000, 32))
# The lengths of each problem and method.
PAPER: dict[tuple[str, int], dict[str, tuple[int, ...]]] = {
    ("S5", 5): {"newton": (1000, 10_000, 30_000), "quasi_newton": (1000,), "picard": (1000,)},
    ("GRU", 2): {"newton": (1000, 10_000, 30_000), "quasi_newton": (1000, 10_000, 30_000), "picard": (1000,)},
    ("GRU", 8): {"newton": (1000, 10_000, 30_000), "quasi_newton": (1000, 10_000, 30_000), "picard": (1000,)},
    ("Langevin", 32): {"newton": (1000, 10_000, 30_000), "quasi_newton": (1000, 10_000), "picard": (1000, 10_000)},
    ("Langevin", 64): {"newton": (1000, 10_000), "quasi_newton": (1000,), "picard": (1000,)},
}
METHODS: dict[str, dict[str, Any]] = {
    "newton": {"method": "newton"},
    # What overflows on the way goes on, as it does there.
    "quasi_newton": {"method": pards.QuasiNewton(diagonal="hutchinson"), "nonfinite": "continue"},
    "picard": {"method": "picard", "nonfinite": "reset"},
}
WINDOWS = (None, 250, 1000, "auto")


def some(of: tuple[Any, ...], settings: _harness.Settings) -> tuple[Any, ...]:
    """All, or the first alone where it is only seen whether all runs."""
    return of[:1] if settings.quick else of


def loops(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for dtype in some(DTYPES, settings):
        for batch in some((1, 16), settings):
            for name in some(CELLS, settings):
                case = solves.case(name, 30_000, batch, settings, dtype, parallel=False)
                more = {} if batch == 1 else {"pards sequential, one worker": one_worker(name, dtype)}
                yield replace(case, name=case.name.replace("solve", "loop"), flavours=case.flavours | more)


def one_worker(name: str, dtype: Any) -> harness.Flavour:
    problem = solves.PROBLEMS[name][0](1, 1, 0, dtype)
    return solves.by_pards(problem, "sequential", "cpu", num_threads=1)


def linear(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for dtype in some(DTYPES, settings):
        for size in some(DIAGONAL, settings):
            yield scans.diagonal(size, settings, dtype, loop=False, out=True)
        for size in some(DENSE, settings):
            yield scans.dense(size, settings, dtype, loop=False)


def paper(settings: _harness.Settings) -> Iterator[_harness.Case]:
    if not _reference.there():
        return
    harness.widened(np.float32)
    for (name, D), methods in PAPER.items():
        for method, lengths in methods.items():
            if settings.quick and (name, method) != ("GRU", "newton"):
                continue
            for T in (100,) if settings.quick else lengths:
                yield paper_case(name, D, method, T)


def paper_case(name: str, D: int, method: str, T: int) -> _harness.Case:
    if name == "S5":
        p, model = pards.problems.s5_word(T), _reference.word_model()
    elif name == "GRU":
        p, model = pards.problems.gru(T, D), _reference.gru_model(D)
        drawn = pards.cells.GRU.from_equinox(model.gru_cell)
        cell = pards.cells.GRU(drawn.weight_ih, drawn.weight_hh, drawn.bias, drawn.bias_n, exchanged=True)
        p = replace(p, cell=cell)
    else:
        p = pards.problems.langevin(T, D)
        model = _reference.langevin_model(p.cell)

    def own(u: Any) -> Any:
        return pards.solve(p.cell, p.x0, u, guess=p.guess, merit_tol=_reference.MERIT, **METHODS[method])

    reference = _reference.solver(model, jnp.asarray(p.x0), jnp.asarray(p.guess), method)
    return _harness.Case(
        name=f"paper {name}",
        axes={"B": 1, "T": T, "D": D, "method": method, "dtype": "float32"},
        inputs=[(p.inputs,)],
        flavours={
            f"pards {method}": _harness.by(own, result=_harness.states, about=_harness.outcome),
            f"reference {method}": _harness.jitted(reference),
        },
        tolerance=1.0,  # a merit of 5e-4 leaves half of the largest state undone on Langevin, where quasi_newton and picard stop early
    )


def windows(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for dtype in some(DTYPES, settings):
        harness.widened(dtype)
        T = 100 if settings.quick else 30_000
        p = pards.problems.langevin(T, 64, dtype=dtype)
        method = pards.RotatedQuasiNewton(refresh="contraction")
        flavours = {"pards sequential": solves.by_pards(p, "sequential", "cpu")}
        for window in WINDOWS:
            options = {"window": window, "merit_tol": _reference.MERIT, "guess": None if window else p.guess}
            flavours[f"pards rotated, window={window}"] = solves.by_pards(p, method, "cpu", **options)
        yield _harness.Case(
            name="windows Langevin, D = 64",
            axes={"B": 1, "T": T, "dtype": np.dtype(dtype).name},
            inputs=[(p.inputs,)],
            flavours=flavours,
            tolerance=0.01,
        )


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    for part in (loops, linear, paper, windows):
        yield from part(settings)


if __name__ == "__main__":
    _harness.main(cases)
