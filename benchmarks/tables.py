"""Writes the tables of README.md from benchmarks/results, so that no figure there is typed by hand.

usage: python benchmarks/tables.py [--check]

Each table stands between the lines <!-- table: NAME --> and <!-- end -->. With --check nothing is written, and the exit status is 1 if
a table is not what the results say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import _harness
import numpy as np

from pards import reproduce
from pards.reproduce._claims import rank_correlation

RESULTS = Path(__file__).resolve().parent / "results"
README = _harness.ROOT / "README.md"
Case = dict[str, _harness.Row]  # the rows of one case by flavour


def by_case(rows: Iterable[_harness.Row]) -> list[Case]:
    """The cases of rows, in their order."""
    found: dict[str, Case] = {}
    for row in rows:
        found.setdefault(f"{row['name']} {row['axes']}", {})[row["flavour"]] = row
    return list(found.values())


def cases(*files: str) -> list[Case]:
    """The cases of result files, in their order."""
    return by_case(row for file in files for row in _harness.read(RESULTS / f"{file}.json"))


def jax_solve() -> str:
    """jax.lax.scan, and the paper's code, over pards.jax, and what is compiled in how much of the former's time."""
    rows = []
    for case in cases("in_jax-solve") + on_gpu("jax_solve"):
        scan = case["jax.lax.scan"]
        axes = scan["axes"]
        found = [case.get(f"pards.jax, {of}") for of in ("cell", "cell, auto", "function")]
        ratios = [times(scan["ratio"] / row["ratio"]) if row else "" for row in found]
        compiled = [times(row["compile_seconds"] / scan["compile_seconds"]) if row else "" for row in found[::2]]
        reference = times(case["reference"]["ratio"] / found[2]["ratio"]) if "reference" in case and found[2] else ""
        on, size = where(scan), f"{axes['B']} x {axes['T']} x {axes['D']}"
        rows.append([on, scan["name"], size, *ratios, reference, *compiled])
    head = [
        "on",
        "",
        "B x T x D",
        "`lax.scan` / cell",
        "/ cell by `auto`",
        "/ function",
        "the paper's code / function",
        "compiling a cell / `lax.scan`",
        "a function / `lax.scan`",
    ]
    return markdown(head, rows)


def on_gpu(program: str) -> list[Case]:
    """The cases of a program in what benchmarks/gpu/run wrote."""
    programs = json.loads((RESULTS / "gpu.json").read_text())["programs"]
    return by_case(programs[program]["rows"] if program in programs else [])


def where(row: _harness.Row) -> str:
    return "CPU" if row["device"] == "cpu" else "GPU"


def times(ratio: float) -> str:
    """A ratio with two digits that count."""
    return f"{ratio:.0f}" if ratio >= 9.5 else f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2g}"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def scan() -> str:
    """Peers over pards."""
    rows, found = [], cases("scan-diagonal", "scan-dense")
    names = {"jax.lax.associative_scan": "`associative_scan`", "jax.lax.scan": "`lax.scan`", "Numba loop": "Numba loop",
             "NumPy loop": "NumPy loop"}  # fmt: skip
    peers = [peer for peer in names if any(peer in case for case in found)]
    for case in found:
        own = case["pards"]
        axes = own["axes"]
        ratios = [times(case[peer]["ratio"]) if peer in case else "" for peer in peers]
        size = f"{axes['B']} x {axes['T']} x {axes['D']}"
        rows.append([own["name"].removeprefix("scan "), size, *ratios, f"{own['copy_share']:.0%}"])
    return markdown(["A", "B x T x D", *(names[peer] for peer in peers), "of a memory copy's speed"], rows)


def jax_scan() -> str:
    """Peers over pards.jax, on the cores and on a GPU."""
    rows = []
    for case in cases("in_jax-scan") + on_gpu("jax_scan"):
        own = case["pards.jax"]
        axes = own["axes"]
        peers = [
            times(case[peer]["ratio"]) if peer in case else "" for peer in ("jax.lax.associative_scan", "jax.lax.scan")
        ]
        share = f"{own['copy_share']:.0%}" if "copy_share" in own else ""
        size = f"{axes['B']} x {axes['T']} x {axes['D']}"
        rows.append([where(own), own["name"].removeprefix("scan "), size, *peers, share])
    return markdown(["on", "A", "B x T x D", "`associative_scan`", "`lax.scan`", "of a memory copy's speed"], rows)


def solve() -> str:
    """lax.scan over pards."""
    ratios: dict[tuple[str, str], dict[int, float]] = {}
    iterations: dict[tuple[str, str], str] = {}
    for case in cases("solve-cells"):
        for flavour, row in case.items():
            if flavour.startswith("pards"):
                found = row["name"], flavour
                ratios.setdefault(found, {})[row["axes"]["B"]] = case["jax.lax.scan"]["ratio"] / row["ratio"]
                iterations.setdefault(found, str(row["iterations"] or ""))
    rows = []
    for (name, flavour), ratio in ratios.items():
        rows.append(
            [
                name.removeprefix("solve "),
                f"`{flavour.removeprefix('pards ')}`",
                iterations[name, flavour],
                *(times(ratio[b]) for b in (1, 16)),
            ]
        )
    return markdown(
        ["problem, T = 10000, float32", "method", "updates", "`lax.scan` / pards, batch 1", "batch 16"], rows
    )


def callables() -> str:
    """The Python loop over pards, and over lax.scan."""
    rows = []
    for case in cases("solve-callables"):
        for flavour, row in case.items():
            if flavour != "Python loop":
                what = flavour.removeprefix("pards ")
                method, _, how = what.partition(", ")
                what = f"`{method}`{', ' + how if how else ''}"
                rows.append(
                    [
                        row["name"].removeprefix("solve NumPy "),
                        str(row["axes"]["B"]),
                        what,
                        str(row.get("iterations", "")),
                        times(1 / row["ratio"]),
                    ]
                )
    return markdown(["NumPy function, T = 10000", "batch", "solved by", "updates", "Python loop / this"], rows)


def overhead() -> str:
    """Microseconds of a tiny call, and of its parts."""
    rows = []
    for case in cases("overhead-tiny"):
        for flavour, row in case.items():
            call, library = 1e6 * row["call_seconds"], 1e6 * row.get("library_seconds", 0)
            parts = [f"{call - library:.0f}", f"{library:.0f}"] if library else ["", ""]
            rows.append([flavour.replace("jax.lax.scan", "`jax.lax.scan`, compiled"), f"{call:.0f}", *parts])
    return markdown(["T = 10, D = 2", "µs a call", "in Python", "in the library"], rows)


def predicted() -> str:
    """Predicted counts with those taken, and how well they and others agree in rank."""
    rows, pairs = list[list[str]](), list[_harness.Row]()
    methods: list[str] = []
    for case in cases("theory-predicted"):
        own = {flavour.removeprefix("pards "): row for flavour, row in case.items() if "predicted" in row}
        pairs += own.values()
        first = next(iter(own.values()))
        if first["axes"]["T"] == 1000:
            methods = list(own)
            counts = [f"{row['predicted']} ({row['iterations']})" for row in own.values()]
            rows.append([first["name"].removeprefix("predict "), *counts])
    table = markdown(["predicted (taken)", *(f"`{m}`" for m in methods)], rows)
    below = [row for row in pairs if row["iterations"] < row["axes"]["T"] - 1]
    (of, of_below), bounds, rates = (
        [agreement(some, column) for some in (pairs, below)] for column in ("predicted", "bound", "rate")
    )
    return (
        f"{table}\n\nSpearman's rank correlation of predicted and taken, T = 300 and 1000: {of} over all {len(pairs)} solves, "
        f"{of_below} over the {len(below)} that took fewer than T - 1 updates. "
        f"Proposition 3's bound by itself, which knows norms alone and says T where its rate is above 1, has {' and '.join(bounds)}, "
        f"its rate {' and '.join(rates)}."
    )


def auto() -> str:
    """auto over the loop and over the best of all fixed choices, a row a model."""
    found: dict[str, dict[int, str]] = {}
    shares, over = list[float](), list[float]()
    for case in cases("solve-auto"):
        own, loop = case["pards auto"], case["pards sequential"]
        fixed = {k: v for k, v in case.items() if k != "pards auto" and v["status"] in ("converged", "floor")}
        shares.append(own["ratio"] / min(row["ratio"] for row in fixed.values()))
        over.append(own["ratio"] / loop["ratio"])
        iterated = "" if own["method"] == "sequential" else " *"
        text = f"{times(over[-1])} ({times(shares[-1])}){iterated}"
        found.setdefault(own["name"].removeprefix("auto "), {})[own["axes"]["T"]] = text
    lengths = sorted({T for row in found.values() for T in row})
    head = ["time of `auto` / the loop (/ best fixed)", *(f"T = {T:,}" for T in lengths)]
    rows = [[name, *(row.get(T, "") for T in lengths)] for name, row in found.items()]
    return (
        f"{markdown(head, rows)}\n\n* an iteration took part; else `auto` took the loop. Over these {len(over)} solves it took "
        f"{times(float(np.median(shares)))} times as long as the best fixed choice in the median, {times(max(shares))} times at most; "
        f"and {times(float(np.median(over)))} times as long as the loop in the median, {times(max(over))} times at most."
    )


HOW = ("whole", "clip", "damping", "windows")


def globalised() -> str:
    """What the rotated iteration does in each way, and others in windows."""
    rows = []
    for case in cases("solve-globalised"):

        def told(method: str, how: str, case: Case = case) -> str:
            row = case.get(f"pards {method}, {how}")
            if row is None:
                return ""
            if row["status"] in ("converged", "floor"):
                return f"{row['updates']:.3g}"
            return "overflows" if row["status"] == "nonfinite" else "not in 100"

        name = next(iter(case.values()))["name"].removeprefix("globalised Langevin, ")
        rows.append(
            [
                name,
                *(told("rotated_quasi_newton", how) for how in HOW),
                *(told(method, how) for method in ("quasi_newton", "newton") for how in ("whole", "windows")),
                case["pards auto"]["status"],
            ]
        )
    ways = [f"rotated, {how}" for how in HOW]
    others = [f"{method}, {how}" for method in ("quasi", "newton") for how in ("whole", "windows")]
    return markdown(["Langevin chain, T = 10000", *ways, *others, "`auto`"], rows)


def agreement(rows: list[_harness.Row], column: str) -> str:
    """The rank correlation of a column with the counts that were taken."""
    return f"{rank_correlation([row[column] for row in rows], [row['iterations'] for row in rows]):.3f}"


def aimed(name: str, peer: str, D: int, T: int) -> int | None:
    """How many times as fast as a peer pards is meant to be on a GPU."""
    if peer == LAX:
        return None if T == 1000 else 20
    if peer == TORCH:
        return {1000: 10, 30000: 50}.get(T)
    if name == "langevin":
        return 10 if T == 1000 else 50
    return 40 if (name, D, T) == ("gru exchanged", 8, 30000) else 20


PAPER, TORCH, LAX, LOOP = "the paper's code", "`torch.nn.GRU`", "`lax.scan`", "own `sequential`"


def gpu_solve() -> str:
    """A peer's wall over the device's time of pards, and over its wall."""
    cells: dict[tuple[str, int, str], dict[int, str]] = {}
    alone = kernels()
    for case in on_gpu("solve") + on_gpu("langevin"):
        first = next(iter(case.values()))
        name, D, T = first["name"], first["axes"]["D"], first["axes"]["T"]
        parallel = [row for f, row in case.items() if f.startswith("pards") and "sequential" not in f]
        wall = min(row["seconds"] for row in parallel)
        known = alone.get((name.removesuffix(" exchanged"), first["axes"]["B"], D, T))
        device = known["device_seconds"] if known else min(row["event_seconds"] for row in parallel)
        peers = {
            PAPER: [row for f, row in case.items() if f.startswith("reference")],
            TORCH: [row for f, row in case.items() if f == "torch.nn.GRU"],
            LAX: [row for f, row in case.items() if f == "lax.scan"],
            LOOP: [row for f, row in case.items() if f == "pards sequential"],
        }
        for peer, rows in peers.items():
            if not rows:
                continue
            peers_wall, aim = min(row["seconds"] for row in rows), None if peer == LOOP else aimed(name, peer, D, T)
            wanted = f" of {aim}" if aim else ""
            text = f"{times(peers_wall / device)}{wanted}, {times(peers_wall / wall)} ({1e6 * device:.0f}, {1e6 * wall:.0f})"
            cells.setdefault((name, D, peer), {})[T] = text
    lengths = sorted({T for found in cells.values() for T in found})
    problems = list(dict.fromkeys(name for name, _, _ in cells))
    ordered = sorted(cells.items(), key=lambda cell: (problems.index(cell[0][0]), cell[0][1]))
    rows = [[name, str(D), peer, *(found.get(T, "") for T in lengths)] for (name, D, peer), found in ordered]
    return markdown(["problem, batch 16", "D", "against", *(f"T = {T}" for T in lengths)], rows)


def kernels() -> dict[tuple[str, int, int, int], _harness.Row]:
    """The row of the kernels' time alone of the fastest method, by problem, B, D and T, where it is known."""
    found: dict[tuple[str, int, int, int], _harness.Row] = {}
    for case in on_gpu("kernels"):
        parallel = [row for f, row in case.items() if "sequential" not in f and "device_seconds" in row]
        best = min(parallel, key=lambda row: row["device_seconds"])
        found[(best["name"], *(best["axes"][axis] for axis in "BDT"))] = best
    return found


