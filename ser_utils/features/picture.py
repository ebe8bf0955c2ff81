"""A spectrogram as a picture, for nets that were trained on photographs."""

from __future__ import annotations

import numpy as np

from ser_utils import audio
from ser_utils.features.spec import FrameSpec
from ser_utils.features.spectral import Spectrum

RANGE_DB = 80.0  # from white down to black


def image(y: np.ndarray, size: tuple[int, int] = (224, 224), *, sr: int = audio.SAMPLE_RATE) -> np.ndarray:
    """Log-mel spectrogram of 128 bands as a grey picture; time from left to right, low bands at the bottom.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal, full scale ±1; the whole of it fills the picture, so longer clips are squeezed more.
    size : (int, int)
        Height and width, pixels.
    sr : int
        Sampling rate, Hz.

    Returns
    -------
    np.ndarray [shape=(height, width, 3), dtype=uint8]
        255 is the level of the clip's loudest band, 0 everything 80 dB or more below it; three equal channels.

    Examples
    --------
    >>> image(np.zeros(16000, dtype=np.float32)).shape
    (224, 224, 3)
    """
    bands = Spectrum(y, FrameSpec(sr=sr, n_fft=1024, n_mels=128, fmax=sr / 2)).log_mel
    shares = np.clip((bands - bands.max()) / RANGE_DB + 1, 0, 1)
    height, width = size
    grey = _resampling(bands.shape[1], height)[::-1] @ shares.T @ _resampling(bands.shape[0], width).T
    return np.repeat(np.rint(255 * grey).astype(np.uint8)[:, :, None], 3, axis=2)


def _resampling(n_in: int, n_out: int) -> np.ndarray:
    """Linear interpolation, averaging where it shrinks, as a matrix [shape=(n_out, n_in)] whose rows sum to 1."""
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    reach = max(1.0, n_in / n_out)
    weights = np.maximum(0, 1 - np.abs(np.arange(n_in) - np.clip(centres, 0, n_in - 1)[:, None]) / reach)
    return weights / weights.sum(axis=1, keepdims=True)
