"""A leak test: where every emotion says the same words, a model that reads the words alone must be at chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.evaluation.scores import bootstrap, metrics, speaker_counts
from ser_utils.splits import OFFICIAL, Fold
from ser_utils.text.linear import cross_validate, predictions_table
from ser_utils.text.tables import same_words


@dataclass(frozen=True)
class Chance:
    """What a model that reads the words alone scores."""

    predictions: pd.DataFrame = dataclasses.field(repr=False)
    uar: float
    ci_low: float
    ci_high: float
    chance: float  # 1 / number of emotions
    n_clips: int
    n_speakers: int

    @property
    def passed(self) -> bool:
        """Whether chance lies within the interval, but for rounding; of one speaker, whether it is the score."""
        low, high = (self.uar, self.uar) if np.isnan(self.ci_low) else (self.ci_low, self.ci_high)
        return low - 1e-9 <= self.chance <= high + 1e-9


def chance_check(
    manifest: pd.DataFrame,
    folds: Sequence[Fold],
    labels: Sequence[str],
    *,
    words: str = "same",
    cache: Path,
    allow: Collection[str] = (),
    jobs: int | None = None,
) -> Chance:
    """TF-IDF and a linear model on the folds of a corpus, scored where words can say nothing.

    With ``words="same"`` the clips are those of :func:`same_words`, whose UAR is exactly chance for anything that is a
    function of the words of one clip: another score means that the text, the folds or the scoring carry something else.
    With ``"all"`` every clip with a text counts; a score above chance then shows that a corpus says some sentences more
    often in some emotions, which acoustic models can learn as well.

    Parameters
    ----------
    manifest : pd.DataFrame
        Clips of one corpus: ``clip_id, corpus, speaker, emotion, sha256, text``.
    folds : sequence of Fold
        Of all its clips. Those that lose all clips of a part are left out: their test speakers say no such sentence.
    labels : sequence of str
    words : str
        ``same`` or ``all``.
    cache, allow, jobs
        As for :func:`cross_validate`.

    Raises
    ------
    study.UserError
        When no speaker says a sentence in every emotion, or every fold loses all clips of a part.
    """
    if words not in ("same", "all"):
        raise study.UserError(f"words '{words}' is unknown; use same or all")
    clips = same_words(manifest) if words == "same" else manifest[manifest["text"] != ""]
    if clips.empty:
        raise study.UserError(
            f"no speaker of {manifest['corpus'].iloc[0]} says a sentence in every emotion; use words all, whose score "
            "may lie above chance"
        )
    kept = set(clips["clip_id"])
    cut = [
        dataclasses.replace(fold, **{part: _within(getattr(fold, part), kept) for part in OFFICIAL}) for fold in folds
    ]
    cut = [fold for fold in cut if all(len(getattr(fold, part)) for part in OFFICIAL)]
    if not cut:
        raise study.UserError(
            f"every fold of {manifest['corpus'].iloc[0]} loses all clips of a part with words '{words}'; use words all"
        )
    results = cross_validate(clips, cut, labels, cache=cache, allow=allow, jobs=jobs)
    return _score(predictions_table(results), labels)


def _within(ids: np.ndarray, kept: set[str]) -> np.ndarray:
    return np.array([clip for clip in ids if clip in kept], dtype=str)


def _score(predictions: pd.DataFrame, labels: Sequence[str]) -> Chance:
    counts = speaker_counts(predictions, labels)
    low, high = bootstrap(counts, labels)["UAR"]
    value = float(metrics(counts.sum(axis=0), labels)["UAR"])
    n_classes = predictions["y_true"].nunique()
    return Chance(predictions, value, low, high, 1 / n_classes, len(predictions), predictions["speaker"].nunique())
