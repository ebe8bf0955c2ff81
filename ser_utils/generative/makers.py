"""The generators of one fold side by side: trained, then asked for clips in one way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.generative.diffusion import Diffusion, Told
from ser_utils.generative.diffusion import fit as fit_diffusion
from ser_utils.generative.gan import Gan
from ser_utils.generative.gan import fit as fit_gan
from ser_utils.generative.gate import Origin
from ser_utils.generative.patches import Sound
from ser_utils.generative.settings import Settings
from ser_utils.generative.trainer import Artefact
from ser_utils.generative.vae import Vae
from ser_utils.generative.vae import fit as fit_vae

BATCH = 16
NEEDS = {  # kind → generators that it takes
    "vae": ("vae",),
    "diffusion": ("diffusion",),
    "latent_diffusion": ("vae", "latent"),
    "diffusion_edit": ("diffusion",),
    "gan": ("gan",),
    "hybrid": ("gan", "diffusion"),
}


@dataclass(frozen=True)
class Makers:
    """Trained generators by name, and the settings that clips are made with."""

    nets: dict[str, Vae | Diffusion | Gan]
    settings: Settings

    @property
    def artefacts(self) -> dict[str, Artefact]:
        return {name: net.artefact for name, net in self.nets.items()}

    def origins(self, kind: str, heard: Sequence[str], order: str) -> list[Origin]:
        """Where the nets come from that a kind of clips takes."""
        return [
            Origin(
                name, f"{name} generator", f"{order}, {name}", str(self.artefacts[name].facts["sha256"]), tuple(heard)
            )
            for name in NEEDS[kind]
        ]

    def make(
        self, kind: str, sound: Sound, own: np.ndarray, wanted: np.ndarray, *, seed: int
    ) -> tuple[np.ndarray, float]:
        """Clips of a kind, one for each clip of `sound`, as long as it.

        Parameters
        ----------
        kind : str
        sound : Sound
            Where they start, or whose style they take.
        own, wanted : np.ndarray [shape=(n_clips, n_condition)]
            What the clips are, and what is asked for.
        seed : int

        Returns
        -------
        x : np.ndarray [shape=(n_clips, longest, n_bands), dtype=float32]
            Standardised.
        seconds : float
            Per clip, measured over all batches but the first, which builds the graphs.
        """
        way = getattr(self, f"_{kind}")
        parts, spent = [], []
        for at in range(0, len(sound.x), BATCH):
            begun = time.monotonic()
            parts.append(_whole(way, sound, own, wanted, at, np.random.default_rng([seed, at])))
            spent.append((time.monotonic() - begun) / BATCH)
        return np.concatenate(parts), float(np.median(spent[1:] or spent))

    def _vae(self, x, told: Told, own, rng) -> np.ndarray:
        return self.nets["vae"].enhance(x, told.n_frames, own, told.condition, rng)

    def _diffusion(self, x, told: Told, own, rng, *, net: str = "diffusion") -> np.ndarray:
        how = {"steps": self.settings.steps, "guidance": self.settings.guidance}
        return self.nets[net].generate(told, x.shape[1], rng, **how)

    def _latent_diffusion(self, x, told: Told, own, rng) -> np.ndarray:
        return self._diffusion(x, told, own, rng, net="latent")

    def _diffusion_edit(self, x, told: Told, own, rng) -> np.ndarray:
        s = self.settings
        how = {"steps": max(1, round(s.steps * s.strength)), "guidance": s.guidance, "strength": s.strength}
        return self.nets["diffusion"].enhance(x, told, rng, **how)

    def _gan(self, x, told: Told, own, rng) -> np.ndarray:
        return self.nets["gan"].enhance(x, told.n_frames, told.condition)

    def _hybrid(self, x, told: Told, own, rng) -> np.ndarray:
        return self._diffusion_edit(self._gan(x, told, own, rng), told, own, rng)


def _whole(way: Callable, sound: Sound, own: np.ndarray, wanted: np.ndarray, at: int, rng) -> np.ndarray:
    """One batch, filled up to its full size so that one graph serves all."""
    rows = np.minimum(np.arange(at, at + BATCH), len(sound.x) - 1)
    x, n_frames = sound.x[rows], sound.n_frames[rows]
    told = Told(n_frames, wanted[rows].astype(np.float32), x, n_frames)
    return way(x, told, own[rows].astype(np.float32), rng)[: len(sound.x) - at]


def fit_makers(
    settings: Settings, train: Sound, validation: Sound, *, seed: int, cache: Path, key: dict, label: str
) -> Makers:
    """Train what the kinds of `settings` take, or take it from the cache."""
    wanted = {name for kind in settings.kinds for name in NEEDS[kind]}
    nets: dict[str, Vae | Diffusion | Gan] = {}
    common = {"seed": seed, "cache": cache, "key": key}
    if "vae" in wanted:
        name = f"{label}, VAE"
        nets["vae"] = fit_vae(settings.vae, train, validation, settings.vae_budget, label=name, **common)
    for net, spec in (("diffusion", settings.diffusion), ("latent", settings.latent)):
        if net in wanted:
            coder = nets["vae"] if net == "latent" else None
            how = {"vae": coder, "label": f"{label}, {net}"} | common
            nets[net] = fit_diffusion(spec, train, validation, settings.diffusion_budget, **how)
    if "gan" in wanted:
        name = f"{label}, GAN"
        nets["gan"] = fit_gan(settings.gan, train, validation, settings.gan_budget, label=name, **common)
    return Makers(nets, settings)


@contextlib.contextmanager
def untrained(makers: Makers, *, seed: int) -> Iterator[Makers]:
    """The same nets with weights that are drawn and not trained, until the block ends; nets of their own would take
    graphs of their own."""
    study.seed_everything(seed)
    pairs = [pair for net in makers.nets.values() for pair in zip(net.models, net.fresh(), strict=True)]
    trained = [model.get_weights() for model, _ in pairs]
    for model, new in pairs:
        model.set_weights(new.get_weights())
    try:
        yield makers
    finally:
        for (model, _), weights in zip(pairs, trained, strict=True):
            model.set_weights(weights)


def histories(makers: Makers) -> pd.DataFrame:
    """Every validation of every generator: ``net, step``, losses, ``seconds``."""
    return pd.concat([a.history.assign(net=name) for name, a in makers.artefacts.items()], ignore_index=True)
