"""pards.jax.solve against pards.solve, the plain loop of JAX, its derivatives, and errors while JAX traces."""

import doctest
import functools
import inspect
import re

import jax_devices
import numpy as np
import pytest
import spec

pytestmark = pytest.mark.jax
jax = pytest.importorskip("jax", minversion="0.6", reason="needs JAX 0.6 or newer: pip install '.[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import pards.jax  # noqa: E402
from pards.jax import _linearise, _measure, _mesh, _solve  # noqa: E402

D, M, T = 4, 3, 120
RNG = np.random.default_rng(0)
CELL = pards.cells.GRU.init(hidden=D, inputs=M, seed=0, dtype=np.float64)
WEIGHTS = {name: getattr(CELL, name) for name in ("weight_ih", "weight_hh", "bias", "bias_n")}
U, X0 = RNG.standard_normal((T, M)), RNG.standard_normal(D)


@pytest.fixture(autouse=True)
def double():
    with jax_devices.x64(True):
        yield


def gru(x, u, w):
    i_r, i_z, i_n = jnp.split(w["weight_ih"] @ u + w["bias"], 3)
    h_r, h_z, h_n = jnp.split(w["weight_hh"] @ x, 3)
    r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * (h_n + w["bias_n"]))
    return n + z * (x - n)


def loop(x0, u, w):
    return lax.scan(lambda x, u: (gru(x, u, w),) * 2, x0, u)[1]


METHODS = {
    "newton": {},
    "quasi_newton": {},
    "hutchinson": {"method": pards.QuasiNewton("hutchinson", probes=2, signs=RNG.choice([-1.0, 1.0], (2, T, D)))},
    "picard": {"damping": 0.3},
    "jacobi": {},
    "scaled_identity": {"clip": True},
    "rotated_quasi_newton": {},
    "never": {"method": pards.RotatedQuasiNewton(refresh="never")},
    "pieces": {"method": pards.RotatedQuasiNewton(refresh="pieces")},  # T is less than a piece
    "contraction": {"method": pards.RotatedQuasiNewton(refresh="contraction")},
    "once a window": {"method": pards.RotatedQuasiNewton(refresh="window")},
    "chord": {"method": pards.Chord(period=3)},
    "block_newton": {"method": pards.BlockNewton(block=3)},
}
TESTS = {
    "rtol": {},
    "capped": {"max_iterations": 2},
    "merit": {"merit_tol": 1e-10},
    "window": {"window": 50},
    "guess": {"guess": RNG.standard_normal((T, D))},
}


PAIRS = [(name, "rtol") for name in METHODS] + [("quasi_newton", test) for test in TESTS if test != "rtol"]
PAIRS += [(name, "window") for name in METHODS if name not in ("newton", "quasi_newton", "picard", "jacobi")]
PAIRS += [("newton", "capped")]


