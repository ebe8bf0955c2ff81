"""The leakage ladder of nets: one net by one recipe, three ways to choose who is tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from ser_utils import augment, corpora, splits, study, training
from ser_utils.features import Frames
from ser_utils.splits import Fold
from ser_utils.trials.tables import constants
from ser_utils.trials.variants import Task, Variant, experiment, frames, joined

RUNGS = {  # rung → leaks that it has by design
    "copies": ("speaker", "content", "parent", "noise"),  # augmented copies, then a random split
    "random": ("speaker",),
    "unseen": (),  # speakers
}


def ladder(
    variant: Variant,
    task: Task,
    profile: str,
    *,
    chains: Sequence[str] = ("noise", "pitch_shift"),
    n_groups: int = 5,
    max_folds: int = 0,
    seed: int = 0,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Predictions of the same net on every rung; only the split differs.

    Parameters
    ----------
    variant : Variant
        Its seeds, folds and copies do not count here.
    task : Task
        Where its speakers are not kept apart there is no rung ``unseen``.
    profile : str
    chains : sequence of str
        Augmentations, one copy per clip of each; without one, no rung ``copies``.
    n_groups : int
        Folds of the random rungs.
    max_folds : int
        Folds of the random rungs that are run, the first ones; 0 for all. All folds of ``unseen`` are: one tests
        few people, one of a random split nearly all.
    seed : int
    jobs : int, optional

    Returns
    -------
    pd.DataFrame
        Predictions, ``split`` is the rung, and a column ``n_train``.
    """
    variant = dataclasses.replace(variant, chains=(), regime="")
    own = frames(task, variant.spec, profile)
    worlds = {"random": (task.rows, own), "unseen": (task.rows, own)}
    if "speaker" in task.entry.leaks:
        del worlds["unseen"]
    if chains:
        worlds = {"copies": _with_copies(variant, task, own, profile, chains, seed)} | worlds
    climbs = []
    for rung, (rows, sound) in worlds.items():
        folds = _folds(rung, rows, task, n_groups, seed, max_folds)
        leaks = {"name": f"{task.name}, rung {rung}", "allow_leaks": RUNGS[rung], "n_folds": len(folds)}
        climbs.append((rung, experiment(variant, task, profile, manifest=rows, frames=sound, **leaks), folds))
    cache = study.paths(profile).derived / "folds"
    wanted = [(whole, folds, [seed]) for _, whole, folds in climbs]
    done = training.train_together(wanted, f"{task.name}: ladder", cache=cache, jobs=jobs)
    parts = []
    for (rung, _, _), found in zip(climbs, done, strict=True):
        known = {"corpus": task.name, "corpus_version": task.entry.version, "split": rung}
        table = training.predictions_table(found, **known, **constants(variant, profile))
        n_train = {int(result.facts["fold"]): int(result.facts["n_train"]) for result in found}
        parts.append(table.assign(n_train=table["fold"].map(n_train)))
    return pd.concat(parts, ignore_index=True)


def _folds(rung: str, rows: pd.DataFrame, task: Task, n_groups: int, seed: int, max_folds: int) -> list[Fold]:
    if rung == "unseen":
        return task.folds
    return splits.make_folds(rows, "random", n_groups=n_groups, seed=seed)[: max_folds or None]


def _with_copies(
    variant: Variant, task: Task, own: Frames, profile: str, chains: Sequence[str], seed: int
) -> tuple[pd.DataFrame, Frames]:
    """Originals and copies as one corpus of which nobody knows that they belong together."""
    table = augment.copies(task.rows, list(chains), n=1, seed=seed)
    root, cache = corpora.audio_root(task.name, profile), study.paths(profile).derived / "features"
    made = augment.augmented_frames(table, root, variant.spec, cache=cache)
    return augment.with_originals(table, task.rows), joined([own, made])


def rungs(table: pd.DataFrame) -> pd.DataFrame:
    """Sizes of the rungs in a ladder's predictions: ``corpus, split, n_train`` (mean over folds), ``n_test,
    n_folds``."""
    folds = table.groupby(["corpus", "split", "fold"], sort=False)["n_train"].first()
    sizes = folds.groupby(["corpus", "split"], sort=False).mean().round().astype(int)
    counted = table.groupby(["corpus", "split"], sort=False).agg(
        n_test=("clip_id", "nunique"), n_folds=("fold", "nunique")
    )
    counted.insert(0, "n_train", sizes.loc[counted.index])
    return counted.reset_index()
