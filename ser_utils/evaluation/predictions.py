"""The predictions table: what it must hold, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.corpora.base import EMOTIONS

SYSTEM = ["corpus", "corpus_version", "split", "model", "features", "train_regime", "condition"]
TASK = SYSTEM[:3]  # what chance and majority depend on
VOCABULARY = ["corpus", *SYSTEM[2:]]  # lower-case words
PREDICTION_COLUMNS = ["run_id", "profile", *SYSTEM, "fold", "seed", "clip_id", "speaker", "y_true", "y_pred"]


def answers(clips: pd.DataFrame, ids: Sequence[str], probabilities: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """What a model answered some clips: ``clip_id, speaker, y_true, y_pred, p_<emotion>…``, in the order of `ids`.

    Parameters
    ----------
    clips : pd.DataFrame
        Manifest that holds these clips.
    ids : sequence of str
    probabilities : np.ndarray [shape=(n_ids, n_labels)]
    labels : sequence of str

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": ["a"], "speaker": ["s"], "emotion": ["sad"]})
    >>> answers(clips, ["a"], np.array([[0.3, 0.7]]), ["happy", "sad"])[["y_true", "y_pred"]].values.tolist()
    [['sad', 'sad']]
    """
    rows = clips.set_index("clip_id").loc[ids]
    table = pd.DataFrame({"clip_id": ids, "speaker": rows["speaker"].to_numpy(), "y_true": rows["emotion"].to_numpy()})
    table["y_pred"] = np.array(labels)[probabilities.argmax(axis=1)]
    return table.assign(**{f"p_{label}": probabilities[:, i] for i, label in enumerate(labels)})


def validate_predictions(predictions: pd.DataFrame) -> None:
    """Refuse a table that would give a wrong score.

    Raises
    ------
    UserError
        For a missing column, no rows, an empty cell, a name in upper case, an unknown emotion, probabilities that do
        not sum to 1 within 0.001, a clip predicted twice by one system and seed, or a truth that changes within a task.
    """
    missing = [name for name in PREDICTION_COLUMNS if name not in predictions]
    probabilities = [name for name in predictions if name.startswith("p_")]
    if missing or not probabilities:
        raise study.UserError(
            f"predictions lack the columns {', '.join(missing) or 'p_<emotion>'}; write the table that training returns"
        )
    if predictions.empty:
        raise study.UserError("the predictions hold no rows; run the notebook that writes them again")
    _check_names(predictions, [name.removeprefix("p_") for name in probabilities])
    total = predictions[probabilities].sum(axis=1)
    off = total[~((total - 1).abs() <= 1e-3)]
    if len(off):
        raise study.UserError(
            f"predictions: the probabilities of {_clip(predictions, off.index[0])} sum to {off.iloc[0]:.4f}, not 1; "
            "save softmax outputs, with NaN only for emotions that the corpus lacks"
        )
    _check_once(predictions)


def _check_names(predictions: pd.DataFrame, answers: Sequence[str]) -> None:
    for name in PREDICTION_COLUMNS:
        if predictions[name].isna().any():
            where = _clip(predictions, predictions.index[predictions[name].isna()][0])
            raise study.UserError(f"predictions: column {name} is empty for {where}; every prediction needs it")
    for name in VOCABULARY:
        for value in predictions[name].unique():
            if value != str(value).lower():
                raise study.UserError(
                    f"predictions: {name} is '{value}'; write it in lower case: '{str(value).lower()}'"
                )
    found = {"y_true": predictions["y_true"].unique(), "y_pred": predictions["y_pred"].unique(), "p_<emotion>": answers}
    for name, values in found.items():
        for value in sorted(set(values) - set(EMOTIONS)):
            raise study.UserError(f"predictions: {name} holds '{value}', which is not one of {', '.join(EMOTIONS)}")


def _check_once(predictions: pd.DataFrame) -> None:
    twice = predictions.duplicated([*SYSTEM, "seed", "clip_id"])
    if twice.any():
        first = predictions.index[twice][0]
        raise study.UserError(
            f"predictions: {_clip(predictions, first)} is predicted twice by model {predictions.loc[first, 'model']} "
            f"(split {predictions.loc[first, 'split']}, seed {predictions.loc[first, 'seed']}); keep one prediction"
        )
    truths = predictions.groupby([*TASK, "clip_id"])["y_true"].nunique()
    if (truths > 1).any():
        corpus, _, split, clip = truths.index[truths > 1][0]
        raise study.UserError(
            f"predictions: clip {clip} of {corpus} has {truths.max()} different true emotions in split {split}; "
            "give remapped classes a split name of their own"
        )


def _clip(predictions: pd.DataFrame, index: int) -> str:
    row = predictions.loc[index]
    return f"clip {row['clip_id']} of {row['corpus']}"


def save_predictions(predictions: pd.DataFrame, profile: str, notebook: str) -> Path:
    """Check the table and write ``reports/<profile>/predictions/<notebook>.parquet``; returns the file.

    Raises
    ------
    UserError
        When the predictions break their contract, or the disk is full.
    """
    validate_predictions(predictions)
    file = study.paths(profile).predictions / f"{notebook}.parquet"
    with study.atomic(file) as temporary:
        predictions.to_parquet(temporary, index=False)
    return file


def load_predictions(profile: str) -> pd.DataFrame:
    """Predictions of every notebook that a profile lists, checked as one table.

    What a notebook left before it was taken off the list is not read.

    Raises
    ------
    UserError
        When there are none yet, or when they break their contract.
    """
    folder = study.paths(profile).predictions
    files = [folder / f"{name}.parquet" for name in sorted(study.load_profile(profile)["notebooks"])]
    tables = [pd.read_parquet(file) for file in files if file.is_file()]
    if not tables:
        raise study.UserError(
            f"no predictions in {folder}; run a notebook that trains first: ./run_all.sh {profile} --only 04"
        )
    predictions = pd.concat(tables, ignore_index=True)
    validate_predictions(predictions)
    return predictions