@pytest.mark.parametrize(("name", "test"), PAIRS)
def test_counts_and_iterates_are_those_of_pards_solve(name, test):
    """tests/test_semantics.py holds those to the spec."""
    given = {"method": name} | METHODS[name] | TESTS[test]
    found = jax.jit(lambda: pards.jax.solve(gru, X0, U, WEIGHTS, **given))()
    want = pards.solve(CELL, X0, U, raise_on_failure=False, device="cpu", **given)
    assert (int(found.iterations), pards.jax.STATUSES[int(found.status)]) == (want.iterations, want.status)
    assert bool(found.success) == want.success
    scale = np.abs(want.states).max()  # iterates agree to rounding, of up to T sums that A near 1 adds up
    np.testing.assert_allclose(found.states, want.states, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(found.residual, want.residual, rtol=1e-3, atol=1e-11 * scale)
    np.testing.assert_allclose(found.error, want.error, rtol=1e-2, atol=1e-11)


BY_JAX = [("newton", "rtol"), ("block_newton", "window"), ("jacobi", "rtol"), ("quasi_newton", "merit")]


@pytest.mark.parametrize(("name", "test"), [*BY_JAX, ("quasi_newton", "capped"), ("quasi_newton", "guess")])
def test_counts_and_iterates_where_the_library_does_not_help(name, test, monkeypatch):
    jax_devices.without_the_library(monkeypatch)
    test_counts_and_iterates_are_those_of_pards_solve(name, test)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("window", [None, 50])
def test_drawn_signs_belong_to_their_steps(window, fresh):
    """The spec's counts and iterates with the same signs, whichever window a step is in."""
    key, method = jax.random.key(3), pards.QuasiNewton("hutchinson", probes=2, fresh=fresh)
    whole = _linearise.Trajectory(lambda x, u: x, jnp.zeros((T, D)), None, jnp.eye(D), None)
    draw = jax.jit(lambda k: _linearise.signs(method, whole, key, k))
    assert np.abs(draw(0).mean()) < 0.13 and (jnp.abs(draw(0)) == 1).all()  # four standard deviations
    assert (draw(0) != draw(1)).any() == fresh

    def theirs(jac, memory):
        return spec.hutchinson(np.asarray(draw(memory["k"])))(jac, memory)

    found = jax.jit(lambda: pards.jax.solve(gru, X0, U, WEIGHTS, method=method, window=window, key=key))()
    want = spec.solve(spec.GRU(**WEIGHTS), X0, U, theirs, window=window)[0]
    assert int(found.iterations) == want.iterations and bool(found.success)
    np.testing.assert_allclose(found.states, want.states, rtol=0, atol=1e-11)  # rounding of T sums of size 1


@pytest.mark.parametrize("size", [1, 1e-25])
@pytest.mark.parametrize("name", ["newton", "quasi_newton", "jacobi"])
def test_merit_is_summed_wider(name, size):
    """Counts of the spec in float32, also where squares are less than the smallest number of that."""
    f = lambda x, u: 0.5 * jnp.flip(x) + jnp.tanh(x / size) * size / 4 + u  # noqa: E731
    u = (size * U[:, :2]).astype(np.float32)
    given = {"method": name, "merit_tol": 1e-6 * size**2}
    found = jax.jit(lambda: pards.jax.solve(f, jnp.zeros(2, jnp.float32), u, **given))()
    J = jax.vmap(jax.jacfwd(f))
    cell = spec.SimpleNamespace(f=lambda x, u: np.asarray(jax.vmap(f)(x, u)), jac=lambda x, u: np.asarray(J(x, u)))
    method = {"quasi_newton": spec.quasi_newton, "newton": spec.newton, "jacobi": spec.jacobi}[name]
    want = spec.solve(cell, np.zeros(2, np.float32), u, method, merit_tol=given["merit_tol"])[0]
    assert int(found.iterations) == want.iterations > 2 and bool(found.success)
    np.testing.assert_allclose(found.states, want.states, rtol=0, atol=1e-5 * size)  # some eps of T sums


def test_merit_without_double_precision():
    """Pairwise: a sum of 4e6 squares to a few eps, one after another they are off by 2e-5."""
    guess = np.random.default_rng(1).uniform(0.5, 1.5, (1_000_000, 4)).astype(np.float32)
    with jax_devices.x64(False):
        run = jax.jit(lambda g: pards.jax.solve(lambda x, u: 0 * x, g[0], length=len(g), guess=g, max_iterations=0))
        found = run(guess)
    assert found.merit.dtype == np.float32
    np.testing.assert_allclose(found.merit, 0.5 * np.square(guess, dtype=np.float64).sum(), rtol=1e-6)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("block", [1, 2, 3, 9])
def test_blocks_the_last_of_which_is_smaller(block, clip):
    """Iterates of the spec's dense scan of J with nothing between blocks, and of pards.solve where those are clipped."""
    cell = pards.cells.Elman(RNG.standard_normal((D, M)), 3 * RNG.standard_normal((D, D)), np.zeros(D))
    given = {"method": pards.BlockNewton(block=block), "clip": clip, "max_iterations": 5, "nonfinite": "continue"}
    f = lambda x, u, w: jnp.tanh(w.weight_ih @ u + w.weight_hh @ x)  # noqa: E731
    found = jax.jit(lambda: pards.jax.solve(f, X0, U, cell, **given))()
    same = np.arange(D) // block == np.arange(D)[:, None] // block
    elman = spec.SimpleNamespace(f=cell, jac=cell.jacobian)
    keep = {"nonfinite": "continue", "max_iterations": 5}
    want = spec.solve(elman, X0, U, lambda jac, memory: ("dense", np.where(same, jac(), 0), None), **keep)[0]
    if clip:
        want = pards.solve(cell, X0, U, raise_on_failure=False, device="cpu", **given)
    assert int(found.iterations) == want.iterations == 5
    assert np.abs(want.states).max() > 1  # what clipping changes
    np.testing.assert_allclose(found.states, want.states, rtol=1e-9, atol=1e-9 * np.abs(want.states).max())


@jax_devices.of_a_cpu("the names of what finds eigenvectors are those on a CPU")
def test_a_basis_is_found_only_when_it_is_due():
    """In a loop of its own: of one that is large XLA takes what is the same in each round, into the loop of updates."""
    w = np.ones((64, 64)) / 64
    f = lambda x, u: jnp.tanh(w @ x + u)  # noqa: E731
    run = jax.vmap(lambda u: pards.jax.solve(f, np.zeros(64), u, method="rotated_quasi_newton"))
    program = jax.jit(run).lower(np.zeros((1, 100, 64))).compile().as_text()
    loops = [part for part in program.split("\n\n") if "syevd" in part]
    assert len(loops) == 1 and "while(" not in loops[0]


def test_blocks_are_not_made_dense():
    """No array of the program holds T D D numbers."""
    f, d, steps = lambda x, u: jnp.tanh(jnp.roll(x, 1) * x + u), 40, 30
    run = lambda u: pards.jax.solve(f, jnp.zeros(d), u, method=pards.BlockNewton(block=3)).states  # noqa: E731
    sizes = [var.aval.size for var in variables(jax.make_jaxpr(run)(jnp.ones((steps, d))).jaxpr)]
    assert steps * d * 3 <= max(sizes) < steps * d * d


def test_what_steps_share_is_multiplied_once():
    """Jacobians of a model with weights for three gates take no more than their own numbers."""
    run = lambda u: pards.jax.solve(gru, X0, u, WEIGHTS).states  # noqa: E731
    sizes = [var.aval.size for var in variables(jax.make_jaxpr(run)(U).jaxpr)]
    assert max(sizes) == T * D * D


def test_jacobians_of_many_components_take_their_own_memory():
    """Formed by one pass, they are written where they stay; by several, parts of them are held beside the whole."""
    d, steps = 48, 500
    w, u = RNG.standard_normal((3 * d, d)) / d, np.zeros((steps, d))

    def f(x, u):
        a, b, c = jnp.split(w @ x, 3)
        return jnp.tanh(a + u) * b + jnp.sin(c)

    program = jax.jit(lambda u: pards.jax.solve(f, jnp.zeros(d), u).states).lower(u).compile()
    assert program.memory_analysis().temp_size_in_bytes < 1.5 * 8 * steps * d * d


def variables(jaxpr):
    """What its operations make, those of the programs in it too."""
    for eqn in jaxpr.eqns:
        yield from eqn.outvars
        for held in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(held, "jaxpr", held)
            yield from variables(inner) if hasattr(inner, "eqns") else ()


def test_what_is_not_finite():
    grows = lambda x, u: 30 * x + x**3 + u  # noqa: E731
    u = np.ones((60, 1))
    found = pards.jax.solve(grows, np.zeros(1), u, method="picard")
    assert not found.success and pards.jax.STATUSES[int(found.status)] == "nonfinite"
    bad = pards.jax.solve(gru, np.full(D, np.nan), U, WEIGHTS)
    assert not bad.success
    for policy in ("continue", "reset"):
        assert not pards.jax.solve(grows, np.zeros(1), u, nonfinite=policy, max_iterations=3).success


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [1, 2, 1000, 40_000])
def test_what_is_measured(steps, dtype):
    """By the library in one pass or pieces, and by JAX: what numpy finds."""
    rng, least = np.random.default_rng(5), 1e-3
    x, f = (rng.standard_normal((2, steps, 3)).astype(dtype) * np.array([0, 1, 9], dtype) for _ in range(2))
    f[1, -1, 2] = np.nan
    given = [jnp.asarray(a) for a in (x, f, f, x)]
    for run in (_measure.measure_p.bind, _measure._measure_by_jax):
        found = np.array(jax.jit(functools.partial(run, least=least))(*given)).reshape(2, 4, 2)
        for (a, b), (largest, size, scale, squares) in zip([(x, f), (f, x)], found, strict=True):
            away, top = (np.abs(v).max(1).astype(np.float64) for v in (a - b, a))
            np.testing.assert_array_equal(largest, away.max(1))
            np.testing.assert_array_equal(scale, top.max(1))
            np.testing.assert_allclose(size, (away / (least + top)).max(1), rtol=4 * np.finfo(dtype).eps)
            np.testing.assert_allclose(squares, np.square((a - b).astype(np.float64)).sum((1, 2)), rtol=1e-14 * steps)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_is_no_number_where_there_is_one(dtype, sign):
    """Whatever its sign; of magnitudes, whatever theirs."""
    x = np.array([[3, 1, 2], [np.copysign(np.nan, sign), np.inf, -9], [7, 2, 8]], dtype)
    for copies in (1, 1 + _mesh.NARROW // 3):
        for found in jax.jit(_mesh.largest)(np.tile(x, copies), np.tile(-x, copies)):
            np.testing.assert_array_equal(found, copies * [np.nan, np.inf, 9])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["newton", "quasi_newton", "jacobi"])
