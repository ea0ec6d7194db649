"""What a solution shows of itself: words, a table, curves."""

import html.parser
import re
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

import pards
from pards import _plot


class Page(html.parser.HTMLParser):
    """The elements and the words of a page; complains of what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


@pytest.fixture
def ax():
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'pards[demo]'")
    from matplotlib.figure import Figure

    return Figure().subplots()


def traced(batch: int, **options):
    p = pards.problems.gru(60, 2, batch)
    return p.solve(trace=True, **{"method": "jacobi", **options})


def lines(ax) -> list:
    """The curves, without the marks at the edge."""
    return [line for line in ax.lines if line.get_linestyle() != "None"]


@pytest.mark.parametrize("what", ["merit", "residual", "update"])
def test_the_curve_of_one_sequence_is_its_trace(ax, what: str) -> None:
    p = pards.problems.gru(60, 2)
    sol = pards.solve(p.cell, p.x0, p.inputs[0], method="newton", trace=True)
    assert sol.plot(ax, what) is ax
    (line,) = lines(ax)
    values = getattr(sol.trace, what)
    np.testing.assert_array_equal(line.get_ydata(), np.where(values > 0, values, np.nan))
    np.testing.assert_array_equal(line.get_xdata(), np.arange(sol.iterations + 1))
    assert line.get_label() == "newton"
    assert (ax.get_xlabel(), ax.get_yscale()) == ("iteration", "log")
    assert ("change" if what == "update" else what) in ax.get_ylabel()


def test_a_curve_for_each_sequence_of_a_batch(ax) -> None:
    sol = traced(3)
    sol.plot(ax)
    assert len(lines(ax)) == 3
    for line, merit, iterations in zip(lines(ax), sol.trace.merit.T, sol.iterations, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), merit[: iterations + 1])
    assert ax.get_legend_handles_labels()[1] == ["jacobi"]


def test_a_curve_for_each_window(ax) -> None:
    sol = traced(2, window=20)
    sol.plot(ax)
    drawn = [line.get_ydata() for line in lines(ax)]
    assert [len(curve) - 1 for curve in drawn] == sol.window_iterations.ravel().tolist()
    for merit, curves in zip(sol.trace.merit.T, (drawn[:3], drawn[3:]), strict=True):
        expected = merit[~np.isnan(merit)]
        np.testing.assert_array_equal(np.concatenate(curves), np.where(expected > 0, expected, np.nan))
    assert "window" in ax.get_xlabel()


def test_many_curves_are_drawn_as_median_and_range(ax) -> None:
    sol = traced(101)
    sol.plot(ax)
    (line,) = lines(ax)
    merit, last = sol.trace.merit.copy(), sol.iterations
    for b in range(101):
        merit[last[b] :, b] = merit[last[b], b]
    np.testing.assert_array_equal(line.get_ydata(), np.median(merit, 1))
    (band,) = ax.collections
    inside = band.get_paths()[0].vertices
    assert (inside[:, 1].min(), inside[:, 1].max()) == (merit.min(), merit.max())


def test_zero_and_infinity_are_marked_at_the_edge(ax) -> None:
    trace = pards.Trace(*(np.array([np.inf, 1e3, 0.0, np.nan]),) * 3)
    sol = replace(traced(1), trace=trace, iterations=2, window_iterations=np.array([2]), states=np.zeros((4, 1)))
    sol.plot(ax)
    marks = {line.get_label(): line for line in ax.lines if line.get_linestyle() == "None"}
    assert {name: (*mark.get_xdata(), *mark.get_ydata()) for name, mark in marks.items()} == {
        "_0": (2, 0),
        "_∞": (0, 1),
    }
    assert all(mark.get_transform() != ax.transData for mark in marks.values())
    (line,) = lines(ax)
    np.testing.assert_array_equal(line.get_ydata(), [np.nan, 1e3, np.nan])
    ax.figure.canvas.draw()


def test_a_trace_of_zeros_and_an_empty_one_can_be_drawn(ax) -> None:
    p = pards.problems.s5_word(9)
    exact = p.solve(method="newton").states[0]
    for sol in (p.solve(method="newton", guess=exact, trace=True), p.solve(method="sequential", trace=True)):
        sol.plot(ax, "merit")
        ax.figure.canvas.draw()
    assert "no iterates" in ax.texts[-1].get_text()


def test_states_over_time(ax) -> None:
    p = pards.problems.gru(50, 6)
    sol = pards.solve(p.cell, p.x0, p.inputs[0], method="newton")
    sol.plot(ax)
    assert [line.get_ydata().tolist() for line in ax.lines] == sol.states[:, : len(ax.lines)].T.tolist()
    assert ax.lines[0].get_xdata().tolist() == list(range(1, 51))
    assert "step" in ax.get_xlabel()


def test_a_long_trajectory_is_drawn_by_its_range(ax) -> None:
    states = np.random.default_rng(0).standard_normal((100_003, 1))
    sol = replace(traced(1), trace=None, states=states)
    sol.plot(ax)
    (line,) = ax.lines
    drawn = line.get_ydata().reshape(-1, 2)
    assert len(drawn) == 1000
    assert (drawn.min(), drawn.max()) == (states.min(), states.max())
    assert (drawn[0] == (states[:100].min(), states[:100].max())).all()
    assert line.get_xdata()[-1] < 100_003


def test_plot_says_what_it_wants() -> None:
    p = pards.problems.gru(20, 2)
    with pytest.raises(ValueError, match=r"what is 'mertt', want one of 'merit', 'residual', 'update', 'states'"):
        p.solve().plot(what="mertt")
    with pytest.raises(ValueError, match=r"kept no trace; want solve\(\.\.\., trace=True\)"):
        p.solve().plot(what="merit")
    with pytest.raises(TypeError, match=r"ax is of type str, want axes .* what to plot is what="):
        p.solve().plot("merit")


def test_options_reach_the_lines_and_the_title_of_given_axes_stays(ax) -> None:
    ax.set_title("mine")
    traced(2).plot(ax, label="here", color="red")
    assert ax.get_title() == "mine"
    assert ax.get_legend_handles_labels()[1] == ["here"]
    assert lines(ax)[0].get_color() == "red"


def test_every_method_looks_its_own() -> None:
    looks = list(_plot.STYLES.values())
    assert len({look.color for look in looks}) == len({look.marker for look in looks}) == len(looks)
    assert _plot.style("newton+sequential") == _plot.STYLES["newton"]


@pytest.mark.parametrize("batch", [1, 16, 1000])
def test_the_page_is_whole(batch: int) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'pards[demo]'")
    text = traced(batch)._repr_html_()
    page = Page(text)
    assert [tag for tag, _ in page.seen].count("svg") == 1
    assert all(attrs.get("scope") == "row" for tag, attrs in page.seen if tag == "th")
    assert "currentColor" in text
    assert "#010203" not in text
    assert not re.search(r"<(dc:date|dc:creator)", text)
    assert len(text) < 100_000  # 16 curves are the most that are drawn one by one
    assert f"{batch:,} converged" in "".join(page.words)


def test_the_page_of_a_failure_tells_where_and_what_to_do() -> None:
    sol = traced(7, max_iterations=2, raise_on_failure=False)
    words = "".join(Page(sol._repr_html_()).words)
    assert "7 max_iterations" in words
    assert "sequence 0, 1, 2, 3, 4, …" in words
    assert "raise max_iterations" in words


def test_the_page_escapes() -> None:
    sol = replace(traced(1), trace=None, reason="<b> & 'so'", method="<i>newton")
    page = Page(sol._repr_html_())
    assert not {"b", "i"} & {tag for tag, _ in page.seen}
    assert "<b> & 'so'" in "".join(page.words)


def test_the_page_without_matplotlib(monkeypatch) -> None:
    for name in ("matplotlib", "matplotlib.style", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    sol = traced(2)
    assert {tag for tag, _ in Page(sol._repr_html_()).seen} == {"div", "table", "tr", "th", "td"}
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'pards\[demo\]'"):
        sol.plot()


def test_empty_solutions_show_themselves() -> None:
    p = pards.problems.gru(0, 2)
    nobody = pards.solve(p.cell, np.zeros((0, 2)), np.zeros((0, 5, 2)), trace=True)
    for sol in (pards.solve(p.cell, p.x0, p.inputs[0], trace=True), nobody):
        Page(sol._repr_html_())
        assert repr(sol).startswith("Solution(method=")
        assert sol.explain()


def test_the_page_does_not_follow_the_style_of_the_user() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'pards[demo]'")
    sol = traced(1)
    plain = sol._repr_html_()
    with matplotlib.rc_context({"axes.grid": True, "axes.linewidth": 9, "font.size": 30}):
        assert sol._repr_html_() == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_words_count() -> None:
    p = pards.problems.s5_word(2000)
    sol = pards.solve(p.cell, p.x0, p.inputs[0], method="newton", window=1000)
    assert "2,000 steps" in sol.explain()
    assert "2 windows of 1,000 steps" in sol.explain()
    assert "after 2 updates" in sol.explain()
    assert "1 sequence of 60 steps" in traced(1).explain()
    assert "after 1 update:" in pards.solve(p.cell, p.x0, p.inputs[0], method="newton").explain()
    assert "status=converged, iterations=2," in repr(sol)


def test_every_field_is_there() -> None:
    names = [field.name for field in fields(pards.Solution)]
    for batch in (1, 3):
        assert sorted(vars(traced(batch))) == sorted(names)
        assert replace(traced(batch), seconds=0.0).seconds == 0


def test_windows_that_adapt_are_told() -> None:
    """The longest of them, and none where the whole was one, or the plain loop made it."""
    u = np.random.default_rng(0).standard_normal((3000, 2))
    sol = pards.solve(lambda x, u: x + 0.1 * (x - x**3) + 0.3 * u, np.zeros(2), u, method="newton", window="auto")
    assert sol.window == sol.window_advances.max() < 3000
    assert f"Solved in {len(sol.window_advances):,} windows of up to {sol.window:,} steps." in sol.explain()
    assert f"of up to {sol.window:,} steps" in sol._rows()["windows"]
    assert "summed over the windows" in sol.explain()
    whole = pards.solve(lambda x, u: 0.5 * x + u, np.zeros(2), u, method="newton", window="auto")
    assert (whole.window, whole.window_advances.tolist()) == (None, [3000])
    looped = pards.solve(pards.cells.Linear(0.5 * np.eye(2), np.eye(2)), np.zeros(2), u, method="auto", window=100)
    assert (looped.method, looped.window) == ("sequential", None)


def test_what_was_not_estimated_is_told() -> None:
    """A trust region that takes updates back leaves no distance, however many there were; nor is NaN a residual."""
    u = np.random.default_rng(0).standard_normal((300, 2))
    held = pards.solve(
        lambda x, u: np.where(x > 0, x - 1, x + 1) + u, np.zeros(2), u, method="elk", max_iterations=40,
        raise_on_failure=False,
    )  # fmt: skip
    assert held.iterations == 40 and np.isnan(held.error)
    assert "that takes two updates in a row, none of them taken back" in held.explain()
    lost = pards.solve(
        lambda x, u: np.where(x > 2, np.nan, x + 1), np.zeros(2), u, method="picard", raise_on_failure=False
    )
    assert np.isnan(lost.residual)
    assert "Largest residual: not finite." in lost.explain()
