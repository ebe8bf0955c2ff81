"""Acoustic features: frames, statistics, openSMILE sets and pictures, cached by content."""

from __future__ import annotations

from ser_utils.features.pitch import VOICED, f0
from ser_utils.features.sequences import Frames, extract, frames, log_mel, mfcc
from ser_utils.features.spec import CLIP_MEANS, KINDS, FrameSpec
from ser_utils.features.spectral import FLOOR, Spectrum, compute

__all__ = [
    "CLIP_MEANS",
    "FLOOR",
    "KINDS",
    "VOICED",
    "FrameSpec",
    "Frames",
    "Spectrum",
    "compute",
    "extract",
    "f0",
    "frames",
    "log_mel",
    "mfcc",
]
