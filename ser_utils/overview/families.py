"""Families of models, and the best system of each."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet

from ser_utils import evaluation, study

FAMILIES = ("classic", "LSTM", "CNN", "ensemble", "pretrained", "fusion", "reference")
BY_NOTEBOOK = {"02_features": "classic", "04_lstm": "LSTM", "05_cnn": "CNN"}
FUSED = ("mean", "stack", "offline", "early", "gated", "cross_attention", "late")
SCORED_AT = {  # notebook and family → heading above the cells that make its predictions
    ("02_features", "classic"): "Classic-models",
    ("04_lstm", "LSTM"): "Scores-on-unseen-speakers",
    ("05_cnn", "CNN"): "Scores-on-unseen-speakers",
    ("07_pretrained_fusion", "pretrained"): "Frozen-encoders-on-unseen-speakers",
    ("07_pretrained_fusion", "fusion"): "Sound-and-text-together",
}
ALONE = ("audio_only", "text_only")  # what a fusion net is compared with
ACOUSTIC = ("statistics_110", "functionals", "egemaps", "compare_2016")


def family(model: str, features: str, notebook: str) -> str:
    """Family of a system: one of :data:`FAMILIES`; *reference* is what 07 compares its encoders and fusions with.

    Examples
    --------
    >>> family("svm_rbf", "egemaps", "02_features"), family("bilstm+ensemble2", "log_mel", "04_lstm")
    ('classic', 'ensemble')
    >>> family("linear_probe", "byol_s:mean", "07_pretrained_fusion"), family("gated", "x", "07_pretrained_fusion")
    ('pretrained', 'fusion')
    """
    if "+" in model:
        return "ensemble"
    if notebook in BY_NOTEBOOK:
        return BY_NOTEBOOK[notebook]
    if model in FUSED:
        return "fusion"
    return "reference" if model in ALONE or features.split("+")[0] in ACOUSTIC else "pretrained"


def place(notebook: str, kind: str) -> str:
    """Page and heading where a family's predictions are made; the page alone where no heading is known.

    Examples
    --------
    >>> place("04_lstm", "LSTM"), place("07_pretrained_fusion", "reference")
    ('04_lstm#Scores-on-unseen-speakers', '07_pretrained_fusion')
    """
    kind = BY_NOTEBOOK.get(notebook, kind)  # an ensemble is scored beside its members
    heading = SCORED_AT.get((notebook, kind))
    return f"{notebook}#{heading}" if heading else notebook


def made_by(profile: str) -> pd.DataFrame:
    """Which notebook's predictions hold each system: ``corpus … condition, notebook``; no row without predictions."""
    folder, parts = (
        study.paths(profile).predictions,
        [pd.DataFrame(columns=[*evaluation.SYSTEM, "notebook"], dtype="str")],
    )
    for name in sorted(study.load_profile(profile)["notebooks"]):
        file = folder / f"{name}.parquet"
        if file.is_file():
            rows = pyarrow.parquet.read_table(file, columns=evaluation.SYSTEM).to_pandas()
            parts.append(rows.drop_duplicates().assign(notebook=name))
    return pd.concat(parts, ignore_index=True).drop_duplicates(evaluation.SYSTEM)


