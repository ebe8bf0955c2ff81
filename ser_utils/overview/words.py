"""Sentences of the evaluation, made from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ser_utils import evaluation
from ser_utils.overview import families
from ser_utils.report.pages import page_title


def headline(row: Any, *, n_classes: int, synthetic: bool) -> str:
    """The headline of one corpus: a row of a headline table."""
    chance = 1 / n_classes
    score = evaluation.interval_text(row.UAR, row.ci_low, row.ci_high)
    verdict = "above" if row.ci_low > chance else "not surely above"
    seeds = f"{row.n_seeds} seed{'s' if row.n_seeds > 1 else ''}"
    name = row.corpus + (" (synthetic)" if synthetic else "")
    return (
        f"**{name}**, split {row.split}: {row.model} on {row.features} reaches a UAR of **{score}** over {n_classes} "
        f"emotions, {verdict} chance ({chance:.3f}); {row.n_speakers} speakers, {row.n_clips} clips, {seeds}."
        + (f" Beware: {row.note}." if row.note else "")
    )


def made(leaders: pd.DataFrame) -> str:
    """Where the predictions behind the headline were made: a link to the cells of each notebook, with the file."""
    places = {(row.notebook, families.place(row.notebook, row.family)): row.family for row in leaders.itertuples()}
    links = []
    for (name, place), kind in sorted(places.items()):
        address = f"{name}.ipynb{place.removeprefix(name)}"
        links.append(f"{kind} in [{page_title(name)}]({address}) (`predictions/{name}.parquet`)")
    return (
        "How these numbers were made: "
        + ", ".join(links)
        + "; parameters are at the top of each page and in `run.json`."
    )


def tight(texts: Any) -> list[str]:
    """Scores whose intervals no line breaks.

    Examples
    --------
    >>> tight(["0.5 [0.4, 0.6]"]) == ["0.5 [0.4,\\u00a00.6]"]
    True
    """
    return [text.replace(", ", ",\u00a0") for text in texts]


def held(table: pd.DataFrame) -> str:
    """What the simulation of intervals says: :func:`summaries.coverages`."""
    low, high = table["speakers"].min(), table["speakers"].max()
    span = f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f}"
    return (
        f"The intervals of this report hold the true score in {span} % of the simulated corpora, the middle of the "
        f"draws in {table['middle'].min():.0f} % at worst, and an interval over clips in "
        f"{table['clips'].max():.0f} % at most."
    )


def slips(matrix: Any, names: list[str], n: int = 3) -> str:
    """The most frequent mistakes, as shares of what was spoken.

    Examples
    --------
    >>> import numpy as np
    >>> slips(np.array([[8, 2], [5, 5]]), ["happy", "sad"], n=1)
    'sad for happy (50 %)'
    """
    import numpy as np

    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    share = share * (1 - np.eye(len(share)))
    worst = [np.unravel_index(flat, share.shape) for flat in np.argsort(-share, axis=None, kind="stable")[:n]]
    return ", ".join(f"{names[i]} for {names[j]} ({100 * share[i, j]:.0f} %)" for i, j in worst)


def conclusions(
    leaders: pd.DataFrame, steps: pd.DataFrame, loud: pd.DataFrame, synthetic: Mapping[str, bool]
) -> list[str]:
    """One sentence per finding that the run can carry: best family, what leakage gives, what noise takes.

    Parameters
    ----------
    leaders : pd.DataFrame
        From :func:`families.best`.
    steps, loud : pd.DataFrame
        From :func:`summaries.ladder` and :func:`summaries.noise`.
    synthetic : mapping
        Corpus → whether a synthesiser made it.
    """
    lines = []
    for (corpus, split), part in leaders.groupby(["corpus", "split"], sort=False):
        top = part.iloc[0]
        kind = "synthetic speech; says nothing about people" if synthetic[corpus] else "recordings of people"
        score = evaluation.interval_text(top["UAR"], top["ci_low"], top["ci_high"])
        rest = ", ".join(f"{row.family} {row.UAR:.3f}" for row in part.iloc[1:].itertuples())
        lines.append(
            f"- **{corpus}** ({kind}; split {split}): the best family is {top['family']} ({top['model']} on "
            f"{top['features']}), UAR {score}, WA {top['WA']:.3f}" + (f"; then {rest}." if rest else ".")
        )
    for (corpus, model), part in steps.groupby(["corpus", "model"], sort=False):
        height = part.set_index("rung")["UAR"]
        if {"random", "unseen"} <= set(height.index):
            lines.append(
                f"- **Leakage, {corpus}**: a random split tells {height['random']:.2f} of {model}, unseen speakers "
                f"{height['unseen']:.2f}: {height['random'] - height['unseen']:+.2f} come from knowing the voices."
            )
    for row in loud.itertuples():
        behind = f", {row.denoised:.2f} behind {row.denoiser}" if row.denoiser else ""
        after = f", {row.trained:.2f} after noisy training" if row.trained == row.trained else ""
        lines.append(
            f"- **Noise, {row.corpus}, {row.snr_db:g} dB**: {row.model} has a UAR of {row.clean:.2f} in quiet, "
            f"{row.noisy:.2f} in noise{behind}{after}."
        )
    return lines
