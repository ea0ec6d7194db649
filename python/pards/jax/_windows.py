"""Windows that adapt: those that fail are given up for shorter ones, as core/method/control.go has it.

Arrays of a program have one length, so windows of any length are solved in arrays of a few: the longest window's, an
eighth of that, and so on. What of them is not the window stays as it is."""

# Functions over trees of anything:
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ._iterate import Options, Part, Window, axes_of, window
from ._judge import CONVERGED, FLOOR, SHORT
from ._linearise import Kept, Step
from ._primitive import vary_as
from ._structure import Array

NUMBERS, LEAST, MOST = 1 << 17, 256, 8192  # of the Jacobians of the longest window; its steps, see core/problem.go
BRISK = 6  # updates of a window that went well
SHRINK = 4  # how much shorter the next window is
WAIT = 64  # windows between two attempts at longer ones, at most
COARSE = 8  # how much shorter the next array is
DEEP = 64  # windows within windows: each is at most 2/3 of the one around it


class _Way(NamedTuple):
    """How far a sequence has come."""

    states: Array
    start: Array  # the state before the next window
    first: Array  # step of that
    ends: Array  # of the windows given up around it, the innermost at depth
    depth: Array
    length: Array  # of the next window
    well: Array  # windows since one was given up
    wait: Array  # to go by before a longer one is tried
    left: Array  # the states hold the next window's guess
    misled: Array  # the given guess failed
    kept: Kept
    found: Window  # all of it but the states


def longest(T: int, d: int) -> int:
    return min(T, max(LEAST, min(MOST, NUMBERS // (d * d))))


def solve(step: Step, x0: Array, u: Any, guess: Array | None, kept: Kept, T: int, o: Options) -> Window:
    """The whole sequence, each window from the converged end of the last."""
    most = longest(T, x0.size)
    given = jnp.broadcast_to(x0, (T, *x0.shape)) if guess is None else guess
    sizes = [most]
    while sizes[-1] > 2 * COARSE:
        sizes.append(-(-sizes[-1] // COARSE))
    zero, no = jnp.int32(0), jnp.asarray(False)
    nothing = jnp.zeros((), x0.dtype)
    found = Window(nothing, zero, nothing, nothing, nothing, jnp.int32(CONVERGED))
    ends = jnp.zeros(DEEP, jnp.int32).at[0].set(T)
    axes = axes_of(x0)
    start = vary_as(_Way(given, x0, zero, ends, zero, jnp.int32(most), zero, zero, no, no, kept, found), jax.typeof(x0))

    def body(w: _Way) -> _Way:
        length = jnp.minimum(w.length, w.ends[w.depth] - w.first)
        now = w
        for size, smaller in zip(sizes, [*sizes[1:], 0], strict=True):
            here = (length <= size) & (length > smaller)
            run = partial(_one, step, u, guess, T, o, axes, size, most, w, length, here)
            now = lax.cond(here, run, lambda now=now: now)
        return now

    end = lax.while_loop(lambda w: (w.first < T) & (w.found.status <= FLOOR), body, start)
    tried = jnp.minimum(end.length, end.ends[end.depth] - end.first)  # a window that failed
    reached = jnp.where(end.found.status <= FLOOR, T, end.first + tried)
    states = jnp.where((jnp.arange(T) < reached)[:, None], end.states, given)
    return end.found._replace(states=states)


def _one(
    step: Step,
    u: Any,
    guess: Array | None,
    T: int,
    o: Options,
    axes: Array,
    size: int,
    most: int,
    w: _Way,
    length: Array,
    here: Array,
) -> _Way:
    """One window, in arrays of a size."""
    cut = jnp.minimum(w.first, T - size)
    at = w.first - cut
    t = jnp.arange(size)
    rows = ((t >= at) & (t < at + length))[:, None]

    def piece(a: Array) -> Array:
        return lax.dynamic_slice_in_dim(a, cut, size)

    own, repeated = piece(w.states), jnp.broadcast_to(w.start, (size, *w.start.shape))
    begin = repeated if guess is None else jnp.where(w.misled, repeated, piece(guess))
    begin = jnp.where(w.left, own, begin)
    d = w.start.size
    kept = w.kept
    if o.method.derivative == "held":
        kept = kept._replace(jacobian=jnp.zeros((size, d, d), own.dtype))
    part = Part(at, length, here)
    done, kept, exact = window(step, w.start, jax.tree.map(piece, u), begin, kept, cut, length / T, o, axes, part)
    short, good = done.status == SHORT, done.status <= FLOOR
    last = jnp.where(exact > 0, done.states[jnp.maximum(at + exact - 1, 0)], w.start)
    begun = jnp.where((t < at + exact)[:, None], done.states, last)  # the good beginning of one that is given up
    new = jnp.where(rows, jnp.where(short, begun, done.states), own)
    end, first = w.first + length, jnp.where(good, w.first + length, w.first)
    inner = short & (end < w.ends[w.depth])
    depth = w.depth + inner
    ends = jnp.where(inner & (jnp.arange(DEEP) == depth), end, w.ends)
    depth = jnp.where(good & (ends[depth] == end) & (depth > 0), depth - 1, depth)
    well = jnp.where(short, 0, w.well + 1)
    longer = (done.iterations <= BRISK) & (well > w.wait)
    went = jnp.where(longer, jnp.minimum(2 * w.length, most), w.length)
    less = jnp.minimum(jnp.maximum(jnp.maximum(exact, length // SHRINK), 1), (length + 1) // 2)
    f = w.found
    found = Window(
        f.states,
        f.iterations + done.iterations,
        f.merit + jnp.where(short, 0, done.merit),
        jnp.where(short, f.residual, jnp.maximum(f.residual, done.residual)),
        f.error + jnp.where(short, 0, done.error),
        jnp.where(short, f.status, jnp.maximum(f.status, done.status)),
    )
    return _Way(
        lax.dynamic_update_slice_in_dim(w.states, new, cut, 0),
        jnp.where(good, done.states[at + length - 1], w.start),
        first,
        ends,
        depth,
        jnp.where(short, less, jnp.where(good, went, w.length)).astype(jnp.int32),
        well.astype(jnp.int32),
        jnp.where(short, jnp.minimum(jnp.maximum(2 * w.wait, 1), WAIT), w.wait).astype(jnp.int32),
        short,
        w.misled | short,
        kept._replace(jacobian=w.kept.jacobian),
        found,
    )
