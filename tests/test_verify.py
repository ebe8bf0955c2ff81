"""A finished report checked against itself: with the settings of its own run, and with what did not run."""

from __future__ import annotations

import json

import pytest
from test_evaluation import predictions

from ser_utils import evaluation, study, verify

SETTINGS = {"resamples": 50, "seed": 3}


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Report of a run that scored with other settings than the defaults."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    reports = study.paths("demo").reports
    evaluation.save_predictions(predictions(), "demo", "04_lstm")
    results = evaluation.results_table(predictions(), n_resamples=50, seed=3)
    evaluation.save_results(results, reports / "results.csv")
    (reports / "09_evaluation.html").touch()
    return reports


def found(reports, *, waiting=None, **changes):
    record = {"status": "ok", "parameters": SETTINGS | changes, "outputs": {}}
    run = {"notebooks": {"09_evaluation": record}, "waiting": waiting or {}}
    (reports / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return verify.problems("demo")


def test_scores_are_computed_again_with_the_settings_of_the_run(reports):
    assert found(reports) == []
    for other in ({"seed": 4}, {"resamples": 51}):
        assert ["not what the predictions" in problem for problem in found(reports, **other)] == [True]


def test_what_did_not_run_is_named_and_its_old_scores_are_not_compared(reports):
    (reports / "predictions" / "04_lstm.parquet").unlink()
    waiting = {"09_evaluation": ["04_lstm"]}
    assert found(reports, waiting=waiting) == ["09_evaluation: did not run, since 04_lstm failed"]
