"""What denoisers share: overlapping frames, blocks that come one by one, other sampling rates, how sound is kept."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr

RATE = 16_000  # Hz, of all denoisers inside
FULL_SCALE = 2**15  # of 16 bits
BLOCK = 20 * RATE  # samples that go through a net at once


class Stream:
    """Overlapping frames of a signal that comes in blocks of any length.

    A sample is complete when the last frame that holds it has come: the algorithmic latency is one frame, and nothing
    is shifted. All calls together give as many samples as they took.

    Parameters
    ----------
    process : callable
        Frames [shape=(k, frame)] → frames [shape=(k, frame)] to be added up; keeps its state from call to call.
    frame, hop : int
        Samples; `frame` is a multiple of `hop`.

    Examples
    --------
    >>> stream = Stream(lambda frames: frames / 4, frame=512, hop=128)
    >>> y = np.arange(1000, dtype=np.float32)
    >>> out = np.concatenate([stream.push(y[:700]), stream.push(y[700:]), stream.flush()])
    >>> np.array_equal(out, y)
    True
    """

    def __init__(self, process: Callable[[np.ndarray], np.ndarray], *, frame: int, hop: int) -> None:
        self._process, self._frame, self._hop = process, frame, hop
        self._overlap = self._skip = frame - hop  # zeros go first, so that the first sample lies in as many frames
        self._input = np.zeros(self._overlap, dtype=np.float32)
        self._tail = np.zeros(self._overlap, dtype=np.float32)
        self._owed = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples; give those that are complete, which may be none."""
        self._owed += len(block)
        return self._advance(block)

    def flush(self) -> np.ndarray:
        """What is left after the last block; a stream ends with it."""
        return self._advance(np.zeros(self._frame, dtype=np.float32))

    def _advance(self, block: np.ndarray) -> np.ndarray:
        self._input = np.concatenate([self._input, block.astype(np.float32, copy=False)])
        done = (len(self._input) - self._overlap) // self._hop * self._hop
        if done <= 0:
            return np.zeros(0, dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._input, self._frame)[:: self._hop]
        added = overlap_add(self._process(windows), self._hop)
        added[: self._overlap] += self._tail
        self._input, self._tail = self._input[done:], added[done:]
        skipped = min(self._skip, done)
        self._skip -= skipped
        out = added[skipped:done][: self._owed]
        self._owed -= len(out)
        return out


def whole(stream: Stream, y: np.ndarray) -> np.ndarray:
    """A whole clip through a stream, in long blocks: an hour takes no more memory than it holds."""
    return np.concatenate([*(stream.push(y[at : at + BLOCK]) for at in range(0, len(y), BLOCK)), stream.flush()])


def same(y: np.ndarray) -> np.ndarray:
    """The sound as it is: a denoiser that does nothing."""
    return y


def overlap_add(frames: np.ndarray, hop: int) -> np.ndarray:
    """Sum of frames [shape=(n, frame)] that begin `hop` samples after each other.

    Examples
    --------
    >>> overlap_add(np.ones((3, 4)), 2).tolist()
    [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0]
    """
    n, frame = frames.shape
    parts = frames.reshape(n, frame // hop, hop)
    out = np.zeros((n + frame // hop - 1, hop), dtype=frames.dtype)
    for i in range(frame // hop):
        out[i : i + n] += parts[:, i]
    return out.reshape(-1)


def at_rate(function: Callable[..., np.ndarray], *signals: np.ndarray, sr: int) -> np.ndarray:
    """`function` of signals at 16 kHz where they are given at `sr`, and its result at `sr`, as long as they.

    Examples
    --------
    >>> y = np.sin(np.arange(4800) / 20).astype(np.float32)
    >>> out = at_rate(lambda y: y, y, sr=48000)
    >>> len(out), bool(np.abs(out - y)[500:-500].max() < 1e-3)
    (4800, True)
    """
    if sr == RATE:
        return function(*signals)
    length = len(signals[0])
    spare = [np.pad(signal, (0, sr // RATE + 1)) for signal in signals]  # one sample of 48 kHz would be none of 16
    out = function(*(soxr.resample(signal, sr, RATE, quality="HQ") for signal in spare))
    out = soxr.resample(out, RATE, sr, quality="HQ")[:length]
    return np.pad(out, (0, length - len(out)))


def flac(y: np.ndarray) -> bytes:
    """A sound at 16 kHz as 16-bit FLAC, scaled to stay within ±1; its comment holds that gain in dB, 0 or below.

    Examples
    --------
    >>> round(gain_db(flac(np.array([0.0, 2.0]))), 2)
    -6.02
    """
    peak = max(1.0, float(np.abs(y).max()))
    samples = np.clip(np.rint(y / peak * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", RATE, channels=1, format="FLAC", subtype="PCM_16") as file:
        file.comment = f"{-20 * np.log10(peak):.6f}"
        file.write(samples)
    return content.getvalue()


def gain_db(content: bytes) -> float:
    """By how much :func:`flac` scaled a sound, dB."""
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        return float(file.comment)
