"""Acoustic features: frames, statistics, openSMILE sets and pictures, cached by content.

librosa is the reference for every spectral value here (McFee et al. 2015, doi:10.25080/Majora-7b98e3ed-003).
"""

from __future__ import annotations

from ser_utils.features.pitch import VOICED, f0
from ser_utils.features.sequences import CLIP_MEANS, FLOOR, KINDS, Frames, FrameSpec, extract, frames, log_mel, mfcc

__all__ = [
    "CLIP_MEANS",
    "FLOOR",
    "KINDS",
    "VOICED",
    "FrameSpec",
    "Frames",
    "extract",
    "f0",
    "frames",
    "log_mel",
    "mfcc",
]
