"""The plots and the report of `pards reproduce`: what they show is what the rows hold, and a browser shows it whole."""

import base64
import html.parser
import json
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich", reason="pards reproduce needs rich: pip install 'pards[demo]'")
pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'pards[demo]'")

from pards import _plot, reproduce
from pards.reproduce import _command, _figures, _page

ABOUT = {"command": "pards reproduce all", "machine": "a <fast> one"}
VOID = {"meta", "img", "br"}


def row(method: str = "newton", **other) -> dict:
    base = {"figure": "fig2", "problem": "S5", "method": method, "D": 5, "T": 100, "batch": 16, "seed": 0}
    base |= {"K": None, "step": None, "a": None, "window": None}
    found = {"iterations": 3.0, "counts": [3], "seconds": 0.01, "once": False, "success": True, "status": "converged"}
    return base | found | other


def skipped(method: str, **other) -> dict:
    keep = (*_command.Run.__dataclass_fields__, "skipped")
    return {name: value for name, value in row(method, skipped="the budget was spent", **other).items() if name in keep}


def by_label(ax, label: str):
    return next(line for line in ax.lines if line.get_label() == label)


def panels(rows: list) -> list:
    return _figures._DRAWN[rows[0]["figure"]](rows).axes


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """What the command leaves, for the figures that take no time; those it did not run are in the page by hand."""
    out = tmp_path_factory.mktemp("made")
    for name in ("fig7", "fig8", "fig3"):
        reproduce.run(name, out, device="cpu", seeds=2, quick=True, resume=True)
    return out


@pytest.fixture(scope="module")
def rows(made: Path) -> list:
    return reproduce.read(made / "rows.jsonl")


def test_a_line_is_the_median_on_its_range(rows) -> None:
    own = [r for r in rows if r["figure"] == "fig3"]
    axes = panels(own)
    assert [ax.get_title() for ax in axes[:2]] == ["D = 2", "D = 4"]
    for i, D in enumerate((2, 4)):
        for method in ("newton", "quasi_newton", "picard", "jacobi"):
            for ax, what in ((axes[i], "iterations"), (axes[2 + i], "seconds")):
                line = by_label(ax, method)
                want = [
                    statistics.median(r[what] for r in own if (r["method"], r["D"], r["T"]) == (method, D, T))
                    for T in (100, 300, 1000)
                ]
                np.testing.assert_allclose(line.get_ydata(), want)
                assert (line.get_color(), line.get_marker()) == _plot.STYLES[method][:2]
                assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "sequential" in axes[2].get_legend_handles_labels()[1]
    assert "sequential" not in axes[0].get_legend_handles_labels()[1]  # it makes no updates


def test_points_hold_what_seeds_found() -> None:
    own = [
        row(seed=s, T=T, iterations=float(n))
        for T, ns in ((300, (7, 9, 30)), (100, (1, 2, 4)))
        for s, n in enumerate(ns)
    ]
    own[0] |= {"success": False}
    own[4] |= {"once": True}
    own.append(skipped("newton", T=1000))
    assert _figures.points(own, "T", "iterations") == [(100, 1, 2, 4, False, True), (300, 7, 9, 30, True, False)]


def test_special_runs_are_marked() -> None:
    own = [row("newton", T=T) for T in (100, 300, 1000)]
    own += [row("picard", T=100, success=False), row("picard", T=300, once=True), skipped("picard", T=1000)]
    own += [row("auto", T=100, iterations=0.0)]
    figure = _figures._DRAWN["fig2"](own)
    counts, times = figure.axes
    hollow = [line for line in times.lines if line.get_markerfacecolor() == "white"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in hollow] == [(100, 0.01)]
    rings = [line for line in times.lines if line.get_markersize() == 9]
    assert [tuple(line.get_xdata()) for line in rings] == [(300,)]
    above = [line for line in times.lines if line.get_markersize() == 3.5]
    assert [(*line.get_xdata(), line.get_marker()) for line in above] == [(1000, "P")]
    assert [tuple(line.get_xdata()) for line in counts.lines if list(line.get_ydata()) == [0]] == [(100,)]
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told[:3] == ["newton", "picard", "auto"]
    assert told[-4:] == ["hollow: not converged", "ringed: timed once", "at the foot: no updates", "above: not run"]
    plain = _figures._DRAWN["fig2"]([row("newton", T=T) for T in (100, 300)])
    assert [text.get_text() for text in plain.legends[0].get_texts()] == ["newton"]


