"""Solves of small states on a GPU: pards against the published code and torch.nn.GRU. Float32, batch 16, arrays on the device.

GRU with the roles of state and input as in the published code ("exchanged") and as everywhere else, and the word problem of S5; the
paper's inputs and its stopping rule, merit 5e-4. The published code is left out where it or equinox is missing (benchmarks/_reference.py); its
fastest method, newton, stands for it. Rows of torch.nn.GRU hold the exact trajectory.

seconds are by the host's clock, from the call until the result is there; event_seconds by the device's, see scan.py.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import jax
import jax.numpy as jnp
import numpy as np
import scan

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import _reference

BATCH = 16
LENGTHS, DIMS = (1000, 10000, 30000), (2, 4, 8)
ERROR = 0.1  # of what merit 5e-4 leaves undone, by any method
Flavour = Callable[[Sequence[Any]], _harness.Work]


def host(states: Any) -> Any:
    return cp.asnumpy(cp.asarray(getattr(states, "states", states)))


def by_pards(cell: Any, x0: Any, guess: Any, method: str, **clocks: scan.Clock) -> Flavour:
    """clocks: what else a row tells of a call, by the time it gives."""
    options: dict[str, Any] = {} if method == "sequential" else {"guess": guess, "merit_tol": _reference.MERIT}

    def make(inputs: Sequence[Any]) -> _harness.Work:
        run = lambda i: pards.solve(cell, x0, inputs[i % len(inputs)], method=method, device="cuda", **options)  # noqa: E731
        return _harness.Work(run, result=host, about=scan.about(run, clocks))

    return make


def by_reference(model: Any, x0: Any, guess: Any) -> Flavour:
    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(_reference.solver(model, x0, guess, "newton"))([(jnp.from_dlpack(u),) for u in inputs])
        return _harness.Work(work.run, work.compile_seconds, result=lambda x: cp.asnumpy(cp.from_dlpack(x)))

    return make


def by_torch(module: Any) -> Flavour:
    import torch

    def make(inputs: Sequence[Any]) -> _harness.Work:
        arrays = [torch.from_dlpack(u) for u in inputs]

        def run(i: int) -> Any:
            with torch.no_grad():
                out = module(arrays[i % len(arrays)])[0]
            torch.cuda.synchronize()
            return out

        return _harness.Work(run, result=lambda x: x.cpu().numpy())

    return make


def gru_case(rng: Any, exchanged: bool, T: int, D: int) -> _harness.Case:
    x0, guess = cp.zeros(D, cp.float32), rng.standard_normal((T, D), cp.float32)
    peers: dict[str, Flavour] = {}
    if exchanged:
        cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype=np.float32)
        if _reference.there():
            model = _reference.gru_model(D)
            cell = pards.cells.GRU.from_equinox(model.gru_cell)
            start, first = jnp.zeros(D), jnp.from_dlpack(guess)
            peers = {"reference newton": by_reference(model, start, first)}
        cell = pards.cells.GRU(cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n, exchanged=True)
    else:
        import torch

        module = torch.nn.GRU(D, D, batch_first=True).cuda()
        cell, peers = pards.cells.GRU.from_torch(module), {"torch.nn.GRU": by_torch(module)}
    own = {
        f"pards {m}": by_pards(cell, x0, guess, m, event_seconds=scan.event_seconds)
        for m in ("sequential", "newton", "quasi_newton")
    }
    return _harness.Case(
        name="gru exchanged" if exchanged else "gru",
        axes={"B": BATCH, "T": T, "D": D, "dtype": "float32"},
        inputs=[rng.standard_normal((BATCH, T, D), cp.float32) for _ in range(3)],
        flavours=own | peers,
        tolerance=ERROR,
    )


def word_cell() -> pards.cells.GroupWord:
    """S5, by all permutations of five."""
    return pards.cells.GroupWord(np.array(list(itertools.permutations(range(5)))))


def word_case(rng: Any, T: int) -> _harness.Case:
    cell = word_cell()
    x0, guess = cp.arange(1, 6, dtype=cp.float32), rng.standard_normal((T, 5), cp.float32)
    words = [rng.integers(0, 120, (BATCH, T)) for _ in range(3)]
    flavours = {
        f"pards {m}": by_pards(cell, x0, guess, m, event_seconds=scan.event_seconds) for m in ("sequential", "newton")
    }
    if _reference.there():
        model = _reference.word_model()
        flavours["reference newton"] = by_reference(model, jnp.arange(1.0, 6.0), jnp.from_dlpack(guess))
    return _harness.Case(
        name="s5 word", axes={"B": BATCH, "T": T, "D": 5, "dtype": "float32"}, inputs=words, flavours=flavours
    )


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    rng = cp.random.default_rng(0)
    for T in LENGTHS[:1] if settings.quick else LENGTHS:
        for D in DIMS:
            for exchanged in (False, True):
                yield gru_case(rng, exchanged, T, D)
        yield word_case(rng, T)


if __name__ == "__main__":
    _harness.main(cases, "cuda")
