"""The efficiency section: tables, a figure and an outlook from what ``./run_all.sh bench`` left."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd

from ser_utils import study
from ser_utils.report.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = ("o", "s", "^", "D")
NOT_RUN = "not run: `./run_all.sh bench` and `./run_all.sh bench growth` measure it"
CLIP_S = 3.0  # mean length of the clips that growth is measured on


def parts() -> pd.DataFrame | None:
    """The bench's table of everything; None where it was not run.

    Returns
    -------
    pd.DataFrame
        ``part, of, unit, ms`` (processor time per unit), ``times`` (as fast as the usual way, or as the sound plays),
        ``peak_mb`` and ``not_run`` (why a part was not measured).
    """
    report = _report("parts")
    if report is None:
        return None
    columns = ["part", "of", "unit", "ms", "times", "peak_mb", "not_run"]
    return pd.DataFrame(report["rows"]).reindex(columns=columns).fillna({"unit": "", "not_run": ""})


def growth() -> pd.DataFrame | None:
    """Time and memory of every stage at every size: ``stage, clips, seconds, peak_mb, limit_mb``; None if not run."""
    report = _report("growth")
    if report is None:
        return None
    return pd.DataFrame(report["stages"])[["stage", "clips", "seconds", "peak_mb", "limit_mb"]]


def trends() -> pd.DataFrame | None:
    """How each stage grows: ``stage, ms_per_clip, power, linear, mb_per_1000_clips, flat``; None where not run."""
    report = _report("growth")
    return None if report is None else pd.DataFrame(report["growth"])


def plot(table: pd.DataFrame) -> Figure:
    """Time and peak memory against the number of clips, both axes logarithmic; a dashed line has the slope of linear.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`growth`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), layout="constrained")
    for ax, column, label in zip(axes, ("seconds", "peak_mb"), ("processor time (s)", "peak memory (MB)"), strict=True):
        for (stage, rows), colour, mark in zip(table.groupby("stage", sort=False), PALETTE, MARKS, strict=False):
            ax.plot(rows["clips"], rows[column], color=colour, marker=mark, label=stage)
        ax.set(xscale="log", yscale="log", xlabel="clips", ylabel=label)
        ax.set_xticks(sorted(set(table["clips"])), labels=[f"{n:,}" for n in sorted(set(table["clips"]))])
        ax.minorticks_off()
    ends = table["clips"].min(), table["clips"].max()
    lowest = table["seconds"].min()
    axes[0].plot(ends, [lowest, lowest * ends[1] / ends[0]], color=PALETTE[6], ls="--", label="linear")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return fig


def outlook(
    hours: float, *, workers: int, epochs: int, folds: int, price_per_core_hour: float
) -> list[tuple[str, float, str]]:
    """What a corpus of so many hours of speech would take, on paper, from the measured cost per clip.

    Checking, features and one training per fold; augmentation, denoising and encoders come on top. Perfect sharing of
    the work over `workers` is assumed, which folds allow only up to their number.

    Parameters
    ----------
    hours : float
        Of speech.
    workers : int
        Processor cores at once.
    epochs, folds : int
        Of training.
    price_per_core_hour : float
        In any currency.

    Returns
    -------
    list of (what, value, unit)
        Empty where growth was not measured.
    """
    table = trends()
    if table is None:
        return []
    clips = hours * 3600 / CLIP_S
    ms = table.set_index("stage")["ms_per_clip"]
    held = table.set_index("stage")["mb_per_1000_clips"]["training epoch"] * clips / 1000 / 1024
    light = clips * (ms["checking"] + ms["features"]) / 3.6e6
    training = clips * ms["training epoch"] * epochs * folds / 3.6e6
    elapsed = light / workers + training / min(workers, folds)
    return [
        ("clips", clips, ""),
        ("sound, 16 kHz and 16 bits", hours * 3600 * 32_000 / 1e9, "GB"),
        ("log-mels, 32 bits", clips * _frames_mb() / 1024, "GB"),
        ("checking and features", light, "core hours"),
        (f"training, {folds} folds of {epochs} epochs", training, "core hours"),
        (f"elapsed on {workers} cores", elapsed, "hours"),
        ("memory of one training", held, "GB"),
        ("price", (light + training) * price_per_core_hour, ""),
    ]


def _frames_mb() -> float:
    """Measured megabytes of features per clip."""
    rows = [row for row in (_report("growth") or {"stages": []})["stages"] if row.get("features_mb")]
    return rows[-1]["features_mb"] / rows[-1]["clips"] if rows else math.nan


def _report(name: str) -> dict[str, Any] | None:
    """What a bench left; read here, since importing the benches would make all that they measure part of the page."""
    file = study.output_root() / "reports" / "bench" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
