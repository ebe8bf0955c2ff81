"""The results table: every metric of every system, with its interval and the two baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.evaluation.predictions import SYSTEM, TASK, validate_predictions
from ser_utils.evaluation.scores import bootstrap, classes, metrics, n_speakers, speaker_counts

RESULT_COLUMNS = [*SYSTEM, "metric", "value", "ci_low", "ci_high", "n_clips", "n_speakers", "n_seeds", "run_id"]
BASELINES = ("chance", "majority")
SPEAKER_NORM = "+speaker_norm"  # ends the name of features that the other clips of the same speaker standardise
FEW_SPEAKERS = 10


def results_table(predictions: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Long-form results: every metric of every system with its 95 % interval, and the two baselines of every task.

    Confusion matrices of several seeds are added up before a metric is taken, so UAR, WA and recalls are the means over
    seeds. ``chance`` guesses every class equally often, ``majority`` always answers the most frequent class of the
    other folds. These trivial baselines use no sound, so one row set (condition ``clean``) serves all conditions.

    Parameters
    ----------
    predictions : pd.DataFrame
        As :func:`validate_predictions` wants it.
    n_resamples, seed : int
        Of :func:`bootstrap`.

    Returns
    -------
    pd.DataFrame with :data:`RESULT_COLUMNS`, sorted, one row per system and metric.

    Raises
    ------
    UserError
        When the predictions break their contract.
    """
    validate_predictions(predictions)
    rows = []
    for key, group in predictions.groupby(SYSTEM, sort=True):
        labels = classes(group["y_true"], group["y_pred"])
        rows += _rows(
            dict(zip(SYSTEM, key, strict=True)), group, speaker_counts(group, labels), labels, n_resamples, seed
        )
    for key, group in predictions.groupby(TASK, sort=True):
        clips = group.drop_duplicates("clip_id")
        for model, (counts, labels) in {"chance": _chance(clips), "majority": _majority(clips)}.items():
            trivial = {"model": model, "features": "none", "train_regime": "none", "condition": "clean"}
            task = dict(zip(TASK, key, strict=True))
            rows += _rows(task | trivial, clips.assign(seed=0), counts, labels, n_resamples, seed)
    return pd.DataFrame(rows, columns=RESULT_COLUMNS).sort_values(SYSTEM, kind="stable", ignore_index=True)


def _rows(
    system: dict[str, str], group: pd.DataFrame, counts: np.ndarray, labels: list[str], n_resamples: int, seed: int
) -> list[dict]:
    intervals = bootstrap(counts, labels, n_resamples=n_resamples, seed=seed)
    common = {
        "n_clips": group["clip_id"].nunique(),
        "n_speakers": n_speakers(group),
        "n_seeds": group["seed"].nunique(),
        "run_id": "+".join(sorted(group["run_id"].unique())),
    }
    return [
        system
        | {"metric": name, "value": float(value), "ci_low": intervals[name][0], "ci_high": intervals[name][1]}
        | common
        for name, value in metrics(counts.sum(axis=0), labels).items()
        if not np.isnan(value)
    ]


