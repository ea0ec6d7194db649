"""Matrices of every structure, drawn: for tests of scans."""

import numpy as np

from pards import lds
from pards._catalog_structures import STRUCTURES

NAMES = list(STRUCTURES)


def draw(rng, name, lead, T, D):
    """A of norm at most 1, for a batch with some leading axes, and written in full."""
    shape, eye = (*lead, T), np.eye(D)
    full = np.zeros((*shape, D, D))
    if name == "dense":
        full = rng.uniform(-1, 1, full.shape) / D
        return lds.Dense(full), full
    if name == "diagonal":
        a = rng.uniform(-1, 1, (*shape, D))
        return lds.Diagonal(a), a[..., None] * eye
    if name == "scaled_identity":
        a = rng.uniform(-1, 1, shape)
        return lds.ScaledIdentity(a), a[..., None, None] * eye
    if name == "permutation":
        index = rng.permuted(np.broadcast_to(np.arange(D), (*shape, D)), axis=-1)
        return lds.Permutation(index), eye[index]
    if name == "block_diagonal":
        size = max(k for k in (1, 2, 3) if D % k == 0)
        blocks = rng.uniform(-1, 1, (*shape, D // size, size, size)) / size
        for i in range(D // size):
            full[..., size * i : size * (i + 1), size * i : size * (i + 1)] = blocks[..., i, :, :]
        return lds.BlockDiagonal(blocks), full
    return {"identity": (lds.Identity(), full + eye), "zero": (lds.Zero(), full)}[name]


def cast(A, dtype):
    return A if A.array is None or A.whole else type(A)(A.array.astype(dtype))
