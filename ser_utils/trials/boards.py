"""What the notebooks on nets tell: boards of scores, how much luck is in them, the nets to keep, and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ser_utils import evaluation, saved
from ser_utils.corpora.base import Corpus
from ser_utils.trials.variants import Task, Trial

SHOWN = ["corpus", "split", "model", "train_regime", "UAR [95 %]", "WA", "macro_F1", "n_clips", "n_speakers", "n_seeds"]


def board(results: pd.DataFrame) -> pd.DataFrame:
    """UAR with its interval and what stands beside it, one row per system, columns named for readers."""
    table = evaluation.headline(results)
    table["UAR [95 %]"] = evaluation.interval_texts(table, "UAR")
    return table[SHOWN].rename(columns={name: name.removeprefix("n_").replace("_", " ") for name in SHOWN})


def luck(runs: pd.DataFrame) -> pd.DataFrame:
    """How far UAR moves over seeds (the luck of training) and over single folds (the luck of who is tested).

    Parameters
    ----------
    runs : pd.DataFrame
        Predictions of one system per corpus.
    """
    rows = []
    for over, keys in {"seeds": ["corpus", "seed"], "folds × seeds": ["corpus", "seed", "fold"]}.items():
        each = runs.groupby(keys, sort=False).apply(lambda g: evaluation.uar(g["y_true"], g["y_pred"]))
        of = each.groupby("corpus", sort=False).agg(["size", "mean", "std", "min", "max"])
        rows.append(of.reset_index().assign(over=over))
    spread = pd.concat(rows, ignore_index=True).rename(columns={"size": "n", "std": "standard deviation"})
    return spread[["corpus", "over", "n", "mean", "standard deviation", "min", "max"]]


def keep(
    found: Sequence[Trial], chosen: Mapping[str, Task], scores: pd.DataFrame, *, family: str, profile: str
) -> pd.DataFrame:
    """Save, for each corpus, the net with the best mean validation UAR of those that ran every fold.

    Of its folds, again the best by validation is taken. Test clips choose nothing; a variant that was refitted has no
    validation and is never kept.

    Parameters
    ----------
    found : sequence of Trial
    chosen : mapping
        From :func:`tasks`.
    scores : pd.DataFrame
        Results of the trials: the file says what its kind of net scored.
    family : str
        The file is ``models/<corpus>_<family>.keras`` of the profile's reports.
    profile : str

    Returns
    -------
    pd.DataFrame
        ``net, model, training, emotions``.
    """
    uar = scores[scores["metric"] == "UAR"].set_index(["corpus", "model", "train_regime"])
    rows = []
    for name, task in chosen.items():
        best = max((t for t in found if t.whole and t.task.name == name and not t.variant.refit), key=_validation)
        system = uar.loc[(name, best.variant.name, best.variant.regime)]
        file = saved.save(
            saved.best(best.results),
            best.variant.spec,
            name=f"{name}_{family}",
            corpora=task.entry,
            labels=task.entry.emotions,
            uar=(system["value"], system["ci_low"], system["ci_high"]),
            profile=profile,
        )
        rows.append({"net": file.stem, "model": best.variant.name, "training": best.variant.regime})
    return pd.DataFrame(rows).assign(emotions=[len(task.entry.emotions) for task in chosen.values()])


def _validation(trial: Trial) -> float:
    return float(np.mean([result.facts["val_uar"] for result in trial.results]))


def people(entry: Corpus, n_speakers: int) -> str:
    """Whom a score is about, in words."""
    if "speaker" not in entry.leaks:
        return f"{n_speakers} unseen speakers"
    return f"{n_speakers} speakers, heard in training too" if n_speakers else "speakers whom nobody knows"


def sentences(scores: pd.DataFrame, chosen: Mapping[str, Task]) -> list[str]:
    """One line of Markdown per system and corpus, best first: UAR, interval, people, clips, chance."""
    uar = scores[scores["metric"] == "UAR"]
    lines = []
    for name, task in chosen.items():
        rows = uar[uar["corpus"] == name]
        chance = rows.loc[rows["model"] == "chance", "value"].iloc[0]
        nets = rows[~rows["model"].isin(evaluation.BASELINES)].sort_values("value", ascending=False)
        lines += [
            f"- **{name}** ({'synthetic' if task.entry.synthetic else 'people'}, {row.split}), {row.model}, "
            f"{row.train_regime}: UAR {row.value:.3f} (95 % interval {row.ci_low:.3f} to {row.ci_high:.3f}) over "
            f"{people(task.entry, int(row.n_speakers))} and {int(row.n_clips)} clips; chance is {chance:.3f}."
            for row in nets.itertuples()
        ]
    return lines
