# %% [markdown]
# # Which method?
#
# All methods of pards are one iteration,
#
# `x'[t] = f(x[t-1], u[t]) + A[t] (x'[t-1] - x[t-1])`,
#
# a linear recurrence in `x'`, evaluated by a scan. They differ in what they take for `A[t]`. This is Table 1 of
# Gonzalez et al., *A Unifying Framework for Parallelizing Sequential Models with Linear Dynamical Systems* (2025), with
# `J[t]` the Jacobian of `f` at the iterate:
#
# | method | `A[t]` | scan, numbers a step | of the model it asks for |
# |---|---|---|---|
# | `newton` (DEER) | `J` | dense, `D²` | `J` |
# | `quasi_newton` (quasi-DEER) | `diag J` | diagonal, `D` | `diag J`, or products `J v` |
# | `picard` | `I` | a cumulative sum | nothing |
# | `jacobi` | `0` | none | nothing |
#
# The nearer `A` is to `J`, the fewer updates. The simpler it is, the less an update costs. This notebook shows how to
# tell *how many* updates a choice takes on *your* model, before running it and after.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pards
from pards._plot import style

METHODS = ["newton", "quasi_newton", "picard", "jacobi"]


def curve(ax, values, method, **options):
    look = style(method)
    options = {"label": method, "markersize": 4} | options
    ax.plot(values, color=look.color, marker=look.marker, linestyle=look.linestyle, **options)


# %% [markdown]
# ## Two models, two answers
#
# A GRU forgets: its Jacobians shrink what they are given, and their off-diagonal parts are small. A Langevin chain
# with a small step hardly moves: its Jacobians are close to the identity. Both from the paper, in double precision,
# from its guess of independent normal noise.

# %%
T = 1000
problems = {
    "GRU, D = 4": pards.problems.gru(T, 4, exchanged=True, dtype=np.float64),
    "Langevin, D = 4": pards.problems.langevin(T, 4, step_size=1e-3, dtype=np.float64),
}
solutions = {
    (name, method): p.solve(
        method=method, merit_tol=1e-20, trace=True, nonfinite="continue", max_iterations=60, raise_on_failure=False
    )
    for name, p in problems.items()
    for method in METHODS
}
fig, both = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, name in zip(both, problems, strict=True):
    for method in METHODS:
        merit = solutions[name, method].trace.merit[:, 0]
        curve(ax, np.where(np.isfinite(merit), merit, np.nan), method, markevery=3)
    ax.axhline(5e-4, color="0.6", linewidth=0.8)
    ax.set(title=name, yscale="log", ylim=(1e-20, 1e10), xlabel="update", xlim=(0, 40))
both[0].set_ylabel("merit ½ Σ r²")
_ = both[0].legend(loc="center right")
# %% [markdown]
# The grey line is the paper's tolerance. On the GRU everything but Picard is quick, and Jacobi, which asks nothing of
# the model, is among them. On the Langevin chain Picard works, and Jacobi fails: it carries information one step an
# update.
#
# ## Why: Proposition 3
#
# Let `e` be the error of an iterate over all steps, and write `Jt` for the block bidiagonal matrix with `I` on its
# diagonal and `-A[t]` below it. Then the error after an update is at most
#
# `|e'| <= |Jt⁻¹| ( max |J[t] - A[t]| |e| + ½ L |e|² )`,
#
# with spectral norms, and `L` the Lipschitz constant of `J`. Three numbers tell the story:
#
# - `difference`, how far `A` is from `J`, at the worst step;
# - `inverse_norm`, `|Jt⁻¹|`, how much the errors of single steps add up to along the chain;
# - their product, the `rate`. Below 1, a small error shrinks by it in *every* update.
#
# `pards.theory.analyse` computes them along a trajectory. `Jt⁻¹` times a vector is a scan, and so is its transpose,
# so the norm takes a few scans: nothing of size `T D` by `T D` is formed.

# %%
analyses = {
    (name, method): pards.theory.analyse(p.cell, p.x0, p.inputs[0], method=method, guess=p.guess)
    for name, p in problems.items()
    for method in METHODS
}
print(f"{'':18}{'method':14}{'difference':>12}{'|Jt^-1|':>10}{'rate':>10}{'radius':>10}")
for (name, method), a in analyses.items():
    print(f"{name:18}{method:14}{a.difference:12.3g}{a.inverse_norm:10.3g}{a.rate:10.3g}{a.radius:10.3g}")

# %% [markdown]
# Read the GRU's rows: Picard's `A = I` is far from `J` *and* adds up errors over all steps, since the identity forgets
# nothing. Jacobi is as far away, but with `A = 0` nothing adds up: `|Jt⁻¹| = 1`. In Langevin's rows the differences
# are small, and the sums long: there only Newton's rate is below 1, as it always is.
#
# `radius` is the largest `|e|` from which the bound still shrinks; it is for errors over all `T D` numbers, and small.
# A method may well converge from further away, and with a rate above 1: errors at the beginning of the chain vanish
# for good, and the rest follows.
#
# ## Counts
#
# So the bound is honest and cautious. For a count there is something sharper: follow the error of the guess itself,
# with `A` held as it is along the trajectory. That is `predicted_iterations`; here it is against what really happened.

