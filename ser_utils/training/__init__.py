"""Training with a leak gate inside, one artefact per fold, and one ``cross_validate`` that yields the predictions."""

from ser_utils.training.batches import Batches, Copies, Normaliser
from ser_utils.training.experiments import Experiment, Pretraining, fit_normaliser
from ser_utils.training.fitting import fit, fresh_net, learning_rate, predict
from ser_utils.training.folds import (
    FoldResult,
    cross_validate,
    fit_fold,
    load_model,
    predictions_table,
    train_together,
)
from ser_utils.training.merging import Merged, by_corpus, cross_corpus_fold, merge, remapped
from ser_utils.training.recipe import Recipe

__all__ = [
    "Batches",
    "Copies",
    "Experiment",
    "FoldResult",
    "Merged",
    "Normaliser",
    "Pretraining",
    "Recipe",
    "by_corpus",
    "cross_corpus_fold",
    "cross_validate",
    "fit",
    "fit_fold",
    "fit_normaliser",
    "fresh_net",
    "learning_rate",
    "load_model",
    "merge",
    "predict",
    "predictions_table",
    "remapped",
    "train_together",
]
