"""Recognition in noise: one bench per corpus that makes every (clip, noise, SNR, denoiser) once, and models that are
trained once per regime and tested under all conditions.

Regimes, with one denoiser or none: ``clean``; ``noisy`` (noisy copies besides); ``denoised`` (clips and noisy copies,
all denoised); ``noisy+denoised`` (clips, noisy copies, and the same copies denoised). Nets are in
:mod:`ser_utils.robustness.nets`, figures in :mod:`ser_utils.robustness.pictures`.
"""

from ser_utils.robustness.bench import REGIMES, Bench, Clips, Regime, fewer
from ser_utils.robustness.classic import classic_grid, encoder_grid
from ser_utils.robustness.measures import costs, gains, not_run, quality_table, rank_correlations
from ser_utils.robustness.tables import (
    against_none,
    best_recovery,
    confusions,
    curves,
    gates,
    protocols,
    recovered,
    remedies,
    side_by_side,
    spelled,
)
from ser_utils.robustness.teaching import at_hand, teach

__all__ = [
    "REGIMES",
    "Bench",
    "Clips",
    "Regime",
    "against_none",
    "at_hand",
    "best_recovery",
    "classic_grid",
    "confusions",
    "costs",
    "curves",
    "encoder_grid",
    "fewer",
    "gains",
    "gates",
    "not_run",
    "protocols",
    "quality_table",
    "rank_correlations",
    "recovered",
    "remedies",
    "side_by_side",
    "spelled",
    "teach",
]
