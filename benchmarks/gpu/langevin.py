"""Langevin dynamics in two wells on a GPU, the paper's problem: rotated quasi-Newton against the own sequential kernel, lax.scan of the
closed-form step, and the paper's public code where that is there (benchmarks/_reference.py). Float32, arrays on the device.

The rows' seconds are by the host's clock; event_seconds of pards are by the device's, see scan.py. The eigenbases of the mixture are found
in the first call, which is in neither. All stop at a merit of 5e-4, at which the reference's quasi-Newton was up to 0.22 away from the
others: the results' differences are allowed a little more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import jax
import jax.numpy as jnp
import scan

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import _reference

BATCH = 16
ERROR = 0.3  # what the stopping rule leaves undone, by any method
DIMS, LENGTHS = (32, 64, 128, 256), (1000, 10000, 30000)
# The reference's fastest method, by its own run: quasi-Newton where it needs few iterations, Newton until its matrices do not fit.
NEWTON_FITS = {1000: (), 10000: (32, 64, 128), 30000: (32, 64, 128)}
REFERENCE_TAKES_LONG = [(10000, 256), (30000, 256)]  # 12 s and 113 s


def events(run: Callable[[int], Any]) -> float:
    return scan.event_seconds(run, 5)


def last(states: Any) -> Any:
    return cp.asnumpy(cp.from_dlpack(states)[:, -1])


def by_pards(problem: Any, method: str, **clocks: scan.Clock) -> Callable[[Sequence[Any]], _harness.Work]:
    """clocks: what else a row tells of a call, by the time it gives."""

    def make(inputs: Sequence[Any]) -> _harness.Work:
        more: dict[str, Any] = (
            {} if method == "sequential" else {"guess": cp.asarray(problem.guess), "merit_tol": _reference.MERIT}
        )
        x0, u = cp.asarray(problem.x0), inputs[0][0]
        out = cp.empty_like(u)
        run = lambda i: pards.solve(problem.cell, x0, u, method=method, device="cuda", out=out, **more)  # noqa: E731
        return _harness.Work(run, result=lambda s: last(s.states), about=scan.about(run, clocks))

    return make


def by_lax(problem: Any) -> Callable[[Sequence[Any]], _harness.Work]:
    mixture, eps = problem.cell.potential, problem.cell.step_size
    m, P, logw = (jnp.asarray(v) for v in (mixture.means, mixture.precisions, mixture.log_weights))

    def step(x: Any, u: Any) -> Any:
        away = m - x
        h = jnp.einsum("kij,kj->ki", P, away)
        w = jax.nn.softmax(logw - 0.5 * (h * away).sum(-1))
        x = x + eps * (w @ h) + (2 * eps) ** 0.5 * u
        return x, x

    scan = jax.vmap(lambda u: jax.lax.scan(step, jnp.asarray(problem.x0), u)[1])

    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(scan)([tuple(jnp.from_dlpack(a) for a in arrays) for arrays in inputs])
        return _harness.Work(work.run, work.compile_seconds, result=last)

    return make


def by_reference(problem: Any, newton: bool) -> dict[str, Callable[[Sequence[Any]], _harness.Work]]:
    """The reference's method; nothing where it cannot be imported."""
    if not _reference.there():
        return {}
    model, method = _reference.langevin_model(problem.cell), "newton" if newton else "quasi_newton"
    solve = _reference.solver(model, jnp.asarray(problem.x0), jnp.asarray(problem.guess), method)

    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(solve)([tuple(jnp.from_dlpack(a) for a in arrays) for arrays in inputs])
        return _harness.Work(work.run, work.compile_seconds, result=last)

    return {f"reference {method}": make}


def case(problem: Any, T: int, D: int, flavours: dict[str, Any]) -> _harness.Case:
    return _harness.Case(
        name="langevin",
        axes={"B": BATCH, "T": T, "D": D, "dtype": "float32"},
        inputs=[(cp.asarray(problem.inputs),)],
        flavours=flavours,
        tolerance=ERROR,
    )


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    for T in LENGTHS:
        for D in DIMS:
            problem = pards.problems.langevin(min(T, 100) if settings.quick else T, D, BATCH)
            reference = {} if (T, D) in REFERENCE_TAKES_LONG else by_reference(problem, D in NEWTON_FITS[T])
            own = {
                f"pards {m}": by_pards(problem, m, event_seconds=events) for m in ("rotated_quasi_newton", "sequential")
            }
            yield case(problem, T, D, own | {"lax.scan": by_lax(problem)} | reference)


if __name__ == "__main__":
    _harness.main(cases, "cuda")