def gpu_scan() -> str:
    """associative_scan over the device's time of pards."""
    rows, alone = [], kernels()
    for case in on_gpu("scan"):
        own, peer = case["pards"], case.get("jax.lax.associative_scan")
        B, T, D = (own["axes"][axis] for axis in "BTD")
        known = alone.get((own["name"], B, D, T))
        row, clock = (known, "device") if known else (own, "event")
        device, share_of_copy = row[f"{clock}_seconds"], row[f"{clock}_copy_share"]
        dense, big = own["name"] == "scan dense", own["bytes"] >= 32e6
        aim = {16: 8, 32: 4, 64: 3}.get(D, 10) if dense or not big else None
        share = None if aim else 0.9 if own["bytes"] >= 256e6 else 0.75
        ratio = times(peer["seconds"] / device) + "x" + (f" of {aim}" if aim else "") if peer else ""
        copy = f"{share_of_copy:.0%}" + (f" of {share:.0%}" if share else "")
        size = f"{B} x {T} x {D}"
        rows.append([own["name"].removeprefix("scan "), size, f"{1e6 * device:.0f}", ratio, copy])
    return markdown(["A", "B x T x D", "µs", "`associative_scan`", "of a copy's speed"], rows)


def gpu_first() -> str:
    """Seconds of a process's first solve."""
    rows = [
        [f"`{next(iter(case.values()))['axes']['method']}`", *(f"{row['seconds']:.2f}" for row in case.values())]
        for case in on_gpu("first")
    ]
    return markdown(["first solve of a GRU, D = 8", "nothing on disk", "kernel on disk"], rows)


