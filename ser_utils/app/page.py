"""The page: what stands on it, and which function answers what. Gradio draws it; every answer is HTML made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ser_utils import study
from ser_utils.app import fields, listening, recording, sounds, words
from ser_utils.app.hearing import Heard, hear
from ser_utils.app.nets import NO_DENOISER, Nets
from ser_utils.app.sounds import NOISES

DELETE_S = (20, 120)  # how often, and from which age on, temporary files are deleted
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
        chosen, trust = fields.build(known)
        with gr.Tabs():
            with gr.Tab("Recording"):
                recording.build(known, chosen)
            with gr.Tab("Live"):
                listening.build(known, chosen)
            with gr.Tab("Limits"):
                about = gr.HTML(words.about([card for _, card in known.cards().values()]))
        _train(known, train, offer, chosen[0], trust, about)
        page.load(fields.refresh(known), None, [chosen[0], trust], api_visibility="private")
        _endpoint(known)
    return page


# --- the first net ----------------------------------------------------------------------------------------------


def _offer(known: Nets) -> tuple[gr.Group, gr.Button, gr.HTML]:
    with gr.Group(visible=not known.cards(), elem_classes="offer") as group:
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
        return gr.Group(visible=False), "", *fields.refresh(known)(), words.about(cards)

    button.click(work, None, [group, told, model, trust, about], api_visibility="private", concurrency_limit=1)


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
            return as_json(hear(sounds.read(file), fields.settings((model, denoiser, noise, snr_db)), known))
        except study.UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    button.click(
        predict,
        [file, model, denoiser, noise, snr],
        result,
        api_name="predict",
        **fields.QUEUE,
    )


def as_json(heard: Heard) -> dict[str, Any]:
    """What was heard as JSON holds it; what was not measured is null."""
    rows = heard.table.astype(object).where(heard.table.notna(), None).to_dict("records")
    settings = {"denoiser": heard.settings.denoiser, "noise": heard.settings.noise, "snr_db": heard.settings.snr_db}
    rows = [
        {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()} for row in rows
    ]
    return {"model": heard.net.name, **settings, "verdict": heard.verdict, "windows": rows, "took_s": heard.took_s}
