"""Cells called from Python: against the NumPy statement of the models, and their derivatives against differences."""

import os
import subprocess
import sys

import numpy as np
import pytest
import spec

import pards

RNG = np.random.default_rng(0)


def mixture(K, D, diagonal=False):
    Z = RNG.standard_normal((K, D + 1, D))
    P = RNG.uniform(0.5, 2, (K, D)) if diagonal else np.einsum("kij,kil->kjl", Z, Z)
    return RNG.standard_normal((K, D)), P, RNG.standard_normal(K)


def weights(*shapes):
    return [RNG.uniform(-0.7, 0.7, s) for s in shapes]


def pair(name, parts, **more):
    return getattr(pards.cells, name)(*parts, **more), getattr(spec, name)(*parts, **more)


def chain(parts):
    ours, theirs = pair("GaussianMixture", parts)
    return pards.cells.Langevin(ours, 0.1), spec.Langevin(theirs, 0.1)


PAIRS = {
    "linear": pair("Linear", weights((3, 3), (3, 2), (3,))),
    "gru": pair("GRU", weights((12, 3), (12, 4), (12,), (4,))),
    "exchanged": pair("GRU", weights((12, 4), (12, 4), (12,), (4,)), exchanged=True),
    "langevin": chain(mixture(3, 4)),
    "diagonal": chain(mixture(2, 3, diagonal=True)),
}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize("name", PAIRS)
def test_against_the_spec(name: str) -> None:
    ours, theirs = PAIRS[name]
    x, u = RNG.standard_normal((2, 5, ours.dim)), RNG.standard_normal((2, 5, ours.inputs))
    assert np.allclose(ours(x, u), theirs.f(x, u), rtol=1e-12, atol=1e-13)  # a few roundings of numbers of order 1
    assert np.allclose(ours.jacobian(x, u), theirs.jac(x, u), rtol=1e-11, atol=1e-12)


def elman(x, u, w):
    return np.tanh(u @ w[0].T + x @ w[1].T + w[2])


def lstm(x, u, w):
    h, c = np.split(x, 2, -1)
    i, f, g, o = np.split(u @ w[0].T + h @ w[1].T + w[2], 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c], -1)


