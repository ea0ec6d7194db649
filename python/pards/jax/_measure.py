"""What an iterate is tested by, and how it is updated: on CPUs by the library, in one pass each, which are much less to
compile than what XLA makes of the same; elsewhere, and over a mesh, by that."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from . import _ffi, _mesh
from ._globalise import wide
from ._pack import pick
from ._primitive import batched, bind, by_sequence, matrix_axes, run_eagerly, scans_when_lowered, varying
from ._scan import scan
from ._structure import Array

measure_p, update_p = Primitive("pards_measure"), Primitive("pards_update")
measure_p.multiple_results = True


class Distance(NamedTuple):
    """How far x is from f, along a trajectory. What is not a number makes these none."""

    largest: Array  # |x - f|
    size: Array  # of the x - f, relative to x, see relative
    scale: Array  # the largest |x|
    squares: Array  # the sum of those of x - f, of the first pair, in the dtype of merits


def measure(*pairs: tuple[Array, Array], least: float, axis: Any) -> list[Distance]:
    """That of each x and f (T, D). least is atol / rtol."""
    if axis is not None:
        return _measured(*pairs, least=least, axis=axis)
    operands = varying(*(array[None] for pair in pairs for array in pair))
    found = [array.reshape(()) for array in measure_p.bind(*operands, least=least)]
    return list(map(Distance, found[::4], found[1::4], found[2::4], found[3::4]))


def _measured(*pairs: tuple[Array, Array], least: float, axis: Any) -> list[Distance]:
    """The same by JAX, all in one pass."""
    away = [f - x for x, f in pairs]
    tops = _mesh.largest(*(array for v, (x, _) in zip(away, pairs, strict=True) for array in (v, x)), axis=axis)
    wanted = [each for v, x in zip(tops[::2], tops[1::2], strict=True) for each in (v, relative(v, x, least), x)]
    found = _mesh.highest(*wanted)
    # XLA's sums are pairwise where it has no double precision
    squares = _mesh.total(jnp.sum(jnp.square(away[0].astype(wide()))), axis)
    return list(map(Distance, found[::3], found[1::3], found[2::3], [squares] * len(pairs)))


def relative(v: Array, x: Array, least: float) -> Array:
    """What |v| = max over t and d of |v| / (atol/rtol + max_t |x[., d]|) is the largest of; v and x are the largest of
    each component, 0/0 is 0."""
    return pick(v == 0, 0, v / (least + x))


def update(A: Any, F: Array, x: Array, axis: Any) -> Array:
    """The next iterate, F[t] + A[t] d[t-1], of the increments d[t] = A[t] d[t-1] + F[t] - x[t] that a scan makes."""
    if A.name == "zero":
        return F
    if axis is not None:
        r = F - x
        return F + (scan(A, r, axis_name=axis) - r)
    operands = varying(*(array[None] for array in (A.array, F, x) if array is not None))
    return update_p.bind(*operands, structure=A.name)[0]


def _matrices(operands: Any) -> Array | None:
    return operands[0] if len(operands) > 2 else None


def _updated(*operands: Array, structure: str) -> Array:
    """The update of a batch by JAX and a scan."""
    F, x = operands[-2:]
    r = F - x
    return F + (bind(structure, _matrices(operands), r, None, False) - r)


def _update_natively(*operands: Array, structure: str) -> Array:
    def run(*operands: Array) -> Array:
        like = operands[-1]
        result = jax.ShapeDtypeStruct(like.shape, like.dtype)
        return _ffi.call("cpu", "update", result, *operands, structure=structure, numbers=len(operands) > 2)

    rule = f"{', '.join([*matrix_axes(_matrices(operands)), *['batch time dim'] * 2])} -> batch time dim"
    return by_sequence(run, rule, len(operands) - 1, *operands)


def _measure_by_jax(*operands: Array, least: float) -> list[Array]:
    def one(operands: tuple[Array, ...]) -> list[Array]:
        found = _measured(*zip(operands[::2], operands[1::2], strict=True), least=least, axis=None)
        return [value.reshape(1, 1) for distance in found for value in distance]

    return jax.vmap(one)(operands)


def _measure_natively(*operands: Array, least: float) -> list[Array]:
    def run(*operands: Array) -> list[Array]:
        results = [jax.ShapeDtypeStruct(like.shape, like.dtype) for like in _shapes(*map(jax.typeof, operands))]
        return _ffi.call("cpu", "measure", results, *operands, least=least)

    rule = f"{', '.join(['batch time dim'] * len(operands))} -> {', '.join(['batch one other'] * 2 * len(operands))}"
    return by_sequence(run, rule, 0, *operands)


def _shapes(x: Any, *rest: Any, **_: Any) -> list[Any]:
    """The types of what is measured of each pair, axes as many as those of the arrays."""
    one = x.update(shape=(x.shape[0], 1, 1), weak_type=False)
    return [one, one, one, one.update(dtype=np.dtype(wide()))] * ((1 + len(rest)) // 2)


def _like_the_last(*operands: Any, **_: Any) -> Any:
    return operands[-1]


measure_p.def_abstract_eval(_shapes)
update_p.def_abstract_eval(_like_the_last)
mlir.register_lowering(measure_p, mlir.lower_fun(_measure_by_jax, multiple_results=True))
mlir.register_lowering(measure_p, mlir.lower_fun(_measure_natively, multiple_results=True), platform="cpu")
mlir.register_lowering(update_p, mlir.lower_fun(_updated, multiple_results=False))
mlir.register_lowering(update_p, mlir.lower_fun(_update_natively, multiple_results=False), platform="cpu")
for _primitive in (measure_p, update_p):
    run_eagerly(_primitive)
    scans_when_lowered(_primitive)
    batching.primitive_batchers[_primitive] = partial(batched, _primitive)
