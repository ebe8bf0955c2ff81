"""Folds: one artefact for each fold and seed, and one ``cross_validate`` that yields the predictions."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import study, tracking
from ser_utils.splits import Fold
from ser_utils.training.batches import Normaliser
from ser_utils.training.experiments import Experiment, batches, fit_normaliser, identity, trained
from ser_utils.training.fitting import fit, fresh_net, full_precision, predict, start_from
from ser_utils.training.pretraining import pretrained, pretraining_key


@dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar (NaN where nobody validates), learning_rate
    facts: dict[str, Any]  # fold, seed, n_train, n_validation, n_test, best_epoch, val_uar, n_parameters, wall_s
    normaliser: Normaliser = field(repr=False)
    model: keras.Model | None = field(default=None, repr=False)  # None when read from the cache: see load_model
    folder: Path | None = None  # where the artefact lies
    # the same columns for the clips that chose the epoch, if any: what a threshold or a fusion may be fitted on
    validation: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)


def fit_fold(
    fold: Fold, seed: int, experiment: Experiment, *, start_weights: Sequence[np.ndarray] = (), logs: Path | None = None
) -> FoldResult:
    """Train on one fold and predict its test clips; the net of the result is trained anew by the next call.

    Parameters
    ----------
    fold : Fold
    seed : int
    experiment : Experiment
    start_weights : sequence of np.ndarray, optional
        From :func:`pretrained`.
    logs : Path, optional
        Folder for :mod:`ser_utils.tracking`.

    Raises
    ------
    splits.LeakError
        Before the first step, when something of the test clips is known in training.
    """
    begun = time.monotonic()
    study.seed_everything(seed * 1000 + fold.index)
    normaliser = fit_normaliser(fold, experiment)
    fold = trained(fold, experiment)
    train = batches(experiment, normaliser, fold.train, np.random.default_rng([seed, fold.index]))
    test = batches(experiment, normaliser, fold.test)
    validation = batches(experiment, normaliser, fold.validation) if len(fold.validation) else None
    shape = experiment.frames.x.shape[2], len(experiment.labels)
    net = fresh_net(experiment.model, experiment.model_arguments, *shape, experiment.recipe)
    if experiment.pretraining:
        start_from(net, start_weights)
    label = f"{experiment.name} fold {fold.index + 1}/{experiment.n_folds} seed {seed}"
    with tracking.run(f"{label} {experiment.model}", logs) if logs else contextlib.nullcontext() as log:
        best = fit(net, train, validation, experiment.recipe, label=label, log=log)
    if experiment.recipe.precision != "float32":
        net = full_precision(net, experiment.model, experiment.model_arguments)
    facts = {
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "n_parameters": net.count_params(),
        "wall_s": time.monotonic() - begun,
    }
    rows = _rows(experiment, fold.test, predict(net, test))
    held_out = _rows(experiment, fold.validation, predict(net, validation)) if validation else rows.iloc[:0]
    return FoldResult(rows, pd.DataFrame(best.history), facts, normaliser, net, validation=held_out)


def _rows(experiment: Experiment, clip_ids: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    clips = experiment.manifest.set_index("clip_id").loc[clip_ids]
    labels = np.array(experiment.labels)
    table = pd.DataFrame(
        {
            "clip_id": clip_ids,
            "speaker": clips["speaker"].to_numpy(),
            "y_true": clips["emotion"].to_numpy(),
            "y_pred": labels[probabilities.argmax(1)],
        }
    )
    return table.assign(**{f"p_{label}": probabilities[:, i] for i, label in enumerate(labels)})


def cross_validate(
    experiment: Experiment, folds: Sequence[Fold], *, seeds: Sequence[int], cache: Path, jobs: int | None = None
) -> list[FoldResult]:
    """Every fold with every seed, in processes; finished ones come from the cache, so a killed run resumes.

    Parameters
    ----------
    experiment : Experiment
    folds : sequence of Fold
    seeds : sequence of int
    cache : Path
        Folder of the fold artefacts: predictions, history, weights.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of FoldResult
        Seed by seed, fold by fold; the nets stay on disk.
    """
    return train_together([(experiment, folds, seeds)], experiment.name, cache=cache, jobs=jobs)[0]


def train_together(
    wanted: Sequence[tuple[Experiment, Sequence[Fold], Sequence[int]]],
    desc: str,
    *,
    cache: Path,
    jobs: int | None = None,
) -> list[list[FoldResult]]:
    """:func:`cross_validate` of several experiments, each with folds and seeds of its own, all side by side.

    Parameters
    ----------
    wanted : sequence of (Experiment, folds, seeds)
    desc : str
        What the progress line says first.
    cache : Path
        Folder of the fold artefacts.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of list of FoldResult
        Experiment by experiment, and in each seed by seed, fold by fold.

    Raises
    ------
    study.UserError
        For an experiment without a seed.
    """
    tracking.wanted()  # a wrong word is told before anything is trained
    parts = []
    for experiment, folds, seeds in wanted:
        if not seeds:
            raise study.UserError("n_seeds 0 leaves nothing to train; use 1 or more")
        key = identity(experiment)
        for fold in folds:  # also those that the cache will answer for
            fit_normaliser(fold, experiment)
        parts.append([_Cell(experiment, key, fold, seed) for seed in seeds for fold in folds])
    _train_missing([cell for part in parts for cell in part], desc, cache=cache, jobs=jobs)
    return [[_load(cell.artefact(cache)) for cell in part] for part in parts]


@dataclass(frozen=True)
class _Cell:
    """One fold and seed of an experiment."""

    experiment: Experiment
    identity: dict[str, Any]
    fold: Fold
    seed: int

    @property
    def key(self) -> dict[str, Any]:
        clips = {name: study.digest(ids.tolist()) for name, ids in vars(self.fold).items() if name != "index"}
        start = {"start": self.start} if self.experiment.pretraining else {}
        return self.identity | start | {"fold": clips, "index": self.fold.index, "seed": self.seed}

    @property
    def start(self) -> str:
        """Name of the artefact that holds the pretrained weights."""
        return study.digest(pretraining_key(self.experiment, self.identity, self.seed))

    def artefact(self, cache: Path) -> Path:
        return cache / study.digest(self.key)


def _train_missing(cells: Sequence[_Cell], name: str, *, cache: Path, jobs: int | None) -> None:
    """Train what the cache lacks, and that alone is counted: the time that is left is told from it."""
    missing = [cell for cell in cells if not cell.artefact(cache).is_dir()]
    first = {cell.start: cell for cell in missing if cell.experiment.pretraining}
    todo = [cell for start, cell in first.items() if not (cache / start).is_dir()]
    if todo:
        study.pmap(functools.partial(_start_weights, cache=cache), todo, desc=f"{name}: pretraining", jobs=jobs)
    known = f", {len(cells) - len(missing)} from the cache" if len(missing) < len(cells) else ""
    if missing:
        work = functools.partial(_make_fold, cache=cache)
        study.pmap(work, missing, desc=f"{name}: folds × seeds{known}", jobs=jobs)


def _start_weights(cell: _Cell, *, cache: Path) -> int:
    return len(pretrained(cell.experiment, cell.seed, identity=cell.identity, cache=cache))


def _make_fold(cell: _Cell, *, cache: Path) -> None:
    def make() -> FoldResult:
        weights = pretrained(cell.experiment, cell.seed, identity=cell.identity, cache=cache)
        return fit_fold(cell.fold, cell.seed, cell.experiment, start_weights=weights, logs=cache.parent / "tracking")

    study.cached(cache, cell.key, make, save=_save, load=_load)


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.validation.to_parquet(folder / "validation.parquet", index=False)
    result.history.to_csv(folder / "history.csv", index=False)
    pd.Series(result.facts).to_json(folder / "facts.json")
    result.model.save(folder / "model.keras")
    np.savez(folder / "normaliser.npz", **vars(result.normaliser))


def _load(folder: Path) -> FoldResult:
    facts = pd.read_json(folder / "facts.json", typ="series").to_dict()
    with np.load(folder / "normaliser.npz") as stored:
        normaliser = Normaliser(stored["mean"], stored["std"], tuple(stored["clip_ids"].tolist()))
    tables = pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "history.csv")
    validation = pd.read_parquet(folder / "validation.parquet")
    return FoldResult(*tables, facts, normaliser, folder=folder, validation=validation)


def load_model(result: FoldResult) -> keras.Model:
    """Net of a fold, from its artefact; nothing but weights and a known architecture is read."""
    return keras.saving.load_model(result.folder / "model.keras", compile=False, safe_mode=True)


def predictions_table(results: Sequence[FoldResult], **constants: Any) -> pd.DataFrame:
    """One table of all folds and seeds; `constants` are the columns that every row shares (corpus, split, model…)."""
    parts = [r.predictions.assign(fold=int(r.facts["fold"]), seed=int(r.facts["seed"])) for r in results]
    return pd.concat(parts, ignore_index=True).assign(**constants)
