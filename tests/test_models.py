"""Nets: padding never changes a result, weights survive saving, other backends agree."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from ser_utils import models, study


@pytest.fixture(scope="module", autouse=True)
def seeded():
    study.seed_everything(0)


@pytest.fixture(scope="module")
def net(seeded):
    return models.bilstm_attention(16, 5, filters=8, stride=4, units=6)


def batch(lengths, *, longest, fill=0.0):
    rng = np.random.default_rng(0)
    x = np.full((len(lengths), longest, 16), fill, dtype=np.float32)
    mask = np.zeros((len(lengths), longest), dtype=np.float32)
    for i, n in enumerate(lengths):
        x[i, :n] = rng.standard_normal((n, 16))
        mask[i, :n] = 1
    return [x, mask]


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_padding_never_changes_a_result(stride):
    net = models.bilstm_attention(16, 5, filters=8, stride=stride, units=6)
    lengths = [40, 17, 33]
    short = net.predict_on_batch(batch(lengths, longest=40))
    for extra in (1, 13, 64):
        long = net.predict_on_batch(batch(lengths, longest=40 + extra, fill=1e3))
        np.testing.assert_allclose(short, long, atol=1e-6, err_msg=f"{extra} frames of padding")


def test_neighbours_in_a_batch_never_change_a_result(net):
    x, mask = batch([40, 17, 33], longest=40)
    alone = net.predict_on_batch([x[1:2], mask[1:2]])
    np.testing.assert_allclose(net.predict_on_batch([x, mask])[1:2], alone, atol=1e-6)


def test_a_change_inside_the_mask_does_change_the_result(net):
    x, mask = batch([40, 17, 33], longest=40)
    before = net.predict_on_batch([x, mask])
    x[:, 16] += 5
    assert np.abs(net.predict_on_batch([x, mask]) - before).max() > 1e-3


def test_probabilities_sum_to_one(net):
    np.testing.assert_allclose(net.predict_on_batch(batch([40, 17], longest=40)).sum(1), 1, atol=1e-6)


def test_a_saved_net_is_the_same_net(net, tmp_path):
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras", compile=False)
    inputs = batch([40, 17], longest=40)
    np.testing.assert_array_equal(net.predict_on_batch(inputs), again.predict_on_batch(inputs))


def test_attention_sums_to_one(net):
    weights = models.attention(net, batch([40], longest=40)[0])
    assert weights.shape == (10,)
    assert weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_the_jax_backend_gives_the_same_probabilities(net, tmp_path):
    net.save(tmp_path / "net.keras")
    inputs = batch([40, 17], longest=40)
    np.savez(tmp_path / "inputs.npz", *inputs)
    script = (
        "import keras, numpy as np; from ser_utils import models; "
        f"net = keras.saving.load_model({str(tmp_path / 'net.keras')!r}, compile=False); "
        f"x = np.load({str(tmp_path / 'inputs.npz')!r}); "
        f"np.save({str(tmp_path / 'out.npy')!r}, net.predict_on_batch([x['arr_0'], x['arr_1']]))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"KERAS_BACKEND": "jax"})
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), net.predict_on_batch(inputs), atol=1e-5)
