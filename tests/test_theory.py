"""The numbers of the theory: against the golden arrays, dense algebra, closed forms, and counts of real solves."""

import dataclasses

import numpy as np
import pytest
from golden import METHODS, TOL, Case

import pards

PROP3 = ("gru_D4_T1000_s0", "langevin_D8_T500_s0", "langevin_D4_T500_s0")
FILES = (*PROP3, "gru_D8_T1000_s0", "kwells_K4_D8_T300_s0", "twowell_D2_T500_s0", "s5_T200_s0")


def analyse(case, method, states, **options):
    return pards.theory.analyse(
        case.cell, case.x0, case.inputs[0], states, case.method(method), guess=case.guess, **options
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FILES)
def test_along_the_trajectory(name, method) -> None:
    """star_*: both spectral norms in float64; what is nothing but rounding there is so here. Lanczos stops within 1e-6 at these sizes."""
    case = Case(name, np.float64)
    found = analyse(case, method, case.data["states_seq64"][0], updates=0)
    want = float(case.data[f"star_maxdiff_{method}"])
    assert abs(found.difference - want) <= 1e-12 + 1e-10 * want
    if name in PROP3:
        assert found.inverse_norm == pytest.approx(float(case.data[f"star_invnorm_{method}"]), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROP3)
def test_along_iterates(name, method) -> None:
    """prop3_*: along the iterates k, whose own rounding is 1e-6 of what the norms make of it at most."""
    case, seen = Case(name, np.float64), 0
    for k in (0, 1, 2, 3, 8, 20):
        want = {what: float(case.data[f"prop3_{what}_{method}"][k]) for what in ("maxdiff", "invnorm")}
        sol = pards.solve(
            case.cell, case.x0, case.inputs[0], guess=case.guess, method=case.method(method), merit_tol=0.0,
            max_iterations=k, nonfinite="continue", raise_on_failure=False,
        )  # fmt: skip
        if sol.iterations < k or not np.isfinite(sol.states).all() or np.isnan(want["maxdiff"]):
            continue
        found, seen = analyse(case, method, sol.states, updates=0), seen + 1
        assert found.difference == pytest.approx(want["maxdiff"], rel=1e-5, abs=1e-12)
        assert found.inverse_norm == pytest.approx(want["invnorm"], rel=1e-5)
    assert seen >= 2


def dense(A):
    T, D, _ = A.shape
    M = np.eye(T * D)
    for t in range(1, T):
        M[t * D : (t + 1) * D, (t - 1) * D : t * D] = -A[t]
    return M


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("method", ["newton", "quasi_newton", "rotated_quasi_newton", "scaled_identity", "jacobi"])
def test_against_dense_algebra(method, native) -> None:
    """A written out by NumPy; a function's Jacobian by forward differences is 1e-7 off."""
    rng = np.random.default_rng(5)
    T, D = 30, 3
    V, W, b = rng.standard_normal((D, 2)), rng.standard_normal((D, D)), rng.standard_normal(D)
    x0, u = rng.standard_normal((2, D)), rng.standard_normal((2, T, 2))

    def f(x, u):
        return np.tanh(x @ W.T + u @ V.T + b)

    cell = pards.cells.Elman(V, W, b)
    found = pards.theory.analyse(cell if native else f, x0, u, method=method)
    for i in range(2):
        x = pards.solve(cell, x0[i], u[i], method="sequential").states
        J = cell.jacobian(np.concatenate([x0[i][None], x[:-1]]), u[i])
        Q = np.linalg.eigh((J.mean(0) + J.mean(0).T) / 2)[1]
        A = {
            "newton": J,
            "quasi_newton": J * np.eye(D),
            "rotated_quasi_newton": Q @ ((Q.T @ J @ Q) * np.eye(D)) @ Q.T,
            "scaled_identity": np.trace(J, axis1=1, axis2=2)[:, None, None] / D * np.eye(D),
            "jacobi": 0 * J,
        }[method]
        tolerance = 1e-9 if native else 1e-5
        want = np.linalg.norm((J - A)[1:], 2, (1, 2)).max()
        assert found.difference[i] == pytest.approx(want, rel=tolerance, abs=tolerance)
        assert found.inverse_norm[i] == pytest.approx(
            np.linalg.norm(np.linalg.inv(dense(A)), 2), rel=10 * tolerance + 1e-6
        )


