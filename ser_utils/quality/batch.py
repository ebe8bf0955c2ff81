"""Measures of many clips, and what a denoiser costs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import audio, study, weights
from ser_utils.quality.metrics import METRICS, known, score
from ser_utils.quality.p835 import RATE, WEIGHTS


def not_run(name: str) -> str:
    """Empty where a measure can be computed, else the reason for a row "not run".

    Examples
    --------
    >>> not_run("si_sdr")
    ''
    """
    return weights.not_run(WEIGHTS) if _is_dnsmos(known(name).name) else ""


def _is_dnsmos(name: str) -> bool:
    return name.startswith("dnsmos")


def measure(
    reference: pd.DataFrame,
    reference_root: Path,
    estimate: pd.DataFrame,
    estimate_root: Path,
    *,
    cache: Path,
    metrics: Sequence[str] = tuple(METRICS),
    n_windows: int = 0,
) -> pd.DataFrame:
    """Measures of many clips, from the cache when their content is there.

    Parameters
    ----------
    reference, estimate : pd.DataFrame
        Manifests of clean and of noisy or denoised clips: ``clip_id, path, sha256``. Every clip of `estimate` needs a
        reference of its id, or of its ``parent`` where it has that column. ``gain_db`` of an estimate is taken back.
    reference_root, estimate_root : Path
        Folders that the paths are relative to.
    cache : Path
        Folder for the artefact.
    metrics : sequence of str
        Names in :data:`METRICS`.
    n_windows : int
        Most windows of a clip that DNSMOS rates, see :func:`dnsmos`; 0 is all.

    Returns
    -------
    pd.DataFrame
        ``clip_id, metric, value, reason``, as many rows per clip as metrics; a value is NaN where its reason is filled.

    Raises
    ------
    study.UserError
        For an unknown metric, a clip without reference, a file that is gone or altered, different lengths, or absent
        weights.
    """
    for name in metrics:
        if not_run(name):
            raise study.UserError(f"{name}: {not_run(name)}")
    items = _pairs(reference, estimate)
    key = {
        "pairs": study.digest([(clip, *clean[1:], *given[1:]) for clip, clean, given in items], length=32),
        "metrics": {name: n_windows if _is_dnsmos(name) else 0 for name in metrics},
        "code": study.code_version("quality"),
        "versions": study.versions("numpy", "onnxruntime", "pesq", "pystoi", "soxr") | audio.decoders(),
    }
    work = functools.partial(
        _measured, roots=(reference_root, estimate_root), metrics=tuple(metrics), n_windows=n_windows
    )
    return study.cached(
        cache,
        key,
        lambda: [row for rows in study.pmap(work, items, desc="quality") for row in rows],
        save=lambda rows, folder: _table(rows).to_parquet(folder / "quality.parquet", index=False),
        load=lambda folder: pd.read_parquet(folder / "quality.parquet"),
    )


_Sound = tuple[str, str, float]  # path, hash, gain to take back
_Pair = tuple[str, _Sound, _Sound]


def _pairs(reference: pd.DataFrame, estimate: pd.DataFrame) -> list[_Pair]:
    clean = {row.clip_id: (row.path, row.sha256, 0.0) for row in reference.itertuples()}
    found = []
    for row in estimate.to_dict("records"):
        wanted = row.get("parent", row["clip_id"])
        if wanted not in clean:
            raise study.UserError(f"clip '{wanted}' has no clean reference; add its row to the reference manifest")
        found.append((row["clip_id"], clean[wanted], (row["path"], row["sha256"], float(row.get("gain_db", 0.0)))))
    return found


def _measured(
    item: _Pair, *, roots: tuple[Path, Path], metrics: Iterable[str], n_windows: int
) -> list[tuple[str, str, float, str]]:
    clip_id, *sides = item
    reference, estimate = (
        audio.load_listed(root / path, sha256) * np.float32(10 ** (-gain_db / 20))
        for root, (path, sha256, gain_db) in zip(roots, sides, strict=True)
    )
    options = {name: {"n_windows": n_windows} if _is_dnsmos(name) else {} for name in metrics}
    return [(clip_id, name, *score(name, reference, estimate, RATE, **options[name])) for name in metrics]


def _table(rows: list[tuple[str, str, float, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["clip_id", "metric", "value", "reason"])


# --- cost -------------------------------------------------------------------------------------------------------


def real_time_factor(
    function: Callable[[np.ndarray, int], object],
    sounds: Sequence[np.ndarray],
    sr: int,
    *,
    repeats: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds that a function needs for one second of sound; below 1 it keeps up with a speaker.

    Parameters
    ----------
    function : callable
        ``function(y, sr)``, such as a denoiser; called once before it is timed.
    sounds : sequence of np.ndarray [shape=(n_samples,)]
    sr : int
        Hz.
    repeats : int
        The fastest of so many rounds counts: others work on the machine too.
    clock : callable
        Seconds.

    Examples
    --------
    >>> real_time_factor(lambda y, sr: y, [np.zeros(16000)], 16000) < 0.01
    True
    """
    given = list(sounds)
    seconds = sum(map(len, given)) / sr
    if not seconds or repeats < 1:
        raise study.UserError(f"{len(given)} sounds of {seconds} s, {repeats} repeats; give one at least of each")
    function(given[0], sr)
    rounds = []
    for _ in range(repeats):
        start = clock()
        for y in given:
            function(y, sr)
        rounds.append(clock() - start)
    return min(rounds) / seconds
