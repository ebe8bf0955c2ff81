"""Babble: several people who speak at once, made of the neutral clips of another corpus than the one that is tested.

So no speaker, clip or emotion of a test is in it; and who babbles in training babbles neither in validation nor in
tests.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from ser_utils import audio, study

TALKERS = 5  # at once
CLIP_S = 10.0
N_CLIPS = {"train": 20, "validation": 5, "test": 20}
SPREAD_DB = 3.0  # talkers are up to this much louder or softer than the mean
LEVEL_DBFS = -26.0  # RMS
SEED = 1993
_PARTS = tuple(N_CLIPS)


def source(manifest: pd.DataFrame, corpus: str) -> str:
    """Corpus whose people babble for `corpus`: of the others, that with the most speakers who have neutral clips.

    Returns
    -------
    str
        Empty where none has speakers enough, :data:`TALKERS` for each part.

    Examples
    --------
    >>> rows = [("a", f"a_{i}", "neutral") for i in range(15)] + [("b", f"b_{i}", "neutral") for i in range(30)]
    >>> source(pd.DataFrame(rows, columns=["corpus", "speaker", "emotion"]), "b")
    'a'
    """
    speakers = neutral(manifest[manifest["corpus"] != corpus]).groupby("corpus")["speaker"].nunique()
    enough = speakers[speakers >= TALKERS * len(_PARTS)].sort_index()
    return str(enough.idxmax()) if len(enough) else ""


def neutral(manifest: pd.DataFrame) -> pd.DataFrame:
    """Neutral clips of people whom the corpus tells apart."""
    return manifest[(manifest["emotion"] == "neutral") & (manifest["speaker"] != "")]


def folder(clips: pd.DataFrame, root: Path, *, cache: Path) -> Path:
    """Folder with the babble of some speakers, ``<part>-<number>.flac``; made on first use.

    Parameters
    ----------
    clips : pd.DataFrame
        Neutral clips of one corpus: ``path, clip_id, speaker, sha256``.
    root : Path
        Folder that the paths are relative to.
    cache : Path
        Folder for the artefact.

    Raises
    ------
    study.UserError
        When a file is gone, altered or cannot be decoded.
    """
    key = {
        "babble": hashlib.sha256("".join(clips["speaker"] + clips["clip_id"] + clips["sha256"]).encode()).hexdigest(),
        "code": study.code_version("noise.babble"),
        "versions": study.versions("numpy", "librosa") | audio.decoders(),
    }
    return study.cached(
        cache, key, lambda: talkers(clips), save=functools.partial(_save, root=root), load=lambda made: made
    )


def talkers(clips: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Clips of each part, no speaker in two of them.

    Examples
    --------
    >>> clips = pd.DataFrame({"speaker": [f"s{i:02d}" for i in range(15)]})
    >>> {part: len(rows) for part, rows in talkers(clips).items()}
    {'train': 5, 'validation': 5, 'test': 5}
    """
    speakers = np.random.default_rng(SEED).permutation(np.unique(clips["speaker"].to_numpy(dtype=str)))
    return {part: clips[clips["speaker"].isin(speakers[k :: len(_PARTS)])] for k, part in enumerate(_PARTS)}


def _save(parts: dict[str, pd.DataFrame], target: Path, *, root: Path) -> None:
    study.progress(f"babble of {sum(rows['speaker'].nunique() for rows in parts.values())} speakers")
    for k, (part, rows) in enumerate(parts.items()):
        load = functools.cache(lambda path, sha256: audio.trim_silence(audio.load_listed(root / path, sha256)))
        voices = [list(zip(own["path"], own["sha256"], strict=True)) for _, own in rows.groupby("speaker")]
        for number in range(N_CLIPS[part]):
            y = _babble(voices, np.random.default_rng([SEED, k, number]), load)
            soundfile.write(target / f"{part}-{number:02d}.flac", y, audio.SAMPLE_RATE, subtype="PCM_16")


def _babble(
    voices: list[list[tuple[str, str]]], rng: np.random.Generator, load: Callable[[str, str], np.ndarray]
) -> np.ndarray:
    """Each of some speakers says own sentences in a drawn order, from somewhere in them on, over and over."""
    n_samples = round(CLIP_S * audio.SAMPLE_RATE)
    y = np.zeros(n_samples)
    for voice in rng.choice(len(voices), TALKERS, replace=False):
        line: list[np.ndarray] = []
        for i in rng.permutation(len(voices[voice])):
            if sum(map(len, line)) < 2 * n_samples:
                line.append(load(*voices[voice][i]))
        said = np.concatenate(line)
        level = audio.active_level_db(said, sr=audio.SAMPLE_RATE)
        gain = 10 ** ((rng.uniform(-SPREAD_DB, SPREAD_DB) - level) / 20)
        y += gain * np.take(said, rng.integers(len(said)) + np.arange(n_samples), mode="wrap")
    y *= 10 ** ((LEVEL_DBFS - audio.level_db(y)) / 20)
    return y / max(1.0, np.abs(y).max())
