"""The iteration: evaluate, test, update, until a test ends it, with the semantics of pards.solve."""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import _catalog
from .._method import Method
from . import _elk, _globalise, _mesh
from ._linearise import Kept, Step, Trajectory, linearise, restrain
from ._pack import Packing, pick
from ._primitive import vary_over
from ._scan import scan
from ._structure import Array

STATUSES = tuple(status.name for status in _catalog.STATUSES)
CONVERGED, FLOOR, CAPPED, NONFINITE = (STATUSES.index(s) for s in ("converged", "floor", "max_iterations", "nonfinite"))
SHORT = len(STATUSES)  # a window that is given up
PATIENCE = 24  # updates after which that is
DOUBTFUL = 10  # rtol: a residual above belies the estimate of the error
ROUNDING = 16  # eps of the state's size: a residual below is rounding


class Options(NamedTuple):
    """What is known when JAX traces; a window or a damping below 0 adapts."""

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

    @property
    def adapts(self) -> bool:
        """Whether windows do."""
        return self.window is not None and self.window < 0

    def cap(self, steps: Any) -> Any:
        """Most updates of a window. Methods that hold updates back take no fewer on short ones."""
        if self.max_iterations is not None:
            return self.max_iterations
        holds = _elk.holds(self.method)
        if self.merit_tol is not None:
            return jnp.maximum(steps, 1000) if holds else steps
        return 1000 if holds else jnp.minimum(steps + 1, 1000)


class Window(NamedTuple):
    """What became of a window: the iterate that was tested last, and what the test saw."""

    states: Array
    iterations: Array
    merit: Array
    residual: Array
    error: Array
    status: Array


class Part(NamedTuple):
    """The rows of a window's arrays that are its own, where it is shorter; and whether there is a window."""

    start: Array
    steps: Array
    active: Array


class _Loop(NamedTuple):
    x: Array
    k: Array  # updates
    sizes: Array  # of the last three updates, the last one first
    told: Any  # updates since sizes began to tell, None where those are k
    seen: Window  # but the states, which are x, k and the residual
    left: Array  # the residual of what was seen, and its size
    exact: Any  # rows of what was seen, None where nothing asks for them
    kept: Kept
    guard: _globalise.Guard | None


def relative(v: Array, x: Array, o: Options) -> Array:
    """What |v| = max over t and d of |v| / (atol/rtol + max_t |x[., d]|) is the largest of; v and x are the largest of
    each component, 0/0 is 0."""
    return pick(v == 0, 0, v / (o.atol / o.rtol + x))


def estimate(sizes: Array, k: Array) -> Array:
    """The distance to the sequential trajectory after k updates, see pards.solve."""
    last, one, two = sizes
    q = lax.max(last / one, pick(k > 2, one / two, 0))
    known = (k > 1) & (last != 0) & (q < 1)
    other = pick((k > 0) & (last == 0), 0, pick(k > 1, jnp.inf, jnp.full_like(last, jnp.nan)))
    # one division, of which all follows
    return pick(known, last * pick(k > 2, q, 1), other) / pick(known, 1 - q, 1)


def window(
    step: Step,
    x0: Array,
    u: Any,
    guess: Array,
    kept: Kept,
    first: Any,
    share: Any,
    o: Options,
    part: Part | None = None,
) -> tuple[Window, Kept, Any]:
    """Iterate on one window from a guess. first: which step its first is; share: of all of time, that it takes; part:
    the rows that are the window, others are 0. Returns how many rows are exact too, where something asks for them."""
    guess = _mesh.vary(guess, o.axis, x0, *jax.tree.leaves(u))
    length = guess.shape[0] * _mesh.size(o.axis) if part is None else part.steps
    rows = begin = read = None
    if part is not None:
        t = jnp.arange(len(guess))
        rows, begin = (t >= part.start) & (t < part.start + part.steps), t == part.start
        read = rows & ~begin
    tol = None if o.merit_tol is None else o.merit_tol * share
    axes = jnp.eye(x0.size, dtype=x0.dtype)
    task = _Task(step, x0, u, axes, _only(rows, guess), first, o, part, length, o.cap(length), tol, rows, begin, read)
    start = _alike(task.update, task.start(kept))
    own = Packing(start)
    end = lax.while_loop(
        lambda c: own.one(c, lambda c: c.seen.status) < 0,
        lambda c: own.pack(task.update(own.unpack(c))),
        own.pack(start),
    )
    end = own.unpack(end)
    return end.seen._replace(states=end.x, iterations=end.k, residual=end.left[0]), end.kept, end.exact


