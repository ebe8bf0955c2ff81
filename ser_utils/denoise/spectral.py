"""Denoisers that weigh the bins of a short-time spectrum: frames of 32 ms every 8 ms, the noisy phase is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import convolve1d, minimum_filter1d
from scipy.signal import butter, lfilter, sosfiltfilt
from scipy.special import exp1

from ser_utils.denoise.blocks import RATE, overlap_add

FRAME, HOP = 512, 128  # samples
WINDOW = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)  # √Hann; squares sum to 2
TINY = 1e-12  # power of digital silence

# noise estimate (Cohen & Berdugo 2002): values of the publication, for a hop of 8 ms
SMOOTH = 0.8  # of the power that the minimum is taken of, per frame
MINIMUM_S = 1.0  # span of the minimum
SPEECH_RATIO = 5.0  # power over its minimum from which speech is taken to be there
PRESENCE = 0.2  # smoothing of that decision, per frame
NOISE = 0.95  # smoothing of the noise where there is no speech, per frame

# gains (Ephraim & Malah 1984, 1985)
DECISION = 0.98  # weight of the frame before in the a-priori SNR
MIN_PRIOR = 10 ** (-25 / 10)  # of the a-priori SNR
MIN_GAIN = 10 ** (-20 / 20)  # hides musical noise

PCA_VARIANCE = 0.9  # share of the variance that the kept components hold
BAND_HZ = (500.0, 4000.0)  # of the public study


def stft(y: np.ndarray) -> np.ndarray:
    """Spectrum [shape=(n_frames, 257)] of frames that hold every sample equally often.

    Examples
    --------
    >>> y = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    >>> bool(np.allclose(istft(stft(y), len(y)), y, atol=1e-5))
    True
    """
    lead = FRAME - HOP
    n_frames = -(-(len(y) + lead) // HOP)
    padded = np.zeros((n_frames - 1) * HOP + FRAME, dtype=np.float32)
    padded[lead : lead + len(y)] = y
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    return np.fft.rfft(frames * WINDOW).astype(np.complex64)


def istft(spectrum: np.ndarray, n_samples: int) -> np.ndarray:
    """Signal of a spectrum of :func:`stft`."""
    frames = np.fft.irfft(spectrum).astype(np.float32) * (WINDOW / 2)
    return overlap_add(frames, HOP)[FRAME - HOP :][:n_samples]


# --- noise estimate ---------------------------------------------------------------------------------------------


def noise_power(power: np.ndarray) -> np.ndarray:
    """Power of the noise in every bin, from the minima of the noisy power.

    Minima-controlled recursive averaging (Cohen & Berdugo 2002, doi:10.1109/97.988717, after Martin 2001,
    doi:10.1109/89.928915): where the smoothed power lies less than 7 dB above its minimum over one second there is no
    speech, and the noise follows the power; elsewhere it stands still. As whole clips are at hand the second lies
    around the frame, not before it, so that the estimate holds from the first frame on.

    Parameters
    ----------
    power : np.ndarray [shape=(n_frames, n_bins)]

    Returns
    -------
    np.ndarray [shape=(n_frames, n_bins)]
        Above 0.
    """
    power = _inside(power, FRAME // HOP - 1)  # frames at both ends hold zeros from outside the clip
    across = convolve1d(power, [0.25, 0.5, 0.25], axis=1, mode="nearest")
    smooth = lfilter([1 - SMOOTH], [1, -SMOOTH], across, axis=0, zi=SMOOTH * across[:1])[0]
    span = round(MINIMUM_S * RATE / HOP)
    minimum = _inside(minimum_filter1d(smooth, span | 1, axis=0, mode="nearest"), span // 2)
    speech = smooth > SPEECH_RATIO * minimum
    presence = lfilter([1 - PRESENCE], [1, -PRESENCE], speech, axis=0)
    keep = NOISE + (1 - NOISE) * presence
    noise = np.empty_like(power)
    quiet = ~speech[:span]
    level = np.where(
        quiet.any(axis=0), (power[:span] * quiet).sum(axis=0) / np.maximum(quiet.sum(axis=0), 1), minimum[0]
    )
    for t in range(len(power)):
        level = keep[t] * level + (1 - keep[t]) * power[t]
        noise[t] = level
    return np.maximum(noise, TINY)


def _inside(rows: np.ndarray, edge: int) -> np.ndarray:
    """The rows, those of both edges replaced by the nearest ones inside."""
    edge = min(edge, (len(rows) - 1) // 2)
    return rows[np.clip(np.arange(len(rows)), edge, len(rows) - 1 - edge)]


# --- gains ------------------------------------------------------------------------------------------------------


def wiener_gain(prior: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Wiener's gain for an a-priori SNR; the a-posteriori SNR is of no use to it."""
    return prior / (1 + prior)


