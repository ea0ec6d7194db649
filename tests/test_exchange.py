"""Cells made from the modules of other libraries give what those give, and their parameters go back."""

from types import SimpleNamespace

import numpy as np
import pytest

import pards
from pards.cells import GRU, LSTM

RNG = np.random.default_rng(0)
H, M, T = 4, 3, 50
CELLS = {"GRU": GRU, "LSTM": LSTM}


def inputs(dtype=np.float32):
    return RNG.standard_normal((T, M)).astype(dtype)


def start(name: str, dtype=np.float32):
    return RNG.standard_normal(H if name == "GRU" else 2 * H).astype(dtype)


def agree(cell, x0, u, want) -> None:
    """A trajectory solved in parallel is another library's. Both models contract, so that roundings do not add up: some
    ten a step of numbers of order 1, and the solve's tolerance beside."""
    assert cell.dtype == want.dtype == np.float32
    for method in ("newton", "sequential"):
        assert np.allclose(pards.solve(cell, x0, u, method=method, rtol=1e-6).states, want, rtol=0, atol=5e-6), method


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_torch(name: str, bias: bool) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed; CONTRIBUTING.md has the command that tests it"
    )
    torch.manual_seed(0)
    x0, u = start(name), inputs()
    layered, single = getattr(torch.nn, name)(M, H, bias=bias), getattr(torch.nn, name + "Cell")(M, H, bias=bias)
    with torch.no_grad():
        h, *c = (torch.tensor(part)[None] for part in np.split(x0, len(x0) // H))
        outputs, _ = layered(torch.tensor(u), (h, c[0]) if c else h)
        state, steps = (h, c[0]) if c else h, []
        for row in torch.tensor(u):
            state = single(row[None], state)
            steps.append(torch.cat(state, -1)[0] if c else state[0])
    cell = CELLS[name].from_torch(layered)
    # a layer gives h alone; the single cell both h and c
    assert np.allclose(
        pards.solve(cell, x0, u, method="newton", rtol=1e-6).states[:, :H], outputs.numpy(), rtol=0, atol=5e-6
    )
    agree(CELLS[name].from_torch(single), x0, u, torch.stack(steps).numpy())
    if not bias:
        with pytest.raises(TypeError, match=f"{name}.to_torch: .*want a module with biases"):
            cell.to_torch(layered)
        return
    for other in (getattr(torch.nn, name)(M, H), getattr(torch.nn, name + "Cell")(M, H)):
        assert cell.to_torch(other) is other
        back = CELLS[name].from_torch(other)
        assert all(np.array_equal(getattr(back, field), getattr(cell, field)) for field in cell.fields)
        assert all(torch.is_tensor(p) and p.dtype == torch.float32 and p.requires_grad for p in other.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_equinox(name: str, bias: bool) -> None:
    equinox = pytest.importorskip("equinox", reason="equinox is not installed: pip install 'pards[exchange]'")
    import jax

    module = getattr(equinox.nn, name + "Cell")(M, H, use_bias=bias, key=jax.random.PRNGKey(0))
    x0, u = start(name), inputs()

    def step(state, row):
        state = module(row, state)
        return state, state

    _, want = jax.lax.scan(step, x0 if name == "GRU" else tuple(np.split(x0, 2)), u)
    cell = CELLS[name].from_equinox(module)
    agree(cell, x0, u, np.concatenate([np.asarray(part) for part in ([want] if name == "GRU" else want)], -1))
    other = getattr(equinox.nn, name + "Cell")(M, H, use_bias=bias, key=jax.random.PRNGKey(1))
    if not bias:
        with pytest.raises(TypeError, match=f"{name}.to_equinox: .* has no bias, want a cell with it"):
            cell.to_equinox(other)
        return
    new = cell.to_equinox(other)
    assert all(
        np.array_equal(getattr(new, field), getattr(module, field)) for field in cell.fields if field != "exchanged"
    )
    assert isinstance(new.weight_hh, jax.Array) and new.weight_hh.dtype == np.float32
    assert not np.array_equal(other.weight_hh, new.weight_hh)  # which stays as it was
    back = CELLS[name].from_equinox(new)
    assert all(np.array_equal(getattr(back, field), getattr(cell, field)) for field in cell.fields)


def test_by_attributes_alone() -> None:
    """Anything with the right attributes will do: here the formulas of PyTorch, whose candidate has two biases."""
    w = {
        k: RNG.standard_normal(s)
        for k, s in {"weight_ih": (3 * H, M), "weight_hh": (3 * H, H), "bias_ih": 3 * H, "bias_hh": 3 * H}.items()
    }
    cell, x, u = GRU.from_torch(SimpleNamespace(**w)), start("GRU", float), inputs(float)[0]
    i, h = np.split(w["weight_ih"] @ u + w["bias_ih"], 3), np.split(w["weight_hh"] @ x + w["bias_hh"], 3)
    r, z = (1 / (1 + np.exp(-(a + b))) for a, b in zip(i[:2], h[:2], strict=True))
    n = np.tanh(i[2] + r * h[2])
    assert np.allclose(cell(x, u), (1 - z) * n + z * x, rtol=1e-12)


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"GRU.from_torch: a SimpleNamespace has no weight_ih"):
        GRU.from_torch(SimpleNamespace())
    with pytest.raises(TypeError, match="several layers"):
        LSTM.from_torch(SimpleNamespace(num_layers=2))
    with pytest.raises(
        TypeError, match="the bias of the GRU is of type ndarray, want True or False, as a torch module"
    ):
        GRU.from_torch(GRU.init(3, 3))  # whose bias would be lost, as that of an equinox cell
    with pytest.raises(TypeError, match="lacks one of"):
        LSTM.from_equinox(SimpleNamespace())
    with pytest.raises(ValueError, match="exchanged"):
        GRU.init(3, 3, exchanged=True).to_equinox(SimpleNamespace())