def test_what_is_not_a_number_is_never_passed_over(method, dtype):
    """One step of many that has no value: outcomes of pards.solve, whatever is done with it. (jaxlib 0.10 has a
    maximum for long arrays which does not see it.)"""
    u = np.abs(np.random.default_rng(4).standard_normal((20_000, 2))).astype(dtype)
    u[777, 0] = -1
    f = lambda x, u: jnp.stack([jnp.sqrt(u[0]), 0.5 * x[1] + u[1]])  # noqa: E731
    own = lambda x, u: np.stack([np.sqrt(u[..., 0]), 0.5 * x[..., 1] + u[..., 1]], -1).astype(dtype)  # noqa: E731
    for policy in ("stop", "continue"):
        given = {"method": method, "nonfinite": policy, "max_iterations": 40}
        found = pards.jax.solve(f, np.zeros(2, dtype), u, **given)
        with np.errstate(invalid="ignore"):
            want = pards.solve(own, np.zeros(2, dtype), u, raise_on_failure=False, device="cpu", **given)
        assert (pards.jax.STATUSES[int(found.status)], int(found.iterations)) == (want.status, want.iterations)
        assert want.status == "nonfinite" and not found.success and np.isnan(found.residual)


def test_programs_are_few():
    """Compiling takes some 20 ms for each of them on a CPU. Here they come to 13, of which 4 are f, its derivative and
    the start, and 6 take the course of a solve apart; 19 where XLA has what tests an iterate and makes the next one."""
    f, u = lambda x, u: jnp.tanh(0.5 * x[::-1] + u), np.ones((2, 4000, 3), np.float32)
    solve = jax.vmap(lambda u: pards.jax.solve(f, jnp.zeros(3, jnp.float32), u))
    text = jax.jit(solve).lower(u).compile().as_text()
    assert sum(text.count(f"kind={kind}") for kind in ("kLoop", "kInput", "kOutput")) <= 14