def lorenz(x, F, h):
    def slope(x):
        return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + F

    k1 = slope(x)
    k2 = slope(x + h / 2 * k1)
    k3 = slope(x + h / 2 * k2)
    k4 = slope(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def test_against_numpy() -> None:
    w = weights((4, 2), (4, 4), (4,))
    x, u = RNG.standard_normal((7, 4)), RNG.standard_normal((7, 2))
    assert np.allclose(pards.cells.Elman(*w)(x, u), elman(x, u, w), rtol=1e-13, atol=1e-14)
    w = weights((12, 2), (12, 3), (12,))
    x = RNG.standard_normal((7, 6))
    cell = pards.cells.LSTM(*w)
    assert (cell.dim, cell.inputs) == (6, 2)
    assert np.allclose(cell(x, u), lstm(x, u, w), rtol=1e-13, atol=1e-14)
    cell = pards.cells.Lorenz96(dim=5, forcing=8.0, step=0.05)
    assert (cell.dim, cell.inputs, cell.forcing) == (5, 0, 8.0)
    x = RNG.standard_normal((7, 5))
    assert np.allclose(cell(x), lorenz(x, 8.0, 0.05), rtol=1e-13, atol=1e-14)


CELLS = [
    *(ours for ours, _ in PAIRS.values()),
    pards.cells.Linear(*weights((2, 2))),
    pards.cells.Elman(*weights((4, 2), (4, 4), (4,))),
    pards.cells.LSTM(*weights((12, 2), (12, 3), (12,))),
    pards.cells.Lorenz96(dim=5),
    pards.problems.s5_word(3).cell,
]
CONTINUOUS = [cell for cell in CELLS if not cell.words]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_derivatives_agree(cell) -> None:
    x, v = RNG.standard_normal((6, cell.dim)), RNG.standard_normal((6, cell.dim))
    u = RNG.integers(0, 5, 6) if cell.words else RNG.standard_normal((6, cell.inputs)) if cell.inputs else None
    J = cell.jacobian(x, u)
    # sums of D products of numbers of order 1
    assert np.allclose(cell.diagonal(x, u), np.diagonal(J, axis1=-2, axis2=-1), rtol=1e-12, atol=1e-13)
    assert np.allclose(cell.jvp(x, u, v), np.einsum("...ij,...j->...i", J, v), rtol=1e-12, atol=1e-13)
    assert np.allclose(cell.vjp(x, u, v), np.einsum("...ij,...i->...j", J, v), rtol=1e-12, atol=1e-13)
    h = 1e-6  # central differences: truncation 1e-12, rounding 1e-10
    columns = [(cell(x + h * e, u) - cell(x - h * e, u)) / (2 * h) for e in np.eye(cell.dim)]
    assert np.allclose(np.stack(columns, -1), J, rtol=1e-7, atol=1e-8)


def varied(cell, name, value):
    """The cell with another value of one parameter."""
    fields = {key: getattr(cell, key) for key in cell.fields} | {name: value}
    if isinstance(cell, pards.cells.Langevin):
        step = fields.pop("step_size")
        return pards.cells.Langevin(pards.cells.GaussianMixture(**fields), step)
    return type(cell)(**fields)


def nudges(cell, name):
    """Changes of a parameter along each of its numbers, with the index of that; within symmetric matrices if it is some."""
    value = np.asarray(getattr(cell, name), float)
    for at in np.ndindex(value.shape):
        nudge = np.zeros_like(value)
        nudge[at] = 1
        if name == "precisions" and value.ndim == 3:
            nudge = (nudge + nudge.swapaxes(-1, -2)) / 2
        yield at, nudge


def differences(loss, cell, name):
    """The gradient of a loss of a cell by central differences: truncation 1e-10, rounding 1e-11 of the loss."""
    value, h = np.asarray(getattr(cell, name), float), 1e-5
    gradient = np.empty_like(value)
    for at, nudge in nudges(cell, name):
        up, down = (loss(varied(cell, name, value + s * nudge)) for s in (h, -h))
        gradient[at] = (up - down) / (2 * h)
    return gradient


@pytest.mark.parametrize("cell", CONTINUOUS, ids=lambda cell: type(cell).__name__)
def test_derivatives_of_inputs(cell) -> None:
    x, v = RNG.standard_normal((6, cell.dim)), RNG.standard_normal((6, cell.dim))
    u = RNG.standard_normal((6, cell.inputs)) if cell.inputs else None
    G = cell.input_jacobian(x, u)
    assert G.shape == (6, cell.dim, cell.inputs)
    w = RNG.standard_normal((6, cell.inputs))
    assert np.allclose(cell.input_jvp(x, u, w), np.einsum("tik,tk->ti", G, w), rtol=1e-12, atol=1e-13)
    assert np.allclose(cell.input_vjp(x, u, v), np.einsum("tik,ti->tk", G, v), rtol=1e-12, atol=1e-13)
    h = 1e-6  # central differences: truncation 1e-12, rounding 1e-10
    for k, e in enumerate(np.eye(cell.inputs)):
        assert np.allclose((cell(x, u + h * e) - cell(x, u - h * e)) / (2 * h), G[..., k], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("cell", CONTINUOUS, ids=lambda cell: type(cell).__name__)
def test_derivatives_of_parameters(cell) -> None:
    x, v = RNG.standard_normal((2, 3, cell.dim)), RNG.standard_normal((3, cell.dim))
    u = RNG.standard_normal((3, cell.inputs)) if cell.inputs else None
    gradient = cell.param_vjp(x, u, v)  # v and u are broadcast, the sum is over all six states
    assert gradient.keys() == {
        name for name in cell.fields if name not in ("exchanged", "dim") and getattr(cell, name) is not None
    }
    for name, g in gradient.items():
        assert g.shape == np.shape(getattr(cell, name))
        want = differences(lambda other: (v * other(x, u)).sum(), cell, name)
        assert np.allclose(g, want, rtol=1e-7, atol=1e-7), name
        for at, nudge in nudges(cell, name):
            assert np.isclose((v * cell.param_jvp(x, u, {name: nudge})).sum(), g[at], rtol=1e-11, atol=1e-12), name
    together = {name: RNG.standard_normal(g.shape) for name, g in gradient.items()}
    total = sum((gradient[name] * w).sum() for name, w in together.items())
    assert np.isclose((v * cell.param_jvp(x, u, together)).sum(), total, rtol=1e-11)  # some hundred products


@pytest.mark.parametrize("cell", CONTINUOUS, ids=lambda cell: type(cell).__name__)
def test_gradient_of_a_trajectory(cell) -> None:
    """By the adjoint v[t] = dloss/dx[t] + J[t+1]'v[t+1] over a trajectory solved in parallel, against the plain loop."""
    T = 40
    if isinstance(cell, pards.cells.Lorenz96):
        cell = pards.cells.Lorenz96(dim=5, forcing=0.5)  # tame: a chaotic model's differences mean nothing
    if isinstance(cell, pards.cells.Langevin):
        cell = pards.cells.Langevin(cell.potential, 0.03)  # likewise: the steepest well has eigenvalues above 10
    x0, weights = RNG.standard_normal(cell.dim), RNG.standard_normal((T, cell.dim))
    u = RNG.standard_normal((T, cell.inputs)) if cell.inputs else None

    def loss(cell, x0=x0, u=u):
        return (weights * pards.solve(cell, x0, u, length=T, method="sequential").states).sum()

    states = pards.solve(cell, x0, u, length=None if cell.inputs else T, method="newton", rtol=1e-12).states
    before = np.concatenate([x0[None], states[:-1]])
    J = cell.jacobian(before, u)
    back = np.concatenate([J[1:].swapaxes(-1, -2), np.zeros_like(J[:1])])
    v = pards.lds.scan(back, weights, reverse=True)
    for name, g in cell.param_vjp(before, u, v).items():
        want = differences(loss, cell, name)
        # truncation h^2 f'''/6 with h = 1e-5, where f''' grows with the length; rounding of a loss of some 10 by h
        assert np.allclose(g, want, rtol=1e-6, atol=1e-6 * max(1, np.abs(want).max())), name
    e, h = RNG.standard_normal(x0.shape), 1e-6
    want = (loss(cell, x0=x0 + h * e) - loss(cell, x0=x0 - h * e)) / (2 * h)
    assert np.isclose(cell.vjp(x0, None if u is None else u[0], v[0]) @ e, want, rtol=1e-6, atol=1e-6)
    if u is not None:
        e = RNG.standard_normal(u.shape)
        want = (loss(cell, u=u + h * e) - loss(cell, u=u - h * e)) / (2 * h)
        assert np.isclose((cell.input_vjp(before, u, v) * e).sum(), want, rtol=1e-6, atol=1e-6)


def test_long_gradients() -> None:
    """Sums over many steps: float32 close to float64, and the same bits for any number of workers."""
    script = """if True:
        import numpy as np, pards, sys
        rng, cell = np.random.default_rng(1), pards.cells.GRU.init(3, 2, dtype=np.float32)
        x, u, v = (rng.standard_normal((20_000, k)).astype(np.float32) for k in (3, 2, 3))
        got, exact = cell.param_vjp(x, u, v), cell.param_vjp(x.astype(float), u, v)
        parts = [cell.param_vjp(x[k].astype(float), u[k], v[k]) for k in (slice(7_001), slice(7_001, None))]
        for name, g in got.items():
            assert np.allclose(exact[name], parts[0][name] + parts[1][name], rtol=1e-10, atol=1e-9), name
            assert g.dtype == np.float32 and exact[name].dtype == np.float64
            # n terms of order 1: 128 at a time in float32, off by 2^-24 * 128^1.5 / 2 at worst and sqrt(n / 128) of these at random
            assert np.abs(g - exact[name]).max() <= 6e-4, name
        sys.stdout.write(repr([g.tobytes() for g in got.values()]))"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PARDS_NUM_THREADS": k},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for k in "14"
    ]
    assert outputs[0] == outputs[1] and len(outputs[0]) > 100


def test_no_derivatives() -> None:
    word = pards.problems.s5_word(3).cell
    x, u = np.arange(5.0), 1
    for call in (
        lambda: word.input_jacobian(x, u),
        lambda: word.input_vjp(x, u, x),
        lambda: word.param_vjp(x, u, x),
        lambda: word.param_jvp(x, u, {}),
    ):
        with pytest.raises(
            TypeError, match=r"cell has no derivatives with respect to its inputs and parameters, want .*words"
        ):
            call()
    mixture = pards.cells.GaussianMixture(np.zeros((1, 2)), np.ones((1, 2)), [0.0])
    still = pards.cells.Langevin(mixture, 0.0)
    with pytest.raises(
        ValueError, match=r"Langevin: step_size is 0, want a number above 0; sqrt\(2 eps\) has no derivative"
    ):
        still.param_vjp([0.0, 0.0], [0.0, 0.0], [1.0, 1.0])
    assert still.param_jvp([0.0, 0.0], [0.0, 0.0], {"means": np.ones((1, 2))}).tolist() == [0, 0]
    cell = pards.cells.Linear([[0.5]])
    with pytest.raises(ValueError, match='param_jvp: parameter is "B", want one of A'):
        cell.param_jvp([1.0], None, {"B": [[1.0]]})
    with pytest.raises(ValueError, match=r"param_jvp: A has shape \(1,\), want \(1, 1\)"):
        cell.param_jvp([1.0], None, {"A": [1.0]})
    with pytest.raises(ValueError, match=r"Linear: v has shape \(2,\), want \(..., 1\)"):
        cell.param_vjp([1.0], None, [1.0, 2.0])
    assert cell.param_vjp(np.empty((0, 1)), None, [1.0])["A"].tolist() == [[0.0]]


def test_autonomous() -> None:
    cell = pards.cells.Lorenz96(dim=8, forcing=0.5, step=0.05)
    x0 = RNG.standard_normal(8)
    sol = pards.solve(cell, x0, length=200, method="newton", window=20)
    x = x0
    for t in range(200):
        x = cell(x)
        assert np.allclose(sol.states[t], x, atol=1e-7)  # rtol of the solve 1e-8, states of order 1


def test_call_with_leading_axes() -> None:
    cell, _ = PAIRS["gru"]
    x, u = RNG.standard_normal((2, 1, 4)), RNG.standard_normal((5, 3))
    assert cell(x, u).shape == (2, 5, 4)
    assert np.array_equal(cell(x, u)[1, 2], cell(x[1, 0], u[2]))
    assert cell(x[0, 0].astype(np.float32), u[0].astype(np.float32)).dtype == np.float64  # the weights are


def test_frozen() -> None:
    cell, _ = PAIRS["gru"]
    with pytest.raises(AttributeError, match="frozen"):
        cell.bias = 0
    with pytest.raises(ValueError, match="read-only"):
        cell.bias[0] = 1
