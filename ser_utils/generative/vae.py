"""A convolutional variational autoencoder, told the emotion (Kingma & Welling 2014, arXiv:1312.6114; conditional: Sohn
et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from sklearn.decomposition import PCA

from ser_utils import study
from ser_utils.generative.blocks import PerClip, over_bands
from ser_utils.generative.mel import valid
from ser_utils.generative.nets import decoder, encoder, picture, time_mask
from ser_utils.generative.patches import Patch, Sound
from ser_utils.generative.trainer import Artefact, Budget, Learner, compiled, filled, kept, update

BLOCKS = 8192  # drawn blocks that the first weights are taken from


@dataclass(frozen=True)
class VaeSpec:
    """Size and loss of the autoencoder.

    Parameters
    ----------
    latent : int
        Numbers per block of frames.
    block : int
        Frames of a block.
    width, depth : int
        Channels and residual steps of encoder and decoder, each.
    beta : float
        Weight of the KL divergence, per value of the spectrogram.
    warm_up : float
        Share of the steps over which that weight rises from zero: without it the latent space may stay empty (Bowman et
        al. 2016, arXiv:1511.06349).
    """

    latent: int = 40
    block: int = 8
    width: int = 128
    depth: int = 2
    beta: float = 0.02
    warm_up: float = 0.5

    def __post_init__(self) -> None:
        study.check_range(self, "1 or more", lambda value: value >= 1, "latent", "block", "width", "depth")
        study.check_range(self, "0 or more", lambda value: value >= 0, "beta")
        study.check_range(self, "between 0 and 1", lambda value: 0 <= value <= 1, "warm_up")

    def weight(self, step: int, steps: int) -> float:
        """Weight of the KL divergence at a step.

        Examples
        --------
        >>> [VaeSpec(beta=1.0).weight(step, 100) for step in (0, 25, 50, 99)]
        [0.0, 0.5, 1.0, 1.0]
        """
        return self.beta * min(1.0, step / (self.warm_up * steps)) if self.warm_up else self.beta


class _Learner(Learner):
    def __init__(self, spec: VaeSpec, train: Sound, validation: Sound, budget: Budget, rate: float) -> None:
        self.spec, self.train, self.budget = spec, train, budget
        self.encoder, self.decoder = build(spec, train.n_bands, train.n_condition)
        self.graphs = [compiled(self._graph(train.n_bands, train.n_condition), rate)]
        self.held = validation.fixed(budget.patch_frames, batch=64, seed=1)

    def _graph(self, n_bands: int, n_condition: int) -> keras.Model:
        x, mask, condition = picture(n_bands), time_mask(), keras.Input((n_condition,), name="condition")
        noise = keras.Input((None, 1, self.spec.latent), name="noise")
        weight = keras.Input((1,), name="weight")
        mean, log_variance, small = self.encoder([x, mask, condition])
        z = (mean + ops.exp(0.5 * log_variance) * noise) * over_bands(small)
        error = ops.square(self.decoder([z, mask, condition]) - x)
        divergence = 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)
        per_value = self.spec.latent / (n_bands * self.spec.block)
        losses = {
            "error": layers.Identity(name="error")(PerClip()((error, mask))),
            "divergence": layers.Identity(name="divergence")(weight * per_value * PerClip()((divergence, small))),
        }
        return keras.Model([x, mask, condition, noise, weight], losses)

    def _inputs(self, patch: Patch, rng: np.random.Generator, weight: float) -> dict[str, np.ndarray]:
        size = latent_shape(self.spec, *patch.x.shape[:2])
        known = {"x": patch.x, "mask": patch.mask, "condition": patch.condition}
        known["noise"] = rng.standard_normal(size, dtype=np.float32)
        return known | {"weight": np.full((len(patch.x), 1), weight, np.float32)}

    def step(self, number: int, rng: np.random.Generator, rate: float) -> None:
        patch = self.train.draw(rng, self.budget.batch_size, self.budget.patch_frames)
        update(self.graphs[0], self._inputs(patch, rng, self.spec.weight(number, self.budget.steps)), rate)

    def validate(self) -> dict[str, float]:
        told = [self.held.mask, self.held.condition]
        mean, log_variance, small = self.encoder.predict_on_batch([self.held.x, *told])
        again = self.decoder.predict_on_batch([mean, *told])
        divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=(2, 3))
        per_frame = (divergence * small).sum() / small.sum()
        return {"val_error": masked_error(self.held.x, again, self.held.mask), "val_nats_per_step": float(per_frame)}


def masked_error(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Mean squared error over the valid frames.

    Examples
    --------
    >>> masked_error(np.zeros((1, 2, 3)), np.ones((1, 2, 3)), np.array([[1, 0]]))
    1.0
    """
    per_frame = np.square(x - y).reshape(*mask.shape, -1).mean(axis=2)
    return float((per_frame * mask).sum() / mask.sum())


