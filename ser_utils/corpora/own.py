"""A user's own corpus: a table of paths and emotions beside the sound, named in the profile.

Everything about it can be left out of the profile but its name: columns and common names of emotions are recognised.
"""

from __future__ import annotations

import functools
import json
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ser_utils import study
from ser_utils.corpora import tabular
from ser_utils.corpora.base import AUDIO_SUFFIXES, EMOTIONS, LABELS, Corpus
from ser_utils.corpora.scan import nearest

SETTINGS: dict[str, tuple[type, str]] = {  # setting → type, what to write instead of something else
    "file": (str, "the name of the table, such as labels.csv"),
    "audio": (str, "the folder that its paths start from, such as clips"),
    "columns": (dict, "'what: column' lines, such as path: Filename"),
    "emotions": (dict, "'label: emotion' lines, such as Excited: happy"),
    "language": (str, "an ISO 639-1 code in quotes, such as 'en'"),
    "licence": (str, "a text"),
    "title": (str, "a text, in quotes where it looks like a number"),
}
COLUMNS = {  # what is read → names that a column of it may have, the first that is there
    "path": ("path", "filename", "file", "filepath", "audiopath", "wav", "audio", "clip"),
    "emotion": ("emotion", "emotions", "emotionlabel", "label", "class", "category"),
    "speaker": ("speaker", "speakerid", "spk", "actor", "actorid", "subject", "subjectid"),
    "text": ("text", "transcript", "transcription", "utterance"),
    "sentence": ("sentence", "sentenceid"),
    "gender": ("gender", "sex"),
    "split": ("split", "set", "subset", "partition", "part", "fold"),
    "dialogue": ("dialogue", "dialogueid", "conversation"),
    "intensity": ("intensity",),
    "language": ("language", "lang"),
}
NEEDED = ("path", "emotion")
SYNONYMS = {
    "angry": ("anger", "ang", "rage"),
    "calm": ("calmness",),
    "disgust": ("disgusted", "dis"),
    "fear": ("fearful", "afraid", "scared", "fea"),
    "happy": ("happiness", "joy", "joyful", "hap"),
    "neutral": ("neutrality", "neu"),
    "sad": ("sadness",),
    "surprise": ("surprised", "pleasantsurprise", "pleasantsurprised", "ps", "sur"),
    "boredom": ("bored", "bor"),
}
GENDERS = {"female": ("f", "female", "w", "woman"), "male": ("m", "male", "man")}
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}
MAX_LOSO = 12  # speakers; with more, groups of speakers keep the number of folds small
UNCHECKED = "speakers are unknown: speaker independence cannot be checked, and scores may come from known speakers"


def entry(name: str, settings: Mapping[str, Any] | None, data: Path, *, registered: Collection[str] = ()) -> Corpus:
    """Entry of a corpus that the profile describes under ``tables``.

    Parameters
    ----------
    name : str
        Folder below `data`, and the corpus in every table and report.
    settings : mapping or None
        With any of the keys of :data:`SETTINGS`.
    data : Path
        Folder that holds ``<name>/``.
    registered : collection of str
        Names that the study's own corpora have.

    Returns
    -------
    Corpus
        With ``table``; its split, speakers and emotions are those of the table. Without ``<name>/`` it has none, and
        only ``table`` raises.

    Raises
    ------
    study.UserError
        For a name that is taken or cannot serve, a setting that is unknown or of the wrong type, and a table that is
        missing, cannot be read, lacks a column, or holds an unknown emotion, a path that leads out of the folder, or
        two emotions for one path.
    """
    settings = check(name, settings, registered=registered)
    known = {
        "name": name,
        "title": settings.get("title", f"{name} (own table)"),
        "language": settings.get("language", ""),
        "licence": settings.get("licence", "not stated"),
        "citation": "",
        "address": "",
        "layout": f"{name}/{settings.get('file', '<table>.csv')} and the clips that it names",
        "pattern": "**/*",
        "table": functools.partial(_table, name=name, settings=settings),
        "n_clips": 0,
    }
    if not (data / name).is_dir():
        return Corpus(version="absent", **known)
    file, labels = _labels(data / name, name=name, settings=settings)
    used = labels[labels["exclude_reason"] == ""]
    return Corpus(
        version=f"table {study.sha256(file)[:8]}",
        emotions=tuple(emotion for emotion in EMOTIONS if emotion in set(used["emotion"])),
        **(known | _speakers(used) | {"notes": dict(labels.attrs["notes"]) | _speakers(used)["notes"]}),
    )


# --- settings ---------------------------------------------------------------------------------------------------


