"""Several cross-validations trained as one list of work, so that no core waits for the end of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ser_utils import tracking
from ser_utils.splits import Fold
from ser_utils.training.experiments import Experiment, fit_normaliser, identity
from ser_utils.training.folds import _Cell, _train_missing

Validation = tuple[Experiment, Sequence[Fold], Sequence[int]]


def train_together(wanted: Sequence[Validation], desc: str, *, cache: Path, jobs: int | None = None) -> None:
    """Train what the cache lacks of several experiments, each with folds and seeds of its own.

    :func:`cross_validate` then finds them there.

    Parameters
    ----------
    wanted : sequence of (Experiment, folds, seeds)
    desc : str
        What the progress line says first.
    cache : Path
        Folder of the fold artefacts.
    jobs : int, optional
        Processes; results do not depend on it.
    """
    tracking.wanted()  # a wrong word is told before anything is trained
    cells = []
    for experiment, folds, seeds in wanted:
        key = identity(experiment)
        for fold in folds:
            fit_normaliser(fold, experiment)
        cells += [_Cell(experiment, key, fold, seed) for seed in seeds for fold in folds]
    _train_missing(cells, desc, cache=cache, jobs=jobs)
