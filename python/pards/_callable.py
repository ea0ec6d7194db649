"""A model written in NumPy: what the library asks of it, and derivatives by differences where it has none of its
own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from . import _array
from ._array import FLOATS, Array
from ._cell import DIAGONAL, JACOBIAN, JVP, STEP

Function = Callable[[Any, Any], Any]

# The largest number of components of shifted states in one call of f. NumPy's temporaries of that size stay in cache;
# with five times as many a step of a GRU took three times as long.
_MOST = 1 << 17

# How many square roots of eps of the state's size f of a step may differ by between calls, which sum in other orders.
_ROUNDED = 10

# At how many steps at most a derivative that was given is compared with differences, up to how many components, and how
# much of its size it may be off: what is nearer serves as well.
_COMPARED, _WIDEST, _NEAR = 16, 2048, 0.01


def take_inputs(inputs: Array | None, dtype: np.dtype[Any]) -> Array | None:
    """The inputs of a function, which the library does not see: checked, and cast to dtype if they are floating."""
    if inputs is None:
        return None
    if inputs.ndim not in (2, 3):
        raise ValueError(
            f"solve: inputs has shape {inputs.shape}, want (T, M) or (B, T, M); M is 1 for one number a step"
        )
    if inputs.dtype.kind != "f":
        return inputs
    inputs = inputs.astype(dtype, copy=False)
    if not np.isfinite(inputs).all():
        at = tuple(np.argwhere(~np.isfinite(inputs))[0].tolist())
        raise ValueError(f"solve: inputs holds {inputs[at]} at {at}, want finite numbers")
    return inputs


def _called(name: str, x: Array, u: Array | None, error: Exception) -> str:
    """A note on how a function was called that raised an error, with what is most often wrong."""
    shapes, hint = f"x {x.shape}" + ("" if u is None else f" and u {u.shape}"), "it has to work over leading axes"
    if isinstance(error, TypeError):
        trace = error.__traceback__
        if trace is not None and trace.tb_next is None:  # the call itself was refused
            hint = "it has to take two arguments, x and u"
        elif u is None:
            hint = "u is None, for there are no inputs"
    elif isinstance(error, ValueError) and "read-only" in str(error):
        hint = "u is read-only, as other calls see it too: change a copy"
    return f"solve called {name} with {shapes}; {hint}"


def compared(dim: int) -> int:
    """At how many steps a derivative that was given is compared with differences."""
    return min(_COMPARED, max(1, _MOST // dim**2)) if dim <= _WIDEST else 0


class Model:
    """f, jac and diag of a user as the library's eval callback.

    The functions see states x of shape (n, D), or (S, n, D) in a batch, as a copy that is theirs, and a read-only
    view of the inputs that belong to them. The memory that the library lends for the time of a call never reaches
    them, nor outlives it.
    """

    def __init__(
        self,
        f: Function,
        jac: Function | None,
        diag: Function | None,
        inputs: Array | None,
        batched: bool,
        dtype: np.dtype[Any],
    ) -> None:
        self.f, self.jac, self.diag = f, jac, diag
        self.inputs, self.batched, self.dtype = inputs, batched, dtype
        self.eps = np.sqrt(np.finfo(dtype).eps)

    def __call__(
        self,
        kind: int,
        sequences: int,
        index: memoryview,
        first: int,
        steps: int,
        dim: int,
        x: memoryview,
        y: memoryview | None,
        v: memoryview | None,
        out: memoryview,
    ) -> None:
        """Answer one request of the library; pards.h, struct pards_request, says what it holds."""
        shape = (sequences, steps, dim) if self.batched else (steps, dim)
        try:
            u = self._inputs(index, first, steps)
            at = self._copy(x, shape)
            if kind == STEP:
                result = self._asked("f", self.f, at, u, shape)
            elif kind == JACOBIAN:
                result = self._jacobian(at, u, self._copy(y, shape))
            elif kind == DIAGONAL:
                result = self._diagonal(at, u, self._copy(y, shape))
            elif kind == JVP:
                result = self._jvp(at, u, self._copy(y, shape), self._copy(v, shape))
            else:
                result = np.einsum(
                    "...ij,...i->...j", self._jacobian(at, u, self._copy(y, shape)), self._copy(v, shape)
                )
            np.frombuffer(out, self.dtype)[:] = result.reshape(-1)
        finally:
            for lent in (index, x, y, v, out):
                if lent is not None:
                    lent.release()

    def not_finite(self, x: Array, sequence: int, step: int) -> str | None:
        """Which of the derivatives that the user gave is not finite at a finite state before a step, or f itself at the
        first, which no iterate has moved; None for none."""
        if not np.isfinite(x).all():
            return None
        at = x[None, None] if self.batched else x[None]
        u = self._own(sequence, slice(step, step + 1))
        for name, function in (("f", None if step else self.f), ("jac", self.jac), ("diag", self.diag)):
            if function is not None and not np.isfinite(function(at.copy(), u)).all():
                return name
        return None

    def wrong_at(self, x0: Array, sequence: int, steps: int, names: Collection[str]) -> str:
        """`not_derivative` at x0, before some of the first steps."""
        at = np.arange(min(steps, compared(x0.size)))
        x = np.repeat(x0[None], len(at), 0)
        return self.not_derivative(x[None] if self.batched else x, self._own(sequence, slice(len(at))), at, names)

    def not_derivative(self, x: Array, u: Array | None, steps: Array, names: Collection[str] = ("jac", "diag")) -> str:
        """Which derivative that the user gave is not that of f at most of the states x before some steps, and where it
        is farthest off; "" for none.

        It is compared with differences to both sides, D copies of the states each, in units of the states' own size.
        Where these differ, f has no derivative, or rounding hides it.
        """
        both = (("jac", Model._jacobian), ("diag", Model._diagonal))
        asked = [(name, own) for name, own in both if name in names and vars(self)[name] is not None]
        if not asked or not len(steps):
            return ""
        try:
            with np.errstate(all="ignore"):
                return self._not_derivative(x, u, steps, asked)
        except Exception:  # of a function that raises a little off its states
            return ""

    def _not_derivative(self, x: Array, u: Array | None, steps: Array, asked: list[tuple[str, Any]]) -> str:
        """It, of some derivatives and the methods that have them."""
        y = self._asked("f", self.f, x.copy(), u, x.shape)
        unit = np.maximum(np.abs(x), np.abs(y)).max(tuple(range(x.ndim - 1)))
        unit[unit == 0] = 1
        for name, derivative in asked:
            given, inner = derivative(self, x.copy(), u, y), (-2, -1) if name == "jac" else (-1,)
            units = unit / unit[:, None] if name == "jac" else 1
            ahead, behind = (derivative(self._in_units(s), x / s, u, y / s) for s in (unit, -unit))
            size = np.maximum(np.abs(given * units), np.abs(ahead)).max(inner, keepdims=True)
            doubt = np.abs(ahead - behind).max(inner, keepdims=True) + self.eps
            off = np.abs(given * units - ahead) - _NEAR * size - _ROUNDED * doubt
            if 2 * np.count_nonzero((off > 0).any(inner)) > x.size // x.shape[-1]:
                at = np.unravel_index(np.nanargmax(off), off.shape)
                entry = ", ".join(str(i) for i in at[x.ndim - 1 :])
                return (
                    f"{name} is not the derivative of f: [{entry}] at step {steps[at[x.ndim - 2]]} is {given[at]:.3g}, "
                    f"by differences of f {(ahead / units)[at]:.3g}"
                )
        return ""

    def _in_units(self, unit: Array) -> Model:
        """f of states in other units, without derivatives; with negative ones its difference ahead is f's behind."""
        return Model(lambda x, u: self.f(unit * x, u) / unit, None, None, None, self.batched, self.dtype)

    def check_steps(self, x0: Array, states: Array, success: bool) -> None:
        """Look whether f is, of two steps at once, what it is of one: else the trajectory that was found is no loop's.
        If it is not, look whether it is the same when it is called again.

        The steps are the first, and the last, or the second where states overflowed. The last one tells; after a
        failure its state may be so large that only the first one does.

        Raises:
            ValueError: it is another.
        """
        steps = states.shape[-2]
        if steps < 2 or not states.size:
            return
        last = steps - 1 if np.isfinite(states[..., steps - 2, :]).all() else 1
        x, u = np.empty((*states.shape[:-2], 2, states.shape[-1]), self.dtype), None
        x[..., 0, :], x[..., 1, :] = x0, states[..., last - 1, :]
        if self.inputs is not None:
            u = self.inputs[..., ::last, :][..., :2, :]  # both steps, of which NumPy makes no copy
            u = u if u.ndim == x.ndim else np.broadcast_to(u, (*x.shape[:-1], u.shape[-1]))
            u.flags.writeable = False
        with np.errstate(all="ignore"):
            both = self._asked("f", self.f, x.copy(), u, x.shape)
            for row, step in ((1, last), (0, 0))[: 2 - success]:
                own, drive = x[..., row : row + 1, :], None if u is None else u[..., row : row + 1, :]
                pair, size = both[..., row : row + 1, :], np.abs(own)
                alone = self._asked("f", self.f, own.copy(), drive, own.shape)
                if (at := self._apart(pair, alone, size)) is None:
                    continue
                again = self._asked("f", self.f, own.copy(), drive, own.shape)
                if (other := self._apart(again, alone, size)) is not None:
                    raise ValueError(
                        f"solve: f at step {step} is {alone[other]:.6g}, and {again[other]:.6g} when it is called "
                        "again with the same x and u, want the same: draw what is random before, and give it as inputs"
                    )
                raise ValueError(
                    f"solve: f at step {step} is {pair[at]:.6g} in a call with two steps and {alone[at]:.6g} in one "
                    "with that step alone, want the same: f of a step has to follow from that step (is an axis=-1 "
                    "missing in f, or does it draw numbers for all steps?)"
                )

    def _apart(self, one: Array, other: Array, size: Array) -> tuple[int, ...] | None:
        """Where what f gave in two calls differs by more than rounding; size is that of x."""
        if (one == other).all():
            return None
        size = np.maximum(np.maximum(np.abs(one), np.abs(other)), size).max(-1, keepdims=True)
        where = np.argwhere(np.abs(one - other) > _ROUNDED * self.eps * size)
        return tuple(where[0].tolist()) if len(where) else None

    def _own(self, sequence: int, steps: slice) -> Array | None:
        """The inputs of some steps of a sequence, as a batch of one where there is a batch."""
        u = None if self.inputs is None else self.inputs[..., steps, :]
        if u is not None and self.batched:
            u = u[sequence : sequence + 1] if u.ndim == 3 else u[None]
        return u

    def _inputs(self, index: memoryview, first: int, steps: int) -> Array | None:
        """The inputs of a block, read-only."""
        if self.inputs is None:
            return None
        u = self.inputs[..., first : first + steps, :]
        if self.batched:
            which = np.frombuffer(index, np.int64)
            if u.ndim == 2:
                u = np.broadcast_to(u, (len(which), *u.shape))
            elif len(which) < len(u):
                u = u[which]
        u = u.view()
        u.flags.writeable = False
        return u

    def _copy(self, lent: memoryview | None, shape: tuple[int, ...]) -> Array:
        """A copy of lent memory."""
        assert lent is not None
        return np.frombuffer(lent, self.dtype).reshape(shape).copy()

    def _asked(self, name: str, function: Function, x: Array, u: Array | None, shape: tuple[int, ...]) -> Array:
        """What a function returns, checked."""
        try:
            returned = function(x, u)
            result = np.asarray(returned)
        except Exception as error:
            if sys.version_info >= (3, 11):
                error.add_note(_called(name, x, u, error))
            raise
        if type(returned) is not np.ndarray and (returned is None or _array.masks(returned)):
            came = "None" if returned is None else "an array that masks some of its numbers"
            hint = "does it end without a return?" if returned is None else "let it return them .filled(...)"
            raise TypeError(f"solve: {name} returned {came}, want an array of shape {shape}; {hint}")
        if not result.dtype.isnative:
            result = result.astype(result.dtype.newbyteorder("="))
        if result.dtype != self.dtype:
            other = f", or solve in that dtype: dtype=np.{result.dtype}" if result.dtype.char in FLOATS else ""
            raise TypeError(
                f"solve: {name} returned {result.dtype}, want {self.dtype}, the dtype of x0 and the floating inputs; "
                f"let {name} keep to the dtype of x{other}"
            )
        if result.shape != shape:
            raise ValueError(
                f"solve: {name} returned shape {result.shape} for x of shape {x.shape}, want {shape}; "
                f"it is called with all steps at once and works over leading axes"
            )
        return result

    def _jacobian(self, x: Array, u: Array | None, y: Array) -> Array:
        """J[..., i, j] = df_i/dx_j, by forward differences where the user gave no jac."""
        if self.jac is not None:
            return self._asked("jac", self.jac, x, u, (*x.shape, x.shape[-1]))
        result = np.empty((*x.shape, x.shape[-1]), self.dtype)
        for columns, h, piece in self._differences(x, u, y):
            result[..., piece, :, :] = np.moveaxis(columns, 0, -1) / h[..., None, :]
        return result

    def _diagonal(self, x: Array, u: Array | None, y: Array) -> Array:
        if self.diag is not None:
            return self._asked("diag", self.diag, x, u, x.shape)
        if self.jac is not None:
            return np.diagonal(self._jacobian(x, u, y), axis1=-2, axis2=-1)
        result = np.empty_like(x)
        for columns, h, piece in self._differences(x, u, y):
            result[..., piece, :] = np.einsum("i...i->...i", columns) / h
        return result

    def _jvp(self, x: Array, u: Array | None, y: Array, v: Array) -> Array:
        """J v, by one difference along v where the user gave no jac; the step follows the largest component of x."""
        if self.jac is not None:
            return np.einsum("...ij,...j->...i", self._jacobian(x, u, y), v)
        h = self.eps * np.maximum(1, np.abs(x).max(-1, keepdims=True)).astype(self.dtype)
        return (self._asked("f", self.f, x + h * v, u, x.shape) - y) / h

    def _differences(self, x: Array, u: Array | None, y: Array) -> Iterator[tuple[Array, Array, slice]]:
        """f(x + h_j e_j) - f(x) for each j on a leading axis, in one call of f, the steps h, and the times they belong
        to: all of them, or a piece at a time where that is much."""
        dim, steps = x.shape[-1], x.shape[-2]
        most = max(1, _MOST // max(1, x.size // steps * dim))
        for first in range(0, steps, most):
            piece = slice(first, min(first + most, steps))
            at = x[..., piece, :]
            h = (self.eps * np.maximum(1, np.abs(at))).astype(self.dtype)
            h = (at + h) - at  # what a step in floating point really is
            shifted = np.repeat(at[None], dim, 0)
            np.einsum("i...i->...i", shifted)[...] += h
            if u is not None:
                drive = u[..., piece, :]
                drive = np.broadcast_to(drive, (dim, *drive.shape))
            else:
                drive = None
            yield self._asked("f", self.f, shifted, drive, shifted.shape) - y[..., piece, :], h, piece
