"""The scan as a primitive of JAX: shapes, derivatives, transposition, batches, and what runs it.

Operands are the matrices (B, T, ...), unless the structure has none, b (B, T, D), and x0 (B, D) if start is set.
"""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from . import _ffi
from ._structure import ALGEBRA, Array

scan_p = Primitive("pards_scan")


def bind(structure: str, a: Array | None, b: Array, x0: Array | None, reverse: bool) -> Array:
    """The scan of a batch of sequences; a is None for structures without numbers."""
    operands = varying(*(array for array in (a, b, x0) if array is not None))
    return scan_p.bind(*operands, structure=structure, reverse=reverse, start=x0 is not None)


def parts(operands: Any, structure: str, start: bool) -> tuple[Any, Any, Any]:
    """Operands, or anything that belongs to each, as those of A, b and x0; None for what there is not."""
    a, rest = (operands[0], operands[1:]) if structure in ALGEBRA else (None, operands)
    return a, rest[0], rest[1] if start else None


def varying(*arrays: Array) -> list[Array]:
    """The arrays, each made to vary over all the axes of a shard_map over which one of them does."""
    union = frozenset[Any]().union(*(_axes(jax.typeof(array)) for array in arrays))
    return [vary_over(array, union) for array in arrays]


def _axes(kind: Any) -> frozenset[Any]:
    """The axes of a shard_map over which what is of a type varies, by any of the names that these have had."""
    named = getattr(kind, "manual_axis_type", getattr(kind, "mat", None))
    return getattr(kind, "vma", frozenset()) if named is None else named.varying


def types(f: Callable[..., Any], *args: Any) -> Any:
    """Of the arrays that f returns. Those of jax.eval_shape do not tell in all versions over what they vary."""
    return jax.make_jaxpr(f)(*args).out_avals


def vary_as(tree: Any, kind: Any) -> Any:
    """The arrays of a tree, each made to vary over the axes of a shard_map over which what is of a type does."""
    wanted = _axes(kind)
    return jax.tree.map(lambda leaf: vary_over(leaf, wanted), tree) if wanted else tree


def vary_over(array: Array, wanted: frozenset[Any]) -> Array:
    """The array, made to vary over the axes of a shard_map that are wanted and over which it does not."""
    axes = tuple(wanted - _axes(jax.typeof(array)))
    if not axes:
        return array
    if hasattr(lax, "pcast"):
        return lax.pcast(array, axes, to="varying")
    return lax.pvary(array, axes)  # pyright: ignore[reportAttributeAccessIssue] - as it was called until 0.8


def row(array: Array, reverse: bool, last: bool = False) -> Array:
    """The first or last step, in the direction of the scan, of (B, T, ...), as (B, 1, ...)."""
    return array[:, -1:] if reverse != last else array[:, :1]


def shift(array: Array, first: Array, reverse: bool) -> Array:
    """The array one step later in the direction of the scan, with first (B, 1, ...) coming in."""
    return jnp.concatenate([array[:, 1:], first] if reverse else [first, array[:, :-1]], 1)


def _abstract(*operands: Any, structure: str, start: bool, **_: Any) -> Any:
    return parts(operands, structure, start)[1]


scan_p.def_abstract_eval(_abstract)


def loop(*operands: Array, structure: str, reverse: bool, start: bool) -> Array:
    """The scan step by step, in JAX alone: for devices that the library does not know."""
    a, b, x0 = parts(operands, structure, start)
    if not start:  # the first A is not read
        head = row(b, reverse)
        if b.shape[1] == 1:
            return head
        keep = slice(None, -1) if reverse else slice(1, None)
        rest = (a if a is None else a[:, keep], b[:, keep], head[:, 0])
        rest = tuple(array for array in rest if array is not None)
        tail = loop(*rest, structure=structure, reverse=reverse, start=True)
        return jnp.concatenate([tail, head] if reverse else [head, tail], 1)

    def step(x: Array, ab: tuple[Array | None, Array]) -> tuple[Array, Array]:
        moved = x if ab[0] is None else ALGEBRA[structure].mul(ab[0][:, None], x[:, None])[:, 0]
        x = moved + ab[1]
        return x, x

    over = (None if a is None else jnp.moveaxis(a, 1, 0), jnp.moveaxis(b, 1, 0))
    return jnp.moveaxis(lax.scan(step, x0, over, reverse=reverse)[1], 0, 1)


def run_eagerly(primitive: Primitive) -> None:
    """A primitive outside a program is a program of its own."""

    @cache
    def jitted(params: tuple[tuple[str, Any], ...]) -> Any:
        return jax.jit(partial(primitive.bind, **dict(params)))

    def run(*operands: Array, **params: Any) -> Any:
        with jax.disable_jit(False):  # else a program, one operation after another, comes back here
            return jitted(tuple(params.items()))(*operands)

    primitive.def_impl(run)


run_eagerly(scan_p)
mlir.register_lowering(scan_p, mlir.lower_fun(loop, multiple_results=False))


def _native(platform: str, *operands: Array, structure: str, reverse: bool, start: bool) -> Array:
    """The scan by the library, which takes whole numbers as floats."""
    a, _, x0 = parts(operands, structure, start)

    def run(*operands: Array) -> Array:
        a, b, x0 = parts(operands, structure, start)
        if structure == "permutation":
            # On a GPU nobody looks whether an index is one, before it is an address.
            a = (a if platform == "cpu" else jnp.clip(a, 0, b.shape[-1] - 1)).astype(b.dtype)
        given = [array for array in (a, b, x0) if array is not None]
        result = jax.ShapeDtypeStruct(b.shape, b.dtype)
        return _ffi.call(
            platform, "scan", result, *given, structure=structure, numbers=a is not None, start=start, reverse=reverse
        )

    axes = [*matrix_axes(a), "batch time dim", *([] if x0 is None else ["batch dim"])]
    return by_sequence(run, f"{', '.join(axes)} -> batch time dim", 0 if a is None else 1, *operands)


