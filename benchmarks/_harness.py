"""What every benchmark shares: interleaved timing in one run, medians, JSON rows, and the machine they were taken on.

A row holds name, axes (sizes), seconds (median), spread (the middle half of the runs), iterations where there are any, and `ratio`: how
many times as long as pards the same work took in the same run. Absolute seconds of different runs are not to be compared.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata


def interleave(
    works: dict[str, Callable[[], object]], repeats: int = 5, longest: float = 2.0
) -> dict[str, tuple[float, float]]:
    """Median seconds and spread of each work, run in turns after one warm-up; what takes over `longest` seconds is run once."""
    times: dict[str, list[float]] = {name: [] for name in works}
    slow: set[str] = set()
    for turn in range(repeats + 1):
        for name, work in works.items():
            if name in slow:
                continue
            start = time.perf_counter()
            work()
            seconds = time.perf_counter() - start
            if turn == 0 and seconds > longest:
                slow.add(name)
            if turn > 0 or name in slow:
                times[name].append(seconds)
    return {name: (statistics.median(t), spread(t)) for name, t in times.items()}


def spread(times: list[float]) -> float:
    if len(times) < 4:
        return max(times) - min(times)
    quarters = statistics.quantiles(times, n=4)
    return quarters[2] - quarters[0]


def machine() -> dict[str, object]:
    versions = {}
    for package in ("pards", "numpy", "jax"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def write(rows: list[dict[str, object]], path: str | None) -> None:
    """Rows as a JSON file, and as lines to read."""
    for row in rows:
        print(
            "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), file=sys.stderr
        )
    text = json.dumps({"machine": machine(), "rows": rows}, indent=1)
    if path:
        with open(path, "w") as file:
            file.write(text + "\n")
    else:
        print(text)
