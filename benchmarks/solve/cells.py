"""The paper's problems as native cells: jax.lax.scan of the same closed-form step, jitted, and pards by the methods that converge on
them in few updates. Float32, default tolerances: the paper's merit_tol lets a method stop far from the loop's trajectory."""

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


def s5_step(cell):
    index = (
        jnp.argmax(jnp.asarray(cell.permutations), -1)
        if cell.permutations.ndim == 3
        else jnp.asarray(cell.permutations)
    )
    return lambda x, w: x[index[w]]


def gru_step(cell):
    W_ih, W_hh, b, b_n = (jnp.asarray(v) for v in (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n))

    def step(x, u):
        i_r, i_z, i_n = jnp.split(W_ih @ u + b, 3)
        h_r, h_z, h_n = jnp.split(W_hh @ x, 3)
        r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
        n = jnp.tanh(i_n + r * (h_n + b_n))
        return n + z * (x - n)

    return step


def langevin_step(cell):
    mixture = cell.potential
    means, P, logs = (jnp.asarray(v) for v in (mixture.means, mixture.precisions, mixture.log_weights))
    step, noise = jnp.float32(cell.step_size), jnp.float32(np.sqrt(2 * cell.step_size))

    def f(x, u):
        y = x - means
        h = -jnp.einsum("kij,kj->ki", P, y)
        w = jax.nn.softmax(logs + 0.5 * (h * y).sum(-1))
        return x + step * (w @ h) + noise * u

    return f


# name: how it is drawn, its step in JAX, the methods
PROBLEMS = {
    "S5": (pards.problems.s5_word, s5_step, ["sequential", "newton"]),
    "GRU, D = 8": (lambda T, batch, seed: pards.problems.gru(T, 8, batch, seed), gru_step,
                   ["sequential", "newton", "quasi_newton", "rotated_quasi_newton"]),
    "Langevin, D = 32": (lambda T, batch, seed: pards.problems.langevin(T, 32, batch, step_size=1e-5, seed=seed), langevin_step,
                         ["sequential", "newton", "rotated_quasi_newton"]),
}  # fmt: skip


def by_lax_scan(step, x0):
    return _harness.jitted(jax.vmap(lambda u, guess: jax.lax.scan(lambda x, v: (step(x, v),) * 2, x0, u)[1], (0, None)))


def by_pards(cell, x0, method, device):
    def solve(u, guess):
        return pards.solve(cell, x0, u, guess=guess, method=method, device=device)

    return _harness.by(solve, result=_harness.states, about=_harness.outcome)


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for batch in (1, 16):
        for name, (draw, step, methods) in PROBLEMS.items():
            T = 100 if settings.quick else 10_000
            first = draw(T, batch, 0)
            others = [draw(T, batch, seed) for seed in (1, 2)]  # of which the inputs alone are taken
            flavours = {"jax.lax.scan": by_lax_scan(step(first.cell), jnp.asarray(first.x0))}
            flavours |= {f"pards {m}": by_pards(first.cell, first.x0, m, settings.device) for m in methods}
            yield _harness.Case(
                name=f"solve {name}",
                axes={"B": batch, "T": T, "dtype": "float32"},
                inputs=[(p.inputs, p.guess) for p in (first, *others)],
                flavours=flavours,
                tolerance=1e-3,  # rtol is 1e-4, on an estimate; rounding adds to it over T steps
            )


if __name__ == "__main__":
    _harness.main(cases)
