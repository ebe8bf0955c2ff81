"""A person's own recordings, mp3 and m4a with a table of two columns, from the table to the pages and the scores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import study
from ser_utils.corpora import demo

av = pytest.importorskip("av")

pytestmark = pytest.mark.slow

EMOTIONS = ("angry", "happy", "neutral", "sad")
PER_EMOTION = 11
NAMES = ("01_eda", "04_lstm")
PROFILE = """\
title: My recordings
corpora: [mine]
tables:
  mine: {}
notebooks:
  01_eda: {}
  04_lstm:
    features_kind: log_mel
    n_mels: 32
    n_groups: 2
    n_seeds_first: 1
    filters: 16
    units: 8
    epochs: 1
    patience: 1
    references: []
    ladder_copies: []
    n_errors: 1
    n_heard: 2
"""


def write(file: Path, y: np.ndarray, rate: int) -> None:
    """Sound as mp3, or as m4a, which takes PyAV."""
    if file.suffix == ".mp3":
        sf.write(file, y, rate)
        return
    with av.open(os.fspath(file), "w") as film:
        track = film.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        film.mux(track.encode(frame))
        film.mux(track.encode())


def record(folder: Path) -> None:
    """Clips that bear no name of a speaker, every tenth an m4a, and their table."""
    spoken = demo.clips()[:140]  # two speakers
    demo.write(folder / "spoken", spoken)
    chosen = [clip for emotion in EMOTIONS for clip in spoken if clip.emotion == emotion]
    chosen = [clip for number, clip in enumerate(chosen) if number % 20 < PER_EMOTION]
    (folder / "mine").mkdir()
    lines = ["Filename,Emotion"]
    for number, clip in enumerate(chosen, 18_777):
        y, rate = sf.read(folder / "spoken" / clip.name, dtype="float32")
        name = f"{number}.{'m4a' if number % 10 == 0 else 'mp3'}"
        write(folder / "mine" / name, y, rate)
        lines.append(f"{name},{clip.emotion.capitalize()}")
    (folder / "mine" / "labels.csv").write_text("\n".join([*lines, lines[-1]]) + "\n", encoding="utf-8")


def copy(root: Path) -> None:
    """The project with one profile more."""
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("ser_utils", "notebooks", "config"):
        shutil.copytree(study.ROOT / name, root / name, ignore=skip)
    for name in ("Snakefile", "requirements.lock", "run_all.sh", "pyproject.toml"):
        shutil.copy2(study.ROOT / name, root / name)
    (root / "config" / "mine.yaml").write_text(PROFILE, encoding="utf-8")


def run_all(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SER_")}
    known = {"PYTHONPATH": str(root), "VIRTUAL_ENV": sys.prefix, "SER_DATA": str(root / "recorded")}
    known |= {"NUMBA_CACHE_DIR": str(study.ROOT / "data" / "derived" / ".numba")}  # compiled once per machine
    command = ["bash", str(root / "run_all.sh"), *arguments]
    return subprocess.run(command, cwd=root, env=kept | known, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    root = tmp_path_factory.mktemp("project")
    copy(root)
    (root / "recorded").mkdir()
    record(root / "recorded")
    return root, run_all(root, "mine")


def page(ran: tuple[Path, subprocess.CompletedProcess[str]], name: str) -> str:
    return (ran[0] / "reports" / "mine" / f"{name}.html").read_text(encoding="utf-8")


def test_both_notebooks_end_well(ran):
    root, done = ran
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for name in NAMES:
        assert f"{name} done in" in done.stderr
        assert 'class="error"' not in page(ran, name)
    table = pd.read_parquet(root / "data" / "derived" / "mine" / "manifest.parquet")
    assert len(table) == len(EMOTIONS) * PER_EMOTION
    assert (table["exclude_reason"] == "").all()
    assert set(table["path"].str[-4:]) == {".mp3", ".m4a"}


@pytest.mark.parametrize(
    ("name", "words"),
    [  # as they are rendered: the pages hold the code too
        ("01_eda", "<strong>mine: speaker independence cannot be checked</strong>"),
        ("01_eda", "mine: speakers are unknown: speaker independence cannot be checked"),
        ("01_eda", "mine: 1 row repeats a path with the same label"),
        ("04_lstm", "<strong>mine: scores are not those of unseen speakers</strong>"),
        ("04_lstm", "over speakers whom nobody knows and 44 clips"),
        ("index", "its speakers are unknown, so that their independence cannot be checked"),
    ],
)
def test_pages_say_that_independence_cannot_be_checked(ran, name, words):
    assert words in page(ran, name)


def test_scores_count_no_speaker(ran):
    scores = pd.read_csv(ran[0] / "reports" / "mine" / "results" / "04_lstm.csv")
    assert set(scores["corpus"]) == {"mine"}
    assert set(scores["n_speakers"]) == {0}
    assert set(scores["split"]) == {"random"}
    assert scores.loc[scores["metric"] == "UAR", "value"].between(0, 1).all()


def test_the_corpus_is_listed_and_checked_under_its_profile(ran):
    listed = run_all(ran[0], "data", "list", "--profile", "mine")
    assert any(line.startswith("mine ") and "44 clips" in line for line in listed.stdout.splitlines()), listed.stderr
    checked = run_all(ran[0], "data", "check", "mine", "--profile", "mine")
    assert checked.returncode == 0, checked.stderr
    assert "note: speakers are unknown: speaker independence cannot be checked" in checked.stdout
    assert run_all(ran[0], "data", "check", "mine").returncode == 2
