"""Everything that a generative trial depends on, besides the clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ser_utils import study
from ser_utils.generative.diffusion import DiffusionSpec
from ser_utils.generative.gan import GanSpec
from ser_utils.generative.trainer import Budget
from ser_utils.generative.vae import VaeSpec
from ser_utils.training.recipe import Recipe

KINDS = {  # what makes clips → what it starts from
    "vae": "a clip, encoded and decoded under another emotion",
    "diffusion": "noise, in patches of the spectrogram",
    "latent_diffusion": "noise, in the latent space of the autoencoder",
    "diffusion_edit": "a clip, noised to some time and taken back",
    "gan": "a clip, changed by a residual generator",
    "hybrid": "a clip, changed by the GAN, then noised and taken back",
}


@dataclass(frozen=True)
class Net:
    """A classifier: a key of ``models.BUILDERS``, its options, and the seed added to that of the trial."""

    model: str
    arguments: Mapping[str, Any]
    recipe: Recipe
    shift: int = 0


@dataclass(frozen=True)
class Settings:
    """What is trained and how clips are made.

    Parameters
    ----------
    conditioner, evaluator : Net
        Of other architectures and seeds; the gate refuses anything else.
    vae, diffusion, latent, gan : spec
    vae_budget, diffusion_budget, gan_budget : Budget
        That of the diffusion serves both spaces.
    kinds : tuple of str
        Keys of :data:`KINDS` that are tried.
    steps : int
        Of DDIM.
    guidance, strength : float
        Of the condition; of noising, as a share of the way to noise.
    augmentation : str
        Classical augmentation that stands beside the generated clips.
    n_measured, n_heard : int
        Clips per kind that measures are taken on; of them, those that are turned into sound for F0.
    """

    conditioner: Net
    evaluator: Net
    vae: VaeSpec = field(default_factory=VaeSpec)
    diffusion: DiffusionSpec = field(default_factory=DiffusionSpec)
    latent: DiffusionSpec = field(default_factory=lambda: DiffusionSpec(space="latent", stem=1))
    gan: GanSpec = field(default_factory=GanSpec)
    vae_budget: Budget = field(default_factory=Budget)
    diffusion_budget: Budget = field(default_factory=Budget)
    gan_budget: Budget = field(default_factory=Budget)
    kinds: tuple[str, ...] = tuple(KINDS)
    steps: int = 12
    guidance: float = 1.5
    strength: float = 0.4
    augmentation: str = "pitch_shift"
    n_measured: int = 60
    n_heard: int = 3

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise study.UserError(f"kinds {', '.join(unknown) or '(none)'}: use some of {', '.join(KINDS)}")
        study.check_range(self, "1 or more", lambda value: value >= 1, "steps")
        study.check_range(self, "2 or more", lambda value: value >= 2, "n_measured")
        study.check_range(self, "0 or more", lambda value: value >= 0, "n_heard", "guidance")
        study.check_range(self, "above 0 and at most 1", lambda value: 0 < value <= 1, "strength")
