"""Figures of the noise grid; each takes tables and gives a figure for :func:`ser_utils.report.figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ser_utils import audio, denoise, features, quality
from ser_utils.report.figures import EMOTION_COLOURS, EMOTION_MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REGIMES = {"clean": ("C0", "o", "-"), "noisy": ("C2", "s", "--"), "denoised": ("C1", "^", "-.")}
REGIMES |= {"noisy+denoised": ("C3", "D", ":")}
MARKERS, STYLES = "osD^vP*", ("-", "--", ":", "-.")
BEYOND = 7  # dB right of the highest SNR, where clean speech stands


def look(k: int) -> tuple[str, str, str]:
    """Colour, marker and line of the k-th curve: nine colours and seven markers, so 63 pairs of them."""
    return f"C{k % 9}", MARKERS[k % 7], STYLES[k % 4]


def panels(n_rows: int, n_columns: int, *, height: float, share: str | bool = "row") -> tuple[Figure, np.ndarray]:
    """A figure as wide as a page and its axes [shape=(n_rows, n_columns)]."""
    import matplotlib.pyplot as plt

    size = (min(8.4, 4.4 * n_columns), height * n_rows)
    return plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, sharey=share, layout="constrained")


def legend(fig: Figure) -> None:
    """One legend below all panels, each label once."""
    handles = {label: handle for ax in fig.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    ncols = 5 if len(fig.axes) > 1 else 3
    fig.legend(handles.values(), handles, loc="outside lower center", ncols=ncols, fontsize=7)


# --- sounds -----------------------------------------------------------------------------------------------------


def spectrograms(sounds: Mapping[str, np.ndarray]) -> Figure:
    """Log-mel pictures of one clip, three in a line; the first is the clean one, the others carry their SI-SDR."""
    import matplotlib.pyplot as plt

    lines = -(-len(sounds) // 3)
    fig, axes = plt.subplots(lines, 3, figsize=(8.4, 1.7 * lines), sharex=True, sharey=True, layout="constrained")
    spec, clean = features.FrameSpec(n_mels=64), next(iter(sounds.values()))
    for ax, (name, sound) in zip(axes.flat, sounds.items(), strict=False):
        extent = (0, len(sound) / audio.SAMPLE_RATE, 0, spec.n_mels)
        bands = features.log_mel(sound, spec).T
        ax.imshow(bands, origin="lower", aspect="auto", cmap="magma", vmin=-90, vmax=0, extent=extent)
        told = "" if sound is clean else f"\nSI-SDR {quality.si_sdr(clean, sound, audio.SAMPLE_RATE):.1f} dB"
        ax.set_title(name + told, fontsize=8)
    for ax in axes.flat[len(sounds) :]:
        ax.set_axis_off()
    fig.supxlabel("Time (s)", fontsize=10)
    fig.supylabel("Mel band", fontsize=10)
    return fig


def band(clean: np.ndarray) -> tuple[Figure, float]:
    """Energy below 1 kHz and pitch of a clean clip and of what principal components leave of it; and by how many dB the
    band-pass lowers 100 to 400 Hz."""
    fig, axes = panels(1, 2, height=3.0, share=False)
    energy = {}
    for k, name in enumerate(("clean", "pca", "pca_band")):
        sound = clean if name == "clean" else denoise.DENOISERS[name](clean)
        power, hz = np.abs(np.fft.rfft(sound)) ** 2, np.fft.rfftfreq(len(sound), 1 / audio.SAMPLE_RATE)
        energy[name] = np.array([power[(hz >= low) & (hz < low + 50)].sum() for low in range(0, 1000, 50)])
        axes[0, 0].plot(np.arange(25, 1000, 50), 10 * np.log10(energy[name] + 1e-9), STYLES[k], label=name)
        f0, voicing = features.f0(sound, sr=audio.SAMPLE_RATE)
        at = np.linspace(0, len(sound) / audio.SAMPLE_RATE, len(f0))
        axes[0, 1].plot(at, np.where(voicing >= features.VOICED, f0, np.nan), STYLES[k])
    axes[0, 0].set(xlabel="Frequency (Hz)", ylabel="Energy of 50 Hz (dB)")
    axes[0, 1].set(xlabel="Time (s)", ylabel="F0 where voiced (Hz)")
    axes[0, 0].legend()
    before, after = (energy[name][2:8].sum() for name in ("clean", "pca_band"))
    return fig, float(10 * np.log10(before / max(after, 1e-12)))


def learning(histories: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Loss over batches: corpus → denoiser → history."""
    names = list(next(iter(histories.values())))
    fig, axes = panels(1, len(names), height=2.8, share=False)
    for corpus, made in histories.items():
        for ax, (name, history) in zip(axes[0], made.items(), strict=True):
            part = history.dropna(subset=["loss"])
            ax.plot(part["step"], part["loss"], marker="o", ms=3, label=corpus)
            ax.set(title=name, xlabel="Batch")
    axes[0, 0].set_ylabel("Loss of the last batches")
    axes[0, 0].legend()
    return fig


