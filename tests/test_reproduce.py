"""`pards reproduce`: its counts against the statement of the semantics, runs that are cut off, and what it says of bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import spec

import pards
import pards._lib

pytest.importorskip("typer", reason="the command line needs typer: pip install 'pards[demo]'")

from pards import reproduce

FIG3 = ("fig3", "--quick", "--device", "cpu")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pards", "reproduce", *arguments]


def run(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=400, cwd=cwd)


def said(done: subprocess.CompletedProcess) -> str:
    """What was printed, without the lines and frames that fit the terminal."""
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())


def counts(directory: Path, figure: str) -> dict[tuple, list]:
    """The updates of each run of a figure."""
    names = ("method", "D", "T", "K", "step", "a", "seed")
    rows = [row for row in reproduce.read(directory / "rows.jsonl") if row["figure"] == figure]
    return {tuple(row[name] for name in names): row.get("counts", row["iterations"]) for row in rows}


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> tuple[Path, str]:
    """All figures, quickly: the directory and what was printed."""
    out = tmp_path_factory.mktemp("all")
    done = run("all", "--quick", "--device", "cpu", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out, said(done)


def test_every_figure_and_claim(everything) -> None:
    out, printed = everything
    rows = reproduce.read(out / "rows.jsonl")
    assert {row["figure"] for row in rows} == {"fig2", "fig3", "fig4", "fig7", "fig8", "fig9", "fig10"}
    assert not [row for row in rows if row.get("skipped")]
    assert all(
        "auto" in {row["method"] for row in rows if row["figure"] == f}
        for f in ("fig2", "fig3", "fig4", "fig9", "fig10")
    )
    # What does not depend on the time that anything takes. The claim about memory has no rows at these sizes.
    verdicts = {(claim.figure, claim.text): claim.verdict for claim in reproduce.check(rows)}
    timed = ("faster", "at most 1.3 times as long")
    exact = {claim: v for claim, v in verdicts.items() if not any(word in claim[1] for word in timed)}
    assert [claim for claim, v in exact.items() if v != "holds"] == [
        ("fig4", "(pards' own) Newton in windows solves what the paper had no memory for")
    ]
    for words in ("holds A single Newton iteration solves S5 at every T 1 at T = 100 to 1000", "The rows are in"):
        assert words in printed


def test_one_figure_is_told_of_itself(tmp_path) -> None:
    printed = said(run("fig7", "--quick", "--device", "cpu", "--seeds", "1", "--out", str(tmp_path)))
    assert "fig7 holds Proposition 3" in printed and "Picard is better for a near 1" in printed
    assert "not run" not in printed and "fig2" not in printed


def test_counts_are_those_of_the_semantics(everything) -> None:
    found = counts(everything[0], "fig3")
    p = pards.problems.gru(100, 2, 4, 1)
    theirs = spec.GRU(p.cell.weight_ih, p.cell.weight_hh, p.cell.bias, p.cell.bias_n)
    for method in ("newton", "quasi_newton", "picard", "jacobi"):
        nonfinite = "reset" if method == "picard" else "stop"
        want = spec.solve(
            theirs, p.x0, p.inputs, getattr(spec, method), guess=p.guess, merit_tol=5e-4, nonfinite=nonfinite
        )
        off = np.subtract([one.iterations for one in want], found[method, 2, 100, None, None, None, 1])
        assert np.abs(off).max() <= (method == "picard")  # its iterates grow first, so rounding decides within one


def test_exchanged_arguments_are_another_model(tmp_path, everything) -> None:
    done = run("fig3", "--quick", "--exchanged", "--seeds", "1", "--device", "cpu", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = counts(tmp_path, "fig3")
    p = pards.problems.gru(300, 4, 4, 0, exchanged=True)
    want = p.solve(method="jacobi", merit_tol=5e-4).iterations.tolist()
    assert found["jacobi", 4, 300, None, None, None, 0] == want
    assert found != {key: n for key, n in counts(everything[0], "fig3").items() if key in found}


def test_a_kill_loses_no_finished_row(tmp_path, everything) -> None:
    """Killed in the middle and resumed, with the end of a line torn: the same runs and counts as at one go."""
    arguments = ("fig4", "--quick", "--device", "cpu", "--out", str(tmp_path))
    rows, begun = tmp_path / "rows.jsonl", time.monotonic()
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL) as process:
        while not rows.exists() or rows.read_bytes().count(b"\n") < 12:
            assert time.monotonic() - begun < 60, "it writes no rows"
            time.sleep(0.005)
        process.kill()
    finished = rows.read_bytes()
    assert finished.count(b"\n") < 60, "it was not killed in the middle"
    rows.write_bytes(finished + b'{"figure": "fig4", "meth')
    done = run(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "runs are in" in said(done)
    assert rows.read_bytes().startswith(finished)
    assert counts(tmp_path, "fig4") == counts(everything[0], "fig4")
    before = rows.read_bytes()
    assert run(*arguments, "--resume").returncode == 0
    assert rows.read_bytes() == before  # there was nothing left


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal of POSIX")
def test_ctrl_c(tmp_path) -> None:
    arguments = ("fig4", "--quick", "--device", "cpu", "--out", str(tmp_path))
    rows, begun = tmp_path / "rows.jsonl", time.monotonic()
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - which what runs in a shell's background is not
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command(*arguments), preexec_fn=heard, **piped) as process:
        while not rows.exists() or rows.read_bytes().count(b"\n") < 6:
            assert time.monotonic() - begun < 60, "it writes no rows"
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        printed = process.stdout.read()
    assert process.returncode == 130, printed
    assert "--resume goes on with them" in " ".join(printed.split())
    assert "Traceback" not in printed
    assert len(reproduce.read(rows)) >= 5


def test_what_the_budget_skips_is_said_and_done_later(tmp_path) -> None:
    arguments = ("fig2", "--quick", "--seeds", "1", "--device", "cpu", "--out", str(tmp_path))
    done = run(*arguments, "--budget", "0.001")
    assert done.returncode == 0, done.stderr
    rows = reproduce.read(tmp_path / "rows.jsonl")
    assert {row.get("skipped") for row in rows[1:]} == {"the budget was spent"}
    assert "runs were skipped" in said(done)
    assert {claim.verdict for claim in reproduce.check([])} == {"not run"}
    done = run(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    after = reproduce.read(tmp_path / "rows.jsonl")
    assert [(row["method"], row["T"]) for row in after] == [(row["method"], row["T"]) for row in rows]
    assert {row.get("skipped") for row in after} == {None}  # what was skipped first is read no more


def test_parts_at_once_make_the_whole(tmp_path, everything) -> None:
    """Two processes that begin one directory, each with its seeds: the runs and counts of one that does all."""
    with ExitStack() as both:
        started = [
            both.enter_context(
                subprocess.Popen(command(*FIG3, "--part", part, "--resume", "--out", str(tmp_path)), **QUIET)
            )
            for part in ("1/2", "2/2")
        ]
    assert [process.returncode for process in started] == [0, 0]
    assert counts(tmp_path, "fig3") == counts(everything[0], "fig3")
    done = run(*FIG3, "--part", "2/2", "--resume", "--out", str(tmp_path))
    assert "36 of 36 runs are in" in said(done)


def test_a_header_twice_is_no_damage(tmp_path) -> None:
    """Of two commands that began at once."""
    head = {"format": "pards reproduce", "version": 1, "settings": {}}
    row = {"figure": "fig2", "method": "newton", "T": 100, "seed": 0}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (head, head, row)))
    assert reproduce.read(path) == [row]


def test_claims_that_differ_are_said(everything) -> None:
    """Rows that say otherwise change the verdict, and its number."""
    rows = reproduce.read(everything[0] / "rows.jsonl")

    def verdict(text: str, change) -> tuple[str, str]:
        changed = [change(json.loads(json.dumps(row))) for row in rows]
        (claim,) = [claim for claim in reproduce.check(changed) if claim.text == text]
        return claim.verdict, claim.detail

    def second(row):  # one sequence of one run takes a second update
        if (row["figure"], row["method"], row["T"], row["seed"]) == ("fig2", "newton", 300, 1):
            row["counts"][2] = 2
        return row

    def fast(row):
        return row | {"seconds": 1e-9 if row["method"] == "newton" else 1.0} if "seconds" in row else row

    def loose(row):
        if row["figure"] == "fig7" and row["method"] == "jacobi":
            row["numbers"]["errors"][3] = row["numbers"]["errors"][2]
        return row

    assert verdict("A single Newton iteration solves S5 at every T", second) == ("differs", "1 to 2 at T = 100 to 1000")
    assert verdict("Newton is faster than the sequential loop on S5", fast)[0] == "holds"
    assert verdict("Other methods can be faster than Newton", fast)[0] == "differs"
    text = "Proposition 3 bounds the error of every update, exactly so for a linear model"
    assert verdict(text, loose) == ("differs", "at most 10 of the bound")  # a = 0.1 left all of it

    def overflowed(row):  # after few updates, which is not to solve it in few
        lost = (row["figure"], row["method"]) == ("fig3", "newton") and row["T"] == 1000
        return row | {"status": "nonfinite", "success": False, "iterations": 2.0} if lost else row

    text = "Newton and quasi-Newton solve the GRU in few updates at every T"
    found, told = verdict(text, overflowed)
    assert found == "differs"
    assert "newton 3 to inf;" in told
    assert told.endswith("(inf: overflowed)")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fig5"], "figure 'fig5': it is none of fig2, fig3, fig4, fig7, fig8, fig9, fig10, all"),
        (["fig2", "--seeds", "0"], "--seeds 0: want at least 1"),
        (["fig2", "--budget", "0"], "--budget 0: want a number of seconds above 0"),
        (["fig2", "--budget", "nan"], "--budget nan: want a number of seconds above 0"),
        (["fig2", "--part", "0/2"], "--part 0/2: want K/N with K from 1 to N"),
        (["fig2", "--part", "2"], "--part 2: want K/N with K from 1 to N"),
        (["fig2", "--device", "tpu"], "'tpu' is not one of 'cpu', 'cuda', 'auto'"),
        (["fig2", "--out", "file/below"], "--out file/below: it cannot be written: Not a directory"),
        (["fig2", "--quick", "--out", "there"], "--out there: it has results already; --resume goes on with them"),
        (["fig2", "--resume", "--device", "cpu", "--out", "there"], "its rows were made with other settings (quick is True)"),
        (["fig2", "--quick", "--resume", "--device", "cpu", "--out", "damaged"], "line 2 is damaged: '{\"figure\": \"fig'; remove that line"),
        (["fig2", "--quick", "--resume", "--out", "foreign"], "it is not a file that pards reproduce wrote; nothing in it was touched"),
        (["fig2", "--quick", "--resume", "--out", "newer"], "its format is version 9, this pards reads version 1"),
    ],
)  # fmt: skip
def test_says_what_is_wrong(arguments, words, tmp_path) -> None:
    head = {"format": "pards reproduce", "version": 1, "settings": {"quick": True, "device": "cpu", "exchanged": False}}
    row = {"figure": "fig2", "problem": "S5", "method": "newton", "D": 5, "T": 100, "batch": 4, "seed": 0}
    files = {
        "there": f"{json.dumps(head)}\n{json.dumps(row)}\n",
        "damaged": f'{json.dumps(head)}\n{{"figure": "fig\n{json.dumps(row)}\n',
        "foreign": "figure,iterations\nfig2,1",
        "newer": json.dumps(head | {"version": 9}) + "\n",
    }
    (tmp_path / "file").touch()
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl").write_text(text)
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in said(done)
    assert "Traceback" not in done.stderr
    assert all((tmp_path / name / "rows.jsonl").read_text() == text for name, text in files.items())


def test_without_a_gpu(tmp_path) -> None:
    if not pards._lib.described()["gpu"]:
        pytest.skip("there is a GPU")
    done = run("fig2", "--device", "cuda", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "--device cuda: there is no GPU that pards can use" in said(done)
    assert not (tmp_path / "out").exists()


def test_long_runs_are_foreseen() -> None:
    """A method whose updates grow with T takes T times as many, T times as long each."""
    from pards.reproduce._command import Budget
    from pards.reproduce._runs import Run, Scale

    scale = Scale(quick=False, exchanged=False, seeds=1)
    short = Run("fig2", "S5", "jacobi", 5, 1000, 16, 0)
    row = vars(short) | {"seconds": 1.0, "iterations": 1000.0}
    budget = Budget([row], 1e9)
    longer = Run("fig2", "S5", "jacobi", 5, 3000, 16, 7)
    assert budget.expected(longer, scale) == 9.0  # a long call counts as it is
    assert budget.expected(short, scale) == 10.0  # five warm up, five count
    budget.learn(vars(short) | {"method": "newton", "seconds": 1.0, "iterations": 1.0})
    assert budget.expected(Run("fig2", "S5", "newton", 5, 3000, 16, 0), scale) == 3.0
    assert budget.expected(Run("fig2", "S5", "picard", 5, 3000, 16, 0), scale) == 0.0
    assert np.isfinite(budget.left)


def test_long_runs_wait_for_short_ones_where_there_is_a_budget() -> None:
    from pards.reproduce._command import Budget, _order
    from pards.reproduce._runs import Run, Scale

    def of(method: str, T: int) -> Run:
        return Run("fig2", "S5", method, 5, T, 16, 0)

    scale = Scale(quick=False, exchanged=False, seeds=1)
    known = [
        vars(of(method, 1000)) | {"method": method, "seconds": seconds, "iterations": 1000.0}
        for method, seconds in (("picard", 2.0), ("jacobi", 1.0), ("newton", 0.001))
    ]
    # Some 200 s, 100 s, 1 s, and unknown.
    runs = [of(method, 10_000) for method in ("picard", "jacobi", "newton", "auto")]
    assert [run.method for run in _order(runs, scale, Budget(known, 600))] == ["newton", "auto", "jacobi", "picard"]
    assert list(_order(runs, scale, Budget(known, 1e5))) == runs
    assert list(_order(runs, scale, Budget(known, None))) == runs
