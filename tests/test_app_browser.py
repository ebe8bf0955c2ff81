"""The live demo in a real browser: a fake microphone, files of three kinds, nothing loaded from outside."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest
import soundfile as sf
import soxr
from app_sample import NAMES, save_nets
from saved_sample import LABELS, sentence
from test_browser import ARGS
from test_browser import NAMES as BROWSERS

from ser_utils import app, study
from ser_utils.corpora import demo

pytestmark = pytest.mark.browser
FAKE = "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream --use-file-for-fake-audio-capture="
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def program() -> str:
    pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no Chromium installed: none of {', '.join(BROWSERS)} is on the path")
    return found


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A microphone's wav at 48 kHz, and files to upload."""
    folder = tmp_path_factory.mktemp("sounds")
    sf.write(folder / "microphone.wav", soxr.resample(sentence(6.0), 16000, 48000), 48000)
    sf.write(folder / "sentence.mp3", sentence(0.9), 16000)
    sf.write(folder / "second.wav", sentence(0.9), 16000)
    sf.write(folder / "broken.wav", sentence(0.9), 16000)
    (folder / "broken.wav").write_bytes((folder / "broken.wav").read_bytes()[:9000])
    return folder


@pytest.fixture(scope="module")
def served(program, tmp_path_factory):
    """A page that finds no net; its first net, and another one, are saved when it is asked to train."""
    study.seed_everything(0)
    with pytest.MonkeyPatch.context() as patch:
        out = tmp_path_factory.mktemp("out")
        patch.setenv("SER_OUT", str(out))
        example = {name: app.Sound(f"example_{name}.wav", sentence(0.8, seed=3)) for name in demo.EMOTIONS}
        patch.setattr("ser_utils.app.sounds.examples", lambda: example)

        def train(*, tell):
            tell(0.5, "training fold 1 of 1")
            return save_nets(out / "folds")[0]

        with app.running(train=train) as found:
            yield found


@pytest.fixture(scope="module")
def browser(program, sounds):
    from playwright.sync_api import sync_playwright

    arguments = [*ARGS.split(), *FAKE.split()]
    arguments[-1] += str(sounds / "microphone.wav")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def outside() -> list[str]:
    """Addresses elsewhere that the page asked for."""
    return []


@pytest.fixture(scope="module")
def window(browser, served, outside):
    """The page, maybe without a net."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])

    def guard(route) -> None:
        if re.match(r"(data|blob):", route.request.url) or route.request.url.startswith(served.url):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    found = context.new_page()
    found.set_default_timeout(PATIENCE_MS)
    found.goto(served.url)
    found.wait_for_selector("#answer .answer")
    yield found
    context.close()


@pytest.fixture
def page(window):
    """The page with a net, which is trained where none is here yet."""
    if window.locator("button#train").is_visible():
        window.locator("button#train").click()
        window.locator("button#train").wait_for(state="hidden")
    return window


def verdict(page, *, name: str) -> str:
    """What the page says once it speaks of the sound `name`."""
    page.locator("#answer .quiet", has_text=name).first.wait_for()
    return page.locator("#answer .verdict").inner_text()


def choose(page, field: str, option: str) -> None:
    page.locator(f"#{field} input").click()
    page.locator("li[role=option]", has_text=option).first.click()


def upload(page, file: Path) -> None:
    if page.locator("#upload input[type=file]").count() == 0:
        page.locator("#upload button[aria-label*=Clear], #upload button[aria-label*=Remove]").first.click()
        page.locator("#answer .verdict", has_text="nothing heard yet").wait_for()
    page.locator("#upload input[type=file]").set_input_files(file)


ANSWERS = (*LABELS, "not sure")


def test_the_first_net_is_trained_when_asked_for(window):
    assert "No net is here yet" in window.locator("body").inner_text()
    window.locator("button#train").click()
    window.locator("button#train").wait_for(state="hidden")
    window.wait_for_function("document.querySelector('#net input').value.startsWith('tiny_cnn')")
    assert "UAR 0.500 [0.400, 0.600], unseen speakers" in window.locator("#net input").input_value()


def test_a_recording_is_heard(page):
    page.locator("#microphone .record-button").first.click()
    page.wait_for_timeout(2500)
    page.locator("#microphone .stop-button").first.click()
    assert verdict(page, name="audio") in ANSWERS
    page.locator("#details figure svg").first.wait_for()
    assert page.locator("#details figure").count() == 4


def test_net_and_denoiser_are_switched(page):
    choose(page, "net", NAMES[1])
    page.locator("#answer .quiet", has_text=NAMES[1]).first.wait_for()
    choose(page, "denoiser", "Wiener")
    page.locator("#details h2", has_text="denoised by Wiener").wait_for()
    assert "too soft" not in page.locator("#answer").inner_text()


def test_a_file_is_heard(page, sounds):
    upload(page, sounds / "sentence.mp3")
    assert verdict(page, name="sentence.mp3") in ANSWERS


def test_a_broken_file_is_told_in_a_sentence(page, sounds):
    upload(page, sounds / "broken.wav")
    told = page.locator("#answer .problem")
    told.wait_for()
    assert told.inner_text().startswith("broken.wav: truncated")
    assert page.locator("#details figure").count() == 0


def test_a_second_file_is_heard_although_the_first_one_is_still_in_work(page, sounds, monkeypatch):
    drawn, slow = threading.Event(), app.page.words.details
    monkeypatch.setattr("ser_utils.app.words.details", lambda heard: (drawn.wait(20), slow(heard))[1])
    upload(page, sounds / "sentence.mp3")
    verdict(page, name="sentence.mp3")
    upload(page, sounds / "second.wav")
    drawn.set()
    assert verdict(page, name="second.wav") in ANSWERS


def test_an_example_is_heard_and_its_predictions_are_taken_away(page, tmp_path):
    choose(page, "net", NAMES[1])
    page.get_by_role("button", name="happy").click()
    verdict(page, name="example_happy.wav")
    page.locator("#details", has_text="shaded: attention of the net").wait_for()
    with page.expect_download() as got:
        page.locator("#downloads a", has_text="CSV").click()
    got.value.save_as(tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["model"].tolist() == [NAMES[1]]
    assert table[[f"p_{label}" for label in LABELS]].to_numpy().sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(page, browser, served, scheme):
    phone = browser.new_page(viewport={"width": 380, "height": 800}, color_scheme=scheme)
    phone.set_default_timeout(PATIENCE_MS)
    phone.goto(served.url)
    phone.wait_for_selector("#answer .answer")
    phone.get_by_role("button", name="sad").click()
    phone.wait_for_selector("#details figure")
    assert phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    phone.close()


def test_nothing_came_from_outside(page, outside):
    assert outside == []
