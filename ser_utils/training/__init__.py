"""Training with a leak gate inside, one artefact per fold, and one ``cross_validate`` that yields the predictions."""

from ser_utils.training.batches import Batches, Copies, Normaliser, Recipe
from ser_utils.training.fitting import fit, fresh_net, learning_rate, predict
from ser_utils.training.folds import (
    Experiment,
    FoldResult,
    cross_validate,
    cross_validate_all,
    fit_fold,
    fit_normaliser,
    load_model,
    predictions_table,
)

__all__ = [
    "Batches",
    "Copies",
    "Experiment",
    "FoldResult",
    "Normaliser",
    "Recipe",
    "cross_validate",
    "cross_validate_all",
    "fit",
    "fit_fold",
    "fit_normaliser",
    "fresh_net",
    "learning_rate",
    "load_model",
    "predict",
    "predictions_table",
]