def gpu_fixed() -> str:
    """Microseconds of calls with next to nothing to compute."""
    (case,) = on_gpu("fixed")
    rows = [[name.removeprefix("pards, "), f"{1e6 * row['seconds']:.0f}"] for name, row in case.items()]
    return markdown(["a GRU of 100 steps, D = 4, from", "µs"], rows)


def gpu_loop() -> str:
    """How many times as long as the plain loop others take, which takes the milliseconds that stand first."""
    rows = []
    for case in on_gpu("loop"):
        own = case["pards sequential"]
        others = [case.get(name) for name in ("lax.scan", "torch.nn.GRU", "pards newton", "pards quasi_newton")]
        ratios = [times(row["seconds"] / own["seconds"]) if row else "" for row in others]
        rows.append([str(own["axes"]["D"]), f"{1e3 * own['seconds']:.1f}", *ratios])
    return markdown(["GRU, B = 16, T = 10000, D", "ms", LAX, TORCH, "`newton`", "`quasi_newton`"], rows)


def gpu_choose() -> str:
    """auto's time over that of the faster fixed choice; a star where it took the loop."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    over = list[float]()
    for case in on_gpu("choose"):
        own = case["pards auto"]
        over.append(own["seconds"] / min(row["seconds"] for f, row in case.items() if f != "pards auto"))
        B, T, D = (own["axes"][axis] for axis in "BTD")
        star = " *" if own["method"] == "sequential" else ""
        found.setdefault((own["name"].removeprefix("choose "), D), {})[f"{B} x {T:,}"] = times(over[-1]) + star
    sizes = list(dict.fromkeys(size for row in found.values() for size in row))
    rows = [[f"{name}, D = {D}", *(row.get(size, "") for size in sizes)] for (name, D), row in found.items()]
    return (
        f"{markdown(['`auto` / best fixed, B x T', *sizes], rows)}\n\n* `auto` took the loop. Over these {len(over)} sizes it took "
        f"{times(float(np.median(over)))} times as long as the better of the loop and the iteration in the median, {times(max(over))} at most."
    )


def on_each(table: Callable[[str], str]) -> Callable[[], str]:
    """A table of each machine that has told what its cores do beside their peers."""

    def tables() -> str:
        texts = []
        for path in sorted(RESULTS.glob("cpu-peers*.json")):
            machine = json.loads(path.read_text())["machine"]
            texts.append(f"{machine['cores']} cores, {machine['processor']}:\n\n{table(path.stem)}")
        return "\n\n".join(texts)

    return tables


def peers(file: str, part: str) -> list[tuple[Case, ...]]:
    """The cases of a part, those that differ in their dtype alone together, float32 first."""
    found: dict[str, list[Case]] = {}
    for case in cases(file):
        first = next(iter(case.values()))
        if first["name"].startswith(part + " "):
            axes = {k: v for k, v in first["axes"].items() if k != "dtype"}
            found.setdefault(f"{first['name']} {axes}", []).append(case)
    return [tuple(group) for group in found.values()]


def reached(group: Iterable[Case], peer: str, aim: float, own: str = "") -> str:
    """How many times as long as pards a peer takes in each dtype, and in brackets what it is to be."""
    ratios = [times(case[peer]["ratio"] / (case[own]["ratio"] if own else 1)) for case in group if peer in case]
    return f"{', '.join(ratios)} ({aim:g})" if ratios else ""


def cpu_loops(file: str) -> str:
    """The loops of others over the plain loop of pards, and one worker over as many as there are cores."""
    rows = []
    for group in peers(file, "loop"):
        first = group[0]["pards sequential"]
        name, batch = first["name"].removeprefix("loop "), first["axes"]["B"]
        aim = {("GRU", 1): 6, ("GRU", 16): 15}.get((name[:3], batch), 3 if batch == 1 else 10)
        alone = [times(case[ONE]["ratio"]) for case in group if ONE in case]
        others = [reached(group, "torch.nn.GRU", 5), reached(group, "Numba loop", 1.5), ", ".join(alone)]
        rows.append([name, str(batch), reached(group, "jax.lax.scan", aim), *others])
    return markdown(["loop, T = 30000", "batch", "`lax.scan`", "`torch.nn.GRU`", "Numba", "one worker"], rows)


ONE = "pards sequential, one worker"


def cpu_scans(file: str) -> str:
    """The scans of others over pards, and the share of a copy's speed."""
    rows = []
    for group in peers(file, "scan"):
        first = group[0]["pards"]
        B, T, D = (first["axes"][axis] for axis in "BTD")
        diagonal = first["name"] == "scan diagonal"
        shares = [f"{case['pards, out=' if diagonal else 'pards']['copy_share']:.0%}" for case in group]
        copy = ", ".join(shares) + (" (80%)" if diagonal else "")
        ratios = [reached(group, "jax.lax.associative_scan", 6 if D == 32 else 10), reached(group, "jax.lax.scan", 3)]
        numba = ", ".join(times(case["Numba loop"]["ratio"]) for case in group if "Numba loop" in case)
        rows.append([first["name"].removeprefix("scan "), f"{B} x {T} x {D}", *ratios, numba, copy])
    head = ["A", "B x T x D", "`associative_scan`", "`lax.scan`", "Numba loop", "of a copy's speed"]
    return markdown(head, rows)


