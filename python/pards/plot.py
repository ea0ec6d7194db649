"""Solutions beside each other, and why they differ: plots on your axes or new ones. They need matplotlib.

Every method has its own colour and marker in all of them, those of `Solution.plot`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from . import _plot, theory
from ._array import Array
from ._callable import Model
from ._cell import Cell
from ._solution import Solution

__all__ = ["compare", "convergence", "jacobians"]

Solutions = Iterable[Solution] | Mapping[str, Solution]

_DASHES = ("-", "--", ":", "-.")  # of solutions by one method, which share its colour
_LONG = 50  # iterations, beyond which their axis is logarithmic but for its first
_LEAST = 1e-9  # seconds that have a place on a logarithmic axis
_STEPS, _NUMBERS = 1000, 1 << 22  # at most so many steps whose Jacobians are drawn, and numbers that these have
_PIECES = 100  # of time, in which more steps are drawn as their median and their range


def convergence(solutions: Solutions, what: Literal["merit", "residual", "update"] = "merit", *, ax: Any = None) -> Any:
    """Plot how several solves converged, over their iterations.

    One curve a sequence and window, of more than 16 the median and the range, as in `Solution.plot`. The plain loop has
    no iterates, and is left out.

    Args:
        solutions: solutions of solve(..., trace=True), or a mapping from what they are to be called; else they are
            called by their methods.
        what: "merit", "residual" or "update".
        ax: the axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: there is no solution, one was not traced, or what is none of these.
        TypeError: a solution is none, or ax is no axes.
        ImportError: there is no matplotlib.

    Example:
        >>> import pards
        >>> p = pards.problems.gru(1000, 4)
        >>> found = [p.solve(method=m, trace=True) for m in ("newton", "quasi_newton")]
        >>> ax = pards.plot.convergence(found)
        >>> ax.get_legend_handles_labels()[1]
        ['newton', 'quasi_newton']
    """
    named = _named("convergence", solutions)
    if what not in ("merit", "residual", "update"):
        raise ValueError(f"plot.convergence: what is {what!r}, want 'merit', 'residual' or 'update'")
    for name, solution in named:
        if solution.trace is None:
            raise ValueError(f"plot.convergence: {name} kept no trace, want solve(..., trace=True)")
    shown = [(name, solution) for name, solution in named if _plot.curves(solution, what)] or named[:1]
    ax = _plot.given("plot.convergence", ax)
    for (name, solution), dash in zip(shown, _dashes(solution for _, solution in shown), strict=True):
        _plot.draw(ax, solution, what, {"label": name, **dash})
    longest = max((len(curve) for _, solution in shown for curve in _plot.curves(solution, what)), default=0)
    if longest > _LONG:
        _far(ax, longest)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    return ax


def compare(solutions: Solutions, *, ax: Any = None) -> Any:
    """Plot the time that several solves took, fastest first, with their iterations beside it.

    A solve that failed has a hollow marker and its status. Times are those of `Solution.seconds`, of one call each: for
    figures to publish take the median of several, as `pards bench` does.

    Args:
        solutions: solutions, or a mapping from what they are to be called; else they are called by their methods.
        ax: the axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: there is no solution.
        TypeError: a solution is none, or ax is no axes.
        ImportError: there is no matplotlib.

    Example:
        >>> import pards
        >>> p = pards.problems.gru(1000, 4)
        >>> ax = pards.plot.compare([p.solve(method=m) for m in ("newton", "quasi_newton", "sequential")])
        >>> len(ax.get_yticks())
        3
    """
    named = sorted(_named("compare", solutions), key=lambda pair: pair[1].seconds)
    ax = _plot.given("plot.compare", ax)
    for row, (_, solution) in enumerate(named):
        look, good = _plot.style(solution.method), bool(np.all(solution.success))
        face = look.color if good else "none"
        at = max(solution.seconds, _LEAST)
        ax.plot(at, row, look.marker, color=look.color, markerfacecolor=face, markersize=8, markeredgewidth=1.5)
        place: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center", "fontsize": "small"}
        ax.annotate(_told(solution, good), (at, row), **place)
    ax.set(xlabel="seconds", xscale="log", ylim=(len(named) - 0.5, -0.5))
    low, high = (max(solution.seconds, _LEAST) for _, solution in (named[0], named[-1]))
    ax.set_xlim(low / 1.5, high * max(high / low, 10) ** 0.5 * 1.5)  # with room for the text on the right
    ax.set_yticks(range(len(named)), [name for name, _ in named])
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def jacobians(solution: Solution, *, ax: Any = None) -> Any:
    """Plot how far each method's A[t] is from the Jacobian J[t] along a solution, which is why methods differ.

    The spectral norm of J[t] - A[t] over time, along the first sequence: the lower the curve of a method, the fewer
    updates it takes (Proposition 3). Jacobi has A = 0, so its curve is |J[t]|; Newton's is zero and not drawn. At most
    1000 steps are drawn, fewer where D is above 64, evenly spread over time, and many as their median and range
    in each hundredth of it. The model is evaluated again there, on the arrays that were solved: they are not copied,
    and where they were changed since, it is another problem that is drawn. Of a solve that overflowed, steps without a
    finite Jacobian are left out.

    Args:
        solution: of a solve in this process, of arrays on the host.
        ax: the axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: the solution does not know what was solved: it was pickled, made of arrays on a GPU, or written
            over an argument by out=.
        TypeError: it is no solution, or ax is no axes.
        ImportError: there is no matplotlib.

    Reference:
        Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems"
        (2025), Proposition 3.

    Example:
        >>> import pards
        >>> p = pards.problems.langevin(1000, 8)
        >>> ax = pards.plot.jacobians(p.solve(method="newton"))
        >>> ax.get_legend_handles_labels()[1]
        ['quasi_newton', 'scaled_identity', 'picard', 'jacobi', 'rotated_quasi_newton']
    """
    ((_, solution),) = _checked("jacobians", [("", solution)])
    if solution._origin is None:
        raise ValueError(
            "plot.jacobians: the solution does not know what was solved, for it was pickled, or made of arrays on "
            "a GPU; solve again, of arrays on the host"
        )
    if solution._origin.lost:
        raise ValueError(f"plot.jacobians: {solution._origin.lost}; solve again, with an out of its own")
    ax = _plot.given("plot.jacobians", ax)
    ax.set(xlabel="step t", ylabel="|J[t] − A[t]|")
    at, J = _along(solution)
    if len(at):
        for method, A in _approximations(J).items():
            off = np.linalg.norm(J - A, 2, (1, 2))
            _curve(ax, at + 1, np.where(off > 0, off, np.nan), method)
        ax.set_yscale("log")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def _curve(ax: Any, at: Array, values: Array, method: str) -> None:
    """Values over time, in pieces where they are many."""
    look = _plot.style(method)
    line: dict[str, Any] = {"label": method, "color": look.color, "linestyle": look.linestyle, "linewidth": 1.2}
    if len(at) <= 2 * _PIECES:
        ax.plot(at, values, marker=look.marker, markersize=5, markevery=max(1, len(at) // 10), **line)
        return
    pieces = [p[~np.isnan(p)] for p in np.array_split(values, _PIECES)]
    found = [np.quantile(p, (0, 0.5, 1)) if p.size else np.full(3, np.nan) for p in pieces]
    low, middle, high = np.array(found).T
    middles = [float(np.mean(p)) for p in np.array_split(at, _PIECES)]
    ax.fill_between(middles, low, high, color=look.color, alpha=0.25, linewidth=0)
    ax.plot(middles, middle, marker=look.marker, markersize=5, markevery=_PIECES // 10, **line)


def _named(asked: str, solutions: Any) -> list[tuple[str, Solution]]:
    """Solutions with their names."""
    if isinstance(solutions, Mapping):
        return _checked(asked, solutions.items())
    found = list(solutions) if isinstance(solutions, Iterable) else [solutions]
    return _checked(asked, [(getattr(solution, "method", ""), solution) for solution in found])


def _checked(asked: str, named: Collection[tuple[Any, Any]]) -> list[tuple[str, Solution]]:
    if not named:
        raise ValueError(f"plot.{asked}: solutions is empty, want at least one")
    for _, solution in named:
        if not isinstance(solution, Solution):
            raise TypeError(f"plot.{asked}: a solution is of type {type(solution).__name__}, want pards.Solution")
    return [(str(name), solution) for name, solution in named]


def _dashes(solutions: Iterable[Solution]) -> Iterator[dict[str, Any]]:
    """What tells solutions by the same method apart; nothing for the first of each."""
    seen: dict[str, int] = {}
    for solution in solutions:
        nth = seen[solution.method] = seen.get(solution.method, -1) + 1
        yield {"linestyle": _DASHES[nth % len(_DASHES)], "markerfacecolor": "none"} if nth else {}


def _far(ax: Any, longest: int) -> None:
    """An axis of many iterations, on which the first few can be seen too."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    ticks = [0] + [n * 10**power for power in range(len(str(longest))) for n in (1, 3) if n * 10**power <= longest]
    ax.set_xscale("symlog", linthresh=1)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{tick:,}" for tick in ticks]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(0, longest)


