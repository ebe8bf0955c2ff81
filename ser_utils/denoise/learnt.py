"""Denoisers that are trained here, on speakers and noises that no test hears: one artefact each, then entries as all
others."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import splits, study
from ser_utils.denoise import lstm_mask, metric_net, wave_unet
from ser_utils.denoise.base import Denoiser
from ser_utils.denoise.blocks import RATE
from ser_utils.denoise.descent import arrays_of, descend
from ser_utils.denoise.pairs import Pairs, Sounds
from ser_utils.splits import Fold

History = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """One kind of net that can be trained here.

    ``train`` takes sounds, a generator of random numbers and the settings of :func:`learn`; gives arrays and history.
    """

    name: str
    title: str
    module: str  # of the package, whose code the artefact depends on
    train: Callable[..., tuple[dict[str, np.ndarray], History]] = field(repr=False)
    function: Callable[..., np.ndarray] = field(repr=False)
    reference: str
    latency_s: float | None = None
    streaming: Callable[..., Any] | None = field(default=None, repr=False)
    packages: tuple[str, ...] = ()  # whose versions count in training, beside those of all


def _lstm(sounds: Sounds, rng: np.random.Generator, *, steps: int, units: int) -> tuple[dict[str, np.ndarray], History]:
    arrays, net = lstm_mask.scale(sounds, rng), lstm_mask.build(units)
    rows = descend(
        net,
        lambda: lstm_mask.batch(sounds, rng, arrays),
        lstm_mask.loss,
        steps=steps,
        peak_rate=lstm_mask.PEAK_RATE,
        label="lstm_mask",
    )
    return arrays | arrays_of(net), rows


def _wave(sounds: Sounds, rng: np.random.Generator, *, steps: int, width: int) -> tuple[dict[str, np.ndarray], History]:
    net = wave_unet.build(width)
    rows = descend(
        net,
        lambda: wave_unet.batch(sounds, rng),
        wave_unet.loss,
        steps=steps,
        peak_rate=wave_unet.PEAK_RATE,
        label="wave_unet",
    )
    return arrays_of(net), rows


def _metric(
    sounds: Sounds, rng: np.random.Generator, *, steps: int, rounds: int, units: int
) -> tuple[dict[str, np.ndarray], History]:
    arrays, net = metric_net.scale(sounds, rng), metric_net.build(units)
    rows = metric_net.train(net, sounds, rng, arrays, steps=steps, rounds=rounds)
    return arrays | arrays_of(net), rows


PUPILS = {
    entry.name: entry
    for entry in (
        Pupil(
            name="lstm_mask",
            title="LSTM mask, trained here",
            module="denoise.lstm_mask",
            train=_lstm,
            function=lstm_mask.denoise,
            streaming=lstm_mask.stream,
            latency_s=lstm_mask.FRAME / RATE,
            reference="Erdogan et al. 2015, doi:10.1109/ICASSP.2015.7178061",
        ),
        Pupil(
            name="wave_unet",
            title="Wave-U-Net, trained here",
            module="denoise.wave_unet",
            train=_wave,
            function=wave_unet.denoise,
            reference="Stoller, Ewert & Dixon 2018, arXiv:1806.03185; Macartney & Weyde 2018, arXiv:1811.11307",
        ),
        Pupil(
            name="metricgan_here",
            title="MetricGAN+, trained here",
            module="denoise.metric_net",
            train=_metric,
            function=metric_net.denoise,
            packages=("pesq",),
            reference="Fu et al. 2021, doi:10.21437/Interspeech.2021-599",
        ),
    )
}


def _check(name: str, settings: Mapping[str, int]) -> None:
    if name not in PUPILS:
        raise study.UserError(f"denoiser '{name}' cannot be trained here; use one of {', '.join(PUPILS)}")
    for setting, value in settings.items():
        least = 0 if setting == "rounds" else 1
        if value < least:
            raise study.UserError(f"{name}: {setting} {value} must be {least} or more; change it in the profile")


@dataclass(frozen=True)
class Learnt:
    """What one training leaves behind."""

    denoiser: Denoiser
    history: pd.DataFrame = field(repr=False)  # step, loss; of MetricGAN+ then round, pesq, pesq_noisy, judge_loss
    facts: Mapping[str, Any]  # denoiser, n_parameters, n_clips, n_speakers, seed, wall_s, settings
    heard: np.ndarray = field(repr=False)  # ids of the clips that it learnt from
    folder: Path


def learn(
    wanted: Mapping[str, Mapping[str, int]], pairs: Pairs, *, seed: int, cache: Path, jobs: int | None = None
) -> dict[str, Learnt]:
    """Train nets on the same sounds, side by side; finished ones come from the cache, so a killed run resumes.

    Parameters
    ----------
    wanted : mapping
        Names in :data:`PUPILS` → settings: ``steps`` (batches, 1 or more) for all; ``units`` for ``lstm_mask`` and
        ``metricgan_here``, ``width`` for ``wave_unet``, ``rounds`` (0 or more) for ``metricgan_here``.
    pairs : Pairs
    seed : int
        Of weights, crops and mixes.
    cache : Path
        Folder of the artefacts: weights, history, facts.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    dict of Learnt
        In the order of `wanted`.

    Raises
    ------
    study.UserError
        For a net that is unknown, a setting below its least value, or a sound that is gone, altered or not readable.
    """
    for name, settings in wanted.items():
        _check(name, settings)
    cells = [(name, _key(PUPILS[name], settings, pairs, seed)) for name, settings in wanted.items()]
    missing = [(name, key) for name, key in cells if not (cache / study.digest(key)).is_dir()]
    study.pmap(functools.partial(_train, pairs=pairs, cache=cache), missing, desc="denoisers", jobs=jobs)
    return {name: _load(name, key, pairs, cache / study.digest(key)) for name, key in cells}


def _key(entry: Pupil, settings: Mapping[str, int], pairs: Pairs, seed: int) -> dict[str, Any]:
    return {
        "denoiser": entry.name,
        "settings": dict(settings),
        "sounds": pairs.key(),
        "seed": seed,
        "code": study.code_version(entry.module, "denoise.descent", "denoise.pairs"),
        "versions": study.versions("keras", "tensorflow", "numpy", *entry.packages),
    }


def _train(cell: tuple[str, dict[str, Any]], *, pairs: Pairs, cache: Path) -> None:
    name, key = cell

    def make() -> tuple[dict[str, np.ndarray], History, float]:
        start = time.monotonic()
        study.seed_everything(key["seed"])
        rng = np.random.default_rng([key["seed"], len(name)])
        arrays, rows = PUPILS[name].train(pairs.load(), rng, **key["settings"])
        return arrays, rows, time.monotonic() - start

    study.cached(cache, key, make, save=_save, load=lambda folder: None)


def _save(made: tuple[dict[str, np.ndarray], History, float], folder: Path) -> None:
    arrays, rows, wall_s = made
    np.savez(folder / "weights.npz", **arrays)
    pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)
    learnt = sum(array.size for name, array in arrays.items() if "/" in name)
    pd.Series({"n_parameters": learnt, "wall_s": wall_s}).to_json(folder / "facts.json")


def _load(name: str, key: Mapping[str, Any], pairs: Pairs, folder: Path) -> Learnt:
    entry, stored = PUPILS[name], pd.read_json(folder / "facts.json", typ="series")
    file = folder / "weights.npz"
    denoiser = Denoiser(
        name=name,
        title=entry.title,
        function=functools.partial(entry.function, file=file),
        streaming=functools.partial(entry.streaming, file=file) if entry.streaming else None,
        latency_s=entry.latency_s,
        n_parameters=int(stored["n_parameters"]),
        version=folder.name,
        reference=entry.reference,
    )
    speakers = pairs.clean.set_index("clip_id").loc[pairs.heard, "speaker"]
    facts = {
        "denoiser": name,
        "n_parameters": denoiser.n_parameters,
        "n_clips": len(pairs.heard),
        "n_speakers": speakers.nunique(),
        "seed": key["seed"],
        "wall_s": float(stored["wall_s"]),
    }
    return Learnt(denoiser, pd.read_csv(folder / "history.csv"), facts | key["settings"], pairs.heard, folder)


def gate(fold: Fold, manifest: pd.DataFrame, learnt: Learnt, *, allow: Collection[str] = ()) -> None:
    """Raise when a denoiser has heard anything of a fold's test clips.

    Parameters
    ----------
    fold : Fold
    manifest : pd.DataFrame
        All clips of the corpus.
    learnt : Learnt
    allow : collection of str
        Kinds of leak that are wanted: see :func:`ser_utils.splits.check_leaks`.

    Raises
    ------
    splits.LeakError
        Naming the kind of leak and an example.
    """
    heard = Fold(fold.index, learnt.heard, learnt.heard[:0], fold.test)
    splits.check_leaks(heard, manifest, fitted={learnt.denoiser.name: learnt.heard}, allow=allow)
