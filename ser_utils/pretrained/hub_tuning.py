"""Fine-tuning of transformers encoders on folds, with the contract of :mod:`ser_utils.pretrained.finetuning`."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ser_utils import study
from ser_utils.augment.frames import FrameAugmentation
from ser_utils.features import Frames
from ser_utils.pretrained.catalogue import entry, not_run
from ser_utils.pretrained.finetuning import ELSEWHERE
from ser_utils.pretrained.hub import content
from ser_utils.pretrained.hub_front import frames
from ser_utils.pretrained.hub_nets import Learner, Tuning, repeatable
from ser_utils.pretrained.tuned import Data, Tuned, on_folds, tune
from ser_utils.splits import Fold
from ser_utils.training import Recipe

__all__ = ["Tuning", "chosen", "cross_validate", "fit_fold", "frames", "recipe", "words"]
NOT_HERE = (*ELSEWHERE, "audio", "transfer", "pretrained.catalogue", "pretrained.tuning", "pretrained.byol_s")


def chosen(names: Sequence[str], encoders: Sequence[str]) -> dict[str, str]:
    """Encoder → why it is not tuned, with the commands that change it; empty where it can be.

    Parameters
    ----------
    names : sequence of str
        Those to be tuned, as :func:`ser_utils.pretrained.entry` takes them.
    encoders : sequence of str
        Those that are run frozen, too: what tuning is compared with.

    Raises
    ------
    study.UserError
        For one that is no encoder of transformers, or not among `encoders`.
    """
    for name in names:
        if entry(name).kind != "hub":
            raise study.UserError(f"hub_tuned names {name}, which is no encoder of transformers; tuned_layers tunes it")
        if name not in encoders:
            raise study.UserError(f"hub_tuned names {name}, which encoders does not; add it there, or take it out here")
    return {name: not_run(name) for name in names}


def words(name: str) -> str:
    """What the column ``features`` of predictions says of a tuned encoder.

    Examples
    --------
    >>> words("wavlm_base_plus")
    'wavlm_base_plus:tuned'
    """
    return f"{Path(name).name}:tuned".lower()


def recipe(epochs: int) -> Recipe:
    """How encoders are tuned: warm-up over the first epoch, then down along a cosine; stretches of frames are hidden.

    Its rate is that of the new output layer, and its other disturbances are for log-mel frames: they are left out.

    Examples
    --------
    >>> recipe(10).epochs, recipe(10).schedule
    (10, 'cosine')
    """
    hidden = FrameAugmentation(time_mask=0.1, column_mask=0.0, mixup=0.0, speed=0.0)
    return Recipe(epochs=epochs, patience=5, batch_size=16, learning_rate=2e-3, augmentation=hidden)


@dataclass(frozen=True)
class _Data(Data):
    encoder: str
    tuning: Tuning


def cross_validate(
    manifest: pd.DataFrame,
    frames: Frames,
    folds: Sequence[Fold],
    labels: Sequence[str],
    *,
    encoder: str,
    tuning: Tuning,
    recipe: Recipe,
    seed: int = 0,
    cache: Path,
    allow: Collection[str] = (),
    jobs: int | None = None,
) -> list[Tuned]:
    """Tune an encoder on every fold, in processes; finished folds come from the cache.

    Parameters
    ----------
    manifest : pd.DataFrame
        Clips of one corpus: ``clip_id, corpus, speaker, emotion, sha256``.
    frames : Frames
        From :func:`ser_utils.pretrained.hub_front.frames` with the same encoder.
    folds : sequence of Fold
    labels : sequence of str
    encoder : str
        Of kind ``hub``.
    tuning : Tuning
    recipe : Recipe
        Its `learning_rate` is that of the new output layer.
    seed, cache, allow, jobs
        As for :func:`ser_utils.pretrained.finetuning.cross_validate`.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        For a fold with an empty part, or a model that is not there.
    """
    data = _Data(manifest.reset_index(drop=True), frames, tuple(labels), recipe, tuple(allow), encoder, tuning)
    identity = data.identity(seed) | {
        "weights": content(encoder),
        "tuning": asdict(tuning),
        "code": study.code_version("pretrained.hub_tuning", without=NOT_HERE),
        "versions": study.versions("torch", "transformers", "numpy"),
    }
    desc = f"{manifest['corpus'].iloc[0]}: tuning {Path(encoder).name}, folds"
    return on_folds(fit_fold, folds, data, identity, desc=desc, cache=cache, jobs=jobs)


def fit_fold(fold: Fold, seed: int, data: _Data) -> Tuned:
    """Tune on one fold; predict its test clips and its validation clips."""
    begun, model = time.monotonic(), "lora_tuned" if data.tuning.lora_rank else "fully_tuned"
    data.check(fold)
    with repeatable(seed * 1000 + fold.index):
        net = Learner(data.encoder, len(data.labels), data.tuning, data.recipe)
        n_trained = sum(weight.numel() for weight in net.trained)
        found = tune(net, fold, seed, data, model=model, n_trained=n_trained, device=net.device)
    found.facts["wall_s"] = time.monotonic() - begun
    return found
