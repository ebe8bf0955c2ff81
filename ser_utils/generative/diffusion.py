"""Diffusion on spectrograms or in the latent space of the autoencoder (Rombach et al. 2022, arXiv:2112.10752).

It samples from noise, or enhances: noises a clip to some time and takes it back under an emotion.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from ser_utils import study
from ser_utils.generative.blocks import PerClip
from ser_utils.generative.mel import valid
from ser_utils.generative.nets import unet
from ser_utils.generative.patches import Patch, Sound
from ser_utils.generative.schedule import Schedule
from ser_utils.generative.trainer import Artefact, Budget, Learner, compiled, filled, kept, update
from ser_utils.generative.vae import Vae

SPACES = ("mel", "latent")
LIMITS = {"mel": 4.0, "latent": 16.0}  # standard deviations that a value may be away from the mean: bands are
# standardised one by one, the latent as a whole, and its first components are several times as wide as the rest


@dataclass(frozen=True)
class DiffusionSpec:
    """Net, schedule and average of a diffusion model.

    Parameters
    ----------
    space : str
        ``mel``, patches of the spectrogram; or ``latent``, the mean of the autoencoder's latent, scaled to unit
        deviation.
    schedule : Schedule
    stem : int
        The net works on blocks of stem × stem values.
    widths : tuple of int
        Channels of its levels.
    style : bool
        Whether it is told the style of a reference clip.
    ema : float
        Share of the averaged weights that a step keeps; samples come from the average.
    """

    space: str = "mel"
    schedule: Schedule = field(default_factory=Schedule)
    stem: int = 2
    widths: tuple[int, ...] = (32, 48, 64)
    style: bool = True
    ema: float = 0.995

    def __post_init__(self) -> None:
        study.check_range(self, f"one of {', '.join(SPACES)}", lambda value: value in SPACES, "space")
        study.check_range(self, "between 0 and 1", lambda value: 0 < value < 1, "ema")


class Told(NamedTuple):
    """What the net knows of a batch of clips.

    Attributes
    ----------
    n_frames : np.ndarray [shape=(batch,)]
    condition : np.ndarray [shape=(batch, n_condition)]
    style : np.ndarray [shape=(batch, time, bands)]
        Reference clips, standardised.
    style_frames : np.ndarray [shape=(batch,)]
    """

    n_frames: np.ndarray
    condition: np.ndarray
    style: np.ndarray
    style_frames: np.ndarray


class _Learner(Learner):
    def __init__(
        self, spec: DiffusionSpec, train: Sound, validation: Sound, budget: Budget, vae: Vae | None, scale: float
    ) -> None:
        self.spec, self.train, self.budget, self.vae, self.scale = spec, train, budget, vae, scale
        self.net = build(spec, train.n_bands, train.n_condition, vae)
        self.graphs = [compiled(self._graph(), budget.learning_rate, ema=spec.ema)]
        self.held = validation.fixed(budget.patch_frames, batch=64, seed=1)

    def _graph(self) -> keras.Model:
        target = keras.Input((None, *self.net.output_shape[2:]), name="target")
        error = PerClip()((ops.square(self.net.output - target), self.net.input[1]))
        return keras.Model([*self.net.input, target], {"noise_error": layers.Identity(name="noise_error")(error)})

    def _inputs(self, patch: Patch, rng: np.random.Generator) -> dict[str, np.ndarray]:
        x, mask = patch.x, patch.mask
        if self.vae:
            n_frames = mask.sum(axis=1).astype(int)
            x = self.vae.encode(x[..., 0], n_frames, patch.condition)[0] / self.scale
            mask = self.vae.small(n_frames, mask.shape[1])[:, :, 0, 0]
        schedule = self.spec.schedule
        t = rng.integers(1, schedule.n_steps + 1, len(x))
        eps = rng.standard_normal(x.shape, dtype=np.float32) * mask[:, :, None, None]
        known = {"x": schedule.noised(x, eps, t), "mask": mask, "time": t[:, None] / schedule.n_steps}
        known |= {"condition": patch.condition, "target": schedule.target(x, eps, t)}
        if self.spec.style:
            known |= {"style_x": patch.style, "style_mask": patch.style_mask}
        return {name: np.asarray(value, dtype=np.float32) for name, value in known.items()}

    def step(self, number: int, rng: np.random.Generator, rate: float) -> None:
        patch = self.train.draw(rng, self.budget.batch_size, self.budget.patch_frames)
        update(self.graphs[0], self._inputs(patch, rng), rate)

    def validate(self) -> dict[str, float]:
        """Mean squared error of the averaged weights at fixed times and noises."""
        raw = self.net.get_weights()
        self.finish()
        known = self._inputs(self.held, np.random.default_rng(2))
        target = known.pop("target")
        error = np.square(self.net.predict_on_batch([known[t.name] for t in self.net.input]) - target)
        per_frame = error.mean(axis=(2, 3))
        self.net.set_weights(raw)
        return {"val_noise_error": float((per_frame * known["mask"]).sum() / known["mask"].sum())}

    def finish(self) -> None:
        self.graphs[0].optimizer.finalize_variable_values(self.graphs[0].trainable_variables)


def build(spec: DiffusionSpec, n_bands: int, n_condition: int, vae: Vae | None = None) -> keras.Model:
    """The net with new weights: on the picture, or on the latent of an autoencoder."""
    if (spec.space == "latent") != (vae is not None):
        raise study.UserError(f"space '{spec.space}' needs {'an' if spec.space == 'latent' else 'no'} autoencoder")
    size: dict[str, Any] = {"stem": spec.stem, "widths": spec.widths, "style_bands": n_bands if spec.style else 0}
    if vae:
        high, channels = vae.decoder.input_shape[0][2:]
        return unet(high, n_condition, n_channels=channels, **size)
    return unet(n_bands, n_condition, **size)


@dataclass(frozen=True)
class Diffusion:
    """A trained diffusion model; `vae` and `scale` where it works in a latent space."""

    spec: DiffusionSpec
    net: keras.Model
    artefact: Artefact
    vae: Vae | None = None
    scale: float = 1.0

    @property
    def models(self) -> list[keras.Model]:
        """The net; the autoencoder is another generator."""
        return [self.net]

    def fresh(self) -> list[keras.Model]:
        """A net like :attr:`net` with new weights."""
        picture = (self.vae.encoder if self.vae else self.net).input_shape[0]
        return [build(self.spec, picture[2], self.net.input_shape[3][1], self.vae)]

    def generate(
        self, told: Told, longest: int, rng: np.random.Generator, *, steps: int = 20, guidance: float = 1.5
    ) -> np.ndarray:
        """Clips [shape=(batch, longest, bands)] from noise.

        Parameters
        ----------
        told : Told
        longest : int
            Frames of the padded clips.
        rng : np.random.Generator
            Draws the noise, and nothing else is left to chance.
        steps : int
            Of DDIM.
        guidance : float
            1: the condition alone; above: away from what the net says without one (Ho & Salimans 2022,
            arXiv:2207.12598).
        """
        noise = rng.standard_normal(self._shape(len(told.n_frames), longest), dtype=np.float32)
        schedule = self.spec.schedule
        return self._picture(self._back(noise, told, longest, schedule.times(steps), guidance), told, longest)

    def enhance(
        self,
        x: np.ndarray,
        told: Told,
        rng: np.random.Generator,
        *,
        strength: float = 0.4,
        steps: int = 10,
        guidance: float = 1.5,
        own: np.ndarray | None = None,
    ) -> np.ndarray:
        """Clips noised to a time and taken back under the condition of `told` (Meng et al. 2022, arXiv:2108.01073).

        Parameters
        ----------
        x : np.ndarray [shape=(batch, time, bands)]
        strength : float
            The time, as a share of the way to pure noise, in (0, 1].
        own : np.ndarray, optional
            Condition under which a latent model encodes the clips; default that of `told`.
        """
        if not 0 < strength <= 1:
            raise study.UserError(f"strength {strength} must be above 0 and at most 1; change it in the profile")
        schedule = self.spec.schedule
        start = max(1, round(strength * schedule.n_steps))
        clean = x[..., None]
        if self.vae:
            clean = self.vae.encode(x, told.n_frames, told.condition if own is None else own)[0] / self.scale
        noisy = schedule.noised(clean, rng.standard_normal(clean.shape, dtype=np.float32), start)
        found = self._back(noisy, told, x.shape[1], schedule.times(steps, start=start), guidance)
        return self._picture(found, told, x.shape[1])

    def trace(self, told: Told, longest: int, rng: np.random.Generator, *, steps: int, guidance: float) -> list:
        """Clips on their way from noise, one array per time: for a figure."""
        x = rng.standard_normal(self._shape(len(told.n_frames), longest), dtype=np.float32)
        seen: list[np.ndarray] = []
        self._back(x, told, longest, self.spec.schedule.times(steps), guidance, seen=seen)
        return [self._picture(x, told, longest) for x in seen]

    def _shape(self, batch: int, longest: int) -> tuple[int, ...]:
        if not self.vae:
            return (batch, longest, *self.net.input_shape[0][2:])
        return (batch, -(-longest // self.vae.spec.block), *self.net.input_shape[0][2:])

    def _back(
        self, x: np.ndarray, told: Told, longest: int, times: np.ndarray, guidance: float, seen: list | None = None
    ) -> np.ndarray:
        mask = valid(told.n_frames, longest)
        mask = self.vae.small(told.n_frames, longest)[:, :, 0, 0] if self.vae else mask
        x = x * mask[:, :, None, None]
        for t, to in itertools.pairwise(times):
            answer = self._answer(x.astype(np.float32), mask, t, told, guidance)
            x = self.spec.schedule.step(x, answer, t, to, limit=LIMITS[self.spec.space])
            if seen is not None:
                seen.append(x)
        return x.astype(np.float32)

    def _answer(self, x: np.ndarray, mask: np.ndarray, t: int, told: Told, guidance: float) -> np.ndarray:
        time = np.full((len(x), 1), t / self.spec.schedule.n_steps, np.float32)
        style = [told.style, valid(told.style_frames, told.style.shape[1])] if self.spec.style else []
        answer = self.net.predict_on_batch([x, mask, time, told.condition, *style])
        if guidance == 1:
            return answer
        free = self.net.predict_on_batch([x, mask, time, np.zeros_like(told.condition), *style])
        return free + guidance * (answer - free)

    def _picture(self, x: np.ndarray, told: Told, longest: int) -> np.ndarray:
        if self.vae:
            return self.vae.decode((x * self.scale).astype(np.float32), told.n_frames, longest, told.condition)
        return (x[..., 0] * valid(told.n_frames, longest)[:, :, None]).astype(np.float32)


def fit(
    spec: DiffusionSpec,
    train: Sound,
    validation: Sound,
    budget: Budget,
    *,
    seed: int,
    cache: Path,
    key: Mapping[str, Any],
    vae: Vae | None = None,
    label: str = "diffusion",
) -> Diffusion:
    """Train, or take from the cache; `key` tells what the clips and their conditions are."""
    scale = latent_scale(vae, train) if vae else 1.0

    def make() -> tuple[Learner, dict[str, keras.Model]]:
        learner = _Learner(spec, train, validation, budget, vae, scale)
        return learner, {"net": learner.net}

    known = dict(key) | {"net": "diffusion", "spec": asdict(spec), "code": study.code_version("generative.diffusion")}
    known["vae"] = vae.artefact.facts["sha256"] if vae else ""
    artefact = kept(cache, known, make, budget, seed=seed, label=label)
    net = filled(build(spec, train.n_bands, train.n_condition, vae), artefact, "net")
    return Diffusion(spec, net, artefact, vae, scale)


def latent_scale(vae: Vae, sound: Sound, *, n: int = 64) -> float:
    """Standard deviation of the latent means of the first `n` clips."""
    x, n_frames = sound.x[:n], sound.n_frames[:n]
    mean, _ = vae.encode(x, n_frames, sound.own[:n].astype(np.float32))
    return float(mean[vae.small(n_frames, x.shape[1])[:, :, 0, 0] > 0].std())