def cpu_paper(file: str) -> str:
    """The paper's code over pards, a row a method."""
    found: dict[tuple[str, int, str], dict[int, str]] = {}
    for (case,) in peers(file, "paper"):
        own, reference = case.values()
        axes = own["axes"]
        text = f"{times(reference['ratio'])} ({own['iterations']})"
        found.setdefault((own["name"].removeprefix("paper "), axes["D"], axes["method"]), {})[axes["T"]] = text
    lengths = sorted({T for row in found.values() for T in row})
    rows = [
        [name, str(D), f"`{method}`", *(row.get(T, "") for T in lengths)] for (name, D, method), row in found.items()
    ]
    return markdown(["problem", "D", "method", *(f"T = {T}" for T in lengths)], rows)


def cpu_windows(file: str) -> str:
    """The plain loop over the rotated iteration, whole and in windows."""
    (group,) = peers(file, "windows")
    rows = []
    for case in group:
        rotated = {name.partition("window=")[2]: row for name, row in case.items() if "window=" in name}
        dtype = case["pards sequential"]["axes"]["dtype"]
        rows.append([dtype, *(times(1 / row["ratio"]) for row in rotated.values())])
    return markdown(["loop / rotated, D = 64", *(f"`window={w}`" for w in rotated)], rows)


