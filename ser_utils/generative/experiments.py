"""The question of this part, over folds and seeds: do generated or enhanced data help on real clips of unseen speakers?

Every score comes from the predictions that :func:`run` returns; nothing here looks at a test clip to choose anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import augment, corpora, evaluation, features, study
from ser_utils.corpora.remaps import SIX, to_six
from ser_utils.evaluation import corrected_t, holm, mcnemar
from ser_utils.features import FrameSpec
from ser_utils.generative.asked import Answers, ask
from ser_utils.generative.settings import Settings
from ser_utils.generative.worlds import Case, build
from ser_utils.splits import Fold, check_filled
from ser_utils.trials import Task, split_name

FEATURES = "log_mel_80"
REAL = "real"


def six(task: Task, *, most: int = 0) -> Task:
    """The clips of a corpus under six emotions (calm counts as neutral), on the same folds of speakers.

    Parameters
    ----------
    task : Task
    most : int
        Clips per speaker and emotion, the first ones; 0: all.
    """
    rows = task.rows.assign(emotion=task.rows["emotion"].map(to_six))
    rows = rows[rows["emotion"] != ""]
    if most:
        rows = rows.groupby(["speaker", "emotion"], sort=False).head(most)
    rows = rows.reset_index(drop=True)
    kept = set(rows["clip_id"])
    folds = [
        Fold(fold.index, *(np.array([clip for clip in part if clip in kept]) for part in _parts(fold)))
        for fold in task.folds
    ]
    for fold in folds:
        check_filled(fold, "train", "validation", "test")
    return Task(task.entry, rows, folds)


def _parts(fold: Fold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fold.train, fold.validation, fold.test


def cases(
    task: Task,
    settings: Settings,
    spec: FrameSpec,
    profile: str,
    *,
    n_seeds: int = 1,
    max_folds: int = 0,
    seed: int = 0,
) -> list[Case]:
    """One case per fold and seed.

    Parameters
    ----------
    task : Task
        From :func:`six`.
    settings : Settings
    spec : FrameSpec
        From :func:`ser_utils.generative.mel.front_end`.
    profile : str
    n_seeds, seed : int
        How many seeds, from which.
    max_folds : int
        Folds that are run, the first ones; 0: all.

    Raises
    ------
    study.UserError
        For a corpus whose speakers are not known or not kept apart.
    """
    if "speaker" in task.entry.leaks:
        raise study.UserError(
            f"{task.name}: generated data are judged on unseen speakers, and this corpus does not keep its speakers "
            "apart; take it off the notebook's parameter 'corpora_used'"
        )
    root, cache = corpora.audio_root(task.name, profile), study.paths(profile).derived
    frames = features.extract(task.rows, root, spec, cache=cache / "features")
    table = augment.copies(task.rows, [settings.augmentation], n=1, seed=seed, sr=spec.sr)
    copies = table, augment.augmented_frames(table, root, spec, cache=cache / "features")
    labels = tuple(label for label in SIX if (task.rows["emotion"] == label).any())
    folds = task.folds[: max_folds or None]
    known = {"frames": frames, "labels": labels, "n_folds": len(folds), "settings": settings, "cache": cache}
    return [
        Case(name=task.name, manifest=task.rows, fold=fold, seed=seed + i, copies=copies, spec=spec, **known)
        for i in range(n_seeds)
        for fold in folds
    ]


def run(wanted: Sequence[Case]) -> list[Answers]:
    """The answers of every case, side by side, from the cache when they are there."""
    return study.pmap(_answers, wanted, desc="worlds of folds and seeds")


def _answers(case: Case) -> Answers:
    key = case.key() | {
        "corpus": case.name,
        "seed": case.seed,
        "index": case.fold.index,
        "settings": asdict(case.settings),
        "code": study.code_version("generative.asked"),
        "versions": study.versions("keras", "tensorflow", "numpy", "librosa"),
    }
    study.seed_everything(case.seed)
    cache: Path = case.cache / "worlds"
    return study.cached(cache, key, lambda: ask(build(case)), save=Answers.save, load=Answers.load)


# --- tables ----------------------------------------------------------------------------------------------------------


def constants(task: Task, case: Case, profile: str) -> dict[str, object]:
    """Columns that all predictions of a case share."""
    split = split_name(f"{task.entry.split}_{len(case.labels)}", case.n_folds, len(task.folds))
    known = {"run_id": study.run_id(), "profile": profile, "corpus": task.name, "corpus_version": task.entry.version}
    return known | {"split": split, "features": FEATURES, "fold": case.fold.index, "seed": case.seed}


def predictions(task: Task, ran: Sequence[tuple[Case, Answers]], profile: str) -> pd.DataFrame:
    """Predictions of real test clips, as they are and as an honest generator enhanced them.

    ``train_regime`` is what the evaluator trained on; ``condition`` is ``clean`` or ``enhanced=<kind>``.
    """
    parts = []
    for case, answers in ran:
        known = constants(task, case, profile) | {"model": case.settings.evaluator.model}
        parts.append(answers.regimes.assign(condition="clean", **known))
        honest = answers.enhanced.query("judge == 'evaluator' and told == 'own'")
        condition = "enhanced=" + honest["kind"]
        parts.append(
            honest.drop(columns=["kind", "told", "judge"]).assign(train_regime=REAL, **known, condition=condition)
        )
    return pd.concat(parts, ignore_index=True)


def circular(task: Task, ran: Sequence[tuple[Case, Answers]], profile: str) -> pd.DataFrame:
    """Predictions of test clips by both judges, whatever the generator was told: the circular protocol and the steps
    that lead to it. ``split`` says that it is no score of unseen data; so that no such row enters a headline,
    ``train_regime`` is ``real`` and ``condition`` is ``circular;kind=…;told=…;judge=…``.
    """
    parts = []
    for case, answers in ran:
        rows = answers.enhanced
        kind = rows["kind"].where(rows["kind"] != "", "none")
        told = rows["told"].where(rows["told"] != "", "nothing")
        known = constants(task, case, profile)
        known["split"] = f"{known['split']}_circular"
        condition = "kind=" + kind + ";told=" + told + ";judge=" + rows["judge"]
        parts.append(
            rows.drop(columns=["kind", "told", "judge"]).assign(train_regime=REAL, **known, condition=condition)
        )
        made = answers.recognised
        made = made.assign(clip_id=made["clip_id"] + f"@{case.fold.index}.{case.seed}")  # each fold makes its own
        known |= {"split": f"{known['split']}_made", "model": case.settings.evaluator.model, "train_regime": REAL}
        parts.append(made.drop(columns="kind").assign(**known, condition="made=" + made["kind"]))
    return pd.concat(parts, ignore_index=True)


def steps_to_circular(table: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """UAR and WA of :func:`circular` per kind, by who judges and what the generator was told, with intervals over
    speakers: ``corpus, kind, judge, told, UAR, ci_low, ci_high, WA``."""
    rows = []
    asked = table[table["condition"].str.startswith("kind=")]
    for (corpus, condition), part in asked.groupby(["corpus", "condition"], sort=False):
        known = dict(word.split("=") for word in condition.split(";"))
        labels = evaluation.classes(part["y_true"], part["y_pred"])
        counts = evaluation.speaker_counts(part, labels)
        total = evaluation.metrics(counts.sum(axis=0), labels)
        low, high = evaluation.bootstrap(counts, labels, n_resamples=n_resamples, seed=seed)["UAR"]
        values = {"UAR": float(total["UAR"]), "ci_low": low, "ci_high": high, "WA": float(total["WA"])}
        rows.append({"corpus": corpus} | known | values)
    return pd.DataFrame(rows)[["corpus", "kind", "judge", "told", "UAR", "ci_low", "ci_high", "WA"]]


def compared(
    table: pd.DataFrame, sizes: Mapping[str, tuple[float, float]], *, n_resamples: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Every way of using generated data against real data alone, on the same clips.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`predictions`.
    sizes : mapping
        Corpus → mean numbers of clips that train and that are tested in a fold.
    n_resamples, seed : int
        Of the interval.

    Returns
    -------
    pd.DataFrame
        ``corpus, train_regime, condition, UAR, difference, ci_low, ci_high`` (over speakers), ``t, p`` (corrected t
        over folds and seeds), ``better, worse`` (clips that only this, or only real data, answers rightly),
        ``p_mcnemar``; ``p_holm`` and ``p_mcnemar_holm`` are corrected for all rows of the corpus.
    """
    rows = []
    for corpus, part in table.groupby("corpus", sort=False):
        systems = dict(list(part.groupby(["train_regime", "condition"], sort=False)))
        base = systems.pop((REAL, "clean"))
        found = [
            {"corpus": corpus, "train_regime": regime, "condition": condition}
            | _against(other, base, sizes[corpus], n_resamples, seed)
            for (regime, condition), other in systems.items()
        ]
        corrected = pd.DataFrame(found)
        rows.append(corrected.assign(p_holm=holm(corrected["p"]), p_mcnemar_holm=holm(corrected["p_mcnemar"])))
    return pd.concat(rows, ignore_index=True)


