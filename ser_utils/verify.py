"""Check a finished report against itself: files against their recorded hashes, scores against saved predictions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_utils import evaluation, study


def problems(profile: str) -> list[str]:
    """What does not agree in the report of a profile, one sentence each; empty when everything checks.

    Raises
    ------
    UserError
        When there is no run record to compare with.
    """
    where = study.paths(profile)
    file = where.reports / "run.json"
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        notebooks, waiting = run["notebooks"], run.get("waiting", {})
    except (OSError, ValueError, KeyError) as error:
        raise study.UserError(f"{file}: no run record to compare with; run ./run_all.sh {profile} first") from error
    found = [problem for name, record in notebooks.items() for problem in _notebook(name, record, where)]
    found += [f"{name}: did not run, since {' and '.join(failed)} failed" for name, failed in waiting.items()]
    if "09_evaluation" in waiting:
        return found  # its results are older than the predictions
    settings = notebooks.get("09_evaluation", {}).get("parameters") or {}
    return found + _scores(profile, where.reports / "results.csv", settings)


def _notebook(name: str, record: dict[str, Any], where: study.Paths) -> list[str]:
    found = [] if record["status"] == "ok" else [f"{name}: its last run failed"]
    if not (where.reports / f"{name}.html").is_file():
        found.append(f"{where.reports / name}.html: missing")
    for output, recorded in record["outputs"].items():
        file = study.output_root() / output
        if not file.is_file():
            found.append(f"{file}: missing, though {name} wrote it")
        elif study.sha256(file) != recorded:
            found.append(f"{file}: changed since {name} wrote it")
    return found


def _scores(profile: str, file: Path, settings: Mapping[str, Any]) -> list[str]:
    """Whether the results file is what the saved predictions give with the settings of the evaluation's own run."""
    if not file.is_file():
        return []
    names = {"resamples": "n_resamples", "seed": "seed"}
    options = {option: settings[name] for name, option in names.items() if name in settings}
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / file.name
        results = evaluation.results_table(evaluation.load_predictions(profile), **options)
        evaluation.save_results(results, again)
        same = again.read_bytes() == file.read_bytes()
    return [] if same else [f"{file}: not what the predictions in {file.parent / 'predictions'} give"]
