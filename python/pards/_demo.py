"""`pards demo`: the paper's problems by every method, and what a user gains who has a model in NumPy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import _plot, problems
from ._catalog import METHODS, QuasiNewton
from ._method import Method
from ._solution import Solution
from ._solve import solve
from .cells import GRU

MERIT_TOL = 5e-4  # the paper's

_METHODS: dict[str, Method] = {
    **{name: METHODS[name]() for name in ("sequential", "newton", "quasi_newton")},
    "hutchinson": QuasiNewton(diagonal="hutchinson"),
    **{name: METHODS[name]() for name in ("picard", "jacobi", "scaled_identity", "rotated_quasi_newton")},
}


class Run(NamedTuple):
    """One problem solved by one method."""

    problem: str
    method: str
    cap: int
    solution: Solution
    error: float  # the largest distance to the plain loop


def run(out: Path, quick: bool) -> None:
    """Solve everything, print one table and one comparison, and write the picture."""
    console = Console()
    steps, cap = (1_000, 50) if quick else (10_000, 200)
    cases = {
        "S5": problems.s5_word(steps),
        "GRU 8": problems.gru(steps, 8),
        "Langevin 32": problems.langevin(steps, 32, step_size=1e-5),
    }
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(cases) * len(_METHODS) + 1)
        runs: list[Run] = []
        for name, problem in cases.items():
            loop = None
            for method in _METHODS:

                def report(iteration: int, *_: Any, doing: str = f"{name}: {method}") -> None:
                    bar.update(task, description=f"{doing}, iteration {iteration}")

                bar.update(task, description=f"{name}: {method}")
                solution = _solve(problem, method, cap, report)
                loop = solution.states if loop is None else loop
                runs.append(Run(name, method, cap, solution, float(np.abs(solution.states - loop).max())))
                bar.advance(task)
        bar.update(task, description="a GRU in NumPy")
        gain = _gain(steps)
        bar.advance(task)
    console.print(_table(runs, steps))
    console.print(gain)
    console.print(_picture(runs, out))


def _solve(problem: problems.Problem, method: str, cap: int, report: Any) -> Solution:
    options: dict[str, Any] = {"merit_tol": MERIT_TOL, "max_iterations": cap}
    return solve(
        problem.cell,
        problem.x0,
        problem.inputs[0],
        guess=problem.guess,
        method=_METHODS[method],
        trace=True,
        progress=report,
        raise_on_failure=False,
        **options,
    )


def _table(runs: list[Run], steps: int) -> Table:
    table = Table(
        title=f"T = {steps}, float32, stopped at a merit of {MERIT_TOL:g}",
        caption="error: the largest distance to the plain loop, which is what sequential runs",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("problem", "method", "iterations", "seconds", "error", "status"):
        table.add_column(name, justify="right" if name in ("iterations", "seconds", "error") else "left", no_wrap=True)
    for i, (problem, method, cap, solution, error) in enumerate(runs):
        status = f"capped at {cap}" if solution.status == "max_iterations" else str(solution.status)
        first = method == next(iter(_METHODS))
        last = i + 1 == len(runs) or runs[i + 1].problem != problem
        table.add_row(
            problem if first else "",
            method,
            str(solution.iterations),
            f"{solution.seconds:.3f}",
            f"{error:.1e}" if np.isfinite(error) else "-",
            status,
            style="" if solution.success else "dim",
            end_section=last,
        )
    return table


def _gain(steps: int) -> str:
    """A GRU as a user would write it in NumPy: Newton's method against the loop that they would write."""
    problem = problems.gru(steps, 8)
    assert isinstance(problem.cell, GRU)
    cell, u = problem.cell, problem.inputs[0]

    def gru(x: Any, u: Any) -> Any:
        i_r, i_z, i_n = np.split(u @ cell.weight_ih.T + cell.bias, 3, -1)
        h_r, h_z, h_n = np.split(x @ cell.weight_hh.T, 3, -1)
        r, z = 1 / (1 + np.exp(-i_r - h_r)), 1 / (1 + np.exp(-i_z - h_z))
        n = np.tanh(i_n + r * (h_n + cell.bias_n))
        return n + z * (x - n)

    def loop() -> Any:
        x, states = problem.x0, np.empty((steps, 8), np.float32)
        for t in range(steps):
            states[t] = x = gru(x, u[t])
        return states

    states, slow = _timed(loop)
    solution, fast = _timed(lambda: solve(gru, problem.x0, u, method="newton"))
    return (
        f"A GRU written as a NumPy function, D = 8, T = {steps}: the Python loop takes {slow:.3f} s, "
        f'pards.solve(gru, x0, u, method="newton") {fast:.3f} s in {solution.iterations} iterations: '
        f"{slow / fast:.1f} times faster, {np.abs(solution.states - states).max():.1e} apart at most."
    )


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What work returns, and the shortest of three times it takes."""
    times: list[float] = []
    result = None
    for _ in range(3):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return result, min(times)


def _picture(runs: list[Run], out: Path) -> str:
    """Write the merit of each iterate, one panel a problem; say where, or what is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "For a picture of the convergence: pip install matplotlib"
    names = list(dict.fromkeys(run.problem for run in runs))
    figure = Figure(figsize=(4 * len(names), 4), layout="constrained")
    panels: Any = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    low, high = 1e-12, 1e12  # a merit of 0 is drawn at the foot; what overflows leaves at the top
    for name, ax in zip(names, panels, strict=True):
        for run in runs:
            if run.problem == name and run.method != "sequential" and run.solution.trace is not None:
                merit = np.clip(run.solution.trace.merit, low, 1e30)
                look = _plot.style(run.method)._asdict()
                ax.semilogy(merit, **look, markevery=max(1, len(merit) // 12), lw=1, label=run.method)
        ax.axhline(MERIT_TOL, color="grey", linewidth=0.8, linestyle=":")
        ax.set(title=name, xlabel="iteration", xscale="symlog", xlim=(0, None), ylim=(low / 10, high))
        ax.set_xticks(ticks := [0, 1, 3, 10, 30, 100], [str(tick) for tick in ticks])
    panels[0].set_ylabel("merit")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    try:
        figure.savefig(out, dpi=150)
    except OSError as error:
        return f"The picture could not be written: {error}"
    return f"The convergence of each method is drawn in {out}"
