"""The embedded synthetic corpus: emotional speech that no person ever spoke, made offline with espeak-ng.

It lets the whole study run without a download. Scores on it say nothing about people.

Ten voices speak seven emotions. :data:`STYLES` holds how each emotion differs from neutral speech. The directions
follow reviews of vocal emotion [1]_ [3]_ and rules that listeners recognised in synthetic speech [2]_; the sizes are
chosen so that the task is neither trivial nor hopeless. Each voice shows emotion in its own way and strength, and
each clip differs, also the two repetitions of a sentence.

References
----------
.. [1] Murray, I. R., & Arnott, J. L. (1993). Toward the simulation of emotion in synthetic speech: a review of the
   literature on human vocal emotion. J. Acoust. Soc. Am. 93(2), 1097–1108. https://doi.org/10.1121/1.405558
.. [2] Burkhardt, F., & Sendlmeier, W. F. (2000). Verification of acoustical correlates of emotional speech using
   formant-synthesis. ISCA Workshop on Speech and Emotion, Newcastle, 151–156.
.. [3] Juslin, P. N., & Laukka, P. (2003). Communication of emotions in vocal expression and music performance:
   different channels, same code? Psychol. Bull. 129(5), 770–814. https://doi.org/10.1037/0033-2909.129.5.770
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from ser_utils import study
from ser_utils.corpora.base import Corpus
from ser_utils.corpora.demo_voice import breathe, perturb_f0, place_in_room, set_level, tilt, trim
from ser_utils.corpora.espeak import SAMPLE_RATE as ESPEAK_RATE
from ser_utils.corpora.espeak import Utterance, speak

SEED = 2025
SAMPLE_RATE = 16000  # Hz
REPETITIONS = 2


@dataclass(frozen=True)
class Style:
    """Parameters of expression."""

    f0_st: float  # median F0, semitones
    range: float  # F0 range, steps of espeak-ng (50 from monotone to normal)
    rate_pct: float  # words a minute, per cent
    level_db: float  # RMS level, dB
    tilt_db: float  # spectral slope above 500 Hz, dB an octave: tense +, lax −
    formants_pct: float  # formant frequencies, per cent: lips spread +, rounded −
    breath_db: float  # aspiration noise, dB
    jitter_pct: float  # irregular F0, per cent
    tremor_st: float  # trembling F0, semitones
    gap_ms: float  # pause between words, ms


# Relative to neutral. Where reviews differ (fear: F0 range), the meta-analysis [3] decides.
#                             f0   range  rate level  tilt formants breath jitter tremor gap
STYLES = {
    "angry": Style(           3.0,   18,   10,  5.0,  2.0,     0,     -3,    0.8,  0.00,   0),
    "disgust": Style(        -2.5,    4,   -9, -1.0, -0.6,    -3,      1,    1.2,  0.00,  15),
    "fear": Style(            4.5,  -16,   14, -1.5,  0.3,     1,      6,    0.9,  0.45,   5),
    "happy": Style(           3.5,   24,    6,  3.0,  0.8,     5,      1,    0.0,  0.00,   0),
    "neutral": Style(         0.0,    0,    0,  0.0,  0.0,     0,      0,    0.0,  0.00,   0),
    "sad": Style(            -1.0,  -20,  -12, -5.0, -1.8,    -1,      7,    0.3,  0.15,  25),
    "surprise": Style(        5.5,   38,   -3,  1.5,  0.0,    -1,      4,    0.0,  0.00,   0),
}  # fmt: skip
NEUTRAL = Style(0.0, 50, 0, -27.0, 0.0, 0.0, -30, 0.3, 0.03, 0)
# Standard deviations, cut at 2: of a speaker's habit for an emotion, and of one clip.
HABIT = Style(0.6, 5, 2.5, 0.7, 0.25, 0.8, 1.2, 0.15, 0.04, 4)
CLIP = Style(0.9, 7, 3.5, 1.2, 0.35, 0.8, 1.8, 0.20, 0.05, 6)
STRENGTH_SPEAKER = (0.8, 1.2)  # how strongly a speaker shows emotion; 1 is STYLES
STRENGTH_CLIP = (0.7, 1.25)
MARKS = {"angry": ".!", "happy": ".!", "surprise": "?!"}  # sentence melody, drawn by chance; others "."


@dataclass(frozen=True)
class Speaker:
    """One synthetic voice."""

    gender: str
    voice: str  # of espeak-ng
    rate: int  # words a minute when neutral
    tract: float  # formant frequencies, relative to the voice's own
    tilt_db: float  # own spectral slope, dB an octave


SPEAKERS = {
    "s01": Speaker("female", "en-us+f1", 178, 1.00, 0.3),
    "s02": Speaker("male", "en-us+m1", 170, 1.00, 0.0),
    "s03": Speaker("female", "en-gb-x-rp+f2", 184, 0.97, -0.5),
    "s04": Speaker("male", "en-gb-x-rp+m3", 180, 1.03, 0.5),
    "s05": Speaker("female", "en-us+f3", 176, 1.03, -0.2),
    "s06": Speaker("male", "en-gb-scotland+m7", 176, 0.96, -0.6),
    "s07": Speaker("female", "en-us-nyc+f4", 182, 1.05, 0.6),
    "s08": Speaker("male", "en-029+m4", 176, 1.05, 0.2),
    "s09": Speaker("female", "en-us+f5", 174, 0.95, 0.0),
    "s10": Speaker("male", "en-us+m8", 180, 0.98, 0.8),
}

# sentence → (the emotion its words carry, text)
SENTENCES = {
    "ne1": ("neutral", "The train leaves from the other side"),
    "ne2": ("neutral", "There are seven books on the table"),
    "ne3": ("neutral", "She put the letter under the lamp"),
    "ne4": ("neutral", "They will come back on Wednesday"),
    "ne5": ("neutral", "The blue box stands near the door"),
    "ne6": ("neutral", "He told me about it this morning"),
    "an1": ("angry", "I am furious and I hate this mess"),
    "an2": ("angry", "You always make me so very angry"),
    "di1": ("disgust", "That rotten smell makes me feel sick"),
    "di2": ("disgust", "This filthy kitchen is disgusting"),
    "fe1": ("fear", "I am scared of the dark down there"),
    "fe2": ("fear", "Something terrible waits out there"),
    "ha1": ("happy", "What a wonderful day to be alive"),
    "ha2": ("happy", "I love this song with all my heart"),
    "sa1": ("sad", "I miss her and cry every night"),
    "sa2": ("sad", "I am so lonely since he left"),
    "su1": ("surprise", "I never expected to see you here"),
    "su2": ("surprise", "That is truly incredible news"),
}
EMOTIONS = tuple(STYLES)


@dataclass(frozen=True)
class Clip:
    """One clip of the corpus."""

    speaker: str
    sentence: str
    emotion: str
    repetition: int

    @property
    def name(self) -> str:
        return f"{self.speaker}/{self.speaker}_{self.sentence}_{self.emotion}_{self.repetition}.flac"


@dataclass(frozen=True)
class _Plan:
    """How one clip is made."""

    clip: Clip
    utterance: Utterance
    style: Style
    tilt_db: float  # of the speaker
    tract: float  # formant frequencies, of speaker and style
    rng: np.random.Generator


def clips() -> list[Clip]:
    """All clips in their fixed order.

    Every speaker says five sentences in every emotion, twice: three with neutral words, one whose words carry the
    emotion (neutral words for neutral), and one whose words do so for odd speakers and contradict it for even ones.

    Examples
    --------
    >>> len(clips()), clips()[0].name
    (700, 's01/s01_ne1_angry_1.flac')
    """
    return [
        Clip(speaker, sentence, emotion, repetition)
        for s, speaker in enumerate(SPEAKERS)
        for e, emotion in enumerate(EMOTIONS)
        for sentence in _sentences(s, e)
        for repetition in range(1, REPETITIONS + 1)
    ]


def _sentences(speaker: int, emotion: int) -> list[str]:
    by_emotion = {name: [key for key, (carried, _) in SENTENCES.items() if carried == name] for name in EMOTIONS}
    neutral, own = by_emotion["neutral"], by_emotion[EMOTIONS[emotion]]
    chosen = [neutral[(speaker + emotion + 2 * k) % len(neutral)] for k in range(3)]
    if EMOTIONS[emotion] == "neutral":
        own = [neutral[(speaker + emotion + 2 * k + 1) % len(neutral)] for k in range(2)]
    if speaker % 2:
        others = [name for name in EMOTIONS if name not in ("neutral", EMOTIONS[emotion])]
        return [*chosen, own[speaker // 2 % 2], by_emotion[others[(speaker + emotion) % len(others)]][emotion % 2]]
    return [*chosen, *own]


def synthesise(folder: Path) -> None:
    """Write all clips (16 kHz, mono, 16-bit FLAC) below `folder`; the same bits every time on one machine."""
    write(folder, clips())


def write(folder: Path, chosen: list[Clip]) -> None:
    """Write `chosen` clips, which must be the first of :func:`clips`: espeak-ng's samples depend on what came before.

    Raises
    ------
    ValueError
        For any other choice.
    """
    if chosen != clips()[: len(chosen)]:
        raise ValueError("only the first clips of the corpus can be made alone: each depends on those before it")
    plans = [_plan(clip) for clip in chosen]
    study.progress(f"demo: synthesising {len(chosen)} clips")
    for plan, y in zip(plans, speak([plan.utterance for plan in plans]), strict=True):
        file = folder / plan.clip.name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, _shape(y, plan), SAMPLE_RATE, subtype="PCM_16")


def style_of(clip: Clip, rng: np.random.Generator) -> Style:
    """Draw how `clip` is spoken: neutral, plus the emotion at some strength, plus the speaker's habit, plus chance."""
    habit_rng = _rng(clip.speaker, clip.emotion)
    strength = _rng(clip.speaker).uniform(*STRENGTH_SPEAKER) * rng.uniform(*STRENGTH_CLIP)
    habit, chance = (np.clip(r.standard_normal(len(_array(CLIP))), -2, 2) for r in (habit_rng, rng))
    values = _array(NEUTRAL) + strength * _array(STYLES[clip.emotion]) + habit * _array(HABIT) + chance * _array(CLIP)
    return Style(*(float(v) for v in values))


