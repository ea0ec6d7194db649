"""What all native cells have in common: parameters, a handle in the library for each dtype, and their derivatives."""

from __future__ import annotations

import ctypes
import functools
import math
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from . import _array, _lib
from ._array import Array

STEP, JACOBIAN, DIAGONAL, JVP, VJP, INPUT_JVP, INPUT_VJP = range(7)  # enum pards_kind
# How much is asked for in one call, so that the interpreter looks for signals in between.
_PIECE = 1 << 20  # numbers of a result
_PRODUCTS, _LEAST = 1 << 28, 1 << 13  # of steps and parameters, for the gradient of these; the least number of steps
STATIC = ("int", "bool", "str")  # the kinds of parameters that are settings
_making = threading.RLock()


class Cell:
    """A model x[t] = f(x[t-1], u[t]) that the library knows, with its parameters.

    A cell is frozen: its parameters are read-only copies of what the constructor was given, under the same names.
    What JAX traces is held as it is: such a cell has shapes, and is for `pards.jax.solve` alone.
    Calling it, and its derivatives, take states (..., D) and inputs (..., M) of any leading axes, which broadcast. A
    model driven by words takes integers (...) for inputs, an autonomous one None. Cells can be pickled and used by
    several threads at once.
    """

    name: ClassVar[str]
    words: ClassVar[bool] = False
    fields: ClassVar[Mapping[str, str]]  # the axes of each array; "float", "int", "bool" or "str" for what is none

    def _set(self, **values: Any) -> None:
        """Keep the parameters, and have the library check them."""
        cell = type(self).__name__
        kept = {name: _kept(cell, name, value, self.fields[name]) for name, value in values.items()}
        self.__dict__.update(kept, _handles={})
        if self._traced():
            _ = self._shape
        else:
            handle(self, _array.promoted(self.dtype))

    def _traced(self) -> bool:
        """Whether JAX traces a parameter, so that the library cannot have it."""
        return any(map(_array.traced, vars(self).values()))

    @property
    def dim(self) -> int:
        """D, the number of components of the state."""
        return self._shape[0]

    @property
    def inputs(self) -> int:
        """M, the number of components of the input; 1 for words, 0 for none."""
        return self._shape[1]

    @functools.cached_property
    def _shape(self) -> tuple[int, int]:
        if self._traced():
            held = vars(self)
            static = [name for name, kind in self.fields.items() if kind in STATIC or held[name] is None]
            shapes = tuple((name, np.shape(held[name])) for name in self.fields if name not in static)
            return sizes(type(self), shapes, tuple((name, held[name]) for name in static))
        dim, inputs = ctypes.c_int64(), ctypes.c_int64()
        _lib.call("pards_cell_shape", handle(self, _array.promoted(self.dtype)), dim, inputs)
        return dim.value, inputs.value

    @functools.cached_property
    def dtype(self) -> np.dtype[Any] | None:
        """What the parameters bring to the dtype of a computation; None where they have no say, as with words."""
        arrays = [np.dtype(value.dtype) for value in vars(self).values() if getattr(value, "ndim", 0)]
        return None if self.words or not arrays else np.result_type(*arrays)

    def __call__(self, x: ArrayLike, u: ArrayLike | None = None) -> Array:
        """The next state f(x, u), shape (..., D)."""
        return self._evaluate(STEP, x, u)

    def jacobian(self, x: ArrayLike, u: ArrayLike | None = None) -> Array:
        """The Jacobian J[..., i, j] = df_i/dx_j, shape (..., D, D)."""
        return self._evaluate(JACOBIAN, x, u)

    def diagonal(self, x: ArrayLike, u: ArrayLike | None = None) -> Array:
        """The diagonal of the Jacobian, shape (..., D)."""
        return self._evaluate(DIAGONAL, x, u)

    def jvp(self, x: ArrayLike, u: ArrayLike | None, v: ArrayLike) -> Array:
        """The product J v, v (..., D), shape (..., D)."""
        return self._evaluate(JVP, x, u, v)

    def vjp(self, x: ArrayLike, u: ArrayLike | None, v: ArrayLike) -> Array:
        """The product J'v, v (..., D), shape (..., D)."""
        return self._evaluate(VJP, x, u, v)

    def input_jacobian(self, x: ArrayLike, u: ArrayLike | None = None) -> Array:
        """The Jacobian with respect to the inputs, [..., i, k] = df_i/du_k, shape (..., D, M). It costs M `input_jvp`.

        Raises:
            TypeError: the cell is driven by words.
        """
        x = _array.take(type(self).__name__, "x", x)[..., None, :]
        if u is not None:
            u = take_inputs(self, type(self).__name__, "u", u)
            u = u[..., None] if self.words else u[..., None, :]
        along = np.eye(self.inputs, dtype=np.float32)  # which has no say in the dtype
        return np.moveaxis(self.input_jvp(x, u, along), -2, -1)

    def input_jvp(self, x: ArrayLike, u: ArrayLike | None, w: ArrayLike) -> Array:
        """The product df/du w, w (..., M), shape (..., D).

        Raises:
            TypeError: the cell is driven by words.
        """
        return self._evaluate(INPUT_JVP, x, u, w)

    def input_vjp(self, x: ArrayLike, u: ArrayLike | None, v: ArrayLike) -> Array:
        """The product (df/du)'v, v (..., D), shape (..., M).

        Raises:
            TypeError: the cell is driven by words.
        """
        return self._evaluate(INPUT_VJP, x, u, v)

    def param_jvp(self, x: ArrayLike, u: ArrayLike | None, tangents: Mapping[str, ArrayLike]) -> Array:
        """The change of f along a change of the parameters, shape (..., D).

        Args:
            x: (..., D), states.
            u: (..., M), inputs, or None.
            tangents: changes of parameters by their names, each of its parameter's shape. Those left out stay. Of
                precision matrices (K, D, D) the symmetric part counts.

        Raises:
            ValueError: no parameter has that name, or another shape; or f has no derivative, as Langevin's for a
                step_size of 0.
            TypeError: the cell is driven by words.
        """
        cell = type(self).__name__
        taken: dict[str, Any] = {name: _array.take(cell, name, value) for name, value in tangents.items()}
        lead, dtype, plain = self._states(x, u, dtypes=[value.dtype for value in taken.values()])
        given = {name: value if value.ndim else float(value) for name, value in taken.items()}
        params, count, _alive = _array.parameters(given, dtype)
        rows = math.prod(lead)
        out = np.empty((rows, self.dim), dtype)
        for x_, u_, out_ in _pieces(_PIECE // self.dim, plain["x"], plain.get("u"), out):
            _lib.call("pards_param_jvp", handle(self, dtype), x_, u_, params, count, out_)
        return out.reshape(*lead, self.dim)

    def param_vjp(self, x: ArrayLike, u: ArrayLike | None, v: ArrayLike) -> dict[str, Array]:
        """The gradient of v'f with respect to the parameters, summed over all leading axes.

        With v the adjoint of a trajectory it is the gradient of a loss: `v[t] = dloss/dx[t] + J[t+1]'v[t+1]`, which is
        `pards.lds.scan` backwards. Up to 128 steps are summed in the dtype of the computation, these sums in float64,
        in an order that depends on shapes alone. It costs about as much as two evaluations of the cell.

        Args:
            x: (..., D), states.
            u: (..., M), inputs, or None.
            v: (..., D), what f is weighted by.

        Returns:
            An array for each parameter that is an array or a number, of its name and shape, in the dtype of the
            computation. That of precision matrices (K, D, D) is symmetric: the gradient among symmetric matrices.

        Raises:
            ValueError: a shape is wrong, or f has no derivative, as Langevin's for a step_size of 0.
            TypeError: the cell is driven by words.

        Example:
            >>> import numpy as np, pards
            >>> cell = pards.cells.Linear(A=[[0.5]], B=[[2.0]])
            >>> cell.param_vjp(x=[[1.0], [3.0]], u=[[1.0], [1.0]], v=[[1.0], [1.0]])
            {'A': array([[4.]]), 'B': array([[2.]])}
        """
        _, dtype, plain = self._states(x, u, v)
        sums = {name: np.zeros(np.shape(value)) for name, value in self._continuous().items()}
        params, count, _alive = _array.parameters(sums, np.dtype(np.float64))
        piece = max(_LEAST, _PRODUCTS // max(1, sum(value.size for value in sums.values())))
        for x_, u_, v_ in _pieces(piece, plain["x"], plain.get("u"), plain["v"]):
            _lib.call("pards_param_vjp", handle(self, dtype), x_, u_, v_, params, count)
        return {name: value.astype(dtype) for name, value in sums.items()}

    def _continuous(self) -> dict[str, Any]:
        """The parameters that there are derivatives with respect to."""
        every = {name: vars(self)[name] for name, kind in self.fields.items() if kind not in STATIC}
        return {name: value for name, value in every.items() if value is not None}

    def _evaluate(self, kind: int, x: ArrayLike, u: ArrayLike | None, v: ArrayLike | None = None) -> Array:
        lead, dtype, plain = self._states(x, u, v, along=self.inputs if kind == INPUT_JVP else None)
        shape = {JACOBIAN: (self.dim, self.dim), INPUT_VJP: (self.inputs,)}.get(kind, (self.dim,))
        out = np.empty((math.prod(lead), *shape), dtype)
        for piece in _pieces(_PIECE // max(1, math.prod(shape)), plain["x"], plain.get("u"), plain.get("v"), out):
            _lib.call("pards_evaluate", handle(self, dtype), kind, *piece)
        return out.reshape(lead + shape)

    def _states(
        self,
        x: ArrayLike,
        u: ArrayLike | None,
        v: ArrayLike | None = None,
        dtypes: Sequence[np.dtype[Any]] = (),
        along: int | None = None,
    ) -> tuple[tuple[int, ...], np.dtype[Any], dict[str, Array]]:
        """The leading axes, the dtype, and the arrays given, broadcast to rows; along is v's last axis, else D."""
        cell = type(self).__name__
        given = {"x": _array.take(cell, "x", x)}
        if u is not None:
            u = take_inputs(self, cell, "u", u)
            given["u"] = u[..., None] if self.words else u
        elif self.inputs:
            raise ValueError(
                f"{cell}: u is None, want inputs of shape {'(...)' if self.words else f'(..., {self.inputs})'}"
            )
        if v is not None:
            given["v"] = _array.take(cell, "v", v)
        wanted = {"x": self.dim, "u": self.inputs, "v": self.dim if along is None else along}
        for name, array in given.items():  # here, since the library sees rows
            if array.shape[-1:] != (wanted[name],):
                raise ValueError(f"{cell}: {name} has shape {array.shape}, want (..., {wanted[name]})")
        try:
            lead = np.broadcast_shapes(*(array.shape[:-1] for array in given.values()))
        except ValueError:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
            raise ValueError(f"{cell}: the leading axes of {shapes} do not broadcast") from None
        floating = (array.dtype for name, array in given.items() if name != "u" or array.dtype.kind == "f")
        dtype = _array.promoted(*floating, *dtypes, self.dtype)
        rows = math.prod(lead)
        plain = {
            name: _array.plain(_array.spread(array, lead + array.shape[-1:]), dtype).reshape(rows, *array.shape[-1:])
            for name, array in given.items()
        }
        return lead, dtype, plain

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={_short(value)}' for name, value in self._shown().items())})"

    def _shown(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.fields}

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; make a new one to change {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_handles"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(state, _handles={})


@functools.lru_cache(256)
def sizes(
    cell: type[Cell], shapes: tuple[tuple[str, tuple[int, ...]], ...], static: tuple[tuple[str, Any], ...]
) -> tuple[int, int]:
    """D and M of a cell with parameters of these shapes, as the library sees it: it is what checks them."""
    blank: dict[str, Any] = dict.fromkeys(cell.fields) | dict(static)
    for name, shape in shapes:
        number = cell.fields[name] == "float"
        blank[name] = 1.0 if number and shape == () else np.zeros(shape, np.float32)
        if cell.words and shape:  # zeros are no permutation
            one = np.eye(shape[-1]) if len(shape) == 3 else np.arange(shape[-1])
            blank[name] = np.broadcast_to(one, shape) if shape[-2:] == one.shape or len(shape) == 2 else blank[name]
    made = object.__new__(cell)
    made._set(**blank)  # pyright: ignore[reportPrivateUsage]
    return made.dim, made.inputs


def no_class(f: Any) -> None:
    """Want a cell where a class of cells may be.

    Raises:
        TypeError: it is the class.
    """
    if isinstance(f, type) and issubclass(f, Cell):
        raise TypeError(f"solve: f is the class {f.__name__}, want a cell, made from its parameters: {f.__name__}(...)")


def _pieces(rows: int, *arrays: Array | None) -> Iterator[tuple[Any, ...]]:
    """Descriptions of so many rows of some arrays at a time; None stays None. There is one piece at least."""
    total = max(len(array) for array in arrays if array is not None)
    for first in range(0, max(total, 1), max(rows, 1)):
        yield tuple(None if array is None else _array.describe(array[first : first + max(rows, 1)]) for array in arrays)


def take_inputs(cell: Cell, function: str, name: str, inputs: ArrayLike) -> Array:
    """The inputs of a cell that a caller gave; words must be integers."""
    array = _array.take(function, name, inputs)
    return _array.take(function, name, array, _array.INTEGERS) if cell.words and array.size else array


def handle(cell: Cell, dtype: np.dtype[Any]) -> int:
    """The library's handle for a cell in a dtype, made when first asked for and released with the cell."""
    handles: dict[np.dtype[Any], int] = vars(cell)["_handles"]
    if dtype not in handles:
        _lib.get()  # a forked process learns here that it is one, before it waits for a lock that nobody gives back
        with _making:
            if dtype not in handles:
                handles[dtype] = _make(cell, dtype)
    return handles[dtype]


def _make(cell: Cell, dtype: np.dtype[Any]) -> int:
    given = {name: _on_host(type(cell).__name__, name, vars(cell)[name]) for name in cell.fields}
    params, count, _alive = _array.parameters(given, dtype)
    made = ctypes.c_int64()
    _lib.call("pards_cell", cell.name.encode(), _array.code(dtype), params, count, made)
    weakref.finalize(cell, _lib.release, made.value).atexit = False
    return made.value


def _on_host(cell: str, name: str, value: Any) -> Any:
    """A parameter for the library; as a pytree of JAX a cell may hold arrays of JAX's."""
    return _array.take(cell, name, value) if getattr(value, "ndim", 0) or _array.traced(value) else value


def _kept(cell: str, name: str, value: Any, kind: str) -> Any:
    """A parameter as a cell keeps it."""
    if kind in STATIC and _array.traced(value):
        raise TypeError(f"{cell}: {name} is traced by JAX, want a value that is known then: a static argument of jit")
    if kind == "bool":
        return _array.flag(cell, name, value)
    if kind == "int":
        return _array.whole(cell, name, value, -(1 << 62), "a whole number")
    if kind == "float" and not _array.traced(value):
        return _array.number(cell, name, value)
    if kind == "str" or value is None:
        return value
    return held(cell, name, value)


def held(function: str, name: str, value: ArrayLike) -> Any:
    """An array as a cell holds it: a read-only copy, or what JAX traces."""
    return value if _array.traced(value) else frozen(function, name, value)


def frozen(function: str, name: str, value: ArrayLike) -> Array:
    """A read-only copy of an array that a caller gave."""
    array = _array.take(function, name, value).copy()
    array.flags.writeable = False
    return array


def _short(value: Any) -> str:
    return f"<{value.dtype} {value.shape}>" if getattr(value, "shape", ()) else repr(value)
