"""The device's time alone for solves and scans: from the start of a call's first kernel to the end of its last, as CUPTI tells it.

What the host does before, between calls and after is left out: the event_seconds of solve.py, langevin.py and scan.py have that too, in
part. Problems, inputs and stopping rules are theirs; float32, arrays on the device. Peers are not here: the profiler of torch, which
reads CUPTI, does not take what JAX runs, and of torch.nn.GRU it tells what the host's clock tells.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import langevin
import numpy as np
import scan
import solve
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness


def device_seconds(run: Callable[[int], Any], calls: int = 5) -> float:
    """The median over calls of the device's time for one."""
    times = []
    for i in range(-1, calls):
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            run(max(i, 0))
            cp.cuda.Device().synchronize()
        events = [e for e in seen.events() if e.device_type == DeviceType.CUDA]
        kernels = [e.time_range for e in events if not e.name.startswith("Mem")]
        spans = kernels or [e.time_range for e in events]  # a call that is a copy
        if i >= 0:  # the first call may start the profiler
            times.append((max(span.end for span in spans) - min(span.start for span in spans)) / 1e6)
    return statistics.median(times)


def case(name: str, T: int, cell: Any, x0: Any, inputs: list[Any], methods: Sequence[str]) -> _harness.Case:
    guess = cp.random.default_rng(1).standard_normal((T, cell.dim), cp.float32)
    return _harness.Case(
        name=name,
        axes={"B": solve.BATCH, "T": T, "D": cell.dim, "dtype": "float32"},
        inputs=inputs,
        flavours={f"pards {m}": solve.by_pards(cell, x0, guess, m, device_seconds=device_seconds) for m in methods},
        tolerance=solve.ERROR,
    )


def chains(T: int, D: int) -> _harness.Case:
    problem, method = pards.problems.langevin(T, D, langevin.BATCH), "rotated_quasi_newton"
    own = langevin.by_pards(problem, method, device_seconds=device_seconds)
    return langevin.case(problem, T, D, {f"pards {method}": own})


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    rng = cp.random.default_rng(0)
    draw = lambda *shape: [rng.standard_normal((solve.BATCH, *shape), cp.float32) for _ in range(3)]  # noqa: E731
    for T in solve.LENGTHS[:1] if settings.quick else solve.LENGTHS:
        for D in solve.DIMS:
            cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype=np.float32)
            yield case("gru", T, cell, cp.zeros(D, cp.float32), draw(T, D), ("sequential", "newton", "quasi_newton"))
        words = [rng.integers(0, 120, (solve.BATCH, T)) for _ in range(3)]
        yield case("s5 word", T, solve.word_cell(), cp.arange(1, 6, dtype=cp.float32), words, ("sequential", "newton"))
        for D in langevin.DIMS:
            yield chains(min(T, 100) if settings.quick else T, D)
    for dense, *what in scan.sizes(settings.quick):
        own = scan.by_pards(pards.lds.Dense if dense else pards.lds.Diagonal, device_seconds, "device")
        yield scan.case(dense, *what, {"pards": own})


if __name__ == "__main__":
    _harness.main(cases, "cuda")
