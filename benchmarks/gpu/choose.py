"""What method="auto" takes on a GPU beside the plain loop and an iteration, by dimension, batch and length: GRUs and Langevin chains. Float32,
arrays on the device, default tolerances. gpu/choose.go has costs fitted to these rows.

seconds are by the host's clock.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import loop
import solve

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

SIZES = ((1, 1000), (1, 10_000), (1, 100_000), (16, 1000), (16, 10_000), (256, 1000), (1024, 1000))
GRUS, CHAINS = (2, 4, 8, 16, 32, 64), (16, 32, 128)
MOST = 1e9  # numbers of the Jacobians of an iteration that is timed
ERROR = 1e-2  # rtol is 1e-4, on an estimate


def by_pards(cell: Any, x0: Any, method: str) -> solve.Flavour:
    def make(inputs: Sequence[Any]) -> _harness.Work:
        out = cp.empty((*inputs[0].shape[:2], cell.dim), cp.float32)
        run = lambda _: pards.solve(cell, x0, inputs[0], method=method, device="cuda", out=out)  # noqa: E731

        def about(solution: Any) -> _harness.Row:
            return _harness.outcome(solution) | {"method": solution.method, "reason": solution.reason}

        return _harness.Work(run, result=loop.last, about=about)

    return make


def case(name: str, cell: Any, x0: Any, inputs: Any, iteration: str) -> _harness.Case:
    batch, steps = inputs.shape[:2]
    methods = [
        "sequential",
        "auto",
        *([iteration] if batch * steps * cell.dim**2 <= MOST or "rotated" in iteration else []),
    ]
    return _harness.Case(
        name=f"choose {name}",
        axes={"B": batch, "T": steps, "D": cell.dim, "dtype": "float32"},
        inputs=[inputs],
        flavours={f"pards {method}": by_pards(cell, x0, method) for method in methods},
        tolerance=ERROR,
    )


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    rng = cp.random.default_rng(0)
    sizes = ((2, 100),) if settings.quick else SIZES
    for D, (batch, steps) in itertools.product(GRUS[::3] if settings.quick else GRUS, sizes):
        cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype="float32")
        u = rng.standard_normal((batch, steps, D), cp.float32)
        yield case("gru", cell, cp.zeros(D, cp.float32), u, "newton")
    for D, (batch, steps) in itertools.product(CHAINS[:1] if settings.quick else CHAINS, sizes):
        problem = pards.problems.langevin(steps, D)
        u = rng.standard_normal((batch, steps, D), cp.float32)
        yield case("langevin", problem.cell, cp.asarray(problem.x0), u, "rotated_quasi_newton")


if __name__ == "__main__":
    _harness.main(cases, "cuda")
