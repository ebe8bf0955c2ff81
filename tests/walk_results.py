"""Every value and every interval of a results file computed anew from the predictions, and every number with an
interval on a page found in a saved table: by plain pandas, numpy and scipy, with no code of the study."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from scipy.stats import t as student

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
    return scores(clips["y_true"], most_frequent(clips))


def most_frequent(clips: pd.DataFrame) -> pd.Series:
    told = pd.Series(index=clips.index, dtype="str")
    for fold in clips["fold"].unique():
        other = clips.loc[clips["fold"] != fold, "y_true"]
        counts = (other if len(other) else clips["y_true"]).value_counts()
        told[clips["fold"] == fold] = min(counts.index[counts == counts.max()])
    return told


# --- intervals ---


def wrong_intervals(results: Path, predictions: list[Path], *, n_resamples: int, seed: int) -> list[str]:
    """Rows of `results` whose limits are not those of speakers drawn with replacement."""
    table = pd.read_csv(results, dtype={"corpus_version": "str"}, keep_default_na=False, na_values=NUMBERS)
    saved = pd.concat([pd.read_parquet(file) for file in predictions], ignore_index=True)
    expected = {}
    for key, rows in saved.groupby(KEY):
        expected |= {(*key, name): pair for name, pair in intervals(by_speaker(rows), n_resamples, seed).items()}
    for key, rows in saved.groupby(TASK):
        clips = rows.drop_duplicates("clip_id")
        found = {"chance": guessed(clips), "majority": by_speaker(clips.assign(y_pred=most_frequent(clips)))}
        for model, counts in found.items():
            name = (*key, model, "none", "none", "clean")
            expected |= {(*name, metric): pair for metric, pair in intervals(counts, n_resamples, seed).items()}
    odd = []
    for row in table[[*KEY, "metric", "ci_low", "ci_high"]].itertuples(index=False):
        pair = expected[tuple(row[:7])]
        if not np.allclose(row[7:], pair, atol=2e-6, equal_nan=True):
            odd.append(f"{row[:7]}: {row[7:]}, not {pair}")
    return odd


NUMBERS = {"value": [""], "ci_low": [""], "ci_high": [""]}


def by_speaker(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Emotion → hits, clips spoken and clips answered so, a row per speaker."""
    right = rows["y_true"] == rows["y_pred"]
    found = {}
    for emotion in sorted(set(rows["y_true"]) | set(rows["y_pred"])):
        spoken, told = rows["y_true"] == emotion, rows["y_pred"] == emotion
        parts = pd.DataFrame({"speaker": rows["speaker"], "hits": right & spoken, "spoken": spoken, "told": told})
        found[emotion] = parts.groupby("speaker").sum().to_numpy(dtype=float)
    return found


def guessed(clips: pd.DataFrame) -> dict[str, np.ndarray]:
    """The same of a guess: of each emotion, and of all clips, 1/K is answered so."""
    found = by_speaker(clips.assign(y_pred=clips["y_true"]))
    total = sum(counts[:, 1] for counts in found.values())
    k = len(found)
    return {name: np.stack([c[:, 1] / k, c[:, 1], total / k], axis=1) for name, c in found.items()}


def intervals(counts: dict[str, np.ndarray], n_resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    """Metric → limits: Student's t on the log-odds, with the spread of the draws as standard error."""
    n = len(next(iter(counts.values())))
    drawn = (
        np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples) if n > 1 else np.ones((1, 1))
    )
    own = metrics({name: c.sum(axis=0)[None] for name, c in counts.items()})
    if n < 2:
        return dict.fromkeys(own, (np.nan, np.nan))
    draws = metrics({name: drawn @ c for name, c in counts.items()})
    found = {}
    for name, values in draws.items():
        value, error = own[name][0], np.nanstd(values) * np.sqrt(n / (n - 1))
        if error < 1e-9 or value in (0, 1):
            found[name] = (value, value)
            continue
        odds = np.array([-1, 1]) * student.ppf(0.975, n - 1) * error / (value * (1 - value))
        found[name] = tuple(1 / (1 + (1 - value) / value * np.exp(-odds)))
    return found


def metrics(counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every metric of many draws; an emotion that a draw does not hold is left out of its means."""
    hits, spoken, told = np.stack(list(counts.values())).transpose(2, 0, 1)
    heard = spoken > 0
    recall = np.where(heard, hits / np.where(heard, spoken, 1), np.nan)
    precision = np.where(heard, hits / np.where(told > 0, told, 1), np.nan)
    f1 = np.where(heard, 2 * hits / np.where(heard, spoken + told, 1), np.nan)
    share = spoken / spoken.sum(axis=0)
    found = {"UAR": np.nanmean(recall, axis=0), "WA": hits.sum(axis=0) / spoken.sum(axis=0)}
    found |= {"macro_F1": np.nanmean(f1, axis=0), "macro_precision": np.nanmean(precision, axis=0)}
    found |= {"weighted_F1": np.nansum(share * f1, axis=0), "weighted_precision": np.nansum(share * precision, axis=0)}
    return found | {f"recall_{name}": row for name, row in zip(counts, recall, strict=True) if not np.isnan(row).all()}


# --- pages ---

SHOWN = re.compile(r"([+−-]?\d\.\d{3}) \[([+−-]?\d\.\d{3}),\s([+−-]?\d\.\d{3})\]")


def untraced(page: Path, tables: list[Path]) -> list[str]:
    """Numbers with an interval on `page` that no saved table holds."""
    text = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find("main").get_text()
    shown = {tuple(float(number.replace("−", "-")) for number in match) for match in SHOWN.findall(text)}
    held = set()
    for file in tables:
        table = pd.read_csv(file)
        if {"ci_low", "ci_high"} <= set(table):
            for value in table.select_dtypes("number").columns.difference(["ci_low", "ci_high"]):
                held |= set(table[[value, "ci_low", "ci_high"]].round(3).itertuples(index=False, name=None))
    rounded = [np.array(sorted(held)) if held else np.empty((0, 3))]
    return [str(one) for one in sorted(shown) if not (np.abs(rounded[0] - one).max(axis=1, initial=0) < 0.0011).any()]
