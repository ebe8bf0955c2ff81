"""Fusion nets: masks, missing and wrong modalities, the gate, resuming, and what each kind of fusion can learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ser_utils import evaluation, fusion, splits, study, training
from ser_utils.features import Frames, Table

LABELS = ("angry", "happy", "neutral", "sad")
RECIPE = training.Recipe(epochs=30, patience=30, batch_size=24, learning_rate=2e-2, label_smoothing=0.0)
SMALL = {"units": 16, "dropout": 0.1}
CONSTANTS = {"run_id": "r", "profile": "p", "corpus": "toy", "corpus_version": "1", "split": "speaker_groups"}
P = [f"p_{label}" for label in LABELS]


@pytest.fixture(autouse=True, scope="module")
def _threads_are_fixed():
    study.seed_everything(0)


def problem(n_speakers=8, per_speaker=24, *, seed=0):
    """Four emotions: sound tells the first pair from the second, text which one of a pair it is."""
    rng = np.random.default_rng(seed)
    rows = [
        {"clip_id": f"s{s}c{c}", "speaker": f"s{s}", "gender": "female" if s % 2 else "male", "emotion": LABELS[c % 4]}
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    manifest = pd.DataFrame(rows).assign(sha256=lambda t: t["clip_id"], corpus="toy")
    code = manifest["emotion"].map(LABELS.index).to_numpy()
    ids = manifest["clip_id"].to_numpy(dtype=str)
    audio, words = (rng.standard_normal((len(ids), n)).astype(np.float32) for n in (6, 5))
    audio[:, 0] += 6 * (code // 2)
    words[:, 0] += 6 * (code % 2)
    return manifest, Table(audio, tuple("abcdef"), ids), Table(words, tuple("abcde"), ids)


def experiment(**changes):
    manifest, audio, words = problem()
    made = fusion.Experiment(
        name="toy",
        manifest=manifest,
        audio=audio,
        text=words,
        labels=LABELS,
        model="early",
        model_arguments=SMALL,
        recipe=RECIPE,
    )
    return dataclasses.replace(made, **changes)


def folds():
    return splits.make_folds(problem()[0], "speaker_groups", n_groups=2)


def accuracy(table):
    return (table["y_true"] == table["y_pred"]).mean()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of artefacts, experiments, and one fold of each, trained long enough to learn."""
    cache = tmp_path_factory.mktemp("fusion")
    made = [experiment(model=name) for name in ("audio_only", "text_only", "early", "gated")]
    made.append(experiment(shuffle_text=True))
    return cache, made, fusion.cross_validate(made, folds()[:1], cache=cache, jobs=1)


@pytest.mark.parametrize("name", fusion.BUILDERS)
def test_what_the_mask_hides_changes_nothing(name):
    study.seed_everything(0)
    net = fusion.BUILDERS[name](3, 2, 4, units=8)
    rng = np.random.default_rng(0)
    audio, words = rng.standard_normal((5, 6, 3)), rng.standard_normal((5, 4, 2))
    audio_mask, text_mask = np.ones((5, 6)), np.ones((5, 4))
    audio_mask[:, 4:] = text_mask[:, 3:] = 0
    audio_mask[0] = text_mask[1] = 0  # one clip without sound, one without text
    before = np.asarray(net([audio, audio_mask, words, text_mask]))
    np.testing.assert_allclose(before.sum(axis=1), 1, atol=1e-5)
    loud = np.where(audio_mask[..., None] == 1, audio, 100), np.where(text_mask[..., None] == 1, words, -100)
    np.testing.assert_allclose(before, net([loud[0], audio_mask, loud[1], text_mask]), atol=1e-5)
    cut = net([audio[:, :4], audio_mask[:, :4], words[:, :3], text_mask[:, :3]])
    np.testing.assert_allclose(before, cut, atol=1e-5)


@pytest.mark.parametrize("name", ["early", "gated", "cross_attention"])
def test_both_modalities_reach_the_answer(name):
    study.seed_everything(0)
    net = fusion.BUILDERS[name](3, 2, 4, units=8)
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((3, 6, 3)), np.ones((3, 6)), rng.standard_normal((3, 4, 2)), np.ones((3, 4))]
    before = np.asarray(net(given))
    for place in (0, 2):
        other = [*given]
        other[place] = given[place] + 1
        assert not np.allclose(before, net(other), atol=1e-4)


