"""Small clips for the tests of generators: three emotions that differ in height, four speakers."""

from __future__ import annotations

import numpy as np

from ser_utils.generative.mel import valid
from ser_utils.generative.patches import Sound

BANDS, CONDITION, LONGEST = 11, 4, 21


def sound(n: int = 12, *, seed: int = 0) -> Sound:
    """Noise with a bright stripe whose height is the emotion; odd lengths, odd bands."""
    rng = np.random.default_rng(seed)
    emotions, n_frames = np.arange(n) % 3, rng.integers(9, LONGEST + 1, n)
    x = 0.3 * rng.standard_normal((n, LONGEST, BANDS)).astype(np.float32)
    for i, emotion in enumerate(emotions):
        x[i, :, 3 * emotion : 3 * emotion + 3] += 2
    prototypes = np.eye(3, CONDITION, dtype=np.float32)
    x *= valid(n_frames, LONGEST)[:, :, None]
    return Sound(x, n_frames, emotions, prototypes[emotions], prototypes, np.array([f"c{i}" for i in range(n)]))
