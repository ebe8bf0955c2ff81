"""Figures of the evaluation: each takes tables and returns a figure for :func:`report.figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ser_utils import evaluation
from ser_utils.report.figures import EMOTION_COLOURS, EMOTION_MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ser_utils.evaluation.several import Ranking

FAMILY_STYLE = {  # the same colour and marker on every figure
    "classic": (PALETTE[0], "o"),
    "LSTM": (PALETTE[1], "s"),
    "CNN": (PALETTE[2], "^"),
    "ensemble": (PALETTE[3], "P"),
    "pretrained": (PALETTE[4], "D"),
    "fusion": (PALETTE[5], "v"),
    "reference": (PALETTE[7], "X"),
    "baseline": (PALETTE[6], "d"),
}
GROUP_STYLE = {"female": (PALETTE[0], "o"), "male": (PALETTE[4], "s"), "unknown": (PALETTE[6], "D")}
CHANCE = "#A84A00"


def forest(board: pd.DataFrame, chance: Mapping[tuple[str, str], float]) -> Figure:
    """UAR with its interval, one line per system, one panel per corpus and split, marked by family.

    Parameters
    ----------
    board : pd.DataFrame
        Rows of a headline table with ``family``, best first.
    chance : mapping
        (corpus, split) → UAR of a guess.
    """
    tasks = list(board.groupby(["corpus", "split"], sort=False))
    heights = [len(part) + 2.2 for _, part in tasks]
    fig, axes = plt.subplots(
        len(tasks),
        figsize=(7.4, 0.32 * sum(heights) + 0.7),
        squeeze=False,
        sharex=True,
        height_ratios=heights,
        layout="constrained",
    )
    for ax, (key, part) in zip(axes[:, 0], tasks, strict=True):
        _lines(ax, part, chance[key])
        ax.set_title(f"{key[0]}, split {key[1]}", pad=16)
    axes[-1, 0].set_xlabel("UAR (0 … 1)")
    told = [name for name in FAMILY_STYLE if name in set(board["family"])]
    marks = [plt.Line2D([], [], color=FAMILY_STYLE[n][0], marker=FAMILY_STYLE[n][1], ls="none") for n in told]
    fig.legend(marks, told, loc="outside lower center", ncols=min(len(told), 5))
    return fig


def _lines(ax: Axes, part: pd.DataFrame, chance: float) -> None:
    named = []
    for y, row in zip(range(len(part) - 1, -1, -1), part.itertuples(), strict=True):
        colour, marker = FAMILY_STYLE[row.family]
        if row.ci_high > row.ci_low:
            ax.plot([row.ci_low, row.ci_high], [y, y], color=colour, linewidth=1.8)
        ax.plot(row.UAR, y, marker, color=colour, markersize=6)
        score = evaluation.interval_text(row.UAR, row.ci_low, row.ci_high)
        ax.text(1.01, y, score, va="center", fontsize=9, transform=ax.get_yaxis_transform())
        named.append(row.model if row.features == "none" else f"{row.model}, {row.features}")
    ax.axvline(chance, color=CHANCE, linestyle="--", linewidth=1.2)
    ax.text(chance, 1.0, " chance", color=CHANCE, fontsize=9, va="bottom", transform=ax.get_xaxis_transform())
    ax.set_yticks(range(len(part) - 1, -1, -1), named, fontsize=8)
    ax.set(xlim=(0, 1), ylim=(-0.6, len(part) - 0.4))
    ax.grid(axis="x")


def critical_difference(found: Ranking) -> Figure:
    """Mean ranks on a line, best left; a bar joins systems that are not told apart (Demšar 2006).

    Parameters
    ----------
    found : Ranking
        From :func:`evaluation.ranking`.
    """
    ranks, k = found.ranks, len(found.ranks)
    cliques = found.cliques()
    fig, ax = plt.subplots(figsize=(7.2, 1.5 + 0.22 * k + 0.16 * len(cliques)), layout="constrained")
    ax.hlines(0, 1, k, color="#22292f", linewidth=1)
    for rank in range(1, k + 1):
        ax.plot([rank, rank], [0, 0.15], color="#22292f", linewidth=1)
        ax.text(rank, 0.25, str(rank), ha="center", va="bottom", fontsize=9)
    ax.plot([1, 1 + found.critical_difference], [1.0, 1.0], color=CHANCE, linewidth=2)
    ax.text(1, 1.1, f"critical difference {found.critical_difference:.2f}", color=CHANCE, fontsize=9)
    low = -0.25 - 0.22 * len(cliques)
    for i, clique in enumerate(cliques):
        y = -0.2 - 0.22 * i
        ax.plot([ranks[clique[0]] - 0.04, ranks[clique[-1]] + 0.04], [y, y], color="#22292f", linewidth=4)
    left = (k + 1) // 2
    for i, (name, rank) in enumerate(ranks.items()):
        y = low - 0.35 * (i + 1 if i < left else k - i)
        side, align = (0.7, "right") if i < left else (k + 0.3, "left")
        ax.plot([rank, rank, side], [0, y, y], color="#5b6670", linewidth=0.9)
        ax.text(side + (-0.06 if i < left else 0.06), y, f"{name} ({rank:.1f})", ha=align, va="center", fontsize=9)
    ax.set(xlim=(1 - 0.62 * k, 1.62 * k), ylim=(low - 0.35 * (left + 1), 1.5))
    ax.set_axis_off()
    return fig


def confusion(matrix: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Recall in percent, with the number of answers below it.

    Parameters
    ----------
    matrix : np.ndarray [shape=(n_classes, n_classes)]
        Counts; rows are what was spoken.
    names : sequence of str
    title : str
    """
    side = 1.9 + 0.62 * len(names)
    fig, ax = plt.subplots(figsize=(side + 0.9, side), layout="constrained")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(share, vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(share):
        colour = "white" if value < 0.5 else "black"
        ax.text(j, i - 0.12, f"{100 * value:.0f} %", ha="center", va="center", color=colour, fontsize=9)
        ax.text(j, i + 0.26, matrix[i, j], ha="center", va="center", color=colour, fontsize=7)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="answered", ylabel="spoken", title=title)
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, label="share of the spoken emotion", shrink=0.8)
    return fig


