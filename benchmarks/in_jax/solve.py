"""Solves inside JAX programs, float32; on the cores, or with --device cuda on a GPU.

- A GRU, its trajectory and a training step (the loss's gradient by all weights), by pards.jax.solve of the cell of pards.cells, by newton and
  by auto, by pards.jax.solve of the same written as a JAX function, and by jax.lax.scan of that function.
- paper: pards.jax.solve of the step functions of the paper's public code, by newton, beside that code (benchmarks/_reference.py) by its
  stopping rule, and beside jax.lax.scan. One sequence. Left out where that code is missing.
- rotated: the rotated iteration on Langevin dynamics of a density written in JAX, beside jax.lax.scan. One sequence.
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
import _reference

# B, T, D on the cores, and on a GPU
SOLVES = {
    "cpu": [(1, 10_000, 2), (1, 10_000, 8), (16, 3000, 8)],
    "cuda": [(16, T, D) for T in (1000, 10_000, 30_000) for D in (2, 4, 8)],
}
STEPS = {
    "cpu": [(1, 10_000, 8), (16, 3000, 8), (16, 3000, 32)],
    "cuda": [(16, 10_000, D) for D in (8, 16, 32, 64)],
}
# T
PAPER = {"cpu": [10_000], "cuda": [1000, 10_000, 30_000]}
ROTATED = {"cpu": [3000], "cuda": [30_000]}


def step(x: Any, u: Any, w: Any) -> Any:
    """That of pards.cells.GRU, whose weights w has."""
    i_r, i_z, i_n = jnp.split(w.weight_ih @ u + w.bias, 3)
    h_r, h_z, h_n = jnp.split(w.weight_hh @ x, 3)
    r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * (h_n + w.bias_n))
    return n + z * (x - n)


def by_cell(u: Any, w: Any) -> Any:
    return jax.vmap(lambda u: pards.jax.solve(w, jnp.zeros(u.shape[-1]), u).states)(u)


def by_auto(u: Any, w: Any) -> Any:
    return jax.vmap(lambda u: pards.jax.solve(w, jnp.zeros(u.shape[-1]), u, method="auto").states)(u)


def by_function(u: Any, w: Any) -> Any:
    return jax.vmap(lambda u: pards.jax.solve(step, jnp.zeros(u.shape[-1]), u, w).states)(u)


def by_lax_scan(u: Any, w: Any) -> Any:
    def one(u: Any) -> Any:
        return jax.lax.scan(lambda x, u: (step(x, u, w),) * 2, jnp.zeros(u.shape[-1]), u)[1]

    return jax.vmap(one)(u)


FLAVOURS = {
    "pards.jax, cell": by_cell,
    "pards.jax, cell, auto": by_auto,
    "pards.jax, function": by_function,
    "jax.lax.scan": by_lax_scan,
}


def gradient(states: Callable[..., Any]) -> Callable[..., Any]:
    """The derivatives of a loss by all weights, in one vector."""

    def loss(w: Any, u: Any) -> Any:
        return jnp.mean(states(u, w) ** 2)

    return lambda u, w: jnp.concatenate([g.ravel() for g in jax.tree.leaves(jax.grad(loss)(w, u))])


def training(settings: _harness.Settings) -> Iterator[_harness.Case]:
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


def of_a_function(f: Callable[..., Any], p: pards.problems.Problem, **options: Any) -> dict[str, Callable[..., Any]]:
    """pards.jax.solve of a JAX function by the paper's stopping rule, and its plain loop."""
    x0, guess, options = jnp.asarray(p.x0), jnp.asarray(p.guess), {"merit_tol": _reference.MERIT} | options

    def solved(u: Any) -> Any:
        return pards.jax.solve(f, x0, u, guess=guess, **options).states

    def loop(u: Any) -> Any:
        return jax.lax.scan(lambda x, u: (f(x, u),) * 2, x0, u)[1]

    return {"pards.jax, function": jax.vmap(solved), "jax.lax.scan": jax.vmap(loop)}


def paper(settings: _harness.Settings) -> Iterator[_harness.Case]:
    if not _reference.there():
        return
    models = [("GRU", _reference.gru_model(D), D) for D in (2, 4, 8)] + [("S5", _reference.word_model(), 5)]
    for name, model, D in models:
        for T in PAPER[settings.device]:
            T = min(T, 50) if settings.quick else T
            p = pards.problems.s5_word(T) if name == "S5" else pards.problems.gru(T, D)
            reference = _reference.solver(model, jnp.asarray(p.x0), jnp.asarray(p.guess), "newton")
            flavours = of_a_function(model.deer_fxn, p) | {"reference": reference}
            yield _harness.Case(
                name=f"paper {name}",
                axes={"B": 1, "T": T, "D": D, "dtype": "float32"},
                inputs=[(p.inputs,)],
                flavours={flavour: _harness.jitted(f) for flavour, f in flavours.items()},
                tolerance=0.05,  # a merit of 5e-4 is a residual of 0.03 in all
            )


def rotated(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for T in ROTATED[settings.device]:
        p = pards.problems.langevin(min(T, 50) if settings.quick else T, 64)
        mixture, step_size = p.cell.potential, p.cell.step_size
        means, precisions, weights = (jnp.asarray(v) for v in (mixture.means, mixture.precisions, mixture.log_weights))

        def density(x: Any, means: Any = means, precisions: Any = precisions, weights: Any = weights) -> Any:
            y = x - means
            return jax.nn.logsumexp(weights - jnp.einsum("ki,kij,kj->k", y, precisions, y) / 2)

        def move(x: Any, u: Any, density: Any = density, step_size: float = step_size) -> Any:
            return x + step_size * jax.grad(density)(x) + np.sqrt(2 * step_size) * u

        yield _harness.Case(
            name="rotated Langevin",
            axes={"B": 1, "T": len(p.inputs[0]), "D": 64, "dtype": "float32"},
            inputs=[(p.inputs,)],
            flavours={k: _harness.jitted(f) for k, f in of_a_function(move, p, method="rotated_quasi_newton").items()},
            tolerance=0.05,
        )


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    jax.config.update("jax_default_matmul_precision", "highest")
    for part in (training, paper, rotated):
        yield from part(settings)


if __name__ == "__main__":
    _harness.main(cases)
