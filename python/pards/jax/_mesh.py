"""Sums, means and neighbours over the devices among which time is cut; without an axis there is one device."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from ._primitive import varying
from ._structure import Array


def vary(value: Array, axis: Any, *like: Array) -> Array:
    """The value, made to vary over the axis and over what others vary over, as the types of shard_map have it."""
    mark = () if axis is None else (jnp.zeros((), value.dtype) * lax.axis_index(axis).astype(value.dtype),)
    return varying(value, *mark, *like)[0]


def total(value: Array, axis: Any) -> Array:
    return value if axis is None else lax.psum(value, axis)


def largest(value: Array, axis: Any = None) -> Array:
    """The largest magnitude along the first axis, that of time; not a number where there is one. The sum of squares
    tells, which comes to that in no other way: on CPUs the maximum of jaxlib 0.10 passes over what is not a number. Not
    by bits, which XLA compiles for longer, and of which LLVM takes a sign for nothing on GPUs."""
    sums = total(jnp.square(value).sum(0), axis)
    return jnp.where(jnp.isnan(sums), sums, most(value, axis))


def most(value: Array, axis: Any) -> Array:
    """The same where there may be any number for what is not one."""
    top = jnp.abs(value).max(0)
    return top if axis is None else lax.pmax(top, axis)


def highest(value: Array) -> Array:
    """The largest along a short first axis of what is not negative, by one reduction; not a number if there is one."""

    def either(a: Array, b: Array) -> Array:
        return lax.select((a >= b) | (a != a), a, b)

    return lax.reduce(value, jnp.zeros((), value.dtype), either, (0,))


def mean(value: Array, axis: Any) -> Array:
    return value if axis is None else lax.pmean(value, axis)


def size(axis: Any) -> int:
    """How many devices there are."""
    return 1 if axis is None else lax.axis_size(axis) if hasattr(lax, "axis_size") else lax.psum(1, axis)


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
