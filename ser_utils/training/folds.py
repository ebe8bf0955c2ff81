"""Folds: one artefact for each fold and seed, and one ``cross_validate`` that yields the predictions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import splits, study
from ser_utils.features import Frames
from ser_utils.splits import Fold
from ser_utils.training.batches import Batches, Copies, Normaliser, Recipe
from ser_utils.training.fitting import fit, fresh_net, predict


@dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar
    facts: dict[str, Any]  # fold, seed, n_train, n_validation, n_test, best_epoch, val_uar, n_parameters, wall_s
    normaliser: Normaliser = field(repr=False)
    model: keras.Model | None = field(default=None, repr=False)  # None when read from the cache: see load_model
    folder: Path | None = None  # where the artefact lies


@dataclass(frozen=True)
class Experiment:
    """One model on one corpus: everything that a fold needs and that its artefact depends on."""

    name: str  # e.g. "ravdess"
    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    model: str
    model_arguments: Mapping[str, Any]
    recipe: Recipe
    n_folds: int
    allow_leaks: tuple[str, ...] = ()
    copies: Copies | None = None


def fit_normaliser(fold: Fold, experiment: Experiment) -> Normaliser:
    """Normaliser of the training clips, once the leak gate has let the fold pass.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        When no clip trains, validates or is tested; see :func:`splits.check_leaks` for more.
    """
    splits.check_filled(fold, *splits.OFFICIAL)
    normaliser = Normaliser.fit(experiment.frames, fold.train)
    fitted = {"normaliser": normaliser.clip_ids}
    clips = experiment.manifest
    if experiment.copies:
        used = experiment.copies.table.iloc[experiment.copies.of(fold.train)]
        clips = clips.assign(parent=clips["clip_id"], noise_id=clips.get("noise_id", ""))
        clips = pd.concat([clips, used], ignore_index=True)
        fold = dataclasses.replace(fold, train=np.append(fold.train, used["clip_id"].to_numpy(dtype=str)))
    splits.check_leaks(fold, clips, fitted=fitted, allow=experiment.allow_leaks)
    return normaliser


def fit_fold(fold: Fold, seed: int, experiment: Experiment) -> FoldResult:
    """Train on one fold and predict its test clips; the net of the result is trained anew by the next call.

    Raises
    ------
    splits.LeakError
        Before the first step, when something of the test clips is known in training.
    """
    start = time.monotonic()
    study.seed_everything(seed * 1000 + fold.index)
    normaliser = fit_normaliser(fold, experiment)
    rng = np.random.default_rng([seed, fold.index])
    train, validation, test = (
        _batches(experiment, normaliser, ids, rng if ids is fold.train else None)
        for ids in (fold.train, fold.validation, fold.test)
    )
    shape = experiment.frames.x.shape[2], len(experiment.labels)
    net = fresh_net(experiment.model, experiment.model_arguments, *shape, experiment.recipe)
    label = f"{experiment.name} fold {fold.index + 1}/{experiment.n_folds} seed {seed}"
    best = fit(net, train, validation, experiment.recipe, label=label)
    facts = {
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "n_parameters": net.count_params(),
        "wall_s": time.monotonic() - start,
    }
    rows = _rows(experiment, fold, predict(net, test))
    return FoldResult(rows, pd.DataFrame(best.history), facts, normaliser, net)


def _batches(
    experiment: Experiment, normaliser: Normaliser, ids: np.ndarray, rng: np.random.Generator | None
) -> Batches:
    """Batches of some clips; with `rng` for training, and with the copies of these clips."""
    rows = experiment.frames.rows(ids)
    n_frames = experiment.frames.n_frames[rows]
    x = normaliser.apply(experiment.frames.x[rows], n_frames)
    emotion = experiment.manifest.set_index("clip_id")["emotion"].loc[ids]
    targets = (emotion.to_numpy()[:, None] == np.array(experiment.labels)).astype(np.float32)
    if rng is None or experiment.copies is None:
        return Batches(x, n_frames, targets, experiment.recipe, rng)
    copies = experiment.copies
    made = copies.of(ids)
    n_made = copies.frames.n_frames[made]
    parents = copies.table["parent"].to_numpy()[made]
    return Batches(
        np.concatenate([x, normaliser.apply(copies.frames.x[made], n_made)]),
        np.concatenate([n_frames, n_made]),
        targets,
        experiment.recipe,
        rng,
        others=[len(ids) + np.flatnonzero(parents == clip) for clip in ids],
        share=copies.share,
    )


def _rows(experiment: Experiment, fold: Fold, probabilities: np.ndarray) -> pd.DataFrame:
    clips = experiment.manifest.set_index("clip_id").loc[fold.test]
    labels = np.array(experiment.labels)
    table = pd.DataFrame(
        {
            "clip_id": fold.test,
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
    return cross_validate_all([experiment], folds, seeds=seeds, cache=cache, jobs=jobs)[0]


def cross_validate_all(
    experiments: Sequence[Experiment],
    folds: Sequence[Fold],
    *,
    seeds: Sequence[int],
    cache: Path,
    jobs: int | None = None,
) -> list[list[FoldResult]]:
    """:func:`cross_validate` of several experiments on the same folds, all side by side."""
    if not seeds:
        raise study.UserError("n_seeds 0 leaves nothing to train; use 1 or more")
    for experiment in experiments:
        for fold in folds:  # also those that the cache will answer for
            fit_normaliser(fold, experiment)
    runs = [(fold, seed) for seed in seeds for fold in folds]
    cells = [
        (e, content, *run) for e, content in zip(experiments, map(_content, experiments), strict=True) for run in runs
    ]
    name = experiments[0].name if len(experiments) == 1 else f"{len(experiments)} experiments"
    found = study.pmap(functools.partial(_cached_fold, cache=cache), cells, desc=f"{name}: folds × seeds", jobs=jobs)
    return [found[i : i + len(runs)] for i in range(0, len(found), len(runs))]


def _content(experiment: Experiment) -> str:
    data = hashlib.sha256()
    for frames in [experiment.frames, *([experiment.copies.frames] if experiment.copies else [])]:
        data.update(np.ascontiguousarray(frames.x).tobytes())
        data.update(frames.n_frames.tobytes())
    for column in ("clip_id", "emotion", "speaker", "sha256"):
        data.update("\n".join(experiment.manifest[column]).encode())
    if experiment.copies:
        data.update("\n".join(experiment.copies.table["parent"]).encode())
    return data.hexdigest()


def _cached_fold(cell: tuple[Experiment, str, Fold, int], *, cache: Path) -> FoldResult:
    experiment, content, fold, seed = cell
    key = {
        "content": content,
        "fold": {name: study.digest(ids.tolist()) for name, ids in vars(fold).items() if name != "index"},
        "index": fold.index,
        "seed": seed,
        "model": experiment.model,
        "model_arguments": dict(experiment.model_arguments),
        "recipe": asdict(experiment.recipe),
        "labels": experiment.labels,
        "allow_leaks": experiment.allow_leaks,
        "copies": experiment.copies.share if experiment.copies else 0,
        "code": study.code_version("training"),
        "backend": keras.backend.backend(),
        "versions": study.versions("keras", "tensorflow", "jax", "numpy"),
    }
    return study.cached(cache, key, lambda: fit_fold(fold, seed, experiment), save=_save, load=_load)


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.history.to_csv(folder / "history.csv", index=False)
    pd.Series(result.facts).to_json(folder / "facts.json")
    result.model.save(folder / "model.keras")
    np.savez(folder / "normaliser.npz", **vars(result.normaliser))


def _load(folder: Path) -> FoldResult:
    facts = pd.read_json(folder / "facts.json", typ="series").to_dict()
    with np.load(folder / "normaliser.npz") as stored:
        normaliser = Normaliser(stored["mean"], stored["std"], tuple(stored["clip_ids"].tolist()))
    tables = pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "history.csv")
    return FoldResult(*tables, facts, normaliser, folder=folder)


def load_model(result: FoldResult) -> keras.Model:
    """Net of a fold, from its artefact; nothing but weights and a known architecture is read."""
    return keras.saving.load_model(result.folder / "model.keras", compile=False, safe_mode=True)


def predictions_table(results: Sequence[FoldResult], **constants: Any) -> pd.DataFrame:
    """One table of all folds and seeds; `constants` are the columns that every row shares (corpus, split, model…)."""
    parts = [r.predictions.assign(fold=int(r.facts["fold"]), seed=int(r.facts["seed"])) for r in results]
    return pd.concat(parts, ignore_index=True).assign(**constants)
