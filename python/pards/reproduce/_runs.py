"""What is run for each figure of the paper: a table of runs, and how a run is measured.

Times are of whole calls of `pards.solve` by the wall, arrays being where the work is done. As in the paper five calls
warm up and the median of five counts; a call of more than two seconds counts as it is.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import _progress, problems, theory
from .._bench import harness
from .._solution import Solution
from ._rows import Row

MERIT_TOL = 5e-4  # the paper's
COMPILING = 10.0  # seconds that a kernel's first call may take beside what it does


class Stopped(Exception):
    """The time for a run is over; the text says after what."""


@dataclass(frozen=True)
class Run:
    """One method on one problem of one size, drawn from one seed.

    K: components of a mixture; step: its step size; a: the transition of the scalar LDS; window: see `pards.solve`.
    """

    figure: str
    problem: str
    method: str
    D: int
    T: int
    batch: int
    seed: int
    K: int | None = None
    step: float | None = None
    a: float | None = None
    window: int | None = None

    @property
    def size(self) -> tuple[Any, ...]:
        """The run but for its seed."""
        return tuple(value for name, value in asdict(self).items() if name != "seed")

    @property
    def line(self) -> tuple[Any, ...]:
        """The run but for its seed and its length."""
        return tuple(value for name, value in asdict(self).items() if name not in ("seed", "T"))

    def __str__(self) -> str:
        found = asdict(self)
        sizes = [f"{name} = {found[name]:g}" for name in ("D", "K", "step", "a", "T", "window") if found[name]]
        return f"{self.figure}, {self.problem} by {self.method}, {', '.join(sizes)}, seed {self.seed}"


@dataclass(frozen=True)
class Scale:
    """How large the experiments are."""

    quick: bool
    exchanged: bool  # the GRU's arguments, as the paper's public code has them
    seeds: int

    @property
    def batch(self) -> int:
        return 4 if self.quick else 16

    @property
    def repeats(self) -> int:
        """Calls that warm up, the first of which finds out whether one is enough, and calls that count."""
        return 3 if self.quick else 5

    @property
    def long(self) -> float:
        """Seconds of a call from which on one is enough."""
        return 0.2 if self.quick else 2.0

    def lengths(self, least: int) -> tuple[int, ...]:
        most = 3 if self.quick else 6
        return tuple(T for T in (100, 300, 1000, 3000, 10_000, 30_000)[:most] if self.quick or least <= T)


SERIAL_AND_FIVE = ("sequential", "newton", "quasi_newton", "picard", "jacobi", "auto")
WINDOW = 1000  # of Newton's method where the paper ran out of memory


def _sized(
    figure: str, problem: str, scale: Scale, sizes: Iterable[Row], methods: tuple[str, ...], batch: int | None = None
) -> Iterator[Run]:
    """The runs of a figure, the methods of one problem after one another."""
    for size, seed in itertools.product(sizes, range(scale.seeds)):
        for method in methods:
            yield Run(figure, problem, method, batch=scale.batch if batch is None else batch, seed=seed, **size)


def fig2(scale: Scale) -> Iterator[Run]:
    sizes = ({"D": 5, "T": T} for T in scale.lengths(100))
    return _sized("fig2", "S5", scale, sizes, SERIAL_AND_FIVE)


def fig3(scale: Scale) -> Iterator[Run]:
    dims = (2, 4) if scale.quick else (2, 4, 8)
    sizes = ({"D": D, "T": T} for T, D in itertools.product(scale.lengths(1000), dims))
    return _sized("fig3", "GRU", scale, sizes, SERIAL_AND_FIVE)


def fig4(scale: Scale) -> Iterator[Run]:
    dims = (8, 32) if scale.quick else (32, 64, 128, 256)
    sizes = ({"D": D, "T": T, "K": 2, "step": 1e-5} for T, D in itertools.product(scale.lengths(1000), dims))
    runs = _sized("fig4", "Langevin", scale, sizes, (*SERIAL_AND_FIVE, "rotated_quasi_newton"))
    for run in runs:  # the paper's Newton ran out of memory there
        wide = run.method == "newton" and run.D >= 256 and run.T >= 10_000
        yield replace(run, window=WINDOW) if wide else run


def fig7(scale: Scale) -> Iterator[Run]:
    sizes = ({"D": 1, "T": 100, "a": a} for a in (0.1, 0.5, 0.9, 0.99))
    return _sized("fig7", "scalar LDS", scale, sizes, ("picard", "jacobi"), batch=1)


def fig8(scale: Scale) -> Iterator[Run]:
    sizes = ({"D": D, "T": 200 if scale.quick else 1000} for D in ((2, 4) if scale.quick else (2, 4, 8)))
    methods = ("newton", "quasi_newton", "scaled_identity", "picard", "jacobi")
    return _sized("fig8", "GRU", scale, sizes, methods, batch=1)


def fig9(scale: Scale) -> Iterator[Run]:
    D, T, wells = (8, 300, (2, 4)) if scale.quick else (32, 3000, (2, 4, 8, 16))
    sizes = ({"D": D, "T": T, "K": K, "step": 1e-5} for K in wells)
    return _sized("fig9", "Langevin", scale, sizes, (*SERIAL_AND_FIVE, "rotated_quasi_newton"))


def fig10(scale: Scale) -> Iterator[Run]:
    D, T = (8, 300) if scale.quick else (32, 3000)
    sizes = ({"D": D, "T": T, "K": 2, "step": step} for step in (1e-5, 1e-4, 1e-3))
    return _sized("fig10", "Langevin", scale, sizes, (*SERIAL_AND_FIVE, "rotated_quasi_newton"))


FIGURES: dict[str, Callable[[Scale], Iterator[Run]]] = {
    f.__name__: f for f in (fig2, fig3, fig4, fig7, fig8, fig9, fig10)
}


@functools.lru_cache(1)  # the methods of one problem follow one another
def drawn(run: Run, exchanged: bool, device: str) -> tuple[problems.Problem, Any]:
    """The problem of a run, its arrays where the work is done, and the trajectory of the plain loop."""
    T, D, batch, seed = run.T, run.D, run.batch, run.seed
    if run.problem == "S5":
        p = problems.s5_word(T, batch, seed)
    elif run.problem == "GRU":
        p = problems.gru(T, D, batch, seed, exchanged)
    elif run.problem == "Langevin":
        p = problems.langevin(T, D, batch, run.K or 2, run.step or 1e-5, seed)
    else:
        p = problems.scalar_lds(T, run.a or 0.0, batch, seed, dtype=np.float64)
    loop = p.solve(method="sequential", device="cpu").states
    x0, inputs, guess = (harness.placed(array, device) for array in (p.x0, p.inputs, p.guess))
    return problems.Problem(p.cell, x0, inputs, guess), loop


def measure(run: Run, scale: Scale, device: str, report: _progress.Report) -> Row:
    """The row of a run. report is told the progress of the first call, and may raise Stopped."""
    place = "cpu" if run.figure in ("fig7", "fig8") else device  # theory is computed on the host
    p, loop = drawn(replace(run, figure="", method="", window=None), scale.exchanged, place)
    found = {"fig7": _decay, "fig8": _theory}.get(run.figure)
    return asdict(run) | (found(run, p, loop) if found else _timed(run, scale, p, loop, place, report))


def _timed(run: Run, scale: Scale, p: problems.Problem, loop: Any, device: str, report: _progress.Report) -> Row:
    def once(progress: Any = False) -> tuple[Solution, float]:
        start = time.perf_counter()
        solution = p.solve(
            method=run.method, window=run.window, merit_tol=MERIT_TOL, device=device, progress=progress, **_policy(run)
        )
        return solution, time.perf_counter() - start

    solution, first = once(report)
    if device != "cpu" and scale.long < first < COMPILING:  # it may have been the compiler that took long
        first = once()[1]
    seconds = [first]
    if first <= scale.long:
        for _ in range(scale.repeats - 1):
            once()
        seconds = [once()[1] for _ in range(scale.repeats)]
    counts, statuses = np.atleast_1d(solution.iterations), np.atleast_1d(solution.status)
    failed = statuses[~np.atleast_1d(solution.success)]
    return {
        "iterations": float(np.median(counts)),
        "counts": counts.tolist(),
        "seconds": statistics.median(seconds),
        "once": first > scale.long,
        "success": not failed.size,
        "status": str(failed[0] if failed.size else statuses[0]),
        "used": solution.method,
        "distance": _distance(np.asarray(solution.states), loop),
    }


def _policy(run: Run) -> dict[str, Any]:
    """As the paper's public code: what overflows in a Picard iteration goes back to the guess."""
    return {"nonfinite": "reset" if run.method == "picard" else "stop", "raise_on_failure": False}


