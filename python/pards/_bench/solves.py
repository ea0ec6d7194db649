"""Cases of the paper's problems as native cells: pards by several methods beside the loops of others over the same.

Default tolerances: the paper's merit_tol lets a method stop far from the loop's trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import problems, solve
from ..cells import GRU, GaussianMixture, GroupWord, Langevin
from . import harness, peers
from .harness import Case, Flavour, Settings

# name: how it is drawn of T, batch, seed, dtype; methods that converge in few updates
PROBLEMS: dict[str, tuple[Callable[[int, int, int, Any], problems.Problem], tuple[str, ...]]] = {
    "S5": (lambda T, batch, seed, dtype: problems.s5_word(T, batch, seed, dtype=dtype), ("newton",)),
    "GRU, D = 8": (
        lambda T, batch, seed, dtype: problems.gru(T, 8, batch, seed, dtype=dtype),
        ("newton", "quasi_newton", "rotated_quasi_newton"),
    ),
    "Langevin, D = 32": (
        lambda T, batch, seed, dtype: problems.langevin(T, 32, batch, seed=seed, dtype=dtype),
        ("newton", "rotated_quasi_newton"),
    ),
    "Langevin, D = 64": (
        lambda T, batch, seed, dtype: problems.langevin(T, 64, batch, seed=seed, dtype=dtype),
        ("rotated_quasi_newton",),
    ),
}


def cases(settings: Settings) -> Iterator[Case]:
    """What `pards bench solve` measures."""
    for batch in (1,) if settings.quick else (1, 16):
        for name in ("S5", "GRU, D = 8", "Langevin, D = 32"):
            yield case(name, 10_000, batch, settings)


def case(
    name: str, T: int, batch: int, settings: Settings, dtype: DTypeLike = np.float32, parallel: bool = True
) -> Case:
    """A problem of PROBLEMS, by the plain loop of pards first; parallel: and by its methods."""
    harness.widened(dtype)
    draw, methods = PROBLEMS[name]
    steps = min(T, 100) if settings.quick else T
    drawn = [draw(steps, batch, seed, dtype) for seed in range(3)]
    first = drawn[0]  # of the others the inputs alone are taken
    flavours = {
        f"pards {m}": by_pards(first, m, settings.device) for m in ("sequential", *(methods if parallel else ()))
    }
    return Case(
        name=f"solve {name}",
        axes={"B": batch, "T": steps, "dtype": np.dtype(dtype).name},
        inputs=[(p.inputs,) for p in drawn],
        flavours=flavours | loops(first, settings.device),
        tolerance=1e-3,  # rtol is 1e-4 in float32, on an estimate; rounding adds to it over T steps
    )


def by_pards(p: problems.Problem, method: str, device: str, **options: Any) -> Flavour:
    """pards.solve by a method, with the problem's guess."""

    def make(inputs: Any) -> harness.Work:
        x0, guess = harness.placed(p.x0, device), harness.placed(p.guess, device)
        arrays = [harness.placed(u, device) for (u,) in inputs]
        more = options if method == "sequential" else {"guess": guess} | options
        return harness.Work(
            lambda i: solve(p.cell, x0, arrays[i], method=method, device=device, **more),
            result=harness.states,
            about=harness.outcome,
        )

    return make


def loops(p: problems.Problem, device: str) -> dict[str, Flavour]:
    """The loops of others over the step of a problem, where they are installed."""
    batch, found = len(p.inputs), dict[str, Flavour]()
    if peers.there("jax"):
        found["jax.lax.scan"] = by_lax_scan(p)
    if peers.there("torch") and isinstance(p.cell, GRU):
        found["torch.nn.GRU"] = peers.by_torch(lambda torch: _torch_gru(torch, p.cell, device), device)
    if peers.there("numba"):
        kernel, *parameters = _numba(p)
        found["Numba loop"] = peers.by_numba(kernel, *parameters, batch=batch)
    return found


def by_lax_scan(p: problems.Problem) -> Flavour:
    """jax.lax.scan of the step, jitted, over each sequence of the batch."""
    jax, jnp = peers.load("jax"), peers.load("jax.numpy")
    step, x0 = STEPS[type(p.cell)](p.cell), jnp.asarray(p.x0)

    def one(x: Any, u: Any) -> Any:
        return (step(x, u),) * 2

    def loop(u: Any) -> Any:
        return jax.lax.scan(one, x0, u)[1]

    return harness.jitted(jax.vmap(loop))


def word_step(cell: GroupWord) -> Callable[[Any, Any], Any]:
    index = peers.load("jax.numpy").asarray(_index(cell))
    return lambda x, word: x[index[word]]


def gru_step(cell: GRU) -> Callable[[Any, Any], Any]:
    jax, jnp = peers.load("jax"), peers.load("jax.numpy")
    W_ih, W_hh, b, b_n = (jnp.asarray(v) for v in (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n))

    def step(x: Any, u: Any) -> Any:
        i_r, i_z, i_n = jnp.split(W_ih @ u + b, 3)
        h_r, h_z, h_n = jnp.split(W_hh @ x, 3)
        r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
        n = jnp.tanh(i_n + r * (h_n + b_n))
        return n + z * (x - n)

    return step


def langevin_step(cell: Langevin) -> Callable[[Any, Any], Any]:
    jax, jnp = peers.load("jax"), peers.load("jax.numpy")
    means, P, logs, size, noise = (jnp.asarray(v) for v in _chain(cell))

    def f(x: Any, u: Any) -> Any:
        y = x - means
        h = -jnp.einsum("kij,kj->ki", P, y)
        w = jax.nn.softmax(logs + (h * y).sum(-1) / 2)
        return x + size * (w @ h) + noise * u

    return f


STEPS: dict[type, Callable[[Any], Callable[[Any, Any], Any]]] = {
    GroupWord: word_step,
    GRU: gru_step,
    Langevin: langevin_step,
}


def _index(cell: GroupWord) -> Any:
    """(G, D) of which components of x the next x has."""
    given = np.asarray(cell.permutations)
    return given.argmax(-1) if given.ndim == 3 else given


def _chain(cell: Langevin) -> tuple[Any, ...]:
    """Means, precisions and logarithms of the weights, step size and scale of the noise, in the dtype of the means."""
    mixture = cell.potential
    assert isinstance(mixture, GaussianMixture)
    kind = np.asarray(mixture.means).dtype.type
    step = float(cell.step_size)
    return mixture.means, mixture.precisions, mixture.log_weights, kind(step), kind(np.sqrt(2 * step))


def _torch_gru(torch: Any, cell: Any, device: str) -> Callable[[Any], Any]:
    hidden, inputs = cell.dim, cell.inputs
    wide = torch.float64 if cell.weight_hh.dtype == np.float64 else torch.float32
    module = cell.to_torch(torch.nn.GRU(inputs, hidden, batch_first=True, dtype=wide)).to(device)
    return lambda u: module(u)[0]


def _numba(p: problems.Problem) -> tuple[Any, ...]:
    """The loop for a problem, and what it gets before the inputs."""
    cell = p.cell
    if isinstance(cell, GRU):
        across = (np.ascontiguousarray(np.transpose(w)) for w in (cell.weight_ih, cell.weight_hh))
        return peers.numba_gru, *across, cell.bias, cell.bias_n, p.x0, p.x0.dtype.type(1)
    if isinstance(cell, Langevin):
        return peers.numba_langevin, *_chain(cell), p.x0
    assert isinstance(cell, GroupWord)
    return peers.numba_word, _index(cell), p.x0
