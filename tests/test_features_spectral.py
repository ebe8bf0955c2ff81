"""Spectral features: librosa's values from one shared transform, on voices, noise, silence and the shortest clips."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import pytest
from sounds import noise, real_files, voice

from ser_utils import audio, features, study
from ser_utils.features import spectral

SPEC = features.FrameSpec(tuning=None)
WIDE = dataclasses.replace(SPEC, n_fft=2048, hop_length=512, n_mels=128, n_mfcc=40, fmin=0.0)
ALL = "+".join(features.KINDS)
SIGNALS = {
    "voice": voice(211.3, 1.0) + 1e-3 * noise(0, 1.0),
    "noise": noise(1, 1.0),
    "quiet": 1e-3 * noise(2, 1.0),
    "half silent": np.concatenate([noise(3), np.zeros(8000, np.float32)]),
    "silence": np.zeros(8000, np.float32),
    "short": noise(4, 0.05),
    "one sample": np.full(1, 0.5, np.float32),
}


def reference(y: np.ndarray, spec: features.FrameSpec) -> dict[str, np.ndarray]:
    """Every feature from librosa's own functions, one short-time transform each [shape=(n_columns, n_frames)]."""
    window = {"n_fft": spec.n_fft, "hop_length": spec.hop_length}
    frame = {"frame_length": spec.n_fft, "hop_length": spec.hop_length}
    bands = {"n_mels": spec.n_mels, "fmin": spec.fmin, "fmax": spec.fmax}
    power = librosa.feature.melspectrogram(y=y, sr=spec.sr, **window, **bands)
    log_mel = librosa.power_to_db(power, amin=1e-10, top_db=spec.top_db or None)
    rms = librosa.feature.rms(y=y, **frame)
    return {
        "log_mel": log_mel,
        "cepstra": librosa.feature.mfcc(S=log_mel, n_mfcc=spec.n_mfcc),
        "chroma": librosa.feature.chroma_stft(y=y, sr=spec.sr, tuning=spec.tuning, **window),
        "contrast": librosa.feature.spectral_contrast(y=y, sr=spec.sr, **window),
        "zcr": librosa.feature.zero_crossing_rate(y, **frame),
        "rms": rms,
        "level": librosa.power_to_db(rms**2, amin=1e-10, top_db=None),
        "centroid": librosa.feature.spectral_centroid(y=y, sr=spec.sr, **window),
        "bandwidth": librosa.feature.spectral_bandwidth(y=y, sr=spec.sr, **window),
        "rolloff": librosa.feature.spectral_rolloff(y=y, sr=spec.sr, **window),
        "flatness": librosa.feature.spectral_flatness(y=y, **window),
    }


# absolute tolerances: what 32 bits leave of values near zero, in the unit of the feature
ATOL = {"log_mel": 1e-2, "cepstra": 5e-2, "contrast": 0.1, "level": 1e-2, "centroid": 0.01, "bandwidth": 0.5}


def check_equal(y: np.ndarray, spec: features.FrameSpec) -> None:
    found = spectral.Spectrum(y, spec)
    for name, expected in reference(y, spec).items():
        values = getattr(found, name)
        assert values.dtype == np.float32, name
        assert values.shape == expected.T.shape, name
        # a bin more or less of the roll-off, where two sums tie
        share = 0.999 if name == "rolloff" else 1.0
        close = np.isclose(values, expected.T, rtol=1e-3, atol=ATOL.get(name, 1e-5))
        assert close.mean() >= share, (name, np.abs(values - expected.T).max())


@pytest.mark.filterwarnings("ignore:.*empty frequency set", "ignore:n_fft=.* is too large")
@pytest.mark.parametrize("spec", [SPEC, dataclasses.replace(WIDE, tuning=-0.13, top_db=80.0)], ids=["16 ms", "librosa"])
@pytest.mark.parametrize("name", SIGNALS)
def test_every_feature_is_librosa_s(name, spec):
    check_equal(SIGNALS[name], spec)


@pytest.mark.real
def test_every_feature_of_real_voices_is_librosa_s():
    for file in real_files(each=2):
        check_equal(audio.load(file), SPEC)
        check_equal(audio.load(file), WIDE)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("n_frames", [40, 9, 3, 1])
def test_differences_are_librosa_s_at_any_length(order, n_frames):
    values = np.random.default_rng(0).standard_normal((n_frames, 5)).astype(np.float32)
    expected = librosa.feature.delta(values, order=order, axis=0, mode="nearest")
    np.testing.assert_allclose(spectral.delta(values, order=order), expected, atol=1e-6)


@pytest.mark.parametrize("name", SIGNALS)
def test_all_kinds_side_by_side_have_a_name_per_column_and_no_hole(name):
    spec = dataclasses.replace(SPEC, kind=ALL)
    x = features.compute(SIGNALS[name], spec)
    assert x.shape == (1 + len(SIGNALS[name]) // 160, len(spec.columns))
    assert len(set(spec.columns)) == len(spec.columns)
    assert np.isfinite(x).all()


def test_columns_name_what_stands_in_them():
    y = SIGNALS["voice"]
    spec = dataclasses.replace(SPEC, kind="centroid+log_mel+f0")
    table = dict(zip(spec.columns, features.compute(y, spec).T, strict=True))
    spectrum = spectral.Spectrum(y, spec)
    np.testing.assert_array_equal(table["centroid_hz"], spectrum.centroid[:, 0])
    np.testing.assert_array_equal(table["mel063_db"], spectrum.log_mel[:, 63])
    assert np.median(table["f0_semitones"]) == pytest.approx(12 * np.log2(211.3 / 55), abs=0.05)


def test_loudness_goes_into_the_level_column_only():
    spec = dataclasses.replace(SPEC, clip_mean="level", trim_db=0, max_s=1.0)
    assert spec.columns[-1] == "clip_level_db"
    loud, quiet = (features.frames(gain * noise(5, 1.0), spec)[0] for gain in (1.0, 0.1))
    np.testing.assert_allclose(loud[:, :-1], quiet[:, :-1], atol=1e-2)
    np.testing.assert_allclose(loud[:, -1] - quiet[:, -1], 20, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "log_mel+mell"}, "features 'mell' are unknown"),
        ({"kind": "rms+rms"}, "name a kind twice"),
        ({"n_mfcc": 65}, "n_mfcc 65 exceeds n_mels 64"),
        ({"n_fft": 64}, "n_fft 64 must be 128 or more"),
        ({"tuning": 0.7}, "tuning 0.7 is no part of a semitone"),
        ({"top_db": -1.0}, "top_db -1.0 must be 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        dataclasses.replace(SPEC, **change)
