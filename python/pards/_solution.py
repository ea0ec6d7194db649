"""What `solve` returns, and what it raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _catalog
from ._array import Array


@dataclass(frozen=True, eq=False)
class Trace:
    """How a solve went, an iterate a row: (rows, B), or (rows,) without a batch. The first row of each window is its
    guess.

    Attributes:
        merit: 0.5 * sum of squared residuals; NaN after the sequence's own end.
        residual: the largest residual.
        update: the largest component of the update that led to the iterate; NaN for a guess.
    """

    merit: Array
    residual: Array
    update: Array


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """The trajectory of a model, and how it was found.

    Fields that are one number a sequence are plain int, float, bool or str where the problem has no batch axis, else
    arrays (B,).

    Attributes:
        states: (T, D) or (B, T, D), x[1] to x[T]; x0 is not among them.
        iterations: updates applied, over all windows.
        success: whether the states are the trajectory.
        status: "converged", "floor" (both success), "max_iterations", "nonfinite".
        error: the estimated distance to the sequential trajectory, relative to the size of the states; NaN before two
            updates. It is the error of stopping early; rounding adds to it.
        merit: 0.5 * sum of squared residuals.
        residual: the largest residual |x[t] - f(x[t-1], u[t])|.
        update: the largest component of the last update.
        method: the method that ran; "newton+sequential" where a second one took over the sequences that the first
            failed on.
        device: where it ran.
        seconds: how long the library worked.
        trace: the history of the iteration, None unless asked for.
        resets: how many components were set back to the guess, see nonfinite="reset".
        bad_step: index into states of the first row that overflowed, -1 if none did.
        window_iterations: (n,) or (B, n), updates of each window.
        window: the length of the windows, None where the whole was solved at once.
        reason: why `method="auto"` chose the method, "" where the caller chose.
    """

    states: Array
    iterations: Any
    success: Any
    status: Any
    error: Any
    merit: Any
    residual: Any
    update: Any
    method: str
    device: str
    seconds: float
    trace: Trace | None
    resets: Any
    bad_step: Any
    window_iterations: Array
    window: int | None
    reason: str = field(default="")

    def explain(self) -> str:
        """In words: which method ran and why, how it ended, and what that means."""
        lines = [f"{self.method} on {self.device}: {self._size()}, {self.seconds:.3g} s."]
        ran = [_catalog.METHODS[name] for name in self.method.split("+")]
        lines += [" ".join((method.__doc__ or "").partition("\n\n")[0].split()) for method in ran]
        if self.reason:
            lines.append(f"Chosen by auto: {self.reason}.")
        if self.window is not None:
            lines.append(f"Solved in {self.window_iterations.shape[-1]} windows of {self.window} steps.")
        if all(method.structure == "none" for method in ran) and np.all(self.success):
            return "\n".join(lines)  # a loop has no iterates to tell of
        iterations, statuses = np.atleast_1d(self.iterations), np.atleast_1d(self.status)
        for status in _catalog.STATUSES:
            its = iterations[statuses == status.name]
            if its.size:
                who = f"{its.size} of {statuses.size} sequences: " if statuses.size > 1 else ""
                lines.append(f"{who}{status.name} after {_range(its, 'd')} updates: {status.advice}.")
        if np.max(self.bad_step, initial=-1) >= 0:
            bad = np.atleast_1d(self.bad_step)
            lines.append(f"The first overflow was at step {bad[bad >= 0].min()}.")
        if np.sum(self.resets):
            lines.append(f"{np.sum(self.resets)} components were set back to the guess.")
        error = np.atleast_1d(self.error)
        if np.isnan(error).all():
            lines.append("The distance to the sequential trajectory was not estimated: that takes two updates.")
        elif np.isinf(error).all():
            lines.append("The updates do not shrink, so the distance to the sequential trajectory is not known.")
        elif error.size:
            lines.append(
                f"Estimated relative distance to the sequential trajectory: {_range(error, '.2g')}, beside rounding."
            )
        if error.size:
            lines.append(f"Largest residual: {_range(np.atleast_1d(self.residual), '.2g')}.")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Plot the merit over the iterations if the solve was traced, else the states over time; needs matplotlib.

        Args:
            ax: the axes to draw on; new ones by default.

        Returns:
            The axes.
        """
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                raise ImportError("Solution.plot needs matplotlib: pip install 'pards[demo]'") from error
            ax = plt.subplots(layout="constrained")[1]
        return self._draw(ax)

    def _draw(self, ax: Any) -> Any:
        if self.trace is None:
            states = self.states if self.states.ndim == 2 else self.states[:1].reshape(self.states.shape[1:])
            ax.plot(np.arange(1, len(states) + 1), states, linewidth=0.8)
            ax.set(
                xlabel="step",
                ylabel="state",
                title=self.method if self.states.ndim == 2 else f"{self.method}, sequence 0",
            )
        else:
            merit = np.where(self.trace.merit > 0, self.trace.merit, np.nan)  # 0 has no place on a logarithmic axis
            ax.semilogy(merit, marker=".", linewidth=1)
            ax.set(xlabel="iteration", ylabel="merit", title=self.method)
        return ax

    def _size(self) -> str:
        batch = f"{len(self.states)} sequences of " if self.states.ndim == 3 else ""
        return f"{batch}{self.states.shape[-2]} steps of dimension {self.states.shape[-1]}, {self.states.dtype}"

    def _rows(self) -> dict[str, str]:
        """The table of a notebook."""
        names, counts = np.unique(np.atleast_1d(self.status), return_counts=True)
        many = np.ndim(self.status) > 0
        rows = {
            "method": self.method,
            "status": ", ".join(f"{n} {name}" if many else str(name) for name, n in zip(names, counts, strict=True)),
            "size": self._size(),
            "iterations": _range(np.atleast_1d(self.iterations), "d"),
            "error": _range(np.atleast_1d(self.error), ".2g"),
            "merit": _range(np.atleast_1d(self.merit), ".2g"),
            "residual": _range(np.atleast_1d(self.residual), ".2g"),
            "seconds": f"{self.seconds:.3g} on {self.device}",
        }
        if self.window is not None:
            rows["windows"] = f"{self.window_iterations.shape[-1]} of {self.window} steps"
        if self.reason:
            rows["chosen by auto"] = self.reason
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        shown = ", ".join(f"{name}={rows[name]}" for name in ("method", "status", "iterations", "error", "seconds"))
        return f"Solution({shown}, states={self.states.dtype} {self.states.shape})"

    def _repr_html_(self) -> str:
        import html  # here, for the sake of a fast import

        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(value)}</td></tr>"
            for name, value in self._rows().items()
        )
        return f"<div style='display:flex;gap:1em;align-items:center'><table>{rows}</table>{self._picture()}</div>"

    def _picture(self) -> str:
        """The convergence plot as inline SVG; nothing without a trace or without matplotlib."""
        if self.trace is None:
            return ""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return ""
        import io

        figure = Figure(figsize=(4, 2.6), layout="constrained")
        self._draw(figure.subplots())
        svg = io.StringIO()
        figure.savefig(svg, format="svg")
        return svg.getvalue()[svg.getvalue().index("<svg") :]


