"""Bad input gets a text that names function, argument, what came, what was wanted, and why; and nothing is changed."""

import re
import sys

import numpy as np
import pytest

import pards

GRU = pards.cells.GRU.init(hidden=4, inputs=3, seed=0)
X0, U = np.zeros(4), np.ones((10, 3))
WORD = pards.cells.GroupWord(np.array([[0, 1], [1, 0]]))


def solve(x0=X0, u=U, cell=GRU, **options):
    return pards.solve(cell, x0, u, **options)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: solve(x0=np.zeros(5)), ValueError, r"solve: x0 has shape \(5,\), want \(D,\) = \(4,\); D is fixed by"),
        (lambda: solve(u=np.ones((10, 2))), ValueError, r"solve: inputs has shape \(10, 2\), want \(T, M\) = \(10, 3\)"),
        (lambda: solve(x0=np.zeros((2, 4)), u=np.ones((3, 10, 3))), ValueError, r"batch"),
        (lambda: solve(guess=np.zeros((9, 4))), ValueError, r"solve: guess has shape \(9, 4\), want \(T, D\) = \(10, 4\)"),
        (lambda: solve(x0=np.array([0, np.nan, 0, 0])), ValueError, r"solve: x0 holds NaN at \(1,\), want finite numbers"),
        (lambda: solve(u=np.full((10, 3), np.inf)), ValueError, r"solve: inputs holds \+Inf at \(0, 0\)"),
        (lambda: solve(guess=np.full((10, 4), np.nan)), ValueError, r"solve: guess holds NaN at \(0, 0\)"),
        (lambda: solve(u=None), ValueError, r"inputs|length"),
        (lambda: solve(method="newtn"), ValueError, r'solve: method is "newtn", want one of .*newton'),
        (lambda: solve(nonfinite="ignore"), ValueError, r'solve: nonfinite is "ignore", want one of stop, continue, reset'),
        (lambda: solve(device="tpu"), ValueError, r'device is "tpu", want one of auto, cpu, cuda, cuda:N'),
        (lambda: pards.lds.scan(pards.lds.Identity(), np.ones((3, 2)), device="gpu"), ValueError, r'scan: device is "gpu", want one of auto, cpu, cuda, cuda:N'),
        (lambda: pards.lds.scan(pards.lds.Identity(), np.ones((3, 2)), device=None), TypeError, r"scan: device is None, want a text"),
        (lambda: solve(cell=lambda x, u: x, x0=np.zeros(0)), ValueError, r"solve: x0 has shape \(0,\), want \(D,\) or \(B, D\) with D of at least 1"),
        (lambda: solve(cell=pards.cells.GRU), TypeError, r"solve: f is the class GRU, want a cell, made from its parameters: GRU\(\.\.\.\)"),
        (lambda: pards.lds.scan(pards.lds.Identity, U), TypeError, r"scan: A is the class Identity, want an object of it: Identity\(\)"),
        (lambda: pards.lds.scan(pards.lds.Diagonal, U), TypeError, r"scan: A is the class Diagonal, want an object of it: Diagonal\(\.\.\.\)"),
        (lambda: GRU(np.zeros(3), U[0]), ValueError, r"GRU: x has shape \(3,\), want \(\.\.\., 4\)"),
        (lambda: GRU(X0, np.zeros((2, 5))), ValueError, r"GRU: u has shape \(2, 5\), want \(\.\.\., 3\)"),
        (lambda: GRU.jvp(X0, U[0], np.zeros(3)), ValueError, r"GRU: v has shape \(3,\), want \(\.\.\., 4\)"),
        (lambda: theory(states="newton"), TypeError, r"analyse: states is 'newton', want an array \(T, D\) or \(B, T, D\); a method is given as method="),
        (lambda: theory(states=pards.Newton()), TypeError, r"analyse: states is Newton\(\), want an array"),
        (lambda: theory(states=np.zeros((10, 4), complex)), TypeError, r"analyse: states has dtype complex128, want float32"),
        (lambda: theory(states=np.full((10, 4), "1")), TypeError, r"analyse: states has dtype <U1, want float32"),
        (lambda: solve(x0=np.ma.array(X0, mask=[0, 1, 0, 0])), TypeError, r"solve: x0 masks some of its numbers, want an array without a mask: x0\.filled\(\.\.\.\)"),
        (lambda: solve(u=np.ma.masked_equal(U, 1.0)), TypeError, r"solve: inputs masks some of its numbers"),
        (lambda: pards.lds.scan(np.ma.array(np.ones((3, 2)), mask=True), np.ones((3, 2))), TypeError, r"Dense: A masks some of its numbers"),
        (lambda: solve(rtol=0.0), ValueError, r"solve: rtol is 0, want a finite number above 0"),
        (lambda: solve(rtol=-1.0), ValueError, r"solve: rtol is -1"),
        (lambda: solve(atol=-1.0), ValueError, r"solve: atol is -1"),
        (lambda: solve(merit_tol=-1.0), ValueError, r"solve: merit_tol is -1"),
        (lambda: solve(merit_tol=1e-3, rtol=1e-3), ValueError, r"solve: merit_tol came with rtol or atol, want one stopping rule"),
        (lambda: solve(max_iterations=-1), ValueError, r"solve: max_iterations is -1"),
        (lambda: solve(window=0), ValueError, r"solve: window is 0"),
        (lambda: solve(window="long"), TypeError, r"solve: window is 'long', want a whole number of at least 1, \"auto\", or None"),
        (lambda: solve(window=-1), ValueError, r"solve: window is -1"),
        (lambda: solve(damping=1.5), ValueError, r'solve: damping is 1.5, want a number from 0 to 1, or "adaptive"; A is scaled by 1 - damping'),
        (lambda: solve(damping=-1), ValueError, r'solve: damping is -1, want a number from 0 to 1, or "adaptive"; A is scaled by 1 - damping'),
        (lambda: solve(damping=-0.1), ValueError, r"solve: damping is -0\.1, want"),
        (lambda: solve(damping="auto"), ValueError, r"solve: damping is 'auto', want a number from 0 to 1, or \"adaptive\""),
        (lambda: solve(num_threads=0), ValueError, r"num_threads is 0"),
        (lambda: solve(dtype=np.float16), TypeError, r"float16"),
        (lambda: solve(x0=X0.astype(complex)), TypeError, r"complex"),
        (lambda: solve(x0=np.array(["a"] * 4)), TypeError, r"x0"),
        (lambda: solve(out=np.zeros((9, 4))), ValueError, r"out"),
        (lambda: solve(out=np.zeros((10, 4), np.float32)), TypeError, r"out"),
        (lambda: solve(cell=3), TypeError, r"f"),
        (lambda: solve(cell=WORD, x0=np.zeros(2), u=np.array([0, 2])), ValueError, r"inputs holds 2 at \(1,\), want words: whole numbers from 0 to 1"),
        (lambda: solve(cell=WORD, x0=np.zeros(2), u=np.array([0.0, 0.5])), (ValueError, TypeError), r"inputs"),
        (lambda: solve(method=pards.RotatedQuasiNewton(basis=np.ones((4, 4)))), ValueError, r"RotatedQuasiNewton: basis is not orthogonal"),
        (lambda: solve(method=pards.RotatedQuasiNewton(basis=2 * np.eye(4))), ValueError, r"RotatedQuasiNewton: basis is not orthogonal"),
        (lambda: solve(method=pards.RotatedQuasiNewton(basis=np.full((4, 4), np.nan))), ValueError, r"RotatedQuasiNewton: basis holds NaN at \(0, 0\)"),
        (lambda: solve(method=pards.RotatedQuasiNewton(basis=np.eye(3))), ValueError, r"basis has shape \(3, 3\), want \(D, D\) = \(4, 4\)"),
        (lambda: solve(method=pards.RotatedQuasiNewton(refresh="often")), ValueError, r'refresh is "often"'),
        (lambda: solve(method=pards.QuasiNewton(diagonal="hutchinson", probes=0)), ValueError, r"probes is 0"),
        (lambda: solve(method=pards.QuasiNewton(diagonal="hutchinson", signs=np.zeros((1, 10, 4)))), ValueError, r"signs holds 0, want 1 and -1"),
        (lambda: solve(method=pards.QuasiNewton(diagonal="hutchinson", signs=np.ones((0, 10, 4)))), ValueError, r"signs is empty, want at least one probe"),
        (lambda: solve(method=pards.QuasiNewton(probes=3)), ValueError, r'diagonal is "exact"'),
        (lambda: solve(device="cuda"), RuntimeError, r'device is "cuda"'),
        (lambda: pards.cells.Linear(np.eye(2)).jacobian(np.zeros(3), None), ValueError, r"x has shape"),
        (lambda: pards.lds.scan(np.zeros((5, 2, 3)), np.zeros((5, 2))), ValueError, r"scan: A \(dense\) has shape \(5, 2, 3\), want \(\.\.\., time=5, dim=2, dim=2\); b has shape \(5, 2\)$"),
        (lambda: pards.lds.scan(np.zeros((3, 5, 2)), np.zeros((3, 5, 2))), ValueError, r"scan: A \(dense\) has shape \(3, 5, 2\), want .*; b has shape \(3, 5, 2\); diagonal matrices are pards\.lds\.Diagonal\(A\)"),
        (lambda: pards.lds.scan(pards.lds.Diagonal(np.zeros((5, 1))), np.zeros((5, 2))), ValueError, r"scan: A \(diagonal\) has shape \(5, 1\), want \(\.\.\., time=5, dim=2\); b has shape \(5, 2\)"),
        (lambda: pards.lds.scan(pards.lds.ScaledIdentity(0.5), np.zeros((5, 2))), ValueError, r"scan: A \(scaled_identity\) has shape \(\), want \(\.\.\., time=5\); b has"),
        (lambda: pards.lds.scan(pards.lds.Identity(), np.zeros(5)), ValueError, r"scan: b has shape \(5,\), want \(\.\.\., time, dim\)"),
        (lambda: pards.lds.scan(pards.lds.Identity(), np.zeros((5, 2)), 0.0), ValueError, r"scan: x0 has shape \(\), want \(\.\.\., dim=2\); b has shape \(5, 2\)"),
        (lambda: pards.lds.scan(pards.lds.Permutation(np.zeros((5, 2), int)), np.zeros((5, 2)), np.zeros(2)), ValueError, r"holds 0 twice"),
        (lambda: pards.lds.scan(pards.lds.BlockDiagonal(np.zeros((5, 2, 2, 2))), np.zeros((5, 3))), ValueError, r"scan: A \(block_diagonal\) has shape"),
        (lambda: solve(method=pards.BlockNewton(block=0)), ValueError, r"BlockNewton: block is 0"),
        (lambda: solve(method=pards.Chord(period=0)), ValueError, r"Chord: period is 0"),
        (lambda: solve(method="block_newton"), ValueError, r"BlockNewton: block is missing, .*; give BlockNewton\(block=\.\.\.\)"),
        (lambda: pards.lds.scan(pards.lds.Permutation(np.zeros((5, 2))), np.zeros((5, 2))), TypeError, r"integer"),
    ],
)  # fmt: skip
def test_text(call, error, text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert re.search(text, str(caught.value)), caught.value


def mixture(means=((0.0, 0.0),), precisions=((1.0, 1.0),), log_weights=(0.0,)):
    return pards.cells.GaussianMixture(means, precisions, log_weights)


def theory(**options):
    return pards.theory.analyse(GRU, X0, U, **options)


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        *((lambda name=name: solve(**{name: True}), f"solve: {name} is True, want a number") for name in ("rtol", "atol", "merit_tol", "damping")),
        *((lambda name=name: solve(**{name: True}), f"solve: {name} is True, want a whole number") for name in ("length", "max_iterations", "window", "num_threads", "seed")),
        *(
            (lambda name=name, bad=bad: solve(**{name: bad}), f"solve: {name} is {bad!r}, want True or False")
            for name in ("clip", "trace", "raise_on_failure")
            for bad in ("no", NAN, -1.0, None)
        ),
        *((lambda bad=bad: solve(progress=bad), f"solve: progress is {bad!r}, want True, False, or a function") for bad in ("no", NAN, 1)),
        *((lambda name=name: pards.solve(lambda x, u: x, X0, U, **{name: 3}), f"solve: {name} is of type int, want a function {name}") for name in ("jac", "diag")),
        *(
            (lambda kind=kind, name=name, bad=bad: kind(**{name: bad}), f"{kind.__name__}: {name} is {bad!r}, want True or False")
            for kind in (pards.ELK, pards.QuasiELK)
            for name in ("adaptive", "smoother")
            for bad in (-1.0, 2, "yes", NAN)
        ),
        (lambda: pards.QuasiNewton(diagonal="hutchinson", fresh=-1.0), "QuasiNewton: fresh is -1.0, want True or False"),
        *(
            (lambda make=make, name=name: make(**{name: True}), f"{make.__name__}: {name} is True, want a number")
            for make, name in ((pards.ELK, "trust"), (pards.Chord, "period"), (pards.BlockNewton, "block"), (pards.QuasiNewton, "probes"))
        ),
        (lambda: pards.Chord(None), "Chord: period is None, want a number"),
        (lambda: pards.lds.scan(np.zeros((5, 2, 2)), np.zeros((5, 2)), reverse="no"), "scan: reverse is 'no', want True or False"),
        (lambda: pards.cells.GRU(np.zeros((12, 4)), np.zeros((12, 4)), np.zeros(12), np.zeros(4), exchanged="no"), "GRU: exchanged is 'no'"),
        (lambda: pards.cells.Lorenz96(8, forcing=True), "Lorenz96: forcing is True, want a number"),
        (lambda: pards.problems.gru(True, 4), "gru: T is True, want a whole number"),
        (lambda: pards.problems.s5_word(10, batch=1.5), "s5_word: batch is 1.5, want a whole number"),
        (lambda: pards.problems.scalar_lds(10, seed=True), "scalar_lds: seed is True, want a whole number"),
        (lambda: theory(updates=True), "analyse: updates is True, want a whole number"),
        (lambda: theory(clip="no"), "analyse: clip is 'no', want True or False"),
        (lambda: pards.theory.compare(GRU, X0, U, methods=3), "compare: methods is 3, want a list"),
        (lambda: pards.theory.compare(GRU, X0, U, methods="newton"), "compare: methods is 'newton', want a list"),
    ],
)  # fmt: skip
def test_one_kind_for_another(call, text: str) -> None:
    """A flag is no number and a number no flag, and a text is neither: "no" is true to Python."""
    with pytest.raises(TypeError, match=re.escape(text)):
        call()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: pards.problems.gru(-1, 4), "gru: T is -1, want a whole number of at least 0"),
        (lambda: pards.problems.gru(10, 0), "gru: D is 0, want a whole number of at least 1"),
        (lambda: pards.problems.langevin(10, 4, components=0), "langevin: components is 0, want a whole number of at least 1"),
        (lambda: theory(damping=-1), "analyse: damping is -1, want a number from 0 to 1"),
        (lambda: theory(damping=NAN), "analyse: damping is nan, want a number from 0 to 1"),
        *((lambda bad=bad: theory().bound_iterations(bad), f"bound_iterations: tolerance is {bad}, want a finite number above 0") for bad in (NAN, -1, 0, np.inf)),
        (lambda: pards.theory.compare(GRU, X0, U, methods=[]), "compare: methods is empty, want at least one"),
        (lambda: pards.theory.compare(GRU, X0, U, merit_tol=-1.0), "compare: merit_tol is -1.0, want a finite number above 0"),
        (lambda: pards.theory.compare(GRU, X0, U, guess=1.0), "compare: guess has shape (), want (T, D) = (10, 4)"),
    ],
)  # fmt: skip
def test_out_of_range(call, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        call()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: pards.cells.GRU(np.zeros((12, 3)), np.zeros((12, 4)), np.zeros(12), np.zeros(5)), r"GRU: bias_n has shape \(5,\), want \(D,\) = \(4,\); D is fixed by weight_ih"),
        (lambda: pards.cells.GRU(np.zeros((12, 3)), np.zeros((12, 4)), np.zeros(12), np.zeros(4), exchanged=True), r"exchanged=True"),
        (lambda: pards.cells.Linear(np.array([[np.inf]])), r"Linear: A holds \+Inf at \(0, 0\)"),
        (lambda: pards.cells.GroupWord(np.array([[0, 0]])), r"GroupWord: permutations at 0 is not a permutation"),
        (lambda: mixture(means=[0.0]), r"GaussianMixture: means has shape \(1,\), want \(K, D\)"),
        (lambda: mixture(precisions=[[1.0]]), r"GaussianMixture: precisions has shape \(1, 1\), want \(K, D, D\) = \(1, 2, 2\) or \(K, D\) = \(1, 2\); K and D are fixed by means with shape \(1, 2\)"),
        (lambda: mixture(precisions=[[1.0, 2.0, 3.0]]), r"GaussianMixture: precisions has shape \(1, 3\)"),
        (lambda: mixture(log_weights=[0.0, 5.0, 1.0]), r"GaussianMixture: log_weights has shape \(3,\), want \(K,\) = \(1,\); K and D are fixed"),
        (lambda: mixture(means=[[0.0, NAN]]), r"GaussianMixture: means holds nan at \(0, 1\), want finite numbers"),
    ],
)  # fmt: skip
def test_cell_parameters(make, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_unread_rows_of_a_reverse_scan() -> None:
    """Without x0 the A next to it is not read, at the end of a reverse scan; all others are checked."""
    good = np.array([[0, 1], [1, 0], [0, 1]])
    b = np.arange(6.0).reshape(3, 2)
    want = pards.lds.scan(pards.lds.Permutation(good), b, reverse=True)
    last = good.copy()
    last[-1] = 7
    assert np.array_equal(pards.lds.scan(pards.lds.Permutation(last), b, reverse=True), want)
    first = good.copy()
    first[0] = 7
    with pytest.raises(ValueError, match="holds 7"):
        pards.lds.scan(pards.lds.Permutation(first), b, reverse=True)


def test_a_state_without_components() -> None:
    with pytest.raises(ValueError, match="D is 0"):
        pards.cells.Linear(np.zeros((0, 0)))


def test_sequential_overflow_is_not_merit_zero() -> None:
    cell = pards.cells.Linear(np.array([[1e200]]), np.eye(1))
    sol = pards.solve(cell, np.zeros(1), np.ones((10, 1)), method="sequential", raise_on_failure=False)
    assert (sol.status, sol.bad_step) == ("nonfinite", 2)
    assert np.isinf(sol.merit)
    assert np.isinf(sol.residual)


def test_raise_on_failure() -> None:
    cell = pards.cells.Linear(np.array([[3.0]], np.float32), np.eye(1, dtype=np.float32))
    u = np.ones((200, 1), np.float32)
    with pytest.raises(pards.SolveError, match="nonfinite") as caught:
        pards.solve(cell, np.zeros(1, np.float32), u, method="picard")
    sol = caught.value.solution
    assert sol.status == "nonfinite" and not sol.success and np.isfinite(sol.states).all() and sol.bad_step >= 0
    assert str(sol.bad_step) in str(caught.value)
    again = pards.solve(cell, np.zeros(1, np.float32), u, method="picard", raise_on_failure=False)
    assert again.status == "nonfinite" and again.iterations == sol.iterations


def test_too_large_is_refused_before_anything_is_allocated() -> None:
    """10^6 steps of 2000 x 2000 Jacobians by a callable: 32 TB."""
    x0 = np.zeros(2000)
    with pytest.raises(MemoryError, match=r"needs .*TiB.* (window=|method=)"):
        pards.solve(lambda x, u: x, x0, None, length=1_000_000, method="newton")


def test_auto_falls_back_where_memory_is_short() -> None:
    """Newton's Jacobians of two million steps do not fit; the loop that auto named as its fallback does."""
    calls = []

    class Enough(Exception):
        pass

    def f(x, u):
        calls.append(x.shape)
        if len(calls) > 3:
            raise Enough
        return x

    with pytest.raises(Enough):
        pards.solve(f, np.zeros(32), length=2_000_000)
    assert calls[0] == (1, 32)


class Broken(Exception):
    pass


def fails(x, u):
    raise Broken("deep inside")


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x, u: x[..., :1], ValueError, r"shape"),
        (lambda x, u: x.astype(np.float32), TypeError, r"float32"),
        (
            lambda x, u: None,
            TypeError,
            r"solve: f returned None, want an array of shape \(.*, 2\); does it end without a return\?",
        ),
        (
            lambda x, u: np.ma.array(0.5 * x, mask=x == 0),
            TypeError,
            r"solve: f returned an array that masks some of its numbers",
        ),
        (fails, Broken, "deep inside"),
        (lambda x: x, TypeError, "argument"),
    ],
)
@pytest.mark.parametrize("method", ["newton", "picard", "sequential", "auto"])
def test_callable(f, error, text: str, method: str) -> None:
    with pytest.raises(error, match=text):
        pards.solve(f, np.zeros(2), np.ones((10, 1)), method=method)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have notes since Python 3.11")