def _array(style: Style) -> np.ndarray:
    return np.array(dataclasses.astuple(style))


def _rng(*key: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *" ".join(key).encode()])


def _plan(clip: Clip) -> _Plan:
    rng = _rng(clip.name)
    style, speaker = style_of(clip, rng), SPEAKERS[clip.speaker]
    tract = speaker.tract * (1 + style.formants_pct / 100)
    steps = 6.0 if style.f0_st > 0 else 7.0  # of espeak-ng's pitch in a semitone, measured
    utterance = Utterance(
        text=SENTENCES[clip.sentence][1] + rng.choice(list(MARKS.get(clip.emotion, "."))),
        voice=speaker.voice,
        pitch=round(np.clip(50 + steps * (style.f0_st - 12 * np.log2(tract / speaker.tract)), 0, 99)),
        range=round(np.clip(style.range, 0, 99)),
        rate=round(speaker.rate * (1 + style.rate_pct / 100) / tract),
        gap=round(max(style.gap_ms, 0) / 10),
    )
    return _Plan(clip, utterance, style, speaker.tilt_db, tract, rng)


def _shape(y: np.ndarray, plan: _Plan) -> np.ndarray:
    style, rng = plan.style, plan.rng
    jitter_pct, tremor_st = max(style.jitter_pct, 0), max(style.tremor_st, 0)
    y = perturb_f0(trim(y), sr=ESPEAK_RATE, jitter_pct=jitter_pct, tremor_st=tremor_st, rng=rng)
    y = soxr.resample(y, ESPEAK_RATE * plan.tract, SAMPLE_RATE)  # moves the formants, and time and F0 with them
    y = breathe(y, sr=SAMPLE_RATE, breath_db=style.breath_db, rng=rng)
    y = tilt(y, sr=SAMPLE_RATE, db_per_octave=style.tilt_db + plan.tilt_db)
    y = set_level(y, level_dbfs=style.level_db)
    before_s, after_s = rng.uniform(0.05, 0.25, size=2)
    floor_dbfs = rng.uniform(-62, -50)
    return place_in_room(y, sr=SAMPLE_RATE, before_s=before_s, after_s=after_s, floor_dbfs=floor_dbfs, rng=rng)


