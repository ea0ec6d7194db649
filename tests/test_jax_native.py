"""pards.jax.solve of native cells: against pards.solve, against the plain loop of JAX, and errors while JAX traces."""

import functools
from concurrent.futures import ThreadPoolExecutor

import jax_devices
import numpy as np
import pytest

pytestmark = pytest.mark.jax
jax = pytest.importorskip("jax", minversion="0.6", reason="needs JAX 0.6 or newer: pip install '.[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import pards.jax  # noqa: E402
from pards import _catalog_cells, cells  # noqa: E402
from pards.jax import _cells, _native, _solve  # noqa: E402

T = 60
EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}


@pytest.fixture(autouse=True)
def double():
    with jax_devices.x64(True):
        yield


def mixture(rng, diagonal):
    z = rng.standard_normal((2, 4, 3))
    precisions = z.swapaxes(1, 2) @ z
    if diagonal:
        precisions = np.abs(precisions[:, 0])
    return cells.GaussianMixture(rng.standard_normal((2, 3)), precisions, rng.standard_normal(2))


def all_cells():
    r = np.random.default_rng(1)
    n = lambda *shape: r.standard_normal(shape) / 2  # noqa: E731
    permutations = r.permuted(np.tile(np.arange(4), (5, 1)), axis=-1)
    yield "gru", cells.GRU.init(4, 3, seed=1)
    yield "exchanged", cells.GRU.init(4, 4, seed=2, exchanged=True)
    yield "lstm", cells.LSTM(n(12, 2), n(12, 3), n(12))
    yield "elman", cells.Elman(n(4, 2), n(4, 4), n(4))
    yield "linear", cells.Linear(n(3, 3), n(3, 2), n(3))
    yield "autonomous", cells.Linear(n(3, 3), bias=n(3))
    yield "langevin", cells.Langevin(mixture(r, False), 0.02)
    yield "diagonal", cells.Langevin(mixture(r, True), 0.02)
    yield "lorenz", cells.Lorenz96(5, forcing=7.0, step=0.02)
    yield "word", cells.GroupWord(permutations)
    yield "matrices", cells.GroupWord(np.eye(4)[permutations])


CELLS = dict(all_cells())
SMOOTH = [name for name, cell in CELLS.items() if not cell.words]


def cast(cell, dtype):
    """A cell with arrays of a dtype."""
    return jax.tree.map(lambda a: np.asarray(a, dtype) if np.ndim(a) else a, cell)


def drive(cell, rng, *lead, dtype=np.float64):
    """x0 and inputs."""
    x0 = rng.uniform(-1, 1, (*lead[:-1], cell.dim)).astype(dtype)
    if cell.words:
        return x0, rng.integers(0, 5, lead)
    return x0, rng.standard_normal((*lead, cell.inputs)).astype(dtype) if cell.inputs else None


def loop(cell, x0, u, length=T):
    """The plain loop of JAX's, of the step that derivatives are taken from."""
    known, params, x0, u = _cells.take(cell, x0, u)
    return lax.scan(lambda x, u: (known.step(x, u, params),) * 2, x0, u, None if u is not None else length)[1]


def solved(cell, x0, u, **options):
    return pards.jax.solve(cell, x0, u, length=T if u is None else None, **options)


def test_all_cells_are_here():
    assert {type(cell).__name__ for cell in CELLS.values()} == set(_catalog_cells.__all__)
    assert set(_cells.STEPS) == {cell.name for cell in CELLS.values()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CELLS)
def test_one_step_in_jax_is_the_cells(name, dtype):
    """To a few roundings of sums of at most some 20 terms of order 1; they lose some digits where wells cancel."""
    cell = cast(CELLS[name], dtype)
    x, u = drive(cell, np.random.default_rng(2), 50, dtype=dtype)
    x = np.random.default_rng(3).standard_normal((50, cell.dim)).astype(dtype)
    known, params, _, _ = _cells.take(cell, x[0], None if u is None else u)
    got = jax.vmap(lambda x, u: known.step(x, u, params))(x, u)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, cell(x, u), rtol=0, atol=40 * EPS[dtype])


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_of_one_step_are_the_cells(name):
    cell = CELLS[name]
    rng = np.random.default_rng(4)
    x, v, (_, u) = rng.standard_normal((9, cell.dim)), rng.standard_normal((9, cell.dim)), drive(cell, rng, 9)
    known, params, _, _ = _cells.take(cell, x[0], u)
    back = jax.vjp(lambda params, x: jax.vmap(lambda x, u: known.step(x, u, params))(x, u), params, jnp.asarray(x))[1]
    by_params, by_x = back(jnp.asarray(v))
    want = cell.param_vjp(x, u, v)
    assert set(by_params) == set(want)
    for part, gradient in want.items():
        np.testing.assert_allclose(by_params[part], gradient, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(by_x, cell.vjp(x, u, v), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "autonomous", "matrices"])
