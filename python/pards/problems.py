"""The experiments of the paper, drawn by np.random.default_rng(seed) from its distributions.

Source: Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems"
    (2025).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import _array, _solve
from ._array import Array
from ._cell import Cell
from ._solution import Solution
from .cells import GRU, GaussianMixture, GroupWord, Langevin, Linear

__all__ = ["Problem", "gru", "langevin", "s5_word", "scalar_lds"]


@dataclass(frozen=True, eq=False)
class Problem:
    """A model with everything to solve it.

    Attributes:
        cell: the model.
        x0: (D,).
        inputs: (B, T, M), or (B, T) words.
        guess: (T, D), shared by the batch.
    """

    cell: Cell
    x0: Array
    inputs: Array
    guess: Array

    def solve(self, **options: Any) -> Solution:
        """`pards.solve` of this problem; options as there."""
        options.setdefault("guess", self.guess)
        return _solve.solve(self.cell, self.x0, self.inputs, **options)


def s5_word(T: int, batch: int = 1, seed: int = 0, *, dtype: DTypeLike = np.float32) -> Problem:
    """The word problem of the symmetric group S5: products of permutations of five things, uniform over all 120."""
    chosen, rng = _array.forced("s5_word", dtype), _rng("s5_word", seed)
    shape = _size("s5_word", "batch", batch), _size("s5_word", "T", T)
    permutations = np.array(list(itertools.permutations(range(5))), np.int8)
    words = rng.integers(len(permutations), size=shape, dtype=np.uint8)
    guess = rng.standard_normal((shape[1], 5)).astype(chosen)
    return Problem(GroupWord(permutations), np.arange(1, 6, dtype=chosen), words, guess)


def gru(
    T: int, D: int, batch: int = 1, seed: int = 0, exchanged: bool = False, *, dtype: DTypeLike = np.float32
) -> Problem:
    """A GRU of size D driven by noise, weights U(-1/sqrt D, 1/sqrt D); exchanged: as the paper's public code has it."""
    rng = _rng("gru", seed)
    cell = GRU.init(_size("gru", "D", D, 1), D, rng, dtype, exchanged)
    return _driven("gru", cell, T, batch, rng, dtype)


def langevin(
    T: int,
    D: int,
    batch: int = 1,
    components: int = 2,
    step_size: float = 1e-5,
    seed: int = 0,
    *,
    dtype: DTypeLike = np.float32,
) -> Problem:
    """Langevin dynamics on a mixture of equally weighted Gaussians.

    Precisions are 2 Z'Z with Z (D+1, D) standard normal. Two wells stand at 1 and at 0 in every component; of any
    other number, the centres are standard normal.
    """
    chosen, rng = _array.forced("langevin", dtype), _rng("langevin", seed)
    _size("langevin", "D", D, 1)
    components = _size("langevin", "components", components, 1)
    z = rng.standard_normal((components, D + 1, D))
    wells = np.array([[1.0], [0.0]]) * np.ones(D) if components == 2 else rng.standard_normal((components, D))
    mixture = wells, 2 * np.swapaxes(z, 1, 2) @ z, np.full(components, -np.log(components))
    cell = Langevin(GaussianMixture(*(part.astype(chosen) for part in mixture)), step_size)
    return _driven("langevin", cell, T, batch, rng, dtype)


def scalar_lds(T: int, a: float = 0.9, batch: int = 1, seed: int = 0, *, dtype: DTypeLike = np.float32) -> Problem:
    """x[t] = a x[t-1] + u[t], the smallest model there is: what a method does to an error is easily followed."""
    chosen = _array.forced("scalar_lds", dtype)
    cell = Linear(np.array([[_array.number("scalar_lds", "a", a)]], chosen), np.eye(1, dtype=chosen))
    return _driven("scalar_lds", cell, T, batch, _rng("scalar_lds", seed), dtype)


def _rng(function: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(_size(function, "seed", seed))


def _size(function: str, name: str, value: int, least: int = 0) -> int:
    return _array.whole(function, name, value, least, f"a whole number of at least {least}")


def _driven(function: str, cell: Cell, T: int, batch: int, rng: np.random.Generator, dtype: DTypeLike) -> Problem:
    """A cell at rest, driven by standard normal noise, with a standard normal guess."""
    chosen = _array.forced(function, dtype)
    steps = _size(function, "T", T)
    inputs = rng.standard_normal((_size(function, "batch", batch), steps, cell.inputs)).astype(chosen)
    return Problem(cell, np.zeros(cell.dim, chosen), inputs, rng.standard_normal((steps, cell.dim)).astype(chosen))
