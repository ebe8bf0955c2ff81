"""The augmentations of a waveform by name: what each does, which parameters it draws, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ser_utils.augment import rooms, sounds


@dataclass(frozen=True)
class Range:
    """What one parameter may be.

    Attributes
    ----------
    low, high : float
        It is drawn between these, unless the caller says otherwise.
    least, most : float
        Other values are refused.
    unit : str
    scale : str
        ``uniform``, ``log`` (as many draws per octave everywhere) or ``whole`` (whole numbers, both ends included).
    below : float
        Share of the sampling rate at and above which a value changes nothing.
    """

    low: float
    high: float
    least: float
    most: float
    unit: str
    scale: str = "uniform"
    below: float = math.inf

    def ends(self, sr: int) -> tuple[float, float]:
        """Usual ends at a sampling rate in Hz, at most 90 % of what changes nothing; an octave below that if need be.

        Examples
        --------
        >>> AUGMENTATIONS["resample"].parameters["rate_hz"].ends(8000)
        (6000, 7200)
        """
        highest = 0.9 * self.below * sr
        if self.high <= highest:
            return self.low, self.high
        return (self.low if self.low < highest else int(highest / 2)), int(highest)

    def draw(self, rng: np.random.Generator, low: float, high: float) -> float | int:
        """One value between `low` and `high`."""
        if self.scale == "whole":
            return int(rng.integers(int(low), int(high), endpoint=True))
        if self.scale == "log":
            return float(np.clip(np.exp(rng.uniform(math.log(low), math.log(high))), low, high))
        return float(rng.uniform(low, high))


@dataclass(frozen=True)
class Augmentation:
    """One way to change a waveform.

    Attributes
    ----------
    name, about : str
    parameters : mapping
        Name → :class:`Range`.
    label_safe : str
        How far the emotion survives.
    source : str
        DOI or arXiv number of work that uses it.
    change : callable
        Does it: ``change(y, sr=…, <parameters>)``.
    needs_noises : bool
        Whether it mixes in a noise clip of the caller's.
    """

    name: str
    about: str
    parameters: Mapping[str, Range]
    label_safe: str
    source: str
    change: Callable[..., np.ndarray] = field(repr=False)
    needs_noises: bool = False


_SEED = Range(0, 2**32 - 1, 0, 2**32 - 1, "seed", "whole")
_SNR = Range(5, 30, -20, 100, "dB")
_SALAMON_BELLO = "doi:10.1109/LSP.2017.2657381"
_TESTS = "arXiv:2312.06270"  # Derington et al. 2023: what a model of emotion should not mind
AUGMENTATIONS: dict[str, Augmentation] = {
    augmentation.name: augmentation
    for augmentation in (
        Augmentation(
            "noise",
            "white Gaussian noise at an SNR relative to the active level",
            {"snr_db": _SNR, "noise_seed": _SEED},
            "keeps pitch, tempo and words; but who listens through loud noise hears other emotions: 5 dB or more",
            "arXiv:2104.08806",
            sounds.add_noise,
        ),
        Augmentation(
            "time_stretch",
            "faster or slower at the same pitch",
            {"rate": Range(0.85, 1.15, 0.5, 2.0, "times")},
            "tempo is itself a cue (sad is slow): changes beyond some 15 % may change the emotion that is heard",
            _SALAMON_BELLO,
            sounds.time_stretch,
        ),
        Augmentation(
            "pitch_shift",
            "higher or lower at the same tempo, formants move along",
            {"semitones": Range(-2, 2, -12, 12, "semitones")},
            "another voice with the same contour; pitch is a cue of arousal, so shifts stay within 2 semitones",
            _SALAMON_BELLO,
            sounds.pitch_shift,
        ),
        Augmentation(
            "shift",
            "later or earlier, zeros fill the gap, at most by half the clip",
            {"shift_s": Range(-0.2, 0.2, -5, 5, "s")},
            "safe where clips begin and end in silence; else up to a syllable is lost",
            _TESTS,
            sounds.shift,
        ),
        Augmentation(
            "low_pass",
            "what lies above a cutoff is damped by 24 dB per octave",
            {"cutoff_hz": Range(2000, 7000, 100, 48_000, "Hz", "log", below=0.5)},
            "keeps prosody; breath and sharpness of voice are lost as over a telephone",
            _TESTS,
            sounds.low_pass,
        ),
        Augmentation(
            "speed",
            "a tape that runs faster or slower: pitch, formants and tempo move together",
            {"rate": Range(0.9, 1.1, 0.5, 2.0, "times")},
            "another voice and another tempo; pitch and tempo are cues, so changes stay within 10 %",
            "doi:10.21437/Interspeech.2015-711",
            sounds.speed,
        ),
        Augmentation(
            "resample",
            "down to a lower sampling rate and back",
            {"rate_hz": Range(6000, 12_000, 1000, 96_000, "Hz", "whole", below=1.0)},
            "keeps prosody; what lies above half the rate is lost",
            "doi:10.3390/e27060640",
            sounds.resample,
        ),
        Augmentation(
            "reverb",
            "one of eight simulated rooms; same length, direct sound in place, same level",
            {"room": Range(0, rooms.N_ROOMS - 1, 0, rooms.N_ROOMS - 1, "number of the room", "whole")},
            "keeps pitch and tempo; long rooms smear pauses",
            "doi:10.1109/ICASSP.2017.7953152",
            sounds.reverb,
        ),
        Augmentation(
            "gain",
            "louder or softer",
            {"gain_db": Range(-10, 6, -60, 40, "dB")},
            "level follows the microphone more than the emotion, but within one recording session it is a cue",
            _TESTS,
            sounds.gain,
        ),
        Augmentation(
            "background",
            "a noise clip at an SNR relative to the active level",
            {"snr_db": _SNR, "offset": Range(0, 1, 0, 1, "share of the noise clip")},
            "keeps the voice; noises that hold voices or laughter bring emotions of their own",
            "doi:10.1109/ICASSP.2017.7953152",
            sounds.add_background,
            needs_noises=True,
        ),
    )
}
