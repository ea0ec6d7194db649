"""Scans on a GPU: pards against jax.lax.associative_scan, and accelerated-scan where it can be imported. Float32, arrays on the device.

The rows' seconds are by the host's clock, from the call until the result is there. event_seconds are by the device's, around one call on
an otherwise busy stream, so that what the host does to start it is left out; it and event_copy_share, the same of a copy of as many
bytes, are there for what runs on CUDA's default stream, as pards and CuPy do.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import jax
import jax.numpy as jnp

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

DIAGONAL = [
    (1, 1 << 20, 1),
    (1, 1 << 20, 8),
    (1, 1 << 20, 64),
    (16, 30000, 8),
    (16, 30000, 256),
    (1, 1000, 8),
    (8, 32768, 1536),
]  # B, T, D
DENSE = [(1, 1 << 20, 2), (1, 1 << 20, 4), (1, 1 << 20, 8), (1, 1 << 17, 16), (1, 1 << 17, 32), (1, 1 << 15, 64), (16, 30000, 8), (16, 10000, 32),
         (1, 30000, 8)]  # fmt: skip
CACHE = 400e6  # inputs are rotated until they are more than this, where memory allows

# Keeps the stream busy, for almost a millisecond, while the host gets the next launch ready.
BUSY = cp.RawKernel(
    'extern "C" __global__ void busy() { for (long long t = clock64(); clock64() - t < 1500000;) {} }', "busy"
)


def event_seconds(run: Callable[[int], Any], calls: int = 9) -> float:
    """The median over calls of the device's time for one."""
    times = []
    for i in range(calls):
        start, end = cp.cuda.Event(), cp.cuda.Event()
        BUSY((1,), (1,), ())
        start.record()
        run(i)
        end.record()
        end.synchronize()
        times.append(cp.cuda.get_elapsed_time(start, end) / 1e3)
    return statistics.median(times)


Clock = Callable[[Callable[[int], Any]], float]  # the time of a call


def about(run: Callable[[int], Any], clocks: dict[str, Clock]) -> Callable[[Any], _harness.Row]:
    """What a row tells of a solution, and of a call by each clock."""
    return lambda solution: _harness.outcome(solution) | {name: clock(run) for name, clock in clocks.items()}


def last(states: Any) -> Any:
    """The last states of each sequence, which hold the errors of all steps before."""
    return cp.asnumpy(cp.asarray(states)[:, -1])


def by_pards(structure: type, clock: Clock, name: str) -> Callable[[Sequence[Any]], _harness.Work]:
    """clock: what else a row tells of a call and of a copy of as many bytes, as name_seconds and name_copy_share."""

    def make(inputs: Sequence[Any]) -> _harness.Work:
        out = cp.empty_like(inputs[0][1])
        run = lambda i: pards.lds.scan(structure(inputs[i % len(inputs)][0]), inputs[i % len(inputs)][1], out=out)  # noqa: E731
        nbytes = inputs[0][0].nbytes + 2 * out.nbytes

        def about(_: Any) -> _harness.Row:
            seconds = clock(run)
            return {f"{name}_seconds": seconds, f"{name}_copy_share": clock(device_copy(nbytes)([]).run) / seconds}

        return _harness.Work(run, result=last, about=about)

    return make


def device_copy(nbytes: int) -> Callable[[Sequence[Any]], _harness.Work]:
    """A copy on the device, half of the bytes read and half written."""
    count = max(1, min(4, int(CACHE / nbytes)))
    source = [cp.ones(max(nbytes // 8, 1), cp.float32) for _ in range(count)]
    target = [cp.empty_like(x) for x in source]

    def run(i: int) -> Any:
        target[i % count].data.copy_from_device_async(source[i % count].data, source[0].nbytes, cp.cuda.Stream.null)

    def both(i: int) -> Any:
        run(i)
        cp.cuda.Stream.null.synchronize()

    return lambda inputs: _harness.Work(both if inputs else run)


def by_jax(compose: Callable[..., Any]) -> Callable[[Sequence[Any]], _harness.Work]:
    scan = lambda A, b: jax.lax.associative_scan(compose, (A, b), axis=1)[1]  # noqa: E731

    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(scan)([tuple(jnp.from_dlpack(x) for x in arrays) for arrays in inputs])
        return _harness.Work(work.run, work.compile_seconds, result=lambda x: last(cp.from_dlpack(x)))

    return make


def compose_diagonal(p: Any, q: Any) -> Any:
    return q[0] * p[0], q[0] * p[1] + q[1]


def compose_dense(p: Any, q: Any) -> Any:
    return q[0] @ p[0], (q[0] @ p[1][..., None])[..., 0] + q[1]


def by_accelerated_scan() -> dict[str, Callable[[Sequence[Any]], _harness.Work]]:
    """accelerated-scan's Triton kernel, whose arrays are (B, D, T); nothing where it cannot be imported."""
    try:
        import torch
        from accelerated_scan.scalar import forward_scan
    except ImportError:
        return {}

    def make(inputs: Sequence[Any]) -> _harness.Work:
        arrays = [tuple(torch.from_dlpack(cp.ascontiguousarray(x.transpose(0, 2, 1))) for x in pair) for pair in inputs]
        out = torch.empty_like(arrays[0][0])
        B, D, T = out.shape

        def run(i: int) -> Any:
            forward_scan[(B, D)](*arrays[i % len(arrays)], out, T, enable_fp_fusion=False)
            torch.cuda.synchronize()
            return out

        return _harness.Work(run, result=lambda x: last(cp.from_dlpack(x).transpose(0, 2, 1)))

    return {"accelerated-scan": make}


def draw(rng: Any, B: int, T: int, D: int, dense: bool) -> tuple[Any, Any]:
    shape, norm = ((B, T, D, D), D) if dense else ((B, T, D), 1)
    return (2 * rng.random(shape, cp.float32) - 1) / norm, rng.standard_normal((B, T, D), cp.float32)


def sizes(quick: bool) -> Iterator[tuple[bool, dict[str, Any], list[tuple[Any, Any]], int]]:
    """Whether the matrices are dense, the axes, inputs and bytes of each case."""
    rng = cp.random.default_rng(0)
    for dense, shapes in ((False, DIAGONAL), (True, DENSE)):
        for B, T, D in shapes:
            T = min(T, 100) if quick else T
            nbytes = 4 * B * T * (D * D if dense else D) + 8 * B * T * D
            inputs = [draw(rng, B, T, D, dense) for _ in range(max(1, min(4, int(CACHE / nbytes))))]
            yield dense, {"B": B, "T": T, "D": D, "dtype": "float32"}, inputs, nbytes


def case(
    dense: bool, axes: dict[str, Any], inputs: list[tuple[Any, Any]], nbytes: int, flavours: dict[str, Any]
) -> _harness.Case:
    name = "scan dense" if dense else "scan diagonal"
    return _harness.Case(name=name, axes=axes, inputs=inputs, flavours=flavours, nbytes=nbytes, copy=device_copy)


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    for dense, *what in sizes(settings.quick):
        peers = {"jax.lax.associative_scan": by_jax(compose_dense if dense else compose_diagonal)}
        peers |= {} if dense else by_accelerated_scan()
        own = by_pards(pards.lds.Dense if dense else pards.lds.Diagonal, event_seconds, "event")
        yield case(dense, *what, {"pards": own} | peers)


if __name__ == "__main__":
    _harness.main(cases, "cuda")
