"""BYOL-S in Keras against a forward pass in plain NumPy, padding, short clips, and training its last layers."""

from __future__ import annotations

import keras
import librosa
import numpy as np
import pytest
import torch_archive
from sounds import noise, voice

from ser_utils import study, torch_zip, weights
from ser_utils.pretrained import byol_s, heads, tuning


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Random weights in the published format."""
    study.seed_everything(0)  # before any net, as it wants to be
    return torch_archive.byol_s(tmp_path_factory.mktemp("weights") / "byol_s.pth")


@pytest.fixture(scope="module")
def net(file):
    return byol_s.encoder(file)


@pytest.fixture
def published(file, monkeypatch):
    """The random weights in the place of the published ones."""
    monkeypatch.setattr(weights, "find", lambda name: {"byol_s": file}[name])


def run(net, *clips, length=None):
    """Outputs by layer, on clips padded with noise up to `length` frames."""
    length = length or max(map(len, clips))
    x = np.random.default_rng(9).standard_normal((len(clips), length, clips[0].shape[1])).astype(np.float32) * 5
    mask = np.zeros((len(clips), length), np.float32)
    for i, clip in enumerate(clips):
        x[i, : len(clip)], mask[i, : len(clip)] = clip, 1
    return net.predict_on_batch([x, mask])


# --- the reference: from the tensors as published, batch normalisation and all ----------------------------------------


def convolved(x, kernel, bias):
    """(channels, bands, time) → the same with a kernel (out, in, bands, time) and zeros around it."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(kernel), *x.shape[1:]))
    for i in range(3):
        for j in range(3):
            out += np.einsum("oc,cbt->obt", kernel[:, :, i, j], padded[:, i : i + x.shape[1], j : j + x.shape[2]])
    return out + bias[:, None, None]