def test_the_recurrence_of_derivatives_is_the_same_in_jax(name):
    """As devices have it where the library does not do it; shared and not, forwards and transposed."""
    cell = CELLS[name]
    rng = np.random.default_rng(16)
    _, u = drive(cell, rng, 2, T)
    states, b = rng.standard_normal((2, T, cell.dim)), rng.standard_normal((2, T, cell.dim))
    known, params, _, _ = _cells.take(cell, states[0, 0], None if u is None else u[0])
    for lead in (2, 1):
        drives = {} if u is None else {"inputs": (u[..., None] if cell.words else u)[:lead].astype(float)}
        operands = {"b": b, "states": states[:lead]} | drives | {f"cell_{k}": v for k, v in params.items()}
        for transposed in (False, True):
            given = {"names": tuple(operands), "cell": known, "window": 25, "transposed": transposed}
            runs = (functools.partial(run, **given) for run in (_native.tangent_p.bind, _native._tangent_in_jax))
            got, want = (jax.jit(run)(*operands.values()) for run in runs)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.abs(want).max())
            axes = [2 if k == "b" else None for k in operands]
            both = jax.vmap(functools.partial(_native.tangent_p.bind, **given), axes, 2)(
                *(np.stack([b, b[::-1]], 2) if k == "b" else v for k, v in operands.items())
            )
            np.testing.assert_array_equal(both[..., 0, :], got)


D, M = 4, 3
RNG = np.random.default_rng(0)
GRU = CELLS["gru"]
X0, U = drive(GRU, RNG, 120)
METHODS = {
    "newton": {},
    "quasi_newton": {},
    "hutchinson": {"method": pards.QuasiNewton("hutchinson", probes=2, signs=RNG.choice([-1.0, 1.0], (2, 120, D)))},
    "picard": {"damping": 0.3},
    "jacobi": {},
    "scaled_identity": {"clip": True},
    "rotated_quasi_newton": {},
    "basis": {"method": pards.RotatedQuasiNewton(basis=np.linalg.qr(RNG.standard_normal((D, D)))[0])},
    "never": {"method": pards.RotatedQuasiNewton(refresh="never")},
    "chord": {"method": pards.Chord(period=3)},
    "block_newton": {"method": pards.BlockNewton(block=3)},
    "sequential": {},
}
TESTS = {
    "rtol": {},
    "looser": {"rtol": 1e-3, "atol": 1e-4},
    "capped": {"max_iterations": 2},
    "merit": {"merit_tol": 1e-10},
    "window": {"window": 50},
    "guess": {"guess": RNG.standard_normal((120, D))},
    "continue": {"nonfinite": "continue"},
}
PAIRS = [(name, "rtol") for name in METHODS] + [("quasi_newton", test) for test in TESTS if test != "rtol"]
PAIRS += [("hutchinson", "window")]


@jax_devices.of_a_cpu()
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "test"), PAIRS)
def test_it_is_what_pards_solve_does(name, test, dtype):
    """To the last bit: the same code has solved it. tests/test_semantics.py holds that to the spec."""
    given = {"method": name} | METHODS[name] | TESTS[test]
    given |= {"guess": given["guess"].astype(dtype)} if "guess" in given else {}
    cell, x0, u = cast(GRU, dtype), X0.astype(dtype), U.astype(dtype)
    found = jax.jit(lambda cell, x0, u: pards.jax.solve(cell, x0, u, **given))(cell, x0, u)
    want = pards.solve(cell, x0, u, raise_on_failure=False, device="cpu", **given)
    assert (int(found.iterations), pards.jax.STATUSES[int(found.status)]) == (want.iterations, want.status)
    assert bool(found.success) == want.success and found.states.dtype == dtype
    np.testing.assert_array_equal(found.states, want.states)
    for measure in ("merit", "residual", "error"):
        np.testing.assert_array_equal(getattr(found, measure), np.asarray(getattr(want, measure), dtype))


