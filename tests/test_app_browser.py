"""The live demo in a real browser: a fake microphone, files, live speech, nothing from outside, no barrier."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import soxr
from app_sample import NAMES, save_nets
from saved_sample import LABELS, sentence
from test_browser import (
    ARGS,
    axe,  # noqa: F401 - a fixture
)
from test_browser import NAMES as BROWSERS

from ser_utils import app, study
from ser_utils.corpora import demo

pytestmark = pytest.mark.browser
FAKE = "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream --use-file-for-fake-audio-capture="
PATIENCE_MS = 60_000
GRADIO_S_OWN = ("label-content-name-mismatch",)  # its upload button shows other words than it tells a screen reader


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
        clear(page)
    page.locator("#upload input[type=file]").set_input_files(file)


def clear(page) -> None:
    page.locator("#upload button[aria-label*=Clear], #upload button[aria-label*=Remove]").first.click()
    page.locator("#answer .verdict", has_text="nothing heard yet").wait_for()


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


@pytest.fixture
def slow_pictures(monkeypatch):
    """Pictures of the first sound are drawn when the event is set."""
    drawn, draw, first = threading.Event(), app.page.words.details, []

    def wait(heard) -> str:
        first.append(heard)
        if len(first) == 1:
            drawn.wait(20)
        return draw(heard)

    monkeypatch.setattr("ser_utils.app.words.details", wait)
    yield drawn
    drawn.set()


def test_a_second_file_is_heard_although_the_first_one_is_still_in_work(page, sounds, slow_pictures):
    upload(page, sounds / "sentence.mp3")
    verdict(page, name="sentence.mp3")
    upload(page, sounds / "second.wav")
    slow_pictures.set()
    assert verdict(page, name="second.wav") in ANSWERS


def test_a_cleared_sound_leaves_no_pictures(page, sounds, slow_pictures):
    upload(page, sounds / "sentence.mp3")
    verdict(page, name="sentence.mp3")
    clear(page)
    slow_pictures.set()
    page.wait_for_timeout(1500)
    assert page.locator("#details figure").count() == 0
    assert page.locator("#downloads a").count() == 0
    assert page.locator("#answer .verdict").inner_text() == "nothing heard yet"


def test_pictures_are_those_of_the_answer_beside_them(page, slow_pictures):
    page.get_by_role("button", name="happy").click()
    verdict(page, name="example_happy.wav")
    page.get_by_role("button", name="sad").click()
    verdict(page, name="example_sad.wav")
    link = page.locator("#downloads a", has_text="CSV")
    page.wait_for_function("document.querySelector('#downloads a')?.download.startsWith('example_sad')")
    slow_pictures.set()
    page.wait_for_timeout(1500)
    assert link.get_attribute("download") == "example_sad_emotions.csv"


def test_an_example_is_heard_and_its_predictions_are_taken_away(page, tmp_path):
    choose(page, "net", NAMES[1])
    choose(page, "denoiser", "none")
    page.get_by_role("button", name="happy").click()
    verdict(page, name="example_happy.wav")
    page.locator("#details", has_text="shaded: attention of the net").wait_for()
    with page.expect_download() as got:
        page.locator("#downloads a", has_text="CSV").click()
    got.value.save_as(tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["model"].tolist() == [NAMES[1]]
    direct = app.hear(app.example("happy"), app.Settings(NAMES[1]), app.Nets()).probabilities
    np.testing.assert_allclose(table[[f"p_{label}" for label in LABELS]], direct, atol=1e-6)


# --- live -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(page):
    """The live tab; afterwards it listens no more."""
    page.get_by_role("tab", name="Live").click()
    yield page
    if page.locator("#stream button").inner_text() == "Stop":
        page.locator("#stream button").click()
    page.get_by_role("tab", name="Recording").click()


def listen(page) -> None:
    page.locator("#stream button", has_text="Listen").click()
    page.locator("#live .timeline span").nth(1).wait_for()


def listened_s(page) -> float:
    return float(re.search(r"listening, ([\d.]+) s", page.locator("#live").inner_text())[1])


def test_live_speech_has_a_timeline_and_can_be_stopped_and_begun_anew(live):
    listen(live)
    live.locator("#stream button", has_text="Stop").click()
    assert live.locator("#stream [role=status]").inner_text() == "stopped"
    assert live.locator("#live .verdict").inner_text() in (*ANSWERS, "no speech heard")
    assert np.isfinite(float(re.search(r"per second of sound: (\d+\.\d+)", live.locator("#live").inner_text())[1]))
    live.wait_for_timeout(1000)
    stopped = listened_s(live)
    live.wait_for_timeout(1000)
    assert listened_s(live) == stopped
    live.locator("#stream button", has_text="Listen").click()
    live.wait_for_function(f"parseFloat(document.querySelector('#live').innerText.split('listening, ')[1]) < {stopped}")
    live.locator("#live .timeline span").nth(1).wait_for()


def test_the_net_is_switched_while_it_listens(live):
    choose(live, "net", NAMES[0])
    listen(live)
    live.locator("#live .quiet", has_text=NAMES[0]).wait_for()
    choose(live, "net", NAMES[1])
    live.locator("#live .quiet", has_text=NAMES[1]).wait_for()
    assert live.locator("#stream button").inner_text() == "Stop"


def test_no_sound_is_lost_while_an_answer_is_in_work(live, monkeypatch):
    step, hear, came = app.live.step, app.live.hear, []

    def noted(before, y, rate, *rest):
        came.append((time.monotonic(), len(y) / rate))
        return step(before, y, rate, *rest)

    monkeypatch.setattr("ser_utils.app.live.step", noted)
    monkeypatch.setattr("ser_utils.app.live.hear", lambda *given: (time.sleep(0.7), hear(*given))[1])
    live.locator("#stream button", has_text="Listen").click()
    end = time.monotonic() + PATIENCE_MS / 1000
    while len(came) < 6 and time.monotonic() < end:
        live.wait_for_timeout(100)
    elapsed, heard = came[-1][0] - came[0][0], sum(seconds for _, seconds in came[1:])
    assert len(came) >= 6
    assert heard > 0.6 * elapsed


def test_a_microphone_that_is_refused_is_told(browser, served):
    context = browser.new_context()
    context.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError') }"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.url)
    page.get_by_role("tab", name="Live").click()
    page.locator("#stream button").click()
    page.locator("#stream [role=status]", has_text="does not let this page use the microphone").wait_for()
    assert page.locator("#stream button").inner_text() == "Listen"
    context.close()


# --- the whole page -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(page, browser, served, scheme):
    phone = browser.new_page(viewport={"width": 380, "height": 800}, color_scheme=scheme)
    phone.set_default_timeout(PATIENCE_MS)
    phone.goto(served.url)
    phone.wait_for_selector("#answer .answer")
    phone.get_by_role("button", name="sad").click()
    phone.wait_for_selector("#details figure")
    for tab in ("Recording", "Live", "Limits"):
        phone.get_by_role("tab", name=tab).click()
        assert phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, tab
    phone.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(page, browser, served, axe, scheme):  # noqa: F811 - the fixture
    other = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    other.set_default_timeout(PATIENCE_MS)
    other.goto(served.url)
    other.wait_for_selector("#answer .answer")
    other.evaluate(axe)
    found = {}
    for tab in ("Recording", "Live", "Limits"):
        other.get_by_role("tab", name=tab).click()
        if tab == "Recording":
            other.get_by_role("button", name="sad").click()
            other.wait_for_selector("#details figure")
        result = other.evaluate("axe.run()")
        assert result["passes"], "axe did not run"
        rules = [rule for rule in result["violations"] if rule["id"] not in GRADIO_S_OWN]
        found |= {(tab, rule["id"]): [node["html"][:200] for node in rule["nodes"]] for rule in rules}
    other.close()
    assert found == {}


def test_nothing_came_from_outside(page, outside):
    assert outside == []
