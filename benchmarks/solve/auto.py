"""What method="auto" takes, its time beside the best fixed choice and the plain loop: the paper's problems, Lorenz 96, an unstable linear
model, an LSTM, a stiff double well, and functions written in NumPy, T = 10 to 1e6. Default tolerances, float64; each flavour in turns.

A chaotic model is compared over its first steps alone: no two methods agree further. The fixed choices are the loop and the iterations
that suit the model, these in windows that adapt. One that takes longer than the loop of a function, and ten seconds, is given up: it is not
the best, and missing from the rows."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

AGREE = 300  # steps over which a chaotic model's trajectories are compared


class Model(NamedTuple):
    f: Any
    x0: Any
    u: Any  # of one sequence or a batch; None: autonomous
    length: int
    fixed: tuple[str, ...]
    chaotic: bool = False


def drawn(p: Any, *fixed: str) -> Model:
    return Model(p.cell, p.x0, p.inputs, p.inputs.shape[-1 if p.inputs.ndim < 3 else -2], fixed)


def noise(T: int, D: int, batch: int = 1) -> Any:
    return np.random.default_rng(T).standard_normal((batch, T, D))


def lorenz(T: int) -> Model:
    return Model(pards.cells.Lorenz96(8), np.sin(np.arange(8.0)), None, T, ("newton",), True)


def unstable(T: int) -> Model:
    cell = pards.cells.Linear(np.diag(np.exp([1 / T, -0.1, 3 / T])), np.eye(3))
    return Model(cell, np.ones(3), noise(T, 3), T, ("newton",))


def lstm(T: int) -> Model:
    r = np.random.default_rng(0)
    shapes = (32, 4), (32, 8), (32,)
    cell = pards.cells.LSTM(*(r.uniform(-1, 1, shape) / 8**0.5 for shape in shapes))
    return Model(cell, np.zeros(16), noise(T, 4), T, ("newton", "quasi_newton"))


def well(T: int) -> Model:
    potential = pards.cells.GaussianMixture(np.array([[-1.0], [1.0]]), np.full((2, 1, 1), 8.0), np.zeros(2))
    return Model(pards.cells.Langevin(potential, 0.05), np.zeros(1), noise(T, 1), T, ("newton", "quasi_newton"))


def function_gru(D: int, batch: int) -> Callable[[int], Model]:
    cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype=np.float64)
    W_ih, W_hh, b, b_n = cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n

    def f(x: Any, u: Any) -> Any:
        i_r, i_z, i_n = np.split(u @ W_ih.T + b, 3, -1)
        h_r, h_z, h_n = np.split(x @ W_hh.T, 3, -1)
        r, z = 1 / (1 + np.exp(-(i_r + h_r))), 1 / (1 + np.exp(-(i_z + h_z)))
        n = np.tanh(i_n + r * (h_n + b_n))
        return n + z * (x - n)

    return lambda T: Model(f, np.zeros(D), noise(T, D, batch), T, ("newton", "quasi_newton"))


def function_rates(D: int) -> Callable[[int], Model]:
    W = np.random.default_rng(0).standard_normal((D, D)) * 0.8 / D**0.5
    return lambda T: Model(
        lambda x, u: 0.9 * x + 0.1 * np.tanh(x @ W.T + u), np.zeros(D), noise(T, D), T, ("newton", "quasi_newton")
    )


def function_sde(T: int) -> Model:
    return Model(lambda x, u: x - 1e-4 * (x**3 - x) + 0.0141 * u, np.zeros(4), noise(T, 4), T, ("newton", "picard"))


def function_lorenz(T: int) -> Model:
    def slope(x: Any) -> Any:
        return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + 8

    def f(x: Any, u: Any) -> Any:
        h = 0.01
        k1 = slope(x)
        k2 = slope(x + h / 2 * k1)
        k3 = slope(x + h / 2 * k2)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x + h * k3))

    return Model(f, np.sin(np.arange(8.0)), None, T, ("newton",), True)


MODELS: dict[str, Callable[[int], Model]] = {
    "S5": lambda T: drawn(pards.problems.s5_word(T, 1, 0, dtype=np.float64), "newton"),
    "GRU, D = 8": lambda T: drawn(pards.problems.gru(T, 8, 1, dtype=np.float64), "newton", "quasi_newton"),
    "Langevin, D = 32": lambda T: drawn(pards.problems.langevin(T, 32, dtype=np.float64), "rotated_quasi_newton"),
    "scalar, a = 0.9": lambda T: drawn(pards.problems.scalar_lds(T, dtype=np.float64), "newton", "jacobi"),
    "unstable linear": unstable,
    "LSTM, D = 16": lstm,
    "stiff double well": well,
    "Lorenz 96, D = 8": lorenz,
    "function: GRU, D = 4": function_gru(4, 1),
    "function: GRU, D = 8, batch 16": function_gru(8, 16),
    "function: rates, D = 4": function_rates(4),
    "function: SDE, D = 4": function_sde,
    "function: Lorenz 96, D = 8": function_lorenz,
}
LENGTHS = (10, 100, 1000, 10_000, 100_000, 1_000_000)
PATIENCE = 10.0  # seconds


class Ending:
    """A function of a model that gives up at a time, which each call of solve sets."""

    def __init__(self, f: Callable[[Any, Any], Any]) -> None:
        self.f, self.end, self.loop = f, math.inf, 0.0

    def __call__(self, x: Any, u: Any) -> Any:
        if time.perf_counter() > self.end:
            raise TimeoutError(f"longer than {max(self.loop, PATIENCE):.0f} s, of which the loop took {self.loop:.0f}")
        return self.f(x, u)

    @contextmanager
    def timing(self, method: str) -> Iterator[None]:
        """Gives up an iteration that takes longer than the loop did; the first call is one of the loop."""
        start = time.perf_counter()
        self.end = math.inf if method in ("auto", "sequential") else start + max(self.loop, PATIENCE)
        yield
        if method == "sequential":
            self.loop = time.perf_counter() - start


def solving(m: Model, method: str, device: str) -> Callable[[], Any]:
    options = {} if method in ("auto", "sequential") else {"window": "auto"}
    if m.u is None:
        options["length"] = m.length

    def solve() -> Any:
        with m.f.timing(method) if isinstance(m.f, Ending) else nullcontext():
            return pards.solve(m.f, m.x0, m.u, method=method, device=device, raise_on_failure=False, **options)

    return solve


def told(sol: Any) -> _harness.Row:
    if not np.all(sol.success):
        return _harness.outcome(sol)
    return _harness.outcome(sol) | {"method": sol.method, "reason": sol.reason}


def cases(settings: _harness.Settings) -> Iterator[_harness.Case]:
    for name, make in MODELS.items():
        for T in (10, 200) if settings.quick else LENGTHS:
            m = make(T)
            if name.startswith("function"):
                m = m._replace(f=Ending(m.f))

            def result(sol: Any, m: Model = m) -> Any:
                return sol.states[..., : AGREE if m.chaotic else None, :]

            yield _harness.Case(
                name=f"auto {name}",
                axes={"T": T},
                inputs=[()],
                flavours={
                    f"pards {method}": _harness.by(solving(m, method, settings.device), result=result, about=told)
                    for method in ("sequential", "auto", *m.fixed)
                },
                tolerance=1e-6,  # rtol is 1e-8, summed over windows
            )


if __name__ == "__main__":
    _harness.main(cases)