STEEP = cells.Elman(4 * RNG.standard_normal((D, M)), 2 * RNG.standard_normal((D, D)), np.zeros(D))
TURN = np.linalg.qr(np.random.default_rng(3).standard_normal((D, D)))[0]
WILD = cast(cells.Elman(np.full((D, M), 0.05), 8 * TURN, np.zeros(D)), np.float32)  # whose updates overflow
GROWING = cells.Linear(np.diag([30.0, 2.0, 1.0, 0.5]).astype(np.float32), np.eye(4, M, dtype=np.float32))
BITING = [
    (STEEP, {"method": "quasi_newton", "clip": True, "max_iterations": 5}),
    (WILD, {"method": "newton", "damping": "adaptive"}),
    (WILD, {"method": "newton", "window": "auto"}),
    (STEEP, {"method": "elk"}),
    (STEEP, {"method": pards.QuasiELK(trust=10.0)}),
    (GRU, {"method": "auto"}),
    *((GROWING, {"method": "newton", "nonfinite": policy, "max_iterations": 5}) for policy in ("continue", "reset")),
]


@jax_devices.of_a_cpu()
@pytest.mark.parametrize(("cell", "given"), BITING)
def test_options_that_matter_here(cell, given):
    """The bits of pards.solve, and not those of a solve without what is not the method."""
    x0, u = X0.astype(cell.dtype), U.astype(cell.dtype)
    found = pards.jax.solve(cell, x0, u, **given)
    want = pards.solve(cell, x0, u, raise_on_failure=False, device="cpu", **given)
    assert (int(found.iterations), pards.jax.STATUSES[int(found.status)]) == (want.iterations, want.status)
    np.testing.assert_array_equal(found.states, want.states)
    if len(given) > 1:
        cap = {"max_iterations": 5} if "max_iterations" in given else {}
        plain = pards.jax.solve(cell, x0, u, method=given["method"], **cap)
        assert not np.array_equal(plain.states, found.states)


@jax_devices.of_a_cpu()
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_in_a_batch(name):
    """Mapped twice, some of it shared; the batch of a batch is one of pards.solve's."""
    cell = CELLS[name]
    x0, u = drive(cell, np.random.default_rng(5), 6, T)
    method = "newton" if name != "lorenz" else "sequential"
    run = functools.partial(solved, cell, method=method)
    want = pards.solve(cell, x0, u, length=T, method=method, device="cpu")
    pairs = x0.reshape(2, 3, -1), None if u is None else u.reshape(2, 3, *u.shape[1:])
    axes = (0, None if u is None else 0)
    got = jax.jit(jax.vmap(jax.vmap(run, axes), axes))(*pairs)
    np.testing.assert_array_equal(got.states.reshape(want.states.shape), want.states)
    np.testing.assert_array_equal(got.iterations.ravel(), want.iterations)
    shared = jax.vmap(jax.vmap(run, (0, None)), (0, None))(pairs[0], None if u is None else u[0])
    want = pards.solve(cell, x0, None if u is None else u[0], length=T, method=method, device="cpu")
    np.testing.assert_array_equal(shared.states.reshape(want.states.shape), want.states)


@jax_devices.of_a_cpu()
def test_an_axis_that_is_not_the_first_and_a_guess():
    x0, u = drive(GRU, np.random.default_rng(6), 3, T)
    guess = np.random.default_rng(7).standard_normal((3, T, D))
    got = jax.vmap(lambda x0, u, guess: solved(GRU, x0, u, guess=guess), (1, 2, 1))(
        x0.T, np.moveaxis(u, 0, 2), np.moveaxis(guess, 0, 1)
    )
    np.testing.assert_array_equal(
        got.states, pards.solve(GRU, x0, u, guess=guess, method="newton", device="cpu").states
    )
    nested = jax.vmap(lambda u: jax.vmap(lambda x0: solved(GRU, x0, u).states)(x0))(u)
    np.testing.assert_array_equal(nested[1], pards.solve(GRU, x0, u[1], method="newton", device="cpu").states)


def test_a_solve_is_one_call_of_the_library():
    text = jax.jit(jax.vmap(lambda u: solved(GRU, X0, u).states)).lower(np.ones((3, T, M))).as_text()
    assert text.count("@pards_xla") == 1 and "while" not in text


