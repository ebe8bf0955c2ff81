"""Sound as the study takes it: mono float32 at one rate; fixed lengths with the number of valid samples; levels, and
noise at a signal-to-noise ratio."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import soxr

from ser_utils import decoding, study

SAMPLE_RATE = 16_000  # Hz
FRAME_S = 0.02  # of the active level
ACTIVE_DB = 30.0  # frames down to this far below the loudest frame are active
SILENCE_DB = -120.0  # dB of full scale: at and below this there is no level to relate a noise to
FADE_S = 0.05  # where a noise that is too short begins again


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


def load_listed(file: Path, sha256: str, *, sr: int = SAMPLE_RATE) -> np.ndarray:
    """:func:`load` of a file whose content a manifest lists.

    Raises
    ------
    study.UserError
        When it is gone, or its content is another.
    """
    if not file.is_file() or study.sha256(file) != sha256:
        raise study.UserError(
            f"{file}: gone or altered since the manifest was built; restore it, or run again to check it anew"
        )
    return load(file, sr=sr)


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


def checked(y: np.ndarray, what: str = "the clip") -> np.ndarray:
    """Copy of `y` as float32, when it is mono, floating, finite and there.

    Raises
    ------
    study.UserError
        Naming `what`, when it is anything else.

    Examples
    --------
    >>> checked(np.zeros(2)).dtype
    dtype('float32')
    """
    if not isinstance(y, np.ndarray) or y.ndim != 1 or not np.issubdtype(y.dtype, np.floating):
        form = f"{y.dtype} of shape {y.shape}" if isinstance(y, np.ndarray) else type(y).__name__
        raise study.UserError(f"{what} is {form}; give mono floating-point sound, one value per sample, full scale ±1")
    if not len(y):
        raise study.UserError(f"{what} holds no sample; leave it out")
    with np.errstate(over="ignore"):  # infinite then, and refused
        sound = np.array(y, dtype=np.float32, order="C")  # a copy: not every function takes an array that is read-only
    if not np.isfinite(sound).all():
        bad = int((~np.isfinite(sound)).sum())
        raise study.UserError(f"{what} holds {bad} samples that are no finite numbers; mend or leave it out")
    return sound


# --- active level and noise -------------------------------------------------------------------------------------


def activity(y: np.ndarray, *, sr: int) -> tuple[np.ndarray, np.ndarray]:
    """Power of each 20 ms frame, and whether there is sound in it: at most 30 dB below the loudest frame.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Any length from 1 sample.
    sr : int
        Hz.

    Returns
    -------
    power : np.ndarray [shape=(n_frames,), dtype=float64]
        The last frame may be shorter.
    active : np.ndarray [shape=(n_frames,), dtype=bool]

    Examples
    --------
    >>> activity(np.repeat([0.1, 0.001], 320), sr=16000)[1].tolist()
    [True, False]
    """
    starts = np.arange(0, len(y), _frame(sr))
    lengths = np.diff(np.append(starts, len(y)))
    power = np.add.reduceat(np.square(y, dtype=np.float64), starts) / lengths
    return power, power >= power.max() * 10 ** (-ACTIVE_DB / 10)


def _frame(sr: int) -> int:
    return max(1, round(FRAME_S * sr))


def active_level_db(y: np.ndarray, *, sr: int) -> float:
    """Level of the parts of a clip in which there is sound, dB relative to full scale.

    Mean power of the active frames, see :func:`activity`: a pause does not make speech softer. The idea is that of
    ITU-T P.56 (https://www.itu.int/rec/T-REC-P.56), with a threshold relative to the loudest frame; on 60 clips each,
    the mean difference from P.56 is 0.5 dB for RAVDESS, 0.6 dB for EmoDB and -0.3 dB for CREMA-D.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Any length from 1 sample.
    sr : int
        Hz.

    Returns
    -------
    float
        −120 for silence.

    Examples
    --------
    >>> pause = np.concatenate([np.full(8000, 0.1), np.zeros(8000)])
    >>> round(active_level_db(pause, sr=16000), 1)
    -20.0
    """
    power, active = activity(y, sr=sr)
    return float(10 * np.log10(max(power[active].mean(), 10 ** (SILENCE_DB / 10))))


def noise_at_snr(speech: np.ndarray, noise: np.ndarray, snr_db: float, *, sr: int) -> np.ndarray:
    """A noise, scaled so that its root mean square lies `snr_db` below the active level of the speech.

    Parameters
    ----------
    speech, noise : np.ndarray [shape=(n_samples,)]
        Of one length.
    snr_db : float
        Finite.
    sr : int
        Hz.

    Returns
    -------
    np.ndarray [shape=(n_samples,), dtype=float32]
        Zeros where speech or noise is silent, as no ratio is defined.

    Examples
    --------
    >>> speech, noise = np.full(1600, 0.1), np.tile([1.0, -1.0], 800)
    >>> noise_at_snr(speech, noise, 20, sr=16000)[:2].tolist()
    [0.009999999776482582, -0.009999999776482582]
    """
    level = active_level_db(speech, sr=sr)
    rms = np.sqrt(np.mean(np.square(noise, dtype=np.float64)))
    if level <= SILENCE_DB or rms == 0:
        return np.zeros(len(speech), dtype=np.float32)
    return (noise / rms * 10 ** ((level - snr_db) / 20)).astype(np.float32)


def centred(y: np.ndarray) -> np.ndarray:
    """The sound without its mean: an offset is no sound, and some recordings of noise are hardly anything else.

    Examples
    --------
    >>> centred(np.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    return y - np.mean(y, dtype=np.float64).astype(y.dtype)


class Mix(NamedTuple):
    """Speech in noise, and its parts as they are in it: ``y`` is their sum.

    Attributes
    ----------
    y, speech, noise : np.ndarray [shape=(n_samples,), dtype=float32]
    gain_db : float
        By how much all three were scaled to stay within ±1; 0 or below.
    start : int
        Sample of the noise at which its excerpt begins.
    """

    y: np.ndarray
    speech: np.ndarray
    noise: np.ndarray
    gain_db: float
    start: int


def mix_at_snr(speech: np.ndarray, noise: np.ndarray, snr_db: float, *, sr: int, rng: np.random.Generator) -> Mix:
    """Speech with an excerpt of a noise at a signal-to-noise ratio.

    The ratio is that of the active level of the speech, see :func:`active_level_db`, to the root mean square of the
    excerpt over its whole length. The excerpt is drawn, but never from a pause of the noise; a noise that is shorter
    than the speech is repeated with a cross-fade. Silent speech stays as it is: no ratio is defined.

    Parameters
    ----------
    speech, noise : np.ndarray [shape=(n_samples,)], [shape=(n_noise,)]
        Mono, floating point, finite, at least 1 sample.
    snr_db : float
        Infinity leaves the speech as it is, bit for bit.
    sr : int
        Sampling rate of both, Hz.
    rng : np.random.Generator
        Draws where the excerpt begins.

    Returns
    -------
    Mix

    Raises
    ------
    study.UserError
        For an SNR that is no number or minus infinity, sound that is not mono, floating, finite and there, and for a
        noise that is silent or constant.

    Examples
    --------
    >>> speech, noise = np.full(1600, 0.1), np.tile([1.0, -1.0], 300)
    >>> mix = mix_at_snr(speech, noise, 6, sr=16000, rng=np.random.default_rng(0))
    >>> round(active_level_db(mix.speech, sr=16000) - level_db(mix.noise), 2)
    6.0
    """
    speech, noise = checked(speech, "the speech"), checked(noise, "the noise")
    if math.isnan(snr_db) or snr_db == -math.inf:
        raise study.UserError(f"snr_db {snr_db} must be a number of dB, or infinity for no noise")
    if snr_db == math.inf:
        return Mix(speech, speech, np.zeros_like(speech), 0.0, 0)
    if np.ptp(noise) == 0:
        raise study.UserError("the noise is silent or constant: it has no level to set; leave it out")
    excerpt, start = _excerpt(centred(noise), len(speech), sr, rng)
    added = noise_at_snr(speech, excerpt, snr_db, sr=sr)
    peak = float(np.abs(speech + added).max())
    if peak <= 1 or not added.any():
        return Mix(speech + added, speech, added, 0.0, start)
    speech, added = speech / np.float32(peak), added / np.float32(peak)
    return Mix(np.clip(speech + added, -1, 1), speech, added, -20 * math.log10(peak), start)


def _excerpt(noise: np.ndarray, n_samples: int, sr: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """`n_samples` of the noise and where they begin: one of the places from which at least half as many active frames
    follow as from the best. A pause between two barks must not be amplified until it reaches the SNR."""
    short = len(noise) < n_samples
    ring, step = _ring(noise, sr) if short else noise, _frame(sr)
    active = activity(ring, sr=sr)[1]
    width = -(-n_samples // step)
    places = len(active) if short else (len(noise) - n_samples) // step + 1
    rounds = -(-(places + width) // len(active))
    heard = np.cumsum(np.append(0, np.tile(active, rounds)))
    heard = heard[width : width + places] - heard[:places]
    start = step * int(rng.choice(np.flatnonzero(2 * heard >= heard.max())))
    return np.take(ring, start + np.arange(n_samples), mode="wrap"), start


def _ring(noise: np.ndarray, sr: int) -> np.ndarray:
    """The noise with its end faded into its beginning, at equal power, so that it can be repeated."""
    fade = min(round(FADE_S * sr), len(noise) // 2)
    turn = np.linspace(0, np.pi / 2, fade, endpoint=False, dtype=np.float32)
    ring = noise[: len(noise) - fade].copy()
    ring[:fade] = noise[:fade] * np.sin(turn) + noise[len(noise) - fade :] * np.cos(turn)
    return ring
