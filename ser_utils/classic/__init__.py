"""Classic models on rows of fixed length, under the leak gate: cross-validation, importance, leakage ladder.

UAR is that of all clips of a corpus together, each predicted by the fold that did not train on it. The mean of the UARs
of the folds is another number, and lower where a test speaker lacks emotions or has few clips of one.
"""

from ser_utils.classic.clips import SUFFIX
from ser_utils.classic.estimators import MODELS, GaussianClasses, Model, RowSpace
from ser_utils.classic.folds import FoldResult, cross_validate, facts_table, predictions_table
from ser_utils.classic.importance import column_groups, permutation_importance
from ser_utils.classic.ladder import RUNGS, ladder, rungs

__all__ = [
    "MODELS",
    "RUNGS",
    "SUFFIX",
    "FoldResult",
    "GaussianClasses",
    "Model",
    "RowSpace",
    "column_groups",
    "cross_validate",
    "facts_table",
    "ladder",
    "permutation_importance",
    "predictions_table",
    "rungs",
]
