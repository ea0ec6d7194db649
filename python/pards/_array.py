"""NumPy arrays on their way to the library: what is taken, which dtype is computed in, how they are described in C."""

from __future__ import annotations

import ctypes
import functools
import operator
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _lib

Array = NDArray[Any]
FLOATS, INTEGERS = "fd", "?bBhHiIlLqQ"  # characters of the dtypes that are taken
_CODES = {"f": 1, "d": 2, "l": 3, "i": 5}  # enum pards_dtype; "l" is int64
WHOLE = "il"  # of the integers that the library takes as they are
_TEXT = 4
_TRUTHS = (bool, np.bool_)
_FLOAT64 = np.dtype(np.float64)


def take(function: str, name: str, value: ArrayLike, chars: str = FLOATS + INTEGERS) -> Array:
    """The array that a caller gave, as NumPy takes it; chars are those of the dtypes allowed.

    Raises:
        ValueError: for a ragged list.
        TypeError: for another dtype, what JAX traces, or what masks some of its numbers.
    """
    array = value if type(value) is np.ndarray else _converted(function, name, value)
    if array.dtype.char not in chars:
        wanted = "integers" if chars == INTEGERS else "float32, float64 or integers"
        raise TypeError(f"{function}: {name} has dtype {array.dtype}, want {wanted}")
    return array


