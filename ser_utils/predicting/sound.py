"""Sound of any length and format in pieces that a net hears at once; a long file is never in memory as a whole."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from ser_utils import decoding
from ser_utils.corpora.probe import SILENT_PEAK

WHOLE_S = 60.0  # seconds of a file that is read in one go
BLOCK_S = 10  # seconds of a longer one that are read at a time
SHORTEST_S = 0.1  # less is no speech
UNKNOWN = 2**62  # frames from which libsndfile means that the file does not say


@dataclass(frozen=True)
class Piece:
    """A stretch of sound.

    Attributes
    ----------
    start_s, end_s : float
        Where it lies in its file, seconds.
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono.
    share : float
        Of the file, up to its end, 0 … 1; NaN where the file does not say how long it is.
    """

    start_s: float
    end_s: float
    y: np.ndarray = field(repr=False)
    share: float = 1.0

    @property
    def silent(self) -> bool:
        """Whether it never rises above −60 dB of full scale."""
        return is_silent(self.y)


def is_silent(y: np.ndarray) -> bool:
    """Whether a signal holds no speech, being nowhere louder than −60 dB of full scale."""
    return bool(np.abs(y - y.mean()).max() < SILENT_PEAK)


def pieces(
    path: Path, *, sr: int, max_s: float, window_s: float | None = None, hop_s: float | None = None
) -> Iterator[Piece]:
    """A file as one utterance, or in windows.

    A file of up to ``2 * max_s`` is one utterance, as in training: a net hears the middle ``max_s`` of it. A longer
    one, or with `window_s` one that is longer than that, comes in windows; the last one ends where the sound ends.

    Parameters
    ----------
    path : Path
    sr : int
        Sampling rate of the pieces, Hz.
    max_s : float
        What a net hears at once, seconds.
    window_s, hop_s : float, optional
        Length of a window, and from one to the next, seconds; default `max_s`, and half a window.

    Raises
    ------
    ValueError
        With one clause that says why the file cannot be heard: not audio, truncated, empty, too short, not finite.
    OSError
        When it cannot be opened.
    """
    rate, seconds, blocks = _read(path)
    blocks = _finite(blocks)
    limit = round((window_s or 2 * max_s) * rate)
    begin = _up_to(blocks, limit)
    if len(begin) <= limit:
        if len(begin) < SHORTEST_S * rate:
            raise ValueError(f"lasts {len(begin) / rate:g} s; {SHORTEST_S:g} s or more are needed")
        yield Piece(0.0, len(begin) / rate, begin if rate == sr else soxr.resample(begin, rate, sr, quality="HQ"))
        return
    window_s = window_s or max_s
    hop_s = hop_s or window_s / 2
    signal = _resampled(itertools.chain([begin], blocks), rate, sr)
    yield from _windows(signal, sr, round(window_s * sr), round(hop_s * sr), seconds)


def cut(y: np.ndarray, *, sr: int, max_s: float) -> list[Piece]:
    """Sound that is in memory in the pieces that :func:`pieces` makes of a file.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono.
    sr : int
        Its sampling rate, Hz.
    max_s : float
        What a net hears at once, seconds.

    Examples
    --------
    >>> [(piece.start_s, piece.end_s) for piece in cut(np.zeros(23, np.float32), sr=10, max_s=1.0)]
    [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.5, 2.3)]
    """
    if len(y) <= round(2 * max_s * sr):
        return [Piece(0.0, len(y) / sr, y)]
    return list(_windows(iter([y]), sr, round(max_s * sr), round(max_s / 2 * sr), len(y) / sr))


def _up_to(blocks: Iterator[np.ndarray], n_samples: int) -> np.ndarray:
    """The first blocks, until they hold more than `n_samples` or end."""
    parts, n = [], 0
    while n <= n_samples and (block := next(blocks, None)) is not None:
        parts.append(block)
        n += len(block)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _finite(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        if not np.isfinite(block).all():
            raise ValueError("holds samples that are not finite numbers")
        yield block


def _resampled(blocks: Iterable[np.ndarray], rate: int, sr: int) -> Iterator[np.ndarray]:
    if rate == sr:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, sr, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _windows(blocks: Iterator[np.ndarray], sr: int, window: int, hop: int, seconds: float | None) -> Iterator[Piece]:
    def piece(y: np.ndarray) -> Piece:
        end_s = (start + len(y)) / sr
        return Piece(start / sr, end_s, y, min(1.0, end_s / seconds) if seconds else np.nan)

    held, start = np.zeros(0, dtype=np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= window:
            yield piece(held[:window])
            held, start = held[hop:], start + hop
    if len(held) > max(window - hop, SHORTEST_S * sr):  # the rest holds more than what the last window had
        yield piece(held)


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Header:
    rate: int
    seconds: float | None  # None: the file does not say
    exact: bool  # whether that many can be decoded, if the file is whole
    film: bool  # whether PyAV reads it, and not libsndfile


def _read(path: Path) -> tuple[int, float | None, Iterator[np.ndarray]]:
    """Sampling rate, seconds where the file says so, and mono blocks."""
    with open(path, "rb") as file:
        kind = decoding.container(file.read(decoding.HEAD))
    header = _film_header(path, kind) if kind in decoding.NOT_SNDFILE else _sndfile_header(path)
    if header is None or (header.seconds is not None and header.seconds <= WHOLE_S):
        y, rate = decoding.read(path)
        return rate, len(y) / rate, iter([y.mean(axis=1)] if len(y) else [])
    blocks = (_film_blocks if header.film else _sndfile_blocks)(path)
    return header.rate, header.seconds, _as_promised(blocks, header)


def _sndfile_header(path: Path) -> _Header | None:
    with contextlib.suppress(sf.LibsndfileError):  # decoding.read tries more, and says why
        found = sf.info(os.fspath(path))
        if found.frames < UNKNOWN:
            return _Header(found.samplerate, found.frames / found.samplerate, exact=True, film=False)
        return _film_header(path, "")  # libsndfile stumbles over the end of a FLAC that was written into a pipe
    return None


def _film_header(path: Path, kind: str) -> _Header | None:
    try:
        import av
    except ImportError:
        return None  # decoding.read takes ffmpeg, in one go
    with contextlib.suppress(av.FFmpegError), av.open(os.fspath(path)) as film:
        if film.streams.audio:
            track = film.streams.audio[0]
            if kind == "MP4" and track.duration:
                return _Header(track.rate, float(track.duration * track.time_base), exact=True, film=True)
            return _Header(track.rate, film.duration / 1e6 if film.duration else None, exact=False, film=True)
    return None


def _sndfile_blocks(path: Path) -> Iterator[np.ndarray]:
    with sf.SoundFile(os.fspath(path)) as file:
        for block in file.blocks(BLOCK_S * file.samplerate, dtype="float32", always_2d=True):
            yield block.mean(axis=1)


def _film_blocks(path: Path) -> Iterator[np.ndarray]:
    import av

    with av.open(os.fspath(path)) as film:
        track = film.streams.audio[0]
        rate, to_float = track.rate, av.AudioResampler(format="fltp")
        for frame in film.decode(track):
            if frame.sample_rate != rate:
                raise ValueError("changes its sampling rate half-way; convert it to wav first")
            frame.pts = None
            for part in to_float.resample(frame):
                yield part.to_ndarray().mean(axis=0)


def _as_promised(blocks: Iterator[np.ndarray], header: _Header) -> Iterator[np.ndarray]:
    """`blocks` up to the seconds of the header, and a clause where they end before or cannot be decoded."""
    most = round(header.seconds * header.rate) if header.exact else None
    read = 0
    try:
        for block in blocks:
            kept = block if most is None else block[: most - read]  # the last frame of AAC is filled up with silence
            read += len(kept)
            yield kept
    except (sf.LibsndfileError, _film_error()) as error:
        raise ValueError(f"cannot be decoded after {read / header.rate:.0f} s ({error})") from error
    if most and read < most - 0.15 * header.rate:  # as in decoding: a frame of AAC lasts 0.13 s at 8 kHz
        raise ValueError(
            f"truncated: its header promises {header.seconds:.0f} s, {read / header.rate:.0f} s could be decoded"
        )


def _film_error() -> type[Exception]:
    try:
        from av import FFmpegError
    except ImportError:
        return sf.LibsndfileError
    return FFmpegError
