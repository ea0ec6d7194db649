"""What differentiating and cutting a scan takes of each structure of A: products, transposes, and these as pytrees.

Arrays of matrices are (B, T, ...), with as many axes after T as the structure has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import lds
from .._catalog_structures import STRUCTURES

Array = Any  # a jax.Array, or a tracer of one

_EXACT = jax.lax.Precision.HIGHEST  # else float32 products on a GPU are rounded to fewer bits


@dataclasses.dataclass(frozen=True)
class Algebra:
    """Attributes:
    mul: A x, of vectors x (B, T, D).
    compose: A B, the matrices of two arrays step by step.
    transpose: A'.
    """

    mul: Callable[[Array, Array], Array]
    compose: Callable[[Array, Array], Array]
    transpose: Callable[[Array], Array]


def product(structure: str, a: Array, reverse: bool) -> Array:
    """The product (B, 1, ...) of all matrices, the last one in the direction of the scan leftmost; by pairs."""
    compose = ALGEBRA[structure].compose
    if reverse:
        a = jnp.flip(a, 1)
    while (steps := a.shape[1]) > 1:
        paired = compose(a[:, 1::2], a[:, : steps - 1 : 2])
        a = jnp.concatenate([paired, a[:, steps - 1 :]], 1) if steps % 2 else paired
    return a


def _dense_mul(a: Array, x: Array) -> Array:
    return jnp.einsum("btij,btj->bti", a, x, precision=_EXACT)


def _blocks_mul(a: Array, x: Array) -> Array:
    return jnp.einsum("btnij,btnj->btni", a, x.reshape(a.shape[:-1]), precision=_EXACT).reshape(x.shape)


def _compose_matrices(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=_EXACT)


def _take(index: Array, x: Array) -> Array:
    return jnp.take_along_axis(x, index, -1)


def _swap(a: Array) -> Array:
    return jnp.swapaxes(a, -1, -2)


ALGEBRA = {
    "dense": Algebra(_dense_mul, _compose_matrices, _swap),
    "block_diagonal": Algebra(_blocks_mul, _compose_matrices, _swap),
    "diagonal": Algebra(jnp.multiply, jnp.multiply, lambda a: a),
    "scaled_identity": Algebra(lambda a, x: a[..., None] * x, jnp.multiply, lambda a: a),
    # (A B) x = A (x[b]) = x[b][a] = x[b[a]]
    "permutation": Algebra(_take, _take, lambda a: jnp.argsort(a, -1).astype(a.dtype)),
}


def register() -> None:
    """Make every structure a pytree, whose leaves may be anything: JAX puts tracers and placeholders there."""
    for structure in STRUCTURES.values():
        names = [field.name for field in dataclasses.fields(structure)]

        def flatten(value: lds.Structure, names: list[str] = names) -> tuple[list[Any], None]:
            return [(jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in names], None

        def unflatten(_: None, leaves: Any, structure: Any = structure, names: list[str] = names) -> lds.Structure:
            value = object.__new__(structure)
            for name, leaf in zip(names, leaves, strict=True):
                object.__setattr__(value, name, leaf)
            return value

        jax.tree_util.register_pytree_with_keys(structure, flatten, unflatten)


register()