def check(name: str, settings: Mapping[str, Any] | None, *, registered: Collection[str] = ()) -> dict[str, Any]:
    """Settings that have a value; refuses a name that cannot serve and settings that cannot be meant, reads no table.

    Raises
    ------
    study.UserError
    """
    settings = {key: value for key, value in (settings or {}).items() if value is not None}
    _check_name(name, registered)
    _check_settings(name, settings)
    return settings


def _check_name(name: str, registered: Collection[str]) -> None:
    if name in registered:
        raise study.UserError(
            f"tables: {name} is the name of a corpus that the study knows; give your own another name"
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise study.UserError(
            f"tables: '{name}' cannot name a corpus; write lower-case letters, digits, _ and - only, such as mine"
        )


def _check_settings(name: str, settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if key not in SETTINGS:
            raise study.UserError(
                f"tables: {name}: unknown setting '{key}'{nearest(key, SETTINGS)}; known settings are "
                f"{', '.join(SETTINGS)}"
            )
        kind, advice = SETTINGS[key]
        if type(value) is not kind:
            raise study.UserError(f"tables: {name}: {key} is {json.dumps(value, default=str)}; write {advice}")
    for key in ("file", "audio"):
        if _outside(_below(settings.get(key, ""))):
            raise study.UserError(
                f"tables: {name}: {key} {settings[key]} leads out of the corpus folder; write a path below it"
            )
    _check_columns(name, settings.get("columns", {}))
    for label, emotion in settings.get("emotions", {}).items():
        if emotion is not None and emotion not in EMOTIONS:
            raise study.UserError(
                f"tables: {name}: emotions: {label} is {emotion!r}, which is no emotion"
                f"{nearest(str(emotion), EMOTIONS)}; write one of {', '.join(EMOTIONS)}, or null to leave its clips out"
            )


def _check_columns(name: str, columns: Mapping[str, Any]) -> None:
    for role, column in columns.items():
        if role not in COLUMNS:
            raise study.UserError(
                f"tables: {name}: columns: '{role}' is not read{nearest(str(role), COLUMNS)}; known are "
                f"{', '.join(COLUMNS)}"
            )
        if not isinstance(column, str):
            raise study.UserError(f"tables: {name}: columns: {role} is {column!r}; write the column's name in quotes")


def _plain(text: str) -> str:
    """A name as it is compared: case, spaces, ``_`` and other signs do not count."""
    return re.sub(r"[\W_]", "", str(text).casefold())


# --- labels -----------------------------------------------------------------------------------------------------


def _labels(folder: Path, *, name: str, settings: Mapping[str, Any]) -> tuple[Path, pd.DataFrame]:
    """File of the table, and its rows with manifest labels; ``path`` as written, below the corpus folder.

    The index is the line; ``attrs["notes"]`` says what was left out of the table.
    """
    hint = f"'file: <name>' under tables: {name}: in the profile"
    file = tabular.find(folder, wanted=settings.get("file", ""), hint=hint)
    raw = tabular.read(file)
    columns = _columns(raw, file, name, settings.get("columns", {}))
    found = pd.DataFrame({role: raw[column] for role, column in columns.items()}, index=raw.index)
    rows = pd.DataFrame(index=raw.index).assign(**({"speaker": ""} | LABELS))
    emotions, known = _emotions(found["emotion"], file, name, settings.get("emotions", {}))
    rows = rows.assign(emotion=emotions, emotion_raw=found["emotion"], path=_paths(found["path"], file, settings))
    for role in ("speaker", "text", "sentence", "dialogue", "intensity", "language"):
        if role in found:
            rows[role] = found[role]
    if "language" in rows:
        rows["language"] = rows["language"].where(rows["language"] != "", settings.get("language", ""))
    rows["speaker"] = rows["speaker"].map(lambda who: f"{name}_{who}" if who else "")
    rows["gender"] = _translated(found, "gender", GENDERS, "unknown")
    rows["split"], notes = _parts(found, columns, file, chosen="split" in settings.get("columns", {}))
    rows["exclude_reason"] = _reasons(rows, known)
    rows, twice = _once(rows, file)
    rows.attrs["notes"] = notes | twice
    return file, rows


def _columns(raw: pd.DataFrame, file: Path, name: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """What is read → column of the table."""
    plain: dict[str, list[str]] = defaultdict(list)
    for column in raw.columns:
        plain[_plain(column)].append(column)
    there = f"its columns are {', '.join(raw.columns)}"
    found = {}
    for role, aliases in COLUMNS.items():
        wanted = [chosen[role]] if role in chosen else aliases
        match = next((plain[_plain(alias)] for alias in wanted if _plain(alias) in plain), [])
        if len(match) > 1:
            raise study.UserError(f"{file}: {len(match)} columns are called {match[0]}; rename all but one")
        if role in chosen and not match:
            raise study.UserError(
                f"{file}: column '{chosen[role]}' does not exist{nearest(chosen[role], raw.columns)}; "
                f"{there}; mend tables: {name}: columns: {role}: in the profile"
            )
        if role in NEEDED and not match:
            raise study.UserError(
                f"{file}: no column for {role}; {there}; write '{role}: <column>' under tables: {name}: "
                "columns: in the profile"
            )
        found |= {role: match[0]} if match else {}
    return found


def _emotions(
    labels: pd.Series, file: Path, name: str, chosen: Mapping[str, str | None]
) -> tuple[pd.Series, dict[str, str | None]]:
    """Emotion of each label, empty where its clips are left out; and the dictionary."""
    known: dict[str, str | None] = {_plain(e): e for e in EMOTIONS}
    known |= {word: emotion for emotion, words in SYNONYMS.items() for word in words}
    occurring = {_plain(label): label for label in labels}
    for label in chosen:
        if _plain(label) not in occurring:
            raise study.UserError(
                f"tables: {name}: emotions: label '{label}' occurs nowhere in {file}"
                f"{nearest(str(label), set(labels) - {''})}; mend the line, or delete it"
            )
    known |= {"": None} | {_plain(label): emotion for label, emotion in chosen.items()}
    plain = labels.map(_plain)
    counts = labels[~plain.isin(known)].value_counts()
    if len(counts):
        listed = ", ".join(f"'{label}' ({n} {'clip' if n == 1 else 'clips'})" for label, n in counts.items())
        raise study.UserError(
            f"{file}: unknown emotions: {listed}; write each under tables: {name}: emotions: in the profile, such as "
            f"'{counts.index[0]}: happy' (one of {', '.join(EMOTIONS)}), or '{counts.index[0]}: null' to leave its "
            "clips out"
        )
    return plain.map(lambda word: known[word] or "").astype("str"), known


def _reasons(rows: pd.DataFrame, known: Mapping[str, str | None]) -> list[str]:
    """Why a row is not used; empty where it is."""
    named, divided = (rows["speaker"] != "").any(), (rows["split"] != "").any()

    def reason(row: Any) -> str:
        if not row.emotion:
            what = f"emotion '{row.emotion_raw}' is not used" if row.emotion_raw else "the table gives no emotion"
            return f"left out by the profile: {what}" if row.emotion_raw else what
        if named and not row.speaker:
            return "the table gives no speaker"
        return "the table gives no part of the split" if divided and not row.split else ""

    return [reason(row) for row in rows.itertuples()]


def _translated(found: pd.DataFrame, role: str, words: Mapping[str, Collection[str]], other: str) -> pd.Series:
    known = {word: value for value, names in words.items() for word in names}
    column = found[role] if role in found else pd.Series("", index=found.index)
    return column.map(lambda text: known.get(_plain(text), other)).astype("str")


def _parts(
    found: pd.DataFrame, columns: Mapping[str, str], file: Path, *, chosen: bool
) -> tuple[pd.Series, dict[str, str]]:
    """Official part of each row, and a note where a column that looked like parts holds something else."""
    parts = _translated(found, "split", PARTS, "")
    strange = sorted(set(found["split"][parts == ""]) - {""}) if "split" in found else []
    if "split" not in found or (not strange and {"train", "test"} <= set(parts)):
        return parts, {}
    held = f"column '{columns['split']}' holds {', '.join(sorted(set(found['split']) - {''})[:5]) or 'nothing'}"
    if chosen:
        raise study.UserError(f"{file}: {held}; a split takes train and test, and perhaps validation")
    return pd.Series("", index=found.index), {"split": f"{held}, not train and test: it is not used as a split"}


def _once(rows: pd.DataFrame, file: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """One row per path; rows that repeat a path under another emotion or speaker cannot both be right."""
    for path, same in rows[rows.duplicated("path", keep=False)].groupby("path", sort=False):
        for what in ("emotion", "speaker"):
            values = same[what].unique()
            if len(values) > 1:
                lines = ", ".join(map(str, same.index))
                raise study.UserError(
                    f"{file}, lines {lines}: {path} is labelled {' and '.join(values)}; keep one of them"
                )
    twice = rows.duplicated("path")
    count = int(twice.sum())
    repeat = "1 row repeats" if count == 1 else f"{count} rows repeat"
    note = {"duplicates": f"{repeat} a path with the same label; each path counts once"}
    return rows[~twice], note if count else {}


# --- split ------------------------------------------------------------------------------------------------------


def _speakers(used: pd.DataFrame) -> dict[str, Any]:
    """How scores are published: split, kinds of leak that it has, number of speakers, and what a reader must know."""
    names = sorted(set(used["speaker"]) - {""})
    known = {"n_speakers": len(names), "leaks": (), "notes": {}}
    leaky = known | {"leaks": ("speaker",)}
    if (used["split"] != "").any():
        train, test = (set(used.loc[used["split"] == part, "speaker"]) for part in ("train", "test"))
        if not names:
            return leaky | {"split": "published", "notes": {"speakers": UNCHECKED}}
        shared = f"{len(train & test)} speakers occur in train and in test: scores are those of known speakers"
        return (leaky | {"notes": {"speakers": shared}} if train & test else known) | {"split": "published"}
    if not names:
        return leaky | {"split": "random", "notes": {"speakers": UNCHECKED}}
    if len(names) == 1:
        return leaky | {"split": "random", "notes": {"speakers": "one speaker: scores are those of a known speaker"}}
    return known | {"split": "loso" if len(names) <= MAX_LOSO else "speaker_groups"}


# --- paths ------------------------------------------------------------------------------------------------------


def _below(path: str) -> str:
    """A path with forward slashes and without detours."""
    return posixpath.normpath(path.replace("\\", "/")) if path else ""


def _absolute(path: str) -> bool:
    return re.match(r"[\\/]|[A-Za-z]:", path) is not None


def _outside(path: str) -> bool:
    return _absolute(path) or path.split("/")[0] == ".."


def _paths(written: pd.Series, file: Path, settings: Mapping[str, Any]) -> pd.Series:
    """Paths below the corpus folder, as written."""
    base = _base(settings)
    paths = written.map(lambda path: path if _absolute(path) else _below(f"{base}/{path}"))
    for line, path in written.items():
        if not path:
            raise study.UserError(f"{file}, line {line}: the path is empty; write one, or delete the line")
        if _outside(paths[line]):
            raise study.UserError(
                f"{file}, line {line}: path {path} leads out of the corpus folder; put the clips into that folder and "
                "write paths relative to the table, or to the folder named by audio: in the profile"
            )
    return paths


def _base(settings: Mapping[str, Any]) -> str:
    """Folder that paths start from, below the corpus folder."""
    return _below(settings.get("audio") or posixpath.dirname(_below(settings.get("file", ""))) or ".")


def _table(folder: Path, *, name: str, settings: Mapping[str, Any]) -> pd.DataFrame:
    """What :attr:`Corpus.table` promises, with the path of the file that each row means."""
    if not folder.is_dir():
        raise study.UserError(f"{folder}: no such folder; put the table and its clips there")
    file, rows = _labels(folder, name=name, settings=settings)
    locate = _finder(folder, _base(settings))
    rows["path"] = [locate(path, f"{file}, line {line}") for line, path in rows["path"].items()]
    for path, same in rows[rows.duplicated("path", keep=False)].groupby("path", sort=False):
        raise study.UserError(f"{file}, lines {', '.join(map(str, same.index))}: all mean {path}; keep one of them")
    stems = rows["path"].map(lambda path: os.path.splitext(path)[0])
    names = [stems.map(posixpath.basename), stems, rows["path"]]
    rows["clip_id"] = next(ids for ids in names if ids.is_unique)
    return rows.reset_index(drop=True)


def _finder(folder: Path, base: str) -> Callable[[str, str], str]:
    """A function from a path as written to the path of the file: case and a missing suffix do not count.

    A bare name is looked for in all folders below `base`. A path that fits no file stays as it is.
    """
    here, found = set(), defaultdict(set)
    for path in study.files_below(folder):
        if os.path.splitext(path)[1].lower() in AUDIO_SUFFIXES:
            here.add(path)
            for key in {path.casefold(), os.path.splitext(path)[0].casefold()}:
                found[key].add(path)
                if base == "." or path.startswith(f"{base}/"):
                    found[f"*/{posixpath.basename(key)}"].add(path)

    def locate(path: str, where: str) -> str:
        if path in here:
            return path
        bare = posixpath.dirname(path) in ("" if base == "." else base,)
        fits = found.get(path.casefold()) or (found.get(f"*/{posixpath.basename(path).casefold()}") if bare else None)
        if fits and len(fits) > 1:
            raise study.UserError(f"{where}: {path} fits {' and '.join(sorted(fits))}; write the whole path")
        return next(iter(fits)) if fits else path

    return locate
