"""Decoding: every container with its own length and rate, and a clause for each file that is not whole or no audio."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import soundfile as sf

from ser_utils import decoding

av = pytest.importorskip("av")

FFMPEG = """#!{python}
import sys
import numpy as np, soundfile as sf
sf.write(sys.argv[-1], np.full((160, 1), 0.25), 16000, subtype="FLOAT")
"""


def tone(rate, seconds, hz=440):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def encode(file, rate, seconds, *, channels=1, codec="aac", form=None, video=False, sound=True, **options):
    """Write a tone, and a black film beside it, through PyAV; returns the tone."""
    y, layout = tone(rate, seconds), "mono" if channels == 1 else "stereo"
    with av.open(os.fspath(file), "w", format=form, options=options) as film:
        if video:
            picture = film.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
        if sound:
            track = film.add_stream(codec, rate=rate, layout=layout)
        for _ in range(round(20 * seconds) if video else 0):  # twice as long as the sound
            film.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        if video:
            film.mux(picture.encode())
        if sound:
            frame = av.AudioFrame.from_ndarray(np.tile(y, (channels, 1)), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            film.mux(track.encode(frame))
            film.mux(track.encode())
    return y


def without(monkeypatch, *, av_too=True, path=""):
    """No PyAV, and nothing but `path` to look for programs in."""
    monkeypatch.setenv("PATH", str(path))
    if av_too:
        monkeypatch.setitem(sys.modules, "av", None)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "options"),
    [
        ("clip.m4a", 16000, 1, {}),
        ("clip.m4a", 44100, 2, {}),
        ("clip.mp4", 48000, 2, {"video": True}),
        ("clip.mp4", 22050, 1, {"movflags": "+faststart"}),
        ("clip.mov", 24000, 1, {}),
        ("clip.mp4", 48000, 2, {"codec": "mp3"}),
        ("clip.webm", 48000, 1, {"codec": "libopus"}),
        ("clip.wav", 16000, 1, {"form": "mp4"}),  # a name says nothing
    ],
)
def test_films_and_aac_keep_rate_length_place_and_level(tmp_path, name, rate, channels, options):
    """The encoder puts a frame of silence before the sound and fills the last one: neither is part of the clip."""
    y = encode(tmp_path / name, rate, 0.8, channels=channels, **options)
    samples, found = decoding.read(tmp_path / name)
    assert (found, samples.shape[1], samples.dtype) == (rate, channels, np.float32)
    assert len(samples) == pytest.approx(len(y), abs=rate / 1000)
    middle = slice(rate // 5, rate // 2)
    assert np.abs(samples[middle] - y[middle, None]).max() < 0.03  # a shift by one sample would give 0.03 … 0.09


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff", "mp3"])
def test_libsndfile_formats_come_as_they_are(tmp_path, suffix):
    stereo = np.stack([tone(24000, 0.5), tone(24000, 0.5, 880)], axis=1)
    sf.write(tmp_path / f"clip.{suffix}", stereo, 24000)
    samples, rate = decoding.read(tmp_path / f"clip.{suffix}")
    assert (rate, samples.shape[1], samples.dtype) == (24000, 2, np.float32)
    assert len(samples) == pytest.approx(12000, abs=1500 if suffix == "mp3" else 0)
    if suffix in {"wav", "flac"}:
        assert np.abs(samples - stereo).max() < 1e-4


def test_a_film_without_sound_is_named(tmp_path):
    encode(tmp_path / "mute.mp4", 16000, 0.5, video=True, sound=False)
    with pytest.raises(ValueError, match=r"^holds MP4 without a sound track$"):
        decoding.read(tmp_path / "mute.mp4")


# --- containers ---


def test_containers_are_told_by_content(tmp_path):
    for suffix, kind in {"wav": "WAV", "flac": "FLAC", "ogg": "Ogg", "aiff": "AIFF", "mp3": "MP3"}.items():
        sf.write(tmp_path / f"a.{suffix}", tone(16000, 0.2), 16000)
        assert decoding.container((tmp_path / f"a.{suffix}").read_bytes()[: decoding.HEAD]) == kind
    encode(tmp_path / "a.m4a", 16000, 0.2)
    encode(tmp_path / "a.aac", 16000, 0.2, form="adts")
    encode(tmp_path / "a.webm", 48000, 0.2, codec="libopus")
    for name, kind in {"a.m4a": "MP4", "a.aac": "AAC", "a.webm": "WebM or Matroska"}.items():
        assert decoding.container((tmp_path / name).read_bytes()[: decoding.HEAD]) == kind
    for head in (b"", b"\xff", b"no audio", b"\x00" * 64):
        assert decoding.container(head) == ""


@pytest.mark.parametrize(
    ("content", "clause"),
    [
        (b"", "the file has 0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs text pointer, not audio"),
        (b"\n<!DOCTYPE html><title>404</title>", "holds a web page, not audio"),
        (b"PK\x03\x04" + b"\0" * 40, "holds a ZIP archive, not audio"),
        (b"Dear all, this is no sound at all", "not readable as audio"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "truncated: its header promises 44 bytes, the file has 16"),
    ],
)
def test_what_is_no_audio_is_named(tmp_path, content, clause):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=f"^{clause}"):
        decoding.read(tmp_path / "a.wav")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        decoding.read(tmp_path / "absent.wav")


# --- cut off ---


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", None),
        ("a.flac", None),
        ("a.mp4", {}),
        ("a.mp4", {"movflags": "+faststart"}),
        ("a.webm", {"codec": "libopus"}),
    ],
)
def test_half_a_file_is_truncated(tmp_path, name, options):
    file = tmp_path / name
    if options is None:
        sf.write(file, tone(48000, 1), 48000)
    else:
        encode(file, 48000, 1.0, **options)
    data = file.read_bytes()
    decoding.read(file)
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"^(truncated: |not readable as audio)"):
        decoding.read(file)


def test_an_mp4_that_lost_its_last_bytes_is_truncated(tmp_path):
    """Too few for its length to tell."""
    encode(tmp_path / "a.mp4", 16000, 0.5, movflags="+faststart")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[:-20])
    with pytest.raises(ValueError, match=rf"promises {len(data)} bytes, the file has {len(data) - 20}$"):
        decoding.read(tmp_path / "a.mp4")


def test_an_mp4_without_table_of_contents_is_truncated(tmp_path):
    encode(tmp_path / "a.mp4", 16000, 0.5)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(ValueError, match=r"^truncated: an MP4 without its table of contents \(moov\)$"):
        decoding.read(tmp_path / "a.mp4")


def test_a_wav_from_a_pipe_or_without_its_last_padding_byte_is_whole(tmp_path):
    sf.write(tmp_path / "a.wav", tone(16000, 0.1)[:-1], 16000, subtype="PCM_U8")
    data = (tmp_path / "a.wav").read_bytes()
    assert len(data) == 44 + 1600  # 1599 samples and one byte of padding
    (tmp_path / "a.wav").write_bytes(data[:-1])
    assert len(decoding.read(tmp_path / "a.wav")[0]) == 1599
    (tmp_path / "a.wav").write_bytes(data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:])
    assert len(decoding.read(tmp_path / "a.wav")[0]) == pytest.approx(1599, abs=1)


# --- tools ---


def test_without_pyav_and_ffmpeg_the_clause_says_what_to_install(tmp_path, monkeypatch):
    encode(tmp_path / "a.m4a", 16000, 0.2)
    sf.write(tmp_path / "a.mp3", tone(16000, 0.2), 16000)
    without(monkeypatch)
    with pytest.raises(ValueError, match=r"^holds MP4, which takes PyAV \(pip install av\) or ffmpeg on the PATH$"):
        decoding.read(tmp_path / "a.m4a")
    assert len(decoding.read(tmp_path / "a.mp3")[0])  # libsndfile needs neither


def test_ffmpeg_serves_where_pyav_is_not_installed(tmp_path, monkeypatch):
    encode(tmp_path / "a.m4a", 16000, 0.2)
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(FFMPEG.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    without(monkeypatch, path=program.parent)
    samples, rate = decoding.read(tmp_path / "a.m4a")
    assert (samples.shape, rate, samples[0, 0]) == ((160, 1), 16000, 0.25)
    program.write_text("#!/bin/sh\necho \"Stream map '0:a:0' matches no streams.\" >&2\nexit 1\n")
    with pytest.raises(ValueError, match="holds MP4 without a sound track"):
        decoding.read(tmp_path / "a.m4a")


def test_reading_needs_no_heavy_package():
    heavy = ("librosa", "tensorflow", "scipy", "av")
    code = f"import sys; from ser_utils import decoding; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
