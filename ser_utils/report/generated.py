"""Figures of generated speech: losses, spectrograms side by side, the way from noise, and what it gains.

Each takes tables or arrays and returns a figure for :func:`report.figure`, which needs the caption and the alt text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ser_utils.report.figures import PALETTE
from ser_utils.report.nets import LINES, MARKERS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = {  # net → validation loss that its training is told by, and its name on the axis
    "vae": ("val_error", "Reconstruction error"),
    "diffusion": ("val_noise_error", "Denoising error"),
    "latent": ("val_noise_error", "Denoising error, latent"),
    "gan": ("val_cycle", "Error there and back"),
}


def losses(histories: pd.DataFrame) -> Figure:
    """Validation loss of each generator against the step, one thin line per fold and seed, the mean thick.

    Parameters
    ----------
    histories : pd.DataFrame
        ``corpus, net, fold, seed, step`` and the losses.
    """
    import matplotlib.pyplot as plt

    nets = [net for net in SHOWN if net in set(histories["net"])]
    fig, axes = plt.subplots(1, len(nets), figsize=(2.9 * len(nets), 2.9), squeeze=False, layout="constrained")
    for ax, net in zip(axes[0], nets, strict=True):
        value, label = SHOWN[net]
        for i, (corpus, part) in enumerate(histories[histories["net"] == net].groupby("corpus", sort=False)):
            for _, run in part.groupby(["fold", "seed"]):
                ax.plot(run["step"], run[value], color=PALETTE[i], lw=0.6, alpha=0.5)
            middle = part.groupby("step")[value].mean()
            ax.plot(middle.index, middle, color=PALETTE[i], ls=LINES[i % len(LINES)], marker=MARKERS[i], label=corpus)
        ax.set(title=net, xlabel="Step", ylabel=label)
        ax.set_ylim(0, 1.08 * ax.get_ylim()[1])
    axes[0, 0].legend(fontsize=8)
    return fig


def side_by_side(
    pictures: Mapping[str, np.ndarray], n_frames: np.ndarray, columns: Sequence[str], *, frame_s: float
) -> Figure:
    """Spectrograms: one column per clip, one row per way of making it, on one scale.

    Parameters
    ----------
    pictures : mapping of str to np.ndarray [shape=(n_clips, longest, n_bands)]
        dB.
    n_frames : np.ndarray [shape=(n_clips,)]
    columns : sequence of str
        Titles of the clips.
    frame_s : float
        Seconds between frames.
    """
    import matplotlib.pyplot as plt

    size = (2.1 * len(columns) + 1.2, 1.15 * len(pictures) + 0.6)
    fig, axes = plt.subplots(
        len(pictures), len(columns), figsize=size, squeeze=False, sharex="col", sharey=True, layout="constrained"
    )
    first = next(iter(pictures.values()))
    top = max(float(x[:n].max()) for x, n in zip(first, n_frames, strict=True))
    for line, (name, clips) in zip(axes, pictures.items(), strict=True):
        for ax, x, n in zip(line, clips, n_frames, strict=True):
            extent = (0, n * frame_s, 0, x.shape[1])
            image = ax.imshow(
                x[:n].T, origin="lower", aspect="auto", cmap="magma", extent=extent, vmin=top - 70, vmax=top
            )
        line[0].set_ylabel(name.replace("_", "\n"), fontsize=8)
    for ax, title in zip(axes[0], columns, strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("Time (s)")
    fig.colorbar(image, ax=axes, label="dB", shrink=0.6)
    return fig


def strip(pictures: np.ndarray, *, n_frames: int, n: int = 6) -> Figure:
    """The way from noise to a clip: `n` of its times, from left to right.

    Parameters
    ----------
    pictures : np.ndarray [shape=(n_times, longest, n_bands)]
        dB.
    n_frames, n : int
    """
    import matplotlib.pyplot as plt
    import numpy as np

    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(n, len(pictures))).round().astype(int))
    fig, axes = plt.subplots(
        1, len(chosen), figsize=(1.5 * len(chosen) + 0.6, 2.0), squeeze=False, sharey=True, layout="constrained"
    )
    top = float(pictures[-1][:n_frames].max())
    for ax, at in zip(axes[0], chosen, strict=True):
        ax.imshow(pictures[at][:n_frames].T, origin="lower", aspect="auto", cmap="magma", vmin=top - 70, vmax=top)
        ax.set(title=f"after {at + 1}", xticks=[])
    axes[0, 0].set_ylabel("Mel band")
    return fig


def gains(tests: pd.DataFrame) -> Figure:
    """Difference of UAR from real data alone, with its interval, one panel per corpus.

    Parameters
    ----------
    tests : pd.DataFrame
        ``corpus, train_regime, condition, difference, ci_low, ci_high``.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    parts = dict(list(tests.groupby("corpus", sort=False)))
    longest = max(map(len, parts.values()))
    size = (4.6 * len(parts) + 1.2, 0.3 * longest + 1.1)
    fig, axes = plt.subplots(1, len(parts), figsize=size, squeeze=False, layout="constrained")
    for ax, (corpus, part) in zip(axes[0], parts.items(), strict=True):
        names = [r.train_regime if r.condition == "clean" else r.condition for r in part.itertuples()]
        error = np.abs(part[["ci_low", "ci_high"]].sub(part["difference"], axis=0)).to_numpy().T
        at = np.arange(len(names))[::-1]
        ax.errorbar(part["difference"], at, xerr=np.nan_to_num(error), fmt="o", color="#22292f", capsize=3, ms=5)
        ax.axvline(0, color="0.4", ls="--", lw=1)
        ax.set_yticks(at, names, fontsize=8)
        ax.set(title=corpus, xlabel="UAR minus that of real data alone")
        ax.grid(axis="x")
    return fig


def circle(steps: pd.DataFrame) -> Figure:
    """UAR of enhanced test clips by who judges and what the generator was told, one line per kind.

    Parameters
    ----------
    steps : pd.DataFrame
        ``corpus, kind, judge, told, UAR, ci_low, ci_high``; kind ``none`` is the clip as it is.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    parts = dict(list(steps.groupby("corpus", sort=False)))
    places = [(judge, told) for judge in ("evaluator", "conditioner") for told in ("nothing", "own", "label")]
    size = (5.4 * len(parts), 4.4)
    fig, axes = plt.subplots(1, len(parts), figsize=size, squeeze=False, sharey=True, layout="constrained")
    kinds = [kind for kind in steps["kind"].unique() if kind != "none"]
    for ax, (corpus, part) in zip(axes[0], parts.items(), strict=True):
        for i, kind in enumerate(kinds):
            known = part[part["kind"].isin(["none", kind])].set_index(["judge", "told"]).reindex(places)
            error = np.abs(known[["ci_low", "ci_high"]].sub(known["UAR"], axis=0)).to_numpy().T
            where = np.arange(len(places)) + 0.08 * (i - len(kinds) / 2)
            style = {"marker": MARKERS[i], "color": PALETTE[i], "ls": "none", "capsize": 2, "label": kind}
            ax.errorbar(where, known["UAR"], yerr=np.nan_to_num(error), **style)
        ax.axvline(2.5, color="0.6", lw=1)
        names = {"nothing": "as it is", "own": "told what\nis heard", "label": "told the\nlabel"}
        ax.set_xticks(range(len(places)), [names[told] for _, told in places], fontsize=8)
        ax.set(title=corpus, ylim=(0, 1.02), xlabel="independent evaluator  |  conditioner as judge")
    axes[0, 0].set_ylabel("UAR (0 … 1)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig
