"""How far the probabilities of a net can be trusted: one temperature and one threshold, from validation clips alone.

The temperature makes the mean log-loss on validation clips as small as it can be (Guo et al. 2017, arXiv:1706.04599):
an overconfident net has one above 1. The threshold comes from the risk–coverage curve (El-Yaniv & Wiener 2010,
https://www.jmlr.org/papers/v11/el-yaniv10a.html): clips are answered from the surest on, and the widest coverage is
taken at which wrong answers are rarer by :data:`FEWER_WRONG` than when every clip is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

TEMPERATURES = (0.25, 8.0)  # where it is looked for
FEWER_WRONG = 0.25  # share of the wrong answers that the threshold must avoid
LEAST_CLIPS = 30  # validation clips, and answered ones; fewer tell nothing
TINY = 1e-9


def facts(validation: Sequence[pd.DataFrame], labels: Sequence[str]) -> dict[str, Any]:
    """What a card keeps of the validation clips of its nets.

    Parameters
    ----------
    validation : sequence of pd.DataFrame
        Of each net: ``clip_id, speaker, y_true, p_<emotion>…``, as :class:`training.FoldResult` has it.
    labels : sequence of str

    Returns
    -------
    dict
        ``temperature, threshold, coverage, risk, risk_of_all, n_clips, n_speakers``. The threshold is None where no
        coverage avoids enough wrong answers. Empty without :data:`LEAST_CLIPS` clips that all nets validated on.
    """
    table = _mean(validation, labels)
    if len(table) < LEAST_CLIPS:
        return {}
    p = table[[f"p_{label}" for label in labels]].to_numpy(dtype=np.float64)
    truth = table["y_true"].map({label: i for i, label in enumerate(labels)}).to_numpy()
    found = temperature(p, truth)
    calibrated = scaled(p, found)
    told = threshold(calibrated.max(axis=1), calibrated.argmax(axis=1) == truth)
    sizes = {"n_clips": len(table), "n_speakers": int(table["speaker"].replace("", np.nan).nunique())}
    return {"temperature": found, **told, **sizes}


def _mean(validation: Sequence[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    """Mean probabilities of the clips that every net validated on."""
    tables = [table.set_index("clip_id") for table in validation if len(table)]
    if len(tables) < max(1, len(validation)):
        return pd.DataFrame()
    common = sorted(set.intersection(*(set(table.index) for table in tables)))
    columns = [f"p_{label}" for label in labels]
    p = np.mean([table.loc[common, columns].to_numpy(dtype=np.float64) for table in tables], axis=0)
    return tables[0].loc[common, ["speaker", "y_true"]].assign(**dict(zip(columns, p.T, strict=True)))


def temperature(p: np.ndarray, truth: np.ndarray) -> float:
    """Temperature with the least mean log-loss.

    Parameters
    ----------
    p : np.ndarray [shape=(n_clips, n_classes)]
    truth : np.ndarray [shape=(n_clips,)]
        Position of the true class.
    """

    def loss(log_t: float) -> float:
        return float(-np.log(scaled(p, np.exp(log_t))[np.arange(len(p)), truth] + TINY).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def scaled(p: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature; rows sum to one, their order stays.

    Examples
    --------
    >>> scaled(np.array([[0.8, 0.2]]), 2.0).round(2).tolist()
    [[0.67, 0.33]]
    """
    logits = np.log(np.asarray(p, dtype=np.float64) + TINY) / temperature
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


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


def threshold(sure: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    """The confidence from which on answers are given; see the module."""
    points = curve(sure, right)
    everything = float(points["risk"].iloc[-1])
    enough = points["coverage"] * len(sure) >= LEAST_CLIPS
    good = points[enough & (points["risk"] <= (1 - FEWER_WRONG) * everything)]
    if not len(good) or not everything:
        return {"threshold": None, "coverage": 1.0, "risk": everything, "risk_of_all": everything}
    return {**good.iloc[-1].astype(float).to_dict(), "risk_of_all": everything}


def known(card_facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of confidence; empty for nets without validation clips, and those saved before it was kept."""
    return dict(card_facts.get("confidence", {}))
