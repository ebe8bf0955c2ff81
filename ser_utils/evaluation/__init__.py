"""Scores with intervals, computed from saved predictions and from nothing else.

The headline is the unweighted average recall (UAR), the mean of the recalls of all classes, as in the first
Interspeech emotion challenge [1]_: a model that always answers the most frequent emotion gains nothing. Speakers are
the unit of uncertainty: clips of one person resemble each other, so intervals come from resampling whole speakers
[2]_ [3]_. The interval says how much a score would move with other people from the same corpus; it says nothing about
another corpus, another language or another training run.

The middle 95 % of the draws is too narrow for few groups [4]_, so the limits lie as many standard errors of the draws
from the score as Student's t asks for: :func:`limits`. :func:`coverage` simulates how often they hold the truth, and
:func:`headline` warns below ``FEW_SPEAKERS``. Overlap does not show that two models are equal; the paired interval of
their difference decides: :func:`difference`.

References
----------
.. [1] Schuller, Steidl, Batliner: The INTERSPEECH 2009 emotion challenge. doi:10.21437/Interspeech.2009-103
.. [2] Bisani, Ney: Bootstrap estimates for confidence intervals in ASR performance evaluation. ICASSP 2004.
   doi:10.1109/ICASSP.2004.1326009
.. [3] Ferrer, Riera: Confidence intervals for evaluation in machine learning. https://github.com/luferrer/ConfidenceIntervals
.. [4] Cameron, Gelbach, Miller: Bootstrap-based improvements for inference with clustered errors. 2008.
   doi:10.1162/rest.90.3.414
"""

from ser_utils.evaluation import artefacts, calibration, errors, selective
from ser_utils.evaluation.ensembles import ensemble
from ser_utils.evaluation.intervals import coverage, difference, differences
from ser_utils.evaluation.paired import holm, swap_test
from ser_utils.evaluation.permuted import permuted
from ser_utils.evaluation.predictions import (
    SYSTEM,
    TASK,
    answers,
    load_predictions,
    save_predictions,
    validate_predictions,
)
from ser_utils.evaluation.repeated import corrected_t, mcnemar
from ser_utils.evaluation.results import (
    BASELINES,
    FEW_SPEAKERS,
    headline,
    interval_text,
    interval_texts,
    knows_speaker,
    load_results,
    results_table,
    save_results,
    uar_by,
)
from ser_utils.evaluation.scores import bootstrap, classes, confusion, limits, metrics, speaker_counts, uar
from ser_utils.evaluation.several import by_speaker, ranking, wilcoxon

__all__ = [
    "BASELINES",
    "FEW_SPEAKERS",
    "SYSTEM",
    "TASK",
    "answers",
    "artefacts",
    "bootstrap",
    "by_speaker",
    "calibration",
    "classes",
    "confusion",
    "corrected_t",
    "coverage",
    "difference",
    "differences",
    "ensemble",
    "errors",
    "headline",
    "holm",
    "interval_text",
    "interval_texts",
    "knows_speaker",
    "limits",
    "load_predictions",
    "load_results",
    "mcnemar",
    "metrics",
    "permuted",
    "ranking",
    "results_table",
    "save_predictions",
    "save_results",
    "selective",
    "speaker_counts",
    "swap_test",
    "uar",
    "uar_by",
    "validate_predictions",
    "wilcoxon",
]