def test_an_error_within_a_callable_tells_how_it_was_called() -> None:
    with pytest.raises(ValueError, match="truth value") as caught:
        pards.solve(lambda x, u: x if x > 0 else u, np.zeros(1), np.zeros((9, 1)), method="newton")
    assert caught.value.__notes__ == ["solve called f with x (9, 1) and u (9, 1); it has to work over leading axes"]
    with pytest.raises(ZeroDivisionError) as caught:
        pards.solve(lambda x, u: 0.5 * x, np.ones((2, 1)), length=9, method="newton", jac=lambda x, u: 1 / 0)
    assert caught.value.__notes__ == ["solve called jac with x (2, 9, 1); it has to work over leading axes"]
    with pytest.raises(TypeError, match="argument") as caught:
        pards.solve(lambda x: x, np.zeros(1), np.zeros((9, 1)), method="newton")
    assert caught.value.__notes__ == [
        "solve called f with x (9, 1) and u (9, 1); it has to take two arguments, x and u"
    ]
    with pytest.raises(TypeError, match="NoneType") as caught:
        pards.solve(lambda x, u: x + u, np.zeros(1), length=9, method="newton")
    assert caught.value.__notes__ == ["solve called f with x (9, 1); u is None, for there are no inputs"]
    with pytest.raises(ValueError, match="read-only") as caught:
        pards.solve(lambda x, u: np.add(x, u, out=u), np.zeros(1), np.zeros((9, 1)), method="newton")
    assert caught.value.__notes__ == [
        "solve called f with x (9, 1) and u (9, 1); u is read-only, as other calls see it too: change a copy"
    ]


