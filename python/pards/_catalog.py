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
class ELK(Method):
    """Newton in a trust region (ELK, Gonzalez et al. 2024): the update dx minimises |J dx + r|^2 + |dx|^2 / trust, r
    the residual and J the Jacobian of all of it, which is the mean of a Kalman smoother.

    Converges on models whose Newton updates overflow. Adaptive, it lowers the merit with every update it keeps, and
    becomes Newton near the solution; fixed, it approaches the trajectory linearly, by 1 / (1 + trust) an update or
    slower. Two evaluations an update (one where it is fixed), some 6 D*D*D products a step, and 3 D*D + D numbers a
    step kept. damping= with newton is the paper's scale-, clip=True with quasi_newton its clip- variant.

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


@dataclass(frozen=True)
class QuasiELK(Method):
    """Quasi-Newton in a trust region (quasi-ELK, Gonzalez et al. 2024): ELK with the diagonal of J[t] in place of it.

    Some 20 products and 3 D + D numbers a step. The update need not lower the merit, so it is measured against the
    largest of the last five, and after eight that were not kept the next one is. Suits unstable models that are
    nearly diagonal, and large D.

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
