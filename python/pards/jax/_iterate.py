"""The iteration: evaluate, test, update, until a test ends it, with the semantics of pards.solve."""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import _catalog
from .._method import Method
from . import _mesh
from ._linearise import Kept, Trajectory, along, linearise, restrain
from ._primitive import vary_over
from ._scan import scan
from ._structure import Array

STATUSES = tuple(status.name for status in _catalog.STATUSES)
CONVERGED, FLOOR, CAPPED, NONFINITE = (STATUSES.index(s) for s in ("converged", "floor", "max_iterations", "nonfinite"))
ROUNDING = 16  # eps of the state's size: a residual below is rounding


class Options(NamedTuple):
    """What is known when JAX traces."""

    method: Method
    merit_tol: float | None
    rtol: float
    atol: float
    max_iterations: int | None
    window: int | None
    damping: float
    clip: bool
    nonfinite: str
    axis: Any

    def cap(self, steps: int) -> int:
        if self.max_iterations is not None:
            return self.max_iterations
        return steps if self.merit_tol is not None else min(steps + 1, 1000)


class Window(NamedTuple):
    """What became of a window: the iterate that was tested last, and what the test saw."""

    states: Array
    iterations: Array
    merit: Array
    residual: Array
    error: Array
    status: Array


class _Loop(NamedTuple):
    x: Array
    top: Array  # the largest |x| of each component
    k: Array  # updates
    sizes: Array  # of the last three updates, the last one first
    settled: Array  # the iterate before satisfied the model to rounding
    seen: Window
    kept: Kept


def size(v: Array, x: Array, o: Options) -> Array:
    """|v| = max over t and d of |v| / (atol/rtol + max_t |x[., d]|), of the largest of each component; 0/0 is 0."""
    return _mesh.largest(jnp.where(v == 0, 0, v / (o.atol / o.rtol + x)))


def estimate(sizes: Array, k: Array) -> Array:
    """The distance to the sequential trajectory after k updates, see pards.solve."""
    last, one, two = sizes
    q = jnp.where(k > 2, jnp.maximum(last / one, one / two), last / one)
    e = jnp.where(q < 1, last * jnp.where(k > 2, q, 1) / (1 - q), jnp.inf)
    return jnp.where(k == 0, jnp.nan, jnp.where(last == 0, 0, jnp.where(k == 1, jnp.nan, e)))


def window(
    steps: Callable[[Array, Any], Array],
    x0: Array,
    u: Any,
    guess: Array,
    kept: Kept,
    first: Any,
    share: float,
    o: Options,
) -> tuple[Window, Kept]:
    """Iterate on one window from a guess. first: which step its first is; share: of all of time, that it takes."""
    guess = _mesh.vary(guess, o.axis, x0, *jax.tree.leaves(u))
    length, dtype = guess.shape[0] * _mesh.size(o.axis), guess.dtype
    cap, tol = o.cap(length), None if o.merit_tol is None else o.merit_tol * share

    def body(c: _Loop) -> _Loop:
        before = _mesh.before(c.x, x0, o.axis)
        at = Trajectory(lambda p: steps(p, u), before, o.axis, first)
        F, linear = along(at)
        r = c.x - F
        seen, settled = test(c, r)
        A, kept = linearise(o.method, linear, at, c.kept, c.k)
        new = lax.cond(seen.status < 0, lambda: update(c.x, F, A, kept, o), lambda: c.x)
        if o.nonfinite == "reset":
            new = jnp.where(jnp.isnan(new), guess, new)
        top = largest(new)
        if o.nonfinite == "stop":
            refused = (seen.status < 0) & ~jnp.isfinite(top).all()
            seen = seen._replace(status=jnp.where(refused, NONFINITE, seen.status).astype(jnp.int32))
        going = seen.status < 0
        x, top = jnp.where(going, new, c.x), jnp.where(going, top, c.top)
        sizes = jnp.stack([size(largest(x - c.x), top, o), c.sizes[0], c.sizes[1]])
        seen = seen._replace(states=c.x, iterations=c.k)
        return _Loop(x, top, c.k + going.astype(jnp.int32), sizes, settled, seen, kept)

    def largest(v: Array) -> Array:
        return _mesh.largest(jnp.abs(v), o.axis)

    def test(c: _Loop, r: Array) -> tuple[Window, Array]:
        wide = r.astype(jax.dtypes.canonicalize_dtype(np.float64))  # where JAX has it; XLA's sums are pairwise else
        merit = 0.5 * _mesh.total(jnp.sum(jnp.square(wide)), o.axis)
        merit = jnp.where(jnp.isnan(merit), jnp.inf, merit)
        left, error = largest(r), estimate(c.sizes, c.k)
        residual = _mesh.largest(left)
        settled = size(left, c.top, o) <= ROUNDING * jnp.finfo(dtype).eps
        floor = jnp.isposinf(error) & c.settled & settled
        exact = residual == 0
        converged = merit <= tol if tol is not None else exact | (error <= o.rtol)
        if tol is None:
            error = jnp.where(exact, 0, error)
        ok = jnp.isfinite(c.top).all()
        capped = jnp.where(c.k >= cap, jnp.where(ok, CAPPED, NONFINITE), -1)
        status = jnp.where(converged, CONVERGED, jnp.where(floor, FLOOR, capped)).astype(jnp.int32)
        error = jnp.where(floor & ~converged, c.sizes[0], error).astype(dtype)
        return Window(c.x, c.k, merit.astype(dtype), residual, error, status), settled

    nothing = jnp.zeros((), dtype)
    none = Window(guess, jnp.int32(0), nothing, nothing, nothing, jnp.int32(-1))
    start = _Loop(guess, largest(guess), jnp.int32(0), jnp.zeros(3, dtype), jnp.asarray(False), none, kept)
    start = _alike(body, start)
    end = lax.while_loop(lambda c: c.seen.status < 0, body, start)
    return end.seen, end.kept


