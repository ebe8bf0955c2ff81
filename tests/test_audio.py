"""Decoding, resampling and lengths, against known signals."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile as sf

from ser_utils import audio, study


def sine(hz, sr, seconds=1.0, gain=0.5):
    return (gain * np.sin(2 * np.pi * hz * np.arange(int(sr * seconds)) / sr)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_every_format_and_rate_becomes_16_khz_mono(tmp_path, suffix, rate):
    file = tmp_path / f"tone.{suffix}"
    sf.write(file, np.stack([sine(440, rate), sine(440, rate)], axis=1), rate)
    y = audio.load(file)
    assert y.dtype == np.float32
    assert y.ndim == 1
    assert len(y) == pytest.approx(16000, abs=2500 if suffix == "mp3" else 2)
    spectrum = np.abs(np.fft.rfft(y[4000:12000]))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=2)
    assert audio.level_db(y[4000:12000]) == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.3)


def test_resampling_leaves_no_alias(tmp_path):
    sf.write(tmp_path / "high.wav", sine(10_000, 48000), 48000)  # above the new Nyquist frequency
    assert audio.level_db(audio.load(tmp_path / "high.wav")[1000:-1000]) < -80


def test_versions_of_the_decoders_name_ffmpeg_only_where_it_decodes(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ffmpeg version 7.1\necho built with gcc\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(study, "_version", lambda name: f"{name} 1")
    assert audio.decoders() == {"av": "av 1", "soundfile": "soundfile 1", "soxr": "soxr 1"}
    monkeypatch.setattr(study, "_version", lambda name: "not installed")
    assert audio.decoders()["ffmpeg"] == "ffmpeg version 7.1"
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ffmpeg" not in audio.decoders()


def test_channels_are_averaged(tmp_path):
    sf.write(tmp_path / "stereo.wav", np.stack([sine(440, 16000), -sine(440, 16000)], axis=1), 16000)
    assert np.abs(audio.load(tmp_path / "stereo.wav")).max() < 1e-4


def test_what_is_no_audio_is_a_user_error(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(study.UserError, match=r"text.wav: not readable as audio.*data check"):
        audio.load(tmp_path / "text.wav")
    sf.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(study.UserError, match="holds no sample"):
        audio.load(tmp_path / "empty.wav")


def test_trimming_cuts_the_ends_and_keeps_the_pause():
    quiet, loud = np.zeros(8000, dtype=np.float32), sine(440, 16000)
    y = np.concatenate([quiet, loud, quiet, loud, quiet])
    assert len(audio.trim_silence(y)) == pytest.approx(2 * len(loud) + len(quiet), abs=2100)
