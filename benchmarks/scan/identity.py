"""x[t] = x[t-1] + b[t], a running sum: pards against the sums of JAX and NumPy, which know nothing of recurrences. Float32."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

SIZES = [(1, 1 << 17, 8), (16, 10000, 8)]  # B, T, D


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    rng = np.random.default_rng(0)
    for B, T, D in SIZES:
        T = min(T, 100) if settings.quick else T
        yield _harness.Case(
            name="scan identity",
            axes={"B": B, "T": T, "D": D, "dtype": "float32"},
            inputs=[(rng.standard_normal((B, T, D), np.float32),) for _ in range(3)],
            flavours={
                "pards": _harness.by(lambda b: pards.lds.scan(pards.lds.Identity(), b)),
                "jax.numpy.cumsum": _harness.jitted(lambda b: jnp.cumsum(b, 1)),
                "numpy.cumsum": _harness.by(lambda b: np.cumsum(b, 1)),
            },
            nbytes=2 * 4 * B * T * D,  # b read, x written
        )


if __name__ == "__main__":
    _harness.main(cases)
