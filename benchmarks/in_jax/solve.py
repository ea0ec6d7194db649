"""A GRU inside a JAX program: its trajectory, and a training step (the loss's gradient by all weights), by pards.jax.solve of the cell of
pards.cells, by pards.jax.solve of the same written as a JAX function, and by jax.lax.scan of that function. Float32; on the cores, or with
--device cuda on a GPU. The paper's public code is compared with by benchmarks/cpu/peers.py and benchmarks/gpu/solve.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pards.jax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

# B, T, D on the cores, and on a GPU
SOLVES = {
    "cpu": [(1, 10_000, 2), (1, 10_000, 8), (16, 3000, 8)],
    "cuda": [(16, T, D) for T in (1000, 10_000, 30_000) for D in (2, 4, 8)],
}
STEPS = {
    "cpu": [(1, 10_000, 8), (16, 3000, 8), (16, 3000, 32)],
    "cuda": [(16, 10_000, D) for D in (8, 16, 32, 64)],
}


def step(x: Any, u: Any, w: Any) -> Any:
    """That of pards.cells.GRU, whose weights w has."""
    i_r, i_z, i_n = jnp.split(w.weight_ih @ u + w.bias, 3)
    h_r, h_z, h_n = jnp.split(w.weight_hh @ x, 3)
    r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * (h_n + w.bias_n))
    return n + z * (x - n)


def by_cell(u: Any, w: Any) -> Any:
    return jax.vmap(lambda u: pards.jax.solve(w, jnp.zeros(u.shape[-1]), u).states)(u)


def by_function(u: Any, w: Any) -> Any:
    return jax.vmap(lambda u: pards.jax.solve(step, jnp.zeros(u.shape[-1]), u, w).states)(u)


def by_lax_scan(u: Any, w: Any) -> Any:
    def one(u: Any) -> Any:
        return jax.lax.scan(lambda x, u: (step(x, u, w),) * 2, jnp.zeros(u.shape[-1]), u)[1]

    return jax.vmap(one)(u)


FLAVOURS = {"pards.jax, cell": by_cell, "pards.jax, function": by_function, "jax.lax.scan": by_lax_scan}


def gradient(states: Callable[..., Any]) -> Callable[..., Any]:
    """The derivatives of a loss by all weights, in one vector."""

    def loss(w: Any, u: Any) -> Any:
        return jnp.mean(states(u, w) ** 2)

    return lambda u, w: jnp.concatenate([g.ravel() for g in jax.tree.leaves(jax.grad(loss)(w, u))])


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    rng = np.random.default_rng(0)
    for name, table, change in (("GRU", SOLVES, lambda f: f), ("GRU, training step", STEPS, gradient)):
        for B, T, D in table[settings.device]:
            T = min(T, 50) if settings.quick else T
            cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype=np.float32)
            yield _harness.Case(
                name=name,
                axes={"B": B, "T": T, "D": D, "dtype": "float32"},
                inputs=[(rng.standard_normal((B, T, D), np.float32), cell) for _ in range(3)],
                flavours={flavour: _harness.jitted(change(f)) for flavour, f in FLAVOURS.items()},
                tolerance=1e-2 if change is gradient else 1e-3,  # rtol 1e-4 is of an estimate, and T steps add up
            )


if __name__ == "__main__":
    _harness.main(cases)
