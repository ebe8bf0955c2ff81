"""Pictures of a recording as HTML: drawn in milliseconds, in the colours of the page, with words for who cannot see."""

from __future__ import annotations

import base64
import functools
import html
import io

import numpy as np
import pandas as pd

from ser_utils import features
from ser_utils.app import sounds
from ser_utils.report import EMOTION_COLOURS

COLUMNS = 480  # steps of a waveform
SPEC = features.FrameSpec(n_mels=64, hop_length=160)
RANGE_DB = 70.0  # of the colours below the loudest
UNSURE = "#8a949b"
NOT_SURE, PAUSE = "not sure", "pause"


def waveform(y: np.ndarray, weights: np.ndarray | None = None, *, title: str) -> str:
    """Waveform from −1 to 1; behind it, where given, the attention of each moment as a filled curve.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        At :data:`sounds.RATE`.
    weights : np.ndarray [shape=(n_frames,)], optional
        Attention over the same time, frames of equal length.
    title : str
    """
    seconds = len(y) / sounds.RATE
    body = f'<path class="wave" d="{_envelope(y)}"/>'
    alt = f"{title}: waveform of {seconds:.1f} s, peak {sounds.peak_db(y):.0f} dB of full scale"
    note = ""
    if weights is not None and weights.max() > 0:
        height = 100 - 100 * weights / weights.max()
        x = np.linspace(0, COLUMNS, len(height))
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, height, strict=True))
        body = f'<polygon class="attention" points="0,100 {line} {COLUMNS},100"/>{body}'
        peak = float(weights.argmax() / len(weights) * seconds)
        alt += f"; attention is greatest at {peak:.1f} s"
        note = ' <span class="key">shaded: attention of the net</span>'
    picture = f'<svg viewBox="0 0 {COLUMNS} 100" preserveAspectRatio="none" role="img" aria-label="{html.escape(alt)}">'
    return _figure(f"{html.escape(title)}{note}", f"{picture}{body}</svg>", seconds)


def _envelope(y: np.ndarray) -> str:
    """Outline of a signal: greatest and least sample of each column."""
    edges = np.linspace(0, len(y), min(COLUMNS, len(y)) + 1).astype(int)[:-1]
    x = np.linspace(0, COLUMNS, len(edges))
    top = 50 - 50 * np.clip(np.maximum.reduceat(y, edges), -1, 1)
    low = 50 - 50 * np.clip(np.minimum.reduceat(y, edges), -1, 1)
    points = [*zip(x, top, strict=True), *zip(x[::-1], low[::-1] + 0.4, strict=True)]
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points) + "Z"


def log_mel(y: np.ndarray, *, title: str) -> str:
    """Log-mel spectrogram, 0 to 8 kHz on the mel scale; light is loud."""
    from PIL import Image

    values = features.log_mel(y, SPEC).T[::-1]
    level = np.clip((values - values.max()) / RANGE_DB + 1, 0, 1)
    pixels = _colours()[(level * 255).astype(np.uint8)]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    alt = f"{title}: log-mel spectrogram, {RANGE_DB:.0f} dB from dark to light"
    picture = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    return _figure(f"{html.escape(title)}", picture, len(y) / sounds.RATE, unit="kHz 0–8")


@functools.cache
def _colours() -> np.ndarray:
    from matplotlib import colormaps

    return (colormaps["cividis"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def _figure(title: str, picture: str, seconds: float, *, unit: str = "") -> str:
    ends = f"<span>0 s</span><span>{html.escape(unit)}</span><span>{seconds:.1f} s</span>"
    return f'<figure class="sound"><figcaption>{title}</figcaption>{picture}<div class="ends">{ends}</div></figure>'


def bars(p: dict[str, float]) -> str:
    """Probabilities as bars, each with its name and number."""
    rows = []
    for label, value in sorted(p.items(), key=lambda one: -one[1]):
        colour = EMOTION_COLOURS.get(label, UNSURE)
        rows.append(
            f'<tr><th scope="row">{html.escape(label)}</th><td class="bar"><span style="width:{100 * value:.1f}%;'
            f'background:{colour}"></span></td><td class="number">{value:.2f}</td></tr>'
        )
    head = (
        '<thead class="hidden"><tr><th scope="col">emotion</th><td></td><th scope="col">probability</th></tr></thead>'
    )
    return f'<table class="bars">{head}<tbody>{"".join(rows)}</tbody></table>'


def timeline(table: pd.DataFrame, *, seconds: float) -> str:
    """Windows over time, each in the colour of its emotion and with its name; grey where the net was not sure.

    Parameters
    ----------
    table : pd.DataFrame
        ``start_s, end_s, emotion, sure``; overlapping windows share their overlap.
    seconds : float
        Length of the line.
    """
    said = table["emotion"].where(table["sure"], NOT_SURE)
    edges = [*table["start_s"], seconds]
    parts = []
    for i, (row, label) in enumerate(zip(table.itertuples(), said, strict=True)):
        width = 100 * (edges[i + 1] - edges[i]) / seconds
        before = f"margin-left:{100 * edges[0] / seconds:.2f}%;" if not i else ""
        title = f"{row.start_s:.1f}–{row.end_s:.1f} s: {html.escape(label)}"
        parts.append(f'<span style="width:{width:.2f}%;{before}background:{_colour(label)}" title="{title}"></span>')
    legend = "".join(
        f'<span><i style="background:{_colour(label)}"></i>{html.escape(label)}</span>' for label in dict.fromkeys(said)
    )
    words = html.escape(_changes(table["start_s"], said))
    line = f'<div class="timeline" role="img" aria-label="{words}">{"".join(parts)}</div>'
    return _figure("Over time", line, seconds) + f'<p class="legend">{legend}</p><p class="quiet">{words}</p>'


def _colour(label: str) -> str:
    return {NOT_SURE: UNSURE, PAUSE: "transparent"}.get(label, EMOTION_COLOURS.get(label, UNSURE))


def _changes(starts: pd.Series, said: pd.Series, *, most: int = 12) -> str:
    """When the answer became another, the last ones, in words: colour alone tells too few."""
    turns = said.ne(said.shift())
    told = [f"{start:.1f} s {label}" for start, label in zip(starts[turns], said[turns], strict=True)]
    return ("… " if len(told) > most else "") + " · ".join(told[-most:])


def meter(y: np.ndarray) -> str:
    """Level of a recording from −60 to 0 dB of full scale, with a warning where it is clipped."""
    from ser_utils import audio

    peak = sounds.peak_db(y)
    level = audio.level_db(y) if len(y) else -120.0
    share = float(np.clip((peak + 60) / 60, 0, 1))
    state = "clipped" if peak > -0.1 else "quiet" if peak < -35 else "good"
    advice = {"clipped": "clipped: speak softer", "quiet": "very soft: move closer", "good": "level is fine"}[state]
    words = f"Level: peak {round(peak)} dB, mean {round(level)} dB of full scale; {advice}."
    return (
        f'<div class="meter {state}" role="img" aria-label="{words}">'
        f'<span style="width:{100 * share:.0f}%"></span></div>'
        f'<p class="quiet">{words}</p>'
    )
