"""The page: what stands on it, and which function answers what. Gradio draws it; every answer is HTML made here."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ser_utils import decoding, study
from ser_utils.app import live, nets, sounds, words
from ser_utils.app.hearing import SNR_DB, Heard, Settings, hear
from ser_utils.app.live import STEP_S, Listening
from ser_utils.app.nets import NO_DENOISER, Nets
from ser_utils.app.sounds import NOISES, Sound

DELETE_S = (20, 120)  # how often, and from which age on, temporary files are deleted
KEEP_S = 3600  # a recording in memory
LISTEN_S = 600  # one live session
AT_ONCE = 2  # answers in work; more wait
SYSTEM = ("system-ui", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "Arial", "sans-serif")
COLOURS = {  # of the report, light and dark → what of the page has them
    ("#fbfbf9", "#14181b"): "body_background_fill button_primary_text_color",
    ("#ffffff", "#1b2024"): "block_background_fill background_fill_primary checkbox_background_color",
    ("#f1f2ef", "#20262b"): "input_background_fill button_secondary_background_fill background_fill_secondary",
    ("#1c2327", "#e3e7e9"): "body_text_color button_secondary_text_color checkbox_label_text_color",
    (
        "#56616a",
        "#9fabb3",
    ): "body_text_color_subdued block_label_text_color block_title_text_color block_info_text_color",
    ("#dcdfdc", "#30383e"): "border_color_primary block_border_color button_secondary_border_color",
    (
        "#0a5c78",
        "#7cc7e0",
    ): "button_primary_background_fill slider_color border_color_accent link_text_color",
    ("#0d7193", "#a5d9ea"): "button_primary_background_fill_hover",
    ("#e5f0f4", "#17303a"): "button_secondary_background_fill_hover color_accent_soft",
}
MONO = ("ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """The colours and the fonts of the report; all fonts are those of the system."""
    plain = gr.themes.Base(neutral_hue="slate", font=SYSTEM, font_mono=MONO, radius_size="sm", text_size="md")
    pairs = {name: pair for pair, names in COLOURS.items() for name in names.split()}
    light = {name: pair[0] for name, pair in pairs.items()}
    return plain.set(color_accent="#0a5c78", **light, **{f"{name}_dark": pair[1] for name, pair in pairs.items()})


def build(known: Nets, *, train: Callable[..., Path] | None = None) -> gr.Blocks:
    """The page over these nets.

    Parameters
    ----------
    known : Nets
    train : callable, optional
        Makes the first net, as :func:`ser_utils.app.first.train`, which is the default.
    """
    with gr.Blocks(title="What do the nets hear?", analytics_enabled=False, delete_cache=DELETE_S) as page:
        gr.HTML(words.OPENING)
        offer = _offer(known)
        chosen, trust = _settings(known)
        with gr.Tabs():
            with gr.Tab("Recording"):
                _recording(known, chosen)
            with gr.Tab("Live"):
                _live(known, chosen)
            with gr.Tab("Limits"):
                about = gr.HTML(words.about([card for _, card in known.cards().values()]))
        _train(known, train, offer, chosen[0], trust, about)
        page.load(_refresh(known), None, [chosen[0], trust], api_visibility="private")
        _endpoint(known)
    return page


# --- settings ---------------------------------------------------------------------------------------------------


def _settings(known: Nets) -> tuple[list[Any], gr.HTML]:
    """Net, denoiser, noise, SNR; and what is known of the net's confidence."""
    names = _choices(known)
    first = names[0][1] if names else None
    with gr.Row(elem_classes="settings"):
        model = gr.Dropdown(names, value=first, label="Net, with corpus and measured UAR", elem_id="net")
    with gr.Row(elem_classes="settings", equal_height=True):
        able = [("none", NO_DENOISER), *((title, name) for name, title in nets.denoisers().items())]
        denoiser = gr.Dropdown(able, value=NO_DENOISER, label="Denoiser", elem_id="denoiser", scale=2)
        noise = gr.Dropdown(list(NOISES), value=NOISES[0], label="Added noise", elem_id="noise", scale=1)
        snr = gr.Slider(*SNR_DB, value=10, step=1, label="Its SNR, dB", elem_id="snr", scale=2)
    trust = gr.HTML(_trust(known, first), elem_classes="trust")
    model.change(lambda name: _trust(known, name), model, trust, api_visibility="private", show_progress="hidden")
    return [model, denoiser, noise, snr], trust