def parse(path: Path) -> dict[str, Any]:
    """Labels from a path below the corpus folder.

    Raises
    ------
    ValueError
        With one clause that names the offending field.

    Examples
    --------
    >>> parse(Path("s01/s01_ne1_angry_1.flac"))["text"]
    'The train leaves from the other side.'
    """
    fields = path.stem.split("_")
    if len(fields) != 4:
        raise ValueError(f"file name '{path.name}' has {len(fields)} fields, not speaker_sentence_emotion_repetition")
    speaker, sentence, emotion, repetition = fields
    for field, value, known in (
        ("speaker", speaker, SPEAKERS),
        ("sentence", sentence, SENTENCES),
        ("emotion", emotion, STYLES),
        ("repetition", repetition, [str(k + 1) for k in range(REPETITIONS)]),
        ("folder", path.parent.name, [speaker]),
    ):
        if value not in known:
            raise ValueError(f"{field} '{value}' is not one of {', '.join(known)}")
    return {
        "clip_id": path.stem,
        "speaker": f"demo_{speaker}",
        "gender": SPEAKERS[speaker].gender,
        "emotion": emotion,
        "emotion_raw": emotion,
        "intensity": "normal",
        "sentence": sentence,
        "text": SENTENCES[sentence][1] + ".",
    }


CORPUS = Corpus(
    name="demo",
    title="Demo (synthetic speech)",
    version="1",
    synthetic=True,
    language="en",
    licence="CC0-1.0 (synthetic)",
    audio_may_be_published=True,
    citation="@misc{espeakng, title = {{eSpeak NG} speech synthesiser}, url = {https://github.com/espeak-ng/espeak-ng}}",
    address="https://github.com/espeak-ng/espeak-ng",
    layout="demo/s01/s01_ne1_angry_1.flac",
    pattern="*/*.flac",
    parse=parse,
    n_clips=len(SPEAKERS) * len(STYLES) * 5 * REPETITIONS,
    n_speakers=len(SPEAKERS),
    emotions=EMOTIONS,
    split="speaker_groups",
    synthesise=synthesise,
    notes={
        "synthetic": "No person spoke. Scores on it say nothing about people.",
        "licence": "Made by the program espeak-ng (GPL-3), whose licence does not cover the sound it makes.",
    },
)
