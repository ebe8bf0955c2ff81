"""Which columns a model relies on, from clips of speakers whom it has not heard."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ser_utils import study
from ser_utils.classic.clips import SUFFIX, Clips, prepare
from ser_utils.classic.folds import FoldResult, cell_key, inputs, training_rows
from ser_utils.classic.search import fit, score
from ser_utils.features import Table
from ser_utils.splits import Fold


def column_groups(columns: Sequence[str], *, by: str) -> dict[str, list[int]]:
    """Positions of columns, by name (``by="column"``) or by what they summarise (``by="descriptor"``).

    The descriptor of an openSMILE name is what stands before the smoothing (``_sma…``), its band or number left out;
    of another name what stands before the last underscore, a number at its end left out. Changes over time (``_de``)
    belong to their descriptor.

    Examples
    --------
    >>> names = ["mfcc_sma[1]_mean", "mfcc_sma_de[2]_mean", "F0final_sma_mean", "chroma_01_std"]
    >>> column_groups(names, by="descriptor")
    {'mfcc': [0, 1], 'F0final': [2], 'chroma': [3]}
    """
    if by not in ("column", "descriptor"):
        raise study.UserError(f"columns cannot be grouped by '{by}'; use column or descriptor")
    groups: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        groups.setdefault(column if by == "column" else _descriptor(column), []).append(i)
    return groups


def _descriptor(column: str) -> str:
    name, smoothed, _ = column.partition("_sma")
    if not smoothed:
        name = column.rpartition("_")[0] or column
    return re.sub(r"(mfcc|[a-z]+_)\d+$", r"\1", name).rstrip("_")


def permutation_importance(
    results: Sequence[FoldResult],
    table: Table,
    manifest: pd.DataFrame,
    folds: Sequence[Fold],
    *,
    groups: Mapping[str, Sequence[int]],
    n_repeats: int = 5,
    cache: Path,
    allow: Collection[str] = (),
    jobs: int | None = None,
) -> pd.DataFrame:
    """How much UAR a model loses on held-out clips when the values of some columns go to other clips [1]_.

    The columns of a group are shuffled together, within the test clips of a fold. Columns that say the same as others
    cost little each, even where together they decide: groups are for that, and a low value is no proof of uselessness.

    Parameters
    ----------
    results : sequence of FoldResult
        Of one model: its settings are used again, without a search.
    table, manifest, folds, allow
        As :func:`cross_validate` had them.
    groups : mapping
        Name → columns: see :func:`column_groups`.
    n_repeats : int
        Shuffles per fold and group.
    cache : Path
        Folder of the fold artefacts.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    pd.DataFrame
        ``group, n_columns, drop, spread, n_folds``, largest drop first: mean loss of UAR over folds, and its standard
        deviation over folds.

    Raises
    ------
    study.UserError
        When the results are those of several models.

    References
    ----------
    .. [1] Breiman: Random forests. Machine Learning 45, 2001. doi:10.1023/A:1010933404324
    """
    facts = [result.facts for result in results]
    kinds = {(fact["model"], fact["features"]) for fact in facts}
    if len(kinds) != 1:
        raise study.UserError(
            f"importance is that of one model on one table, not of {len(kinds)}; pass its results alone"
        )
    features = facts[0]["features"]
    names = {suffix: name for name, suffix in SUFFIX.items()}
    base, plus, rest = features.partition("+")
    labels = [name.removeprefix("p_") for name in results[0].predictions if name.startswith("p_")]
    data = prepare(table, manifest, labels, features=base, normalisation=names[plus + rest], allow=allow)
    for fold in folds:
        training_rows(data, fold)
    chosen = {fact["fold"]: fact for fact in facts}
    settings = inputs(data) | {
        "groups": study.digest({name: list(columns) for name, columns in groups.items()}),
        "n_repeats": n_repeats,
    }
    work = functools.partial(_cached, data=data, groups=groups, settings=settings, cache=cache)
    cells = [(fold, chosen[fold.index]) for fold in folds]
    drops = pd.concat(study.pmap(work, cells, desc=f"{data.name} {features}: importance", jobs=jobs))
    found = drops.groupby("group", sort=False)["drop"].agg(drop="mean", spread="std", n_folds="size").reset_index()
    found.insert(1, "n_columns", [len(groups[name]) for name in found["group"]])
    return found.sort_values("drop", ascending=False, kind="stable", ignore_index=True)


def _cached(
    cell: tuple[Fold, dict[str, Any]], *, data: Clips, groups: Mapping, settings: Mapping[str, Any], cache: Path
) -> pd.DataFrame:
    fold, fact = cell
    key = cell_key(fact["model"], fold, settings) | {"seed": fact["seed"], "at": fact["setting"]}
    return study.cached(
        cache,
        key | {"artefact": "importance"},
        functools.partial(_drops, fold, fact, data, groups, settings["n_repeats"]),
        save=lambda drops, folder: drops.to_parquet(folder / "drops.parquet", index=False),
        load=lambda folder: pd.read_parquet(folder / "drops.parquet"),
    )


def _drops(fold: Fold, fact: Mapping[str, Any], data: Clips, groups: Mapping, n_repeats: int) -> pd.DataFrame:
    """Loss of UAR on one fold, mean over shuffles: ``group, drop``."""
    rows, test = training_rows(data, fold), data.rows(fold.test)
    rng = np.random.default_rng([fact["seed"], fold.index])
    truth, x = data.clips["emotion"].to_numpy(dtype=str)[test], data.x[test]
    with threadpool_limits(1):
        fitted = fit(fact["model"], data, rows, fact["setting"], fact["seed"] * 1000 + fold.index)

        def uar(values: np.ndarray) -> float:
            scores = score(fact["model"], fitted, values, data.labels)
            answers = np.array(data.labels)[scores.argmax(axis=1)]
            hits = pd.Series(answers == truth).groupby(truth).mean()
            return float(hits.mean())

        whole = uar(x)
        losses = []
        for columns in groups.values():
            shuffled = [whole - uar(_shuffle(x, columns, rng)) for _ in range(n_repeats)]
            losses.append(float(np.mean(shuffled)))
    return pd.DataFrame({"group": list(groups), "drop": losses})


def _shuffle(x: np.ndarray, columns: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    values = x.copy()
    values[:, columns] = x[rng.permutation(len(x))][:, columns]
    return values
