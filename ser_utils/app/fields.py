"""The settings on the page: net, denoiser, noise, SNR."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from ser_utils.app import nets
from ser_utils.app.hearing import SNR_DB, Settings
from ser_utils.app.nets import NO_DENOISER, Nets
from ser_utils.app.sounds import NOISES

KEEP_S = 3600  # what a session holds in memory
QUEUE = {"concurrency_limit": 2, "concurrency_id": "net"}  # answers in work at once; more wait
COUNT = 4  # of the fields
QUIET = {"api_visibility": "private", "show_progress": "hidden"}


def build(known: Nets) -> tuple[list[Any], gr.HTML]:
    """Net, denoiser, noise, SNR; and what is known of the net's confidence."""
    names = choices(known)
    first = names[0][1] if names else None
    with gr.Row(elem_classes="settings"):
        model = gr.Dropdown(names, value=first, label="Net, with corpus and measured UAR", elem_id="net")
    with gr.Row(elem_classes="settings", equal_height=True):
        able = [("none", NO_DENOISER), *((title, name) for name, title in nets.denoisers().items())]
        denoiser = gr.Dropdown(able, value=NO_DENOISER, label="Denoiser", elem_id="denoiser", scale=2)
        noise = gr.Dropdown(list(NOISES), value=NOISES[0], label="Added noise", elem_id="noise", scale=1)
        snr = gr.Slider(*SNR_DB, value=10, step=1, label="Its SNR, dB", elem_id="snr", scale=2)
    about = gr.HTML(trust(known, first), elem_classes="trust")
    model.change(lambda name: trust(known, name), model, about, **QUIET)
    return [model, denoiser, noise, snr], about


def choices(known: Nets) -> list[tuple[str, str]]:
    """Line and name of each net."""
    return [(nets.line(name, card), name) for name, (_, card) in known.cards().items()]


def trust(known: Nets, name: str | None) -> str:
    """What is known of a net's confidence, as HTML."""
    cards = known.cards()
    if name not in cards:
        return ""
    card = cards[name][1]
    return f"<p class='quiet'><b>{html.escape(nets.line(name, card))}.</b> {html.escape(nets.trust(card))}</p>"


def refresh(known: Nets) -> Callable[[], tuple[Any, str]]:
    """Nets that were saved since the page was built."""

    def found() -> tuple[Any, str]:
        names = choices(known)
        first = names[0][1] if names else None
        return gr.Dropdown(choices=names, value=first), trust(known, first)

    return found


def settings(values: Sequence[Any]) -> Settings:
    """What the fields hold, in the order of :func:`build`."""
    model, denoiser, noise, snr = values
    return Settings(model or "", denoiser or NO_DENOISER, noise, float(snr))
