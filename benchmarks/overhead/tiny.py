"""What a call costs that has next to nothing to do, T = 10 and D = 2, and where: call_seconds in all, library_seconds of them inside the
call of the library (with what a model written in Python takes when called back), core_seconds of those in the Go core, the rest in Python.
Each is the lower quartile over all calls, since what else runs on a machine only adds to such times. Float64."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
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


def noted(flavour: Callable[[Any], _harness.Work]) -> Callable[[Any], _harness.Work]:
    """A flavour that notes how long each call takes, and which part of it is spent in the library."""
    whole, inside, core = list[float](), list[float](), list[float]()
    call = _lib.call

    def noting(name: str, *arguments: Any) -> None:
        start = time.perf_counter()
        call(name, *arguments)
        if name in ("pards_python_solve", "pards_python_scan"):
            inside.append(time.perf_counter() - start)

    def about(_: Any) -> dict[str, float]:
        parts = {"call_seconds": whole, "library_seconds": inside, "core_seconds": core}
        return {name: float(np.quantile(times, 0.25)) for name, times in parts.items() if times}

    def make(inputs: Any) -> _harness.Work:
        work = flavour(inputs)

        def run(i: int) -> Any:
            _lib.call = noting
            start = time.perf_counter()
            try:
                result = _harness.wait(work.run(i))
            finally:
                _lib.call = call
            whole.append(time.perf_counter() - start)
            if isinstance(result, pards.Solution):
                core.append(result.seconds)
            return result

        return replace(work, run=run, result=_harness.states, about=about)

    return make


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

    def solve(model, method):
        return _harness.by(lambda u: pards.solve(model, x0, u, method=method, device=settings.device))

    solves = {
        "pards.solve, cell, newton": solve(cell, "newton"),
        "pards.solve, cell, sequential": solve(cell, "sequential"),
        "pards.solve, NumPy function, newton": solve(f, "newton"),
        "NumPy loop": _harness.by(lambda u: loop(f, x0, u)),
        "jax.lax.scan": _harness.jitted(scan(f, jnp.zeros(D))),
    }
    A = np.tile(half, (T, 1, 1))
    scans = {
        "pards.lds.scan": _harness.by(lambda b: pards.lds.scan(A, b)),
        "NumPy loop": _harness.by(lambda b: loop(lambda x, u: half @ x + u, x0, b)),
        "jax.lax.scan": _harness.jitted(scan(lambda x, u: jnp.asarray(half, jnp.float32) @ x + u, jnp.zeros(D))),
    }
    for name, flavours in (("tiny solve", solves), ("tiny scan", scans)):
        yield _harness.Case(
            name=name,
            axes={"B": 1, "T": T, "D": D, "dtype": "float64"},
            inputs=inputs,
            flavours={flavour: noted(make) for flavour, make in flavours.items()},
            tolerance=1e-6,  # JAX computes in float32
        )


if __name__ == "__main__":
    _harness.main(cases)
