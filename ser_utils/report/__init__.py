"""What a reader sees: figures, tables and players in notebooks, and the HTML report made of them.

In a notebook: :func:`style`, :func:`figure`, :func:`table`, :func:`card` and :func:`audio_player`. After a run:
:func:`render_page` for each notebook and :func:`render_index` for the report's first page and its run record.
Every score shown is read from saved results. Heavy libraries are imported only by the function that needs them.
"""

from ser_utils.report.blocks import audio_player, card, table
from ser_utils.report.checks import problems
from ser_utils.report.figures import EMOTION_COLOURS, EMOTION_MARKERS, figure, style
from ser_utils.report.index import render_index
from ser_utils.report.pages import render_page

__all__ = [
    "EMOTION_COLOURS",
    "EMOTION_MARKERS",
    "audio_player",
    "card",
    "figure",
    "problems",
    "render_index",
    "render_page",
    "style",
    "table",
]
