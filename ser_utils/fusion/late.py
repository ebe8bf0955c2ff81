"""Late fusion: the mean of what a net of the sound and a net of the text answer."""

from __future__ import annotations

import pandas as pd

from ser_utils import evaluation, study
from ser_utils.fusion.pairs import CONDITIONS

AUDIO, TEXT = "audio_only", "text_only"


def late(predictions: pd.DataFrame, *, name: str = "late") -> pd.DataFrame:
    """Mean of the probabilities of ``audio_only`` and ``text_only`` nets, each trained on its own; nothing is fitted.

    One net with two answers whose mean is trained would be another thing: the two halves make up for each other's
    mistakes in training, and neither stands alone when the other is missing.

    Parameters
    ----------
    predictions : pd.DataFrame
        Test predictions, see :func:`ser_utils.fusion.predictions_table`; rows of other nets, or of training with wrong
        texts, are not looked at.
    name : str
        What the column ``model`` says.

    Returns
    -------
    pd.DataFrame
        One row per clip, seed and condition. Where one modality is missing, the answers are those of the other.

    Raises
    ------
    study.UserError
        When one of the two nets is not there, or both did not predict the same clips.
    """
    rows = predictions[predictions["train_regime"] == "clean"]
    known = {(model, condition): part for (model, condition), part in rows.groupby(["model", "condition"])}
    for model in (AUDIO, TEXT):
        if (model, "clean") not in known:
            raise study.UserError(f"late fusion needs predictions of {model}; train it on the same folds")
    parts = []
    for condition in CONDITIONS:
        sound = [] if condition == "audio=missing" else [known[AUDIO, "clean"]]
        words = [] if condition == "text=missing" else [known.get((TEXT, condition), known[TEXT, "clean"])]
        both = pd.concat(sound + words, ignore_index=True).assign(condition=condition)
        alone = len(sound + words) == 1
        parts.append(both.assign(model=name) if alone else evaluation.ensemble(both, over="system", name=name))
    return pd.concat(parts, ignore_index=True)