@pytest.mark.parametrize(("name", "deaf_to"), [("audio_only", 2), ("text_only", 0)])
def test_a_net_of_one_modality_does_not_see_the_other(name, deaf_to):
    study.seed_everything(0)
    net = fusion.BUILDERS[name](3, 2, 4, units=8)
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((3, 1, 3)), np.ones((3, 1)), rng.standard_normal((3, 1, 2)), np.ones((3, 1))]
    other = [*given]
    other[deaf_to], other[deaf_to + 1] = given[deaf_to] + 1, given[deaf_to + 1] * 0
    np.testing.assert_array_equal(net(given), net(other))
    heard = [-x if place == 2 - deaf_to else x for place, x in enumerate(given)]
    assert not np.allclose(net(given), net(heard), atol=1e-4)


def test_attention_sums_to_one_over_what_can_be_seen():
    study.seed_everything(0)
    net = fusion.BUILDERS["cross_attention"](3, 2, 4, units=8, heads=2)
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((2, 6, 3)), np.ones((2, 6)), rng.standard_normal((2, 4, 2)), np.ones((2, 4))]
    given[1][1, 2:] = 0
    weights = fusion.attention(net, given)
    assert weights.shape == (2, 4, 6)
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-5)
    assert np.abs(weights[1, :, 2:]).max() < 1e-6
    assert fusion.attention(net, given, layer="audio_to_text").shape == (2, 6, 4)


@pytest.mark.parametrize(
    ("options", "said"), [({"units": 0}, "units 0"), ({"dropout": 1.0}, "dropout 1.0"), ({"heads": 3}, "heads 3 must")]
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(study.UserError, match=said):
        fusion.BUILDERS["cross_attention"](3, 2, 4, **{"units": 8} | options)


def test_fusion_knows_more_than_either_modality_and_the_table_keeps_the_contract(trained):
    _, _, results = trained
    table = fusion.predictions_table(results, features="toy", **CONSTANTS)
    table = pd.concat([table, fusion.late(table)], ignore_index=True)
    evaluation.validate_predictions(table)
    clean = table[(table["condition"] == "clean") & (table["train_regime"] == "clean")]
    scores = clean.groupby("model")[["y_true", "y_pred"]].apply(accuracy)
    assert (scores[["audio_only", "text_only"]] < 0.7).all()  # neither can tell within its pairs
    assert (scores[["early", "gated"]] > 0.9).all()
    # a mean of two answers settles a pair only as far as each net is equally unsure of what it cannot know
    assert scores["late"] > scores[["audio_only", "text_only"]].max()
    assert set(clean["clip_id"]) == set(folds()[0].test)


def test_late_fusion_is_the_mean_or_what_is_left(trained):
    table = fusion.predictions_table(trained[2][:2], features="toy", **CONSTANTS)
    late = fusion.late(table).set_index(["condition", "clip_id"])[P]
    known = table.set_index(["model", "condition", "clip_id"])[P]
    sound, words = known.loc["audio_only", "clean"], known.loc["text_only"]
    for condition, wanted in {
        "clean": (sound + words.loc["clean"]) / 2,
        "text=missing": sound,
        "audio=missing": words.loc["clean"],
        "text=shuffled": (sound + words.loc["text=shuffled"]) / 2,
    }.items():
        pd.testing.assert_frame_equal(late.loc[condition].sort_index(), wanted.sort_index(), check_dtype=False)
    with pytest.raises(study.UserError, match="needs predictions of text_only"):
        fusion.late(table[table["model"] == "audio_only"])


def test_conditions_do_what_they_say(trained):
    early = next(r for r in trained[2] if r.facts["model"] == "early" and r.facts["train_regime"] == "clean")
    scores = early.predictions.groupby("condition")[["y_true", "y_pred"]].apply(accuracy)
    assert list(early.predictions["condition"].unique()) == list(fusion.CONDITIONS)
    assert scores["clean"] > 0.9
    assert 0.3 < scores["text=missing"] < 0.75
    assert 0.3 < scores["audio=missing"] < 0.75
    assert 0.3 < scores["text=shuffled"] < 0.75
    deaf = trained[2][0].predictions["condition"].unique()
    assert list(deaf) == ["clean"]  # nothing else can change what audio_only answers


def test_with_wrong_texts_in_training_the_text_is_not_used(trained):
    shuffled = trained[2][-1]
    assert shuffled.facts["train_regime"] == fusion.SHUFFLED
    clean = shuffled.predictions[shuffled.predictions["condition"] == "clean"]
    assert accuracy(clean) < 0.75


def test_finished_folds_are_not_trained_again(trained, monkeypatch):
    cache, made, first = trained
    monkeypatch.setattr(fusion.folds, "fit_fold", lambda fold, *_: pytest.fail("trained again"))
    again = fusion.cross_validate(made, folds()[:1], cache=cache, jobs=1)
    for one, other in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)
        pd.testing.assert_frame_equal(one.validation, other.validation, check_exact=True)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        fusion.cross_validate([dataclasses.replace(made[0], modality_dropout=0.5)], folds()[:1], cache=cache, jobs=1)


