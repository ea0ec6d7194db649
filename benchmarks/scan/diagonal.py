"""x[t] = a[t] x[t-1] + b[t] with diagonal a: pards against jax.lax.associative_scan, jax.lax.scan and a NumPy loop. Float32."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

SIZES = [(1, 1000, 8), (1, 1 << 17, 1), (1, 1 << 17, 8), (1, 1 << 15, 64), (16, 10000, 8)]  # B, T, D


def by_pards(a, b):
    return pards.lds.scan(pards.lds.Diagonal(a), b)


def by_associative_scan(a, b):
    return jax.lax.associative_scan(lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1]), (a, b), axis=1)[1]


def by_lax_scan(a, b):
    def step(x, now):
        x = now[0] * x + now[1]
        return x, x

    return jnp.moveaxis(
        jax.lax.scan(step, jnp.zeros_like(b[:, 0]), (jnp.moveaxis(a, 1, 0), jnp.moveaxis(b, 1, 0)))[1], 0, 1
    )


def by_numpy_loop(a, b):
    x, states = np.zeros_like(b[:, 0]), np.empty_like(b)
    for t in range(b.shape[1]):
        states[:, t] = x = a[:, t] * x + b[:, t]
    return states


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    rng = np.random.default_rng(0)
    for B, T, D in SIZES:
        T = min(T, 100) if settings.quick else T
        inputs = [(rng.random((B, T, D), np.float32), rng.standard_normal((B, T, D), np.float32)) for _ in range(3)]
        yield _harness.Case(
            name="scan diagonal",
            axes={"B": B, "T": T, "D": D, "dtype": "float32"},
            inputs=inputs,
            flavours={
                "pards": _harness.by(by_pards),
                "jax.lax.associative_scan": _harness.jitted(by_associative_scan),
                "jax.lax.scan": _harness.jitted(by_lax_scan),
                "NumPy loop": _harness.by(by_numpy_loop),
            },
            nbytes=3 * 4 * B * T * D,  # a and b read, x written
        )


if __name__ == "__main__":
    _harness.main(cases)
