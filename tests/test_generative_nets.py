"""Generators: padding and length never change a result, training resumes bit for bit, sampling is seeded."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from generative_sample import BANDS, CONDITION, sound
from sklearn.decomposition import PCA

from ser_utils import study
from ser_utils.generative import diffusion, gan, makers, nets, trainer, vae
from ser_utils.generative.blocks import Blocks, MaskedConv2D, Unblock
from ser_utils.generative.mel import valid
from ser_utils.generative.schedule import Schedule

BUDGET = trainer.Budget(steps=3, batch_size=4, patch_frames=9, validate_every=3, checkpoint_every=1)
VAE = vae.VaeSpec(latent=6, block=2, width=4, depth=1)
CODER = {"latent": 5, "block": 4, "width": 6, "depth": 1}
SMALL = {"widths": (4, 6), "stem": 2}
MEL = diffusion.DiffusionSpec(schedule=Schedule("cosine", 50), widths=(4,), stem=2)
LATENT = diffusion.DiffusionSpec(
    space="latent", schedule=Schedule("linear", 50, "eps"), widths=(4,), stem=1, style=False
)
GAN = gan.GanSpec(stem=2, width=4, blocks=1, widths=(4,))


@pytest.fixture(scope="module", autouse=True)
def _seeded():
    study.seed_everything(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One of each, hardly trained."""
    cache, clips = tmp_path_factory.mktemp("generators"), sound()
    options = {"seed": 0, "cache": cache, "key": {"clips": "small"}}
    coder = vae.fit(VAE, clips, clips, BUDGET, **options)
    return {
        "vae": coder,
        "mel": diffusion.fit(MEL, clips, clips, BUDGET, **options),
        "latent": diffusion.fit(LATENT, clips, clips, BUDGET, vae=coder, **options),
        "gan": gan.fit(GAN, clips, clips, BUDGET, **options),
    }


def told(clips, n=3):
    return diffusion.Told(clips.n_frames[:n], clips.own[:n], clips.x[:n], clips.n_frames[:n])


def enhanced(made, name, clips, n=3, *, seed=0):
    rng, x, n_frames = np.random.default_rng(seed), clips.x[:n], clips.n_frames[:n]
    if name == "gan":
        return made[name].enhance(x, n_frames, clips.own[:n])
    if name == "vae":
        return made[name].enhance(x, n_frames, clips.own[:n], clips.own[:n], rng)
    return made[name].enhance(x, told(clips, n), rng, steps=2, strength=0.5)


def shaken(net, *, seed=5):
    """A net whose weights are all drawn: layers that start at zero would hide what they do."""
    rng = np.random.default_rng(seed)
    for variable in net.weights:
        variable.assign(0.2 * rng.standard_normal(variable.shape))
    return net


def inputs(net, n_frames, length):
    """Inputs of a net with `length` frames, of which `n_frames` are valid; the padding holds junk."""
    rng, given = np.random.default_rng(7), []
    mask = valid(np.array([n_frames, n_frames - 2]), length)
    for tensor in net.inputs:
        if "mask" in tensor.name:
            value = mask if len(net.inputs) < 6 or tensor.name == "mask" else valid(np.array([9, 9]), 9)
        elif len(tensor.shape) == 2:
            value = rng.random((2, tensor.shape[1]))
        else:
            rows = length if tensor.name == "x" else 9
            value = 9 * np.ones((2, rows, *tensor.shape[2:]))
            known = np.random.default_rng(8).standard_normal((2, n_frames, *tensor.shape[2:]))
            for i in range(2):
                keep = min(rows, n_frames - 2 * i if tensor.name == "x" else rows)
                value[i, :keep] = known[i, :keep]
        given.append(value.astype(np.float32))
    return given


BUILT = {
    "unet": lambda: nets.unet(BANDS, CONDITION, style_bands=5, **SMALL),
    "encoder": lambda: nets.encoder(BANDS, CONDITION, **CODER),
    "latent unet": lambda: nets.unet(1, CONDITION, n_channels=6, stem=1, widths=(4, 6)),
    "generator": lambda: nets.generator(BANDS, CONDITION, width=4, blocks=1),
    "discriminator": lambda: nets.discriminator(BANDS, CONDITION, widths=(4, 6)),
}


