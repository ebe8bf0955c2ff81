"""The embedded synthetic noise set: eight classes in five folds, named and split like ESC-50.

A source is one realisation of a class, ten seconds long; its takes A and B are its two halves and stay in one fold.
Babble is made of voices and words that the ``demo`` corpus does not use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from ser_utils import study
from ser_utils.corpora.base import Corpus
from ser_utils.corpora.demo_voice import rms, set_level
from ser_utils.corpora.espeak import SAMPLE_RATE as ESPEAK_RATE
from ser_utils.corpora.espeak import Utterance, speak

SEED = 50
SAMPLE_RATE = 16000  # Hz
CLIP_S = 5.0
FOLDS = 5
SOURCES = 2  # of each class in each fold
TAKES = "AB"
LEVEL_DBFS = -26.0  # RMS of a source

TALKERS = 7  # voices at once in babble
SENTENCE_S = 1.0  # least length of one babble sentence
VOICES = (
    "adam",
    "anika",
    "Annie",
    "Alex",
    "belinda",
    "edward",
    "linda",
    "m2",
    "m5",
    "m6",
    "Michael",
    "shelby",
    "steph",
)
SUBJECTS = ("My uncle", "A neighbour", "Our teacher", "The council", "One farmer", "A visitor", "Her brother")
VERBS = ("bought", "painted", "forgot", "repaired", "carried", "measured", "borrowed")
OBJECTS = ("two bicycles", "a green coat", "an old piano", "the garden fence", "some apples", "a paper map")
PLACES = ("in March", "after lunch", "beside the harbour", "on the hill", "for his cousin", "last weekend")


@dataclass(frozen=True)
class Source:
    """One realisation of a noise class."""

    fold: int
    number: int  # unique over classes and folds; seeds the realisation
    noise_class: str

    def name(self, take: str) -> str:
        return f"{self.fold}-{self.number}-{take}-{self.noise_class}.flac"


def sources() -> list[Source]:
    """All sources, in their fixed order.

    Examples
    --------
    >>> len(sources()), sources()[0].name("A")
    (80, '1-10100-A-white.flac')
    """
    return [
        Source(fold, 10000 * fold + 100 * c + k, name)
        for fold in range(1, FOLDS + 1)
        for c, name in enumerate(CLASSES, 1)
        for k in range(SOURCES)
    ]


def _rng(source: Source) -> np.random.Generator:
    return np.random.default_rng([SEED, source.number])


def synthesise(folder: Path) -> None:
    """Write all clips (5 s, 16 kHz, mono, 16-bit FLAC) into `folder`; the same bits every time on one machine."""
    folder.mkdir(parents=True, exist_ok=True)
    babble = _babble([source for source in sources() if source.noise_class == "babble"])
    study.progress(f"demo_noise: synthesising {len(sources()) * len(TAKES)} clips")
    for source in sources():
        make = _SYNTHETIC.get(source.noise_class)
        y = make(_rng(source)) if make else babble[source]
        y = set_level(y - y.mean(), level_dbfs=LEVEL_DBFS)
        for take, half in zip(TAKES, np.split(y, len(TAKES)), strict=True):
            soundfile.write(folder / source.name(take), half, SAMPLE_RATE, subtype="PCM_16")


# --- classes: each takes random numbers and returns a source of N samples -----------------------------------------

N = round(CLIP_S * len(TAKES) * SAMPLE_RATE)
_TIME = np.arange(N) / SAMPLE_RATE


def _coloured(rng: np.random.Generator, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise whose spectrum is weighted by `shape`, a function of frequency in Hz; RMS 1."""
    frequency = np.clip(np.fft.rfftfreq(N, 1 / SAMPLE_RATE), 20, None)
    y = np.fft.irfft(np.fft.rfft(rng.standard_normal(N)) * shape(frequency), N)
    return y / rms(y)


def _slow(rng: np.random.Generator, *, knots_per_s: float) -> np.ndarray:
    """A smooth random curve with standard deviation near 1."""
    count = int(N / SAMPLE_RATE * knots_per_s) + 2
    return np.interp(_TIME, np.linspace(0, _TIME[-1], count), rng.standard_normal(count))


