"""What each augmentation does to a waveform, and how to measure what it did.

Every function takes mono float32 at `sr`, gives float32, draws nothing that its parameters do not fix, and touches no
global random state. Time stretch, pitch shift, shift, low-pass and gain are audiomentations' transforms with frozen
parameters, which then draw nothing. Its AddGaussianSNR and AddBackgroundNoise are not used: they draw from the global
generators and relate the noise to the level of the whole clip, pauses included. Its Resample stays at the new rate and
its ApplyImpulseResponse sets the peak to 0.5, so that level and alignment would be lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from ser_utils import audio, features, study
from ser_utils.augment import rooms

LOW_PASS_SLOPE = 24  # dB per octave


def effect(y: np.ndarray, y_out: np.ndarray, sr: int) -> dict[str, float]:
    """What an augmentation did to the cues that carry emotion.

    Parameters
    ----------
    y, y_out : np.ndarray [shape=(n_samples,)]
        Before and after.
    sr : int
        Hz.

    Returns
    -------
    dict
        ``f0_change_semitones``: median over frames that are voiced before and after, laid over each other, NaN where
        there are none; ``rate_change``: active time before over active time after, above 1 is faster, and below where
        noise or reverberation fill the pauses; ``level_change_db`` of the active level; ``duration_change``: length
        after over length before.

    Examples
    --------
    >>> tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(16000) / 16000).astype(np.float32)
    >>> {name: round(value, 2) + 0.0 for name, value in effect(tone, 2 * tone, 16000).items()}
    {'f0_change_semitones': 0.0, 'rate_change': 1.0, 'level_change_db': 6.02, 'duration_change': 1.0}
    """
    active_before, active_after = (audio.activity(sound, sr=sr)[1].sum() for sound in (y, y_out))
    return {
        "f0_change_semitones": _f0_change(y, y_out, sr),
        "rate_change": float(active_before / active_after),
        "level_change_db": audio.active_level_db(y_out, sr=sr) - audio.active_level_db(y, sr=sr),
        "duration_change": len(y_out) / len(y),
    }


def _f0_change(y: np.ndarray, y_out: np.ndarray, sr: int) -> float:
    """Semitones. Frames are compared one by one: medians of whole clips jump where the tracker errs by an octave."""
    (before, voicing_before), (after, voicing_after) = (features.f0(sound, sr=sr) for sound in (y, y_out))
    place = np.round(np.arange(len(after)) * len(y) / len(y_out)).astype(int)
    place = np.minimum(place, len(before) - 1)
    before, voicing_before = before[place], voicing_before[place]
    lag = int(np.correlate(voicing_after, voicing_before, "full").argmax()) - (len(after) - 1)
    later, sooner = max(lag, 0), max(-lag, 0)
    kept = len(after) - abs(lag)
    pairs = [values[later : later + kept] for values in (after, voicing_after)]
    pairs += [values[sooner : sooner + kept] for values in (before, voicing_before)]
    voiced = np.minimum(pairs[1], pairs[3]) >= features.VOICED
    return float(12 * np.median(np.log2(pairs[0][voiced] / pairs[2][voiced]))) if voiced.any() else float("nan")


# --- noise ------------------------------------------------------------------------------------------------------


def add_noise(y: np.ndarray, *, sr: int, snr_db: float, noise_seed: int) -> np.ndarray:
    """White Gaussian noise at `snr_db` below the active level; a silent clip stays as it is."""
    noise = np.random.default_rng(noise_seed).standard_normal(len(y), dtype=np.float32)
    return y + audio.noise_at_snr(y, noise, snr_db, sr=sr)


def add_background(y: np.ndarray, *, sr: int, snr_db: float, offset: float, noise: np.ndarray) -> np.ndarray:
    """A stretch of `noise` at `snr_db` below the active level of the clip; a silent clip stays as it is.

    The stretch begins at `offset`, a share of the noise clip, and runs around its end. Where it holds no active frame
    of the noise clip (a pause between two barks), it begins at the loudest frame instead: a pause must not be amplified
    until it reaches the SNR.
    """
    noise = audio.centred(noise)
    starts = np.array([int(offset * len(noise)), 0])
    power, active = audio.activity(noise, sr=sr)
    step = max(1, round(audio.FRAME_S * sr))
    starts[1] = int(power.argmax()) * step
    covered = (starts[0] + np.arange(0, len(y), step)) // step % len(power)
    stretch = np.take(noise, starts[int(not active[covered].any())] + np.arange(len(y)), mode="wrap")
    return y + audio.noise_at_snr(y, stretch, snr_db, sr=sr)


# --- time, pitch and level --------------------------------------------------------------------------------------


def time_stretch(y: np.ndarray, *, sr: int, rate: float) -> np.ndarray:
    """`rate` times as fast at the same pitch."""
    return _frozen("TimeStretch", y, sr, {"rate": rate}, leave_length_unchanged=False)


def pitch_shift(y: np.ndarray, *, sr: int, semitones: float) -> np.ndarray:
    """Higher or lower at the same tempo; formants move with the pitch."""
    return _frozen("PitchShift", y, sr, {"num_semitones": semitones})


def shift(y: np.ndarray, *, sr: int, shift_s: float) -> np.ndarray:
    """Later (above 0) or earlier, zeros where nothing is left; at most by half the clip, so that some is left."""
    longest = len(y) / 2 / sr
    amount = float(np.clip(shift_s, -longest, longest))
    return _frozen("Shift", y, sr, {"shift_amount": amount}, shift_unit="seconds", rollover=False)


def gain(y: np.ndarray, *, sr: int, gain_db: float) -> np.ndarray:
    """Louder or softer."""
    return _frozen("Gain", y, sr, {"amplitude_ratio": 10 ** (gain_db / 20)})


def speed(y: np.ndarray, *, sr: int, rate: float) -> np.ndarray:
    """`rate` times as fast, pitch and formants move along: a tape that runs faster."""
    return audio.fit_length(soxr.resample(y, rate, 1.0, quality="HQ"), max(1, round(len(y) / rate)))[0]


def _frozen(name: str, y: np.ndarray, sr: int, parameters: dict[str, Any], **options: Any) -> np.ndarray:
    """Run one of audiomentations' transforms with these parameters: frozen, it asks no random generator."""
    import audiomentations  # takes a second to import, and who trains on frames needs none of it

    transform = getattr(audiomentations, name)(p=1.0, **options)
    transform.parameters = {"should_apply": True, **parameters}
    transform.freeze_parameters()
    return transform(y, sr)


