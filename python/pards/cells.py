"""Models that the library knows: their steps and derivatives run natively, over all workers.

Each is made from its parameters, can be called, and goes into `pards.solve`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import _array, _catalog_cells, _cell, _exchange
from ._array import Array
from ._catalog_cells import *  # noqa: F403 # pyright: ignore[reportAssignmentType] - one class each; three get more below
from ._cell import Cell as Cell

__all__ = ["Cell", "GaussianMixture"]
__all__ += _catalog_cells.__all__


class GRU(_catalog_cells.GRU):
    __doc__ = _catalog_cells.GRU.__doc__

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

    @classmethod
    def from_torch(cls, module: Any) -> GRU:
        """The same model as a `torch.nn.GRU` of one layer, or a `torch.nn.GRUCell`."""
        p = _exchange.torch_parameters("GRU.from_torch", module)
        size = len(p["weight_hh"]) // 3
        bias = p["bias_ih"].copy()
        # The gates' biases are one; the candidate's own is inside its gate.
        bias[: 2 * size] += p["bias_hh"][: 2 * size]
        return cls(p["weight_ih"], p["weight_hh"], bias, p["bias_hh"][2 * size :])

    def to_torch(self, module: Any) -> Any:
        """Write the parameters into a `torch.nn.GRU` of one layer or a `torch.nn.GRUCell`, and return it."""
        self._as_published("to_torch")
        inner = np.concatenate([np.zeros(2 * self.dim), self.bias_n])
        values = {"weight_ih": self.weight_ih, "weight_hh": self.weight_hh, "bias_ih": self.bias, "bias_hh": inner}
        return _exchange.into_torch("GRU.to_torch", module, values)

    @classmethod
    def from_equinox(cls, module: Any) -> GRU:
        """The same model as an `equinox.nn.GRUCell`."""
        names = ("weight_ih", "weight_hh", "bias", "bias_n")
        p = _exchange.equinox_parameters("GRU.from_equinox", module, names)
        return cls(p["weight_ih"], p["weight_hh"], p["bias"], p["bias_n"])

    def to_equinox(self, module: Any) -> Any:
        """A copy of an `equinox.nn.GRUCell` with these parameters."""
        self._as_published("to_equinox")
        values = {name: getattr(self, name) for name in ("weight_ih", "weight_hh", "bias", "bias_n")}
        return _exchange.into_equinox("GRU.to_equinox", module, values)

    def _as_published(self, what: str) -> None:
        if self.exchanged:
            raise ValueError(f"GRU.{what}: exchanged is True, want False; no other library has the roles exchanged")


class LSTM(_catalog_cells.LSTM):
    __doc__ = _catalog_cells.LSTM.__doc__

    @classmethod
    def from_torch(cls, module: Any) -> LSTM:
        """The same model as a `torch.nn.LSTM` of one layer, or a `torch.nn.LSTMCell`."""
        p = _exchange.torch_parameters("LSTM.from_torch", module)
        return cls(p["weight_ih"], p["weight_hh"], p["bias_ih"] + p["bias_hh"])

    def to_torch(self, module: Any) -> Any:
        """Write the parameters into a `torch.nn.LSTM` of one layer or a `torch.nn.LSTMCell`, and return it."""
        values = {"weight_ih": self.weight_ih, "weight_hh": self.weight_hh, "bias_ih": self.bias}
        return _exchange.into_torch("LSTM.to_torch", module, values | {"bias_hh": np.zeros_like(self.bias)})

    @classmethod
    def from_equinox(cls, module: Any) -> LSTM:
        """The same model as an `equinox.nn.LSTMCell`."""
        return cls(**_exchange.equinox_parameters("LSTM.from_equinox", module, ("weight_ih", "weight_hh", "bias")))

    def to_equinox(self, module: Any) -> Any:
        """A copy of an `equinox.nn.LSTMCell` with these parameters."""
        values = {name: getattr(self, name) for name in ("weight_ih", "weight_hh", "bias")}
        return _exchange.into_equinox("LSTM.to_equinox", module, values)


class GaussianMixture:
    """A mixture of Gaussians: log p = logsumexp_k(log_weights[k] - (x - m_k)' P_k (x - m_k) / 2).

    The density is not normalised unless log_weights holds the logarithms of the determinants.

    Args:
        means: (K, D), centres of the components.
        precisions: (K, D, D), symmetric precision matrices P_k, or (K, D), diagonals of them.
        log_weights: (K,), logarithms of the weights, up to a constant.
    """

    def __init__(self, means: ArrayLike, precisions: ArrayLike, log_weights: ArrayLike) -> None:
        self.means = _cell.held("GaussianMixture", "means", means)
        self.precisions = _cell.held("GaussianMixture", "precisions", precisions)
        self.log_weights = _cell.held("GaussianMixture", "log_weights", log_weights)
        self._check()

    def _check(self) -> None:
        """Its shapes, and its numbers where JAX does not trace them; the library checks the rest for Langevin."""
        shape = np.shape(self.means)
        if len(shape) != 2:
            raise ValueError(f"GaussianMixture: means has shape {shape}, want (K, D)")
        (K, D), by = shape, f"K and D are fixed by means with shape {shape}"
        if np.shape(self.precisions) not in ((K, D, D), (K, D)):
            raise ValueError(
                f"GaussianMixture: precisions has shape {np.shape(self.precisions)}, "
                f"want (K, D, D) = {(K, D, D)} or (K, D) = {(K, D)}; {by}"
            )
        if np.shape(self.log_weights) != (K,):
            raise ValueError(
                f"GaussianMixture: log_weights has shape {np.shape(self.log_weights)}, want (K,) = {(K,)}; {by}"
            )
        for name, value in vars(self).items():
            if not _array.traced(value) and not np.isfinite(value).all():
                at = tuple(np.argwhere(~np.isfinite(value))[0].tolist())
                raise ValueError(f"GaussianMixture: {name} holds {value[at]} at {at}, want finite numbers")

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
        shape = np.shape(self.means)
        if len(shape) == 2:
            return f"GaussianMixture(components={shape[0]}, dim={shape[1]})"
        return f"GaussianMixture({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Langevin(_catalog_cells.Langevin):
    """Unadjusted Langevin dynamics x[t] = x[t-1] + eps grad log p(x[t-1]) + sqrt(2 eps) u[t].

    Its Jacobian is I + eps H, H the Hessian of log p, which is symmetric.

    Args:
        potential: a `GaussianMixture`, whose log p it samples.
        step_size: eps, at least 0.
    """

    def __init__(self, potential: GaussianMixture, step_size: float) -> None:
        if not isinstance(potential, GaussianMixture):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"Langevin: potential is of type {type(potential).__name__}, want a pards.cells.GaussianMixture"
            )
        super().__init__(potential.means, potential.precisions, potential.log_weights, step_size)

    @property
    def potential(self) -> GaussianMixture:
        """The `GaussianMixture` of the parameters."""
        made = object.__new__(GaussianMixture)
        made.__dict__.update(means=self.means, precisions=self.precisions, log_weights=self.log_weights)
        return made

    def _shown(self) -> dict[str, Any]:
        return {"potential": self.potential, "step_size": self.step_size}
