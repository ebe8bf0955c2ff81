"""Encoders of speech that were trained elsewhere: one signature, cached embeddings, heads and fine-tuning.

Nets in Keras are in :mod:`ser_utils.pretrained.byol_s`, :mod:`ser_utils.pretrained.heads` and
:mod:`ser_utils.pretrained.tuning`, which are imported by their full names: this package itself needs no TensorFlow.
"""

from ser_utils.pretrained.catalogue import ENCODERS, Encoder, entry, heard, not_run, status
from ser_utils.pretrained.embeddings import POOLINGS, STATISTICS, Embeddings, byol_s_input, embed, embed_frames
from ser_utils.pretrained.hub import get

__all__ = [
    "ENCODERS",
    "POOLINGS",
    "STATISTICS",
    "Embeddings",
    "Encoder",
    "byol_s_input",
    "embed",
    "embed_frames",
    "entry",
    "get",
    "heard",
    "not_run",
    "status",
]
