"""The live demo without a browser: one answer however a clip is asked, no guess on silence, nothing left behind."""

from __future__ import annotations

import base64
import html
import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import soxr
from app_sample import NAMES, save_nets
from saved_sample import LABELS, SPEC, sentence

from ser_utils import app, predicting, saved, study
from ser_utils.app import attention, live, nets, pictures, sounds, words

P = [f"p_{label}" for label in LABELS]


@pytest.fixture(scope="module", autouse=True)
def _seeded():
    study.seed_everything(0)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Output root with two nets."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("out")
        patch.setenv("SER_OUT", str(folder))
        save_nets(folder / "folds")
        yield folder


@pytest.fixture(scope="module")
def known(out):
    return app.Nets()


@pytest.fixture
def clip(tmp_path):
    sf.write(tmp_path / "clip.wav", sentence(1.2), 16000)
    return tmp_path / "clip.wav"


# --- sound ----------------------------------------------------------------------------------------------------------


def test_content_counts_not_the_name(tmp_path):
    y = sentence(0.8)
    sf.write(tmp_path / "a.mp3", y, 16000)
    (tmp_path / "a.mp3").rename(tmp_path / "a.txt")
    sound = app.read(tmp_path / "a.txt")
    assert sound.name == "a.txt"
    assert sound.seconds == pytest.approx(0.8, abs=0.08)
    (tmp_path / "b.wav").write_bytes(b"<!DOCTYPE html><p>not found")
    with pytest.raises(study.UserError, match=r"b\.wav: holds a web page, not audio"):
        app.read(tmp_path / "b.wav")


def test_broken_short_long_and_large_files_are_refused_in_a_sentence(tmp_path, monkeypatch):
    file = tmp_path / "a.wav"
    sf.write(file, sentence(1.0), 16000)
    file.write_bytes(file.read_bytes()[:9000])
    with pytest.raises(study.UserError, match=r"a\.wav: truncated"):
        app.read(file)
    sf.write(file, sentence(0.05), 16000)
    with pytest.raises(study.UserError, match=r"a\.wav: lasts 0\.05 s"):
        app.read(file)
    sf.write(file, sentence(1.0), 16000)
    monkeypatch.setattr(sounds, "MAX_S", 0.9)
    with pytest.raises(study.UserError, match=r"longer than 1 s; cut it, or ask: python -m ser_utils predict"):
        app.read(file)
    monkeypatch.setattr(sounds, "MAX_MB", 0.01)
    with pytest.raises(study.UserError, match=r"more than 0\.01 MB"):
        app.read(file)
    with pytest.raises(study.UserError, match=r"gone\.wav cannot be read"):
        app.read(tmp_path / "gone.wav")


def test_the_gate_refuses_silence_hiss_and_clicks():
    rng = np.random.default_rng(0)
    assert sounds.speaks(sentence(1.0))
    assert sounds.speaks(0.1 * sentence(1.0))
    assert not sounds.speaks(np.zeros(16000, np.float32))
    assert not sounds.speaks(np.full(16000, 0.2, np.float32))
    assert not sounds.speaks(1e-3 * rng.standard_normal(16000))
    assert not sounds.speaks(np.pad(np.full(800, 0.5), 8000))
    assert not sounds.speaks(sentence(0.1))


def test_noise_has_the_ratio_and_is_the_same_every_time():
    y = sentence(1.0)
    for name in sounds.NOISES[1:]:
        noisy = sounds.in_noise(y, name, 10)
        assert (noisy == sounds.in_noise(y, name, 10)).all()
        ratio = np.square(y).mean() / np.square(noisy - y).mean()
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=2.5), name
    assert sounds.in_noise(y, "none", 10) is y


# --- the answer -----------------------------------------------------------------------------------------------------


def test_no_guess_on_silence(known):
    heard = app.hear(app.Sound("quiet", np.zeros(16000, np.float32)), app.Settings(), known)
    assert (heard.verdict, heard.speech, len(heard.table)) == ("no speech heard", False, 0)
    page = words.answer(heard) + words.details(heard)
    assert "no speech heard" in page
    assert not any(f">{label}<" in page for label in LABELS)