def test_newton_of_larger_cells_is_left_to_jax_on_a_gpu(monkeypatch):
    """With the counts of the library, and its states to what rtol = 1e-10 leaves undone; elsewhere the library has it."""
    r = np.random.default_rng(18)
    cell = cells.GRU.init(hidden=12, inputs=3, seed=0, dtype=np.float64)
    x0, u, guess = r.standard_normal(12), r.standard_normal((2, 90, 3)), r.standard_normal((90, 12))
    run = jax.vmap(lambda u: solved(cell, x0, u, guess=guess, rtol=1e-10, window=50))
    want = run(u)
    monkeypatch.setattr(_native, "_gpu_is_there", lambda: True)
    traced = jax.jit(run).trace(u)
    on_cpu, on_gpu = (traced.lower(lowering_platforms=(platform,)) for platform in ("cpu", "cuda"))
    assert "while" in on_gpu.as_text() and "while" not in on_cpu.compile().as_text()  # old JAX leaves choices to XLA
    np.testing.assert_array_equal(run(u).states, want.states)
    monkeypatch.setattr(lax, "platform_dependent", lambda *given, cuda, default: cuda(*given))
    found = run(u)
    np.testing.assert_array_equal(found.iterations, want.iterations)
    np.testing.assert_array_equal(found.status, want.status)
    np.testing.assert_allclose(found.states, want.states, rtol=0, atol=1e-9)
    slope = jax.grad(lambda cell: weighed(solved(cell, x0, u[0], rtol=1e-12).states))(cell)
    exact = jax.grad(lambda cell: weighed(loop(cell, x0, u[0])))(cell)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), slope, exact)


def test_gradients_lower_for_a_gpu():
    """Where the recurrence of derivatives is scans of pards.jax, which ask for the devices: seen from a machine without."""
    cell, (x0, u) = CELLS["gru"], drive(CELLS["gru"], np.random.default_rng(8), T)
    slope = jax.jit(jax.grad(lambda cell, x0: weighed(solved(cell, x0, u).states)))
    assert "pards_xla_cuda" in slope.trace(cell, x0).lower(lowering_platforms=("cuda",)).as_text()


def weighed(states):
    return jnp.sum(jnp.sin(states) * jnp.cos(jnp.arange(states.size)).reshape(states.shape))


def floats(cell, x0, u):
    """What can be differentiated."""
    return (cell, x0) if cell.inputs == 0 else (cell, x0, u)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_the_loop(name, monkeypatch):
    """With respect to parameters, x0 and inputs; to what a solve to rtol = 1e-12 leaves undone, of sums of T terms. In
    pieces of time, whose last one is shorter."""
    monkeypatch.setattr(_solve, "PIECE", 0)
    monkeypatch.setattr(_solve, "LEAST", 16)
    cell = CELLS[name]
    x0, u = drive(cell, np.random.default_rng(8), T)
    own = lambda cell, x0, u=u: weighed(solved(cell, x0, u, rtol=1e-12).states)  # noqa: E731
    exact = lambda cell, x0, u=u: weighed(loop(cell, x0, u))  # noqa: E731
    given = floats(cell, x0, u)
    got, want = (jax.jit(jax.grad(f, argnums=tuple(range(len(given)))))(*given) for f in (own, exact))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), got, want)
    assert isinstance(got[0], type(cell))
    change = jax.tree.map(np.ones_like, given)
    forward = jax.jvp(own, given, change)[1]
    np.testing.assert_allclose(forward, sum(np.sum(leaf) for leaf in jax.tree.leaves(want)), rtol=1e-8)


def symmetric(cell):
    """Langevin's precision matrices, whose gradient is among symmetric ones, made such."""
    return jax.tree.map(lambda a: (a + jnp.swapaxes(a, 1, 2)) / 2 if np.ndim(a) == 3 else a, cell)


@pytest.mark.parametrize("name", ["gru", "langevin"])
def test_gradients_by_finite_differences(name):
    cell = CELLS[name]
    given = (cell, *drive(cell, np.random.default_rng(9), T))
    own = jax.jit(lambda cell, x0, u: weighed(solved(symmetric(cell), x0, u, rtol=1e-12).states))
    check_grads(own, given, 1, rtol=1e-4)


def test_second_derivatives():
    cell = CELLS["elman"]
    x0, u = drive(cell, np.random.default_rng(10), 20)
    own = lambda cell, u: weighed(solved(cell, x0, u, rtol=1e-12).states)  # noqa: E731
    exact = lambda cell, u: weighed(loop(cell, x0, u))  # noqa: E731
    got, want = (jax.tree.leaves(jax.jit(jax.hessian(f, argnums=(0, 1)))(cell, u)) for f in (own, exact))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-8), got, want)


