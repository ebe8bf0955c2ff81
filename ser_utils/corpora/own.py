"""A user's own corpus: a table of paths and emotions beside the sound, named in the profile.

Everything about it can be left out of the profile but its name: columns and common names of emotions are recognised.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ser_utils import study
from ser_utils.corpora import locate, tabular, words
from ser_utils.corpora.base import EMOTIONS, LABELS, Corpus
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
        "needs_sound": True,
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
        if locate.leads_out(locate.tidy(settings.get(key, ""))):
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
        if role not in words.COLUMNS:
            raise study.UserError(
                f"tables: {name}: columns: '{role}' is not read{nearest(str(role), words.COLUMNS)}; known are "
                f"{', '.join(words.COLUMNS)}"
            )
        if column is None and role in words.NEEDED:
            raise study.UserError(f"tables: {name}: columns: {role} is null, but is needed; write the column's name")
        if column is not None and not isinstance(column, str):
            raise study.UserError(
                f"tables: {name}: columns: {role} is {column!r}; write the column's name in quotes, or null"
            )


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
    emotions, unused = _emotions(found["emotion"], file, name, settings.get("emotions", {}))
    rows = rows.assign(
        emotion=emotions, emotion_raw=found["emotion"], path=locate.paths(found["path"], file, _base(settings))
    )
    for role in ("speaker", "text", "sentence", "dialogue", "intensity", "language"):
        if role in found:
            rows[role] = found[role]
    if "language" in rows:
        rows["language"] = rows["language"].where(rows["language"] != "", settings.get("language", ""))
    words.check_speakers(rows["speaker"], f"{file}: column '{columns.get('speaker', '')}'")
    who = rows["speaker"]
    rows["speaker"] = [f"{name}_{speaker}" if not words.names_nobody(speaker) else "" for speaker in who]
    rows["gender"] = _translated(found, "gender", words.GENDERS, "unknown")
    rows["split"], notes = _parts(found, columns, file, chosen=bool(settings.get("columns", {}).get("split")))
    rows["exclude_reason"] = [emotion or other for emotion, other in zip(unused, _reasons(rows, who), strict=True)]
    rows, twice = _once(rows, file)
    rows.attrs["notes"] = notes | twice
    return file, rows


def _columns(raw: pd.DataFrame, file: Path, name: str, chosen: Mapping[str, str | None]) -> dict[str, str]:
    """What is read → column of the table; without what the profile switches off."""
    plain: dict[str, list[str]] = defaultdict(list)
    for column in raw.columns:
        plain[words.plain(column)].append(column)
    there = f"its columns are {', '.join(raw.columns)}"
    found = {}
    switched_off = {role for role, column in chosen.items() if column is None}
    for role, aliases in words.COLUMNS.items():
        if role in switched_off:
            continue
        wanted = [chosen[role]] if role in chosen else aliases
        match = next((plain[words.plain(alias)] for alias in wanted if words.plain(alias) in plain), [])
        if len(match) > 1:
            raise study.UserError(f"{file}: {len(match)} columns are called {match[0]}; rename all but one")
        if role in chosen and not match:
            raise study.UserError(
                f"{file}: column '{chosen[role]}' does not exist{nearest(chosen[role], raw.columns)}; "
                f"{there}; mend tables: {name}: columns: {role}: in the profile"
            )
        if role in words.NEEDED and not match:
            raise study.UserError(
                f"{file}: no column for {role}; {there}; write '{role}: <column>' under tables: {name}: "
                "columns: in the profile"
            )
        found |= {role: match[0]} if match else {}
    return found


def _emotions(
    labels: pd.Series, file: Path, name: str, chosen: Mapping[str, str | None]
) -> tuple[pd.Series, list[str]]:
    """Emotion of each label, empty where its clips are left out, and why they are."""
    keys = labels.map(_key)
    for label in chosen:
        if _key(label) not in set(keys):
            raise study.UserError(
                f"tables: {name}: emotions: label '{label}' occurs nowhere in {file}"
                f"{nearest(str(label), set(labels) - {''})}; mend the line, or delete it"
            )
    profile = {_key(label): emotion for label, emotion in chosen.items()}
    known: dict[str, str | None] = {words.plain(e): e for e in EMOTIONS}
    known |= {word: emotion for emotion, names in words.EMOTIONS.items() for word in names}
    known |= {key: None for key in keys if not words.plain(key)} | profile
    counts = labels[~keys.isin(known)].value_counts()
    if len(counts):
        listed = ", ".join(f"'{label}' ({n} {'clip' if n == 1 else 'clips'})" for label, n in counts.items())
        raise study.UserError(
            f"{file}: unknown emotions: {listed}; write each under tables: {name}: emotions: in the profile, such as "
            f"'{counts.index[0]}: happy' (one of {', '.join(EMOTIONS)}), or '{counts.index[0]}: null' to leave its "
            "clips out"
        )
    reasons = [
        "" if known[key]
        else f"left out by the profile: emotion '{label}' is not used" if key in profile
        else _gives_no("emotion", label)
        for key, label in zip(keys, labels, strict=True)
    ]  # fmt: skip
    return keys.map(lambda key: known[key] or "").astype("str"), reasons


def _key(label: str) -> str:
    """A label as it is compared; one of signs alone, such as ``-``, stays as it is."""
    return words.plain(label) or str(label).strip()


def _gives_no(what: str, written: str) -> str:
    return f"the table gives no {what}" + (f" ('{written}')" if written else "")


def _reasons(rows: pd.DataFrame, written: pd.Series) -> list[str]:
    """Why a row with an emotion is not used: other rows have a speaker, or a part of the split, and it has none."""
    named, divided = (rows["speaker"] != "").any(), (rows["split"] != "").any()

    def reason(speaker: str, split: str, who: str) -> str:
        if named and not speaker:
            return _gives_no("speaker", who)
        return "the table gives no part of the split" if divided and not split else ""

    return [reason(*row) for row in zip(rows["speaker"], rows["split"], written, strict=True)]


def _translated(found: pd.DataFrame, role: str, values: Mapping[str, Collection[str]], other: str) -> pd.Series:
    known = {word: value for value, names in values.items() for word in names}
    column = found[role] if role in found else pd.Series("", index=found.index)
    return column.map(lambda text: known.get(words.plain(text), other)).astype("str")


def _parts(
    found: pd.DataFrame, columns: Mapping[str, str], file: Path, *, chosen: bool
) -> tuple[pd.Series, dict[str, str]]:
    """Official part of each row, and a note where a column that looked like parts holds something else."""
    parts = _translated(found, "split", words.PARTS, "")
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
                    f"{file}, lines {lines}: {path} is labelled "
                    f"{' and '.join(value or f'no {what}' for value in values)}; keep one of them"
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


# --- files ------------------------------------------------------------------------------------------------------


def _base(settings: Mapping[str, Any]) -> str:
    """Folder that paths start from, below the corpus folder."""
    return locate.tidy(settings.get("audio") or posixpath.dirname(locate.tidy(settings.get("file", ""))) or ".")


def _table(folder: Path, *, name: str, settings: Mapping[str, Any]) -> pd.DataFrame:
    """What :attr:`Corpus.table` promises, with the path of the file that each row means."""
    if not folder.is_dir():
        raise study.UserError(f"{folder}: no such folder; put the table and its clips there")
    file, rows = _labels(folder, name=name, settings=settings)
    find = locate.finder(folder, _base(settings))
    rows["path"] = [find(path, f"{file}, line {line}") for line, path in rows["path"].items()]
    for path, same in rows[rows.duplicated("path", keep=False)].groupby("path", sort=False):
        raise study.UserError(f"{file}, lines {', '.join(map(str, same.index))}: all mean {path}; keep one of them")
    rows["clip_id"] = locate.clip_ids(rows["path"])
    return rows.reset_index(drop=True)