def test_windows_are_those_of_predict(known, tmp_path):
    y = sentence(3.3)
    y[16000:32000] = 0
    for rate in (16000, 44100):
        file = tmp_path / f"{rate}.wav"
        sf.write(file, soxr.resample(y, 16000, rate), rate, subtype="FLOAT")
        table, _ = predicting.predict([file], known.load(NAMES[0]))
        heard = app.hear(app.read(file), app.Settings(NAMES[0]), known).table
        loud = table[table["emotion"] != ""]
        assert len(heard) == len(loud) > 3
        assert heard["start_s"].to_numpy() == pytest.approx(loud["start_s"].to_numpy())
        np.testing.assert_allclose(heard[P], loud[P], atol=1e-6 if rate == 16000 else 1e-4)


def test_the_denoiser_and_the_noise_reach_the_net(known, clip):
    sound = app.read(clip)
    plain = app.hear(sound, app.Settings(), known)
    noisy = app.hear(sound, app.Settings(noise="white", snr_db=0), known)
    cleaned = app.hear(sound, app.Settings(noise="white", snr_db=0, denoiser="wiener"), known)
    assert (plain.clean == sound.y).all()
    assert (cleaned.noisy == noisy.noisy).all()
    distance = [np.square(found.clean - sound.y).mean() for found in (noisy, cleaned)]
    assert distance[1] < distance[0]
    assert np.abs(noisy.table[P].to_numpy() - cleaned.table[P].to_numpy()).max() > 1e-4
    told, _ = predicting.predict([clip], known.load(""), denoise=app.Settings(denoiser="wiener").denoise)
    same = app.hear(sound, app.Settings(denoiser="wiener"), known).table
    np.testing.assert_allclose(same[P], told[P], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": "rian"}, "noise 'rian' is unknown; use one of none, white"),
        ({"snr_db": 99.0}, "an SNR of 99 dB is out of range; use -10 to 30 dB"),
        ({"denoiser": "dtnl"}, "denoiser 'dtnl' is unknown; use one of"),
        ({"denoiser": "oracle"}, "denoiser 'oracle' is unknown"),
        ({"model": "resnet"}, "there is no net 'resnet'; use one of tiny_cnn, tiny_lstm"),
    ],
)
def test_settings_that_cannot_be_are_refused(known, clip, settings, message):
    with pytest.raises(study.UserError, match=message):
        app.hear(app.read(clip), app.Settings(**settings), known)


def test_below_the_threshold_it_is_not_sure(known, clip, monkeypatch):
    sound, told = app.read(clip), dict(known.load(NAMES[0]).facts["confidence"])
    for threshold, sure in ((0.0, True), (1.0, False)):
        monkeypatch.setattr("ser_utils.saved.confidence.known", lambda facts, t=threshold: told | {"threshold": t})
        heard = app.hear(sound, app.Settings(NAMES[0]), known)
        assert heard.table["sure"].tolist() == [sure]
        assert (heard.verdict == "not sure") is not sure
    scaled = saved.confidence.scaled(heard.table[P].to_numpy(), told["temperature"]).max()
    assert heard.table["confidence"].iloc[0] == pytest.approx(scaled)
    assert "too little to answer" in words.answer(heard)


def test_without_validation_clips_no_threshold_is_invented(known, clip):
    heard = app.hear(app.read(clip), app.Settings(NAMES[1]), known)
    assert heard.table["confidence"].isna().all()
    assert heard.table["sure"].all()
    assert "was not measured" in words.answer(heard)
    cards = {name: card for name, (_, card) in known.cards().items()}
    assert "no threshold" in nets.trust(cards[NAMES[1]])
    assert "90 validation clips of 6 speakers" in nets.trust(cards[NAMES[0]])


# --- nets -----------------------------------------------------------------------------------------------------------