def test_exception_in_a_derivative_arrives() -> None:
    with pytest.raises(Broken):
        pards.solve(lambda x, u: 0.5 * x + 1, np.zeros(2), np.ones((10, 1)), method="newton", jac=fails)


def test_inputs_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    x0, u, guess = rng.standard_normal(4), rng.standard_normal((10, 3)), rng.standard_normal((10, 4))
    kept = x0.copy(), u.copy(), guess.copy()
    pards.solve(GRU, x0, u, method="newton", guess=guess)

    def f(x, u):
        y = 0.5 * x
        x[...] = np.nan  # f gets a copy of its own to spoil
        return y

    pards.solve(f, x0, u, method="newton", guess=guess, raise_on_failure=False)
    assert all(np.array_equal(a, b) for a, b in zip((x0, u, guess), kept, strict=False))


def test_inputs_cannot_be_changed_by_f() -> None:
    def f(x, u):
        u[...] = 0
        return x

    with pytest.raises(ValueError, match="read-only"):
        pards.solve(f, np.zeros(2), np.ones((10, 1)), method="picard")


ITSELF = "f itself is not finite"


@pytest.mark.parametrize("method", ["sequential", "auto", "newton", "picard"])
def test_a_function_that_is_not_finite_is_named(method: str) -> None:
    """No window and no damping would help, nor the plain loop, which is what may have failed."""
    with pytest.raises(pards.SolveError, match=f"the first bad step 0: {ITSELF}") as caught:
        pards.solve(lambda x, u: np.log(x - 1), np.ones(2), length=10, method=method)
    assert "window" not in str(caught.value) and "use sequential" not in str(caught.value)


