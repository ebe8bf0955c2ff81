"""Do probabilities mean what they say? Expected calibration error, reliability, and one temperature.

The temperature makes the mean log-loss as small as it can be on validation clips, never on test clips
(Guo et al. 2017, arXiv:1706.04599): an overconfident net has one above 1. It changes no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

TEMPERATURES = (0.25, 8.0)  # where it is looked for
TINY = 1e-9
CALIBRATION = ["n_clips", "n_folds", "temperature", "ECE", "ECE_scaled", "log_loss", "log_loss_scaled"]


def temperature(p: np.ndarray, truth: np.ndarray) -> float:
    """Temperature with the least mean log-loss.

    Parameters
    ----------
    p : np.ndarray [shape=(n_clips, n_classes)]
    truth : np.ndarray [shape=(n_clips,)]
        Position of the true class.

    Examples
    --------
    >>> p, truth = np.array([[0.99, 0.01]] * 3), np.array([0, 0, 1])  # sure of what is right twice in three
    >>> temperature(p, truth) > 3
    True
    """

    def loss(log_t: float) -> float:
        return log_loss(scaled(p, np.exp(log_t)), truth)

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


def log_loss(p: np.ndarray, truth: np.ndarray) -> float:
    """Mean of −ln of the probability of the true class, in nats."""
    return float(-np.log(p[np.arange(len(p)), truth] + TINY).mean())


def reliability(sure: np.ndarray, right: np.ndarray, *, n_bins: int = 10) -> pd.DataFrame:
    """How often answers are right, by how sure they are.

    Parameters
    ----------
    sure : np.ndarray [shape=(n_clips,)]
        Probability of the answer, 0 … 1.
    right : np.ndarray [shape=(n_clips,), dtype=bool]
    n_bins : int
        Bins of equal width between 0 and 1; empty ones have no row.

    Returns
    -------
    pd.DataFrame
        ``bin, sure`` (mean), ``right`` (share) and ``n`` clips.

    Examples
    --------
    >>> reliability(np.array([0.95, 0.85, 0.55]), np.array([True, False, True]), n_bins=2).round(2).values.tolist()
    [[1.0, 0.78, 0.67, 3.0]]
    """
    bins = np.minimum((np.asarray(sure) * n_bins).astype(int), n_bins - 1)
    table = pd.DataFrame({"bin": bins, "sure": sure, "right": np.asarray(right, dtype=float)})
    return table.groupby("bin").agg(sure=("sure", "mean"), right=("right", "mean"), n=("sure", "size")).reset_index()


def ece(sure: np.ndarray, right: np.ndarray, *, n_bins: int = 10) -> float:
    """Expected calibration error, 0 … 1: the mean distance of both columns of :func:`reliability`, weighed by clips
    (Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602).

    Examples
    --------
    >>> ece(np.array([0.8] * 10), np.array([True] * 5 + [False] * 5))
    0.3
    """
    bins = reliability(sure, right, n_bins=n_bins)
    return round(float((bins["n"] * (bins["sure"] - bins["right"]).abs()).sum() / bins["n"].sum()), 12)


def positions(table: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [shape=(n_clips, n_labels)] and the place of the true class [shape=(n_clips,)] of predictions."""
    p = table[[f"p_{label}" for label in labels]].to_numpy(dtype=np.float64)
    return p, table["y_true"].map({label: i for i, label in enumerate(labels)}).to_numpy(dtype=int)


def validations(found: Mapping[tuple[int, int], Path]) -> dict[tuple[int, int], pd.DataFrame]:
    """Validation answers of trainings, by seed and fold, from :func:`artefacts.find`.

    Nets that validated on no clip, and models that train on all clips of a fold, have none.
    """
    files = {key: folder / "validation.parquet" for key, folder in found.items()}
    tables = {key: pd.read_parquet(file) for key, file in files.items() if file.is_file()}
    return {key: table for key, table in tables.items() if len(table)}


def calibrated(
    predictions: pd.DataFrame, held: Mapping[tuple[int, int], pd.DataFrame], labels: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probabilities of test clips at the temperature that the validation clips of the same fold and seed ask for.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one system.
    held : mapping
        From :func:`validations`; folds without an entry are left out.
    labels : sequence of str

    Returns
    -------
    clips, temperatures : pd.DataFrame
        ``seed, fold, right, sure, sure_scaled, loss, loss_scaled`` of each answer, the losses in nats; and ``seed,
        fold, temperature, n_validation``.
    """
    parts, found = [], []
    for (seed, fold), part in predictions.groupby(["seed", "fold"]):
        if (seed, fold) not in held:
            continue
        t = temperature(*positions(held[seed, fold], labels))
        p, truth = positions(part, labels)
        other, at = scaled(p, t), (np.arange(len(p)), truth)
        losses = {"loss": -np.log(p[at] + TINY), "loss_scaled": -np.log(other[at] + TINY)}
        known = {"seed": seed, "fold": fold, "right": p.argmax(1) == truth, "sure": p.max(1)}
        parts.append(pd.DataFrame(known | {"sure_scaled": other.max(1)} | losses))
        found.append({"seed": seed, "fold": fold, "temperature": t, "n_validation": len(held[seed, fold])})
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()), pd.DataFrame(found)


def calibration(clips: pd.DataFrame, temperatures: pd.DataFrame, *, n_bins: int = 10) -> dict[str, float]:
    """One row of numbers from what :func:`calibrated` returns: :data:`CALIBRATION`."""
    right = clips["right"].to_numpy()
    errors = {
        name: ece(clips[column].to_numpy(), right, n_bins=n_bins)
        for name, column in (("ECE", "sure"), ("ECE_scaled", "sure_scaled"))
    }
    losses = {"log_loss": float(clips["loss"].mean()), "log_loss_scaled": float(clips["loss_scaled"].mean())}
    sizes = {"n_clips": len(clips), "n_folds": len(temperatures)}
    return sizes | {"temperature": float(temperatures["temperature"].mean())} | errors | losses
