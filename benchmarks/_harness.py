"""The command line of every benchmark; what measures is pards._bench.harness, which `pards bench` shares.

usage of each program: python benchmarks/<question>/<file>.py [OUT.json] [--quick] [--only TEXT] [--device cpu] [--budget SECONDS]

The file is written after each case. A case that fails is told and left out, the others go on, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from pards._bench.harness import COPY as COPY
from pards._bench.harness import Case as Case
from pards._bench.harness import Row as Row
from pards._bench.harness import Settings as Settings
from pards._bench.harness import Work as Work
from pards._bench.harness import by as by
from pards._bench.harness import copying as copying
from pards._bench.harness import jitted as jitted
from pards._bench.harness import line as line
from pards._bench.harness import measure as measure
from pards._bench.harness import outcome as outcome
from pards._bench.harness import read as read
from pards._bench.harness import states as states
from pards._bench.harness import versions as versions
from pards._bench.harness import wait as wait
from pards._bench.harness import write as write

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The commit of the source, with a + where what is measured differs from it; "" outside a repository."""
    git = ["git", "-C", str(ROOT)]
    try:
        found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        measured = ["core", "capi", "gpu", "python", "setup.py"]
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no", "--", *measured], capture_output=True, text=True)  # fmt: skip
    except OSError:
        return ""
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "") if found.returncode == 0 else ""


def main(cases: Callable[[Settings], Iterable[Case]], device: str = "cpu") -> None:
    """Measure the cases of a program and write their rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", type=Path, help="file for the rows, else they are only shown")
    parser.add_argument("--quick", action="store_true", help="small sizes, each once: to see that all runs")
    parser.add_argument("--only", default="", help="cases whose name or axes contain this")
    parser.add_argument("--device", default=device)
    parser.add_argument(
        "--budget", type=float, default=Settings.budget, help="seconds a case may take beyond the least"
    )
    options = parser.parse_args()
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_platforms", options.device)
    settings, rows, failed = Settings(options.quick, options.device, budget=options.budget), list[Row](), 0
    about = {"versions": versions(), "commit": commit()}
    for case in cases(settings):
        if options.only not in f"{case.name} {case.axes}":
            continue
        try:
            new = [row | about for row in measure(case, settings)]
        except Exception as error:
            failed += 1
            print(f"{case.name} {case.axes} failed: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        rows += new
        for row in new:
            print(line(row), file=sys.stderr)
        if options.out:
            write(rows, options.out)
    if options.out and not rows:
        write(rows, options.out)
    sys.exit(1 if failed else 0)