def claims() -> str:
    """The paper's statements on its three main figures beside what the rows say, and those figures where a GPU made them."""
    gpu = (RESULTS / "reproduced").exists()
    folder = RESULTS / ("reproduced" if gpu else "reproduce-cpu")
    found = [
        claim
        for claim in reproduce.check(reproduce.read(folder / "rows.jsonl"))
        if claim.figure in ("fig2", "fig3", "fig4") and (gpu or "faster" not in claim.text)
        if not claim.text.startswith("(pards' own)") and claim.verdict != "not run"
    ]
    rows = [[claim.figure.removeprefix("fig"), claim.text, claim.verdict, claim.detail] for claim in found]
    figures = [f"![figure {n}](benchmarks/results/reproduced/fig{n}.svg)" for n in (2, 3, 4)] if gpu else []
    return "\n\n".join([markdown(["figure", "the paper", "verdict", "found"], rows), *figures])


def gpu_auto() -> str:
    """The plain loop's time over that of auto on a GPU, and auto's over that of the fastest other method, of the paper's runs."""
    cells: dict[str, dict[int, str]] = {}
    # By figure too: methods of one were run after one another.
    groups: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    for row in reproduce.read(RESULTS / "reproduced" / "rows.jsonl"):
        if row.get("success") and row.get("seconds"):
            group = groups.setdefault((row["figure"], run_of(row), row["T"]), {})
            group.setdefault(row["method"], []).append(row["seconds"])
    for (_, name, T), found in groups.items():
        seconds = {method: float(np.median(times)) for method, times in found.items()}
        if {"auto", "sequential"} <= seconds.keys():  # a size may be begun
            own = seconds.pop("auto")
            text = f"{times(seconds['sequential'] / own)} ({times(own / min(seconds.values()))})"
            cells.setdefault(name, {}).setdefault(T, text)
    lengths = sorted({T for found in cells.values() for T in found})
    rows = [[name, *(found.get(T, "") for T in lengths)] for name, found in cells.items()]
    return markdown(["the loop / `auto` (`auto` / best fixed)", *(f"T = {T:,}" for T in lengths)], rows)


