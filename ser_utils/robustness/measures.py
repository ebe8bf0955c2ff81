"""Quality of what denoisers give, per condition, on a fixed sample of the tested clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_utils import denoise, pretrained, quality, study
from ser_utils.noise import Condition
from ser_utils.robustness.bench import NONE, Bench, Clips

N_WINDOWS = 1  # that DNSMOS rates of a clip: a fifth of the time
FEWEST = 6  # denoisers, none among them, that are ranked at one noise and SNR


def quality_table(
    bench: Bench, conditions: Sequence[Condition], *, metrics: Sequence[str], n_clips: int
) -> pd.DataFrame:
    """Mean measures of every condition.

    Parameters
    ----------
    bench : Bench
    conditions : sequence of Condition
        Clean ones are left out: they are their own reference.
    metrics : sequence of str
        Names in :data:`ser_utils.quality.METRICS`; those that cannot be computed here are left out, see
        :func:`not_run`.
    n_clips : int
        Tested clips that are measured, the same under every condition; 0 for all.

    Returns
    -------
    pd.DataFrame
        ``corpus, noise, snr_db, denoiser, metric, value`` (mean over the clips with a value), ``n_clips`` (those).
    """
    known = [name for name in metrics if not quality.not_run(name)]
    rows = []
    for each in conditions:
        if not each.noise:
            continue
        clips = sample(bench.tested(each), n_clips, bench.seed)
        found = quality.measure(
            bench.rows,
            bench.root,
            clips.table,
            clips.root,
            cache=bench.cache / "quality",
            metrics=known,
            n_windows=N_WINDOWS,
        )
        for metric, part in found.groupby("metric", sort=False):
            values = part["value"].dropna()
            mean = float(values.mean()) if len(values) else np.nan
            rows.append([bench.name, each.noise, float(each.snr_db), each.denoiser or NONE, metric, mean, len(values)])
    return pd.DataFrame(rows, columns=["corpus", "noise", "snr_db", "denoiser", "metric", "value", "n_clips"])


def gains(measured: pd.DataFrame, *, low_db: float, high_db: float) -> pd.DataFrame:
    """What each denoiser adds to the mean of every measure between two SNRs.

    Parameters
    ----------
    measured : pd.DataFrame
        From :func:`quality_table`.
    low_db, high_db : float
        dB; both count.

    Returns
    -------
    pd.DataFrame
        ``corpus, noise, snr_db, denoiser, metric, gain``.
    """
    sound = ["corpus", "noise", "snr_db", "metric"]
    part = measured[measured["snr_db"].between(low_db, high_db)]
    none = part[part["denoiser"] == NONE][[*sound, "value"]].rename(columns={"value": "before"})
    joined = part[part["denoiser"] != NONE].merge(none, on=sound)
    return joined.assign(gain=joined["value"] - joined["before"])[[*sound[:3], "denoiser", "metric", "gain"]]


def sample(clips: Clips, n_clips: int, seed: int) -> Clips:
    """`n_clips` of the clips, drawn by their ids alone."""
    if not n_clips or n_clips >= len(clips.table):
        return clips
    ids = np.sort(clips.table["clip_id"].to_numpy(dtype=str))
    kept = np.random.default_rng(seed).choice(ids, n_clips, replace=False)
    return Clips(clips.table[clips.table["clip_id"].isin(kept)].reset_index(drop=True), clips.root)


def not_run(denoisers: Sequence[str], metrics: Sequence[str], encoders: Sequence[str] = ()) -> pd.DataFrame:
    """Denoisers, measures and encoders that cannot run here, and how to change that.

    Returns
    -------
    pd.DataFrame
        ``what, why``; empty where all can run.
    """
    missing = {name: denoise.DENOISERS[name].not_run for name in denoisers if name in denoise.DENOISERS}
    missing |= {name: quality.not_run(name) for name in metrics}
    missing |= {name: pretrained.not_run(name.partition(":")[0]) for name in encoders}
    return pd.DataFrame([(name, why) for name, why in missing.items() if why], columns=["what", "why"])


def rank_correlations(measured: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of each measure with the UAR, over all conditions and at each sound on its own.

    A sound is one noise at one SNR. Over all conditions the SNR moves both, so the second number is what a measure
    tells about denoisers. The oracle, which nobody can choose, and gated denoisers, which double those behind the gate,
    do not count in it, nor do sounds with fewer than :data:`FEWEST` others, none among them.

    Parameters
    ----------
    measured : pd.DataFrame
        From :func:`quality_table`.
    scores : pd.DataFrame
        From :func:`ser_utils.robustness.curves`, of one model and regime.

    Returns
    -------
    pd.DataFrame
        ``corpus, metric, rho, n_conditions`` (all of them, behind ``rho``), ``rho_at_snr`` (mean over sounds; NaN where
        none is left), ``n_sounds`` (behind that mean).
    """
    sound = ["corpus", "noise", "snr_db"]
    joined = measured.merge(scores[[*sound, "denoiser", "UAR"]], on=[*sound, "denoiser"])
    rows = []
    for (corpus, metric), part in joined.groupby(["corpus", "metric"], sort=False):
        part = part.dropna(subset=["value"])
        real = part[[name != "oracle" and denoise.inner(name) == name for name in part["denoiser"]]]
        inside = [spearman(same["value"], same["UAR"]) for _, same in real.groupby(sound) if len(same) >= FEWEST]
        inside = [rho for rho in inside if np.isfinite(rho)]
        mean = float(np.mean(inside)) if inside else np.nan
        rows.append([corpus, metric, spearman(part["value"], part["UAR"]), len(part), mean, len(inside)])
    return pd.DataFrame(rows, columns=["corpus", "metric", "rho", "n_conditions", "rho_at_snr", "n_sounds"])


def spearman(x: pd.Series, y: pd.Series) -> float:
    """Rank correlation; NaN for fewer than three values, or where one side never changes.

    Values that agree in ten decimals are ties.

    Examples
    --------
    >>> spearman(pd.Series([1, 2, 9]), pd.Series([0.1, 0.2, 0.3]))
    1.0
    """
    x, y = x.round(10), y.round(10)  # or rounding errors would rank equal UARs
    if len(x) < 3 or x.nunique() < 2 or y.nunique() < 2:
        return np.nan
    return float(np.corrcoef(x.rank(), y.rank())[0, 1].round(12))


def costs(denoisers: Sequence[str], bench: Bench, *, n_clips: int = 3) -> pd.DataFrame:
    """What denoisers cost on one core: seconds per second of sound, latency, learnt numbers.

    Returns
    -------
    pd.DataFrame
        ``denoiser, title, real_time_factor, latency_s`` (NaN: the whole clip is needed), ``n_parameters``.
    """
    from ser_utils import audio

    rows = bench.rows.head(n_clips)
    sounds = [audio.load_listed(bench.root / row.path, row.sha256) for row in rows.itertuples()]
    found = []
    for name in denoisers:
        entry = bench.denoisers[name]
        if entry.needs != "clean":
            factor = quality.real_time_factor(entry, sounds, audio.SAMPLE_RATE, repeats=1)
            study.progress(f"{name}: {factor:.3f} s per second of sound")
            latency = np.nan if entry.latency_s is None else entry.latency_s
            found.append([name, entry.title, factor, latency, entry.n_parameters])
    return pd.DataFrame(found, columns=["denoiser", "title", "real_time_factor", "latency_s", "n_parameters"])
