"""f and what a method asks of its derivative, along a trajectory, in parallel over time; and A made of that."""

# Functions over arrays of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import lds
from .._method import Method
from . import _mesh
from ._pack import pick
from ._primitive import varying
from ._structure import Array

CONTRACTING = 0.25  # how much smaller than the one before an update is that a basis did well by
AT_ONCE = 16  # directions in which a trajectory is differentiated together: memory against passes
FULL = 64  # where all of the derivatives stay: XLA writes them where they stay, and a pass over less makes a copy
Step = Callable[[Array, Any], Array]  # f(x, u)
Linear = Callable[[Array], Array]  # J[t] v, of one step


class Trajectory(NamedTuple):
    """Where a model is linearised: a piece of time of one sequence, maybe one device's part of it."""

    step: Step
    before: Array  # the states before each step (T, D)
    inputs: Any
    axes: Array  # (D, D), those of a state: in a loop they are what it is given, and not made anew
    axis: Any  # the mesh axes over which time is cut, or None
    first: Any = 0  # which step is the first
    rows: Array | None = None  # steps that are there, of the others f and its derivative are 0; None for all

    @property
    def dim(self) -> int:
        return self.before.shape[-1]


class Kept(NamedTuple):
    """What a method keeps from update to update."""

    basis: Array | None = None  # (D, D)
    jacobian: Array | None = None  # (T, D, D)
    key: Array | None = None
    trust: Array | None = None  # the size of a trust region


def along(at: Trajectory, get: Callable[Concatenate[Linear, ...], Any], *own: Any) -> tuple[Array, Any]:
    """f along a trajectory, and what get makes of its derivative at each step, and of that step's own of other arrays.

    A step by itself: a direction that all steps share is multiplied by what they share once."""

    def one(x: Array, u: Any, there: Array | None, own: Any) -> Any:
        f, linear = jax.linearize(lambda x: at.step(x, u), x)

        def held(v: Array) -> Array:
            return _where(there, linear(varying(v, x)[0]))

        return _where(there, f), get(held, *own)

    return jax.vmap(one)(at.before, at.inputs, at.rows, own)


def whole(at: Trajectory) -> tuple[Array, Callable[[Array], Array]]:
    """f along a trajectory, and its derivative there, of all steps at a time, as a linear function."""

    def steps(before: Array) -> Array:
        f = jax.vmap(at.step)(before, at.inputs)
        return f if at.rows is None else jnp.where(at.rows[:, None], f, 0)

    return jax.linearize(steps, at.before)


def everywhere(row: Array, at: Trajectory) -> Array:
    """The row at every step, varying over a mesh as those do."""
    return varying(jnp.zeros_like(at.before) + row, at.before)[0]


def _where(there: Array | None, a: Array) -> Array:
    return a if there is None else jnp.where(there, a, 0)


def each(directions: Array, f: Callable[[Array], Any], most: int = AT_ONCE) -> Any:
    """f of each row, some at a time."""
    return jax.vmap(f)(directions) if directions.shape[0] <= most else lax.map(f, directions, batch_size=most)


def full(linear: Linear, axes: Array) -> Array:
    """J, (D, D), by D derivatives along the axes."""
    return each(axes, linear, FULL).T


def diagonal(linear: Linear, axes: Array) -> Array:
    """The diagonal of Q'JQ, (D,), by D derivatives along the columns of Q, axes; that of J along its own."""
    return each(axes, lambda q: linear(q) @ q)


