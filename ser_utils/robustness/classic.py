"""A classic model on features or frozen embeddings under all conditions: fitted once per regime and fold, by the
cross-validation of all classic models.

Every condition of a test clip is a row of its own, so one fit answers for all of them, and the leak gate of that
cross-validation sees the noise files of both sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import classic, evaluation, features, pretrained, study
from ser_utils.features import Table
from ser_utils.noise import Condition
from ser_utils.pretrained import probes
from ser_utils.robustness.bench import Bench, Clips, Regime
from ser_utils.splits import Fold

KEPT = ["clip_id", "parent", "corpus", "speaker", "emotion", "sha256", "noise_id"]


def classic_grid(
    bench: Bench,
    regimes: Sequence[Regime],
    conditions: Sequence[Condition],
    *,
    features: str,
    model: str,
    profile: str,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Predictions of a classic model, trained in every regime, under every condition that its regime is tested under.

    Parameters
    ----------
    bench : Bench
    regimes : sequence of Regime
    conditions : sequence of Condition
    features : str
        One of :data:`ser_utils.features.TABLES`, or layers of an encoder, such as ``byol_s:conv2+conv3:mean_std``.
    model : str
        One of :data:`ser_utils.classic.MODELS`, with its default setting.
    profile : str
        For the column of that name.
    jobs : int, optional

    Returns
    -------
    pd.DataFrame
        As :func:`ser_utils.evaluation.validate_predictions` wants it.
    """
    tests = {each: _tested(bench, each, features) for each in conditions}
    parts = []
    for regime in regimes:
        mine = {each: tests[each] for each in regime.tests(conditions)}
        if mine:
            parts.append(_of_regime(bench, regime, mine, features=features, model=model, jobs=jobs))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(run_id=study.run_id(), profile=profile, **bench.constants)


def encoder_grid(
    bench: Bench, regimes: Sequence[Regime], conditions: Sequence[Condition], *, encoder: str, profile: str
) -> pd.DataFrame:
    """:func:`classic_grid` of the linear model of 07 on layers of an encoder, and means of what it says.

    They have the ``train_regime`` ``several``: of the regimes ``denoised`` and ``noisy+denoised`` for clips that were
    denoised, of all regimes for clips that a gate left alone.

    Parameters
    ----------
    bench : Bench
    regimes : sequence of Regime
    conditions : sequence of Condition
    encoder : str
        Encoder, layers and pooling, such as ``byol_s:conv2+conv3:mean_std``.
    profile : str
    """
    found = classic_grid(bench, regimes, conditions, features=encoder, model=probes.HEAD, profile=profile)
    found = found.assign(model=probes.MODEL)
    behind = found["train_regime"].str.contains("denoised")
    if found.loc[behind, "train_regime"].nunique() < 2:
        return found
    shared = found["condition"].isin(found.loc[behind, "condition"])
    alone = {text: bench.left_alone(Condition.parse(text)) for text in found.loc[shared, "condition"].unique()}
    kept = np.array(
        [clip in alone.get(text, ()) for clip, text in zip(found["clip_id"], found["condition"], strict=True)]
    )
    members = found[shared & kept], found[behind & ~kept]
    means = [evaluation.ensemble(part, over="system", name=probes.MODEL) for part in members if len(part)]
    return pd.concat([found, *means], ignore_index=True)


Rows = tuple[Table, pd.DataFrame]  # features, and the manifest in the same order


def _tested(bench: Bench, each: Condition, name: str) -> Rows:
    table, rows = _features(bench.tested(each), name, cache=bench.cache)
    ids = rows["clip_id"] + f"~{study.digest(str(each))}0"
    return dataclasses.replace(table, clip_ids=ids.to_numpy(dtype=str)), rows.assign(
        parent=rows["clip_id"], clip_id=ids
    )


def _features(clips: Clips, name: str, *, cache: Path) -> Rows:
    rows = clips.table.assign(parent=clips.table.get("parent", clips.table["clip_id"]))
    return _extract(clips, name, cache=cache), rows[KEPT]


def _extract(clips: Clips, name: str, *, cache: Path) -> Table:
    encoder, _, rest = name.partition(":")
    if not rest:
        return features.extract_table(clips.table, clips.root, name, cache=cache / "features")
    layers, _, pooling = rest.partition(":")
    found = pretrained.embed(clips.table, clips.root, encoder, pooling=pooling, cache=cache / "embeddings")
    parts = [found.table(layer) for layer in layers.split("+")]
    x = np.concatenate([part.x for part in parts], axis=1)
    return Table(x, tuple(column for part in parts for column in part.columns), found.clip_ids)


def _of_regime(
    bench: Bench, regime: Regime, tests: dict[Condition, Rows], *, features: str, model: str, jobs: int | None
) -> pd.DataFrame:
    own, copies = bench.training(regime)
    trained = [_features(part, features, cache=bench.cache) for part in (own, *copies)]
    manifest = pd.concat([rows for _, rows in (*trained, *tests.values())], ignore_index=True)
    parts = [table for table, _ in (*trained, *tests.values())]
    x = Table(
        np.concatenate([part.x for part in parts]), parts[0].columns, np.concatenate([part.clip_ids for part in parts])
    )
    learnt = pd.concat([rows for _, rows in trained], ignore_index=True)
    asked = pd.concat([rows.assign(condition=str(each)) for each, (_, rows) in tests.items()], ignore_index=True)
    results = classic.cross_validate(
        x,
        manifest,
        [_fold(fold, learnt, asked) for fold in bench.folds],
        bench.entry.emotions,
        models=[model],
        features=features,
        tune=False,
        seed=bench.seed,
        cache=bench.cache / "folds",
        allow=bench.allow,
        jobs=jobs,
    )
    table = classic.predictions_table(results, train_regime=regime.name)
    known = asked.set_index("clip_id").loc[table["clip_id"]]
    return table.assign(clip_id=known["parent"].to_numpy(), condition=known["condition"].to_numpy())


def _fold(fold: Fold, learnt: pd.DataFrame, asked: pd.DataFrame) -> Fold:
    """The fold with copies in training and conditions in the test; what validates trains, as in all classic models."""
    heard = learnt.loc[learnt["parent"].isin([*fold.train, *fold.validation]), "clip_id"].to_numpy(dtype=str)
    tested = asked.loc[asked["parent"].isin(fold.test), "clip_id"].to_numpy(dtype=str)
    return Fold(fold.index, heard, heard[:0], tested)