# %%
predicted, actual, bound = {}, {}, {}
for (name, method), a in analyses.items():
    p = problems[name]
    sol = p.solve(method=method, merit_tol=5e-4, nonfinite="continue", raise_on_failure=False)
    key = name, method
    predicted[key], actual[key] = a.predicted_iterations(merit_tol=5e-4), int(sol.iterations[0])
    bound[key] = a.bound_iterations(0.03)
    print(f"{name:18}{method:14} predicted {predicted[key]:5}, took {actual[key]:5}")

near = [k for k in actual if actual[k] < T]
assert all(predicted[k] <= 2 * actual[k] + 1 and actual[k] <= 3 * predicted[k] for k in near)

fig, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
for name, method in actual:
    look = style(method)
    key = name, method
    filled = look.color if name.startswith("GRU") else "none"
    ax.plot(predicted[key], actual[key], look.marker, color=look.color, markerfacecolor=filled, markersize=8)
ax.plot([1, T], [1, T], color="0.7", linewidth=0.8, zorder=0)
for method in METHODS:
    ax.plot([], [], style(method).marker, color=style(method).color, label=method)
ax.plot([], [], "s", color="0.4", label="GRU")
ax.plot([], [], "s", color="0.4", markerfacecolor="none", label="Langevin")
ax.set(xscale="log", yscale="log", xlabel="predicted updates", ylabel="updates taken", aspect="equal")
_ = ax.legend(fontsize="small")
# %% [markdown]
# ## What decays, and what grows
#
# `inverse_norm` depends on whether the model forgets. The largest Lyapunov exponent says so in one number: how fast a
# small disturbance grows along the trajectory, a step. Below 0 the model forgets, and parallel iteration pays. Above
# 0 it is chaotic: after some `1 / exponent` steps no method can know more than the plain loop, and pards says so.

# %%
for name in problems:
    a = analyses[name, "newton"]
    print(f"{name:18} {a.lyapunov:10.3g} ± {a.lyapunov_error:.2g} a step")
storm = pards.cells.Lorenz96(8)
start = pards.solve(storm, np.arange(8.0), length=2000, method="sequential").states[-1]
a = pards.theory.analyse(storm, start, length=5000, method="newton", updates=8)
print(f"{'Lorenz96, D = 8':18} {a.lyapunov:10.3g} ± {a.lyapunov_error:.2g} a step")
assert a.expands
print()
print(pards.solve(storm, start, length=5000, method="newton", raise_on_failure=False).explain())

# %% [markdown]
# ## Where Newton itself fails
#
# Proposition 3 speaks of small errors. From far away another trap opens: a guess at which `J` is larger than along
# the trajectory. Start a chain on the ridge between two wells: there every `J` is 1.1, and their product over a
# thousand steps is 10⁴¹.

# %%
u = 0.3 * np.random.default_rng(0).standard_normal((1000, 2))


def f(x, u):
    return x + 0.1 * (x - x**3) + u


sol = pards.solve(f, np.zeros(2), u, method="newton", raise_on_failure=False)
print(sol.explain())

# %% [markdown]
# `elk` is Newton in a trust region: an update minimises `|Jt dx + r|² + |dx|² / trust`, which a Kalman smoother does,
# again by scans. Updates that make the merit worse are taken back, in a smaller region,
# and what is kept makes it larger. `quasi_elk` does so with the diagonal.

# %%
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for method in ("elk", "quasi_elk"):
    found = pards.solve(f, np.zeros(2), u, method=method, trace=True)
    assert found.success
    curve(ax, found.trace.merit, method, markevery=8)
failed = pards.solve(f, np.zeros(2), u, method="newton", trace=True, nonfinite="continue", raise_on_failure=False)
curve(ax, np.minimum(failed.trace.merit[:2], 1e30), "newton", label="newton, on its way to 10¹²²")
ax.set(yscale="log", ylim=(1e-24, 1e20), xlabel="update", ylabel="merit ½ Σ r²")
_ = ax.legend()
# %% [markdown]
# ## Let it be compared
#
# `compare` does all this on the first few hundred steps of a problem, times two updates of each method, and ranks
# them by the time it predicts. It is a prediction, not a promise.

# %% tags=["machine"]
p = pards.problems.gru(100_000, 4, exchanged=True)
pards.theory.compare(p.cell, p.x0, p.inputs, guess=p.guess, merit_tol=5e-4)

# %% [markdown]
# For a compiled cell on a few CPU cores the plain loop is usually first, as it is here; for a function in Python it
# pays for every step with a call, and is last:

# %% tags=["machine"]
drive = np.random.default_rng(0).standard_normal((20_000, 4))
pards.theory.compare(
    lambda x, u: np.tanh(0.5 * x + u), np.zeros(4), drive, methods=["newton", "quasi_newton", "jacobi", "sequential"]
)
