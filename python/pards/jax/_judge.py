"""Whether an iterate is the last: what that is told by, and how an iteration goes on; where it may, by the library."""

# Functions over arrays of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from .. import _catalog
from . import _ffi
from ._measure import Distance
from ._pack import Packing, pick
from ._primitive import batched, by_sequence, run_eagerly, scans_when_lowered, varying
from ._structure import Array

STATUSES = tuple(status.name for status in _catalog.STATUSES)
CONVERGED, FLOOR, CAPPED, NONFINITE = (STATUSES.index(s) for s in ("converged", "floor", "max_iterations", "nonfinite"))
GOING, SHORT = -1, len(STATUSES)  # a window that is given up
PATIENCE = 24  # updates after which that is
DOUBTFUL = 10  # rtol: a residual above belies the estimate of the error
ROUNDING = 16  # eps of the state's size: a residual below is rounding

proceed_p = Primitive("pards_proceed")


class Course(NamedTuple):
    """How far an iteration has come, as core/method/judge.go has it."""

    k: Array  # updates
    sizes: Array  # of the last three updates, the last one first
    merit: Array  # of the iterate that was tested last
    error: Array
    status: Array
    left: Array  # its residual, and the size of that

    @property
    def dtype(self) -> Any:
        return self.sizes.dtype


class Rules(NamedTuple):
    """How iterates are judged, known when JAX traces."""

    rtol: float
    by_merit: bool  # and not by rtol
    holds: bool  # the method holds updates back
    adapts: bool  # windows do
    stop: bool  # an update that is not finite ends the iteration


class Bounds(NamedTuple):
    """What a window's iterates are held to: numbers, or arrays where windows adapt."""

    tol: Any  # of the merit
    cap: Any  # most updates
    length: Any  # steps


def begun(dtype: Any, status: Array) -> Course:
    zero, nothing = jnp.int32(0), jnp.zeros((), dtype)
    return Course(zero, jnp.zeros(3, dtype), nothing, nothing, status, jnp.full(2, jnp.inf, dtype))


def packing(dtype: Any) -> Packing:
    """That of a course, whose numbers make one array."""

    def of(shape: tuple[int, ...], dtype: Any = dtype) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    return Packing(Course(of((), jnp.int32), of((3,)), of(()), of(()), of((), jnp.int32), of((2,))))


def estimate(sizes: Array, k: Array) -> Array:
    """The distance to the sequential trajectory after k updates, see pards.solve."""
    last, one, two = sizes
    q = lax.max(last / one, pick(k > 2, one / two, 0))
    known = (k > 1) & (last != 0) & (q < 1)
    other = pick((k > 0) & (last == 0), 0, pick(k > 1, jnp.inf, jnp.full_like(last, jnp.nan)))
    # one division, of which all follows
    return pick(known, last * pick(k > 2, q, 1), other) / pick(known, 1 - q, 1)


def test(c: Course, own: Distance, count: Array, rules: Rules, bounds: Bounds) -> tuple[Array, Array, Array]:
    """What the distance of an iterate from f along it says, and its updates, of which count tell: its merit in the
    dtype of those, the error, and the status."""
    merit = 0.5 * own.squares
    merit, error = pick(jnp.isnan(merit), jnp.inf, merit), estimate(c.sizes, count)
    rounding = ROUNDING * jnp.finfo(c.dtype).eps
    settled = own.size <= rounding
    if rules.holds:  # what a trust region holds back below rounding has not come to rest
        error = pick((error == 0) & ~settled, jnp.nan, error)
    floor = jnp.isposinf(error) & (c.left[1] <= rounding) & settled
    exact = own.largest == 0
    estimated = (error <= rules.rtol) & (settled | (own.size <= DOUBTFUL * rules.rtol))
    converged = merit <= bounds.tol if rules.by_merit else exact | estimated
    if not rules.by_merit:
        error = pick(exact, 0, error)
    capped = pick(c.k >= bounds.cap, pick(jnp.isfinite(own.scale), jnp.int32(CAPPED), NONFINITE), GOING)
    if rules.adapts:
        capped = pick((c.k >= jnp.minimum(bounds.cap, PATIENCE)) & (bounds.length > 1), SHORT, capped)
    status = pick(converged, CONVERGED, pick(floor, FLOOR, capped)).astype(jnp.int32)
    return merit, pick(floor & ~converged, c.sizes[0], error).astype(c.dtype), status


def refused(status: Array, going: Array, moved: Distance, rules: Rules, bounds: Bounds) -> Array:
    """The status, where the next iterate may not be finite; going: there is one."""
    if not rules.stop:
        return status
    short = pick(bounds.length > 1, jnp.int32(SHORT), NONFINITE) if rules.adapts else NONFINITE
    return pick(going & ~jnp.isfinite(moved.scale), short, status).astype(jnp.int32)


def proceed(c: Array, own: Distance, moved: Distance, rules: Rules, bounds: Bounds) -> Array:
    """The course, packed, after a test, and after the next iterate is accepted if that is not the last. moved: the
    distance between them."""
    scalars = [*own, *moved[:3]]
    if rules.adapts:
        tol = jnp.asarray(bounds.tol if rules.by_merit else 0, own.squares.dtype)
        scalars += [tol, jnp.asarray(bounds.cap, jnp.int32), jnp.asarray(bounds.length > 1, jnp.int32)]
        bounds = Bounds(0.0, 0, 0)
    operands = varying(c[None], *(scalar[None] for scalar in scalars))
    return proceed_p.bind(*operands, dtype=own.largest.dtype, rules=rules, bounds=bounds)[0]


def _by_jax(*operands: Array, dtype: Any, rules: Rules, bounds: Bounds) -> Array:
    numbers = packing(dtype)

    def one(packed: Array, *scalars: Array) -> Array:
        largest, size, scale, squares, *rest = scalars
        c, own = numbers.unpack(([], [packed])), Distance(largest, size, scale, squares)
        moved = Distance(rest[0], rest[1], rest[2], squares)
        held = bounds
        if rules.adapts:
            tol, cap, longer = rest[3:]
            held = Bounds(tol, cap, longer + 1)
        merit, error, status = test(c, own, c.k, rules, held)
        status = refused(status, status < 0, moved, rules, held)
        sizes, left = jnp.concatenate([moved.size[None], c.sizes[:2]]), jnp.stack([own.largest, own.size])
        return numbers.pack(Course(c.k + (status < 0), sizes, merit.astype(dtype), error, status, left))[1][0]

    return jax.vmap(one)(*operands)


def _natively(*operands: Array, dtype: Any, rules: Rules, bounds: Bounds) -> Array:
    def run(*operands: Array) -> Array:
        result = jax.ShapeDtypeStruct(operands[0].shape, operands[0].dtype)
        settings = rules._asdict() | {"tol": float(bounds.tol or 0), "cap": bounds.cap}
        del settings["adapts"]
        return _ffi.call("cpu", "proceed", result, *operands, **settings)

    rule = f"{', '.join(['batch numbers', *['batch'] * (len(operands) - 1)])} -> batch numbers"
    return by_sequence(run, rule, 0, *operands)


def _like_the_first(*operands: Any, **_: Any) -> Any:
    return operands[0]


proceed_p.def_abstract_eval(_like_the_first)
mlir.register_lowering(proceed_p, mlir.lower_fun(_by_jax, multiple_results=False))
mlir.register_lowering(proceed_p, mlir.lower_fun(_natively, multiple_results=False), platform="cpu")
run_eagerly(proceed_p)
scans_when_lowered(proceed_p)
batching.primitive_batchers[proceed_p] = partial(batched, proceed_p)