def test_batch_is_its_sequences() -> None:
    p = pards.problems.gru(200, 3, batch=2, dtype=np.float64)
    together = pards.theory.analyse(p.cell, p.x0, p.inputs, method="quasi_newton", guess=p.guess)
    for i in range(2):
        alone = pards.theory.analyse(p.cell, p.x0, p.inputs[i], method="quasi_newton", guess=p.guess)
        for name in ("difference", "inverse_norm", "lipschitz", "rate", "radius", "lyapunov", "start"):
            assert getattr(together, name)[i] == getattr(alone, name)
        assert (together.error[i] == alone.error).all()
        assert together.predicted_iterations()[i] == alone.predicted_iterations()
        assert together.bound_iterations(1e-3)[i] == alone.bound_iterations(1e-3)


def test_linear_model_in_closed_form() -> None:
    """x' = a x + u: Lyapunov exponent log a, no curvature; Jacobi's error falls by a an update, once it is no longer that of the guess."""
    a, T = 0.8, 400
    p = pards.problems.scalar_lds(T, a, dtype=np.float64)
    found = pards.theory.analyse(p.cell, p.x0, p.inputs[0], method="jacobi", guess=p.guess, updates=20)
    assert found.lyapunov == pytest.approx(np.log(a), abs=1e-12)
    assert found.lyapunov_error < 1e-12
    assert found.lipschitz == 0
    assert np.isinf(found.radius)
    assert found.rate == pytest.approx(a, rel=1e-12)
    assert found.merit[20] == pytest.approx(found.merit[10] * a**20, rel=0.05)  # of 400 steps, those that leave
    r = p.guess[:, 0] - a * np.concatenate([[0], p.guess[:-1, 0]]) - p.inputs[0, :, 0]
    assert found.merit[0] == pytest.approx(0.5 * (r**2).sum(), rel=1e-12)
    x = pards.solve(p.cell, p.x0, p.inputs[0], method="sequential").states
    assert found.start == pytest.approx(np.linalg.norm(p.guess - x), rel=1e-12)
    assert found.error[0] == pytest.approx(np.abs(p.guess - x).max() / (1e-3 + np.abs(x).max()), rel=1e-12)
    newton = pards.theory.analyse(p.cell, p.x0, p.inputs[0], method="newton", guess=p.guess)
    assert newton.rate == 0
    assert newton.predicted_iterations(merit_tol=1e-8) == 1


def test_bound() -> None:
    """e' = rate e + |Jt^-1| L / 2 e^2, by hand."""
    p = pards.problems.gru(50, 2, dtype=np.float64)
    found = pards.theory.analyse(p.cell, p.x0, p.inputs[0], method="quasi_newton")
    assert found.rate == found.inverse_norm * found.difference < 1
    assert found.radius == pytest.approx(2 * (1 - found.rate) / (found.inverse_norm * found.lipschitz))
    near = dataclasses.replace(found, start=0.5 * found.radius)
    e, k = near.start, 0
    while e > 1e-3:
        e, k = found.rate * e + found.inverse_norm * found.lipschitz / 2 * e**2, k + 1
    assert near.bound_iterations(1e-3) == k > 0
    assert dataclasses.replace(found, start=found.radius).bound_iterations(1e-3) == 50
    assert dataclasses.replace(found, start=1e-4).bound_iterations(1e-3) == 0


def test_lipschitz() -> None:
    """x' = 0.1 x + c x^2 in each component: |J(z) - J(x)| = 2 c max |z - x|, so L = 2 c, along the axes. A direction of signs sees
    1 / sqrt D of it, one towards the guess what that has."""
    c = 0.05

    def f(x, u):
        return 0.1 * x + c * x**2 + u

    def jac(x, u):
        return (0.1 + 2 * c * x)[..., None] * np.eye(x.shape[-1])

    u = 0.1 * np.random.default_rng(0).standard_normal((50, 2))
    found = pards.theory.analyse(f, np.zeros(2), u, method="newton", jac=jac)
    assert 2 * c / np.sqrt(2) * 0.99 <= found.lipschitz <= 2 * c * 1.0001


