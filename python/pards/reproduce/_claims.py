"""What the paper says in its abstract and captions, and whether the rows agree.

Source: Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems"
    (2025). Claims marked as pards' own are about what the paper lacks.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ._rows import Row

Finding = tuple[bool, str]  # whether a claim holds, and the numbers that say so


@dataclass(frozen=True)
class Claim:
    """A statement and what the rows say to it; "not run" where they are not enough."""

    figure: str
    text: str
    verdict: Literal["holds", "differs", "not run"]
    detail: str


def check(rows: Iterable[Row]) -> list[Claim]:
    """Every claim, in the order of the figures."""
    done = [_counted(row) for row in rows if row.get("skipped") is None]
    claims = list[Claim]()
    for figure, text, judge in _CLAIMS:
        found = judge([row for row in done if row["figure"] == figure])
        verdict = "not run" if found is None else "holds" if found[0] else "differs"
        claims.append(Claim(figure, text, verdict, "" if found is None else _explained(found[1])))
    return claims


def _counted(row: Row) -> Row:
    """A row as it counts: one that overflowed would have taken no end of updates, not the few that it made."""
    return row if row["status"] != "nonfinite" else row | {"iterations": math.inf, "counts": [math.inf]}


def _explained(detail: str) -> str:
    return f"{detail} (inf: overflowed)" if re.search(r"\binf\b", detail) else detail


def _median(rows: Iterable[Row], by: str, what: str = "iterations") -> dict[Any, float]:
    """The median over seeds, and all else, of a number, by an axis in its order."""
    groups: dict[Any, list[float]] = {}
    for row in rows:
        groups.setdefault(row[by], []).append(row[what])
    return {at: statistics.median(groups[at]) for at in sorted(groups)}


def _of(rows: list[Row], method: str, **axes: Any) -> list[Row]:
    return [row for row in rows if row["method"] == method and all(row[name] == at for name, at in axes.items())]


def _span(numbers: Iterable[float]) -> str:
    found = sorted(set(numbers))
    ends = [f"{at:.3g}" if at < 1000 else f"{at:.0f}" for at in found]
    return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def _one_newton(rows: list[Row]) -> Finding | None:
    found = _of(rows, "newton")
    counts = [n for row in found for n in row["counts"]]
    return (set(counts) == {1}, f"{_span(counts)} at T = {_span(row['T'] for row in found)}") if found else None


def _grow(rows: list[Row]) -> Finding | None:
    """Whether quasi-Newton, Picard and Jacobi take more and more updates, in the end a good part of T."""
    told, holds = list[str](), list[bool]()
    for method in ("quasi_newton", "picard", "jacobi"):
        found = _median(_of(rows, method), "T")
        if len(found) > 1:
            lengths, counts = list(found), list(found.values())
            holds.append(counts == sorted(counts) and counts[-1] >= lengths[-1] / 2)
            told.append(f"{method} {counts[-1]:.0f} at T = {lengths[-1]}")
    return (all(holds), "; ".join(told)) if holds else None


def _all_steps(rows: list[Row]) -> Finding | None:
    """Whether Jacobi takes T updates."""
    found = _of(rows, "jacobi")
    shares = [n / row["T"] for row in found for n in row["counts"]]
    return (min(shares) > 0.99, f"{_span(shares)} T") if found else None


def _few(*methods: str) -> Callable[[list[Row]], Finding | None]:
    """Whether methods take few updates, about as many for long sequences as for short ones."""

    def judge(rows: list[Row]) -> Finding | None:
        medians = {method: _median(_of(rows, method), "T") for method in methods}
        if not all(medians.values()):
            return None
        ends = {method: (next(iter(m.values())), list(m.values())[-1]) for method, m in medians.items()}
        holds = all(last <= 20 and last <= 2 * max(first, 1) for first, last in ends.values())
        told = "; ".join(f"{method} {first:.3g} to {last:.3g}" for method, (first, last) in ends.items())
        return holds, f"{told}, from T = {min(row['T'] for row in rows)} to {max(row['T'] for row in rows)}"

    return judge


def _nearly_all(rows: list[Row]) -> Finding | None:
    """Whether Picard takes nearly T updates."""
    found = _of(rows, "picard")
    shares = [row["iterations"] / row["T"] for row in found]
    return (statistics.median(shares) > 0.7, f"{_span(shares)} T") if found else None


def _far_fewer(rows: list[Row]) -> Finding | None:
    """Whether Picard and quasi-Newton, whose A is simple, take far fewer than T updates."""
    found = _of(rows, "picard") + _of(rows, "quasi_newton")
    shares = [row["iterations"] / row["T"] for row in found]
    return (max(shares) < 0.2, f"at most {max(shares):.2g} T") if found else None


def _fastest(others: tuple[str, ...], than: str) -> Callable[[list[Row]], Finding | None]:
    """Whether one of some methods takes less time than another, in which of the sizes."""

    def judge(rows: list[Row]) -> Finding | None:
        sizes = dict.fromkeys((row["D"], row["T"]) for row in _of(rows, than))
        ratios = dict[tuple[int, int], tuple[float, str]]()
        for size in sizes:
            base = _seconds(rows, than, size)
            times = {method: seconds for method in others if (seconds := _seconds(rows, method, size))}
            if base and times:
                best = min(times, key=lambda method: times[method])
                ratios[size] = base / times[best], best
        if not ratios:
            return None
        faster = sum(ratio > 1 for ratio, _ in ratios.values())
        best = max(ratios, key=lambda size: ratios[size])
        told = f"{ratios[best][0]:.2g} times ({ratios[best][1]}, D = {best[0]}, T = {best[1]})"
        return faster > 0, f"in {faster} of {len(ratios)} sizes; at best {told}"

    return judge


def _seconds(rows: list[Row], method: str, size: tuple[int, int]) -> float | None:
    """The median time of a method on a size, where it succeeded."""
    found = [row["seconds"] for row in _good(_of(rows, method, D=size[0], T=size[1]))]
    return statistics.median(found) if found else None


def _good(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["success"]]


def _few_rotated(rows: list[Row]) -> Finding | None:
    found = _of(rows, "rotated_quasi_newton")
    counts = [n for row in found for n in row["counts"]]
    return (max(counts) <= 3, f"{_span(counts)}, T to {max(row['T'] for row in found)}") if found else None


def _windowed(rows: list[Row]) -> Finding | None:
    found = [row for row in _of(rows, "newton") if row["window"]]
    return (all(row["success"] for row in found), f"{len(_good(found))} of {len(found)} solved") if found else None


def _bounded(rows: list[Row]) -> Finding | None:
    """Whether no update of a linear model leaves more of the error than Proposition 3 says."""
    worst = 0.0
    for row in rows:
        errors, rate = row["numbers"]["errors"], row["numbers"]["rate"]
        floor = 1e-12 * errors[0]  # below that it is rounding
        ratios = [after / before for before, after in itertools.pairwise(errors) if before > floor]
        worst = max(worst, *(ratio / rate for ratio in ratios))
    return (worst <= 1 + 1e-9, f"at most {worst:.3g} of the bound") if rows else None


def _last(rows: list[Row]) -> list[Row]:
    """Rows with the error after the last update."""
    return [row | {"last": row["numbers"]["errors"][-1]} for row in rows]


def _nearer(rows: list[Row]) -> Finding | None:
    """Whether Picard, A = 1, wins where a is near 1, and Jacobi, A = 0, where it is near 0."""
    late = {m: _median(_last(_of(rows, m)), "a", "last") for m in ("picard", "jacobi")}
    if not all(late.values()):
        return None
    ends = min(late["picard"]), max(late["picard"])
    low, high = ({method: found[a] for method, found in late.items()} for a in ends)
    told = "; ".join(
        f"a = {a:g}: picard {at['picard']:.1e}, jacobi {at['jacobi']:.1e}"
        for a, at in zip(ends, (low, high), strict=True)
    )
    return low["jacobi"] < low["picard"] and high["picard"] < high["jacobi"], f"error after the last update, {told}"


def rank_correlation(x: list[float], y: list[float]) -> float:
    """Spearman's: that of the ranks, those of equal values their mean."""

    def ranks(values: list[float]) -> Any:
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[place]

    return float(np.corrcoef(ranks(x), ranks(y)).item(1))