def _distance(states: Any, loop: Any) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        far = float(np.abs(states - loop).max(initial=0)) / max(float(np.abs(loop).max(initial=0)), 1e-300)
    return far if np.isfinite(far) else float("inf")


UPDATES = 30  # of which fig7 shows the error


def _decay(run: Run, p: problems.Problem, loop: Any) -> Row:
    """The error of each iterate, |x - loop| over all steps, and Proposition 3's numbers."""
    errors = [float(np.linalg.norm(p.guess - loop[0]))]
    for k in range(1, UPDATES + 1):
        at = p.solve(method=run.method, merit_tol=0.0, max_iterations=k, nonfinite="continue", raise_on_failure=False)
        errors.append(float(np.linalg.norm(at.states[0] - loop[0])))
    found = theory.analyse(p.cell, p.x0, p.inputs[0], loop[0], method=run.method, guess=p.guess, updates=0)
    numbers = {"distance": found.difference, "inverse": found.inverse_norm, "rate": found.rate, "errors": errors}
    return {"iterations": float(UPDATES), "success": True, "status": "converged", "numbers": numbers}


def _theory(run: Run, p: problems.Problem, loop: Any) -> Row:
    """Proposition 3's numbers along the trajectory, and what the method does: updates and contraction an update."""
    found = theory.analyse(p.cell, p.x0, p.inputs[0], loop[0], method=run.method, guess=p.guess)
    done = p.solve(method=run.method, merit_tol=MERIT_TOL, trace=True, **_policy(run))
    k, trace = int(done.iterations[0]), done.trace
    assert trace is not None
    residuals = np.sqrt(2 * trace.merit[: k + 1, 0])
    good = residuals[np.isfinite(residuals) & (residuals > 0)]
    shrank = float((good[-1] / good[0]) ** (1 / max(len(good) - 1, 1))) if good.size else float("nan")
    numbers = {
        "distance": found.difference,
        "inverse": found.inverse_norm,
        "rate": found.rate,
        "predicted": int(found.predicted_iterations(merit_tol=MERIT_TOL)),
        "observed": shrank,
        "errors": [float(v) if np.isfinite(v) else None for v in residuals[:200]],
    }
    return {"iterations": float(k), "success": bool(done.success[0]), "status": str(done.status[0]), "numbers": numbers}
