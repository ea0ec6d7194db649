"""The report: one page with everything in it, to be opened in a browser, mailed or printed."""

from __future__ import annotations

import base64
import collections
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from . import _figures
from ._claims import Claim
from ._rows import NAME, Row

PAGE = "report.html"
_PAPER = (
    "Gonzalez et al., “A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems” (2025)"
)
_MARKS = {"holds": "✓", "differs": "≠", "not run": "–"}
_AXES = {"D": "D", "T": "T", "K": "wells K", "step": "step", "a": "a"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5a6570; --line: #d9dee3; --page: #fff; --card: #f6f8fa;
  --holds: #0a6b4b; --differs: #9a4a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #9aa6b2; --line: #38424c; --page: #14181c; --card: #1d2329;
    --holds: #5fd3a8; --differs: #ffb066; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; } h2 { font-size: 1.3rem; margin: 2.8rem 0 .6rem; }
p { margin: .5rem 0; } a { color: inherit; } .soft, figcaption, .note { color: var(--soft); font-size: .875rem; }
.sum { font-size: 1.1rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; } tbody th { font-weight: 400; }
.numbers th, .numbers td { white-space: nowrap; text-align: right; padding: .35rem .4rem .35rem .9rem; }
.numbers { width: auto; min-width: 60%; }
.verdict { white-space: nowrap; font-weight: 600; } .holds { color: var(--holds); } .differs { color: var(--differs); }
.found { color: var(--soft); } figure { margin: 1rem 0; } summary { cursor: pointer; margin: .5rem 0; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  body { padding: 1rem .8rem 3rem; } h1 { font-size: 1.5rem; } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; --holds: #000; --differs: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; } .numbers { font-size: 7pt; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def write(out: Path, rows: Iterable[Row], claims: Sequence[Claim], about: Mapping[str, str]) -> Path:
    """Write the report of all rows beside them, whole or not at all, with the figures that `_figures.draw` left there.

    about: what the reader wants to know of machine, versions and command, in the order to be shown.
    """
    rows = list(rows)
    figures = [name for name in _figures.TITLES if any(row["figure"] == name for row in rows)]
    sections = "".join(_section(out, name, [row for row in rows if row["figure"] == name]) for name in figures)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in about.items())
    text = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The paper, reproduced by pards</title><style>{_STYLE}</style></head><body>
<header><h1>The paper, reproduced</h1>
<p class="soft">The experiments of {escape(_PAPER)}, run again by pards.</p>
<p class="sum">{_summary(claims)}</p></header>
<main><section id="claims"><h2>What the paper says, and what was found</h2>{_claims(claims, figures)}</section>
{sections}
<section id="about"><h2>How it was measured</h2>
<p>Times are of whole calls, by the wall: the median of several after others that warm up, or of one call where it took
long (†). Updates are the median over the sequences of a batch and over seeds; ranges in the plots are over seeds. The
iteration stops at a merit of 5e-4, the paper's. {_link(out, NAME, "All rows")} are in a file beside this page.</p>
<dl>{facts}</dl></section></main></body></html>
"""
    path, begun = out / PAGE, out / f"{PAGE}.part"
    begun.write_text(text, encoding="utf-8")
    os.replace(begun, path)
    return path


def _summary(claims: Sequence[Claim]) -> str:
    counts = collections.Counter(claim.verdict for claim in claims)
    told = [f"{counts['holds']} hold", f"{counts['differs']} differ"]
    told += [f"{missing} {'was' if missing == 1 else 'were'} not run"] if (missing := counts["not run"]) else []
    return f"Of {len(claims)} claims {', '.join(told)}."


def _claims(claims: Sequence[Claim], figures: Sequence[str]) -> str:
    lines = list[str]()
    for claim in claims:
        kind = claim.verdict.replace(" ", "-")
        verdict = f'<td class="verdict {kind}">{_MARKS[claim.verdict]} {claim.verdict}</td>'
        figure = f'<a href="#{claim.figure}">{claim.figure}</a>' if claim.figure in figures else escape(claim.figure)
        found = f'<br><span class="found">{escape(claim.detail)}</span>' if claim.detail else ""
        lines.append(f'<tr><th scope="row">{figure}</th>{verdict}<td>{escape(claim.text)}{found}</td></tr>')
    head = _head(["figure", "verdict", "claim, and what was found"])
    return f'<div class="wide"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _section(out: Path, name: str, rows: list[Row]) -> str:
    title = _figures.TITLES[name]
    table = _theory(rows) if name in ("fig7", "fig8") else _measured(rows)
    return (
        f'<section id="{name}"><h2>{escape(title)}</h2>{_picture(out, name, title)}'
        f"<details open><summary>Numbers</summary>{table}</details>{_skipped(rows)}</section>\n"
    )


def _picture(out: Path, name: str, title: str) -> str:
    """The figure as it stands in its file, within the page, and links to the files."""
    path = out / f"{name}.svg"
    if not path.exists():
        return '<p class="note">There is no plot: none of it was run, or there is no matplotlib.</p>'
    data = base64.b64encode(path.read_bytes()).decode()
    links = " · ".join(_link(out, f"{name}.{kind}", kind.upper()) for kind in ("png", "svg"))
    alt = f"{escape(title)}: its numbers are in the table below"
    image = f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{image}<figcaption>{links}</figcaption></figure>"


def _link(out: Path, name: str, text: str) -> str:
    return f'<a href="{name}">{text}</a>' if (out / name).exists() else text


def _skipped(rows: list[Row]) -> str:
    """How many runs are missing, and the reasons by their frequency."""
    skipped = [row["skipped"] for row in rows if row.get("skipped") is not None]
    if not skipped:
        return ""
    kinds = collections.Counter("out of memory" if why.startswith("out of memory") else "no time" for why in skipped)
    told = ", ".join(f"{count} for want of {kind.split()[-1]}" for kind, count in kinds.most_common())
    return (
        f'<p class="note">{len(skipped)} of {len(rows)} runs were skipped: {told}. The first: {escape(skipped[0])}.</p>'
    )


def _head(names: Iterable[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead>"


def _table(head: Sequence[str], body: Iterable[tuple[Sequence[str], Sequence[str]]]) -> str:
    """A table of numbers, whose lines are headed by their sizes."""
    lines = "".join(
        "<tr>"
        + "".join(f'<th scope="row">{escape(size)}</th>' for size in sizes)
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for sizes, cells in body
    )
    return f'<div class="wide"><table class="numbers">{_head(head)}<tbody>{lines}</tbody></table></div>'


def _axes(rows: list[Row]) -> list[str]:
    """The sizes in which rows differ."""
    return [axis for axis in _AXES if len({row[axis] for row in rows}) > 1] or ["T"]


def _grouped(rows: list[Row], axes: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[axis] for axis in axes), []).append(row)
    return dict(sorted(groups.items()))


def _sizes(values: Iterable[Any]) -> list[str]:
    return [f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in values]


def _measured(rows: list[Row]) -> str:
    """Updates and time of each line of a figure, by size."""
    axes, names = _axes(rows), list(_figures.lines(rows))
    marks = set[str]()
    body = list[tuple[list[str], list[str]]]()
    for size, group in _grouped(rows, axes).items():
        of = _figures.lines(group)
        cells = [_cell(of.get(name, []), marks) for name in names]
        body.append((_sizes(size), cells))
    notes = {"*": "did not converge for every seed", "†": "timed once", "–": "not run"}
    told = "; ".join(f"{mark} {text}" for mark, text in notes.items() if mark in marks)
    note = f'<p class="note">Updates and time{"; " + told if told else ""}.</p>'
    return _table([*(_AXES[axis] for axis in axes), *names], body) + note


def _cell(rows: list[Row], marks: set[str]) -> str:
    found = _figures.done(rows)
    if not found:
        marks.add("–")
        return "–"
    special = "*" * (not all(row["success"] for row in found)) + "†" * any(row["once"] for row in found)
    marks |= set(special)
    updates, seconds = (statistics.median(row[what] for row in found) for what in ("iterations", "seconds"))
    return f"{_number(updates)} · {_time(seconds)}{special}"


_THEORY: dict[str, tuple[str, Callable[[Row], float]]] = {
    "|J − A|": ("", lambda row: row["numbers"]["distance"]),
    "|Jt⁻¹|": ("", lambda row: row["numbers"]["inverse"]),
    "rate": ("", lambda row: row["numbers"]["rate"]),
    "error after the last update": ("fig7", lambda row: row["numbers"]["errors"][-1]),
    "predicted updates": ("fig8", lambda row: row["numbers"]["predicted"]),
    "updates": ("fig8", lambda row: row["iterations"]),
}


def _theory(rows: list[Row]) -> str:
    """What theory computes of each method, by size: medians over seeds."""
    rows = _figures.done(rows)
    if not rows:
        return '<p class="note">None of it was run.</p>'
    figure, axes = rows[0]["figure"], _axes(rows)
    columns = {name: read for name, (only, read) in _THEORY.items() if only in ("", figure)}
    body = list[tuple[list[str], list[str]]]()
    for size, group in _grouped(rows, axes).items():
        for method, own in _figures.lines(group).items():
            cells = [_number(statistics.median(read(row) for row in own)) for read in columns.values()]
            body.append(([*_sizes(size), method], cells))
    return _table([*(_AXES[axis] for axis in axes), "method", *columns], body)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"


def _time(seconds: float) -> str:
    """A time of three digits in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
