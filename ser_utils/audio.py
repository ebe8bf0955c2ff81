"""Sound as the study takes it: mono float32 at one rate; fixed lengths with the number of valid samples."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import librosa
import numpy as np
import soxr

from ser_utils import decoding, study

SAMPLE_RATE = 16_000  # Hz


def load(path: Path | str, *, sr: int = SAMPLE_RATE) -> np.ndarray:
    """Decode a file (wav, flac, ogg, mp3, m4a, mp4, …), average its channels, resample with soxr.

    Parameters
    ----------
    path : path
    sr : int
        Sampling rate of the result, Hz.

    Returns
    -------
    np.ndarray [shape=(n_samples,), dtype=float32]
        Full scale is ±1.

    Raises
    ------
    study.UserError
        When the file cannot be decoded or holds no sample.
    """
    try:
        y, rate = decoding.read(path)
    except OSError as error:
        raise study.UserError(f"{path}: cannot be read ({error.strerror}); run ./run_all.sh data check") from error
    except ValueError as error:
        raise study.UserError(f"{path}: {error}; run ./run_all.sh data check") from error
    if not len(y):
        raise study.UserError(f"{path}: holds no sample; run ./run_all.sh data check")
    mono = y.mean(axis=1)
    return mono if rate == sr else soxr.resample(mono, rate, sr, quality="HQ")


def decoders() -> dict[str, str]:
    """Versions of what :func:`load` takes its samples from: part of the key of whatever is computed from them.

    The ffmpeg program counts only where PyAV, which goes before it, is absent.

    Examples
    --------
    >>> sorted(set(decoders()) - {"ffmpeg"})
    ['av', 'soundfile', 'soxr']
    """
    found = study.versions("av", "soundfile", "soxr")
    program = shutil.which("ffmpeg") if found["av"] == "not installed" else None
    if not program:
        return found
    told = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout
    return found | {"ffmpeg": told.splitlines()[0]}


def trim_silence(y: np.ndarray, *, top_db: float = 30.0) -> np.ndarray:
    """Cut what lies `top_db` below the loudest frame from both ends; pauses inside stay.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
    top_db : float
        Threshold below the loudest frame, dB > 0. Frames of 2048 samples, hop 512.

    Examples
    --------
    >>> y = np.concatenate([np.zeros(8000), np.ones(8000), np.zeros(8000)]).astype(np.float32)
    >>> 8000 <= trim_silence(y).size < 12000
    True
    """
    return librosa.effects.trim(y, top_db=top_db)[0]


def fit_length(y: np.ndarray, n_samples: int) -> tuple[np.ndarray, int]:
    """Bring a signal to `n_samples`: cut evenly from both ends, or add zeros at the end.

    Returns
    -------
    y : np.ndarray [shape=(n_samples,)]
    n_valid : int
        Samples that are signal, not padding; models mask the rest.

    Examples
    --------
    >>> fit_length(np.arange(5.0), 3)[0].tolist(), fit_length(np.arange(2.0), 3)
    ([1.0, 2.0, 3.0], (array([0., 1., 0.]), 2))
    """
    if len(y) >= n_samples:
        start = (len(y) - n_samples) // 2
        return y[start : start + n_samples], n_samples
    return np.pad(y, (0, n_samples - len(y))), len(y)


def level_db(y: np.ndarray) -> float:
    """Root mean square level in dB relative to full scale; −120 for digital silence.

    Examples
    --------
    >>> round(level_db(np.full(100, 0.1)), 1)
    -20.0
    """
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(y, dtype=np.float64))), 1e-6)))