def _converted(function: str, name: str, value: ArrayLike) -> Array:
    """The array that NumPy makes of what is none."""
    if traced(value):
        raise TypeError(
            f"{function}: {name} is traced by JAX, want an array of numbers; pards.jax has what JAX can trace"
        )
    if masks(value):
        raise TypeError(
            f"{function}: {name} masks some of its numbers, want an array without a mask: {name}.filled(...)"
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{function}: {name} is not an array: {error}") from None


def masks(value: Any) -> bool:
    """Whether it is an array that hides some of its numbers, which would be used like the others."""
    return type(value) is not np.ndarray and isinstance(value, np.ndarray) and bool(np.ma.is_masked(value))


def traced(value: Any) -> bool:
    """Whether it stands for an array in a program that JAX traces, and has no numbers yet."""
    return of_jax(value, "core", "Tracer")


def of_jax(value: Any, *path: str) -> bool:
    """Whether a value is of a class of JAX, which is not imported for that.

    A folder called jax has none, nor has JAX while it is being imported.
    """
    found: Any = functools.reduce(lambda at, name: getattr(at, name, None), path, sys.modules.get("jax"))
    return found is not None and isinstance(value, found)


def forced(function: str, dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype that a caller forces."""
    try:
        chosen = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"{function}: dtype is {dtype!r}, want float32 or float64; {error}") from None
    if chosen.char not in FLOATS:
        raise TypeError(f"{function}: dtype is {chosen}, want float32 or float64")
    return chosen.newbyteorder("=")


@functools.lru_cache(256)
def promoted(*dtypes: np.dtype[Any] | None) -> np.dtype[Any]:
    """The dtype to compute in: what NumPy promotes the given ones to, float64 where those are all integers."""
    given = [dtype for dtype in dtypes if dtype is not None]
    dtype = np.result_type(*given) if given else _FLOAT64
    return dtype if dtype.char in FLOATS else _FLOAT64


def code(dtype: np.dtype[Any]) -> int:
    """The dtype's number in enum pards_dtype."""
    return _CODES[dtype.char]


def number(function: str, name: str, value: Any) -> float:
    """A number that a caller gave."""
    array = take(function, name, value)
    if array.ndim:
        raise TypeError(f"{function}: {name} has shape {array.shape}, want one number")
    if array.dtype.char == "?":
        raise TypeError(f"{function}: {name} is {value!r}, want a number")
    return float(array)


def default_rtol(dtype: Any) -> float:
    """The rtol of a solve in a dtype that was given none."""
    return 1e-4 if dtype == np.float32 else 1e-8


def flag(function: str, name: str, value: Any) -> bool:
    """A truth value that a caller gave: True, False, or NumPy's, also from a file of np.savez, where it is an array; a
    text such as "no" would count as True."""
    if isinstance(value, _TRUTHS) or (isinstance(value, np.ndarray) and value.dtype == np.bool_ and not value.ndim):
        return bool(value)
    raise TypeError(f"{function}: {name} is {value!r}, want True or False")


def text(function: str, name: str, value: Any) -> bytes:
    """A text that a caller gave, as the library takes it."""
    if not isinstance(value, str):
        raise TypeError(f"{function}: {name} is {value!r}, want a text")
    return value.encode()


def whole(function: str, name: str, value: Any, least: int, want: str) -> int:
    """A whole number that a caller gave, from least up to what the library can hold."""
    try:
        number = operator.index(value)
        if isinstance(value, bool):
            raise TypeError
    except TypeError:
        raise TypeError(f"{function}: {name} is {value!r}, want {want}") from None
    if not least <= number < 1 << 62:
        raise ValueError(f"{function}: {name} is {number}, want {want}, and less than 2**62")
    return number


def plain(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in a dtype, C-contiguous and aligned; itself if it is that already."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    array = np.asarray(array, dtype, order="C")
    return array if array.flags.aligned else array.copy()


def spread(array: Array, shape: tuple[int, ...]) -> Array:
    """The array broadcast to a shape; np.broadcast_to takes 5 us even where there is nothing to do."""
    return array if array.shape == shape else np.broadcast_to(array, shape)


def target(
    function: str, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], others: Iterable[Array | None]
) -> Array:
    """The array for the library to write to: out itself, or one to copy from if out is not plain or shares memory.

    Raises:
        TypeError, ValueError: out is not a writeable array of the shape and the dtype of the result.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{function}: out is of type {type(out).__name__}, want a NumPy array")
    if out.dtype != dtype:
        raise TypeError(f"{function}: out has dtype {out.dtype}, want {dtype}, in which is computed")
    if out.shape != shape:
        raise ValueError(f"{function}: out has shape {out.shape}, want {shape}")
    if not out.flags.writeable:
        raise ValueError(f"{function}: out is read-only, want an array to write to")
    shares = any(other is not None and np.may_share_memory(out, other) for other in others)
    return out if out.flags.c_contiguous and out.flags.aligned and not shares else np.empty(shape, dtype)


def describe(array: Any) -> Any:
    """A pointer to the pards_array of a plain array, good for as long as that lives; None for None."""
    if array is None:
        return None
    if not isinstance(array, np.ndarray):
        return array.describe()  # of an array on a GPU
    described = _lib.get().pards_array(array.ctypes.data, _CODES[array.dtype.char], 0, array.ndim, shaped(array.shape))
    return ctypes.pointer(described)


@functools.lru_cache(256)
def shaped(shape: tuple[int, ...]) -> Any:
    """A shape in C, which nobody writes to."""
    return (ctypes.c_int64 * len(shape))(*shape)


def parameters(values: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[Any, int, list[Any]]:
    """An array of pards_param, its length, and what must stay alive while it is used.

    Arrays are cast to a dtype, numbers and flags travel as float64 of 0 dimensions, texts as bytes; None is left out.
    """
    if not values:
        return None, 0, []
    library = _lib.get()
    given = {name: value for name, value in values.items() if value is not None}
    params, kept = (library.pards_param * len(given))(), list[Any]()
    for param, (name, value) in zip(params, given.items(), strict=True):
        if isinstance(value, str):
            data = np.frombuffer(value.encode(), np.uint8)
            described = library.pards_array(data.ctypes.data, _TEXT, 0, 1, shaped(data.shape))
        else:
            data = plain(value, dtype) if isinstance(value, np.ndarray) else np.array(value, np.float64)
            described = describe(data).contents
        param.name, param.value = name.encode(), described
        kept += [data, described]
    return params, len(given), kept
