"""Many solves from many threads with failures at random: every answer is right bit for bit, and nothing is left behind.

PARDS_SOAK=full does what a release wants, minutes; without it a tenth and less.
"""

import gc
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pards
from pards import _lib

FULL = os.environ.get("PARDS_SOAK") == "full"
THREADS = 8
SOLVES = 1000 if FULL else 60  # of each thread
RNG = np.random.default_rng(0)


class Enough(Exception):
    """What a callable or a progress of these tests raises."""


def goroutines() -> int:
    return _lib.described()["goroutines"]


def handles() -> int:
    gc.collect()
    return _lib.get().pards_handles()


def settle(count: Callable[[], int], at_most: int) -> int:
    """A count, given some time to fall: helpers end a moment after the call they helped."""
    end = time.monotonic() + 5
    while (n := count()) > at_most and time.monotonic() < end:
        time.sleep(0.02)
    return n


def plain(x, u):
    return np.tanh(0.5 * x + u)


def failing_after(calls: int, f: Callable[..., object]) -> Callable[..., object]:
    """f, whose call of that number fails."""
    left = itertools.count(calls, -1)

    def failing(*arguments):
        if next(left) <= 0:
            raise Enough
        return f(*arguments)

    return failing


def jobs() -> list[Callable[..., np.ndarray]]:
    """What the threads do; each takes a model's f to call instead of plain, and a progress."""
    gru = pards.cells.GRU.init(hidden=4, inputs=3, seed=0)
    narrow = pards.cells.GRU.init(hidden=3, inputs=2, seed=1, dtype=np.float32)
    lorenz = pards.cells.Lorenz96(dim=5, step=0.001)
    word = pards.problems.s5_word(40, 2, 0)
    langevin = pards.problems.langevin(200, 3, 2, seed=0)
    x0, u = RNG.standard_normal((2, 4)), RNG.standard_normal((2, 300, 3))
    u32 = RNG.standard_normal((300, 2)).astype(np.float32)
    long = RNG.standard_normal((2, 40_000, 3))  # for long enough that progress is reported
    a, b = RNG.uniform(-0.5, 0.5, (2, 100, 3, 3)), RNG.standard_normal((2, 100, 3))
    z = RNG.standard_normal((60, 2))

    def native(cell, *data, **options):
        return lambda f, progress: (
            pards.solve(cell, *data, progress=progress, raise_on_failure=False, max_iterations=30, **options).states
        )

    def called(**options):
        return lambda f, progress: (
            pards.solve(
                f, np.zeros(2), z, progress=progress, raise_on_failure=False, max_iterations=30, **options
            ).states
        )

    return [
        *(native(gru, x0, u, method=m) for m in ("newton", "quasi_newton", "sequential", "auto")),
        native(gru, x0, u, method="newton", window=70, num_threads=2, trace=True),
        native(gru, x0, long, method="sequential"),
        native(narrow, np.zeros(3, np.float32), u32, method="jacobi"),
        native(lorenz, np.ones(5) + np.arange(5) / 9, None, length=80, method="rotated_quasi_newton"),
        native(word.cell, word.x0, word.inputs, method="newton"),
        native(langevin.cell, langevin.x0, langevin.inputs, method="picard"),
        *(called(method=m) for m in ("newton", "quasi_newton", "picard", "sequential")),
        called(method="newton", window=20, jac=lambda x, u: 0.5 * (1 - plain(x, u) ** 2)[..., None] * np.eye(2)),
        lambda f, progress: pards.lds.scan(a, b),
        lambda f, progress: pards.lds.scan(pards.lds.Diagonal(b / 9), b, reverse=True),
    ]


def soak(
    thread: int, work: list[Callable[..., np.ndarray]], want: list[np.ndarray], seen: list[int], wrong: list[object]
) -> None:
    rng = np.random.default_rng(thread)
    try:
        for _ in range(SOLVES):
            k = int(rng.integers(len(work)))
            how, calls = int(rng.integers(4)), int(rng.integers(30))
            try:
                got = work[k](
                    failing_after(calls, plain) if how == 0 else plain,
                    failing_after(calls % 3, lambda *_: None) if how == 1 else None,
                )
            except Enough:
                seen[1] += 1
                continue
            seen[0] += 1
            if not np.array_equal(got, want[k], equal_nan=True):
                wrong.append((thread, k))
    except BaseException as e:
        wrong.append(e)


