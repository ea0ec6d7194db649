"""Models that the library knows: their steps and derivatives run natively, over all workers.

Each is made from its parameters, can be called, and goes into `pards.solve`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import _array, _catalog, _cell
from ._array import Array
from ._catalog import LSTM as LSTM
from ._catalog import Elman as Elman
from ._catalog import GroupWord as GroupWord
from ._catalog import Linear as Linear
from ._catalog import Lorenz96 as Lorenz96
from ._cell import Cell as Cell

__all__ = ["GRU", "LSTM", "Cell", "Elman", "GaussianMixture", "GroupWord", "Langevin", "Linear", "Lorenz96"]


class GRU(_catalog.GRU):
    __doc__ = _catalog.GRU.__doc__

    @classmethod
    def init(
        cls,
        hidden: int,
        inputs: int,
        seed: int | np.random.Generator = 0,
        dtype: DTypeLike = np.float64,
        exchanged: bool = False,
    ) -> GRU:
        """A GRU with weights and biases drawn from U(-1/sqrt D, 1/sqrt D).

        Args:
            hidden: D, the size of the state.
            inputs: M, the size of the input.
            seed: of np.random.default_rng, or a generator to draw from.
            dtype: of the parameters, float32 or float64.
            exchanged: see the class.
        """
        chosen, rng = _array.forced("GRU.init", dtype), np.random.default_rng(seed)
        hidden = _array.whole("GRU.init", "hidden", hidden, 1, "a whole number of at least 1")
        inputs = _array.whole("GRU.init", "inputs", inputs, 0, "a whole number of at least 0")
        shapes = (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,), (hidden,)
        bound = 1 / np.sqrt(hidden)
        return cls(*(rng.uniform(-bound, bound, shape).astype(chosen) for shape in shapes), exchanged=exchanged)


class GaussianMixture:
    """A mixture of Gaussians: log p = logsumexp_k(log_weights[k] - (x - m_k)' P_k (x - m_k) / 2).

    The density is not normalised unless log_weights holds the logarithms of the determinants.

    Args:
        means: (K, D), centres of the components.
        precisions: (K, D, D), symmetric precision matrices P_k, or (K, D), diagonals of them.
        log_weights: (K,), logarithms of the weights, up to a constant.
    """

    def __init__(self, means: ArrayLike, precisions: ArrayLike, log_weights: ArrayLike) -> None:
        self.means = _cell.frozen("GaussianMixture", "means", means)
        self.precisions = _cell.frozen("GaussianMixture", "precisions", precisions)
        self.log_weights = _cell.frozen("GaussianMixture", "log_weights", log_weights)

    def log_prob(self, x: ArrayLike) -> Array:
        """log p at x (..., D), shape (...)."""
        return np.logaddexp.reduce(self._parts(x)[0], -1)

    def grad(self, x: ArrayLike) -> Array:
        """The gradient of log p at x (..., D), shape (..., D)."""
        logs, gradients = self._parts(x)
        weights = np.exp(logs - np.logaddexp.reduce(logs, -1, keepdims=True))
        return (weights[..., None] * gradients).sum(-2)

    def _parts(self, x: ArrayLike) -> tuple[Array, Array]:
        """The weighted log density (..., K) and its gradient (..., K, D) of each component."""
        away = np.asarray(x)[..., None, :] - self.means
        product = "ki,...ki->...ki" if self.precisions.ndim == 2 else "kij,...kj->...ki"
        gradients = -np.einsum(product, self.precisions, away)
        return self.log_weights + (gradients * away).sum(-1) / 2, gradients

    def __repr__(self) -> str:
        components, dim = self.means.shape
        return f"GaussianMixture(components={components}, dim={dim})"


class Langevin(_catalog.Langevin):
    """Unadjusted Langevin dynamics x[t] = x[t-1] + eps grad log p(x[t-1]) + sqrt(2 eps) u[t].

    Its Jacobian is I + eps H, H the Hessian of log p, which is symmetric.

    Args:
        potential: a `GaussianMixture`, whose log p it samples.
        step_size: eps, at least 0.
    """

    potential: GaussianMixture

    def __init__(self, potential: GaussianMixture, step_size: float) -> None:
        if not isinstance(potential, GaussianMixture):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"Langevin: potential is of type {type(potential).__name__}, want a pards.cells.GaussianMixture"
            )
        self.__dict__["potential"] = potential
        super().__init__(potential.means, potential.precisions, potential.log_weights, step_size)

    def _shown(self) -> dict[str, Any]:
        return {"potential": self.potential, "step_size": self.step_size}
