"""How many updates the theory expects and how many a solve takes: the paper's problems by every method without a setting, in float64 from
the paper's guess to its merit_tol, and the time of each beside the plain loop. The analysis is along the loop's trajectory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

MERIT = 5e-4
METHODS = ["newton", "quasi_newton", "hutchinson", "rotated_quasi_newton", "scaled_identity", "picard", "jacobi"]


def langevin(D: int, components: int, step: float) -> Callable[[int, int], Any]:
    return lambda T, seed: pards.problems.langevin(T, D, 1, components, step, seed, dtype=np.float64)


PROBLEMS: dict[str, Callable[[int, int], Any]] = {
    "S5": lambda T, seed: pards.problems.s5_word(T, 1, seed, dtype=np.float64),
    "scalar, a = 0.9": lambda T, seed: pards.problems.scalar_lds(T, 0.9, 1, seed, dtype=np.float64),
    "GRU, D = 2": lambda T, seed: pards.problems.gru(T, 2, 1, seed, True, dtype=np.float64),
    "GRU, D = 8": lambda T, seed: pards.problems.gru(T, 8, 1, seed, True, dtype=np.float64),
    "GRU, D = 32": lambda T, seed: pards.problems.gru(T, 32, 1, seed, dtype=np.float64),
    "Langevin, D = 4, step 1e-3": langevin(4, 2, 1e-3),
    "Langevin, D = 8, step 1e-4": langevin(8, 2, 1e-4),
    "Langevin, D = 32, step 1e-5": langevin(32, 2, 1e-5),
    "8 wells, D = 8, step 1e-4": langevin(8, 8, 1e-4),
    "2 wells, D = 2, step 1e-2": langevin(2, 2, 1e-2),
}


def method(name: str) -> Any:
    return pards.QuasiNewton(diagonal="hutchinson") if name == "hutchinson" else name


def solving(p: Any, name: str) -> Callable[[Any, Any], Any]:
    """A solve; iterates that overflow go on, as in the paper's code, and Picard's are set back to the guess."""

    def run(u: Any, guess: Any) -> Any:
        return pards.solve(
            p.cell, p.x0, u, guess=guess, method=method(name), merit_tol=MERIT, raise_on_failure=False,
            nonfinite="reset" if name == "picard" else "continue",
        )  # fmt: skip

    return run


def expected(p: Any, u: Any, name: str, states: Any) -> Callable[[Any], _harness.Row]:
    """What a row says of a solve: the count, and the theory's numbers."""

    def about(sol: Any) -> _harness.Row:
        found = pards.theory.analyse(p.cell, p.x0, u, states, method(name), guess=p.guess)
        # an |e| at which the merit is the tolerance, if errors of a step were its residuals
        return _harness.outcome(sol) | {
            "predicted": found.predicted_iterations(merit_tol=MERIT), "bound": found.bound_iterations((2 * MERIT) ** 0.5),
            "difference": found.difference, "inverse_norm": found.inverse_norm, "rate": found.rate, "radius": found.radius,
            "lipschitz": found.lipschitz, "lyapunov": found.lyapunov, "lyapunov_error": found.lyapunov_error,
        }  # fmt: skip

    return about


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for T in (60,) if settings.quick else (300, 1000):
        for name, draw in PROBLEMS.items():
            p = draw(T, 0)
            u = p.inputs[0]
            loop = pards.solve(p.cell, p.x0, u, method="sequential")
            flavours = {
                "pards sequential": _harness.by(
                    lambda u, _, p=p: pards.solve(p.cell, p.x0, u, method="sequential"), result=lambda _: 0.0
                )
            }
            flavours |= {  # those that do not converge have other results: what is compared is how long they take
                f"pards {m}": _harness.by(solving(p, m), result=lambda _: 0.0, about=expected(p, u, m, loop.states)) for m in METHODS
            }  # fmt: skip
            yield _harness.Case(
                name=f"predict {name}", axes={"T": T, "D": p.cell.dim}, inputs=[(u, p.guess)], flavours=flavours
            )


if __name__ == "__main__":
    _harness.main(cases)