@pytest.mark.parametrize("name", BUILT)
def test_padding_never_changes_a_valid_frame(name):
    net = shaken(BUILT[name]())
    short, long = (net(inputs(net, 9, length)) for length in (9, 16))
    first = [keras.ops.convert_to_numpy(out[0] if isinstance(out, list) else out) for out in (short, long)]
    n = first[0].shape[1]
    assert np.abs(first[0]).max() > 1e-3
    assert np.allclose(first[1][:, :n], first[0], atol=1e-4)
    assert np.abs(first[1][:, n:]).max() == 0


@pytest.mark.parametrize("length", [12, 13])
def test_odd_lengths_and_odd_bands_come_out_as_they_went_in(length):
    coder = nets.decoder(BANDS, CONDITION, **CODER)
    z = np.ones((2, -(-length // 4), 1, 5), np.float32)
    again = coder([z, valid(np.array([length, 5]), length), np.ones((2, CONDITION), np.float32)])
    assert again.shape == (2, length, BANDS, 1)
    for name in ("unet", "generator"):
        net = BUILT[name]()
        assert net(inputs(net, 9, length)).shape == (2, length, BANDS, 1), name


def test_blocks_are_frames_side_by_side_and_come_apart_again():
    x = np.random.default_rng(0).standard_normal((2, 10, 3, 1)).astype(np.float32)
    mask = valid(np.array([10, 6]), 10)
    blocks, few = (keras.ops.convert_to_numpy(out) for out in Blocks(4)((x, mask)))
    assert blocks.shape == (2, 3, 1, 12)
    assert few.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (blocks[0, 1, 0] == x[0, 4:8].ravel()).all()
    again = keras.ops.convert_to_numpy(Unblock(3)((blocks, mask)))
    assert (again == x * mask[:, :, None, None]).all()


def test_the_autoencoder_begins_as_the_principal_components_of_training_blocks():
    clips, spec = sound(40), vae.VaeSpec(latent=6, block=3, width=8, depth=1)
    learner = vae._Learner(spec, clips, clips, BUDGET, 0.01)
    vae.begin_as_components(learner.encoder, learner.decoder, spec, clips)
    blocks = clips.draw(np.random.default_rng(0), vae.BLOCKS, 3).x.reshape(vae.BLOCKS, -1)
    found = PCA(6).fit(blocks)
    held = learner.held.x.reshape(-1, 3 * BANDS)
    linear = found.inverse_transform(found.transform(held))
    assert learner.validate()["val_error"] == pytest.approx(np.square(linear - held).mean(), rel=1e-3)


def test_a_latent_larger_than_its_block_is_named():
    with pytest.raises(study.UserError, match="latent 60 is more than the 44 values"):
        vae.build(vae.VaeSpec(latent=60, block=4), BANDS, CONDITION)


def test_generators_keep_length_and_silence_of_the_padding(made):
    clips = sound()
    for name in made:
        out = enhanced(made, name, clips)
        assert out.shape == (3, 21, BANDS), name
        assert np.isfinite(out).all()
        assert np.abs(out * (1 - valid(clips.n_frames[:3], 21))[:, :, None]).max() == 0


@pytest.mark.parametrize("name", ["mel", "latent"])
def test_sampling_depends_on_the_seed_and_on_nothing_else(made, name):
    clips, model = sound(), made[name]
    sample = [model.generate(told(clips), 21, np.random.default_rng(seed), steps=3) for seed in (0, 0, 1)]
    assert (sample[0] == sample[1]).all()
    assert (sample[0] != sample[2]).any()
    assert (enhanced(made, name, clips) == enhanced(made, name, clips)).all()


def test_guidance_moves_away_from_what_the_net_says_without_a_condition(made):
    model, clips = made["mel"], sound()
    net = shaken(diffusion.build(MEL, BANDS, CONDITION))
    shaken_model = dataclasses.replace(model, net=net)
    x, mask = np.ones((3, 21, BANDS, 1), np.float32), valid(clips.n_frames[:3], 21)
    answers = {g: shaken_model._answer(x, mask, 25, told(clips), g) for g in (0.0, 1.0, 3.0)}
    assert np.abs(answers[1.0] - answers[0.0]).max() > 1e-4
    assert np.allclose(answers[3.0], answers[0.0] + 3 * (answers[1.0] - answers[0.0]), atol=1e-4)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, monkeypatch, made):
    clips, key = sound(), {"clips": "small"}
    options = {"seed": 0, "cache": tmp_path, "key": key}
    step = vae._Learner.step

    def killed(self, number, rng, rate):
        if number == 2:
            raise KeyboardInterrupt
        step(self, number, rng, rate)

    monkeypatch.setattr(vae._Learner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(VAE, clips, clips, BUDGET, **options)
    seen = []
    monkeypatch.setattr(vae._Learner, "step", lambda s, number, *rest: (seen.append(number), step(s, number, *rest)))
    again = vae.fit(VAE, clips, clips, BUDGET, **options)
    assert seen == [2]
    assert again.artefact.facts["sha256"] == made["vae"].artefact.facts["sha256"]
    assert not list(tmp_path.glob("partial-*"))


def test_an_altered_artefact_is_refused(tmp_path):
    weights = {"net": [np.ones(3, np.float32)]}
    facts = {"seconds": 1.0, "sha256": "0" * 64}
    import pandas as pd

    trainer._save(trainer.Artefact(weights, pd.DataFrame({"step": [1]}), facts), tmp_path)
    with pytest.raises(study.UserError, match="not those that were saved"):
        trainer._load(tmp_path)


def test_a_spectral_kernel_has_a_largest_singular_value_of_one():
    layer = MaskedConv2D(5, spectral=True)
    x, mask = np.ones((1, 4, 4, 3), np.float32), np.ones((1, 4), np.float32)
    for _ in range(30):
        layer((x, mask), training=True)
    kernel = keras.ops.convert_to_numpy(layer._kernel(False)).reshape(-1, 5)
    assert np.linalg.svd(kernel, compute_uv=False)[0] == pytest.approx(1, rel=0.01)


def test_samples_come_from_the_average_of_the_weights(made):
    history = made["mel"].artefact.history
    assert history["val_noise_error"].notna().all()
    clips = sound()
    learner = diffusion._Learner(dataclasses.replace(MEL, ema=0.5), clips, clips, BUDGET, None, 1.0)
    kernel = next(w for w in learner.net.trainable_weights if w.path.endswith("stem/kernel"))
    average = keras.ops.convert_to_numpy(kernel).astype(float)
    for number in range(3):
        learner.step(number, np.random.default_rng(number), 0.05)
        average = 0.5 * average + 0.5 * keras.ops.convert_to_numpy(kernel)
    learner.finish()
    assert np.allclose(keras.ops.convert_to_numpy(kernel), average, atol=1e-4)


def test_untrained_nets_differ_until_the_block_ends(made):
    settings = SimpleNamespace(steps=2, guidance=1.5, strength=0.5)
    names = {"mel": "diffusion", "vae": "vae", "latent": "latent", "gan": "gan"}
    ready = makers.Makers({known: made[name] for name, known in names.items()}, settings)
    before = [net.get_weights() for generator in made.values() for net in generator.models]
    with makers.untrained(ready, seed=9):
        within = [net.get_weights() for generator in made.values() for net in generator.models]
    after = [net.get_weights() for generator in made.values() for net in generator.models]
    for old, drawn, new in zip(before, within, after, strict=True):
        assert any((a != b).any() for a, b in zip(old, drawn, strict=True))
        assert all((a == b).all() for a, b in zip(old, new, strict=True))


def test_a_latent_model_needs_an_autoencoder():
    with pytest.raises(study.UserError, match="needs an autoencoder"):
        diffusion.build(LATENT, BANDS, CONDITION)


def test_impossible_strength_is_named(made):
    with pytest.raises(study.UserError, match=r"strength 1\.5"):
        made["mel"].enhance(sound().x[:3], told(sound()), np.random.default_rng(0), strength=1.5)
