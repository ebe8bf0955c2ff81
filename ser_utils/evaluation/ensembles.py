"""Ensembles made of saved predictions: the mean of the probabilities that several nets gave the same clip."""

from __future__ import annotations

import pandas as pd

from ser_utils import study
from ser_utils.evaluation.predictions import SYSTEM, TASK

SEVERAL = ("model", "features", "train_regime")  # what the members of an ensemble of systems may differ in


def ensemble(predictions: pd.DataFrame, *, over: str, name: str = "") -> pd.DataFrame:
    """Predictions of ensembles, as a table of the same form.

    Parameters
    ----------
    predictions : pd.DataFrame
        Rows of the members and of nothing else, as :func:`save_predictions` takes them.
    over : str
        ``seed``: for each system the mean over its seeds; the result's model is called ``<model>+ensemble<n>`` and its
        seed is the first. ``system``: for each seed the mean over models, features and training regimes; the model is
        called `name`, and features or regimes that differ ``several``.
    name : str
        Of an ensemble of systems, in lower case, e.g. ``bilstm_attention+crnn``.

    Returns
    -------
    pd.DataFrame
        One row per clip, task, condition and (for systems) seed.

    Raises
    ------
    study.UserError
        For another `over`, fewer than two members, or members that did not predict the same clips.

    Examples
    --------
    >>> task = dict.fromkeys(TASK, "x") | dict.fromkeys(["features", "train_regime", "condition"], "clean")
    >>> rows = pd.DataFrame({"seed": [0, 1], "p_happy": [0.9, 0.3], "p_sad": [0.1, 0.7]}).assign(**task, clip_id="a")
    >>> made = ensemble(rows.assign(model="lstm", y_true="sad", y_pred=["happy", "sad"], fold=0), over="seed")
    >>> made[["model", "seed", "y_pred"]].values.tolist()
    [['lstm+ensemble2', 0, 'happy']]
    """
    if over not in ("seed", "system"):
        raise study.UserError(f"an ensemble over '{over}' is unknown; use seed or system")
    if over == "system" and not name:
        raise study.UserError("an ensemble of systems needs a name for its column model; give one in lower case")
    member = ["seed"] if over == "seed" else list(SEVERAL)
    group = [column for column in [*SYSTEM, "seed"] if column not in member]
    parts = [_mean(rows, member) for _, rows in predictions.groupby(group, sort=False)]
    made = pd.concat([table.assign(n=n) for table, n in parts], ignore_index=True)
    if over == "seed":
        return made.assign(model=made["model"] + "+ensemble" + made["n"].astype(str)).drop(columns="n")
    return made.assign(model=name).drop(columns="n")


def _mean(rows: pd.DataFrame, member: list[str]) -> tuple[pd.DataFrame, int]:
    """One row per clip, and the number of members."""
    n_members = len(rows[member].drop_duplicates())
    where = ", ".join(f"{column} {rows[column].iloc[0]}" for column in [*TASK, "condition"])
    counts = rows.groupby("clip_id", sort=False).size()
    if n_members < 2 or (counts != n_members).any():
        raise study.UserError(
            f"the ensemble on {where} has {n_members} members, and clip {counts.idxmin()} has {counts.min()} "
            "predictions; give two members or more that predicted the same clips once each"
        )
    columns = [column for column in rows if column.startswith("p_")]
    given = rows[columns].notna().any()
    known = [column for column in columns if given[column]]  # an emotion that one member lacks has no chance there
    first = rows.drop_duplicates("clip_id").set_index("clip_id")
    mean = rows[known].fillna(0.0).groupby(rows["clip_id"], sort=False).mean()
    first[known] = mean.loc[first.index]
    answer = first[known].idxmax(axis=1).str.removeprefix("p_")
    differ = {column: "several" for column in SEVERAL if len(set(rows[column])) > 1}
    made = first.assign(y_pred=answer, **differ).reset_index()
    return made[list(rows.columns)], n_members
