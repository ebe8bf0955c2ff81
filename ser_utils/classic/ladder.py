"""The leakage ladder: one model, the same features, five ways to choose who is tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import splits
from ser_utils.classic.folds import FoldResult, cross_validate, predictions_table
from ser_utils.features import Table
from ser_utils.splits import Fold

RUNGS = {  # rung → leaks that it has by design
    "twice": ("speaker", "content"),  # every file under two names, then a random split
    "copies": ("speaker", "content", "parent", "noise"),  # augmented copies, then a random split
    "random": ("speaker",),
    "sentence": ("speaker",),  # random, no sentence in both
    "unseen": (),  # speakers
}


def ladder(
    table: Table,
    manifest: pd.DataFrame,
    unseen: Sequence[Fold],
    labels: Sequence[str],
    *,
    features: str,
    copies: tuple[Table, pd.DataFrame] | None = None,
    n_groups: int = 5,
    seeds: Sequence[int] = (0, 1, 2),
    cache: Path,
    jobs: int | None = None,
    **constants: Any,
) -> pd.DataFrame:
    """Predictions of the same SVM (RBF kernel, C 10, no search) on every rung; only the split differs.

    Each seed draws new random folds, and every clip is tested once per seed. The folds of unseen speakers are given
    and the model has no chance in it, so that rung has one seed. A corpus with one sentence has no rung ``sentence``,
    and one with two sentences trains on half of its clips there: ``n_train`` in :func:`rungs` says so.

    Parameters
    ----------
    table, manifest, labels, features, cache, jobs
        As for :func:`cross_validate`.
    unseen : sequence of Fold
        Speaker-disjoint folds of `manifest`; empty where speakers are not known, and then no rung ``unseen``.
    copies : (Table, pd.DataFrame), optional
        Features and manifest of augmented copies: ``parent`` names the original. Without them, no rung ``copies``.
    n_groups : int
        Folds of the random rungs.
    seeds : sequence of int
    constants
        Columns that every row shares: ``run_id, profile, corpus, corpus_version, train_regime, condition``.

    Returns
    -------
    pd.DataFrame
        Predictions, ``split`` is the rung, and a column ``n_train``.
    """
    worlds = {
        "twice": _twice(table, manifest),
        "copies": _with_copies(table, manifest, *copies) if copies else None,
        "random": (table, manifest),
        "sentence": (table, manifest) if "sentence" in manifest and len(manifest["sentence"].unique()) > 1 else None,
        "unseen": (table, manifest) if unseen else None,
    }
    common = {"models": ["svm_rbf"], "features": features, "tune": False, "cache": cache, "jobs": jobs}
    parts = []
    for rung, world in worlds.items():
        if world is None:
            continue
        for seed in seeds if rung != "unseen" else seeds[:1]:
            folds = _folds(rung, world[1], unseen, n_groups, seed)
            results = cross_validate(*world, folds, labels, allow=RUNGS[rung], seed=seed, **common)
            parts.append(_rows(rung, results, constants))
    return pd.concat(parts, ignore_index=True)


def _folds(rung: str, manifest: pd.DataFrame, unseen: Sequence[Fold], n_groups: int, seed: int) -> Sequence[Fold]:
    if rung == "unseen":
        return unseen
    group = "sentence" if rung == "sentence" else ""
    return splits.make_folds(manifest, "random", n_groups=n_groups, group=group, seed=seed)


def _rows(rung: str, results: Sequence[FoldResult], constants: dict[str, Any]) -> pd.DataFrame:
    n_train = {result.facts["fold"]: result.facts["n_train"] for result in results}
    rows = predictions_table(results, **constants | {"split": rung})
    return rows.assign(n_train=rows["fold"].map(n_train))


def _twice(table: Table, manifest: pd.DataFrame) -> tuple[Table, pd.DataFrame]:
    again = manifest.assign(clip_id=manifest["clip_id"] + "#2")
    rows = table.rows(manifest["clip_id"].to_numpy(dtype=str))
    second = dataclasses.replace(table, x=table.x[rows], clip_ids=again["clip_id"].to_numpy(dtype=str))
    return _joined(table, second), pd.concat([manifest, again], ignore_index=True)


def _with_copies(
    table: Table, manifest: pd.DataFrame, copied: Table, copies: pd.DataFrame
) -> tuple[Table, pd.DataFrame]:
    originals = manifest.assign(parent=manifest["clip_id"], noise_id="")
    kept = copies[copies["parent"].isin(manifest["clip_id"])].reindex(columns=originals.columns, fill_value="")
    both = pd.concat([originals, kept], ignore_index=True)
    return _joined(table, copied), both


def _joined(first: Table, second: Table) -> Table:
    ids = np.concatenate([first.clip_ids, second.clip_ids])
    return dataclasses.replace(first, x=np.concatenate([first.x, second.x]), clip_ids=ids)


def rungs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Sizes of the rungs in a ladder's predictions: ``split, n_train`` (mean over folds), ``n_test, n_seeds``."""
    sizes = predictions.groupby(["split", "seed", "fold"])["n_train"].first().groupby("split").mean()
    counted = predictions.groupby("split", sort=False).agg(n_test=("clip_id", "nunique"), n_seeds=("seed", "nunique"))
    counted.insert(0, "n_train", sizes.loc[counted.index].round().astype(int))
    return counted.reset_index()
