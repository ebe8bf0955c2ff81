"""Sound files to samples: libsndfile where it can; PyAV or the ffmpeg program for films and AAC (m4a, mp4, webm, …)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile as sf

HEAD = 512  # bytes that tell a container
LFS_POINTER = b"version https://git-lfs"
NO_AUDIO = ("a git-lfs text pointer", "a web page", "a ZIP archive", "a gzip archive", "an image", "a PDF")
NOT_SNDFILE = ("MP4", "AAC", "WebM or Matroska", "WMA", "AMR", "AVI", "FLV")  # libsndfile reads none of them
NOT_ALWAYS = ("WAV", "Ogg", "AIFF", "CAF")  # may hold a codec that libsndfile does not know
_MAGIC = (  # offset, bytes, what it is
    (0, LFS_POINTER, NO_AUDIO[0]),
    (8, b"WAVE", "WAV"),
    (8, b"AVI ", "AVI"),
    (8, b"AIF", "AIFF"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"ID3", "MP3"),
    (4, b"ftyp", "MP4"),
    (4, b"moov", "MP4"),
    (4, b"mdat", "MP4"),
    (4, b"wide", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\x01", "FLV"),
    (0, b"ADIF", "AAC"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89PNG", "an image"),
    (0, b"\xff\xd8\xff", "an image"),
    (0, b"%PDF", "a PDF"),
)
_UNKNOWN_SIZE = 0x7FFF_F000  # programs that write a WAV into a pipe promise this or more


def container(head: bytes) -> str:
    """What a file is by its first :data:`HEAD` bytes, whatever its name says; empty for what is not known.

    Examples
    --------
    >>> container(b"RIFF....WAVEfmt "), container(b"....ftypM4A "), container(b"<!DOCTYPE html>"), container(b"Dear")
    ('WAV', 'MP4', 'a web page', '')
    """
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08:  # 11 bits of sync
        return "MP3" if head[1] & 0x06 else "AAC"
    return ""


def read(path: Path | str) -> tuple[np.ndarray, int]:
    """Decode a whole file; of a film, its first sound track.

    Parameters
    ----------
    path : path

    Returns
    -------
    samples : np.ndarray [shape=(n_samples, n_channels), dtype=float32]
        Full scale is ±1.
    sample_rate : int
        Hz, as in the file.

    Raises
    ------
    ValueError
        With one clause that says why: 0 bytes, a text pointer, truncated, no sound track, not audio, a container that
        takes PyAV or ffmpeg where neither is installed.
    OSError
        When the file is not there or may not be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
    ...     sf.write(file.name, np.zeros((160, 2)), 16000)
    ...     samples, sample_rate = read(file.name)
    >>> samples.shape, sample_rate
    ((160, 2), 16000)
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
        kind = container(head)
        _check_whole(file, head, kind)
    if kind in NOT_SNDFILE:
        return _read_film(Path(path), kind)
    try:
        return _read_sndfile(path)
    except sf.LibsndfileError as error:
        why = ValueError(f"not readable as audio ({error.error_string.strip().rstrip('.')})")
        if kind not in NOT_ALWAYS or not _tool():
            raise why from error
    try:
        return _read_film(Path(path), kind)
    except ValueError:
        raise why from None  # what libsndfile says is nearer to the cause


def _read_sndfile(path: Path | str) -> tuple[np.ndarray, int]:
    with sf.SoundFile(os.fspath(path)) as file:
        samples = file.read(dtype="float32", always_2d=True)
        if len(samples) < file.frames:
            raise ValueError(f"truncated: its header promises {file.frames} samples, {len(samples)} could be decoded")
        return samples, file.samplerate


def _read_film(path: Path, kind: str) -> tuple[np.ndarray, int]:
    tool = _tool()
    if not tool:
        raise ValueError(f"holds {kind}, which takes PyAV (pip install av) or ffmpeg on the PATH")
    return (_read_av if tool == "av" else _read_ffmpeg)(path, kind)


def _tool() -> str:
    """What can read more than libsndfile: ``av``, ``ffmpeg``, or nothing."""
    try:
        import av  # noqa: F401
    except ImportError:
        return "ffmpeg" if shutil.which("ffmpeg") else ""
    return "av"


