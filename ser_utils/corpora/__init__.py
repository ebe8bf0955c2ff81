"""Corpora: what they are, where they lie, and the manifest that everything else starts from.

One module per corpus holds its layout, label parser, licence, citation, address, expected counts and published folds.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ser_utils import study
from ser_utils.corpora import (
    checks,
    choice,
    cremad,
    demo,
    demo_noise,
    emodb,
    esc50,
    finding,
    meld,
    own,
    ravdess,
    savee,
    sealed,
    tess,
)
from ser_utils.corpora.base import EMOTIONS, NOISE_COLUMNS, SPEECH_COLUMNS, Corpus
from ser_utils.corpora.finding import NOTE, STOPS, Finding
from ser_utils.corpora.scan import Scan, scan

__all__ = [
    "CORPORA",
    "EMOTIONS",
    "audio_root",
    "build",
    "check",
    "check_report",
    "corpus",
    "findings",
    "load_manifest",
    "manifest",
    "noise_manifest",
    "present",
    "real",
    "usable",
    "validate",
]

_MODULES = (demo, ravdess, emodb, cremad, tess, savee, meld, demo_noise, esc50)
CORPORA: dict[str, Corpus] = {module.CORPUS.name: module.CORPUS for module in _MODULES}
MOST = 40  # lines of a message
_SETTINGS = ("corpora", "noise", "tables", "exclude", "max_clips_per_speaker_emotion")  # that shape a manifest


def corpus(name: str, profile: str | None = None) -> Corpus:
    """Entry of a corpus by name: one that `profile` describes under ``tables``, or else a registered one.

    Raises
    ------
    study.UserError
        For a name that is neither.
    """
    tables = study.load_profile(profile)["tables"] if profile else {}
    if name in tables:
        return own.entry(name, tables[name], study.paths(profile).data, registered=CORPORA)
    choice.known(name, [*CORPORA, *tables])
    return CORPORA[name]


def check(profile: str) -> None:
    """Refuse what a profile says of corpora and cannot mean, see :func:`choice.check`; reads no corpus."""
    choice.check(profile, CORPORA)


def real(profile: str) -> list[str]:
    """Names of the registered corpora that are not synthetic, and of those that `profile` describes under ``tables``.

    Examples
    --------
    >>> real("demo")
    ['ravdess', 'emodb', 'cremad', 'tess', 'savee', 'meld', 'esc50']
    """
    tables = study.load_profile(profile)["tables"]
    return list(dict.fromkeys([*(name for name, entry in CORPORA.items() if not entry.synthetic), *tables]))


def audio_root(name: str, profile: str) -> Path:
    """Folder that the paths of a manifest are relative to. A synthetic corpus is spoken on first use.

    Real corpora lie below ``$SER_DATA`` (default ``data/raw``), synthetic ones among the derived data of the profile.
    """
    entry = corpus(name, profile)
    places = study.paths(profile)
    if not entry.synthetic:
        return places.data
    return study.cached(
        places.derived / "corpora",
        _voice(entry),
        lambda: entry,
        save=lambda found, folder: found.synthesise(folder / found.name),
        load=lambda folder: folder,
    )


def _voice(entry: Corpus) -> dict[str, str]:
    """What the sound of a synthetic corpus depends on."""
    packages = study.environment("espeakng-loader", "numpy", "soxr")
    versions = {name: packages[name] for name in ("espeakng-loader", "numpy", "soxr")}
    return {"corpus": entry.name, "code": study.code_version(f"corpora.{entry.name}"), **versions}


def present(names: list[str], profile: str) -> list[str]:
    """Those of `names` that are synthetic, or have a folder below ``$SER_DATA``."""
    data, tables = study.paths(profile).data, study.load_profile(profile)["tables"]
    for name in names:
        choice.known(name, [*CORPORA, *tables])
    return [name for name in names if _synthetic(name) or (data / name).is_dir()]


def _synthetic(name: str) -> bool:
    return name in CORPORA and CORPORA[name].synthetic


def build(profile: str) -> None:
    """Check every corpus of a profile and write ``manifest.parquet``, ``noise.parquet`` and ``findings.parquet``.

    Raises
    ------
    study.UserError
        When :func:`check` refuses the profile, none of its corpora is present, `exclude` names what is not there, or a
        file stops the run: one line per file.
    """
    config = study.load_profile(profile)
    places = study.paths(profile)
    check(profile)
    inputs = _inputs(profile)
    names = present(config["corpora"], profile)
    if not names:
        raise study.UserError(
            f"none of the corpora {', '.join(config['corpora'])} has a folder in {places.data}; set SER_DATA to the "
            "folder that holds them, or read data/README.md for how to get them"
        )
    noise = present([config["noise"]], profile) if config["noise"] else []
    scans = {name: _scan(name, profile, config["exclude"].get(name, {})) for name in [*names, *noise]}
    found = _findings(scans)
    found += [
        Finding(name, name, f"absent: no folder {name} in the data folder", NOTE)
        for name in choice.wanted(config)
        if name not in scans
    ]
    _stop(found)
    speech = pd.concat([scans[name].table for name in names], ignore_index=True)
    speech = _limit(speech, config["max_clips_per_speaker_emotion"])
    empty = pd.DataFrame(columns=list(NOISE_COLUMNS)).astype(NOISE_COLUMNS)
    sounds = pd.concat([empty, *(scans[name].table for name in noise)], ignore_index=True)
    sealed.write(sounds, places.derived / "noise.parquet")
    sealed.write(finding.table(found), places.derived / "findings.parquet")
    sealed.write(speech, places.manifest, inputs=json.dumps(inputs))


def validate(names: list[str] | None = None, *, profile: str = "full") -> pd.DataFrame:
    """Findings for corpora, without building anything: columns ``corpus, path, problem, action, advice``.

    A clip that was altered but still decodes is found where the corpus publishes hashes; a change after the check is
    caught when features are extracted.

    Parameters
    ----------
    names : list of str, optional
        Corpora; all whose folder is there when not given.
    profile : str
        Whose ``tables`` are known too.

    Raises
    ------
    study.UserError
        For a name that is unknown or has no folder.
    """
    return finding.table(_findings(_check(names, profile)))


def check_report(names: list[str] | None = None, *, profile: str = "full") -> tuple[str, bool]:
    """What :func:`validate` finds, told to a person, and whether nothing stops a run."""
    scans = _check(names, profile)
    found = _findings(scans)
    text = finding.report(found, {name: result.table for name, result in scans.items()})
    return text, not any(item.action == STOPS for item in found)


def _check(names: list[str] | None, profile: str) -> dict[str, Scan]:
    data = study.paths(profile).data
    names = names or present(real(profile), profile)
    if not names:
        raise study.UserError(f"{data}: no corpus here; set SER_DATA, or read data/README.md")
    for name in sorted(set(names) - set(present(names, profile))):
        entry = corpus(name, profile)
        raise study.UserError(f"{data / name}: no such folder; {entry.title} is expected there as {entry.layout}")
    return {name: _scan_or_say(name, profile) for name in names}


def _scan_or_say(name: str, profile: str) -> Scan:
    """A corpus that cannot be read at all is a finding, so that the others are checked too."""
    try:
        return _scan(name, profile, {})
    except study.UserError as error:
        noise = name in CORPORA and CORPORA[name].kind == "noise"
        columns = NOISE_COLUMNS if noise else SPEECH_COLUMNS
        empty = pd.DataFrame(columns=list(columns)).astype(columns)
        return Scan(empty, [Finding(name, name, str(error), STOPS)], {})


def _scan(name: str, profile: str, exclude: dict[str, str]) -> Scan:
    entry = corpus(name, profile)
    found = scan(entry, audio_root(name, profile), exclude=exclude)
    own_notes = {} if name in CORPORA else entry.notes  # what was seen in a table; those of other corpora never change
    return replace(found, findings=[*found.findings, *(Finding(name, name, note, NOTE) for note in own_notes.values())])


def _findings(scans: dict[str, Scan]) -> list[Finding]:
    """Findings of each corpus, and of all together: clips that two corpora hold are left out of the later one."""
    found = [item for result in scans.values() for item in result.findings]
    tables = {name: result.table for name, result in scans.items()}
    return found + checks.across(tables, {name: result.sounds for name, result in scans.items()})


def _stop(found: list[Finding]) -> None:
    lines = finding.stopping(found)
    if lines:
        more = [f"… and {len(lines) - MOST} more lines; `./run_all.sh data check` has them all"]
        raise study.UserError("\n".join(lines[:MOST] + (more if len(lines) > MOST else [])))


def _limit(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Leave out what a small profile does not use, with that reason."""
    if not most:
        return table
    used = table[table["exclude_reason"] == ""]
    rank = used.groupby(["corpus", "speaker", "emotion"]).cumcount()
    table = table.copy()
    reason = f"left out by the profile: more than {most} per speaker and emotion"
    table.loc[used.index[rank >= most], "exclude_reason"] = reason
    return table