@pytest.mark.parametrize("given", [False, True])
def test_lyapunov_of_the_logistic_map(given: bool) -> None:
    """x' = 4 x (1 - x): log 2."""
    found = pards.theory.analyse(
        lambda x, u: 4 * x * (1 - x), [0.3], length=1000, method="jacobi", updates=0,
        jac=(lambda x, u: (4 - 8 * x)[..., None]) if given else None,
    )  # fmt: skip
    assert abs(found.lyapunov - np.log(2)) <= found.lyapunov_error <= 0.02


def test_lyapunov_that_has_not_turned() -> None:
    """Eigenvalues 1 and 0.99, across the first vector: in 100 steps it grows by neither, and its means of blocks are alike."""
    for angle in (0.2, 0.6, 1.2):
        c, s = np.cos(angle), np.sin(angle)
        A = np.array([[c, -s], [s, c]]) @ np.diag([1, 0.99]) @ np.array([[c, s], [-s, c]])
        found = pards.theory.analyse(pards.cells.Linear(A), np.ones(2), length=100, method="jacobi", updates=0)
        assert abs(found.lyapunov) <= 2 * found.lyapunov_error <= 0.02


def test_lyapunov_of_lorenz96() -> None:
    """Forcing 8 and 40 components: 1.67 a unit of time (Karimi and Paul 2010, 1.68 +- 0.02), a step being 0.01 of it."""
    cell = pards.cells.Lorenz96(40)
    start = 8.0 + 0.01 * np.arange(40)
    warm = pards.solve(cell, start, length=3000, method="sequential").states[-1]
    found = pards.theory.analyse(cell, warm, length=4000, method="jacobi", updates=0)
    assert abs(found.lyapunov / 0.01 - 1.67) <= 4 * found.lyapunov_error / 0.01 + 0.05
    assert "chaotic" in found.explain()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("method", METHODS)
def test_predicted_counts(name, method) -> None:
    """Those of the public code, within a factor of two, or three where the guess is in another well than the trajectory."""
    case = Case(name, np.float64)
    g = case.data
    actual = int(g[f"iters_{method}_f64"][0] - (g[f"merit_near_{method}_f64"][0, 1] <= TOL))
    found = analyse(case, method, g["states_seq64"][0])
    predicted = found.predicted_iterations(merit_tol=TOL)
    assert actual / 3 <= predicted <= 2 * actual + 1


def test_elk_is_followed_in_its_region() -> None:
    """A fixed region of size s leaves at least 1 / (1 + s |J|^2) of an error: the count of a real solve, within a quarter."""
    p = pards.problems.gru(200, 3, dtype=np.float64)
    method = pards.ELK(trust=2.0, adaptive=False)
    found = pards.theory.analyse(p.cell, p.x0, p.inputs[0], method=method, guess=p.guess)
    sol = pards.solve(p.cell, p.x0, p.inputs[0], method=method, guess=p.guess, merit_tol=1e-8)
    assert abs(found.predicted_iterations(merit_tol=1e-8) - sol.iterations) <= 0.25 * sol.iterations + 1


def test_elk_is_followed_while_its_region_grows() -> None:
    p = pards.problems.gru(200, 3, dtype=np.float64)
    method = pards.ELK(trust=0.1)
    found = pards.theory.analyse(p.cell, p.x0, p.inputs[0], method=method, guess=p.guess)
    sol = pards.solve(p.cell, p.x0, p.inputs[0], method=method, guess=p.guess, merit_tol=1e-8)
    assert abs(found.predicted_iterations(merit_tol=1e-8) - sol.iterations) <= 2


