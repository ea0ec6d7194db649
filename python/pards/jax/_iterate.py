"""The iteration: evaluate, test, update, until a test ends it, with the semantics of pards.solve."""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._method import Method
from . import _elk, _globalise, _measure, _mesh
from ._judge import CONVERGED, FLOOR, GOING, Bounds, Course, Rules, begun, packing, proceed, refused, test
from ._linearise import Kept, Step, Trajectory, linearise, restrain
from ._measure import Distance
from ._pack import Packing, pick
from ._primitive import types, vary_as
from ._scan import scan
from ._structure import Array

WRITTEN = 64  # dimensions up to which their axes stand in a program: then nothing makes them


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
        most, least = (max, min) if isinstance(steps, int) else (jnp.maximum, jnp.minimum)
        if self.merit_tol is not None:
            return most(steps, 1000) if holds else steps
        return 1000 if holds else least(steps + 1, 1000)

    @property
    def rules(self) -> Rules:
        by_merit, holds, stop = self.merit_tol is not None, _elk.holds(self.method), self.nonfinite == "stop"
        return Rules(self.rtol, by_merit, holds, self.adapts, stop)


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
    course: Array  # packed
    told: Any  # updates since their sizes began to tell, None where those are all
    exact: Any  # rows of the iterate that was tested last, None where nothing asks for them
    kept: Kept
    guard: _globalise.Guard | None


