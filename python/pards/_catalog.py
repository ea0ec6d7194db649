"""Cells, methods, structures and statuses, written by capi/catalog from the core's registries; not to be edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from numpy.typing import ArrayLike

from ._array import Array
from ._cell import Cell
from ._method import Method, Status

# What the package shows as its own; cells.py shows the cells.
__all__ = [
    "BlockNewton",
    "Chord",
    "Jacobi",
    "Newton",
    "Picard",
    "QuasiNewton",
    "RotatedQuasiNewton",
    "ScaledIdentity",
    "Sequential",
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


@dataclass(frozen=True)
class BlockNewton(Method):
    """Newton on blocks: A[t] = the block diagonal of J[t].

    Between quasi-Newton (blocks of 1) and Newton (one block): D times block numbers and products a step; suits
    models whose components couple in groups.

    Args:
        block: size of the blocks, in the order of the components; the last one is smaller where it must be.
    """

    name: ClassVar[str] = "block_newton"
    structure: ClassVar[str] = "block_diagonal"
    derivative: ClassVar[str] = "block_diagonal"

    block: int


@dataclass(frozen=True)
class Chord(Method):
    """Newton with a held Jacobian: A[t] = J[t] of every period-th iterate.

    Converges linearly in between; saves Jacobians where they cost more than the scan, and keeps T*D*D numbers a
    window.

    Args:
        period: how many updates a Jacobian serves.
    """

    name: ClassVar[str] = "chord"
    structure: ClassVar[str] = "dense"
    derivative: ClassVar[str] = "held"

    period: int = 4


@dataclass(frozen=True)
class Jacobi(Method):
    """Jacobi iteration (Song et al. 2021): A[t] = 0, no scan at all.

    Needs no derivative; suits strongly contracting models, which forget their past in few steps.
    """

    name: ClassVar[str] = "jacobi"
    structure: ClassVar[str] = "zero"
    derivative: ClassVar[str] = "none"


@dataclass(frozen=True)
class Newton(Method):
    """Newton's method (DEER, Lim et al. 2024): A[t] = J[t].

    Quadratic convergence; D*D numbers and D*D products a step. The choice for small D and for models that are affine
    in x, where one update is exact.
    """

    name: ClassVar[str] = "newton"
    structure: ClassVar[str] = "dense"
    derivative: ClassVar[str] = "full"


@dataclass(frozen=True)
class Picard(Method):
    """Picard iteration (Shih et al. 2023): A[t] = I, a cumulative sum.

    Needs no derivative; suits models close to the identity, such as small steps of an SDE.
    """

    name: ClassVar[str] = "picard"
    structure: ClassVar[str] = "identity"
    derivative: ClassVar[str] = "none"


@dataclass(frozen=True, eq=False)
class QuasiNewton(Method):
    """Quasi-Newton (Gonzalez et al. 2024): A[t] = diag J[t], exact or estimated by random probes.

    D numbers and D products a step; linear convergence, fast where J is nearly diagonal. The Hutchinson estimate is
    the mean over the probes of z * (J z), z of +-1: it needs products J v only.

    Args:
        diagonal: how the diagonal is found.
        probes: Hutchinson: how many probes; with signs, their number.
        signs: (probes, T, D), Hutchinson: the signs, +-1, shared by the batch; row t belongs to A[t], row 0 is
            not used.
        fresh: Hutchinson: draw new signs in every iteration.
    """

    name: ClassVar[str] = "quasi_newton"
    structure: ClassVar[str] = "diagonal"
    derivative: ClassVar[str] = "diagonal"
    arrays: ClassVar[tuple[str, ...]] = ("signs",)

    diagonal: Literal["exact", "hutchinson"] = "exact"
    probes: int = 1
    signs: ArrayLike | None = None
    fresh: bool = False


@dataclass(frozen=True, eq=False)
class RotatedQuasiNewton(Method):
    """Quasi-Newton in rotated coordinates: A[t] = Q diag(Q'J[t]Q) Q', Q an orthogonal basis, by default the
    eigenvectors of the symmetrised mean Jacobian along the iterate.

    Scans D numbers a step; suits gradient dynamics whose Jacobians share their eigenvectors, such as Langevin chains
    within one well, where it converges like Newton. diag(Q'JQ) costs D*D products a step for most native cells,
    D*D*D else.

    Args:
        basis: (D, D), an orthogonal matrix Q, its columns the basis, kept throughout.
        refresh: when the basis is found anew: in every iteration, from the guess of each window, or from the
            first guess alone.
    """

    name: ClassVar[str] = "rotated_quasi_newton"
    structure: ClassVar[str] = "diagonal"
    derivative: ClassVar[str] = "rotated_diagonal"
    arrays: ClassVar[tuple[str, ...]] = ("basis",)

    basis: ArrayLike | None = None
    refresh: Literal["iteration", "window", "never"] = "iteration"


@dataclass(frozen=True)
class ScaledIdentity(Method):
    """A[t] = (tr J[t] / D) I.

    As cheap to scan as Picard, and follows a contraction that all components share.
    """

    name: ClassVar[str] = "scaled_identity"
    structure: ClassVar[str] = "scaled_identity"
    derivative: ClassVar[str] = "mean_diagonal"


@dataclass(frozen=True)
class Sequential(Method):
    """The plain loop over time: exact by definition, and what every other method is measured against."""

    name: ClassVar[str] = "sequential"
    structure: ClassVar[str] = "none"
    derivative: ClassVar[str] = "none"


METHODS: Mapping[str, type[Method]] = {
    "block_newton": BlockNewton,
    "chord": Chord,
    "jacobi": Jacobi,
    "newton": Newton,
    "picard": Picard,
    "quasi_newton": QuasiNewton,
    "rotated_quasi_newton": RotatedQuasiNewton,
    "scaled_identity": ScaledIdentity,
    "sequential": Sequential,
}
STRUCTURES = (
    "block_diagonal",
    "dense",
    "diagonal",
    "scaled_identity",
    "permutation",
    "zero",
    "identity",
)
# The index of a status is its number in the reports of the library.
STATUSES = (
    Status(
        "converged",
        True,
        "the stopping test was met",
    ),
    Status(
        "floor",
        True,
        "the iterates satisfy the model to rounding, and rounding keeps them from agreeing further; for a chaotic "
        "or expanding model no method can promise more",
    ),
    Status(
        "max_iterations",
        False,
        "not converged within the cap: raise max_iterations, solve in windows (window=...), or take a method that "
        "follows the Jacobian more closely (newton, rotated_quasi_newton), or sequential",
    ),
    Status(
        "nonfinite",
        False,
        "an update overflowed: solve in windows (window=...), restrain A (clip=True, damping=0.5), start from a "
        'better guess, go on with nonfinite="continue", or use sequential',
    ),
    Status(
        "interrupted",
        False,
        "the solve was interrupted; the states are not the trajectory",
    ),
)
