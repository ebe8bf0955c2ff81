"""What the predictions of a bench say: curves over SNR, tests against no denoiser, what is won back, confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ser_utils import evaluation
from ser_utils.noise import Condition
from ser_utils.robustness.bench import NONE

LEVEL = 0.05
CHEAP = -0.02  # least change of UAR on clean speech that still counts as none
SEVERAL = "several kinds of"  # whose answers are averaged
REMEDIES = {"noise in training": ("noisy", False), "denoiser": ("clean", True), "both": ("noisy", True)}
SYSTEM = ["corpus", "model", "train_regime", "noise", "snr_db", "denoiser"]


def spelled(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table with its condition in parts: ``noise`` (empty for clean), ``snr_db`` (infinite), ``denoiser``
    (``none``).

    Examples
    --------
    >>> table = pd.DataFrame({"condition": ["noise=rain;snr_db=5;denoiser=dtln"]})
    >>> spelled(table)[["noise", "snr_db", "denoiser"]].to_dict("records")
    [{'noise': 'rain', 'snr_db': 5.0, 'denoiser': 'dtln'}]
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
        ``corpus … denoiser, gain`` (UAR), ``ci_low, ci_high, p, n_speakers, p_holm, verdict`` (``better``, ``worse``
        or ``not told apart`` at 5 % after Holm).
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
    told = np.where(table["gain"] > 0, "better", "worse")
    return table.assign(verdict=np.where(table["p_holm"] < LEVEL, told, "not told apart"))


def side_by_side(tests: pd.DataFrame) -> pd.DataFrame:
    """Gains of :func:`against_none` over one noise, a column per SNR; a star where they are told apart from 0."""
    texts = [f"{row.gain:+.3f}{'*' if row.verdict != 'not told apart' else ''}" for row in tests.itertuples()]
    snrs = sorted(tests["snr_db"].unique())
    names = {snr: f"{snr:g} dB" if np.isfinite(snr) else "clean" for snr in snrs}
    index = ["corpus", "train_regime", "denoiser"]
    wide = tests.assign(text=texts).pivot_table(index=index, columns="snr_db", values="text", aggfunc="first")
    return wide[snrs].rename(columns=names).reset_index().rename_axis(columns=None)


def gates(scores: pd.DataFrame, pairs: Mapping[str, str]) -> pd.DataFrame:
    """Mean UAR over the SNRs of each noise: without a denoiser, with it, gated, and the better of the first two at each
    SNR, which nobody knows beforehand.

    Parameters
    ----------
    scores : pd.DataFrame
        From :func:`curves`, of one model and regime.
    pairs : mapping
        Denoiser → its gated form.
    """
    rows = []
    for (corpus, noise), part in scores.groupby(["corpus", "noise"], sort=True):
        at = part.pivot_table(index="snr_db", columns="denoiser", values="UAR")
        for inner, outer in pairs.items():
            if {NONE, inner, outer} <= set(at):
                shared = at[[NONE, inner, outer]].dropna()
                rows.append(
                    {"corpus": corpus, "noise": noise or "clean", "denoiser": inner, "n_snrs": len(shared)}
                    | {"none": shared[NONE].mean(), "always": shared[inner].mean(), "gated": shared[outer].mean()}
                    | {"better of both": shared[[NONE, inner]].max(axis=1).mean()}
                )
    return pd.DataFrame(rows)


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
        ``corpus, model, train_regime, denoiser, clean, noisy, UAR, ci_low, ci_high`` (of the row, in noise), ``share``
        (of the loss; NaN where noise took nothing), ``clean_change`` (UAR of the row on clean speech, less that of the
        model trained on clean speech without a denoiser), best first within a corpus and model.
    """
    rows = []
    for (corpus, model), part in scores.groupby(["corpus", "model"], sort=True):
        rated = part.set_index(["train_regime", "noise", "snr_db", "denoiser"])
        at = rated["UAR"]
        clean, noisy = at["clean", "", np.inf, NONE], at["clean", noise, snr_db, NONE]
        here = [(regime, denoiser) for regime, *sound, denoiser in at.index if sound == [noise, snr_db]]
        for regime, denoiser in here:
            value = at[regime, noise, snr_db, denoiser]
            share = (value - noisy) / (clean - noisy) if clean > noisy else np.nan
            change = at.get((regime, "", np.inf, denoiser), np.nan) - clean
            limits = rated.loc[(regime, noise, snr_db, denoiser), ["ci_low", "ci_high"]]
            rows.append([corpus, model, regime, denoiser, clean, noisy, value, *limits, share, change])
    columns = ["corpus", "model", "train_regime", "denoiser", "clean", "noisy", "UAR", "ci_low", "ci_high"]
    columns += ["share", "clean_change"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["corpus", "model", "UAR"], ascending=[True, True, False], kind="stable", ignore_index=True
    )


