"""Denoisers that are trained here: what they learn from, that NumPy computes what was trained, and what is promised."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import soundfile
from sounds import noise, voice

from ser_utils import audio, denoise, quality, splits, study
from ser_utils.denoise import lstm_mask, metric_net, pairs, wave_unet
from ser_utils.denoise.descent import arrays_of, descend
from ser_utils.splits import Fold

SR = audio.SAMPLE_RATE
MODULES = {"lstm_mask": lstm_mask, "wave_unet": wave_unet, "metricgan_here": metric_net}
SMALL = {"lstm_mask": {"units": 8}, "wave_unet": {"width": 4}, "metricgan_here": {"units": 6}}


@pytest.fixture(scope="module", autouse=True)
def seeded():
    """Fixes the threads of TensorFlow before anything starts it."""
    study.seed_everything(0)


def built(name: str) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """An untrained net with weights that are all alive, and its arrays."""
    keras.utils.set_random_seed(3)
    net = MODULES[name].build(**SMALL[name])
    rng = np.random.default_rng(0)
    net.set_weights([w + 0.1 * rng.standard_normal(w.shape).astype(np.float32) for w in net.get_weights()])
    arrays = arrays_of(net)
    if name != "wave_unet":
        arrays |= {"mean": np.full(257, -4, np.float32), "std": np.full(257, 3, np.float32)}
    return net, arrays


def saved(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    np.savez(folder / "weights.npz", **arrays)
    return folder / "weights.npz"


def identity(name: str) -> dict[str, np.ndarray]:
    """Arrays with which a net takes nothing away."""
    _, arrays = built(name)
    last = "noise" if name == "wave_unet" else "mask"
    arrays[f"{last}/kernel"] = np.zeros_like(arrays[f"{last}/kernel"])
    bias = {"wave_unet": 0.0, "lstm_mask": 30.0, "metricgan_here": np.log(5)}[name]  # 1.2 σ(ln 5) is 1
    arrays[f"{last}/bias"] = np.full_like(arrays[f"{last}/bias"], bias)
    if name == "metricgan_here":
        arrays["slope/kernel"] = np.ones_like(arrays["slope/kernel"])
    return arrays


# --- the same net in NumPy --------------------------------------------------------------------------------------


def test_the_wave_net_in_numpy_is_the_one_that_was_trained():
    net, arrays = built("wave_unet")
    x = np.random.default_rng(1).standard_normal((wave_unet.CHUNK * 9, 1)).astype(np.float32)
    expected = net.predict_on_batch(x[None])[0]
    assert np.abs(expected).max() > 0.01
    assert np.abs(wave_unet.noise(x, arrays) - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_masks_in_numpy_are_those_that_were_trained(tmp_path):
    x = np.random.default_rng(1).standard_normal((40, 257)).astype(np.float32)
    net, arrays = built("metricgan_here")
    expected = net.predict_on_batch(x[None])[0]
    assert np.ptp(expected) > 0.1
    assert np.abs(metric_net.mask(x, arrays) - expected).max() < 1e-4
    net, arrays = built("lstm_mask")
    frames = np.random.default_rng(2).standard_normal((30, 512)).astype(np.float32)
    spectrum = np.fft.rfft(frames * lstm_mask.WINDOW)
    seen = (lstm_mask.logs(np.abs(spectrum)) - arrays["mean"]) / arrays["std"]
    mask = net.predict_on_batch(seen[None].astype(np.float32))[0]
    expected = np.fft.irfft(spectrum * mask) * lstm_mask.WINDOW
    assert np.abs(lstm_mask.Net(arrays)(frames) - expected).max() < 1e-4 * np.abs(expected).max()


# --- what every denoiser promises -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("n_samples", [1, 320, 7919, 16000])
def test_a_net_that_takes_nothing_gives_back_what_it_got_where_it_was(tmp_path, name, n_samples):
    y = noise(0, 1.0)[:n_samples]
    out = MODULES[name].denoise(y, file=saved(identity(name), tmp_path))
    assert out.shape == y.shape
    assert np.abs(out - y).max() < 1e-4


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("kind", ["click", "offset", "20 ms", "full scale", "1 sample", "60 s"])
def test_any_sound_keeps_its_length_and_stays_finite(tmp_path, name, kind):
    y = {
        "click": np.eye(1, 8000, 4000)[0],
        "offset": np.full(8000, 0.3),
        "20 ms": noise(1, 0.02),
        "full scale": np.sign(noise(2)),
        "1 sample": np.array([0.5]),
        "60 s": np.tile(voice(120, 1.0), 60),
    }[kind].astype(np.float32)
    out = MODULES[name].denoise(y, file=saved(built(name)[1], tmp_path))
    assert out.shape == y.shape
    assert np.isfinite(out).all()


def test_blocks_give_what_the_whole_clip_gives(tmp_path):
    file, y = saved(built("lstm_mask")[1], tmp_path), voice(150) + noise(0, 0.6)
    stream = lstm_mask.stream(file=file)
    parts = [stream.push(y[at : at + 100]) for at in range(0, len(y), 100)]
    assert np.abs(np.concatenate([*parts, stream.flush()]) - lstm_mask.denoise(y, file=file)).max() < 1e-5


# --- what they learn from ---------------------------------------------------------------------------------------


def test_crops_have_the_snr_and_the_level_that_they_are_given(monkeypatch):
    monkeypatch.setattr(pairs, "SNR_DB", (6.0, 6.0))
    monkeypatch.setattr(pairs, "LEVEL_DBFS", (-30.0, -30.0))
    sounds = pairs.Sounds([voice(150, 1.0), 0.01 * voice(200, 1.0)], [noise(0, 1.0), 9 * noise(1, 1.0)])
    noisy, speech = sounds.draw(np.random.default_rng(0), 8, 16000)
    for mixed, clean in zip(noisy, speech, strict=True):
        assert audio.active_level_db(clean, sr=SR) == pytest.approx(-30, abs=0.2)
        assert audio.level_db(mixed - clean) == pytest.approx(-36, abs=0.2)


def test_silent_noise_is_not_drawn():
    sounds = pairs.Sounds([voice(150)], [np.zeros(16000, np.float32), noise(0)])
    assert len(sounds.noise) == 1


def corpus(folder: Path, *, n_speakers: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean clips of some speakers, and the same in noise."""
    rows = []
    for k in range(n_speakers):
        clean = voice(110 + 30 * k, 1.2) * np.repeat([1.0, 0.2, 1.0], 6400).astype(np.float32)[: int(1.2 * SR)]
        for kind, y in {"clean": clean, "noisy": clean + 0.5 * noise(k, 1.2)}.items():
            file = folder / f"{k}{kind}.wav"
            soundfile.write(file, y, SR, subtype="FLOAT")
            rows.append({"clip_id": f"{k}", "speaker": f"s{k}", "kind": kind, "path": file.name, "gain_db": 0.0})
            rows[-1] |= {"sha256": study.sha256(file), "parent": f"{k}"}
    table = pd.DataFrame(rows)
    clean = table[table["kind"] == "clean"].reset_index(drop=True)
    noisy = table[table["kind"] == "noisy"].assign(clip_id=lambda t: t["parent"] + "~learn0").reset_index(drop=True)
    return clean, noisy