def lsa_gain(prior: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Gain of least mean-square error of the log amplitude (Ephraim & Malah 1985, doi:10.1109/TASSP.1985.1164550)."""
    wiener = prior / (1 + prior)
    return wiener * np.exp(0.5 * exp1(np.maximum(wiener * posterior, 1e-8)))


def statistical(y: np.ndarray, *, gain: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Weigh bins by a gain of their SNR, which is estimated decision-directed.

    The a-priori SNR is a mean of what the last frame was found to hold and of what this one holds above the noise
    (Ephraim & Malah 1984, doi:10.1109/TASSP.1984.1164453).
    """
    spectrum = stft(y)
    power = np.square(np.abs(spectrum), dtype=np.float64)
    noise = noise_power(power)
    posterior = np.minimum(power / noise, 1e4)
    gains = np.empty_like(power)
    before = posterior[0]
    for t, now in enumerate(posterior):
        prior = np.maximum(DECISION * before + (1 - DECISION) * np.maximum(now - 1, 0), MIN_PRIOR)
        gains[t] = np.clip(gain(prior, now), MIN_GAIN, 1)
        before = gains[t] ** 2 * now
    return istft(spectrum * gains, len(y))


# --- oracle -----------------------------------------------------------------------------------------------------


def oracle(y: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Ideal ratio mask √(S² / (S² + N²)) of the clean speech and the noise: the ceiling of masks on the noisy phase.

    Wang, Narayanan & Wang 2014, doi:10.1109/TASLP.2014.2352935.
    """
    spectrum, speech = stft(y), np.square(np.abs(stft(clean)))
    noise = np.square(np.abs(stft(y - clean)))
    return istft(spectrum * np.sqrt(speech / np.maximum(speech + noise, TINY)), len(y))


# --- principal components ---------------------------------------------------------------------------------------


def pca(y: np.ndarray, *, band_hz: tuple[float, float] | None = None) -> np.ndarray:
    """Keep the principal components of the magnitude that hold most of the variance of its frames.

    Parameters
    ----------
    band_hz : (float, float), optional
        Band-pass before it, Hz. With 500 … 4000 Hz, as in a public study, the fundamental of every voice is lost.
    """
    if band_hz:
        y = sosfiltfilt(butter(4, band_hz, "bandpass", fs=RATE, output="sos"), y, padlen=min(len(y) - 1, 3 * FRAME))
    spectrum = stft(y)
    magnitude = np.abs(spectrum)
    mean = magnitude.mean(axis=0)
    u, s, v = np.linalg.svd(magnitude - mean, full_matrices=False)
    held = np.cumsum(s**2) / max(np.sum(s**2), TINY)
    kept = int(np.searchsorted(held, PCA_VARIANCE)) + 1
    rebuilt = np.maximum((u[:, :kept] * s[:kept]) @ v[:kept] + mean, 0)
    return istft(spectrum * (rebuilt / np.maximum(magnitude, TINY)), len(y))
