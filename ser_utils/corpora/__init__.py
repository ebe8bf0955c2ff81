"""Corpora: what they are, where they lie, and the manifest that everything else starts from.

One module per corpus holds its layout, label parser, licence, citation, address, expected counts and published folds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ser_utils import study
from ser_utils.corpora import demo, demo_noise, emodb, esc50, ravdess
from ser_utils.corpora.base import EMOTIONS, NOISE_COLUMNS, SPEECH_COLUMNS, Corpus
from ser_utils.corpora.scan import NOTE, STOPS, Finding, Scan, nearest, scan

__all__ = [
    "CORPORA",
    "EMOTIONS",
    "audio_root",
    "build",
    "corpus",
    "findings",
    "load_manifest",
    "manifest",
    "noise_manifest",
    "present",
    "usable",
    "validate",
]

CORPORA: dict[str, Corpus] = {module.CORPUS.name: module.CORPUS for module in (demo, ravdess, emodb, demo_noise, esc50)}
_CHECKSUM = b"ser_content_sha256"
_INPUTS = b"ser_inputs"
_SETTINGS = ("corpora", "noise", "exclude", "max_clips_per_speaker_emotion")  # of a profile, that shape its manifest


def corpus(name: str) -> Corpus:
    """Entry of a corpus by name.

    Raises
    ------
    study.UserError
        For a name that is not registered.
    """
    if name not in CORPORA:
        raise study.UserError(f"corpus '{name}' is unknown; known corpora are {', '.join(CORPORA)}")
    return CORPORA[name]


def audio_root(name: str, profile: str) -> Path:
    """Folder that the paths of a manifest are relative to. A synthetic corpus is spoken on first use.

    Real corpora lie below ``$SER_DATA`` (default ``data/raw``), synthetic ones among the derived data of the profile.
    """
    entry = corpus(name)
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
    data = study.paths(profile).data
    return [name for name in names if corpus(name).synthetic or (data / name).is_dir()]


def build(profile: str) -> None:
    """Check every corpus of a profile and write ``manifest.parquet``, ``noise.parquet`` and ``findings.parquet``.

    Raises
    ------
    study.UserError
        When no corpus of the profile is present, `exclude` names what is not there, or a file stops the run: one line
        per file.
    """
    config = study.load_profile(profile)
    places = study.paths(profile)
    inputs = _inputs(profile)
    wanted = [*config["corpora"], *([config["noise"]] if config["noise"] else [])]
    for name in sorted(set(config["exclude"]) - set(wanted)):
        raise study.UserError(
            f"exclude: {name} is no corpus of profile {profile}{nearest(name, wanted)}; its corpora are "
            f"{', '.join(wanted)}"
        )
    names = present(config["corpora"], profile)
    if not names:
        raise study.UserError(
            f"none of the corpora {', '.join(config['corpora'])} has a folder in {places.data}; set SER_DATA to the "
            "folder that holds them, or read data/README.md for how to get them"
        )
    noise = present([config["noise"]], profile) if config["noise"] else []
    scans = {name: _scan(name, profile, config["exclude"].get(name, {})) for name in [*names, *noise]}
    found = [finding for result in scans.values() for finding in result.findings]
    found += [
        Finding(name, name, f"absent: no folder {name} in the data folder", NOTE)
        for name in wanted
        if name not in scans
    ]
    _stop(found)
    speech = pd.concat([scans[name].table for name in names], ignore_index=True)
    speech = _limit(speech, config["max_clips_per_speaker_emotion"])
    empty = pd.DataFrame(columns=list(NOISE_COLUMNS)).astype(NOISE_COLUMNS)
    _write(
        pd.concat([empty, *(scans[name].table for name in noise)], ignore_index=True), places.derived / "noise.parquet"
    )
    _write(_table(found), places.derived / "findings.parquet")
    _write(speech, places.manifest, inputs=inputs)


def validate(names: list[str] | None = None, *, profile: str = "full") -> pd.DataFrame:
    """Findings for corpora, without building anything: columns ``corpus, path, problem, action, advice``.

    No corpus here publishes a hash per file, so a clip that was altered but still decodes is not found; a change after
    the check is caught when features are extracted.
    """
    names = names or present([n for n, entry in CORPORA.items() if not entry.synthetic], profile)
    if not names:
        raise study.UserError(f"{study.paths(profile).data}: no corpus here; set SER_DATA, or read data/README.md")
    for name in names:
        if name not in present([name], profile):
            folder = study.paths(profile).data / name
            raise study.UserError(
                f"{folder}: no such folder; {corpus(name).title} is expected there as {corpus(name).layout}"
            )
    return _table([finding for name in names for finding in _scan(name, profile, {}).findings])


def _scan(name: str, profile: str, exclude: dict[str, str]) -> Scan:
    return scan(corpus(name), audio_root(name, profile), exclude=exclude)


def _stop(found: list[Finding]) -> None:
    lines = [finding.sentence() for finding in found if finding.action == STOPS]
    if lines:
        more = [f"… and {len(lines) - 20} more files"] if len(lines) > 20 else []
        raise study.UserError("\n".join([*lines[:20], *more]))


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


def _table(found: list[Finding]) -> pd.DataFrame:
    return pd.DataFrame(
        [vars(finding) for finding in found], columns=["corpus", "path", "problem", "action", "advice"], dtype="str"
    )


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
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False  # load_manifest says what is wrong with it
    if _CHECKSUM not in metadata:
        return False  # the same
    then, now = json.loads(metadata.get(_INPUTS) or "{}"), _inputs(profile)
    gone = then.keys() - now.keys()  # corpora that are no longer at hand; their clips were checked
    return then != now | {name: then[name] for name in gone}


def _inputs(profile: str) -> dict[str, str]:
    """What a manifest is made from, in short: settings, files of real corpora, code of synthetic voices."""
    config = study.load_profile(profile)
    names = [*config["corpora"], *([config["noise"]] if config["noise"] else [])]
    inputs = {"settings": study.digest({key: config[key] for key in _SETTINGS})}
    for name in present(names, profile):
        synthetic = corpus(name).synthetic
        inputs[f"corpus {name}"] = (
            study.digest(_voice(corpus(name))) if synthetic else study.fingerprint(study.paths(profile).data / name)
        )
    return inputs


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
        parquet = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise study.UserError(f"{file}: not readable as a manifest; delete it and run again") from error
    table = parquet.to_pandas()
    missing = sorted(set(columns) - set(table.columns))
    stored = (parquet.schema.metadata or {}).get(_CHECKSUM, b"").decode()
    if missing or stored != _checksum(table):
        problem = f"column '{missing[0]}' is missing" if missing else "its content no longer fits its checksum"
        raise study.UserError(
            f"{file}: the manifest was changed by hand ({problem}); delete it and run again, "
            "and leave clips out through 'exclude' in the profile"
        )
    return table.astype({name: dtype for name, dtype in columns.items() if dtype == "str"})


def _write(table: pd.DataFrame, file: Path, *, inputs: dict[str, str] | None = None) -> None:
    parquet = pa.Table.from_pandas(table, preserve_index=False)
    metadata = (parquet.schema.metadata or {}) | {
        _CHECKSUM: _checksum(table).encode(),
        _INPUTS: json.dumps(inputs or {}).encode(),
    }
    with study.atomic(file) as temporary:
        pq.write_table(parquet.replace_schema_metadata(metadata), temporary)


def _checksum(table: pd.DataFrame) -> str:
    return study.digest(table.to_csv(index=False), length=64)
