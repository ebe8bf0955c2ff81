"""The tab for a recording, a file or an example: its answer at once, its pictures and downloads a moment later."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ser_utils import study
from ser_utils.app import fields, sounds, words
from ser_utils.app.hearing import Heard, hear
from ser_utils.app.nets import Nets
from ser_utils.app.sounds import Sound

Shown = tuple[Any, ...]  # answer, details, downloads, log
NOTHING: Shown = (words.WAITING, "", "", [])
LATE: Shown = (gr.skip(),) * 4
SAME = fields.QUIET | fields.QUEUE | {"trigger_mode": "always_last"}  # "once" drops what comes while one is in work


@dataclass
class Turn:
    """The newest sound of a session, and what was heard in it; what was in work for an older one must not be shown."""

    number: int = 0
    sound: Sound | None = None
    heard: Heard | None = None

    def take(self, sound: Sound | None = None) -> Callable[[], bool]:
        """Begin the turn of a sound, which may come later, and get the question whether it still is the newest."""
        self.number, self.sound, self.heard = self.number + 1, sound, None
        return self.newest()

    def newest(self) -> Callable[[], bool]:
        """The question whether this turn still is the newest."""
        mine = self.number
        return lambda: mine == self.number


def build(known: Nets, chosen: list[Any]) -> None:
    """Draw the tab, and say what answers what.

    Parameters
    ----------
    known : Nets
    chosen : list
        See :func:`fields.build`.
    """
    turn, log = (gr.State(value, time_to_live=fields.KEEP_S) for value in (Turn(), []))
    with gr.Row(elem_classes="listen"):
        with gr.Column(scale=1, min_width=280):
            microphone, upload, examples, keep = _sources()
        with gr.Column(scale=1, min_width=280):
            answer = gr.HTML(words.WAITING, elem_id="answer")
            downloads = gr.HTML("", elem_id="downloads")
    details = gr.HTML("", elem_id="details")
    inputs = [turn, keep, log, *chosen]
    outputs = [answer, details, downloads, log, turn]  # the turn too: from then on it is kept for an hour

    def answers(event: Callable[..., Any], shown: Callable[..., Shown], *source: Any) -> None:
        first = event(shown, [*inputs, *source], outputs, **SAME)
        first.then(_pictures, [turn, log], [details, downloads], **SAME)

    for source, event in ((microphone, microphone.stop_recording), (upload, upload.upload)):
        answers(event, _new(known, sounds.read), source)
        source.clear(_clear, turn, outputs, api_visibility="private", queue=False)
    for name, button in examples.items():
        answers(button.click, _new(known, functools.partial(sounds.example, name)))
    for setting in chosen:
        answers(setting.release if isinstance(setting, gr.Slider) else setting.input, _again(known))


def _sources() -> tuple[gr.Audio, gr.File, dict[str, gr.Button], gr.Checkbox]:
    """Microphone, file, examples by name, and whether a log is kept."""
    microphone = gr.Audio(
        sources=["microphone"],
        type="filepath",
        label="Record",
        elem_id="microphone",
        editable=False,
        buttons=["download"],
    )
    upload = gr.File(label=f"or a sound file, up to {sounds.MAX_MB} MB", elem_id="upload", height=150)
    gr.HTML('<p class="quiet">or an example (synthetic speech):</p>')
    with gr.Row(elem_classes="examples"):
        examples = {name: gr.Button(name, size="sm", min_width=60) for name in sounds.demo.EMOTIONS}
    return (
        microphone,
        upload,
        examples,
        gr.Checkbox(False, label="Keep a log of this session, in memory", elem_id="log"),
    )


def _clear(turn: Turn) -> Shown:
    turn.take()
    return *NOTHING, turn


def _new(known: Nets, read: Callable[..., Sound]) -> Callable[..., Shown]:
    """Answer a sound that `read` makes, of a file where the inputs end with one."""

    def shown(turn: Turn, keeps: bool, lines: list, *values: Any) -> Shown:
        settings, file = values[: fields.COUNT], values[fields.COUNT :]
        newest = turn.take()
        try:
            sound = read(*file)
        except study.UserError as error:
            return *(_problem(error, lines) if newest() else LATE), turn
        return *(_told(known, turn, sound, keeps, lines, settings) if newest() else LATE), turn

    return shown


def _again(known: Nets) -> Callable[..., Shown]:
    """Answer the sound that is there under other settings."""

    def shown(turn: Turn, keeps: bool, lines: list, *settings: Any) -> Shown:
        told = LATE if turn.sound is None else _told(known, turn, turn.sound, keeps, lines, settings)
        return *told, turn

    return shown


def _told(known: Nets, turn: Turn, sound: Sound, keeps: bool, lines: list, settings: Sequence[Any]) -> Shown:
    newest = turn.take(sound)
    try:
        heard = hear(sound, fields.settings(settings), known)
    except study.UserError as error:
        return _problem(error, lines) if newest() else LATE
    if not newest():
        return LATE
    turn.heard = heard
    lines = [*lines, words.log_row(heard, time.strftime("%H:%M:%S"))] if keeps else []
    return words.answer(heard), gr.skip(), "", lines  # a link of the last sound would stand beside this answer


def _problem(error: study.UserError, lines: list) -> Shown:
    return words.problem(str(error)), "", "", lines


def _pictures(turn: Turn, lines: list) -> tuple[Any, Any]:
    """Details and downloads, a moment after the answer: they take longer."""
    newest, heard = turn.newest(), turn.heard
    if heard is None:
        return gr.skip(), gr.skip()
    drawn = words.details(heard), words.downloads(heard, lines)
    return drawn if newest() else (gr.skip(), gr.skip())