@pytest.mark.parametrize("method", ["sequential", "auto"])
def test_a_model_that_overflows_is_named(method: str) -> None:
    """By the plain loop alone is that known of a later step. It makes no updates."""
    with pytest.raises(pards.SolveError, match=f"sequential: nonfinite, the first bad step 9: {ITSELF}") as caught:
        pards.solve(lambda x, u: x * x, np.full(2, 2.0), length=100, method=method)
    told = caught.value.solution.explain()
    assert ITSELF in told and "window" not in told and ITSELF in caught.value.solution._rows()["advice"]
    with pytest.raises(pards.SolveError, match=ITSELF):
        pards.theory.analyse(lambda x, u: x * x, np.full(2, 2.0), length=100)
    with pytest.raises(pards.SolveError, match=r"newton: nonfinite after .*: an update overflowed: solve in windows"):
        pards.solve(lambda x, u: x * x, np.full(2, 2.0), length=100, method="newton")
    with pytest.raises(pards.SolveError, match=ITSELF):
        pards.solve(lambda x, u: x * x, np.full(2, 2.0), length=100, method="sequential", jac=lambda x, u: np.nan)


def test_a_sequence_alone_is_not_counted() -> None:
    cell = pards.cells.Linear(np.array([[1e200]]), np.eye(1))
    sol = pards.solve(cell, np.zeros(1), np.ones((20_000, 1)), raise_on_failure=False)
    assert "newton ended as nonfinite at step 2 of 20000 after" in sol.reason
    assert sol.reason.endswith("sequential ended as nonfinite at step 2 of 20000, as the model does")


