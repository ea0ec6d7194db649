"""The figures, drawn from the rows: each as PNG and as SVG. matplotlib is imported when something is drawn."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import _plot
from ._rows import Row

TITLES = {
    "fig2": "Figure 2: the S5 word problem",
    "fig3": "Figure 3: a GRU",
    "fig4": "Figure 4: Langevin dynamics in two wells",
    "fig7": "Figure 7: error of a scalar linear model, x[t] = a x[t-1] + u[t]",
    "fig8": "Figure 8: why methods differ on a GRU",
    "fig9": "Figure 9: Langevin dynamics, more wells",
    "fig10": "Figure 10: Langevin dynamics, larger steps",
}

_FONT = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 11, "svg.fonttype": "none", "svg.hashsalt": "pards"}
_INK = "#555555"  # of what is no method
_FLOOR = 1e-19  # below which an error is rounding


class Point(NamedTuple):
    """What the seeds of one size found."""

    x: float
    low: float
    middle: float
    high: float
    failed: bool  # one of them
    once: bool  # one of them was timed once


def draw(out: Path, rows: Iterable[Row]) -> list[Path]:
    """Draw every figure that has rows, and return the files; none without matplotlib."""
    try:
        from matplotlib import style as styles
    except ImportError:
        return []
    rows, written = list(rows), list[Path]()
    with styles.context(["default", _FONT]):
        for name in TITLES:
            own = [row for row in rows if row["figure"] == name]
            if not done(own):
                continue
            figure = _DRAWN[name](own)
            figure.suptitle(f"{TITLES[name]}{_spread(own)}")
            figure.savefig(png := out / f"{name}.png", dpi=150)
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
            svg = out / f"{name}.svg"
            svg.write_text("".join(line.lstrip() for line in text.getvalue().splitlines(True)), encoding="utf-8")
            written += [png, svg]
    return written


def done(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.get("skipped") is None]


def lines(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each method, by the name of its line: Newton's method in windows has its own."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = row["method"] if not row["window"] else f"{row['method']}, windows of {row['window']:,}"
        found.setdefault(name, []).append(row)
    return {name: found[name] for name in sorted(found, key=_rank)}


def points(rows: Iterable[Row], axis: str, what: str) -> list[Point]:
    """The median over seeds of a number, and its range, along an axis."""
    groups: dict[float, list[Row]] = {}
    for row in done(rows):
        groups.setdefault(row[axis], []).append(row)
    return [
        Point(
            x,
            min(row[what] for row in at),
            statistics.median(row[what] for row in at),
            max(row[what] for row in at),
            not all(row["success"] for row in at),
            any(row["once"] for row in at),
        )
        for x, at in sorted(groups.items())
    ]


def _rank(line: str) -> tuple[int, str]:
    method = line.partition(",")[0]
    names = list(_plot.STYLES)
    return (names.index(method) if method in names else len(names), line)


def _spread(rows: list[Row]) -> str:
    batch, seeds = max(row["batch"] for row in rows), len({row["seed"] for row in rows})
    parts = [f"{batch} sequences"] * (batch > 1) + [f"median and range of up to {seeds} seeds"] * (seeds > 1)
    return "\n" + ", ".join(parts) if parts else ""


def _figure(rows: int, columns: int, width: float, **options: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width * columns, 6.4), 2.7 * rows + 1.5), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08, w_pad=0.06)  # pyright: ignore
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _measured(axis: str, label: str) -> Callable[[list[Row]], Any]:
    """Updates and seconds along an axis, a panel for each size of the state."""

    def drawn(rows: list[Row]) -> Any:
        dims = sorted({row["D"] for row in rows})
        if len(dims) == 1:
            figure, panels = _figure(1, 2, 3.6)
            pairs = [(panels[0][0], panels[0][1])]
        else:
            figure, panels = _figure(2, len(dims), 2.5, sharex=True, sharey="row")
            pairs = list(zip(*panels, strict=True))
        marks = set[str]()
        for D, (counts, times) in zip(dims, pairs, strict=True):
            own = [row for row in rows if row["D"] == D]
            for ax, what in ((counts, "iterations"), (times, "seconds")):
                _axis(ax, axis, rows)
                ax.set_yscale("log")
                ax.grid(alpha=0.25, linewidth=0.6)
                marks |= _panel(ax, own, axis, what)
            _limit(counts, own, axis)
            if len(dims) > 1:
                counts.set_title(f"D = {D}", pad=12)  # above the marks of what was not run
            times.set_xlabel(label)
        for ax, what in zip(pairs[0], ("updates", "seconds"), strict=True):
            ax.set_ylabel(what)
        if len(dims) == 1:
            pairs[0][0].set_xlabel(label)
        _legend(figure, [ax for pair in pairs for ax in pair], marks)
        return figure

    return drawn


def _panel(ax: Any, rows: list[Row], axis: str, what: str) -> set[str]:
    """The lines of all methods, and which marks they have."""
    marks = set[str]()
    shown = lines(rows)
    for order, (name, own) in enumerate(shown.items()):
        if what == "iterations" and name == "sequential":
            continue
        found, look = points(own, axis, what), _look(name)
        if any(point.middle for point in found):
            marks |= _line(ax, found, name, look, what)
        else:
            ax.plot([], [], label=name, markersize=5, **look)  # for the legend
        if zeros := [point.x for point in found if what == "iterations" and not point.middle]:
            marks.add("zero")
            foot: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "markersize": 5}
            ax.plot(zeros, np.zeros(len(zeros)), look["marker"], color=look["color"], **foot)
        if missing := sorted({row[axis] for row in own} - {point.x for point in found}):
            marks.add("skipped")
            _above(ax, missing, order - len(shown) / 2, look)
    return marks


def _look(name: str) -> dict[str, Any]:
    look = _plot.style(name.partition(",")[0])._asdict()
    return look | {"linestyle": "--"} if "windows" in name else look


def _line(ax: Any, found: list[Point], name: str, look: dict[str, Any], what: str) -> set[str]:
    """Medians on their range; hollow where a seed failed, ringed where it was timed once."""
    x, low, middle, high = (np.array(column, float) for column in list(zip(*found, strict=True))[:4])
    low, middle, high = (np.where(column > 0, column, np.nan) for column in (low, middle, high))
    if len(x) > 1:
        ax.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    else:
        ax.plot([x, x], [low, high], color=look["color"], linewidth=1, label="_range")
    top = 3 if name == "auto" else 2
    ax.plot(x, middle, label=name, linewidth=1.3, markersize=5, zorder=top, **look)
    marks = set[str]()
    failed = np.array([point.failed for point in found])
    if failed.any():
        marks.add("failed")
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": look["color"], "markersize": 5}
        ax.plot(x[failed], middle[failed], look["marker"], zorder=top, **hollow)
    once = np.array([point.once for point in found])
    if what == "seconds" and once.any():
        marks.add("once")
        ax.plot(x[once], middle[once], **_RING)
    return marks


_RING: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgecolor": _INK,
    "markeredgewidth": 0.7,
}


def _above(ax: Any, at: Sequence[float], shift: float, look: dict[str, Any]) -> None:
    """Marks above the axes for what was not run, those of several methods side by side."""
    from matplotlib.transforms import ScaledTranslation

    place = ax.get_xaxis_transform() + ScaledTranslation(shift * 4.5 / 72, 4 / 72, ax.figure.dpi_scale_trans)
    face = {"markerfacecolor": "none", "markersize": 3.5, "markeredgewidth": 0.8, "clip_on": False}
    ax.plot(at, np.ones(len(at)), look["marker"], color=look["color"], transform=place, **face)


def _limit(ax: Any, rows: list[Row], axis: str) -> None:
    """T, after which every method is exact."""
    ends = [row["T"] for row in rows]
    most = sorted({(row[axis], row["T"]) for row in rows})
    ax.plot(*zip(*most, strict=True), color=_INK, linewidth=0.9, linestyle=(0, (1, 2)), label="_T", zorder=1)
    ax.annotate("T", most[-1], xytext=(-7, 1), textcoords="offset points", ha="right", color=_INK)
    ax.set_ylim(0.7, 2.5 * max(ends))


def _axis(ax: Any, axis: str, rows: list[Row]) -> None:
    """The sizes that were asked for, with ticks at each where they are few wells and steps."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    at = sorted({row[axis] for row in rows})
    edge = max(at[-1] / at[0], 2) ** 0.06
    ax.set(xscale="log", xlim=(at[0] / edge, at[-1] * edge))
    if axis != "T":
        ax.xaxis.set_major_locator(FixedLocator(at))
        ax.xaxis.set_major_formatter(FixedFormatter([f"{x:g}".replace("e-0", "e-") for x in at]))
        ax.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Any, panels: Iterable[Any], marks: Iterable[str] = ()) -> None:
    """One legend for all panels, with what special marks mean."""
    from matplotlib import lines as artists

    made: Any = artists.Line2D
    found: dict[str, Any] = {}
    for ax in panels:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    entries = {name: found[name] for name in sorted(found, key=_rank)}
    plain: dict[str, Any] = {"linestyle": "none", "color": _INK, "markersize": 5}
    told = {
        "failed": ("hollow: not converged", made([], [], marker="o", **plain | {"markerfacecolor": "none"})),
        "once": ("ringed: timed once", made([], [], **_RING)),
        "zero": ("at the foot: no updates", made([], [], **plain | {"marker": ">", "color": _look("auto")["color"]})),
        "skipped": (
            "above: not run",
            made([], [], marker="o", **plain | {"markersize": 3.5, "markerfacecolor": "none"}),
        ),
    }
    entries |= {told[mark][0]: told[mark][1] for mark in told if mark in set(marks)}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)


