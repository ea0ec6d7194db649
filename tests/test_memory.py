"""The memory of a solve is what `pards info --problem` predicts: the peak of a fresh process, over what it held before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Its own solve is the only thing that a process does after its memory was read; a small one before it brings in the library's own pages.
PROGRAM = r"""
import json, sys
import numpy as np
import pards
from pards import _memory

case = json.loads(sys.argv[1])
problem, options, dtype = case.pop("problem"), case.pop("options"), np.dtype(case["dtype"])
T, B = case["length"], case.get("batch", 1)
make = _memory.PROBLEMS[problem]

def f(x, u):  # one array, the result: temporaries would be the function's own affair
    y = 0.5 * x
    y += u
    return y

def jac(x, u):
    J = np.zeros((*x.shape, x.shape[-1]), x.dtype)
    J[..., range(x.shape[-1]), range(x.shape[-1])] = 0.5
    return J

model = f if make is None else make(case["dim"])
if make is None:
    options["jac"] = jac
d = case["dim"] if make is None else model.dim
u = np.zeros((B, T, case["dim"] if make is None else model.inputs), dtype)
u += 0.01
x0 = np.zeros(d, dtype)
run = dict(method=case["method"], window=case.get("window"), num_threads=case.get("threads"), raise_on_failure=False, device="cpu", dtype=dtype, **options)

def status(name):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(name))

pards.solve(model, x0, u[:, :10], **run)
predicted = _memory.predict(problem, **case)
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # VmHWM starts anew
sol = pards.solve(model, x0, u, **run)
peak = status("VmHWM") - before
print(json.dumps({"peak": peak, "predicted": predicted.arrays["states"] + predicted.beside, "iterations": int(np.max(sol.iterations))}))
"""

few = {"max_iterations": 2}
CASES = {
    "sequential": {"problem": "gru", "dim": 8, "length": 1_000_000, "batch": 4, "method": "sequential", "dtype": "float32", "options": {}},
    "newton": {"problem": "gru", "dim": 8, "length": 500_000, "batch": 4, "method": "newton", "dtype": "float32", "threads": 2, "options": few},
    "one worker": {"problem": "elman", "dim": 16, "length": 200_000, "batch": 4, "method": "quasi_newton", "dtype": "float64", "threads": 1, "options": few},
    "rotated": {"problem": "langevin", "dim": 32, "length": 100_000, "batch": 4, "method": "rotated_quasi_newton", "dtype": "float64", "threads": 2, "options": few},
    "kept": {"problem": "gru", "dim": 8, "length": 200_000, "method": "chord", "dtype": "float64", "threads": 2, "options": few},
    "trust region": {"problem": "gru", "dim": 8, "length": 100_000, "batch": 2, "method": "elk", "dtype": "float64", "threads": 2, "options": few},
    "callable, trust region": {"problem": "callable", "dim": 8, "length": 50_000, "method": "elk", "dtype": "float64", "options": few},
    "window": {"problem": "gru", "dim": 8, "length": 2_000_000, "method": "newton", "window": 1000, "dtype": "float64", "threads": 2, "options": few},
    "wide": {"problem": "elman", "dim": 256, "length": 40_000, "batch": 2, "method": "picard", "dtype": "float64", "threads": 2, "options": few},
    "callable": {"problem": "callable", "dim": 8, "length": 100_000, "batch": 2, "method": "newton", "dtype": "float64", "options": {}},
    "callable, diagonal": {"problem": "callable", "dim": 8, "length": 400_000, "batch": 2, "method": "picard", "dtype": "float64", "options": few},
}  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("name", CASES)
def test_peak_is_predicted(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(CASES[name])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["predicted"] > 50 << 20  # else a tenth is less than what allocators and stacks come to
    assert told["peak"] == pytest.approx(told["predicted"], rel=0.1), told
