"""Classic models: nothing of the test speakers is used, wide tables lose nothing, and results repeat."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from ser_utils import classic, evaluation, splits, study
from ser_utils.classic import estimators, search
from ser_utils.classic.clips import prepare
from ser_utils.features import Table

LABELS = ("angry", "happy", "sad")
CONSTANTS = {
    "run_id": "r",
    "profile": "demo",
    "corpus": "toy",
    "corpus_version": "1",
    "train_regime": "clean",
    "condition": "clean",
}


def problem(n_speakers=6, per_speaker=12, *, n_columns=8, signal=1.5, voice=0.0, seed=0):
    """Clips whose first three columns give the emotion away, and all columns the speaker."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "clip_id": f"s{s}c{c}",
            "speaker": f"s{s}",
            "gender": "male",
            "emotion": LABELS[c % 3],
            "sentence": f"t{c % 4}",
        }
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    manifest = pd.DataFrame(rows).assign(corpus="toy", sha256=lambda t: t["clip_id"])
    x = rng.standard_normal((len(manifest), n_columns))
    x[:, :3] += signal * (manifest["emotion"].to_numpy()[:, None] == np.array(LABELS))
    x += voice * rng.standard_normal((n_speakers, n_columns))[np.repeat(np.arange(n_speakers), per_speaker)]
    ids = manifest["clip_id"].to_numpy(dtype=str)
    return Table(x.astype(np.float32), tuple(f"c{i}_mean" for i in range(n_columns)), ids), manifest


def run(cache, *, models=("svm_linear",), folds=None, made=None, **changes):
    table, manifest = made or problem()
    folds = folds or splits.make_folds(manifest, "speaker_groups", n_groups=3)
    settings = {"models": models, "features": "toy", "cache": cache, "jobs": 1} | changes
    return classic.cross_validate(table, manifest, folds, LABELS, **settings)


def score(results):
    table = classic.predictions_table(results)
    return evaluation.uar(table["y_true"], table["y_pred"])


# --- estimators --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide():
    """Standardised training and test rows with far more columns than rows, and the training labels."""
    rng = np.random.default_rng(1)
    y = np.repeat(LABELS, 20)
    x = (rng.standard_normal((60, 500)) + 0.3 * (np.arange(500) % 3 == np.repeat(range(3), 20)[:, None])).astype("f4")
    new = rng.standard_normal((40, 500)).astype(np.float32) + 0.1
    scaler = StandardScaler().fit(x)
    return scaler.transform(x), scaler.transform(new), y


@pytest.mark.parametrize(
    "whole", [SVC(C=10, gamma="scale"), SVC(C=10, kernel="linear"), LinearSVC(C=1, max_iter=50_000)]
)
def test_row_space_changes_no_decision(wide, whole):
    x, new, y = wide
    space = estimators.RowSpace()
    small, small_new = space.fit_transform(x), space.transform(new)
    assert small.shape[1] <= len(x) + 1
    expected = whole.fit(x / space.scale_, y).decision_function(new / space.scale_)
    np.testing.assert_allclose(whole.fit(small, y).decision_function(small_new), expected, atol=2e-3)


def test_row_space_keeps_distances_to_rows_outside_it(wide):
    x, new, _ = wide
    space = estimators.RowSpace()
    small = space.fit_transform(x)
    distances = np.linalg.norm(space.transform(new)[:, None] - small, axis=2) * space.scale_
    np.testing.assert_allclose(distances, np.linalg.norm(new[:, None] - x, axis=2), rtol=1e-4)
    assert np.mean(np.sum(small**2, axis=1)) == pytest.approx(1, abs=1e-4)


def test_narrow_tables_are_only_scaled():
    x = np.random.default_rng(0).standard_normal((30, 4))
    np.testing.assert_allclose(estimators.RowSpace().fit_transform(x) * estimators.RowSpace().fit(x).scale_, x)


