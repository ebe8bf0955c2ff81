"""Fine-tuning on folds: it learns from training speakers, stops by validation speakers, and comes from the cache."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ser_utils import evaluation, splits, study, training
from ser_utils.features import Frames
from ser_utils.pretrained import finetuning

LABELS = ("angry", "sad")
RECIPE = training.Recipe(epochs=4, patience=4, batch_size=16, learning_rate=3e-3, warmup_epochs=1)
OPTIONS = {"n_tuned": 1, "start": "conv3", "published": False, "dropout": 0.0}
TASK = {"run_id": "r", "profile": "p", "corpus": "toy", "corpus_version": "1", "split": "speaker_groups"}


@pytest.fixture(autouse=True, scope="module")
def _threads_are_fixed():
    study.seed_everything(0)


def problem():
    """Clips of six speakers; frames that are larger in the first columns are sad."""
    rows = [
        {"clip_id": f"s{s}c{c}", "speaker": f"s{s}", "gender": "female" if s % 2 else "male", "emotion": LABELS[c % 2]}
        for s in range(6)
        for c in range(8)
    ]
    manifest = pd.DataFrame(rows).assign(corpus="toy", sha256=lambda t: t["clip_id"])
    x = np.abs(np.random.default_rng(0).standard_normal((len(manifest), 6, 512))).astype(np.float32)
    x[:, :, :40] += 2 * (manifest["emotion"] == "sad").to_numpy()[:, None, None]
    n_frames = np.full(len(x), 6, dtype=np.int32)
    return manifest, Frames(x, n_frames, manifest["clip_id"].to_numpy(dtype=str))


def run(cache, **changes):
    manifest, frames = problem()
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=3)[:1]
    settings = {"options": OPTIONS, "recipe": RECIPE, "cache": cache, "jobs": 1, "folds": folds} | changes
    folds = settings.pop("folds")
    return finetuning.cross_validate(manifest, frames, folds, LABELS, **settings), folds


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    cache = tmp_path_factory.mktemp("tuned")
    return cache, *run(cache)


def test_it_learns_and_keeps_the_contract(tuned):
    _, results, folds = tuned
    table = finetuning.predictions_table(results, features="toy", train_regime="clean", condition="clean", **TASK)
    evaluation.validate_predictions(table)
    assert evaluation.uar(table["y_true"], table["y_pred"]) > 0.8
    assert set(table["clip_id"]) == set(folds[0].test)
    known = finetuning.predictions_table(results, part="validation")
    assert set(known["clip_id"]) == set(folds[0].validation)
    assert evaluation.uar(known["y_true"], known["y_pred"]) == pytest.approx(results[0].facts["val_uar"])


def test_a_finished_fold_is_not_tuned_again(tuned, monkeypatch):
    cache, first, _ = tuned
    monkeypatch.setattr(finetuning, "fit_fold", lambda *_: pytest.fail("tuned again"))
    again, _ = run(cache)
    pd.testing.assert_frame_equal(first[0].predictions, again[0].predictions, check_exact=True)
    with pytest.raises(pytest.fail.Exception, match="tuned again"):
        run(cache, options=OPTIONS | {"rate": 0.2})


def test_a_leak_stops_it_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "fit_fold", lambda *_: pytest.fail("tuned"))
    manifest, _ = problem()
    fold = splits.make_folds(manifest, "speaker_groups", n_groups=3)[0]
    bad = splits.Fold(0, np.append(fold.train, fold.test[0]), fold.validation, fold.test)
    with pytest.raises(splits.LeakError):
        run(tmp_path, folds=[bad])
    with pytest.raises(study.UserError, match="'validation' has no clip"):
        run(tmp_path, folds=[splits.Fold(0, fold.train, fold.validation[:0], fold.test)])
