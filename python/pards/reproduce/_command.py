"""`pards reproduce`: run what is missing, row by row, then say which of the paper's claims hold."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .. import _progress
from .._bench import harness
from .._wrong import Wrong
from . import _claims, _figures, _page, _runs
from ._rows import Results, Row
from ._runs import Run, Scale, Stopped


def run(
    figure: str,
    out: Path,
    *,
    device: str = "auto",
    seeds: int | None = None,
    quick: bool = False,
    resume: bool = False,
    budget: float | None = None,
    exchanged: bool = False,
    part: str = "1/1",
) -> list[_claims.Claim]:
    """Run a figure of the paper, or "all", into a directory; the arguments are those of `pards reproduce`.

    Returns:
        The paper's claims with verdicts, of all rows in the directory.

    Raises:
        Wrong: an argument does not do.
        KeyboardInterrupt: after Ctrl-C; what is finished is in the directory.

    Example:
        >>> import pathlib, tempfile
        >>> from pards import reproduce
        >>> claims = reproduce.run("fig7", pathlib.Path(tempfile.mkdtemp()), device="cpu", seeds=1)
        >>> [claim.verdict for claim in claims if claim.figure == "fig7"]
        ['holds', 'holds']
    """
    names = list(_runs.FIGURES) if figure == "all" else [figure]
    if unknown := [name for name in names if name not in _runs.FIGURES]:
        raise Wrong(f"figure {unknown[0]!r}: it is none of {', '.join(_runs.FIGURES)}, all")
    if seeds is not None and seeds < 1:
        raise Wrong(f"--seeds {seeds}: want at least 1")
    if budget is not None and not 0 < budget < math.inf:
        raise Wrong(f"--budget {budget:g}: want a number of seconds above 0")
    own, parts = _part(part)
    scale = Scale(quick, exchanged, (2 if quick else 10) if seeds is None else seeds)
    place, console = harness.place(device), Console()
    results = Results(out, {"quick": quick, "device": place, "exchanged": exchanged}, resume)
    try:
        wanted = [run for name in names for run in _runs.FIGURES[name](scale) if run.seed % parts == own]
        left = [run for run in wanted if not results.has(asdict(run))]
        if len(left) < len(wanted):
            console.print(f"{len(wanted) - len(left)} of {len(wanted)} runs are in {results.path} already.")
        _follow(left, scale, place, results, Budget(results.rows, budget), console)
    except KeyboardInterrupt:
        console.print(f"Stopped: {len(results.rows)} rows are kept in {results.path}; --resume goes on with them.")
        raise
    finally:
        results.close()
    claims = _claims.check(results.rows)
    told = {*names, *(row["figure"] for row in results.rows)}
    console.print(_table([claim for claim in claims if claim.figure in told]))
    console.print(f"The rows are in {results.path}.")
    console.print(_report(out, results.rows, claims, about(figure, place)))
    return claims


def _report(out: Path, rows: list[Row], claims: list[_claims.Claim], known: dict[str, str]) -> str:
    """Write plots and page; say where they are, or why they are not. The rows are safe by then."""
    try:
        drawn = _figures.draw(out, rows)
        page = _page.write(out, rows, claims, known)
    except OSError as error:
        return f"Plots and page could not be written: {error}; --resume tries again."
    plots = f"{len(drawn)} plots" if drawn else "no plots, for want of rows or of matplotlib (pip install matplotlib),"
    return f"The report is {page}, with {plots} beside it."


def _part(text: str) -> tuple[int, int]:
    """Which seeds are a part's, 0 of 3 in "1/3"."""
    own, _, parts = text.partition("/")
    if not (own.isdecimal() and parts.isdecimal() and 1 <= int(own) <= int(parts)):
        raise Wrong(f"--part {text}: want K/N with K from 1 to N, such as 1/2 and 2/2")
    return int(own) - 1, int(parts)


