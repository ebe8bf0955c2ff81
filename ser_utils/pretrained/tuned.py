"""What a tuned encoder leaves behind on one fold, and what is alike for all ways of tuning."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import splits, study, training
from ser_utils.evaluation.predictions import answers
from ser_utils.features import Frames
from ser_utils.splits import Fold
from ser_utils.training import Recipe


@dataclass(frozen=True)
class Tuned:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    validation: pd.DataFrame = field(repr=False)  # of the validation clips, alike: what stacking is fitted on
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar…
    facts: dict[str, Any]  # model, fold, seed, n_train, best_epoch, val_uar, n_trained…


@dataclass(frozen=True)
class Data:
    """One corpus and one way of tuning: what a fold needs and its artefact depends on."""

    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    recipe: Recipe
    allow: tuple[str, ...]

    def check(self, fold: Fold) -> None:
        """Refuse a fold with an empty part, or with something in training that is known of the others."""
        splits.check_filled(fold, *splits.OFFICIAL)
        splits.check_leaks(fold, self.manifest, fitted={}, allow=self.allow)

    def identity(self, seed: int) -> dict[str, Any]:
        """What an artefact depends on whatever is tuned: clips, labels, recipe, seed."""
        content = hashlib.sha256(np.ascontiguousarray(self.frames.x).data)
        content.update(self.frames.n_frames.tobytes())
        for column in ("clip_id", "emotion", "speaker", "sha256"):
            content.update("\n".join(self.manifest[column]).encode())
        shared = {"content": content.hexdigest(), "labels": self.labels, "recipe": asdict(self.recipe)}
        return shared | {"allow": self.allow, "seed": seed}

    def batches(self, ids: np.ndarray, rng: np.random.Generator | None = None) -> training.Batches:
        """Clips for training (with `rng`) or for answers."""
        rows = self.frames.rows(ids)
        emotion = self.manifest.set_index("clip_id")["emotion"].loc[ids].to_numpy()
        targets = (emotion[:, None] == np.array(self.labels)).astype(np.float32)
        return training.Batches(np.asarray(self.frames.x[rows]), self.frames.n_frames[rows], targets, self.recipe, rng)


def tune(net: Any, fold: Fold, seed: int, data: Data, **facts: Any) -> Tuned:
    """Let a net learn on a fold, stopped by its validation speakers, and answer for validation and test clips.

    Parameters
    ----------
    net : keras.Model or Learner
        New, compiled.
    fold : Fold
    seed : int
    data : Data
    facts
        ``model``, and what else there is to tell.
    """
    train = data.batches(fold.train, np.random.default_rng([seed, fold.index]))
    parts = {part: data.batches(getattr(fold, part)) for part in ("test", "validation")}
    label = f"{facts['model']} fold {fold.index + 1} seed {seed}"
    best = training.fit(net, train, parts["validation"], data.recipe, label=label)
    tables = [
        answers(data.manifest, getattr(fold, part), training.predict(net, batches), data.labels)
        for part, batches in parts.items()
    ]
    sizes = {f"n_{part}": len(getattr(fold, part)) for part in ("train", "validation", "test")}
    told = {"fold": fold.index, "seed": seed, "best_epoch": best.epoch, "val_uar": best.uar}
    return Tuned(*tables, pd.DataFrame(best.history), facts | sizes | told)


def on_folds(
    fit_fold: Callable[..., Tuned],
    folds: Sequence[Fold],
    data: Data,
    identity: Mapping[str, Any],
    *,
    desc: str,
    cache: Path,
    jobs: int | None,
) -> list[Tuned]:
    """``fit_fold(fold, seed, data)`` of every fold, in processes; finished folds come from the cache."""
    for fold in folds:  # also those that the cache will answer for
        data.check(fold)
    work = functools.partial(_cached, fit_fold=fit_fold, data=data, identity=identity, cache=cache)
    return study.pmap(work, folds, desc=desc, jobs=jobs)


def _cached(
    fold: Fold, *, fit_fold: Callable[..., Tuned], data: Data, identity: Mapping[str, Any], cache: Path
) -> Tuned:
    parts = {part: study.digest(ids.tolist()) for part, ids in vars(fold).items() if part != "index"}
    key = {**identity, "index": fold.index, "fold": parts}
    return study.cached(cache, key, lambda: fit_fold(fold, identity["seed"], data), save=_save, load=_load)


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