def test_compare_ranks() -> None:
    p = pards.problems.gru(4000, 4, dtype=np.float64)
    ranked = pards.theory.compare(p.cell, p.x0, p.inputs, guess=p.guess, merit_tol=TOL)
    assert {r.method for r in ranked} >= {"newton", "quasi_newton", "picard", "jacobi", "sequential", "elk"}
    assert list(ranked) == sorted(ranked, key=lambda r: r.seconds)
    by_name = {r.method: r for r in ranked}
    for name in ("newton", "quasi_newton", "jacobi"):
        actual = p.solve(method=name, merit_tol=TOL).iterations.item()
        assert abs(by_name[name].iterations - actual) <= 1 + 0.5 * actual
    assert by_name["picard"].iterations > 1000 or np.isinf(by_name["picard"].seconds)
    assert "predicted for 4,000 steps from 512" in repr(ranked)


def test_compare_sees_beyond_the_pilot() -> None:
    """A small step: on 512 steps all take two updates; on 20000 what A leaves out adds up."""
    p = pards.problems.langevin(20_000, 16)
    methods = ["newton", "quasi_newton", "picard"]
    ranked = pards.theory.compare(p.cell, p.x0, p.inputs, guess=p.guess, merit_tol=TOL, methods=methods)
    counts = {r.method: r.iterations for r in ranked}
    assert counts["newton"] == 2
    for name in ("quasi_newton", "picard"):
        actual = p.solve(method=name, merit_tol=TOL).iterations.item()
        assert actual / 2.5 <= counts[name] <= 2.5 * actual
        assert actual > 10


def test_compare_of_a_function_prefers_few_calls() -> None:
    """The loop pays for a call of Python a step."""
    u = np.random.default_rng(0).standard_normal((20000, 4))
    ranked = pards.theory.compare(
        lambda x, u: np.tanh(0.5 * x + u), np.zeros(4), u, methods=["newton", "quasi_newton", "jacobi", "sequential"]
    )
    assert ranked.best.method != "sequential"


def test_explain_tells_why() -> None:
    p = pards.problems.gru(1000, 8, dtype=np.float64)
    told = p.solve(method="quasi_newton", merit_tol=TOL).explain()
    found = pards.theory.analyse(p.cell, p.x0, p.inputs[0], method="quasi_newton", guess=p.guess)
    assert f"differs from the Jacobian by up to {found.difference:.3g}" in told
    assert f"Largest Lyapunov exponent {found.lyapunov:.3g}" in told
    assert f"With A as it is along the trajectory {found.predicted_iterations(merit_tol=TOL)} updates" in told
    assert "expected of newton" in told
    assert "No other method is expected to take fewer" in p.solve(method="newton").explain()
    assert "Along the first 1,024 steps of sequence 0" in pards.problems.gru(1500, 2).solve(method="newton").explain()


def test_explain_tells_why_not() -> None:
    """From the ridge between two wells, where J = 1.1 all along the guess."""
    u = 0.3 * np.random.default_rng(0).standard_normal((1000, 2))

    def f(x, u):
        return x + 0.1 * (x - x**3) + u

    sol = pards.solve(f, np.zeros(2), u, method="newton", raise_on_failure=False)
    told = sol.explain()
    assert sol.status == "nonfinite"
    assert "|Jt^-1| is 1.29e+42 along the guess, 201 along the trajectory." in told
    assert "On the first 256 steps these converge: quasi_elk" in told
    chaotic = pards.solve(pards.cells.Lorenz96(8), np.arange(8.0), length=3000, method="newton", raise_on_failure=False)
    assert "chaotic or expanding" in chaotic.explain()
    assert "lost to any method" in chaotic.explain()


def test_explain_does_not_fall_with_the_model() -> None:
    """A function that works only in one solve: two updates, and the look at two steps and at one."""
    left = [5]

    def f(x, u):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the file is gone")
        return 0.0 * x

    told = pards.solve(f, np.ones(2), length=5, method="jacobi").explain()
    assert told.endswith("The theory was not computed: the file is gone")
    assert "converged" in told


@pytest.mark.parametrize(
    "method", [pards.QuasiNewton(diagonal="hutchinson", signs=np.ones((1, 2000, 3))), pards.Chord(period=2)]
)
def test_explain_with_settings(method) -> None:
    sol = pards.problems.gru(2000, 3).solve(method=method, window=500)
    assert "Along the first 1,024 steps" in sol.explain()


