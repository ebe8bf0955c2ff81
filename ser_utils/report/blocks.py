"""HTML blocks that a notebook shows beside its figures: tables, cards and players."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from IPython.display import HTML

MISSING = "–"
INTERVAL = re.compile(r"[+−-]?\d\S* \[[^\u00a0]*\]$")  # 0.52 [0.48, 0.56] stays on one line unless it is tied itself


def table(df: pd.DataFrame, *, caption: str, digits: int | Mapping[str, int] = 3, headers: int = 1) -> None:
    """Show `df` as a table that screen readers and phones can use.

    Parameters
    ----------
    df : pd.DataFrame
        A named or labelled index becomes the leading columns; a plain 0 … n−1 index is left out.
    caption : str
        What the table shows: n, split, seeds, interval.
    digits : int or mapping
        Decimals of numbers that are not integers; a mapping gives them by column, the others keep 3.
    headers : int
        How many leading columns name the row.
    """
    from IPython.display import HTML, display

    display(HTML(table_html(df, caption=caption, digits=digits, headers=headers)))


def table_html(df: pd.DataFrame, *, caption: str, digits: int | Mapping[str, int] = 3, headers: int = 1) -> str:
    """HTML of :func:`table`.

    Examples
    --------
    >>> import pandas as pd
    >>> html = table_html(pd.DataFrame({"model": ["lstm"], "UAR": [0.52345]}), caption="Scores")
    >>> "<caption>Scores</caption>" in html and '<th scope="row">lstm</th><td class="num">0.523</td>' in html
    True
    >>> '<td class="interval">' in table_html(pd.DataFrame({"": ["a"], "UAR": ["0.52 [0.48, 0.56]"]}), caption="Scores")
    True
    """
    import pandas as pd

    if not (isinstance(df.index, pd.RangeIndex) and df.index.name is None):
        df = df.rename_axis(index=lambda name: name or "").reset_index()
    names = [" ".join(map(str, c)).strip() if isinstance(c, tuple) else str(c) for c in df.columns]
    decimals = [digits if isinstance(digits, int) else digits.get(name, 3) for name in names]
    numeric = [
        at >= headers and pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for at, dtype in enumerate(df.dtypes)
    ]
    head = "".join(
        f'<th scope="col"{" class=num" if num else ""}>{html.escape(name)}</th>' if name else "<td></td>"
        for name, num in zip(names, numeric, strict=True)
    )
    kinds = [(d, num, at < headers) for at, (d, num) in enumerate(zip(decimals, numeric, strict=True))]
    rows = (
        "".join(_cell(value, *kind) for value, kind in zip(row, kinds, strict=True))
        for row in df.itertuples(index=False, name=None)
    )
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return scrolling(
        f"<table><caption>{html.escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>",
        label=caption,
    )


def scrolling(table: str, *, label: str) -> str:
    """`table` in a region that scrolls sideways on its own, also from the keyboard."""
    short = label if len(label) <= 80 else label[:79].rsplit(" ", 1)[0] + "…"
    return f'<div class="table" role="region" tabindex="0" aria-label="Table: {html.escape(short)}">{table}</div>'


def _cell(value: Any, digits: int, numeric: bool, header: bool) -> str:
    text = html.escape(number(value, digits=digits))
    if header:
        return f'<th scope="row">{text}</th>'
    if numeric:
        return f'<td class="num">{text}</td>'
    return f'<td class="interval">{text}</td>' if INTERVAL.match(text) else f"<td>{text}</td>"


def number(value: Any, *, digits: int = 3) -> str:
    """A value as a table shows it.

    Examples
    --------
    >>> number(0.5), number(14400), number(1440), number(float("nan")), number("clean")
    ('0.500', '14,400', '1440', '–', 'clean')
    """
    import numpy as np

    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in {"<NA>", "NaT", "nan"}:
        return MISSING
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}".replace("-", "−")
    return str(value)


def card(facts: Mapping[str, Any], title: str) -> None:
    """Show `facts` as a card, e.g. the environment that made a page's numbers."""
    from IPython.display import HTML, display

    display(HTML(card_html(facts, title)))


def card_html(facts: Mapping[str, Any], title: str) -> str:
    """HTML of :func:`card`.

    Examples
    --------
    >>> card_html({"python": "3.11.7"}, "Environment").count("<dt>")
    1
    """
    rows = "".join(
        f"<div><dt>{html.escape(str(name))}</dt><dd>{html.escape(number(value))}</dd></div>"
        for name, value in facts.items()
    )
    return f'<div class="card"><p class="card-title">{html.escape(title)}</p><dl>{rows}</dl></div>'


def audio_player(y: np.ndarray, sr: int, *, label: str, allowed: bool) -> HTML:
    """A player for `y`, or a sentence saying why there is none.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Between −1 and 1; louder samples are clipped.
    sr : int
        Sampling rate in Hz.
    label : str
        What is heard, e.g. ``"angry, speaker 3"``.
    allowed : bool
        Whether the corpus's licence lets this page carry the sound, or the user asked for it.

    Returns
    -------
    IPython.display.HTML
        Shown when it ends a cell; ``.data`` is the HTML itself. Losslessly compressed, 16 bits.
    """
    from IPython.display import HTML

    name = html.escape(label)
    if not allowed:
        why = "the licence of this corpus does not let a published page carry its sound"
        how = "set <code>embed_audio: true</code> in the profile for a report of your own"
        return HTML(f'<p class="player"><span>{name}</span> No player: {why}; {how}.</p>')
    import numpy as np
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(y, -1, 1), sr, format="FLAC", subtype="PCM_16")
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(
        f'<div class="player"><span>{name}</span> <audio controls preload="metadata" aria-label="{name}" '
        f'src="data:audio/flac;base64,{data}"></audio></div>'
    )
