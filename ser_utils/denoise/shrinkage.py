"""Spectral gating through noisereduce, and shrinkage of wavelet coefficients."""

from __future__ import annotations

import numpy as np

from ser_utils.denoise.blocks import RATE

WAVELET, LEVELS = "db8", 5  # bands from 4000 … 8000 Hz down to 0 … 250 Hz
SHORTEST = 4096  # samples that noisereduce is given at least


def gate(y: np.ndarray, *, stationary: bool) -> np.ndarray:
    """Spectral gating (Sainburg, Thielk & Gentner 2020, doi:10.1371/journal.pcbi.1008228) with the package's defaults.

    Parameters
    ----------
    stationary : bool
        One threshold per bin from the statistics of the whole clip; else one that follows the signal.
    """
    import noisereduce

    longer = np.pad(y, (0, max(0, SHORTEST - len(y))))
    return noisereduce.reduce_noise(y=longer, sr=RATE, stationary=stationary, n_jobs=1)[: len(y)]


def wavelet(y: np.ndarray) -> np.ndarray:
    """Soft thresholds on a stationary wavelet transform, which averages over all shifts.

    BayesShrink (Chang, Yu & Vetterli 2000, doi:10.1109/83.862633): the threshold of a band is σ² / σ_x, from the noise
    σ that the median of the finest band tells and the spread σ_x of the signal in the band. No shift of the samples is
    better placed than another (Coifman & Donoho 1995, doi:10.1007/978-1-4612-2544-7_9).
    """
    import pywt

    step = 2**LEVELS
    padded = np.pad(y, (0, -len(y) % step))
    coarse, *details = pywt.swt(padded, WAVELET, level=LEVELS, trim_approx=True, norm=True)
    sigma = np.median(np.abs(details[-1])) / 0.6745
    return pywt.iswt([coarse, *(_shrink(band, sigma) for band in details)], WAVELET, norm=True)[: len(y)]


def _shrink(band: np.ndarray, sigma: float) -> np.ndarray:
    """Soft threshold; a band that holds no more than the noise goes altogether."""
    signal = np.sqrt(max(np.mean(np.square(band)) - sigma**2, 0))
    if signal <= sigma**2 / max(np.abs(band).max(), 1e-12):
        return np.zeros_like(band)
    return np.sign(band) * np.maximum(np.abs(band) - sigma**2 / signal, 0)
