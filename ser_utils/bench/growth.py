"""What a corpus costs as it grows: checking, features, an epoch of training, evaluation, each in a fresh process.

The clips are synthetic, so that any number can be had anywhere: harmonics that fall, over noise, all different. Every
stage reads what the stage before it left on the disk, as in a run, and works in one process. All but training run
under a limit of memory and must complete.
"""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_utils import study
from ser_utils.bench import measuring

if TYPE_CHECKING:  # each process imports only what its own work needs, or its memory would say nothing
    import pandas as pd

    from ser_utils.splits import Fold

BASE, GROWTH = 100, (1, 4, 16)  # clips, and how many times as many
CLIP_S, PER_SPEAKER = (2.0, 4.0), 10  # shortest and longest clip; clips of one speaker
LABELS = ("angry", "happy", "neutral", "sad")
NAME = "growth"
LIMIT_MB = 3072  # of a process that checks, extracts or evaluates
STEEPEST = 1.15  # power of the number of clips that time may follow and still be called linear
FLAT = 0.1  # share of the added sound that memory may grow by and still be called flat
NET, N_RESAMPLES = "cnn_1d", 1000


def run() -> int:
    """0 when time is linear in every stage, and memory flat where a stage need not hold the corpus."""
    rows = []
    for growth in GROWTH:
        with tempfile.TemporaryDirectory(prefix="ser-growth-") as folder:
            rows += measure(Path(folder), growth * BASE)
    found = [summary(stage, [row for row in rows if row["stage"] == stage]) for stage in STAGES]
    measuring.print_table("each in a process of its own; seconds of processor time, memory in MB", rows)
    measuring.print_table("from the smallest to the largest", found)
    packages = study.environment("numpy", "pandas", "librosa", "tensorflow", "keras")
    measuring.write({"environment": packages, "limit_mb": LIMIT_MB, "stages": rows, "growth": found}, "growth")
    return 0 if all(row["linear"] and (row["flat"] or row["stage"] == "training epoch") for row in found) else 1