class Budget:
    """The time there is, and what a run is expected to take of it, by shorter ones and by other seeds."""

    def __init__(self, rows: Iterable[Row], seconds: float | None) -> None:
        self.end = math.inf if seconds is None else time.monotonic() + seconds
        self._known: dict[tuple[Any, ...], dict[int, Row]] = {}
        for row in rows:
            self.learn(row)

    def learn(self, row: Row) -> None:
        if row.get("seconds") is not None:
            run = Run(**{name: row[name] for name in Run.__dataclass_fields__})
            self._known.setdefault(run.line, {})[run.T] = row

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def expected(self, run: Run, scale: Scale) -> float:
        """Seconds of all calls of a run, 0 where nothing is known; T times as many where the updates grow with T."""
        known = self._known.get(run.line, {})
        if not known:
            return 0.0
        at = min(known, key=lambda T: abs(T - run.T))
        row, longer = known[at], max(run.T / at, 1.0)
        call = row["seconds"] * longer ** (2 if row["iterations"] > 0.1 * at else 1)
        return call * (1 if call > scale.long else 2 * scale.repeats)

    def refuses(self, run: Run, scale: Scale) -> str | None:
        """Why a run is not begun."""
        if self.left <= 0:
            return "the budget was spent"
        if (expected := self.expected(run, scale)) > self.left:
            return f"it would take {expected:.0f} s, the budget had {self.left:.0f} s left"
        return None


_DEAR = 1 / 20  # of the budget that is left: a run that would take more is late


def _order(runs: list[Run], scale: Scale, budget: Budget) -> Iterator[Run]:
    """Runs in their order, but those at the end that would take a good part of the budget, the shortest first: so that
    one long run does not keep out many short ones."""
    late = list[Run]()
    for run in runs:
        if budget.expected(run, scale) > budget.left * _DEAR:
            late.append(run)
        else:
            yield run
    yield from sorted(late, key=lambda run: budget.expected(run, scale))


def _follow(runs: list[Run], scale: Scale, place: str, results: Results, budget: Budget, console: Console) -> None:
    """Run after run, with a bar: how many, which one and its iteration, the time left at this pace."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    skipped = 0
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(runs))
        for run in _order(runs, scale, budget):
            bar.update(task, description=str(run))

            def shown(iteration: int, *_: Any, doing: str = str(run)) -> None:
                bar.update(task, description=f"{doing}, update {iteration}")

            row = _row(run, scale, place, budget, shown)
            results.add(row)
            budget.learn(row)
            skipped += row.get("skipped") is not None
            bar.advance(task)
    if skipped:
        console.print(
            f"{skipped} of {len(runs)} runs were skipped, mostly for want of time; --resume tries them again."
        )


def _row(run: Run, scale: Scale, place: str, budget: Budget, shown: _progress.Report) -> Row:
    if why := budget.refuses(run, scale):
        return asdict(run) | {"skipped": why}
    start = time.monotonic()

    def report(*progress: Any) -> None:
        if budget.left <= 0:
            raise Stopped(f"after {time.monotonic() - start:.0f} s the budget was spent")
        shown(*progress)

    try:
        return _runs.measure(run, scale, place, report)
    except Stopped as why:
        return asdict(run) | {"skipped": str(why)}
    except MemoryError as error:
        return asdict(run) | {"skipped": f"out of memory: {error}"}


def about(figure: str, place: str) -> dict[str, str]:
    """What a reader of the results wants to know of how they came about."""
    machine = harness.machine()
    versions = ", ".join(f"{name} {version}" for name, version in harness.versions().items())
    command = " ".join(["pards", *sys.argv[1:]]) if sys.argv[1:2] == ["reproduce"] else f"pards reproduce {figure}"
    return {
        "command": command,
        "device": place,
        "machine": f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        "versions": versions,
        "finished": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _table(claims: list[_claims.Claim]) -> Table:
    """What was found stands below each claim."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("figure", "verdict", "claim and what was found"):
        table.add_column(name)
    for claim in claims:
        verdict = Text(claim.verdict, {"holds": "green", "differs": "yellow"}.get(claim.verdict, "dim"))
        told = Text(claim.text)
        if claim.detail:
            told.append(f"\n{claim.detail}", "dim")
        table.add_row(claim.figure, verdict, told)
    return table
