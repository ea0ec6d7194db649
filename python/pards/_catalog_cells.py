"""Cells, written by capi/catalog from the core's registries; not to be edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from numpy.typing import ArrayLike

from ._array import Array
from ._cell import Cell

__all__ = [
    "GRU",
    "LSTM",
    "Elman",
    "GroupWord",
    "Langevin",
    "Linear",
    "Lorenz96",
]


class Elman(Cell):
    """Elman network (Elman 1990): f = tanh(W_ih u + W_hh x + b).

    Args:
        weight_ih: (D, M), input weights.
        weight_hh: (D, D), state weights.
        bias: (D,), bias.
    """

    name: ClassVar[str] = "elman"
    fields: ClassVar[Mapping[str, str]] = {
        "weight_ih": "D M",
        "weight_hh": "D D",
        "bias": "D",
    }
    weight_ih: Array
    weight_hh: Array
    bias: Array

    def __init__(
        self,
        weight_ih: ArrayLike,
        weight_hh: ArrayLike,
        bias: ArrayLike,
    ) -> None:
        self._set(
            weight_ih=weight_ih,
            weight_hh=weight_hh,
            bias=bias,
        )


class GroupWord(Cell):
    """x[t] = P_w x[t-1] for an integer word w = u[t]: a product of permutations, the word problem of a group.

    Args:
        permutations: (G, D, D) or (G, D), G permutation matrices, or G rows of indices with y[i] = x[index[i]].
    """

    name: ClassVar[str] = "group_word"
    words: ClassVar[bool] = True
    fields: ClassVar[Mapping[str, str]] = {
        "permutations": "G D D|G D",
    }
    permutations: Array

    def __init__(
        self,
        permutations: ArrayLike,
    ) -> None:
        self._set(
            permutations=permutations,
        )


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014), gates in the order r, z, n:
    i = W_ih u + b, h = W_hh x, r = s(i_r + h_r), z = s(i_z + h_z), n = tanh(i_n + r (h_n + b_n)), f = n + z (x - n).

    Args:
        weight_ih: (3D, M), input weights.
        weight_hh: (3D, D), state weights.
        bias: (3D,), bias of the input products.
        bias_n: (D,), bias of the candidate's state product, inside the reset gate.
        exchanged: x and u swap roles in every place, as in the paper's public code (needs M = D).
    """

    name: ClassVar[str] = "gru"
    fields: ClassVar[Mapping[str, str]] = {
        "weight_ih": "3D M",
        "weight_hh": "3D D",
        "bias": "3D",
        "bias_n": "D",
        "exchanged": "bool",
    }
    weight_ih: Array
    weight_hh: Array
    bias: Array
    bias_n: Array
    exchanged: bool

    def __init__(
        self,
        weight_ih: ArrayLike,
        weight_hh: ArrayLike,
        bias: ArrayLike,
        bias_n: ArrayLike,
        exchanged: bool = False,
    ) -> None:
        self._set(
            weight_ih=weight_ih,
            weight_hh=weight_hh,
            bias=bias,
            bias_n=bias_n,
            exchanged=exchanged,
        )


class Langevin(Cell):
    """Unadjusted Langevin dynamics x[t] = x[t-1] + eps grad log p(x[t-1]) + sqrt(2 eps) u[t] on a mixture of Gaussians,
    log p = logsumexp_k(log_weights[k] - (x - m_k)' P_k (x - m_k) / 2).

    Args:
        means: (K, D), centres of the components.
        precisions: (K, D, D) or (K, D), symmetric precision matrices, or diagonals of them.
        log_weights: (K,), logarithms of the weights, up to a constant.
        step_size: eps, at least 0.
    """

    name: ClassVar[str] = "langevin"
    fields: ClassVar[Mapping[str, str]] = {
        "means": "K D",
        "precisions": "K D D|K D",
        "log_weights": "K",
        "step_size": "float",
    }
    means: Array
    precisions: Array
    log_weights: Array
    step_size: float

    def __init__(
        self,
        means: ArrayLike,
        precisions: ArrayLike,
        log_weights: ArrayLike,
        step_size: float,
    ) -> None:
        self._set(
            means=means,
            precisions=precisions,
            log_weights=log_weights,
            step_size=step_size,
        )


class Linear(Cell):
    """x[t] = A x[t-1] + B u[t] + bias, a linear dynamical system with constant matrices.

    Args:
        A: (D, D), transition matrix.
        B: (D, M), input matrix; None: the model takes no inputs.
        bias: (D,), constant added at every step.
    """

    name: ClassVar[str] = "linear"
    fields: ClassVar[Mapping[str, str]] = {
        "A": "D D",
        "B": "D M",
        "bias": "D",
    }
    A: Array
    B: Array | None
    bias: Array | None

    def __init__(
        self,
        A: ArrayLike,
        B: ArrayLike | None = None,
        bias: ArrayLike | None = None,
    ) -> None:
        self._set(
            A=A,
            B=B,
            bias=bias,
        )


class Lorenz96(Cell):
    """Lorenz 96 (Lorenz 1996), dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F on a ring, one Runge-Kutta step of
    fourth order; autonomous, and chaotic for F = 8 and dim of 4 or more.

    Args:
        dim: D, at least 4.
        forcing: F.
        step: length of a step in time.
    """

    name: ClassVar[str] = "lorenz96"
    fields: ClassVar[Mapping[str, str]] = {
        "dim": "int",
        "forcing": "float",
        "step": "float",
    }
    forcing: float
    step: float

    def __init__(
        self,
        dim: int,
        forcing: float = 8.0,
        step: float = 0.01,
    ) -> None:
        self._set(
            dim=dim,
            forcing=forcing,
            step=step,
        )


class LSTM(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order i, f, g, o; the state is (h, c)
    stacked, D = 2 H:
    a = W_ih u + W_hh h + b, c' = s(a_f) c + s(a_i) tanh(a_g), h' = s(a_o) tanh(c').

    Args:
        weight_ih: (4H, M), input weights.
        weight_hh: (4H, H), weights of h.
        bias: (4H,), bias.
    """

    name: ClassVar[str] = "lstm"
    fields: ClassVar[Mapping[str, str]] = {
        "weight_ih": "4H M",
        "weight_hh": "4H H",
        "bias": "4H",
    }
    weight_ih: Array
    weight_hh: Array
    bias: Array

    def __init__(
        self,
        weight_ih: ArrayLike,
        weight_hh: ArrayLike,
        bias: ArrayLike,
    ) -> None:
        self._set(
            weight_ih=weight_ih,
            weight_hh=weight_hh,
            bias=bias,
        )
