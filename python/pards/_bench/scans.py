"""Cases of linear recurrences x[t] = A[t] x[t-1] + b[t]: pards beside the scans and loops of others."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import lds
from . import harness, peers
from .harness import Case, Flavour, Settings, Work

Size = tuple[int, int, int]  # B, T, D
DIAGONAL: list[Size] = [(1, 1000, 8), (1, 1 << 17, 1), (1, 1 << 17, 8), (1, 1 << 15, 64), (16, 10000, 8)]
DENSE: list[Size] = [(1, 1000, 8), (1, 1 << 15, 2), (1, 1 << 15, 4), (1, 1 << 15, 8), (1, 1 << 11, 32), (16, 3000, 8)]
IDENTITY: list[Size] = [(1, 1 << 17, 8), (16, 10000, 8)]


def cases(settings: Settings) -> Iterator[Case]:
    """What `pards bench scan` measures."""
    for make, sizes in ((diagonal, DIAGONAL), (dense, DENSE), (identity, IDENTITY)):
        for size in sizes[:1] if settings.quick else sizes:
            yield make(size, settings)


def diagonal(
    size: Size, settings: Settings, dtype: DTypeLike = np.float32, loop: bool = True, out: bool = False
) -> Case:
    """A diagonal, uniform in [0, 1). loop: with one in NumPy, which takes long; out: pards also with out=."""
    (B, T, D), draw = _drawn(size, settings, dtype)
    flavours = {"pards": by_pards(lds.Diagonal, settings.device)}
    if out:
        flavours["pards, out="] = by_pards(lds.Diagonal, settings.device, out=True)
    flavours |= jax_scans(_diagonal_step, operator.mul)
    if peers.there("accelerated-scan"):
        flavours["accelerated-scan"] = peers.by_accelerated_scan(settings.device)
    flavours |= loops(peers.numba_diagonal, _diagonal_step, B, loop)
    inputs = [(draw.random((B, T, D), dtype), draw.standard_normal((B, T, D), dtype)) for _ in range(3)]
    return _case("scan diagonal", inputs, flavours, settings)


def dense(size: Size, settings: Settings, dtype: DTypeLike = np.float32, loop: bool = True) -> Case:
    """A dense, N(0, 1/D^2); loop: with one in NumPy."""
    (B, T, D), draw = _drawn(size, settings, dtype)
    flavours = {"pards": by_pards(lds.Dense, settings.device)}
    flavours |= jax_scans(_dense_step, operator.matmul)
    flavours |= loops(peers.numba_dense, _dense_step, B, loop)
    inputs = [(draw.standard_normal((B, T, D, D), dtype) / D, draw.standard_normal((B, T, D), dtype)) for _ in range(3)]
    return _case("scan dense", inputs, flavours, settings)


def identity(size: Size, settings: Settings, dtype: DTypeLike = np.float32) -> Case:
    """A = I, a running sum: beside the sums of others, which know nothing of recurrences."""
    (B, T, D), draw = _drawn(size, settings, dtype)
    flavours = {"pards": by_pards(lds.Identity, settings.device)}
    if peers.there("jax"):
        flavours["jax.numpy.cumsum"] = harness.jitted(functools.partial(peers.load("jax.numpy").cumsum, axis=1))
    if peers.there("torch"):
        flavours["torch.cumsum"] = peers.by_torch(_torch_sum, settings.device)
    flavours["numpy.cumsum"] = harness.by(functools.partial(np.cumsum, axis=1))
    inputs = [(draw.standard_normal((B, T, D), dtype),) for _ in range(3)]
    return _case("scan identity", inputs, flavours, settings)


def _torch_sum(torch: Any) -> Callable[..., Any]:
    return functools.partial(torch.cumsum, dim=1)


def _drawn(size: Size, settings: Settings, dtype: DTypeLike) -> tuple[Size, Any]:
    B, T, D = size
    harness.widened(dtype)
    return (B, min(T, 100) if settings.quick else T, D), np.random.default_rng(0)


def _case(name: str, inputs: Sequence[Any], flavours: dict[str, Flavour], settings: Settings) -> Case:
    b = inputs[0][-1]
    axes = dict(zip("BTD", b.shape, strict=True)) | {"dtype": b.dtype.name}
    moved = sum(x.nbytes for x in inputs[0]) + b.nbytes  # all read, and as much as b written
    return Case(name, axes, inputs, flavours, moved, copy=harness.copying_on(settings.device))


def _diagonal_step(a: Any, x: Any, b: Any) -> Any:
    return a * x + b


def _dense_step(A: Any, x: Any, b: Any) -> Any:
    return (A @ x[..., None])[..., 0] + b


def by_pards(structure: Callable[..., lds.Structure], device: str, out: bool = False) -> Flavour:
    """pards.lds.scan of (*arrays of A, b), which are on the device."""

    def make(inputs: Sequence[Any]) -> Work:
        arrays = [[harness.placed(x, device) for x in one] for one in inputs]
        room = np.empty_like(inputs[0][-1]) if out and device == "cpu" else None

        def run(i: int) -> Any:
            *A, b = arrays[i]
            return lds.scan(structure(*A), b, out=room)

        return Work(run)

    return make


def jax_scans(step: Callable[..., Any], product: Callable[..., Any]) -> dict[str, Flavour]:
    """JAX's, if it is there."""
    if not peers.there("jax"):
        return {}
    lax, jnp = peers.load("jax.lax"), peers.load("jax.numpy")

    def compose(p: Any, q: Any) -> Any:
        return product(q[0], p[0]), step(q[0], p[1], q[1])

    def by_associative_scan(A: Any, b: Any) -> Any:
        return lax.associative_scan(compose, (A, b), axis=1)[1]

    def by_lax_scan(A: Any, b: Any) -> Any:
        def one(x: Any, now: Any) -> Any:
            return (step(now[0], x, now[1]),) * 2

        over = jnp.moveaxis(A, 1, 0), jnp.moveaxis(b, 1, 0)
        return jnp.moveaxis(lax.scan(one, jnp.zeros_like(b[:, 0]), over)[1], 0, 1)

    return {
        "jax.lax.associative_scan": harness.jitted(by_associative_scan),
        "jax.lax.scan": harness.jitted(by_lax_scan),
    }


def loops(
    numba: Callable[[Any], Callable[..., Any]], step: Callable[..., Any], B: int, plain: bool
) -> dict[str, Flavour]:
    """Loops in Numba, if it is there, and in NumPy."""

    def by_numpy_loop(A: Any, b: Any) -> Any:
        x, states = np.zeros_like(b[:, 0]), np.empty_like(b)
        for t in range(b.shape[1]):
            states[:, t] = x = step(A[:, t], x, b[:, t])
        return states

    found = {"NumPy loop": harness.by(by_numpy_loop)} if plain else {}
    return found | ({"Numba loop": peers.by_numba(numba, batch=B)} if peers.there("numba") else {})
