"""Measures of sound whose pitch, level, noise and syllables are known because it was made so."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import audio, features, measure, study

SR = audio.SAMPLE_RATE
RNG = np.random.default_rng(0)


def tone(hz: float, seconds: float, *, level: float = 0.1) -> np.ndarray:
    """A buzz with eight harmonics."""
    t = np.arange(round(seconds * SR)) / SR
    return (level * sum(np.sin(2 * np.pi * n * hz * t) / n for n in range(1, 9))).astype(np.float32)


def words(n: int, *, hz: float = 150.0) -> np.ndarray:
    """`n` voiced syllables of 0.15 s with gaps of 0.1 s, silence around."""
    hump = np.hanning(round(0.15 * SR)) * tone(hz, 0.15)
    gap = np.zeros(round(0.1 * SR))
    return np.concatenate([np.tile(gap, 3), *[np.concatenate([hump, gap])] * n, np.tile(gap, 3)]).astype(np.float32)


# --- single measures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [1, 399, 400, 3000, 16000])
def test_clips_of_any_length_are_measured(n_samples):
    found, statistics = measure.clip((0.1 * RNG.standard_normal(n_samples)).astype(np.float32))
    assert found["silence_share"] == 0
    assert np.isfinite([found["lufs"], found["snr_db"], found["speech_s"]]).all()
    assert statistics.shape == (2 * measure.N_MFCC,)
    assert np.isfinite(statistics).all()


def test_silence_has_no_pitch_and_no_noise():
    found, _ = measure.clip(np.zeros(SR, dtype=np.float32))
    assert np.isnan([found["f0_hz"], found["f0_range_st"], found["snr_db"]]).all()
    assert (found["nuclei"], found["voiced_share"], found["lufs"]) == (0, 0, measure.GATED)


@pytest.mark.parametrize("sr", [16_000, 48_000])
def test_lufs_of_the_reference_tone(sr):
    full = np.sin(2 * np.pi * 997 * np.arange(sr) / sr)
    assert measure.lufs(full, sr=sr) == pytest.approx(-3.01, abs=0.15)
    assert measure.lufs(full / 10, sr=sr) == pytest.approx(-23.01, abs=0.15)
    assert measure.lufs(full[: sr // 10], sr=sr) == pytest.approx(-3.01, abs=0.3)  # shorter than a block


@pytest.mark.parametrize("truth", [0.0, 10.0, 20.0, 30.0])
def test_snr_of_words_in_noise(truth):
    speech = words(8)
    noise = RNG.standard_normal(len(speech))
    noise *= np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-truth / 20)
    assert measure.snr_db(measure.frame_powers(speech + noise)) == pytest.approx(truth, abs=2)


def test_snr_leaves_digital_zeros_out():
    speech = words(8) + 1e-3 * RNG.standard_normal(len(words(8)))
    gated = np.concatenate([np.zeros(SR), speech, np.zeros(SR)])
    open_, shut = (measure.snr_db(measure.frame_powers(y)) for y in (speech, gated))
    assert shut == pytest.approx(open_, abs=1)


@pytest.mark.parametrize("hz", [90.0, 210.0, 400.0])
def test_pitch(hz):
    found, _ = measure.clip(tone(hz, 1.0))
    assert found["f0_hz"] == pytest.approx(hz, rel=0.01)
    assert found["f0_range_st"] < 0.2


def test_pitch_range_of_a_glide_of_an_octave():
    found = measure.pitch(np.geomspace(100, 200, 1001))
    assert found["f0_range_st"] == pytest.approx(12 * 0.9, abs=0.01)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_syllables_are_counted(n):
    y = words(n)
    nuclei, speech_s = measure.syllables(y, features.f0(y)[1])
    assert nuclei == n
    assert speech_s == pytest.approx(0.25 * n - 0.1, abs=0.12)


def test_unvoiced_bursts_are_no_syllables():
    y = words(4)
    hiss = (0.05 * RNG.standard_normal(len(y)) * (np.abs(y) > 0)).astype(np.float32)
    assert measure.syllables(hiss, features.f0(hiss)[1])[0] == 0


# --- a corpus ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    rows = []
    for n in range(3):
        file = tmp_path / "toy" / f"{n}.wav"
        file.parent.mkdir(exist_ok=True)
        sf.write(file, words(n + 1), SR)
        rows.append({"path": f"toy/{n}.wav", "corpus": "toy", "clip_id": str(n), "sha256": study.sha256(file)})
    return tmp_path, pd.DataFrame(rows)


def test_corpus_keeps_the_order_and_comes_from_the_cache(folder, monkeypatch):
    root, clips = folder
    first, statistics = measure.corpus(clips[::-1].reset_index(drop=True), root, cache=root / "cache")
    assert first["clip_id"].tolist() == ["2", "1", "0"]
    assert first["nuclei"].tolist() == [3, 2, 1]
    assert statistics.shape == (3, 2 * measure.N_MFCC)
    monkeypatch.setattr(measure, "clip", lambda y: pytest.fail("measured again"))
    again, _ = measure.corpus(clips[::-1].reset_index(drop=True), root, cache=root / "cache")
    pd.testing.assert_frame_equal(first, again)


def test_another_decoder_measures_anew(folder, monkeypatch):
    root, clips = folder
    measure.corpus(clips, root, cache=root / "cache")
    monkeypatch.setattr(audio, "decoders", lambda: {"av": "another"})
    measure.corpus(clips, root, cache=root / "cache")
    assert len(list((root / "cache").iterdir())) == 2


def test_an_altered_file_is_refused(folder):
    root, clips = folder
    sf.write(root / "toy" / "1.wav", words(5), SR)
    with pytest.raises(study.UserError, match=r"1\.wav: gone or altered"):
        measure.corpus(clips, root, cache=root / "cache")


# --- real speech -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "syllables", "low", "high"), [("ravdess/**/03-*", 7, 70, 450), ("tess/*/*", 4, 100, 400)]
)
def test_real_sentences_have_their_syllables(pattern, syllables, low, high):
    root = Path(os.environ.get("SER_DATA") or "nowhere")
    files = sorted(root.glob(pattern))[::41]
    if not files:
        pytest.skip(f"no file {pattern} below SER_DATA")
    found = pd.DataFrame([measure.clip(audio.load(file))[0] for file in files])
    assert found["nuclei"].mean() == pytest.approx(syllables, abs=0.8)
    assert found["f0_hz"].between(low, high).mean() > 0.95