def test_newton_is_not_advised_to_newton() -> None:
    advised = {}
    for method in ("newton", "picard"):
        with pytest.raises(pards.SolveError, match="not converged within the cap: raise max_iterations") as caught:
            pards.solve(GRU, X0, U, method=method, max_iterations=1, rtol=1e-14)
        advised[method] = "follows the Jacobian more closely (newton" in str(caught.value)
    assert advised == {"newton": False, "picard": True}


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("name", ["jac", "diag"])
def test_a_derivative_that_is_not_finite_is_named(name: str, batch: int | None) -> None:
    """And f itself is not blamed on it."""
    u = np.random.default_rng(0).standard_normal((60, 2) if batch is None else (batch, 60, 2))
    at = (30, 0) if batch is None else (2, 30, 0)
    u[at] = 5

    def slopes(x, u):
        return np.where(u == 5, np.nan, 0.5 / np.cosh(x) ** 2)

    given = {"diag": slopes} if name == "diag" else {"jac": lambda x, u: slopes(x, u)[..., None] * np.eye(2)}
    with pytest.raises(pards.SolveError, match=rf"the first bad step 30: {name} is not finite at the state before it"):
        pards.solve(lambda x, u: 0.5 * np.tanh(x) + u, np.zeros(2), u, method="quasi_newton", **given)
    with pytest.raises(pards.SolveError, match="an update overflowed"):
        pards.solve(
            lambda x, u: np.where(u == 5, np.inf, 0.5 * np.tanh(x)),
            np.zeros(2),
            u,
            method="quasi_newton",
            diag=lambda x, u: 0 * x,
        )


