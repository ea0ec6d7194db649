"""Measures programs of benchmarks/ on another commit and on the working tree, in turns, and says which of their rows changed.

usage: python benchmarks/against.py [PROGRAM...] [--commit HEAD~1] [--only TEXT] [--quick] [--budget SECONDS] [--slower 1.1] [--json FILE]

    python benchmarks/against.py benchmarks/scan/dense.py benchmarks/solve/cells.py

Both are built, the commit from a worktree that is removed at the end, and each runs its own programs, by default those of scan/ and solve/cells.py,
in a process of its own. The two take turns, call by call, so that what the machine does meanwhile meets both; only what is pards is run.
That is done with three pairs of processes, for of two that run the same one may be faster by where its memory and threads come to lie. A
ratio, now over before, is the median of the three; it is noise where it differs from 1 by less than they differ among each other, or by
less than 5 %. The exit status is 1 if a row is slower, beyond noise, by more than the factor --slower. It needs Go on PATH.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _harness

from pards._bench.compare import Change, key, table
from pards._bench.harness import spread

PROGRAMS = [_harness.ROOT / "benchmarks" / name for name in ("scan/diagonal.py", "scan/dense.py", "scan/identity.py", "solve/cells.py")]  # fmt: skip
PAIRS, LEAST = 3, 0.05  # of processes; a difference that is noise in any case
SERVE = "--serve"


class Side:
    """A process that runs the pards flavours of a program's cases when told to."""

    def __init__(self, program: Path, package: Path, options: list[str]) -> None:
        self.program = program
        command = [sys.executable, __file__, SERVE, str(program), *options]
        self._process = subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(package)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip

    def ask(self, *question: Any) -> Any:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        print(json.dumps(question), file=pipe, flush=True)
        if not (answer := answers.readline()):
            raise SystemExit(f"{self.program} of one side ended: see above")
        return json.loads(answer)

    def close(self) -> None:
        self._process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        self._process.wait()


def serve(program: str, options: list[str]) -> None:
    """Answer what Side asks: the next case, a case that is named, the seconds of some calls of a flavour."""
    answers, sys.stdout = sys.stdout, sys.stderr
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    settings = _harness.Settings(quick=parser.parse_args(options).quick)
    sys.path.insert(0, str(Path(program).resolve().parents[1]))
    del sys.modules["_harness"]  # the side's own
    import _harness as own

    found: list[Any] = []
    own.main = lambda cases, device="cpu": found.append(cases)
    runpy.run_path(program, run_name="__main__")
    cases, case, works = iter(found[0](settings)), None, dict[str, Any]()

    def told(case: Any) -> Any:
        works.clear()
        return case and [case.name, case.axes, [name for name in case.flavours if name.startswith("pards")]]

    for line in sys.stdin:
        match json.loads(line):
            case ("next",):
                case = next(cases, None)
                answer = told(case)
            case "find", name, axes:
                again = iter(found[0](settings))
                fits = lambda c: [c.name, c.axes] == [name, axes]  # noqa: E731
                case = next(filter(fits, cases), None) or next(filter(fits, again), None)
                answer = told(case)
            case "run", flavour, i, calls:
                if flavour not in works:
                    works[flavour] = case.flavours[flavour](case.inputs)
                start = time.perf_counter()
                for n in range(calls):
                    own.wait(works[flavour].run((i + n) % len(case.inputs)))
                answer = time.perf_counter() - start
        print(json.dumps(answer), file=answers, flush=True)


def measured(before: Side, now: Side, only: str, settings: _harness.Settings) -> Iterator[_harness.Row]:
    """The rows of all that both sides have."""
    while case := now.ask("next"):
        name, axes, flavours = case
        if only not in f"{name} {axes}":
            continue
        there = before.ask("find", name, axes)
        for flavour in flavours:
            if not there or flavour not in there[2]:
                print(f"only now: {name} {axes}: {flavour}", file=sys.stderr)
                continue
            yield in_turns(name, axes, flavour, before, now, settings)


def in_turns(
    name: str, axes: _harness.Row, flavour: str, before: Side, now: Side, settings: _harness.Settings
) -> _harness.Row:
    """The row of now, whose ratio is to before; seconds are by the clocks of the processes."""
    seconds: list[float] = []

    def remote(side: Side) -> Callable[[Any], _harness.Work]:
        def run(i: int) -> float:
            seconds.append(side.ask("run", flavour, i, 1))
            return 0.0

        return lambda _: _harness.Work(run)

    def clock(work: Callable[[], Any]) -> float:
        seconds.clear()
        work()
        return sum(seconds)

    sides = {"pards before": remote(before), "pards now": remote(now)}
    old, new = _harness.measure(_harness.Case(name, axes, [()] * 3, sides), settings, clock)
    return new | {"flavour": flavour, "before": old["seconds"]}


def joined(rows: list[_harness.Row]) -> _harness.Row:
    """One row of those of the pairs."""
    middle = {name: statistics.median(row[name] for row in rows) for name in ("seconds", "before", "ratio")}
    among = spread([row["ratio"] for row in rows])
    return rows[0] | middle | {"ratio_spread": among, "runs": sum(row["runs"] for row in rows), "pairs": len(rows)}


def change(row: _harness.Row) -> Change:
    enough = row["pairs"] == PAIRS
    return Change(key(row), True, row["before"], row["seconds"], row["ratio"], max(LEAST, row["ratio_spread"]), enough)


def build(tree: Path, place: Path) -> None:
    """The package of a tree, with its library, for the CPU."""
    shutil.copytree(tree / "python" / "pards", place / "pards", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(tree / "capi" / "pards.h", place / "pards")
    command = ["go", "build", "-buildmode=c-shared", "-tags=netgo,osusergo", f"-o={place}/pards/libpards.so", "./capi"]
    subprocess.run(command, cwd=tree, check=True)


@contextlib.contextmanager
def checked_out(commit: str, place: Path) -> Iterator[None]:
    git = ["git", "-C", str(_harness.ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(place), commit], check=True)
    try:
        yield
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__ and __doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("programs", nargs="*", default=PROGRAMS)
    parser.add_argument("--commit", default="HEAD~1")
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--budget", type=float, default=0.5)
    parser.add_argument("--slower", type=float, default=1.1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings, pairs = _harness.Settings(options.quick, budget=options.budget), dict[str, list[_harness.Row]]()
    with tempfile.TemporaryDirectory(prefix="pards-") as folder, checked_out(options.commit, Path(folder, "tree")):
        trees = {Path(folder, "tree"): Path(folder, "before"), _harness.ROOT: Path(folder, "now")}
        for tree, place in trees.items():
            place.mkdir()
            build(tree, place)
        for program in options.programs:
            inside = Path(program).resolve().relative_to(_harness.ROOT)
            flags = ["--quick"] if options.quick else []
            for _ in range(1 if options.quick else PAIRS):
                before, now = (Side(tree / inside, place, flags) for tree, place in trees.items())
                for row in measured(before, now, options.only, settings):
                    pairs.setdefault(key(row), []).append(row)
                    print(f"{key(row)} x {row['ratio']:.3g}", file=sys.stderr)
                before.close()
                now.close()
    rows = [joined(of) for of in pairs.values()]
    found = [change(row) for row in rows]
    print(table(found).replace("old ms | new ms | new / old", "before ms | now ms | now / before"))
    if options.json:
        _harness.write(rows, options.json)
    sys.exit(any(one.worse(options.slower) for one in found))


if __name__ == "__main__":
    if sys.argv[1:2] == [SERVE]:
        serve(sys.argv[2], sys.argv[3:])
    else:
        main()