def _only(rows: Array | None, a: Array) -> Array:
    return a if rows is None else jnp.where(rows[:, None], a, 0)


@dataclass(frozen=True)
class _Task:
    """A window, and how it is iterated on."""

    step: Step
    x0: Array
    u: Any
    axes: Array  # (D, D)
    guess: Array
    first: Any
    o: Options
    part: Part | None
    length: Any  # steps
    cap: Any  # most updates
    tol: Any  # of the merit, None for a stop by rtol
    rows: Array | None  # which are the window's, None for all
    begin: Array | None  # which is the first
    read: Array | None  # those whose A is read

    def start(self, kept: Kept) -> _Loop:
        guess, on, zero = self.guess, jnp.int32(-1), jnp.int32(0)
        nothing = jnp.zeros((), guess.dtype)
        status = on if self.part is None else jnp.where(self.part.active, on, CONVERGED).astype(jnp.int32)
        none = _seen(nothing, nothing, status)
        guard = _globalise.guard(self.o.method, self.o.damping < 0, self.o.adapts, guess)
        sizes, left = jnp.zeros(3, guess.dtype), jnp.full(2, jnp.inf, guess.dtype)
        told, exact = None if guard is None else zero, zero if self.judges else None
        return _Loop(guess, zero, sizes, told, none, left, exact, kept, guard)

    def update(self, c: _Loop) -> _Loop:
        """Test an iterate, and make the next one where it is not the last."""
        o = self.o
        at = Trajectory(self.step, self.before(c.x), self.u, self.axes, o.axis, self.first, self.rows)
        count = c.k if c.told is None else c.told
        F, A, kept = linearise(o.method, at, c.kept, c.k, c.sizes, count)
        r = F - c.x
        if c.guard is None:  # of the last iterate too, for what is measured by one pass over all
            new, kept = self.advance(c.x, F, A, kept)
            new = self.reset(new)
            own, moved = self.measured((r, c.x), (new - c.x, new))
            seen, left, now = self.test(c, r, own, count)
            return self.accept(c, new, moved, seen, seen.status < 0, left, None, now.exact, kept, None)
        seen, left, now = self.test(c, r, self.measured((r, c.x))[0], count)
        again, guard = c.guard.again, c.guard
        seen = seen._replace(status=pick(again, -1, seen.status))
        judged, x, held, lost = _globalise.judge(o.method, guard, now, c.k, c.x, self.length, kept)
        judge = (seen.status < 0) & ~again
        guard, kept = _either(judge, (judged, held), (guard._replace(again=jnp.asarray(False)), kept))
        x, lost = pick(judge, x, c.x), judge & lost
        left = pick(guard.again | again, jnp.stack([left[0], jnp.inf]), left)
        going = (seen.status < 0) & ~guard.again
        new, kept, guard, damped = lax.cond(
            going, lambda: self.guarded(c.x, F, A, kept, guard), lambda: (x, kept, guard, jnp.asarray(False))
        )
        new = self.reset(new)
        moved = self.measured((new - c.x, new))[0]
        return self.accept(c, new, moved, seen, going, left, lost | damped, now.exact, kept, guard)

    def accept(
        self,
        c: _Loop,
        new: Array,
        moved: list[Array],
        seen: Window,
        going: Array,
        left: Array,
        anew: Array | None,
        exact: Any,
        kept: Kept,
        guard: _globalise.Guard | None,
    ) -> _Loop:
        """What follows an iterate; moved: what is measured of it; anew: the sizes of updates tell nothing yet."""
        o, (_, size, most) = self.o, moved
        if o.nonfinite == "stop":
            refused, short = going & ~jnp.isfinite(most), _short(o, self.length)
            seen = seen._replace(status=pick(refused, short, seen.status).astype(jnp.int32))
        on, going = seen.status < 0, going & (seen.status < 0)
        sizes = jnp.concatenate([size[None], c.sizes[:2]])
        new = pick(on, new, c.x)
        told = None
        if c.told is not None:  # else an iterate without an update is the last
            told = (pick(anew, 0, c.told) + going).astype(jnp.int32)
            sizes = pick(going, sizes, c.sizes)
        return _Loop(new, c.k + going, sizes, told, seen, left, exact, kept, guard)

    def advance(self, x: Array, F: Array, A: Any, kept: Kept, damping: Array | None = None) -> tuple[Array, Kept]:
        new, kept = update(x, F, A, kept, self.o, damping, self.read)
        return self.own(new), kept

    def guarded(self, x: Array, F: Array, A: Any, kept: Kept, guard: _globalise.Guard) -> Any:
        def finite(x: Array) -> Array:
            return jnp.isfinite(_mesh.largest(x, axis=self.o.axis)[0]).all()

        return _globalise.update(guard, x, kept, lambda damping, kept: self.advance(x, F, A, kept, damping), finite)

    def reset(self, new: Array) -> Array:
        return pick(jnp.isnan(new), self.guess, new) if self.o.nonfinite == "reset" else new

    def measured(self, *pairs: tuple[Array, Array]) -> list[list[Array]]:
        """Of each v and x the largest |v|, the size of v by that of x, and the largest |x|."""
        tops = _mesh.largest(*(array for pair in pairs for array in pair), axis=self.o.axis)
        wanted = [each for v, x in zip(tops[::2], tops[1::2], strict=True) for each in (v, relative(v, x, self.o), x)]
        found = _mesh.highest(*wanted)
        return [found[i : i + 3] for i in range(0, len(found), 3)]

    def test(self, c: _Loop, r: Array, own: list[Array], count: Array) -> tuple[Window, Array, _globalise.Judged]:
        """What an iterate's residual says, and what is measured of it: whether it is the last, and what is left."""
        o, dtype = self.o, r.dtype
        wide = r.astype(_globalise.wide())  # XLA's sums are pairwise where it has none
        merit = 0.5 * _mesh.total(jnp.sum(jnp.square(wide)), o.axis)
        merit, error = pick(jnp.isnan(merit), jnp.inf, merit), estimate(c.sizes, count)
        residual, rough, most = own
        left = jnp.stack([residual, rough])
        rounding = ROUNDING * jnp.finfo(dtype).eps
        settled = rough <= rounding
        if _elk.holds(o.method):  # what a trust region holds back below rounding has not come to rest
            error = pick((error == 0) & ~settled, jnp.nan, error)
        floor = jnp.isposinf(error) & (c.left[1] <= rounding) & settled
        exact = residual == 0
        estimated = (error <= o.rtol) & (settled | (rough <= DOUBTFUL * o.rtol))
        converged = merit <= self.tol if self.tol is not None else exact | estimated
        if self.tol is None:
            error = pick(exact, 0, error)
        capped = pick(c.k >= self.cap, pick(jnp.isfinite(most), jnp.int32(CAPPED), NONFINITE), -1)
        if o.adapts:
            capped = pick((c.k >= jnp.minimum(self.cap, PATIENCE)) & (self.length > 1), SHORT, capped)
        status = pick(converged, CONVERGED, pick(floor, FLOOR, capped)).astype(jnp.int32)
        error = pick(floor & ~converged, c.sizes[0], error).astype(dtype)
        exact = self.leading(c.x, r) if self.judges else None
        return _seen(merit.astype(dtype), error, status), left, _globalise.Judged(merit, exact, rough)

    @property
    def judges(self) -> bool:
        """Whether something asks for rows that are exact."""
        return self.o.adapts or self.o.damping < 0

    def leading(self, x: Array, r: Array) -> Array:
        """How many rows are exact, from the first on."""
        o, part = self.o, self.part
        count = _globalise.exact(x, r, o.atol / o.rtol, o.axis)
        return count if part is None else jnp.clip(count - part.start, 0, part.steps)

    def own(self, a: Array) -> Array:
        return _only(self.rows, a)

    def before(self, x: Array) -> Array:
        late = _mesh.before(x, self.x0, self.o.axis)
        return late if self.begin is None else jnp.where(self.begin[:, None], self.x0, late)


