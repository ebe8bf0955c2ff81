"""What every corpus promises: a :class:`Corpus` entry, and a manifest with one row per clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

EMOTIONS = ("angry", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise", "boredom")
AUDIO_SUFFIXES = (  # what ser_utils.decoding reads, the format with the least loss first, films last
    *(".wav", ".flac", ".aiff", ".aif", ".ogg", ".opus", ".mp3"),
    *(".aac", ".m4a", ".m4b", ".mka", ".webm", ".mp4", ".mkv", ".mov"),
)
JUNK = (".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "Icon\r")  # files that desktops leave in folders
MISSING = "audio missing"  # exclude_reason of a clip whose labels are there and whose sound is not

SPEECH_COLUMNS = {
    "path": "str",  # below the corpus's audio root, with forward slashes
    "corpus": "str",
    "corpus_version": "str",
    "clip_id": "str",  # unique within the corpus
    "speaker": "str",  # unique over corpora: "<corpus>_<id>"
    "gender": "str",  # female | male | unknown
    "age_group": "str",  # of the speaker: 18-29 | 30-44 | 45-59 | 60+ | empty where none is published
    "emotion": "str",  # one of EMOTIONS
    "emotion_raw": "str",  # as the corpus writes it
    "intensity": "str",
    "sentence": "str",
    "repetition": "str",  # take of the same sentence and emotion
    "text": "str",
    "dialogue": "str",  # clips of one conversation share it
    "split": "str",  # official part: train | validation | test; empty where there is none
    "language": "str",  # ISO 639-1
    "duration_s": "float64",
    "sample_rate": "int64",  # Hz
    "channels": "int64",
    "level_dbfs": "float64",  # root mean square, full scale is 0
    "peak_dbfs": "float64",
    "dc_offset": "float64",  # mean of the samples, full scale is 1
    "clipped_share": "float64",  # share of the samples in runs at the clip's own extreme
    "sha256": "str",
    "licence": "str",
    "exclude_reason": "str",  # empty: the clip is used
}
LABELS = {  # what a loader may leave out, and what stands there then
    "gender": "unknown",
    **dict.fromkeys(("age_group", "intensity", "sentence", "repetition", "text", "dialogue", "split"), ""),
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


def age_group(years: int) -> str:
    """Bin of the column ``age_group`` that an age in years falls into.

    Examples
    --------
    >>> [age_group(years) for years in (18, 29, 30, 45, 74)]
    ['18-29', '18-29', '30-44', '45-59', '60+']
    """
    return next(name for name, last in (("18-29", 29), ("30-44", 44), ("45-59", 59), ("60+", 200)) if years <= last)


def is_junk(path: str) -> bool:
    """Whether a path below a corpus folder is what macOS, Windows or an archiver leaves beside files, and no clip.

    Examples
    --------
    >>> [is_junk(path) for path in ("__MACOSX/wav/._03a01Fa.wav", "wav/.DS_Store", "wav/03a01Fa.wav")]
    [True, True, False]
    """
    *folders, name = path.split("/")
    return name.startswith("._") or name in JUNK or "__MACOSX" in folders


class LeftOut(Exception):
    """A file that its name places outside what is read of a corpus; says why, e.g. ``"song, not speech"``."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file of a corpus that can be fetched without registration."""

    address: str
    checksum: str = ""  # "md5:…" or "sha256:…"; empty where none is published
    to: str = ""  # path below the corpus folder; an archive is unpacked beside it
    size: int = 0  # bytes; 0: not published


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: where it comes from, how its files are named, what is expected of it.

    Labels come from names or from a table. ``parse`` maps the path of a clip below the corpus folder to the label
    columns of its manifest row (``clip_id, speaker, emotion, emotion_raw`` and any of :data:`LABELS` for speech;
    ``clip_id, noise_class, fold, source`` for noise) and raises ``ValueError`` with one clause that names the
    offending field, e.g. ``"emotion code '09' is not one of 01 … 08"``, or :class:`LeftOut`. ``table`` maps the corpus
    folder to one row per clip with the same columns, ``path`` below the corpus folder (where the sound lies or would
    lie), and optionally ``exclude_reason``; it raises :class:`~ser_utils.study.UserError` for a table that cannot be
    read. Rows whose file is not there stay in the manifest as :data:`MISSING`.

    ``hashes`` are published sums of the ``.wav`` files: one that differs was altered; copies in another format are not
    compared. A clip in ``defects`` gets that reason as its ``exclude_reason``, whatever its file is like.
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
    downloads: Callable[[], Sequence[Download]] | None = field(default=None, repr=False)  # what `data get` fetches
    steps: str = ""  # what a person has to do where `data get` cannot, in full sentences
    layout: str  # one line for people, e.g. "ravdess/Actor_01/03-01-01-01-01-01-01.wav"
    pattern: str  # glob below the corpus folder that finds the clips, e.g. "Actor_*/*"
    parse: Callable[[Path], dict[str, Any]] | None = field(default=None, repr=False)
    table: Callable[[Path], pd.DataFrame] | None = field(default=None, repr=False)
    n_clips: int  # official count; 0: nobody knows
    expected: Callable[[], frozenset[str]] | None = field(default=None, repr=False)  # clip_id of every official clip
    hashes: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)  # clip_id → sha256 of its .wav
    defects: Mapping[str, str] = field(default_factory=dict)  # clip_id of a bad official clip → why it is left out
    needs_sound: bool = False  # whether `table` is of no use, and stops a run, where no clip of it has a file
    tables: tuple[str, ...] = ()  # names of the files that `table` reads
    beside: tuple[str, ...] = ()  # globs below the corpus folder: files that belong to it and are not read
    n_speakers: int = 0
    emotions: tuple[str, ...] = ()
    split: str = "loso"  # the split that scores are published on
    folds: tuple[tuple[str, ...], ...] = ()  # published test speakers of each fold
    n_groups: int = 5  # folds of split speaker_groups and random
    leaks: tuple[str, ...] = ()  # kinds of leak that the split has by its nature, e.g. ("speaker",); reports say so
    synthesise: Callable[[Path], None] | None = field(default=None, repr=False)  # writes the clips into a new folder
    notes: Mapping[str, str] = field(default_factory=dict)