def _alike(body: Callable[[_Loop], _Loop], start: _Loop) -> _Loop:
    """The start of a loop, varying over the axes of a mesh as what follows it does."""
    shapes = jax.eval_shape(body, start)
    vary: Callable[[Any, Any], Any] = lambda value, like: _like(value, like)  # noqa: E731
    return jax.tree.map(vary, start, shapes)


def _like(value: Array, shape: Any) -> Array:
    return vary_over(value, getattr(shape, "vma", None) or frozenset[Any]())


def update(x: Array, F: Array, A: Any, kept: Kept, o: Options) -> Array:
    """The next iterate, F[t] + A[t] d[t-1], of the increments d[t] = A[t] d[t-1] + F[t] - x[t] that a scan makes."""
    r, restrained = F - x, restrain(A, len(x), x.dtype, o.damping, o.clip)
    turned = o.method.derivative == "rotated_diagonal"
    b = r @ kept.basis if turned else r
    if A.name == "block_diagonal":  # whose last block may reach beyond the state
        b = jnp.pad(b, ((0, 0), (0, A.array.shape[1] * A.array.shape[2] - b.shape[1])))
    moved = (scan(restrained, b, axis_name=o.axis) - b)[:, : x.shape[1]]
    return F + (moved @ kept.basis.T if turned else moved)  # pyright: ignore[reportOptionalMemberAccess]


def solve(
    steps: Callable[[Array, Any], Array], x0: Array, u: Any, guess: Array | None, kept: Kept, T: int, o: Options
) -> Window:
    """The whole sequence, window after window from the converged end of the last."""
    if o.window is None or o.window >= T:
        own = jnp.broadcast_to(x0, (T, *x0.shape)) if guess is None else guess
        return window(steps, x0, u, own, kept, 0, 1.0, o)[0]
    W, dtype = o.window, x0.dtype

    def one(carry: Any, xs: Any, length: int) -> Any:
        start, kept, worst, first = carry
        u, own = xs
        begin = jnp.broadcast_to(start, (length, *x0.shape)) if guess is None else own
        left = own if guess is not None else jnp.broadcast_to(x0, begin.shape)
        nothing = jnp.zeros((), dtype)
        skipped = Window(left, jnp.int32(0), nothing, nothing, nothing, worst)
        done, kept = lax.cond(
            worst <= FLOOR,
            lambda: window(steps, start, u, begin, kept, first, length / T, o),
            lambda: (skipped, kept),
        )
        return (done.states[-1], kept, jnp.maximum(worst, done.status), first + W), done

    cut = T // W * W
    whole = jax.tree.map(lambda a: a[:cut].reshape(T // W, W, *a.shape[1:]), (u, guess))
    carry, done = lax.scan(lambda c, xs: one(c, xs, W), (x0, kept, jnp.int32(CONVERGED), jnp.int32(0)), whole)
    parts = [done._replace(states=done.states.reshape(cut, *x0.shape))]
    if cut < T:
        carry = (carry[0], _shortened(carry[1], T - cut), *carry[2:])
        _, last = one(carry, jax.tree.map(lambda a: a[cut:], (u, guess)), T - cut)
        parts.append(last)
    together = [jnp.concatenate([jnp.atleast_1d(getattr(p, name)) for p in parts]) for name in Window._fields]
    states, iterations, merit, residual, error, status = together
    return Window(states, iterations.sum(), merit.sum(), residual.max(), error.sum(), status.max())


def _shortened(kept: Kept, steps: int) -> Kept:
    """What is kept, for a last window that is shorter."""
    return kept if kept.jacobian is None else kept._replace(jacobian=kept.jacobian[:steps])
