"""Tables of trials: predictions, what training chose, what nets cost."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import evaluation, models, study, training
from ser_utils.evaluation.results import RESULT_COLUMNS
from ser_utils.trials.variants import Trial, Variant, split_name, words

CLIP_S = 3.0  # length of the clip that costs are told for, seconds


def constants(variant: Variant, profile: str, **changes: str) -> dict[str, str]:
    """Columns that all predictions of a variant share."""
    return {
        "run_id": study.run_id(),
        "profile": profile,
        "model": variant.name,
        "features": words(variant.spec),
        "train_regime": variant.regime,
        "condition": "clean",
    } | changes


def predictions(found: Sequence[Trial], profile: str) -> pd.DataFrame:
    """Predictions of the trials that ran every fold of their corpus: what the headline is made of."""
    return pd.concat([_rows(trial, profile) for trial in found if trial.whole], ignore_index=True)


def on_folds(found: Sequence[Trial], profile: str) -> pd.DataFrame:
    """Predictions on the first folds of a corpus where some trial ran no others: of that trial and, on the same folds
    and seeds, of all others, under a split that says so. Empty where every trial ran all folds.
    """
    parts = []
    for corpus, n in sorted({(trial.task.name, len(trial.folds)) for trial in found if not trial.whole}):
        mine = [trial for trial in found if trial.task.name == corpus and len(trial.folds) >= n]
        seeds = set.intersection(*({r.facts["seed"] for r in trial.results} for trial in mine))
        for trial in mine:
            rows = _rows(trial, profile)
            kept = rows["fold"].isin([fold.index for fold in trial.folds[:n]]) & rows["seed"].isin(seeds)
            name = split_name(trial.task.entry.split, n, len(trial.task.folds))
            parts.append(rows[kept].assign(split=name))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rows(trial: Trial, profile: str) -> pd.DataFrame:
    entry = trial.task.entry
    task = {"corpus": entry.name, "corpus_version": entry.version, "split": trial.split}
    return training.predictions_table(trial.results, **task, **constants(trial.variant, profile))


def with_ensembles(table: pd.DataFrame) -> pd.DataFrame:
    """Predictions, and below them those of the seed ensemble of every system that has several seeds."""
    several = table.groupby(evaluation.SYSTEM)["seed"].transform("nunique") > 1
    if not several.any():
        return table
    return pd.concat([table, evaluation.ensemble(table[several], over="seed")], ignore_index=True)


class Aside:
    """Predictions that are no headline, and their scores, in files of their own.

    Parameters
    ----------
    profile, name : str
        The files are ``predictions/<name>.parquet`` and ``results/<name>.csv`` of the profile's reports.
    n_resamples, seed : int
        Of the intervals.
    """

    def __init__(self, profile: str, name: str, *, n_resamples: int = 10_000, seed: int = 0) -> None:
        self.profile, self.name, self.draws = profile, name, {"n_resamples": n_resamples, "seed": seed}
        self.file = study.paths(profile).reports / "results" / f"{name}.csv"
        self.parts: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Write both files anew with these rows, too; their scores, as they are stored."""
        if len(rows):
            self.parts.append(rows)
            table = pd.concat(self.parts, ignore_index=True)
            evaluation.save_predictions(table, self.profile, self.name)
            evaluation.save_results(evaluation.results_table(table, **self.draws), self.file)
        stored = evaluation.load_results(self.file) if self.parts else pd.DataFrame(columns=RESULT_COLUMNS)
        mine = set(zip(rows["corpus"], rows["split"], strict=True)) if len(rows) else set()
        kept = [key in mine for key in zip(stored["corpus"], stored["split"], strict=True)]
        return stored[kept].reset_index(drop=True)


def mistakes(trial: Trial, n: int) -> pd.DataFrame:
    """The test clips of the first seed that were answered wrongly with the highest probability, at most one of each
    pair of emotions: ``clip_id, speaker, fold, y_true, y_pred, probability, path``.
    """
    table = training.predictions_table(trial.results)
    table = table[(table["seed"] == table["seed"].min()) & (table["y_true"] != table["y_pred"])]
    columns = [column for column in table if column.startswith("p_")]
    table = table.assign(probability=table[columns].max(axis=1))
    table = table.sort_values(["probability", "clip_id"], ascending=[False, True])
    table = table.drop_duplicates(["y_true", "y_pred"]).head(n)
    table = table.merge(trial.task.rows[["clip_id", "path"]], on="clip_id")
    return table[["clip_id", "speaker", "fold", "y_true", "y_pred", "probability", "path"]]


