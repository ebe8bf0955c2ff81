"""Nets: padding never changes a result, every weight learns, weights survive saving, other backends agree."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from ser_utils import models, study

COLUMNS, BANDS, CLASSES = 36, 32, 5
IMAGE = {"n_bands": BANDS, "width": 32}
NETS = {  # name of the test → builder and small options
    "lstm_123_64_32": ("lstm_123_64_32", {}),
    "conv_lstm_128_64": ("conv_lstm_128_64", {}),
    "lstm_123_72_24": ("lstm_123_72_24", {"stride": 3}),
    "conv_lstm_128_64_32": ("conv_lstm_128_64_32", {"kernel": 9, "stride": 8}),
    "bilstm_attention": ("bilstm_attention", {"filters": 8, "units": 6}),
    "bilstm_stride_1": ("bilstm_attention", {"filters": 8, "units": 6, "stride": 1}),
    "bilstm_deep": ("bilstm_attention", {"filters": 8, "units": 6, "stride": 8, "depth": 2, "pool": "attention+mean"}),
    "small_cnn": ("small_cnn", {"filters": 8}),
    "cnn_1d": ("cnn_1d", {"filters": [8, 12], "strides": [2, 3], "kernel": 7, "pool": "attention+mean"}),
    "cnn_2d": ("cnn_2d", IMAGE | {"filters": [4, 8], "time_strides": [2, 2]}),
    "cnn_2d_separable": (
        "cnn_2d",
        IMAGE | {"n_bands": 0, "filters": [4, 8, 16], "time_strides": [2, 2, 1], "separable": True, "norm": "group"},
    ),
    "crnn": ("crnn", IMAGE | {"filters": [4, 8], "time_strides": [2, 2], "units": 6, "pool": "attention+mean"}),
    "se_resnet": ("se_resnet", IMAGE | {"filters": [8, 16], "blocks": 2}),
    "se_resnet_group": ("se_resnet", IMAGE | {"filters": [8, 8], "norm": "group", "separable": True}),
    "resnet50": ("resnet50", {"n_bands": BANDS, "n_frames": 32}),
    "conformer": ("conformer", {"width": 16, "blocks": 2, "kernel": 5}),
    "transformer": ("conformer", {"width": 16, "blocks": 1, "kernel": 0, "pool": "attention+mean"}),
}


@pytest.fixture(scope="module", autouse=True)
def seeded():
    study.seed_everything(0)


@functools.lru_cache
def net(name: str) -> keras.Model:
    builder, options = NETS[name]
    return models.BUILDERS[builder](COLUMNS, CLASSES, **options)


def batch(lengths, *, longest=None, fill=0.0):
    """The same clips whatever their neighbours and the padding: clip *i* depends on its length alone."""
    longest = longest or max(lengths)
    x = np.full((len(lengths), longest, COLUMNS), fill, dtype=np.float32)
    mask = np.zeros((len(lengths), longest), dtype=np.float32)
    for i, n in enumerate(lengths):
        x[i, :n] = np.random.default_rng(n).standard_normal((n, COLUMNS))
        mask[i, :n] = 1
    return [x, mask]


def answer(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def test_every_builder_is_tested():
    assert {builder for builder, _ in NETS.values()} == set(models.BUILDERS)


@pytest.mark.parametrize("name", NETS)
def test_padding_and_neighbours_never_change_a_result(name):
    lengths = [1, 2, 17, 35]
    together = answer(net(name), batch(lengths, longest=64, fill=1e3))
    for i, n in enumerate(lengths):
        alone = answer(net(name), batch([n]))
        np.testing.assert_allclose(together[i : i + 1], alone, atol=1e-5, err_msg=f"{n} frames")
        if n == 17:  # as in training: cut to the next 32 frames
            np.testing.assert_allclose(answer(net(name), batch([n], longest=32, fill=-50)), alone, atol=1e-5)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_a_change_of_a_valid_frame_does_change_the_result(name):
    x, mask = batch([31])
    before = answer(net(name), [x, mask])
    for columns in (slice(0, BANDS), slice(BANDS, COLUMNS)):  # bands, and what joins late
        changed = x.copy()
        changed[:, 15:, columns] += 3
        assert np.abs(answer(net(name), [changed, mask]) - before).max() > 1e-5, columns


@pytest.mark.parametrize("name", NETS)
def test_every_weight_learns(name):
    import tensorflow as tf

    model, inputs = net(name), batch([40, 17])
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(tf.math.log(model(inputs, training=True)[:, 0]))
    slopes = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    still = [v.path for v, slope in zip(model.trainable_variables, slopes, strict=True) if slope is None]
    assert still == []
    assert all(np.isfinite(slope.numpy()).all() for slope in slopes)


@pytest.mark.parametrize("name", NETS)
def test_a_saved_net_is_the_same_net(name, tmp_path):
    net(name).save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras", compile=False, safe_mode=True)
    inputs = batch([40, 17])
    np.testing.assert_array_equal(answer(net(name), inputs), answer(again, inputs))


@pytest.mark.parametrize("name", ["bilstm_attention", "cnn_2d_separable", "se_resnet", "conformer"])
def test_half_precision_stays_finite_and_blind_to_padding(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        builder, options = NETS[name]
        half = models.BUILDERS[builder](COLUMNS, CLASSES, **options)
    finally:
        keras.config.set_dtype_policy("float32")
    alone = answer(half, batch([17]))
    assert alone.dtype == np.float32
    np.testing.assert_allclose(answer(half, batch([17, 33], longest=64, fill=50))[:1], alone, atol=5e-3)


def test_the_picture_of_a_long_clip_is_its_middle():
    x, mask = batch([50], longest=64, fill=7.0)
    frames, valid = models.FixedLength(32)((x, mask))
    np.testing.assert_array_equal(frames[0], x[0, 9:41])
    assert valid.shape == (1, 32)
    frames, valid = models.FixedLength(60)((x, mask))
    np.testing.assert_array_equal(frames[0, :50], x[0, :50])
    assert np.abs(frames[0, 50:]).max() == 0
    assert valid[0].numpy().tolist() == [1] * 50 + [0] * 10


def test_averages_leave_masked_frames_out():
    frames = np.array([[[1.0], [3.0], [5.0], [100.0], [100.0]]], dtype=np.float32)
    values, mask = models.MaskedAverage(2)((frames, np.array([[1, 1, 1, 0, 0]], dtype=np.float32)))
    np.testing.assert_allclose(values[0, :, 0], [2, 5, 0], atol=1e-6)
    assert mask.numpy().tolist() == [[1, 1, 0]]


def test_pretrained_weights_come_from_their_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    with pytest.raises(study.UserError, match=r"no weights at .*w\.weights\.h5; put https"):
        models.resnet50(32, 2, n_frames=32, weights="w.weights.h5")
    (tmp_path / "w.weights.h5").write_bytes(b"no weights")
    with pytest.raises(study.UserError, match="holds no weights of ResNet-50"):
        models.resnet50(32, 2, n_frames=32, weights="w.weights.h5")
    trained = net("resnet50").get_layer("backbone")
    trained.save_weights(tmp_path / "w.weights.h5")
    read = models.resnet50(32, 2, n_frames=32, weights="w.weights.h5").get_layer("backbone")
    for old, new in zip(trained.get_weights(), read.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bilstm_attention", {"pool": "max"}, "pool 'max' is unknown; use one of attention, attention"),
        ("bilstm_attention", {"depth": 0}, "depth 0 must be 1 or more"),
        ("lstm_123_64_32", {"stride": 0}, "stride 0 must be 1 or more"),
        ("conv_lstm_128_64", {"kernel": 4}, "kernel 4 must be odd"),
        ("small_cnn", {"strides": []}, r"strides \[\] must be 1 or more"),
        ("cnn_1d", {"filters": [8]}, r"filters \[8\] and strides \(2, 2, 2\) must be equally many"),
        ("cnn_2d", {"n_bands": 40}, "n_bands 40 must lie between 0 and the 36 columns"),
        ("cnn_2d", {"norm": "batch"}, "norm 'batch' is unknown; use one of layer, group"),
        ("cnn_2d", {"separable": True, "time_strides": [2, 3, 1, 1]}, r"strides \(3, 2\) must divide one another"),
        ("se_resnet", {"dropout": 1.0}, "dropout 1.0 must be at least 0 and below 1"),
        ("resnet50", {"n_frames": 20}, "cannot see 20 frames × 36 bands"),
        ("conformer", {"width": 20}, "width 20 must be a multiple of 8, twice the heads"),
    ],
)
def test_nets_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(study.UserError, match=message):
        models.BUILDERS[name](COLUMNS, CLASSES, **options)


@pytest.mark.parametrize("name", models.BUILDERS)
def test_a_model_depends_on_its_own_module_and_shared_layers_only(name):
    module = models.module_of(name)
    files = {file.name for file in study.imported_files(module)}
    shared = {"study.py", "__init__.py", "layers.py", "spectrogram.py"}
    assert files - shared == {f"{module.split('.')[1]}.py"}
    assert study.PACKAGE / "models" / "__init__.py" not in study.imported_files(module)


def test_a_model_that_no_one_builds_is_named():
    with pytest.raises(study.UserError, match="model 'vgg' is unknown; use one of lstm_123_64_32"):
        models.module_of("vgg")


JAX_STEPS = """
import json, sys
import keras, numpy as np
from ser_utils import models
assert keras.backend.backend() == "jax"
x = np.load(sys.argv[1])
inputs = [x["arr_0"], x["arr_1"]]
for name, options in json.loads(sys.argv[2]):
    net = models.BUILDERS[name](inputs[0].shape[2], 5, **options)
    net.compile(optimizer=keras.optimizers.AdamW(1e-3), loss="categorical_crossentropy")
    before = net.get_weights()
    loss = net.train_on_batch(inputs, np.eye(5, dtype=np.float32)[[0, 3]])
    assert np.isfinite(loss), (name, loss)
    moved = [np.abs(old - new).max() > 0 for old, new in zip(before, net.get_weights()) if old.dtype == np.float32]
    assert np.mean(moved) > 0.9, (name, np.mean(moved))
    print(name)
