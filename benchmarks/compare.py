"""Compares two files of results, taken before and after a change on one machine.

usage: python benchmarks/compare.py OLD.json NEW.json [--slower 1.1]

Rows are matched by name, axes, flavour and device. What is not pards (JAX, NumPy, the memory copy) did not change between the files, so
the median of its ratios, new over old seconds, is what the machine did, and the ratios of pards are divided by it. A ratio is noise
where it differs from 1 by no more than the two spreads together; a row of fewer than three runs says nothing. The exit status is 1 if
a row of pards is slower, beyond noise, by more than the factor --slower.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import _harness


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


def key(row: _harness.Row) -> str:
    axes = " ".join(f"{name}={value}" for name, value in row["axes"].items())
    return f"{row['name']} {axes} {row['device']}: {row['flavour']}"


def changes(old: list[_harness.Row], new: list[_harness.Row]) -> tuple[list[Change], float]:
    """The changes of the rows in both files, and by how much the machine was slower in the new one."""
    before = {key(row): row for row in old}
    pairs = [(before[key(row)], row) for row in new if key(row) in before]
    peers = [b["seconds"] / a["seconds"] for a, b in pairs if not _pards(a)]
    machine = statistics.median(peers) if peers else 1.0
    found = []
    for a, b in pairs:
        noise = math.hypot(*(row["spread"] / row["seconds"] for row in (a, b)))
        ratio = b["seconds"] / a["seconds"] / (machine if _pards(a) else 1)
        found.append(
            Change(key(b), _pards(a), a["seconds"], b["seconds"], ratio, noise, min(a["runs"], b["runs"]) >= 3)
        )
    return found, machine


def _pards(row: _harness.Row) -> bool:
    return row["flavour"].startswith("pards")


def table(found: list[Change]) -> str:
    lines = ["| | old ms | new ms | new / old | verdict |", "|---|---|---|---|---|"]
    lines += [
        f"| {c.what} | {1e3 * c.old:.3g} | {1e3 * c.new:.3g} | {c.ratio:.2f} ± {c.noise:.2f} | {c.verdict} |"
        for c in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--slower", type=float, default=1.1)
    options = parser.parse_args()
    old, new = _harness.read(options.old), _harness.read(options.new)
    machines = [json.loads(path.read_text())["machine"] for path in (options.old, options.new)]
    if machines[0] != machines[1]:
        print(
            f"the files are of two machines, {machines[0]} and {machines[1]}: their seconds do not compare",
            file=sys.stderr,
        )
    found, machine = changes(old, new)
    print(table(found))
    print(f"\nwhat is not pards took {machine:.2f} times as long in the new file; ratios of pards are divided by that")
    for where, rows, others in (("old", old, new), ("new", new, old)):
        for missing in sorted({key(row) for row in rows} - {key(row) for row in others}):
            print(f"only in the {where} file: {missing}")
    if any(c.pards and c.verdict == "slower" and c.ratio > options.slower for c in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
