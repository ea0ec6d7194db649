"""What a call costs that has next to nothing to do, T = 10 and D = 2, and where: library_seconds are spent inside the call of the
library (with what a model written in Python takes when called back), core_seconds of them in the Go core, the rest in Python. Float64."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pards
from pards import _lib

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

T, D = 10, 2


def split(function: Callable[..., Any]) -> Callable[..., _harness.Work]:
    """A flavour that notes which part of a call is spent in the library."""
    inside: list[float] = []
    core: list[float] = []
    call = _lib.call

    def noting(name: str, *arguments: Any) -> None:
        start = time.perf_counter()
        call(name, *arguments)
        if name in ("pards_python_solve", "pards_python_scan"):
            inside.append(time.perf_counter() - start)

    def run(*arrays: Any) -> Any:
        _lib.call = noting
        try:
            result = function(*arrays)
        finally:
            _lib.call = call
        if isinstance(result, pards.Solution):
            core.append(result.seconds)
        return result

    def about(_: Any) -> dict[str, float]:
        found = {"library_seconds": statistics.median(inside)}
        return found | ({"core_seconds": statistics.median(core)} if core else {})

    return _harness.by(run, result=_harness.states, about=about)


def loop(f: Callable[..., Any], x: Any, u: Any) -> Any:
    states = np.empty((len(u), len(x)))
    for t in range(len(u)):
        states[t] = x = f(x, u[t])
    return states


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    rng = np.random.default_rng(0)
    half = 0.5 * np.eye(D)
    cell, x0 = pards.cells.Linear(half, np.eye(D)), np.zeros(D)
    inputs = [(rng.standard_normal((T, D)),) for _ in range(3)]

    def f(x, u):
        return 0.5 * x + u

    def scan(step, start):
        return lambda u: jax.lax.scan(lambda x, v: (step(x, v),) * 2, start, u)[1]

    yield _harness.Case(
        name="tiny solve",
        axes={"B": 1, "T": T, "D": D, "dtype": "float64"},
        inputs=inputs,
        flavours={
            "pards.solve, cell, newton": split(
                lambda u: pards.solve(cell, x0, u, method="newton", device=settings.device)
            ),
            "pards.solve, cell, sequential": split(
                lambda u: pards.solve(cell, x0, u, method="sequential", device=settings.device)
            ),
            "pards.solve, NumPy function, newton": split(
                lambda u: pards.solve(f, x0, u, method="newton", device=settings.device)
            ),
            "NumPy loop": _harness.by(lambda u: loop(f, x0, u)),
            "jax.lax.scan": _harness.jitted(scan(f, jnp.zeros(D))),
        },
        tolerance=1e-6,  # JAX computes in float32
    )
    A = np.tile(half, (T, 1, 1))
    yield _harness.Case(
        name="tiny scan",
        axes={"B": 1, "T": T, "D": D, "dtype": "float64"},
        inputs=inputs,
        flavours={
            "pards.lds.scan": split(lambda b: pards.lds.scan(A, b)),
            "NumPy loop": _harness.by(lambda b: loop(lambda x, u: half @ x + u, x0, b)),
            "jax.lax.scan": _harness.jitted(scan(lambda x, u: jnp.asarray(half, jnp.float32) @ x + u, jnp.zeros(D))),
        },
        tolerance=1e-6,
    )


if __name__ == "__main__":
    _harness.main(cases)