def best_recovery(back: pd.DataFrame) -> pd.DataFrame:
    """Of each corpus and model the row of :func:`recovered` that brings back most of those that cost two points at most
    on clean speech (``cheap``), or where there is none, of all; the oracle, which needs the clean speech, is left out.
    No row where noise took nothing. Regimes are in words."""
    nothing = (back["train_regime"] == "clean") & (back["denoiser"] == NONE)
    fair = back[~nothing & (back["denoiser"] != "oracle") & (back["clean"] > back["noisy"])]
    fair = fair.assign(cheap=fair["clean_change"] >= CHEAP).sort_values("cheap", ascending=False, kind="stable")
    best = fair.groupby(["corpus", "model"], sort=True).head(1).sort_values(["corpus", "model"], ignore_index=True)
    return best.assign(train_regime=best["train_regime"].replace("several", SEVERAL))


def remedies(predictions: pd.DataFrame, *, denoiser: str, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Noise in training, a denoiser before the test clips, and both, against neither, in every noise at every SNR.

    Holm's correction counts all rows of a corpus and model together.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one model, trained in the regimes ``clean`` and ``noisy``.
    denoiser : str

    Returns
    -------
    pd.DataFrame
        ``corpus, model, noise, snr_db, neither`` (UAR), ``remedy`` (of :data:`REMEDIES`), ``UAR, gain, ci_low, ci_high,
        p, p_holm, verdict``; noises that the denoiser or a regime did not meet are left out.
    """
    rows = []
    task = ["corpus", "model", "noise", "snr_db"]
    for key, group in spelled(predictions).groupby(task, sort=True):
        found = dict(list(group.groupby(["train_regime", "denoiser"])))
        named = {
            name: found.get((regime, denoiser if with_it else NONE)) for name, (regime, with_it) in REMEDIES.items()
        }
        neither = found.get(("clean", NONE))
        if neither is None or any(part is None for part in named.values()):
            continue
        base = evaluation.uar(neither["y_true"], neither["y_pred"])
        for name, part in named.items():
            gap = evaluation.difference(part, neither, n_resamples=n_resamples, seed=seed)
            p = evaluation.swap_test(part, neither, seed=seed)
            rows.append([*key, base, name, evaluation.uar(part["y_true"], part["y_pred"]), *gap, p])
    columns = [*task, "neither", "remedy", "UAR", "gain", "ci_low", "ci_high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = table.groupby(["corpus", "model"])["p"].transform(evaluation.holm) if len(table) else []
    told = np.where(table["gain"] > 0, "better", "worse")
    return table.assign(verdict=np.where(table["p_holm"] < LEVEL, told, "not told apart"))


def protocols(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The same conditions by several protocols: accuracy in percent and UAR.

    Parameters
    ----------
    tables : mapping
        Name → predictions of one model; conditions and regimes that not all of them have are left out.
    """
    keys = ["corpus", "train_regime", "condition"]
    shared = set.intersection(*(set(table[keys].itertuples(index=False, name=None)) for table in tables.values()))
    rows = []
    for name, table in tables.items():
        for key, part in table.groupby(keys, sort=True):
            if key in shared:
                right = 100 * float((part["y_true"] == part["y_pred"]).mean())
                scored = {"accuracy (%)": right, "UAR": evaluation.uar(part["y_true"], part["y_pred"])}
                rows.append(dict(zip(keys, key, strict=True)) | {"speakers": name} | scored)
    return pd.DataFrame(rows).sort_values([*keys, "speakers"], kind="stable", ignore_index=True)


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
