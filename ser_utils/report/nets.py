"""Figures of nets that several notebooks draw: architecture, training, confusion, recalls, cost, corpora, ladder.

Each takes tables and returns a figure for :func:`report.figure`, which needs the caption and the alt text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ser_utils.report.figures import EMOTION_COLOURS, PALETTE

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*Xhd"
LINES = ("-", "--", ":", "-.")
FILLS = {  # part of the kind of a layer → fill of its box
    "Input": "#E8ECEF",
    "Conv": "#D6E8F5",
    "LSTM": "#FBE3D0",
    "Attention": "#D5EFE5",
    "Pooling": "#D5EFE5",
    "Dense": "#F3E2ED",
}
PASSING = ("Dropout", "Activation", "Cast", "Identity", "InputLayer", "Add", "Rescaling")  # no box


def layer_table(model: keras.Model, n_frames: int) -> pd.DataFrame:
    """What a net consists of, in the order of computation; residual blocks are one row each.

    Parameters
    ----------
    model : keras.Model
        From :data:`models.BUILDERS`.
    n_frames : int
        Frames of the clip that shapes are told for.

    Returns
    -------
    pd.DataFrame
        ``layer, kind, shape`` (of the output, without the batch), ``parameters``; the first row is the input.
    """
    import keras
    import pandas as pd

    inputs = [keras.Input((n_frames, *tensor.shape[2:]), name=tensor.name) for tensor in model.inputs]
    fixed = keras.models.clone_model(model, input_tensors=inputs)
    names = {layer.name for layer in fixed.layers}
    rows: dict[str, dict[str, Any]] = {}
    rows["frames"] = {"kinds": ["Input"], "shape": _shape(inputs[0]), "parameters": 0}
    last = ""
    for layer in fixed.layers:
        kind = _kind(layer)
        named = _block(layer.name, names) or (last if last.startswith("block_") and not layer.count_params() else "")
        seen = (
            layer.count_params() or "Pool" in kind or kind.startswith(("Masked", "Concat"))
        )  # joins what ran in parallel
        if not named and (kind in PASSING or not seen):
            continue
        last = named or ("answer" if layer is fixed.layers[-1] else layer.name)  # its own name counts nets
        row = rows.setdefault(last, {"kinds": [], "shape": "", "parameters": 0})
        row["kinds"] += [kind] if layer.count_params() or not named else []
        row["shape"], row["parameters"] = _shape(layer.output), row["parameters"] + layer.count_params()
    table = [{"layer": name, "kind": _counted(row.pop("kinds"))} | row for name, row in rows.items()]
    return pd.DataFrame(table)[["layer", "kind", "shape", "parameters"]]


def _block(name: str, names: set[str]) -> str:
    """Block that a layer belongs to, by the names that the builders give; empty for none."""
    found = re.match(r"(block_\d+[a-z]?)(?:_|$)", name) or re.fullmatch(r"(?:conv_(\d+)[ab]|short_(\d+))", name)
    if not found:
        return ""
    block = found[1] if name.startswith("block_") else f"block_{found[1] or found[2]}"
    return block if block in names else ""


def _kind(layer: keras.Layer) -> str:
    inner = getattr(layer, "layer", None) or getattr(layer, "forward_layer", None)
    return f"{type(layer).__name__} {type(inner).__name__}" if inner is not None else type(layer).__name__


def _counted(kinds: Sequence[str]) -> str:
    """Kinds with how often each occurs.

    Examples
    --------
    >>> _counted(["MaskedConv", "MaskedConv", "Dense"])
    '2 MaskedConv, Dense'
    """
    counts = {kind: kinds.count(kind) for kind in kinds}
    return ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in counts.items())


def _shape(output: Any) -> str:
    first = output[0] if isinstance(output, list | tuple) else output
    return " × ".join(str(size) for size in first.shape[1:])


def architecture(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Nets as boxes, one column each: what a layer is, its output, and how many numbers it learns.

    Parameters
    ----------
    tables : mapping
        Name of the net → :func:`layer_table`.
    """
    import matplotlib.pyplot as plt

    longest = max(map(len, tables.values()))
    fig, axes = plt.subplots(
        1, len(tables), figsize=(4.4 * len(tables), 0.74 * longest + 0.4), squeeze=False, layout="constrained"
    )
    for ax, (name, table) in zip(axes[0], tables.items(), strict=True):
        ax.set(xlim=(0, 1), ylim=(-longest + 0.4, 0.5), title=f"{name}: {table['parameters'].sum():,} parameters")
        ax.set_axis_off()
        for y, row in enumerate(table.itertuples()):
            _box(ax, -y, row, arrow=y + 1 < len(table))
    return fig