@jax_devices.of_a_cpu("a GPU's kernels compute again what would take longer to fetch")
@pytest.mark.parametrize("options", [{}, {"method": "quasi_newton", "window": 50}, {"window": "auto"}], ids=str)
def test_what_hangs_on_inputs_alone_is_computed_once(options):
    """XLA takes it out of the loop of an iteration, so that nothing here need do it."""
    weights = 0.1 * RNG.standard_normal((2, 3, 3))

    def f(x, u):
        return jnp.tanh(weights[0] @ x + jnp.sin(weights[1] @ u))

    text = jax.jit(lambda u: pards.jax.solve(f, jnp.zeros(3), u, **options)).lower(U).compile().as_text()
    held = [operations(text, body) for body in re.findall(r"body=%?([\w.-]+)", text)]
    loops = [own for own in held if "tanh" in own]
    assert " sine(" in text
    assert loops and "sine" not in min(loops, key=len)


def operations(text, name):
    """Those of a computation of XLA's and of all that it calls."""
    lines = re.search(rf"^(?:ENTRY )?%?{re.escape(name)} .*?^}}", text, re.M | re.S).group()
    called = re.findall(r"(?:calls|to_apply|body|condition|[a-z]+_computation)=%?([\w.-]+)", lines)
    own = re.findall(r" ([a-z-]+)\(", lines)
    return own + [each for inner in called for each in operations(text, inner)]


def test_empty():
    found = pards.jax.solve(gru, X0, U[:0], WEIGHTS)
    assert found.states.shape == (0, D) and found.success and int(found.iterations) == 0


@pytest.mark.parametrize("f", [gru, CELL], ids=["function", "cell"])
def test_a_batch_of_none(f):
    """Has no states and no say in a gradient."""
    params = () if f is CELL else (WEIGHTS,)
    batch = jax.vmap(lambda u, *x0: pards.jax.solve(f, x0[0] if x0 else X0, u, *params))
    found = jax.jit(batch)(np.zeros((0, T, M)))
    assert found.states.shape == (0, T, D) and found.iterations.shape == (0,)
    assert batch(np.zeros((0, T, M)), np.zeros((0, D))).states.shape == (0, T, D)
    assert jax.vmap(batch)(np.zeros((2, 0, T, M))).states.shape == (2, 0, T, D)
    slope = jax.grad(
        lambda x0: jax.vmap(lambda u: pards.jax.solve(f, x0, u, *params).states)(np.zeros((0, T, M))).sum()
    )
    np.testing.assert_array_equal(slope(X0), np.zeros(D))


@pytest.mark.parametrize("f", [gru, CELL], ids=["function", "cell"])
def test_without_jit(f):
    """As one looks into a program that does not do what it should."""
    params = () if f is CELL else (WEIGHTS,)
    want = pards.jax.solve(f, X0, U[:9], *params).states
    with jax.disable_jit():
        np.testing.assert_allclose(pards.jax.solve(f, X0, U[:9], *params).states, want, rtol=0, atol=1e-12)


def test_no_tracer_outlives_its_program():
    with jax.check_tracer_leaks():
        jax.jit(lambda u: pards.jax.solve(gru, X0, u, WEIGHTS).states)(U)


