"""Trained nets to keep: one ``.keras`` file each, with preprocessing, labels and what is known of its score."""

from ser_utils.saved.card import Card, available, find, read_card
from ser_utils.saved.export import to_onnx, to_tflite
from ser_utils.saved.store import SavedModel, best, load, save

__all__ = [
    "Card",
    "SavedModel",
    "available",
    "best",
    "find",
    "load",
    "read_card",
    "save",
    "to_onnx",
    "to_tflite",
]
