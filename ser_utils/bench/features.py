"""Feature extraction: how fast, against what one would write with librosa, on the same files in one run."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ser_utils import audio, corpora, features, study
from ser_utils.bench import measuring
from ser_utils.corpora.base import AUDIO_SUFFIXES
from ser_utils.features import spectral

N_CLIPS, REPEATS = 60, 5
TOLERANCE = 1e-3  # greatest relative difference to librosa
NAMES = ("log_mel", "cepstra", "chroma")  # what the comparison computes
SETTINGS = {  # 128 bands and 40 cepstra each
    "32 ms window, 10 ms hop, A = 440 Hz": features.FrameSpec(n_mels=128, n_mfcc=40),
    "32 ms window, 10 ms hop, tuning estimated": features.FrameSpec(n_mels=128, n_mfcc=40, tuning=None),
    "librosa's 2048 and 512 samples, tuning estimated": features.FrameSpec(
        n_fft=2048, hop_length=512, n_mels=128, n_mfcc=40, tuning=None
    ),
}
MEMORY_CLIPS, GROWTH = 100, (1, 4, 16)


def run() -> int:
    """Speed per core against librosa, equality, time per feature, process pool, peak memory."""
    files, origin = clip_files(N_CLIPS)
    clips = [audio.load(file) for file in files]
    seconds = sum(map(len, clips)) / audio.SAMPLE_RATE
    print(f"{len(clips)} clips of {origin}, {seconds:.0f} s of sound; one core, {REPEATS} interleaved repeats, medians")
    with threadpool_limits(1):
        comparison = [compare(clips, name, spec) for name, spec in SETTINGS.items()]
        each = time_each(clips[: N_CLIPS // 3])
    report = {
        "environment": study.environment("librosa", "numpy", "scipy", "opensmile"),
        "files": {"corpora": origin, "clips": len(clips), "seconds": round(seconds, 1)},
        "comparison": comparison,
        "features": each,
        "pool": [pool(files, jobs) for jobs in sorted({1, study.n_jobs()})],
        "memory": [memory(files, growth) for growth in GROWTH],
    }
    for part in ("comparison", "features", "pool", "memory"):
        measuring.print_table(part, report[part])
    measuring.write(report, "features")
    return 0 if all(row["max_relative_difference"] <= TOLERANCE for row in comparison) else 1


def clip_files(n: int) -> tuple[list[Path], str]:
    """`n` speech clips spread evenly over the real corpora at hand, else over the embedded one; and where from."""
    speech = [name for name, entry in corpora.CORPORA.items() if entry.kind == "speech" and not entry.synthetic]
    found = {name: _sound_files(name) for name in corpora.present(speech, "full")}
    found = {name: files for name, files in found.items() if files}
    if not found:
        table = corpora.usable(corpora.manifest("demo"))
        found = {"the embedded corpus": [corpora.audio_root(r.corpus, "demo") / r.path for r in table.itertuples()]}
    share = -(-n // len(found))
    picked = [file for files in found.values() for file in files[:: max(1, len(files) // share)][:share]]
    return picked[:n], ", ".join(found)


def _sound_files(name: str) -> list[Path]:
    folder = study.paths("full").data / name
    return sorted(f for f in folder.glob(corpora.CORPORA[name].pattern) if f.suffix.lower() in AUDIO_SUFFIXES)


def ours(y: np.ndarray, spec: features.FrameSpec) -> list[np.ndarray]:
    """:data:`NAMES` by this study."""
    spectrum = features.Spectrum(y, spec)
    return [getattr(spectrum, name).T for name in NAMES]


def call_per_feature(y: np.ndarray, spec: features.FrameSpec) -> list[np.ndarray]:
    """:data:`NAMES` by one librosa call each, as most public code has it."""
    window = {"y": y, "sr": spec.sr, "n_fft": spec.n_fft, "hop_length": spec.hop_length}
    bands = {"n_mels": spec.n_mels, "fmin": spec.fmin, "fmax": spec.fmax}
    mel = librosa.feature.melspectrogram(**window, **bands)
    mfcc = librosa.feature.mfcc(**window, **bands, n_mfcc=spec.n_mfcc)
    return [_decibels(mel), mfcc, librosa.feature.chroma_stft(**window, tuning=spec.tuning)]


def shared_transform(y: np.ndarray, spec: features.FrameSpec) -> list[np.ndarray]:
    """:data:`NAMES` by librosa from one transform."""
    power = np.abs(librosa.stft(y, n_fft=spec.n_fft, hop_length=spec.hop_length)) ** 2
    bands = {"n_mels": spec.n_mels, "fmin": spec.fmin, "fmax": spec.fmax}
    log_mel = _decibels(librosa.feature.melspectrogram(S=power, sr=spec.sr, n_fft=spec.n_fft, **bands))
    chroma = librosa.feature.chroma_stft(S=power, sr=spec.sr, n_fft=spec.n_fft, tuning=spec.tuning)
    return [log_mel, librosa.feature.mfcc(S=log_mel, n_mfcc=spec.n_mfcc), chroma]


def _decibels(power: np.ndarray) -> np.ndarray:
    return librosa.power_to_db(power, amin=spectral.FLOOR, top_db=None)


def compare(clips: Sequence[np.ndarray], name: str, spec: features.FrameSpec) -> dict[str, Any]:
    """Speed and equality of the three ways for one setting."""
    ways = {"ours": ours, "per_feature": call_per_feature, "shared": shared_transform}
    difference = max(relative_difference(ours(y, spec), shared_transform(y, spec)) for y in clips)
    times: dict[str, list[float]] = {way: [] for way in ways}
    call_per_feature(clips[0], spec)
    for _ in range(REPEATS):
        for way, function in ways.items():
            times[way].append(measuring.seconds(lambda function=function: [function(y, spec) for y in clips]))
    ratios = {way: [a / b for a, b in zip(times[way], times["ours"], strict=True)] for way in ways}
    row = {"setting": name, **{f"{way}_clips_per_s": len(clips) / statistics.median(t) for way, t in times.items()}}
    row |= {f"ratio_to_{way}": statistics.median(ratios[way]) for way in ("per_feature", "shared")}
    return row | {"max_relative_difference": difference}


def relative_difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Greatest difference relative to the expected value, or to 1 % of that feature's greatest where that is more.

    Examples
    --------
    >>> relative_difference([np.array([10.0, 1.1])], [np.array([10.0, 1.0])]).round(3)
    np.float64(0.1)
    """
    shares = []
    for a, b in zip(found, expected, strict=True):
        size = np.abs(b)
        shares.append(np.max(np.abs(a - b) / np.maximum(size, max(0.01 * size.max(), spectral.FLOOR))))
    return np.max(shares)


