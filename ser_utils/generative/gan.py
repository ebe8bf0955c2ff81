"""An adversarial net that changes the emotion of a spectrogram: a residual generator, a patch discriminator that is
told the emotion, and terms that keep the content (Goodfellow et al. 2014, arXiv:1406.2661; cycle and identity: Zhu et
al. 2017, doi:10.1109/ICCV.2017.244; mismatched conditions: Reed et al. 2016, arXiv:1605.05396)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ser_utils import study
from ser_utils.generative.blocks import PerClip
from ser_utils.generative.mel import valid
from ser_utils.generative.nets import discriminator, generator, picture, time_mask
from ser_utils.generative.patches import Patch, Sound
from ser_utils.generative.trainer import Artefact, Budget, Learner, compiled, filled, kept, update
from ser_utils.generative.vae import masked_error

LOSSES = ("hinge", "least_squares")
JUDGE_PACE = 2.0  # the discriminator learns faster than the generator (Heusel et al. 2017, arXiv:1706.08500)


@dataclass(frozen=True)
class GanSpec:
    """Nets and losses of the adversarial model.

    Parameters
    ----------
    loss : str
        ``hinge`` or ``least_squares`` (Mao et al. 2017, doi:10.1109/ICCV.2017.304).
    l1, cycle, identity : float
        Weights of the distance to the source, of the way there and back, and of what the own emotion changes.
    stem, width, blocks : int
        Of the generator: block size, channels, residual blocks.
    widths : tuple of int
        Channels of the discriminator.
    """

    loss: str = "hinge"
    l1: float = 0.1
    cycle: float = 1.0
    identity: float = 0.5
    stem: int = 2
    width: int = 32
    blocks: int = 4
    widths: tuple[int, ...] = (16, 32, 48)

    def __post_init__(self) -> None:
        study.check_range(self, f"one of {', '.join(LOSSES)}", lambda value: value in LOSSES, "loss")
        study.check_range(self, "0 or more", lambda value: value >= 0, "l1", "cycle", "identity")


def real_loss(score, loss: str):
    """Of the discriminator, for scores of real patches."""
    return ops.relu(1.0 - score) if loss == "hinge" else ops.square(score - 1.0)


def fake_loss(score, loss: str):
    """Of the discriminator, for scores of patches that are not real, or not of that emotion."""
    return ops.relu(1.0 + score) if loss == "hinge" else ops.square(score)


def fooling_loss(score, loss: str):
    """Of the generator, for scores of its patches."""
    return -score if loss == "hinge" else ops.square(score - 1.0)


class _Learner(Learner):
    def __init__(self, spec: GanSpec, train: Sound, validation: Sound, budget: Budget) -> None:
        self.spec, self.train, self.budget = spec, train, budget
        self.generator = build(spec, train.n_bands, train.n_condition)
        self.discriminator = discriminator(train.n_bands, train.n_condition, widths=spec.widths)
        rate = budget.learning_rate
        judging = compiled(self._judging(train.n_bands, train.n_condition), rate, beta_1=0.5)
        self.discriminator.trainable = False
        making = compiled(self._making(train.n_bands, train.n_condition), rate, beta_1=0.5)
        self.graphs = [judging, making]
        self.held = validation.fixed(budget.patch_frames, batch=64, seed=1)

    def _judging(self, n_bands: int, n_condition: int) -> keras.Model:
        real, fake, mask = picture(n_bands, name="real"), picture(n_bands, name="fake"), time_mask()
        own, other = (keras.Input((n_condition,), name=name) for name in ("own", "other"))
        good, m = self.discriminator([real, mask, own])
        made, _ = self.discriminator([fake, mask, other])
        wrong, _ = self.discriminator([real, mask, other])
        kind = self.spec.loss
        loss = real_loss(good, kind) + 0.5 * fake_loss(made, kind) + 0.5 * fake_loss(wrong, kind)
        judged = layers.Identity(name="judging")(PerClip()((loss, m)))
        return keras.Model([real, fake, mask, own, other], {"judging": judged})

    def _making(self, n_bands: int, n_condition: int) -> keras.Model:
        x, mask = picture(n_bands), time_mask()
        own, other = (keras.Input((n_condition,), name=name) for name in ("own", "other"))
        made, same = self.generator([x, mask, other]), self.generator([x, mask, own])
        score, m = self.discriminator([made, mask, other])
        kept_out = {
            "l1": self.spec.l1 * ops.abs(made - x),
            "cycle": self.spec.cycle * ops.abs(self.generator([made, mask, own]) - x),
            "identity": self.spec.identity * ops.abs(same - x),
        }
        losses = {name: PerClip()((value, mask)) for name, value in kept_out.items()}
        losses["fooling"] = PerClip()((fooling_loss(score, self.spec.loss), m))
        named = {name: layers.Identity(name=name)(value) for name, value in losses.items()}
        return keras.Model([x, mask, own, other], named)

    def step(self, number: int, rng: np.random.Generator, rate: float) -> None:
        patch = self.train.draw(rng, self.budget.batch_size, self.budget.patch_frames)
        judging, making = self.graphs
        told = {"mask": patch.mask, "own": patch.condition, "other": patch.other}
        fake = self.generator.predict_on_batch([patch.x, patch.mask, patch.other])
        self.discriminator.trainable = True
        update(judging, {"real": patch.x, "fake": fake} | told, JUDGE_PACE * rate)
        self.discriminator.trainable = False
        update(making, {"x": patch.x} | told, rate)

    def validate(self) -> dict[str, float]:
        patch: Patch = self.held
        made = self.generator.predict_on_batch([patch.x, patch.mask, patch.other])
        back = self.generator.predict_on_batch([made, patch.mask, patch.condition])
        real, m = self.discriminator.predict_on_batch([patch.x, patch.mask, patch.condition])
        fake, _ = self.discriminator.predict_on_batch([made, patch.mask, patch.other])
        scores = {
            f"val_score_{k}": float((s[..., 0].mean(2) * m).sum() / m.sum())
            for k, s in (("real", real), ("made", fake))
        }
        return {"val_cycle": masked_error(patch.x, back, patch.mask), **scores}


def build(spec: GanSpec, n_bands: int, n_condition: int) -> keras.Model:
    """The generator with new weights."""
    return generator(n_bands, n_condition, stem=spec.stem, width=spec.width, blocks=spec.blocks)


@dataclass(frozen=True)
class Gan:
    """A trained generator."""

    spec: GanSpec
    generator: keras.Model
    artefact: Artefact

    @property
    def models(self) -> list[keras.Model]:
        """The generator alone: nothing is made by the discriminator."""
        return [self.generator]

    def fresh(self) -> list[keras.Model]:
        """A generator with new weights."""
        x, _, condition = self.generator.input_shape
        return [build(self.spec, x[2], condition[1])]

    def enhance(self, x: np.ndarray, n_frames: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Clips [shape=(batch, time, bands)] as the generator would have them under `wanted`; nothing is drawn."""
        return self.generator.predict_on_batch([x[..., None], valid(n_frames, x.shape[1]), wanted])[..., 0]


def fit(
    spec: GanSpec,
    train: Sound,
    validation: Sound,
    budget: Budget,
    *,
    seed: int,
    cache: Path,
    key: Mapping[str, Any],
    label: str = "GAN",
) -> Gan:
    """Train, or take from the cache; `key` tells what the clips and their conditions are."""

    def make() -> tuple[Learner, dict[str, keras.Model]]:
        learner = _Learner(spec, train, validation, budget)
        return learner, {"generator": learner.generator}

    known = dict(key) | {"net": "gan", "spec": asdict(spec), "code": study.code_version("generative.gan")}
    artefact = kept(cache, known, make, budget, seed=seed, label=label)
    return Gan(spec, filled(build(spec, train.n_bands, train.n_condition), artefact, "generator"), artefact)
