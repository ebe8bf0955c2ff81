"""Every value of a results file computed anew from the predictions, by plain pandas and numpy: no code of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

KEY = ["corpus", "split", "model", "features", "train_regime", "condition"]
TASK = ["corpus", "split"]


def differing(results: Path, predictions: list[Path]) -> list[str]:
    """Rows of `results` that the predictions do not give, and systems that it lacks."""
    table = pd.read_csv(results, dtype={"corpus_version": "str"}, keep_default_na=False, na_values={"value": [""]})
    saved = pd.concat([pd.read_parquet(file) for file in predictions], ignore_index=True)
    expected = {}
    for key, rows in saved.groupby(KEY):
        sizes = (rows["clip_id"].nunique(), rows["speaker"].nunique(), rows["seed"].nunique())
        expected |= {(*key, name): (value, *sizes) for name, value in scores(rows["y_true"], rows["y_pred"]).items()}
    for key, rows in saved.groupby(TASK):
        clips = rows.drop_duplicates("clip_id")
        sizes = (len(clips), clips["speaker"].nunique(), 1)
        for model, found in (("chance", chance(clips)), ("majority", majority(clips))):
            name = (*key, model, "none", "none", "clean")
            expected |= {(*name, metric): (value, *sizes) for metric, value in found.items()}
    found = {tuple(row[:7]): row[7:] for row in table[[*KEY, "metric", "value", *SIZES]].itertuples(index=False)}
    odd = [f"{key}: only in one of both" for key in found.keys() ^ expected.keys()]
    for key in found.keys() & expected.keys():
        if abs(found[key][0] - expected[key][0]) > 1e-6 or tuple(found[key][1:]) != tuple(expected[key][1:]):
            odd.append(f"{key}: {found[key]}, not {expected[key]}")
    return odd


SIZES = ["n_clips", "n_speakers", "n_seeds"]


def scores(true: pd.Series, told: pd.Series) -> dict[str, float]:
    """Metrics by counting, one emotion at a time."""
    true, told = true.to_numpy(), told.to_numpy()
    found: dict[str, float] = {}
    precision, f1, weight = [], [], []
    for emotion in sorted(set(true)):
        hits = ((true == emotion) & (told == emotion)).sum()
        found[f"recall_{emotion}"] = hits / (true == emotion).sum()
        precision.append(hits / (told == emotion).sum() if (told == emotion).any() else 0.0)
        f1.append(2 * hits / ((true == emotion).sum() + (told == emotion).sum()))
        weight.append((true == emotion).mean())
    found["UAR"] = float(np.mean(list(found.values())))
    found |= {"WA": (true == told).mean(), "macro_F1": np.mean(f1), "macro_precision": np.mean(precision)}
    return found | {"weighted_F1": np.dot(weight, f1), "weighted_precision": np.dot(weight, precision)}


def chance(clips: pd.DataFrame) -> dict[str, float]:
    """Expected scores of a guess over the emotions of the task: of each, 1/K of the clips are answered so."""
    share = clips["y_true"].value_counts(normalize=True)
    k = len(share)
    f1 = {emotion: 2 * (p / k) / (p + 1 / k) for emotion, p in share.items()}
    found = {f"recall_{emotion}": 1 / k for emotion in share.index} | {"UAR": 1 / k, "WA": 1 / k}
    found |= {"macro_F1": float(np.mean(list(f1.values()))), "macro_precision": float(share.mean())}
    weighted = sum(share[emotion] * value for emotion, value in f1.items())
    return found | {"weighted_F1": weighted, "weighted_precision": float((share**2).sum())}


def majority(clips: pd.DataFrame) -> dict[str, float]:
    """Scores of the most frequent emotion of all other folds."""
    told = pd.Series(index=clips.index, dtype="str")
    for fold in clips["fold"].unique():
        other = clips.loc[clips["fold"] != fold, "y_true"]
        counts = (other if len(other) else clips["y_true"]).value_counts()
        told[clips["fold"] == fold] = min(counts.index[counts == counts.max()])
    return scores(clips["y_true"], told)
