"""What the page says, as HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_utils.app import pictures, sounds
from ser_utils.app.attention import over_time
from ser_utils.app.hearing import NO_SPEECH, NOT_SURE, Heard
from ser_utils.app.live import WINDOW_S, Listening
from ser_utils.app.nets import absent
from ser_utils.app.sounds import MAX_MB, MAX_S, NO_NOISE, RISE_DB, SOFT_DB, SPEECH_DB, SPEECH_S
from ser_utils.predicting import command
from ser_utils.saved import Card

OPENING = """<header><h1>What do the nets hear?</h1>
<p class="lede">Speak, or take a sound file, and see which emotion a saved net finds in the voice; add noise, and see
what breaks and what a denoiser mends.</p>
<p class="private"><strong>Nothing is stored or sent.</strong> The sound goes to the program on this computer, stays in
its memory for an hour at most, and its temporary file is deleted within minutes. Keep what you want by the download
links.</p></header>"""

WAITING = """<div class="answer"><p class="verdict quiet">nothing heard yet</p>
<p class="quiet">Record a sentence, choose a file or an example.</p></div>"""

SLEEPING = """<div class="answer"><p class="verdict quiet">not listening</p>
<p class="quiet">Press Listen and speak; press Stop when you are done.</p></div>"""

FIRST = """<section class="note"><h2>No net is here yet</h2>
<p>The page can train a first one now: a small net on the embedded synthetic corpus, in about a minute. It shows how the
page works; on people it means nothing. <code>./run_all.sh demo</code> or <code>full</code> trains better ones.</p>
</section>"""

SILENT = """<p>The recording is too soft, or shorter than 0.2 s. Check the microphone, move closer, and try again. (The
gate hears energy alone: a fan passes it.)</p>"""


def problem(sentence: str) -> str:
    """A mistake, as a sentence."""
    return f'<div class="answer"><p class="problem" role="alert">{html.escape(sentence)}</p></div>'


# --- the answer -------------------------------------------------------------------------------------------------


def answer(heard: Heard) -> str:
    """Verdict, confidence, level and probabilities."""
    parts = [f'<p class="verdict">{html.escape(heard.verdict)}</p>']
    parts.append(f'<p class="quiet">{html.escape(_context(heard))}</p>')
    if not heard.speech:
        parts.append(SILENT)
    elif len(heard.table) == 1:
        parts += [f"<p>{html.escape(_sureness(heard))}</p>", pictures.bars(heard.probabilities.iloc[0].to_dict())]
    else:
        said = heard.table["emotion"].where(heard.table["sure"], NOT_SURE).value_counts()
        told = ", ".join(f"{label} {count}" for label, count in said.items())
        parts += [f"<p>In {len(heard.table)} windows: {html.escape(told)}.</p>"]
        parts += [pictures.timeline(heard.table, seconds=heard.sound.seconds)]
        parts += ["<h3>Mean over the windows</h3>", pictures.bars(heard.probabilities.mean().to_dict())]
    return f'<div class="answer" aria-live="polite">{"".join(parts)}{pictures.meter(heard.sound.y)}</div>'


def _context(heard: Heard) -> str:
    return f"{heard.sound.name}, {heard.sound.seconds:.1f} s, {heard.settings.words}; {heard.net.name}"


def _sureness(heard: Heard) -> str:
    row = heard.table.iloc[0]
    if np.isnan(row["confidence"]):
        return f"The net gives {row['emotion']} {row['probability']:.2f}; how far to trust that was not measured."
    start = f"Calibrated confidence {row['confidence']:.0%}"
    if row["sure"]:
        return f"{start} (the net itself says {row['probability']:.0%})."
    return f"{start}, too little to answer; nearest is {row['emotion']}."


def details(heard: Heard) -> str:
    """Before and after side by side, attention, and players."""
    before = "With noise" if heard.settings.noise != NO_NOISE else "As recorded"
    after = "Denoised, as the net heard it" if heard.settings.denoise else "As the net heard it"
    weights = over_time(heard.clean, heard.net) if len(heard.table) == 1 else None
    note = "" if weights is not None or not heard.speech else f'<p class="quiet">{_no_attention(heard)}</p>'
    return (
        f'<section class="details"><h2>What the net heard: {html.escape(heard.settings.words)}</h2><div class="pair">'
        f"{_column(heard.noisy, None, before)}{_column(heard.clean, weights, after)}</div>{note}</section>"
    )


def _column(y: np.ndarray, weights: np.ndarray | None, title: str) -> str:
    drawn = pictures.waveform(y, weights, title=title) + pictures.log_mel(y, title="Log-mel")
    player = (
        f'<audio controls preload="metadata" aria-label="{title}" src="{_data(sounds.wav(y), "audio/wav")}"></audio>'
    )
    return f"<div>{drawn}{player}</div>"


def _no_attention(heard: Heard) -> str:
    if len(heard.table) > 1:
        return "Attention is drawn for single utterances, not for a recording in windows."
    return "This net does not pool by attention, so none is drawn."


# --- downloads --------------------------------------------------------------------------------------------------


def csv(heard: Heard) -> str:
    """Predictions as ``python -m ser_utils predict --csv`` writes them, and the confidence."""
    settings = heard.settings
    table = heard.table.assign(
        model=heard.net.name, denoiser=settings.denoiser, noise=settings.noise, snr_db=settings.snr_db
    )
    table.insert(0, "file", heard.sound.name)
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def log_row(heard: Heard, at: str) -> dict[str, object]:
    """One line of a session log."""
    first = heard.table.iloc[0] if heard.speech else pd.Series({"probability": np.nan, "confidence": np.nan})
    row = {"time": at, "sound": heard.sound.name, "seconds": round(heard.sound.seconds, 2), "net": heard.net.name}
    row |= {"denoiser": heard.settings.denoiser, "noise": heard.settings.noise, "snr_db": heard.settings.snr_db}
    return row | {"verdict": heard.verdict, "probability": first["probability"], "confidence": first["confidence"]}


def downloads(heard: Heard | None, log: Sequence[dict[str, object]]) -> str:
    """Links that hold their file themselves: nothing is written on the computer that serves the page."""
    links = []
    if heard is not None:
        stem = heard.sound.name.rsplit(".", 1)[0] or "recording"
        links.append(_link("Predictions (CSV)", f"{stem}_emotions.csv", csv(heard).encode(), "text/csv"))
        links.append(_link("Recording (wav)", f"{stem}.wav", sounds.wav(heard.sound.y), "audio/wav"))
        if heard.settings.words != "as it came in":
            links.append(_link("As the net heard it (wav)", f"{stem}_heard.wav", sounds.wav(heard.clean), "audio/wav"))
    if log:
        text = pd.DataFrame(log).to_csv(index=False, float_format="%.6f", lineterminator="\n")
        links.append(_link(f"Session log ({len(log)})", "session_log.csv", text.encode(), "text/csv"))
    return f'<p class="downloads">{"".join(links)}</p>' if links else ""


def _link(words: str, name: str, content: bytes, kind: str) -> str:
    return f'<a download="{html.escape(name)}" href="{_data(content, kind)}">{html.escape(words)}</a>'


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


# --- live -------------------------------------------------------------------------------------------------------


def listening(state: Listening) -> str:
    """What the last seconds held, and the timeline so far."""
    if not state.seconds:
        return SLEEPING
    heard = state.heard
    if heard is None or not heard.speech:
        head = f'<p class="verdict quiet">{NO_SPEECH}</p><p class="quiet">listening, {state.seconds:.1f} s</p>'
    else:
        told = f"last {WINDOW_S:g} s, {heard.settings.words}; {heard.net.name}; listening, {state.seconds:.1f} s"
        head = f'<p class="verdict">{html.escape(heard.verdict)}</p><p class="quiet">{html.escape(told)}</p>'
        head += pictures.bars(heard.probabilities.iloc[-1].to_dict())
    spoken = state.table[state.table["emotion"] != ""]
    line = pictures.timeline(_filled(state.table), seconds=state.seconds) if len(spoken) else ""
    pace = f"{np.median(state.late[-20:]):.2f}" if state.late else "–"
    foot = f'<p class="quiet">Seconds of work per second of sound: {pace}.</p>'
    return f'<div class="answer">{head}{pictures.meter(state.y)}{line}{foot}</div>'


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """The timeline with its pauses, which are no windows of doubt."""
    return table.assign(
        emotion=table["emotion"].replace("", pictures.PAUSE), sure=table["sure"] | (table["emotion"] == "")
    )


# --- about ------------------------------------------------------------------------------------------------------


def about(cards: Sequence[Card]) -> str:
    """Limits, licences, limits of files, what cannot run."""
    nets = (
        "".join(f"<li>{html.escape(command.introduction(card).replace(chr(10), '; '))}</li>" for card in cards)
        or "<li>none yet</li>"
    )
    missing = "".join(f"<li><b>{html.escape(k)}</b>: {html.escape(v)}</li>" for k, v in absent().items())
    missing = f"<h3>Denoisers that cannot run here</h3><ul>{missing}</ul>" if missing else ""
    return f"""<section class="about"><h2>What this is not</h2>
