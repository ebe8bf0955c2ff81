"""The net that the folds of an experiment start from: trained on other corpora, once per seed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import splits, study, tracking
from ser_utils.training.batches import Normaliser
from ser_utils.training.experiments import Experiment, batches, first_task
from ser_utils.training.fitting import body_weights, fit, fresh_net

STREAM = 999  # of random numbers; folds use 0 … their number


def pretraining_key(experiment: Experiment, identity: dict[str, Any], seed: int) -> dict[str, Any]:
    """Key of the artefact: of the experiment's :func:`identity` what is not its own recipe, clips and copies."""
    kept = ("pretraining", "model", "model_arguments", "code", "backend", "versions")
    parts = [study.digest(ids.tolist()) for ids in _parts(experiment, seed)]
    return {name: identity[name] for name in kept} | {"parts": parts, "seed": seed}


def _parts(experiment: Experiment, seed: int) -> tuple[np.ndarray, np.ndarray]:
    first = experiment.pretraining
    return splits.hold_out(first.manifest, validation_share=first.validation_share, seed=seed)


def pretrained(experiment: Experiment, seed: int, *, identity: dict[str, Any], cache: Path) -> list[np.ndarray]:
    """Weights of the net's layers but the last after its pretraining, from the cache when they are there.

    Parameters
    ----------
    experiment : Experiment
        With a pretraining.
    seed : int
    identity : dict
        :func:`identity` of the experiment.
    cache : Path
        Folder of the artefacts.

    Returns
    -------
    list of np.ndarray
        Empty for an experiment without pretraining.
    """
    if not experiment.pretraining:
        return []
    return study.cached(
        cache,
        pretraining_key(experiment, identity, seed),
        lambda: pretrain(experiment, seed, logs=cache.parent / "tracking"),
        save=_save,
        load=_load,
    )


def pretrain(experiment: Experiment, seed: int, *, logs: Path) -> tuple[list[np.ndarray], pd.DataFrame, dict[str, Any]]:
    """Train on the other corpora, the best epoch by speakers that are held out there.

    Returns
    -------
    weights : list of np.ndarray
    history : pd.DataFrame
        As of a fold.
    facts : dict
        ``seed, n_train, n_validation, best_epoch, val_uar, wall_s``.
    """
    start, task = time.monotonic(), first_task(experiment)
    study.seed_everything(seed * 1000 + STREAM)
    train, validation = _parts(experiment, seed)
    normaliser = Normaliser.fit(task.frames, train)
    rng = np.random.default_rng([seed, STREAM])
    parts = batches(task, normaliser, train, rng), batches(task, normaliser, validation)
    shape = task.frames.x.shape[2], len(task.labels)
    net = fresh_net(task.model, task.model_arguments, *shape, task.recipe)
    label = f"{task.name} seed {seed}"
    with tracking.run(f"{label} {task.model}", logs) as log:
        best = fit(net, *parts, task.recipe, label=label, log=log)
    facts = {
        "seed": seed,
        "n_train": len(train),
        "n_validation": len(validation),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "wall_s": time.monotonic() - start,
    }
    return body_weights(net), pd.DataFrame(best.history), facts


def _save(result: tuple[list[np.ndarray], pd.DataFrame, dict[str, Any]], folder: Path) -> None:
    weights, history, facts = result
    np.savez(folder / "weights.npz", *weights)
    history.to_csv(folder / "history.csv", index=False)
    pd.Series(facts).to_json(folder / "facts.json")


def _load(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "weights.npz") as stored:
        return [stored[f"arr_{i}"] for i in range(len(stored.files))]
