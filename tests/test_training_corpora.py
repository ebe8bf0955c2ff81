"""Several corpora in one training: merged, one against the others, one after the other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ser_utils import splits, study, training
from ser_utils.corpora import remaps
from ser_utils.features import Frames
from ser_utils.training.pretraining import pretrained

RAW = {"red": ("calm", "happy", "sad"), "blue": ("neutral", "happy", "boredom"), "green": ("neutral", "sad", "happy")}
STILL = training.Recipe(epochs=2, batch_size=16, patience=2)


def corpus(name, *, n_speakers=4, per_speaker=6, size=32, seed=0):
    """Clips of one corpus, with features and folds; the mean of a clip gives its emotion away."""
    rows = [
        {"clip_id": f"{name}_s{s}c{c}", "speaker": f"{name}_s{s}", "gender": "female" if s % 2 else "male"}
        | {"emotion": RAW[name][c % 3], "corpus": name, "corpus_version": "1"}
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    manifest = pd.DataFrame(rows).assign(sha256=lambda t: "hash of " + t["clip_id"])
    x = np.random.default_rng(seed).standard_normal((len(manifest), size, 4)).astype(np.float32)
    x += manifest["emotion"].map({"happy": 2, "sad": -2}).fillna(0).to_numpy()[:, None, None]
    ids = manifest["clip_id"].to_numpy(dtype=str)
    return manifest, Frames(x, np.full(len(x), size, np.int32), ids), splits.make_folds(manifest, "loso")


def parts(**sizes):
    return {name: corpus(name, n_speakers=n) for name, n in sizes.items()}


def experiment(merged, **changes):
    made = training.Experiment(
        name="toy",
        manifest=merged.manifest,
        frames=merged.frames,
        labels=merged.labels,
        model="small_cnn",
        model_arguments={"filters": 4, "strides": (2,)},
        recipe=STILL,
        n_folds=4,
    )
    return dataclasses.replace(made, **changes)


def test_merged_folds_test_every_clip_once_and_pass_the_gate():
    merged = training.merge(parts(red=4, blue=3))
    assert merged.labels == ("happy", "neutral", "sad")
    assert merged.left_out == {"red": 0, "blue": 6}
    assert len(merged.folds) == 4
    tested = np.concatenate([fold.test for fold in merged.folds])
    assert sorted(tested) == sorted(merged.manifest["clip_id"])
    for fold in merged.folds:
        training.fit_normaliser(fold, experiment(merged))
        assert {clip.split("_")[0] for clip in fold.train} == {"red", "blue"}
        assert {clip.split("_")[0] for clip in fold.validation} == {"red", "blue"}
    assert {clip.split("_")[0] for clip in merged.folds[3].test} == {"red"}


def test_a_speaker_who_is_alone_trains_and_others_validate():
    given = parts(red=4, blue=2)
    alone = given["blue"][2][0]
    merged = training.merge(given)
    training.fit_normaliser(merged.folds[0], experiment(merged))
    assert {clip.split("_")[0] for clip in merged.folds[0].validation} == {"red"}
    kept = set(merged.manifest["clip_id"])
    assert {*alone.train, *alone.validation} & kept == {c for c in merged.folds[0].train if c.startswith("blue")}


def test_merged_features_stay_with_their_clips():
    given = parts(red=2, blue=2)
    merged = training.merge(given)
    for manifest, frames, _ in given.values():
        ids = manifest.loc[manifest["emotion"].map(remaps.to_seven) != "", "clip_id"].to_numpy(dtype=str)
        assert np.array_equal(merged.frames.x[merged.frames.rows(ids)], frames.x[frames.rows(ids)])
    assert merged.manifest["clip_id"].tolist() == merged.frames.clip_ids.tolist()
    assert set(merged.manifest.query("corpus == 'red'")["emotion"]) == {"neutral", "happy", "sad"}


def test_corpora_that_do_not_fit_together_are_refused():
    red = corpus("red")
    with pytest.raises(study.UserError, match="clip 'red_s0c0' is in two of the corpora red, again"):
        training.merge({"red": red, "again": red})
    with pytest.raises(study.UserError, match="red 32 × 4, blue 16 × 4"):
        training.merge({"red": red, "blue": corpus("blue", size=16)})


def test_one_corpus_trains_and_all_others_are_tested(tmp_path):
    bare = {name: (*part[:2], ()) for name, part in parts(red=3, blue=2, green=2).items()}
    merged = training.merge(bare)
    fold = training.cross_corpus_fold(merged.manifest, "red")
    known = merged.manifest.set_index("clip_id")["corpus"]
    assert set(known[fold.train]) == set(known[fold.validation]) == {"red"}
    assert sorted(fold.test) == sorted(known.index[known != "red"])
    result = training.cross_validate(experiment(merged), [fold], seeds=[0], cache=tmp_path / "folds", jobs=1)
    table = training.by_corpus(training.predictions_table(result), merged.manifest, split="cross_corpus")
    assert table.groupby("corpus").size().to_dict() == {"blue": 8, "green": 12}
    assert (table["corpus"] == table["clip_id"].str.split("_").str[0]).all()
    assert set(table["split"]) == {"cross_corpus"}
    with pytest.raises(study.UserError, match="cross-corpus training on 'pink' needs it and another corpus"):
        training.cross_corpus_fold(merged.manifest, "pink")


def first(name="green", **options):
    manifest, frames, _ = corpus(name, **options)
    return training.Pretraining(manifest, frames, ("happy", "neutral", "sad"), STILL, validation_share=0.25)


@pytest.fixture
def counted(monkeypatch):
    """Trainings that happen, by the number of clips they train on."""
    calls, honest = [], training.fitting.fit

    def fit(net, train, *args, **options):
        calls.append(len(train.targets))
        return honest(net, train, *args, **options)

    monkeypatch.setattr(training.folds, "fit", fit)
    monkeypatch.setattr(training.pretraining, "fit", fit)
    return calls


def test_a_net_is_pretrained_once_for_all_folds_and_changes_what_they_learn(tmp_path, counted):
    merged = training.merge(parts(red=4))
    toy = experiment(merged, pretraining=first())
    folds = merged.folds[:2]
    results = training.cross_validate(toy, folds, seeds=[0], cache=tmp_path / "folds", jobs=1)
    assert counted == [18, 12, 12]  # three speakers of green, then two of red for each fold
    other = dataclasses.replace(toy, recipe=dataclasses.replace(STILL, learning_rate=1e-4))
    training.cross_validate(other, folds[:1], seeds=[0], cache=tmp_path / "folds", jobs=1)
    assert counted == [18, 12, 12, 12]
    plain = training.cross_validate(
        dataclasses.replace(toy, pretraining=None), folds[:1], seeds=[0], cache=tmp_path / "folds", jobs=1
    )
    assert not np.allclose(plain[0].predictions["p_happy"], results[0].predictions["p_happy"])


def test_a_fold_starts_from_the_pretrained_weights_with_a_new_last_layer(tmp_path, monkeypatch):
    merged = training.merge(parts(red=4))
    toy = experiment(merged, pretraining=first())
    key = training.experiments.identity(toy)
    weights = pretrained(toy, 0, identity=key, cache=tmp_path / "folds")
    seen = {}

    def look(net, *_, **__):
        seen["body"], seen["head"] = training.fitting.body_weights(net), net.layers[-1].get_weights()
        raise InterruptedError

    monkeypatch.setattr(training.folds, "fit", look)
    heads = []
    for start, pretraining in ((weights, toy.pretraining), ((), None)):
        with pytest.raises(InterruptedError):
            training.fit_fold(
                merged.folds[0], 0, dataclasses.replace(toy, pretraining=pretraining), start_weights=start
            )
        heads.append(seen["head"])
        same = all(np.array_equal(a, b) for a, b in zip(seen["body"], weights, strict=True))
        assert same == bool(pretraining)
    assert all(np.array_equal(a, b) for a, b in zip(*heads, strict=True))


@pytest.mark.parametrize("column", ["clip_id", "speaker", "sha256"])
def test_a_pretraining_that_knows_a_test_clip_is_refused(column):
    merged = training.merge(parts(red=4))
    other = first()
    known = merged.manifest.set_index("clip_id").loc[merged.folds[0].test[0]]
    value = known.name if column == "clip_id" else known[column]
    table = other.manifest.assign(**{column: [value, *other.manifest[column].iloc[1:]]})
    ids = table["clip_id"].to_numpy(dtype=str)
    bad = dataclasses.replace(other, manifest=table, frames=dataclasses.replace(other.frames, clip_ids=ids))
    training.fit_normaliser(merged.folds[0], experiment(merged, pretraining=other))
    with pytest.raises(splits.LeakError, match={"clip_id": "clip", "sha256": "content"}.get(column, column)):
        training.fit_normaliser(merged.folds[0], experiment(merged, pretraining=bad))
