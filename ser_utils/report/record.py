"""The run record: what was run, on what, with what, and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_utils import study

KEPT = ("title", "status", "error", "run_id", "started", "wall_s", "peak_rss_mb", "parameters", "inputs", "outputs")


def load_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Records of a profile's notebooks by name, oldest run first.

    Raises
    ------
    UserError
        When a record is not JSON.
    """
    records = {}
    for file in sorted(folder.glob("*.json")):
        try:
            records[file.stem] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise study.UserError(f"{file} is not JSON ({error}); delete it and run {file.stem} again") from error
    return dict(sorted(records.items(), key=lambda item: item[1].get("started") or ""))


def load_waiting(reports: Path) -> dict[str, list[str]]:
    """Notebooks that did not run since what they need failed, each with what failed: ``waiting.json`` of a report."""
    file = reports / "waiting.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def save_waiting(reports: Path, waiting: Mapping[str, list[str]]) -> None:
    """Write ``waiting.json``, or remove it when nothing waits."""
    file = reports / "waiting.json"
    if not waiting:
        file.unlink(missing_ok=True)
        return
    with study.atomic(file) as temporary:
        temporary.write_text(json.dumps(waiting, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def run_record(profile: str, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Everything needed to say how a report's numbers were made; see :func:`load_records`.

    Returns
    -------
    dict
        ``profile, title, run_id, run_ids, commit, dirty, seeds, parameters, environment, manifest, notebooks,
        waiting``; the newest notebook names the run, the commit and the machine.
    """
    config = study.load_profile(profile)
    environment: dict[str, Any] = {}
    for record in records.values():
        environment |= record.get("environment") or {}
    commit = str(environment.pop("commit", "") or study.commit())
    run_ids = list(dict.fromkeys(str(record.get("run_id")) for record in records.values()))
    return {
        "profile": profile,
        "title": config["title"],
        "run_id": run_ids[-1] if run_ids else None,
        "run_ids": run_ids,
        "commit": commit.rstrip("+"),
        "dirty": commit.endswith("+"),
        "seeds": _seeds(records),
        "parameters": config,
        "environment": environment,
        "manifest": manifest_record(profile),
        "notebooks": {name: {k: record.get(k) for k in KEPT} for name, record in sorted(records.items())},
        "waiting": load_waiting(study.paths(profile).reports),
    }


def _seeds(records: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Seed of each notebook that has one."""
    given = {name: (record.get("parameters") or {}).get("seed") for name, record in sorted(records.items())}
    return {name: seed for name, seed in given.items() if seed is not None}


def manifest_record(profile: str) -> dict[str, Any]:
    """Corpora of a profile as its manifests hold them: clips, speakers, hours and one hash per corpus.

    Returns
    -------
    dict
        ``sha256`` of the speech manifest (None before there is one), ``corpora`` by name, and the ``absent`` ones.
    """
    import pandas as pd

    config, file = study.load_profile(profile), study.paths(profile).manifest
    wanted = [*config["corpora"], *([config["noise"]] if config["noise"] else [])]
    tables = [pd.read_parquet(f) for f in (file, file.with_name("noise.parquet")) if f.is_file()]
    corpora = {str(name): _facts(rows) for table in tables for name, rows in table.groupby("corpus", sort=False)}
    return {
        "sha256": study.sha256(file) if file.is_file() else None,
        "corpora": corpora,
        "absent": [name for name in wanted if name not in corpora] if tables else [],
    }


def _facts(rows: Any) -> dict[str, Any]:
    used = rows[rows["exclude_reason"].fillna("") == ""]
    return {
        "version": str(rows["corpus_version"].iloc[0]),
        "n_clips": len(rows),
        "n_used": len(used),
        "n_speakers": len(set(used["speaker"]) - {""}) if "speaker" in used else None,  # empty: nobody knows
        "hours": round(float(used["duration_s"].sum()) / 3600, 3),
        "sha256": study.digest(sorted(rows["sha256"].astype(str)), length=64),
    }
