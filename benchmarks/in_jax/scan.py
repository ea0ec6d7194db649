"""pards.jax.scan against jax.lax.associative_scan and jax.lax.scan inside JAX programs, and their gradients. Float32.

On this machine's cores, or with --device cuda on a GPU. All is compiled before, and seconds are by the host's clock, from the call of
the compiled program until its result is there. On a GPU a program is called several times before it is waited for, and does several scans if they are
small, each on the states of the one before: the axis scans says how many that makes, which the seconds are of. Else they would tell what
JAX takes to start a program and to learn that it has ended.
"""

from __future__ import annotations

import math
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
SCANS, CALLS = 16, 8
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


def repeated(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function of A and b done so many times, on what it returned."""

    def chain(A: Any, b: Any) -> Any:
        for _ in range(count):
            b = jax.lax.optimization_barrier(function(A, b))
        return b

    return chain


def flavour(function: Callable[..., Any], calls: int) -> Callable[[Sequence[Any]], _harness.Work]:
    """A flavour called several times before it is waited for."""

    def make(inputs: Sequence[Any]) -> _harness.Work:
        work = _harness.jitted(function)(inputs)

        def run(i: int) -> Any:
            for n in range(calls):
                result = work.run((i + n) % len(inputs))
            return result

        kind = jax.devices()[0].device_kind
        return _harness.Work(run, work.compile_seconds, last, lambda _: {"device_kind": kind})

    return make


def copying(scans: int, calls: int) -> Callable[[int], Callable[[Sequence[Any]], _harness.Work]]:
    """Passes over memory on the device, half of the bytes read and half written."""

    def of(nbytes: int) -> Callable[[Sequence[Any]], _harness.Work]:
        source = jnp.ones(max(nbytes // 8, 1), jnp.float32)
        return lambda _: flavour(repeated(lambda _, b: -b, scans), calls)([(source[:1], source)])

    return of


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    rng, on_cpu = np.random.default_rng(0), settings.device == "cpu"
    for name, table in (("diagonal", DIAGONAL), ("dense", DENSE), ("diagonal gradient", GRADIENT)):
        for B, T, D in table[settings.device]:
            T = min(T, 100) if settings.quick else T
            own, most = ((D, D), 1 / D) if name == "dense" else ((D,), 0.5)
            draw = lambda own, most, B=B, T=T: most * (2 * rng.random((B, T, *own), np.float32) - 1)  # noqa: E731
            nbytes = 4 * B * T * (math.prod(own) + 2 * D)
            scans, calls = 1 if on_cpu or "gradient" in name or nbytes > 1 << 25 else SCANS, 1 if on_cpu else CALLS
            change = gradient if "gradient" in name else lambda scan, scans=scans: repeated(scan, scans)
            # on a GPU lax.scan takes some launches a step
            functions = {n: change(scan) for n, scan in FLAVOURS.items() if on_cpu or n != "jax.lax.scan"}
            yield _harness.Case(
                name=f"scan {name}",
                axes={"B": B, "T": T, "D": D, "dtype": "float32"} | ({} if on_cpu else {"scans": scans * calls}),
                inputs=[(draw(own, most), draw((D,), 1)) for _ in range(3 if nbytes < 1 << 27 else 1)],
                flavours={n: flavour(function, calls) for n, function in functions.items()},
                nbytes=0 if "gradient" in name else nbytes,
                copy=None if on_cpu else copying(scans, calls),
            )


if __name__ == "__main__":
    _harness.main(cases)
