"""Noise for speech: which files may be heard where, who gets which, and speech that is mixed with it.

A condition says what is mixed in (``noise=rain;snr_db=5``), :func:`plan` says which noise files are for training, for
validation and for tests, :func:`draw` gives every clip its own, and :func:`render` mixes and keeps the sound.
"""

from __future__ import annotations

from ser_utils.noise.conditions import CLEAN, GRID, SETS, SNRS_DB, UNSEEN, Condition, grid
from ser_utils.noise.drawing import copies, draw, gate
from ser_utils.noise.folders import FOLDERS
from ser_utils.noise.mixing import mixed, render
from ser_utils.noise.plans import available, choose, plan

__all__ = [
    "CLEAN",
    "FOLDERS",
    "GRID",
    "SETS",
    "SNRS_DB",
    "UNSEEN",
    "Condition",
    "available",
    "choose",
    "copies",
    "draw",
    "gate",
    "grid",
    "mixed",
    "plan",
    "render",
]
