"""Denoisers: one signature, the same length, the same place in time; a whole clip, or blocks where that exists.

``DENOISERS[name](y, sr=sr)`` denoises a clip, ``DENOISERS[name].stream()`` takes blocks, :func:`apply_all` denoises
many clips once. A denoiser whose weights are absent says in ``not_run`` how to get them.
"""

from __future__ import annotations

from ser_utils.denoise.base import Denoiser
from ser_utils.denoise.blocks import Stream
from ser_utils.denoise.catalogue import DENOISERS, gated, inner
from ser_utils.denoise.learnt import PUPILS, Learnt, gate, learn
from ser_utils.denoise.pairs import Pairs
from ser_utils.denoise.snr import removed_db, tracker_db, wada_db
from ser_utils.denoise.store import apply_all

__all__ = [
    "DENOISERS",
    "PUPILS",
    "Denoiser",
    "Learnt",
    "Pairs",
    "Stream",
    "apply_all",
    "gate",
    "gated",
    "inner",
    "learn",
    "removed_db",
    "tracker_db",
    "wada_db",
]
