"""How a solution is drawn. matplotlib is imported when something is."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._array import Array

if TYPE_CHECKING:
    from ._solution import Solution, Trace


class Style(NamedTuple):
    """How the curves of a method look in every figure."""

    color: str
    marker: str
    linestyle: str = "-"


# One colour and one marker a method, the markers for print and for readers who do not tell the colours apart. Colours
# after Okabe and Ito, "Color Universal Design" (2008), and Tol, "Colour Schemes" (2021); dashes where two come close.
STYLES = {
    "sequential": Style("#777777", "."),
    "newton": Style("#0072B2", "o"),
    "block_newton": Style("#332288", "d", "--"),
    "chord": Style("#44AA99", "*", "--"),
    "quasi_newton": Style("#D55E00", "s"),
    "hutchinson": Style("#E69F00", "D", "--"),
    "rotated_quasi_newton": Style("#009E73", "^"),
    "scaled_identity": Style("#CC79A7", "v"),
    "picard": Style("#56B4E9", "P"),
    "jacobi": Style("#882255", "x"),
    "elk": Style("#999933", "h"),
    "quasi_elk": Style("#A6761D", "p", "--"),
    "auto": Style("#000000", ">", ":"),
}

_LABELS = {"merit": "merit ½ Σ r²", "residual": "largest residual |r|", "update": "largest change of a state"}
_MANY = 16  # more curves than this are drawn as their median and their range
_COMPONENTS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # colours of the components of a state, the first few
_BINS = 1000  # pieces of time, in which a long trajectory is drawn from its least to its largest value
_INK = "#010203"  # stands for the colour of the page's text, until the picture is written


def style(method: str) -> Style:
    """The style of a method, that of the first where two took part; grey for one that the table does not have."""
    return STYLES.get(method.partition("+")[0], STYLES["sequential"])


def axes(asked: str = "Solution.plot") -> Any:
    """New axes of pyplot, for the function that was asked."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{asked} needs matplotlib: pip install 'pards[demo]'") from error
    return plt.subplots(layout="constrained")[1]


def given(asked: str, ax: Any) -> Any:
    """The axes that a caller gave, or new ones."""
    if ax is not None and not hasattr(ax, "plot"):
        raise TypeError(f"{asked}: ax is of type {type(ax).__name__}, want axes of matplotlib, or None")
    return axes(asked) if ax is None else ax


def default(solution: Solution) -> str:
    """What there is to see: the merit of the iterates, or the states where no iterate was kept."""
    return "states" if solution.trace is None or np.isnan(solution.trace.merit).all() else "merit"


def draw(ax: Any, solution: Solution, what: str, options: dict[str, Any]) -> None:
    """Draw the states, or the part of the trace that `what` names; options are those of a line."""
    if what == "states":
        _states(ax, solution.states, options)
        return
    found = curves(solution, what)
    look = style(solution.method)
    options = {"label": solution.method, "linewidth": 1.2, "markersize": 5, **look._asdict(), **options}
    ax.set(xlabel="iteration" if solution.window is None else "iteration of a window", ylabel=_LABELS[what])
    ax.set_yscale("log")
    if ax.get_xscale() == "linear":
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if not found:
        ax.text(0.5, 0.5, "a plain loop has no iterates", ha="center", transform=ax.transAxes)
    elif len(found) > _MANY:
        _range(ax, found, options)
    else:
        for i, curve in enumerate(found):
            own = {} if i == 0 else {"label": f"_{i}"}  # one entry in a legend
            sparse = {"markevery": max(1, len(curve) // 12), "alpha": 1 if len(found) == 1 else 0.6}
            ax.plot(*_shown(curve), **{**sparse, **options, **own})
    _edge(ax, found, options["color"], np.zeros_like, 0, "0")
    _edge(ax, found, options["color"], lambda curve: np.full_like(curve, np.inf), 1, "∞")


def caption(solution: Solution) -> str:
    """What the small picture shows."""
    shown = default(solution)
    hint = "; with trace=True, the merit of each iterate" if solution.trace is None else ""
    return f"{_title(solution, shown)}: {'states' if shown == 'states' else 'merit of each iterate'}{hint}"


def finish(ax: Any, solution: Solution, what: str) -> None:
    """Head a figure of its own, and say which component has which colour."""
    ax.set_title(_title(solution, what))
    _legend(ax, what)


def _legend(ax: Any, what: str) -> None:
    if what == "states" and len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, handlelength=1)


def _title(solution: Solution, what: str) -> str:
    parts = [solution.method]
    batch = solution.states.shape[0] if solution.states.ndim == 3 else 1
    if what == "states":
        dim = solution.states.shape[-1]
        parts += ["sequence 0"] if batch > 1 else []
        parts += [f"the first {len(_COMPONENTS)} of {dim} components"] if dim > len(_COMPONENTS) else []
        return ", ".join(parts)
    windows = solution.window_iterations.shape[-1]
    parts += [f"{batch:,} sequences"] if batch > 1 else []
    parts += [f"{windows:,} windows"] if windows > 1 else []
    return ", ".join(parts) + (" (median and range)" if batch * windows > _MANY else "")


def curves(solution: Solution, what: str) -> list[Array]:
    """A part of the trace, one curve a sequence and window, from its guess to its end."""
    trace: Trace | None = solution.trace
    assert trace is not None
    values = getattr(trace, what)
    values = values[:, None] if values.ndim == 1 else values
    found: list[Array] = []
    for column, iterations in zip(values.T, np.atleast_2d(solution.window_iterations), strict=True):
        ends = np.cumsum(iterations + 1)
        found += np.split(column[: ends[-1]], ends[:-1]) if ends.size else []
    return [curve for curve in found if not np.isnan(curve).all()]


def svg(solution: Solution) -> str:
    """A small picture for a page, inline: its lines and letters take the colour of the page's text, so that it suits
    light and dark ones. Nothing without matplotlib, or where there is nothing to see."""
    if not solution.states.size:
        return ""
    try:
        from matplotlib import style as styles
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    what = default(solution)
    ink = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK)
    with styles.context(["default", {**ink, "svg.fonttype": "none", "svg.hashsalt": "pards", "font.size": 9}]):
        figure = Figure(figsize=(4.2, 2.7), layout="constrained")
        ax = figure.subplots()
        draw(ax, solution, what, {})
        _legend(ax, what)
        written = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = written.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def _shown(curve: Array) -> tuple[Array, Array]:
    """Iterations and values; what has no place on a logarithmic axis left out."""
    return np.arange(len(curve)), np.where((curve > 0) & np.isfinite(curve), curve, np.nan)