def test_a_stored_net_predicts_what_was_stored(trained):
    _, made, results = trained
    for toy, result in ((made[0], results[0]), (made[3], results[3])):
        ids = result.predictions.query("condition == 'clean'")["clip_id"].to_numpy(dtype=str)
        net = fusion.load_model(result)
        probabilities = training.predict(net, fusion.Pairs(toy, result.normalisers, ids))
        stored = result.predictions.query("condition == 'clean'")[P]
        np.testing.assert_allclose(probabilities, stored, atol=1e-5)


def test_validation_predictions_are_of_the_validation_clips(trained):
    table = fusion.predictions_table(trained[2][:1], part="validation")
    assert set(table["clip_id"]) == set(folds()[0].validation)
    score = evaluation.uar(table["y_true"], table["y_pred"])
    assert score == pytest.approx(trained[2][0].facts["val_uar"])


def test_two_runs_are_identical(tmp_path):
    toy = experiment(recipe=dataclasses.replace(RECIPE, epochs=2))
    tables = [
        fusion.predictions_table(fusion.cross_validate([toy], folds()[:1], seeds=[0, 1], cache=tmp_path / run, jobs=1))
        for run in "ab"
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    first, second = (tables[0].query("seed == @s")["p_angry"].to_numpy() for s in (0, 1))
    assert not np.array_equal(first, second)


def test_a_leak_stops_the_run_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(fusion.folds, "fit_fold", lambda *a: pytest.fail("training started"))
    fold = folds()[0]
    bad = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))
    with pytest.raises(splits.LeakError):
        fusion.cross_validate([experiment()], [bad], cache=tmp_path, jobs=1)


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_a_normaliser_fitted_on_test_rows_is_noticed(tmp_path, monkeypatch, modality):
    toy, honest = experiment(), training.Normaliser.fit
    width = getattr(toy, modality).x.shape[1]
    everything = toy.audio.clip_ids

    def fit(frames, ids):
        return honest(frames, everything if frames.x.shape[2] == width else ids)

    monkeypatch.setattr(fusion.pairs.Normaliser, "fit", fit)
    with pytest.raises(splits.LeakError, match=f"normaliser of the {modality} was fitted on held-out clips"):
        fusion.cross_validate([toy], folds()[:1], cache=tmp_path, jobs=1)


def test_modality_dropout_takes_one_of_the_two_and_never_both():
    toy = experiment(modality_dropout=0.5)
    fold = folds()[0]
    normalisers = fusion.fit_normalisers(fold, toy)
    batches = fusion.Pairs(toy, normalisers, fold.train, rng=np.random.default_rng(0))
    masks = [(x[1][:, 0], x[3][:, 0]) for _ in range(20) for x, _, _ in batches]
    audio, words = (np.concatenate(parts) for parts in zip(*masks, strict=True))
    assert ((audio + words) >= 1).all()
    assert 0.2 < (audio == 0).mean() < 0.3
    assert 0.2 < (words == 0).mean() < 0.3
    still = fusion.Pairs(toy, normalisers, fold.test)
    assert all(x[1].all() and x[3].all() for x, _, _ in still)


def test_sequences_keep_their_lengths_and_vectors_are_one_step():
    manifest, _, words = problem()
    ids = manifest["clip_id"].to_numpy(dtype=str)
    n_frames = np.arange(len(ids), dtype=np.int32) % 5 + 1
    audio = Frames(np.ones((len(ids), 5, 3), dtype=np.float32), n_frames, ids)
    toy = experiment(model="cross_attention", audio=audio, text=words)
    fold = folds()[0]
    pairs = fusion.Pairs(toy, fusion.fit_normalisers(fold, toy), fold.test)
    given = next(iter(pairs))[0]
    assert given[0].shape[1:] == (5, 3)
    np.testing.assert_array_equal(given[1].sum(axis=1), n_frames[audio.rows(fold.test)][: len(given[1])])
    assert given[2].shape[1:] == (1, 5)


def test_wrong_settings_are_refused(tmp_path):
    with pytest.raises(study.UserError, match="fusion net 'sum' is unknown"):
        experiment(model="sum")
    with pytest.raises(study.UserError, match=r"modality_dropout 1\.0 must be"):
        experiment(modality_dropout=1.0)
    with pytest.raises(study.UserError, match="emotion 'sad' is not among"):
        experiment(labels=LABELS[:3])
    with pytest.raises(study.UserError, match="nothing to train"):
        fusion.cross_validate([experiment()], folds(), seeds=[], cache=tmp_path)
