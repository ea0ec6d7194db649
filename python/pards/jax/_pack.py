"""The numbers a loop carries, packed into few arrays: of each array that it carries XLA makes a program of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ._structure import Array

MOST = 7  # leaves of an array: of an array of more than 8 parts, as it makes sizes, XLA makes a program for each part


class Packing:
    """How the scalars and vectors of such a tree are packed, floats by their bits; other arrays go by themselves."""

    def __init__(self, tree: Any) -> None:
        self.leaves, self.form = jax.tree.flatten(tree)
        whole = jnp.int32 if any(leaf.dtype == jnp.float32 for leaf in self.leaves) else jnp.int64
        kinds = [_kind(leaf, whole) for leaf in self.leaves]
        self.alone = [i for i, kind in enumerate(kinds) if kind is None]
        self.groups = list[tuple[Any, list[int]]]()
        for kind in dict.fromkeys(kind for kind in kinds if kind is not None):
            own = [i for i, k in enumerate(kinds) if k == kind]
            self.groups += [(kind, own[at : at + MOST]) for at in range(0, len(own), MOST)]

    def pack(self, tree: Any) -> Any:
        leaves = jax.tree.leaves(tree)
        arrays = [lax.concatenate([_bits(leaves[i], kind) for i in own], 0) for kind, own in self.groups]
        return [leaves[i] for i in self.alone], arrays

    def unpack(self, packed: Any) -> Any:
        return jax.tree.unflatten(self.form, [self._leaf(packed, i) for i in range(len(self.leaves))])

    def one(self, packed: Any, get: Callable[[Any], Any]) -> Array:
        """One of the leaves."""
        return self._leaf(packed, get(jax.tree.unflatten(self.form, range(len(self.leaves)))))

    def _leaf(self, packed: Any, i: int) -> Array:
        if i in self.alone:
            return packed[0][self.alone.index(i)]
        at, own = next((at, own) for at, (_, own) in enumerate(self.groups) if i in own)
        first = sum(self.leaves[j].size for j in own[: own.index(i)])
        return _value(lax.slice(packed[1][at], [first], [first + self.leaves[i].size]), self.leaves[i])


def pick(which: Array, a: Any, b: Any) -> Array:
    """a where which holds, else b, of which one may be a number: jnp.where would be a program within the program."""
    like = b if isinstance(a, int | float) else a
    a, b = (lax.full_like(like, v) if isinstance(v, int | float) else v for v in (a, b))
    return lax.select(which, a, b)


def _kind(leaf: Array, whole: Any) -> Any:
    """The dtype a leaf is packed in; None for what goes by itself. whole: that of whole numbers."""
    if leaf.ndim > 1:
        return None
    own = {jnp.dtype(jnp.float32): jnp.int32, jnp.dtype(jnp.float64): jnp.int64}
    return whole if leaf.dtype in (jnp.int32, jnp.bool_) else own.get(leaf.dtype)


def _bits(leaf: Array, kind: Any) -> Array:
    flat = lax.reshape(leaf, [leaf.size])
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return lax.bitcast_convert_type(flat, kind)
    return lax.convert_element_type(flat, kind)


def _value(bits: Array, like: Array) -> Array:
    own = lax.reshape(bits, like.shape)
    if jnp.issubdtype(like.dtype, jnp.floating):
        return lax.bitcast_convert_type(own, like.dtype)
    return lax.convert_element_type(own, like.dtype)
