"""Names of what is done to a clip before it is recognised, and of the noises of the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ser_utils import study

CLEAN = "clean"
SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
UNSEEN = {  # chosen before anything was trained: none of their clips is ever trained or validated on
    "esc50": ("vacuum_cleaner", "siren"),  # one of homes, one of streets
    "demo_noise": ("engine", "siren"),
}
SETS = {  # name in a condition → classes of noise; a class is a name of its own
    "stationary": tuple(
        """rain sea_waves wind pouring_water crickets insects crackling_fire washing_machine helicopter chainsaw engine
        airplane train hum""".split()  # noqa: SIM905 - a list of quoted words would be harder to read
    ),
    "impulsive": tuple(
        """dog rooster crow door_wood_knock mouse_click keyboard_typing clock_tick footsteps clapping can_opening
        glass_breaking fireworks water_drops clatter""".split()  # noqa: SIM905
    ),
    "voices": ("crying_baby", "sneezing", "breathing", "coughing", "laughing", "snoring"),  # of people, without words
}
EVERYDAY = "everyday"  # all classes of the profile's noise corpus, but for UNSEEN and the three beside it in the grid
HELD_OUT = "unseen"  # those of UNSEEN
GRID = (EVERYDAY, "stationary", "impulsive", "babble", "white", HELD_OUT)
ANY_ROOM = "any"
_SEPARATORS = ";="


@dataclass(frozen=True)
class Condition:
    """What is done to every clip: noise, reverberation, a denoiser, or nothing.

    Attributes
    ----------
    noise : str
        Class, set or corpus of noise, or several joined by ``+``, of which each clip gets one; empty for none.
    snr_db : float or tuple of two floats
        dB on the active level of the speech; of a pair, each clip gets a value between. Infinite without noise.
    room : str
        Number of a room of :mod:`ser_utils.augment.rooms`, ``any`` for one per clip, or empty for none.
    denoiser : str
        Empty for none.

    Examples
    --------
    >>> str(Condition("rain", 5, denoiser="dtln")), str(Condition())
    ('noise=rain;snr_db=5;denoiser=dtln', 'clean')
    """

    noise: str = ""
    snr_db: float | tuple[float, float] = math.inf
    room: str = ""
    denoiser: str = ""

    def __post_init__(self) -> None:
        low, high = self.snr_range
        finite = math.isfinite(low) and math.isfinite(high) and low <= high
        if finite != bool(self.noise) or (not self.noise and low != math.inf):
            raise study.UserError(
                f"noise '{self.noise}' at snr_db {self.snr_db}: give a noise and a number of dB (or two that rise), or "
                "neither"
            )
        if self.room not in ("", ANY_ROOM) and not self.room.isdecimal():
            raise study.UserError(f"room '{self.room}' is none; use the number of one, '{ANY_ROOM}', or nothing")
        for name in (self.noise, self.denoiser):
            if name != name.lower() or any(mark in name for mark in _SEPARATORS):
                raise study.UserError(f"'{name}' cannot stand in a condition; use lower case without ; and =")

    @property
    def snr_range(self) -> tuple[float, float]:
        """Lowest and highest SNR, dB."""
        return self.snr_db if isinstance(self.snr_db, tuple) else (self.snr_db, self.snr_db)

    @property
    def sound(self) -> Condition:
        """The condition before the denoiser: what all denoisers of one grid have in common."""
        return replace(self, denoiser="")

    def __str__(self) -> str:
        snr = "..".join(f"{end:g}" for end in dict.fromkeys(self.snr_range)) if self.noise else ""
        parts = {"noise": self.noise, "snr_db": snr, "room": self.room}
        words = [f"{key}={value}" for key, value in parts.items() if value] or [CLEAN]
        return ";".join(words + ([f"denoiser={self.denoiser}"] if self.denoiser else []))

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition that a text stands for.

        Raises
        ------
        study.UserError
            When it stands for none.

        Examples
        --------
        >>> Condition.parse("noise=rain;snr_db=0..20").snr_db
        (0.0, 20.0)
        """
        fields = dict(part.partition("=")[::2] for part in text.split(";") if part != CLEAN)
        unknown = set(fields) - {"noise", "snr_db", "room", "denoiser"}
        try:
            ends = tuple(float(end) for end in fields.pop("snr_db", "inf").split(".."))
            found = None if unknown else cls(**fields, snr_db=ends if len(ends) == 2 else ends[0])
        except ValueError:
            found = None
        if str(found) != text:
            raise study.UserError(
                f"condition '{text}' is none; write it as '{CLEAN}' or 'noise=rain;snr_db=5;denoiser=dtln'"
            )
        return found


def grid(
    noises: Sequence[str] = GRID, *, snrs_db: Sequence[float] = SNRS_DB, denoisers: Sequence[str] = ("",)
) -> list[Condition]:
    """All conditions of a grid: clean first, then noise by noise, from the lowest SNR on, each with every denoiser.

    Examples
    --------
    >>> [str(condition) for condition in grid(["rain"], snrs_db=[5], denoisers=["", "dtln"])]
    ['clean', 'clean;denoiser=dtln', 'noise=rain;snr_db=5', 'noise=rain;snr_db=5;denoiser=dtln']
    """
    sounds = [Condition()] + [Condition(noise, float(snr)) for noise in noises for snr in sorted(snrs_db)]
    return [replace(sound, denoiser=denoiser) for sound in sounds for denoiser in denoisers]
