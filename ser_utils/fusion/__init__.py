"""Fusion of what is heard with what was said, and of several systems with each other."""

from ser_utils.fusion.folds import FoldResult, cross_validate, fit_fold, load_model, predictions_table
from ser_utils.fusion.late import late
from ser_utils.fusion.nets import BUILDERS, attention
from ser_utils.fusion.pairs import CONDITIONS, RECIPE, SHUFFLED, Experiment, Pairs, fit_normalisers, sequences
from ser_utils.fusion.stacking import METHODS, Stacked, stack, validation_folds

__all__ = [
    "BUILDERS",
    "CONDITIONS",
    "METHODS",
    "RECIPE",
    "SHUFFLED",
    "Experiment",
    "FoldResult",
    "Pairs",
    "Stacked",
    "attention",
    "cross_validate",
    "fit_fold",
    "fit_normalisers",
    "late",
    "load_model",
    "predictions_table",
    "sequences",
    "stack",
    "validation_folds",
]
