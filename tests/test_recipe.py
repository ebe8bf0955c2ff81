"""Recipes that cannot be are refused; the best epoch is the one that stays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ser_utils import features, models, study, training


@pytest.fixture(scope="module", autouse=True)
def _seeded():
    study.seed_everything(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs 0 must be 1 or more"),
        ({"patience": 0}, "patience 0 must be 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay -1.0 must be 0 or more"),
        ({"label_smoothing": 1.5}, "label_smoothing 1.5 must be at least 0 and below 1"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        training.Recipe(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"hop_length": 0}, "hop_length 0 must be above 0"), ({"clip_mean": "no"}, "clip_mean 'no' is unknown")],
)
def test_features_that_cannot_be_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        features.FrameSpec(**change)


@pytest.mark.parametrize(
    ("change", "message"), [({"stride": 3}, "stride 3 is unknown"), ({"dropout": 7}, "dropout 7 must be")]
)
def test_nets_that_cannot_be_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        models.bilstm_attention(8, 3, **change)


@pytest.fixture
def scripted(monkeypatch):
    """A net whose weight is the number of the epoch, and validation answers that follow a script of UARs."""

    class Counter:
        def __init__(self):
            self.epoch, self.optimizer = 0, SimpleNamespace(learning_rate=0.0)

        def reset_metrics(self):
            """No metric is kept."""

        def train_on_batch(self, x, y, sample_weight):
            self.epoch += 1
            return 1.0

        def get_weights(self):
            return [self.epoch]

        def set_weights(self, weights):
            self.epoch = weights[0]

    net = Counter()
    uars = iter([0.3, 0.5, 0.4, 0.9, 0.6, 0.6, 0.6, 0.9, 1.0])
    monkeypatch.setattr(training.fitting, "predict", lambda net, batches: np.eye(2)[[0, 1]])
    monkeypatch.setattr(training.fitting, "recall_score", lambda *a, **k: next(uars))
    return net


class Data:
    """One batch an epoch."""

    targets = np.eye(2)

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([(None, None, None)])


def test_training_stops_without_progress_and_keeps_the_best_epoch(scripted):
    best = training.fit(scripted, Data(), Data(), training.Recipe(epochs=20, patience=3), label="toy")
    assert [row["epoch"] for row in best.history] == [1, 2, 3, 4, 5, 6, 7]
    assert (best.epoch, best.uar) == (4, 0.9)
    assert scripted.epoch == 4


def test_training_without_patience_left_ends_with_its_epochs(scripted):
    best = training.fit(scripted, Data(), Data(), training.Recipe(epochs=2, patience=2), label="toy")
    assert (len(best.history), best.epoch, scripted.epoch) == (2, 2, 2)


def test_the_rate_warms_up_and_falls_to_zero():
    recipe = training.Recipe(epochs=5, learning_rate=0.01)
    rate = [training.learning_rate(step, recipe, steps_per_epoch=10) for step in range(51)]
    assert rate[0] == pytest.approx(0.0001)
    assert rate[10] == pytest.approx(0.01)
    assert np.all(np.diff(rate[:11]) > 0)
    assert np.all(np.diff(rate[10:]) < 0)
    assert rate[50] == pytest.approx(0, abs=1e-6)


def test_every_step_is_taken_at_its_rate():
    study.seed_everything(0)
    recipe = training.Recipe(epochs=2, batch_size=2, learning_rate=0.01)
    net = training.fresh_net("small_cnn", {"filters": 4}, 3, 2, recipe)
    seen, step = [], net.train_on_batch
    net.train_on_batch = lambda *a, **k: seen.append(float(net.optimizer.learning_rate)) or step(*a, **k)
    x, targets = np.zeros((4, 32, 3), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    data = training.Batches(x, np.full(4, 32), targets, recipe)
    training.fit(net, data, data, recipe, label="toy")
    assert seen == pytest.approx([training.learning_rate(i, recipe, steps_per_epoch=2) for i in range(4)])
