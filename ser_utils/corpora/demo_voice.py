"""Voice quality for the synthetic corpus: what espeak-ng's own parameters cannot set.

Irregular and trembling F0, spectral slope, breath, level, and the quiet room around a clip. Every function takes and
returns samples ``y : np.ndarray [shape=(n_samples,)]`` in −1 … 1; `sr` is in Hz; random numbers come from `rng`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

PIVOT_HZ = 500.0  # the slope turns around this frequency
TREMOR_HZ = 6.0
JITTER_HZ = 40.0  # bandwidth of irregular F0
BREATH_HZ = 1500.0  # aspiration noise lies above


def trim(y: np.ndarray, *, below_db: float = -45.0) -> np.ndarray:
    """Cut the ends that lie `below_db` under the peak."""
    loud = np.flatnonzero(np.abs(y) > np.abs(y).max() * 10 ** (below_db / 20))
    return y[loud[0] : loud[-1] + 1]


def perturb_f0(y: np.ndarray, *, sr: int, jitter_pct: float, tremor_st: float, rng: np.random.Generator) -> np.ndarray:
    """Make F0 irregular and trembling, by reading the samples at a varying speed.

    Parameters
    ----------
    jitter_pct : float
        Standard deviation of the irregular part of F0, in per cent, ≥ 0.
    tremor_st : float
        Amplitude of the trembling at :data:`TREMOR_HZ`, in semitones, ≥ 0.
    """
    time = np.arange(len(y)) / sr
    knots = np.arange(0, time[-1] + 2 / JITTER_HZ, 1 / JITTER_HZ)
    jitter = np.interp(time, knots, rng.standard_normal(len(knots))) * jitter_pct / 100
    tremor = tremor_st * np.sin(2 * np.pi * (TREMOR_HZ * time + rng.random()))
    position = np.cumsum((1 + np.clip(jitter, -0.2, 0.2)) * 2 ** (tremor / 12))
    return np.interp(position, np.arange(len(y)), y)


def weigh(y: np.ndarray, *, sr: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply the spectrum by `gain`, a function of frequency in Hz; no phase is changed."""
    from scipy.fft import irfft, next_fast_len, rfft  # slow to load, and only needed to speak

    size = next_fast_len(len(y), real=True)
    return irfft(rfft(y, size) * gain(np.fft.rfftfreq(size, 1 / sr)), size)[: len(y)]


def tilt(y: np.ndarray, *, sr: int, db_per_octave: float) -> np.ndarray:
    """Raise (or, below 0, lower) the spectrum by `db_per_octave` above :data:`PIVOT_HZ`."""
    return weigh(y, sr=sr, gain=lambda f: 10 ** (db_per_octave / 20 * np.log2(np.clip(f / PIVOT_HZ, 1, None))))


def breathe(y: np.ndarray, *, sr: int, breath_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise above :data:`BREATH_HZ` that follows the loudness of speech, `breath_db` dB relative to it."""
    window = np.hanning(round(0.03 * sr))
    envelope = np.sqrt(np.convolve(y**2, window / window.sum(), mode="same").clip(0))
    noise = weigh(rng.standard_normal(len(y)), sr=sr, gain=lambda f: f > BREATH_HZ)
    return y + noise / rms(noise) * envelope * 10 ** (breath_db / 20)


def rms(y: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(y, dtype=np.float64))))


def set_level(y: np.ndarray, *, level_dbfs: float, peak: float = 0.97) -> np.ndarray:
    """Scale to an RMS of `level_dbfs`, or less where a sample would pass `peak`."""
    gain = 10 ** (level_dbfs / 20) / (rms(y) + 1e-12)
    return y * min(gain, peak / np.abs(y).max())


def place_in_room(
    y: np.ndarray, *, sr: int, before_s: float, after_s: float, floor_dbfs: float, rng: np.random.Generator
) -> np.ndarray:
    """Pad both ends and lay a quiet room (noise falling by 3 dB an octave, RMS `floor_dbfs`) under the whole."""
    y = np.pad(y, (round(before_s * sr), round(after_s * sr)))
    room = weigh(rng.standard_normal(len(y)), sr=sr, gain=lambda f: (f > 20) / np.sqrt(np.clip(f, 50, None)))
    return y + room * 10 ** (floor_dbfs / 20) / rms(room)
