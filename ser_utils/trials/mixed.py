"""Several corpora in one training: merged, one against the others, and those that a net learns from first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ser_utils import study, training
from ser_utils.corpora.remaps import to_seven as seven
from ser_utils.training import Merged, Pretraining
from ser_utils.trials.tables import constants
from ser_utils.trials.variants import Task, Variant, experiment, frames, split_name


def apart(chosen: Mapping[str, Task]) -> dict[str, Task]:
    """The corpora whose folds keep speakers apart: in a merged training, one that does not would open the gate for
    all.
    """
    return {name: task for name, task in chosen.items() if "speaker" not in task.entry.leaks}


def pretraining(variant: Variant, task: Task, chosen: Mapping[str, Task], profile: str) -> Pretraining | None:
    """What a variant learns before the folds of a corpus: seven emotions from all other corpora of :func:`apart`.

    Raises
    ------
    study.UserError
        When there is no other corpus.
    """
    if not variant.first:
        return None
    others = {name: other for name, other in apart(chosen).items() if name != task.name}
    if not others:
        raise study.UserError(f"'{variant.name}' has no corpus to learn from before {task.name}; set pretrain to false")
    made = _merge(variant, others, profile, folds=False)
    return Pretraining(made.manifest, made.frames, made.labels, variant.first)


def merged(
    variant: Variant,
    chosen: Mapping[str, Task],
    profile: str,
    *,
    max_folds: int = 0,
    seed: int = 0,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Predictions of one net that trains on several corpora under seven emotions: fold *i* tests fold *i* of each.

    Parameters
    ----------
    variant : Variant
        Its ``corpora``, seeds and folds do not count here.
    chosen : mapping
        Two corpora or more of :func:`apart`.
    max_folds : int
        Folds that are run; 0 for all.

    Returns
    -------
    pd.DataFrame
        ``train_regime`` is ``merged``; ``split`` is that of the corpus with ``_7``, and the folds where some are
        missing.
    """
    made = _merge(variant, chosen, profile)
    folds = made.folds[: max_folds or None]
    whole = experiment(
        variant,
        next(iter(chosen.values())),
        profile,
        name="merged corpora",
        manifest=made.manifest,
        frames=made.frames,
        labels=made.labels,
        n_folds=len(folds),
    )
    cache = study.paths(profile).derived / "folds"
    found = training.cross_validate(whole, folds, seeds=[seed], cache=cache, jobs=jobs)
    names = {
        name: split_name(f"{task.entry.split}_7", min(len(folds), len(task.folds)), len(task.folds))
        for name, task in chosen.items()
    }
    table = training.predictions_table(found, **constants(variant, profile, train_regime="merged"))
    return training.by_corpus(table, made.manifest, split=names)


def beside(own: pd.DataFrame, together: pd.DataFrame) -> pd.DataFrame:
    """Predictions `own` of nets that train on one corpus, as rows to compare with those of :func:`merged`: under seven
    emotions, on the same clips and seeds, under the same split.
    """
    kept = to_seven(own[own["corpus"].isin(together["corpus"]) & own["seed"].isin(together["seed"])])
    known = together.drop_duplicates(["corpus", "clip_id"])[["corpus", "clip_id", "split"]]
    return kept.drop(columns="split").merge(known, on=["corpus", "clip_id"])[kept.columns]


def to_seven(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions under seven emotions: the probability of calm goes to neutral, clips of boredom are left out and its
    probability goes to the others in proportion. ``split`` ends on ``_7``.

    Examples
    --------
    >>> one = {"split": "loso", "y_true": "calm", "y_pred": "sad", "p_calm": 0.3, "p_neutral": 0.3, "p_sad": 0.4}
    >>> to_seven(pd.DataFrame([one])).to_dict("records")
    [{'split': 'loso_7', 'y_true': 'neutral', 'y_pred': 'neutral', 'p_neutral': 0.6, 'p_sad': 0.4}]
    """
    truth = predictions["y_true"].map(seven)
    kept = predictions[truth != ""]
    given = {column: seven(column.removeprefix("p_")) for column in kept if column.startswith("p_")}
    chances = kept[[column for column, to in given.items() if to]]
    chances = chances.T.groupby(lambda column: f"p_{given[column]}").sum(min_count=1).T + 1e-9  # never all zero
    chances = chances.div(chances.sum(axis=1), axis=0).round(9)
    answer = chances.idxmax(axis=1).str.removeprefix("p_")
    named = kept.drop(columns=list(given)).assign(split=kept["split"] + "_7", y_true=truth[kept.index], y_pred=answer)
    return pd.concat([named, chances], axis=1)


def crossed(
    variant: Variant, chosen: Mapping[str, Task], profile: str, *, seed: int = 0, jobs: int | None = None
) -> pd.DataFrame:
    """Predictions of one net per corpus, each tested on all others: rows of the cross-corpus matrix.

    A clip is tested by a net that knows its emotion: others are left out.

    Parameters
    ----------
    variant : Variant
        Its ``corpora``, seeds and folds do not count here.
    chosen : mapping
        Two corpora or more of :func:`apart`.

    Returns
    -------
    pd.DataFrame
        ``split`` is ``cross_corpus``, ``train_regime`` is ``trained_on_<corpus>``.
    """
    made = _merge(variant, chosen, profile, folds=False)
    folds = [training.cross_corpus_fold(made.manifest, name, index=i, seed=seed) for i, name in enumerate(chosen)]
    whole = experiment(
        variant,
        next(iter(chosen.values())),
        profile,
        name="cross-corpus",
        manifest=made.manifest,
        frames=made.frames,
        labels=made.labels,
        n_folds=len(folds),
    )
    cache = study.paths(profile).derived / "folds"
    found = training.cross_validate(whole, folds, seeds=[seed], cache=cache, jobs=jobs)
    parts = []
    for name, result in zip(chosen, found, strict=True):
        known = set(made.manifest.loc[made.manifest["corpus"] == name, "emotion"])
        table = training.predictions_table([result], **constants(variant, profile, train_regime=f"trained_on_{name}"))
        parts.append(table[table["y_true"].isin(known)])
    return training.by_corpus(pd.concat(parts, ignore_index=True), made.manifest, split="cross_corpus")


def _merge(variant: Variant, chosen: Mapping[str, Task], profile: str, *, folds: bool = True) -> Merged:
    return training.merge(
        {
            name: (task.rows, frames(task, variant.spec, profile), task.folds if folds else ())
            for name, task in chosen.items()
        }
    )
