"""The report in a real browser: nothing loaded from outside, nothing cut off on a phone, no barrier that axe finds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import report_sample

from ser_utils import study

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
