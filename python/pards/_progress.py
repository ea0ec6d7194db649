"""What a solve shows of its progress: nothing, a bar, or calls of a user's function."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

# Called with iteration, window, windows, sequences (still being solved) and merit (the largest among them).
Report = Callable[[int, int, int, int, float], object]


@contextlib.contextmanager
def shown(progress: bool | Report) -> Generator[Report | None, None, None]:
    """What to report progress to while the context lasts; None for nothing."""
    if callable(progress):
        yield progress
    elif not progress:
        yield None
    else:
        try:
            import rich.progress as rich
        except ImportError:
            with _line() as report:
                yield report
        else:
            with _bar(rich) as report:
                yield report


@contextlib.contextmanager
def _bar(rich: Any) -> Generator[Report, None, None]:
    columns = (
        rich.TextColumn("pards"),
        rich.BarColumn(),
        rich.TextColumn("{task.description}"),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(iteration: int, window: int, windows: int, sequences: int, merit: float) -> None:
            total = windows if windows > 1 else None
            bar.update(
                task, total=total, completed=window, description=_text(iteration, window, windows, sequences, merit)
            )

        yield report


@contextlib.contextmanager
def _line() -> Generator[Report, None, None]:
    """One line on standard error, written over ten times a second, in a log every ten seconds; wiped at the end."""
    last, width, every = time.monotonic(), 0, 0.1 if sys.stderr.isatty() else 10

    def report(iteration: int, window: int, windows: int, sequences: int, merit: float) -> None:
        nonlocal last, width
        if time.monotonic() - last > every:
            text = "pards " + _text(iteration, window, windows, sequences, merit)
            print("\r" + text.ljust(width), end="", file=sys.stderr, flush=True)
            last, width = time.monotonic(), len(text)

    try:
        yield report
    finally:
        if width:
            print("\r" + " " * width + "\r", end="", file=sys.stderr, flush=True)


def _text(iteration: int, window: int, windows: int, sequences: int, merit: float) -> str:
    part = f"window {window + 1} of {windows}, " if windows > 1 else ""
    left = f", {sequences} sequences to go" if sequences > 1 else ""
    return f"{part}iteration {iteration}, merit {merit:.2g}{left}"
