"""Plots of several solutions: what the curves hold, whose look they have, and what is said of bad input."""

import doctest
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

import pards
from pards import _plot

pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'pards[demo]'")

METHODS = ("newton", "jacobi", "sequential", "quasi_newton")


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    return Figure().subplots()


def labels(ax) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def curve(ax, label: str) -> np.ndarray:
    return next(line for line in ax.lines if line.get_label() == label).get_ydata()


def solved(**options):
    return pards.problems.gru(60, 3, dtype=np.float64).solve(**{"method": "newton", **options})


def test_convergence_of_several(ax) -> None:
    found = [solved(method=m, trace=True) for m in METHODS]
    assert pards.plot.convergence(found, ax=ax) is ax
    assert labels(ax) == ["newton", "jacobi", "quasi_newton"]  # the loop has no iterates
    for sol in found:
        if sol.method != "sequential":
            merit = sol.trace.merit[:, 0]
            np.testing.assert_array_equal(curve(ax, sol.method), np.where(merit > 0, merit, np.nan))
    assert [line.get_color() for line in ax.lines if line.get_label() in METHODS] == [
        _plot.STYLES[m].color for m in labels(ax)
    ]


def test_solutions_by_one_method_are_told_apart(ax) -> None:
    found = {f"damping {k}": solved(method="jacobi", damping=k, trace=True) for k in (0.0, 0.1, 0.2)}
    pards.plot.convergence(found, "update", ax=ax)
    assert labels(ax) == list(found)
    drawn = [line for line in ax.lines if line.get_label() in found]
    assert len({line.get_color() for line in drawn}) == 1
    assert len({line.get_linestyle() for line in drawn}) == 3


def test_many_iterations_leave_the_first_few_to_be_seen(ax) -> None:
    few = solved(method="newton", trace=True)
    pards.plot.convergence([few], ax=ax)
    assert ax.get_xscale() == "linear"
    p = pards.problems.langevin(200, 4)
    pards.plot.convergence([p.solve(method="jacobi", merit_tol=5e-4, trace=True)], ax=ax)
    assert ax.get_xscale() == "symlog"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "3", "10", "30", "100"]


def test_compare_is_in_the_order_of_time(ax) -> None:
    found = {name: replace(solved(), seconds=seconds) for name, seconds in (("b", 2.0), ("a", 0.5), ("c", 0.0))}
    found["worse"] = replace(solved(method="jacobi", max_iterations=2, raise_on_failure=False), seconds=30.0)
    assert pards.plot.compare(found, ax=ax) is ax
    assert [text.get_text() for text in ax.get_yticklabels()] == ["c", "a", "b", "worse"]
    low, high = ax.get_ylim()
    assert low > high  # the first row is on top
    np.testing.assert_array_equal([line.get_xdata()[0] for line in ax.lines], [1e-9, 0.5, 2.0, 30.0])
    count = found["a"].iterations.item()
    assert [text.get_text() for text in ax.texts] == [f"{count} updates"] * 3 + ["2 updates, max_iterations"]
    assert [line.get_markerfacecolor() == "none" for line in ax.lines] == [False, False, False, True]


def test_a_batch_is_compared_by_its_range(ax) -> None:
    sol = pards.problems.gru(300, 3, batch=8).solve(method="jacobi")
    pards.plot.compare([sol], ax=ax)
    assert ax.texts[0].get_text() == f"{sol.iterations.min()} to {sol.iterations.max()} updates"
    assert sol.iterations.min() < sol.iterations.max()


@pytest.mark.parametrize("kind", ["cell", "function", "function with jac"])
def test_jacobians_are_those_of_differences(ax, kind: str) -> None:
    """Against central differences of the model along the trajectory of the plain loop."""
    p = pards.problems.gru(40, 3, batch=2, dtype=np.float64)
    given = {"jac": p.cell.jacobian} if "jac" in kind else {}
    f = p.cell if kind == "cell" else lambda x, u: p.cell(x, u)
    sol = pards.solve(f, p.x0, p.inputs, method="newton", **given)
    assert pards.plot.jacobians(sol, ax=ax) is ax
    x, h = p.x0, 1e-6
    J = []
    for u in p.inputs[0]:
        J.append(np.stack([(p.cell(x + h * e, u) - p.cell(x - h * e, u)) / (2 * h) for e in np.eye(3)], -1))
        x = p.cell(x, u)
    J, eye = np.array(J), np.eye(3)
    want = {
        "jacobi": J,
        "picard": J - eye,
        "quasi_newton": J * (1 - eye),
        "scaled_identity": J - np.trace(J, axis1=1, axis2=2)[:, None, None] / 3 * eye,
    }
    assert labels(ax) == ["quasi_newton", "scaled_identity", "picard", "jacobi", "rotated_quasi_newton"]
    # Forward differences of a function have an error of sqrt(eps) = 1.5e-8 times its curvature, of order 1.
    for method, off in want.items():
        np.testing.assert_allclose(curve(ax, method), np.linalg.norm(off, 2, (1, 2)), atol=2e-7)
    # A basis is none that could make a difference of a diagonal larger in the Frobenius norm than the matrix itself.
    assert (curve(ax, "rotated_quasi_newton") <= np.linalg.norm(J, "fro", (1, 2)) + 1e-6).all()


