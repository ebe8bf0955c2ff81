"""Stacking: a second stage that knows no test speaker, weighs what is good, and never changes which clip is which."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ser_utils import evaluation, fusion, splits, study

LABELS = ("angry", "happy", "sad")
TASK = {"run_id": "r", "profile": "p", "corpus": "toy", "corpus_version": "1", "split": "speaker_groups"}


def system(name, skill, ids, truth, rng, **constants):
    """Predictions that are right with the chance `skill` and sure of it."""
    right = rng.random(len(ids)) < skill
    answer = np.where(right, truth, (truth + 1 + rng.integers(0, 2, len(ids))) % 3)
    p = np.full((len(ids), 3), 0.1)
    p[np.arange(len(ids)), answer] = 0.8
    table = pd.DataFrame({"clip_id": ids, "speaker": [clip[:2] for clip in ids]})
    table = table.assign(y_true=np.array(LABELS)[truth], y_pred=np.array(LABELS)[answer])
    table = table.assign(**{f"p_{label}": p[:, i] for i, label in enumerate(LABELS)})
    known = {"model": name, "features": "x", "train_regime": "clean", "condition": "clean", "seed": 0} | TASK
    return table.assign(**known | constants)


def tables(skills=(("good", 0.8), ("bad", 0.34)), *, n_folds=2, n_clips=120, seed=0):
    """Test and validation predictions of systems with different skills."""
    rng = np.random.default_rng(seed)
    test, validation = [], []
    for fold in range(n_folds):
        for part, who in ((test, f"t{fold}"), (validation, f"v{fold}")):
            ids = np.array([f"{who}c{i}" for i in range(n_clips)])
            truth = rng.integers(0, 3, n_clips)
            part += [system(name, skill, ids, truth, rng, fold=fold) for name, skill in skills]
    return pd.concat(test, ignore_index=True), pd.concat(validation, ignore_index=True)


def score(table):
    return (table["y_true"] == table["y_pred"]).mean()


@pytest.mark.parametrize("method", fusion.METHODS)
def test_a_good_system_weighs_more_and_the_stack_beats_the_plain_mean(method):
    test, validation = tables([("good", 0.8), ("bad", 0.34), ("worse", 0.3)])
    found = fusion.stack(test, validation, name="stack", method=method)
    weight = found.weights.groupby("model")["weight"].mean()
    assert weight["good"] > 0.6
    np.testing.assert_allclose(found.weights.groupby("fold")["weight"].sum(), 1, atol=1e-6)
    mean = evaluation.ensemble(test, over="system", name="mean")
    assert score(found.predictions) > score(mean) + 0.05


def test_equal_systems_weigh_the_same():
    test, validation = tables([("a", 0.6), ("b", 0.6)], n_clips=600)
    found = fusion.stack(test, validation, name="stack")
    assert found.weights["weight"].between(0.35, 0.65).all()


@pytest.mark.parametrize("method", fusion.METHODS)
def test_the_result_keeps_the_contract(method):
    test, validation = tables()
    found = fusion.stack(test, validation, name="stack(good+bad)", method=method).predictions
    evaluation.validate_predictions(found)
    assert set(found.columns) == set(test.columns)
    truth = test.drop_duplicates("clip_id").set_index("clip_id")[["speaker", "y_true", "fold"]]
    pd.testing.assert_frame_equal(found.set_index("clip_id")[["speaker", "y_true", "fold"]], truth, check_like=True)
    assert set(found["model"]) == {"stack(good+bad)"}


def test_test_truths_change_nothing():
    test, validation = tables()
    wrong = test.assign(y_true="happy")
    given = [fusion.stack(table, validation, name="stack").predictions for table in (test, wrong)]
    pd.testing.assert_frame_equal(*(table.drop(columns="y_true") for table in given))


def test_the_order_of_rows_changes_nothing():
    test, validation = tables()
    mixed = [table.sample(frac=1, random_state=1) for table in (test, validation)]
    first = fusion.stack(test, validation, name="stack").predictions
    second = fusion.stack(*mixed, name="stack").predictions
    pd.testing.assert_frame_equal(first.sort_values("clip_id"), second.sort_values("clip_id"), check_like=True)


def test_every_fold_has_a_second_stage_of_its_own():
    test, validation = tables()
    swapped = validation.copy()
    here = swapped["fold"] == 0
    swapped.loc[here, "model"] = swapped.loc[here, "model"].map({"good": "bad", "bad": "good"})
    weight = fusion.stack(test, swapped, name="stack").weights.set_index(["fold", "model"])["weight"]
    assert weight[0, "bad"] > 0.7
    assert weight[1, "good"] > 0.7


def test_a_tested_speaker_in_the_validation_is_refused_unless_allowed():
    test, validation = tables()
    validation.loc[validation["fold"] == 0, "speaker"] = "t0"
    with pytest.raises(splits.LeakError, match="fold 0, leak 'speaker'"):
        fusion.stack(test, validation, name="stack")
    fusion.stack(test, validation, name="stack", allow=["speaker"])
    with pytest.raises(splits.LeakError, match="leak 'clip'"):
        fusion.stack(test, test, name="stack", allow=["speaker"])


def test_seeds_are_averaged_and_conditions_kept_apart():
    test, validation = tables()
    noisy = test.assign(condition="noise=rain;snr_db=5;denoiser=none")
    seeds = pd.concat([test, test.assign(seed=1), noisy], ignore_index=True)
    found = fusion.stack(seeds, validation, name="stack").predictions
    assert found.groupby("condition").size().to_dict() == {"clean": 240, noisy["condition"].iloc[0]: 240}
    once = fusion.stack(test, validation, name="stack").predictions
    same = found[found["condition"] == "clean"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, once)


def test_an_emotion_that_one_system_lacks_counts_as_impossible_there():
    test, validation = tables()
    for table in (test, validation):
        here = table["model"] == "bad"
        table.loc[here, ["p_angry", "p_happy"]] = 0.5
        table.loc[here, "p_sad"] = np.nan
    found = fusion.stack(test, validation, name="stack").predictions
    assert found[[f"p_{label}" for label in LABELS]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_what_does_not_fit_together_is_refused():
    test, validation = tables()
    with pytest.raises(study.UserError, match="give two systems or more"):
        fusion.stack(test[test["model"] == "good"], validation[validation["model"] == "good"], name="stack")
    with pytest.raises(study.UserError, match="fold 1 has no validation predictions"):
        fusion.stack(test, validation[validation["fold"] == 0], name="stack")
    with pytest.raises(study.UserError, match="are not those of the validation clips"):
        fusion.stack(test, validation.replace({"model": {"bad": "other"}}), name="stack")
    with pytest.raises(study.UserError, match="that predicted the same clips"):
        fusion.stack(test.iloc[1:], validation, name="stack")
    with pytest.raises(study.UserError, match="one corpus and split at a time"):
        fusion.stack(pd.concat([test, test.assign(split="loso")]), validation, name="stack")
    with pytest.raises(study.UserError, match="method 'mean' is unknown"):
        fusion.stack(test, validation, name="stack", method="mean")


def test_classic_models_predict_the_validation_clips_from_folds_of_their_own():
    fold = splits.Fold(2, np.array(["a", "b"]), np.array(["c"]), np.array(["d"]))
    made = fusion.validation_folds([fold])[0]
    assert (made.index, made.train.tolist(), made.validation.tolist(), made.test.tolist()) == (2, ["a", "b"], [], ["c"])
