"""Two questions about intervals: are two models different, and how far can an interval of few speakers be trusted?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.optimize
from scipy.special import expit

from ser_utils import study
from ser_utils.evaluation.predictions import SYSTEM, TASK
from ser_utils.evaluation.results import SPEAKER_NORM
from ser_utils.evaluation.scores import classes, limits, metrics, n_speakers, resampled, speaker_counts

HOW = [name for name in SYSTEM if name not in TASK]  # what tells the systems of one task apart
KINDS = ("speakers", "middle", "clips")
DIFFERENCE = ["UAR", "difference", "ci_low", "ci_high", "n_clips", "n_speakers"]


def difference(
    a: pd.DataFrame, b: pd.DataFrame, *, n_resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """UAR of `a` minus UAR of `b` with its interval: both meet the same draws of speakers.

    Overlap of two models' own intervals does not show that they are equal; this interval decides. What makes a speaker
    hard for both models cancels in it.

    Parameters
    ----------
    a, b : pd.DataFrame
        Predictions of one system each; clips that only one of them holds are left out.
    n_resamples : int
    level : float
        Coverage, 0 … 1.
    seed : int

    Returns
    -------
    value, low, high : float
        −1 … 1; low and high are NaN for one speaker.

    Raises
    ------
    UserError
        When the two have no clip in common.

    Examples
    --------
    >>> b = pd.DataFrame({"clip_id": list("pqrs"), "speaker": ["x", "x", "y", "y"], "y_true": ["sad", "happy"] * 2})
    >>> difference(b.assign(y_pred=b["y_true"]), b.assign(y_pred="sad"))
    (0.5, 0.5, 0.5)
    """
    shared = set(a["clip_id"]) & set(b["clip_id"])
    if not shared:
        raise study.UserError("the two models share no clip, so they cannot be compared; score both on the same clips")
    a, b = (part[part["clip_id"].isin(shared)] for part in (a, b))
    labels = classes(a["y_true"], a["y_pred"], b["y_pred"])
    counts = [speaker_counts(part, labels) for part in (a, b)]
    value = _gap(*(part.sum(axis=0) for part in counts), labels)
    if len(counts[0]) < 2:
        return float(value), np.nan, np.nan
    pairs = resampled(np.stack(counts, axis=1), n_resamples=n_resamples, seed=seed)
    draws = _gap(pairs[:, 0], pairs[:, 1], labels)
    low, high = limits(float(value), draws, len(counts[0]), level=level, share=False)
    return float(value), low, high


def _gap(a: np.ndarray, b: np.ndarray, labels: list[str]) -> np.ndarray:
    return metrics(a, labels)["UAR"] - metrics(b, labels)["UAR"]


def differences(
    predictions: pd.DataFrame, *, condition: str = "clean", n_resamples: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Every system against the best of its task by UAR, see :func:`difference`; a system that needs other clips of the
    test speaker (:func:`knows_speaker`) is not called best.

    Returns
    -------
    pd.DataFrame
        ``corpus … condition, UAR, difference, ci_low, ci_high, n_clips, n_speakers``, best first; the best itself is
        left out, and a task with one system has no row. A difference is negative where the system is worse.
    """
    rows = []
    for task, group in predictions[predictions["condition"] == condition].groupby(TASK, sort=True):
        systems = sorted(((_uar(part), how, part) for how, part in group.groupby(HOW)), key=lambda s: (-s[0], s[1]))
        fair = [part for _, _, part in systems if not part["features"].iloc[0].endswith(SPEAKER_NORM)]
        best = fair[0] if fair else systems[0][2]
        for value, how, part in systems:
            if part is best:
                continue
            gap = difference(part, best, n_resamples=n_resamples, seed=seed)
            clips = part[part["clip_id"].isin(best["clip_id"])]
            rows.append([*task, *how, value, *gap, clips["clip_id"].nunique(), n_speakers(clips)])
    return pd.DataFrame(rows, columns=[*TASK, *HOW, *DIFFERENCE])


def _uar(predictions: pd.DataFrame) -> float:
    labels = classes(predictions["y_true"], predictions["y_pred"])
    return float(metrics(speaker_counts(predictions, labels).sum(axis=0), labels)["UAR"])


def coverage(
    n_speakers: int,
    *,
    kind: str = "speakers",
    score: float = 0.5,
    clips: int = 56,
    spread: float = 1.0,
    level: float = 0.95,
    n_trials: int = 2000,
    n_resamples: int = 2000,
    seed: int = 0,
) -> float:
    """How often an interval holds the true score, in a simulation in which that score is known.

    Each trial draws a corpus: a speaker's chance of being understood has a logit from a normal distribution, and each
    of the speaker's clips is understood with that chance. The classes are of equal size, so the score is the mean over
    speakers.

    Parameters
    ----------
    n_speakers : int
        2 or more.
    kind : {"speakers", "middle", "clips"}
        The interval of :func:`bootstrap`; the middle of the draws over speakers, as most software gives it; what one
        gets who takes the clips for independent and draws them.
    score : float
        The true one, 0 … 1.
    clips : int
        Per speaker.
    spread : float
        Standard deviation over speakers, in logits.
    level : float
        Nominal coverage, 0 … 1.
    n_trials, n_resamples, seed : int

    Returns
    -------
    float
        Share of the trials whose interval holds the true score.

    Examples
    --------
    >>> [round(coverage(4, kind=kind, n_trials=500), 1) for kind in ("speakers", "middle", "clips")]
    [0.9, 0.8, 0.4]
    """
    if kind not in KINDS:
        raise study.UserError(f"kind of interval '{kind}' is unknown; use one of {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    chance = expit(_centre(score, spread) + rng.normal(0, spread, (n_trials, n_speakers)))
    right = rng.binomial(clips, chance) / clips
    values, n_clips = right.mean(axis=1), n_speakers * clips
    if kind == "clips":  # how many of n drawn clips are right follows a binomial distribution
        draws = rng.binomial(n_clips, values, (n_resamples, n_trials)) / n_clips
    else:
        draws = resampled(right.T, n_resamples=n_resamples, seed=seed) / n_speakers
    if kind == "speakers":
        low, high = np.array([limits(v, d, n_speakers, level=level) for v, d in zip(values, draws.T, strict=True)]).T
    else:
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float(np.mean((low <= score) & (score <= high)))


def _centre(score: float, spread: float) -> float:
    """Mean logit of speakers whose mean chance is `score`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    return float(scipy.optimize.brentq(lambda at: weights @ expit(at + spread * nodes) - score, -20, 20))
