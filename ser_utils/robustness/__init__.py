"""Recognition in noise: one bench per corpus that makes every (clip, noise, SNR, denoiser) once, and models that are
trained once per regime and tested under all conditions.

Regimes, with one denoiser or none: ``clean``; ``noisy`` (noisy copies besides); ``denoised`` (clips and noisy copies,
all denoised); ``noisy+denoised`` (clips, noisy copies, and the same copies denoised).
"""

from ser_utils.robustness.bench import REGIMES, Bench, Clips, Regime, condition
from ser_utils.robustness.classic import classic_grid
from ser_utils.robustness.measures import costs, not_run, quality_table, rank_correlations
from ser_utils.robustness.tables import against_none, confusions, curves, recovered, spelled

__all__ = [
    "REGIMES",
    "Bench",
    "Clips",
    "Regime",
    "against_none",
    "classic_grid",
    "condition",
    "confusions",
    "costs",
    "curves",
    "not_run",
    "quality_table",
    "rank_correlations",
    "recovered",
    "spelled",
]
