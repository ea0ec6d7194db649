"""The command line, as it is typed."""

import json
import subprocess
import sys

import numpy as np
import pytest

import pards

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
