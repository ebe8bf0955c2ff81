"""How noisy a clip is, told from the clip alone, and denoising only where it is noisy enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ser_utils.denoise.spectral import TINY, noise_power, stft

ESTIMATES = ("removed", "tracker", "wada")
LOWEST_DB, HIGHEST_DB = -20.0, 50.0
WADA_STEP_DB = 5.0
# ln E|z| - E ln|z| of speech and noise at -20, -15 … 50 dB; 20 million draws of a gamma (0.4) and a normal law
WADA = (
    *(0.4096, 0.4100, 0.4123, 0.4238, 0.4617, 0.5436, 0.6674, 0.8121),
    *(0.9556, 1.0845, 1.1939, 1.2839, 1.3570, 1.4158, 1.4627),
)
ACTIVE_DB = 30.0  # frames down to this far below the loudest one are speech


def wada_db(y: np.ndarray) -> float:
    """SNR from the distribution of the samples (Kim & Stern 2008, doi:10.21437/Interspeech.2008-644).

    Speech is peakier than noise: ln E|z| − E ln|z| grows with the SNR. Holds for noise with a normal law, and counts
    pauses as speech does in the mean.

    Returns
    -------
    float
        dB, −20 … 50.
    """
    size = np.abs(y[y != 0]).astype(np.float64)
    if not len(size):
        return LOWEST_DB
    peaky = np.log(size.mean()) - np.log(size).mean()
    return float(np.interp(peaky, WADA, LOWEST_DB + WADA_STEP_DB * np.arange(len(WADA))))


def tracker_db(y: np.ndarray) -> float:
    """SNR from the tracked noise (:func:`noise_power`): level of the active frames above it, over its own.

    Returns
    -------
    float
        dB, −20 … 50.
    """
    power = np.square(np.abs(stft(y)), dtype=np.float64)
    noise = noise_power(power).sum(axis=1)
    speech = np.maximum(power.sum(axis=1) - noise, 0)
    active = speech >= speech.max() * 10 ** (-ACTIVE_DB / 10)
    return _ratio_db(speech[active].mean(), noise.mean())


def removed_db(y: np.ndarray, denoised: np.ndarray) -> float:
    """SNR that a denoiser found: level of the active frames of what it left, over the level of what it took away."""
    kept, gone = (np.square(np.abs(stft(part)), dtype=np.float64).sum(axis=1) for part in (denoised, y - denoised))
    active = kept >= kept.max() * 10 ** (-ACTIVE_DB / 10)
    return _ratio_db(kept[active].mean(), gone.mean())


def _ratio_db(speech: float, noise: float) -> float:
    ratio = 10 * np.log10(max(speech, TINY) / max(noise, TINY))
    return float(np.clip(ratio, LOWEST_DB, HIGHEST_DB))


def gate(
    y: np.ndarray, *, inner: Callable[..., np.ndarray], threshold_db: float, estimate: str, **file: Any
) -> np.ndarray:
    """A clip at 16 kHz, denoised where its SNR lies below `threshold_db`; see :func:`ser_utils.denoise.gated`."""
    if estimate == "removed":
        denoised = inner(y, **file)
        return denoised if removed_db(y, denoised) < threshold_db else y
    found_db = tracker_db(y) if estimate == "tracker" else wada_db(y)
    return inner(y, **file) if found_db < threshold_db else y
