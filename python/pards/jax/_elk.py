"""Updates in a trust region, for elk and quasi_elk: the means of a Kalman smoother; and the region where it adapts."""

# Tables of functions of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from .._method import Method
from ._primitive import varying
from ._scan import scan
from ._structure import Array

LESS, MORE = 0.5, 3  # how the trust region shrinks and grows; these and what follows as in core/method/elk.go
RETRIES = 30  # of an update that overflows
NEAR = 1024  # eps of the state's size, below which a merit need not fall: it is mostly rounding


class Region(NamedTuple):
    """What a trust region that adapts goes by, in one window."""

    x: Array  # the last iterate that was kept
    merits: Array  # of the last ones, the newest last; -inf before there are so many
    kept: Array  # how many there were
    rejected: Array  # updates taken back since


class _Algebra(NamedTuple):
    """What is done with the matrices of some steps."""

    mul: Callable[[Array, Array], Array]
    solve: Callable[[Array, Array], Array]
    turn: Callable[[Array], Array]
    one: Callable[[Array], Array]
    apply: Callable[[Array, Array], Array]  # to vectors
    solved: Callable[[Array, Array], Array]  # for vectors


_ALGEBRA = {
    "dense": _Algebra(
        jnp.matmul,
        jnp.linalg.solve,
        lambda m: jnp.swapaxes(m, -1, -2),
        lambda m: jnp.eye(m.shape[-1], dtype=m.dtype),
        lambda m, x: jnp.matmul(m, x[..., None])[..., 0],
        lambda m, x: jnp.linalg.solve(m, x[..., None])[..., 0],
    ),
    "diagonal": _Algebra(
        jnp.multiply,
        lambda m, x: x / m,
        lambda m: m,
        lambda m: jnp.ones((), m.dtype),
        jnp.multiply,
        lambda m, x: x / m,
    ),
}


def largest(dtype: Any) -> float:
    """The trust beyond which its inverse vanishes beside 1."""
    return 1 / float(np.finfo(dtype).eps)