def _told(solution: Solution, good: bool) -> str:
    """The iterations of a solve, and how it failed."""
    counts = np.atleast_1d(solution.iterations)
    low, high = (int(f(counts)) if counts.size else 0 for f in (np.min, np.max))
    updates = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    taken = f"{updates} update{'s' * (high != 1)}"
    failed = np.atleast_1d(solution.status)[~np.atleast_1d(solution.success)]
    return taken if good else f"{taken}, {failed[0]}"


def _along(solution: Solution) -> tuple[Array, Array]:
    """Some steps, at most what is shown, and the Jacobians there, in float64, where finite: the first sequence."""
    origin, states = solution._origin, np.asarray(solution.states)
    dim = states.shape[-1]
    if states.ndim == 3 and not len(states):
        return np.empty(0, np.int64), np.empty((0, dim, dim))
    part = theory._Part(origin.f, origin.x0, origin.inputs, origin.guess, origin.dtype, origin.jac, origin.diag)
    states = states if states.ndim == 2 else states[0]
    steps = len(states)
    most = max(min(_STEPS, _NUMBERS // max(dim, 1) ** 2), 2)
    at = np.unique(np.linspace(0, steps - 1, min(most, steps)).astype(np.int64))
    before = np.concatenate([np.asarray(part.x0, states.dtype)[None], states[:-1]])[at]
    u = None if part.inputs is None else part.inputs[at]
    if not len(at) or isinstance(origin.f, Cell):
        found = origin.f.jacobian(before, u) if len(at) else np.empty((0, dim, dim))
    else:
        u = u if u is None or u.dtype.kind != "f" else u.astype(origin.dtype)
        model = Model(origin.f, origin.jac, None, u, False, np.dtype(origin.dtype))
        with np.errstate(all="ignore"):
            found = model._jacobian(before, u, model._asked("f", origin.f, before, u, before.shape))
    found = np.asarray(found, np.float64)
    finite = np.isfinite(found).all((1, 2))
    return at[finite], found[finite]


def _approximations(J: Array) -> dict[str, Array]:
    """A[t] of each method but Newton's."""
    eye = np.eye(J.shape[-1])
    diagonal = np.einsum("tii->ti", J)
    mean = J.mean(0)
    Q = np.linalg.eigh((mean + mean.T) / 2)[1] if np.isfinite(mean).all() else eye
    inside = np.einsum("ji,tjk,ki->ti", Q, J, Q, optimize=True)
    return {
        "quasi_newton": diagonal[:, None, :] * eye,
        "scaled_identity": diagonal.mean(-1)[:, None, None] * eye,
        "picard": eye,
        "jacobi": 0 * eye,
        "rotated_quasi_newton": (Q * inside[:, None, :]) @ Q.T,
    }
