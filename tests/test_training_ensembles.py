"""Ensembles of saved predictions: means of probabilities, one row per clip, members that fit together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ser_utils import evaluation, study

LABELS = ("angry", "happy", "sad")


def predictions(*, seeds=(3, 4, 5), model="lstm", features="log_mel", n_clips=12, seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for number in seeds:
        p = rng.dirichlet(np.ones(3), size=n_clips)
        table = pd.DataFrame(
            {"clip_id": [f"c{i}" for i in range(n_clips)], "speaker": [f"s{i % 3}" for i in range(n_clips)]}
        )
        table["y_true"] = [LABELS[i % 3] for i in range(n_clips)]
        table["y_pred"] = np.array(LABELS)[p.argmax(1)]
        table[[f"p_{label}" for label in LABELS]] = p
        parts.append(table.assign(seed=number, fold=[i % 3 for i in range(n_clips)]))
    known = {"run_id": "r", "profile": "toy", "corpus": "toy", "corpus_version": "1", "split": "loso", "model": model}
    known |= {"features": features, "train_regime": "clean", "condition": "clean", "p_calm": np.nan}
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0).assign(**known)


def test_an_ensemble_over_seeds_is_their_mean():
    members = predictions()
    made = evaluation.ensemble(members, over="seed")
    evaluation.validate_predictions(made)
    assert list(made.columns) == list(members.columns)
    assert set(made["model"]) == {"lstm+ensemble3"}
    assert sorted(made["clip_id"]) == sorted(set(members["clip_id"]))
    row = made[made["clip_id"] == "c7"].iloc[0]
    mean = members.loc[members["clip_id"] == "c7", ["p_angry", "p_happy", "p_sad"]].mean()
    np.testing.assert_allclose(row[mean.index].astype(float), mean)
    assert row["y_pred"] == mean.idxmax().removeprefix("p_")
    assert (row["y_true"], row["speaker"], row["fold"]) == (LABELS[7 % 3], "s1", 1)
    assert made["p_calm"].isna().all()


def test_every_system_has_its_own_ensemble():
    both = pd.concat([predictions(), predictions(model="cnn", seed=1)], ignore_index=True)
    made = evaluation.ensemble(both, over="seed")
    assert made.groupby("model").size().to_dict() == {"cnn+ensemble3": 12, "lstm+ensemble3": 12}


def test_an_ensemble_of_systems_is_one_per_seed():
    both = pd.concat([predictions(), predictions(model="cnn", features="mfcc", seed=1)], ignore_index=True)
    made = evaluation.ensemble(both, over="system", name="lstm+cnn")
    evaluation.validate_predictions(made)
    assert made.groupby("seed").size().to_dict() == {3: 12, 4: 12, 5: 12}
    assert set(made["features"]) == {"several"}
    assert set(made["train_regime"]) == {"clean"}
    where = (both["clip_id"] == "c2") & (both["seed"] == 4)
    answer = made[(made["clip_id"] == "c2") & (made["seed"] == 4)].iloc[0]
    assert answer["p_happy"] == pytest.approx(both.loc[where, "p_happy"].mean())


def test_an_emotion_that_one_member_lacks_counts_as_no_chance():
    narrow = predictions(model="cnn", seed=1)
    narrow[["p_angry", "p_happy"]] += narrow[["p_sad"]].to_numpy() / 2
    both = pd.concat([predictions(), narrow.assign(p_sad=np.nan)], ignore_index=True)
    made = evaluation.ensemble(both, over="system", name="both")
    np.testing.assert_allclose(made[["p_angry", "p_happy", "p_sad"]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (predictions(), {"over": "fold"}, "over 'fold' is unknown"),
        (predictions(), {"over": "system"}, "needs a name"),
        (predictions(seeds=(0,)), {"over": "seed"}, "has 1 members"),
        (predictions().iloc[1:], {"over": "seed"}, "has 3 members, and clip .* has 2 predictions"),
    ],
)
def test_ensembles_that_cannot_be_are_refused(rows, options, message):
    with pytest.raises(study.UserError, match=message):
        evaluation.ensemble(rows, **options)
