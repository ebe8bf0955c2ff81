"""Which clips every model misses, whether people miss them too, and whom a model serves worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.evaluation.predictions import SYSTEM
from ser_utils.evaluation.results import uar_by

KINDS = ("missed by every model", "missed by most", "missed by some", "missed by none")
GROUPS = ("gender", "age_group", "speaker")


def clips(predictions: pd.DataFrame) -> pd.DataFrame:
    """How many systems of one task answer each clip rightly.

    Parameters
    ----------
    predictions : pd.DataFrame
        Of one task; the seeds of a system count together, and a clip is right where most of them are.

    Returns
    -------
    pd.DataFrame
        ``clip_id, speaker, y_true, n_systems, n_right, kind`` (one of :data:`KINDS`) and ``usual``, the most frequent
        wrong answer (empty where there is none).

    Examples
    --------
    >>> system = dict.fromkeys(SYSTEM, "x") | {"seed": 0}
    >>> rows = pd.DataFrame({"clip_id": ["a", "b"], "speaker": "s", "y_true": "sad", "y_pred": ["sad", "fear"]})
    >>> clips(rows.assign(**system))[["clip_id", "kind", "usual"]].values.tolist()
    [['a', 'missed by none', ''], ['b', 'missed by every model', 'fear']]
    """
    right = predictions.assign(right=predictions["y_true"] == predictions["y_pred"])
    each = (
        right.groupby(["clip_id", *SYSTEM], sort=True)["right"].mean().gt(0.5).groupby("clip_id").agg(["size", "sum"])
    )
    known = predictions.drop_duplicates("clip_id").set_index("clip_id")[["speaker", "y_true"]]
    table = known.join(each.rename(columns={"size": "n_systems", "sum": "n_right"})).sort_index()
    share = table["n_right"] / table["n_systems"]
    table["kind"] = np.select([share == 0, share < 0.5, share < 1], KINDS[:3], KINDS[3])
    wrong = right[~right["right"]].groupby("clip_id")["y_pred"].agg(lambda told: told.mode().iloc[0])
    return table.assign(usual=wrong.reindex(table.index).fillna("")).reset_index()


def taxonomy(table: pd.DataFrame) -> pd.DataFrame:
    """Clips of each kind by true emotion, from :func:`clips`: ``emotion, n_clips`` and a share for each of
    :data:`KINDS`; the last row is all."""
    share = pd.crosstab(table["y_true"], table["kind"], normalize="index", margins=True, margins_name="all")
    share = share.reindex(columns=list(KINDS), fill_value=0.0)
    share.insert(0, "n_clips", [*table.groupby("y_true").size(), len(table)])
    return share.rename_axis(index="emotion", columns=None).reset_index()


def with_people(table: pd.DataFrame, votes: pd.Series) -> pd.DataFrame:
    """Do people miss the clips that models miss?

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`clips`.
    votes : pd.Series
        Clip → tuple of the emotions that most raters heard; clips without a vote are left out.

    Returns
    -------
    pd.DataFrame
        One row per kind of clip and one for all: ``kind, n_clips``; ``heard``, share of clips whose raters heard the
        emotion that was meant (a tie counts by its share); ``agree``, share of clips that some model gets wrong whose
        usual wrong answer is what most raters heard.
    """
    rated = table[table["clip_id"].isin(votes.index)]
    heard = [(y in vote) / len(vote) for y, vote in zip(rated["y_true"], votes[rated["clip_id"]], strict=True)]
    agree = [
        float(told in vote) if told else np.nan
        for told, vote in zip(rated["usual"], votes[rated["clip_id"]], strict=True)
    ]
    rated = rated.assign(heard=heard, agree=agree)
    parts = [(kind, rated[rated["kind"] == kind]) for kind in KINDS] + [("all", rated)]
    rows = [(kind, len(part), part["heard"].mean(), part["agree"].mean()) for kind, part in parts if len(part)]
    return pd.DataFrame(rows, columns=["kind", "n_clips", "heard", "agree"])


def groups(
    predictions: pd.DataFrame,
    people: pd.DataFrame,
    *,
    columns: Sequence[str] = GROUPS,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """UAR of every system within each group of speakers.

    Parameters
    ----------
    predictions : pd.DataFrame
    people : pd.DataFrame
        Manifest; a column of `columns` that it lacks, or that is empty for all clips, gives no rows.
    columns : sequence of str
    n_resamples, seed : int

    Returns
    -------
    pd.DataFrame
        ``corpus … condition, by`` (the column), ``group, UAR, ci_low, ci_high, n_clips, n_speakers``.
    """
    known = [name for name in columns if name in people and name != "speaker"]
    told = predictions.merge(people[["corpus", "clip_id", *known]], on=["corpus", "clip_id"], how="left")
    tables = []
    for column in [name for name in columns if name in told]:
        rows = told[told[column].fillna("") != ""]
        if len(rows):
            found = uar_by(rows, column, n_resamples=n_resamples, seed=seed)
            tables.append(found.rename(columns={column: "group"}).assign(by=column))
    if not tables:
        raise study.UserError(f"the manifest says nothing of {', '.join(columns)}; recall by group needs one of them")
    table = pd.concat(tables, ignore_index=True)
    return table[[*SYSTEM, "by", "group", "UAR", "ci_low", "ci_high", "n_clips", "n_speakers"]]


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Best and worst group of each system, from :func:`groups`: ``corpus … condition, by, n_groups, best, best_UAR,
    worst, worst_UAR, gap``."""
    rows = []
    for key, part in table.groupby([*SYSTEM, "by"], sort=False):
        best, worst = part.loc[part["UAR"].idxmax()], part.loc[part["UAR"].idxmin()]
        gap = best["UAR"] - worst["UAR"]
        rows.append([*key, len(part), best["group"], best["UAR"], worst["group"], worst["UAR"], gap])
    names = ["by", "n_groups", "best", "best_UAR", "worst", "worst_UAR", "gap"]
    return pd.DataFrame(rows, columns=[*SYSTEM, *names])