def check(method: Any, dtype: Any) -> None:
    """The settings, as JAX traces."""
    name, most = type(method).__name__, largest(dtype)
    for flag in ("adaptive", "smoother"):
        if not isinstance(getattr(method, flag), bool):
            raise TypeError(f"{name}: {flag} is {getattr(method, flag)!r}, want True or False")
    trust = method.trust
    if isinstance(trust, bool) or not isinstance(trust, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: trust is {trust!r}, want a number that is known when JAX traces")
    if not 1 / most <= trust <= most:
        raise ValueError(
            f"{name}: trust is {trust}, want a number above 0, from {1 / most:.2g} to {most:.2g}; it is the variance "
            "of the trust region; beyond, lambda = 1 / trust is lost beside 1, or 1 beside lambda"
        )


def holds(method: Method) -> bool:
    """Whether a method holds its updates back, and so may take many on a short window."""
    return method.structure.startswith("kalman")


def adapts(method: Any) -> bool:
    return holds(method) and method.adaptive


def region(method: Method, x: Array, wide: Any) -> Region:
    """That of a new window."""
    memory = 1 if method.derivative == "full" else 5
    return Region(x, jnp.full(memory, -jnp.inf, wide), jnp.int32(0), jnp.int32(0))


def judge(
    method: Method, g: Region, trust: Array, x: Array, merit: Array, rough: Array
) -> tuple[Region, Array, Array, Array]:
    """Keeps an iterate or goes back to the last one that was kept: the region, trust, iterate, and whether it did.

    rough: the size of the residual."""
    patience = 40 if method.derivative == "full" else 8
    keep = (g.kept == 0) | (merit < g.merits.max()) | (rough <= NEAR * jnp.finfo(x.dtype).eps)
    keep |= (g.rejected >= patience) & jnp.isfinite(merit)
    grow = (g.kept > 0) & (merit < g.merits[-1]) & (g.rejected == 0)
    more = jnp.where(grow, jnp.minimum(trust * MORE, largest(x.dtype)), trust)
    merits = jnp.where(keep, jnp.append(g.merits[1:], merit), g.merits)
    x = jnp.where(keep, x, g.x)
    now = Region(x, merits, g.kept + keep, jnp.where(keep, 0, g.rejected + 1).astype(jnp.int32))
    return now, jnp.where(keep, more, lessened(trust, x.dtype)), x, ~keep


def lessened(trust: Array, dtype: Any) -> Array:
    return jnp.maximum(trust * LESS, 1 / largest(dtype))


def update(method: Any, x: Array, F: Array, A: Any, trust: Array) -> tuple[Array, Array]:
    """The next iterate, and the trust: where that adapts, an update that overflows is tried again in a smaller one."""

    def move(trust: Array) -> Array:
        return smooth(A, x - F, (1 / trust).astype(x.dtype), method.smoother)

    if not method.adaptive:
        return x + move(trust), trust

    def again(c: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        trust = lessened(c[0], x.dtype)
        return trust, move(trust), c[2] + 1

    def overflows(c: tuple[Array, Array, Array]) -> Array:
        return (c[2] < RETRIES) & ~jnp.isfinite(c[1]).all()

    # entered one step early, so that the smoother stands in the program once
    wider = (trust / LESS, x + jnp.nan, jnp.int32(-1))
    trust, dx, _ = lax.while_loop(overflows, again, wider)
    return x + dx, trust


def headless(A: Any) -> Any:
    """A whose first matrix is 0: it is not read."""
    return type(A)(jnp.concatenate([jnp.zeros_like(A.array[:1]), A.array[1:]]))


def smooth(A: Any, r: Array, weight: Array, both: bool) -> Array:
    """The dx that minimise the sum over t of |dx[t] - A[t] dx[t-1] + r[t]|^2 + weight |dx[t]|^2; the first A is 0.

    They are the means of a Kalman smoother, or of its filter alone, see core/lds/kalman.go."""
    m, a, form = _ALGEBRA[A.name], A.array, type(A)
    gain, back, b = _gains(m, a, r, weight)
    mean = scan(form(gain), b)
    if not both:
        return mean
    # back[t] takes what is known of step t to the one before
    taken = m.apply(back[1:], m.apply(a[1:], mean[:-1]) - r[1:])
    late = jnp.concatenate([back[1:], jnp.zeros_like(back[:1])])
    return scan(form(late), jnp.concatenate([mean[:-1] - taken, mean[-1:]]), reverse=True)


def _gains(m: _Algebra, a: Array, r: Array, weight: Array) -> tuple[Array, Array, Array]:
    """The filter's gains, the smoother's, and what the filter adds.

    Time is cut into chunks, as many as a chunk has steps. Passing steps takes a covariance P to C + F P (I + J P)^-1
    F'; such maps compose (Särkkä and García-Fernández 2021), so those of chunks tell what each begins with."""
    n = len(r)
    count = -(-n // math.isqrt(n))
    length = -(-n // count)

    def chunks(v: Array) -> Array:
        v = jnp.concatenate([v, jnp.zeros((count * length - n, *v.shape[1:]), v.dtype)])
        return jnp.moveaxis(v.reshape(count, length, *v.shape[1:]), 1, 0)

    def whole(v: Array) -> Array:
        return jnp.moveaxis(v, 0, 1).reshape(count * length, *v.shape[2:])[:n]

    a, r = chunks(a), chunks(r)
    one, keep = m.one(a), 1 / (1 + weight)
    zero = varying(jnp.zeros_like(a[0]), a, r, weight)[0]

    def extend(map: Any, a: Array) -> tuple[Any, None]:
        f, c, j = map
        own = weight * keep * m.mul(m.turn(a), a)
        within = one + m.mul(c, own)
        left, right = m.solve(within, f), m.solve(within, c)
        j = _symmetric(m, j + m.mul(m.turn(f), m.mul(own, left)))
        c = _symmetric(m, keep * keep * m.mul(m.mul(a, right), m.turn(a)) + keep * one)
        return (keep * m.mul(a, left), c, j), None

    def past(p: Array, map: Any) -> tuple[Array, Array]:
        f, c, j = map
        inner = m.solve(one + m.mul(p, j), p)
        return _symmetric(m, m.mul(m.mul(f, inner), m.turn(f)) + c), p

    def step(p: Array, given: Any) -> tuple[Array, Any]:
        a, r = given
        ap = m.mul(a, p)
        before = m.mul(ap, m.turn(a)) + one
        weighed = one + weight * before
        new = _symmetric(m, m.solve(weighed, before))
        return new, (m.solve(weighed, a), m.turn(m.solve(before, ap)), -m.solved(weighed, r))

    maps, _ = lax.scan(extend, (zero + one, zero, zero), a)
    _, starts = lax.scan(past, zero[0], maps)
    _, (gain, back, b) = lax.scan(step, starts, (a, r))
    return whole(gain), whole(back), whole(b)


def _symmetric(m: _Algebra, p: Array) -> Array:
    return (p + m.turn(p)) / 2