class SolveError(RuntimeError):
    """A sequence failed and `raise_on_failure` was set; the solution as far as it got is in `.solution`."""

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.solution)


def failure(solution: Solution) -> str:
    """The message of a SolveError: which sequences failed, where, and what to do."""
    statuses, bad = np.atleast_1d(solution.status), np.atleast_1d(solution.bad_step)
    failed = np.flatnonzero(~np.atleast_1d(solution.success))
    advice = {status.name: status.advice for status in _catalog.STATUSES}
    many = statuses.size > 1
    told: list[str] = []
    for name in dict.fromkeys(statuses[failed].tolist()):
        own = failed[statuses[failed] == name]
        after = _range(np.atleast_1d(solution.iterations)[own], "d")
        who = f" on {own.size} of {statuses.size} sequences (the first: {own[0]})" if many else ""
        steps = bad[own][bad[own] >= 0]
        where = f", the first bad step {steps.min()}" if steps.size else ""
        told.append(f"{name} after {after} updates{who}{where}: {advice[name]}")
    return f"solve: {solution.method}: {'; '.join(told)}. What was reached is in the exception's .solution"


def _range(values: Array, form: str) -> str:
    """One number, or the least and the largest of several."""
    values = values[~np.isnan(values)]
    if not values.size:
        return "-"
    least, most = values.min(), values.max()
    return f"{least:{form}}" if least == most else f"{least:{form}} to {most:{form}}"
