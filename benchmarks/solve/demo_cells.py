"""The problems of `pards demo` by pards and by jax.lax.scan, and a NumPy callable by pards and by a Python loop, in one run.

usage: python benchmarks/solve/demo_cells.py [OUT.json] [--batch B]
Float32, T = 10000. lax.scan runs the same closed-form step, jitted, compile time apart. Needs JAX.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

T = 10_000
METHODS = ("sequential", "newton", "quasi_newton", "rotated_quasi_newton", "picard", "jacobi", "scaled_identity")
MOST = 100  # updates, for the methods that would take about T


def s5_step(cell):
    index = jnp.asarray(np.asarray(cell.permutations).reshape(len(cell.permutations), -1))
    index = index if cell.permutations.ndim == 2 else jnp.asarray(np.argmax(cell.permutations, -1))
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


def by_scan(step, x0, inputs):
    run = jax.jit(jax.vmap(lambda u: jax.lax.scan(lambda x, v: (step(x, v),) * 2, x0, u)[1]))
    x0, inputs = jnp.asarray(x0), jnp.asarray(inputs)
    return lambda: run(inputs).block_until_ready()


def cells(batch: int) -> list[dict[str, object]]:
    rows = []
    problems = {
        "s5": (pards.problems.s5_word(T, batch, seed=0), s5_step),
        "gru D=8": (pards.problems.gru(T, 8, batch, seed=0), gru_step),
        "langevin D=32": (pards.problems.langevin(T, 32, batch, step_size=1e-5, seed=0), langevin_step),
    }
    for name, (p, step) in problems.items():
        found = {}

        def solve(method, p=p, found=found):
            found[method] = pards.solve(p.cell, p.x0, p.inputs, guess=p.guess, method=method, merit_tol=5e-4, raise_on_failure=False,
                                        max_iterations=None if method in ("newton", "sequential") else MOST)  # fmt: skip

        scan = by_scan(step(p.cell), p.x0, p.inputs)
        works = {m: (lambda m=m: solve(m)) for m in METHODS}
        times = _harness.interleave({"lax.scan": scan, **works})
        reference = np.asarray(scan())
        error = np.abs(found["sequential"].states - reference).max()
        for m in METHODS:
            sol = found[m]
            rows.append({"problem": name, "batch": batch, "T": T, "method": m, "seconds": times[m][0], "spread": times[m][1],
                         "lax_scan_seconds": times["lax.scan"][0], "ratio": times["lax.scan"][0] / times[m][0],
                         "iterations": int(np.max(sol.iterations)), "status": str(np.atleast_1d(sol.status)[0]),
                         "sequential_against_scan": float(error)})  # fmt: skip
    return rows


def callable_row() -> dict[str, object]:
    """A GRU written in NumPy: newton, with differences for its Jacobian, against the loop that its author would write."""
    p = pards.problems.gru(T, 8, 1, seed=0)
    W_ih, W_hh, b, b_n = (np.asarray(v) for v in (p.cell.weight_ih, p.cell.weight_hh, p.cell.bias, p.cell.bias_n))

    def f(x, u):
        i_r, i_z, i_n = np.split(u @ W_ih.T + b, 3, -1)
        h_r, h_z, h_n = np.split(x @ W_hh.T, 3, -1)
        r, z = 1 / (1 + np.exp(-(i_r + h_r))), 1 / (1 + np.exp(-(i_z + h_z)))
        n = np.tanh(i_n + r * (h_n + b_n))
        return n + z * (x - n)

    x0, u = p.x0, p.inputs[0]

    def loop():
        x, states = x0, np.empty((T, 8), np.float32)
        for t in range(T):
            states[t] = x = f(x, u[t])
        return states

    times = _harness.interleave({"newton": lambda: pards.solve(f, x0, u, method="newton"), "loop": loop})
    sol = pards.solve(f, x0, u, method="newton")
    return {"problem": "gru D=8 as a NumPy callable", "batch": 1, "T": T, "method": "newton", "seconds": times["newton"][0],
            "python_loop_seconds": times["loop"][0], "ratio": times["loop"][0] / times["newton"][0], "iterations": sol.iterations,
            "error": float(np.abs(sol.states - loop()).max())}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?")
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    _harness.write([*cells(options.batch), callable_row()], options.out)
