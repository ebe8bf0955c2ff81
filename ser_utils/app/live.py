"""Live speech: a window that slides over the last seconds of a microphone, and what was heard in it so far."""

from __future__ import annotations

import base64
import dataclasses
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import soxr

from ser_utils import study
from ser_utils.app import sounds
from ser_utils.app.hearing import NO_SPEECH, Heard, Settings, hear
from ser_utils.app.nets import Nets
from ser_utils.app.sounds import RATE, Sound

WINDOW_S = 3.0
STEP_S = 0.5  # between answers
PACE = 0.5  # seconds of work per second of sound, at most
KEPT = 240  # answers: two minutes
RATES = (8_000, 192_000)  # Hz, of a microphone


@dataclass
class Listening:
    """What a listener remembers: the last window of sound, seconds since the start, those of them that no answer was
    given for, and the answers so far."""

    y: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32), repr=False)
    seconds: float = 0.0
    waiting: float = 0.0
    rows: list[dict] = field(default_factory=list, repr=False)
    heard: Heard | None = field(default=None, repr=False)
    late: list[float] = field(default_factory=list)  # seconds of work per second of sound

    @property
    def table(self) -> pd.DataFrame:
        """``start_s, end_s, emotion, sure`` of the last two minutes; emotion is empty where nobody spoke."""
        return pd.DataFrame(self.rows, columns=["start_s", "end_s", "emotion", "sure"])

    @property
    def costs(self) -> list[float]:
        """Seconds that each answer took."""
        return [late * (row["end_s"] - row["start_s"]) for late, row in zip(self.late, self.rows, strict=True)]


def step(listening: Listening, y: np.ndarray, rate: int, settings: Settings, nets: Nets) -> Listening:
    """Take in what the microphone gave since the last step, and ask the net about the last :data:`WINDOW_S`.

    The net is asked when :data:`STEP_S` have come together, and later where the last answers took more than
    :data:`PACE` of that: whatever the machine, and whatever the length of the parts, the page must not fall behind. It
    never waits for more than a window, as one slow answer does not make a slow machine.

    Parameters
    ----------
    listening : Listening
        From the last step; left as it is.
    y : np.ndarray [shape=(n_samples,)]
        Mono, full scale ±1, any length.
    rate : int
        Hz.
    settings : Settings
    nets : Nets
    """
    nets.load(settings.model)  # once; that does not count
    start = time.perf_counter()
    new = np.asarray(y, dtype=np.float32)
    new = new if rate == RATE else soxr.resample(new, rate, RATE, quality="HQ")
    window = np.concatenate([listening.y, new])[-round(WINDOW_S * RATE) :]
    seconds, fresh = listening.seconds + len(new) / RATE, listening.waiting + len(new) / RATE
    if fresh < _patience(listening):
        return dataclasses.replace(listening, y=window, seconds=seconds, waiting=fresh)
    heard = hear(Sound("microphone", window), settings, nets) if len(window) >= sounds.SPEECH_S * RATE else None
    row = {"start_s": seconds - fresh, "end_s": seconds, "emotion": "", "sure": False}
    if heard is not None and heard.verdict != NO_SPEECH:
        last = heard.table.iloc[-1]
        row |= {"emotion": last["emotion"], "sure": bool(last["sure"])}
    spent = (time.perf_counter() - start) / fresh
    return Listening(window, seconds, 0.0, [*listening.rows, row][-KEPT:], heard, [*listening.late, spent][-KEPT:])


def _patience(listening: Listening) -> float:
    """Seconds of sound that must come together before the next answer."""
    cost = min(listening.costs[-3:], default=0.0)
    return min(max(0.9 * STEP_S, cost / PACE), WINDOW_S)  # parts may fall a little short


def samples(pcm: str, rate: float) -> tuple[np.ndarray, int]:
    """Sound as the browser sends it: 16-bit samples in base64, and their rate in Hz.

    Raises
    ------
    study.UserError
        When it is none.

    Examples
    --------
    >>> samples("AAAAQADA", 48000)
    (array([ 0. ,  0.5, -0.5], dtype=float32), 48000)
    """
    try:
        y = np.frombuffer(base64.b64decode(pcm, validate=True), dtype="<i2")
        if not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"a rate of {rate:g} Hz")
    except (TypeError, ValueError) as error:
        raise study.UserError(f"the browser sent no sound that can be read ({error}); load the page anew") from error
    return y.astype(np.float32) / 2**15, round(rate)