@pytest.mark.parametrize("way", [{"method": "quasi_newton"}, {"window": 25}, {"method": "sequential"}])
def test_gradients_whatever_the_method(way):
    x0, u = drive(GRU, np.random.default_rng(8), T)
    tight = {} if "sequential" in way.values() else {"rtol": 1e-12}
    got = jax.grad(lambda cell: weighed(solved(cell, x0, u, **tight, **way).states))(GRU)
    want = jax.grad(lambda cell: weighed(loop(cell, x0, u)))(GRU)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), got, want)


def test_words_have_derivatives_by_the_state_alone():
    cell = CELLS["matrices"]
    x0, u = drive(cell, np.random.default_rng(11), T)
    got, want = (jax.grad(lambda x0: weighed(run(cell, x0, u)))(x0) for run in (lambda *a: solved(*a).states, loop))  # noqa: B023
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    with pytest.raises(TypeError, match=r"GroupWord\.permutations is asked for, which vary by whole steps"):
        jax.grad(lambda cell: weighed(solved(cell, x0, u).states))(cell)
    with pytest.raises(TypeError, match=r"GroupWord\.permutations is asked for"):
        jax.jit(jax.grad(lambda cell: weighed(solved(cell, x0, u).states)))(cell)


@jax_devices.of_a_cpu()
def test_a_mapped_cell_is_an_ensemble():
    """Members one after another; each as if alone, and so are its gradients."""
    members = [cells.GRU.init(D, M, seed=seed) for seed in range(3)]
    ensemble = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    x0, u = drive(GRU, np.random.default_rng(12), T)
    run = lambda cell, x0: solved(cell, x0, u)  # noqa: E731
    got = jax.jit(jax.vmap(run, (0, None)))(ensemble, x0)
    for i, member in enumerate(members):
        np.testing.assert_array_equal(got.states[i], pards.solve(member, x0, u, method="newton", device="cpu").states)
    slopes = jax.vmap(jax.grad(lambda cell: weighed(run(cell, x0).states)))(ensemble)
    for i, member in enumerate(members):
        alone = jax.grad(lambda cell: weighed(run(cell, x0).states))(member)
        np.testing.assert_allclose(slopes.weight_hh[i], alone.weight_hh, rtol=0, atol=1e-12)


def test_a_cell_is_a_tree_of_its_parameters():
    cell = cells.Langevin(mixture(np.random.default_rng(0), False), 0.02)
    leaves, form = jax.tree.flatten(cell)
    assert [np.shape(leaf) for leaf in leaves] == [(2, 3), (2, 3, 3), (2,), ()]
    anything = jax.tree.unflatten(form, "abcd")  # JAX puts anything there
    assert (anything.means, anything.step_size) == ("a", "d")
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(cell)]
    assert paths == [".means", ".precisions", ".log_weights", ".step_size"]
    assert jax.tree.leaves(cells.Linear(np.eye(2)))[0].shape == (2, 2)  # None is no leaf
    exchanged = jax.tree.map(lambda a: a + 1, CELLS["exchanged"])
    assert exchanged.exchanged is True and exchanged.dim == 4


@pytest.mark.parametrize("name", CELLS)
def test_a_tree_like_a_cell_is_shown(name):
    """Whatever its leaves are, arrays by their shapes."""
    for leaf in (None, "decay", (3, 3)):
        assert repr(leaf) in repr(jax.tree.map(lambda _: leaf, CELLS[name]))  # noqa: B023
    assert "Array([" not in repr(jax.tree.map(jnp.asarray, CELLS[name]))


@pytest.mark.parametrize("name", SMOOTH)
def test_a_cell_that_jax_returned_is_a_cell(name):
    """In its dtype, for NumPy."""
    cell = cast(CELLS[name], np.float32)
    back = jax.jit(lambda cell: jax.tree.map(lambda a: a * jnp.ones((), a.dtype), cell))(cell)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(back)) and back.dtype == cell.dtype
    x0, u = drive(cell, np.random.default_rng(13), T, dtype=np.float32)
    got, want = (pards.solve(c, x0, u, length=T, device="cpu").states for c in (back, cell))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
    v = np.ones_like(x0)
    got, want = (c.param_vjp(x0, None if u is None else u[0], v) for c in (back, cell))
    jax.tree.map(np.testing.assert_array_equal, got, want)


def remade(cell, params):
    """A cell by its constructor, of parameters that may be traced."""
    if isinstance(cell, cells.Langevin):
        parts = [params.pop(name) for name in ("means", "precisions", "log_weights")]
        return cells.Langevin(cells.GaussianMixture(*parts), **params)
    return type(cell)(**{name: getattr(cell, name) for name in cell.fields} | params)  # None and settings stay


