"""What a net says of a recording: the one way that the page, its endpoint and notebook 10 share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ser_utils import predicting, study
from ser_utils.app import sounds
from ser_utils.app.nets import NO_DENOISER, Nets, denoisers
from ser_utils.app.pictures import NOT_SURE
from ser_utils.app.sounds import NO_NOISE, Sound
from ser_utils.predicting import command
from ser_utils.saved import SavedModel, confidence

NO_SPEECH = "no speech heard"
SNR_DB = (-10.0, 30.0)


@dataclass(frozen=True)
class Settings:
    """Which net, and what is done to the sound before it hears it.

    Attributes
    ----------
    model : str
        Name as in :meth:`Nets.cards`; empty for the first.
    denoiser : str
        A name of :mod:`ser_utils.denoise`, or ``none``.
    noise : str
        One of :data:`sounds.NOISES`.
    snr_db : float
        Of that noise, −10 … 30 dB.
    """

    model: str = ""
    denoiser: str = NO_DENOISER
    noise: str = NO_NOISE
    snr_db: float = 10.0

    def __post_init__(self) -> None:
        if self.noise not in sounds.NOISES:
            raise study.UserError(f"noise '{self.noise}' is unknown; use one of {', '.join(sounds.NOISES)}")
        if not SNR_DB[0] <= self.snr_db <= SNR_DB[1]:
            raise study.UserError(
                f"an SNR of {self.snr_db:g} dB is out of range; use {SNR_DB[0]:g} to {SNR_DB[1]:g} dB"
            )

    @property
    def denoise(self) -> Callable[..., np.ndarray] | None:
        """The denoiser itself.

        Raises
        ------
        study.UserError
            For an unknown one, or one whose weights are missing.
        """
        return None if self.denoiser == NO_DENOISER else command.denoiser(self.denoiser)

    @property
    def words(self) -> str:
        """What was done to the sound."""
        noise = "" if self.noise == NO_NOISE else f"{self.noise} noise at {self.snr_db:g} dB SNR"
        cleaned = "" if self.denoiser == NO_DENOISER else f"denoised by {denoisers().get(self.denoiser, self.denoiser)}"
        return ", then ".join(filter(None, [noise, cleaned])) or "as it came in"


@dataclass(frozen=True)
class Heard:
    """What was heard.

    Attributes
    ----------
    sound : Sound
    settings : Settings
    net : SavedModel
    table : pd.DataFrame
        ``start_s, end_s, emotion, probability, p_<emotion>…, confidence, sure``: one row for an utterance, one per
        window of a longer recording. ``p_<emotion>`` are what the net says, as by ``python -m ser_utils predict``;
        `confidence` is that of its answer at the temperature of the validation clips, NaN where there were none;
        without a threshold every answer counts as sure. Empty where no speech was heard.
    noisy, clean : np.ndarray [shape=(n_samples,), dtype=float32]
        With the noise; and as the net heard it.
    took_s : float
    """

    sound: Sound
    settings: Settings
    net: SavedModel
    table: pd.DataFrame
    noisy: np.ndarray = field(repr=False)
    clean: np.ndarray = field(repr=False)
    took_s: float

    @property
    def speech(self) -> bool:
        return len(self.table) > 0

    @property
    def probabilities(self) -> pd.DataFrame:
        """``p_<emotion>`` by emotion."""
        return self.table[[f"p_{label}" for label in self.net.labels]].rename(columns=lambda name: name[2:])

    @property
    def verdict(self) -> str:
        """Emotion of an utterance, or of most windows; ``not sure``; ``no speech heard``."""
        if not self.speech:
            return NO_SPEECH
        said = self.table["emotion"].where(self.table["sure"], NOT_SURE)
        return said.value_counts(sort=True).index[0]


def hear(sound: Sound, settings: Settings, nets: Nets) -> Heard:
    """Add the noise, denoise, and ask the net; recordings in which nobody speaks are not guessed at.

    Raises
    ------
    study.UserError
        For a net, denoiser or noise that is not there.
    """
    net, denoise = nets.load(settings.model), settings.denoise
    start = time.perf_counter()
    noisy = sounds.in_noise(sound.y, settings.noise, settings.snr_db)
    if sounds.speaks(sound.y):
        table, clean = predicting.hear(noisy, net, denoise=denoise)
        table = _confident(table[table["emotion"] != ""].reset_index(drop=True), net)
    else:
        table, clean = _confident(predicting.hear(np.zeros(sounds.RATE, np.float32), net)[0][:0], net), noisy
    return Heard(sound, settings, net, table, noisy, clean, time.perf_counter() - start)


def _confident(table: pd.DataFrame, net: SavedModel) -> pd.DataFrame:
    told = confidence.known(net.facts)
    if not told:
        return table.assign(confidence=np.nan, sure=True)
    p = table[[f"p_{label}" for label in net.labels]].to_numpy(dtype=np.float64)
    sure = confidence.scaled(p, told["temperature"]).max(axis=1) if len(p) else np.zeros(0)
    return table.assign(confidence=sure, sure=sure >= (told["threshold"] or 0.0))
