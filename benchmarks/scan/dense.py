"""x[t] = A[t] x[t-1] + b[t] with dense A: pards against jax.lax.associative_scan, jax.lax.scan and a NumPy loop. Float32."""

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

SIZES = [(1, 1000, 8), (1, 1 << 15, 2), (1, 1 << 15, 4), (1, 1 << 15, 8), (1, 1 << 11, 32), (16, 3000, 8)]  # B, T, D


def compose(p, q):
    return q[0] @ p[0], (q[0] @ p[1][..., None])[..., 0] + q[1]


def by_associative_scan(A, b):
    return jax.lax.associative_scan(compose, (A, b), axis=1)[1]


def by_lax_scan(A, b):
    def step(x, now):
        x = (now[0] @ x[..., None])[..., 0] + now[1]
        return x, x

    return jnp.moveaxis(
        jax.lax.scan(step, jnp.zeros_like(b[:, 0]), (jnp.moveaxis(A, 1, 0), jnp.moveaxis(b, 1, 0)))[1], 0, 1
    )


def by_numpy_loop(A, b):
    x, states = np.zeros_like(b[:, 0]), np.empty_like(b)
    for t in range(b.shape[1]):
        states[:, t] = x = (A[:, t] @ x[..., None])[..., 0] + b[:, t]
    return states


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    rng = np.random.default_rng(0)
    for B, T, D in SIZES:
        T = min(T, 100) if settings.quick else T
        draw = lambda: (rng.standard_normal((B, T, D, D), np.float32) / D, rng.standard_normal((B, T, D), np.float32))  # noqa: B023, E731
        yield _harness.Case(
            name="scan dense",
            axes={"B": B, "T": T, "D": D, "dtype": "float32"},
            inputs=[draw() for _ in range(3)],
            flavours={
                "pards": _harness.by(pards.lds.scan),
                "jax.lax.associative_scan": _harness.jitted(by_associative_scan),
                "jax.lax.scan": _harness.jitted(by_lax_scan),
                "NumPy loop": _harness.by(by_numpy_loop),
            },
            nbytes=4 * B * T * (D * D + 2 * D),  # A and b read, x written
        )


if __name__ == "__main__":
    _harness.main(cases)
