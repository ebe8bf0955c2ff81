"""Training: it learns, it repeats bit for bit, it resumes, and it refuses to start with a leak."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from ser_utils import splits, study, training
from ser_utils.augment import FrameAugmentation
from ser_utils.features import Frames

LABELS = ("angry", "happy", "sad")
RECIPE = training.Recipe(epochs=3, batch_size=9, patience=3)  # 9 divides all parts: one shape, one compiled graph


def problem(n_speakers=6, per_speaker=9, *, seed=0):
    """Clips whose mean level gives the emotion away."""
    rng = np.random.default_rng(seed)
    rows = [
        {"clip_id": f"s{s}c{c}", "speaker": f"s{s}", "gender": "female" if s % 2 else "male", "emotion": LABELS[c % 3]}
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    manifest = pd.DataFrame(rows).assign(sha256=lambda t: t["clip_id"])
    n_frames = rng.integers(20, 33, size=len(manifest)).astype(np.int32)
    x = rng.standard_normal((len(manifest), 40, 8)).astype(np.float32)
    x += manifest["emotion"].map(LABELS.index).to_numpy()[:, None, None] * 2
    x[np.arange(40) >= n_frames[:, None]] = 0
    return manifest, Frames(x, n_frames, manifest["clip_id"].to_numpy(dtype=str))


def experiment(**changes):
    manifest, frames = problem()
    made = training.Experiment(
        name="toy",
        manifest=manifest,
        frames=frames,
        labels=LABELS,
        model="bilstm_attention",
        model_arguments={"filters": 16, "stride": 4, "units": 16, "dropout": 0.2},
        recipe=RECIPE,
        n_folds=3,
    )
    return dataclasses.replace(made, **changes)


def folds():
    return splits.make_folds(problem()[0], "speaker_groups", n_groups=3)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Folder of artefacts, experiment and result of one fold that trained long enough to learn."""
    cache = tmp_path_factory.mktemp("folds")
    toy = experiment(recipe=dataclasses.replace(RECIPE, epochs=12, patience=12))
    return cache, toy, training.cross_validate(toy, folds()[:1], seeds=[0], cache=cache, jobs=1)[0]


def test_it_learns_and_the_table_keeps_the_contract(learnt):
    result = learnt[2]
    table = training.predictions_table([result], corpus="toy")
    assert (table["y_true"] == table["y_pred"]).mean() > 0.9
    assert set(table["clip_id"]) == set(folds()[0].test)
    np.testing.assert_allclose(table[[f"p_{label}" for label in LABELS]].sum(axis=1), 1, atol=1e-5)
    predicted = table[[f"p_{label}" for label in LABELS]].to_numpy().argmax(1)
    assert (np.array(LABELS)[predicted] == table["y_pred"]).all()
    assert result.facts["best_epoch"] == result.history["val_uar"].idxmax() + 1


def test_validation_clips_are_answered_by_the_weights_that_they_chose(learnt):
    result = learnt[2]
    assert set(result.validation["clip_id"]) == set(folds()[0].validation)
    assert list(result.validation) == list(result.predictions)
    uar = recall_score(result.validation["y_true"], result.validation["y_pred"], average="macro")
    assert uar == pytest.approx(result.facts["val_uar"])


def test_refitted_nets_learn_from_those_who_validate_and_keep_the_last_epoch(tmp_path, monkeypatch):
    toy, fold = experiment(refit=True), folds()[0]
    heard, kept = [], []
    real, batches = training.folds.fit, training.folds.batches

    def fit(net, *args, **options):
        best = real(net, *args, **options)
        kept.append((best.epoch, net.get_weights(), best.weights))
        return best

    def spy(experiment, normaliser, ids, rng=None):
        heard.append((set(ids), rng is None))
        return batches(experiment, normaliser, ids, rng)

    monkeypatch.setattr(training.folds, "fit", fit)
    monkeypatch.setattr(training.folds, "batches", spy)
    result = training.cross_validate(toy, [fold], seeds=[0], cache=tmp_path, jobs=1)[0]
    everyone = {*fold.train, *fold.validation}
    assert heard == [(everyone, False), (set(fold.test), True)]
    assert set(result.normaliser.clip_ids) == everyone
    assert kept[0][0] == RECIPE.epochs == result.facts["best_epoch"]
    assert np.isnan(result.facts["val_uar"])
    assert result.history["val_uar"].isna().all()
    assert result.validation.empty
    assert list(result.validation) == list(result.predictions)
    plain = training.cross_validate(experiment(), [fold], seeds=[0], cache=tmp_path, jobs=1)[0]
    assert not np.array_equal(plain.predictions["p_sad"], result.predictions["p_sad"])


