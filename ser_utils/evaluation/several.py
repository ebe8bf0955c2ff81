"""Many systems at once: signed ranks over speakers, and mean ranks over corpora with their critical difference."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.stats

from ser_utils import study
from ser_utils.evaluation.scores import classes, metrics, speaker_counts


def by_speaker(predictions: pd.DataFrame) -> pd.Series:
    """UAR of one system within each known speaker, over the emotions that the speaker has clips of."""
    found = {}
    for speaker, part in predictions[predictions["speaker"] != ""].groupby("speaker", sort=True):
        labels = classes(part["y_true"], part["y_pred"])
        found[speaker] = float(metrics(speaker_counts(part, labels).sum(axis=0), labels)["UAR"])
    return pd.Series(found, dtype=float, name="UAR")


def wilcoxon(a: pd.DataFrame, b: pd.DataFrame) -> tuple[float, float, int]:
    """Signed-rank test of the UAR of two systems over speakers (Wilcoxon 1945, doi:10.2307/3001968).

    Parameters
    ----------
    a, b : pd.DataFrame
        Predictions of one system each; clips and speakers that only one of them holds are left out.

    Returns
    -------
    median, p, n : float, float, int
        Median over speakers of the difference, a less b; two-sided p-value; number of speakers. With n speakers p
        cannot fall below 2 / 2ⁿ: five speakers never give 0.05. NaN below two speakers; p is 1 where all tie.

    Examples
    --------
    >>> b = pd.DataFrame({"clip_id": list("pqrs"), "speaker": ["x", "x", "y", "y"], "y_true": ["sad", "happy"] * 2})
    >>> wilcoxon(b.assign(y_pred=b["y_true"]), b.assign(y_pred="sad"))
    (0.5, 0.5, 2)
    """
    shared = set(a["clip_id"]) & set(b["clip_id"])
    a, b = (by_speaker(part[part["clip_id"].isin(shared)]) for part in (a, b))
    gaps = (a - b).dropna().round(12)
    if len(gaps) < 2:
        return np.nan, np.nan, len(gaps)
    if not gaps.any():
        return 0.0, 1.0, len(gaps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's word that ties take the normal approximation
        p = scipy.stats.wilcoxon(gaps, zero_method="zsplit").pvalue
    return float(gaps.median()), float(p), len(gaps)


@dataclass(frozen=True)
class Ranking:
    """Systems ranked over blocks, such as corpora."""

    ranks: pd.Series = field(repr=False)  # mean rank of each system, best first; 1 is best
    statistic: float  # Friedman's chi-square
    p: float  # that all systems are equal
    critical_difference: float  # of mean ranks, Nemenyi; closer ones are not told apart
    n_blocks: int

    def cliques(self) -> list[list[str]]:
        """Longest runs of two systems or more that are not told apart, best first."""
        names, values = list(self.ranks.index), self.ranks.to_numpy()
        ends = [int(np.searchsorted(values, value + self.critical_difference, side="right")) for value in values]
        kept = [(i, end) for i, end in enumerate(ends) if end - i > 1 and (i == 0 or end > ends[i - 1])]
        return [names[i:end] for i, end in kept]


def ranking(scores: pd.DataFrame, *, level: float = 0.05) -> Ranking:
    """Friedman's test, and Nemenyi's critical difference of mean ranks (Demšar 2006,
    https://www.jmlr.org/papers/v7/demsar06a.html).

    Parameters
    ----------
    scores : pd.DataFrame
        One row per block (corpus), one column per system, higher is better; rows with a gap are left out.
    level : float
        0 … 1.

    Raises
    ------
    UserError
        For fewer than two complete blocks or fewer than three systems.

    Examples
    --------
    >>> scores = pd.DataFrame({"a": [0.9, 0.8, 0.7], "b": [0.6, 0.7, 0.6], "c": [0.1, 0.2, 0.3]})
    >>> found = ranking(scores)
    >>> found.ranks.to_dict(), round(found.p, 3), round(found.critical_difference, 2)
    ({'a': 1.0, 'b': 2.0, 'c': 3.0}, 0.05, 1.91)
    """
    complete = scores.dropna()
    n, k = complete.shape
    if n < 2 or k < 3:
        raise study.UserError(f"a ranking needs 2 blocks and 3 systems or more; there are {n} and {k}")
    ranks = complete.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    same = bool(complete.eq(complete.iloc[:, 0], axis=0).to_numpy().all())
    found = (0.0, 1.0) if same else scipy.stats.friedmanchisquare(*complete.to_numpy().T)
    q = scipy.stats.studentized_range.ppf(1 - level, k, np.inf) / np.sqrt(2)
    return Ranking(ranks, float(found[0]), float(found[1]), float(q * np.sqrt(k * (k + 1) / (6 * n))), n)
