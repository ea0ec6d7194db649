"""Methods and statuses, written by capi/catalog from the core's registries; not to be edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from numpy.typing import ArrayLike

from ._method import Method, Status

__all__ = [
    "ELK",
    "BlockNewton",
    "Chord",
    "Jacobi",
    "Newton",
    "Picard",
    "QuasiELK",
    "QuasiNewton",
    "RotatedQuasiNewton",
    "ScaledIdentity",
    "Sequential",
]


@dataclass(frozen=True)
class BlockNewton(Method):
    """Newton on blocks: A[t] = the block diagonal of J[t].

    Between quasi-Newton (blocks of 1) and Newton (one block); suits models whose components couple in groups. An
    update takes one evaluation of f and J, and a scan of B*T*D*block products, block times as many where time is cut
    into parts. A is D*block numbers a step; a function's J takes B*T*D*D beside.

    Reference: Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical
    Systems" (2025), whose Table 1 has the ends, J and its diagonal; in their common form x' = f + A (x' - x) any A
    will do, and blocks are pards' choice of it.

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

    Converges linearly in between; suits Jacobians that cost more than the scan. An update takes one evaluation of f,
    every period-th one of J too, and the scan of Newton's method; B*T*D*D numbers are kept, or those of a window.

    Reference: Kelley, "Iterative Methods for Linear and Nonlinear Equations" (1995), sections 5.4.1 (the chord
    method, a period that never ends) and 5.4.3 (Shamanskii's method, one of some updates).

    Args:
        period: how many updates a Jacobian serves.
    """

    name: ClassVar[str] = "chord"
    structure: ClassVar[str] = "dense"
    derivative: ClassVar[str] = "held"

    period: int = 4


@dataclass(frozen=True)
class ELK(Method):
    """Newton in a trust region (ELK, Gonzalez et al. 2024): the update dx minimises |J dx + r|^2 + |dx|^2 / trust, r
    the residual and J the Jacobian of all of it, which is the mean of a Kalman smoother with A[t] = J[t].

    Converges on models whose Newton updates overflow. Adaptive, it lowers the merit with every update it keeps, and
    becomes Newton near the solution; fixed, it approaches the trajectory linearly, by 1 / (1 + trust) an update or
    slower. It is not exact after T updates, as others are, and by default may take 1000 however short the window. An
    update takes one evaluation of f and J, two where it adapts and the cell is native, and two scans with
    covariances: some 6 B*T*D*D*D products, about four times as many where time is cut into chunks. It keeps 3
    B*T*D*D numbers of a window. On the CPU alone. damping= with newton is the paper's scale-, clip=True with
    quasi_newton its clip- variant.

    Reference: Gonzalez et al., "Towards Scalable and Stable Parallelization of Nonlinear RNNs" (2024), section 4;
    the composition of chunks, Särkkä and García-Fernández, "Temporal Parallelization of Bayesian Smoothers"
    (2021).

    Args:
        trust: size of the trust region, above 0: the variance that an update is allowed a step and component,
            lambda = 1 / trust; the first one where it adapts.
        adaptive: go back on an update that raises the merit, with half the trust; three times the trust after
            two in a row that lower it.
        smoother: minimise over all steps; else each step knows of those before it only, a Kalman filter, as the
            paper's code has it.
    """

    name: ClassVar[str] = "elk"
    structure: ClassVar[str] = "kalman"
    derivative: ClassVar[str] = "full"

    trust: float = 100.0
    adaptive: bool = True
    smoother: bool = True


@dataclass(frozen=True)
class Jacobi(Method):
    """Jacobi iteration (Song et al. 2021): A[t] = 0, no scan at all.

    Needs no derivative; suits strongly contracting models, which forget their past in few steps: it takes as many
    updates. An update takes one evaluation of f, and no memory but the iterates.

    Reference: Song et al., "Accelerating feedforward computation via parallel nonlinear equation solving" (2021).
    """

    name: ClassVar[str] = "jacobi"
    structure: ClassVar[str] = "zero"
    derivative: ClassVar[str] = "none"


@dataclass(frozen=True)
class Newton(Method):
    """Newton's method (DEER, Lim et al. 2024): A[t] = J[t].

    Quadratic convergence; one update is exact where the model is affine in x. The choice for small D. An update
    takes one evaluation of f and J, which for a function without jac= are D + 1 of f, and a dense scan:
    B*T*D*D products run through in time, D times as many where time is cut into parts. Native cells keep J of a
    block of steps only; a function's J takes B*T*D*D numbers, or those of a window.

    Reference: Lim et al., "Parallelizing non-linear sequential models over the sequence length" (2024).
    """

    name: ClassVar[str] = "newton"
    structure: ClassVar[str] = "dense"
    derivative: ClassVar[str] = "full"


@dataclass(frozen=True)
class Picard(Method):
    """Picard iteration (Shih et al. 2023): A[t] = I, a cumulative sum.

    Needs no derivative; suits models close to the identity, such as small steps of an SDE. An update takes one
    evaluation of f and B*T*D sums, and no memory but the iterates. With J - I of size s it takes some s*T updates
    and a few: windows of 1 / s steps suit it.

    Reference: Shih et al., "Parallel sampling of diffusion models" (2023).
    """

    name: ClassVar[str] = "picard"
    structure: ClassVar[str] = "identity"
    derivative: ClassVar[str] = "none"


@dataclass(frozen=True)
class QuasiELK(Method):
    """Quasi-Newton in a trust region (quasi-ELK, Gonzalez et al. 2024): ELK with the diagonal of J[t] in place of it.

    The update need not lower the merit, so it is measured against the largest of the last five, and after eight that
    were not kept the next one is. Suits unstable models that are nearly diagonal, and large D. Evaluations are those
    of quasi_newton, twice of f where it adapts and the cell is native; some 20 B*T*D products an update; it keeps 4
    B*T*D numbers of a window, 6 where it adapts. On the CPU alone.

    Reference: Gonzalez et al., "Towards Scalable and Stable Parallelization of Nonlinear RNNs" (2024), section 4.

    Args:
        trust: size of the trust region, above 0: the variance that an update is allowed a step and component,
            lambda = 1 / trust; the first one where it adapts.
        adaptive: go back on an update that raises the merit, with half the trust; three times the trust after
            two in a row that lower it.
        smoother: minimise over all steps; else each step knows of those before it only, a Kalman filter, as the
            paper's code has it.
    """

    name: ClassVar[str] = "quasi_elk"
    structure: ClassVar[str] = "kalman_diagonal"
    derivative: ClassVar[str] = "diagonal"

    trust: float = 100.0
    adaptive: bool = True
    smoother: bool = True


@dataclass(frozen=True, eq=False)
class QuasiNewton(Method):
    """Quasi-Newton (Gonzalez et al. 2024): A[t] = diag J[t], exact or estimated by random probes.

    Linear convergence, fast where J is nearly diagonal; the choice for large D. An update takes one evaluation of f
    and of the diagonal, for a function without diag= D + 1 of f, and a diagonal scan: B*T*D products, up to three
    times as many where time is cut into parts. A is D numbers a step, kept for a block of steps of a native cell,
    and for the window of a function. The Hutchinson estimate is the mean over the probes of z * (J z), z of +-1: it
    needs products J v only, one evaluation of f each for a function.

    Reference: Gonzalez et al., "Towards scalable and stable parallelization of nonlinear RNNs" (2024).

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

    Suits gradient dynamics whose Jacobians share their eigenvectors, such as Langevin chains within one well, where
    it converges like Newton. Chains or iterates that cross wells want several bases: windows (window="auto") have
    each its own, and refresh="pieces" has one for each stretch of max(256, 4*D) steps. An update takes one
    evaluation of f and of diag(Q'JQ), which costs D*D products a step for most native cells, D*D*D else, and a
    diagonal scan with 2*B*T*D*D products to turn the coordinates; where it finds a basis anew, one evaluation of J
    and some D*D*D products for the eigenvectors. A is D numbers a step and a basis D*D a sequence, or a piece; a
    function's J takes B*T*D*D, or those of a window.

    Reference: the common form of Gonzalez et al. (2025), with A diagonal in a basis as pards chooses it.

    Args:
        basis: (D, D), an orthogonal matrix Q, its columns the basis, kept throughout.
        refresh: when the basis is found anew: in every iteration, one for the window or one for each of its
            pieces (for functions of JAX and on a GPU one for the window), from the guess of each window, when an
            update is not much smaller than the one before, over windows too, or from the first guess alone.
    """

    name: ClassVar[str] = "rotated_quasi_newton"
    structure: ClassVar[str] = "diagonal"
    derivative: ClassVar[str] = "rotated_diagonal"
    arrays: ClassVar[tuple[str, ...]] = ("basis",)

    basis: ArrayLike | None = None
    refresh: Literal["iteration", "pieces", "window", "contraction", "never"] = "iteration"


@dataclass(frozen=True)
class ScaledIdentity(Method):
    """A[t] = (tr J[t] / D) I.

    As cheap to scan as Picard, B*T*D products an update and B*T numbers of A, and follows a contraction that all
    components share. An update takes one evaluation of f and of the diagonal of J, for a function without diag= D +
    1 of f.

    Reference: Gonzalez et al., "A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical
    Systems" (2025).
    """

    name: ClassVar[str] = "scaled_identity"
    structure: ClassVar[str] = "scaled_identity"
    derivative: ClassVar[str] = "mean_diagonal"


@dataclass(frozen=True)
class Sequential(Method):
    """The plain loop over time: exact by definition, and what every other method is measured against.

    T evaluations of f one after another, each over the batch, and no memory but the states. On few cores it is hard
    to beat by a native cell; a function pays a call of Python a step.

    Reference: the recursion x[t] = f(x[t-1], u[t]) itself, of which Gonzalez et al., "A Unifying Framework for
    Parallelizing Sequential Models with Linear Dynamical Systems" (2025), make a system of equations for all x[t].
    """

    name: ClassVar[str] = "sequential"
    structure: ClassVar[str] = "none"
    derivative: ClassVar[str] = "none"


METHODS: Mapping[str, type[Method]] = {
    "block_newton": BlockNewton,
    "chord": Chord,
    "elk": ELK,
    "jacobi": Jacobi,
    "newton": Newton,
    "picard": Picard,
    "quasi_elk": QuasiELK,
    "quasi_newton": QuasiNewton,
    "rotated_quasi_newton": RotatedQuasiNewton,
    "scaled_identity": ScaledIdentity,
    "sequential": Sequential,
}
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
        {
            "newton": "not converged within the cap: raise max_iterations, solve in windows (window=...), or use "
            "sequential",
        },
    ),
    Status(
        "nonfinite",
        False,
        "an update overflowed: solve in windows (window=...), restrain A (clip=True, damping=0.5), start from a "
        'better guess, go on with nonfinite="continue", or use sequential',
        {
            "sequential": "f itself is not finite at that step, though the state before it is, and no method gets "
            "past it; look at f, x0 and the inputs",
        },
    ),
    Status(
        "interrupted",
        False,
        "the solve was interrupted; the states are not the trajectory",
    ),
)
