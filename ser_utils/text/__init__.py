"""Text: what was said, as words or as vectors, and what can be told from it alone."""

from ser_utils.text.chance import Chance, chance_check
from ser_utils.text.embedding import encode, table, tokens
from ser_utils.text.encoders import ENCODERS, entry, not_run, status
from ser_utils.text.linear import METRICS, FoldResult, cross_validate, predictions_table
from ser_utils.text.pieces import pieces
from ser_utils.text.tables import same_words, transcripts, with_context

__all__ = [
    "ENCODERS",
    "METRICS",
    "Chance",
    "FoldResult",
    "chance_check",
    "cross_validate",
    "encode",
    "entry",
    "not_run",
    "pieces",
    "predictions_table",
    "same_words",
    "status",
    "table",
    "tokens",
    "transcripts",
    "with_context",
]
