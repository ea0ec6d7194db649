"""`pards bench`: measure beside the peers that are installed, or compare two files of what that wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .._wrong import Wrong
from . import compare, harness, peers, scans, solves
from .harness import Case, Row, Settings

UNSTEADY = 0.3  # of a ratio: how wide the middle half of the turns may be before the table says so
QUESTIONS = {"scan": scans.cases, "solve": solves.cases}


def run(what: str, quick: bool, device: str, out: Path | None) -> list[str]:
    """Measure, print a table of each question, write the rows; what failed."""
    settings = Settings(quick, harness.place(device), budget=2.0)
    if out:
        _writeable(out)
    os.environ.setdefault("JAX_PLATFORMS", settings.device)
    console = Console()
    if lacking := peers.missing():
        console.print(f"Not installed, so not compared with: {', '.join(lacking)}.")
    rows, failed = list[Row](), list[str]()
    about = {"versions": harness.versions(), "commit": ""}
    for question in QUESTIONS if what == "all" else (what,):
        found = list[Row]()
        for case in _followed(question, settings, console):
            try:
                found += [row | about for row in harness.measure(case, settings)]
            except Exception as error:  # the others go on
                failed.append(f"{case.name} {harness.sizes(case.axes)}: {type(error).__name__}: {error}")
            if out:
                harness.write(rows + found, out)
        rows += found
        for name, group in _groups(found):
            console.print(_table(name, group))
    for peer, why in {item for row in rows for item in row.get("missing", {}).items()}:
        console.print(f"{peer} failed and is left out: {why}")
    return failed


def _writeable(out: Path) -> None:
    try:
        with out.open("a"):
            pass
    except OSError as error:
        raise Wrong(f"--json {out}: it cannot be written: {error.strerror}") from None


def _followed(question: str, settings: Settings, console: Console) -> Iterable[Case]:
    """The cases of a question, with a bar while they are measured."""
    cases = list(QUESTIONS[question](settings))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(cases))
        for case in cases:
            bar.update(task, description=f"{case.name}, {harness.sizes(case.axes)}")
            yield case
            bar.advance(task)


def _groups(rows: list[Row]) -> Iterable[tuple[str, list[dict[str, Row]]]]:
    """The kinds of work, each with its cases by flavour; those that have the same flavours share a table."""
    cases: dict[str, dict[str, Row]] = {}
    for row in rows:
        cases.setdefault(f"{row['name']} {row['axes']}", {})[row["flavour"]] = row
    groups: dict[str, list[dict[str, Row]]] = {}
    for case in cases.values():
        groups.setdefault(next(iter(case.values()))["name"], []).append(case)
    return groups.items()


def _table(name: str, cases: list[dict[str, Row]]) -> Table:
    """A column a size: milliseconds of the first flavour, then how many times as long each other one takes."""
    first, *others = dict.fromkeys(flavour for case in cases for flavour in case)
    sizes = [case[first]["axes"] for case in cases]
    shared = {k: v for k, v in sizes[0].items() if all(axes.get(k) == v for axes in sizes)}
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), title_justify="left", caption_justify="left"
    )
    table.title = ", ".join([name, *(f"{k} = {v}" for k, v in shared.items())])
    table.caption = f"times as long as {first}; ~ where unsteady\n"
    table.add_column("", no_wrap=True)
    for axes in sizes:
        size = "\n".join(f"{k} {v}" for k, v in axes.items() if k not in shared)
        table.add_column(size, justify="right", no_wrap=True)
    table.add_row(f"{first}, ms", *(f"{1e3 * case[first]['seconds']:.3g}" for case in cases))
    for flavour in others:
        table.add_row(flavour, *(_ratio(case.get(flavour)) for case in cases))
    return table


def _ratio(row: Row | None) -> str:
    if row is None:
        return "-"
    ratio, unsteady = row["ratio"], row["ratio_spread"] > UNSTEADY * row["ratio"]
    return ("~" if unsteady else "") + (f"{ratio:.0f}" if ratio >= 9.5 else f"{ratio:.2g}")


def compared(old: Path, new: Path, slower: float) -> bool:
    """Print what changed between two files; whether a row of pards is slower beyond noise and beyond the factor."""
    rows = [_read(path) for path in (old, new)]
    machines = [json.loads(path.read_text())["machine"] for path in (old, new)]
    found, machine = compare.changes(*rows)
    print(compare.report(found, machine, *rows))
    if machines[0] != machines[1]:
        print(f"the files are of two machines, {machines[0]} and {machines[1]}: their seconds do not compare")
    return any(change.worse(slower) for change in found)


def _read(path: Path) -> list[Row]:
    """The rows of a file."""
    wanted = {"name", "axes", "flavour", "device", "seconds", "spread", "runs"}
    try:
        told = json.loads(path.read_text())
        if not isinstance(told["machine"], dict) or not all(wanted <= row.keys() for row in told["rows"]):
            raise KeyError
        return told["rows"]
    except OSError as error:
        raise Wrong(f"--compare {path}: it cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Wrong(f"--compare {path}: it is not a file of rows that pards bench --json wrote") from None
