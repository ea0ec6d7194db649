"""The command line, as it is typed."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

import pards
import pards._lib

pytest.importorskip("typer", reason="the command line needs typer: pip install 'pards[demo]'")


def run(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pards", *arguments], capture_output=True, text=True, timeout=300, cwd=cwd
    )


def test_demo(tmp_path) -> None:
    picture = tmp_path / "picture.png"
    done = run("demo", "--quick", "--out", str(picture), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    for word in ("S5", "GRU", "Langevin", "newton", "picard", "capped at", "times faster"):
        assert word in " ".join(done.stdout.split())  # lines are broken to fit the terminal


def test_info() -> None:
    done = run("info")
    assert done.returncode == 0, done.stderr
    assert "library" in done.stdout
    assert "workers" in done.stdout
    told = json.loads(run("info", "--json").stdout)
    assert told["ABI"] == 1


def test_version() -> None:
    assert run("--version").stdout == f"pards {pards.__version__}\n"


def test_info_of_a_problem_says_what_it_took() -> None:
    told = json.loads(run("info", "--problem", "gru", "--batch", "3", "--json").stdout)
    assert {"problem": "gru", "D": 8, "T": 10_000, "B": 3, "dtype": "float32"}.items() <= told.items()
    assert told["states (bytes)"] == 3 * 10_000 * 8 * 4
    assert json.loads(run("info", "--problem", "s5_word", "--json").stdout)["D"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dim", "8", "--length", "1000000"], "--dim is of a solve, want --problem with it"),
        (["--method", "newton"], "--method is of a solve, want --problem with it"),
        (["--problem", "s5_word", "--dim", "7"], "dim is 7, want 5, which is the dimension of s5_word"),
    ],
)
def test_info_says_what_is_wrong(arguments, said) -> None:
    done = run("info", *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_bench(tmp_path) -> None:
    """Rows of every question and peer that is there; the file compares with itself."""
    rows = tmp_path / "rows.json"
    done = run("bench", "--quick", "--device", "cpu", "--json", str(rows), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(rows.read_text())["rows"]
    assert {r["name"] for r in found} >= {
        "scan diagonal",
        "scan dense",
        "scan identity",
        "solve S5",
        "solve GRU, D = 8",
    }
    flavours = {r["flavour"] for r in found}
    peers = {
        "jax": "jax.lax.scan",
        "torch": "torch.nn.GRU",
        "numba": "Numba loop",
        "accelerated_scan": "accelerated-scan",
    }
    for package, flavour in peers.items():
        there = importlib.util.find_spec(package) is not None
        assert there == (flavour in flavours)
        assert there == (package.replace("_", "-") not in done.stdout.partition("compared with: ")[2].partition(".")[0])
        assert flavour in done.stdout or not there
    assert all(r["error"] < 1e-3 for r in found if r["flavour"] != "memory copy")
    assert not any("missing" in r for r in found)
    done = run("bench", "--compare", str(rows), str(rows))
    assert done.returncode == 0, done.stderr
    assert "1.00 ± 0.00 | too few runs |" in done.stdout


def test_bench_compare(tmp_path) -> None:
    """The machine did not change, so a row that took longer beyond its spread fails, up to what --slower allows."""
    row = {"name": "scan", "device": "cpu", "spread": 0.0, "runs": 9}
    for name, seconds in (("old", 1.0), ("new", 1.5)):
        last = 5 if name == "old" else 6
        rows = [
            row | {"flavour": "NumPy loop", "seconds": 1.0, "axes": {"T": 1}},
            row | {"flavour": "pards", "seconds": seconds, "axes": {"T": 1}},
            row | {"flavour": "pards", "seconds": 1.0, "axes": {"T": last}},
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": {}, "rows": rows}))
    files = ["bench", "--compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    done = run(*files)
    assert done.returncode == 1, done.stderr
    assert "| scan T=1 cpu: pards | 1e+03 | 1.5e+03 | 1.50 ± 0.00 | slower |" in done.stdout
    assert "only in the old file: scan T=5 cpu: pards" in done.stdout
    assert run(*files, "--slower", "1.6").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scam"], "'scam' is not one of 'scan', 'solve', 'all'"),
        (["--device", "tpu"], "'tpu' is not one of 'cpu', 'cuda', 'auto'"),
        (["--json", "nowhere/rows.json"], "--json nowhere/rows.json: it cannot be written: No such file or directory"),
        (["--compare", "a.json", "a.json"], "--compare a.json: it cannot be read: No such file or directory"),
        (["--compare", "bad.json", "bad.json"], "--compare bad.json: it is not a file of rows that pards bench --json wrote"),
        (["--quick", "--compare", "a.json", "a.json"], "--compare measures nothing, so it goes without --quick and --json"),
    ],
)  # fmt: skip
def test_bench_says_what_is_wrong(arguments, said, tmp_path) -> None:
    (tmp_path / "bad.json").write_text('{"rows": [1]}')
    done = run("bench", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_bench_without_a_gpu(tmp_path) -> None:
    if not pards._lib.described()["gpu"]:
        pytest.skip("there is a GPU")
    done = run("bench", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 2
    assert "--device cuda: there is no GPU that pards can use" in " ".join(done.stderr.replace("│", " ").split())


def test_unknown_command() -> None:
    done = run("dmeo")
    assert done.returncode == 2
    assert "dmeo" in done.stderr
    assert "Traceback" not in done.stderr


def test_solution_in_a_notebook() -> None:
    p = pards.problems.gru(200, 3, 2)
    sol = p.solve(method="newton", trace=True)
    page = sol._repr_html_()
    assert "newton" in page
    assert "<svg" in page
    assert sol.trace.merit.shape == (np.max(sol.iterations) + 1, 2)
    axes = sol.plot()
    assert axes.get_xlabel() == "iteration"
    assert sol.plot(ax=axes) is axes
    assert "newton" in sol.explain()
    assert "updates" in sol.explain()


def test_explain_says_why_auto_chose() -> None:
    cell = pards.cells.Linear(np.eye(2) / 2, np.eye(2))
    sol = pards.solve(cell, np.zeros(2), np.ones((9, 2)))
    assert sol.method == "sequential"
    assert "native" in sol.explain()
    gru = pards.problems.gru(50, 3)
    assert gru.solve().method == "sequential"
    assert "soon made" in pards.solve(lambda x, u: 0.5 * x, np.zeros(40), np.ones((9, 1))).explain()
