"""What keeps an iteration from diverging, where it is asked for, as core/method/control.go has it."""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import lds
from .._method import Method
from . import _elk, _mesh
from ._linearise import Kept
from ._structure import Array

RISE = 1e3  # how many times the merit may grow in an update; that of good runs does
LENGTHEN = 8  # or else the exact rows grow by that part of the others
DAMP_MOST = 0.99  # the largest damping of A; where that overflows too the update is f itself, by a damping of 1


class Judged(NamedTuple):
    """What an iterate is judged by."""

    merit: Array
    exact: Any  # leading rows that satisfy the model to rounding, None where damping does not adapt
    rough: Array  # the size of the residual


class Damper(NamedTuple):
    """Damping that adapts."""

    damping: Array  # of the next update
    x: Array  # the iterate before
    judged: Judged


class Guard(NamedTuple):
    """What a loop is held by."""

    again: Array  # the iterate is one that was gone back to, and has been tested
    now: Judged
    damper: Damper | None
    region: _elk.Region | None


def wide() -> Any:
    """The dtype of merits: double precision where JAX has it."""
    return jax.dtypes.canonicalize_dtype(np.float64)


def guard(method: Method, damps: bool, windows: bool, x: Array) -> Guard | None:
    """That of a new window, which adapts too if windows do; None if nothing else adapts."""
    if not damps and not _elk.adapts(method):
        return None
    zero = jnp.zeros((), wide())
    now = Judged(zero, jnp.int32(0) if damps or windows else None, jnp.zeros((), x.dtype))
    damper = Damper(zero, x, now) if damps else None
    return Guard(jnp.asarray(False), now, damper, _elk.region(method, x, wide()) if _elk.adapts(method) else None)


def exact(x: Array, r: Array, least: float, axis: Any) -> Array:
    """How many rows from the first on satisfy the model to rounding, each in the measure of its own size."""
    bound = 16 * jnp.finfo(x.dtype).eps * jnp.maximum(least, jnp.abs(x).max(-1))
    wrong = ~(jnp.abs(r) <= bound[:, None]).all(-1)
    rows = jnp.arange(len(x), dtype=jnp.int32) + len(x) * _mesh.index(axis)
    first = jnp.where(wrong, rows, len(x) * _mesh.size(axis)).min()
    return first if axis is None else lax.pmin(first, axis)


def judge(
    method: Method, g: Guard, now: Judged, k: Array, x: Array, steps: Any, kept: Kept
) -> tuple[Guard, Array, Kept, Array]:
    """Goes back to an iterate before if this one is worse: the guard, the iterate, what is kept, and whether it does,
    after which sizes of updates say nothing."""
    back, g = jnp.asarray(False), g._replace(now=now)
    if g.damper is not None:
        g, x, back = _damp(g, g.damper, now, k, x, steps)
    if g.region is None:
        return g._replace(again=back), x, kept, back
    assert kept.trust is not None
    region, trust, x, rejected = _elk.judge(method, g.region, kept.trust, x, g.now.merit, g.now.rough)
    return g._replace(again=back | rejected, region=region), x, kept._replace(trust=trust), back | rejected


def _damp(g: Guard, d: Damper, now: Judged, k: Array, x: Array, steps: Any) -> tuple[Guard, Array, Array]:
    """Worse is an iterate whose merit has risen by much, and that does not make up for it by exact rows, of which a
    good update makes many while the merit of the rest may rise."""
    was = d.judged
    good = (now.merit <= RISE * was.merit) | (now.exact - was.exact > (steps - was.exact) // LENGTHEN)
    back = (k > 0) & ~good & (d.damping < DAMP_MOST)
    less = jnp.where((k > 0) & good, jnp.maximum(2 * jnp.minimum(d.damping, DAMP_MOST) - 1, 0), d.damping)
    damper = d._replace(damping=jnp.where(back, (1 + d.damping) / 2, less))
    now = jax.tree.map(lambda a, b: jnp.where(back, a, b), was, now)
    return g._replace(now=now, damper=damper), jnp.where(back, d.x, x), back


def update(
    g: Guard, x: Array, kept: Kept, make: Callable[[Array | None, Kept], tuple[Array, Kept]], finite: Any
) -> tuple[Array, Kept, Guard, Array]:
    """The next iterate of make, which is given a damping; more of it as long as that is not finite. And whether."""
    d = g.damper
    if d is None:
        return *make(None, kept), g._replace(again=jnp.asarray(False)), jnp.asarray(False)

    def more(c: Any) -> Any:
        damping = jnp.where(c[3] < 0, c[0], jnp.where(c[0] < DAMP_MOST, (1 + c[0]) / 2, 1))
        new, kept = make(damping, c[2])
        return damping, new, kept, c[3] + 1

    def overflows(c: Any) -> Array:
        return (c[3] < 0) | ~finite(c[1]) & (c[0] < 1)

    # entered one step early, so that the update stands in the program once
    damping, new, kept, again = lax.while_loop(overflows, more, (d.damping, x, kept, jnp.int32(-1)))
    guard = g._replace(again=jnp.asarray(False), damper=Damper(damping, x, g.now))
    return new, kept, guard, (again > 0) & (d.damping < DAMP_MOST)


def scaled(A: Any, damping: Array | None, rows: Array | None, steps: int, dtype: Any) -> Any:
    """A by 1 - damping, and 0 where rows are False: where a window that is shorter than its arrays has no A."""
    if A.name == "zero" or (damping is None and rows is None):
        return A
    array = jnp.ones((steps,), dtype) if A.name == "identity" else A.array
    form: Any = lds.ScaledIdentity if A.name == "identity" else type(A)
    if damping is not None:
        array = jnp.where(damping == 1, 0, array * (1 - damping).astype(dtype))  # A may be infinite
    if rows is not None:
        array = jnp.where(rows.reshape(-1, *[1] * (array.ndim - 1)), array, 0)
    return form(array)