def test_threads() -> None:
    """Solves at once from eight threads, some ended by an exception in a callable or in progress."""
    work = jobs()
    want = [job(plain, None) for job in work]
    before = handles(), goroutines()
    counts = [[0, 0] for _ in range(THREADS)]
    wrong: list[object] = []
    threads = [threading.Thread(target=soak, args=(i, work, want, counts[i], wrong)) for i in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:5]
    finished, ended = map(sum, zip(*counts, strict=True))
    assert finished + ended == THREADS * SOLVES and finished > THREADS * SOLVES / 2 and ended > SOLVES / 4, (
        finished,
        ended,
    )
    assert handles() == before[0]
    assert settle(goroutines, before[1]) <= before[1]


def run(code: str, timeout: float = 600) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_signals_at_random_moments() -> None:
    """An alarm every few milliseconds: a solve ends with the handler's exception or with the right answer."""
    finished, ended = map(
        int,
        run(f"""
        import random, signal, numpy as np, pards
        from pards import _lib
        class Alarm(Exception): pass
        def handler(number, frame): raise Alarm
        signal.signal(signal.SIGALRM, handler)
        gru = pards.cells.GRU.init(hidden=8, inputs=1, seed=0)
        u = np.random.default_rng(0).standard_normal((2, 20000, 1))
        f = lambda x, u: np.tanh(0.5 * x + u)
        work = [
            lambda: pards.solve(gru, np.zeros(8), u, method="sequential").states,
            lambda: pards.solve(gru, np.zeros(8), u, method="newton", window=5000).states,
            lambda: pards.solve(gru, np.zeros(8), u, method="jacobi", raise_on_failure=False).states,
            lambda: pards.solve(f, np.zeros(1), u, method="quasi_newton").states,
        ]
        want = [job() for job in work]
        before, random = (_lib.get().pards_handles(), _lib.described()["goroutines"]), random.Random(0)
        counts = [0, 0]
        for i in range({1000 if FULL else 60}):
            k = i % len(work)
            got = None
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 0.1))
                got = work[k]()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Alarm:
                pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            counts[got is None] += 1
            assert got is None or np.array_equal(got, want[k]), k
        import gc, time
        gc.collect()
        for _ in range(250):
            after = _lib.get().pards_handles(), _lib.described()["goroutines"]
            if after[1] <= before[1]: break
            time.sleep(0.02)
        assert after[0] == before[0] and after[1] <= before[1], (before, after)
        print(*counts)
        """),
    )
    assert finished > 0 and ended > 0, (finished, ended)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc/self/statm")
@pytest.mark.parametrize("kind", ["native", "callable", "failing"])
def test_memory_stays(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand solves leave the resident memory where it was after the first hundreds."""
    monkeypatch.setenv("GOGC", "20")  # else Go's heap rises and falls by more than what is asked here
    grown = float(
        run(f"""
        import gc, os, numpy as np, pards
        gru = pards.cells.GRU.init(hidden=8, inputs=1, seed=0)
        u = np.random.default_rng(0).standard_normal((400, 1))
        class Enough(Exception): pass
        def fail(x, u): raise Enough
        def resident():
            gc.collect()
            return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        def native(): pards.solve(gru, np.zeros(8), u, method="newton", trace=True)
        def callable(): pards.solve(lambda x, u: 0.5 * x + u, np.zeros(8), u, method="quasi_newton", trace=True)
        def failing():
            for f, options in ((fail, {{}}), (gru, dict(method="nothing")), (gru, dict(guess=np.zeros(3))), (gru, dict(max_iterations=1, method="jacobi"))):
                try: pards.solve(f, np.zeros(8), u, **options)
                except (Enough, ValueError, pards.SolveError): pass
                else: raise AssertionError(options)
        job = {kind}
        for _ in range(300): job()
        before = resident()
        for _ in range(1000): job()
        print(resident() - before)
        """)[0]
    )
    # A solve of these moves some 100 kB; without a leak it is 1 MiB at most, even of 50 000 solves.
    assert grown < 3, f"{grown} MiB"