def window(
    step: Step,
    x0: Array,
    u: Any,
    guess: Array,
    kept: Kept,
    first: Any,
    share: Any,
    o: Options,
    axes: Array,
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
    bounds = Bounds(None if o.merit_tol is None else o.merit_tol * share, o.cap(length), length)
    task = _Task(step, x0, u, axes, _only(rows, guess), first, o, part, bounds, rows, begin, read, packing(x0.dtype))
    start = _alike(task.update, vary_as(task.start(kept), jax.typeof(x0)))
    own = Packing(start)

    def going(c: Any) -> Array:
        return task.numbers.one(([], [own.one(c, lambda c: c.course)]), lambda c: c.status) < 0

    end = own.unpack(lax.while_loop(going, lambda c: own.pack(task.update(own.unpack(c))), own.pack(start)))
    c = task.course(end)
    return Window(end.x, c.k, c.merit, c.left[0], c.error, c.status), end.kept, end.exact


def axes_of(x0: Array) -> Array:
    """Those of a state, (D, D), made outside of branches, in which JAX lets nothing that they are given begin to
    vary over a mesh."""
    return vary_as((np if x0.size <= WRITTEN else jnp).eye(x0.size, dtype=x0.dtype), jax.typeof(x0))


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
    bounds: Bounds
    rows: Array | None  # which are the window's, None for all
    begin: Array | None  # which is the first
    read: Array | None  # those whose A is read
    numbers: Packing  # of a course

    def course(self, c: _Loop) -> Course:
        return self.numbers.unpack(([], [c.course]))

    def packed(self, c: Course) -> Array:
        return self.numbers.pack(c)[1][0]

    def start(self, kept: Kept) -> _Loop:
        guess, zero, status = self.guess, jnp.int32(0), jnp.int32(GOING)
        if self.part is not None:
            status = jnp.where(self.part.active, status, CONVERGED).astype(jnp.int32)
        guard = _globalise.guard(self.o.method, self.o.damping < 0, self.o.adapts, guess)
        told, exact = None if guard is None else zero, zero if self.judges else None
        return _Loop(guess, self.packed(begun(guess.dtype, status)), told, exact, kept, guard)

    def update(self, c: _Loop) -> _Loop:
        """Test an iterate, and make the next one where it is not the last."""
        o, course = self.o, self.course(c)
        at = Trajectory(self.step, self.before(c.x), self.u, self.axes, o.axis, self.first, self.rows)
        count = course.k if c.told is None else c.told
        F, A, kept = linearise(o.method, at, c.kept, course.k, course.sizes, count)
        if c.guard is not None:
            return self.guarded(c, course, count, F, A, kept, c.guard)
        new, kept = self.advance(c.x, F, A, kept)  # of the last iterate too, for what is measured by one pass over all
        new = self.reset(new)
        own, moved = self.measured((c.x, F), (new, c.x))
        now = proceed(c.course, own, moved, o.rules, self.bounds)
        on = self.numbers.one(([], [now]), lambda c: c.status) < 0
        return _Loop(pick(on, new, c.x), now, None, self.leading(c.x, F), kept, None)

    def guarded(
        self, c: _Loop, course: Course, count: Array, F: Array, A: Any, kept: Kept, guard: _globalise.Guard
    ) -> _Loop:
        """The same where iterates may be taken back."""
        o, again, exact = self.o, guard.again, self.leading(c.x, F)
        own = self.measured((c.x, F))[0]
        merit, error, status = test(course, own, count, o.rules, self.bounds)
        status = pick(again, GOING, status)
        now = _globalise.Judged(merit, exact, own.size)
        judged, x, held, lost = _globalise.judge(o.method, guard, now, course.k, c.x, self.bounds.length, kept)
        judge = (status < 0) & ~again
        guard, kept = _either(judge, (judged, held), (guard._replace(again=jnp.asarray(False)), kept))
        x, lost = pick(judge, x, c.x), judge & lost
        left = jnp.stack([own.largest, pick(guard.again | again, jnp.inf, own.size)])
        going = (status < 0) & ~guard.again
        last = vary_as((x, kept, guard, jnp.asarray(False)), jax.typeof(self.x0))
        new, kept, guard, damped = lax.cond(
            going, lambda: vary_as(self.again(c.x, F, A, kept, guard), jax.typeof(self.x0)), lambda: last
        )
        new = self.reset(new)
        moved = self.measured((new, c.x))[0]
        status = refused(status, going, moved, o.rules, self.bounds)
        on, going = status < 0, going & (status < 0)
        # an iterate without an update is the last, and sizes may tell nothing yet
        told = (pick(lost | damped, 0, c.told) + going).astype(jnp.int32)
        sizes = pick(going, jnp.concatenate([moved.size[None], course.sizes[:2]]), course.sizes)
        course = Course(course.k + going, sizes, merit.astype(course.dtype), error, status, left)
        return _Loop(pick(on, new, c.x), self.packed(course), told, exact, kept, guard)

    def advance(self, x: Array, F: Array, A: Any, kept: Kept, damping: Array | None = None) -> tuple[Array, Kept]:
        new, kept = update(x, F, A, kept, self.o, damping, self.read)
        return self.own(new), kept

    def again(self, x: Array, F: Array, A: Any, kept: Kept, guard: _globalise.Guard) -> Any:
        """An update, damped more as long as it is not finite."""

        def finite(x: Array) -> Array:
            return jnp.isfinite(_mesh.largest(x, axis=self.o.axis)[0]).all()

        return _globalise.update(guard, x, kept, lambda damping, kept: self.advance(x, F, A, kept, damping), finite)

    def reset(self, new: Array) -> Array:
        return pick(jnp.isnan(new), self.guess, new) if self.o.nonfinite == "reset" else new

    def measured(self, *pairs: tuple[Array, Array]) -> list[Distance]:
        return _measure.measure(*pairs, least=self.o.atol / self.o.rtol, axis=self.o.axis)

    @property
    def judges(self) -> bool:
        """Whether something asks for rows that are exact."""
        return self.o.adapts or self.o.damping < 0

    def leading(self, x: Array, F: Array) -> Array | None:
        """How many rows are exact, from the first on, where something asks."""
        o, part = self.o, self.part
        if not self.judges:
            return None
        count = _globalise.exact(x, F - x, o.atol / o.rtol, o.axis)
        return count if part is None else jnp.clip(count - part.start, 0, part.steps)

    def own(self, a: Array) -> Array:
        return _only(self.rows, a)

    def before(self, x: Array) -> Array:
        late = _mesh.before(x, self.x0, self.o.axis)
        return late if self.begin is None else jnp.where(self.begin[:, None], self.x0, late)


def _either(first: Array, a: Any, b: Any) -> Any:
    return jax.tree.map(lambda a, b: pick(first, a, b), a, b)


def _alike(body: Callable[[_Loop], _Loop], start: _Loop) -> _Loop:
    """The start of a loop, varying over the axes of a mesh as what follows it does."""
    if not jax.sharding.get_abstract_mesh().manual_axes:  # no shard_map around it
        return start
    leaves, form = jax.tree.flatten(start)
    return jax.tree.unflatten(form, map(vary_as, leaves, types(body, start)))


def update(
    x: Array, F: Array, A: Any, kept: Kept, o: Options, damping: Array | None, rows: Array | None
) -> tuple[Array, Kept]:
    """The next iterate, and what is kept. damping: one that adapts; rows: those whose A is read."""
    restrained = restrain(A, len(x), x.dtype, max(o.damping, 0), o.clip)
    restrained = _globalise.scaled(restrained, damping, rows, len(x), x.dtype)
    if _elk.holds(o.method):
        assert kept.trust is not None
        new, trust = _elk.update(o.method, x, F, _elk.headless(restrained), kept.trust)
        return new, kept._replace(trust=trust)
    if o.method.derivative == "rotated_diagonal":
        b = (F - x) @ kept.basis
        moved = scan(restrained, b, axis_name=o.axis) - b
        return F + moved @ kept.basis.T, kept  # pyright: ignore[reportOptionalMemberAccess]
    wide = A.array.shape[1] * A.array.shape[2] if A.name == "block_diagonal" else x.shape[1]  # maybe beyond the state
    to, of = (jnp.pad(a, ((0, 0), (0, wide - x.shape[1]))) if wide > x.shape[1] else a for a in (F, x))
    return _measure.update(restrained, to, of, o.axis)[:, : x.shape[1]], kept


def solve(step: Step, x0: Array, u: Any, guess: Array | None, kept: Kept, T: int, o: Options) -> Window:
    """The whole sequence, window after window from the converged end of the last."""
    axes = axes_of(x0)
    if o.window is None or o.window >= T:
        own = jnp.broadcast_to(x0, (T, *x0.shape)) if guess is None else guess
        return window(step, x0, u, own, kept, 0, 1.0, o, axes)[0]
    W, dtype = o.window, x0.dtype

    def one(carry: Any, xs: Any, length: int) -> Any:
        start, kept, worst, first = carry
        u, own = xs
        begin = jnp.broadcast_to(start, (length, *x0.shape)) if guess is None else own
        left = own if guess is not None else jnp.broadcast_to(x0, begin.shape)
        nothing = jnp.zeros((), dtype)
        skipped = vary_as(Window(left, jnp.int32(0), nothing, nothing, nothing, worst), jax.typeof(x0))
        done, kept = lax.cond(
            worst <= FLOOR,
            lambda: vary_as(window(step, start, u, begin, kept, first, length / T, o, axes)[:2], jax.typeof(x0)),
            lambda: (skipped, kept),
        )
        return (done.states[-1], kept, jnp.maximum(worst, done.status), first + W), done

    cut = T // W * W
    whole = jax.tree.map(lambda a: a[:cut].reshape(T // W, W, *a.shape[1:]), (u, guess))
    start = vary_as((x0, kept, jnp.int32(CONVERGED), jnp.int32(0)), jax.typeof(x0))
    carry, done = lax.scan(lambda c, xs: one(c, xs, W), start, whole)
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
