"""Which training gave a saved prediction? Found by its answers, since no column of the predictions names a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd


def index(*caches: Path) -> dict[int, Path]:
    """Artefacts of trainings by what tells their test answers apart.

    Parameters
    ----------
    caches : Path
        Folders with one artefact per training, each with ``predictions.parquet``; those that do not exist hold none.
    """
    files = [file for cache in caches for file in sorted(cache.glob("*/predictions.parquet"))]
    return {marks(pd.read_parquet(file)): file.parent for file in files}


def find(predictions: pd.DataFrame, known: Mapping[int, Path]) -> dict[tuple[int, int], Path]:
    """Artefact of each seed and fold of one system; without those that no training of :func:`index` gave.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one system.
    known : mapping
        From :func:`index`.
    """
    parts = {key: marks(part) for key, part in predictions.groupby(["seed", "fold"])}
    return {(int(seed), int(fold)): known[mark] for (seed, fold), mark in parts.items() if mark in known}


def marks(table: pd.DataFrame) -> int:
    """What tells the answers of two trainings apart: all clips, each with its answer and how likely that is.

    Examples
    --------
    >>> one = pd.DataFrame({"clip_id": ["a", "b"], "y_pred": "sad", "p_sad": [0.6, 0.7], "p_fear": [0.4, 0.3]})
    >>> marks(one) == marks(one.iloc[::-1]), marks(one) == marks(one.assign(clip_id=["a", "c"]))
    (True, False)
    """
    columns = [name for name in table if name.startswith("p_")]
    best = table[columns].max(axis=1).astype(float).round(5)
    return hash(frozenset(zip(table["clip_id"], table["y_pred"], best.tolist(), strict=True)))