def test_gaussian_classes_find_blobs_that_no_line_separates():
    rng = np.random.default_rng(0)
    y = np.repeat(["sad", "happy"], 100)
    x = rng.standard_normal((200, 2)) * 0.3
    x[:50, 0] += 5
    x[50:100, 0] -= 5
    mixture = estimators.GaussianClasses(n_columns=2, n_components=2).fit(x, y)
    assert (mixture.predict(x) == y).mean() > 0.98
    np.testing.assert_allclose(mixture.predict_proba(x).sum(axis=1), 1)


def test_gaussian_classes_have_equal_priors_and_survive_a_class_of_one():
    x = np.concatenate([np.random.default_rng(0).normal(0, 1, (50, 3)), [[1, 1, 1]]])
    mixture = estimators.GaussianClasses(n_columns=3, n_components=3).fit(x, ["sad"] * 50 + ["happy"])
    assert mixture.predict([[1, 1, 1]]).tolist() == ["happy"]


# --- cross-validation --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    folds = splits.make_folds(problem()[1], "speaker_groups", n_groups=2)
    return run(tmp_path_factory.mktemp("folds"), models=tuple(classic.MODELS), folds=folds)


def test_every_model_learns(everything):
    for name in classic.MODELS:
        assert score([result for result in everything if result.facts["model"] == name]) > 0.55, name


def test_predictions_keep_the_contract(everything):
    table = classic.predictions_table(everything, split="speaker_groups", **CONSTANTS)
    evaluation.validate_predictions(table)
    assert set(table["model"]) == set(classic.MODELS)
    assert len(table) == 72 * len(classic.MODELS)


def test_answers_are_the_most_probable_class(everything):
    table = classic.predictions_table(everything)
    probable = table[[f"p_{label}" for label in LABELS]].to_numpy().argmax(axis=1)
    assert (table["y_pred"] == np.array(LABELS)[probable]).all()


def test_svm_answers_follow_its_decision_function(tmp_path):
    table, manifest = problem()
    fold = splits.make_folds(manifest, "speaker_groups", n_groups=3)[0]
    result = run(tmp_path, models=["svm_rbf"], folds=[fold], tune=False)[0]
    train, test = table.rows(np.concatenate([fold.train, fold.validation])), table.rows(fold.test)
    plain = make_pipeline(StandardScaler(), SVC(C=10, class_weight="balanced", break_ties=True))
    plain.fit(table.x[train], manifest["emotion"].to_numpy(dtype=str)[train])
    assert result.predictions["y_pred"].tolist() == plain.predict(table.x[test]).tolist()


def test_validation_clips_train(everything):
    assert {result.facts["n_train"] for result in everything} == {36}


def test_cache_answers_the_second_time_and_notices_changed_features(tmp_path, monkeypatch):
    first = run(tmp_path)
    monkeypatch.setattr("ser_utils.classic.folds.fit_fold", lambda *_: pytest.fail("computed again"))
    again = run(tmp_path)
    pd.testing.assert_frame_equal(classic.predictions_table(first), classic.predictions_table(again))
    table, manifest = problem()
    table.x[0, 0] += 1
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        run(tmp_path, made=(table, manifest))


