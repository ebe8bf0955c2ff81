"""Rendered pages: what they hold, and that the checks over them notice what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import report_sample
from bs4 import BeautifulSoup

from ser_utils import report, study
from ser_utils.report.exporter import mathml
from ser_utils.report.pages import page_title, tie_pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One whole report, shared: the tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(tmp_path_factory.mktemp("out")))
        yield report_sample.write_report()


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def test_every_page_passes_its_checks(folder):
    pages = sorted(folder.glob("*.html"))
    assert [page.stem for page in pages] == ["04_lstm", "09_evaluation", "index"]
    assert {page.name: report.problems(page) for page in pages} == {page.name: [] for page in pages}


def test_page_numbers_figures_and_tables(folder):
    page = soup(folder / "04_lstm.html")
    assert page.select_one("#figure-1 figcaption .label").get_text() == "Figure 1"
    assert page.select_one("#table-1 caption").get_text().startswith("Table 1 Scores by fold")
    assert page.select_one("#figure-1 img")["alt"] == "Five clouds of points."


def test_page_has_one_title_and_contents_in_order(folder):
    page = soup(folder / "04_lstm.html")
    assert [h.get_text() for h in page.find_all("h1")] == ["04 · Recurrent nets"]
    names = [h.name for h in page.find_all(re.compile("^h[2-6]$"))]
    assert names == ["h2", "h3", "h2", "h3", "h2"]  # h4 after h2 and a second h1 are brought in line
    links = [a["href"] for a in page.select("nav.contents .wide a")]
    assert links == ["#Attention-pooling", "#Masking", "#Scores", "#Pitch", "#Conclusions"]


def test_formulas_are_drawn_at_build(folder):
    page = soup(folder / "04_lstm.html")
    assert len(page.find_all("math")) == 2
    assert page.find("math", display="block").find("mfrac")
    assert "$" not in page.main.get_text()


def test_formula_that_cannot_be_read_keeps_its_source():
    assert mathml(r"\left( 1 < 2", display="inline") == r'<code class="formula">\left( 1 &lt; 2</code>'
    assert mathml(r"\begin{aligned} a &= b \end{aligned}", display="block").count("<mtd") == 2


def test_code_is_folded_and_highlighted_but_parameters_of_the_run_are_open(folder):
    page = soup(folder / "04_lstm.html")
    opened = [fold.summary.get_text() for fold in page.select("details.code[open]")]
    assert len(page.select("details.code")) > len(opened) == 1
    assert opened[0].startswith("Parameters set for this run")
    assert page.select("details.code .highlight .kn")


def test_messages_of_libraries_are_folded_and_progress_is_settled(folder):
    page = soup(folder / "04_lstm.html")
    assert "UserWarning" in page.select_one("details.log").get_text()
    assert page.select_one("pre.stdout").get_text().strip() == "fold 0: 0.500\nfold 1: 0.500"


def test_failed_page_shows_its_error_and_nothing_after_it(folder):
    page = soup(folder / "09_evaluation.html")
    banner = page.select_one(".banner.bad").get_text()
    assert "ValueError in code cell 8" in banner
    assert "1 code cell after it did not run" in banner
    error = page.select_one("#error")
    assert error.details.has_attr("open")
    assert error.select_one(".traceback strong").get_text() == "ValueError: fold 3 <of 6> has no clip of class 'calm'"
    assert "\x1b" not in error.get_text()
    assert "stands above chance" not in page.get_text()


def test_an_interval_without_width_is_left_out(folder):
    rows = {row.th.get_text(): row.find_all("td") for row in soup(folder / "index.html").select("tr.floor")}
    assert rows["chance"][1].get_text() == "–"
    assert " to " in rows["majority"][1].get_text()


def test_titles_come_from_the_notebooks(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "ROOT", tmp_path)
    assert page_title("04_lstm") == "04 · Recurrent nets"
    (tmp_path / "notebooks").mkdir()
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 04 · Other words\n\nText")])
    nbformat.write(nb, tmp_path / "notebooks" / "04_lstm.ipynb")
    assert page_title("04_lstm") == "04 · Other words"
    assert page_title("99_own") == "99_own"


def test_links_between_notebooks_lead_to_pages(folder):
    links = {a["data-page"]: a["href"] for a in soup(folder / "04_lstm.html").select("a[data-page]")}
    assert links["09_evaluation"] == "09_evaluation.html"
    assert links["02_features"] == "index.html#page-02_features"
    assert tie_pages('<a data-page="a#error" href="x">', {"a"}) == '<a data-page="a#error" href="a.html#error">'


def test_a_link_mended_later_leaves_the_age_of_the_page(folder):
    page = folder / "04_lstm.html"
    before, age = page.read_text(encoding="utf-8"), page.stat().st_mtime_ns
    spare = folder / "02_features.html"
    spare.write_text("<title>x</title>")
    try:
        report.render_index(report_sample.PROFILE)
        assert 'href="02_features.html"' in page.read_text(encoding="utf-8")
        assert page.stat().st_mtime_ns == age
    finally:
        spare.unlink()
        report.render_index(report_sample.PROFILE)
    assert page.read_text(encoding="utf-8") == before


def test_first_page_is_loud_about_synthetic_and_absent_corpora(folder):
    banners = " ".join(" ".join(b.get_text().split()) for b in soup(folder / "index.html").select(".banner"))
    assert "they say nothing about people" in banners
    assert "Absent: " in banners
    assert "1 page failed" in banners


def test_first_page_shows_scores_states_and_provenance(folder):
    page = soup(folder / "index.html")
    text = " ".join(page.get_text().split())
    assert "0.564" in text
    assert "0.524 to 0.614" in text
    row = page.select_one("#page-09_evaluation")
    assert row.select_one(".status").get_text() == "✗ failed"
    assert row.select("a")[-1]["href"] == "09_evaluation.html#error"
    assert page.select_one("#page-10_live_demo .status").get_text().startswith("not ")
    assert "0123456789ab with changes that are not committed" in text
    assert page.select_one(".gallery img")["alt"] == "Five clouds of points."


def test_first_page_before_any_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    index = report.render_index("demo")
    assert report.problems(index) == []
    assert "No scores yet" in index.read_text(encoding="utf-8")


def test_report_survives_being_copied_alone(folder, tmp_path):
    for file in folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert [p for page in tmp_path.glob("*.html") for p in report.problems(page)] == []


def test_page_of_something_else_than_a_notebook(tmp_path):
    with pytest.raises(study.UserError, match="does not exist"):
        report.render_page(tmp_path / "04_lstm.ipynb", tmp_path / "x.html", profile="demo", status="ok")
    (tmp_path / "04_lstm.ipynb").write_text("half")
    with pytest.raises(study.UserError, match="is not a notebook"):
        report.render_page(tmp_path / "04_lstm.ipynb", tmp_path / "x.html", profile="demo", status="ok")


def test_plain_picture_without_words_is_noticed(tmp_path):
    png = nbformat.v4.new_output("display_data", data={"image/png": "aGVsbG8="})
    cells = [nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell("show()", outputs=[png])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "04_lstm.ipynb")
    page = tmp_path / "04_lstm.html"
    report.render_page(tmp_path / "04_lstm.ipynb", page, profile="demo", status="ok")
    assert any("without alt text" in problem for problem in report.problems(page))


GOOD = '<html lang="en"><title>t</title><main><h1>T</h1>{}</main></html>'


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<img src="https://example.org/x.png" alt="x">', "external resource: <img> loads https://example.org/x.png"),
        ('<img src="plot.png" alt="x">', "external resource: <img> loads plot.png"),
        ('<script src="https://example.org/x.js"></script>', "external resource: <script>"),
        ("<script>1</script>", "script: a page holds no other"),
        ('<link rel="stylesheet" href="style.css">', "external resource: <link> loads style.css"),
        ("<style>a{background:url(https://example.org/x)}</style>", "a style loads https://example.org/x"),
        ("<style>@import 'x.css';</style>", "a style loads 'x.css"),
        ('<p style="background:url(x.png)">', "a style loads x.png"),
        ('<meta http-equiv="refresh" content="0">', "meta refresh"),
        ('<img src="data:image/png;base64,AA">', "image without alt text"),
        ("<svg></svg>", "drawing (svg)"),
        ('<audio src="data:audio/flac,"></audio>', "<audio> without a name"),
        ('<p id="a"></p><p id="a"></p>', "duplicate id: a (2 times)"),
        ('<p aria-labelledby="b"></p>', "aria-labelledby names no element: b"),
        ("<h1>U</h1>", "2 top headings"),
        ("<h3>U</h3>", "heading level skipped: h3 after h1"),
        ("<table><tr><td>1</td></tr></table>", "table without caption"),
        ("<table><caption>c</caption><tr><th>1</th></tr></table>", "table header without scope"),
        ('<a href="#nowhere">x</a>', "broken link: #nowhere"),
        ('<a href="gone.html">x</a>', "broken link: gone.html: no such file"),
        ('<a href="other.html#gone">x</a>', "broken link: other.html#gone: no such place"),
        ("<a>x</a>", "link without address"),
        ("<main></main>", "2 main landmarks"),
    ],
)
def test_checks_notice(body, problem, tmp_path):
    (tmp_path / "other.html").write_text('<p id="here">')
    page = tmp_path / "page.html"
    page.write_text(GOOD.format('<a href="other.html#here">x</a> <a href="https://example.org">y</a>'))
    assert report.problems(page) == []
    page.write_text(GOOD.format(body))
    assert any(problem in found for found in report.problems(page)), report.problems(page)


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("<html><title>t</title>", "no language"),
        ('<html lang="en"><title> </title>', "no title"),
        ("", "0 top headings"),
    ],
)
def test_checks_notice_a_bare_document(page, problem, tmp_path):
    (tmp_path / "page.html").write_text(page)
    assert any(problem in found for found in report.problems(tmp_path / "page.html"))


def test_no_line_ends_before_a_percent_sign_and_code_is_left_alone():
    from ser_utils.report.pages import _tie_percents

    body = BeautifulSoup("<p>95 % of <code>5 % 2</code></p><pre>7 % 3</pre>", "html.parser")
    _tie_percents(body)
    assert str(body) == "<p>95\u00a0% of <code>5 % 2</code></p><pre>7 % 3</pre>"


def test_code_that_scrolls_can_be_reached_from_the_keyboard(folder):
    blocks = soup(folder / "04_lstm.html").select("pre")
    assert len(blocks) > 3
    assert {block.get("tabindex") for block in blocks} == {"0"}
