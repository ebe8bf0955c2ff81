"""Reading a corpus folder: labels from names, facts from audio, a finding for each file that is not as promised."""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile as sf

from ser_utils import study
from ser_utils.corpora.base import AUDIO_SUFFIXES, LABELS, NOISE_COLUMNS, SPEECH_COLUMNS, Corpus, LeftOut

SILENT_PEAK = 10 ** (-60 / 20)  # full scale is 1: a clip that never rises above −60 dBFS holds no speech
LFS_POINTER = b"version https://git-lfs"
STOPS = "stops the run"
LEFT_OUT = "clip left out"
NOTE = "note"
NAMED = 20  # files of one kind that notes name one by one


@dataclass(frozen=True)
class Finding:
    """One thing about one file (or a whole corpus) that a reader must know."""

    corpus: str
    path: str
    problem: str
    action: str  # STOPS | LEFT_OUT | NOTE
    advice: str = ""

    def sentence(self) -> str:
        return f"{self.path}: {self.problem}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Scan:
    """A corpus as found: one row per clip, and the findings."""

    table: pd.DataFrame
    findings: list[Finding]


def files(corpus: Corpus, root: Path) -> tuple[list[Path], list[Path]]:
    """Files of `corpus` below ``root/<name>`` by their suffix: audio, links to nothing included, and others; sorted.

    Raises
    ------
    study.UserError
        When the folder holds no audio where the layout expects it.
    """
    folder = root / corpus.name
    found = sorted(file for file in folder.glob(corpus.pattern) if not file.is_dir())
    sounds = [file for file in found if file.suffix.lower() in AUDIO_SUFFIXES]
    if sounds:
        return sounds, [file for file in found if file.suffix.lower() not in AUDIO_SUFFIXES]
    if not any(folder.iterdir()):
        raise study.UserError(
            f"{folder}: the corpus folder is empty; put {corpus.title} there ({corpus.layout}, "
            f"from {corpus.address}) or remove the folder"
        )
    seen = next(folder.rglob("*")).relative_to(root).as_posix()
    raise study.UserError(
        f"{folder}: wrong folder layout, no audio where {corpus.title} has it: expected {corpus.layout}, "
        f"found for example {seen}; move the files to that layout"
    )


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
        Rows in order of path, with an ``exclude_reason`` where a clip is not used. Files that stop a run have a
        finding and no row.

    Raises
    ------
    study.UserError
        When the folder holds no audio where the layout expects it, or `exclude` names a file that is not there.
    """
    paths, others = files(corpus, root)
    exclude = exclude or {}
    _check_excluded(exclude, [path.relative_to(root).as_posix() for path in paths], corpus)
    read = functools.partial(read_clip, corpus=corpus, root=root, exclude=exclude)
    results = study.pmap(read, paths, desc=f"checking {corpus.name}")
    findings = [result for result in results if isinstance(result, Finding) and result.action != LEFT_OUT]
    findings += [result for result in results if isinstance(result, Finding) and result.action == LEFT_OUT]
    columns = SPEECH_COLUMNS if corpus.kind == "speech" else NOISE_COLUMNS
    rows = [result for result in results if isinstance(result, dict)]
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    table, duplicates = _mark_duplicates(table, corpus)
    silent = table["exclude_reason"].str.startswith("silent")
    left_out = [Finding(corpus.name, row.path, row.exclude_reason, LEFT_OUT) for row in table[silent].itertuples()]
    notes = _counts(table, corpus) + _unlisted(table, {path.stem for path in paths}, corpus)
    unread = f"not read: its suffix is none of {', '.join(AUDIO_SUFFIXES)}"
    notes += _named((path.relative_to(root).as_posix() for path in others), unread, "more such files", corpus)
    return Scan(table, findings + left_out + duplicates + notes)


def _check_excluded(exclude: dict[str, str], paths: list[str], corpus: Corpus) -> None:
    for path in sorted(set(exclude) - set(paths)):
        raise study.UserError(
            f"exclude: {corpus.name}: {path} matches no file of the corpus{nearest(path, paths)}; mend the path in the "
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


def read_clip(path: Path, *, corpus: Corpus, root: Path, exclude: dict[str, str]) -> dict[str, Any] | Finding:
    """Manifest row of one file, or the finding that stops it."""
    relative = path.relative_to(root).as_posix()
    if relative in exclude:
        return Finding(corpus.name, relative, f"left out by the profile: {exclude[relative]}", LEFT_OUT)
    try:
        labels = corpus.parse(path.relative_to(root / corpus.name))
        audio = probe(path)
    except LeftOut as reason:
        return Finding(corpus.name, relative, str(reason), LEFT_OUT)
    except (ValueError, OSError) as error:
        advice = f"replace the file, or name it with a reason under exclude: {corpus.name}: in the profile"
        problem = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        if path.is_symlink() and not path.exists():
            problem = f"a link to a file that does not exist ({os.readlink(path)})"
        return Finding(corpus.name, relative, problem, STOPS, advice)
    common = {"path": relative, "corpus": corpus.name, "corpus_version": corpus.version, "licence": corpus.licence}
    return common | LABELS | {"language": corpus.language} | labels | audio


def probe(path: Path) -> dict[str, Any]:
    """Decode a file once and state its facts.

    Returns
    -------
    dict with ``duration_s, sample_rate`` (Hz), ``channels, sha256`` and ``exclude_reason`` (empty, or silent).

    Raises
    ------
    ValueError
        With one clause that says why the file cannot be used: empty, text pointer, truncated, unreadable, not finite.
    """
    data = path.read_bytes()
    if not data:
        raise ValueError("the file has 0 bytes")
    if data.startswith(LFS_POINTER):
        raise ValueError("a git-lfs text pointer, not audio (fetch the content with `git lfs pull`)")
    promised = int.from_bytes(data[4:8], "little") + 8 if data[:4] == b"RIFF" else 0
    if len(data) < promised < 0xFFFFFFFF:
        raise ValueError(f"truncated: its header promises {promised} bytes, the file has {len(data)}")
    try:
        with sf.SoundFile(os.fspath(path)) as file:
            samples = file.read(dtype="float32", always_2d=True)
            frames, sample_rate = file.frames, file.samplerate
    except sf.LibsndfileError as error:
        raise ValueError(f"not readable as audio ({error.error_string.strip().rstrip('.')})") from error
    if len(samples) < frames or not len(samples):
        raise ValueError(f"truncated: its header promises {frames} samples, {len(samples)} could be decoded")
    if not np.isfinite(samples).all():
        raise ValueError("holds samples that are not finite numbers")
    peak = float(np.abs(samples).max())
    return {
        "duration_s": len(samples) / sample_rate,
        "sample_rate": sample_rate,
        "channels": samples.shape[1],
        "level_dbfs": 10 * np.log10(max(float(np.mean(samples**2)), 1e-12)),
        "peak_dbfs": 20 * np.log10(max(peak, 1e-6)),
        "dc_offset": float(samples.mean()),
        "clipped_share": float((np.abs(samples) >= max(peak, 0.5)).mean()),
        "sha256": hashlib.sha256(data).hexdigest(),
        "exclude_reason": "" if peak >= SILENT_PEAK else "silent: its peak is below -60 dBFS",
    }


def _mark_duplicates(table: pd.DataFrame, corpus: Corpus) -> tuple[pd.DataFrame, list[Finding]]:
    """Leave out copies of a clip; copies under other labels stop the run, since one of the labels is wrong."""
    findings = []
    labels = ("emotion", "speaker") if corpus.kind == "speech" else ("noise_class",)
    table = table.copy()
    for column, what in (("sha256", "same audio as"), ("clip_id", "same name as")):
        used = table[table["exclude_reason"] == ""]
        first = used.drop_duplicates(column).set_index(column)
        for row in used[used.duplicated(column)].itertuples():
            twin = first.loc[getattr(row, column)]
            problem, ours = f"{what} {twin['path']}", row._asdict()
            wrong = [f"labelled {ours[name]} instead of {twin[name]}" for name in labels if ours[name] != twin[name]]
            if wrong:
                problem += f", but {' and '.join(wrong)}"
                findings.append(Finding(corpus.name, row.path, problem, STOPS, "exclude the wrong one in the profile"))
            else:
                table.loc[row.Index, "exclude_reason"] = problem
                findings.append(Finding(corpus.name, row.path, problem, LEFT_OUT))
    return table, findings


def _counts(table: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    used = int((table["exclude_reason"] == "").sum())
    if used == corpus.n_clips:
        return []
    return [Finding(corpus.name, corpus.name, f"{used} of the {corpus.n_clips} official clips are used", NOTE)]


def _unlisted(table: pd.DataFrame, found: set[str], corpus: Corpus) -> list[Finding]:
    """Official clips that are not there, and clips that the official list does not know; `found` are names of files."""
    if corpus.expected is None:
        return []
    official, clips = corpus.expected(), set(table["clip_id"])
    missing = _named(
        sorted(official - clips - found), "missing: an official clip without a file", "more are missing", corpus
    )
    extra = table[~table["clip_id"].isin(official)]["path"]
    return missing + _named(extra, "extra: not an official clip", "more are extra", corpus)


def _named(names: Iterable[str], problem: str, kind: str, corpus: Corpus) -> list[Finding]:
    """One note per name, and after the first :data:`NAMED` one that counts the rest."""
    names = list(names)
    notes = [Finding(corpus.name, name, problem, NOTE) for name in names[:NAMED]]
    rest = len(names) - len(notes)
    return notes + ([Finding(corpus.name, corpus.name, f"… and {rest} {kind}", NOTE)] if rest else [])