# --- files -------------------------------------------------------------------------------------------------------


def manifest(profile: str) -> pd.DataFrame:
    """Manifest of a profile, one row per clip; built first where there is none.

    Examples
    --------
    >>> clips = usable(manifest("demo"))  # doctest: +SKIP
    """
    _build_if_needed(profile)
    return load_manifest(study.paths(profile).manifest)


def noise_manifest(profile: str) -> pd.DataFrame:
    """Noise clips of a profile; empty when it has none."""
    _build_if_needed(profile)
    return load_manifest(study.paths(profile).derived / "noise.parquet", columns=NOISE_COLUMNS)


def _build_if_needed(profile: str) -> None:
    """Build where there is no manifest, or where it was made from other settings, files or synthetic voices."""
    file = study.paths(profile).manifest
    if file.is_file() and not _outdated(file, profile):
        return
    build(profile)


def _outdated(file: Path, profile: str) -> bool:
    about = sealed.about(file)
    if about is None:
        return False  # load_manifest says what is wrong with it
    then, now = json.loads(about.get("inputs", "{}")), _inputs(profile)
    gone = then.keys() - now.keys()  # corpora that are no longer at hand; their clips were checked
    return then != now | {name: then[name] for name in gone}


def _inputs(profile: str) -> dict[str, str]:
    """What a manifest is made from, in short: settings, files of real corpora and the code that reads them, voices."""
    config = study.load_profile(profile)
    names = choice.wanted(config)
    inputs = {"settings": study.digest({key: config[key] for key in _SETTINGS})}
    for name in present(names, profile):
        entry = corpus(name, profile)
        inputs[f"corpus {name}"] = (
            study.digest(_voice(entry))
            if entry.synthetic
            else f"{study.fingerprint(study.paths(profile).data / name)}, code {_code()}"
        )
    return inputs


@functools.cache
def _code() -> str:
    return study.code_version("corpora")


def findings(profile: str) -> pd.DataFrame:
    """What the check of the corpora found: ``corpus, path, problem, action, advice``."""
    return pd.read_parquet(study.paths(profile).derived / "findings.parquet")


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows without a reason to exclude them."""
    return table[table["exclude_reason"] == ""].reset_index(drop=True)


def load_manifest(file: Path, *, columns: dict[str, str] = SPEECH_COLUMNS) -> pd.DataFrame:
    """Read a manifest and check that it is what this study wrote.

    Raises
    ------
    study.UserError
        When it was changed by hand, or is not a manifest.
    """
    try:
        return sealed.read(file, columns)
    except OSError as error:
        raise study.UserError(f"{file}: not readable as a manifest; delete it and run again") from error
    except ValueError as error:
        raise study.UserError(
            f"{file}: the manifest was changed by hand ({error}); delete it and run again, "
            "and leave clips out through 'exclude' in the profile"
        ) from error