def _chance(clips: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Expected confusion matrices of a guess that is uniform over the classes of the task."""
    labels = classes(clips["y_true"])
    support = speaker_counts(clips.assign(y_pred=clips["y_true"]), labels).sum(axis=2, keepdims=True)
    return np.repeat(support / len(labels), len(labels), axis=2), labels


def _majority(clips: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Confusion matrices of the most frequent class of the other folds; ties go to the first in the alphabet.

    With a single fold the training labels are not among the predictions, and the test fold's own majority, the
    strongest constant answer, stands in.
    """
    labels = classes(clips["y_true"])
    answer = {}
    for fold in clips["fold"].unique():
        rest = clips.loc[clips["fold"] != fold, "y_true"]
        answer[fold] = (rest if len(rest) else clips["y_true"]).mode().sort_values().iloc[0]
    return speaker_counts(clips.assign(y_pred=clips["fold"].map(answer)), labels), labels


def uar_by(predictions: pd.DataFrame, column: str, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """UAR of every system within every value of `column`, e.g. ``speaker`` or ``gender``.

    Returns
    -------
    pd.DataFrame
        ``corpus … condition``, `column`, ``UAR, ci_low, ci_high, n_clips, n_speakers``; the interval is NaN for
        groups of one speaker.
    """
    rows = []
    for key, group in predictions.groupby([*SYSTEM, column], sort=True):
        labels = classes(group["y_true"], group["y_pred"])
        counts = speaker_counts(group, labels)
        low, high = bootstrap(counts, labels, n_resamples=n_resamples, seed=seed)["UAR"]
        value = float(metrics(counts.sum(axis=0), labels)["UAR"])
        rows.append([*key, value, low, high, group["clip_id"].nunique(), n_speakers(group)])
    return pd.DataFrame(rows, columns=[*SYSTEM, column, "UAR", "ci_low", "ci_high", "n_clips", "n_speakers"])


def headline(results: pd.DataFrame, *, condition: str = "clean") -> pd.DataFrame:
    """One row per system for people: UAR with its interval, WA and macro-F1; best first within a task, then systems
    that need other clips of the test speaker (:func:`knows_speaker`), baselines last.

    Returns
    -------
    pd.DataFrame
        ``corpus, corpus_version, split, model, features, train_regime, UAR, ci_low, ci_high, WA, macro_F1, n_clips,
        n_speakers, n_seeds, note``; ``note`` is empty unless the interval rests on too few speakers, speakers are
        unknown, or other clips of the test speaker are needed.
    """
    chosen = results[results["condition"] == condition]
    system = [name for name in SYSTEM if name != "condition"]
    wide = chosen.pivot_table(index=system, columns="metric", values="value")[["UAR", "WA", "macro_F1"]]
    rest = chosen[chosen["metric"] == "UAR"].set_index(system)[
        ["ci_low", "ci_high", "n_clips", "n_speakers", "n_seeds"]
    ]
    table = wide.join(rest).reset_index()
    known = knows_speaker(table["features"])
    table["note"] = table["n_speakers"].map(_note).mask(table["model"].isin(BASELINES), "")
    table.loc[known, "note"] = ("needs the test speaker's other clips; " + table["note"]).str.removesuffix("; ")
    order = table[TASK].assign(
        baseline=table["model"].isin(BASELINES), known=known, worse=-table["UAR"].round(9), model=table["model"]
    )
    table = table.loc[order.sort_values(list(order)).index].reset_index(drop=True)
    return table[[*system, "UAR", "ci_low", "ci_high", "WA", "macro_F1", "n_clips", "n_speakers", "n_seeds", "note"]]


def knows_speaker(features: pd.Series) -> pd.Series:
    """Whether features were standardised by the other clips of the same speaker, test speakers included.

    Examples
    --------
    >>> knows_speaker(pd.Series(["egemaps", "egemaps+speaker_norm"])).tolist()
    [False, True]
    """
    return features.str.endswith(SPEAKER_NORM)


def _note(n_speakers: int) -> str:
    if n_speakers == 0:
        return "speakers unknown: independence cannot be checked"
    if n_speakers < 2:
        return "one speaker: no interval"
    return f"interval from {n_speakers} speakers: unreliable" if n_speakers < FEW_SPEAKERS else ""


def interval_text(value: float, low: float, high: float) -> str:
    """A score as people read it; an interval without width, as that of chance, is left out.

    Examples
    --------
    >>> interval_text(0.5231, 0.4701, 0.5689), interval_text(0.125, 0.125, 0.125)
    ('0.523 [0.470, 0.569]', '0.125')
    """
    return f"{value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if high - low > 5e-4 else "")


def interval_texts(table: pd.DataFrame, value: str = "value") -> list[str]:
    """:func:`interval_text` of every row, from the columns `value`, ``ci_low`` and ``ci_high``.

    Examples
    --------
    >>> interval_texts(pd.DataFrame({"value": [0.5], "ci_low": [0.4], "ci_high": [0.6]}))
    ['0.500 [0.400, 0.600]']
    """
    return [interval_text(*row) for row in table[[value, "ci_low", "ci_high"]].itertuples(index=False)]


def save_results(results: pd.DataFrame, file: Path) -> None:
    """Write results as CSV with six decimals: equal results give equal bytes."""
    with study.atomic(file) as temporary:
        results.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n", encoding="utf-8")


def load_results(file: Path) -> pd.DataFrame:
    """Read what :func:`save_results` wrote; names and versions stay text.

    Raises
    ------
    UserError
        When the file does not exist, or lacks a column.
    """
    if not file.is_file():
        raise study.UserError(f"{file} does not exist; run notebook 09_evaluation to write it")
    text = dict.fromkeys([*SYSTEM, "metric", "run_id"], "str")
    empty = {name: [""] for name in ("value", "ci_low", "ci_high")}
    results = pd.read_csv(file, dtype=text, keep_default_na=False, na_values=empty)
    for name in RESULT_COLUMNS:
        if name not in results:
            raise study.UserError(f"{file}: column '{name}' is missing; delete the file and run its notebook again")
    return results
