"""A report made anew from saved predictions: scores, the evaluation's tables and figures, and every page; no training.

Scores of each notebook are computed from its predictions, 09 is executed, and the pages of all others are rendered
from the copies that their last run left: their figures are those of that run.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from ser_utils import evaluation, study
from ser_utils.report.record import load_records

EVALUATION = "09_evaluation"


def rebuild(profile: str) -> int:
    """Rebuild the report of a profile.

    Returns
    -------
    int
        0, or 1 when the evaluation failed.

    Raises
    ------
    UserError
        When there are no predictions.
    """
    from ser_utils import console, report, runner

    where = study.paths(profile)
    files = sorted(where.predictions.glob("*.parquet"))
    if not files:
        raise study.UserError(f"no predictions in {where.predictions}; run ./run_all.sh {profile} first")
    records = load_records(where.records)
    for file in files:
        if rescore(file, where, records):
            print(f"{file.stem}: scores written anew", file=sys.stderr)
    planned = study.load_profile(profile)["notebooks"]
    code = 0
    if EVALUATION in planned:
        record = runner.run(EVALUATION, profile)
        print(console.sentence(record), file=sys.stderr)
        code = int(record["status"] != "ok")
    for name in sorted(set(planned) - {EVALUATION}):
        executed = where.reports / "notebooks" / f"{name}.ipynb"
        if executed.is_file():
            status = records.get(name, {}).get("status", "ok")
            report.render_page(executed, where.reports / f"{name}.html", profile=profile, status=status)
    print(f"report: {report.render_index(profile)}", file=sys.stderr)
    return code


def rescore(predictions: Path, where: study.Paths, records: dict[str, dict]) -> bool:
    """Write ``results/<name>.csv`` of a file of predictions anew, where a notebook wrote one and it differs; with the
    settings that the notebook's last run had. The notebook's record then holds the new hash."""
    import pandas as pd

    file = where.reports / "results" / f"{predictions.stem}.csv"
    if not file.is_file():
        return False
    owner = next((name for name in records if name[:2] == predictions.stem[:2]), "")
    settings = records.get(owner, {}).get("parameters") or {}
    options = {"n_resamples": settings.get("resamples", 10_000), "seed": settings.get("seed", 0)}
    before = file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / file.name
        evaluation.save_results(evaluation.results_table(pd.read_parquet(predictions), **options), again)
        if again.read_bytes() == before:
            return False
        with study.atomic(file) as temporary:
            shutil.copyfile(again, temporary)
    _rehash(file, where.records / f"{owner}.json")
    return True


def _rehash(output: Path, record: Path) -> None:
    """Note the hash of `output` in the record of the notebook that wrote it, where the record names it."""
    name = output.relative_to(study.output_root()).as_posix()
    told = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if name in told.get("outputs", {}):
        told["outputs"][name] = study.sha256(output)
        with study.atomic(record) as temporary:
            temporary.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
