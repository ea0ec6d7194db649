"""What a solve will need in memory, asked of the library before there is anything to solve."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import _array, _lib, _solve
from ._cell import Cell
from .cells import GRU, LSTM, Elman, GaussianMixture, GroupWord, Langevin, Linear, Lorenz96


@dataclass(frozen=True)
class Memory:
    """The bytes of a solve: of the caller's arrays, and of what the library allocates beside them at its peak."""

    method: str
    window: int  # 0: none
    arrays: dict[str, int]
    beside: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.arrays.values()) + self.beside


def _square(d: int, scale: float = 0.5) -> Any:
    return scale * np.eye(d, dtype=np.float32)


def _lstm(h: int) -> Cell:
    weight = np.zeros((4 * h, h), np.float32)
    return LSTM(weight, weight, np.zeros(4 * h, np.float32))


# What `pards info --problem` knows: cells of a dimension, whose numbers have no say in the memory; None: a function.
PROBLEMS: dict[str, Callable[[int], Cell] | None] = {
    "linear": lambda d: Linear(_square(d), _square(d)),
    "gru": lambda d: GRU.init(d, d),
    "lstm": lambda d: _lstm(max(d // 2, 1)),
    "elman": lambda d: Elman(_square(d), _square(d), np.zeros(d, np.float32)),
    "langevin": lambda d: Langevin(
        GaussianMixture(np.zeros((2, d), np.float32), np.stack([_square(d)] * 2), np.zeros(2, np.float32)), 1e-5
    ),
    "s5_word": lambda d: GroupWord(np.arange(d)[None]),
    "lorenz96": lambda d: Lorenz96(d),
    "callable": None,
}


_OWN = {"s5_word": 5}  # the dimension of a problem that has but one


def dimension(problem: str, given: int | None) -> int:
    """D of a problem: what was given, else its own, or 8.

    Raises:
        ValueError: it has another.
    """
    own = _OWN.get(problem)
    if own is not None and given not in (None, own):
        raise ValueError(f"info: dim is {given}, want {own}, which is the dimension of {problem}")
    return own or (8 if given is None else given)


def predict(
    problem: str,
    dim: int,
    length: int,
    batch: int = 1,
    method: str = "auto",
    window: int = 0,
    dtype: DTypeLike = np.float32,
    threads: int = 0,
) -> Memory:
    """Predict the memory of a solve on this machine's cores.

    Args:
        problem: a name of `PROBLEMS`.
        dim: D, the components of the state (h and c together, for an LSTM).
        length: T.
        batch: B.
        method: a name, as in `pards.solve`.
        window: steps; 0 for none, -1 for "auto".
        dtype: float32 or float64.
        threads: workers; 0 for as many as the process may use.

    Raises:
        ValueError: a name is unknown, or a number is out of range.
    """
    if problem not in PROBLEMS:
        raise ValueError(f"info: problem is {problem!r}, want one of {', '.join(PROBLEMS)}")
    for name, value, least in (("dim", dim, 1), ("length", length, 0), ("batch", batch, 0), ("threads", threads, 0)):
        if value < least:
            raise ValueError(f"info: {name} is {value}, want at least {least}")
    chosen, make = _array.forced("info", dtype), PROBLEMS[problem]
    library, need = _lib.get(), ctypes.c_double()
    cell = None if make is None else make(dim)
    args = library.pards_solve_args(
        size=ctypes.sizeof(library.pards_solve_args),
        method=method.encode(),
        batch=batch,
        length=length,
        rtol=math.nan,
        atol=math.nan,
        merit_tol=math.nan,
        max_iterations=-1,
        window=window,
        nonfinite=b"stop",
        num_threads=threads,
    )
    with _solve.handle_of(cell, dim, chosen) as args.cell:
        _lib.call("pards_memory", args, need)
    d, inputs = (dim, dim) if cell is None else (cell.dim, cell.inputs)
    numbers = {"states": batch * length * d, "inputs": batch * length * inputs, "x0": d}
    arrays = {name: count * chosen.itemsize for name, count in numbers.items()}
    return Memory(args.method_used.decode(), args.window_used, arrays, int(need.value))