def placed(board: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """A headline table with ``notebook`` and ``family``; trivial baselines have *baseline* and no notebook."""
    key = [name for name in evaluation.SYSTEM if name != "condition"]
    table = board.merge(made.drop_duplicates(key)[[*key, "notebook"]], on=key, how="left")
    table["notebook"] = table["notebook"].fillna("")
    rows = table[["model", "features", "notebook"]].itertuples(index=False, name=None)
    return table.assign(family=[family(*row) if row[2] else "baseline" for row in rows])


def best(table: pd.DataFrame) -> pd.DataFrame:
    """The best system of each family and task by UAR, best family first; those that need other clips of the test
    speaker are left out, and so are references.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`placed`.
    """
    fair = table[table["family"].isin(FAMILIES[:-1]) & ~evaluation.knows_speaker(table["features"])]
    ordered = fair.sort_values("UAR", ascending=False, kind="stable")
    found = ordered.drop_duplicates([*evaluation.TASK, "family"])
    tasks = {
        key: i for i, key in enumerate(table[evaluation.TASK].drop_duplicates().itertuples(index=False, name=None))
    }
    place = [tasks[key] for key in found[evaluation.TASK].itertuples(index=False, name=None)]
    return found.assign(_place=place).sort_values("_place", kind="stable", ignore_index=True).drop(columns="_place")


def answers(predictions: pd.DataFrame, row: object) -> pd.DataFrame:
    """Clean predictions of one row of a headline table."""
    mask = predictions["condition"] == "clean"
    for column in evaluation.SYSTEM[:-1]:
        mask &= predictions[column] == getattr(row, column)
    return predictions[mask]


def compared(
    predictions: pd.DataFrame, leaders: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """The best system of each family against the best of its task, by four tests, each corrected over the families.

    Parameters
    ----------
    predictions, leaders : pd.DataFrame
        From :func:`best`.

    Returns
    -------
    pd.DataFrame
        ``corpus, split, family, model, difference, ci_low, ci_high`` (paired, over speakers); ``p_swap`` (whole
        speakers swapped), ``p_wilcoxon`` (signed ranks over speakers), ``p_t`` (corrected t over folds and seeds),
        ``p_mcnemar`` (clips of the first common seed), all after Holm.
    """
    rows = []
    for _, task in leaders.groupby(evaluation.TASK, sort=False):
        first = answers(predictions, next(task.itertuples()))
        for row in list(task.itertuples())[1:]:
            mine = answers(predictions, row)
            gap = evaluation.difference(mine, first, n_resamples=n_resamples, seed=seed)
            tests = {
                "p_swap": evaluation.swap_test(mine, first, seed=seed),
                "p_wilcoxon": evaluation.wilcoxon(mine, first)[1],
                "p_t": _over_folds(mine, first),
                "p_mcnemar": _over_clips(mine, first),
            }
            known = {"corpus": row.corpus, "split": row.split, "family": row.family, "model": row.model}
            rows.append(known | dict(zip(("difference", "ci_low", "ci_high"), gap, strict=True)) | tests)
    table = pd.DataFrame(
        rows, columns=["corpus", "split", "family", "model", "difference", "ci_low", "ci_high", *TESTS]
    )
    for name in TESTS if len(table) else ():
        table[name] = table.groupby(["corpus", "split"])[name].transform(evaluation.holm)
    return table


TESTS = ("p_swap", "p_wilcoxon", "p_t", "p_mcnemar")


def _over_folds(a: pd.DataFrame, b: pd.DataFrame) -> float:
    """Corrected t over the seeds and folds that both have."""
    scores = [
        pd.Series({key: evaluation.uar(p["y_true"], p["y_pred"]) for key, p in part.groupby(["seed", "fold"])})
        for part in (a, b)
    ]
    gaps = (scores[0] - scores[1]).dropna()
    if len(gaps) < 2:
        return float("nan")
    n_clips, n_test = a["clip_id"].nunique(), a.groupby(["seed", "fold"])["clip_id"].nunique().mean()
    return evaluation.corrected_t(gaps.to_numpy(), n_train=n_clips - n_test, n_test=n_test)[1]


def _over_clips(a: pd.DataFrame, b: pd.DataFrame) -> float:
    seeds = sorted(set(a["seed"]) & set(b["seed"]))
    if not seeds:
        return float("nan")
    right = [
        part[part["seed"] == seeds[0]].set_index("clip_id").eval("y_true == y_pred").rename(i)
        for i, part in enumerate((a, b))
    ]
    both = pd.concat(right, axis=1, join="inner")
    return evaluation.mcnemar(both[0], both[1])[2]