def run_of(row: dict[str, Any]) -> str:
    """The problem of a row of the paper's figures, without its length; Langevin has two wells and steps of 1e-5 where none are told."""
    parts = [row["problem"]]
    if row["problem"] != "S5":
        parts.append(f"D = {row['D']}")
    if row["K"] not in (None, 2):
        parts.append(f"{row['K']} wells")
    if row["step"] not in (None, 1e-5):
        parts.append(f"step {row['step']:.0e}".replace("e-0", "e-"))
    return ", ".join(parts)


TABLES: dict[str, Callable[[], str]] = {
    "scan": scan,
    "jax_scan": jax_scan,
    "jax_solve": jax_solve,
    "solve": solve,
    "callables": callables,
    "overhead": overhead,
    "predicted": predicted,
    "auto": auto,
    "globalised": globalised,
    "claims": claims,
}
if (RESULTS / "cpu-peers.json").exists():
    TABLES |= {table.__name__: on_each(table) for table in (cpu_loops, cpu_scans, cpu_paper, cpu_windows)}
if (RESULTS / "gpu.json").exists():  # which a machine with a GPU has to make first
    TABLES |= {
        "gpu_auto": gpu_auto,
        "gpu_solve": gpu_solve,
        "gpu_scan": gpu_scan,
        "gpu_first": gpu_first,
        "gpu_fixed": gpu_fixed,
        "gpu_loop": gpu_loop,
        "gpu_choose": gpu_choose,
    }


def written(text: str) -> str:
    """The text with its tables as the results have them."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?\n?(<!-- end -->)", table, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = README.read_text()
    new = written(text)
    if options.check:
        sys.exit(
            "README.md has tables that are not those of benchmarks/results: python benchmarks/tables.py"
            if new != text
            else 0
        )
    README.write_text(new)


if __name__ == "__main__":
    main()