def _decay(rows: list[Row]) -> Any:
    """The error after each update, and what Proposition 3 allows."""
    values = sorted({row["a"] for row in rows})
    figure, panels = _figure(1, len(values), 2.5, sharey=True)
    for a, ax in zip(values, panels[0], strict=True):
        for name, own in lines(row for row in done(rows) if row["a"] == a).items():
            look = _look(name)
            errors = _held([row["numbers"]["errors"] for row in own])
            _band(ax, np.arange(errors.shape[1]), errors, name, look)
            rate = statistics.median(row["numbers"]["rate"] for row in own)
            bound = np.median(errors[:, 0]) * rate ** np.arange(errors.shape[1])
            ax.plot(bound, color=look["color"], linewidth=1.1, linestyle=(0, (1, 2)), label="_bound")
        ax.set(yscale="log", ylim=(_FLOOR, 1e25), xlabel="update", title=f"a = {a:g}")
        ax.grid(alpha=0.25, linewidth=0.6)
    panels[0][0].plot([], [], color=_INK, linewidth=1.1, linestyle=(0, (1, 2)), label="dotted: Proposition 3's bound")
    panels[0][0].set_ylabel("|error|, over all steps")
    _legend(figure, panels[0])
    return figure


def _held(curves: list[list[float | None]]) -> Any:
    """Curves of several lengths as one array: each stays where it ended."""
    longest = max(map(len, curves))
    return np.array([np.pad(np.array(curve, float), (0, longest - len(curve)), mode="edge") for curve in curves])


