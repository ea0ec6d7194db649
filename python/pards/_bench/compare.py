"""Compares two files of results, taken before and after a change on one machine.

Rows are matched by name, axes, flavour and device. What is not pards (JAX, NumPy, the memory copy) did not change
between the files, so the median of its ratios, new over old seconds, is what the machine did, and the ratios of pards
are divided by it. A ratio is noise where it differs from 1 by no more than the two spreads together; a row of fewer
than three runs says nothing.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from .harness import Row, sizes


@dataclass(frozen=True)
class Change:
    """A row of both files: new over old seconds, and how much of that may be noise."""

    what: str
    pards: bool
    old: float
    new: float
    ratio: float
    noise: float
    enough: bool

    @property
    def verdict(self) -> str:
        if not self.enough:
            return "too few runs"
        if abs(self.ratio - 1) <= self.noise:
            return "noise"
        return "slower" if self.ratio > 1 else "faster"

    def worse(self, factor: float) -> bool:
        """Whether pards became slower, beyond noise, by more than a factor."""
        return self.pards and self.verdict == "slower" and self.ratio > factor


def key(row: Row) -> str:
    return f"{row['name']} {sizes(row['axes'])} {row['device']}: {row['flavour']}"


def changes(old: list[Row], new: list[Row]) -> tuple[list[Change], float]:
    """The changes of the rows in both files, and by how much the machine was slower in the new one."""
    before = {key(row): row for row in old}
    pairs = [(before[key(row)], row) for row in new if key(row) in before]
    peers = [b["seconds"] / a["seconds"] for a, b in pairs if not _pards(a)]
    machine = statistics.median(peers) if peers else 1.0
    found: list[Change] = []
    for a, b in pairs:
        noise = math.hypot(*(row["spread"] / row["seconds"] for row in (a, b)))
        ratio = b["seconds"] / a["seconds"] / (machine if _pards(a) else 1)
        enough = min(a["runs"], b["runs"]) >= 3
        found.append(Change(key(b), _pards(a), a["seconds"], b["seconds"], ratio, noise, enough))
    return found, machine


def _pards(row: Row) -> bool:
    return row["flavour"].startswith("pards")


def table(found: list[Change]) -> str:
    lines = ["| | old ms | new ms | new / old | verdict |", "|---|---|---|---|---|"]
    lines += [
        f"| {c.what} | {1e3 * c.old:.3g} | {1e3 * c.new:.3g} | {c.ratio:.2f} ± {c.noise:.2f} | {c.verdict} |"
        for c in found
    ]
    return "\n".join(lines)


def report(found: list[Change], machine: float, old: list[Row], new: list[Row]) -> str:
    """The table, what the machine did, and which rows only one of the files has."""
    lines = [table(found), ""]
    if not found:
        lines = ["the files have no row in common"]
    elif any(not c.pards for c in found):
        lines += [
            f"what is not pards took {machine:.2f} times as long in the new file; ratios of pards are divided by that"
        ]
    else:
        lines += ["both files have pards alone, so what the machine did meanwhile is in the ratios"]
    for where, rows, others in (("old", old, new), ("new", new, old)):
        lines += [
            f"only in the {where} file: {one}" for one in sorted({key(r) for r in rows} - {key(r) for r in others})
        ]
    return "\n".join(lines)
