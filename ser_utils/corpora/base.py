"""What every corpus promises: a :class:`Corpus` entry, and a manifest with one row per clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EMOTIONS = ("angry", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise", "boredom")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

SPEECH_COLUMNS = {
    "path": "str",  # below the corpus's audio root, with forward slashes
    "corpus": "str",
    "corpus_version": "str",
    "clip_id": "str",  # unique within the corpus
    "speaker": "str",  # unique over corpora: "<corpus>_<id>"
    "gender": "str",  # female | male | unknown
    "emotion": "str",  # one of EMOTIONS
    "emotion_raw": "str",  # as the corpus writes it
    "intensity": "str",
    "sentence": "str",
    "text": "str",
    "language": "str",  # ISO 639-1
    "duration_s": "float64",
    "sample_rate": "int64",  # Hz
    "channels": "int64",
    "sha256": "str",
    "licence": "str",
    "exclude_reason": "str",  # empty: the clip is used
}
NOISE_COLUMNS = {
    name: SPEECH_COLUMNS.get(name, dtype)
    for name, dtype in {
        "path": "",
        "corpus": "",
        "corpus_version": "",
        "clip_id": "",
        "noise_class": "str",
        "fold": "int64",  # 1 …
        "source": "str",  # clips cut from one recording share it
        "duration_s": "",
        "sample_rate": "",
        "channels": "",
        "sha256": "",
        "licence": "",
        "exclude_reason": "",
    }.items()
}


class LeftOut(Exception):
    """A file that its name places outside what is read of a corpus; says why, e.g. ``"song, not speech"``."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: where it comes from, how its files are named, what is expected of it.

    ``parse`` maps the path of a clip below the corpus folder to the label columns of its manifest row
    (``clip_id, speaker, gender, emotion, emotion_raw, intensity, sentence, text`` for speech;
    ``clip_id, noise_class, fold, source`` for noise) and raises ``ValueError`` with one clause that names the
    offending field, e.g. ``"emotion code '09' is not one of 01 … 08"``, or :class:`LeftOut`.
    """

    name: str  # folder name below the data root, lower case
    title: str
    version: str
    kind: str = "speech"  # speech | noise
    synthetic: bool = False
    language: str = ""  # ISO 639-1
    licence: str
    audio_may_be_published: bool = False  # whether a public report may play its clips
    citation: str  # BibTeX
    address: str
    checksum: str = ""  # "md5:…" or "sha256:…" of the published archive
    layout: str  # one line for people, e.g. "ravdess/Actor_01/03-01-01-01-01-01-01.wav"
    pattern: str  # glob below the corpus folder that finds the clips, e.g. "Actor_*/*"
    parse: Callable[[Path], dict[str, Any]] = field(repr=False)
    n_clips: int  # official count
    expected: Callable[[], frozenset[str]] | None = field(default=None, repr=False)  # clip_id of every official clip
    n_speakers: int = 0
    emotions: tuple[str, ...] = ()
    split: str = "loso"  # the split that scores are published on
    folds: tuple[tuple[str, ...], ...] = ()  # published test speakers of each fold
    synthesise: Callable[[Path], None] | None = field(default=None, repr=False)  # writes the clips into a new folder
    notes: Mapping[str, str] = field(default_factory=dict)
