"""Metrics of confusion matrices, and their intervals over speakers."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.stats
from scipy.special import expit, logit
from sklearn.metrics import confusion_matrix, recall_score

from ser_utils.corpora.base import EMOTIONS

MANY = 500  # units that are drawn one by one
STILL = 1e-12  # spread of draws that differ by rounding only


def uar(y_true: Sequence, y_pred: Sequence, labels: Sequence | None = None) -> float:
    """Unweighted average recall, 0 … 1.

    Parameters
    ----------
    y_true, y_pred : sequence [length n_clips]
    labels : sequence, optional
        Classes to average over; default those that occur in `y_true`.

    Examples
    --------
    >>> uar(["sad", "sad", "sad", "happy"], ["sad", "sad", "happy", "happy"])
    0.8333333333333333
    """
    labels = np.unique(y_true) if labels is None else labels
    return float(recall_score(y_true, y_pred, labels=labels, average="macro", zero_division=0))


def confusion(y_true: Sequence, y_pred: Sequence, labels: Sequence) -> np.ndarray:
    """Counts of clips: row is the true class, column the predicted one.

    Returns
    -------
    np.ndarray [shape=(n_classes, n_classes)]

    Examples
    --------
    >>> confusion(["sad", "sad", "happy"], ["sad", "happy", "happy"], ["happy", "sad"]).tolist()
    [[1, 0], [1, 1]]
    """
    return confusion_matrix(y_true, y_pred, labels=labels)


def metrics(counts: np.ndarray, labels: Sequence[str]) -> dict[str, np.ndarray]:
    """Every metric of one confusion matrix, or of a stack of them.

    Means run over classes that have clips. A class that nobody predicts has an F1 of 0.

    Parameters
    ----------
    counts : np.ndarray [shape=(..., n_classes, n_classes)]
        Clips, or expected numbers of clips; rows are true classes.
    labels : sequence [length n_classes]

    Returns
    -------
    dict of np.ndarray [shape=(...)]
        ``UAR``, the macro recall; ``WA``, the share of all clips that are right and the weighted recall; ``macro_F1``,
        ``macro_precision``; ``weighted_F1``, ``weighted_precision``, with weights by clips of the true class;
        ``recall_<label>`` (NaN without clips).

    Examples
    --------
    >>> found = metrics(np.array([[1, 0], [1, 1]]), ["happy", "sad"])
    >>> {name: round(float(found[name]), 2) for name in ("UAR", "WA", "macro_F1", "weighted_precision", "recall_sad")}
    {'UAR': 0.75, 'WA': 0.67, 'macro_F1': 0.67, 'weighted_precision': 0.83, 'recall_sad': 0.5}
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / support
        f1 = np.where(support > 0, 2 * hits / (support + predicted), np.nan)
        precision = np.where(support > 0, hits / np.maximum(predicted, 1e-12), np.nan)
        accuracy = hits.sum(axis=-1) / support.sum(axis=-1)
        share = support / support.sum(axis=-1, keepdims=True)
    means = {"UAR": np.nanmean(recall, axis=-1), "WA": accuracy, "macro_F1": np.nanmean(f1, axis=-1)}
    means |= {"macro_precision": np.nanmean(precision, axis=-1)}
    means |= {f"weighted_{k}": np.nansum(share * v, axis=-1) for k, v in (("F1", f1), ("precision", precision))}
    return means | {f"recall_{label}": recall[..., i] for i, label in enumerate(labels)}