def test_every_profile_is_offered_with_corpus_and_score(known, out):
    other = out / "reports" / "mine" / "models"
    other.mkdir(parents=True)
    (other / "tiny_cnn.keras").write_bytes((out / "reports" / "demo" / "models" / "tiny_cnn.keras").read_bytes())
    (other / "broken.keras").write_bytes(b"nothing")
    try:
        cards = known.cards()
        assert list(cards) == ["tiny_cnn (demo)", "tiny_cnn (mine)", "tiny_lstm"]
        line = nets.line("tiny_lstm", cards["tiny_lstm"][1])
        assert line == "tiny_lstm · demo, synthetic · UAR 0.400 [0.300, 0.500], unseen speakers"
        assert list(app.Nets("mine").cards()) == ["tiny_cnn"]
    finally:
        for file in other.iterdir():
            file.unlink()


def test_no_net_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    with pytest.raises(study.UserError, match="no net is saved here yet; train the first one"):
        app.Nets().load("")


# --- pictures and words ---------------------------------------------------------------------------------------------


def test_attention_lies_where_the_speech_is(known):
    y = np.concatenate([np.zeros(8000), sentence(0.6), np.zeros(8000)]).astype(np.float32)
    for name in NAMES:
        weights = attention.over_time(y, known.load(name))
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        assert len(weights) == 1 + len(y) // SPEC.hop_length
        seconds = np.arange(len(weights)) * SPEC.hop_length / 16000
        assert weights[(seconds < 0.4) | (seconds > 1.2)].sum() == 0


def test_names_cannot_break_the_page(known, clip):
    sound = app.read(clip, name='<img src=x onerror="x">.wav')
    heard = app.hear(sound, app.Settings(), known)
    page = words.answer(heard) + words.details(heard) + words.downloads(heard, [words.log_row(heard, "10:00:00")])
    assert "<img src=x" not in page
    assert 'onerror="x"' not in page


def test_the_timeline_spans_the_recording():
    table = pd.DataFrame(
        {
            "start_s": [0.0, 1.0, 2.0],
            "end_s": [2.0, 3.0, 4.0],
            "emotion": ["sad", "happy", "sad"],
            "sure": [True, True, False],
        }
    )
    drawn = pictures.timeline(table, seconds=4.0)
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", drawn)]
    assert widths == [25, 25, 50]
    assert "2.0 s not sure" in drawn


def test_downloads_hold_the_predictions_and_the_recording(known, clip):
    heard = app.hear(app.read(clip), app.Settings(), known)
    files = [
        base64.b64decode(data) for data in re.findall(r'href="data:[a-z/]+;base64,([^"]+)"', words.downloads(heard, []))
    ]
    table = pd.read_csv(io.BytesIO(files[0]))
    assert table["file"].tolist() == ["clip.wav"]
    np.testing.assert_allclose(table[P], heard.table[P], atol=1e-6)
    y, rate = sf.read(io.BytesIO(files[1]))
    assert rate == 16000
    np.testing.assert_allclose(y, sf.read(clip)[0], atol=1e-4)
    assert len(files) == 2
    assert "Session log (1)" in words.downloads(heard, [words.log_row(heard, "10:00:00")])


def test_the_page_says_what_it_is_not_and_what_it_keeps(known):
    text = html.unescape(re.sub(r"\s+", " ", words.OPENING + words.about([card for _, card in known.cards().values()])))
    for said in (
        "Nothing is stored or sent",
        "no way to judge people",
        "acted",
        "licence of its speech: ",
        "60 s",
        "20 MB",
    ):
        assert said in text


# --- live -----------------------------------------------------------------------------------------------------------


