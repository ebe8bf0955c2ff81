"""Acoustic features: frames, statistics, openSMILE sets and pictures, cached by content."""

from __future__ import annotations

from ser_utils.features import normalise, smile
from ser_utils.features.picture import image
from ser_utils.features.pitch import VOICED, f0
from ser_utils.features.sequences import Frames, extract, frames, log_mel, mfcc
from ser_utils.features.spec import CLIP_MEANS, KINDS, FrameSpec
from ser_utils.features.spectral import FLOOR, Spectrum, compute
from ser_utils.features.statistics import functionals, functionals_columns, vector110, vector110_columns
from ser_utils.features.tables import TABLES, Table, extract_table, not_run

__all__ = [
    "CLIP_MEANS",
    "FLOOR",
    "KINDS",
    "TABLES",
    "VOICED",
    "FrameSpec",
    "Frames",
    "Spectrum",
    "Table",
    "compute",
    "extract",
    "extract_table",
    "f0",
    "frames",
    "functionals",
    "functionals_columns",
    "image",
    "log_mel",
    "mfcc",
    "normalise",
    "not_run",
    "smile",
    "vector110",
    "vector110_columns",
]
