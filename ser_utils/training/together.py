"""Several cross-validations trained as one list of work, so that no core waits for the end of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ser_utils import study, tracking
from ser_utils.splits import Fold
from ser_utils.training.experiments import Experiment, fit_normaliser, identity
from ser_utils.training.folds import FoldResult, _Cell, _load, _train_missing

Validation = tuple[Experiment, Sequence[Fold], Sequence[int]]


def train_together(
    wanted: Sequence[Validation], desc: str, *, cache: Path, jobs: int | None = None
) -> list[list[FoldResult]]:
    """:func:`cross_validate` of several experiments, each with folds and seeds of its own, all side by side.

    Parameters
    ----------
    wanted : sequence of (Experiment, folds, seeds)
    desc : str
        What the progress line says first.
    cache : Path
        Folder of the fold artefacts.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of list of FoldResult
        Experiment by experiment, and in each seed by seed, fold by fold.

    Raises
    ------
    study.UserError
        For an experiment without a seed.
    """
    tracking.wanted()  # a wrong word is told before anything is trained
    parts = []
    for experiment, folds, seeds in wanted:
        if not seeds:
            raise study.UserError("n_seeds 0 leaves nothing to train; use 1 or more")
        key = identity(experiment)
        for fold in folds:  # also those that the cache will answer for
            fit_normaliser(fold, experiment)
        parts.append([_Cell(experiment, key, fold, seed) for seed in seeds for fold in folds])
    _train_missing([cell for part in parts for cell in part], desc, cache=cache, jobs=jobs)
    return [[_load(cell.artefact(cache)) for cell in part] for part in parts]
