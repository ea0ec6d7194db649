"""Draws counts that the theory predicts against those that solves take, and Proposition 3's rate against them, from
benchmarks/results/theory-predicted.json.

usage: python benchmarks/predicted.py [OUT.svg]      by default benchmarks/results/theory-predicted.svg, which README shows
"""

from __future__ import annotations

import sys

import _harness
import matplotlib.pyplot as plt
import numpy as np
import tables

from pards._plot import style


def main(out: str) -> None:
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pards", "font.size": 9})
    rows = [row for row in _harness.read(tables.RESULTS / "theory-predicted.json") if "predicted" in row]
    fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
    for method in dict.fromkeys(row["flavour"].removeprefix("pards ") for row in rows):
        own = [row for row in rows if row["flavour"] == f"pards {method}"]
        look, took = style(method), np.array([row["iterations"] for row in own], float)
        spread = np.random.default_rng(len(method)).uniform(0.93, 1.07, (2, len(own)))  # many have the same counts
        for ax, name in zip(axes, ("predicted", "rate"), strict=True):
            x = np.array([max(row[name], 1e-3) for row in own], float)
            ax.plot(x * spread[0], took * spread[1], look.marker, color=look.color, label=method, alpha=0.7)
    ends = [0.8, max(row["axes"]["T"] for row in rows) * 1.3]
    axes[0].plot(ends, ends, color="0.7", linewidth=0.8, zorder=0)
    axes[1].axvline(1, color="0.7", linewidth=0.8, zorder=0)
    for ax, name in zip(axes, ("predicted updates", "rate of Proposition 3 (at least 0.001)"), strict=True):
        ax.set(xscale="log", yscale="log", xlabel=name)
    axes[0].set_ylabel("updates taken")
    axes[0].legend(fontsize="small")
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type")) if out.endswith(".svg") else None
    fig.savefig(out, dpi=120, metadata=nothing)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(tables.RESULTS / "theory-predicted.svg"))
