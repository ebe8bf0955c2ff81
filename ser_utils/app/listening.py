"""The live tab: a microphone whose parts come one at a time, and what was heard so far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ser_utils import study
from ser_utils.app import fields, live, words
from ser_utils.app.live import Listening
from ser_utils.app.nets import Nets

LIMIT_S = 600  # one session; a page that was forgotten does not listen on
BUTTON = '<button type="button">Listen</button> <span role="status" class="quiet"></span>'


def build(known: Nets, chosen: list[Any]) -> None:
    """Draw the tab, and say what answers what.

    Gradio's own streaming keeps one part that waits and drops the others while an answer is in work, so that nets hear
    speech with holes; the microphone here sends the next part, of any length, once the last one is answered.

    Parameters
    ----------
    known : Nets
    chosen : list
        See :func:`fields.build`.
    """
    state = gr.State(None, time_to_live=fields.KEEP_S)
    with gr.Row(elem_classes="listen"):
        with gr.Column(scale=1, min_width=280):
            microphone = gr.HTML(
                0,
                html_template=BUTTON,
                js_on_load=Path(__file__).with_name("listen.js").read_text(encoding="utf-8"),
                elem_id="stream",
                part_s=live.STEP_S,
                limit_s=LIMIT_S,
            )
            gr.HTML(f'<p class="quiet">The net hears the last {live.WINDOW_S:g} s, up to twice a second.</p>')
        with gr.Column(scale=1, min_width=280):
            answer = gr.HTML(words.listening(Listening()), elem_id="live")
    outputs = [answer, state, microphone]
    microphone.part(_heard(known), [state, *chosen], outputs, trigger_mode="multiple", **fields.QUIET, **fields.QUEUE)


def _heard(known: Nets) -> Callable[..., tuple[Any, ...]]:
    def heard(part: gr.EventData, before: Listening | None, *values: Any) -> tuple[Any, ...]:
        before = Listening() if part.begins or before is None else before
        try:
            after = live.step(before, *live.samples(part.pcm, part.rate), fields.settings(values), known)
        except study.UserError as error:
            return words.problem(str(error)), before, part.number
        return words.listening(after), after, part.number

    return heard
