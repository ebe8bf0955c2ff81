"""Is one system better than another on the same clips? A test that swaps whole speakers, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.evaluation.scores import classes, speaker_counts

MOST = 12  # speakers up to which every swap is tried
TIE = 1e-12


def swap_test(a: pd.DataFrame, b: pd.DataFrame, *, n_swaps: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value that two systems have the same UAR, from swapping their answers speaker by speaker.

    If both were equal, it would not matter which of them gave the answers for a speaker. The p-value is the share of
    swaps with a difference as large as the one that is found; all swaps are tried for up to :data:`MOST` speakers. With
    n speakers it cannot fall below 2 / 2ⁿ: five speakers never give 0.05.

    Parameters
    ----------
    a, b : pd.DataFrame
        Predictions of one system each; clips that only one of them holds are left out.
    n_swaps : int
        Draws where there are more speakers.
    seed : int

    Returns
    -------
    float
        Above 0 up to 1.

    Raises
    ------
    UserError
        When the two have no clip in common.

    References
    ----------
    Fisher: The design of experiments, section 21. 1935. Good: Permutation, parametric and bootstrap tests of
    hypotheses. 2005. doi:10.1007/b138696

    Examples
    --------
    >>> b = pd.DataFrame({"clip_id": list("pqrs"), "speaker": ["x", "x", "y", "y"], "y_true": ["sad", "happy"] * 2})
    >>> swap_test(b.assign(y_pred=b["y_true"]), b.assign(y_pred="sad"))
    0.5
    """
    shared = set(a["clip_id"]) & set(b["clip_id"])
    if not shared:
        raise study.UserError("the two systems share no clip, so they cannot be compared; score both on the same clips")
    a, b = (part[part["clip_id"].isin(shared)] for part in (a, b))
    labels = classes(a["y_true"], a["y_pred"], b["y_pred"])
    gain = _gains(a, labels) - _gains(b, labels)
    signs = _signs(len(gain), n_swaps, seed)
    return float(np.mean(np.abs(signs @ gain) >= abs(gain.sum()) - TIE))


def _gains(predictions: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """What each speaker adds to the UAR; the support of a class is the same for every system."""
    counts = speaker_counts(predictions, labels)
    support = counts.sum(axis=(0, 2))
    kept = support > 0
    hits = np.diagonal(counts, axis1=1, axis2=2)[:, kept] / support[kept]
    return hits.mean(axis=1)


def _signs(n: int, n_swaps: int, seed: int) -> np.ndarray:
    """Swaps [shape=(n_swaps, n)]; the first one swaps nobody."""
    if n <= MOST:
        return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_swaps, n))
    drawn[0] = 1.0
    return drawn


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P-values of several tests, raised so that the chance of one false alarm among them stays below their level.

    Holm 1979, https://www.jstor.org/stable/4615733. Holds however the tests depend on each other.

    Parameters
    ----------
    p_values : sequence of float
        0 … 1; NaN stays, and does not count.

    Returns
    -------
    np.ndarray [shape=(n,)]
        In the same order.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    out = np.full(len(p), np.nan)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return out
