"""Reading a corpus folder: labels from names or from a table, facts from audio, a finding for all that is not right."""

from __future__ import annotations

import difflib
import functools
import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ser_utils import study
from ser_utils.corpora import checks, facts
from ser_utils.corpora.base import (
    AUDIO_SUFFIXES,
    LABELS,
    MISSING,
    NOISE_COLUMNS,
    SPEECH_COLUMNS,
    Corpus,
    LeftOut,
    is_junk,
)
from ser_utils.corpora.finding import ACTIONS, LEFT_OUT, STOPS, Finding, notes
from ser_utils.corpora.probe import UNKNOWN


@dataclass(frozen=True)
class Scan:
    """A corpus as found: one row per clip, the findings, and what tells equal sound."""

    table: pd.DataFrame
    findings: list[Finding]
    sounds: dict[str, str] = field(repr=False)  # path → hash of the samples


@dataclass(frozen=True)
class Listing:
    """Clips of a corpus before any is decoded."""

    rows: list[dict[str, Any]]  # path, labels, exclude_reason
    findings: list[Finding]
    names: set[str]  # stems of all files that are there
    there: set[str]  # paths of rows that have a file


def scan(corpus: Corpus, root: Path, *, exclude: dict[str, str] | None = None) -> Scan:
    """Read every clip of `corpus` once: labels, duration, rate, hash, and whether it can be trusted.

    Parameters
    ----------
    corpus : Corpus
    root : Path
        Folder that holds ``<corpus.name>/``.
    exclude : dict, optional
        Path below `root` → reason. Such a clip is left out, whatever is wrong with it.

    Returns
    -------
    Scan
        Rows in order of path, or of the corpus's table, with an ``exclude_reason`` where a clip is not used. Files
        that stop a run have a finding and no row.

    Raises
    ------
    study.UserError
        When the folder holds no audio where the layout expects it, the table of the corpus cannot be read, or
        `exclude` names a file that is not there.
    """
    listing = (_by_names if corpus.table is None else _by_table)(corpus, root, exclude or {})
    known = facts.gather([row["path"] for row in listing.rows if row["path"] in listing.there], root, name=corpus.name)
    rows, found = [], listing.findings
    for row in listing.rows:
        fact = known.get(row["path"], UNKNOWN)
        row["exclude_reason"] = row["exclude_reason"] or corpus.defects.get(row["clip_id"], "")
        if row["exclude_reason"] not in ("", MISSING):
            found.append(Finding(corpus.name, row["path"], row["exclude_reason"], LEFT_OUT))
        if isinstance(fact, str) and not row["exclude_reason"]:
            found.append(Finding(corpus.name, row["path"], fact, STOPS, _advice(corpus)))
        else:
            rows.append(row | (UNKNOWN if isinstance(fact, str) else fact))
    columns = SPEECH_COLUMNS if corpus.kind == "speech" else NOISE_COLUMNS
    table = pd.DataFrame(rows, columns=list(columns | UNKNOWN)).astype(columns)
    found += checks.leave_out(table, corpus)
    found += checks.look_at(table, corpus, listing.names)
    sounds = dict(zip(table["path"], table["sound"], strict=True))
    return Scan(table[list(columns)], sorted(found, key=lambda finding: ACTIONS.index(finding.action)), sounds)


def _advice(corpus: Corpus) -> str:
    return f"replace the file, or name it with a reason under exclude: {corpus.name}: in the profile"


def _common(corpus: Corpus, path: str) -> dict[str, Any]:
    known = {"path": path, "corpus": corpus.name, "corpus_version": corpus.version, "licence": corpus.licence}
    return known | LABELS | {"language": corpus.language, "exclude_reason": ""}


def _excluded(corpus: Corpus, path: str, reason: str) -> Finding:
    return Finding(corpus.name, path, f"left out by the profile: {reason}", LEFT_OUT)


