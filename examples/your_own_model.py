# %% [markdown]
# # Your own model
#
# Any NumPy function `f(x, u)` that works over leading axes can be solved: an SDE, a filter, a queue. pards calls it
# with *all steps at once*, a few times, where a loop calls it once a step. This notebook takes one of each, shows
# what derivatives cost, lets a method fail, and mends it.

# %%
import itertools
import time

import matplotlib.pyplot as plt
import numpy as np

import pards


def loop(f, x0, u):
    """The trajectory, one step after the other: what all is compared with."""
    states = np.empty((len(u), len(x0)), x0.dtype)
    x = x0
    for t in range(len(u)):
        states[t] = x = f(x, u[t])
    return states


class Counted:
    """A function that counts its calls, and the states it saw in them."""

    def __init__(self, f):
        self.f, self.calls, self.states = f, 0, 0

    def __call__(self, x, u):
        self.calls += 1
        self.states += x.size // x.shape[-1]
        return self.f(x, u)


def seconds(work, repeat=3):
    """The shortest of a few times."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


# %% [markdown]
# ## A Kalman filter
#
# The filter of a scalar signal `s[t] = a s[t-1] + noise` seen as `z[t] = s[t] + noise` is a recurrence in two
# numbers, the mean and the variance of the belief. Write it with `x[..., 0]` and `x[..., 1]`, so that it takes one
# state or a hundred thousand.

# %%
a, q, r = 0.99, 0.1, 1.0  # memory, variance of the signal's noise, variance of the measurement's


def kalman(x, z):
    mean, var = x[..., 0], x[..., 1]
    var = a * a * var + q  # predict
    gain = var / (var + r)
    return np.stack([a * mean + gain * (z[..., 0] - a * mean), (1 - gain) * var], -1)  # correct


T = 50_000
rng = np.random.default_rng(0)
noise, signal = rng.standard_normal(T), np.empty(T)
level = 0.0
for t in range(T):
    signal[t] = level = a * level + np.sqrt(q) * noise[t]
z = signal[:, None] + np.sqrt(r) * rng.standard_normal((T, 1))  # (time, 1): one measurement a step
start = np.array([0.0, 10.0])

truth = loop(kalman, start, z)
sol = pards.solve(kalman, start, z, method="newton", trace=True)
sol

# %% [markdown]
# Two checks: against the loop, and against algebra. The variance of this filter settles where predicting and
# correcting balance, `p² + (r - a²r - q) p - q r = 0` for the predicted variance `p`.

# %%
p = np.roots([1, r - a * a * r - q, -q * r]).max()
settled = r * p / (p + r)
print(f"from the loop: {np.abs(sol.states - truth).max():.1e}")
print(f"settled variance {sol.states[-1, 1]:.12f}, by algebra {settled:.12f}")
assert np.allclose(sol.states, truth, rtol=0, atol=1e-7)
assert abs(sol.states[-1, 1] - settled) < 1e-12

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
last = slice(T - 200, T)
steps = np.arange(T)[last]
mean, sd = sol.states[last, 0], np.sqrt(sol.states[last, 1])
ax.plot(steps, z[last, 0], ".", color="0.6", label="measured")
ax.plot(steps, signal[last], "--", color="#D55E00", linewidth=1, label="signal")
ax.plot(steps, mean, color="#0072B2", label="filtered")
ax.fill_between(steps, mean - 2 * sd, mean + 2 * sd, color="#0072B2", alpha=0.2, linewidth=0, label="± 2 sd")
ax.set(xlabel="step t", ylabel="value", title="the last 200 steps")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %% [markdown]
# ### What derivatives cost
#
# Newton needs the Jacobian of `f`. Without one, pards takes forward differences: for a state of dimension D, every
# Jacobian sees D shifted copies of the trajectory. Give `jac` if you have it; for a method that only reads the
# diagonal, `diag` is enough.


# %%
def kalman_jac(x, z):
    mean, var = x[..., 0], x[..., 1]
    ahead = a * a * var + q
    gain, slope = ahead / (ahead + r), a * a * r / (ahead + r) ** 2  # of the gain: d gain / d var
    J = np.zeros((*x.shape, 2), x.dtype)
    J[..., 0, 0] = a * (1 - gain)
    J[..., 0, 1] = slope * (z[..., 0] - a * mean)
    J[..., 1, 1] = slope * r
    return J


print("                                     calls  states seen  calls of")
print("method         derivative   updates   of f         by f       jac")
counts = {}
for method in ("newton", "quasi_newton"):
    for given in (False, True):
        f, jac = Counted(kalman), Counted(kalman_jac)
        found = pards.solve(f, start, z, method=method, jac=jac if given else None)
        assert np.allclose(found.states, truth, rtol=0, atol=1e-7)
        counts[method, given] = f.states / T
        derivative = "jac" if given else "differences"
        updates = found.iterations
        print(f"{method:14} {derivative:12} {updates:7} {f.calls:6} {f.states / T:8.0f} x T {jac.calls:9}")

assert counts["newton", False] > 2 * counts["newton", True]

# %% [markdown]
# (Differences come in several calls of moderate size, since NumPy is fastest while its temporaries fit the cache.)
#
# `quasi_newton` throws the off-diagonal half of `J` away and takes hardly more updates. Why? The variance does not
# depend on the mean, so `J` is triangular, and its diagonal holds its eigenvalues. An error of the variance leaks
# into the mean for a while, but it dies by itself.
#
# And the time? Run the next cell for the ratio on your machine; what a machine takes is not kept in this page.

# %% tags=["machine"]
slow = seconds(lambda: loop(kalman, start, z), 1)
for name, given in (("differences", None), ("jac", kalman_jac)):
    fast = seconds(lambda given=given: pards.solve(kalman, start, z, method="newton", jac=given))
    print(f"newton with {name}: {slow / fast:.1f} times as fast as the Python loop")

# %% [markdown]
# ## An SDE, and a failure
#
# A particle in a double well, `dX = (X - X³) dt + σ dW`, by Euler and Maruyama's scheme. Newton's method, no
# settings:

# %%
dt, sigma = 0.02, 0.5


def well(x, u):
    return x + dt * (x - x**3) + sigma * np.sqrt(dt) * u


def well_jac(x, u):
    return (1 + dt * (1 - 3 * x**2))[..., None]


T = 10_000
u = np.random.default_rng(1).standard_normal((T, 1))
left = np.array([-1.0])
truth = loop(well, left, u)

try:
    pards.solve(well, left, u, method="newton", jac=well_jac, trace=True)
except pards.SolveError as error:
    failed = error.solution
    print(error)

# %% [markdown]
# The error says what happened, where, and what to try; the solution as far as it got comes along. Let us look before
# we try.

# %%
fig, (left_ax, right_ax) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
failed.plot(left_ax)
left_ax.set_title("merit of the failed solve")
right_ax.plot(truth, color="#0072B2", linewidth=0.7)
right_ax.set(xlabel="step t", ylabel="x", title="the trajectory, by the loop")

guess_slope = well_jac(left, None).item()
expanding = (np.abs(truth) < 3**-0.5).mean()
plt.show()
print(f"slope of f at the guess x = -1: {guess_slope:.2f}")
print(f"the trajectory spends {expanding:.0%} of its steps where the slope exceeds 1")
assert failed.status == "nonfinite"
assert guess_slope < 1 < well_jac(np.zeros(1), None).item()

# %% [markdown]
# The guess sits in the left well, where errors shrink. The trajectory crosses the barrier, where they grow: the slope
# of `f` exceeds 1 for |x| < 1/√3. An iterate that has some of its stretches on the barrier multiplies errors there,
# overshoots, and the cubic term makes a large overshoot enormous. Any of the remedies of the message addresses that:
#
# - `window=100`: solve 100 steps, go on from their end. Too short for errors to grow far.
# - `clip=True`: take no slope larger than 1 into `A`, so that the scan cannot amplify an error.
# - `damping=0.1`: take a tenth less of every slope. More careful still.

# %%
remedies = {
    "window=100": {"window": 100},
    "clip=True": {"clip": True},
    "damping=0.1": {"damping": 0.1},
    "window=2000": {"window": 2000},
}
print(f"{'remedy':12} {'status':10} {'updates of the whole':>20} {'from the loop':>14}")
work = {}  # an update of a window is W / T of one of the whole
for name, options in remedies.items():
    sol = pards.solve(well, left, u, method="newton", jac=well_jac, raise_on_failure=False, **options)
    if sol.success:
        work[name] = sol.iterations * (sol.window or T) / T
        print(f"{name:12} {sol.status:10} {work[name]:20.1f} {np.abs(sol.states - truth).max():14.1e}")
        assert np.allclose(sol.states, truth, rtol=0, atol=1e-5)
    else:
        print(f"{name:12} {sol.status}")

assert work["window=100"] < work["clip=True"] < work["damping=0.1"]
assert "window=2000" not in work

# %% [markdown]
# Short windows win here, by far. They are the first thing to try where a model expands for a while and then forgets;
# but they must be short enough, as the last row shows.
#
# ## A queue
#
# The waiting time of the next customer is that of the last one, plus the service, minus the time between arrivals,
# and never negative: `x[t] = max(0, x[t-1] + s[t] - a[t])` (Lindley 1952). It has a kink. Does Newton mind?

# %%
T = 20_000
rng = np.random.default_rng(2)
service, arrivals = rng.exponential(1, T), rng.exponential(1, T)


def queue(x, u):
    return np.maximum(0, x + u)


def queue_jac(x, u):
    return (x + u > 0).astype(x.dtype)[..., None]


def solve_queue(u, **options):
    return pards.solve(queue, np.zeros(1), u[:, None], method="newton", jac=queue_jac, **options)


def busy(waiting):
    """The longest run of customers who had to wait."""
    idle = np.flatnonzero(np.r_[0, waiting, 0] == 0)
    return np.diff(idle).max() - 1


loads = (0.5, 0.8, 0.95)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, layout="constrained")
print(f"{'load':>5} {'updates':>8} {'longest busy period':>20} {'last merits':>32} {'from the formula':>17}")
queues = {}
for load, ax in zip(loads, axes, strict=True):
    u = load * service - arrivals
    walk = np.r_[0, np.cumsum(u)]
    formula = (walk - np.minimum.accumulate(walk))[1:]  # Lindley's closed form
    queues[load] = sol = solve_queue(u, trace=True)
    sol.plot(ax)
    ax.set_title(f"load {load}")
    ax.label_outer()
    away = np.abs(sol.states[:, 0] - formula).max()
    last = " ".join(f"{merit:.1e}" for merit in sol.trace.merit[-3:])
    longest = busy(formula > 1e-9)
    print(f"{load:5} {sol.iterations:8} {longest:20} {last:>32} {away:17.1e}")
    assert away < 1e-9
    assert sol.iterations <= longest + 3
plt.show()

# %% [markdown]
# It does not mind, but it converges in a way of its own: for a long time the merit falls slowly, then from one update
# to the next it drops to rounding. There is no quadratic phase, for there is nothing curved. `f` is convex, rising,
# and made of two straight pieces, and an update *chooses a piece for every step and solves the linear recurrence of
# that choice exactly*, which is policy iteration (Howard 1960). Four things follow, none of which needs a derivative
# at the kink:
#
# 1. A linearisation of a convex function lies below it, so from the first update on no iterate exceeds the solution,
# 2. and each is at least the one before.
# 3. Where a customer finds the queue idle, the second update is therefore exact, which separates the busy periods
#    from each other.
# 4. In every busy period each update gets at least one more customer right. So it ends after finitely many updates:
#    no more than the longest busy period, and a few. The table shows that it takes far fewer.
#
# The first two can be watched:

# %%
u = 0.8 * service - arrivals
solution = solve_queue(u).states
iterates = [solve_queue(u, max_iterations=k, raise_on_failure=False).states for k in range(1, 12)]
rounding = 1e-9
assert all((x <= solution + rounding).all() for x in iterates)
assert all((y >= x - rounding).all() for x, y in itertools.pairwise(iterates))

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
top = solution.argmax()
piece = slice(max(0, top - 150), top + 50)
for k, x in list(enumerate(iterates, 1))[1::3]:
    ax.plot(np.arange(T)[piece], x[piece], color=plt.cm.viridis(k / 14), linewidth=1.2, label=f"update {k}")
ax.plot(np.arange(T)[piece], solution[piece], "k--", linewidth=1, label="solution")
ax.set(xlabel="customer t", ylabel="waiting time", title="the iterates rise to the solution")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %% [markdown]
# One long busy period makes the whole trajectory iterate. Windows keep the others out of it:

# %%
u = 0.95 * service - arrivals
print(f"{'window':>7} {'updates of the whole':>21}")
for window in (None, 5000, 1000, 200):
    sol = solve_queue(u, window=window)
    print(f"{window or T:7} {sol.iterations * (window or T) / T:21.1f}")

# %% [markdown]
# Be fair to the closed form: two NumPy calls give Lindley's queue, and nothing beats them. They are gone with the
# first change of the model. Let servers hurry when the queue is long, and the same solve goes on working:


# %%
def hurried(x, u):
    return np.maximum(0, x + u[..., :1] / (1 + 0.1 * x) - u[..., 1:])


u = np.stack([0.95 * service, arrivals], -1)
sol = pards.solve(hurried, np.zeros(1), u, method="newton", window=1000)
away = np.abs(sol.states - loop(hurried, np.zeros(1), u)).max()
print(f"{sol.status}, {sol.iterations * sol.window / T:.1f} updates of the whole, {away:.1e} from the loop")
assert away < 1e-6

# %% [markdown]
# ## What to remember
#
# - Write `f` over leading axes, keep the dtype of `x`, and compare with a loop on a short piece once.
# - `jac` or `diag` save calls; differences are fine to begin with.
# - When a method fails, read the message, plot `error.solution`, and try `window=` first.
