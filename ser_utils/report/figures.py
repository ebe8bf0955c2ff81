"""One look for all figures, and the one way to save and show them."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ser_utils import study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

# Okabe & Ito's palette (https://jfly.uni-koeln.de/color/), its yellow and black shifted so that each colour shows on
# white and can be told from the next.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#9A8700", "#1A1A1A")
EMOTION_COLOURS: Mapping[str, str] = {
    "angry": "#D55E00",
    "calm": "#9A8700",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#E69F00",
    "neutral": "#666666",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "boredom": "#1A1A1A",
}
EMOTION_MARKERS: Mapping[str, str] = dict(zip(EMOTION_COLOURS, "^oXvPsD*h", strict=True))

DPI = 150
CSS_DPI = 96  # pixels of a browser per inch
RC = {
    "figure.figsize": (7.2, 4.0),
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 10,
    "axes.edgecolor": "#5b6670",
    "axes.labelcolor": "#22292f",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dde2e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#3d474f",
    "ytick.color": "#3d474f",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "image.cmap": "cividis",  # even in lightness and safe for colour-blind readers
    "svg.hashsalt": "ser",
}


def style() -> None:
    """Set matplotlib's defaults for every figure that follows: palette, fonts, a white ground, quiet axes.

    Examples
    --------
    >>> style()
    >>> import matplotlib as mpl
    >>> mpl.rcParams["image.cmap"]
    'cividis'
    """
    import matplotlib as mpl

    mpl.rcParams.update(RC)
    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=PALETTE)


def figure(fig: Figure, name: str, *, profile: str, alt: str, caption: str) -> None:
    """Save `fig` as ``figures/<profile>/<name>.png``, show it with its caption, and close it.

    The PNG carries its alt text and caption, so that the report's first page can show it too. It has 256 colours, the
    best ones for the figure: a spectrogram takes a quarter of the bytes and looks the same. Equal figures give equal
    bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    name : str
        ``<NN>_<what>``, e.g. ``"01_durations"``: lower-case letters, digits and underscores.
    profile : str
    alt : str
        What the figure shows, for a reader who cannot see it.
    caption : str
        What it means: n, split, seeds, interval.

    Raises
    ------
    ValueError
        For a name of another form, or an empty `alt` or `caption`.
    """
    import matplotlib.pyplot as plt
    from IPython.display import HTML, display
    from PIL.PngImagePlugin import PngInfo

    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise ValueError(f"figure name '{name}' must be two digits, '_' and lower-case words, e.g. '01_durations'")
    for what, text in {"alt": alt, "caption": caption}.items():
        if not text.strip():
            raise ValueError(f"figure '{name}' has an empty {what}; say what it shows")
    file = study.paths(profile).figures / f"{name}.png"
    told = PngInfo()
    told.add_text("Title", alt)
    told.add_text("Description", caption)
    with study.atomic(file) as temporary:
        _drawn(fig).save(temporary, format="PNG", dpi=(DPI, DPI), pnginfo=told, optimize=True)
    plt.close(fig)
    display(HTML(figure_html(file, alt=alt, caption=caption)))


def _drawn(fig: Figure) -> Image.Image:
    """`fig` as a picture of 256 colours."""
    from PIL import Image

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    with Image.open(buffer) as picture:
        return picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def figure_html(png: Path, *, alt: str, caption: str) -> str:
    """`png` embedded in a ``<figure>``, at the size it was drawn for.

    Returns
    -------
    str
        HTML; `alt` and `caption` are plain text.
    """
    data = png.read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # the PNG header
    css = [round(pixels * CSS_DPI / DPI) for pixels in (width, height)]
    return (
        f'<figure><img alt="{html.escape(alt)}" width="{css[0]}" height="{css[1]}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def described(png: Path) -> tuple[str, str]:
    """Alt text and caption that :func:`figure` wrote into `png`; the file's name where it holds none."""
    from PIL import Image

    with Image.open(png) as image:
        text = image.info
    name = png.stem.replace("_", " ")
    return text.get("Title") or name, text.get("Description") or name
