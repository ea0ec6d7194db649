"""Linear dynamical systems x[t] = A[t] x[t-1] + b[t], evaluated by a scan, and the structures that A may have."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from . import _array, _lib
from ._array import Array

__all__ = [
    "BlockDiagonal",
    "Dense",
    "Diagonal",
    "Identity",
    "Permutation",
    "ScaledIdentity",
    "Structure",
    "Zero",
    "scan",
]


class Structure:
    """A form of the matrices A[t], and the array that holds them, if there is one."""

    name: ClassVar[str]
    axes: ClassVar[int] = 0  # of one A[t] in the array
    chars: ClassVar[str] = _array.FLOATS + _array.INTEGERS

    def __post_init__(self) -> None:
        for field in fields(self):  # pyright: ignore[reportArgumentType]
            array = _array.take(type(self).__name__, field.name, getattr(self, field.name), self.chars)
            object.__setattr__(self, field.name, array)

    @property
    def array(self) -> Array | None:
        """The array, None for a structure without numbers."""
        return next(iter(vars(self).values()), None)


@dataclass(frozen=True, eq=False)
class Dense(Structure):
    """Full matrices, A (..., T, D, D): D*D products a step."""

    name: ClassVar[str] = "dense"
    axes: ClassVar[int] = 2
    A: ArrayLike


@dataclass(frozen=True, eq=False)
class Diagonal(Structure):
    """Diagonal matrices, a (..., T, D) their diagonals: D products a step."""

    name: ClassVar[str] = "diagonal"
    axes: ClassVar[int] = 1
    a: ArrayLike


@dataclass(frozen=True, eq=False)
class BlockDiagonal(Structure):
    """Square blocks along the diagonal, blocks (..., T, n, d, d) with D = n d: D*d products a step."""

    name: ClassVar[str] = "block_diagonal"
    axes: ClassVar[int] = 3
    blocks: ArrayLike


@dataclass(frozen=True, eq=False)
class ScaledIdentity(Structure):
    """Multiples of the identity, a (..., T) the factors."""

    name: ClassVar[str] = "scaled_identity"
    a: ArrayLike


@dataclass(frozen=True)
class Identity(Structure):
    """A[t] = I: a cumulative sum."""

    name: ClassVar[str] = "identity"


@dataclass(frozen=True)
class Zero(Structure):
    """A[t] = 0: a copy of b."""

    name: ClassVar[str] = "zero"


@dataclass(frozen=True, eq=False)
class Permutation(Structure):
    """Permutations y[i] = x[index[i]], index (..., T, D) integers, which have no say in the dtype of the result."""

    name: ClassVar[str] = "permutation"
    axes: ClassVar[int] = 1
    chars: ClassVar[str] = _array.INTEGERS
    index: ArrayLike


def scan(
    A: ArrayLike | Structure,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    reverse: bool = False,
    device: str = "auto",
    out: Array | None = None,
) -> Array:
    """Evaluate x[t] = A[t] x[t-1] + b[t], t = 1..T, or backwards x[t] = A[t] x[t+1] + b[t].

    Leading axes of A, b and x0 are a batch, and broadcast. The result has the dtype that NumPy promotes the arguments
    to, float64 where those are integers.

    Args:
        A: (..., T, D, D), or a structure: `Dense(A)`, `Diagonal(a)`, `ScaledIdentity(a)`, `Identity()`, `Zero()`,
            `Permutation(index)`, `BlockDiagonal(blocks)`.
        b: (..., T, D).
        x0: (..., D), the state before the first step, or after the last one if reverse is set. Without it the step
            next to it is b alone, and its A is not read.
        reverse: go from the last step to the first; nothing is transposed.
        device: "auto" or "cpu".
        out: (..., T, D), a writeable array of the dtype of the result.

    Returns:
        x, (..., T, D); out if that was given.

    Raises:
        ValueError: a shape or a value is wrong.
        TypeError: a dtype is neither float32, float64 nor integers, or out has another dtype than the result.
        RuntimeError: the device is not there.

    Example:
        >>> import numpy as np, pards
        >>> pards.lds.scan(pards.lds.ScaledIdentity([0.5, 0.5, 0.5]), np.ones((3, 1)))[:, 0]
        array([1.  , 1.5 , 1.75])
    """
    structure = A if isinstance(A, Structure) else Dense(A)
    arrays = {"A": structure.array, "b": _array.take("scan", "b", b), "x0": None}
    if x0 is not None:
        arrays["x0"] = _array.take("scan", "x0", x0)
    axes = {"A": structure.axes + 1, "b": 2, "x0": 1}
    given = {name: array for name, array in arrays.items() if array is not None}
    words = structure.chars == _array.INTEGERS
    dtype = _array.promoted(*(array.dtype for name, array in given.items() if name != "A" or not words))
    leads = {array.shape[: -axes[name]] for name, array in given.items()}
    try:
        lead = np.broadcast_shapes(*leads) if len(leads) > 1 else leads.pop()
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        raise ValueError(f"scan: the batch axes of {shapes} do not broadcast") from None
    size = math.prod(lead)
    flat: dict[str, Array] = {}
    for name, array in given.items():
        own = array.shape[-axes[name] :]
        flat[name] = _array.plain(_array.spread(array, lead + own), dtype).reshape(size, *own)
    shape = lead + given["b"].shape[-2:]
    states = np.empty(shape, dtype) if out is None else _array.target("scan", out, shape, dtype, given.values())
    library = _lib.get()
    args = library.pards_scan_args(
        size=ctypes.sizeof(library.pards_scan_args),
        structure=structure.name.encode(),
        a=_array.describe(flat.get("A")),
        b=_array.describe(flat["b"]),
        x0=_array.describe(flat.get("x0")),
        out=_array.describe(states.reshape(size, *shape[len(lead) :])),
        reverse=bool(reverse),
        device=device.encode(),
    )
    _lib.call("pards_python_scan", library.interpreter, args)
    if out is None or out is states:
        return states
    out[...] = states
    return out
