"""pards.jax.scan: arguments checked while JAX traces, and the scan cut over the devices of a mesh."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from .. import _array, lds
from .._structure import no_class
from . import _mesh
from ._primitive import bind, row, varying
from ._structure import Array, product


def scan(
    A: Any, b: Any, x0: Any = None, *, reverse: bool = False, axis_name: str | tuple[str, ...] | None = None
) -> jax.Array:
    """Evaluate x[t] = A[t] x[t-1] + b[t], t = 1..T, or backwards x[t] = A[t] x[t+1] + b[t], in a JAX program.

    It can be jitted, mapped (vmap makes the batch larger, and repeats what it does not map) and differentiated any
    number of times, forward and in reverse, with respect to A, b and x0. A derivative is one more scan; in reverse it
    takes a transposed copy of A. On CPUs and NVIDIA GPUs the library does it, elsewhere a loop of JAX's. Where XLA
    records it into a CUDA graph, that has a work area of its own, which is given back when the graph is.

    Inside `jax.shard_map` with time cut over the devices of a mesh axis, name that axis: every device scans its own
    part and passes on one matrix and one vector, so T may be larger than one device holds.

    Args:
        A: (..., T, D, D), (..., T, D) for diagonal matrices, or a structure: `pards.lds.Diagonal(a)`,
            `pards.lds.Identity()`, or another of `pards.lds`. Structures are pytrees.
        b: (..., T, D).
        x0: (..., D), the state before the first step, or after the last one if reverse is set; under axis_name the
            same on every device. Without it the step next to it is b alone, and its A is not read.
        reverse: go from the last step to the first; nothing is transposed.
        axis_name: the axis, or axes, of a mesh over which time is cut, in order.

    Leading axes of A, b and x0 are a batch, and broadcast. All floats have one dtype, float32 or float64.

    Returns:
        x, (..., T, D).

    Raises:
        ValueError: a shape does not fit the others.
        TypeError: a dtype is not that of the others, is neither float32 nor float64, or is float64 with JAX's 64-bit
            types off.

    Reference:
        Blelloch, "Prefix sums and their applications" (1990), for the scan.

    Example:
        >>> import jax, jax.numpy as jnp, pards.jax
        >>> total = lambda a: pards.jax.scan(pards.lds.Diagonal(a), jnp.ones((3, 1)))[-1, 0]
        >>> total(jnp.full((3, 1), 0.5))
        Array(1.75, dtype=float32)
        >>> jax.grad(total)(jnp.full((3, 1), 0.5))[:, 0].tolist()
        [0.0, 0.5, 1.5]
    """
    flag: Any = reverse
    if isinstance(flag, Tracer):
        raise TypeError(
            "scan: reverse is traced, want True or False while JAX traces: make it static (static_argnames)"
        )
    reverse = _array.flag("scan", "reverse", reverse)
    b = _floats("b", b)
    if b.ndim < 2:
        raise ValueError(f"scan: b has shape {b.shape}, want (..., time, dim)")
    no_class(A)
    structure, a, axes = _matrices(A, b)
    start = None if x0 is None else _floats("x0", x0)
    _same_dtype(b, A=None if structure == "permutation" else a, x0=start)
    if start is not None and start.shape[-1:] != b.shape[-1:]:
        raise ValueError(f"scan: x0 has shape {start.shape}, want (..., dim={b.shape[-1]}); b has shape {b.shape}")
    given = {"A": (a, axes), "b": (b, 2), "x0": (start, 1)}
    lead = _lead({name: pair for name, pair in given.items() if pair[0] is not None})
    flat_a, flat_b, flat_x0 = (None if array is None else _flat(array, lead, own) for array, own in given.values())
    assert flat_b is not None
    shape = lead + b.shape[-2:]
    if structure == "zero" or flat_b.size == 0:
        return flat_b.reshape(shape)
    if axis_name is None:
        return bind(structure, flat_a, flat_b, flat_x0, reverse).reshape(shape)
    return _cut(structure, flat_a, flat_b, flat_x0, reverse, axis_name).reshape(shape)


def _floats(name: str, value: Any) -> Array:
    """An argument as an array of floats of JAX's; nothing is cast but what Python's own numbers are made of."""
    if not isinstance(value, jax.Array):
        given = value if isinstance(value, np.ndarray | np.generic) else None
        try:
            value = jnp.asarray(value) if given is None else given
        except (TypeError, ValueError) as error:
            raise TypeError(f"scan: {name} is of type {type(value).__name__}, want an array: {error}") from None
    if value.dtype not in (np.float32, np.float64):
        raise TypeError(f"scan: {name} has dtype {value.dtype}, want float32 or float64")
    not_cut("scan", name, value)
    return _together(jnp.asarray(value))


def not_cut(function: str, name: str, array: Any) -> None:
    """Want an array that JAX keeps as it is."""
    if array.dtype == np.float64 and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise TypeError(
            f"{function}: {name} has dtype float64, which JAX would cut to float32, want float32; "
            'or turn its 64-bit types on: jax.config.update("jax_enable_x64", True)'
        )


def _together(array: Array) -> Array:
    """The array, whole on every device if JAX's types say that it is not; of what they do not say XLA takes care."""
    sharding: Any = getattr(jax.typeof(array), "sharding", None)
    if not any(getattr(sharding, "spec", None) or ()) or not hasattr(jax.sharding, "reshard"):  # new in 0.7
        return array
    return jax.sharding.reshard(array, jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))


