"""Trust regions, damping and windows that adapt, and method "auto", for functions of JAX: as pards.solve does it."""

import jax_devices
import numpy as np
import pytest

pytestmark = pytest.mark.jax
jax = pytest.importorskip("jax", minversion="0.6", reason="needs JAX 0.6 or newer: pip install '.[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

import pards.jax  # noqa: E402
from pards.jax import _auto, _elk  # noqa: E402
from pards.jax._solve import _options  # noqa: E402


@pytest.fixture(autouse=True)
def double():
    with jax_devices.x64(True):
        yield


T, D = 200, 2
U, X0 = np.random.default_rng(0).standard_normal((T, D)), np.zeros(D)
ELK, QUASI = pards.ELK, pards.QuasiELK


def two_wells(x, u):
    """From the ridge between the wells, where every Jacobian of the guess is 1.1: see test_elk.py."""
    return x + 0.1 * (x - x**3) + 0.3 * u


def both(method, f=two_wells, x0=X0, u=U, **options):
    """What JAX finds, and pards.solve with the same function; jac as that is exact too."""
    jac = jax.jit(jax.vmap(jax.jacfwd(f)))
    found = jax.jit(lambda: pards.jax.solve(f, x0, u, method=method, **options))()
    want = pards.solve(
        jax.vmap(f) if f is not two_wells else f,
        x0,
        u,
        method=method,
        jac=lambda x, u: np.asarray(jac(x, u)),
        raise_on_failure=False,
        **options,
    )
    return found, want


def agree(found, want, atol=1e-11):
    assert (int(found.iterations), pards.jax.STATUSES[int(found.status)]) == (want.iterations, want.status)
    np.testing.assert_allclose(found.states, want.states, rtol=0, atol=atol)  # rounding, which a ridge amplifies
    np.testing.assert_allclose(found.merit, want.merit, rtol=1e-3, atol=1e-24)
    np.testing.assert_allclose(found.error, want.error, rtol=1e-2, atol=1e-11)


@pytest.mark.parametrize(
    "method",
    [
        ELK(),
        QUASI(),
        ELK(adaptive=False),
        QUASI(trust=0.5, adaptive=False),
        ELK(smoother=False),
        QUASI(smoother=False, trust=1.0),
    ],
    ids=str,
)
def test_trust_regions(method):
    agree(*both(method, **({} if method.adaptive else {"max_iterations": 60})))


@pytest.mark.parametrize("options", [{"merit_tol": 1e-10}, {"max_iterations": 7}], ids=str)
def test_tests_of_trust_regions(options):
    agree(*both("quasi_elk", **options))


@jax_devices.of_a_cpu()
@pytest.mark.parametrize("method", ["elk", "quasi_elk"])
def test_where_newton_overflows(method):
    want = lax.scan(lambda x, u: (two_wells(x, u),) * 2, X0, U)[1]
    for name in ("newton", "quasi_newton", "picard"):
        assert pards.jax.STATUSES[int(pards.jax.solve(two_wells, X0, U, method=name).status)] == "nonfinite"
    found = pards.jax.solve(two_wells, X0, U, method=method)
    assert found.success
    assert np.abs(found.states - want).max() <= 2e-8  # rtol is 1e-8


def test_a_trust_region_lives_through_windows():
    agree(*both("elk", window=80, rtol=1e-5))


@pytest.mark.parametrize("quasi", [False, True])
def test_update_is_the_minimiser(quasi):
    """One update against the dense system (J'J + I / trust) dx = -J'r of a model that expands."""
    rng = np.random.default_rng(1)
    W, u, x, trust, steps, d = 3 * rng.standard_normal((3, 3)), *rng.standard_normal((2, 40, 3)), 5.0, 40, 3
    f = lambda x, u: jnp.tanh(W @ x) + u  # noqa: E731
    before = np.concatenate([np.zeros((1, d)), x[:-1]])
    A = (1 - np.tanh(before @ W.T) ** 2)[:, :, None] * W
    J = np.eye(steps * d)
    for t in range(1, steps):
        J[t * d : (t + 1) * d, (t - 1) * d : t * d] = -(A[t] * np.eye(d) if quasi else A[t])
    r = (x - np.tanh(before @ W.T) - u).ravel()
    dx = np.linalg.solve(J.T @ J + np.eye(steps * d) / trust, -J.T @ r).reshape(steps, d)
    method = (QUASI if quasi else ELK)(trust=trust, adaptive=False)
    found = pards.jax.solve(f, np.zeros(d), u, guess=x, method=method, max_iterations=1)
    assert np.abs(found.states - (x + dx)).max() <= 1e-10  # the condition of the system is below 1e4


SWINGS = 3 * np.random.default_rng(2).standard_normal((4, 4))


def swings(x, u):
    """A network whose Jacobians are up to 5 in size."""
    return jnp.tanh(SWINGS @ x + u)


@jax_devices.of_a_cpu()
@pytest.mark.parametrize(
    "method", ["newton", "quasi_newton", "rotated_quasi_newton", "chord", "picard", "jacobi", "elk"]
)
def test_windows_that_adapt(method):
    """By merit, where no count hangs on the last bits of f, as it does where windows of one step end by rtol. Iterates
    that all but overflow on their way differ by more than rounding."""
    method = pards.Chord(period=3) if method == "chord" else method
    found, want = both(method, window="auto", merit_tol=1e-9)
    agree(found, want, 1e-6)
    assert found.success


def test_windows_that_adapt_where_the_library_does_not_help(monkeypatch):
    jax_devices.without_the_library(monkeypatch)
    test_windows_that_adapt("newton")


@pytest.mark.parametrize("guess", [None, "far"])
@pytest.mark.parametrize("method", ["newton", "quasi_newton", "elk"])
def test_damping_that_adapts(method, guess):
    u = np.random.default_rng(3).standard_normal((120, 4))
    given = {} if guess is None else {"guess": 3 * np.random.default_rng(4).standard_normal((120, 4))}
    found, want = both(method, swings, np.zeros(4), u, damping="adaptive", max_iterations=12, **given)
    agree(found, want, 1e-6)


@jax_devices.of_a_cpu()
def test_damping_and_windows_that_adapt():
    plain = {"merit_tol": 1e-9, "max_iterations": 30}
    assert not both("newton", **plain)[1].success
    found, want = both("newton", window="auto", damping="adaptive", merit_tol=1e-9)
    agree(found, want)
    assert found.success


def test_a_given_guess_is_left_once_it_misleads():
    guess = np.random.default_rng(5).standard_normal((T, D))
    agree(*both("newton", window="auto", guess=guess, merit_tol=1e-9))


def test_what_overflows_itself_is_told():
    f = lambda x, u: 1e30 * x  # noqa: E731
    found = pards.jax.solve(f, np.ones(1), length=20, method="picard", window="auto")
    assert not found.success and pards.jax.STATUSES[int(found.status)] == "nonfinite"
    np.testing.assert_allclose(found.states[:10, 0], 1e30 ** np.arange(1, 11), rtol=1e-12)
    np.testing.assert_array_equal(found.states[11:], 1)  # the guess


@jax_devices.of_a_cpu()
@pytest.mark.parametrize("method", ["newton", "rotated_quasi_newton", "elk", pards.BlockNewton(block=1)])
def test_jacobians_that_are_no_numbers(method):
    """sqrt |x - c| at c: f is right there and no derivative is."""
    f = lambda x, u: 0.3 * jnp.sqrt(jnp.abs(jnp.where(x > 0, x - x, x))) + 0.5 * jnp.tanh(x) + u  # noqa: E731
    u = np.abs(U[:60])
    want = lax.scan(lambda x, u: (f(x, u),) * 2, X0, u)[1]
    assert not np.isfinite(jax.vmap(jax.jacfwd(f))(want, u)).all()
    found = pards.jax.solve(f, X0, u, method=method, window="auto")
    assert found.success
    assert np.abs(found.states - want).max() <= 1e-7


@pytest.mark.parametrize(
    "options", [{"method": "elk"}, {"window": "auto"}, {"damping": "adaptive"}, {"method": "auto"}]
)
def test_maps_and_gradients(options):
    """Counts are those of each sequence alone, and derivatives those of the loop."""
    u = np.random.default_rng(6).standard_normal((3, 60, D)) * np.reshape([0.1, 1, 2], (3, 1, 1))
    solve = lambda u, a: pards.jax.solve(lambda x, u, a: two_wells(x, a * u), X0, u, a, **options)  # noqa: E731
    together = jax.jit(jax.vmap(solve, (0, None)))(u, 1.0)
    alone = [jax.jit(solve)(one, 1.0) for one in u]
    if options.get("damping") is None:
        assert together.success.all()
    assert together.iterations.tolist() == [int(one.iterations) for one in alone]
    assert len(set(together.iterations.tolist())) > 1
    np.testing.assert_allclose(together.states, [one.states for one in alone], rtol=0, atol=1e-10)
    if "damping" in options:
        return
    loss = lambda u, a: jnp.sin(solve(u, a).states).sum()  # noqa: E731
    exact = lambda u, a: jnp.sin(lax.scan(lambda x, u: (two_wells(x, a * u),) * 2, X0, u)[1]).sum()  # noqa: E731
    for got, want in zip(*(jax.jit(jax.grad(way, (0, 1)))(u[0], 1.0) for way in (loss, exact)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)  # states are solved to 1e-8


@pytest.mark.parametrize("window", [None, 20, "auto"])
def test_nothing_is_done_with_a_large_residual(window):
    """From 1e300 plain iterates are 1e30, 1e3 and 2, so that updates shrink by many orders, until they do not."""
    roots = lambda x, u: jnp.abs(x) ** 0.1 + 0 * u  # noqa: E731
    x0, u, guess = np.full(1, 2.0), np.zeros(40), np.full((40, 1), 1e300)
    found = pards.jax.solve(roots, x0, u, guess=guess, method="jacobi", window=window)
    want = lax.scan(lambda x, u: (roots(x, u),) * 2, x0, u)[1]
    assert found.success
    assert np.abs(found.states - want).max() <= 1e-7


def test_a_stiff_double_well_is_solved_aright():
    """From the ridge J = 3.8: first iterates of some windows are 1e25, and come down by many orders an update."""
    well = lambda x, u: x + 0.05 * (8 * jnp.tanh(8 * x) - 8 * x) + 0.1**0.5 * u  # noqa: E731
    x0, u = np.zeros(1), np.random.default_rng(100_000).standard_normal((100_000, 1))
    found = pards.jax.solve(well, x0, u, method="quasi_newton", window=50)
    want = lax.scan(lambda x, u: (well(x, u),) * 2, x0, u)[1]
    assert found.success
    assert np.abs(found.states - want).max() <= 1e-6  # rtol, summed over the windows


def test_auto_takes_newton_whole_where_f_is_affine():
    A = 1.5 * np.linalg.qr(np.random.default_rng(7).standard_normal((3, 3)))[0]
    affine = lambda x, u, A: jnp.einsum("ij,j->i", A, x) + jnp.exp(u) * A[0]  # noqa: E731
    assert _auto.affine(affine, jnp.zeros(3), jnp.zeros(()), jnp.asarray(A))
    for other in (lambda x, u, A: affine(x, u, A) * x[0], lambda x, u, A: jnp.maximum(x, 0)):
        assert not _auto.affine(other, jnp.zeros(3), jnp.zeros(()), jnp.asarray(A))
    u = np.random.default_rng(8).standard_normal(50)
    o = _options(np.float64, "auto", None, None, None, None, None, 0.0, False, "stop", None)
    chosen = _auto.choose(o, affine, 50, jnp.ones(3), jnp.zeros(()), jnp.asarray(A))
    assert (chosen.method.name, chosen.window) == ("newton", None)
    found = pards.jax.solve(affine, np.ones(3), u, A, method="auto")
    assert found.success and int(found.iterations) <= 2  # one, and one that shows it
    want = lax.scan(lambda x, u: (affine(x, u, A),) * 2, np.ones(3), u)[1]
    np.testing.assert_allclose(found.states, want, rtol=1e-10)


@pytest.mark.parametrize(("dim", "method"), [(2, "newton"), (70, "quasi_newton")])
def test_auto_takes_windows_that_adapt(dim, method):
    u = np.random.default_rng(9).standard_normal((150, dim))
    given = [{"method": "auto"}, {"method": method, "window": "auto"}]
    auto, named = (jax.jit(lambda g=g: pards.jax.solve(two_wells, np.zeros(dim), u, **g))() for g in given)
    assert auto.success and int(auto.iterations) == int(named.iterations)
    np.testing.assert_array_equal(auto.states, named.states)


def test_numbers_are_those_of_the_library():
    """Of core/method/elk.go, by the choice of whether and how an iterate is kept."""
    x = jnp.zeros((2, 1))
    g = _elk.region(ELK(), x, np.float64)
    trusts, trust = [], jnp.asarray(100.0)
    for merit in (4.0, 2.0, 3.0, 1.0, 0.5):
        g, trust, _, _ = _elk.judge(ELK(), g, trust, x, jnp.asarray(merit), jnp.asarray(1.0))
        trusts.append(float(trust))
    assert trusts == [100, 300, 150, 150, 450]


@pytest.mark.parametrize(
    ("error", "text", "change"),
    [
        (ValueError, r"ELK: trust is 0.0, want a number above 0", lambda: {"method": ELK(trust=0.0)}),
        (ValueError, r"ELK: trust is -1.0, want a number above 0", lambda: {"method": ELK(trust=-1.0)}),
        (ValueError, r"QuasiELK: trust is nan, want a number above 0", lambda: {"method": QUASI(trust=np.nan)}),
        (TypeError, r"ELK: trust is '1', want a number", lambda: {"method": ELK(trust="1")}),
        (TypeError, r"ELK: trust is True, want a number", lambda: {"method": ELK(trust=True)}),
        (TypeError, r"ELK: adaptive is 1, want True or False", lambda: {"method": ELK(adaptive=1)}),
        (TypeError, r"QuasiELK: smoother is None, want True or False", lambda: {"method": QUASI(smoother=None)}),
        (TypeError, r"damping is 'auto', want a number", lambda: {"damping": "auto"}),
        (ValueError, r"window is 'adaptive', want a whole number", lambda: {"window": "adaptive"}),
    ],
)
def test_errors_while_tracing(error, text, change):
    with pytest.raises(error, match=text):
        jax.eval_shape(lambda: pards.jax.solve(two_wells, X0, U, **change()))


def test_a_traced_trust():
    with pytest.raises(TypeError, match="want a number that is known when JAX traces"):
        jax.jit(lambda trust: pards.jax.solve(two_wells, X0, U, method=ELK(trust=trust)).states)(1.0)


SHARDED = """
    rng = np.random.default_rng(0)
    W, u, guess = 2 * rng.standard_normal((4, 4)), rng.standard_normal((96, 4)), 3 * rng.standard_normal((96, 4))
    f = lambda x, u: jnp.tanh(W @ x + u)
    for given in ({"method": "newton", "damping": "adaptive"}, {"method": "auto", "damping": "adaptive"}):
        given |= {"max_iterations": 12}
        def cut(u, guess):
            found = pards.jax.solve(f, jnp.zeros(4), u, guess=guess, axis_name="time", **given)
            return found.states, found.iterations, found.status
        specs = {"in_specs": (P("time"), P("time")), "out_specs": (P("time"), P(), P())}
        states, count, status = jax.jit(shard_map(cut, mesh=mesh, **specs))(u, guess)
        whole = pards.jax.solve(f, jnp.zeros(4), u, guess=guess, **(given | {"method": "newton"}))
        assert (int(count), int(status)) == (int(whole.iterations), int(whole.status)), (count, whole.iterations)
        assert np.abs(states - whole.states).max() < 1e-8
    try:
        jax.eval_shape(shard_map(lambda u: pards.jax.solve(f, jnp.zeros(4), u, method="elk", axis_name="time").states,
                                 mesh=mesh, in_specs=P("time"), out_specs=P("time")), u)
    except ValueError as error:
        print(error)
"""


def test_time_cut_over_four_devices(tmp_path):
    """Damping that adapts has the counts of the whole on one; a trust region is refused."""
    printed = jax_devices.run(SHARDED, 4, tmp_path)
    assert "method is elk and axis_name is given" in printed