@pytest.mark.parametrize("name", ["function", "cell", "scan"])
def test_a_batch_of_a_size_that_is_not_known(name):
    """An exported program, for batches of any size."""
    run = {
        "function": jax.vmap(lambda u: pards.jax.solve(gru, X0, u, WEIGHTS).states),
        "cell": jax.vmap(lambda u: pards.jax.solve(CELL, X0, u).states),
        "scan": lambda u: pards.jax.scan(pards.lds.Identity(), u),
    }[name]
    export = pytest.importorskip("jax.export", reason="jax.export of older versions wants absl")
    (size,) = export.symbolic_shape("size")
    unchecked = [export.DisabledSafetyCheck.custom_call("pards_xla_cpu")]
    given = jax.ShapeDtypeStruct((size, T, M), np.float64)
    exported = export.export(jax.jit(run), platforms=["cpu"], disabled_checks=unchecked)(given)
    if jax.default_backend() == "cpu":
        u = np.stack([U, 2 * U])
        np.testing.assert_array_equal(exported.call(u), run(u))


def loss(solver):
    weight = jnp.cos(jnp.arange(T * D)).reshape(T, D)
    return lambda x0, u, w: jnp.sum(jnp.sin(solver(x0, u, w)) * weight)


GIVEN = (X0, U, WEIGHTS)
WAYS = {
    "newton": {},
    "diagonal": {"method": "quasi_newton"},
    "windows": {"window": 50},
    "pieces": {},  # of time, one after another
    "beyond": {},  # the dimensions whose Jacobians are formed
}


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_the_loop(way, monkeypatch):
    """With respect to all arguments, to rounding where Jacobians are formed and to what the solve leaves undone."""
    if way == "beyond":
        monkeypatch.setattr(_solve, "DENSE_MOST", D - 1)
    if way == "pieces":
        monkeypatch.setattr(_solve, "PIECE", 0)
        text = str(jax.make_jaxpr(lambda p: _solve._in_pieces(lambda p, u: p, p, None))(np.zeros((T, D))))
        assert ("scan" in text) == (jax.default_backend() == "cpu")  # a GPU has no use for pieces
    own = loss(lambda x0, u, w: pards.jax.solve(gru, x0, u, w, rtol=1e-12, **WAYS[way]).states)
    exact = loss(loop)
    got, want = (jax.jit(jax.grad(f, argnums=(0, 1, 2)))(*GIVEN) for f in (own, exact))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), got, want)
    if way in ("newton", "pieces"):
        np.testing.assert_allclose(jax.jit(jax.jacfwd(own))(*GIVEN), want[0], rtol=0, atol=1e-9)
    if way in ("newton", "pieces", "beyond"):
        got, want = (jax.jit(jax.hessian(f))(*GIVEN) for f in (own, exact))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-8)


def test_gradients_where_diagonals_do_not_settle(monkeypatch):
    """A rotation by 60 degrees: what its diagonal leaves over grows 1.7-fold in each update. In a batch others settle."""
    monkeypatch.setattr(_solve, "DENSE_MOST", D - 1)
    x0, u = jnp.asarray(X0), jnp.asarray(RNG.standard_normal((T, D)))

    def weight(angle):
        c, s = 0.99 * jnp.cos(angle), 0.99 * jnp.sin(angle)
        return jnp.kron(jnp.eye(D // 2), jnp.array([[c, -s], [s, c]]))

    def total(angle, run):
        return jnp.sin(run(lambda x, u: weight(angle) @ x + 0.01 * jnp.sin(x) + u, x0, u)).sum()

    own = functools.partial(total, run=lambda *given: pards.jax.solve(*given, rtol=1e-12).states)
    exact = functools.partial(total, run=lambda f, x0, u: lax.scan(lambda x, u: (f(x, u),) * 2, x0, u)[1])
    angles = jnp.array([0.1, 1.0, jnp.pi / 3])
    for change in (jax.grad, jax.jacfwd, jax.hessian):
        got, want = (jax.jit(jax.vmap(change(f)))(angles) for f in (own, exact))
        np.testing.assert_allclose(got, want, rtol=1e-9)  # 1e-12 of the recurrence, times 1 / (1 - 0.99)


def test_gradients_by_finite_differences():
    own = jax.jit(loss(lambda x0, u, w: pards.jax.solve(gru, x0, u, w, rtol=1e-12).states))
    check_grads(lambda x0: own(x0, *GIVEN[1:]), GIVEN[:1], 1, rtol=1e-4)


def test_what_f_closes_over_has_a_gradient():
    def total(w, solver):
        return solver(lambda x, u: jnp.tanh(w * x + u), jnp.zeros(2), jnp.ones((20, 2))).sum()

    own = jax.grad(lambda w: total(w, lambda f, x0, u: pards.jax.solve(f, x0, u, rtol=1e-12).states))(0.3)
    exact = jax.grad(lambda w: total(w, lambda f, x0, u: lax.scan(lambda x, u: (f(x, u),) * 2, x0, u)[1]))(0.3)
    np.testing.assert_allclose(own, exact, rtol=1e-10)


def test_a_batch_stops_one_by_one():
    """Under vmap counts are those of each sequence alone."""
    x0, u = RNG.standard_normal((3, D)) * [[0.1], [1], [30]], RNG.standard_normal((3, T, M)) * [[[0.01]], [[1]], [[9]]]
    together = jax.jit(jax.vmap(lambda x0, u: pards.jax.solve(gru, x0, u, WEIGHTS)))(x0, u)
    alone = [pards.solve(CELL, *pair, method="newton", device="cpu") for pair in zip(x0, u, strict=True)]
    assert together.iterations.tolist() == [one.iterations for one in alone]
    assert len(set(together.iterations.tolist())) > 1
    np.testing.assert_allclose(together.states, [one.states for one in alone], rtol=0, atol=1e-10)


def test_pytrees():
    def f(x, u):
        return {"a": jnp.tanh(x["a"] + u["s"] * x["b"].sum()), "b": 0.5 * x["b"] + u["v"]}

    x0 = {"a": jnp.zeros(2), "b": jnp.ones((2, 1))}
    u = {"s": jnp.ones(30), "v": jnp.asarray(RNG.standard_normal((30, 2, 1)))}
    found = pards.jax.solve(f, x0, u, rtol=1e-12)
    want = lax.scan(lambda x, u: (f(x, u),) * 2, x0, u)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10), found.states, want)
    guessed = pards.jax.solve(f, x0, u, guess=want)
    assert int(guessed.iterations) <= 1


