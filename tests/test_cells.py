"""Cells called from Python: against the NumPy statement of the models, and their derivatives against differences."""

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


PAIRS = {
    "linear": (lambda w: (pards.cells.Linear(*w), spec.Linear(*w)))(weights((3, 3), (3, 2), (3,))),
    "gru": (lambda w: (pards.cells.GRU(*w), spec.GRU(*w)))(weights((12, 3), (12, 4), (12,), (4,))),
    "exchanged": (lambda w: (pards.cells.GRU(*w, exchanged=True), spec.GRU(*w, exchanged=True)))(
        weights((12, 4), (12, 4), (12,), (4,))
    ),
    "langevin": (
        lambda m: (
            pards.cells.Langevin(pards.cells.GaussianMixture(*m), 0.1),
            spec.Langevin(spec.GaussianMixture(*m), 0.1),
        )
    )(mixture(3, 4)),
    "diagonal": (
        lambda m: (
            pards.cells.Langevin(pards.cells.GaussianMixture(*m), 0.1),
            spec.Langevin(spec.GaussianMixture(*m), 0.1),
        )
    )(mixture(2, 3, diagonal=True)),
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


@pytest.mark.parametrize(
    "cell",
    [
        *(pair[0] for pair in PAIRS.values()),
        pards.cells.Elman(*weights((4, 2), (4, 4), (4,))),
        pards.cells.LSTM(*weights((12, 2), (12, 3), (12,))),
        pards.cells.Lorenz96(dim=5),
        pards.problems.s5_word(3).cell,
    ],
    ids=lambda cell: type(cell).__name__,
)
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