def histories(found: Sequence[Trial]) -> pd.DataFrame:
    """Every epoch of every trial: ``corpus, model, train_regime, seed, fold, epoch, loss, val_uar, learning_rate``."""
    parts = [
        result.history.assign(fold=int(result.facts["fold"]), seed=int(result.facts["seed"]), **_names(trial))
        for trial in found
        for result in trial.results
    ]
    first = ["corpus", "model", "train_regime", "seed", "fold"]
    table = pd.concat(parts, ignore_index=True)
    return table[first + [column for column in table if column not in first]]


def _names(trial: Trial) -> dict[str, str]:
    return {"corpus": trial.task.name, "model": trial.variant.name, "train_regime": trial.variant.regime}


def choices(found: Sequence[Trial]) -> pd.DataFrame:
    """What training took and chose, one row per trial: ``corpus, model, train_regime, features, runs, parameters,
    best_epoch`` (median), ``val_uar`` (mean) and ``minutes`` on one core, summed over folds and seeds.
    """
    rows = []
    for trial in found:
        facts = pd.DataFrame([result.facts for result in trial.results])
        rows.append(
            _names(trial)
            | {
                "features": words(trial.variant.spec),
                "runs": len(facts),
                "parameters": int(facts["n_parameters"].max()),
            }
            | {"best_epoch": float(facts["best_epoch"].median()), "val_uar": float(facts["val_uar"].mean())}
            | {"minutes": float(facts["wall_s"].sum() / 60)}
        )
    return pd.DataFrame(rows)


def costs(variants: Sequence[Variant], n_classes: int, *, cache: Path, clip_s: float = CLIP_S) -> pd.DataFrame:
    """What each net costs, one row per name: ``model, features, parameters, multiply_adds`` of one clip, and ``ms``,
    the median time that one prediction takes on one thread; it is measured once per machine.

    Parameters
    ----------
    variants : sequence of Variant
        Of those of one name, the first counts.
    n_classes : int
    cache : Path
        Folder of the measurements.
    clip_s : float
        Length of the clip, seconds.
    """
    rows = []
    for name in dict.fromkeys(variant.name for variant in variants):
        variant = next(v for v in variants if v.name == name)
        spec = variant.spec
        key = {"model": variant.model, "arguments": dict(variant.arguments), "spec": asdict(spec)}
        key |= {"n_classes": n_classes, "clip_s": clip_s, "cpu": study.cpu_name()}
        key |= {"code": study.code_version(models.module_of(variant.model)), **study.versions("keras", "tensorflow")}
        n_frames = 1 + int(clip_s * spec.sr) // spec.hop_length
        known = study.cached(
            cache,
            key,
            lambda v=variant, n=n_frames: _cost(v, n, n_classes),
            save=lambda value, folder: (folder / "cost.json").write_text(json.dumps(value), encoding="utf-8"),
            load=lambda folder: json.loads((folder / "cost.json").read_text(encoding="utf-8")),
        )
        rows.append({"model": name, "features": words(spec)} | known)
    return pd.DataFrame(rows)


def _cost(variant: Variant, n_frames: int, n_classes: int, *, times: int = 15) -> dict[str, Any]:
    n_columns = len(variant.spec.columns)
    net = models.BUILDERS[variant.model](n_columns, n_classes, **variant.arguments)
    counted = models.cost(net, n_frames)
    x = [np.zeros((1, n_frames, n_columns), np.float32), np.ones((1, n_frames), np.float32)]
    net.predict_on_batch(x)  # builds the graph
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        net.predict_on_batch(x)
        spent.append(time.perf_counter() - begun)
    return {
        "parameters": counted["n_parameters"],
        "multiply_adds": counted["multiply_adds"],
        "ms": 1000 * float(np.median(spent)),
    }