def blocks(linear: Linear, axes: Array, size: int) -> Array:
    """The blocks on the diagonal of J, (blocks, size, size), zeros making the last one as large as the others."""
    D = len(axes)
    size = min(size, D)
    count = -(-D // size)

    def column(j: Array) -> Array:  # of its own block
        moved = jnp.pad(linear((jnp.arange(D) == j).astype(axes.dtype)), (0, count * size - D))
        return lax.dynamic_slice_in_dim(moved, j // size * size, size)

    columns = jnp.pad(each(jnp.arange(D), column), ((0, count * size - D), (0, 0)))
    return columns.reshape(count, size, size).swapaxes(1, 2)


def signs(method: Any, at: Trajectory, key: Array, k: Array) -> Array:
    """Hutchinson's probes, (probes, T, D) of +-1, shared by the updates or drawn anew for each. A step has its own,
    however time is cut."""
    steps, d = at.before.shape
    first = at.first + _mesh.index(at.axis) * steps
    if method.signs is not None:
        return lax.dynamic_slice_in_dim(jnp.asarray(method.signs, at.before.dtype), first, steps, 1)
    drawn = jax.random.fold_in(key, k) if method.fresh else key

    def of_step(t: Array) -> Array:
        return jax.random.rademacher(jax.random.fold_in(drawn, t), (method.probes, d), at.before.dtype)

    return jax.vmap(of_step, out_axes=1)(first + jnp.arange(steps))


def linearise(
    method: Method, at: Trajectory, kept: Kept, k: Array, sizes: Array, count: Array
) -> tuple[Array, Any, Kept]:
    """f, A[t] as the method declares it, in a structure of pards.lds, and what it keeps. k: updates of the window;
    sizes: of the last of them, and count: how many of those there are."""
    axes = at.axes

    def each_step(form: Any, get: Callable[Concatenate[Linear, ...], Any], *own: Any) -> tuple[Array, Any, Kept]:
        f, a = along(at, get, *own)
        return f, form(a), kept

    match method.derivative:
        case "none":
            nothing = lds.Identity() if method.structure == "identity" else lds.Zero()
            return each_step(lambda _: nothing, lambda _: None)
        case "full":
            return each_step(lds.Dense, lambda linear: full(linear, axes))
        case "held":
            again = k % getattr(method, "period") == 0  # noqa: B009 - of the methods that hold one

            def held(linear: Linear, own: Array) -> Array:
                return lax.cond(again, lambda: full(linear, axes), lambda: own)

            f, A, _ = each_step(lds.Dense, held, kept.jacobian)
            return f, A, kept._replace(jacobian=A.array)
        case "diagonal" if getattr(method, "diagonal", "exact") == "exact":
            return each_step(lds.Diagonal, lambda linear: diagonal(linear, axes))
        case "diagonal":
            assert kept.key is not None
            probes = jnp.moveaxis(signs(method, at, kept.key, k), 1, 0)

            def probed(linear: Linear, own: Array) -> Array:
                return each(own, lambda z: z * linear(z)).mean(0)

            return each_step(lds.Diagonal, probed, probes)
        case "mean_diagonal":
            return each_step(lds.ScaledIdentity, lambda linear: diagonal(linear, axes).mean())
        case "block_diagonal":
            return each_step(lds.BlockDiagonal, lambda linear: blocks(linear, axes, getattr(method, "block")))  # noqa: B009
        case _:
            slow = (count > 1) & ~(sizes[0] <= CONTRACTING * sizes[1])
            f, linear = whole(at)
            a, kept = _turned(method, linear, at, kept, k, slow)
            return f, lds.Diagonal(a), kept


def _turned(
    method: Any, linear: Callable[[Array], Array], at: Trajectory, kept: Kept, k: Array, slow: Array
) -> tuple[Array, Kept]:
    """The diagonal of Q'JQ, (T, D), Q the eigenvectors of the symmetrised mean of J, found anew when they are due.
    slow: the last updates did not contract."""
    held: Any = kept.basis

    def derivatives(axes: Array) -> tuple[Array, Array]:
        """The mean of J along each of the axes, and what of J along each lies in its direction."""

        def along(q: Array) -> tuple[Array, Array]:
            moved = linear(everywhere(q, at))
            return moved.mean(0), moved @ q

        columns, diagonal = each(axes, along)
        return columns, diagonal.T

    if method.basis is not None:
        return derivatives(held.T)[1], kept
    first = jnp.asarray(at.first == 0)
    due = {
        "window": k == 0,
        "contraction": (first & (k <= 1)) | slow,  # the first basis may be that of a poor guess
        "never": first & (k == 0),
    }.get(method.refresh, jnp.asarray(True))

    def again(c: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        left, basis, _ = c
        columns, diagonal = derivatives(pick(left > 1, at.axes, basis.T))
        return left - 1, _eigenbasis(_mesh.mean(columns.T, at.axis), left - 1, basis), diagonal

    # of derivatives, which are much of a program, there is one place: for a new basis it is gone through twice
    nothing = varying(jnp.zeros_like(at.before), at.before)[0]
    _, basis, diagonal = lax.while_loop(lambda c: c[0] > 0, again, (1 + due.astype(jnp.int32), held, nothing))
    return diagonal, kept._replace(basis=basis)


def _eigenbasis(matrix: Array, due: Array, held: Array) -> Array:
    """The eigenvectors of a symmetrised matrix if due is 1, for 0 what is held: a loop, for of a condition vmap makes
    both branches. They take the matrix's place there, as XLA takes out of a loop what is the same in each round."""

    def find(c: tuple[Array, Array]) -> tuple[Array, Array]:
        return c[0] - 1, jnp.linalg.eigh(c[1], symmetrize_input=False)[1]

    found = lax.while_loop(lambda c: c[0] > 0, find, (due, (matrix + matrix.T) / 2))[1]
    return pick((due > 0) & jnp.isfinite(found.sum()), found, held)  # else the coordinates stay


def restrain(A: Any, steps: int, dtype: Any, damping: float, clip: bool) -> Any:
    """First clip, diagonal entries to [-1, 1], a dense A or block by its largest singular value; then scale by 1 -
    damping."""
    held = A
    if clip and A.name in ("diagonal", "scaled_identity"):
        held = type(A)(jnp.clip(A.array, -1, 1))
    if clip and A.name in ("dense", "block_diagonal"):
        held = type(A)(A.array / jnp.maximum(1, jnp.linalg.norm(A.array, 2, (-2, -1)))[..., None, None])
    if damping and A.name == "identity":
        held = lds.ScaledIdentity(jnp.ones(steps, dtype))
    return held if not damping or held.array is None else type(held)(held.array * jnp.asarray(1 - damping, dtype))