def bootstrap(
    counts: np.ndarray, labels: Sequence[str], *, n_resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Interval of every metric, from resampling speakers with replacement: see :func:`limits`.

    The draws depend on the number of speakers and on `seed` only, so that two systems scored on the same speakers
    meet the same resamples; above :data:`MANY` units only their distribution is the same.

    Parameters
    ----------
    counts : np.ndarray [shape=(n_speakers, n_classes, n_classes)]
        One confusion matrix per speaker, in a fixed order.
    labels : sequence [length n_classes]
    n_resamples : int
    level : float
        Coverage, 0 … 1.
    seed : int

    Returns
    -------
    dict of (low, high); NaN for one speaker, about whom resampling says nothing.

    Examples
    --------
    >>> counts = np.array([[[9, 1], [0, 10]], [[5, 5], [5, 5]], [[8, 2], [3, 7]]])
    >>> [round(limit, 3) for limit in bootstrap(counts, ["happy", "sad"])["UAR"]]
    [0.135, 0.98]
    """
    values = metrics(counts.sum(axis=0), labels)
    if len(counts) < 2:
        return dict.fromkeys(values, (np.nan, np.nan))
    draws = metrics(resampled(counts, n_resamples=n_resamples, seed=seed), labels)
    return {name: limits(float(values[name]), draws[name], len(counts), level=level) for name in values}


def limits(
    value: float, draws: np.ndarray, n_units: int, *, level: float = 0.95, share: bool = True
) -> tuple[float, float]:
    """Interval of a score from its draws: as many standard errors as Student's t with n − 1 degrees of freedom asks.

    The usual interval, the middle 95 % of the draws, is too narrow for few speakers: it holds the truth in 90 % of
    corpora of ten speakers, in 80 % for four, in half for two [1]_ [2]_. Here the standard error is the standard
    deviation of the draws, times √(n / (n − 1)) since they vary around the sample and not around the population. A
    score between 0 and 1 is measured on the scale of log-odds, as surveys do it for shares [3]_, so that no limit
    leaves that range. :func:`coverage` simulates how often such an interval holds the truth.

    Parameters
    ----------
    value : float
    draws : np.ndarray [shape=(n_resamples,)]
        NaN in draws that happen to hold no clip of a class.
    n_units : int
        Speakers that were drawn, 2 or more.
    level : float
        Coverage, 0 … 1.
    share : bool
        Whether the score lies between 0 and 1, else between −1 and 1, as a difference does.

    Returns
    -------
    low, high : float
        Both are `value` where all draws are equal; NaN where no draw has a value.

    References
    ----------
    .. [1] Cameron, Gelbach, Miller: Bootstrap-based improvements for inference with clustered errors. 2008.
       doi:10.1162/rest.90.3.414
    .. [2] Hesterberg: What teachers should know about the bootstrap. 2015. doi:10.1080/00031305.2015.1089789
    .. [3] Lumley: survey, an R package; ``svyciprop``, method ``xlogit``.
       https://r-survey.r-forge.r-project.org/pkgdown/docs/reference/svyciprop.html

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(0.8, 0.05, 10_000)
    >>> [round(limit, 2) for limit in limits(0.8, draws, 10)], [round(limit, 2) for limit in limits(0.8, draws, 100)]
    ([0.66, 0.89], [0.68, 0.88])
    """
    draws = draws[~np.isnan(draws)]
    if not draws.size or np.isnan(value):
        return np.nan, np.nan
    spread = float(draws.std())
    if spread < STILL or (share and not 0 < value < 1):
        return value, value
    reach = scipy.stats.t.ppf((1 + level) / 2, n_units - 1) * spread * np.sqrt(n_units / (n_units - 1))
    if not share:
        return max(value - reach, -1.0), min(value + reach, 1.0)
    at, odds = logit(value), reach / (value * (1 - value))
    return float(expit(at - odds)), float(expit(at + odds))


def resampled(counts: np.ndarray, *, n_resamples: int, seed: int) -> np.ndarray:
    """Sums over speakers who are drawn with replacement, as many as there are; equal draws for an equal `seed`.

    Above :data:`MANY` (clips without speakers), equal entries are drawn together: the sums have the same distribution,
    but which entry is drawn is not known, so that only what is stacked in one array meets the same draws.

    Parameters
    ----------
    counts : np.ndarray [shape=(n_speakers, ...)]
    n_resamples, seed : int

    Returns
    -------
    np.ndarray [shape=(n_resamples, ...)]
    """
    flat = counts.reshape(len(counts), -1)
    if len(flat) <= MANY:
        weights = _draws(len(flat), n_resamples, seed)
    else:
        flat, times = np.unique(flat, axis=0, return_counts=True)
        weights = np.random.default_rng(seed).multinomial(len(counts), times / len(counts), size=n_resamples)
    return (weights @ flat).reshape(-1, *counts.shape[1:])


@functools.lru_cache(maxsize=16)
def _draws(n_speakers: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each speaker is drawn in each resample [shape=(n_resamples, n_speakers)]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_speakers, np.full(n_speakers, 1 / n_speakers), size=n_resamples).astype(float)


def unit(predictions: pd.DataFrame) -> pd.Series:
    """What is drawn for an interval: the speaker of each row, or the clip where the speaker is unknown.

    Examples
    --------
    >>> unit(pd.DataFrame({"speaker": ["x", ""], "clip_id": ["a", "b"]})).tolist()
    ['x', '\\x00b']
    """
    speaker = predictions["speaker"]
    return speaker.where(speaker != "", "\0" + predictions["clip_id"])  # no name begins so


def n_speakers(predictions: pd.DataFrame) -> int:
    """Number of known speakers; 0 where none is known."""
    return len(set(predictions["speaker"]) - {""})


def speaker_counts(predictions: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """One confusion matrix per speaker (sorted by name), summed over seeds.

    Clips of which nobody knows the speaker (empty) come first, each as a speaker of its own: intervals over clips are
    narrower than intervals over the unknown speakers would be.

    Returns
    -------
    np.ndarray [shape=(n_speakers, n_classes, n_classes)]
    """
    who = unit(predictions)
    units = sorted(who.unique())
    shape = (len(units), len(labels), len(labels))
    codes = [
        pd.Categorical(values, categories=categories).codes
        for values, categories in ((who, units), (predictions["y_true"], labels), (predictions["y_pred"], labels))
    ]
    flat = np.ravel_multi_index([code.astype(np.int64) for code in codes], shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(float)


def classes(*columns: pd.Series) -> list[str]:
    """Emotions that occur in `columns`, in the order of the vocabulary.

    Examples
    --------
    >>> classes(pd.Series(["sad", "angry"]), pd.Series(["sad"]))
    ['angry', 'sad']
    """
    found = {value for column in columns for value in column.unique()}
    return [emotion for emotion in EMOTIONS if emotion in found]
