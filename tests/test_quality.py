"""Measures of quality: known values, order with the SNR, NaN with a reason, and the batch over clips."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import audio, quality, study, weights
from tests.sounds import noise, real_files, voice

SR = 16_000
OFFLINE = [name for name in quality.METRICS if not name.startswith("dnsmos")]
needs_weights = pytest.mark.skipif(
    bool(quality.not_run("dnsmos_ovr")), reason="no weights of DNSMOS below SER_PRETRAINED"
)


def speech(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Syllables of changing pitch and colour: enough of speech for the models of hearing."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * SR:
        syllable = voice(rng.uniform(110, 260), rng.uniform(0.12, 0.25))
        colour = rng.normal(0, 1, 24) * np.hanning(24)
        shaped = np.convolve(syllable, colour, mode="same") * np.hanning(len(syllable))
        parts += [shaped, np.zeros(int(rng.uniform(0.02, 0.08) * SR))]
    y = np.concatenate(parts)[: int(seconds * SR)]
    return (0.3 * y / np.abs(y).max()).astype(np.float32)


def noisy(y: np.ndarray, snr_db: float) -> np.ndarray:
    return audio.mix_at_snr(y, noise(3, 5.0), snr_db, sr=SR, rng=np.random.default_rng(0)).y


# --- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OFFLINE)
def test_every_measure_falls_with_the_snr_and_is_best_for_the_reference_itself(name):
    y, measure = speech(), getattr(quality, name)
    values = [measure(y, estimate, SR) for estimate in (y, noisy(y, 20), noisy(y, 10), noisy(y, 0))]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4
    metric = quality.METRICS[name]
    assert values[0] == pytest.approx(metric.best, abs=0.01)
    assert all(metric.worst <= value <= metric.best + 0.01 for value in values)


def test_si_sdr_is_the_ratio_that_was_mixed_whatever_the_scale_and_offset():
    y = np.sin(np.arange(SR) / 7).astype(np.float32)
    other = np.cos(np.arange(SR) / 7).astype(np.float32)
    for ratio_db in (-10, 0, 30):
        estimate = y + 10 ** (-ratio_db / 20) * other
        assert quality.si_sdr(y, estimate, SR) == pytest.approx(ratio_db, abs=0.02)
        assert quality.si_sdr(y, 0.01 * estimate + 0.3, SR) == pytest.approx(ratio_db, abs=0.02)
        assert quality.si_sdr(y, -estimate, SR) == pytest.approx(ratio_db, abs=0.02)


def test_segmental_snr_is_a_mean_of_limited_frames_where_there_is_speech():
    y = np.tile(np.sin(np.arange(8000) / 3), 2).astype(np.float32)
    half = y.copy()
    half[8000:] *= 0.9
    found = quality.segmental_snr(y, half, SR)
    assert found == pytest.approx((35 + 20) / 2, abs=0.3)
    assert quality.segmental_snr(y, -y, SR) == pytest.approx(-20 * math.log10(2), abs=0.01)
    assert quality.segmental_snr(y, -9 * y, SR) == -10
    padded, worse = np.pad(y, (0, SR)), np.pad(half, (0, SR))
    worse[-8000:] += 0.1
    assert quality.segmental_snr(padded, worse, SR) == pytest.approx(found, abs=0.3), "pauses do not count"


def test_measures_are_those_of_the_published_packages():
    import pesq
    import pystoi

    y, estimate = speech(), noisy(speech(), 5)
    assert quality.pesq_wb(y, estimate, SR) == pesq.pesq(SR, y, estimate, "wb")
    assert quality.stoi(y, estimate, SR) == pystoi.stoi(y, estimate, SR)
    expected = pystoi.stoi(y, estimate, SR, extended=True)
    assert quality.estoi(y, estimate, SR) == pytest.approx(expected, abs=1e-9), "it adds random numbers of 1e-16"


def test_other_rates_are_resampled():
    import soxr

    y, estimate = speech(), noisy(speech(), 10)
    up = [soxr.resample(sound, SR, 48_000, quality="HQ") for sound in (y, estimate)]
    for name in ("pesq_wb", "stoi"):
        assert getattr(quality, name)(*up, 48_000) == pytest.approx(getattr(quality, name)(y, estimate, SR), abs=0.05)


# --- what is not defined ----------------------------------------------------------------------------------------

SILENCE = np.zeros(SR, dtype=np.float32)
CLICK = np.eye(1, SR, 8000, dtype=np.float32)[0]
SHORT = speech()[2000:2320]


@pytest.mark.parametrize(
    ("name", "reference", "estimate", "reason"),
    [
        *((name, SILENCE, speech(1.0), "the reference is silent") for name in OFFLINE),
        *((name, speech(1.0), SILENCE, "the estimate is silent") for name in OFFLINE),
        ("pesq_wb", SHORT, SHORT, "shorter than 0.25 s"),
        ("stoi", SHORT, SHORT, "less than 0.4 s of speech in it"),
        ("estoi", SHORT, SHORT, "less than 0.4 s of speech in it"),
        ("stoi", CLICK, CLICK, "less than 0.4 s of speech in it"),
        ("segmental_snr", SHORT[:200], SHORT[:200], "shorter than 0.03 s"),
        ("si_sdr", np.full(SR, 0.5), speech(1.0), "the reference is constant"),
        ("si_sdr", speech(1.0), np.full(SR, 0.5), "the estimate is constant"),
    ],
)
def test_what_is_not_defined_is_nan_with_a_reason(name, reference, estimate, reason):
    assert math.isnan(getattr(quality, name)(reference, estimate, SR))
    value, told = quality.score(name, reference, estimate, SR)
    assert math.isnan(value)
    assert told == reason


@pytest.mark.parametrize("name", OFFLINE)
@pytest.mark.parametrize(
    "y",
    [CLICK, np.full(SR, 0.3), np.sign(np.sin(np.arange(SR) / 20)), SHORT, np.tile(speech(), 30)],
    ids=["click", "offset", "full scale", "20 ms", "60 s"],
)
def test_extreme_clips_give_a_number_or_a_reason_and_never_an_error(name, y):
    value, reason = quality.score(name, y, y + 0.01 * noise(0, len(y) / SR)[: len(y)], SR)
    assert math.isfinite(value) or reason


@pytest.mark.parametrize("name", OFFLINE)
def test_what_is_no_pair_of_sounds_is_refused(name):
    with pytest.raises(study.UserError, match="reference and estimate have 32000 and 31999 samples"):
        getattr(quality, name)(speech(), speech()[1:], SR)
    with pytest.raises(study.UserError, match="the estimate holds 1 samples that are no finite numbers"):
        getattr(quality, name)(speech(), np.append(speech()[1:], np.nan), SR)
    with pytest.raises(study.UserError, match="quality metric 'mos' is unknown; use one of si_sdr"):
        quality.score("mos", speech(), speech(), SR)


# --- DNSMOS -----------------------------------------------------------------------------------------------------


@needs_weights
def test_dnsmos_hears_noise_without_a_reference():
    y = speech(3.0)
    clean, worse = quality.dnsmos(y, SR), quality.dnsmos(noisy(y, 0), SR)
    assert list(clean) == ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovr"]
    assert all(1 <= value <= 5 for value in clean.values())
    assert worse["dnsmos_bak"] < clean["dnsmos_bak"] - 0.3
    for name, value in clean.items():
        assert getattr(quality, name)(np.zeros_like(y), y, SR) == value
    assert quality.score("dnsmos_ovr", y, np.zeros_like(y), SR)[1] == "the estimate is silent"


@needs_weights
def test_dnsmos_repeats_short_clips_and_averages_windows_of_long_ones():
    import onnxruntime

    net = onnxruntime.InferenceSession(str(weights.find("dnsmos_p835")))

    def rated(window: np.ndarray) -> float:
        raw = net.run(None, {net.get_inputs()[0].name: window[None]})[0][0, 2]
        return float(np.poly1d([-0.06766283, 1.11546468, 0.04602535])(raw))

    size = int(9.01 * SR)
    short = speech(4.6)  # doubled once to 9.2 s, which holds one window
    assert quality.dnsmos(short, SR)["dnsmos_ovr"] == pytest.approx(rated(np.tile(short, 2)[:size]), abs=1e-4)
    long = np.concatenate([speech(6.0), 0.5 * noisy(speech(5.2, 1), 0)])  # windows from 0 s and 1 s
    means = np.mean([rated(long[start : start + size]) for start in (0, SR)])
    assert quality.dnsmos(long, SR)["dnsmos_ovr"] == pytest.approx(means, abs=1e-4)
    assert quality.dnsmos(long, SR, n_windows=1)["dnsmos_ovr"] == pytest.approx(rated(long[:size]), abs=1e-4)
    assert quality.dnsmos_ovr(long, long, SR, n_windows=1) == quality.dnsmos(long, SR, n_windows=1)["dnsmos_ovr"]


def test_without_weights_it_is_told_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    assert quality.not_run("dnsmos_ovr").startswith("not run: dnsmos_sig_bak_ovr.onnx")
    assert quality.not_run("pesq_wb") == ""
    with pytest.raises(study.UserError, match=r"fetch https://github\.com/microsoft/DNS-Challenge"):
        quality.dnsmos_ovr(speech(), speech(), SR)
    rows = pd.DataFrame({"clip_id": ["a"], "path": ["a.wav"], "sha256": ["0"]})
    with pytest.raises(study.UserError, match="dnsmos_ovr: not run"):
        quality.measure(rows, tmp_path, rows, tmp_path, cache=tmp_path, metrics=["si_sdr", "dnsmos_ovr"])


# --- many clips -------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Manifests of three clean clips, and of their noisy versions 6 dB softer."""
    rows: dict[str, list[tuple]] = {"clean": [], "noisy": []}
    for k in range(3):
        y = speech(1.0, k) if k < 2 else np.zeros(SR, dtype=np.float32)
        for kind, sound in (("clean", y), ("noisy", 10 ** (-6 / 20) * (y + 0.02 * noise(k, 1.0)))):
            sf.write(tmp_path / f"{kind}{k}.wav", sound, SR, subtype="FLOAT")
            path = f"{kind}{k}.wav"
            rows[kind].append((f"c{k}", path, study.sha256(tmp_path / path)))
    clean, given = (pd.DataFrame(rows[kind], columns=["clip_id", "path", "sha256"]) for kind in rows)
    return clean, given.assign(gain_db=-6.0)


