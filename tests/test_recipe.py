"""Recipes that cannot be are refused; the best epoch is the one that stays."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from ser_utils import features, models, study, training
from ser_utils.augment import FrameAugmentation


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
        ({"optimizer": "sgd"}, "optimizer sgd must be one of adamw, adam"),
        ({"schedule": "step"}, "schedule step must be one of cosine, plateau"),
        ({"balance": "copies"}, "balance copies must be one of weights, sampling, none"),
        ({"averaging": "mean"}, "averaging mean must be one of none, swa, ema"),
        ({"average_share": 0.0}, "average_share 0.0 must be above 0 and at most 1"),
        ({"average_decay": 1.0}, "average_decay 1.0 must be between 0 and 1"),
        ({"precision": "float16"}, "precision float16 must be one of float32, mixed_bfloat16"),
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
            self.name, self.variables = "counter", []

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


def test_a_plateau_halves_the_rate(scripted):
    recipe = training.Recipe(epochs=8, patience=8, schedule="plateau", plateau_epochs=2, learning_rate=0.8)
    best = training.fit(scripted, Data(), Data(), recipe, label="toy")
    rates = [row["learning_rate"] for row in best.history]
    assert rates == pytest.approx([0.008, 0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4])  # the best is epoch 4


def test_the_mean_of_the_last_epochs_is_scored_and_training_goes_on_from_its_own_weights(scripted):
    recipe = training.Recipe(epochs=9, patience=1, averaging="swa", average_share=0.5)
    seen, logged = [], []

    class Watched(Data):
        def __iter__(self):
            seen.append(scripted.epoch)
            return super().__iter__()

    best = training.fit(scripted, Watched(), Data(), recipe, label="toy", log=lambda **row: logged.append(row))
    assert seen == list(range(9))  # weights at the start of each epoch: no average, and no early stop
    assert best.epoch == 9
    assert scripted.epoch == pytest.approx(np.mean([5, 6, 7, 8, 9]))
    assert logged == best.history


def test_a_mean_of_batch_statistics_is_refused(scripted):
    scripted.variables = [SimpleNamespace(path="stem/batch_normalization/moving_variance")]
    with pytest.raises(study.UserError, match="averaging swa does not fit counter"):
        training.fit(scripted, Data(), Data(), training.Recipe(averaging="swa"), label="toy")


def test_a_moving_average_over_steps_is_what_is_scored():
    recipe = training.Recipe(batch_size=2, averaging="ema", average_decay=0.5)
    net = training.fresh_net("small_cnn", {"filters": 4}, 3, 2, recipe)
    x, targets = np.random.default_rng(0).standard_normal((2, 32, 3)).astype(np.float32), np.eye(2, dtype=np.float32)
    (inputs, y, weight) = next(iter(training.Batches(x, np.full(2, 32), targets, recipe)))
    expected = None
    for _ in range(4):
        net.optimizer.learning_rate = 0.01
        net.train_on_batch(inputs, y, sample_weight=weight)
        weights = net.get_weights()
        old = weights if expected is None else expected
        expected = [0.5 * mean + 0.5 * new for mean, new in zip(old, weights, strict=True)]
    with training.averaging.Averaging(net, recipe).applied(1):
        scored = net.get_weights()
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(scored, expected, strict=True))
    assert not all(np.allclose(a, b, atol=1e-4) for a, b in zip(scored, weights, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), weights, strict=True))


def test_the_optimizer_is_the_one_of_the_recipe():
    nets = [
        training.fresh_net("small_cnn", {"filters": 4}, 3, 2, training.Recipe(optimizer=o)) for o in ("adam", "adamw")
    ]
    assert [type(net.optimizer).__name__ for net in nets] == ["Adam", "AdamW"]
    assert [net.optimizer.weight_decay for net in nets] == [None, 0.01]


def test_mixed_precision_needs_a_gpu(monkeypatch):
    recipe = training.Recipe(precision="mixed_bfloat16")
    monkeypatch.setattr(training.fitting, "has_gpu", lambda: False)
    with pytest.raises(study.UserError, match="precision mixed_bfloat16 needs a GPU"):
        training.fresh_net("small_cnn", {"filters": 4}, 3, 2, recipe)


def test_mixed_precision_ends_in_a_net_of_full_precision(monkeypatch):
    monkeypatch.setattr(training.fitting, "has_gpu", lambda: True)
    recipe = training.Recipe(precision="mixed_bfloat16", batch_size=2)
    net = training.fresh_net("small_cnn", {"filters": 4}, 3, 2, recipe)
    assert keras.config.dtype_policy().name == "float32"
    x, targets = np.random.default_rng(0).standard_normal((2, 32, 3)).astype(np.float32), np.eye(2, dtype=np.float32)
    data = training.Batches(x, np.full(2, 32), targets, recipe)
    whole = training.fitting.full_precision(net, "small_cnn", {"filters": 4})
    half, full = (training.predict(n, data) for n in (net, whole))
    assert half.dtype == full.dtype == np.float32
    np.testing.assert_allclose(half.sum(1), 1, atol=1e-6)
    assert 0 < np.abs(half - full).max() < 0.02


def test_balanced_sampling_draws_all_classes_alike():
    targets = np.eye(2, dtype=np.float32)[[0] * 90 + [1] * 10]
    x = np.zeros((100, 5, 2), np.float32)

    def drawn(balance):
        recipe = training.Recipe(balance=balance, augmentation=FrameAugmentation(0, 0, 0, 0))
        batches = training.Batches(x, np.full(100, 5), targets, recipe, np.random.default_rng(0))
        passes = [batch for _ in range(20) for batch in batches]
        assert len(passes) == 20 * len(batches)
        return np.concatenate([y for _, y, _ in passes]).mean(0)[1], np.concatenate([w for *_, w in passes])

    share, weight = drawn("sampling")
    assert share == pytest.approx(0.5, abs=0.05)
    assert set(weight.tolist()) == {1.0}
    share, weight = drawn("none")
    assert share == pytest.approx(0.1)
    assert set(weight.tolist()) == {1.0}
