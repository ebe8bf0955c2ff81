"""Fine-tuning on folds: BYOL-S goes on learning on the training speakers, and validation speakers say when to stop."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import splits, study, training
from ser_utils.evaluation.predictions import answers
from ser_utils.features import Frames
from ser_utils.pretrained.tuning import byol_s_tuned
from ser_utils.splits import Fold
from ser_utils.training import Recipe

MODEL = "byol_s_tuned"
ELSEWHERE = ("features", "splits", "models", "tracking", "weights", "transfer", "torch_zip", "evaluation", "corpora")


@dataclass(frozen=True)
class Tuned:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    validation: pd.DataFrame = field(repr=False)  # of the validation clips, alike: what stacking is fitted on
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar…
    facts: dict[str, Any]  # model, fold, seed, n_train, best_epoch, val_uar, n_trained…


@dataclass(frozen=True)
class _Data:
    """One corpus and one way of tuning: what a fold needs and its artefact depends on."""

    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    options: Mapping[str, Any]
    recipe: Recipe
    allow: tuple[str, ...]


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
    data = _Data(manifest.reset_index(drop=True), frames, tuple(labels), dict(options), recipe, tuple(allow))
    for fold in folds:  # also those that the cache will answer for
        _check(data, fold)
    work = functools.partial(_cached_fold, data=data, identity=_identity(data, seed), cache=cache)
    return study.pmap(work, folds, desc=f"{manifest['corpus'].iloc[0]}: tuning BYOL-S, folds", jobs=jobs)


def _check(data: _Data, fold: Fold) -> None:
    splits.check_filled(fold, *splits.OFFICIAL)
    splits.check_leaks(fold, data.manifest, fitted={}, allow=data.allow)


def _identity(data: _Data, seed: int) -> dict[str, Any]:
    content = hashlib.sha256(np.ascontiguousarray(data.frames.x).data)
    content.update(data.frames.n_frames.tobytes())
    for column in ("clip_id", "emotion", "speaker", "sha256"):
        content.update("\n".join(data.manifest[column]).encode())
    return {
        "content": content.hexdigest(),
        "labels": data.labels,
        "options": data.options,
        "recipe": asdict(data.recipe),
        "allow": data.allow,
        "seed": seed,
        "code": study.code_version("pretrained.finetuning", without=ELSEWHERE),
        "versions": study.versions("keras", "tensorflow", "jax", "numpy"),
    }


def _cached_fold(fold: Fold, *, data: _Data, identity: Mapping[str, Any], cache: Path) -> Tuned:
    parts = {part: study.digest(ids.tolist()) for part, ids in vars(fold).items() if part != "index"}
    key = {**identity, "index": fold.index, "fold": parts}
    return study.cached(cache, key, lambda: fit_fold(fold, identity["seed"], data), save=_save, load=_load)


def fit_fold(fold: Fold, seed: int, data: _Data) -> Tuned:
    """Tune on one fold; predict its test clips and its validation clips."""
    begun = time.monotonic()
    study.seed_everything(seed * 1000 + fold.index)
    _check(data, fold)
    train = _batches(data, fold.train, np.random.default_rng([seed, fold.index]))
    validation, test = (_batches(data, ids) for ids in (fold.validation, fold.test))
    net = byol_s_tuned(data.frames.x.shape[2], len(data.labels), **data.options)
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=data.recipe.weight_decay, global_clipnorm=1.0)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=data.recipe.label_smoothing)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    best = training.fit(net, train, validation, data.recipe, label=f"{MODEL} fold {fold.index + 1} seed {seed}")
    facts = {
        "model": MODEL,
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "n_trained": int(sum(np.prod(weight.shape) for weight in net.trainable_weights)),
        "wall_s": time.monotonic() - begun,
    }
    tables = [
        answers(data.manifest, ids, training.predict(net, part), data.labels)
        for ids, part in ((fold.test, test), (fold.validation, validation))
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


def predictions_table(results: Sequence[Tuned], *, part: str = "test", **constants: Any) -> pd.DataFrame:
    """One table of all folds, of their ``test`` or ``validation`` clips; all rows share the columns `constants`."""
    parts = [
        (result.predictions if part == "test" else result.validation).assign(
            **{name: result.facts[name] for name in ("model", "fold", "seed")}
        )
        for result in results
    ]
    return pd.concat(parts, ignore_index=True).assign(**constants)
