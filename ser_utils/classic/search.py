"""One setting or many: fits a model, scores rows, and finds a setting by inner folds of the training clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import BaseEstimator
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline

from ser_utils.classic import estimators
from ser_utils.classic.clips import Clips


def fit(name: str, data: Clips, rows: np.ndarray, setting: Mapping[str, Any], seed: int) -> Pipeline:
    """A model with one setting, fitted on some rows."""
    chosen = estimators.model(name)
    steps = estimators.front(chosen, scaled=data.scaled).steps
    pipeline = Pipeline([*steps, ("model", chosen.head(seed).set_params(**setting))])
    return pipeline.fit(data.x[rows], data.clips["emotion"].to_numpy(dtype=str)[rows])


def score(name: str, fitted: BaseEstimator, x: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Decision values or log probabilities [shape=(n_rows, n_labels)]; −inf for a class that training lacked."""
    if estimators.model(name).margins:
        values = fitted.decision_function(x)
        values = np.column_stack([-values, values]) if values.ndim == 1 else values
    else:
        values = np.log(np.maximum(fitted.predict_proba(x), 1e-12))
    scores = np.full((len(x), len(labels)), -np.inf)
    scores[:, [list(labels).index(label) for label in fitted.classes_]] = values
    return scores


@dataclass(frozen=True)
class Found:
    """What a search chose."""

    setting: Mapping[str, Any]
    unit: str  # what the inner folds kept apart: speaker, sentence or clip; empty without a search
    uar: float  # of the inner folds, 0 … 1
    temperature: float  # by which decision values are divided before the softmax
    tried: pd.DataFrame

    @classmethod
    def default(cls, name: str) -> Found:
        return cls(estimators.model(name).default, "", float("nan"), 1.0, pd.DataFrame(columns=["setting", "uar"]))


def find_setting(name: str, data: Clips, rows: np.ndarray, *, seed: int, n_inner: int) -> Found:
    """Setting with the best UAR over inner folds of the training rows; no other row is seen.

    The answers of all inner folds are scored together, since one of them may lack an emotion. Decision values of the
    best setting also give the temperature that makes them probabilities [1]_: one number, which cannot change which
    class is largest.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks. ICML 2017. arXiv:1706.04599
    """
    chosen = estimators.model(name)
    unit, parts = inner_folds(data.clips.iloc[rows], n_inner, seed)
    truth = data.clips["emotion"].to_numpy(dtype=str)[rows]
    scores = np.full((len(chosen.grid), len(rows), len(data.labels)), -np.inf)
    for train, held_out in parts:
        steps = estimators.front(chosen, scaled=data.scaled)
        known, unknown = steps.fit_transform(data.x[rows[train]]), steps.transform(data.x[rows[held_out]])
        for i, setting in enumerate(chosen.grid):
            head = chosen.head(seed).set_params(**setting).fit(known, truth[train])
            scores[i, held_out] = score(name, head, unknown, data.labels)
    answers = np.array(data.labels)[scores.argmax(axis=2)]
    uars = [balanced_accuracy_score(truth, answer) for answer in answers]
    best = int(np.argmax(uars))
    warmth = temperature(scores[best], truth, data.labels) if chosen.margins else 1.0
    tried = pd.DataFrame({"setting": [json.dumps(setting) for setting in chosen.grid], "uar": uars})
    return Found(chosen.grid[best], unit, float(uars[best]), warmth, tried)


def inner_folds(clips: pd.DataFrame, n: int, seed: int) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    """At most `n` inner folds, and what they keep apart: speakers, else sentences, else only clips."""
    for unit in ("speaker", "sentence"):
        groups = clips[unit].to_numpy(dtype=str) if unit in clips else np.array([""])
        n_groups = len(np.unique(groups))
        if n_groups >= 2:
            cut = GroupKFold(min(n, n_groups), shuffle=True, random_state=seed)
            return unit, list(cut.split(groups, groups=groups))
    cut = StratifiedKFold(n, shuffle=True, random_state=seed)
    return "clip", list(cut.split(clips, clips["emotion"]))


def temperature(scores: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> float:
    """Divisor of decision values [shape=(n_rows, n_labels)] whose softmax fits the true classes best, by log loss."""
    columns = np.array([list(labels).index(name) for name in truth])
    known = np.isfinite(scores[np.arange(len(scores)), columns])
    scores, columns = scores[known], columns[known]

    def loss(log_temperature: float) -> float:
        return -log_softmax(scores / np.exp(log_temperature), axis=1)[np.arange(len(scores)), columns].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))
