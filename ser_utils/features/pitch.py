"""Fundamental frequency and voicing by YIN (de Cheveigné & Kawahara 2002, doi:10.1121/1.1458024), frames in one go."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from ser_utils import audio, study

VOICED = 0.6  # voicing from which a frame counts as voiced
TROUGH = 0.15  # normalised difference below which the first trough is the period
SILENCE_DB = 40.0  # frames this far below the loudest one are silent
SILENCE_POWER = 1e-9  # mean square at and below which a frame is silent anyhow: −90 dB of full scale


def f0(
    y: np.ndarray,
    *,
    sr: int = audio.SAMPLE_RATE,
    fmin: float = 65.0,
    fmax: float = 500.0,
    frame_length: int = 1024,
    hop_length: int = 160,
) -> tuple[np.ndarray, np.ndarray]:
    """Fundamental frequency and voicing of each frame.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal, full scale ±1; any length from 1 sample.
    sr : int
        Sampling rate, Hz.
    fmin, fmax : float
        Range that is searched, Hz.
    frame_length : int
        Samples; it must hold two periods of `fmin`.
    hop_length : int
        Samples; frame *i* is centred at sample ``i * hop_length``.

    Returns
    -------
    f0_hz : np.ndarray [shape=(n_frames,), dtype=float32]
        Best candidate of each frame, Hz, voiced or not; NaN where the frame is silent. ``n_frames`` is
        ``1 + n_samples // hop_length``.
    voicing : np.ndarray [shape=(n_frames,), dtype=float32]
        One minus the normalised difference at that period: 1 is periodic, 0 is noise or silence. Take frames at
        :data:`VOICED` or more for statistics of pitch.

    Raises
    ------
    study.UserError
        When the range is empty, or its longest period does not fit into half a frame.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000).astype(np.float32)
    >>> f0_hz, voicing = f0(tone)
    >>> round(float(np.median(f0_hz))), bool(np.median(voicing) > 0.99)
    (200, True)
    """
    shortest, longest = int(sr // fmax), int(np.ceil(sr / fmin)) if fmin > 0 else 0
    if not 2 <= shortest < longest < frame_length // 2:
        raise study.UserError(
            f"fmin {fmin} Hz and fmax {fmax} Hz must rise, and two periods of fmin must fit into a frame of "
            f"{frame_length} samples at {sr} Hz; raise fmin or frame_length"
        )
    difference, power = _difference(y, longest=longest + 1, frame_length=frame_length, hop_length=hop_length)
    normalised = _normalised(difference)
    period = _best_period(normalised, shortest, longest)
    shift, depth = _parabola(normalised, period)
    silent = power <= max(SILENCE_POWER, float(power.max()) * 10 ** (-SILENCE_DB / 10))
    voicing = np.where(silent, 0, np.clip(1 - depth, 0, 1)).astype(np.float32)
    return np.where(silent, np.nan, sr / (period + shift)).astype(np.float32), voicing


def _difference(y: np.ndarray, *, longest: int, frame_length: int, hop_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared difference of each frame's start to itself at lags 0 … `longest`, by FFT; and the frame's mean square.

    The start is as long as the frame leaves room for: every lag sums over the same number of samples.

    Returns
    -------
    difference : np.ndarray [shape=(n_frames, longest + 1), dtype=float32]
    power : np.ndarray [shape=(n_frames,)]
    """
    window = frame_length - longest
    padded = np.pad(np.asarray(y, dtype=np.float32), (frame_length // 2, frame_length))
    n_frames = 1 + len(y) // hop_length
    frames = sliding_window_view(padded, frame_length)[::hop_length][:n_frames]
    n_fft = scipy.fft.next_fast_len(frame_length, real=True)
    head = scipy.fft.rfft(frames[:, :window], n_fft, axis=1)
    product = scipy.fft.rfft(frames, n_fft, axis=1)
    product *= head.conj()
    correlation = scipy.fft.irfft(product, n_fft, axis=1)[:, : longest + 1]
    total = np.concatenate([[0], np.cumsum(np.square(padded, dtype=np.float64))])
    energy = sliding_window_view(total[window:] - total[:-window], longest + 1)[::hop_length][:n_frames]
    difference = (energy[:, :1] + energy - 2 * correlation).astype(np.float32)
    return np.maximum(difference, 0), energy[:, longest // 2] / window


def _normalised(difference: np.ndarray) -> np.ndarray:
    """Difference over its mean at all shorter lags; 1 at lag 0."""
    mean = np.cumsum(difference[:, 1:], axis=1, dtype=np.float64)
    mean /= np.arange(1, difference.shape[1])
    out = np.ones_like(difference)
    np.divide(difference[:, 1:], mean, out=out[:, 1:], where=mean > 0, casting="same_kind")
    return out


def _best_period(normalised: np.ndarray, shortest: int, longest: int) -> np.ndarray:
    """Lag of the first trough below :data:`TROUGH`, else of the lowest value."""
    inner = normalised[:, shortest : longest + 1]
    trough = (inner < normalised[:, shortest - 1 : longest]) & (inner <= normalised[:, shortest + 1 : longest + 2])
    deep = trough & (inner < TROUGH)
    first, lowest = deep.argmax(axis=1), inner.argmin(axis=1)
    return shortest + np.where(deep.any(axis=1), first, lowest)


def _parabola(normalised: np.ndarray, period: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset in (−½, ½) lags, and value, of the vertex of the parabola through each trough and its neighbours."""
    rows = np.arange(len(period))
    left, middle, right = (normalised[rows, period + step].astype(np.float64) for step in (-1, 0, 1))
    curve, slope = left - 2 * middle + right, (left - right) / 2
    shift = np.divide(slope, curve, out=np.zeros_like(curve), where=curve > 0)
    shift = np.where(np.abs(shift) < 0.5, shift, 0)
    return shift, middle - 0.5 * slope * shift