# --- scores -----------------------------------------------------------------------------------------------------


def _curve(ax: Axes, part: pd.DataFrame, style: tuple[str, str, str], label: str, beyond: float) -> None:
    part = part.assign(at=part["snr_db"].replace(np.inf, beyond)).sort_values("at")
    colour, marker, line = style
    ax.plot(part["at"], part["UAR"], color=colour, marker=marker, ls=line, label=label)
    ax.fill_between(part["at"], part["ci_low"], part["ci_high"], color=colour, alpha=0.1, lw=0)


def _snr_axis(ax: Axes, snrs: Sequence[float], *, chance: float, ylabel: str) -> None:
    ax.axhline(chance, color="0.4", lw=1, ls=(0, (1, 3)))
    ax.set_xticks([*snrs, max(snrs) + BEYOND], [*(f"{snr:g}" for snr in snrs), "clean"])
    ax.set(xlabel="SNR (dB)", ylabel=ylabel)


def _snrs(scores: pd.DataFrame) -> list[float]:
    return sorted(snr for snr in scores["snr_db"].unique() if np.isfinite(snr))


def by_regime(scores: pd.DataFrame, chances: Mapping[str, float], models: Sequence[str], denoiser: str) -> Figure:
    """UAR against SNR of every training regime, one row of panels per corpus and one column per model.

    Parameters
    ----------
    scores : pd.DataFrame
        From :func:`ser_utils.robustness.curves`, of one noise and of clean speech.
    chances : mapping
        Corpus → UAR of chance.
    models : sequence of str
    denoiser : str
        Of the regimes with one, and before the tests of one more curve.
    """
    fig, axes = panels(len(chances), len(models), height=3.3)
    snrs = _snrs(scores)
    for line, corpus in zip(axes, chances, strict=True):
        for ax, model in zip(line, models, strict=True):
            mine = scores[(scores["corpus"] == corpus) & (scores["model"] == model)]
            for regime, style in REGIMES.items():
                own = denoiser if "denoised" in regime else "none"
                part = mine[(mine["train_regime"] == regime) & (mine["denoiser"] == own)]
                _curve(ax, part, style, regime, max(snrs) + BEYOND)
            part = mine[(mine["train_regime"] == "clean") & (mine["denoiser"] == denoiser)]
            if denoiser != "none":
                _curve(ax, part, ("C5", "v", "-"), f"clean, tested after {denoiser}", max(snrs) + BEYOND)
            _snr_axis(ax, snrs, chance=chances[corpus], ylabel="UAR")
            ax.set_title(f"{corpus}: {model}")
    axes[0, 0].legend(fontsize=7)
    return fig