def white(rng: np.random.Generator) -> np.ndarray:
    """Equal power at all frequencies."""
    return rng.standard_normal(N)


def pink(rng: np.random.Generator) -> np.ndarray:
    """Power falling by 3 dB an octave."""
    return _coloured(rng, lambda f: f**-0.5)


def hum(rng: np.random.Generator) -> np.ndarray:
    """Mains: 50 Hz and harmonics, odd ones stronger, over faint pink noise."""
    mains_hz = 50 + rng.uniform(-0.1, 0.1)
    y = np.zeros(N)
    for k in range(1, 17):
        level_db = -2.2 * k - (8 if k % 2 == 0 else 0) + rng.uniform(-5, 5)
        y += 10 ** (level_db / 20) * np.sin(2 * np.pi * (k * mains_hz * _TIME + rng.random()))
    return y / rms(y) * (1 + 0.05 * _slow(rng, knots_per_s=2)) + 0.03 * pink(rng)


def rain(rng: np.random.Generator) -> np.ndarray:
    """Hiss that comes in gusts, and drops: about 400 short decaying clicks a second."""
    corner_hz = rng.uniform(800, 2000)
    hiss = _coloured(rng, lambda f: f / (f + corner_hz) * f**-0.25) * np.exp(0.2 * _slow(rng, knots_per_s=0.7))
    drops = np.zeros(N)
    at = rng.integers(0, N, size=rng.poisson(rng.uniform(250, 550) * N / SAMPLE_RATE))
    np.add.at(drops, at, rng.standard_normal(len(at)))
    decay = np.exp(-np.arange(160) / 25) * rng.standard_normal(160)
    drops = np.convolve(drops, decay, mode="same")
    return hiss + rng.uniform(0.5, 1.0) * drops / rms(drops)


def siren(rng: np.random.Generator) -> np.ndarray:
    """A tone with harmonics that wails, yelps or changes between two pitches, coming near and going."""
    low_hz, ratio, period_s = rng.uniform(450, 650), rng.uniform(1.3, 2.4), rng.choice([0.35, 1.2, 4.0])
    phase = _TIME / (period_s * rng.uniform(0.85, 1.15)) + rng.random()
    sweep = rng.choice(["wail", "two-tone"])
    height = 0.5 - 0.5 * np.cos(2 * np.pi * phase) if sweep == "wail" else (phase % 1 > 0.5).astype(float)
    turns = np.cumsum(low_hz * ratio**height) / SAMPLE_RATE
    y = sum(0.5**k * np.sin(2 * np.pi * (k + 1) * turns + rng.uniform(0, 6)) for k in range(4))
    return y * np.exp(0.4 * _slow(rng, knots_per_s=0.4)) + 0.1 * pink(rng)


