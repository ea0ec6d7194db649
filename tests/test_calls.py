"""A call takes its arguments as they are at that moment: nothing of an earlier call is remembered, no buffer is kept."""

import ctypes

import numpy as np
import pytest

import pards
from pards import _device, _lib


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(2), rng.standard_normal((12, 2)), rng.standard_normal((12, 2))


def test_arrays_that_change_between_calls() -> None:
    cell = pards.cells.GRU.init(hidden=2, inputs=2)
    x0, u, guess = (np.empty_like(array) for array in problem(0))
    out = np.empty((12, 2))
    for seed in range(3):
        for array, values in zip((x0, u, guess), problem(seed), strict=True):
            array[...] = values
        sol = pards.solve(cell, x0, u, guess=guess, method="newton", out=out)
        again = pards.solve(cell, *problem(seed)[:2], guess=problem(seed)[2], method="newton")
        assert sol.states is out
        assert np.array_equal(out, again.states)
        assert np.abs(out - pards.solve(cell, x0, u, method="sequential").states).max() < 1e-7  # rtol is 1e-8


def test_shapes_and_dtypes_that_change_between_calls() -> None:
    cell = pards.cells.Linear(np.float32([[0.5]]), np.float32([[1]]))
    for steps in (3, 5, 3):
        for dtype in (np.float32, np.float64, np.int64):
            sol = pards.solve(cell, np.zeros(1, dtype), np.ones((steps, 1), dtype), method="newton")
            assert sol.states.dtype == (np.float32 if dtype == np.float32 else np.float64)
            assert np.array_equal(sol.states[:, 0], 2 - 0.5 ** np.arange(steps))


def test_methods_that_are_changed_by_force() -> None:
    """A method is frozen, but what it holds when a call begins is what counts."""
    cell = pards.cells.GRU.init(hidden=2, inputs=2)
    x0, u, _ = problem(0)
    chord = pards.Chord(period=1)
    newton = pards.solve(cell, x0, u, method=chord).iterations
    object.__setattr__(chord, "period", 1000)
    assert pards.solve(cell, x0, u, method=chord).iterations > newton
    assert chord.settings() == {"period": 1000}
    chord.settings()["period"] = 1
    assert chord.period == 1000

    probes = pards.QuasiNewton(diagonal="hutchinson", signs=np.ones((1, 12, 2)))
    before = pards.solve(cell, x0, u, method=probes, max_iterations=1, raise_on_failure=False).states
    assert probes.signs is not None
    probes.signs.flags.writeable = True
    probes.signs[:, :, 0] = -1
    after = pards.solve(cell, x0, u, method=probes, max_iterations=1, raise_on_failure=False).states
    assert not np.array_equal(before, after)


def test_a_cell_is_a_copy() -> None:
    weights = np.array([[0.5]])
    cell = pards.cells.Linear(weights, [[1.0]])
    weights[...] = 100
    assert pards.solve(cell, np.zeros(1), np.ones((2, 1))).states[-1] == 1.5
    with pytest.raises(ValueError, match="read-only"):
        cell.A[...] = 100


def test_options_that_equal_others() -> None:
    """True equals 1 and 1.0 equals 1, but only one of them is a number of threads."""
    cell, (x0, u, _) = pards.cells.GRU.init(hidden=2, inputs=2), problem(0)
    pards.solve(cell, x0, u, num_threads=1, clip=False)
    for bad in (True, 1.0):
        with pytest.raises(TypeError, match="num_threads"):
            pards.solve(cell, x0, u, num_threads=bad)
    with pytest.raises(TypeError, match="clip"):
        pards.solve(cell, x0, u, clip=0)


def scan(*arrays: object) -> None:
    """Calls the library with some objects as A, b, x0 and out."""
    library = _lib.get()
    args = library.pards_scan_args(size=ctypes.sizeof(library.pards_scan_args), structure=b"identity")
    _lib.call("pards_python_scan", library.interpreter, id(arrays), args)


def test_buffers_are_given_back() -> None:
    out = np.empty((1, 3, 2))
    scan(None, np.ones((1, 3, 2)), None, out)
    assert np.array_equal(out, [[[1, 1], [2, 2], [3, 3]]])
    lent = bytearray(8)
    with pytest.raises(TypeError, match="b has dtype"):
        scan(None, lent, None, out)
    lent.append(1)  # an exported bytearray cannot grow
    with pytest.raises(ValueError, match="not C-contiguous"):
        scan(None, np.zeros((1, 6, 2))[:, ::2], None, out)
    with pytest.raises(ValueError, match="b is null"):
        scan(None, None, None, out)
    with pytest.raises(IndexError):
        scan(None)


class Captured(Exception):
    """Stands for what the library would have done."""


def test_arrays_on_a_gpu_are_described(monkeypatch) -> None:
    """Without a GPU: what reaches the library of arrays on one, beside an array on the host."""
    seen: dict[str, tuple[int, int, list[int]]] = {}

    def call(name: str, *arguments) -> None:
        if name not in ("pards_python_solve", "pards_python_scan"):
            _lib.get().checked(name, *arguments)
            return
        for field, kind in arguments[-1]._fields_:
            if kind is ctypes.POINTER(_lib.get().pards_array) and getattr(arguments[-1], field):
                array = getattr(arguments[-1], field).contents
                seen[field] = array.data, array.device, array.shape[: array.ndim]
        raise Captured

    monkeypatch.setattr(_lib, "call", call)
    f8 = np.dtype(np.float64)
    x0, u, out = (_device.DeviceArray(a, s, f8, 3, None) for a, s in ((64, (2,)), (128, (5, 2)), (512, (5, 2))))
    with pytest.raises(Captured):
        pards.solve(pards.cells.Linear(np.eye(2), np.eye(2)), x0, u, guess=np.zeros((5, 2)), out=out)
    assert seen == {"x0": (64, 4, [2]), "inputs": (128, 4, [5, 2]), "states": (512, 4, [5, 2])}
    seen.clear()
    with pytest.raises(Captured):
        pards.lds.scan(pards.lds.Diagonal(u), np.zeros((5, 2)), x0, out=out)
    assert seen == {"a": (128, 4, [1, 5, 2]), "x0": (64, 4, [1, 2]), "out": (512, 4, [1, 5, 2])}