def test_live_slides_and_pauses(known, monkeypatch):
    monkeypatch.setattr(live.time, "perf_counter", lambda: 0.0)  # as fast as can be
    state, settings = live.Listening(), app.Settings()
    y = np.concatenate([np.zeros(48000, np.float32), soxr.resample(sentence(4.0), 16000, 48000), np.zeros(240000)])
    for start in range(0, len(y), 24000):
        half = live.step(state, y[start : start + 12000], 48000, settings, known)
        assert half.rows == state.rows
        before, state = half, live.step(half, y[start + 12000 : start + 24000], 48000, settings, known)
        assert len(before.rows) == len(state.rows) - 1
    table = state.table
    assert table["end_s"].to_numpy() == pytest.approx(np.arange(1, len(table) + 1) / 2)
    assert table["emotion"].eq("").tolist()[:2] == [True, True]
    assert table.loc[(table["end_s"] > 2) & (table["end_s"] <= 5), "emotion"].ne("").all()
    assert table["emotion"].iloc[-1] == ""
    assert len(state.y) == live.WINDOW_S * 16000
    assert "no speech heard" in words.listening(state)
    assert "pause" in words.listening(state)


def test_a_slow_machine_answers_less_often_and_keeps_up(known, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.6))  # every look at the clock finds 0.6 s gone
    monkeypatch.setattr(live.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(live, "hear", lambda sound, settings, nets: None)
    state, part = live.Listening(), sentence(0.5)
    for _ in range(24):
        state = live.step(state, part, 16000, app.Settings(), known)
    lengths = (state.table["end_s"] - state.table["start_s"]).tolist()
    assert lengths == pytest.approx([0.5] + [1.5] * (len(lengths) - 1))
    assert max(state.late[1:]) <= live.PACE


def test_one_slow_answer_does_not_stop_the_next_ones(known, monkeypatch):
    took = iter([20.0] + [0.01] * 40)
    clock = [0.0]

    def slow(sound, settings, nets):
        clock[0] += next(took)

    monkeypatch.setattr(live.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(live, "hear", slow)
    state = live.Listening()
    for _ in range(20):
        state = live.step(state, sentence(0.5), 16000, app.Settings(), known)
    lengths = (state.table["end_s"] - state.table["start_s"]).tolist()
    assert lengths == pytest.approx([0.5, live.WINDOW_S] + [0.5] * 13)


@pytest.mark.parametrize(("pcm", "rate"), [("AAA", 16000), ("AAAA AAA", 16000), ("AAAA", 16000), ("AAAAAA==", 5)])
def test_a_part_that_is_no_sound_is_told(pcm, rate):
    with pytest.raises(study.UserError, match="the browser sent no sound that can be read"):
        live.samples(pcm, rate)


# --- the page as a program --------------------------------------------------------------------------------------------


def test_page_client_predict_and_function_agree_and_nothing_is_left(known, clip):
    direct = app.hear(app.read(clip), app.Settings(), known).table[P].to_numpy()
    table, _ = predicting.predict([clip], known.load(""))
    with app.running(nets=known) as served:
        assert served.url.startswith("http://127.0.0.1:")
        assert served.answers()
        told = app.ask(served.url, clip)
        with pytest.raises(Exception, match=r"clip\.wav: truncated"):
            app.ask(served.url, _cut(clip))
        assert served.temporary.is_dir()
    by_page = np.array([[window[column] for column in P] for window in told["windows"]])
    np.testing.assert_allclose(by_page, direct, atol=1e-6)
    np.testing.assert_allclose(by_page, table[P], atol=1e-6)
    assert told["verdict"] in (*LABELS, "not sure")
    assert not served.answers()
    assert not served.temporary.exists()


def _cut(file):
    file.write_bytes(file.read_bytes()[:9000])
    return file


def test_a_port_that_is_taken_is_told(known):
    with (
        app.running(nets=known) as served,
        pytest.raises(study.UserError, match="choose another --host or --port"),
        app.running(nets=known, port=int(served.url.rstrip("/").rsplit(":", 1)[1])),
    ):
        pass


def test_help_and_import_stay_light():
    code = (
        "import sys, contextlib, ser_utils.app, ser_utils.__main__ as door\n"
        "with contextlib.suppress(SystemExit): door.main(['--help'])\n"
        "print(sorted({'gradio', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=study.ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "app" in done.stdout