def by_denoiser(scores: pd.DataFrame, chances: Mapping[str, float], denoisers: Sequence[str]) -> Figure:
    """UAR against SNR with each denoiser before the tests, trained on clean speech (left) and with noise (right).

    Gated denoisers are left out: they lie on those behind the gate.
    """
    fig, axes = panels(len(chances), 2, height=3.3)
    snrs, names = _snrs(scores), ["none", *(name for name in denoisers if denoise.inner(name) == name)]
    for line, corpus in zip(axes, chances, strict=True):
        for ax, regime in zip(line, ("clean", "noisy"), strict=True):
            mine = scores[(scores["corpus"] == corpus) & (scores["train_regime"] == regime)]
            for k, name in enumerate(names):
                _curve(ax, mine[mine["denoiser"] == name], look(k), name, max(snrs) + BEYOND)
            _snr_axis(ax, snrs, chance=chances[corpus], ylabel="UAR")
            ax.set_title(f"{corpus}: trained on {'clean speech' if regime == 'clean' else 'clean and noisy speech'}")
    axes[0, 0].legend(fontsize=7)
    return fig


def by_emotion(recalls: Mapping[tuple[str, float], pd.DataFrame], chances: Mapping[str, float]) -> Figure:
    """Recall of each emotion against SNR: (corpus, SNR) → :func:`ser_utils.robustness.confusions`, by ``emotion``."""
    fig, axes = panels(1, len(chances), height=3.6)
    for ax, corpus in zip(axes[0], chances, strict=True):
        snrs = sorted(snr for name, snr in recalls if name == corpus)
        at = [snr if np.isfinite(snr) else snrs[-2] + BEYOND for snr in snrs]
        for emotion in recalls[corpus, snrs[-1]].index:
            values = [recalls[corpus, snr]["recall"].get(emotion, np.nan) for snr in snrs]
            ax.plot(at, values, color=EMOTION_COLOURS[emotion], marker=EMOTION_MARKERS[emotion], label=emotion)
        _snr_axis(ax, snrs[:-1], chance=chances[corpus], ylabel="Recall")
        ax.set_title(corpus)
    legend(fig)
    return fig


def against_quality(joined: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """UAR against each measure, one point per condition: columns ``corpus, metric, value, UAR, snr_db, denoiser``."""
    names = list(joined["corpus"].unique())
    fig, axes = panels(len(names), len(metrics), height=2.7)
    low, high = joined["snr_db"].min(), joined["snr_db"].max()
    for line, corpus in zip(axes, names, strict=True):
        for ax, metric in zip(line, metrics, strict=True):
            part = joined[(joined["corpus"] == corpus) & (joined["metric"] == metric)]
            size = np.where(part["denoiser"] == "none", 50, 18)
            look_ = {"c": part["snr_db"], "s": size, "vmin": low, "vmax": high, "edgecolors": "0.2", "linewidths": 0.4}
            points = ax.scatter(part["value"], part["UAR"], **look_)
            unit = quality.METRICS[metric].unit
            ax.set_xlabel(quality.METRICS[metric].title + (f" ({unit})" if unit else ""), fontsize=8)
        line[0].set_ylabel(f"UAR, {corpus}")
    fig.colorbar(points, ax=axes, label="SNR (dB)", shrink=0.8)
    return fig


def against_cost(rows: pd.DataFrame) -> Figure:
    """Gain of each denoiser against its cost: columns ``corpus, denoiser, gain, ci_low, ci_high, real_time_factor``."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    names = list(rows["corpus"].unique())
    looks = {name: look(k) for k, name in enumerate(rows["denoiser"].unique())}
    fig, axes = panels(1, len(names), height=4.2)
    for ax, corpus in zip(axes[0], names, strict=True):
        for row in rows[rows["corpus"] == corpus].itertuples():
            colour, marker, _ = looks[row.denoiser]
            error = [[row.gain - row.ci_low], [row.ci_high - row.gain]]
            style = {"fmt": marker, "color": colour, "capsize": 2, "lw": 1, "label": row.denoiser}
            ax.errorbar(row.real_time_factor, row.gain, yerr=error, **style)
        ax.axhline(0, color="0.4", lw=1)
        ax.set(xscale="log", title=corpus, xlabel="Seconds per second of sound, one core", ylabel="Gain in UAR")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    legend(fig)
    return fig