@pytest.fixture
def sounds(tmp_path) -> denoise.Pairs:
    clean, noisy = corpus(tmp_path)
    return denoise.Pairs(noisy, tmp_path, clean, tmp_path)


def test_speech_and_noise_come_apart(sounds):
    loaded = sounds.load()
    assert [len(y) for y in loaded.speech] == [len(y) for y in loaded.noise]
    assert np.abs(loaded.noise[1] - 0.5 * noise(1, 1.2)).max() < 1e-6


def test_a_trained_net_is_kept_and_repeats(sounds, tmp_path, monkeypatch):
    wanted = {"lstm_mask": {"steps": 2, "units": 4}}
    made = denoise.learn(wanted, sounds, seed=1, cache=tmp_path / "a", jobs=1)["lstm_mask"]
    again = denoise.learn(wanted, sounds, seed=1, cache=tmp_path / "b", jobs=1)["lstm_mask"]
    y = voice(150)
    assert np.array_equal(made.denoiser(y), again.denoiser(y))
    assert (made.facts["n_clips"], made.facts["n_speakers"], made.facts["steps"]) == (3, 3, 2)
    assert made.denoiser.n_parameters == 4 * 4 * (257 + 4 + 1) + 4 * 4 * 9 + 257 * 5
    monkeypatch.setattr(lstm_mask, "build", None)  # nothing is trained again
    kept = denoise.learn(wanted, sounds, seed=1, cache=tmp_path / "a", jobs=1)["lstm_mask"]
    assert kept.denoiser.key() == made.denoiser.key()
    monkeypatch.undo()
    other = denoise.learn(wanted, sounds, seed=2, cache=tmp_path / "a", jobs=1)["lstm_mask"]
    assert other.denoiser.key() != made.denoiser.key()
    assert not np.array_equal(other.denoiser(y), made.denoiser(y))


