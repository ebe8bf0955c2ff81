"""Sounds that the tests of features share: synthetic ones, and a few real clips where a corpus is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_utils import study

REAL = {"ravdess": "Actor_*/*", "emodb": "wav/*", "cremad": "AudioWAV/*"}


def voice(hz: float, seconds: float = 0.6) -> np.ndarray:
    """A falling row of harmonics, as a voice has."""
    t = np.arange(int(16000 * seconds)) / 16000
    return sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 9)).astype(np.float32) * 0.1


def noise(seed: int, seconds: float = 0.5) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16000 * seconds))).astype(np.float32)


def real_files(*, each: int = 5) -> list[Path]:
    """`each` clips per corpus below SER_DATA; skips the test without any."""
    found = []
    for name, pattern in REAL.items():
        files = sorted((study.paths("full").data / name).glob(pattern))
        found += files[:: max(1, len(files) // each)][:each]
    if not found:
        pytest.skip(f"no {', '.join(REAL)} below SER_DATA")
    return found