@pytest.mark.parametrize("name", SMOOTH)
def test_a_cell_is_constructed_in_a_program(name):
    """What is traced is held: the gradient of a tree of arrays, from which the cell is made, is that of the cell."""
    cell = CELLS[name]
    x0, u = drive(cell, np.random.default_rng(19), T)
    tree = {key: getattr(cell, key) for key in _cells.leaves(type(cell)) if getattr(cell, key) is not None}

    def loss(cell):
        assert (cell.dim, cell.inputs) == (CELLS[name].dim, CELLS[name].inputs)
        return jnp.sin(solved(cell, x0, u).states).sum()

    got = jax.jit(jax.grad(lambda tree: loss(remade(cell, dict(tree)))))(jax.tree.map(jnp.asarray, tree))
    want = jax.grad(loss)(cell)
    assert set(got) == set(tree)
    for key, gradient in got.items():
        np.testing.assert_allclose(gradient, getattr(want, key), rtol=0, atol=1e-10 * np.abs(gradient).max())


def test_words_are_constructed_in_a_program():
    cell = CELLS["word"]
    x0, u = drive(cell, np.random.default_rng(20), T)
    got = jax.jit(lambda p: solved(cells.GroupWord(p), x0, u).states)(cell.permutations)
    np.testing.assert_array_equal(got, solved(cell, x0, u).states)


@pytest.mark.parametrize(
    ("error", "text", "use"),
    [
        (ValueError, r"Elman: weight_hh has shape \(4, 3\), want \(D, D\)", lambda w: cells.Elman(w, w, w[:, 0])),
        (
            TypeError,
            "Elman: bias is traced by JAX, want an array of numbers",
            lambda w: square(w)(np.ones(3), np.ones(3)),
        ),
        (TypeError, "solve: x0 is traced by JAX, want an array of numbers", lambda w: pards.solve(GRU, w[:, 0], U)),
        (TypeError, "GRU: exchanged is traced by JAX", lambda w: cells.GRU(*[w] * 4, exchanged=w[0, 0] > 0)),
        (TypeError, "Lorenz96: dim is", lambda w: cells.Lorenz96(w.sum().astype(int))),
        (TypeError, "QuasiNewton: signs is traced", lambda w: pards.QuasiNewton("hutchinson", signs=w)),
    ],
)
def test_what_is_traced_has_no_numbers(error, text, use):
    with pytest.raises(error, match=text):
        jax.jit(use)(np.ones((4, 3)))


def square(w):
    return cells.Elman(np.ones((3, 3)), np.ones((3, 3)), w[0])


def test_an_equinox_module_becomes_a_cell_in_a_program():
    eqx = pytest.importorskip("equinox", reason="equinox is not installed: pip install 'pards[exchange]'")
    module = eqx.nn.GRUCell(M, D, key=jax.random.key(0), dtype=np.float64)
    cell = eqx.nn.LSTMCell(M, D, key=jax.random.key(0), dtype=np.float64, use_bias=False)

    def total(run):
        return lambda module: jnp.square(run(module)).sum()

    def steps(module):
        return lax.scan(lambda x, u: (module(u, x),) * 2, jnp.zeros(D), U)[1]

    own = eqx.filter_grad(total(lambda m: solved(cells.GRU.from_equinox(m), np.zeros(D), U, rtol=1e-12).states))(module)
    exact = eqx.filter_grad(total(steps))(module)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), own, exact)
    assert eqx.filter_jit(lambda m: cells.LSTM.from_equinox(m).dim)(cell) == 2 * D


@jax_devices.of_a_cpu("on a GPU the states of such a sequence are the guess")
def test_what_is_not_finite():
    """Concerns its own sequence; of parameters, all."""
    x0, u = drive(GRU, np.random.default_rng(14), 3, T)
    good = jax.vmap(lambda x0, u: solved(GRU, x0, u))(x0, u)
    for broken in (
        (np.where(np.arange(3)[:, None] == 1, np.nan, x0), u),
        (x0, u + np.where(np.arange(3) == 1, np.inf, 0)[:, None, None]),
    ):
        bad = jax.vmap(lambda x0, u: solved(GRU, x0, u))(*broken)
        assert bad.success.tolist() == [True, False, True]
        assert pards.jax.STATUSES[int(bad.status[1])] == "nonfinite" and int(bad.iterations[1]) == 0
        assert np.isnan(bad.states[1]).all() and np.isinf(bad.merit[1])
        np.testing.assert_array_equal(bad.states[::2], good.states[::2])
    shared = jax.vmap(lambda x0: solved(GRU, x0, np.full((T, M), np.nan)))(x0)
    assert not shared.success.any()
    bad = jax.vmap(lambda u: solved(jax.tree.map(lambda a: a * np.nan, GRU), x0[0], u))(u)
    assert not bad.success.any() and np.isnan(bad.states).all()


