"""Scores made anew from saved predictions: a report that was, is checked as sound afterwards."""

from __future__ import annotations

import json

import pytest
from test_evaluation import predictions

from ser_utils import evaluation, rebuild, study, verify
from ser_utils.report.record import load_records, run_record

NAME = "04_lstm"


@pytest.fixture
def where(tmp_path, monkeypatch):
    """A run of one notebook whose scores an older way of making intervals wrote."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    where = study.paths("demo")
    table = predictions(n_speakers=10)
    evaluation.save_predictions(table, "demo", NAME)
    old = evaluation.results_table(table, n_resamples=50, seed=3)
    evaluation.save_results(old.assign(ci_low=old["ci_low"] + 0.01), where.reports / "results" / f"{NAME}.csv")
    files = [where.reports / "results" / f"{NAME}.csv", where.predictions / f"{NAME}.parquet"]
    outputs = {file.relative_to(tmp_path).as_posix(): study.sha256(file) for file in files}
    record = {"notebook": NAME, "status": "ok", "parameters": {"resamples": 50, "seed": 3}, "outputs": outputs}
    where.records.mkdir(parents=True)
    (where.records / f"{NAME}.json").write_text(json.dumps(record), encoding="utf-8")
    (where.reports / f"{NAME}.html").touch()
    return where


def scored(where):
    return rebuild.rescore(where.predictions / f"{NAME}.parquet", where, load_records(where.records))


def test_scores_are_those_of_the_predictions_with_the_settings_of_the_run(where):
    assert scored(where)
    found = evaluation.load_results(where.reports / "results" / f"{NAME}.csv")
    expected = evaluation.results_table(predictions(n_speakers=10), n_resamples=50, seed=3)
    assert found["ci_low"].tolist() == pytest.approx(expected["ci_low"].tolist(), abs=1e-6)
    assert not scored(where)  # nothing differs any more


def test_the_record_knows_the_new_file_and_the_run_verifies(where):
    def problems():
        record = run_record("demo", load_records(where.records))
        (where.reports / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return verify.problems("demo")

    assert problems() == []
    assert scored(where)
    assert problems() == []
    (where.reports / "results" / f"{NAME}.csv").write_text("other", encoding="utf-8")
    assert ["changed since 04_lstm wrote it" in problem for problem in problems()] == [True]