def _choices(known: Nets) -> list[tuple[str, str]]:
    return [(nets.line(name, card), name) for name, (_, card) in known.cards().items()]


def _trust(known: Nets, name: str | None) -> str:
    cards = known.cards()
    if name not in cards:
        return ""
    card = cards[name][1]
    return f"<p class='quiet'><b>{html.escape(nets.line(name, card))}.</b> {html.escape(nets.trust(card))}</p>"


def _refresh(known: Nets) -> Callable[[], tuple[Any, str]]:
    """Nets that were saved since the page was built."""

    def refresh() -> tuple[Any, str]:
        names = _choices(known)
        first = names[0][1] if names else None
        return gr.Dropdown(choices=names, value=first), _trust(known, first)

    return refresh


# --- the first net ----------------------------------------------------------------------------------------------


def _offer(known: Nets) -> tuple[gr.Group, gr.Button, gr.HTML]:
    with gr.Group(visible=not known.cards()) as group:
        gr.HTML(words.FIRST)
        button = gr.Button("Train the first net", variant="primary", elem_id="train")
        told = gr.HTML("", elem_id="training")
    return group, button, told


def _train(
    known: Nets, train: Callable[..., Path] | None, offer: tuple, model: gr.Dropdown, trust: gr.HTML, about: gr.HTML
):
    group, button, told = offer

    def work(progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008 - how Gradio passes it
        from ser_utils.app import first

        try:
            (train or first.train)(tell=lambda share, text: progress(share, desc=text))
        except study.UserError as error:
            return gr.Group(visible=True), words.problem(str(error)), gr.skip(), gr.skip(), gr.skip()
        cards = [card for _, card in known.cards().values()]
        return gr.Group(visible=False), "", *_refresh(known)(), words.about(cards)

    button.click(work, None, [group, told, model, trust, about], api_visibility="private", concurrency_limit=1)


# --- a recording ------------------------------------------------------------------------------------------------


def _recording(known: Nets, chosen: list[Any]) -> None:
    held = gr.State(None, time_to_live=KEEP_S)
    log = gr.State([], time_to_live=KEEP_S)
    with gr.Row(elem_classes="listen"):
        with gr.Column(scale=1, min_width=280):
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
                examples = [gr.Button(name, size="sm", min_width=60) for name in sounds.demo.EMOTIONS]
            keep = gr.Checkbox(False, label="Keep a log of this session, in memory", elem_id="log")
        with gr.Column(scale=1, min_width=280):
            answer = gr.HTML(words.WAITING, elem_id="answer")
            downloads = gr.HTML("", elem_id="downloads")
    details = gr.HTML("", elem_id="details")

    def told(sound: Sound | None, keeps: bool, lines: list, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The answer first; pictures and downloads a moment later."""
        if sound is None:
            yield words.WAITING, "", "", [], None
            return
        try:
            heard = hear(sound, _of(values), known)
        except study.UserError as error:
            yield words.problem(str(error)), "", "", lines, sound
            return
        lines = [*lines, words.log_row(heard, time.strftime("%H:%M:%S"))] if keeps else []
        yield words.answer(heard), gr.skip(), gr.skip(), lines, sound
        yield gr.skip(), words.details(heard), words.downloads(heard, lines), gr.skip(), gr.skip()

    def from_file(path: str | None, keeps: bool, lines: list, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            sound = None if path is None else sounds.read(path)
        except study.UserError as error:
            yield words.problem(str(error)), "", "", lines, None
            return
        yield from told(sound, keeps, lines, *values)

    outputs = [answer, details, downloads, log, held]
    same = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "trigger_mode": "always_last",  # "once" drops a sound that comes while the last one's pictures are drawn
        "concurrency_limit": AT_ONCE,
        "concurrency_id": "net",
    }
    microphone.stop_recording(from_file, [microphone, keep, log, *chosen], outputs, **same)
    upload.upload(from_file, [upload, keep, log, *chosen], outputs, **same)
    for source in (microphone, upload):
        source.clear(lambda: (words.WAITING, "", "", [], None), None, outputs, api_visibility="private", queue=False)
    for button, name in zip(examples, sounds.demo.EMOTIONS, strict=True):
        button.click(_example(name, told), [keep, log, *chosen], outputs, **same)
    for setting in chosen:
        event = setting.release if isinstance(setting, gr.Slider) else setting.input
        event(told, [held, keep, log, *chosen], outputs, **same)


def _example(name: str, told: Callable[..., Iterator]) -> Callable[..., Iterator]:
    def ask(keeps: bool, lines: list, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from told(sounds.example(name), keeps, lines, *values)

    return ask


def _of(values: tuple) -> Settings:
    model, denoiser, noise, snr = values
    return Settings(model or "", denoiser or NO_DENOISER, noise, float(snr))


# --- live -------------------------------------------------------------------------------------------------------


def _live(known: Nets, chosen: list[Any]) -> None:
    state = gr.State(None, time_to_live=KEEP_S)
    with gr.Row(elem_classes="listen"):
        with gr.Column(scale=1, min_width=280):
            microphone = gr.Audio(
                sources=["microphone"], type="filepath", streaming=True, label="Listen", elem_id="stream", buttons=[]
            )
            gr.HTML(f'<p class="quiet">The net hears the last {live.WINDOW_S:g} s, twice a second.</p>')
        with gr.Column(scale=1, min_width=280):
            answer = gr.HTML(words.listening(Listening()), elem_id="live")

    def heard(path: str | None, before: Listening | None, *values: Any) -> tuple[Any, Any]:
        if path is None:
            return gr.skip(), before
        try:
            y, rate = decoding.read(path)
            after = live.step(before or Listening(), y.mean(axis=1), rate, _of(values), known)
        except (ValueError, study.UserError) as error:
            return words.problem(str(error)), before
        return words.listening(after), after

    how = {"api_visibility": "private", "show_progress": "hidden"}
    microphone.start_recording(lambda: Listening(), None, state, **how)
    microphone.stream(
        heard,
        [microphone, state, *chosen],
        [answer, state],
        stream_every=STEP_S,
        time_limit=LISTEN_S,
        concurrency_limit=20,
        **how,
    )


# --- for programs -----------------------------------------------------------------------------------------------


def _endpoint(known: Nets) -> None:
    """``/predict`` for :mod:`gradio_client`: a file and the settings, and what was heard."""
    with gr.Group(visible=False):
        file, model = gr.File(), gr.Textbox("")
        denoiser, noise, snr = gr.Textbox(NO_DENOISER), gr.Textbox(NOISES[0]), gr.Number(10)
        result, button = gr.JSON(), gr.Button()

    def predict(file: str, model: str, denoiser: str, noise: str, snr_db: float) -> dict[str, Any]:
        """What a net hears in a sound file; empty `model` takes the first."""
        try:
            return as_json(hear(sounds.read(file), _of((model, denoiser, noise, snr_db)), known))
        except study.UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    button.click(
        predict,
        [file, model, denoiser, noise, snr],
        result,
        api_name="predict",
        concurrency_limit=AT_ONCE,
        concurrency_id="net",
    )


def as_json(heard: Heard) -> dict[str, Any]:
    """What was heard as JSON holds it; what was not measured is null."""
    rows = heard.table.astype(object).where(heard.table.notna(), None).to_dict("records")
    settings = {"denoiser": heard.settings.denoiser, "noise": heard.settings.noise, "snr_db": heard.settings.snr_db}
    rows = [
        {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()} for row in rows
    ]
    return {"model": heard.net.name, **settings, "verdict": heard.verdict, "windows": rows, "took_s": heard.took_s}
