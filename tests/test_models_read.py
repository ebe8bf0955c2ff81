"""What is read off a net: its cost against sums by hand, and where it looks against what it was made to see."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from ser_utils import models, study


@pytest.fixture(scope="module", autouse=True)
def seeded():
    study.seed_everything(0)


def clip(n_frames, n_columns):
    return np.random.default_rng(0).standard_normal((1, n_frames, n_columns)).astype(np.float32)


# --- cost -------------------------------------------------------------------------------------------------------


def scorer(columns):
    """Multiply-adds of attention pooling for each step."""
    return columns * 32 + 32


def test_cost_of_a_bilstm():
    found = models.cost(models.bilstm_attention(10, 3, filters=8, stride=2, units=6), 41)
    convs = 21 * 5 * 10 * 8 + 21 * 5 * 8 * 8
    lstm = 21 * 2 * 4 * 6 * (8 + 6)
    assert found["multiply_adds"] == convs + lstm + 21 * scorer(12) + 24 * 3
    weights = (5 * 10 * 8 + 8 + 16) + (5 * 8 * 8 + 8 + 16) + 2 * 4 * 6 * (8 + 6 + 1)
    assert found["n_parameters"] == weights + (12 * 32 + 32 + 32) + 24 * 3 + 3


def test_cost_of_lstms_after_averages():
    found = models.cost(models.lstm_123_64_32(10, 3, stride=4), 41)
    step = 4 * 123 * (10 + 123) + 4 * 64 * (123 + 64) + 4 * 32 * (64 + 32)
    assert found["multiply_adds"] == 11 * step + 32 * 3


def test_cost_of_a_separable_net_with_late_columns():
    net = models.cnn_2d(11, 3, n_bands=8, filters=(4, 6), time_strides=(2, 1), separable=True, width=8)
    first = 21 * 4 * 9 * 1 * 4
    second = 21 * 4 * 9 * 4 + 21 * 2 * 4 * 6  # depthwise at stride 1, then mixing at stride (1, 2)
    late = 21 * 5 * 3 * 8
    collapse = 21 * (2 * 6) * 8
    assert models.cost(net, 41)["multiply_adds"] == first + second + late + collapse + 21 * scorer(16) + 32 * 3


def test_cost_of_a_transformer():
    net = models.conformer(10, 3, width=16, blocks=1, heads=2, kernel=0)
    convs = 21 * 5 * 10 * 16 + 11 * 5 * 16 * 16
    attention = 11 * 4 * 16 * 16 + 2 * 11 * 11 * 16
    feed_forward = 2 * 11 * 2 * 16 * 32
    assert models.cost(net, 41)["multiply_adds"] == convs + attention + feed_forward + 11 * scorer(16) + 32 * 3


def test_a_conformer_adds_its_convolution():
    plain, full = (models.cost(models.conformer(10, 3, width=16, blocks=1, heads=2, kernel=k), 41) for k in (0, 5))
    assert full["multiply_adds"] - plain["multiply_adds"] == 11 * (16 * 32 + 5 * 16 + 16 * 16)


def test_resnet50_costs_what_is_published():
    backbone = models.resnet50(224, 2, n_frames=224)
    assert models.cost(backbone, 224)["multiply_adds"] == pytest.approx(3.86e9, rel=0.01)


# --- explanations -----------------------------------------------------------------------------------------------


def test_attention_sums_to_one():
    weights = models.attention(models.bilstm_attention(16, 5, filters=8, stride=4, units=6), clip(40, 16))
    assert weights.shape == (10,)
    assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_a_net_without_attention_says_so():
    with pytest.raises(study.UserError, match="model 'lstm_123_72_24' has no attention over time"):
        models.attention(models.lstm_123_72_24(4, 2), clip(8, 4))


def test_saliency_is_value_times_slope():
    net, x, mask = models.small_cnn(6, 3, filters=8), clip(20, 6), np.ones((1, 20), dtype=np.float32)
    mask[:, 17:] = 0
    found = models.saliency(net, x, mask=mask, label=1, n_samples=1, noise=0.0)
    assert found.shape == (20, 6)
    assert np.abs(found[17:]).max() == 0

    def score(step, frame, column):
        moved = x.copy()
        moved[0, frame, column] += step
        return np.log(float(net([moved, mask])[0, 1]))

    for frame, column in [(0, 0), (8, 3), (16, 5)]:
        slope = (score(0.02, frame, column) - score(-0.02, frame, column)) / 0.04
        assert found[frame, column] == pytest.approx(slope * x[0, frame, column], abs=2e-4, rel=0.05)


def test_saliency_repeats_and_its_noise_follows_the_seed():
    net, x = models.cnn_2d(8, 3, filters=(4,), time_strides=(2,), width=4), clip(12, 8)
    one, again, other = (models.saliency(net, x, n_samples=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0


@pytest.fixture(scope="module")
def detector():
    """A net that is made to see a bright point: class 0 where there is one, class 1 where there is none."""
    frames, mask = keras.Input((None, 12), name="frames"), keras.Input((None,), name="mask")
    image = layers.Conv2D(4, 1, activation="relu", use_bias=False, kernel_initializer="ones", name="points")
    points = image(ops.expand_dims(frames, -1))
    label = layers.Dense(2, activation="softmax", name="label")
    net = keras.Model([frames, mask], label(layers.GlobalAveragePooling2D()(points)))
    label.set_weights([np.array([[1.0, -1.0]] * 4, dtype=np.float32), np.zeros(2, dtype=np.float32)])
    return net


def test_grad_cam_finds_what_speaks_for_the_class(detector):
    x = np.zeros((1, 30, 12), dtype=np.float32)
    x[0, 21, 5] = 9
    heat = models.grad_cam(detector, x, label=0)
    assert heat.shape == (30, 12)
    assert np.unravel_index(heat.argmax(), heat.shape) == (21, 5)
    assert heat.max() == pytest.approx(1)
    assert models.grad_cam(detector, x, label=1).max() == 0


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("cnn_2d", {"filters": (4, 6), "time_strides": (2, 1), "width": 4}, (20, 8)),
        ("se_resnet", {"filters": (4, 6), "width": 4}, (10, 8)),
        ("resnet50", {"n_frames": 64}, (2, 1)),
    ],
)
def test_grad_cam_reads_the_last_convolution_of_every_2d_net(name, options, shape):
    heat = models.grad_cam(models.BUILDERS[name](32, 3, **options), clip(39, 32))
    assert heat.shape == shape
    assert np.isfinite(heat).all()
    assert 0 <= heat.min() <= heat.max() <= 1


def test_grad_cam_names_the_layers_there_are():
    net = models.cnn_2d(32, 3, filters=(4, 6), time_strides=(2, 1), width=4)
    assert models.grad_cam(net, clip(39, 32), layer="conv_0").shape == (20, 16)
    with pytest.raises(study.UserError, match="has no layer 'conv_9' over time × bands; use conv_0, conv_1"):
        models.grad_cam(net, clip(39, 32), layer="conv_9")
    with pytest.raises(study.UserError, match="model 'small_cnn' has no layer over time × bands; use a 2-D net"):
        models.grad_cam(models.small_cnn(32, 3, filters=4), clip(39, 32))


def test_another_backend_is_named(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(study.UserError, match="saliency needs the TensorFlow backend, not jax"):
        models.saliency(None, clip(4, 2))