def latent_shape(spec: VaeSpec, batch: int, n_frames: int) -> tuple[int, int, int, int]:
    """Shape of the latent of a batch of pictures.

    Examples
    --------
    >>> latent_shape(VaeSpec(), 2, 65)
    (2, 9, 1, 40)
    """
    return batch, -(-n_frames // spec.block), 1, spec.latent


def build(spec: VaeSpec, n_bands: int, n_condition: int) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder with new weights.

    Raises
    ------
    study.UserError
        Where a block has fewer values than its latent.
    """
    if spec.latent > spec.block * n_bands:
        raise study.UserError(
            f"latent {spec.latent} is more than the {spec.block * n_bands} values of a block; change it in the profile"
        )
    sizes = {name: getattr(spec, name) for name in ("latent", "block", "width", "depth")}
    return encoder(n_bands, n_condition, **sizes), decoder(n_bands, n_condition, **sizes)


def begin_as_components(coder: keras.Model, back: keras.Model, spec: VaeSpec, train: Sound) -> None:
    """Let the linear paths of encoder and decoder begin as the principal components of training blocks, scaled to unit
    deviation over all of them. From there all weights learn; it saves the steps that would find the components again.

    Parameters
    ----------
    coder, back : keras.Model
        From :func:`build`; the weights of their layers ``linear`` change.
    spec : VaeSpec
    train : Sound
        Training clips alone.
    """
    drawn = train.draw(np.random.default_rng(0), BLOCKS, spec.block).x
    x = np.zeros((BLOCKS, spec.block, train.n_bands), np.float32)
    x[:, : drawn.shape[1]] = drawn[..., 0]
    found = PCA(spec.latent, svd_solver="covariance_eigh").fit(x.reshape(BLOCKS, -1))
    spread = np.sqrt(max(float(found.explained_variance_.mean()), 1e-6))
    there, again = found.components_ / spread, found.components_ * spread
    for net, middle, bias in ((coder, there.T, -there @ found.mean_), (back, again, found.mean_)):
        layer = net.get_layer("linear")
        kernel = np.zeros(layer.kernel.shape, np.float32)
        kernel[len(kernel) // 2, 0] = middle  # a block alone; its neighbours come in by learning
        layer.set_weights([kernel, bias])


@dataclass(frozen=True)
class Vae:
    """A trained autoencoder."""

    spec: VaeSpec
    encoder: keras.Model
    decoder: keras.Model
    artefact: Artefact

    @property
    def models(self) -> list[keras.Model]:
        """All nets of it."""
        return [self.encoder, self.decoder]

    def fresh(self) -> list[keras.Model]:
        """Nets like :attr:`models` with new weights."""
        x, _, condition = self.encoder.input_shape
        return list(build(self.spec, x[2], condition[1]))

    def encode(self, x: np.ndarray, n_frames: np.ndarray, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the latent of clips [shape=(batch, time, bands)]."""
        mask = valid(n_frames, x.shape[1])
        mean, log_variance, _ = self.encoder.predict_on_batch([x[..., None], mask, condition])
        return mean, np.exp(0.5 * log_variance)

    def decode(self, z: np.ndarray, n_frames: np.ndarray, longest: int, condition: np.ndarray) -> np.ndarray:
        """Clips [shape=(batch, longest, bands)]."""
        mask = valid(n_frames, longest)
        return self.decoder.predict_on_batch([z * self.small(n_frames, longest), mask, condition])[..., 0]

    def small(self, n_frames: np.ndarray, longest: int) -> np.ndarray:
        """Mask of the latent [shape=(batch, time, 1, 1)]."""
        return valid(n_frames, longest)[:, :: self.spec.block, None, None]

    def enhance(
        self,
        x: np.ndarray,
        n_frames: np.ndarray,
        own: np.ndarray,
        wanted: np.ndarray,
        rng: np.random.Generator,
        *,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Clips encoded under their own condition, moved by the spread of the encoder, and decoded under another.

        Parameters
        ----------
        x : np.ndarray [shape=(batch, time, bands)]
        own, wanted : np.ndarray [shape=(batch, n_condition)]
        rng : np.random.Generator
        temperature : float
            Factor of the spread.
        """
        mean, spread = self.encode(x, n_frames, own)
        z = mean + temperature * spread * rng.standard_normal(mean.shape, dtype=np.float32)
        return self.decode(z, n_frames, x.shape[1], wanted)


def fit(
    spec: VaeSpec,
    train: Sound,
    validation: Sound,
    budget: Budget,
    *,
    seed: int,
    cache: Path,
    key: Mapping[str, Any],
    label: str = "VAE",
) -> Vae:
    """Train, or take from the cache; `key` tells what the clips and their conditions are."""

    def make() -> tuple[Learner, dict[str, keras.Model]]:
        learner = _Learner(spec, train, validation, budget, budget.learning_rate)
        begin_as_components(learner.encoder, learner.decoder, spec, train)
        return learner, {"encoder": learner.encoder, "decoder": learner.decoder}

    known = dict(key) | {"net": "vae", "spec": asdict(spec), "code": study.code_version("generative.vae")}
    artefact = kept(cache, known, make, budget, seed=seed, label=label)
    both = build(spec, train.n_bands, train.n_condition)
    coder, back = (filled(net, artefact, name) for net, name in zip(both, ("encoder", "decoder"), strict=True))
    return Vae(spec, coder, back, artefact)