def test_jacobians_in_their_own_basis(ax) -> None:
    """A constant symmetric Jacobian is diagonal in its eigenvectors: nothing is left, to rounding."""
    z = np.random.default_rng(0).standard_normal((4, 4))
    A = 0.1 * (z + z.T)
    sol = pards.solve(pards.cells.Linear(A), np.ones(4), length=50, method="newton")
    pards.plot.jacobians(sol, ax=ax)
    off = np.nan_to_num(curve(ax, "rotated_quasi_newton"))
    assert off.max() <= 100 * np.finfo(float).eps * np.linalg.norm(A, 2)  # D^2 sums of three products, and eigh
    np.testing.assert_allclose(curve(ax, "jacobi"), np.linalg.norm(A, 2))


def test_many_steps_are_drawn_in_pieces(ax) -> None:
    sol = pards.problems.gru(5000, 2).solve(method="newton")
    pards.plot.jacobians(sol, ax=ax)
    assert {len(line.get_xdata()) for line in ax.lines} == {100}
    assert len(ax.collections) == 5  # the ranges
    at = ax.lines[0].get_xdata()
    assert at[0] > 1
    assert at[-1] < 5000


@pytest.mark.filterwarnings("error")
def test_pieces_without_a_difference_are_drawn(ax) -> None:
    """A Jacobian that is diagonal leaves nothing to a method that keeps the diagonal, in any piece of time."""
    u = np.random.default_rng(0).standard_normal((500, 2))
    sol = pards.solve(lambda x, u: np.tanh(0.5 * x + u), np.zeros(2), u, method="newton")
    pards.plot.jacobians(sol, ax=ax)
    assert np.isnan(curve(ax, "quasi_newton")).all()
    assert np.isfinite(curve(ax, "jacobi")).all()


@pytest.mark.parametrize("kind", ["newton", "sequential"])
def test_jacobians_of_a_solve_that_overflowed(ax, kind: str) -> None:
    """Only the finite ones are drawn."""
    sol = pards.solve(
        lambda x, u: 2 * x**2 + u,
        np.ones(2),
        np.ones((300, 2)),
        method=kind,
        raise_on_failure=False,
        nonfinite="continue",
    )
    assert sol.status == "nonfinite"
    finite = np.isfinite(sol.states).all(-1).sum()
    pards.plot.jacobians(sol, ax=ax)
    drawn = curve(ax, "jacobi")
    assert 0 < len(drawn) <= finite + 1  # of a step that starts from a finite state
    assert np.isfinite(drawn).all()


def test_examples() -> None:
    found = doctest.testmod(pards.plot)
    assert found.attempted >= 9
    assert not found.failed


def test_nothing_to_see(ax) -> None:
    p = pards.problems.gru(0, 2)
    empty = pards.solve(p.cell, p.x0, p.inputs[0], method="newton", trace=True)
    pards.plot.jacobians(empty, ax=ax)
    none = pards.solve(p.cell, np.zeros((0, 2)), np.ones((10, p.cell.inputs)), method="newton")
    assert pards.plot.jacobians(none, ax=ax) is ax
    pards.plot.compare([empty], ax=ax)
    loop = solved(method="sequential", trace=True)  # on axes that have another scale by now
    pards.plot.convergence([loop], ax=ax)
    assert "no iterates" in "".join(text.get_text() for text in ax.texts)


def test_bad_input_is_said(ax) -> None:
    sol, traced = solved(), solved(trace=True)
    with pytest.raises(ValueError, match=r"plot\.convergence: solutions is empty, want at least one"):
        pards.plot.convergence([], ax=ax)
    with pytest.raises(ValueError, match=r"plot\.convergence: newton kept no trace, want solve\(\.\.\., trace=True\)"):
        pards.plot.convergence([traced, sol], ax=ax)
    with pytest.raises(ValueError, match=r"what is 'states', want 'merit', 'residual' or 'update'"):
        pards.plot.convergence([traced], "states", ax=ax)
    for call in (pards.plot.compare, pards.plot.convergence):
        with pytest.raises(TypeError, match=r"a solution is of type int, want pards\.Solution"):
            call([traced, 3], ax=ax)
        with pytest.raises(TypeError, match=r"ax is of type str, want axes of matplotlib, or None"):
            call(traced, ax="here")
    with pytest.raises(TypeError, match=r"plot\.jacobians: a solution is of type list"):
        pards.plot.jacobians([sol])
    with pytest.raises(ValueError, match="does not know what was solved, for it was pickled"):
        pards.plot.jacobians(pickle.loads(pickle.dumps(sol)))


def test_without_matplotlib(monkeypatch) -> None:
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"plot\.compare needs matplotlib: pip install 'pards\[demo\]'"):
        pards.plot.compare([solved()])