def test_numbers_beside_arrays():
    """Take the dtype of those."""
    x0, u = (jnp.zeros(2, np.float32), 0.0), jnp.ones((5, 2), np.float32)
    found = pards.jax.solve(lambda x, u: (0.5 * x[0] + u, 0.5 * x[1] + u[0]), x0, u).states
    assert found[0].dtype == found[1].dtype == np.float32
    np.testing.assert_array_equal(found[1], found[0][:, 0])


def test_equinox_modules_are_params():
    eqx = pytest.importorskip("equinox", reason="equinox is not installed: pip install 'pards[exchange]'")
    cell = eqx.nn.GRUCell(M, D, key=jax.random.key(0))
    cell = jax.tree.map(lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a, cell)
    u = jnp.asarray(U)

    def total(cell, run):
        arrays, static = eqx.partition(cell, eqx.is_inexact_array)
        return jnp.square(run(lambda x, u, p: eqx.combine(p, static)(u, x), jnp.zeros(D), u, arrays)).sum()

    own = eqx.filter_grad(total)(cell, lambda f, x0, u, p: pards.jax.solve(f, x0, u, p, rtol=1e-12).states)
    exact = eqx.filter_grad(total)(cell, lambda f, x0, u, p: lax.scan(lambda x, u: (f(x, u, p),) * 2, x0, u)[1])
    np.testing.assert_allclose(own.weight_hh, exact.weight_hh, rtol=0, atol=1e-9)


def nnx_module():
    """Itself a pytree."""
    nnx = pytest.importorskip("flax.nnx", reason=NO_FLAX)
    return lambda x, u, p: p(x, u)[0], nnx.GRUCell(M, D, param_dtype=np.float64, rngs=nnx.Rngs(0)), nnx.grad


def linen_module():
    linen = pytest.importorskip("flax.linen", reason=NO_FLAX)
    cell = linen.GRUCell(D, param_dtype=np.float64)
    return lambda x, u, p: cell.apply(p, x, u)[0], cell.init(jax.random.key(0), X0, U[0]), jax.grad


NO_FLAX = "flax is not installed; CONTRIBUTING.md has the command that tests it"


@pytest.mark.parametrize("module", [nnx_module, linen_module])
def test_flax_modules_are_params(module):
    f, params, grad = module()
    own = grad(lambda p: jnp.square(pards.jax.solve(f, X0, U, p, rtol=1e-12).states).sum())(params)
    exact = grad(lambda p: jnp.square(lax.scan(lambda x, u: (f(x, u, p),) * 2, X0, U)[1]).sum())(params)
    assert jax.tree.structure(own) == jax.tree.structure(exact)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(exact), strict=True):
        assert np.abs(b).max() > 0.1
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_examples():
    """Of every public function; they are in float32."""
    public = [name for name in dir(pards.jax) if inspect.isfunction(getattr(pards.jax, name)) and name != "check"]
    assert public == ["scan", "solve"]
    with jax_devices.x64(False):
        for name in public:
            (found,) = doctest.DocTestFinder().find(getattr(pards.jax, name), name, globs={})
            assert found.examples, name
            assert not doctest.DocTestRunner().run(found).failed, name


def test_f_is_traced_at_one_site():
    """While the loop is traced; shapes are looked at once before."""
    calls = []

    def counted(x, u):
        calls.append(1)
        return jnp.tanh(x + u)

    jax.make_jaxpr(lambda u: pards.jax.solve(counted, np.zeros(2), u).states)(np.ones((9, 2)))
    assert len(calls) <= 2


class jitted:
    """What is no array, as a module's activation."""


