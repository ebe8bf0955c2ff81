"""Fine-tuning of transformers encoders on folds, with the contract of :mod:`ser_utils.pretrained.finetuning`."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import splits, study, training
from ser_utils.augment.frames import FrameAugmentation
from ser_utils.evaluation.predictions import answers
from ser_utils.features import Frames
from ser_utils.pretrained.catalogue import entry, not_run
from ser_utils.pretrained.finetuning import ELSEWHERE, Tuned
from ser_utils.pretrained.hub import content
from ser_utils.pretrained.hub_front import frames
from ser_utils.pretrained.hub_nets import Learner, Tuning, repeatable
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
class _Data:
    """One corpus and one way of tuning: what a fold needs and its artefact depends on."""

    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    encoder: str
    tuning: Tuning
    recipe: Recipe
    allow: tuple[str, ...]


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
    data = _Data(manifest.reset_index(drop=True), frames, tuple(labels), encoder, tuning, recipe, tuple(allow))
    for fold in folds:  # also those that the cache will answer for
        _check(data, fold)
    work = functools.partial(_cached_fold, data=data, identity=_identity(data, seed), cache=cache)
    return study.pmap(work, folds, desc=f"{manifest['corpus'].iloc[0]}: tuning {Path(encoder).name}, folds", jobs=jobs)


def _check(data: _Data, fold: Fold) -> None:
    splits.check_filled(fold, *splits.OFFICIAL)
    splits.check_leaks(fold, data.manifest, fitted={}, allow=data.allow)


def _identity(data: _Data, seed: int) -> dict[str, Any]:
    clips = hashlib.sha256(np.ascontiguousarray(data.frames.x).data)
    clips.update(data.frames.n_frames.tobytes())
    for column in ("clip_id", "emotion", "speaker", "sha256"):
        clips.update("\n".join(data.manifest[column]).encode())
    return {
        "content": clips.hexdigest(),
        "weights": content(data.encoder),
        "labels": data.labels,
        "tuning": asdict(data.tuning),
        "recipe": asdict(data.recipe),
        "allow": data.allow,
        "seed": seed,
        "code": study.code_version("pretrained.hub_tuning", without=NOT_HERE),
        "versions": study.versions("torch", "transformers", "numpy"),
    }


def _cached_fold(fold: Fold, *, data: _Data, identity: Mapping[str, Any], cache: Path) -> Tuned:
    parts = {part: study.digest(ids.tolist()) for part, ids in vars(fold).items() if part != "index"}
    key = {**identity, "index": fold.index, "fold": parts}
    return study.cached(cache, key, lambda: fit_fold(fold, identity["seed"], data), save=_save, load=_load)


def fit_fold(fold: Fold, seed: int, data: _Data) -> Tuned:
    """Tune on one fold; predict its test clips and its validation clips."""
    begun, model = time.monotonic(), "lora_tuned" if data.tuning.lora_rank else "fully_tuned"
    _check(data, fold)
    with repeatable(seed * 1000 + fold.index):
        train = _batches(data, fold.train, np.random.default_rng([seed, fold.index]))
        validation, test = (_batches(data, ids) for ids in (fold.validation, fold.test))
        net = Learner(data.encoder, len(data.labels), data.tuning, data.recipe)
        best = training.fit(net, train, validation, data.recipe, label=f"{model} fold {fold.index + 1} seed {seed}")
        probabilities = [training.predict(net, part) for part in (test, validation)]
    facts = {
        "model": model,
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "n_trained": sum(weight.numel() for weight in net.trained),
        "device": net.device,
        "wall_s": time.monotonic() - begun,
    }
    tables = [
        answers(data.manifest, ids, found, data.labels)
        for ids, found in zip((fold.test, fold.validation), probabilities, strict=True)
    ]
    return Tuned(*tables, pd.DataFrame(best.history), facts)


def _batches(data: _Data, ids: np.ndarray, rng: np.random.Generator | None = None) -> training.Batches:
    rows = data.frames.rows(ids)
    emotion = data.manifest.set_index("clip_id")["emotion"].loc[ids].to_numpy()
    targets = (emotion[:, None] == np.array(data.labels)).astype(np.float32)
    return training.Batches(np.asarray(data.frames.x[rows]), data.frames.n_frames[rows], targets, data.recipe, rng)


def _save(result: Tuned, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.validation.to_parquet(folder / "validation.parquet", index=False)
    result.history.to_csv(folder / "history.csv", index=False)
    (folder / "facts.json").write_text(json.dumps(result.facts), encoding="utf-8")


def _load(folder: Path) -> Tuned:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "validation"))
    return Tuned(*tables, pd.read_csv(folder / "history.csv"), facts)
