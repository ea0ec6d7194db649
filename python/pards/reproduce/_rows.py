"""The file of results: a line of JSON for each run that is finished, added at once and whole.

Its first line says what it is, and which settings all of its rows share. A row is a run (see `_runs.Run`: figure,
problem, method, D, T, batch, K, step, a, window, seed) and what came of it:

    iterations: the median over the batch; counts: those of each sequence
    seconds: the median of the repeats, by the wall; once: it was timed once, because it took long
    success: of all sequences; status: the first that is no success; used: the method that ran, where auto chose
    distance: the largest difference to the plain loop over the loop's largest number
    numbers: what fig7 and fig8 compute, see `_runs`
    skipped: why it was not run or not finished; nothing of the above is there then
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._wrong import Wrong

Row = dict[str, Any]
NAME = "rows.jsonl"
FORMAT, VERSION = "pards reproduce", 1
KEY = ("figure", "problem", "method", "D", "T", "batch", "K", "step", "a", "window", "seed")


def key(row: Row) -> tuple[Any, ...]:
    """What tells a row's run from all others."""
    return tuple(row.get(name) for name in KEY)


class Results:
    """The rows of a directory, those of earlier commands and those added now."""

    def __init__(self, directory: Path, settings: Row, resume: bool) -> None:
        """Open or begin the file. settings: what all rows of a file have in common.

        Raises:
            Wrong: the directory cannot be written, or its file is another's, is damaged, has other settings, or is
                there without resume.
        """
        self.path = directory / NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            there = self.path.exists() and self.path.stat().st_size > 0
            if there and not resume:
                raise Wrong(
                    f"--out {directory}: it has results already; --resume goes on with them, or name another directory"
                )
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise Wrong(f"--out {directory}: it cannot be written: {error.strerror}") from None
        self._rows: dict[tuple[Any, ...], Row] = {}
        if there:
            self._rows = {key(row): row for row in read(self.path, settings)}
            text = self.path.read_bytes()
            # Without the end of a last line that a failing machine tore.
            os.ftruncate(self._file, text.rfind(b"\n") + 1)
        else:
            self._write({"format": FORMAT, "version": VERSION, "settings": settings})

    @property
    def rows(self) -> list[Row]:
        """The last row of each run."""
        return list(self._rows.values())

    def has(self, run: Row) -> bool:
        """Whether a run is finished; one that was skipped is not."""
        return self._rows.get(key(run), {"skipped": ""}).get("skipped") is None

    def add(self, row: Row) -> None:
        """Add a row to the file, as one write, which a kill does not tear."""
        self._write(row)
        self._rows[key(row)] = row

    def close(self) -> None:
        os.close(self._file)

    def _write(self, row: Row) -> None:
        line = (json.dumps(row, default=float) + "\n").encode()
        if os.write(self._file, line) != len(line):
            raise OSError(f"{self.path}: the disk is full; the rows before are kept")
        os.fsync(self._file)


def read(path: Path | str, settings: Row | None = None) -> list[Row]:
    """The last row of each run in a file, without a last line that was torn; settings are those it must have.

    Raises:
        Wrong: it is not such a file, a line is damaged, or the settings differ.
    """
    path = Path(path)
    *lines, _ = path.read_text(errors="replace").split("\n")
    head = _parsed(lines[0]) if lines else None
    if not head or head.get("format") != FORMAT:
        raise Wrong(f"{path}: it is not a file that pards reproduce wrote; nothing in it was touched")
    if head.get("version") != VERSION:
        raise Wrong(f"{path}: its format is version {head.get('version')}, this pards reads version {VERSION}")
    if settings is not None and head["settings"] != settings:
        other = ", ".join(f"{name} is {head['settings'].get(name)}" for name in differing(head["settings"], settings))
        raise Wrong(f"{path}: its rows were made with other settings ({other}); name another --out")
    rows: dict[tuple[Any, ...], Row] = {}
    for number, line in enumerate(lines[1:], 2):
        row = _parsed(line)
        if row == head:  # of a command that began at the same time
            continue
        if row is None or not {"figure", "method", "T", "seed"} <= row.keys():
            raise Wrong(f"{path}: line {number} is damaged: {line[:40]!r}; remove that line, the others are kept")
        rows[key(row)] = row
    return list(rows.values())


def differing(one: Row, other: Row) -> Iterable[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _parsed(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
