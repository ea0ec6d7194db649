# %% [markdown]
# # Long sequences
#
# Ten million steps are a quarter of an hour of a neuron at 0.1 ms, or a long chain. The trajectory may be larger than
# you want in memory, and so are the Jacobians along it. Two arguments of `solve` keep memory flat:
#
# - `window=W` solves W steps at a time, each window from the converged end of the last. What an iteration needs is
#   then as long as a window, not as the sequence.
# - `out=` takes the array to write the states to, and that may be a memory map: a file that looks like an array.
#
# The inputs may be a memory map as well. We measure what that does.

# %%
import os
import tempfile
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pards

T, W = 10_000_000, 100_000
folder = tempfile.TemporaryDirectory()
disk = Path(folder.name)

# %% [markdown]
# ## The model
#
# A firing-rate unit with adaptation: its drive `v` leaks, its rate is `1 / (1 + exp(-v))`, and a slow variable `a`
# follows the rate and pulls the drive down. Steps of 0.1 ms, time constants of 10 and 200 ms.

# %%
dt, tau_v, tau_a, pull = 0.1, 10.0, 200.0, 3.0  # ms, ms, ms, 1


def unit(x, u):
    v, a = x[..., 0], x[..., 1]
    rate = 1 / (1 + np.exp(-v))
    return np.stack([v + dt / tau_v * (u[..., 0] - v - pull * a), a + dt / tau_a * (rate - a)], -1)


def unit_jac(x, u):
    rate = 1 / (1 + np.exp(-x[..., 0]))
    J = np.empty((*x.shape, 2), x.dtype)
    J[..., 0, 0], J[..., 0, 1] = 1 - dt / tau_v, -dt / tau_v * pull
    J[..., 1, 0], J[..., 1, 1] = dt / tau_a * rate * (1 - rate), 1 - dt / tau_a
    return J


# %% [markdown]
# The inputs, noise on a slow wave, are written to disk a million steps at a time, so that they never fill memory
# either.

# %%
rng = np.random.default_rng(0)
drive = np.lib.format.open_memmap(disk / "drive.npy", "w+", np.float32, (T, 1))
for first in range(0, T, 1_000_000):
    piece = drive[first : first + 1_000_000, 0]
    ms = dt * np.arange(first, first + len(piece))
    piece[:] = 10 * rng.standard_normal(len(piece), dtype=np.float32) + 2 * np.sin(2 * np.pi * ms / 20_000)

states = np.lib.format.open_memmap(disk / "states.npy", "w+", np.float32, (T, 2))

# %% [markdown]
# ## Memory, measured
#
# Linux says how much memory a process holds, and of what kind. `RssAnon` is what it allocated; it must fit. `RssFile`
# is pages of files it has touched, memory maps among them; the kernel writes them back and takes them away when it
# wants the room. We look every millisecond from a second thread, which is free to run since pards lets go of the
# interpreter while it works. `progress=` takes a function, and tells it how far the solve has come.