def reference(x, tensors):
    """Frames of every layer [shape=(n_frames, 512)] of one log-mel [shape=(n_frames, 64)], in 64 bits."""
    t = {name: value.astype(np.float64) for name, value in tensors.items()}
    x, found = x.T[None].astype(np.float64), {}
    for name, (k, n) in {"conv1": (0, 1), "conv2": (4, 5), "conv3": (8, 9)}.items():
        x = convolved(x, t[f"features.{k}.weight"], t[f"features.{k}.bias"])
        mean, variance = t[f"features.{n}.running_mean"], t[f"features.{n}.running_var"]
        x = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
        x = x * t[f"features.{n}.weight"][:, None, None] + t[f"features.{n}.bias"][:, None, None]
        x = np.maximum(x, 0)[:, :, : x.shape[2] // 2 * 2]
        x = x.reshape(64, x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
        bands = x.reshape(64, 8, x.shape[1] // 8, -1).mean(2)
        found[name] = bands.transpose(2, 1, 0).reshape(-1, 512)
    y = x.transpose(2, 1, 0).reshape(-1, 512)
    for name, module in {"dense1": "fc.0", "dense2": "fc.3"}.items():
        y = np.maximum(y @ t[f"{module}.weight"].T + t[f"{module}.bias"], 0)
        found[name] = y
    return found


def check_against_reference(net, tensors, x):
    wanted, found = reference(x, tensors), run(net, x)
    assert list(found) == list(byol_s.LAYERS)
    for name in byol_s.LAYERS:
        assert wanted[name].std() > 0.1  # the layer is alive
        np.testing.assert_allclose(found[name][0][0], wanted[name], atol=1e-4)


@pytest.mark.parametrize("n_frames", [8, 61, 64])
def test_every_layer_equals_the_reference(net, file, n_frames):
    x = np.random.default_rng(n_frames).standard_normal((n_frames, 64)).astype(np.float32)
    check_against_reference(net, torch_zip.read_tensors(file), x)


def test_the_published_net_equals_the_reference_on_a_voice():
    try:
        real = weights.find("byol_s")
    except study.UserError as error:
        pytest.skip(f"no weights of BYOL-S: {error}")
    check_against_reference(byol_s.encoder(real), torch_zip.read_tensors(real), byol_s.log_mel(voice(140)))


# --- input ------------------------------------------------------------------------------------------------------------


def test_the_input_is_that_of_the_publication():
    y = voice(180, 0.7) + noise(1, 0.7)
    power = librosa.feature.melspectrogram(
        y=y,
        sr=16000,
        n_fft=1024,
        hop_length=160,
        n_mels=64,
        fmin=60,
        fmax=7800,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    wanted = np.log(power + np.finfo(np.float32).eps).T
    np.testing.assert_allclose(byol_s.log_mel(y), (wanted - wanted.mean()) / wanted.std(), atol=1e-3)
    np.testing.assert_allclose(byol_s.log_mel(y * 0.01).mean(), 0, atol=1e-4)


@pytest.mark.parametrize("y", [np.zeros(0), np.full(1, 0.5), noise(0, 0.02), np.zeros(8000), noise(0, 0.0801)])
def test_short_and_silent_clips_have_frames_and_finite_values(file, y):
    found = byol_s.clip_statistics(byol_s.log_mel(y), file)
    assert found.shape == (5, 3, 512)
    assert np.isfinite(found).all()


def test_statistics_are_those_of_the_frames(file):
    x = byol_s.log_mel(voice(120))
    found = byol_s.clip_statistics(x, file)
    for position, name in enumerate(byol_s.LAYERS):
        frames = byol_s.layer_frames(x, file, position)
        assert len(frames) == len(x) // byol_s.STEPS[name]
        np.testing.assert_allclose(found[position], [frames.mean(0), frames.max(0), frames.std(0)], atol=1e-4)


# --- padding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_frames", [8, 9, 30, 31])
def test_padding_reaches_no_valid_frame_of_any_layer(net, n_frames):
    rng = np.random.default_rng(0)
    short, long = (rng.standard_normal((n, 64)).astype(np.float32) for n in (n_frames, 57))
    alone, together = run(net, short), run(net, short, long, length=75)
    for name in byol_s.LAYERS:
        frames, mask = together[name]
        valid = int(mask[0].sum())
        assert valid == n_frames // byol_s.STEPS[name] == len(alone[name][0][0])
        np.testing.assert_allclose(frames[0, :valid], alone[name][0][0], atol=1e-4)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["absent", "narrow"])
def test_weights_of_another_net_are_refused(net, file, change, tmp_path):
    tensors = dict(torch_zip.read_tensors(file))
    value = tensors.pop("fc.3.weight")
    if change == "narrow":
        tensors["fc.3.weight"] = value[:256]
    other = torch_archive.save(tmp_path / "other.pth", tensors)
    before = net.get_weights()
    with pytest.raises(study.UserError, match="not the weights of BYOL-S with 512 columns"):
        byol_s.load_weights(net, other)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# --- training on ------------------------------------------------------------------------------------------------------


def test_an_untrained_tuned_net_holds_the_published_layers(published, net):
    x = np.random.default_rng(0).standard_normal((1, 80, 64)).astype(np.float32)
    tuned = tuning.byol_s_tuned(64, 4, n_tuned=5)
    inner = keras.Model(tuned.input, tuned.get_layer("dense2").output)
    np.testing.assert_allclose(
        inner.predict_on_batch([x, np.ones((1, 80), np.float32)]), run(net, x[0])["dense2"][0], atol=1e-4
    )
    np.testing.assert_allclose(tuned.predict_on_batch([x, np.ones((1, 80), np.float32)]).sum(), 1, atol=1e-6)


def test_the_tuned_net_is_blind_to_padding(published):
    study.seed_everything(0)
    tuned = tuning.byol_s_tuned(64, 4, n_tuned=2)
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal((n, 64)).astype(np.float32) for n in (33, 64)]
    together = run(tuned, *clips, length=96)
    for clip, row in zip(clips, together, strict=True):
        np.testing.assert_allclose(run(tuned, clip)[0], row, atol=1e-5)


def test_frames_of_conv3_are_as_good_an_input_as_the_log_mel(published, net):
    x = np.random.default_rng(0).standard_normal((72, 64)).astype(np.float32)
    whole, rest = tuning.byol_s_tuned(64, 4), tuning.byol_s_tuned(512, 4, start="conv3")
    rest.layers[-1].set_weights(whole.layers[-1].get_weights())
    frames = run(net, x)["conv3"][0][0]
    np.testing.assert_allclose(run(rest, frames), run(whole, x), atol=1e-5)


def _kernel(block):
    return keras.ops.convert_to_numpy(block._value("kernel"))


def trained(net, *, steps=1, learning_rate=1e-3):
    net.compile(keras.optimizers.Adam(learning_rate), "categorical_crossentropy", jit_compile=False)
    x = np.random.default_rng(0).standard_normal((4, 40, 64)).astype(np.float32)
    for _ in range(steps):
        net.train_on_batch([x, np.ones((4, 40), np.float32)], np.eye(4))
    return net


def test_layers_move_as_far_as_their_rate_says_and_frozen_ones_not_at_all(published, file):
    study.seed_everything(0)
    tuned = tuning.byol_s_tuned(64, 4, n_tuned=3, rate=0.1, rate_decay=0.5, dropout=0)
    output = tuned.layers[-1].get_weights()[0]
    start = {block.name: _kernel(block) for block in byol_s.blocks(tuned)}
    trained(tuned)
    moved = {b.name: np.abs(_kernel(b) - start[b.name]).max() for b in byol_s.blocks(tuned)}
    first = np.abs(tuned.layers[-1].get_weights()[0] - output).max()  # Adam's first step has the length of its rate
    np.testing.assert_allclose(first, 1e-3, rtol=0.02)
    assert moved["conv1"] == moved["conv2"] == 0
    for name, rate in {"dense2": 0.1, "dense1": 0.05, "conv3": 0.025}.items():
        np.testing.assert_allclose(moved[name], rate * first, rtol=0.05)


def test_only_the_output_is_trained_where_nothing_is_tuned(published):
    names = [weight.path for weight in tuning.byol_s_tuned(64, 4, n_tuned=0).trainable_weights]
    assert all(name.startswith(("scale", "dense/")) or "dense_" in name for name in names)
    assert len(names) == 4


def test_a_tuned_net_learns_and_comes_back_from_a_file(published, tmp_path):
    study.seed_everything(0)
    tuned = trained(tuning.byol_s_tuned(64, 4, dropout=0), steps=25, learning_rate=3e-3)
    x = [np.random.default_rng(0).standard_normal((4, 40, 64)).astype(np.float32), np.ones((4, 40), np.float32)]
    assert tuned.predict_on_batch(x).argmax(1).tolist() == [0, 1, 2, 3]
    tuned.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(again.predict_on_batch(x), tuned.predict_on_batch(x), atol=1e-6)


def test_random_weights_are_another_net_without_a_file(monkeypatch):
    monkeypatch.setattr(weights, "find", lambda name: pytest.fail("looked for the weights"))
    study.seed_everything(0)
    x = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    found = run(tuning.byol_s_tuned(64, 4, published=False), x)
    assert np.isfinite(found).all()
    assert found.std() > 0


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (128, {}, "takes 64 columns"),
        (64, {"start": "conv3"}, "takes 512 columns"),
        (64, {"start": "middle"}, "start 'middle' is unknown"),
        (64, {"n_tuned": 6}, "0 to 5"),
        (512, {"start": "conv3", "n_tuned": 3}, "0 to 2"),
        (64, {"rate": 0}, "above 0"),
        (64, {"rate_decay": 1.5}, "at most 1"),
        (64, {"dropout": 1}, "below 1"),
    ],
)
def test_options_that_cannot_be_are_told(columns, options, message):
    with pytest.raises(study.UserError, match=message):
        tuning.byol_s_tuned(columns, 4, **options)


