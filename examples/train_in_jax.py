# %% [markdown]
# # Training in JAX, parallel over time
#
# A recurrent network is trained to tell whether a signal drifts up or down, the answer being asked for at the end only.
# Its states come once from `jax.lax.scan`, once from `pards.jax.solve`: the same loss, step by step. The second finds
# the whole trajectory by Newton's method, a parallel scan an update, and its gradient by one more scan.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import pards.jax

B, T, D = 16, 300, 8
keys = jax.random.split(jax.random.key(0), 4)
noise = jax.random.normal(keys[0], (B, T, 1))
u = noise + jnp.where(jnp.arange(B) % 2 == 0, 0.3, -0.3)[:, None, None]  # a drift up or down, hidden in noise
target = (jnp.arange(B) % 2 == 0).astype(jnp.float32)

# %% [markdown]
# The model is a function of one step, for one sequence.


# %%
def step(x, u, w):
    gate = jax.nn.sigmoid(w["gate"] @ jnp.concatenate([x, u]) + 2.0)
    return gate * x + (1 - gate) * jnp.tanh(w["state"] @ x + w["input"] @ u)


weights = {
    "gate": 0.1 * jax.random.normal(keys[1], (D, D + 1)),
    "state": 0.1 * jax.random.normal(keys[2], (D, D)),
    "input": jax.random.normal(keys[3], (D, 1)),
    "read": jnp.zeros(D),
}

# %% [markdown]
# Two ways to the last state.


# %%
def by_scan(u, w):
    return jax.lax.scan(lambda x, u: (step(x, u, w), None), jnp.zeros(D), u)[0]


def by_pards(u, w):
    return pards.jax.solve(step, jnp.zeros(D), u, w, rtol=1e-6).states[-1]


def loss(w, last):
    logits = jax.vmap(last, (0, None))(u, w) @ w["read"]
    return optax.sigmoid_binary_cross_entropy(logits, target).mean()


def train(last, w, steps=40):
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.005))

    @jax.jit
    def one(w, state):
        value, gradient = jax.value_and_grad(loss)(w, last)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(w, change), state, value

    state, losses = optimizer.init(w), []
    for _ in range(steps):
        w, state, value = one(w, state)
        losses.append(float(value))
    return w, losses


trained, parallel = train(by_pards, weights)
_, sequential = train(by_scan, weights)

# %% [markdown]
# The two curves are one. Rounding, and what the solve leaves undone at `rtol=1e-6`, is all there is between them.


# %%
def show(sequential, parallel):
    _, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    ax.plot(sequential, label="lax.scan", linewidth=5, alpha=0.4)
    ax.plot(parallel, label="pards.jax.solve", linewidth=1.5)
    ax.set(xlabel="training step", ylabel="loss")
    ax.legend()
    apart = max(abs(a - b) for a, b in zip(parallel, sequential, strict=True))
    print(f"at most {apart:.1e} apart, of losses from {parallel[0]:.2f} to {parallel[-1]:.2f}")
    assert apart < 1e-3


show(sequential, parallel)

# %% [markdown]
# How many updates does a solve take, and does that change as the network learns?

# %%
solve = jax.jit(jax.vmap(lambda u, w: pards.jax.solve(step, jnp.zeros(D), u, w), (0, None)))
for name, w in (("before", weights), ("after", trained)):
    sol = solve(u, w)
    least, most = int(sol.iterations.min()), int(sol.iterations.max())
    print(f"{name}: {least} to {most} updates, all solved: {bool(sol.success.all())}")
    assert sol.success.all()

# %% [markdown]
# ## A cell of the library
#
# A GRU need not be written anew. `pards.cells.GRU` is a pytree of its weights, so it is trained as it stands: the solve
# of a whole batch is one call of the library. Here is the same model once more for `lax.scan`.


# %%
def gru(x, u, cell):
    i_r, i_z, i_n = jnp.split(cell.weight_ih @ u + cell.bias, 3)
    h_r, h_z, h_n = jnp.split(cell.weight_hh @ x, 3)
    r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * (h_n + cell.bias_n))
    return n + z * (x - n)


def gru_by_scan(u, w):
    return jax.lax.scan(lambda x, u: (gru(x, u, w["cell"]), None), jnp.zeros(D), u)[0]


def gru_by_pards(u, w):
    return pards.jax.solve(w["cell"], jnp.zeros(D), u, rtol=1e-6).states[-1]


cell = pards.cells.GRU.init(hidden=D, inputs=1, seed=0, dtype=np.float32)
trained, parallel = train(gru_by_pards, {"cell": cell, "read": jnp.zeros(D)})
_, sequential = train(gru_by_scan, {"cell": cell, "read": jnp.zeros(D)})
show(sequential, parallel)

# %% [markdown]
# What was trained is a cell still, and goes where cells go.

# %%
pards.solve(trained["cell"], np.zeros(D, np.float32), np.asarray(u), method="newton")