# %%
def held(kind="RssAnon"):
    """MB of memory that this process holds now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 1024
    raise KeyError(kind)


def watched(T, window, **options):
    """Solve the first T steps; the solution, the seconds, and (part done, MB more than before), every millisecond."""
    part, seen, done = 0.0, [], threading.Event()

    def look():
        before = held()
        while not done.wait(0.001):
            seen.append((part, held() - before))

    def progress(iteration, window, windows, sequences, merit):
        nonlocal part
        part = window / windows

    watcher = threading.Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    options |= {"jac": unit_jac, "method": "newton", "window": window, "progress": progress}
    try:
        sol = pards.solve(unit, x0, drive[:T], **options)
        return sol, time.perf_counter() - start, np.array(seen)
    finally:
        done.set()
        watcher.join()


x0 = np.zeros(2, np.float32)
watched(100, 100)  # once for nothing: what the library sets up when first used is not what we measure

sol, took, flat = watched(T, W, out=states)
print(f"{T:,} steps: {sol.status}, {sol.iterations / len(sol.window_iterations):.1f} updates a window")
assert sol.states is states
assert sol.success

# %% [markdown]
# And for comparison a tenth of it without windows and without `out=`:

# %%
short, short_took, steep = watched(T // 10, None)
assert np.allclose(short.states, states[: T // 10], rtol=0, atol=1e-3)

most, most_short = flat[:, 1].max(), steep[:, 1].max()
print(f"{T:,} steps with windows: at most {most:.0f} MB more than before")
print(f"{T // 10:,} steps without: at most {most_short:.0f} MB more; the whole is ten times as long")
assert most < 50
assert most_short > most

fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.plot(flat[:, 0], flat[:, 1], color="#0072B2", label=f"{T:,} steps, window={W:,}, out=memmap")
ax.axhline(most_short, color="#D55E00", linestyle="--", label=f"{T // 10:,} steps, neither: the peak")
ax.set(xlabel="part of the windows done", ylabel="MB more than before", ylim=(0, 1.5 * most_short))
ax.set_title("memory allocated during a solve")
ax.legend(loc="upper right")
plt.show()

# %% [markdown]
# The curve stays where a window puts it, however many windows follow. Times, and what the kernel keeps of the files
# for the moment, are not kept in this page; run the cell to see yours.

# %% tags=["machine"]
print(f"{T:,} steps in {took:.1f} s")
print(f"pages of files in memory: {held('RssFile'):.0f} MB")
print(f"on disk: {(drive.nbytes + states.nbytes) / 1e6:.0f} MB")

# %% [markdown]
# ## Is it right?
#
# Compare with the plain loop where a loop is affordable: the first steps, and the last ones, begun from the state
# that pards found there.


# %%
def loop(x, u):
    found = np.empty((len(u), 2), np.float32)
    for t in range(len(u)):
        found[t] = x = unit(x, u[t])
    return found


n = 20_000
start = time.perf_counter()
begin = loop(x0, drive[:n])
per_step = (time.perf_counter() - start) / n
end = loop(states[T - n - 1], drive[T - n :])

size = np.abs(states).max(0)
for name, found, truth in (("first", states[:n], begin), ("last", states[T - n :], end)):
    away = (np.abs(found - truth) / size).max()
    print(f"the {name} {n:,} steps are {away:.1e} from the loop, relative to the largest state")
    assert away < 1e-4

print(f"largest residual of all {T:,} steps: {sol.residual:.1e}")
print(f"sol.error = {sol.error:.1e}, over {len(sol.window_iterations)} windows")

# %% [markdown]
# About `sol.error`: every window is solved to `rtol` (1e-4 in float32), and `error` *adds* the estimates of all
# windows. That is the cautious thing to report, for a model that remembers everything. This one forgets, so the error
# of a window is gone long before the next one ends, and the last steps are as good as the first.
#
# How fast does it forget? Start it again, from a state far away:

# %%
ms = 2000
u = drive[: int(ms / dt)]
far = pards.solve(unit, np.array([5, 1], np.float32), u, method="newton", jac=unit_jac).states
gone = np.argmax(np.abs(far - states[: len(u)]).max(1) < 1e-4)
print(f"5 away in v and 1 in a at first, less than 1e-4 after {gone:,} steps; a window has {W:,}")
assert 0 < gone < W / 5

# %% [markdown]
# ## What it saves
#
# The Python loop, measured on the steps above and extended to all of them, against the solve:

# %% tags=["machine"]
print(f"the loop would take {per_step * T / took:.0f} times as long as the solve")

# %% [markdown]
# ## How long should a window be?
#
# Long enough that calling NumPy costs little beside the work in a call, short enough that a window's arrays stay in
# cache and, if the model is hard, that its iterations converge. Time for a million steps, relative to
# `window=100_000`:

# %% tags=["machine"]
times = {w: watched(1_000_000, w)[1] for w in (1_000, 10_000, 100_000, 1_000_000)}
for w, seconds in times.items():
    print(f"window={w:<9,} {seconds / times[100_000]:5.2f}")

# %% [markdown]
# ## The result
#
# `plot` draws a long trajectory from the least to the largest value of each thousandth of it, so that no peak is
# lost.

# %%
fig, (whole, zoom) = plt.subplots(2, 1, figsize=(7.5, 5), layout="constrained")
sol.plot(whole, "states")
whole.set_title(f"all {T:,} steps")
last = np.arange(T - 20_000, T)
for i, (name, color) in enumerate((("v", "#0072B2"), ("a", "#E69F00"))):
    zoom.plot(last * dt / 1000, states[last, i], color=color, linewidth=0.8, label=name)
zoom.set(xlabel="seconds", ylabel="state", title="the last two seconds")
for ax, labels in ((whole, ["v", "a"]), (zoom, ["v", "a"])):
    ax.legend(labels, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %% [markdown]
# The files stay as long as you want them; here they go.

# %%
folder.cleanup()
assert not os.path.exists(disk)
