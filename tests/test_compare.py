"""Two runs side by side: the same run, another seed, and labels shifted by one."""

import json

import numpy as np
import pandas as pd
import pytest
from test_evaluation import EMOTIONS, predictions

from ser_utils import __main__ as door
from ser_utils import evaluation, study
from ser_utils.report import compare


def answered(*, seed=0, shift=0):
    """Three systems on one corpus; `seed` is the luck of their training, `shift` a bug in their answers."""
    truth = predictions(n_speakers=16, per_speaker=40)
    parts = []
    for model, right in (("lstm", 0.7), ("cnn", 0.6), ("svm_rbf", 0.5)):
        rng = np.random.default_rng([seed, int(100 * right)])
        told = np.where(rng.random(len(truth)) < right, truth["y_true"], rng.choice(EMOTIONS, len(truth)))
        told = [EMOTIONS[(EMOTIONS.index(name) + shift) % len(EMOTIONS)] for name in told]
        part = truth.assign(model=model, y_pred=told)
        parts.append(part.assign(**{f"p_{name}": (part["y_pred"] == name).astype(float) for name in EMOTIONS}))
    return pd.concat(parts, ignore_index=True)


def run(root, monkeypatch, *, seed=0, shift=0, commit="abc"):
    """A finished run in the output root `root`."""
    monkeypatch.setenv("SER_OUT", str(root))
    reports = study.paths("demo").reports
    table = answered(seed=seed, shift=shift)
    evaluation.save_predictions(table, "demo", "04_lstm")
    evaluation.save_results(evaluation.results_table(table, n_resamples=500), reports / "results.csv")
    (reports / "09_evaluation.html").touch()
    notebooks = {"09_evaluation": {"status": "ok", "parameters": {"resamples": 500, "seed": 0}, "outputs": {}}}
    facts = {"commit": commit, "seeds": {"04_lstm": seed}, "environment": {"numpy": "2.4.6"}}
    facts |= {"manifest": {"corpora": {"demo": {"sha256": "0" * 64}}}, "notebooks": notebooks}
    (reports / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return reports


@pytest.fixture
def beside(tmp_path, monkeypatch, capsys):
    """``verify --against`` a first run, of another one: exit code, what is told, and its levels."""

    def verify(**other):
        first = run(tmp_path / "first", monkeypatch)
        second = run(tmp_path / "second", monkeypatch, **other)
        code = door.main(["verify", "--profile", "demo", "--against", str(tmp_path / "first")])
        tables = [evaluation.load_results(folder / "results.csv") for folder in (second, first)]
        return code, capsys.readouterr().out, compare.compare(*tables)["level"]

    return verify


def test_a_second_identical_run_is_identical(beside):
    code, told, levels = beside()
    assert (code, set(levels)) == (0, {"identical"})
    assert "why they may differ" not in told


def test_another_seed_is_within_noise_and_nothing_is_identical(beside):
    code, told, levels = beside(seed=1)
    assert code == 0
    assert not levels.eq("identical").any()
    assert levels.eq("within noise").mean() > 0.5
    assert "- seeds: 04_lstm differs" in told


def test_labels_shifted_by_one_are_a_change(beside):
    code, told, levels = beside(shift=1)
    assert (code, levels.eq("changed").mean() > 0.9) == (1, True)
    assert "changed: demo, loso: lstm on log_mel, clean, clean: UAR 0." in told


def test_a_system_that_went_missing_is_named_and_a_corpus_that_is_not_here_is_not_compared():
    both = evaluation.results_table(answered(), n_resamples=50)
    elsewhere = both.assign(corpus="emodb")
    ours = both[both["model"] != "cnn"]
    levels = compare.compare(ours, pd.concat([both, elsewhere]))
    assert set(levels["corpus"]) == {"demo"}
    assert set(levels.loc[levels["level"] == "missing", "model"]) == {"cnn"}
    assert not compare.agrees(levels)
    grown = compare.compare(both, ours)
    assert set(grown.loc[grown["level"] == "new", "model"]) == {"cnn"}
    assert compare.agrees(grown)
    old = both[~both["metric"].str.startswith("weighted")]  # a metric that is new makes nothing else different
    assert set(compare.compare(both, old)["level"]) == {"identical", "new"}
    assert not compare.agrees(compare.compare(both, elsewhere))  # nothing was compared


def test_a_small_move_is_within_tolerance_and_one_without_overlap_is_not():
    row = {"value": 0.5, "ci_low": 0.45, "ci_high": 0.55}
    base = (
        evaluation.results_table(answered(), n_resamples=50).query("model == 'lstm' and metric == 'UAR'").assign(**row)
    )
    moves = {0.004: "within tolerance", 0.08: "within noise", 0.2: "changed"}
    for move, level in moves.items():
        moved = base.assign(**{name: value + move for name, value in row.items()})
        assert compare.compare(moved, base)["level"].tolist() == [level]


def test_reasons_name_versions_data_code_and_parameters():
    ours = {"environment": {"numpy": "2.4.6"}, "commit": "abc", "manifest": {"corpora": {"demo": {"sha256": "1" * 64}}}}
    other = {"environment": {"numpy": "2.3.0"}, "commit": "def", "dirty": True}
    other |= {"manifest": {"corpora": {"demo": {"sha256": "2" * 64}}}, "parameters": {"notebooks": {"04_lstm": {}}}}
    assert compare.reasons(ours, other) == [
        "numpy: 2.4.6, reference 2.3.0",
        "data of demo: 111111111111, reference 222222222222",
        "code: abc, reference def with changes",
        "parameters: 04_lstm differs",
    ]
    assert compare.reasons(ours, ours) == []


def test_a_folder_without_results_is_told(tmp_path, monkeypatch, capsys):
    run(tmp_path / "mine", monkeypatch)
    assert door.main(["verify", "--profile", "demo", "--against", str(tmp_path)]) == 2
    assert "no results to compare with; give the folder of a run" in capsys.readouterr().err
