"""What each method does on Langevin chains that cross wells, where iterations of the whole length overflow: plain, clipped, with damping
and with windows that adapt. The sizes and guesses are those of a study of the rotated iteration: steps of 1e-4 to 1e-2, 2 and 8 wells,
D = 2 to 64, T = 10000, from N(0, 1) and from accumulated noise and drift. float32, merit_tol 5e-4, at most 100 updates, or a window.

A row says status, updates (of the whole length, the mean over the steps where there are windows), windows given up, and the largest
difference to the loop, which a merit of 5e-4 lets be large where a chain passes a ridge."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

SIZES = [(64, 2, 1e-4), (64, 2, 1e-3), (8, 2, 1e-3), (2, 2, 1e-2), (16, 8, 1e-3), (64, 8, 1e-4)]
HOW: dict[str, dict[str, Any]] = {
    "whole": {},
    "clip": {"clip": True},
    "damping": {"damping": "adaptive"},
    "windows": {"window": "auto"},
}


def guesses(p: Any) -> dict[str, Any]:
    """Noise, and accumulated noise and drift at x0."""
    at = np.broadcast_to(p.x0, p.inputs.shape)
    return {"noise": p.guess, "drift": (p.x0 + np.cumsum(p.cell(at, p.inputs) - at, -2)).astype(p.guess.dtype)}


def solving(p: Any, guess: Any, method: str, options: dict[str, Any]) -> Callable[[], Any]:
    limits = {} if method in ("auto", "sequential") else {"max_iterations": 100, "guess": guess, "merit_tol": 5e-4}
    return lambda: pards.solve(p.cell, p.x0, p.inputs, method=method, raise_on_failure=False, **limits, **options)


def told(loop: Any) -> Callable[[Any], _harness.Row]:
    """What a row says of a solve."""

    def about(sol: Any) -> _harness.Row:
        own, advances = np.atleast_2d(sol.window_iterations), sol.window_advances
        steps = np.full_like(own, sol.states.shape[-2]) if advances is None else np.atleast_2d(advances)
        updates = (own * steps).sum() / max(steps.sum(), 1)
        lost = 0 if advances is None else int(((steps == 0) & (own > 0)).sum())
        off = float(np.abs(np.nan_to_num(sol.states.astype(float) - loop, nan=np.inf)).max())
        return _harness.outcome(sol) | {"updates": float(updates), "given_up": lost, "off": min(off, 1e30)}

    return about


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    T = 300 if settings.quick else 10_000
    for D, wells, step in SIZES[2:5] if settings.quick else SIZES:
        p = pards.problems.langevin(T, D, 1, wells, step, seed=0)
        loop = p.solve(method="sequential").states
        for name, guess in guesses(p).items():
            flavours = {
                "pards sequential": solving(p, guess, "sequential", {}),
                "pards auto": solving(p, guess, "auto", {}),
            }
            for method in ["rotated_quasi_newton", "quasi_newton", *(["newton"] if D <= 16 else [])]:
                flavours |= {
                    f"pards {method}, {how}": solving(p, guess, method, options) for how, options in HOW.items()
                }
            yield _harness.Case(
                name=f"globalised Langevin, D = {D}, {wells} wells, step {step:g}, from {name}",
                axes={"B": 1, "T": T, "dtype": "float32"},
                inputs=[()],
                # what fails is part of the question, so results are not compared
                flavours={k: _harness.by(f, result=lambda _: 0.0, about=told(loop)) for k, f in flavours.items()},
            )


if __name__ == "__main__":
    _harness.main(cases)
