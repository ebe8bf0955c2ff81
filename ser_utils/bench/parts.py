"""One table of everything: what each part of the study takes in time and memory, every one in a process of its own.

``ms`` is processor time per unit, so that others on the machine hardly count. ``times`` is how many times as fast as
the usual way (features), or as the sound itself plays (denoisers). Kept by commit, so that commits can be compared.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import study
from ser_utils.bench import growth, measuring

Row = dict[str, Any]

STARTS = {  # what starts → code
    "python -m ser_utils --help": "import runpy, sys\nsys.argv = ['ser_utils', '--help']\n"
    "try: runpy.run_module('ser_utils', run_name='__main__')\nexcept SystemExit: pass",
    "import ser_utils": "import ser_utils",
    "import ser_utils.features": "import ser_utils.features",
    "import ser_utils.training": "import ser_utils.training",
}
MODELS = {  # builder → options; clips of 3 s, 64 log-mels
    "cnn_1d": {},
    "bilstm_attention": {},
    "cnn_2d": {},
    "crnn": {},
    "se_resnet": {},
    "conformer": {},
    "resnet50": {},
}
ENGINES = {  # how a step is computed → backend of Keras, whether XLA compiles it (JAX always does)
    "TensorFlow": ("tensorflow", False),
    "TensorFlow, XLA": ("tensorflow", True),
    "JAX": ("jax", True),
}
N_CLIPS, N_NAIVE, N_AUGMENTED, REPEATS = 100, 10, 5, 3
BATCH, FRAMES, COLUMNS, CLASSES, STEPS = 32, 300, 64, 5, 5
SOUND_S, N_EVALUATED, N_RESAMPLES = 10.0, 1440, 10_000  # seconds to denoise; clips as in RAVDESS, draws
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run() -> int:
    """0; the table goes to ``parts.json``, and to ``commits/<commit>.json`` for comparisons."""
    rows: list[Row] = []
    for part in PARTS:
        for row in part():
            rows.append({"part": part.__name__, **row})
            study.progress(f"{part.__name__}: {row['of']} {row.get('not_run') or ''}".rstrip())
    packages = study.environment("tensorflow", "keras", "jax", "librosa", "numpy", "scipy", "pandas")
    report = {"environment": packages, "rows": rows}
    measuring.print_table("processor time and peak memory, each in a process of its own", list(map(_shown, rows)))
    measuring.write(report, f"commits/{study.commit().rstrip('+')}")
    measuring.write(report, "parts")
    return 0


def _shown(row: Row) -> Row:
    columns = ("part", "of", "unit", "ms", "times", "peak_mb", "not_run")
    return {name: "" if row.get(name) is None else row[name] for name in columns}


def _row(of: str, unit: str, n: float, found: Mapping[str, Any], *, times: float | None = None) -> Row:
    taken = {name: found[name] for name in ("seconds", "wall_s", "peak_mb")}
    return {"of": of, "unit": unit, "n": n, "ms": 1000 * found["seconds"] / n, "times": times, **taken}


# --- parts -------------------------------------------------------------------------------------------------------


def starts() -> Iterator[Row]:
    """A cold start: the quickest of a few, processor time of the whole process."""
    tell = "\nimport time; taken = time.process_time()\nfrom ser_utils.bench import measuring\n"
    tell += "print(taken, measuring.peak_mb())"
    for name, code in STARTS.items():
        command, wall, answers = [sys.executable, "-c", code + tell], [], []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=study.ROOT, env=os.environ | QUIET
            )
            wall.append(time.perf_counter() - begun)
            answers.append([float(word) for word in done.stdout.split()[-2:]])
        seconds, peak = min(answers)
        yield _row(name, "start", 1, {"seconds": seconds, "wall_s": min(wall), "peak_mb": peak})


def corpora() -> Iterator[Row]:
    """Checking a corpus and extracting log-mels, from files."""
    with tempfile.TemporaryDirectory(prefix="ser-bench-") as folder:
        measuring.apart(growth.clips, folder, N_CLIPS)
        for stage in ("checking", "features"):
            prepare, _ = growth.STAGES[stage]
            found = measuring.apart(prepare, folder, environment=QUIET | {"SER_OUT": f"{folder}/out"})
            yield _row({"features": "log-mels"}.get(stage, stage), "clip", N_CLIPS, found)


def features() -> Iterator[Row]:
    """40 cepstra, 128 bands and chroma, against librosa called once per feature."""
    found = measuring.apart(_naive, N_NAIVE, environment=QUIET)
    yield _row("cepstra, log-mels, chroma", "clip", N_NAIVE * REPEATS, found, times=found["ratio"])


def _naive(n_clips: int) -> measuring.Work:
    from ser_utils.bench import features as against

    clips, spec = [growth.sound(i) for i in range(n_clips)], next(iter(against.SETTINGS.values()))
    ways = against.ours, against.call_per_feature
    usual = [measuring.seconds(lambda: [ways[1](y, spec) for y in clips]) for _ in range(REPEATS + 1)][1:]
    ours: list[float] = []

    def work() -> dict[str, float]:
        ours.extend(measuring.seconds(lambda: [ways[0](y, spec) for y in clips]) for _ in range(REPEATS))
        return {"ratio": statistics.median(usual) / statistics.median(ours)}

    return work


def augmentation() -> Iterator[Row]:
    """Every augmentation of one clip of 3 s; the peak is that of all together."""
    found = measuring.apart(_augmented, N_AUGMENTED, environment=QUIET)
    for name, seconds in found["each"].items():
        yield _row(name, "clip of 3 s", N_AUGMENTED, found | {"seconds": seconds, "wall_s": seconds})


def _augmented(n_clips: int) -> measuring.Work:
    from ser_utils import augment

    y, noise = _clip(3.0), _clip(5.0)

    def one(name: str, i: int) -> None:
        augment.apply(y, name, sr=16000, seed=i, clip_id="a", noises={"n": noise})

    def work() -> dict[str, dict[str, float]]:
        for name in augment.AUGMENTATIONS:
            one(name, 0)  # compiles what has to be
        repeated = {name: functools.partial(one, name) for name in augment.AUGMENTATIONS}
        return {
            "each": {
                name: measuring.seconds(lambda call=call: [call(i) for i in range(n_clips)])
                for name, call in repeated.items()
            }
        }

    return work


def training() -> Iterator[Row]:
    """A training step on 32 clips of 3 s with 64 log-mels, per net and engine."""
    for engine, (backend, compiled) in ENGINES.items():
        if not importlib.util.find_spec(backend):
            yield _skipped(engine, f"{backend} is not installed")
            continue
        for model, options in MODELS.items():
            environment = QUIET | {"KERAS_BACKEND": backend}
            try:
                found = measuring.apart(_steps, model, options, compiled, environment=environment)
            except RuntimeError as error:  # one net that an engine cannot train leaves the others to be measured
                yield _skipped(f"{model} · {engine}", f"failed: {error}")
                continue
            yield _row(f"{model} · {engine}", "step of 32", STEPS, found)


def _steps(model: str, options: dict[str, Any], compiled: bool) -> measuring.Work:
    study.seed_everything(0)
    from ser_utils import training as engine

    rng = np.random.default_rng(0)
    frames = rng.standard_normal((BATCH, FRAMES, COLUMNS)).astype(np.float32)
    x = [frames, np.ones((BATCH, FRAMES), dtype=np.float32)]
    y = np.eye(CLASSES, dtype=np.float32)[rng.integers(CLASSES, size=BATCH)]
    net = engine.fresh_net(model, options, COLUMNS, CLASSES, engine.Recipe(jit_compile=compiled))

    def step() -> float:
        return float(net.train_on_batch(x, y, sample_weight=np.ones(BATCH, dtype=np.float32)))

    first = measuring.seconds(step, clock=time.perf_counter)  # makes the graph
    step()

    def work() -> dict[str, float]:
        return {"loss": [step() for _ in range(STEPS)][-1], "first_step_s": first}

    return work


def denoisers() -> Iterator[Row]:
    """Every denoiser that can run here; ``times``: seconds of sound per second."""
    from ser_utils import denoise

    for name, denoiser in denoise.DENOISERS.items():
        if name in ("none", "oracle"):
            continue
        if denoiser.not_run:
            yield _skipped(name, denoiser.not_run)
            continue
        found = measuring.apart(_denoised, name, environment=QUIET)
        yield _row(name, "second of sound", SOUND_S, found, times=SOUND_S / max(found["seconds"], 1e-9))


def _denoised(name: str) -> measuring.Work:
    from ser_utils import denoise

    denoiser, y = denoise.DENOISERS[name], _clip(SOUND_S)
    denoiser(y[:16000])
    return lambda: {"n": len(denoiser(y))}


def evaluation() -> Iterator[Row]:
    """Results of one system with intervals from 10,000 draws of speakers, on as many clips as RAVDESS has."""
    found = measuring.apart(_results, N_EVALUATED, N_RESAMPLES, environment=QUIET)
    yield _row(f"{N_EVALUATED} clips, {N_RESAMPLES} draws", "system", 1, found)


def _results(n_clips: int, n_resamples: int) -> measuring.Work:
    import pandas as pd

    from ser_utils import evaluation

    who = [f"p{i // 60:02d}" for i in range(n_clips)]
    labels = [growth.LABELS[i % len(growth.LABELS)] for i in range(n_clips)]
    clips = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n_clips)], "speaker": who, "emotion": labels})
    table = growth.predictions(clips, models=("cnn",))
    return lambda: {"n_rows": len(evaluation.results_table(table, n_resamples=n_resamples))}


def pages() -> Iterator[Row]:
    """Rendering the largest page of the report: of an executed copy where ``demo`` has run, else of the notebook."""
    executed = sorted((study.paths("demo").reports / "notebooks").glob("*.ipynb"))
    files = executed or sorted((study.ROOT / "notebooks").glob("*.ipynb"))
    largest = max(files, key=lambda file: file.stat().st_size)
    found = measuring.apart(_page, str(largest), environment=QUIET)
    yield _row(f"{largest.stem}, {'executed' if executed else 'not executed'}", "page", 1, found)


def _page(ipynb: str) -> measuring.Work:
    from ser_utils import report

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            report.render_page(Path(ipynb), Path(folder) / f"{Path(ipynb).stem}.html", profile="demo", status="ok")

    return work


def demo() -> Iterator[Row]:
    """Every notebook of the last ``demo`` run, from its records: elapsed time, and memory with all workers."""
    from ser_utils.report.record import load_records

    records = load_records(study.paths("demo").records)
    if not records:
        yield _skipped("whole run", "no record: ./run_all.sh demo")
    for name, record in sorted(records.items()):
        taken = {"seconds": record["wall_s"], "wall_s": record["wall_s"], "peak_mb": record["peak_rss_mb"]}
        yield _row(name, "notebook, elapsed", 1, taken)


def _skipped(of: str, why: str) -> Row:
    return {"of": of, "not_run": why}


def _clip(seconds: float) -> np.ndarray:
    y = np.concatenate([growth.sound(i) for i in range(int(seconds / growth.CLIP_S[0]) + 1)])
    return y[: int(16000 * seconds)]


PARTS: tuple[Callable[[], Iterator[Row]], ...] = (
    starts, corpora, features, augmentation, training, denoisers, evaluation, pages, demo,
)  # fmt: skip
