"""pards.jax.scan against jax.lax.associative_scan and jax.lax.scan inside JAX programs, and their gradients. Float32.

On this machine's cores, or with --device cuda on a GPU. All is compiled before, and seconds are by the host's clock, from the call of
the compiled program until its result is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pards.jax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

# B, T, D on the cores, and on a GPU
DIAGONAL = {
    "cpu": [(1, 1000, 8), (1, 1 << 17, 1), (1, 1 << 17, 8), (1, 1 << 15, 64), (16, 10000, 8)],
    "cuda": [(1, 1000, 8), (1, 1 << 20, 1), (1, 10000, 64), (16, 10000, 8), (1, 1 << 20, 8), (1, 1 << 20, 64), (16, 30000, 256)],
}  # fmt: skip
DENSE = {
    "cpu": [(1, 1 << 15, 2), (1, 1 << 15, 4), (1, 1 << 14, 8), (16, 2000, 8), (1, 2000, 32)],
    "cuda": [(1, 1 << 20, 2), (1, 1 << 20, 4), (1, 1 << 20, 8), (1, 1 << 17, 16), (1, 1 << 17, 32), (1, 1 << 15, 64), (16, 30000, 8),
             (16, 10000, 32), (1, 30000, 8)],
}  # fmt: skip
GRADIENT = {"cpu": [(1, 1 << 15, 8)], "cuda": [(16, 30000, 8)]}


def compose_diagonal(p: Any, q: Any) -> Any:
    return q[0] * p[0], q[0] * p[1] + q[1]


def compose_dense(p: Any, q: Any) -> Any:
    return q[0] @ p[0], (q[0] @ p[1][..., None])[..., 0] + q[1]


def by_associative_scan(A, b):
    compose = compose_dense if A.ndim > b.ndim else compose_diagonal
    return jax.lax.associative_scan(compose, (A, b), axis=1)[1]


def by_lax_scan(A, b):
    def step(x, now):
        x = ((now[0] @ x[..., None])[..., 0] if A.ndim > b.ndim else now[0] * x) + now[1]
        return x, x

    over = jnp.moveaxis(A, 1, 0), jnp.moveaxis(b, 1, 0)
    return jnp.moveaxis(jax.lax.scan(step, jnp.zeros_like(b[:, 0]), over)[1], 0, 1)


def by_pards(A, b):
    return pards.jax.scan(pards.lds.Dense(A) if A.ndim > b.ndim else pards.lds.Diagonal(A), b)


FLAVOURS = {"pards.jax": by_pards, "jax.lax.associative_scan": by_associative_scan, "jax.lax.scan": by_lax_scan}


def gradient(scan: Callable[..., Any]) -> Callable[..., Any]:
    """The derivative of a loss by the matrices."""
    return jax.grad(lambda A, b: jnp.sum(scan(A, b) ** 2) / 2)


def last(states: Any) -> Any:
    """The last states of each sequence, which hold the errors of all steps before."""
    return np.asarray(states[:, -1])


def copying(nbytes: int) -> Callable[[Sequence[Any]], _harness.Work]:
    """A pass over memory on the device, half of the bytes read and half written."""
    return lambda _: _harness.jitted(jnp.negative)([(jnp.ones(max(nbytes // 8, 1), jnp.float32),)] * 3)


def flavour(function: Callable[..., Any], result: Callable[[Any], Any]) -> Callable[[Sequence[Any]], _harness.Work]:
    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(function)(inputs)
        return _harness.Work(work.run, work.compile_seconds, result)

    return make


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    rng = np.random.default_rng(0)
    for name, table in (("diagonal", DIAGONAL), ("dense", DENSE), ("diagonal gradient", GRADIENT)):
        for B, T, D in table[settings.device]:
            T = min(T, 100) if settings.quick else T
            own, norm = ((D, D), D) if name == "dense" else ((D,), 1)
            draw = lambda own=own, B=B, T=T: rng.random((B, T, *own), np.float32)  # noqa: E731
            inputs = [((2 * draw() - 1) / norm, 2 * draw((D,)) - 1) for _ in range(3)]
            change = gradient if "gradient" in name else lambda scan: scan
            # lax.scan takes a launch a step on a GPU
            left = [n for n in FLAVOURS if settings.device == "cpu" or n != "jax.lax.scan" or T < 50000]
            yield _harness.Case(
                name=f"scan {name}",
                axes={"B": B, "T": T, "D": D, "dtype": "float32"},
                inputs=inputs,
                flavours={n: flavour(change(FLAVOURS[n]), last) for n in left},
                nbytes=0 if "gradient" in name else sum(x.nbytes for x in inputs[0]) + inputs[0][1].nbytes,
                copy=None if settings.device == "cpu" else copying,
            )


if __name__ == "__main__":
    _harness.main(cases)
