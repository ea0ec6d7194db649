"""What a call costs that has next to nothing to compute: a solve of 100 steps on a GPU, with arrays of CuPy and with those that pards gave,
and on the cores. seconds are by the host's clock.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import numpy as np
import solve

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

D, T = 4, 100


def own(array: Any) -> Any:
    """The numbers of an array (B, T, D) in one that pards made."""
    return pards.lds.scan(pards.lds.Diagonal(cp.zeros_like(array)), array)


def solving(cell: Any, x0: Any, u: Any, **options: Any) -> solve.Flavour:
    def make(_: Sequence[Any]) -> _harness.Work:
        run = lambda _: pards.solve(cell, x0, u, method="newton", **options)  # noqa: E731
        return _harness.Work(run, result=lambda s: np.asarray(s.states))

    return make


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype="float32")
    u, x0 = cp.random.default_rng(0).standard_normal((1, T, D), cp.float32), cp.zeros((1, D), cp.float32)
    lent, start = own(u), own(x0[None]).reshape(1, D)
    yield _harness.Case(
        name="fixed",
        axes={"B": 1, "T": T, "D": D, "dtype": "float32"},
        inputs=[()],
        flavours={
            "pards, arrays of CuPy": solving(cell, x0, u),
            "pards, own arrays and out": solving(cell, start, lent, out=own(u)),
            "pards, NumPy": solving(cell, cp.asnumpy(x0), cp.asnumpy(u), device="cuda"),
            "pards, the cores": solving(cell, cp.asnumpy(x0), cp.asnumpy(u), device="cpu"),
        },
    )


if __name__ == "__main__":
    _harness.main(cases, "cuda")