<p><strong>It is no way to judge people.</strong> The nets learnt from actors who played emotions with fixed sentences
(or from a speech synthesiser), a few dozen speakers, mostly English and German. What they say of your voice is a guess
about how acted speech sounds; it does not tell what anybody feels. Do not use it to rate, hire, teach, treat or watch
anyone. The measured UAR of each net stands in the list; on other voices, rooms, microphones and languages it will be
lower.</p>
<h2>Nets, and the licences of their speech</h2><ul>{nets}</ul>
<p>The code is MIT. Models trained on RAVDESS, TESS or SAVEE are, like those corpora, for research or non-commercial
use. The examples are synthetic speech (espeak-ng, CC0). DTLN and GTCRN are MIT.</p>{missing}
<h2>Limits</h2><ul>
<li>Files up to {MAX_MB} MB and {MAX_S:.0f} s, of any format: content counts, not the name. Longer ones:
<code>python -m ser_utils predict FILE</code>.</li>
<li>“No speech heard” is a gate on energy: less than {SPEECH_S:g} s above {SPEECH_DB:.0f} dB of full scale, or above
{SOFT_DB:.0f} dB where that is {RISE_DB:.0f} dB above the quietest tenth. It does not know voices from fans.</li>
<li>The page serves this computer alone unless it was started with another <code>--host</code>.</li>
<li>A session log is kept only while its box is ticked, in memory, for an hour at most.</li></ul></section>"""
