"""Fundamental frequency: tones of known pitch, librosa's YIN on real voices, silence and the shortest clips."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from sounds import real_files, voice

from ser_utils import audio, features, study


@pytest.mark.parametrize("hz", [70.0, 111.1, 233.0, 480.0])
def test_the_pitch_of_a_voice_like_tone_is_found_without_octave_errors(hz):
    f0_hz, voicing = features.f0(voice(hz))
    inside = slice(4, -4)
    np.testing.assert_allclose(f0_hz[inside], hz, rtol=2e-3)
    assert voicing[inside].min() > 0.97


def test_a_missing_fundamental_is_still_heard():
    t = np.arange(8000) / 16000
    y = sum(np.sin(2 * np.pi * 150 * k * t) for k in (3, 4, 5)).astype(np.float32)
    assert np.median(features.f0(y)[0]) == pytest.approx(150, rel=5e-3)


def test_noise_is_not_voiced():
    voicing = features.f0(np.random.default_rng(0).standard_normal(16000).astype(np.float32))[1]
    assert np.mean(voicing >= features.VOICED) < 0.02


def test_silence_has_no_pitch_and_no_voicing():
    y = np.concatenate([voice(200), np.zeros(8000, np.float32), 1e-3 * voice(200)])
    f0_hz, voicing = features.f0(y)
    quiet = slice(66, None)
    assert not voicing[quiet].any()
    assert np.isnan(f0_hz[quiet]).all()
    assert np.isfinite(f0_hz[5:50]).all()


@pytest.mark.parametrize("n_samples", [1, 159, 160, 1023])
def test_any_length_gives_as_many_frames_as_the_spectrum(n_samples):
    f0_hz, voicing = features.f0(0.1 * np.ones(n_samples, np.float32))
    assert len(f0_hz) == len(voicing) == 1 + n_samples // 160
    assert (voicing >= 0).all()
    assert (voicing <= 1).all()


@pytest.mark.parametrize("change", [{"fmin": 0.0}, {"fmin": 500.0}, {"fmin": 20.0}, {"fmax": 16000.0}])
def test_a_range_that_cannot_be_searched_is_refused(change):
    with pytest.raises(study.UserError, match="must rise, and two periods of fmin must fit"):
        features.f0(voice(200), **change)


@pytest.mark.real
def test_real_voices_have_the_pitch_that_librosa_finds():
    ratios = []
    for file in real_files():
        y = audio.load(file)
        f0_hz, voicing = features.f0(y)
        expected = librosa.yin(y, fmin=65, fmax=500, sr=16000, frame_length=1024, hop_length=160, trough_threshold=0.15)
        ratios.append((f0_hz / expected)[voicing >= features.VOICED])
    octaves = np.abs(np.log2(np.concatenate(ratios)))
    assert np.mean(octaves < np.log2(1.02)) > 0.9
    assert np.mean(octaves > 0.8) < 0.03
