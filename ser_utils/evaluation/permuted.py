"""What the same answers score when they are dealt out to the wrong clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_utils.evaluation.scores import classes, metrics


@dataclass(frozen=True)
class Permuted:
    """UAR of answers whose truths were permuted, 0 … 1."""

    mean: float
    low: float  # middle 95 % of the permutations
    high: float
    p: float  # share of permutations as good as the answers themselves


def permuted(predictions: pd.DataFrame, *, n_permutations: int = 1000, seed: int = 0) -> Permuted:
    """UAR of one system when the true emotions are permuted among the clips of each speaker.

    A floor that knows how often the system gives each answer to each person; what lies above it, was heard. Permuting
    within speakers keeps apart people who speak some emotions more often.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one system.
    n_permutations, seed : int

    References
    ----------
    Ojala, Garriga: Permutation tests for studying classifier performance. 2010.
    https://www.jmlr.org/papers/v11/ojala10a.html

    Examples
    --------
    >>> table = pd.DataFrame({"speaker": "x", "y_true": ["sad", "happy"] * 20})
    >>> found = permuted(table.assign(y_pred=table["y_true"]))
    >>> round(found.mean, 1), found.p < 0.01
    (0.5, True)
    """
    labels = classes(predictions["y_true"], predictions["y_pred"])
    ordered = predictions.sort_values(["speaker", "y_true", "y_pred"], kind="stable")
    true, told = (pd.Categorical(ordered[name], labels).codes.astype(int) for name in ("y_true", "y_pred"))
    group = pd.factorize(ordered["speaker"])[0]
    rng = np.random.default_rng(seed)
    draws = np.empty(n_permutations)
    for i in range(n_permutations):
        dealt = np.lexsort((rng.random(len(group)), group))  # sorted by speaker, shuffled within
        draws[i] = _uar(true[dealt], told, labels)
    own = _uar(true, told, labels)
    low, high = np.quantile(draws, [0.025, 0.975])
    p = (1 + (draws >= own - 1e-12).sum()) / (1 + n_permutations)
    return Permuted(float(draws.mean()), float(low), float(high), float(p))


def _uar(true: np.ndarray, told: np.ndarray, labels: list[str]) -> float:
    k = len(labels)
    counts = np.bincount(true * k + told, minlength=k * k).reshape(k, k)
    return float(metrics(counts, labels)["UAR"])
