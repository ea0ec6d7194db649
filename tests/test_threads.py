"""How many cores pards takes: as many as it is told, no more than the process has however many calls run at once, none once it returned.

What is counted is threads that run or wait for a core, so other load on the machine does not matter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys, threading, time
import numpy as np
import pards
rng = np.random.default_rng(0)
D, B, T = 16, 8, 20000  # long: what Python does around a call is outside the limits
cell = pards.cells.GRU(rng.normal(size=(3 * D, D)), rng.normal(size=(3 * D, D)), np.zeros(3 * D), np.zeros(D))
u = rng.normal(size=(B, T, D))
callers, workers = int(sys.argv[1]), int(sys.argv[2]) or None
def solve(end):
    while time.perf_counter() < end:
        pards.solve(cell, np.zeros(D), u, method="newton", max_iterations=3, raise_on_failure=False, num_threads=workers)
solve(time.perf_counter() + 0.1)
threads = [threading.Thread(target=solve, args=(time.perf_counter() + 0.6,)) for _ in range(callers)]
print("busy", flush=True)
[t.start() for t in threads]
[t.join() for t in threads]
print("idle", flush=True)
sys.stdin.read()
"""


def running(pid: int, seconds: float) -> float:
    """The mean number of a process's threads that run or wait for a core."""
    counts = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        states = [p.read_text().rsplit(")", 1)[1].split()[0] for p in Path(f"/proc/{pid}/task").glob("*/stat")]
        counts.append(states.count("R"))
        time.sleep(0.002)
    return sum(counts) / len(counts)


def cores(callers: int, workers: int = 0, **env: str) -> tuple[float, float]:
    """Threads at work on average while some threads of Python solve without a pause, and after it."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PARDS_NUM_THREADS", "GOMAXPROCS")}
    command = [sys.executable, "-c", PROGRAM, str(callers), str(workers)]
    with subprocess.Popen(command, env=clean | env, stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout and child.stdin
        assert child.stdout.readline() == "busy\n"
        busy = running(child.pid, 0.4)
        assert child.stdout.readline() == "idle\n"
        idle = running(child.pid, 0.2)
        child.stdin.close()
    return busy, idle


pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: nothing could take more")

# What may come on top of one: the garbage collector of the Go runtime, and what hands work over.
ONE = 1.6  # two workers take 2.0


@pytest.mark.parametrize(
    ("workers", "env"), [(1, {}), (0, {"PARDS_NUM_THREADS": "1"}), (1, {"PARDS_NUM_THREADS": "4"})]
)
def test_one_worker_takes_one_core(workers: int, env: dict[str, str]) -> None:
    busy, _ = cores(1, workers, **env)
    assert 0.5 < busy < ONE


def test_calls_at_once_share_the_cores_of_the_process() -> None:
    busy, _ = cores(3, 4, GOMAXPROCS="1")  # three threads of Python that ask for four workers each
    assert 0.5 < busy < 1.8  # calls that did not share would take 3


def test_idle_takes_nothing() -> None:
    busy, idle = cores(1)
    assert busy > ONE  # two workers or more
    assert idle < 0.1
