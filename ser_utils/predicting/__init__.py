"""Emotions of any sound file under a saved net: one row for a clip, a timeline for a long recording."""

from ser_utils.predicting.files import collect
from ser_utils.predicting.sound import Piece, is_silent, pieces
from ser_utils.predicting.table import COLUMNS, hear, predict, save

__all__ = ["COLUMNS", "Piece", "collect", "hear", "is_silent", "pieces", "predict", "save"]