def _box(ax: Axes, y: int, row: Any, *, arrow: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill = next((colour for kind, colour in FILLS.items() if kind in row.kind), "#F2F2F2")
    shape = {"boxstyle": "round,pad=0,rounding_size=0.03", "mutation_aspect": 3}
    ax.add_patch(FancyBboxPatch((0.03, y - 0.3), 0.94, 0.6, fc=fill, ec="#5b6670", lw=0.8, **shape))
    ax.text(0.07, y + 0.11, row.layer, va="center", weight="bold", fontsize=9.5)
    ax.text(0.07, y - 0.13, row.kind, va="center", fontsize=8.5)
    ax.text(0.93, y + 0.11, row.shape, va="center", ha="right", fontsize=9.5)
    ax.text(0.93, y - 0.13, f"{row.parameters:,} parameters", va="center", ha="right", fontsize=8.5)
    if arrow:
        ax.annotate("", (0.5, y - 0.7), (0.5, y - 0.3), arrowprops={"arrowstyle": "-|>", "color": "#5b6670"})


def curves(histories: pd.DataFrame, chance: Mapping[str, float]) -> Figure:
    """Loss, validation UAR and learning rate against the epoch, one column per corpus, one line per fold and seed.

    Parameters
    ----------
    histories : pd.DataFrame
        Of one net: ``corpus, fold, seed, epoch, loss, val_uar, learning_rate``.
    chance : mapping
        UAR of a guess, by corpus.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    parts = dict(list(histories.groupby("corpus", sort=False)))
    size = (max(5.2, 2.6 * len(parts) + 0.8), 6.2)
    fig, axes = plt.subplots(3, len(parts), figsize=size, squeeze=False, sharex="col", layout="constrained")
    shown = {"loss": "Training loss", "val_uar": "Validation UAR", "learning_rate": "Learning rate"}
    for i, (column, (corpus, part)) in enumerate(zip(axes.T, parts.items(), strict=True)):
        for ax, (value, label) in zip(column, shown.items(), strict=True):
            for _, run in part.groupby(["fold", "seed"]):
                ax.plot(run["epoch"], run[value], color="0.72", lw=0.8, marker=".", ms=2)
            middle = part.groupby("epoch")[value].mean()
            ax.plot(middle.index, middle, color="C0", lw=2.2, marker=".", label="mean of those still training")
            ax.set_ylabel("" if i else label)
        column[0].set_title(corpus)
        column[0].set_ylim(0, None)
        column[1].axhline(chance[corpus], color="0.3", ls=":", label="chance")
        column[1].set_ylim(0, 1)
        column[2].set(xlabel="Epoch", ylim=(0, None))
        column[2].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[1, 0].legend(loc="upper left", fontsize=8)
    return fig


def confusions(counts: Mapping[str, tuple[np.ndarray, Sequence[str]]]) -> Figure:
    """Confusion matrices, two in a line: percent of the spoken emotion, and below it the number of answers.

    Parameters
    ----------
    counts : mapping
        Title → matrix (rows are spoken emotions) and its labels.
    """
    fig, axes = panels(len(counts), width=4.7, height=4.3)
    for ax, (title, (matrix, labels)) in zip(axes, counts.items(), strict=True):
        _confusion(ax, matrix, labels)
        ax.set_title(title)
    return fig


def _confusion(ax: Axes, matrix: np.ndarray, labels: Sequence[str]) -> None:
    import numpy as np

    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(share):
        colour = "white" if value < 0.5 else "black"
        ax.text(j, i - 0.14, f"{100 * value:.0f} %", ha="center", va="center", color=colour, fontsize=8)
        ax.text(j, i + 0.24, f"{matrix[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=6.5)
    ax.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel="answered", ylabel="spoken")
    ax.spines[:].set_visible(False)


def panels(n: int, *, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """`n` axes, two in a line, each `width` × `height` inches."""
    import matplotlib.pyplot as plt

    columns, lines = min(2, n), -(-n // 2)
    size = (width * columns, height * lines)
    fig, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return fig, axes.flat[:n]


def recalls(results: pd.DataFrame) -> Figure:
    """Recall of every emotion with its interval, one panel per corpus.

    Parameters
    ----------
    results : pd.DataFrame
        Rows ``recall_<emotion>`` of one system per corpus: ``corpus, metric, value, ci_low, ci_high``.
    """
    import numpy as np

    parts = dict(list(results.groupby("corpus", sort=False)))
    fig, axes = panels(len(parts), width=4.6, height=3.3)
    for ax, (corpus, part) in zip(axes, parts.items(), strict=True):
        emotions = part["metric"].str.removeprefix("recall_").tolist()
        error = np.abs(part[["ci_low", "ci_high"]].sub(part["value"], axis=0)).to_numpy().T
        colours = [EMOTION_COLOURS[emotion] for emotion in emotions]
        ax.bar(emotions, part["value"], color=colours, alpha=0.75, width=0.7)
        ax.errorbar(emotions, part["value"], yerr=error, fmt="none", ecolor="#22292f", elinewidth=1.1, capsize=3)
        ax.axhline(1 / len(emotions), color="#22292f", ls="--", lw=1)
        ax.set_xticks(range(len(emotions)), emotions, rotation=40, ha="right")
        ax.set(title=corpus, ylabel="Recall (0 … 1)", ylim=(0, 1))
    return fig


def trade_off(table: pd.DataFrame) -> Figure:
    """Score against size and against the time of one prediction, one marker per net.

    Parameters
    ----------
    table : pd.DataFrame
        ``model, parameters, ms, UAR, ci_low, ci_high``.
    """
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.ticker import EngFormatter, LogLocator

    fig, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True, layout="constrained")
    units = {"parameters": "Parameters", "ms": "Time of one prediction (ms, one thread)"}
    for ax, (column, label) in zip(axes, units.items(), strict=True):
        for i, row in enumerate(table.itertuples()):
            error = [[row.UAR - row.ci_low], [row.ci_high - row.UAR]]
            style = {"marker": MARKERS[i % len(MARKERS)], "color": PALETTE[i % len(PALETTE)], "ls": "none"}
            at = getattr(row, column)
            ax.errorbar(at, row.UAR, yerr=np.nan_to_num(error), capsize=3, ms=8, label=row.model, **style)
        ax.set(xlabel=label, xscale="log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(EngFormatter(sep="") if column == "parameters" else "{x:,g}")
        ax.xaxis.set_minor_formatter("")
        ax.margins(x=0.15)
        ax.grid(axis="x")
    axes[0].set_ylabel("UAR (0 … 1)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


def matrix(scores: pd.DataFrame, classes: pd.DataFrame) -> Figure:
    """Heat map of UAR: rows are corpora that train, columns corpora that are tested.

    Parameters
    ----------
    scores, classes : pd.DataFrame
        UAR and number of emotions of each cell, indexed by corpus on both axes; NaN where nothing was tested.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    side = 1.6 + 1.05 * len(scores)
    fig, ax = plt.subplots(figsize=(side + 0.9, side), layout="constrained")
    image = ax.imshow(scores, vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(scores.to_numpy()):
        if value == value:
            text = f"{value:.2f}\n{classes.iloc[i, j]:.0f} classes"
            ax.text(j, i, text, ha="center", va="center", color="white" if value < 0.5 else "black", fontsize=9)
    ax.set_xticks(range(len(scores.columns)), scores.columns, rotation=30, ha="right")
    ax.set_yticks(range(len(scores)), scores.index)
    ax.set(xlabel="tested on", ylabel="trained on")
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, label="UAR (0 … 1)", shrink=0.8)
    return fig


def ladder(results: pd.DataFrame, order: Sequence[str]) -> Figure:
    """UAR on every rung of the leakage ladder, one line per corpus.

    Parameters
    ----------
    results : pd.DataFrame
        UAR rows of one net: ``corpus, split`` (the rung), ``value, ci_low, ci_high``.
    order : sequence of str
        Rungs from most to least leakage.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    fig, ax = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    rungs = [rung for rung in order if rung in set(results["split"])]
    for i, (corpus, part) in enumerate(results.groupby("corpus", sort=False)):
        part = part.set_index("split").reindex(rungs)
        error = np.abs(part[["ci_low", "ci_high"]].sub(part["value"], axis=0)).to_numpy().T
        style = {"marker": MARKERS[i], "color": PALETTE[i], "ls": LINES[i % len(LINES)]}
        ax.errorbar(np.arange(len(rungs)) + 0.06 * i, part["value"], yerr=error, capsize=3, label=corpus, **style)
    ax.set_xticks(range(len(rungs)), rungs)
    ax.set(
        ylabel="UAR (0 … 1)", ylim=(0, 1.02), xlabel="from copies of the tested clips in training to unseen speakers"
    )
    ax.margins(x=0.12)
    ax.legend(title="corpus")
    return fig
