"""Sums, means and neighbours over the devices among which time is cut; without an axis there is one device."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from ._primitive import varying
from ._structure import Array

NARROW = 8  # components up to which XLA's loop over all time, component by component, is fast on a CPU


def vary(value: Array, axis: Any, *like: Array) -> Array:
    """The value, made to vary over the axis and over what others vary over, as the types of shard_map have it."""
    mark = () if axis is None else (jnp.zeros((), value.dtype) * lax.axis_index(axis).astype(value.dtype),)
    return varying(value, *mark, *like)[0]


def total(value: Array, axis: Any) -> Array:
    return value if axis is None else lax.psum(value, axis)


def largest(*values: Array, axis: Any = None) -> list[Array]:
    """The largest magnitudes of each along the first axis, that of time; not a number where there is one.

    Of few components by bits, all in one pass; their order is that of magnitudes when the sign is shifted out. Not
    masked: LLVM makes |.| of that, which on GPUs leaves a double's sign if it is no number. Of more components by
    maxima, for which XLA has fast code, and by the sum of squares, which tells of what is not a number: on CPUs the
    maximum of jaxlib 0.10 passes over it."""
    if values[0].ndim > 1 and values[0].shape[1] > NARROW:
        return [_by_maximum(value, axis) for value in values]
    dtype = values[0].dtype
    found = _tops([lax.bitcast_convert_type(value, _unsigned(value)) << 1 for value in values])
    return [lax.bitcast_convert_type((top if axis is None else lax.pmax(top, axis)) >> 1, dtype) for top in found]


def _by_maximum(value: Array, axis: Any) -> Array:
    top, sums = jnp.abs(value).max(0), total(jnp.square(value).sum(0), axis)
    return lax.select(jnp.isnan(sums), sums, top if axis is None else lax.pmax(top, axis))


def highest(*values: Array) -> list[Array]:
    """The largest of each along a short first axis, of what is not negative, by one reduction of bits, whose order is
    theirs; not a number where there is one."""
    bits = [lax.bitcast_convert_type(value, _unsigned(value)) for value in values]
    return [lax.bitcast_convert_type(top, value.dtype) for top, value in zip(_tops(bits), values, strict=True)]


def _unsigned(value: Array) -> Any:
    return jnp.uint32 if value.dtype == jnp.float32 else jnp.uint64


def _tops(bits: list[Array]) -> Any:
    """The largest of each along the first axis, in one pass."""
    nothing = [jnp.zeros((), each.dtype) for each in bits]
    return lax.reduce(bits, nothing, lambda a, b: [lax.max(a, b) for a, b in zip(a, b, strict=True)], (0,))


def mean(value: Array, axis: Any) -> Array:
    return value if axis is None else lax.pmean(value, axis)


def size(axis: Any) -> int:
    """How many devices there are."""
    return 1 if axis is None else lax.axis_size(axis) if hasattr(lax, "axis_size") else lax.psum(1, axis)


def want(function: str, axis: Any) -> None:
    """Want an axis to be one of a mesh around the call."""
    try:
        index(axis)
    except NameError:
        raise ValueError(
            f"{function}: axis_name is {axis!r}, want an axis of the mesh of a jax.shard_map around this call"
        ) from None


def index(axis: Any) -> Any:
    """Which of the devices this is."""
    return 0 if axis is None else lax.axis_index(axis)


def before(x: Array, x0: Array, axis: Any) -> Array:
    """The states before each step: x0 or the last of the device before, then x one step late."""
    first = x0
    if axis is not None:
        count = size(axis)
        came = lax.ppermute(x[-1], axis, [(i, i + 1) for i in range(count - 1)])
        first = jnp.where(index(axis) == 0, x0, came)
    return jnp.concatenate([first[None], x[:-1]])