def clatter(rng: np.random.Generator) -> np.ndarray:
    """Dishes: impacts at random times, each a few damped high modes, over a faint room."""
    y = 0.02 * pink(rng)
    for at in rng.integers(0, N - SAMPLE_RATE // 2, size=rng.integers(50, 90)):
        time = np.arange(rng.integers(1500, 8000)) / SAMPLE_RATE
        for _ in range(6):
            mode_hz, decay_s = rng.uniform(900, 7000), rng.uniform(0.008, 0.06)
            hit = rng.exponential() * np.exp(-time / decay_s) * np.sin(2 * np.pi * mode_hz * time)
            y[at : at + len(time)] += hit
    return y


def engine(rng: np.random.Generator) -> np.ndarray:
    """Harmonics of a drifting firing rate, unevenly loud, with low-pass noise."""
    firing_hz = rng.uniform(22, 70) * np.exp(0.06 * _slow(rng, knots_per_s=0.8))
    turns = np.cumsum(firing_hz) / SAMPLE_RATE
    y = np.zeros(N)
    for k in range(1, 31):
        strength = 10 ** (rng.uniform(-6, 6) / 20) / k**0.8
        y += strength * np.sin(2 * np.pi * (k * turns + rng.random()))
    y *= 1 + 0.25 * np.sin(np.pi * turns)  # every second firing is stronger
    return y / rms(y) + 0.5 * _coloured(rng, lambda f: 1 / (1 + (f / 400) ** 1.5))


_SYNTHETIC = {f.__name__: f for f in (white, pink, hum, rain, siren, clatter, engine)}
CLASSES = (*_SYNTHETIC, "babble")


def _babble(chosen: list[Source]) -> dict[Source, np.ndarray]:
    """Several voices at once for each source; all said in one go, because espeak-ng's samples depend on order."""
    rngs = {source: _rng(source) for source in chosen}
    per_talker = int(N / SAMPLE_RATE / SENTENCE_S) + 1
    spoken = iter(speak([utterance for rng in rngs.values() for utterance in _chatter(rng, per_talker)]))
    return {source: _mix([next(spoken) for _ in range(TALKERS * per_talker)], rng) for source, rng in rngs.items()}


def _chatter(rng: np.random.Generator, count: int) -> list[Utterance]:
    """Sentences of all talkers, `count` of each in turn."""
    return [
        Utterance(
            text=" ".join(rng.choice(words) for words in (SUBJECTS, VERBS, OBJECTS, PLACES)) + ".",
            voice=f"en-us+{voice}",
            pitch=int(rng.integers(35, 70)),
            rate=int(rng.integers(140, 200)),
        )
        for voice in rng.choice(VOICES, TALKERS, replace=False)
        for _ in range(count)
    ]


def _mix(spoken: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    y = np.zeros(N)
    for talker in np.array_split(np.arange(len(spoken)), TALKERS):
        line = np.concatenate([spoken[k] / rms(spoken[k]) for k in talker])
        line = soxr.resample(line, ESPEAK_RATE, SAMPLE_RATE)
        y += 10 ** (rng.uniform(-4, 4) / 20) * np.resize(np.roll(line, rng.integers(len(line))), N)
    return y


def parse(path: Path) -> dict[str, Any]:
    """Labels from a path below the corpus folder.

    Raises
    ------
    ValueError
        With one clause that names the offending field.

    Examples
    --------
    >>> parse(Path("1-10100-A-white.flac"))
    {'clip_id': '1-10100-A-white', 'noise_class': 'white', 'fold': 1, 'source': '10100'}
    """
    fields = path.stem.split("-")
    if len(fields) != 4:
        raise ValueError(f"file name '{path.name}' has {len(fields)} fields, not fold-source-take-class")
    fold, source, take, noise_class = fields
    known = {str(s.number): s for s in sources()}
    for field, value, allowed in (
        ("source", source, known),
        ("fold", fold, [str(known[source].fold)] if source in known else []),
        ("take", take, TAKES),
        ("class", noise_class, [known[source].noise_class] if source in known else []),
    ):
        if value not in allowed:
            raise ValueError(f"{field} '{value}' is not one of {', '.join(allowed)}")
    return {"clip_id": path.stem, "noise_class": noise_class, "fold": int(fold), "source": source}


CORPUS = Corpus(
    name="demo_noise",
    title="Demo noise (synthetic)",
    version="1",
    kind="noise",
    synthetic=True,
    licence="CC0-1.0 (synthetic)",
    audio_may_be_published=True,
    citation="@misc{espeakng, title = {{eSpeak NG} speech synthesiser}, url = {https://github.com/espeak-ng/espeak-ng}}",
    address="https://github.com/espeak-ng/espeak-ng",
    layout="demo_noise/1-10100-A-white.flac",
    pattern="*.flac",
    parse=parse,
    n_clips=FOLDS * len(CLASSES) * SOURCES * len(TAKES),
    synthesise=synthesise,
    notes={
        "synthetic": "Made by formulas, and for babble by espeak-ng; nothing was recorded.",
        "licence": "espeak-ng is GPL-3; its licence does not cover the sound it makes.",
    },
)