def _against(other: pd.DataFrame, base: pd.DataFrame, size: tuple[float, float], n_resamples: int, seed: int) -> dict:
    value, low, high = evaluation.difference(other, base, n_resamples=n_resamples, seed=seed)
    keys = ["seed", "fold"]
    each = [part.groupby(keys).apply(lambda g: evaluation.uar(g["y_true"], g["y_pred"])) for part in (other, base)]
    gaps = (each[0] - each[1]).dropna()
    t, p = corrected_t(gaps, n_train=size[0], n_test=size[1]) if len(gaps) > 1 else (np.nan, np.nan)
    both = other.merge(base, on=["seed", "clip_id"], suffixes=("", "_base"))
    right = (both["y_true"] == both["y_pred"]), (both["y_true_base"] == both["y_pred_base"])
    better, worse, p_clips = mcnemar(*right)
    scores = {
        "UAR": evaluation.uar(other["y_true"], other["y_pred"]),
        "difference": value,
        "ci_low": low,
        "ci_high": high,
    }
    return scores | {"t": t, "p": p, "better": better, "worse": worse, "p_mcnemar": p_clips}


def averaged(ran: Sequence[tuple[Case, Answers]], name: str) -> pd.DataFrame:
    """``measures`` or ``costs`` of all folds and seeds: ``corpus, kind, measure``, mean, smallest, largest, number."""
    parts = [getattr(answers, name).assign(corpus=case.name) for case, answers in ran]
    grouped = pd.concat(parts, ignore_index=True).groupby(["corpus", "kind", "measure"], sort=False)["value"]
    return grouped.agg(["mean", "min", "max", "count"]).reset_index()


def histories(ran: Sequence[tuple[Case, Answers]]) -> pd.DataFrame:
    """Validation losses of all generators: ``corpus, net, fold, seed, step``, and the losses."""
    parts = [a.histories.assign(corpus=c.name, fold=c.fold.index, seed=c.seed) for c, a in ran]
    return pd.concat(parts, ignore_index=True)