def _predicts(rows: list[Row]) -> Finding | None:
    """Whether more updates are taken where Proposition 3's rate is larger."""
    found = [row for row in rows if row["method"] != "newton"]
    if len(found) < 3:
        return None
    rank = rank_correlation([row["numbers"]["rate"] for row in found], [row["iterations"] for row in found])
    return rank > 0.5, f"rank correlation {rank:.2f} over {len(found)} runs"


def _follows(rows: list[Row]) -> Finding | None:
    """Whether the updates predicted from the linearisation are those taken."""
    pairs = [(row["numbers"]["predicted"], row["iterations"]) for row in rows]
    off = [max(p, n) / max(min(p, n), 1) for p, n in pairs]
    if not off:
        return None
    middle = statistics.median(off)
    return middle <= 1.5, f"off by a factor of {middle:.2g} (median), {max(off):.2g} (worst)"


def _more_with(axis: str) -> Callable[[list[Row]], Finding | None]:
    """Whether Picard and quasi-Newton take more updates as an axis grows."""

    def judge(rows: list[Row]) -> Finding | None:
        medians = {method: list(_median(_of(rows, method), axis).values()) for method in ("quasi_newton", "picard")}
        if any(len(found) < 2 for found in medians.values()):
            return None
        told = "; ".join(f"{method} {', '.join(f'{n:.3g}' for n in found)}" for method, found in medians.items())
        return all(found == sorted(found) for found in medians.values()), told

    return judge