def test_processes_change_nothing(tmp_path):
    made = problem(n_columns=300)
    one, two = (run(tmp_path / str(jobs), made=made, models=["svm_rbf"], jobs=jobs) for jobs in (1, 2))
    tables = [classic.predictions_table(results) for results in (one, two)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_order_of_the_table_does_not_matter(tmp_path):
    table, manifest = problem()
    order = np.random.default_rng(0).permutation(len(manifest))
    mixed = dataclasses.replace(table, x=table.x[order], clip_ids=table.clip_ids[order])
    assert score(run(tmp_path / "a")) == score(run(tmp_path / "b", made=(mixed, manifest)))


# --- what is known of the test speakers --------------------------------------------------------------------------


def test_test_rows_do_not_reach_what_is_fitted(tmp_path):
    """Test clips that are far away would move a scaler or a search that saw them."""
    table, manifest = problem()
    fold = splits.make_folds(manifest, "speaker_groups", n_groups=3)[0]
    far = dataclasses.replace(table, x=table.x.copy())
    far.x[table.rows(fold.test)] += 1000
    data = [prepare(t, manifest, LABELS, features="toy", normalisation="training", allow=()) for t in (table, far)]
    rows = data[0].rows(np.concatenate([fold.train, fold.validation]))
    fitted = [search.fit("svm_linear", part, rows, {"C": 1}, 0) for part in data]
    np.testing.assert_array_equal(*[pipeline[-1].coef_ for pipeline in fitted])
    found = [run(tmp_path, folds=[fold], made=(t, manifest))[0].facts for t in (table, far)]
    assert found[0]["inner_uar"] == found[1]["inner_uar"]
    assert found[0]["temperature"] == found[1]["temperature"]


def test_a_shared_speaker_stops_before_the_cache_answers(tmp_path):
    _, manifest = problem()
    folds = splits.make_folds(manifest, "random", n_groups=3)
    with pytest.raises(splits.LeakError, match="leak 'speaker'"):
        run(tmp_path, folds=folds)
    run(tmp_path, folds=folds, allow=["speaker"])
    with pytest.raises(splits.LeakError, match="leak 'speaker'"):
        run(tmp_path, folds=folds)


def test_inner_folds_keep_speakers_apart():
    _, manifest = problem()
    unit, parts = search.inner_folds(manifest, 3, 0)
    assert (unit, len(parts)) == ("speaker", 3)
    for train, held_out in parts:
        assert not set(manifest["speaker"].iloc[train]) & set(manifest["speaker"].iloc[held_out])


def test_inner_folds_of_one_speaker_keep_sentences_apart_or_clips():
    _, manifest = problem(n_speakers=1)
    unit, parts = search.inner_folds(manifest, 3, 0)
    assert unit == "sentence"
    assert not set(manifest["sentence"].iloc[parts[0][0]]) & set(manifest["sentence"].iloc[parts[0][1]])
    assert search.inner_folds(manifest.assign(sentence=""), 3, 0)[0] == "clip"


def test_two_speakers_are_enough(tmp_path):
    table, manifest = problem(n_speakers=2)
    results = run(tmp_path, made=(table, manifest), folds=splits.make_folds(manifest, "loso"))
    assert {result.facts["inner"] for result in results} == {"sentence"}


def test_search_prefers_the_better_setting(tmp_path):
    results = run(tmp_path, models=["knn"])
    for result in results:
        tried = result.search
        assert len(tried) == len(classic.MODELS["knn"].grid)
        assert result.facts["inner_uar"] == pytest.approx(tried["uar"].max())


def test_temperature_makes_margins_honest_and_moves_no_answer():
    rng = np.random.default_rng(0)
    truth = rng.choice(LABELS, 3000)
    logits = 2.0 * (truth[:, None] == np.array(LABELS)) + rng.gumbel(size=(3000, 3))
    honest = search.temperature(logits, truth, LABELS)
    assert search.temperature(10 * logits, truth, LABELS) == pytest.approx(10 * honest, rel=0.01)


def test_speaker_norm_removes_the_voice_and_is_named(tmp_path):
    made = problem(voice=4.0)
    plain, own = run(tmp_path, made=made), run(tmp_path, made=made, normalisation="speaker")
    assert score(own) > score(plain) + 0.1
    assert {result.facts["features"] for result in own} == {"toy+speaker_norm"}


def test_a_class_that_training_lacks_gets_no_probability(tmp_path):
    table, manifest = problem()
    manifest = manifest[(manifest["emotion"] != "sad") | (manifest["speaker"] == "s0")]
    fold = splits.make_folds(manifest, "loso")[0]
    result = run(tmp_path, made=(table, manifest), folds=[fold])[0]
    assert (result.predictions["p_sad"] == 0).all()
    np.testing.assert_allclose(result.predictions[["p_angry", "p_happy"]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": ["svm"]}, "model 'svm' is unknown; use one of svm_rbf"),
        ({"models": []}, "at least one"),
        ({"n_inner": 1}, "n_inner 1 must be 2 or more"),
        ({"normalisation": "clip"}, "normalisation 'clip' is unknown; use one of training, speaker, none"),
    ],
)
def test_impossible_settings_are_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(study.UserError, match=sentence):
        run(tmp_path, **changes)


def test_a_feature_that_is_no_number_is_named(tmp_path):
    table, manifest = problem()
    table.x[5, 2] = np.nan
    with pytest.raises(study.UserError, match="toy of clip s0c5: c2_mean is nan"):
        run(tmp_path, made=(table, manifest))


def test_speaker_norm_needs_speakers(tmp_path):
    table, manifest = problem()
    folds = splits.make_folds(manifest, "loso")
    with pytest.raises(study.UserError, match="needs the speaker of every clip"):
        run(tmp_path, made=(table, manifest.assign(speaker="")), folds=folds, normalisation="speaker")


# --- importance --------------------------------------------------------------------------------------------------


def test_importance_finds_the_columns_that_tell(tmp_path):
    made = problem(signal=3)
    table, manifest = made
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=3)
    results = run(tmp_path, made=made, folds=folds)
    groups = {"telling": [0, 1, 2], "idle": [3, 4, 5, 6, 7]}
    found = classic.permutation_importance(
        results, table, manifest, folds, groups=groups, cache=tmp_path, jobs=1
    ).set_index("group")
    assert found.loc["telling", "drop"] > 0.3
    assert abs(found.loc["idle", "drop"]) < 0.05
    assert found["n_columns"].to_dict() == {"telling": 3, "idle": 5}
    assert (found["n_folds"] == 3).all()