def test_what_was_not_run_has_its_place_on_the_axis() -> None:
    axes = panels([row("newton", T=100), skipped("newton", T=30_000), skipped("jacobi", T=100)])
    assert axes[1].get_legend_handles_labels()[1] == ["newton", "jacobi"]
    assert all(ax.get_xlim()[0] < 100 and ax.get_xlim()[1] > 30_000 for ax in axes)


def test_newton_in_windows_has_its_own_line() -> None:
    own = [row("newton", figure="fig4", T=T, window=w, K=2, step=1e-5) for T, w in ((1000, None), (10_000, 1000))]
    labels = [line.get_label() for line in panels(own)[1].lines]
    assert "newton, windows of 1,000" in labels
    assert by_label(panels(own)[1], "newton, windows of 1,000").get_color() == _plot.STYLES["newton"].color


def test_errors_and_bound_of_the_scalar_model(rows) -> None:
    """Jacobi's error shrinks by a, and Picard's bound is Proposition 3's."""
    own = [r for r in rows if r["figure"] == "fig7"]
    for ax, a in zip(panels(own), (0.1, 0.5, 0.9, 0.99), strict=True):
        errors = by_label(ax, "jacobi").get_ydata()
        assert errors[10] <= errors[0] * a**10 * 1.001  # two curves' medians are those of their means
        bounds = [line.get_ydata() for line in ax.lines if line.get_label() == "_bound"]
        rate = statistics.median(r["numbers"]["rate"] for r in own if r["a"] == a and r["method"] == "picard")
        np.testing.assert_allclose(bounds[0][1:] / bounds[0][:-1], rate)


def test_files_are_whole_and_the_same_again(made: Path, rows, tmp_path) -> None:
    paths = _figures.draw(tmp_path, rows)
    assert [p.name for p in paths] == [f"{n}.{k}" for n in ("fig3", "fig7", "fig8") for k in ("png", "svg")]
    for path in paths:
        text = path.read_bytes()
        if path.suffix == ".png":
            assert text.startswith(b"\x89PNG")
        else:
            assert ET.fromstring(text).tag.endswith("svg")
            assert text == (made / path.name).read_bytes()
            assert len(text) < 150_000


def test_nothing_is_drawn_of_what_was_not_run(tmp_path) -> None:
    nothing = [skipped("newton"), skipped("picard", figure="fig7", a=0.5)]
    assert _figures.draw(tmp_path, nothing) == []
    page = Page(_page.write(tmp_path, nothing, reproduce.check(nothing), ABOUT))
    assert "1 of 1 runs were skipped: 1 for want of time. The first: the budget was spent." in page.text
    assert "There is no plot" in page.text