def _auto(rows: list[Row]) -> Finding | None:
    """How long auto takes beside the fastest of the methods that succeed, over the sizes."""
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in _good(rows):
        if row.get("seconds"):
            size = groups.setdefault(tuple(row[n] for n in ("D", "T", "K", "step")), {})
            size.setdefault(row["method"], []).append(row["seconds"])
    ratios = list[float]()
    for size in groups.values():
        best = {method: statistics.median(times) for method, times in size.items()}
        if "auto" in best and len(best) > 1:
            ratios.append(best.pop("auto") / min(best.values()))
    if not ratios:
        return None
    middle = statistics.median(ratios)
    return middle <= 1.3, f"{middle:.2g} (median), {max(ratios):.2g} (worst) of {len(ratios)} sizes"


_OWN = "(pards' own) auto takes at most 1.3 times as long as the fastest method, in the median"
_BY_J, _SIMPLE = ("newton", "quasi_newton"), ("quasi_newton", "picard", "rotated_quasi_newton")

_CLAIMS: tuple[tuple[str, str, Callable[[list[Row]], Finding | None]], ...] = (
    ("fig2", "A single Newton iteration solves S5 at every T", _one_newton),
    ("fig2", "The updates of quasi-Newton, Picard and Jacobi on S5 grow with T", _grow),
    ("fig2", "Jacobi takes T updates on S5", _all_steps),
    ("fig2", "Newton is faster than the sequential loop on S5", _fastest(("newton",), "sequential")),
    ("fig2", _OWN, _auto),
    ("fig3", "Newton and quasi-Newton solve the GRU in few updates at every T", _few("newton", "quasi_newton")),
    ("fig3", "Picard takes nearly T iterations on the GRU", _nearly_all),
    ("fig3", "Newton or quasi-Newton are faster than the sequential loop on the GRU", _fastest(_BY_J, "sequential")),
    ("fig3", _OWN, _auto),
    ("fig4", "Jacobi takes T updates on Langevin", _all_steps),
    ("fig4", "Picard and quasi-Newton, with simple A, take far fewer than T updates on Langevin", _far_fewer),
    ("fig4", "Other methods can be faster than Newton", _fastest(("quasi_newton", "picard"), "newton")),
    ("fig4", "Other methods than Newton can be faster than the sequential loop", _fastest(_SIMPLE, "sequential")),
    ("fig4", "(pards' own) rotated_quasi_newton takes at most 3 updates", _few_rotated),
    ("fig4", "(pards' own) Newton in windows solves what the paper had no memory for", _windowed),
    ("fig4", _OWN, _auto),
    ("fig7", "Proposition 3 bounds the error of every update, exactly so for a linear model", _bounded),
    ("fig7", "Picard is better for a near 1, Jacobi for a near 0", _nearer),
    ("fig8", "The larger |J - A| |Jt^-1|, the more updates", _predicts),
    ("fig8", "(pards' own) the linearisation predicts the number of updates", _follows),
    ("fig9", "Picard and quasi-Newton take far fewer than T updates with more wells too", _far_fewer),
    ("fig9", _OWN, _auto),
    ("fig10", "The larger the step, the more updates of Picard and quasi-Newton", _more_with("step")),
    ("fig10", _OWN, _auto),
)
