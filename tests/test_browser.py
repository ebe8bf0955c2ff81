"""The report in a real browser: nothing loaded from outside, nothing cut off on a phone, no barrier that axe finds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import report_sample

from ser_utils import study
from ser_utils.report.blocks import table_html

pytestmark = pytest.mark.browser
ARGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = {"desktop": 1280, "phone": 380}  # CSS pixels
PAGES = ("index", "04_lstm", "09_evaluation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """The report to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(tmp_path_factory.mktemp("out")))
        yield report_sample.write_report()


@pytest.fixture(scope="module")
def browser():
    """An installed Chromium; nothing is downloaded."""
    api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium installed: none of {', '.join(NAMES)} is on the path")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGS.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """Source of axe-core, from ``$SER_AXE`` or an npm folder of the project."""
    file = Path(os.environ.get("SER_AXE") or study.ROOT / "node_modules" / "axe-core" / "axe.min.js")
    if not file.is_file():
        pytest.skip(f"axe-core is missing: {file} does not exist; run 'npm install --no-save axe-core' or set SER_AXE")
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_page_stands_alone(browser, folder, name):
    outside, said = [], []
    page = browser.new_page(java_script_enabled=False)
    page.on("request", lambda request: outside.append(request.url) if not is_own(request.url) else None)
    page.on("console", lambda message: said.append(message.text))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url[:80]}"))
    page.goto((folder / f"{name}.html").as_uri(), wait_until="load")
    assert page.locator("h1").inner_text()
    assert (outside, said) == ([], [])
    page.close()


def is_own(address: str) -> bool:
    return address.startswith(("file:", "data:"))


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_screen(browser, folder, name, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto((folder / f"{name}.html").as_uri())
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) == 0
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert page.evaluate(over) == 0
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_barrier(browser, folder, axe, name, scheme):
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page.goto((folder / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert found["passes"], "axe did not run"
    violations = {v["id"]: [node["html"][:200] for node in v["nodes"]] for v in found["violations"]}
    assert violations == {}
    page.close()


def test_a_table_sorts_by_a_column_from_the_keyboard_and_comes_back(browser, folder):
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    table = page.locator(".table table").first
    column = "rows => rows.map(row => row.cells[1].innerText)"
    written = table.locator("tbody tr").evaluate_all(column)
    head = table.locator("thead th").nth(1)
    orders = []
    head.get_by_role("button").focus()
    for _ in range(3):
        page.keyboard.press("Enter")
        values = table.locator("tbody tr").evaluate_all(column)
        orders.append((head.get_attribute("aria-sort"), values))
    assert orders[0] == ("descending", sorted(written, key=float, reverse=True))
    assert orders[1] == ("ascending", sorted(written, key=float))
    assert orders[2] == (None, written)
    assert len(set(written)) > 2
    page.close()


def test_gaps_stay_last_and_words_sort_as_words(browser, folder, tmp_path):
    rows = pd.DataFrame({"system": ["b", "a10", "a9"], "gain": ["−0.2 [−0.3, −0.1]", "–", "0.1 [0.0, 0.2]"]})
    text = (folder / "index.html").read_text(encoding="utf-8")
    cut = re.search(r"(?s)<main.*</main>", text)
    page = browser.new_page()
    file = tmp_path / "page.html"
    file.write_text(text.replace(cut[0], f"<main>{table_html(rows, caption='Gains')}</main>"), encoding="utf-8")
    page.goto(file.as_uri())
    display = "cells => cells.map(cell => getComputedStyle(cell).display)"
    assert set(page.locator("main th, main td").evaluate_all(display)) == {"table-cell"}
    names = "rows => rows.map(row => row.cells[0].innerText)"
    found = []
    for head in ("system", "gain", "gain"):
        page.get_by_role("button", name=head).click()
        found.append(page.locator("tbody tr").evaluate_all(names))
    assert found == [["a9", "a10", "b"], ["a9", "b", "a10"], ["b", "a9", "a10"]]
    page.close()
