"""The plain loop of GRUs with more components than a warp holds: pards' sequential, which is what a parallel method has to beat, beside its
newton and quasi_newton, torch.nn.GRU and lax.scan. Float32, batch 16, arrays on the device, default tolerances.

lax.scan is given the products of the inputs at once, before it, and steps all sequences side by side. seconds are by the host's clock;
event_seconds by the device's, see scan.py, and step_microseconds that time over T.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import jax
import jax.numpy as jnp
import scan
import solve
import torch

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

DIMS, T = (16, 64, 128), 10000
ERROR = 1e-3  # rtol is 1e-4, on an estimate


def by_pards(cell: Any, method: str) -> solve.Flavour:
    def make(inputs: Sequence[Any]) -> _harness.Work:
        x0, out = cp.zeros(cell.dim, cp.float32), cp.empty((*inputs[0].shape[:2], cell.dim), cp.float32)
        run = lambda i: pards.solve(cell, x0, inputs[i % len(inputs)], method=method, device="cuda", out=out)  # noqa: E731

        def about(solution: Any) -> _harness.Row:
            seconds = scan.event_seconds(run, 3)
            steps = 1e6 * seconds / inputs[0].shape[1]
            return _harness.outcome(solution) | {"event_seconds": seconds, "step_microseconds": steps}

        return _harness.Work(run, result=last, about=about)

    return make


def last(states: Any) -> Any:
    return cp.asnumpy(cp.from_dlpack(getattr(states, "states", states))[:, -1])


def by_lax(cell: Any) -> Callable[[Sequence[Any]], _harness.Work]:
    given, own, bias, bias_n = (jnp.asarray(a) for a in (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n))

    def step(x: Any, i: Any) -> Any:
        (ir, iz, new), (hr, hz, hn) = jnp.split(i, 3, -1), jnp.split(x @ own.T, 3, -1)
        n = jnp.tanh(new + jax.nn.sigmoid(ir + hr) * (hn + bias_n))
        x = n + jax.nn.sigmoid(iz + hz) * (x - n)
        return x, x

    def loop(u: Any) -> Any:
        start = jnp.zeros((u.shape[0], cell.dim), u.dtype)
        return jax.lax.scan(step, start, (u @ given.T + bias).swapaxes(0, 1))[1].swapaxes(0, 1)

    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(loop)([(jnp.from_dlpack(u),) for u in inputs])
        return _harness.Work(work.run, work.compile_seconds, result=last)

    return make


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    rng = cp.random.default_rng(0)
    for D in DIMS[:1] if settings.quick else DIMS:
        steps = 100 if settings.quick else T
        module = torch.nn.GRU(D, D, batch_first=True).cuda()
        cell = pards.cells.GRU.from_torch(module)
        own = {f"pards {m}": by_pards(cell, m) for m in ("sequential", "newton", "quasi_newton")}
        yield _harness.Case(
            name="gru loop",
            axes={"B": solve.BATCH, "T": steps, "D": D, "dtype": "float32"},
            inputs=[rng.standard_normal((solve.BATCH, steps, D), cp.float32) for _ in range(3)],
            flavours=own | {"lax.scan": by_lax(cell), "torch.nn.GRU": by_torch(module)},
            tolerance=ERROR,
        )


def by_torch(module: Any) -> solve.Flavour:
    make = solve.by_torch(module)

    def with_last(inputs: Sequence[Any]) -> _harness.Work:
        return _harness.Work(make(inputs).run, result=lambda x: x[:, -1].cpu().numpy())

    return with_last


if __name__ == "__main__":
    _harness.main(cases, "cuda")