def test_a_derivative_is_not_blamed_for_another_sequence() -> None:
    """The step that the error names is the first at which one failed."""
    u = np.zeros((2, 60, 2))
    u[0, 40], u[1, 20] = 5, 7

    def f(x, u):
        return np.where(u == 7, np.inf, 0.5 * np.tanh(x))

    def diag(x, u):
        return np.where(u == 5, np.nan, 0 * x)

    with pytest.raises(pards.SolveError, match=r"on 2 of 2 sequences .* the first bad step 20: an update overflowed"):
        pards.solve(f, np.ones(2), u, method="quasi_newton", diag=diag)


W = np.random.default_rng(0).standard_normal((4, 4)) / 2


def network(x, u):
    return np.tanh(x @ W.T.astype(x.dtype) + u)


def slope(x, u):
    return (1 - network(x, u) ** 2)[..., None] * W.astype(x.dtype)


WRONG = {
    "sign": lambda x, u: -10 * slope(x, u),
    "transposed": lambda x, u: 10 * slope(x, u).swapaxes(-1, -2),
    "twice": lambda x, u: 20 * slope(x, u),
}


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("method", ["newton", "quasi_newton", "chord"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_derivative_that_is_another_is_told(kind: str, method: str, batch: int | None) -> None:
    u = np.random.default_rng(1).standard_normal((500, 4))
    x0 = np.zeros(4) if batch is None else np.zeros((batch, 4))
    wrong = WRONG[kind]
    given = {"jac": wrong} if method != "quasi_newton" else {"diag": lambda x, u: np.einsum("...ii->...i", wrong(x, u))}
    given["max_iterations"] = 2
    said = f"{next(iter(given))} is not the derivative of f: "
    with pytest.raises(
        pards.SolveError, match=said + r"\[\d(, \d)?\] at step \d+ is .*, by differences of f "
    ) as caught:
        pards.solve(network, x0, u, method=method, **given)
    assert said in caught.value.solution.explain()
    with pytest.raises(pards.SolveError) as caught:
        pards.solve(network, x0, u, method="picard", **given)
    assert said not in str(caught.value)  # which does not ask for it
    assert said in caught.value.solution.explain()


KINKS = {
    "smooth": (network, slope),
    "none at x0": (lambda x, u: np.abs(x) / 2 + u, lambda x, u: np.eye(4, dtype=x.dtype) * (np.sign(x) / 2)[..., None]),
    "steep": (
        lambda x, u: np.sqrt(np.abs(x)) + u,
        lambda x, u: np.eye(4, dtype=x.dtype) * (np.sign(x) / 2 / np.sqrt(np.abs(x) + (x == 0)))[..., None],
    ),
    "jumps": (
        lambda x, u: np.where(x > 0, x - 1, x + 1) + u,
        lambda x, u: np.ones_like(x)[..., None] * np.eye(4, dtype=x.dtype),
    ),
    "nearly": (network, lambda x, u: 1.001 * slope(x, u)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-15, 1, 1e15])
@pytest.mark.parametrize("kind", KINKS)
def test_a_derivative_is_not_blamed_for_kinks_or_units(kind: str, scale: float, dtype) -> None:
    """Also where f has no derivative at x0, and whatever the units of the states."""
    f, jac = KINKS[kind]
    u, scale = np.random.default_rng(1).standard_normal((500, 4)).astype(dtype), dtype(scale)

    def scaled(x, u):
        return scale * f(x / scale, u)

    with pytest.raises(pards.SolveError) as caught:
        pards.solve(
            scaled, np.zeros(4, dtype), u, jac=lambda x, u: jac(x / scale, u), method="newton", max_iterations=0
        )
    assert "is not the derivative" not in str(caught.value) + caught.value.solution.explain()


def test_a_derivative_is_not_compared_where_f_raises() -> None:
    def f(x, u):
        if (x < 0).any():
            raise ValueError("below 0")
        return 0.5 * x + 1

    with pytest.raises(pards.SolveError, match="raise max_iterations"):
        pards.solve(
            f, np.zeros(2), length=9, jac=lambda x, u: 0 * x[..., None] + np.eye(2), method="newton", max_iterations=1
        )


@pytest.mark.parametrize("method", ["newton", "quasi_newton", "jacobi"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, u: np.tanh(x - x.mean() + u),
        lambda x, u: 0.9 * x / np.linalg.norm(x) + u,
        lambda x, u: 0.5 * x + u[..., :1, :],
        lambda x, u: 0.5 * np.roll(x, 1) + u,
    ],
)
def test_a_function_that_mixes_steps(f, batch: int | None, dtype, method: str) -> None:
    """What is found of such a function is no loop's trajectory."""
    u = np.random.default_rng(0).standard_normal((50, 2) if batch is None else (batch, 50, 2)).astype(dtype)

    def g(x, u):
        with np.errstate(all="ignore"):
            return f(x, u).astype(dtype)

    with pytest.raises(ValueError, match=r"solve: f at step \d+ is .* in a call with two steps and .* axis=-1"):
        pards.solve(g, np.ones(2, dtype), u, method=method)


@pytest.mark.parametrize("method", ["newton", "jacobi"])
def test_a_function_that_is_another_when_it_is_called_again(method: str) -> None:
    """Noise that is drawn inside is told from steps that mix, and so is noise drawn from one seed for all steps."""
    r, u = np.random.default_rng(0), np.random.default_rng(1).standard_normal((3000, 2))
    with pytest.raises(ValueError, match=r"when it is called again with the same x and u, want the same: draw what is"):
        pards.solve(lambda x, u: np.tanh(0.5 * x + u) + r.standard_normal(x.shape), np.zeros(2), u, method=method)

    def seeded(x, u):
        return np.tanh(0.5 * x + u) + np.random.default_rng(0).standard_normal(x.shape)

    with pytest.raises(ValueError, match=r"in a call with two steps and .* does it draw numbers for all steps\?"):
        pards.solve(seeded, np.zeros(2), u, method=method)


def test_rounding_that_differs_between_calls_is_no_mixing() -> None:
    """Sums of 300 products of numbers near 1000 that cancel, in BLAS of one row and of many."""
    r = np.random.default_rng(1)
    w = (r.standard_normal((300, 300)) / 600).astype(np.float32)
    u = (1000 * r.standard_normal((40, 300))).astype(np.float32)
    found = pards.solve(
        lambda x, u: 0.1 * np.tanh(x @ w + (u - 1000) + 1000), np.zeros(300, np.float32), u, method="jacobi"
    )
    assert found.success


def test_autonomous_and_short_functions_are_looked_at_too() -> None:
    for length in (0, 1, 2, 3):
        assert pards.solve(lambda x, u: 0.5 * x + 1, np.zeros(2), length=length, method="jacobi").success
    with pytest.raises(ValueError, match="in a call with two steps"):
        pards.solve(lambda x, u: 0.5 * x + 1 + x.sum(), np.ones(2), length=2, method="jacobi")


def test_components_below_the_measure_are_told() -> None:
    """The default atol holds small states to 1e-3 times rtol; with 0 they are held to their size."""
    scale = np.array([1.0, 1e-9])

    def f(x, u):
        return scale * np.tanh(0.9 * x / scale + u)

    u = np.random.default_rng(0).standard_normal((300, 2))
    loop = pards.solve(f, np.zeros(2), u, method="sequential").states
    rough = pards.solve(f, np.zeros(2), u, method="newton")
    fine = pards.solve(f, np.zeros(2), u, method="newton", atol=0)
    assert "Below 0.001 throughout: 1 component of 2, down to 1e-09" in rough.explain()
    assert "throughout" not in fine.explain()
    assert np.all(np.abs(fine.states - loop).max(0) <= 1e-7 * scale)  # rtol is 1e-8, of an estimate
