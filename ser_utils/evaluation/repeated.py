"""Tests of two systems over folds and seeds, and over clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.stats

from ser_utils import study


def corrected_t(differences: Sequence[float], *, n_train: float, n_test: float) -> tuple[float, float]:
    """t test of score differences over folds and seeds, with the variance raised since their training sets overlap.

    Parameters
    ----------
    differences : sequence of float
        One per fold and seed; 2 or more.
    n_train, n_test : float
        Mean number of clips that train and that are tested.

    Returns
    -------
    t, p : float
        Two-sided; NaN where all differences are equal.

    References
    ----------
    Nadeau, Bengio: Inference for the generalization error. 2003. doi:10.1023/A:1024068626366

    Examples
    --------
    >>> t, p = corrected_t([0.02, 0.03, 0.01, 0.02], n_train=75, n_test=25)
    >>> round(t, 2), round(p, 3)
    (3.21, 0.049)
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or n_train <= 0 or n_test <= 0:
        raise study.UserError(f"a paired t test needs 2 differences or more, and clips; there are {len(values)}")
    variance = values.var(ddof=1)
    if variance < 1e-18:
        return np.nan, np.nan
    t = values.mean() / np.sqrt((1 / len(values) + n_test / n_train) * variance)
    return float(t), float(2 * scipy.stats.t.sf(abs(t), len(values) - 1))


def mcnemar(right_a: Sequence[bool], right_b: Sequence[bool]) -> tuple[int, int, float]:
    """Clips that only one of two systems answers rightly, and the exact two-sided p of McNemar (1947,
    doi:10.1007/BF02295996). Clips of one speaker resemble each other, so p is too small for speakers.

    Returns
    -------
    only_a, only_b : int
    p : float

    Examples
    --------
    >>> mcnemar([True] * 5 + [False], [False] * 5 + [True])[:2]
    (5, 1)
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise study.UserError(f"McNemar's test needs the same clips; there are {a.size} and {b.size} answers")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    return only_a, only_b, float(scipy.stats.binomtest(only_a, n).pvalue) if n else 1.0
