"""Cells made from the modules of other libraries give what those give, and their parameters go back."""

from types import SimpleNamespace

import numpy as np
import pytest

import pards
from pards.cells import GRU, LSTM

RNG = np.random.default_rng(0)
H, M = 4, 3
X = {"GRU": RNG.standard_normal((5, H)).astype(np.float32), "LSTM": RNG.standard_normal((5, 2 * H)).astype(np.float32)}
U = RNG.standard_normal((5, M)).astype(np.float32)


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = getattr(torch.nn, name + "Cell")(M, H)
    cell, x = getattr(pards.cells, name).from_torch(module), X[name]
    state = torch.tensor(x) if name == "GRU" else (torch.tensor(x[:, :H]), torch.tensor(x[:, H:]))
    with torch.no_grad():
        want = module(torch.tensor(U), state)
    want = want.numpy() if name == "GRU" else np.concatenate([v.numpy() for v in want], -1)
    assert np.allclose(cell(x, U), want, atol=1e-6)  # float32, some ten roundings of numbers of order 1
    layered = getattr(torch.nn, name)(M, H)
    assert np.allclose(getattr(pards.cells, name).from_torch(cell.to_torch(layered))(x, U), cell(x, U), atol=1e-6)


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
@pytest.mark.parametrize("bias", [True, False])
def test_equinox(name: str, bias: bool) -> None:
    equinox = pytest.importorskip("equinox", reason="equinox is not installed")
    import jax

    module = getattr(equinox.nn, name + "Cell")(M, H, use_bias=bias, key=jax.random.PRNGKey(0))
    cell, x = getattr(pards.cells, name).from_equinox(module), X[name]
    for k in range(5):
        state = x[k] if name == "GRU" else (x[k, :H], x[k, H:])
        want = np.concatenate(np.atleast_2d(np.asarray(module(U[k], state))))
        assert np.allclose(cell(x[k], U[k]), want, atol=1e-6)
    if bias:
        back = getattr(pards.cells, name).from_equinox(cell.to_equinox(module))
        assert np.array_equal(back(x, U), cell(x, U))


def test_by_attributes_alone() -> None:
    """Anything with the right attributes will do: here the formulas of PyTorch, whose candidate has two biases."""
    w = {
        k: RNG.standard_normal(s)
        for k, s in {"weight_ih": (3 * H, M), "weight_hh": (3 * H, H), "bias_ih": 3 * H, "bias_hh": 3 * H}.items()
    }
    cell, x, u = GRU.from_torch(SimpleNamespace(**w)), X["GRU"][0].astype(float), U[0].astype(float)
    i, h = np.split(w["weight_ih"] @ u + w["bias_ih"], 3), np.split(w["weight_hh"] @ x + w["bias_hh"], 3)
    r, z = (1 / (1 + np.exp(-(a + b))) for a, b in zip(i[:2], h[:2], strict=True))
    n = np.tanh(i[2] + r * h[2])
    assert np.allclose(cell(x, u), (1 - z) * n + z * x, rtol=1e-12)


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"GRU.from_torch: a SimpleNamespace has no weight_ih"):
        GRU.from_torch(SimpleNamespace())
    with pytest.raises(TypeError, match="several layers"):
        LSTM.from_torch(SimpleNamespace(num_layers=2))
    with pytest.raises(TypeError, match="lacks one of"):
        LSTM.from_equinox(SimpleNamespace())
    with pytest.raises(ValueError, match="exchanged"):
        GRU.init(3, 3, exchanged=True).to_equinox(SimpleNamespace())