def time_each(clips: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Milliseconds per 3 s of sound: the transform, each feature on top of it, then whole rows for classic models."""
    share = 3 * audio.SAMPLE_RATE / sum(map(len, clips)) * 1000
    spectra = [features.Spectrum(y, features.FrameSpec()) for y in clips]
    rows = []
    for name in ("power", "magnitude", "log_mel", "cepstra", "mfcc", *features.KINDS[2:], "tuning"):
        taken = measuring.seconds(lambda name=name: [getattr(spectrum, name) for spectrum in spectra])
        rows.append({"feature": name, "ms": taken * share})
    whole: dict[str, Callable] = {"statistics_110": features.vector110, "functionals": features.functionals}
    whole["picture"] = features.image
    if not features.smile.available():
        whole |= {name: functools.partial(features.smile.extract, name=name) for name in features.smile.SETS}
    for name, function in whole.items():
        function(clips[0])
        rows.append(
            {"feature": name, "ms": measuring.seconds(lambda function=function: [function(y) for y in clips]) * share}
        )
    return rows


def pool(files: Sequence[Path], jobs: int) -> dict[str, Any]:
    """Clips per second from file to log-mel, cepstra and chroma with `jobs` processes that already run."""
    study.pmap(_from_file, files[: 2 * jobs], desc="start of the workers", jobs=jobs)
    many = list(files) * 4
    taken = measuring.seconds(lambda: study.pmap(_from_file, many, desc="pool", jobs=jobs), clock=time.perf_counter)
    return {"processes": jobs, "clips_per_s": len(many) / taken}


def _from_file(file: Path) -> float:
    values = ours(audio.load(file), next(iter(SETTINGS.values())))
    return float(values[0][0, 0])


def memory(files: Sequence[Path], growth: int) -> dict[str, Any]:
    """Peak memory of a fresh process that extracts `growth` times :data:`MEMORY_CLIPS` clips and reads them back."""
    found = measuring.apart(_extraction, list(files), growth * MEMORY_CLIPS)
    above = found["peak_mb"] - found["start_mb"]
    row = {"clips": growth * MEMORY_CLIPS, "array_mb": found["array_mb"]}
    return row | {"peak_mb": found["peak_mb"], "above_start_mb": above}


def _extraction(files: list[Path], n_clips: int) -> measuring.Work:
    picked = [files[i % len(files)] for i in range(n_clips)]
    hashes = {file: study.sha256(file) for file in files}
    table = pd.DataFrame(
        {
            "path": [str(file) for file in picked],
            "corpus": "bench",
            "clip_id": [f"clip{i:06d}" for i in range(n_clips)],
            "sha256": [hashes[file] for file in picked],
        }
    )
    spec = dataclasses.replace(features.FrameSpec(), kind="log_mel+mfcc")
    features.frames(audio.load(files[0]), spec)

    def work() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            return {"array_mb": features.extract(table, Path(), spec, cache=Path(folder)).x.nbytes / 2**20}

    return work