def test_importance_of_two_models_at_once_is_refused(tmp_path):
    table, manifest = problem()
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=3)
    results = run(tmp_path, models=["svm_linear", "knn"], folds=folds)
    with pytest.raises(study.UserError, match="not of 2"):
        classic.permutation_importance(results, table, manifest, folds, groups={"a": [0]}, cache=tmp_path)


def test_columns_are_grouped_by_what_they_summarise():
    names = ["pcm_fftMag_mfcc_sma[1]_mean", "pcm_fftMag_mfcc_sma_de[14]_mean", "mfcc1_sma3_amean", "mfcc_07_std"]
    assert classic.column_groups(names, by="descriptor") == {"pcm_fftMag_mfcc": [0, 1], "mfcc": [2, 3]}
    assert list(classic.column_groups(names, by="column")) == names


# --- leakage ladder ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """A ladder on clips that nothing but their speaker and sentence tells apart."""
    table, manifest = problem(n_columns=20, signal=0.4, voice=2)
    copied = manifest.assign(parent=manifest["clip_id"], clip_id=manifest["clip_id"] + "~noise0")
    noisy = dataclasses.replace(table, x=table.x + 0.05, clip_ids=copied["clip_id"].to_numpy(dtype=str))
    return classic.ladder(
        table,
        manifest,
        splits.make_folds(manifest, "loso"),
        LABELS,
        features="toy",
        copies=(noisy, copied),
        cache=tmp_path_factory.mktemp("ladder"),
        jobs=1,
        n_groups=3,
        seeds=(0, 1),
        **CONSTANTS,
    )


def test_ladder_climbs_with_the_leak(climbed):
    uar = {rung: evaluation.uar(rows["y_true"], rows["y_pred"]) for rung, rows in climbed.groupby("split")}
    assert list(classic.RUNGS) == climbed["split"].drop_duplicates().tolist()
    assert min(uar["twice"], uar["copies"]) > uar["random"] + 0.2
    assert uar["unseen"] < 0.6


def test_ladder_is_scored_as_any_prediction(climbed):
    results = evaluation.results_table(climbed.drop(columns="n_train"), n_resamples=50)
    rows = results[(results["metric"] == "UAR") & (results["model"] == "svm_rbf")].set_index("split")
    assert rows["n_clips"].to_dict() == {"twice": 144, "copies": 144, "random": 72, "sentence": 72, "unseen": 72}
    assert rows["n_seeds"].to_dict() == {"twice": 2, "copies": 2, "random": 2, "sentence": 2, "unseen": 1}


def test_rungs_tell_how_many_clips_trained(climbed):
    sizes = classic.rungs(climbed).set_index("split")
    assert sizes.loc["sentence", "n_train"] == 48  # of 4 sentences, 2 are tested together
    assert sizes.loc["unseen", ["n_train", "n_test"]].tolist() == [60, 72]
