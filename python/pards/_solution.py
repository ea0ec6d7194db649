"""What `solve` returns, and what it raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from . import _array, _catalog, _plot
from ._array import Array

What = Literal["merit", "residual", "update", "states"]
_PLOTS: tuple[str, ...] = get_args(What)


@dataclass(frozen=True, eq=False)
class Trace:
    """How a solve went, an iterate a row: (rows, B), or (rows,) without a batch. The first row of each window is its
    guess; those of a method that failed, where another took over, come first.

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
        states: (T, D) or (B, T, D), x[1] to x[T]; x0 is not among them. A `DeviceArray` where arrays were on a GPU.
        iterations: updates applied, over all windows.
        success: whether the states are the trajectory.
        status: "converged", "floor" (both success), "max_iterations", "nonfinite".
        error: the estimated distance to the sequential trajectory, relative to the size of each component plus 1e-3
            (see atol of `pards.solve`); NaN before two updates, and where a trust region or damping took one of the
            last two back. It is the error of stopping early; rounding adds to it. With windows, each is solved to rtol,
            and this is the sum over them: cautious for a model that forgets, too little for one that amplifies.
        merit: 0.5 * sum of squared residuals.
        residual: the largest residual |x[t] - f(x[t-1], u[t])|.
        update: the largest component of the last update.
        method: the method that ran; "newton+sequential" where a second one took over the sequences that the first
            failed on.
        device: where it ran.
        seconds: how long the library worked.
        trace: the history of the iteration, None unless asked for.
        resets: how many components were set back to the guess, see nonfinite="reset".
        bad_step: index into states of the first row that overflowed, -1 if none did. Of a method that another took
            over from, `reason` has it, with its updates and the merit that it came to.
        looped: how many steps the plain loop made: all of them, those that `method="auto"` times it by, or what the
            method before left.
        window_iterations: (n,) or (B, n), updates of each window, 0 after a sequence's end.
        window_advances: with `window="auto"` (n,) or (B, n): the steps that each window took its sequence on, 0 where
            it was given up for shorter ones; None else.
        window: the length of the windows, of the longest where they adapt; None where the whole was solved at once.
        reason: why `method="auto"` chose the method, and `device="auto"` a GPU for arrays on the host; "" where the
            caller chose.
    """

    states: Any
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
    looped: Any
    window_iterations: Array
    window_advances: Array | None
    window: int | None
    reason: str = field(default="")
    _origin: Any = field(default=None)  # what was solved, for explain; not kept in a pickle

    def explain(self) -> str:
        """In words: which method ran and why, how it ended, what that means, why it took so many updates, or failed,
        and what would take fewer.

        The why is computed now, by `pards.theory.analyse` along the first 1024 steps at most, 2^20 / D^2 of them where
        D is above 32, for which the model is evaluated again; a solution that was pickled, or made on a GPU's arrays,
        has none. Arrays that were solved are not copied for it: where they were changed since, it tells of another
        problem.
        """
        lines = [f"{self.method} on {self.device}: {self._size()}, {self.seconds:.3g} s."]
        ran = [_catalog.METHODS[name] for name in self.method.split("+")]
        lines += [" ".join((method.__doc__ or "").partition("\n\n")[0].split()) for method in ran]
        if self.reason:
            lines.append(f"Chosen by auto: {self.reason}.")
        if self.window is not None:
            lines.append(f"Solved in {_count(self.window_iterations.shape[-1], 'window')} of {self._windowed()}.")
        if all(method.structure == "none" for method in ran) and np.all(self.success):
            return "\n".join(lines)  # a loop has no iterates to tell of
        lines += self._outcomes()
        if np.max(self.bad_step, initial=-1) >= 0:
            bad = np.atleast_1d(self.bad_step)
            lines.append(f"The first overflow was at step {bad[bad >= 0].min()}.")
        if np.sum(self.resets):
            lines.append(f"{np.sum(self.resets)} components were set back to the guess.")
        return "\n".join(lines + self._accuracy() + self._why())

    def _outcomes(self) -> list[str]:
        """How the sequences ended, a line an outcome."""
        iterations, statuses = np.atleast_1d(self.iterations), np.atleast_1d(self.status)
        looped = np.atleast_1d(self.success) & (np.atleast_1d(self.looped) > 0) & self.method.endswith("+sequential")
        told = [(looped, "")] + [(~looped & (statuses == status.name), status.name) for status in _catalog.STATUSES]
        advice = {status.name: status.advise(self.method) for status in _catalog.STATUSES}
        lines: list[str] = []
        for which, name in told:
            if which.any():
                who = f"{which.sum():,} of {which.size:,} sequences: " if which.size > 1 else ""
                how = (
                    f"{name}{_after(self.method, iterations[which])}: {advice[name]}"
                    if name
                    else "finished by the plain loop"
                )
                lines.append(f"{who}{how}.")
        return lines

    def _accuracy(self) -> list[str]:
        """How far the states are from the trajectory, as far as the iteration knows."""
        error = np.atleast_1d(self.error)
        if not error.size:
            return []
        if np.isnan(error).all():
            kept = " in a row, none of them taken back" if np.max(self.iterations) > 1 else ""
            distance = f"The distance to the sequential trajectory was not estimated: that takes two updates{kept}."
        elif np.isinf(error).all():
            distance = "The updates do not shrink, so the distance to the sequential trajectory is not known."
        else:
            added = "" if self.window is None else ", summed over the windows"
            estimate = f"{_range(error, '.2g')}, beside rounding{added}"
            distance = f"Estimated relative distance to the sequential trajectory: {estimate}."
        residual = np.atleast_1d(self.residual)
        told = "not finite" if np.isnan(residual).all() else _range(residual, ".2g")
        lines = [distance, f"Largest residual: {told}."]
        return lines + self._unresolved()

    def _unresolved(self) -> list[str]:
        """Which components are too small for the measure of that distance to be relative to them."""
        origin = self._origin
        if origin is None or origin.merit_tol is not None or not isinstance(self.states, np.ndarray):
            return []
        rtol = _array.default_rtol(origin.dtype) if origin.rtol is None else origin.rtol
        floor = 1e-3 if origin.atol is None else origin.atol / rtol
        size = np.abs(self.states).max(-2, initial=0)
        small = (size > 0) & (size < floor)
        if not small.any():
            return []
        which = f"{_count(int(small.sum()), 'component')} of {small.size}, down to {size[small].min():.2g},"
        return [
            f"Below {floor:g} throughout: {which} whose distance is in units of {floor:g}, not relative to the "
            "component. Rescale the model, or give atol=0, where they matter."
        ]

    def _why(self) -> list[str]:
        """What the theory says."""
        if self._origin is None:
            return []
        if self._origin.lost:
            return [f"Why it went so is not told: {self._origin.lost}."]
        from . import theory  # here, since it needs solve, which needs this

        return theory.reasons(self, self._origin)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_origin": None}

    def plot(self, ax: Any = None, what: What | None = None, **options: Any) -> Any:
        """Plot how the solve went, or what it found; needs matplotlib.

        The curves of a trace are on a logarithmic axis, one for each sequence and window; of more than 16 the median
        and the range. A value of 0 is marked at the foot of the axes, an infinite one at the top. Every method has its
        own colour and marker, so that several solutions can be plotted on the same axes. Of the states, the first
        sequence is drawn, at most 4 components of it; a long one from the least to the largest value of each
        thousandth of its time.

        Args:
            ax: the axes to draw on, whose title stays; new ones with a title by default.
            what: "merit", "residual" or "update", over the iterations, or "states", over time; "merit" by default if
                the solve was traced, else "states".
            options: of the lines, as matplotlib takes them, such as label=, color= or alpha=.

        Returns:
            The axes.

        Raises:
            ValueError: what is none of these, or the solve was not traced.
            TypeError: ax is no axes.
            ImportError: there is no matplotlib.
        """
        shown: str = what or _plot.default(self)
        if shown not in _PLOTS:
            raise ValueError(f"Solution.plot: what is {what!r}, want one of {', '.join(map(repr, _PLOTS))}")
        if shown != "states" and self.trace is None:
            raise ValueError(
                f"Solution.plot: what is {what!r}, but the solve kept no trace; "
                "want solve(..., trace=True), or what='states'"
            )
        if ax is not None and not hasattr(ax, "plot"):
            raise TypeError(
                f"Solution.plot: ax is of type {type(ax).__name__}, want axes of matplotlib, or None; "
                "what to plot is what="
            )
        own = ax is None
        ax = _plot.axes() if own else ax
        _plot.draw(ax, self, shown, options)
        if own:
            _plot.finish(ax, self, shown)
        return ax

    def _size(self) -> str:
        batch = f"{_count(len(self.states), 'sequence')} of " if self.states.ndim == 3 else ""
        return (
            f"{batch}{_count(self.states.shape[-2], 'step')} of dimension {self.states.shape[-1]}, {self.states.dtype}"
        )

    def _windowed(self) -> str:
        """How long the windows are."""
        most = "" if self.window_advances is None else "up to "
        return most + _count(self.window or 0, "step")

    def _rows(self) -> dict[str, str]:
        """The table of a notebook."""
        statuses, success = np.atleast_1d(self.status), np.atleast_1d(self.success)
        names, counts = np.unique(statuses, return_counts=True)
        many = np.ndim(self.status) > 0
        mark = "✓" if success.all() else "✗"
        told = ", ".join(f"{n:,} {name}" if many else str(name) for name, n in zip(names, counts, strict=True))
        rows = {
            "method": self.method,
            "status": f"{mark} {told}" if told else "-",
            "size": self._size(),
            "iterations": _range(np.atleast_1d(self.iterations), ",d"),
            "error": _range(np.atleast_1d(self.error), ".2g"),
            "merit": _range(np.atleast_1d(self.merit), ".2g"),
            "residual": _range(np.atleast_1d(self.residual), ".2g"),
            "time": f"{self.seconds:.3g} s on {self.device}",
        }
        if self.window is not None:
            each = _range(self.window_iterations, "d")
            rows["windows"] = f"{self.window_iterations.shape[-1]:,} of {self._windowed()}, {each} iterations each"
        if self.reason:
            rows["chosen by auto"] = self.reason
        failed = np.flatnonzero(~success)
        if failed.size:
            shown = ", ".join(map(str, failed[:5])) + (", …" if failed.size > 5 else "")
            rows |= {"failed": f"sequence {shown}"} if many else {}
            if (bad := np.atleast_1d(self.bad_step)[failed]).max() >= 0:
                rows["first bad step"] = str(bad[bad >= 0].min())
            rows["advice"] = "; ".join(s.advise(self.method) for s in _catalog.STATUSES if s.name in statuses[failed])
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        rows["status"] = rows["status"].lstrip("✓✗ ")
        shown = ", ".join(f"{name}={rows[name]}" for name in ("method", "status", "iterations", "error", "time"))
        return f"Solution({shown}, states={self.states.dtype} {self.states.shape})"

    def _repr_html_(self) -> str:
        import html  # here, for the sake of a fast import

        cell = "style='text-align:left;vertical-align:top;padding:0.15em 0.6em'"
        rows = "".join(
            f"<tr><th scope='row' {cell}>{html.escape(name)}</th><td {cell}>{html.escape(value)}</td></tr>"
            for name, value in self._rows().items()
        )
        table = f"<table style='max-width:28em'>{rows}</table>"
        picture = _plot.svg(self)
        if picture:
            told = _plot.caption(self)
            picture = (
                f"<figure role='img' aria-label='{html.escape(told)}' style='margin:0'>{picture}"
                f"<figcaption style='font-size:smaller'>{html.escape(told)}</figcaption></figure>"
            )
        return f"<div style='display:flex;flex-wrap:wrap;gap:1em;align-items:center'>{table}{picture}</div>"


class SolveError(RuntimeError):
    """A sequence failed and `raise_on_failure` was set; the solution as far as it got is in `.solution`."""

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.solution)


def failure(solution: Solution, overflow: str = "", wrong: str = "") -> str:
    """The message of a SolveError: which sequences failed, where, and what to do; overflow: of what is not finite;
    wrong: of a derivative that is another."""
    statuses, bad = np.atleast_1d(solution.status), np.atleast_1d(solution.bad_step)
    failed = np.flatnonzero(~np.atleast_1d(solution.success))
    advice = {status.name: status.advise(solution.method) for status in _catalog.STATUSES}
    many = statuses.size > 1
    told: list[str] = []
    for name in dict.fromkeys(statuses[failed].tolist()):
        own = failed[statuses[failed] == name]
        after = _after(solution.method, np.atleast_1d(solution.iterations)[own])
        who = f" on {own.size} of {statuses.size} sequences (the first: {own[0]})" if many else ""
        steps = bad[own][bad[own] >= 0]
        where = f", the first bad step {steps.min()}" if steps.size else ""
        told.append(f"{name}{after}{who}{where}: {overflow if overflow and steps.size else advice[name]}")
    told += [wrong] if wrong else []
    return f"solve: {solution.method}: {'; '.join(told)}. What was reached is in the exception's .solution"


def _range(values: Array, form: str) -> str:
    """One number, or the least and the largest of several."""
    values = values[~np.isnan(values)]
    if not values.size:
        return "-"
    least, most = values.min(), values.max()
    return f"{least:{form}}" if least == most else f"{least:{form}} to {most:{form}}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _after(method: str, iterations: Array) -> str:
    """After how many updates; the plain loop makes none."""
    if method == "sequential":
        return ""
    return f" after {_range(iterations, ',d')} update{'s' * bool((iterations != 1).any())}"