def panels(n: int, height: float) -> tuple[Figure, list[Axes]]:
    """`n` axes, two in a line, `height` inches each."""
    lines, columns = -(-n // 2), min(2, n)
    size = (7.8 if columns == 2 else 6.4, height * lines)
    fig, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return fig, list(axes.flat[:n])


def recalls(ax: Axes, recall: pd.DataFrame) -> None:
    """Recall of each emotion with its interval: rows ``recall_<emotion>`` of a results table, lowest first."""
    names = [metric.removeprefix("recall_") for metric in recall["metric"]]
    for y, (emotion, row) in enumerate(zip(names, recall.itertuples(), strict=True)):
        colour = EMOTION_COLOURS[emotion]
        ax.plot([row.ci_low, row.ci_high], [y, y], color=colour)
        ax.plot(row.value, y, EMOTION_MARKERS[emotion], color=colour, markersize=8)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="recall (0 … 1)", xlim=(0, 1))
    ax.grid(axis="x")


def speakers(ax: Axes, by: pd.DataFrame, gender: Mapping[str, str]) -> None:
    """UAR of every speaker, sorted, marked by gender: rows ``group, UAR`` of :func:`evaluation.errors.groups`."""
    by = by.sort_values("UAR", ignore_index=True)
    kinds = by["group"].map(gender).fillna("unknown")
    for kind in [kind for kind in GROUP_STYLE if (kinds == kind).any()]:
        colour, marker = GROUP_STYLE[kind]
        part = by[kinds == kind]
        ax.plot(part["UAR"], part.index, marker, color=colour, label=kind, markersize=6)
    if len(by) <= 30:
        ax.set_yticks(range(len(by)), by["group"].str.split("_", n=1).str[1], fontsize=8)
    else:
        ax.set_yticks([])
    ax.set(ylabel="speaker", xlabel="UAR of one speaker (0 … 1)", xlim=(0, 1))
    ax.grid(axis="x")


def confidence(clips: Mapping[str, pd.DataFrame], *, n_bins: int = 10) -> Figure:
    """Reliability diagram, left, and risk–coverage curves, right, one line per family.

    Parameters
    ----------
    clips : mapping
        Family → ``right, sure`` of each answer and, where a temperature is known, ``sure_scaled``.
    n_bins : int
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.9), layout="constrained")
    left.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1.2)
    for family, table in clips.items():
        colour, marker = FAMILY_STYLE[family]
        for column, style in (("sure", "-"), ("sure_scaled", "--")):
            if column in table:
                bins = evaluation.calibration.reliability(table[column].to_numpy(), table["right"], n_bins=n_bins)
                left.plot(bins["sure"], bins["right"], style, color=colour, marker=marker, markersize=4, linewidth=1.2)
        points = evaluation.selective.curve(table["sure"].to_numpy(), table["right"].to_numpy())
        right.plot(points["coverage"], points["risk"], color=colour, label=family, linewidth=1.4)
        last = points.iloc[[-1]]
        right.plot(last["coverage"], last["risk"], marker, color=colour, clip_on=False)
    left.set(
        xlabel="confidence (0 … 1)", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1), title="Reliability"
    )
    right.set(xlabel="share of clips answered", ylabel="share of wrong answers", xlim=(0, 1), title="Risk and coverage")
    right.set_ylim(0, None)
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return fig


def ladders(steps: pd.DataFrame, order: Sequence[str]) -> Figure:
    """UAR on every rung, one line per corpus and model.

    Parameters
    ----------
    steps : pd.DataFrame
        From :func:`summaries.ladder`.
    order : sequence of str
        Rungs from most to least leakage.
    """
    rungs = [rung for rung in order if rung in set(steps["rung"])]
    fig, ax = plt.subplots(figsize=(7.4, 4.0), layout="constrained")
    lines = list(steps.groupby(["corpus", "model"], sort=False))
    for i, ((corpus, model), part) in enumerate(lines):
        at = np.array([rungs.index(rung) for rung in part["rung"]]) + 0.05 * (i - len(lines) / 2)
        error = np.abs(part[["ci_low", "ci_high"]].sub(part["UAR"], axis=0)).fillna(0).to_numpy().T
        style = {"marker": "osD^vP*X"[i % 8], "color": PALETTE[i % len(PALETTE)], "ls": ("-", "--", ":", "-.")[i % 4]}
        ax.errorbar(at, part["UAR"], yerr=error, capsize=3, label=f"{corpus}, {model}", **style)
    ax.set_xticks(range(len(rungs)), rungs)
    ax.set(ylabel="UAR (0 … 1)", ylim=(0, 1.02), xlabel="from every file twice to speakers nobody heard")
    fig.legend(loc="outside lower center", ncols=2)
    return fig