@pytest.mark.parametrize("size", [{"length": 0}, {"length": 1}])
def test_tiny(size) -> None:
    cell = pards.cells.Lorenz96(4)
    found = pards.theory.analyse(cell, np.ones(4), **size, method="newton")
    assert found.error.shape == (65,)
    assert len(pards.theory.compare(cell, np.ones(4), **size)) > 3


def test_interrupted_model() -> None:
    """What a function raises comes out."""

    def f(x, u):
        raise ZeroDivisionError("in f")

    with pytest.raises(ZeroDivisionError, match="in f"):
        pards.theory.analyse(f, np.zeros(2), np.ones((5, 1)), np.zeros((5, 2)))


CELL, X0, U = pards.cells.GRU.init(hidden=2, inputs=1, seed=0), np.zeros(2), np.ones((5, 1))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pards.theory.analyse(CELL, X0, U, np.zeros((4, 2))), ValueError, r"analyse: states has shape \(4, 2\), want \(T, D\) = \(5, 2\)"),
        (lambda: pards.theory.analyse(CELL, X0, U, np.full((5, 2), np.nan)), ValueError, r"analyse: states holds NaN, want finite"),
        (lambda: pards.theory.analyse(CELL, X0, U, method="sequential"), ValueError, r'analyse: method is "sequential", want a method that iterates'),
        (lambda: pards.theory.analyse(CELL, X0, U, method="auto"), ValueError, r'analyse: method is "auto", want one of'),
        (lambda: pards.theory.analyse(CELL, X0, U, updates=-1), ValueError, r"analyse: updates is -1"),
        (lambda: pards.theory.analyse(CELL, X0, U, damping=2.0), ValueError, r"damping is 2"),
        (lambda: pards.theory.analyse(3, X0, U), TypeError, r"f is of type int"),
        (lambda: pards.theory.analyse(CELL, X0, U).predicted_iterations(1e-3, merit_tol=1e-3), ValueError, r"merit_tol came with rtol"),
        (lambda: pards.theory.analyse(CELL, X0, U).predicted_iterations(0.0), ValueError, r"rtol is 0"),
        (lambda: pards.theory.compare(CELL, X0, U, pilot=0), ValueError, r"compare: pilot is 0"),
        (lambda: pards.theory.compare(CELL, np.zeros((0, CELL.dim)), U), ValueError, r"compare: the batch is empty, want at least one"),
        (lambda: pards.theory.compare(lambda x, u: 2 * x**2, [3.0], length=99), ValueError, r"compare: the plain loop overflows at step 8 of the pilot"),
    ],
)  # fmt: skip
def test_bad_input(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()


def test_an_empty_batch_is_told() -> None:
    found = pards.theory.analyse(CELL, np.zeros((0, CELL.dim)), U)
    assert found.explain() == "There is no sequence to tell of."
    assert not found.expands


def test_a_function_of_pieces_is_not_called_affine_everywhere() -> None:
    """Its Jacobian is I wherever it has one, but an update is exact only as long as no state changes sides."""
    u = np.random.default_rng(0).standard_normal((200, 1))
    sol = pards.solve(lambda x, u: np.mod(x + u, 1.0), np.zeros(1), u, method="newton", raise_on_failure=False)
    assert sol.iterations > 100
    assert "any guess" not in sol.explain()
    assert "is exact, as far as f is affine" in sol.explain()


@pytest.mark.parametrize(("dim", "told"), [(32, 1000), (100, 104), (200, 36)])
def test_wide_states_are_explained_along_fewer_steps(dim: int, told: int) -> None:
    """So that the Jacobians, which are scanned hundreds of times, have a million numbers at most, or 36 steps."""
    sol = pards.solve(lambda x, u: 0.5 * x + 1, np.zeros(dim), length=1000, method="jacobi", rtol=1e-3)
    steps = f"{told:,}"
    assert f"Along {'all' if told == 1000 else 'the first'} {steps} steps" in sol.explain()
