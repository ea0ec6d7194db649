"""The golden data of tests/data (its README describes them), as pards sees them: cell, start, inputs, guess and methods of one file."""

from pathlib import Path

import numpy as np
import spec

import pards

DATA = Path(__file__).parent / "data"
NAMES = sorted(p.stem for p in DATA.glob("*.npz"))
PRECISIONS = {"f32": np.float32, "f64": np.float64}
METHODS = ("newton", "quasi", "hutch", "picard", "jacobi")
TOL = 5e-4

# Counts that depend on rounding (data/README.md): (file, method) -> by how much, and why.
ROUNDING = {
    ("s5_T1000_s0", "hutch"): (8, "iterates outgrow float32 first"),
    ("s5_T200_s0", "hutch"): (8, "iterates outgrow float32 first"),
    ("s5_T1000_s0", "picard"): (8, "iterates outgrow float64 first"),
    ("s5_T200_s0", "picard"): (8, "iterates outgrow float32 first"),
    ("gru_D2_T1000_s0", "newton"): (1, "a merit within 2 % of tol"),
    ("langevin_D4_T500_s0", "quasi"): (1, "a merit within 2 % of tol"),
    ("twowell_D2_T500_s0", "picard"): (1, "a merit within 2 % of tol"),
    ("twowell_D2_T500_s0", "jacobi"): (1, "passes tol slowly"),
    ("gru_D2_T1000_s0", "picard"): (1, "diverges first"),
    ("gru_D4_T1000_s0", "picard"): (1, "diverges first"),
    ("gru_D8_T1000_s0", "picard"): (1, "diverges first"),
}


class Case:
    """One file in one precision."""

    def __init__(self, name: str, dtype: type) -> None:
        self.data = g = dict(np.load(DATA / f"{name}.npz"))
        self.model, self.dtype = str(g["model"]), dtype

        def cast(*names):
            return [g[n].astype(dtype) for n in names]

        self.x0, self.guess = cast("x0", "guess")
        self.inputs = g["u"] if self.model == "s5" else g["u"].astype(dtype)
        self.T, self.B = int(g["T"]), len(g["u"])
        if self.model == "s5":
            self.cell = pards.cells.GroupWord(g["perm_mats"])
        elif self.model == "gru":
            self.cell = pards.cells.GRU(*cast("weight_ih", "weight_hh", "bias", "bias_n"), exchanged=True)
        else:
            mixture = pards.cells.GaussianMixture(*(v.astype(dtype) for v in self._mixture(g)))
            self.cell = pards.cells.Langevin(mixture, float(g["epsilon"]))

    def _mixture(self, g):
        if self.model == "kwells":
            return g["mus"], 2.0 * g["precs"], np.log(g["ps"] / g["ps"].sum())
        p = np.log([g["p1"], 1 - g["p1"]])
        means = np.stack([g["mu1"], g["mu2"]])
        if self.model == "langevin":
            return means, 2.0 * np.stack([g["prec1"], g["prec2"]]), p
        diag = np.stack([g["diag1"], g["diag2"]]).astype(float)
        return means, 1 / diag, p - 0.5 * np.log(diag).sum(1)

    def method(self, name: str):
        """The method of a golden column; row t of the signs belongs to A[t], row 0 is not used."""
        if name == "hutch":
            signs = np.concatenate([np.ones((1, int(self.data["D"]))), self.data["hutch_z"]])[None]
            return pards.QuasiNewton(diagonal="hutchinson", signs=signs)
        return "quasi_newton" if name == "quasi" else name

    @staticmethod
    def nonfinite(name: str) -> str:
        """The reference's Picard resets NaN to the guess; its other methods go on."""
        return "reset" if name == "picard" else "continue"

    def solve(self, method, **options):
        return pards.solve(self.cell, self.x0, self.inputs, method=method, guess=self.guess, **options)


def true_error(states, reference, rtol: float) -> float:
    """Distance to the sequential trajectory in the measure of the stopping rule (tests/spec.py)."""
    return float(spec.size(states - reference, reference, spec.Stop(None, rtol, 1e-3 * rtol, 0)))
