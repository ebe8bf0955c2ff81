"""Checks of a corpus as a whole: copies, outliers, and what the official list holds; each gives findings by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from ser_utils.corpora.base import Corpus, LeftOut
from ser_utils.corpora.finding import LEFT_OUT, NOTE, STOPS, Finding, notes

CLIPPED_SHARE = 0.0005  # of the samples: 24 in three seconds at 16 kHz; less is not heard
DC_OFFSET = 0.01  # full scale is 1: −40 dBFS, above the noise floor of any recording worth using
FENCE = 3.0  # interquartile ranges beyond the quartiles: "far out" (Tukey 1977, Exploratory Data Analysis)
TOLERANCE = 1.25  # lengths within this factor of the quartiles are no outliers, however alike the others are
FEW = 3  # absent speakers or emotions that are named; more are counted
ENOUGH = 8  # clips that quartiles need


def leave_out(table: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    """Silent clips and copies: writes their ``exclude_reason`` into `table`, and says so."""
    silent = table.index[(table["exclude_reason"] == "") & table["silent"].astype(bool)]
    reason = "silent: its peak is below -60 dBFS"
    table.loc[silent, "exclude_reason"] = reason
    found = [Finding(corpus.name, path, reason, LEFT_OUT) for path in table.loc[silent, "path"]]
    return found + _copies(table, corpus)


def _copies(table: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    """Leave out copies of a clip; copies under other labels stop the run, since one of the labels is wrong."""
    found = []
    labels = ("emotion", "speaker") if corpus.kind == "speech" else ("noise_class",)
    for column, what in (("sound", "same audio as"), ("clip_id", "same name as")):
        used = table[table["exclude_reason"] == ""]
        again = used[used.duplicated(column)]
        if again.empty:
            continue
        first = used[used[column].isin(again[column])].drop_duplicates(column).set_index(column, drop=False)
        for row in again.itertuples():
            twin, ours = first.loc[getattr(row, column)], row._asdict()
            problem = f"{what} {twin['path']}{_kind_of_copy(ours, twin)}"
            wrong = [f"labelled {ours[name]} instead of {twin[name]}" for name in labels if ours[name] != twin[name]]
            if wrong:
                problem += f", but {' and '.join(wrong)}"
                found.append(Finding(corpus.name, row.path, problem, STOPS, "exclude the wrong one in the profile"))
            else:
                table.loc[row.Index, "exclude_reason"] = problem
                found.append(Finding(corpus.name, row.path, problem, LEFT_OUT))
    return found


def _kind_of_copy(ours: dict, twin: pd.Series) -> str:
    ways = []
    if ours["clip_id"] == twin["clip_id"] and PurePosixPath(ours["path"]).parent != PurePosixPath(twin["path"]).parent:
        ways.append("the same take in another folder")
    if ours["sha256"] != twin["sha256"]:
        ways.append("in another file format" if ours["sound"] == twin["sound"] else "with other sound")
    return f" ({', '.join(ways)})" if ways else ""


def across(tables: dict[str, pd.DataFrame], sounds: dict[str, dict[str, str]]) -> list[Finding]:
    """Leave out clips that an earlier corpus holds too, by content: writes ``exclude_reason``, and says so.

    Parameters
    ----------
    tables : dict
        Corpus → manifest rows; of equal clips the one of the first corpus is kept.
    sounds : dict
        Corpus → path → hash of the samples.
    """
    found, kept = [], {}
    for name, table in tables.items():
        used = table[table["exclude_reason"] == ""]
        labels = used["emotion"] if "emotion" in used else [""] * len(used)
        for index, path, emotion in zip(used.index, used["path"], labels, strict=True):
            first, twin, theirs = kept.setdefault(sounds[name][path], (name, path, emotion))
            if first == name:
                continue
            problem = f"same audio as {twin} of corpus {first}"
            problem += f", there labelled {theirs or 'noise'}, here {emotion or 'noise'}" if emotion != theirs else ""
            table.loc[index, "exclude_reason"] = problem
            found.append(Finding(name, path, problem, LEFT_OUT))
    return found


# --- notes ------------------------------------------------------------------------------------------------------


def look_at(table: pd.DataFrame, corpus: Corpus, names: set[str]) -> list[Finding]:
    """Notes on clips that are used, and on what is missing; `names` are the stems of all files that are there."""
    used = table[table["exclude_reason"] == ""]
    return [
        *_counts(table, used, corpus),
        *_unlisted(table, names, corpus),
        *_altered(used, corpus),
        *_foreign(used, corpus),
        *_faults(used, corpus),
        *_lengths(used, corpus),
        *_forms(used, corpus),
    ]


def _pairs(rows: pd.DataFrame, column: str) -> Iterable[tuple[str, Any]]:
    return zip(rows["path"], rows[column], strict=True)


def _foreign(used: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    rows = used[used["foreign"] != ""]
    problems = (
        (path, f"wrong container: holds {kind} under {PurePosixPath(path).suffix}")
        for path, kind in _pairs(rows, "foreign")
    )
    return notes(corpus, problems, "more hold another container", advice="used, since it decodes")


def _faults(used: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    """Clipping and offset, the worst first."""
    clipped = used[used["clipped_share"] > CLIPPED_SHARE].sort_values("clipped_share", ascending=False)
    shares = (
        (path, f"clipped: {share:.2%} of its samples lie in flat tops")
        for path, share in _pairs(clipped, "clipped_share")
    )
    offset = used[used["dc_offset"].abs() > DC_OFFSET].sort_values("dc_offset", ascending=False, key=abs)
    means = (
        (path, f"DC offset: its samples average {mean:+.3f} of full scale")
        for path, mean in _pairs(offset, "dc_offset")
    )
    return notes(corpus, shares, "more are clipped") + notes(corpus, means, "more have a DC offset")


def _lengths(used: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    if len(used) < ENOUGH:
        return []
    logs = np.log(used["duration_s"])
    low, high = np.quantile(logs, [0.25, 0.75])
    margin = max(FENCE * (high - low), np.log(TOLERANCE))
    rows = used[(logs < low - margin) | (logs > high + margin)]
    usual = f"half of the clips last {np.exp(low):.2f} to {np.exp(high):.2f} s"
    problems = (
        (path, f"duration outlier: {length:.2f} s, where {usual}") for path, length in _pairs(rows, "duration_s")
    )
    return notes(corpus, problems, "more have an unusual duration")


def _forms(used: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    """Sampling rates other than the usual one, and more than one channel."""
    if used.empty:
        return []
    usual = int(used["sample_rate"].mode()[0])
    rates = used[used["sample_rate"] != usual]
    many = used[used["channels"] > 1]
    found = notes(
        corpus,
        ((path, f"sampling rate {rate} Hz, where {usual} Hz is usual") for path, rate in _pairs(rates, "sample_rate")),
        "more have another sampling rate",
    )
    if len(many) == len(used):
        return [
            *found,
            Finding(corpus.name, corpus.name, "all clips have more than one channel; they are averaged", NOTE),
        ]
    return found + notes(
        corpus,
        (
            (path, f"{channels} channels, where one is usual; they are averaged")
            for path, channels in _pairs(many, "channels")
        ),
        "more have several channels",
    )


def _altered(used: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    """Files under an official name whose content is not the published one."""
    if corpus.hashes is None:
        return []
    published = corpus.hashes()
    wavs = used[used["path"].str.lower().str.endswith(".wav")]
    altered = wavs[wavs["clip_id"].map(published).fillna(wavs["sha256"]) != wavs["sha256"]]
    problem = "altered: its sha256 is not the published one"
    return notes(corpus, ((path, problem) for path in altered["path"]), "more are altered", advice="fetch it again")


# --- what the official list holds -------------------------------------------------------------------------------


def _counts(table: pd.DataFrame, used: pd.DataFrame, corpus: Corpus) -> list[Finding]:
    if not corpus.n_clips or len(used) == corpus.n_clips or _no_sound(table):
        return []
    found = [f"{len(used)} of the {corpus.n_clips} official clips are used"]
    if corpus.expected is not None and corpus.parse is not None:
        found += _differences(used, corpus)
    return [Finding(corpus.name, corpus.name, problem, NOTE) for problem in found]


def _no_sound(table: pd.DataFrame) -> bool:
    """Whether there are clips and none has a file, which is told as a whole."""
    return len(table) > 0 and (table["sha256"] == "").all()


def _differences(used: pd.DataFrame, corpus: Corpus) -> Iterable[str]:
    """Clips per emotion and speaker that differ from the official list, compactly."""
    official = corpus.expected()
    used = used[used["clip_id"].isin(official)]
    unused = [_official(corpus, name) for name in official.difference(used["clip_id"])]
    for column in ("emotion", "speaker") if corpus.kind == "speech" else ("noise_class",):
        there, lacking = Counter(used[column]), Counter(row[column] for row in unused if row)
        absent = sorted(key for key in lacking if not there[key])
        few = absent if len(absent) <= FEW else []
        differ = sorted(key for key in lacking if there[key] or key in few)
        words = [f"{key}: {there[key]} of {there[key] + lacking[key]}" for key in differ]
        words += [f"none of {len(absent) - len(few)} more"] if len(absent) > len(few) else []
        if words:
            yield f"clips per {column.replace('_', ' ')}: {', '.join(words)}"


def _official(corpus: Corpus, name: str) -> dict:
    try:
        return corpus.parse(Path(f"{name}.wav"))
    except LeftOut:
        return {}


def _unlisted(table: pd.DataFrame, found: set[str], corpus: Corpus) -> list[Finding]:
    """Official clips that are not there, and clips that the official list does not know; `found` are names of files."""
    if corpus.expected is None or _no_sound(table):
        return []
    official, clips = corpus.expected(), set(table["clip_id"])
    gone = sorted(official - clips - found)
    missing = notes(corpus, ((name, "missing: an official clip without a file") for name in gone), "more are missing")
    extra = table[~table["clip_id"].isin(official)]["path"]
    return missing + notes(corpus, ((path, "extra: not an official clip") for path in extra), "more are extra")