# --- whole or cut off -------------------------------------------------------------------------------------------


def _check_whole(file: BinaryIO, head: bytes, kind: str) -> None:
    """Refuse what is empty or no audio, and files shorter than they say of themselves."""
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise ValueError("the file has 0 bytes")
    if kind == NO_AUDIO[0]:
        raise ValueError(f"{kind}, not audio (fetch the content with `git lfs pull`)")
    if kind in NO_AUDIO:
        raise ValueError(f"holds {kind}, not audio")
    promised = int.from_bytes(head[4:8], "little") + 8 if head[:4] == b"RIFF" else 0
    if size + 1 < promised < _UNKNOWN_SIZE:  # the last byte may be padding that the writer forgot
        raise ValueError(f"truncated: its header promises {promised} bytes, the file has {size}")
    if kind == "MP4":
        _check_boxes(file, size)


def _check_boxes(file: BinaryIO, size: int) -> None:
    ends = dict(_boxes(file, size))
    promised = max(ends.values(), default=0)
    if promised > size:
        raise ValueError(f"truncated: its header promises {promised} bytes, the file has {size}")
    if not ends.keys() & {b"moov", b"moof"}:
        raise ValueError("truncated: an MP4 without its table of contents (moov)")


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Name and end, in bytes, of each outermost part of an MP4 (ISO/IEC 14496-12, 4.2)."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length and length < 8:
            return
        end = start + length if length else size  # 0: up to the end of the file
        yield head[4:8], end
        start = end


# --- PyAV and ffmpeg --------------------------------------------------------------------------------------------


def _read_av(path: Path, kind: str) -> tuple[np.ndarray, int]:
    import av

    try:
        with av.open(os.fspath(path)) as film:
            if not film.streams.audio:
                raise ValueError(f"holds {kind} without a sound track")
            track = film.streams.audio[0]
            samples, sample_rate = _decode(film, track)
            promised = _promised_s(film, track, kind)
    except av.FFmpegError as error:
        raise ValueError(f"not readable as audio ({error.strerror})") from error
    seconds = len(samples) / sample_rate
    if seconds < promised - 0.15:  # a frame of AAC lasts 0.13 s at 8 kHz
        raise ValueError(f"truncated: its header promises {promised:.2f} s, {seconds:.2f} s could be decoded")
    if kind == "MP4" and promised:  # the last frame of AAC is filled up with silence
        samples = samples[: round(promised * sample_rate)]
    return samples, sample_rate


def _promised_s(film: object, track: object, kind: str) -> float:
    """Seconds that the header promises of the track; 0 where it says nothing, or is only guessed from the bit rate."""
    if kind == "MP4" and track.duration:
        return float(track.duration * track.time_base)
    alone = kind == "WebM or Matroska" and len(film.streams) == 1 and film.duration
    return film.duration / 1e6 if alone else 0.0


def _decode(film: object, track: object) -> tuple[np.ndarray, int]:
    import av

    to_float = av.AudioResampler(format="fltp")
    parts, rates = [], set()
    for frame in film.decode(track):
        frame.pts = None
        rates.add((frame.sample_rate, frame.layout.nb_channels))
        if len(rates) > 1:
            raise ValueError("changes its sampling rate or channels half-way; convert it to wav first")
        parts += [part.to_ndarray() for part in to_float.resample(frame)]
    if not parts:
        raise ValueError("its sound track holds no sample")
    return np.ascontiguousarray(np.concatenate(parts, axis=1).T), rates.pop()[0]


def _read_ffmpeg(path: Path, kind: str) -> tuple[np.ndarray, int]:
    with tempfile.TemporaryDirectory(prefix="ser-") as folder:
        wav = Path(folder) / "sound.wav"
        source = path.resolve().as_posix()
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{source}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
        done = subprocess.run([*command, str(wav)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return _read_sndfile(wav)
        if "matches no streams" in done.stderr:
            raise ValueError(f"holds {kind} without a sound track")
        last = (done.stderr.strip().splitlines() or [f"ffmpeg ended with {done.returncode}"])[-1]
        raise ValueError(f"not readable as audio ({last.replace(f'file:{source}: ', '')})")
