# %% [markdown]
# # Sampling in JAX, parallel over time
#
# A Langevin chain draws from a density by a hundred thousand small steps, each from where the one before came to. Your
# log density is a JAX function; `pards.jax.solve` finds the whole chain at once, for the same noise the very one that
# `jax.lax.scan` walks.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import pards.jax

D, T, STEP = 4, 100_000, 0.01

# %% [markdown]
# The density is that of a Bayesian logistic regression: a prior on four weights, and two hundred answers.

# %%
keys = jax.random.split(jax.random.key(0), 4)
truth = jnp.array([1.5, -1.0, 0.5, 0.0])
X = jax.random.normal(keys[0], (200, D)) @ jnp.array([[1, 0.8, 0, 0], [0, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
answer = jax.random.bernoulli(keys[1], jax.nn.sigmoid(X @ truth)).astype(jnp.float32)


def log_density(w):
    logits = X @ w
    return jnp.sum(answer * logits - jnp.logaddexp(0.0, logits)) - w @ w / 2


def step(w, noise):
    return w + STEP * jax.grad(log_density)(w) + jnp.sqrt(2 * STEP) * noise


noise = jax.random.normal(keys[2], (T, D))
start = jnp.zeros(D)

# %% [markdown]
# The Jacobian of a step, the identity less a symmetric matrix, is the same all along but for a little: in its
# eigenvectors the chain is nearly diagonal. That is what `rotated_quasi_newton` makes use of. Windows keep the guess
# near, and the memory small.


# %%
@jax.jit
def by_pards(noise):
    return pards.jax.solve(step, start, noise, method="rotated_quasi_newton", window=2000, rtol=1e-5)


@jax.jit
def by_scan(noise):
    return jax.lax.scan(lambda w, noise: (step(w, noise),) * 2, start, noise)[1]


sol, chain = by_pards(noise), by_scan(noise)
apart = float(jnp.abs(sol.states - chain).max())
windows = T // 2000
print(f"solved: {bool(sol.success)}, with {int(sol.iterations) / windows:.1f} updates a window of 2000 steps")
print(f"states are at most {apart:.1e} apart, of sizes up to {float(jnp.abs(chain).max()):.1f}")
assert sol.success
assert apart < 1e-3

# %% [markdown]
# Samples are samples: the same means and deviations, near the weights that made the answers as far as two hundred of
# them tell.

# %%
for name, states in (("pards", sol.states), ("lax.scan", chain)):
    kept = np.asarray(states[1000:])  # the way from the start is left out
    print(f"{name:9}", *(f"{m:+.3f} ± {s:.3f}" for m, s in zip(kept.mean(0), kept.std(0), strict=True)), sep="  ")

_, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
axes[0].plot(np.asarray(sol.states[:3000]), linewidth=0.6)
axes[0].set(xlabel="step", ylabel="weights", title="the way in")
axes[1].hist2d(*np.asarray(sol.states[1000:, :2]).T, bins=60, cmap="Blues")
axes[1].plot(*truth[:2], "x", color="#D55E00")
_ = axes[1].set(xlabel="first weight", ylabel="second weight", title="samples")

# %% [markdown]
# How many updates the other methods need, a window at a time, for the first ten thousand steps:

# %%
for method in ("newton", "rotated_quasi_newton", "quasi_newton", "picard", "jacobi"):
    found = pards.jax.solve(step, start, noise[:10_000], method=method, window=1000, max_iterations=200)
    told = f"{int(found.iterations) / 10:.1f} updates a window" if found.success else "not within 200 updates"
    print(f"{method:21} {told}")