# --- channel ----------------------------------------------------------------------------------------------------


def low_pass(y: np.ndarray, *, sr: int, cutoff_hz: float) -> np.ndarray:
    """Butterworth filter, −3 dB at `cutoff_hz`, 24 dB per octave above."""
    _check_below_nyquist("cutoff_hz", 2 * cutoff_hz, cutoff_hz, sr)
    return _frozen("LowPassFilter", y, sr, {"cutoff_freq": cutoff_hz, "rolloff": LOW_PASS_SLOPE})


def resample(y: np.ndarray, *, sr: int, rate_hz: int) -> np.ndarray:
    """Down to `rate_hz` and back: what lies above half of it is lost."""
    _check_below_nyquist("rate_hz", rate_hz, rate_hz, sr)
    low = soxr.resample(y, sr, rate_hz, quality="HQ")
    return audio.fit_length(soxr.resample(low, rate_hz, sr, quality="HQ"), len(y))[0]


def _check_below_nyquist(name: str, needed_hz: float, value: float, sr: int) -> None:
    if needed_hz >= sr:
        raise study.UserError(f"{name} {value:g} Hz changes nothing at a sampling rate of {sr} Hz; lower it")


def reverb(y: np.ndarray, *, sr: int, room: int) -> np.ndarray:
    """As heard in a room: same length, direct sound in its place, same level; the tail after the end is cut."""
    from scipy.signal import oaconvolve

    wet = oaconvolve(y, rooms.impulse_response(room, sr=sr))[: len(y)].astype(np.float32)
    if not wet.any():
        return y
    return wet * np.float32(10 ** ((audio.level_db(y) - audio.level_db(wet)) / 20))