class Page(html.parser.HTMLParser):
    """The elements and the words of a page; complains of what is not closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for seen, attrs in self.seen if seen == tag]


def test_every_image_and_link_is_there(made: Path) -> None:
    page = Page(made / _page.PAGE)
    images = page.all("img")
    assert len(images) == 3
    for image in images:
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert ET.fromstring(base64.b64decode(data)).tag.endswith("svg")
        assert image["alt"]
    ids = {attrs["id"] for _, attrs in page.seen if "id" in attrs}
    links = [attrs["href"] for attrs in page.all("a")]
    assert sum(not link.startswith("#") for link in links) == 3 * 2 + 1
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (made / link).exists()
    assert not [attrs for _, attrs in page.seen if str(attrs.get("src", "")).startswith("http")]
    assert not page.all("script") + page.all("link")


def test_every_claim_has_its_verdict(made: Path, rows) -> None:
    page, claims = Page(made / _page.PAGE), reproduce.check(rows)
    verdicts = [attrs["class"] for attrs in page.all("td") if "verdict" in attrs.get("class", "")]
    assert verdicts == [f"verdict {claim.verdict.replace(' ', '-')}" for claim in claims]
    for claim in claims:
        assert claim.text in page.text
        assert claim.detail in page.text
    held = sum(claim.verdict == "holds" for claim in claims)
    assert f"Of {len(claims)} claims {held} hold," in page.text


def test_tables_hold_the_medians(tmp_path) -> None:
    own = [
        row("newton", seed=s, iterations=n, seconds=t) for s, (n, t) in enumerate(((3.0, 0.5), (4.0, 0.7), (9.0, 0.6)))
    ]
    own += [
        row("picard", success=False, iterations=1200.0, seconds=3.0, once=True),
        row("newton", T=3000, seconds=2e-4),
    ]
    own += [skipped("picard", T=3000)]
    page = Page(_page.write(tmp_path, own, reproduce.check(own), ABOUT))
    assert "T newton picard".replace(" ", "") in page.text.replace(" ", "")
    assert "1004 · 600 ms1,200 · 3 s*†" in page.text
    assert "3,0003 · 200 µs–" in page.text
    assert "* did not converge for every seed; † timed once; – not run" in page.text


def test_texts_are_escaped(tmp_path) -> None:
    claim = reproduce.Claim("fig2", "<b>bold</b> & more", "differs", "<i>1</i> < 2")
    page = Page(_page.write(tmp_path, [row()], [claim], ABOUT))
    assert not page.all("b") + page.all("i")
    for words in ("<b>bold</b> & more", "<i>1</i> < 2", "a <fast> one", "pards reproduce all"):
        assert words in page.text


def test_without_matplotlib(tmp_path, monkeypatch) -> None:
    for name in ("matplotlib", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "no plots, for want of rows or of matplotlib" in _command._report(tmp_path, [row()], [], ABOUT)
    assert "There is no plot" in Page(tmp_path / _page.PAGE).text


def test_a_report_that_cannot_be_written_is_said(tmp_path) -> None:
    (tmp_path / "fig2.png").mkdir()
    assert "could not be written" in _command._report(tmp_path, [row()], [], ABOUT)


# What is seen of a page in a window: pictures that were not loaded, and whether it has to be scrolled sideways.
_LOOK = """<script>addEventListener("load", () => {
  const bad = [...document.images].filter(i => !i.complete || i.naturalWidth < 100 || i.clientWidth < 100).length;
  const root = document.documentElement;
  document.title = JSON.stringify({images: document.images.length, bad,
    wide: root.scrollWidth - root.clientWidth});
});</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium to open the page: apt-get install chromium")
    return found


@pytest.mark.parametrize(("width", "height"), [(1100, 3000), (500, 3000)])  # the narrowest that a window can be
def test_a_browser_shows_it_whole(chromium: str, made: Path, tmp_path, width: int, height: int) -> None:
    looked = tmp_path / "looked.html"
    looked.write_text((made / _page.PAGE).read_text("utf-8").replace("</body>", _LOOK + "</body>"), "utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    options += [f"--window-size={width},{height}", "--dump-dom", looked.as_uri()]
    done = subprocess.run([chromium, *options], capture_output=True, text=True, timeout=120)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title.startswith("{"), done.stderr
    assert ":CONSOLE" not in done.stderr  # what the page's own code or a browser that misses something writes
    seen = json.loads(title)
    assert (seen["images"], seen["bad"]) == (3, 0)
    assert seen["wide"] <= 0