def _check_excluded(exclude: dict[str, str], paths: Iterable[str], corpus: Corpus) -> None:
    known = list(paths) if exclude else []
    for path in sorted(set(exclude) - set(known)):
        raise study.UserError(
            f"exclude: {corpus.name}: {path} matches no file of the corpus{nearest(path, known)}; mend the path in the "
            "profile, or delete the line"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The nearest known word, as part of a sentence; empty where none is near.

    Examples
    --------
    >>> nearest("ravdes", ["emodb", "ravdess"])
    ' (did you mean ravdess?)'
    """
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


# --- labels from names ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """Files below a corpus folder, as sorted paths below it; what belongs to the corpus and holds no clip is absent."""

    clips: list[str]  # audio where the layout has it, links to nothing included
    elsewhere: list[str]  # audio in other places
    others: list[str]  # what is no audio, where the layout has clips


def files(corpus: Corpus, folder: Path) -> Files:
    """What lies below the folder of `corpus`, told by name and suffix."""
    clip = _glob(corpus.pattern)
    found = Files([], [], [])
    for path in sorted(study.files_below(folder), key=lambda path: path.split("/")):
        if is_junk(path) or is_beside(corpus, path):
            continue
        here = clip.fullmatch(path) is not None
        if os.path.splitext(path)[1].lower() in AUDIO_SUFFIXES:
            (found.clips if here else found.elsewhere).append(path)
        elif here:
            found.others.append(path)
    return found


def is_beside(corpus: Corpus, path: str) -> bool:
    """Whether a path below a corpus folder is of a file that belongs to the corpus and is not read."""
    return any(_glob(pattern).fullmatch(path) for pattern in corpus.beside)


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """A glob such as ``**/wav/*`` as a regular expression over paths with forward slashes.

    Examples
    --------
    >>> [bool(_glob("**/wav/[01]*").fullmatch(path)) for path in ("wav/03.wav", "a/b/wav/03.wav", "wav/a/03.wav", "03")]
    [True, True, False, False]
    """
    words = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*|\?|\[[^]]+\])", pattern)
    return re.compile("".join(words.get(part, part if part[:1] == "[" else re.escape(part)) for part in parts))


def _check_layout(corpus: Corpus, folder: Path, found: Files) -> None:
    if found.clips:
        return
    seen = next(folder.rglob("*"), None)
    if seen is None:
        raise study.UserError(
            f"{folder}: the corpus folder is empty; put {corpus.title} there ({corpus.layout}, "
            f"from {corpus.address}) or remove the folder"
        )
    raise study.UserError(
        f"{folder}: wrong folder layout, no audio where {corpus.title} has it: expected {corpus.layout}, "
        f"found for example {seen.relative_to(folder.parent).as_posix()}; move the files to that layout"
    )


def _by_names(corpus: Corpus, root: Path, exclude: dict[str, str]) -> Listing:
    folder = root / corpus.name
    below = files(corpus, folder)
    _check_layout(corpus, folder, below)
    paths = _paths(corpus, below.clips)
    _check_excluded(exclude, paths, corpus)
    rows, found = [], []
    for path in paths:
        row = _excluded(corpus, path, exclude[path]) if path in exclude else _labels(corpus, path)
        (found if isinstance(row, Finding) else rows).append(row)
    unread = f"not read: its suffix is none of {', '.join(AUDIO_SUFFIXES)}"
    found += notes(corpus, ((path, unread) for path in _paths(corpus, below.others)), "more such files")
    outside = ((path, _why_elsewhere(corpus, path)) for path in _paths(corpus, below.elsewhere))
    found += notes(corpus, outside, "more such files")
    return Listing(rows, found, {_stem(path) for path in paths}, set(paths))


def _why_elsewhere(corpus: Corpus, path: str) -> str:
    """Why a file is not read that fits no pattern of the corpus: for its place, and for its name if that is wrong."""
    row = _labels(corpus, path)
    cause = f" ({row.problem})" if isinstance(row, Finding) else ""
    return f"not read: lies outside the layout {corpus.layout}{cause}"


def _paths(corpus: Corpus, below: list[str]) -> list[str]:
    return [f"{corpus.name}/{path}" for path in below]


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def _labels(corpus: Corpus, path: str) -> dict[str, Any] | Finding:
    try:
        return _common(corpus, path) | corpus.parse(Path(path.partition("/")[2]))
    except LeftOut as reason:
        return Finding(corpus.name, path, str(reason), LEFT_OUT)
    except ValueError as error:
        return Finding(corpus.name, path, str(error), STOPS, _advice(corpus))


# --- labels from a table ----------------------------------------------------------------------------------------


def _by_table(corpus: Corpus, root: Path, exclude: dict[str, str]) -> Listing:
    """Rows of the table; one whose file is not there is left out as :data:`MISSING`, unless it has another reason."""
    rows, found, there = [], [], set()
    listed = [_common(corpus, "") | row for row in corpus.table(root / corpus.name).to_dict("records")]
    for row in listed:
        row["path"] = posixpath.normpath(f"{corpus.name}/{row['path']}")
    _check_excluded(exclude, (row["path"] for row in listed), corpus)
    for row in listed:
        if row["path"] in exclude:
            found.append(_excluded(corpus, row["path"], exclude[row["path"]]))
            continue
        if os.path.isfile(f"{root}/{row['path']}"):
            there.add(row["path"])
        elif not row["exclude_reason"]:
            row["exclude_reason"] = MISSING
        rows.append(row)
    found += _without_sound(corpus, rows, anything=bool(there))
    below = files(corpus, root / corpus.name)
    strange = sorted({*_paths(corpus, below.clips + below.elsewhere)} - {row["path"] for row in listed})
    unnamed = "not read: no row of the table names this file"
    found += notes(corpus, ((path, unnamed) for path in strange), "more such files")
    return Listing(rows, found, {_stem(path) for path in there}, there)


def _without_sound(corpus: Corpus, rows: list[dict[str, Any]], *, anything: bool) -> list[Finding]:
    """One note that counts the clips whose sound is not there; their names too where `anything` is.

    Where nothing is and the corpus needs it, that stops a run.
    """
    missing = [row["path"] for row in rows if row["exclude_reason"] == MISSING]
    if not missing:
        return []
    problem = f"{MISSING}: {len(missing)} of {len(rows)} clips of the table have no file"
    if corpus.needs_sound and not anything:
        problem = (
            f"no sound found: none of the {len(rows)} clips of the table has a file, the first would be {missing[0]}"
        )
        return [Finding(corpus.name, corpus.name, problem, STOPS, "put the clips there, or mend the table's paths")]
    count = notes(corpus, [(corpus.name, problem)], "", advice=f"the layout is {corpus.layout}")
    if not anything:
        return count
    return count + notes(corpus, ((path, "missing: no such file") for path in missing), "more are missing")