def test_refitting_leaks_nothing_and_waits_for_nobody(tmp_path):
    fold = folds()[0]
    bad = dataclasses.replace(fold, validation=np.append(fold.validation, fold.test[0]))
    with pytest.raises(splits.LeakError):
        training.cross_validate(experiment(refit=True), [bad], seeds=[0], cache=tmp_path, jobs=1)
    with pytest.raises(study.UserError, match="schedule 'plateau' waits for validation, and refit leaves none"):
        experiment(refit=True, recipe=dataclasses.replace(RECIPE, schedule="plateau"))


def test_two_runs_are_identical_whatever_the_number_of_processes(tmp_path):
    toy = experiment(recipe=dataclasses.replace(RECIPE, epochs=2))
    tables = [
        training.predictions_table(
            training.cross_validate(toy, folds()[:1], seeds=[0, 1], cache=tmp_path / str(jobs), jobs=jobs)
        )
        for jobs in (1, 2)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert not np.array_equal(*(tables[0].query("seed == @s")["p_angry"].to_numpy() for s in (0, 1)))


def test_finished_folds_are_not_trained_again(learnt, monkeypatch):
    cache, toy, first = learnt
    trained = []
    made = dataclasses.replace(first, model=training.load_model(first))
    monkeypatch.setattr(training.folds, "fit_fold", lambda fold, *_, **__: trained.append(fold.index) or made)
    again = training.cross_validate(toy, folds()[:2], seeds=[0], cache=cache, jobs=1)
    assert trained == [1]
    pd.testing.assert_frame_equal(first.predictions, again[0].predictions, check_exact=True)
    other = dataclasses.replace(toy, recipe=dataclasses.replace(RECIPE, epochs=1))
    training.cross_validate(other, folds()[:1], seeds=[0], cache=cache, jobs=1)
    assert trained == [1, 0]


def test_a_stored_net_predicts_what_was_stored(learnt):
    _, toy, result = learnt
    ids = result.predictions["clip_id"].to_numpy(dtype=str)
    rows = toy.frames.rows(ids)
    x = result.normaliser.apply(toy.frames.x[rows], toy.frames.n_frames[rows])
    mask = (np.arange(40) < toy.frames.n_frames[rows][:, None]).astype(np.float32)
    probabilities = training.load_model(result)([x, mask])
    np.testing.assert_allclose(probabilities, result.predictions[[f"p_{name}" for name in LABELS]], atol=1e-5)


def test_a_leak_stops_the_run_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(training.folds, "fresh_net", lambda *a, **k: pytest.fail("training started"))
    fold = folds()[0]
    bad = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))
    with pytest.raises(splits.LeakError):
        training.cross_validate(experiment(), [bad], seeds=[0], cache=tmp_path, jobs=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", splits.OFFICIAL)
def test_a_fold_with_an_empty_part_is_refused(part):
    fold = folds()[0]
    with pytest.raises(study.UserError, match=f"its part '{part}' has no clip"):
        training.fit_normaliser(dataclasses.replace(fold, **{part: fold.test[:0]}), experiment())


def test_a_normaliser_fitted_on_test_rows_is_noticed(tmp_path, monkeypatch):
    toy = experiment()
    honest = training.Normaliser.fit
    everything = toy.frames.clip_ids
    monkeypatch.setattr(training.Normaliser, "fit", lambda frames, ids: honest(frames, everything))
    with pytest.raises(splits.LeakError, match="normaliser was fitted on held-out clips"):
        training.cross_validate(toy, folds()[:1], seeds=[0], cache=tmp_path, jobs=1)


def test_the_normaliser_sees_valid_training_frames_only():
    manifest, frames = problem()
    ids = manifest["clip_id"].to_numpy(dtype=str)[:9]
    fitted = training.Normaliser.fit(frames, ids)
    valid = np.concatenate([frames.x[i, : frames.n_frames[i]] for i in range(9)])
    np.testing.assert_allclose(fitted.mean, valid.mean(0), rtol=1e-5)
    np.testing.assert_allclose(fitted.std, valid.std(0), rtol=1e-4)
    x = fitted.apply(frames.x, frames.n_frames)
    assert not x[np.arange(40) >= frames.n_frames[:, None]].any()


def test_rare_classes_weigh_more():
    targets = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    batches = training.Batches(np.zeros((4, 5, 2), np.float32), np.full(4, 5), targets, RECIPE)
    _, _, weight = next(iter(batches))
    assert weight.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_a_pass_holds_every_clip_once_cut_to_the_longest_of_its_batch():
    n_frames = np.random.default_rng(0).integers(1, 100, size=50)
    x = np.tile(np.arange(50, dtype=np.float32)[:, None, None] + 1, (1, 100, 2))
    still = FrameAugmentation(time_mask=0.0, column_mask=0.0, mixup=0.0, speed=0.0)
    plain = dataclasses.replace(RECIPE, batch_size=8, augmentation=still)
    batches = training.Batches(x, n_frames, np.eye(50, dtype=np.float32), plain, np.random.default_rng(0))
    seen = []
    for (frames, mask), targets, _ in batches:
        rows = targets.argmax(1)
        assert (frames[:, 0, 0] == rows + 1).all()
        assert (mask.sum(1) == n_frames[rows]).all()
        assert n_frames[rows].max() <= frames.shape[1] <= min(n_frames[rows].max() + 31, 100)
        seen += rows.tolist()
    assert sorted(seen) == list(range(50))
    assert seen != sorted(seen)


def test_impossible_recipes_are_refused():
    with pytest.raises(study.UserError, match="epochs 0"):
        training.Recipe(epochs=0)


def test_missing_features_are_an_error():
    _, frames = problem()
    with pytest.raises(KeyError):
        frames.rows(np.array(["nobody"]))


def copies_of(manifest, frames, n=2, **options):
    """Copies that are their parents, one higher."""
    table = pd.concat([manifest.assign(parent=manifest["clip_id"], k=k) for k in range(n)], ignore_index=True)
    table["clip_id"] = table["parent"] + "~" + table.pop("k").astype(str)
    table["sha256"], table["noise_id"] = table["clip_id"], ["rain"] + [""] * (len(table) - 1)
    rows = frames.rows(table["parent"].to_numpy(dtype=str))
    made = Frames(frames.x[rows] + 1, frames.n_frames[rows], table["clip_id"].to_numpy(dtype=str))
    return training.Copies(table, made, **options)


def test_copies_stand_in_for_their_clips_and_cost_no_step():
    x = np.zeros((5, 4, 1), np.float32)
    x[:, :, 0] = np.array([0, 10, 1, 2, 11])[:, None]  # two clips (0 and 10), then their copies
    targets = np.eye(2, dtype=np.float32)
    others = [np.array([2, 3]), np.array([4])]
    recipe = dataclasses.replace(RECIPE, augmentation=FrameAugmentation(0, 0, 0, 0))

    def seen(rng, share):
        batches = training.Batches(x, np.full(5, 4), targets, recipe, rng, others=others, share=share)
        assert len(batches) == 1
        passes = [batch for _ in range(20) for batch in batches]
        return {pair for b, t, _ in passes for pair in zip(b[0][:, 0, 0].tolist(), t.argmax(1).tolist(), strict=True)}

    rng = np.random.default_rng(0)
    assert seen(rng, 1.0) == {(1.0, 0), (2.0, 0), (11.0, 1)}
    assert seen(rng, 0.5) == {(0.0, 0), (1.0, 0), (2.0, 0), (10.0, 1), (11.0, 1)}
    assert seen(None, 1.0) == {(0.0, 0), (10.0, 1)}


def test_only_copies_of_training_clips_train(tmp_path, monkeypatch):
    toy = experiment(recipe=dataclasses.replace(RECIPE, epochs=1))
    toy = dataclasses.replace(toy, copies=copies_of(toy.manifest, toy.frames))
    fold = folds()[0]
    training.fit_normaliser(fold, toy)
    assert set(toy.copies.table["parent"].iloc[toy.copies.of(fold.train)]) == set(fold.train)
    everything = np.arange(len(toy.copies.table))
    monkeypatch.setattr(training.Copies, "of", lambda self, ids: everything)
    with pytest.raises(splits.LeakError, match="leak 'speaker'"):
        training.cross_validate(toy, [fold], seeds=[0], cache=tmp_path, jobs=1)
    anyone = dataclasses.replace(toy, allow_leaks=("speaker",))
    with pytest.raises(splits.LeakError, match="leak 'parent'"):
        training.cross_validate(anyone, [fold], seeds=[0], cache=tmp_path, jobs=1)


def test_copies_change_what_is_learnt(tmp_path):
    toy = experiment(recipe=dataclasses.replace(RECIPE, epochs=1))
    made = [
        dataclasses.replace(toy, copies=copies) for copies in (None, copies_of(toy.manifest, toy.frames, share=1.0))
    ]
    answers = [training.cross_validate(e, folds()[:1], seeds=[0], cache=tmp_path, jobs=1)[0].predictions for e in made]
    assert not np.allclose(*(table["p_angry"] for table in answers))


def test_a_net_that_is_used_again_starts_like_a_new_one():
    toy, fold = experiment(recipe=dataclasses.replace(RECIPE, epochs=2)), folds()[0]
    training.fitting._compiled.cache_clear()
    first = training.fit_fold(fold, 0, toy)
    weights = [w.copy() for w in first.model.get_weights()]
    other = training.fit_fold(folds()[1], 1, toy)
    assert other.model is first.model
    again = training.fit_fold(fold, 0, toy)
    pd.testing.assert_frame_equal(first.predictions, again.predictions, check_exact=True)
    pd.testing.assert_frame_equal(first.history, again.history, check_exact=True)
    assert all(np.array_equal(a, b) for a, b in zip(weights, again.model.get_weights(), strict=True))
    assert not np.allclose(first.predictions["p_angry"], other.predictions["p_angry"])
