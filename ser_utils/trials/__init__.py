"""Trials of nets: which net, on which features, by which recipe, is trained on which corpora; and the tables of it.

What notebooks on nets share: :func:`tasks` (clips and folds per corpus), :class:`Variant` (a row of the study),
:func:`run`, :func:`predictions`, and what compares: merged corpora, one corpus against the others, the leakage ladder.

A score of some of the folds is no score of the corpus. :func:`predictions` holds trials of all folds alone; those of a
few folds are in :func:`on_folds`, under a split of their own such as ``published_folds_1_to_2``, beside all others on
the same folds.
"""

from ser_utils.trials.boards import board, keep, luck, people, sentences
from ser_utils.trials.leakage import RUNGS, ladder, rungs
from ser_utils.trials.mixed import apart, beside, crossed, merged, pretraining, to_seven
from ser_utils.trials.running import run
from ser_utils.trials.tables import (
    CLIP_S,
    Aside,
    choices,
    costs,
    histories,
    mistakes,
    on_folds,
    predictions,
    with_ensembles,
)
from ser_utils.trials.variants import (
    Task,
    Trial,
    Variant,
    experiment,
    frames,
    overview,
    paced,
    split_name,
    tasks,
    words,
)

__all__ = [
    "CLIP_S",
    "RUNGS",
    "Aside",
    "Task",
    "Trial",
    "Variant",
    "apart",
    "beside",
    "board",
    "choices",
    "costs",
    "crossed",
    "experiment",
    "frames",
    "histories",
    "keep",
    "ladder",
    "luck",
    "merged",
    "mistakes",
    "on_folds",
    "overview",
    "paced",
    "people",
    "predictions",
    "pretraining",
    "run",
    "rungs",
    "sentences",
    "split_name",
    "tasks",
    "to_seven",
    "with_ensembles",
    "words",
]