# --- weighing layers --------------------------------------------------------------------------------------------------


def test_the_weights_of_layers_follow_what_tells_the_classes_apart():
    study.seed_everything(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    x = rng.standard_normal((200, 4, 16)).astype(np.float32)
    x[np.arange(200), 2, y] += 4  # the third layer knows
    net = heads.layer_mlp(16, 3, n_layers=4, units=8, dropout=0)
    assert heads.layer_weights(net) == pytest.approx([0.25] * 4)
    net.compile(keras.optimizers.Adam(0.05), "categorical_crossentropy", jit_compile=False)
    for _ in range(30):
        net.train_on_batch([x, np.ones((200, 4), np.float32)], np.eye(3)[y])
    found = heads.layer_weights(net)
    assert sum(found) == pytest.approx(1)
    assert found[2] > 0.5
    assert (net.predict_on_batch([x, np.ones((200, 4), np.float32)]).argmax(1) == y).mean() > 0.9


def test_a_layer_without_mask_has_no_say():
    study.seed_everything(0)
    x = np.random.default_rng(0).standard_normal((1, 3, 8)).astype(np.float32)
    net, mask = heads.layer_mlp(8, 3, n_layers=3, units=4), np.array([[1, 1, 0]], np.float32)
    other = np.concatenate([x[:, :2], x[:, 2:] + 100], axis=1)
    np.testing.assert_allclose(net.predict_on_batch([x, mask]), net.predict_on_batch([other, mask]), atol=1e-6)


def test_a_head_without_layers_is_refused():
    with pytest.raises(study.UserError, match="n_layers 0 must be 1 or more"):
        heads.layer_mlp(8, 3, n_layers=0)