def test_metricgan_learns_in_rounds(sounds, tmp_path, monkeypatch):
    for name, small in {"ROUND": 2, "BATCH": 2, "TEACHING": 1, "CROP_S": 0.6}.items():
        monkeypatch.setattr(metric_net, name, small)
    wanted = {"metricgan_here": {"steps": 1, "rounds": 2, "units": 4}}
    made = denoise.learn(wanted, sounds, seed=0, cache=tmp_path / "nets", jobs=1)["metricgan_here"]
    turns = made.history.dropna(subset=["round"])
    assert turns["round"].tolist() == [1, 2]
    assert turns["pesq"].between(1, 4.64).all()
    assert turns["judge_loss"].between(0, 1).all()
    assert np.isfinite(made.denoiser(voice(150) + noise(0, 0.6))).all()


def test_the_mask_learns_from_the_judge_and_not_the_judge_from_it():
    net, _ = built("metricgan_here")
    judging = metric_net.judge()
    together = metric_net.school(net, judging)
    judging.trainable = False
    together.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    x = np.random.default_rng(0).standard_normal((2, 60, 257)).astype(np.float32)
    before, kept = net.predict_on_batch(x), biases(judging)
    for _ in range(3):
        together.train_on_batch([x, np.abs(x), np.abs(x)], np.ones((2, 1), np.float32))
    assert not np.allclose(net.predict_on_batch(x), before)
    assert [np.array_equal(a, b) for a, b in zip(biases(judging), kept, strict=True)] == [True] * len(kept)
    judging.trainable = True
    judging.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    judging.train_on_batch(np.abs(np.stack([x, x], axis=-1)), np.zeros((2, 1), np.float32))
    assert [np.array_equal(a, b) for a, b in zip(biases(judging), kept, strict=True)] == [False] * len(kept)


def biases(net: keras.Model) -> list[np.ndarray]:
    """Not the kernels: they are brought to a bounded norm whenever the net trains, whoever learns."""
    return [keras.ops.convert_to_numpy(w).copy() for w in net.weights if w.path.endswith("bias")]


def test_a_net_that_learnt_cleans_a_voice_that_it_never_heard():
    sounds = pairs.Sounds([voice(hz, 1.0) for hz in (110, 140, 190, 240)], [noise(k, 1.0) for k in range(4)])
    rng = np.random.default_rng(0)
    arrays, net = lstm_mask.scale(sounds, rng), lstm_mask.build(24)
    rows = descend(
        net, lambda: lstm_mask.batch(sounds, rng, arrays), lstm_mask.loss, steps=30, peak_rate=1e-2, label="test"
    )
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    trained = lstm_mask.Net(arrays | arrays_of(net))
    clean = voice(165, 1.0)
    noisy = clean + 1.0 * noise(99, 1.0)
    out = denoise.blocks.whole(denoise.Stream(trained, frame=512, hop=256), noisy)
    assert quality.si_sdr(clean, out, SR) > quality.si_sdr(clean, noisy, SR) + 2


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"dtln": {"steps": 1}}, "denoiser 'dtln' cannot be trained here; use one of lstm_mask"),
        ({"lstm_mask": {"steps": 0, "units": 4}}, "lstm_mask: steps 0 must be 1 or more"),
        ({"metricgan_here": {"steps": 1, "rounds": -1, "units": 4}}, "rounds -1 must be 0 or more"),
    ],
)
def test_settings_that_make_no_net_are_refused(sounds, tmp_path, wanted, sentence):
    with pytest.raises(study.UserError, match=sentence):
        denoise.learn(wanted, sounds, seed=0, cache=tmp_path / "nets")


def test_nothing_to_learn_from_is_refused(sounds):
    with pytest.raises(study.UserError, match="no clip is there to learn denoising from"):
        denoise.Pairs(sounds.noisy.head(0), sounds.noisy_root, sounds.clean, sounds.clean_root)


def test_the_gate_refuses_a_net_that_has_heard_a_test_speaker(sounds, tmp_path):
    made = denoise.learn({"lstm_mask": {"steps": 1, "units": 2}}, sounds, seed=0, cache=tmp_path / "nets", jobs=1)
    others = sounds.clean.assign(clip_id="x" + sounds.clean["clip_id"], sha256="x", parent="")
    others["sha256"] = others["clip_id"]
    everybody = pd.concat([sounds.clean, others, others.assign(clip_id="new", speaker="s9", sha256="n")])
    everybody = everybody.drop(columns="parent").drop_duplicates("clip_id")
    nobody = np.array([], dtype=str)
    denoise.gate(Fold(0, nobody, nobody, np.array(["new"])), everybody, made["lstm_mask"])
    with pytest.raises(splits.LeakError, match="speaker"):
        denoise.gate(Fold(0, nobody, nobody, np.array(["x1"])), everybody, made["lstm_mask"])