def test_random_probes():
    """By a key alone: the same for the same, others for another, also where they are drawn anew."""
    hutchinson = [pards.QuasiNewton("hutchinson", probes=3, fresh=fresh) for fresh in (False, True)]
    for method in hutchinson:
        run = jax.jit(lambda key: solved(GRU, X0, U, method=method, max_iterations=2, key=key).states)  # noqa: B023
        one, two = jax.random.key(1), jax.random.key(2)
        np.testing.assert_array_equal(run(one), run(one))
        assert (run(one) != run(two)).any()
        np.testing.assert_array_equal(jax.vmap(run)(jnp.stack([one, two]))[1], run(two))


def test_threads_do_not_meet():
    """Solves of different cells at once, each as alone."""
    members = [cells.GRU.init(D, M, seed=seed) for seed in range(8)]
    run = jax.jit(lambda cell: solved(cell, X0, U).states)
    want = [np.asarray(run(member)) for member in members]

    def one(member):
        with jax_devices.x64(True):  # which a thread does not take from the one that made it
            return np.asarray(run(member))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, alone in zip(pool.map(one, members), want, strict=True):
                np.testing.assert_array_equal(got, alone)


def test_training_is_that_of_the_loop():
    """Ten steps of gradient descent on batches of sequences: the losses of lax.scan's, to what rtol = 1e-12 leaves undone."""
    x0, u = np.zeros(D), np.random.default_rng(15).standard_normal((4, T, M))
    target = np.tanh(np.cumsum(u[..., 0], 1) / 5)

    def losses(run):
        def loss(cell):
            return jnp.square(jax.vmap(lambda u: run(cell, u)[:, 0])(u) - target).mean()

        step, cell, seen = jax.jit(jax.value_and_grad(loss)), GRU, []
        for _ in range(10):
            value, slope = step(cell)
            cell = jax.tree.map(lambda a, b: a - 0.5 * b, cell, slope)
            seen.append(float(value))
        return seen

    own, exact = (
        losses(lambda cell, u: solved(cell, x0, u, rtol=1e-12).states),
        losses(lambda cell, u: loop(cell, x0, u)),
    )
    np.testing.assert_allclose(own, exact, rtol=1e-9)
    assert own[-1] < 0.7 * own[0]


def edit(**change):
    """The GRU with other leaves."""
    leaves, form = jax.tree_util.tree_flatten_with_path(GRU)
    return jax.tree.unflatten(form, [change.get(path[0].name, leaf) for path, leaf in leaves])


@pytest.mark.parametrize(
    ("error", "text", "change"),
    [
        (ValueError, r"params are given, want None: f is a GRU", {"params": 1.0}),
        (ValueError, r"x0 has shape \(3,\), want \(dim=4,\), the state of this GRU; jax.vmap", {"x0": np.zeros(3)}),
        (ValueError, r"x0 has shape \(2, 4\), want \(dim=4,\)", {"x0": np.zeros((2, 4))}),
        (TypeError, "x0 is of type dict, want an array", {"x0": {"h": np.zeros(4)}}),
        (TypeError, "weight_ih has dtype float64, want float32, that of x0", {"x0": np.zeros(4, np.float32)}),
        (ValueError, r"inputs have shape \(9, 2\), want \(time, inputs=3\)", {"inputs": np.zeros((9, 2))}),
        (ValueError, r"inputs have shape \(2, 9, 3\), want", {"inputs": np.zeros((2, 9, 3))}),
        (ValueError, r"inputs are None, want \(time, inputs=3\), which drive this GRU", {"inputs": None, "length": 5}),
        (TypeError, "inputs has dtype float32, want float64", {"inputs": np.zeros((9, 3), np.float32)}),
        (TypeError, "inputs are of type dict, want an array", {"inputs": {"u": np.zeros((9, 3))}}),
        (TypeError, "GRU.bias has dtype float32, want float64, that of x0", {"f": edit(bias=np.zeros(12, np.float32))}),
        (ValueError, r"GRU: bias has shape \(7,\), want \(3D,\) = \(12,\)", {"f": edit(bias=np.zeros(7))}),
        (ValueError, "GRU: bias is missing", {"f": edit(bias=None)}),
        (ValueError, "want None and length=T", {"f": CELLS["lorenz"], "x0": np.zeros(5)}),
        (TypeError, "inputs have dtype float64, want", {"f": CELLS["word"], "inputs": np.zeros(9)}),
        (
            ValueError,
            r"inputs have shape \(9, 1\), want \(time,\)",
            {"f": CELLS["word"], "inputs": np.zeros((9, 1), int)},
        ),
        (ValueError, "method is 'secant', want one of auto, block_newton, chord, elk", {"method": "secant"}),
        (ValueError, "method is elk and axis_name is given", {"method": "elk", "axis_name": "time"}),
        (TypeError, "damping is 'much', want a number", {"damping": "much"}),
        (ValueError, "window is 'wide', want a whole number", {"window": "wide"}),
        (ValueError, "key is None", {"method": pards.QuasiNewton("hutchinson")}),
        (ValueError, r"guess has shape \(3, 4\), want \(120, 4\)", {"guess": np.zeros((3, D))}),
    ],
)
def test_errors_while_tracing(error, text, change):
    given = {"f": GRU, "x0": X0, "inputs": U} | change
    with pytest.raises(error, match=text):
        jax.eval_shape(lambda: pards.jax.solve(**given))