TWO_KEYS = jax.random.split(jax.random.key(0))
SHORT = pards.QuasiNewton("hutchinson", signs=np.ones((1, 9, D)))


@pytest.mark.parametrize(
    ("error", "text", "change"),
    [
        (TypeError, "x0 has dtype int", {"x0": np.zeros(D, int)}),
        (TypeError, "f returned dtype float32, want float64", {"f": lambda x, u: x.astype(jnp.float32)}),
        (ValueError, r"f returned shape \(2,\), want \(4,\)", {"f": lambda x, u: x[:2]}),
        (TypeError, "f returned the form", {"f": lambda x, u: (x, u)}),
        (ValueError, "method is 'secant', want one of auto, block_newton, chord", {"method": "secant"}),
        (TypeError, "method is 'block_newton', want an object", {"method": "block_newton"}),
        (TypeError, r"want an object: Newton\(\)", {"method": pards.Newton}),
        (ValueError, "length is 7, want 120", {"length": 7}),
        (ValueError, "want inputs, or length=T", {"inputs": None}),
        (ValueError, r"guess has shape \(3, 4\), want \(120, 4\)", {"guess": np.zeros((3, D))}),
        (ValueError, "merit_tol and rtol", {"merit_tol": 1e-3, "rtol": 1e-3}),
        (ValueError, "rtol is 0", {"rtol": 0}),
        (ValueError, "damping is 2", {"damping": 2}),
        (ValueError, 'window is 0, want a whole number of at least 1, "auto", or None', {"window": 0}),
        (TypeError, "damping is 'half', want a number, or \"adaptive\"", {"damping": "half"}),
        (TypeError, "damping is True, want a number", {"damping": True}),
        (TypeError, "rtol is True, want a number", {"rtol": True}),
        (TypeError, "clip is 'no', want True or False", {"clip": "no"}),
        (ValueError, "solve: axis_name is 'time', want an axis of the mesh", {"axis_name": "time"}),
        (
            TypeError,
            r"params\['act'\] is of type jitted, want arrays alone.*eqx.partition",
            {"params": {"act": jitted()}},
        ),
        (TypeError, r"inputs\[0\] is of type str, want arrays alone", {"inputs": ("no", U)}),
        (ValueError, "nonfinite is 'go'", {"nonfinite": "go"}),
        (ValueError, "key is None", {"method": pards.QuasiNewton("hutchinson")}),
        (TypeError, "key is of type int, want one key", {"method": pards.QuasiNewton("hutchinson"), "key": 0}),
        (
            TypeError,
            "want one key of jax.random: fold_in",
            {"method": pards.QuasiNewton("hutchinson"), "key": TWO_KEYS},
        ),
        (TypeError, "x0 has dtype key<fry>, want float32 or float64", {"x0": (X0, TWO_KEYS)}),
        (TypeError, "x0 has arrays of dtypes float64, float32, want", {"x0": (X0, X0.astype(np.float32))}),
        (ValueError, r"method is \['newton'\], want one of auto", {"method": ["newton"]}),
        (TypeError, "f is the class GRU, want a cell", {"f": pards.cells.GRU}),
        (ValueError, r"signs have shape \(1, 9, 4\), want \(probes, time=120, dim=4\)", {"method": SHORT}),
        (ValueError, r"basis has shape \(3, 3\)", {"method": pards.RotatedQuasiNewton(basis=np.eye(3))}),
    ],
)
def test_errors_while_tracing(error, text, change):
    given = {"f": lambda x, u: x + u.sum(), "x0": X0, "inputs": U} | change
    with pytest.raises(error, match=text):
        jax.eval_shape(lambda: pards.jax.solve(**given))


def test_what_must_be_static():
    with pytest.raises(TypeError, match="merit_tol is traced by JAX"):
        jax.jit(lambda tol: pards.jax.solve(gru, X0, U, WEIGHTS, merit_tol=tol))(1e-3)
    with pytest.raises(TypeError, match="method is traced by JAX"):
        jax.jit(lambda method: pards.jax.solve(gru, X0, U, WEIGHTS, method=method))(1)


def test_double_precision_is_not_cut():
    x0, u = np.zeros(2, np.float32), np.zeros((3, 1), np.float32)
    for name, given in {
        "x0": {"x0": np.zeros(2)},
        "inputs": {"inputs": np.zeros((3, 1))},
        "guess": {"guess": np.zeros((3, 2))},
        r"params\['w'\]": {"params": {"w": np.zeros(2)}},
    }.items():
        message = f"solve: {name} has dtype float64, which JAX would cut to float32"
        with jax_devices.x64(False), pytest.raises(TypeError, match=message):
            pards.jax.solve(lambda x, u, w: x, **({"x0": x0, "inputs": u, "params": x0} | given))


