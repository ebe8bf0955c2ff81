"""The gate before the nets on real recordings: speech passes, near-silence does not, other sounds do."""

from __future__ import annotations

import numpy as np
import pytest

from ser_utils import study
from ser_utils.app import sounds

EVERY = 4  # one file in so many
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def passed(name: str) -> float:
    """Share of the files of a corpus that count as speech."""
    folder = study.paths("full").data / name
    if not folder.is_dir():
        pytest.skip(f"no {name} below SER_DATA")
    files = sorted(file for file in folder.rglob("*") if file.suffix in SUFFIXES)[::EVERY]
    return float(np.mean([sounds.speaks(sounds.read(file).y) for file in files]))


@pytest.mark.real
@pytest.mark.parametrize("name", ["ravdess", "emodb", "cremad", "tess"])
def test_real_speech_passes_the_gate(name):
    assert passed(name) > 0.995


@pytest.mark.real
def test_the_gate_does_not_know_voices_from_other_sounds_as_the_page_says():
    assert passed("esc50") > 0.9


@pytest.mark.parametrize("level_db", [-90, -60, -58])
@pytest.mark.parametrize("seed", [0, 1])
def test_near_silence_is_refused(level_db, seed):
    hiss = 10 ** (level_db / 20) * np.random.default_rng(seed).standard_normal(10 * sounds.RATE)
    assert not sounds.speaks(hiss)


def test_soft_speech_counts_where_it_stands_out():
    rng = np.random.default_rng(0)
    voice = 10 ** (-54 / 20) * rng.standard_normal(sounds.RATE)
    quiet = 10 ** (-80 / 20) * rng.standard_normal(sounds.RATE)
    assert sounds.speaks(np.concatenate([quiet, voice, quiet]))
    assert not sounds.speaks(voice)
