"""The mel front end of the generators: one description of the spectrogram, its scale, and the way back to sound.

A clip is a spectrogram in dB [shape=(n_frames, n_bands)], padded at the end and masked there. Nets see it standardised
per band by the training clips of their fold (:class:`ser_utils.training.Normaliser`).
"""

from __future__ import annotations

import librosa
import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.features import FrameSpec
from ser_utils.training.batches import Normaliser

RATES = (16_000, 22_050)  # Hz
PADDINGS = ("p99", "10_s")
TEN_SECONDS = 10.0


def front_end(durations: pd.Series, *, sr: int = 16_000, padding: str = "p99") -> FrameSpec:
    """Spectrogram of 80 bands in dB: windows of 1024 samples, hop of 256, nothing 80 dB below the clip's loudest.

    Parameters
    ----------
    durations : pd.Series
        Of the corpus's clips, seconds.
    sr : int
        16,000 or 22,050 Hz.
    padding : str
        ``p99``: as long as 99 % of the clips, longer ones are cut evenly from both ends; ``10_s``: ten seconds, as in
        public work on generated emotion.

    Examples
    --------
    >>> spec = front_end(pd.Series([1.0, 2.0, 3.0]))
    >>> spec.n_mels, spec.hop_length, spec.max_s
    (80, 256, 2.98)
    """
    if sr not in RATES or padding not in PADDINGS:
        raise study.UserError(
            f"sr {sr} must be one of {', '.join(map(str, RATES))}, padding '{padding}' one of {', '.join(PADDINGS)}; "
            "change it in the profile"
        )
    seconds = TEN_SECONDS if padding == "10_s" else round(float(np.quantile(durations, 0.99)), 2)
    return FrameSpec(
        sr=sr, n_fft=1024, hop_length=256, n_mels=80, fmin=0.0, fmax=8000.0, max_s=seconds, trim_db=40.0, top_db=80.0
    )


def valid(n_frames: np.ndarray, longest: int) -> np.ndarray:
    """Mask [shape=(n_clips, longest), dtype=float32]: 1 in valid frames.

    Examples
    --------
    >>> valid(np.array([1, 2]), 2).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return (np.arange(longest) < np.asarray(n_frames)[:, None]).astype(np.float32)


def restored(x: np.ndarray, n_frames: np.ndarray, normaliser: Normaliser) -> np.ndarray:
    """Standardised spectrograms in dB again, zeros in the padding; the reverse of ``normaliser.apply``."""
    y = x * normaliser.std.astype(np.float32) + normaliser.mean.astype(np.float32)
    return np.where(valid(n_frames, x.shape[1])[:, :, None] > 0, y, np.float32(0))


def to_audio(mel_db: np.ndarray, spec: FrameSpec, *, n_iter: int = 32, seed: int = 0) -> np.ndarray:
    """Sound of one spectrogram: magnitudes by least squares without negative values, phases by Griffin and Lim's way
    (1984, doi:10.1109/TASSP.1984.1164317; accelerated: Perraudin et al. 2013, doi:10.1109/WASPAA.2013.6701851).

    Parameters
    ----------
    mel_db : np.ndarray [shape=(n_frames, n_bands)]
        Valid frames, dB of full scale.
    spec : FrameSpec
        That the spectrogram was made with.
    n_iter, seed : int
        Passes, and what draws the phases at the start.

    Returns
    -------
    np.ndarray [shape=(n_samples,), dtype=float32]
        At ``spec.sr``; cut to ±1.
    """
    magnitudes = librosa.feature.inverse.mel_to_stft(
        librosa.db_to_power(mel_db.T.astype(np.float64)),
        sr=spec.sr,
        n_fft=spec.n_fft,
        power=2.0,
        fmin=spec.fmin,
        fmax=spec.fmax,
    )
    y = librosa.griffinlim(magnitudes, n_iter=n_iter, hop_length=spec.hop_length, n_fft=spec.n_fft, random_state=seed)
    return np.clip(y, -1, 1).astype(np.float32)