def test_the_arrays_of_a_module_with_functions():
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    module = eqx.nn.MLP(2, 2, 4, 1, key=jax.random.key(0), dtype=np.float64)
    arrays, rest = eqx.partition(module, eqx.is_array)
    f = lambda x, u, a: 0.5 * eqx.combine(a, rest)(x) + u  # noqa: E731
    u = np.random.default_rng(0).standard_normal((20, 2))
    found = pards.jax.solve(f, np.zeros(2), u, arrays)
    x, loop = np.zeros(2), []
    for one in u:
        x = 0.5 * module(x) + one
        loop.append(x)
    assert np.abs(found.states - np.array(loop)).max() <= 1e-8  # rtol, of states of size 2
    with pytest.raises(TypeError, match=r"eqx\.partition"):
        pards.jax.solve(lambda x, u, m: m(x) + u, np.zeros(2), u, module)


SHARDED = """
    rng = np.random.default_rng(0)
    W, u, x0 = rng.standard_normal((4, 4)) / 3, rng.standard_normal((96, 4)), rng.standard_normal(4)
    f = lambda x, u, W: jnp.tanh(W @ x + u)
    given = rng.choice([-1.0, 1.0], (2, 96, 4))
    probed = pards.QuasiNewton("hutchinson", probes=2), pards.QuasiNewton("hutchinson", probes=2, signs=given)
    for method in ("newton", "quasi_newton", "rotated_quasi_newton", "picard", *probed):
        given = {"method": method, "key": jax.random.key(0)}
        def cut(x0, u, W):
            found = pards.jax.solve(f, x0, u, W, axis_name="time", **given)
            return found.states, found.iterations
        sharded = jax.jit(shard_map(cut, mesh=mesh, in_specs=(P(), P("time"), P()), out_specs=(P("time"), P())))
        states, count = sharded(x0, u, W)
        whole = pards.jax.solve(f, x0, u, W, **given)
        assert int(count) == int(whole.iterations), (method, count, whole.iterations)
        assert np.abs(states - whole.states).max() < 1e-10, method
        own = jax.grad(lambda W: jnp.sin(sharded(x0, u, W)[0]).sum())(W)
        exact = jax.grad(lambda W: jnp.sin(pards.jax.solve(f, x0, u, W, **given).states).sum())(W)
        assert np.abs(own - exact).max() < 1e-6, method
    print(len(jax.devices()), "devices")
"""


def test_time_cut_over_eight_devices(tmp_path):
    """The counts, states and gradients of the whole on one."""
    printed = jax_devices.run(SHARDED, 8, tmp_path)
    assert printed.strip() == "8 devices"


def test_a_batch_spread_over_devices(tmp_path):
    """Each solves its own sequences, by what one device finds of them, and no array is gathered."""
    printed = jax_devices.run(SPREAD, 4, tmp_path)
    assert printed.split() == ["4", "0"]


def test_a_batch_over_a_mesh_by_hand(tmp_path):
    """In a shard_map without axis_name, of which only inputs know; the states and gradients of one device."""
    printed = jax_devices.run(BY_HAND, 4, tmp_path)
    assert printed.strip() == "4 devices"


BY_HAND = """
f = lambda x, u, W: jnp.tanh(W @ x + u)
rng = np.random.default_rng(0)
W, u, guess = rng.standard_normal((3, 3)) / 3, rng.standard_normal((8, 20, 3)), np.zeros((20, 3))
ways = {name: {"method": name} for name in ("newton", "rotated_quasi_newton", "elk", "auto", "sequential")}
ways |= {"chord": {"method": pards.Chord(period=2)}, "windows": {"window": 6}, "damping": {"damping": "adaptive"}}
ways |= {"probes": {"method": pards.QuasiNewton("hutchinson"), "key": jax.random.key(0)}, "guess": {"guess": guess}}
for name, given in ways.items():
    def batch(W, u):
        return jax.vmap(lambda u: pards.jax.solve(f, jnp.zeros(3), u, W, rtol=1e-12, **given).states)(u)
    apart = shard_map(batch, mesh=mesh, in_specs=(P(), P("time")), out_specs=P("time"))
    for run in (lambda f: f, lambda f: jax.grad(lambda W, u: jnp.sin(f(W, u)).sum())):
        got, want = jax.jit(run(apart))(W, u), jax.jit(run(batch))(W, u)
        assert np.abs(got - want).max() < 1e-10, name
print(len(jax.devices()), "devices")
"""


SPREAD = """
f = lambda x, u: jnp.tanh(0.5 * x[::-1] + u)
u = np.random.default_rng(0).standard_normal((8, 100, 3))
solve = jax.jit(jax.vmap(lambda u: pards.jax.solve(f, jnp.zeros(3), u)))
spread = jax.device_put(u, NamedSharding(mesh, P("time")))
for got, want in zip(solve(spread), solve(u)):
    np.testing.assert_array_equal(got, want)
print(len(jax.devices()), solve.lower(spread).compile().as_text().count("all-gather("))
"""