def _range(ax: Any, found: list[Array], options: dict[str, Any]) -> None:
    """The median of many curves, and the range they fill. One that has ended stays where it ended."""
    longest = max(map(len, found))
    held = np.array([np.pad(_shown(curve)[1], (0, longest - len(curve)), mode="edge") for curve in found])
    held = np.ma.masked_invalid(held)
    at = np.arange(longest)
    low, middle, high = (np.ma.filled(part, np.nan) for part in (held.min(0), np.ma.median(held, 0), held.max(0)))
    ax.fill_between(at, low, high, color=options["color"], alpha=0.25, linewidth=0)
    ax.plot(at, middle, markevery=max(1, longest // 12), **options)


def _edge(ax: Any, found: list[Array], color: str, like: Callable[[Array], Array], edge: int, name: str) -> None:
    """Mark values without a place on a logarithmic axis at its edge, and lead there from the value before."""
    places = [np.flatnonzero(curve == like(curve)) for curve in found]
    at = np.unique(np.concatenate(places)) if places else np.empty(0)
    if not at.size:
        return
    from matplotlib.patches import ConnectionPatch

    place = ax.get_xaxis_transform()
    ax.plot(at, np.full(at.size, edge), "v^"[edge], color=color, transform=place, clip_on=False, label=f"_{name}")
    offset: Any = {"xytext": (-11, 3 - 12 * edge), "textcoords": "offset points"}
    ax.annotate(name, (at[0], edge), xycoords=place, color=color, **offset)
    leaps = {(i[0], curve[i[0] - 1]) for curve, i in zip(found[:_MANY], places, strict=False) if i.size and i[0] > 0}
    for i, before in leaps:
        if 0 < before < np.inf:
            ends: Any = {"xyA": (i - 1, before), "coordsA": "data", "xyB": (i, edge), "coordsB": place}
            ax.add_artist(ConnectionPatch(**ends, color=color, linestyle=":"))


def _states(ax: Any, states: Array, options: dict[str, Any]) -> None:
    """The first components of the first sequence over time."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    ax.set(xlabel="step t", ylabel="state")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    if not states.size:
        return
    states = np.asarray(states)  # which may be on a GPU
    states = (states if states.ndim == 2 else states[0])[:, : len(_COMPONENTS)]
    at = np.arange(1, len(states) + 1)
    if len(states) > 4 * _BINS:
        first = np.linspace(0, len(states), _BINS, endpoint=False).astype(np.int64)
        at = np.repeat(at[first], 2)  # from the least of each piece to its largest, and on
        ends = [extreme.reduceat(states, first) for extreme in (np.minimum, np.maximum)]
        states = np.stack(ends, 1).reshape(2 * _BINS, -1)
    for i, values in enumerate(states.T):
        ax.plot(at, values, **{"color": _COMPONENTS[i], "label": f"x[{i}]", "linewidth": 0.9, "alpha": 0.8, **options})
