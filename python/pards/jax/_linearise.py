"""f and what a method asks of its derivative, along a trajectory, in parallel over time; and A made of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import lds
from .._method import Method
from . import _mesh
from ._primitive import varying
from ._structure import Array

CONTRACTING = 0.25  # how much smaller than the one before an update is that a basis did well by
AT_ONCE = 16  # directions in which a trajectory is differentiated together: memory against passes
Linear = Callable[[Array], Array]  # J[t] v[t] for all t


class Trajectory(NamedTuple):
    """Where a model is linearised: a piece of time of one sequence, maybe one device's part of it."""

    steps: Callable[[Array], Array]  # the states before each step (T, D) -> f
    before: Array
    axis: Any  # the mesh axes over which time is cut, or None
    first: Any = 0  # which step is the first

    @property
    def dim(self) -> int:
        return self.before.shape[-1]


class Kept(NamedTuple):
    """What a method keeps from update to update."""

    basis: Array | None = None  # (D, D)
    jacobian: Array | None = None  # (T, D, D)
    key: Array | None = None
    trust: Array | None = None  # the size of a trust region


def along(at: Trajectory) -> tuple[Array, Linear]:
    """f along a trajectory, and its derivative there as a linear function."""
    return jax.linearize(at.steps, at.before)


def each(directions: Array, f: Callable[[Array], Array]) -> Array:
    """f of each row, some at a time."""
    count = directions.shape[0]
    return jax.vmap(f)(directions) if count <= AT_ONCE else lax.map(f, directions, batch_size=AT_ONCE)


def everywhere(row: Array, at: Trajectory) -> Array:
    """The row at every step, varying over a mesh as those do."""
    return varying(jnp.zeros_like(at.before) + row, at.before)[0]


def full(linear: Linear, at: Trajectory) -> Array:
    """J, (T, D, D), by D derivatives along the axes."""
    columns = each(jnp.eye(at.dim, dtype=at.before.dtype), lambda e: linear(everywhere(e, at)))
    return jnp.moveaxis(columns, 0, -1)


def diagonal(linear: Linear, at: Trajectory, basis: Array | None = None) -> Array:
    """The diagonal of Q'JQ, (T, D), by D derivatives along the columns of Q; without a basis that of J."""
    axes = jnp.eye(at.dim, dtype=at.before.dtype) if basis is None else basis.T
    return each(axes, lambda q: linear(everywhere(q, at)) @ q).T


def blocks(linear: Linear, at: Trajectory, size: int) -> Array:
    """The blocks on the diagonal of J, (T, blocks, size, size), zeros making the last one as large as the others."""
    (T, D), size = at.before.shape, min(size, at.dim)
    count = -(-D // size)

    def column(j: Array) -> Array:  # of its own block
        direction = (jnp.arange(D) == j).astype(at.before.dtype)
        moved = jnp.pad(linear(everywhere(direction, at)), ((0, 0), (0, count * size - D)))
        return lax.dynamic_slice_in_dim(moved, j // size * size, size, 1)

    columns = jnp.pad(each(jnp.arange(D), column), ((0, count * size - D), (0, 0), (0, 0)))
    return columns.reshape(count, size, T, size).transpose(2, 0, 3, 1)


def mean(linear: Linear, at: Trajectory) -> Array:
    """The mean of J over all of time, (D, D)."""
    columns = each(jnp.eye(at.dim, dtype=at.before.dtype), lambda e: linear(everywhere(e, at)).mean(0))
    return _mesh.mean(columns.T, at.axis)


def eigenbasis(linear: Linear, at: Trajectory) -> Array:
    """The eigenvectors of the symmetrised mean of J; not a number anywhere where that is not finite."""
    matrix = mean(linear, at)
    return jnp.linalg.eigh((matrix + matrix.T) / 2)[1]


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
    method: Method, linear: Linear, at: Trajectory, kept: Kept, k: Array, sizes: Array, count: Array
) -> tuple[Any, Kept]:
    """A[t] as the method declares it, in a structure of pards.lds, and what it keeps. k: updates of the window; sizes:
    of the last of them, and count: how many of those there are."""
    match method.derivative:
        case "none":
            return (lds.Identity() if method.structure == "identity" else lds.Zero()), kept
        case "full":
            return lds.Dense(full(linear, at)), kept
        case "held":
            again = k % getattr(method, "period") == 0  # noqa: B009 - of the methods that hold one
            held = lax.cond(again, lambda: full(linear, at), lambda: kept.jacobian)
            return lds.Dense(held), kept._replace(jacobian=held)
        case "diagonal":
            return lds.Diagonal(_own_diagonal(method, linear, at, kept, k)), kept
        case "mean_diagonal":
            return lds.ScaledIdentity(diagonal(linear, at).mean(-1)), kept
        case "block_diagonal":
            return lds.BlockDiagonal(blocks(linear, at, getattr(method, "block"))), kept  # noqa: B009
        case _:
            kept = _turned(method, linear, at, kept, k, (count > 1) & ~(sizes[0] <= CONTRACTING * sizes[1]))
            return lds.Diagonal(diagonal(linear, at, kept.basis)), kept


def _own_diagonal(method: Any, linear: Linear, at: Trajectory, kept: Kept, k: Array) -> Array:
    if getattr(method, "diagonal", "exact") == "exact":
        return diagonal(linear, at)
    assert kept.key is not None
    return each(signs(method, at, kept.key, k), lambda z: z * linear(z)).mean(0)


def _turned(method: Any, linear: Linear, at: Trajectory, kept: Kept, k: Array, slow: Array) -> Kept:
    """What a rotated method keeps: its basis, found anew when it is due. slow: the last updates did not contract."""
    if method.basis is not None:
        return kept
    first = jnp.asarray(at.first == 0)
    due = {
        "window": k == 0,
        "contraction": (first & (k <= 1)) | slow,  # the first basis may be that of a poor guess
        "never": first & (k == 0),
    }.get(method.refresh, jnp.asarray(True))
    held: Any = kept.basis
    found = lax.cond(due, lambda: eigenbasis(linear, at), lambda: held)
    return kept._replace(basis=jnp.where(jnp.isfinite(found).all(), found, held))  # else the coordinates stay


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