def _matrices(A: Any, b: Array) -> tuple[str, Array | None, int]:
    """The structure of A, its array, and how many axes of that are no batch."""
    steps, dim = b.shape[-2:]
    if not isinstance(A, lds.Structure):
        array = _floats("A", A)
        dense, diagonal = array.shape[-3:] == (steps, dim, dim), array.shape[-2:] == (steps, dim)
        if dense and diagonal and b.ndim > 2:
            raise ValueError(
                f"scan: A has shape {array.shape} and b {b.shape}, so that A may be dense or diagonal; "
                "say which: pards.lds.Dense(A) or pards.lds.Diagonal(A)"
            )
        if dense:
            return "dense", array, 3
        if diagonal:
            return "diagonal", array, 2
        raise ValueError(
            f"scan: A has shape {array.shape}, want (..., time={steps}, dim={dim}, dim={dim}), or "
            f"(..., time={steps}, dim={dim}) for diagonal matrices, or a structure of pards.lds; b has shape {b.shape}"
        )
    if A.array is None:
        return A.name, None, 0
    array = _whole("A", A.array) if A.whole else _floats("A", A.array)
    A.check(array.shape, b.shape)
    return A.name, array, A.axes + 1


def _whole(name: str, value: Any) -> Array:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"scan: {name} (permutation) has dtype {array.dtype}, want integers")
    return _together(array.astype(jnp.int32))


def _same_dtype(b: Array, **others: Array | None) -> None:
    for name, array in others.items():
        if array is not None and array.dtype != b.dtype:
            raise TypeError(f"scan: {name} has dtype {array.dtype}, want {b.dtype}, which b has; cast one of them")


def _lead(given: dict[str, tuple[Array, int]]) -> tuple[Any, ...]:
    """The batch axes to which all broadcast."""
    try:
        return jnp.broadcast_shapes(*(array.shape[: array.ndim - own] for array, own in given.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, (array, _) in given.items())
        raise ValueError(f"scan: the batch axes of {shapes} do not broadcast") from None


def _flat(array: Array, lead: tuple[int, ...], own: int) -> Array:
    """The array with one batch axis."""
    rest = array.shape[array.ndim - own :]
    return jnp.broadcast_to(array, lead + rest).reshape(math.prod(lead), *rest)


def _cut(structure: str, a: Array | None, b: Array, x0: Array | None, reverse: bool, axis_name: Any) -> Array:
    """The scan with time cut over a mesh axis.

    A part takes its start c to its end P c + e, P the product of its matrices and e its end without c; a scan of all P
    and e, which every device does, tells where each part starts.
    """
    _mesh.want("scan", axis_name)
    place, count = lax.axis_index(axis_name), lax.psum(1, axis_name)
    first = place == (count - 1 if reverse else 0)
    nothing = jnp.zeros_like(row(b, reverse)[:, 0])
    *_, nothing, b = aligned = varying(*(() if a is None else (a,)), place, nothing, b)
    a = None if a is None else aligned[0]

    def local(start: Array) -> Array:
        if x0 is None:  # the first A of all is not read
            return lax.cond(
                first, lambda: bind(structure, a, b, None, reverse), lambda: bind(structure, a, b, start, reverse)
            )
        return bind(structure, a, b, start, reverse)

    start = nothing if x0 is None else jnp.where(first, x0, nothing)
    x = local(start)
    if count == 1:
        return x
    ends = lax.all_gather(row(x, reverse, last=True)[:, 0], axis_name, axis=1)
    products = None
    if a is not None:
        matrices = a
        whole = lax.cond(first, lambda: row(matrices, reverse), lambda: product(structure, matrices, reverse))
        products = lax.all_gather(whole[:, 0], axis_name, axis=1)  # that of the first part is not read
    ends = bind(structure, products, ends, None, reverse)
    before = jnp.clip(place + (1 if reverse else -1), 0, count - 1)
    return local(jnp.where(first, start, lax.dynamic_index_in_dim(ends, before, 1, keepdims=False)))