def matrix_axes(a: Array | None) -> list[str]:
    """The axes of matrices, if there are any, in rules of how arrays may be spread."""
    return [] if a is None else [" ".join(["batch", "time", *"ijk"][: a.ndim])]


def _spread_over_batch(run: Callable[..., Any], rule: str, first: int, *operands: Array) -> Any:
    """What the library does of a batch that may be spread over devices, as operand number first is, each of which does
    its own sequences."""
    call = custom_partitioning(run)

    def place(mesh: Any, like: Any) -> NamedSharding:
        spec = like.sharding.spec if isinstance(like.sharding, NamedSharding) else ()
        return NamedSharding(mesh, PartitionSpec(*spec[:1]))

    def infer(mesh: Any, given: Any, results: Any) -> Any:
        return jax.tree.map(lambda _: place(mesh, given[first]), results)

    def partition(mesh: Any, given: Any, results: Any) -> Any:
        own = place(mesh, jax.tree.leaves(results)[0])
        return mesh, run, jax.tree.map(lambda _: own, results), tuple(own for _ in given)

    call.def_partition(partition, infer, sharding_rule=rule)
    return call(*operands)


try:  # JAX tells custom_partitioning the devices only where it sees one coming, or a primitive of this private list
    from jax._src.dispatch import prim_requires_devices_during_lowering as _knowing

    by_sequence = _spread_over_batch
except ImportError:  # XLA then gathers what is spread
    _knowing = set[Primitive]()

    def by_sequence(run: Callable[..., Any], rule: str, first: int, *operands: Array) -> Any:
        return run(*operands)


def scans_when_lowered(primitive: Primitive) -> None:
    """Of a primitive whose lowering has scans in it, or what else is done by sequence."""
    _knowing.add(primitive)


scans_when_lowered(scan_p)
for _platform in _ffi.TARGETS:
    mlir.register_lowering(
        scan_p, mlir.lower_fun(partial(_native, _platform), multiple_results=False), platform=_platform
    )


def _drive(structure: str, da: Array, x: Array, x0: Array | None, reverse: bool) -> Array:
    """dA[t] x[t-1], nothing where A is not read."""
    mul = ALGEBRA[structure].mul
    if x0 is not None:
        return mul(da, shift(x, x0[:, None], reverse))
    rest = mul(da[:, :-1], x[:, 1:]) if reverse else mul(da[:, 1:], x[:, :-1])
    nothing = jnp.zeros_like(row(x, reverse))
    return jnp.concatenate([rest, nothing] if reverse else [nothing, rest], 1)


def _jvp(primals: Any, tangents: Any, *, structure: str, reverse: bool, start: bool) -> tuple[Array, Any]:
    """x' = A x + b gives dx' = A dx + (dA x + db)."""
    a, b, x0 = parts(primals, structure, start)
    da, db, dx0 = parts(tangents, structure, start)
    x = bind(structure, a, b, x0, reverse)
    nothing = [v is None or isinstance(v, ad.Zero) for v in (da, db, dx0)]
    if all(nothing):
        return x, ad.Zero(jax.typeof(x))
    drive = ad.instantiate_zeros(db)
    if not nothing[0]:
        driven = _drive(structure, da, x, x0, reverse)
        drive = driven if nothing[1] else drive + driven
    return x, bind(structure, a, drive, None if nothing[2] else dx0, reverse)


ad.primitive_jvps[scan_p] = _jvp


def _transpose(ct: Any, *operands: Any, structure: str, reverse: bool, start: bool) -> list[Any]:
    """y[t] = A[t] y[t-1] + b[t] transposed is z[t] = A[t+1]' z[t+1] + ct[t], which b and A[1]' of it x0 receive."""
    a, b, x0 = parts(operands, structure, start)
    nothing = [None] * len(operands)
    if isinstance(ct, ad.Zero):
        return nothing
    turned = None if a is None else ALGEBRA[structure].transpose(a)
    moved = None if turned is None else shift(turned, row(turned, reverse), not reverse)
    z = bind(structure, moved, ct, None, not reverse)
    got: list[Any] = [] if a is None else [None]
    got.append(z if ad.is_undefined_primal(b) else None)
    if start:
        end = row(z, reverse)
        back = end if turned is None else ALGEBRA[structure].mul(row(turned, reverse), end)
        got.append(back[:, 0] if ad.is_undefined_primal(x0) else None)
    return got


ad.primitive_transposes[scan_p] = _transpose


def batched(primitive: Primitive, operands: Any, axes: Any, **params: Any) -> tuple[Any, Any]:
    """A batch of batches is a larger batch."""
    size = next(array.shape[axis] for array, axis in zip(operands, axes, strict=True) if axis is not None)
    full = [batching.bdim_at_front(array, axis, size) for array, axis in zip(operands, axes, strict=True)]
    each = full[0].shape[1]
    flat = [lax.collapse(array, 0, 2) for array in full]
    found = jax.tree.map(lambda x: x.reshape(size, each, *x.shape[1:]), primitive.bind(*flat, **params))
    return found, jax.tree.map(lambda _: 0, found)


batching.primitive_batchers[scan_p] = partial(batched, scan_p)
