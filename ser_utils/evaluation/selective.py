"""Answering only when sure: the risk–coverage curve, its area, and a threshold.

El-Yaniv, Wiener: On the foundations of noise-free selective classification. 2010.
https://www.jmlr.org/papers/v11/el-yaniv10a.html
"""

from __future__ import annotations

import numpy as np
import pandas as pd

FEWER_WRONG = 0.25  # share of the wrong answers that a threshold must avoid
LEAST_CLIPS = 30  # answered clips; fewer tell nothing


def curve(sure: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Risk–coverage curve, from the surest clip on.

    Parameters
    ----------
    sure : np.ndarray [shape=(n_clips,)]
        Confidence in the answer.
    right : np.ndarray [shape=(n_clips,), dtype=bool]

    Returns
    -------
    pd.DataFrame
        ``threshold, coverage, risk``: answering clips at least as sure as the threshold answers this share of all, and
        this share of the answers is wrong. Clips of equal confidence are one point.

    Examples
    --------
    >>> curve(np.array([0.9, 0.5, 0.5]), np.array([True, True, False])).round(2).to_numpy().tolist()
    [[0.9, 0.33, 0.0], [0.5, 1.0, 0.33]]
    """
    order = np.argsort(-sure, kind="stable")
    n = np.arange(1, len(sure) + 1)
    table = pd.DataFrame(
        {"threshold": sure[order], "coverage": n / len(sure), "risk": np.cumsum(~right[order].astype(bool)) / n}
    )
    return table.drop_duplicates("threshold", keep="last").reset_index(drop=True)


def area(points: pd.DataFrame) -> float:
    """Area under a :func:`curve`, 0 … 1: the mean risk over all coverages; less is better. A model whose confidence
    says nothing has its overall share of wrong answers.

    Examples
    --------
    >>> area(curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, True, False])))
    0.0625
    """
    return float((points["risk"] * np.diff(points["coverage"], prepend=0.0)).sum())


def risk_at(points: pd.DataFrame, coverage: float) -> float:
    """Share of wrong answers when at least this share of the clips is answered."""
    return float(points.loc[points["coverage"] >= coverage - 1e-12, "risk"].iloc[0])


def threshold(
    sure: np.ndarray, right: np.ndarray, *, fewer_wrong: float = FEWER_WRONG, least_clips: int = LEAST_CLIPS
) -> dict[str, float | None]:
    """The confidence from which on answers are given: the widest coverage at which wrong answers are rarer by
    `fewer_wrong` (0 … 1) than when every clip is answered, with `least_clips` answers or more.

    To be found on validation clips.

    Returns
    -------
    dict
        ``threshold`` (None where no coverage avoids enough), ``coverage, risk, risk_of_all``.
    """
    points = curve(sure, right)
    everything = float(points["risk"].iloc[-1])
    enough = points["coverage"] * len(sure) >= least_clips
    good = points[enough & (points["risk"] <= (1 - fewer_wrong) * everything)]
    if not len(good) or not everything:
        return {"threshold": None, "coverage": 1.0, "risk": everything, "risk_of_all": everything}
    return {**good.iloc[-1].astype(float).to_dict(), "risk_of_all": everything}
