"""Models written in NumPy: the loop over time that their author would write, pards on the same function, and jax.lax.scan of the model
written anew in JAX, jitted. Float32, default tolerances."""

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


def gru(xp, cell):
    """f(x, u) of a GRU, in NumPy or in JAX."""
    W_ih, W_hh, b, b_n = (xp.asarray(v) for v in (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n))

    def f(x, u):
        i_r, i_z, i_n = xp.split(u @ W_ih.T + b, 3, -1)
        h_r, h_z, h_n = xp.split(x @ W_hh.T, 3, -1)
        r, z = 1 / (1 + xp.exp(-(i_r + h_r))), 1 / (1 + xp.exp(-(i_z + h_z)))
        n = xp.tanh(i_n + r * (h_n + b_n))
        return n + z * (x - n)

    return f


def rates(xp, weights):
    """f(x, u) of a network of leaky rate units, and the diagonal of its Jacobian."""
    W, dt = xp.asarray(weights), np.float32(0.1)

    def f(x, u):
        return x + dt * (u - x + xp.tanh(x) @ W.T)

    def diag(x, u):
        return 1 - dt + dt * xp.diagonal(W) * (1 - xp.tanh(x) ** 2)

    return f, diag


def by_loop(f, x0):
    def loop(u):
        x, states = np.broadcast_to(x0, (u.shape[0], x0.size)), np.empty((*u.shape[:2], x0.size), np.float32)
        for t in range(u.shape[1]):
            states[:, t] = x = f(x, u[:, t])
        return states

    return _harness.by(loop)


def by_lax_scan(f, x0):
    def scan(u):
        start = jnp.broadcast_to(x0, (u.shape[0], x0.size))
        return jnp.moveaxis(jax.lax.scan(lambda x, v: (f(x, v),) * 2, start, jnp.moveaxis(u, 1, 0))[1], 0, 1)

    return _harness.jitted(scan)


def by_pards(f, x0, device, **options):
    solve = lambda u: pards.solve(f, x0, u, device=device, **options)  # noqa: E731
    return _harness.by(solve, result=_harness.states, about=_harness.outcome)


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    T, device = 100 if settings.quick else 10_000, settings.device
    for batch in (1, 16):
        p = pards.problems.gru(T, 8, batch, seed=0)
        f = gru(np, p.cell)
        yield _harness.Case(
            name="solve NumPy GRU, D = 8",
            axes={"B": batch, "T": T, "dtype": "float32"},
            inputs=[(pards.problems.gru(T, 8, batch, seed).inputs,) for seed in range(3)],
            flavours={
                "Python loop": by_loop(f, p.x0),
                "pards newton": by_pards(f, p.x0, device, method="newton"),
                "jax.lax.scan": by_lax_scan(gru(jnp, p.cell), jnp.asarray(p.x0)),
            },
            tolerance=1e-3,  # rtol is 1e-4, and derivatives are differences
        )
        x0, rng = np.zeros(64, np.float32), np.random.default_rng(0)
        weights = rng.standard_normal((64, 64), np.float32) * np.float32(0.5 / 8)
        f, diag = rates(np, weights)
        yield _harness.Case(
            name="solve NumPy rate network, D = 64",
            axes={"B": batch, "T": T, "dtype": "float32"},
            inputs=[(rng.standard_normal((batch, T, 64), np.float32),) for _ in range(2)],
            flavours={
                "Python loop": by_loop(f, x0),
                "pards quasi_newton, diag given": by_pards(f, x0, device, method="quasi_newton", diag=diag),
                "jax.lax.scan": by_lax_scan(rates(jnp, weights)[0], jnp.asarray(x0)),
            },
            tolerance=1e-3,
        )


if __name__ == "__main__":
    _harness.main(cases)
