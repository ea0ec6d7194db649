"""The benchmarks run, two files of results compare, and README shows what the results say."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pards
from pards._bench import compare, harness

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
PROGRAMS = sorted(path for path in FOLDER.glob("*/*.py") if path.parent.name != "gpu")  # those need one


@pytest.fixture
def module(monkeypatch):
    """The importer of a module of the folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def row(flavour: str, seconds: float, spread: float = 0.0, runs: int = 9, **axes: int) -> dict:
    return {
        "name": "scan",
        "axes": axes,
        "flavour": flavour,
        "device": "cpu",
        "seconds": seconds,
        "spread": spread,
        "runs": runs,
    }


@pytest.mark.jax
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_quick(program: Path, tmp_path) -> None:
    pytest.importorskip("jax", reason="the benchmarks compare with JAX: pip install '.[bench]'")
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, program, out, "--quick"], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert rows
    for found in rows:
        assert found.keys() >= {
            "name",
            "axes",
            "flavour",
            "device",
            "seconds",
            "spread",
            "runs",
            "compile_seconds",
            "ratio",
            "versions",
            "commit",
        }
        assert found["seconds"] > 0
        assert found["device"] == "cpu"


def test_measure(module) -> None:
    """Flavours are compared, inputs rotate, and the ratio is that of the seconds."""
    harness = module("_harness")
    seen: dict[str, list] = {"a": [], "b": []}
    now = 0.0

    def flavour(name: str, seconds: float):
        def work(x):
            nonlocal now
            now += seconds
            seen[name].append(x)
            return [1.0]

        return harness.by(work)

    def clock(work) -> float:
        start = now
        work()
        return now - start

    case = harness.Case("c", {"T": 1}, [(0,), (1,), (2,)], {"a": flavour("a", 1e-3), "b": flavour("b", 2e-3)})
    a, b = harness.measure(case, harness.Settings(least=6, budget=0), clock)
    assert a["seconds"] == pytest.approx(1e-3)
    assert b["seconds"] == pytest.approx(2e-3)
    assert b["ratio"] == pytest.approx(2)
    assert a["runs"] == b["runs"] == 6
    assert seen["a"][-6:] == seen["b"][-6:] == [0, 1, 2, 0, 1, 2]


def test_what_takes_long_is_called_once_or_gives_up(module) -> None:
    harness, calls = module("_harness"), {"pards loop": 0, "pards late": 0, "peer": 0}

    def flavour(name: str):
        def work():
            calls[name] += 1
            if name == "pards late":
                raise TimeoutError("longer than 20 s")
            return 1.0

        return harness.by(work)

    def clock(work) -> float:
        work()
        return 20.0

    case = harness.Case("c", {}, [()], {name: flavour(name) for name in calls})
    rows = harness.measure(case, harness.Settings(), clock)
    assert [row["flavour"] for row in rows] == ["pards loop", "peer"]
    assert [row["runs"] for row in rows] == [1, 1]
    assert rows[0]["missing"] == {"pards late": "TimeoutError: longer than 20 s"}
    assert calls == {"pards loop": 1, "pards late": 1, "peer": 1}

    with pytest.raises(TimeoutError):  # what all are compared with
        harness.measure(harness.Case("c", {}, [()], {"pards late": flavour("pards late")}), harness.Settings())


def test_flavours_that_disagree_are_refused(module) -> None:
    harness = module("_harness")
    case = harness.Case("c", {}, [()], {"a": harness.by(lambda: 1.0), "b": harness.by(lambda: 1.1)}, tolerance=0.01)
    with pytest.raises(ValueError, match=r"b is 0\.1 off the result of a, want at most 0\.01"):
        harness.measure(case, harness.Settings(quick=True))


def test_a_copy_on_a_gpu_is_measured_beside_inputs_in_turn() -> None:
    """By JAX, on whichever device it has here."""
    pytest.importorskip("jax")
    case = harness.Case(
        "c", {}, [(0,), (1,), (2,)], {"a": harness.by(float)}, 1000, copy=harness.copying_on("cuda"), tolerance=3
    )
    _, copy = harness.measure(case, harness.Settings(budget=0))
    assert copy["flavour"] == harness.COPY and copy["seconds"] > 0


def test_compare() -> None:
    """The machine was twice as slow; of pards' rows one kept up, one became slower, one is noise, and one was run too little."""
    old = [
        row("NumPy loop", 1.0, T=1),
        row("pards", 1.0, T=1),
        row("pards", 1.0, T=2),
        row("pards", 1.0, 0.3, T=3),
        row("pards", 1.0, runs=1, T=4),
    ]
    new = [
        row("NumPy loop", 2.0, T=1),
        row("pards", 1.0, T=1),
        row("pards", 3.0, T=2),
        row("pards", 2.5, T=3),
        row("pards", 9.0, runs=1, T=4),
    ]
    found, machine = compare.changes(old, new)
    assert machine == 2
    assert [c.verdict for c in found if c.pards] == ["faster", "slower", "noise", "too few runs"]
    assert [c.ratio for c in found if c.pards] == [0.5, 1.5, 1.25, 4.5]


def test_against(module) -> None:
    """Two processes of one program take turns over the same cases; what both have is told, what the commit lacked is not measured."""
    against, program = module("against"), FOLDER / "scan" / "identity.py"
    pytest.importorskip("jax", reason="the benchmarks compare with JAX: pip install '.[bench]'")
    settings = module("_harness").Settings(quick=True)
    package = Path(pards.__file__).resolve().parents[1]
    before, now = (against.Side(program, package, ["--quick"]) for _ in range(2))
    rows = list(against.measured(before, now, "B': 16", settings))
    assert [(r["name"], r["flavour"], r["axes"]["B"]) for r in rows] == [("scan identity", "pards", 16)]
    assert rows[0]["before"] > 0
    assert rows[0]["seconds"] > 0
    assert before.ask("find", "scan identity", {"B": 3}) is None
    assert before.ask("find", "scan identity", rows[0]["axes"]) == ["scan identity", rows[0]["axes"], ["pards"]]
    before.close()
    now.close()


def test_against_joins_pairs(module) -> None:
    """Noise is what the pairs differ by, at least 5 %."""
    against = module("against")

    def verdict(*ratios: float) -> str:
        rows = [row("pards", r, T=1) | {"ratio": r, "before": 1.0, "ratio_spread": 0.0} for r in ratios]
        return against.change(against.joined(rows)).verdict

    assert verdict(1.2, 1.21, 1.22) == "slower"
    assert verdict(1.2, 1.4, 1.1) == "noise"
    assert verdict(1.04, 1.04, 1.04) == "noise"
    assert verdict(0.8, 0.8, 0.8) == "faster"
    assert verdict(2.0) == "too few runs"


def test_readme_shows_the_results(module) -> None:
    tables = module("tables")
    text = tables.README.read_text()
    shown = set(re.findall(r"<!-- table: (\w+) -->", text))
    assert shown == tables.TABLES.keys()
    assert tables.written(text) == text, "python benchmarks/tables.py"
    assert tables.written("<!-- table: scan -->\nanything\n<!-- end -->") in text
