"""Structures of A[t], written by capi/catalog from the core's registries; not to be edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from ._structure import Structure

__all__ = [
    "BlockDiagonal",
    "Dense",
    "Diagonal",
    "Identity",
    "Permutation",
    "ScaledIdentity",
    "Zero",
]


@dataclass(frozen=True, eq=False)
class BlockDiagonal(Structure):
    """Square blocks along the diagonal, blocks (..., T, n, d, d) with D = n d: D*d products a step."""

    name: ClassVar[str] = "block_diagonal"
    axes: ClassVar[int] = 3

    blocks: ArrayLike


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
class ScaledIdentity(Structure):
    """Multiples of the identity, a (..., T) the factors."""

    name: ClassVar[str] = "scaled_identity"
    axes: ClassVar[int] = 0

    a: ArrayLike


@dataclass(frozen=True, eq=False)
class Permutation(Structure):
    """Permutations y[i] = x[index[i]], index (..., T, D) integers, which have no say in the dtype of the result."""

    name: ClassVar[str] = "permutation"
    axes: ClassVar[int] = 1
    whole: ClassVar[bool] = True

    index: ArrayLike


@dataclass(frozen=True)
class Zero(Structure):
    """A[t] = 0: a copy of b."""

    name: ClassVar[str] = "zero"


@dataclass(frozen=True)
class Identity(Structure):
    """A[t] = I: a cumulative sum."""

    name: ClassVar[str] = "identity"


STRUCTURES: Mapping[str, type[Structure]] = {
    "block_diagonal": BlockDiagonal,
    "dense": Dense,
    "diagonal": Diagonal,
    "identity": Identity,
    "permutation": Permutation,
    "scaled_identity": ScaledIdentity,
    "zero": Zero,
}