def _band(ax: Any, at: Any, values: Any, name: str, look: dict[str, Any]) -> None:
    """The median of curves on their range."""
    shown = np.ma.masked_invalid(np.where(values > 0, values, np.nan))
    low, middle, high = (np.ma.filled(part, np.nan) for part in (shown.min(0), np.ma.median(shown, 0), shown.max(0)))
    ax.fill_between(at, low, high, color=look["color"], alpha=0.15, linewidth=0)
    ax.plot(at, middle, label=name, linewidth=1.3, markersize=4.5, markevery=max(1, len(at) // 10), **look)


def _theory(rows: list[Row]) -> Any:
    """Residuals by update, and the updates taken against what theory computes."""
    rows = done(rows)
    dims = sorted({row["D"] for row in rows})
    figure, panels = _figure(2, 2, 3.6)
    first, *others = panels.ravel()
    for name, own in lines(row for row in rows if row["D"] == dims[-1]).items():
        residuals = _held([row["numbers"]["errors"] for row in own])
        _band(first, np.arange(residuals.shape[1]), residuals, name, _look(name))
    first.set(yscale="log", xscale="symlog", xlim=(0, None), ylim=(1e-4, 1e12), xlabel="update", ylabel="|residual|")
    first.set_title(f"convergence, D = {dims[-1]}")
    axes = (("distance", "|J − A|, the largest of all t"), ("inverse", "|Jt⁻¹|"), ("predicted", "predicted updates"))
    for ax, (number, label) in zip(others, axes, strict=True):
        for name, own in lines(rows).items():
            for row in own:
                _dot(ax, row["numbers"][number], row["iterations"], _look(name), 3.5 + 1.5 * dims.index(row["D"]))
        ax.set(xscale="log", yscale="log", xlabel=label, ylabel="updates taken")
    ends = [1, max(max(row["iterations"], row["numbers"]["predicted"]) for row in rows)]
    others[-1].plot(ends, ends, color=_INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    for ax in panels.ravel():
        ax.grid(alpha=0.25, linewidth=0.6)
    _decimal(others[0])
    if len(dims) > 1:
        others[0].set_title(f"larger marks: D = {', '.join(map(str, dims))}")
    _legend(figure, [first])
    return figure


def _decimal(ax: Any) -> None:
    """Ticks of a logarithmic axis of about a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _dot(ax: Any, x: float, y: float, look: dict[str, Any], size: float) -> None:
    """One run; at the left edge where it has no place on a logarithmic axis."""
    style: dict[str, Any] = {"color": look["color"], "markersize": size, "alpha": 0.7}
    if x > 0:
        ax.plot(x, y, look["marker"], **style)
        return
    ax.plot(0, y, look["marker"], transform=ax.get_yaxis_transform(), clip_on=False, **style)
    place: dict[str, Any] = {"xytext": (6, -3), "textcoords": "offset points", "color": look["color"]}
    if not ax.texts:
        ax.annotate("0", (0, y), xycoords=ax.get_yaxis_transform(), **place)


_DRAWN: dict[str, Callable[[list[Row]], Any]] = {
    "fig2": _measured("T", "length T"),
    "fig3": _measured("T", "length T"),
    "fig4": _measured("T", "length T"),
    "fig7": _decay,
    "fig8": _theory,
    "fig9": _measured("K", "wells K"),
    "fig10": _measured("step", "step size"),
}
