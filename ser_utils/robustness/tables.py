"""What the predictions of a bench say: curves over SNR, tests against no denoiser, what is won back, confusions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_utils import evaluation
from ser_utils.noise import Condition
from ser_utils.robustness.bench import NONE

SYSTEM = ["corpus", "model", "train_regime", "noise", "snr_db", "denoiser"]


def spelled(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table with its condition in parts: ``noise`` (empty for clean), ``snr_db`` (infinite), ``denoiser``
    (``none``).

    Examples
    --------
    >>> spelled(pd.DataFrame({"condition": ["noise=rain;snr_db=5;denoiser=dtln"]})).iloc[0].tolist()[1:]
    ['rain', 5.0, 'dtln']
    """
    parsed = {text: Condition.parse(text) for text in predictions["condition"].unique()}
    given = predictions["condition"].map(parsed)
    return predictions.assign(
        noise=[each.noise for each in given],
        snr_db=[float(each.snr_db) for each in given],
        denoiser=[each.denoiser or NONE for each in given],
    )


def curves(predictions: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """UAR of every system with the 95 % interval over speakers.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one or several benches.
    n_resamples, seed : int

    Returns
    -------
    pd.DataFrame
        ``corpus, model, train_regime, noise, snr_db, denoiser, UAR, ci_low, ci_high, n_clips, n_speakers``.
    """
    rows = []
    for key, group in spelled(predictions).groupby(SYSTEM, sort=True):
        labels = evaluation.classes(group["y_true"], group["y_pred"])
        counts = evaluation.speaker_counts(group, labels)
        low, high = evaluation.bootstrap(counts, labels, n_resamples=n_resamples, seed=seed)["UAR"]
        value = float(evaluation.metrics(counts.sum(axis=0), labels)["UAR"])
        n_speakers = len(set(group["speaker"]) - {""})
        rows.append([*key, value, low, high, group["clip_id"].nunique(), n_speakers])
    return pd.DataFrame(rows, columns=[*SYSTEM, "UAR", "ci_low", "ci_high", "n_clips", "n_speakers"])


def against_none(predictions: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Every denoiser against none, for the same model, noise and SNR.

    Holm's correction counts all denoisers at one SNR of a corpus, model and regime together, over all noises.

    Returns
    -------
    pd.DataFrame
        ``corpus … denoiser, gain`` (UAR), ``ci_low, ci_high, p, p_holm, n_speakers``.
    """
    rows = []
    task = [name for name in SYSTEM if name != "denoiser"]
    for key, group in spelled(predictions).groupby(task, sort=True):
        none = group[group["denoiser"] == NONE]
        for denoiser, part in group[group["denoiser"] != NONE].groupby("denoiser") if len(none) else ():
            gap = evaluation.difference(part, none, n_resamples=n_resamples, seed=seed)
            p = evaluation.swap_test(part, none, seed=seed)
            rows.append([*key, denoiser, *gap, p, len(set(part["speaker"]) - {""})])
    table = pd.DataFrame(rows, columns=[*SYSTEM, "gain", "ci_low", "ci_high", "p", "n_speakers"])
    family = ["corpus", "model", "train_regime", "snr_db"]
    table["p_holm"] = table.groupby(family)["p"].transform(evaluation.holm) if len(table) else []
    return table


def recovered(scores: pd.DataFrame, *, noise: str, snr_db: float) -> pd.DataFrame:
    """How much of the UAR that noise takes from a model trained on clean speech each regime and denoiser brings back.

    Parameters
    ----------
    scores : pd.DataFrame
        From :func:`curves`.
    noise : str
    snr_db : float

    Returns
    -------
    pd.DataFrame
        ``corpus, model, train_regime, denoiser, clean, noisy, UAR`` (of the row, in noise), ``share`` (of the loss; NaN
        where noise took nothing), ``clean_change`` (UAR of the row on clean speech, less that of the model trained on
        clean speech without a denoiser), best first within a corpus and model.
    """
    rows = []
    for (corpus, model), part in scores.groupby(["corpus", "model"], sort=True):
        at = part.set_index(["train_regime", "noise", "snr_db", "denoiser"])["UAR"]
        clean, noisy = at["clean", "", np.inf, NONE], at["clean", noise, snr_db, NONE]
        here = [(regime, denoiser) for regime, *sound, denoiser in at.index if sound == [noise, snr_db]]
        for regime, denoiser in here:
            value = at[regime, noise, snr_db, denoiser]
            share = (value - noisy) / (clean - noisy) if clean > noisy else np.nan
            change = at.get((regime, "", np.inf, denoiser), np.nan) - clean
            rows.append([corpus, model, regime, denoiser, clean, noisy, value, share, change])
    columns = ["corpus", "model", "train_regime", "denoiser", "clean", "noisy", "UAR", "share", "clean_change"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["corpus", "model", "UAR"], ascending=[True, True, False], kind="stable", ignore_index=True
    )


def confusions(predictions: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """Recall of each emotion, and what it is taken for most often when it is missed.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one system.
    emotions : sequence of str

    Returns
    -------
    pd.DataFrame
        ``emotion, recall, taken_for, share`` (of its clips).
    """
    counts = evaluation.confusion(predictions["y_true"], predictions["y_pred"], emotions).astype(float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    missed = shares * (1 - np.eye(len(emotions)))
    rows = []
    for i, emotion in enumerate(emotions):
        if counts[i].sum():
            most = int(missed[i].argmax())
            rows.append([emotion, shares[i, i], emotions[most] if missed[i, most] else "", missed[i, most]])
    return pd.DataFrame(rows, columns=["emotion", "recall", "taken_for", "share"])
