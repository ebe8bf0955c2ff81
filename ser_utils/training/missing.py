"""Which folds are not trained yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ser_utils.splits import Fold
from ser_utils.training.experiments import Experiment, identity
from ser_utils.training.folds import _Cell


def missing(experiment: Experiment, folds: Sequence[Fold], *, seed: int, cache: Path) -> list[Fold]:
    """The folds that :func:`cross_validate` would train; the others lie in the cache."""
    key = identity(experiment)
    return [fold for fold in folds if not _Cell(experiment, key, fold, seed).artefact(cache).is_dir()]