def _seen(merit: Array, error: Array, status: Array) -> Window:
    """What is seen while an iteration goes on."""
    later: Any = None
    return Window(later, later, merit, later, error, status)


def _short(o: Options, length: Any) -> Any:
    """The status of a window whose update is not finite."""
    return pick(length > 1, jnp.int32(SHORT), NONFINITE) if o.adapts else NONFINITE


def _either(first: Array, a: Any, b: Any) -> Any:
    return jax.tree.map(lambda a, b: pick(first, a, b), a, b)


def _alike(body: Callable[[_Loop], _Loop], start: _Loop) -> _Loop:
    """The start of a loop, varying over the axes of a mesh as what follows it does."""
    if not jax.sharding.get_abstract_mesh().manual_axes:  # no shard_map around it
        return start
    shapes = jax.eval_shape(body, start)
    vary: Callable[[Any, Any], Any] = lambda value, like: _like(value, like)  # noqa: E731
    return jax.tree.map(vary, start, shapes)


def _like(value: Array, shape: Any) -> Array:
    return vary_over(value, getattr(shape, "vma", None) or frozenset[Any]())


def update(
    x: Array, F: Array, A: Any, kept: Kept, o: Options, damping: Array | None, rows: Array | None
) -> tuple[Array, Kept]:
    """The next iterate, F[t] + A[t] d[t-1], of the increments d[t] = A[t] d[t-1] + F[t] - x[t] that a scan makes; and
    what is kept. damping: one that adapts; rows: those whose A is read."""
    r, restrained = F - x, restrain(A, len(x), x.dtype, max(o.damping, 0), o.clip)
    restrained = _globalise.scaled(restrained, damping, rows, len(x), x.dtype)
    if _elk.holds(o.method):
        assert kept.trust is not None
        new, trust = _elk.update(o.method, x, F, _elk.headless(restrained), kept.trust)
        return new, kept._replace(trust=trust)
    turned = o.method.derivative == "rotated_diagonal"
    b = r @ kept.basis if turned else r
    if A.name == "block_diagonal":  # whose last block may reach beyond the state
        b = jnp.pad(b, ((0, 0), (0, A.array.shape[1] * A.array.shape[2] - b.shape[1])))
    moved = (scan(restrained, b, axis_name=o.axis) - b)[:, : x.shape[1]]
    return F + (moved @ kept.basis.T if turned else moved), kept  # pyright: ignore[reportOptionalMemberAccess]


def solve(step: Step, x0: Array, u: Any, guess: Array | None, kept: Kept, T: int, o: Options) -> Window:
    """The whole sequence, window after window from the converged end of the last."""
    if o.window is None or o.window >= T:
        own = jnp.broadcast_to(x0, (T, *x0.shape)) if guess is None else guess
        return window(step, x0, u, own, kept, 0, 1.0, o)[0]
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
            lambda: window(step, start, u, begin, kept, first, length / T, o)[:2],
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
    return Window(
        states, iterations.sum(dtype=jnp.int32), merit.sum(), _mesh.largest(residual)[0], error.sum(), status.max()
    )


def _shortened(kept: Kept, steps: int) -> Kept:
    """What is kept, for a last window that is shorter."""
    return kept if kept.jacobian is None else kept._replace(jacobian=kept.jacobian[:steps])
