"""Stacking: one answer out of the probabilities of several systems, such as classic, deep and pretrained ones.

What may the second stage be fitted on? Predictions of other folds' test clips will not do: the nets that made them were
trained on this fold's test speakers, whose ways are then in the inputs of the second stage. Honest are the predictions
that a fold's own base models give the fold's *validation* clips: their speakers are neither trained nor tested on in
it. So a fold's second stage is fitted on these alone, a few hundred clips, and stays small (Wolpert 1992,
doi:10.1016/S0893-6080(05)80023-1; Breiman 1996, doi:10.1007/BF00117832).

Two things remain, both on the safe side of the test clips. A net's epoch was chosen on the validation clips, which
flatters its predictions of them, so that it may weigh a little too much. Classic models train on the validation clips
in the end; for the second stage they predict them from :func:`validation_folds`, with fewer training clips than the
model that answers in the test.

The plain mean of the probabilities fits nothing at all: :func:`ser_utils.evaluation.ensemble` with ``over="system"``.
It is the one to beat.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from ser_utils import splits, study
from ser_utils.evaluation.predictions import TASK
from ser_utils.splits import Fold

MEMBER = ["model", "features", "train_regime"]  # what tells the systems apart
METHODS = ("weights", "logistic")
FLOOR = 1e-4  # least probability before a logarithm
TOWARDS_EQUAL = 0.02  # pull of the weights towards the plain mean, in nats for weights that differ as 1 from 0


class Stacked(NamedTuple):
    """What :func:`stack` returns."""

    predictions: pd.DataFrame  # in the form of the test predictions
    weights: pd.DataFrame  # fold, model, features, train_regime, weight


def validation_folds(folds: Sequence[Fold]) -> list[Fold]:
    """Folds that train as before and are tested on their validation clips: for models that have no other use of these.

    Examples
    --------
    >>> fold = Fold(0, np.array(["a"]), np.array(["b"]), np.array(["c"]))
    >>> validation_folds([fold])[0].test.tolist()
    ['b']
    """
    return [Fold(fold.index, fold.train, fold.validation[:0], fold.validation) for fold in folds]


def stack(
    test: pd.DataFrame,
    validation: pd.DataFrame,
    *,
    name: str,
    method: str = "weights",
    allow: Collection[str] = (),
) -> Stacked:
    """One answer out of several, by a second stage per fold that is fitted on the fold's validation clips.

    Seeds of a system are averaged first. The second stage of the clean validation clips serves every condition of the
    test clips.

    Parameters
    ----------
    test : pd.DataFrame
        Predictions of the systems, and of nothing else, as :func:`ser_utils.evaluation.save_predictions` takes them:
        one task.
    validation : pd.DataFrame
        Predictions of the validation clips by the same systems in the same folds: ``fold, clip_id, speaker, y_true,
        p_<emotion>…, model, features, train_regime``; a clip may stand in several folds.
    name : str
        Of the result, in lower case, e.g. ``stack(logistic+crnn)``.
    method : str
        ``weights``: one weight per system for the mean of the probabilities, by log loss, all emotions weighing the
        same, drawn towards equal weights. ``logistic``: logistic regression on the logarithms of all probabilities.
    allow : collection of str
        ``speaker`` where the split has known speakers by its nature.

    Raises
    ------
    splits.LeakError
        When a validation clip, or its speaker, is tested in the same fold.
    study.UserError
        For an unknown method, fewer than two systems, several tasks, or systems that did not predict the same clips.
    """
    if method not in METHODS:
        raise study.UserError(f"method '{method}' is unknown; use one of {', '.join(METHODS)}")
    if len(test[TASK].drop_duplicates()) != 1:
        raise study.UserError("stacking works on one corpus and split at a time; pick their rows first")
    labels = [column.removeprefix("p_") for column in test if column.startswith("p_") and test[column].notna().any()]
    parts, weights = [], []
    for fold, rows in test.groupby("fold", sort=True):
        known = validation[validation["fold"] == fold]
        _check_apart(fold, rows, known, allow)
        members, inputs, clips = _aligned(known, labels, f"validation clips of fold {fold}")
        stage = _Stage(inputs, clips["y_true"].to_numpy(dtype=str), labels, method)
        weights.append(members.assign(fold=fold, weight=stage.weights))
        for condition, cell in rows.groupby("condition", sort=False):
            ours, inputs, clips = _aligned(cell, labels, f"test clips of fold {fold}, {condition}")
            if not ours.equals(members):
                raise study.UserError(
                    f"fold {fold}: the systems of the test ({_names(ours)}) are not those of the validation clips "
                    f"({_names(members)}); give the same"
                )
            parts.append(_answers(clips, stage.predict(inputs), labels, members).assign(model=name))
    return Stacked(pd.concat(parts, ignore_index=True), pd.concat(weights, ignore_index=True))


def _names(members: pd.DataFrame) -> str:
    return ", ".join(members.agg("/".join, axis=1))


def _check_apart(fold: int, test: pd.DataFrame, validation: pd.DataFrame, allow: Collection[str]) -> None:
    if validation.empty:
        raise study.UserError(f"fold {fold} has no validation predictions; save them with the test predictions")
    for kind, column in (("clip", "clip_id"), ("speaker", "speaker")):
        shared = set(test[column]) & set(validation[column])
        if shared and kind not in allow:
            raise splits.LeakError(
                f"fold {fold}, leak '{kind}': the second stage would be fitted on {min(shared)}, which is tested"
            )


def _aligned(rows: pd.DataFrame, labels: Sequence[str], where: str) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Systems, their probabilities [shape=(n_systems, n_clips, n_labels)], and the clips, in one order."""
    columns = [f"p_{label}" for label in labels]
    means = rows.fillna(dict.fromkeys(columns, 0.0)).groupby([*MEMBER, "clip_id"], sort=True)[columns].mean()
    members = means.index.droplevel("clip_id").unique()
    clips = rows.drop_duplicates("clip_id").sort_values("clip_id", ignore_index=True)
    if len(members) < 2 or len(means) != len(members) * len(clips):
        raise study.UserError(
            f"{where}: {len(members)} systems with {len(means)} predictions of {len(clips)} clips; give two systems or "
            "more that predicted the same clips"
        )
    values = means.to_numpy().reshape(len(members), len(clips), len(labels))
    return members.to_frame(index=False), values, clips