"""
no_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


def on_jax(script, *arguments):
    environment = os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    done = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@no_jax
def test_every_family_trains_one_step_on_jax(tmp_path):
    np.savez(tmp_path / "inputs.npz", *batch([40, 17]))
    # others differ from these in widths alone, and resnet50 is Keras's own code, a minute to compile
    names = ["conv_lstm_128_64", "bilstm_attention", "small_cnn", "cnn_1d", "cnn_2d", "crnn", "se_resnet", "conformer"]
    stepped = on_jax(JAX_STEPS, str(tmp_path / "inputs.npz"), json.dumps([NETS[name] for name in names]))
    assert stepped == names


@no_jax
def test_a_net_for_the_next_fold_starts_anew_on_jax(tmp_path):
    np.savez(tmp_path / "inputs.npz", *batch([40, 17]))
    script = (
        "import sys, keras, numpy as np; from ser_utils import training\n"
        "x = np.load(sys.argv[1]); y = np.eye(5, dtype=np.float32)[[0, 3]]\n"
        "losses = []\n"
        "for _ in range(2):\n"
        "    keras.utils.set_random_seed(0)\n"
        "    net = training.fresh_net('small_cnn', {'filters': 4}, x['arr_0'].shape[2], 5, training.Recipe())\n"
        "    losses.append([float(net.train_on_batch([x['arr_0'], x['arr_1']], y)) for _ in range(2)])\n"
        "assert losses[0] == losses[1] and losses[0][0] != losses[0][1], losses\n"
        "print('anew')"
    )
    assert on_jax(script, str(tmp_path / "inputs.npz")) == ["anew"]


@no_jax
def test_the_jax_backend_gives_the_same_probabilities(tmp_path):
    names, inputs = ["bilstm_attention", "cnn_2d", "conformer"], batch([40, 17])
    for name in names:
        net(name).save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "inputs.npz", *inputs)
    script = (
        "import sys, keras, numpy as np; from ser_utils import models\n"
        "folder, names = sys.argv[1], sys.argv[2:]\n"
        "x = np.load(f'{folder}/inputs.npz')\n"
        "nets = [keras.saving.load_model(f'{folder}/{name}.keras', compile=False) for name in names]\n"
        "np.savez(f'{folder}/out.npz', *[net.predict_on_batch([x['arr_0'], x['arr_1']]) for net in nets])"
    )
    on_jax(script, str(tmp_path), *names)
    with np.load(tmp_path / "out.npz") as out:
        for i, name in enumerate(names):
            np.testing.assert_allclose(out[f"arr_{i}"], answer(net(name), inputs), atol=1e-5, err_msg=name)
