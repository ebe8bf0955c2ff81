"""Fine-tuning on folds: BYOL-S goes on learning on the training speakers, and validation speakers say when to stop."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.features import Frames
from ser_utils.pretrained.tuned import Data, Tuned, on_folds, predictions_table, tune
from ser_utils.pretrained.tuning import byol_s_tuned
from ser_utils.splits import Fold
from ser_utils.training import Recipe

__all__ = ["MODEL", "Tuned", "cross_validate", "fit_fold", "predictions_table"]
MODEL = "byol_s_tuned"
ELSEWHERE = ("features", "splits", "models", "tracking", "weights", "transfer", "torch_zip", "evaluation", "corpora")


@dataclass(frozen=True)
class _Data(Data):
    options: Mapping[str, Any]


def cross_validate(
    manifest: pd.DataFrame,
    frames: Frames,
    folds: Sequence[Fold],
    labels: Sequence[str],
    *,
    options: Mapping[str, Any],
    recipe: Recipe,
    seed: int = 0,
    cache: Path,
    allow: Collection[str] = (),
    jobs: int | None = None,
) -> list[Tuned]:
    """Tune on every fold, in processes; finished folds come from the cache.

    Parameters
    ----------
    manifest : pd.DataFrame
        Clips of one corpus: ``clip_id, corpus, speaker, emotion, sha256``.
    frames : Frames
        What the net takes, as the published net knows it: :func:`ser_utils.pretrained.byol_s_input`, or frames of
        ``conv3`` by :func:`ser_utils.pretrained.embed_frames`. They are not standardised.
    folds : sequence of Fold
    labels : sequence of str
    options : mapping
        Of :func:`ser_utils.pretrained.tuning.byol_s_tuned`.
    recipe : Recipe
    seed : int
    cache : Path
    allow : collection of str
        Kinds of leak that the split has by its nature.
    jobs : int, optional
        Processes; results do not depend on it.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        For a fold with an empty part, or weights that are not there.
    """
    data = _Data(manifest.reset_index(drop=True), frames, tuple(labels), recipe, tuple(allow), dict(options))
    identity = data.identity(seed) | {
        "options": data.options,
        "code": study.code_version("pretrained.finetuning", without=ELSEWHERE),
        "versions": study.versions("keras", "tensorflow", "jax", "numpy"),
    }
    desc = f"{manifest['corpus'].iloc[0]}: tuning BYOL-S, folds"
    return on_folds(fit_fold, folds, data, identity, desc=desc, cache=cache, jobs=jobs)


def fit_fold(fold: Fold, seed: int, data: _Data) -> Tuned:
    """Tune on one fold; predict its test clips and its validation clips."""
    begun = time.monotonic()
    study.seed_everything(seed * 1000 + fold.index)
    data.check(fold)
    net = byol_s_tuned(data.frames.x.shape[2], len(data.labels), **data.options)
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=data.recipe.weight_decay, global_clipnorm=1.0)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=data.recipe.label_smoothing)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    n_trained = int(sum(np.prod(weight.shape) for weight in net.trainable_weights))
    found = tune(net, fold, seed, data, model=MODEL, n_trained=n_trained)
    found.facts["wall_s"] = time.monotonic() - begun
    return found