class _Stage:
    """Second stage of one fold."""

    def __init__(self, inputs: np.ndarray, truth: np.ndarray, labels: Sequence[str], method: str) -> None:
        self.labels, self.head = list(labels), None
        if method == "weights":
            self.weights = _weights(inputs, np.array([self.labels.index(name) for name in truth]))
        else:
            self.head = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
            self.head.fit(_logarithms(inputs), truth)
            size = np.abs(self.head.coef_).sum(axis=0).reshape(len(inputs), -1).sum(axis=1)
            self.weights = size / size.sum()

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities [shape=(n_clips, n_labels)]."""
        if self.head is None:
            return np.tensordot(self.weights, inputs, axes=1)
        found = np.zeros(inputs.shape[1:])
        found[:, [self.labels.index(name) for name in self.head.classes_]] = self.head.predict_proba(
            _logarithms(inputs)
        )
        return found


def _logarithms(inputs: np.ndarray) -> np.ndarray:
    return np.concatenate(list(np.log(np.maximum(inputs, FLOOR))), axis=1)


def _weights(inputs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights of the systems [shape=(n_systems,)], 0 … 1, summing to 1."""
    chances = np.maximum(inputs[:, np.arange(len(truth)), truth], FLOOR)  # that each system gave the truth
    share = 1 / np.bincount(truth)[truth]
    share = share / share.sum()
    equal = 1 / len(inputs)

    def loss(free: np.ndarray) -> float:
        weights = softmax(free)
        pull = TOWARDS_EQUAL * np.square(weights - equal).sum() / (1 - equal)
        return float(-(share * np.log(weights @ chances)).sum() + pull)

    return softmax(minimize(loss, np.zeros(len(inputs)), method="L-BFGS-B").x)


def _answers(
    clips: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str], members: pd.DataFrame
) -> pd.DataFrame:
    made = clips.copy()
    columns = [f"p_{label}" for label in labels]
    made[columns] = probabilities / probabilities.sum(axis=1, keepdims=True)
    made["y_pred"] = np.array(labels)[probabilities.argmax(axis=1)]
    made["seed"] = 0
    differ = {column: "several" for column in MEMBER if len(set(members[column])) > 1}
    return made.assign(**differ)
