# %% [markdown]
# # Quickstart: a GRU solved four ways
#
# A recurrent network computes `x[t] = f(x[t-1], u[t])`, one step after the other. pards starts from a guess of the
# whole trajectory and improves all of it at once, a few times, until it is the one that the loop would give.
#
# This notebook takes a GRU, solves it by four methods, looks at how each of them converged, and asks why.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pards

T, D = 10_000, 8
cell = pards.cells.GRU.init(hidden=D, inputs=D, seed=0, dtype=np.float32)
u = np.random.default_rng(0).standard_normal((T, D)).astype(np.float32)  # (time, input)
x0 = np.zeros(D, np.float32)

# %% [markdown]
# The weights here are random. Yours come from arrays, `pards.cells.GRU(weight_ih, weight_hh, bias, bias_n)`, from a
# PyTorch module, `GRU.from_torch(m)`, or an equinox one, `GRU.from_equinox(m)`.
#
# The plain loop is a method too. It is what we compare with.

# %%
loop = pards.solve(cell, x0, u, method="sequential")
loop.states.shape, loop.states.dtype

# %% [markdown]
# ## One solve
#
# `trace=True` keeps how the iteration went. At the end of a cell, a solution shows itself as a table and a picture.

# %%
sol = pards.solve(cell, x0, u, method="newton", trace=True)
sol

# %% [markdown]
# `merit` is half the sum of squared residuals `x[t] - f(x[t-1], u[t])`: zero exactly where the trajectory obeys the
# model. `error` estimates the relative distance to the loop's trajectory. We have that trajectory, so let us check.

# %%
distance = np.abs(sol.states - loop.states).max()
print(f"{sol.iterations} updates instead of {T:,} steps, {distance:.1e} from the loop")
assert distance < 1e-5

# %% [markdown]
# ## Four ways
#
# Every update solves a *linear* recurrence around the current iterate `x`,
#
# `x'[t] = f(x[t-1], u[t]) + A[t] (x'[t-1] - x[t-1])`,
#
# by a parallel scan. The methods differ in how much of the Jacobian `J[t]` they keep in `A[t]`: `newton` all of it,
# `quasi_newton` its diagonal, `scaled_identity` one number, its mean diagonal, and `jacobi` nothing. Less makes the
# scan cheaper, and takes more updates.

# %%
kept = {
    "newton": lambda J: J,
    "quasi_newton": lambda J: J * np.eye(D),
    "scaled_identity": lambda J: np.trace(J, axis1=-2, axis2=-1)[:, None, None] / D * np.eye(D),
    "jacobi": lambda J: 0 * J,
}
sols = {method: pards.solve(cell, x0, u, method=method, trace=True) for method in kept}

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for sol in sols.values():
    sol.plot(ax)
ax.set_title(f"a GRU of size {D}, {T:,} steps, float32")
ax.legend()
plt.show()

# %% [markdown]
# The trace ends where the method was satisfied: the estimated distance to the loop fell below `rtol`, 1e-4 in float32
# unless you say otherwise. Newton's last point lies at the rounding of float32: more cannot be had.
#
# ## Why
#
# To first order, an update multiplies the error by what the method leaves out, `J[t] - A[t]`, and the scan spreads
# that over time (Proposition 3 of Gonzalez et al. 2025). So the mean size of what is left out, along the solution,
# should order the methods, and it does.

# %%
J = cell.jacobian(np.vstack([x0, loop.states[:-1]]), u)  # (T, D, D)
left_out = {method: np.linalg.norm(J - keep(J), 2, (1, 2)).mean() for method, keep in kept.items()}

print(f"{'method':16} {'mean |J - A|':>12} {'updates':>8} {'from the loop':>14}")
for method, sol in sols.items():
    away = np.abs(sol.states - loop.states).max()
    print(f"{method:16} {left_out[method]:12.2f} {sol.iterations:8} {away:14.1e}")

assert sols["newton"].residual < 4 * np.finfo(np.float32).eps  # at rounding
assert sorted(kept, key=left_out.get) == sorted(kept, key=lambda method: sols[method].iterations)

# %% [markdown]
# ## In words
#
# `explain` says which method ran, how it ended and what that means. Useful in a log, and when something went wrong.

# %%
print(sols["quasi_newton"].explain())

# %% [markdown]
# ## Many sequences
#
# A leading axis on `u`, `x0` or `guess` is a batch. Every sequence stops on its own, and the fields are arrays.

# %%
batch = np.random.default_rng(1).standard_normal((64, 1000, D)).astype(np.float32)
sol = pards.solve(cell, x0, batch, method="quasi_newton", trace=True)
sol

# %% [markdown]
# ## Which method should I take?
#
# Leave it out and pards chooses, and tells why:

# %%
print(pards.solve(cell, x0, u).explain())

# %% [markdown]
# That is honest advice: on a few CPU cores the compiled loop of a small native cell is hard to beat, and you may use
# pards for just that. (The README has measurements.) Iterations pay where a step is expensive to *start*, as with a
# NumPy function: see [your own model](your_own_model.ipynb). For sequences of ten million steps see [long
# sequences](long_sequences.ipynb).