def test_words_are_looked_at_when_run():
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"inputs holds 7 at .*want words: whole numbers from 0 to 4"):
        jax.block_until_ready(pards.jax.solve(CELLS["word"], np.zeros(4), np.full(9, 7)))


def test_double_precision_is_not_cut():
    with jax_devices.x64(False), pytest.raises(TypeError, match=r"GRU\.weight_ih has dtype float64, want float32"):
        pards.jax.solve(GRU, np.zeros(D, np.float32), U.astype(np.float32))


MESH = """
    cell, rng = pards.cells.GRU.init(4, 3, seed=0), np.random.default_rng(0)
    u, x0 = rng.standard_normal((96, 3)), rng.standard_normal(4)

    # time cut over the devices: the steps are JAX's there
    def cut(cell, x0, u):
        found = pards.jax.solve(cell, x0, u, axis_name="time")
        return found.states, found.iterations
    sharded = jax.jit(shard_map(cut, mesh=mesh, in_specs=(P(), P(), P("time")), out_specs=(P("time"), P())))
    whole = pards.jax.solve(cell, x0, u)
    states, count = sharded(cell, x0, u)
    assert int(count) == int(whole.iterations) and np.abs(states - whole.states).max() < 1e-10
    own = jax.grad(lambda cell: jnp.sin(sharded(cell, x0, u)[0]).sum())(cell)
    exact = jax.grad(lambda cell: jnp.sin(pards.jax.solve(cell, x0, u).states).sum())(cell)
    assert np.abs(own.weight_hh - exact.weight_hh).max() < 1e-6

    # the batch cut over them: each device solves its own
    u = rng.standard_normal((8, 50, 3))
    run = lambda cell, u: jax.vmap(lambda u: pards.jax.solve(cell, x0, u).states)(u)
    want, slope = run(cell, u), jax.grad(lambda cell: jnp.sin(run(cell, u)).sum())(cell)
    apart = shard_map(run, mesh=mesh, in_specs=(P(), P("time")), out_specs=P("time"))
    np.testing.assert_array_equal(jax.jit(apart)(cell, u), want)
    got = jax.grad(lambda cell: jnp.sin(apart(cell, u)).sum())(cell)
    np.testing.assert_allclose(got.weight_hh, slope.weight_hh, rtol=0, atol=1e-10)

    # spread arrays under plain jit
    spread = jax.device_put(u, NamedSharding(mesh, P("time")))
    np.testing.assert_array_equal(jax.jit(run)(cell, spread), want)
    # Until 0.7.2 JAX refuses a tangent whose type names the mesh of the inputs beside a primal whose type does not.
    if jax.__version_info__ >= (0, 7, 2):
        got = jax.jit(jax.grad(lambda cell, u: jnp.sin(run(cell, u)).sum()))(cell, spread)
        np.testing.assert_allclose(got.weight_hh, slope.weight_hh, rtol=0, atol=1e-10)
    print(len(jax.devices()), "devices")
"""


def test_eight_devices(tmp_path):
    printed = jax_devices.run(MESH, 8, tmp_path)
    assert printed.strip() == "8 devices"
