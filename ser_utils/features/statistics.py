"""One row of numbers per clip: what frame features do over time, for classic models."""

from __future__ import annotations

import functools

import numpy as np

from ser_utils import audio
from ser_utils.features import pitch
from ser_utils.features.spec import CHROMA, FrameSpec, column_names
from ser_utils.features.spectral import Spectrum

FUNCTIONALS = ("mean", "std", "p05", "p50", "p95", "slope")  # slope per second
_SHAPES = ("log_mel", "chroma", "contrast", "zcr", "level", "centroid", "bandwidth", "rolloff", "flatness")
_F0 = ("mean", "std", "p05", "p50", "p95", "slope", "step")
_RHYTHM = ("duration_s", "voiced_share", "voiced_per_s", "voiced_s", "unvoiced_s")


@functools.cache
def _study_spec(sr: int) -> FrameSpec:
    """Settings of the public study: librosa's defaults."""
    return FrameSpec(
        sr=sr, n_fft=2048, hop_length=512, n_mels=128, n_mfcc=40, fmin=0, fmax=sr / 2, top_db=80, tuning=None
    )


def vector110(y: np.ndarray, *, sr: int = audio.SAMPLE_RATE) -> np.ndarray:
    """Mean and standard deviation of 40 MFCC, centroid, bandwidth, zero crossings and 12 chroma, as in public RAVDESS
    studies that use librosa's defaults (window 2048, hop 512, estimated tuning).

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal, full scale ±1; any length from 1 sample.
    sr : int
        Sampling rate, Hz.

    Returns
    -------
    np.ndarray [shape=(110,), dtype=float32]
        In the order of :func:`vector110_columns`: all means, then all standard deviations.

    Examples
    --------
    >>> vector110(np.zeros(8000, dtype=np.float32)).shape
    (110,)
    """
    spectrum = Spectrum(y, _study_spec(sr))
    parts = (spectrum.cepstra, spectrum.centroid, spectrum.bandwidth, spectrum.zcr, spectrum.chroma)
    values = np.concatenate(parts, axis=1, dtype=np.float64)
    return np.concatenate([values.mean(axis=0), values.std(axis=0)]).astype(np.float32)


def vector110_columns() -> tuple[str, ...]:
    """Names of the numbers of :func:`vector110`.

    Examples
    --------
    >>> vector110_columns()[0], len(vector110_columns())
    ('mfcc00_mean', 110)
    """
    names = [f"mfcc{i:02d}" for i in range(40)] + ["centroid_hz", "bandwidth_hz", "zcr"]
    names += [f"chroma_{note}" for note in CHROMA]
    return tuple(f"{name}_{statistic}" for statistic in ("mean", "std") for name in names)


def functionals(y: np.ndarray, *, sr: int = audio.SAMPLE_RATE) -> np.ndarray:
    """Statistics over time of cepstra, mel bands, chroma, spectral shape, level, pitch and rhythm.

    Silence 30 dB below the loudest frame is cut from both ends first: it says how the clip was cut, not how it was
    spoken. Pitch is taken over voiced frames alone; a clip without any has 0 there, and a voiced share of 0.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal, full scale ±1; any length from 1 sample.
    sr : int
        Sampling rate, Hz.

    Returns
    -------
    np.ndarray [shape=(len(functionals_columns()),), dtype=float32]

    Examples
    --------
    >>> len(functionals(np.ones(8000, dtype=np.float32))) == len(functionals_columns())
    True
    """
    spec = FrameSpec(sr=sr, fmax=sr / 2)
    spectrum = Spectrum(audio.trim_silence(y), spec)
    over_time = [spectrum.mfcc[:, : 2 * spec.n_mfcc], *(getattr(spectrum, name) for name in _SHAPES)]
    values = np.concatenate(over_time, axis=1)
    hop_s = spec.hop_length / sr
    return np.concatenate(
        [
            _over_time(values, hop_s).ravel(),
            _pitch(spectrum.f0, hop_s),
            _rhythm(spectrum.f0, len(spectrum.y) / sr, hop_s),
        ]
    ).astype(np.float32)


def functionals_columns(*, sr: int = audio.SAMPLE_RATE) -> tuple[str, ...]:
    """Names of the numbers of :func:`functionals`.

    Examples
    --------
    >>> functionals_columns()[0], functionals_columns()[-1]
    ('mfcc00_mean', 'unvoiced_s')
    """
    spec = FrameSpec(sr=sr, fmax=sr / 2)
    names = column_names("mfcc", spec)[: 2 * spec.n_mfcc] + [n for kind in _SHAPES for n in column_names(kind, spec)]
    over_time = [f"{name}_{statistic}" for statistic in FUNCTIONALS for name in names]
    return (*over_time, *(f"f0_semitones_{statistic}" for statistic in _F0), *_RHYTHM)


def _over_time(values: np.ndarray, hop_s: float) -> np.ndarray:
    """:data:`FUNCTIONALS` of each column [shape=(6, n_columns)]."""
    ordered = np.percentile(values, (5, 50, 95), axis=0)
    return np.vstack([values.mean(axis=0), values.std(axis=0), ordered, _slope(values, np.arange(len(values)) * hop_s)])


def _slope(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Least-squares slope of each column per second; 0 where there is one moment only."""
    at = seconds - seconds.mean()
    spread = at @ at
    return (at @ values) / spread if spread else np.zeros(values.shape[1:])


def _pitch(f0: np.ndarray, hop_s: float) -> np.ndarray:
    """Statistics of voiced frames in semitones; ``step`` is the mean change from one to the next."""
    voiced = f0[:, 1] >= pitch.VOICED
    if not voiced.any():
        return np.zeros(len(_F0))
    values = f0[voiced, 0].astype(np.float64)
    steps = np.abs(np.diff(f0[:, 0]))[voiced[1:] & voiced[:-1]]
    step = steps.mean() if len(steps) else 0.0
    slope = _slope(values[:, None], np.flatnonzero(voiced) * hop_s)[0]
    return np.array([values.mean(), values.std(), *np.percentile(values, (5, 50, 95)), slope, step])


def _rhythm(f0: np.ndarray, duration_s: float, hop_s: float) -> np.ndarray:
    """Duration, share of voiced frames, voiced stretches per second, mean length of voiced and unvoiced stretches."""
    voiced = np.concatenate([[False], f0[:, 1] >= pitch.VOICED, [False]])
    stretches = np.count_nonzero(voiced[1:] & ~voiced[:-1])
    n_voiced = np.count_nonzero(voiced)
    seconds = [n_voiced * hop_s / max(stretches, 1), (len(f0) - n_voiced) * hop_s / (stretches + 1)]
    return np.array([duration_s, n_voiced / len(f0), stretches / duration_s, *seconds])