def test_a_batch_holds_every_metric_of_every_clip_and_takes_the_gain_back(pairs, tmp_path, monkeypatch):
    clean, given = pairs
    monkeypatch.setenv("SER_JOBS", "1")
    names = ("si_sdr", "segmental_snr", "stoi")

    def measured(estimate: pd.DataFrame) -> pd.DataFrame:
        return quality.measure(clean, tmp_path, estimate, tmp_path, cache=tmp_path / "cache", metrics=names)

    found = measured(given)
    assert list(found) == ["clip_id", "metric", "value", "reason"]
    assert found[["clip_id", "metric"]].to_numpy().tolist() == [[f"c{k}", name] for k in range(3) for name in names]
    y, estimate = (audio.load(tmp_path / f"{kind}1.wav") for kind in ("clean", "noisy"))
    for name in names:
        value = found.loc[(found["clip_id"] == "c1") & (found["metric"] == name), "value"].item()
        assert value == pytest.approx(getattr(quality, name)(y, estimate * 10 ** (6 / 20), SR), rel=1e-5)
    silent = found[found["clip_id"] == "c2"]
    assert silent["value"].isna().all()
    assert (silent["reason"] == "the reference is silent").all()
    assert (found.loc[found["clip_id"] != "c2", "reason"] == "").all()
    copies = given.assign(parent=given["clip_id"], clip_id=given["clip_id"] + "~noisy0")
    np.testing.assert_array_equal(measured(copies)["value"], found["value"])
    (tmp_path / "noisy1.wav").unlink()
    pd.testing.assert_frame_equal(measured(given), found)
    with pytest.raises(study.UserError, match=r"noisy1\.wav: gone or altered"):
        measured(given.head(2))
    with pytest.raises(study.UserError, match="clip 'c9' has no clean reference"):
        measured(given.assign(clip_id="c9"))


