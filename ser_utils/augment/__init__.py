"""Augmentation of training clips: waveforms by name, and batches of frame features.

Validation and test clips never pass through here.
"""

from __future__ import annotations

from ser_utils.audio import active_level_db
from ser_utils.augment.catalogue import AUGMENTATIONS, Augmentation, Range
from ser_utils.augment.copies import augmented_frames, copies, with_originals
from ser_utils.augment.frames import FrameAugmentation, disturb
from ser_utils.augment.sounds import effect
from ser_utils.augment.waveform import Chain, apply, draw, render, replay

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Chain",
    "FrameAugmentation",
    "Range",
    "active_level_db",
    "apply",
    "augmented_frames",
    "copies",
    "disturb",
    "draw",
    "effect",
    "render",
    "replay",
    "with_originals",
]