def measure(folder: Path, n_clips: int) -> list[dict[str, Any]]:
    """Every stage on `n_clips` clips, made in `folder`; one row each."""
    measuring.apart(clips, str(folder), n_clips)
    environment = {
        "SER_OUT": str(folder / "out"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    rows = []
    for stage, (prepare, limit_mb) in STAGES.items():
        found = measuring.apart(prepare, str(folder), limit_mb=limit_mb, environment=environment)
        rows.append({"stage": stage, "clips": n_clips, "sound_mb": sound_mb(n_clips), **found, "limit_mb": limit_mb})
        study.progress(f"growth: {stage} of {n_clips} clips in {study.duration(found['wall_s'])}")
    return rows


def sound_mb(n_clips: int) -> float:
    """Megabytes of the samples of so many clips as 32-bit numbers.

    Examples
    --------
    >>> round(sound_mb(1000))
    183
    """
    return n_clips * sum(CLIP_S) / 2 * 16000 * 4 / 2**20


def summary(stage: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How time and memory of a stage follow the number of clips.

    Returns
    -------
    dict
        ``ms_per_clip`` and ``mb_per_1000_clips`` between the two largest sizes; ``power`` *p* of the number of clips
        that time follows there; whether that is ``linear`` (or less), and memory ``flat``.

    Examples
    --------
    >>> sizes = [(100, 2.0, 200), (400, 5.0, 201), (1600, 17.0, 203)]
    >>> rows = [{"clips": n, "seconds": s, "peak_mb": mb} for n, s, mb in sizes]
    >>> summary("checking", rows)["power"].__round__(2), summary("checking", rows)["flat"]
    (0.88, True)
    """
    first, before, last = rows[0], rows[max(0, len(rows) - 2)], rows[-1]
    more = max(1, last["clips"] - before["clips"])
    times = last["clips"] / before["clips"]
    power = math.log(last["seconds"] / before["seconds"]) / math.log(times) if times > 1 else 1.0
    grown = last["peak_mb"] - first["peak_mb"]
    return {
        "stage": stage,
        "ms_per_clip": 1000 * (last["seconds"] - before["seconds"]) / more,
        "power": power,
        "linear": power <= STEEPEST,
        "mb_per_1000_clips": 1000 * (last["peak_mb"] - before["peak_mb"]) / more,
        "flat": grown <= max(20.0, FLAT * sound_mb(last["clips"] - first["clips"])),
    }


# --- stages ------------------------------------------------------------------------------------------------------


def clips(folder: str, n_clips: int) -> measuring.Work:
    """Write a corpus of `n_clips` clips with its table of labels."""
    import soundfile

    place = Path(folder) / "data" / NAME
    place.mkdir(parents=True)

    def work() -> None:
        with open(place / "labels.csv", "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "speaker", "emotion"])
            for i in range(n_clips):
                soundfile.write(place / f"{i:06d}.wav", sound(i), 16000)
                table.writerow([f"{i:06d}.wav", f"p{i // PER_SPEAKER:05d}", LABELS[i % len(LABELS)]])

    return work


def sound(number: int) -> np.ndarray:
    """Clip by number: harmonics that fall, over noise; 2 to 4 s at 16 kHz, float32.

    Examples
    --------
    >>> bool((sound(3) == sound(3)).all()), len(sound(3)) == len(sound(4))
    (True, False)
    """
    rng = np.random.default_rng(number)
    t = np.arange(int(16000 * rng.uniform(*CLIP_S))) / 16000
    phase = 2 * np.pi * np.cumsum(rng.uniform(90, 280) * np.exp(-0.2 * t)) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 9))
    return (0.1 * voice + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def _checking(folder: str) -> measuring.Work:
    from ser_utils.corpora import own, sealed
    from ser_utils.corpora.scan import scan

    data = Path(folder) / "data"

    def work() -> dict[str, int]:
        found = scan(own.entry(NAME, {"file": "labels.csv"}, data), data)
        sealed.write(found.table, Path(folder) / "manifest.parquet")
        return {"usable": int((found.table["exclude_reason"] == "").sum())}

    return work


def _features(folder: str) -> measuring.Work:
    from ser_utils import audio, features

    table, data = _manifest(folder), Path(folder) / "data"
    features.frames(audio.load(data / table["path"].iloc[0]), features.FrameSpec())  # compiles what has to be

    def work() -> dict[str, float]:
        found = features.extract(table, data, features.FrameSpec(), cache=Path(folder) / "features")
        return {"features_mb": found.x.nbytes / 2**20}

    return work


def _epoch(folder: str) -> measuring.Work:
    study.seed_everything(0)
    from ser_utils import features, training
    from ser_utils.splits import Fold

    table = _manifest(folder)
    frames = features.extract(table, Path(folder) / "data", features.FrameSpec(), cache=Path(folder) / "features")
    ids = table["clip_id"].to_numpy(dtype=str)
    held = max(1, len(ids) // 10 // PER_SPEAKER) * PER_SPEAKER
    fold = Fold(0, ids[2 * held :], ids[:held], ids[held : 2 * held])
    recipe = training.Recipe(epochs=1)
    experiment = training.Experiment(NAME, table, frames, LABELS, NET, {}, recipe, 1)
    training.fit_fold(_part(fold), 0, experiment)  # makes the graph

    def work() -> dict[str, float]:
        return {"val_uar": training.fit_fold(fold, 0, experiment).facts["val_uar"]}

    return work


def _part(fold: Fold) -> Fold:
    """A fold of few clips with all batch shapes of the whole one."""
    return type(fold)(fold.index, fold.train[:64], fold.validation, fold.test)


def _evaluation(folder: str) -> measuring.Work:
    from ser_utils import evaluation

    table = predictions(_manifest(folder))

    def work() -> dict[str, int]:
        return {"n_rows": len(evaluation.results_table(table, n_resamples=N_RESAMPLES))}

    return work


def predictions(clips: pd.DataFrame, *, models: Sequence[str] = ("cnn", "lstm", "svm")) -> pd.DataFrame:
    """Answers of some systems to every clip, right more often than not.

    Parameters
    ----------
    clips : pd.DataFrame
        Columns ``clip_id, speaker, emotion``.
    """
    import pandas as pd

    from ser_utils import evaluation

    rng, parts = np.random.default_rng(0), []
    right = np.array([LABELS.index(label) for label in clips["emotion"]])
    known = {"run_id": "bench", "profile": "bench", "corpus": NAME, "corpus_version": "1", "split": "loso", "fold": 0}
    for model in models:
        scores = rng.dirichlet(np.ones(len(LABELS)), len(clips))
        scores[np.arange(len(clips)), right] += rng.random(len(clips))
        answered = evaluation.answers(clips, clips["clip_id"], scores / scores.sum(1, keepdims=True), LABELS)
        system = {"model": model, "features": "log_mel", "train_regime": "clean", "condition": "clean", "seed": 0}
        parts.append(answered.assign(**known, **system))
    return pd.concat(parts, ignore_index=True)


def _manifest(folder: str) -> pd.DataFrame:
    from ser_utils import corpora

    return corpora.usable(corpora.load_manifest(Path(folder) / "manifest.parquet"))


STAGES = {  # what it is → its work, and the most memory it may take, MB
    "checking": (_checking, LIMIT_MB),
    "features": (_features, LIMIT_MB),
    "training epoch": (_epoch, 0),
    "evaluation": (_evaluation, LIMIT_MB),
}