def test_the_real_time_factor_is_the_best_round_over_the_length_of_the_sound():
    ticks = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0])
    calls = []
    found = quality.real_time_factor(
        lambda y, sr: calls.append((len(y), sr)), [np.zeros(SR), np.zeros(3 * SR)], SR, clock=lambda: next(ticks)
    )
    assert found == 1.0 / 4
    assert calls == [(SR, SR)] + 3 * [(SR, SR), (3 * SR, SR)], "one call before the clock runs"
    with pytest.raises(study.UserError, match=r"0 sounds of 0\.0 s, 3 repeats"):
        quality.real_time_factor(lambda y, sr: y, [], SR)


# --- real voices ------------------------------------------------------------------------------------------------


@pytest.mark.real
@needs_weights
def test_real_speech_sounds_good_clean_and_worse_the_more_noise_there_is():
    rows = []
    for i, file in enumerate(real_files(each=1)[:2]):
        y = audio.load(file)
        for snr_db in (math.inf, 0):
            mix = audio.mix_at_snr(y, noise(i, 5.0), snr_db, sr=SR, rng=np.random.default_rng(i))
            row = {name: getattr(quality, name)(mix.speech, mix.y, SR) for name in ("pesq_wb", "stoi")}
            rated = quality.dnsmos_ovr(mix.speech, mix.y, SR, n_windows=1)
            rows.append({"snr_db": snr_db, "dnsmos_ovr": rated, **row})
    means = pd.DataFrame(rows).groupby("snr_db").mean()
    assert means["dnsmos_ovr"].loc[math.inf] > 2.2
    for name in means:
        assert means[name].is_monotonic_increasing, name
