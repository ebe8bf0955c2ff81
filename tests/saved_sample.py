"""Small nets of saved folds and sounds for them, that the tests of saved nets and of predictions share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import corpora, models, study, training
from ser_utils.features import FrameSpec

LABELS = ("angry", "happy", "sad")
SPEC = FrameSpec(kind="log_mel+zcr", n_mels=8, n_mfcc=8, hop_length=320, max_s=1.0)
SMALL = {
    "small_cnn": {"filters": 4, "strides": (2, 2)},
    "bilstm_attention": {"filters": 4, "stride": 4, "units": 4},
}
DEMO = corpora.corpus("demo")
SCORE = (0.5, 0.4, 0.6)


def fold_result(
    folder: Path, model: str = "small_cnn", *, fold: int = 0, val_uar: float = 0.5, speakers: tuple[str, ...] = ("a",)
) -> training.FoldResult:
    """A fold as :func:`training.cross_validate` hands it over, with a net of random weights."""
    study.seed_everything(fold)
    rng = np.random.default_rng(fold)
    columns = len(SPEC.columns)
    normaliser = training.Normaliser(rng.normal(-40, 5, columns), rng.uniform(5, 10, columns), ("c0",))
    net = models.BUILDERS[model](columns, len(LABELS), **SMALL[model])
    for weights in net.trainable_variables:  # fresh biases are zeros, which would hide a lost one
        weights.assign(weights + rng.normal(0, 0.3, weights.shape))
    folder.mkdir(parents=True)
    net.save(folder / "model.keras")
    facts = {"fold": float(fold), "seed": 0.0, "n_train": 9.0, "val_uar": val_uar}
    heard = pd.DataFrame({"speaker": list(speakers)})
    return training.FoldResult(heard, pd.DataFrame(), facts, normaliser, folder=folder)


def sentence(seconds: float, hz: float = 150.0, *, seed: int = 0, sr: int = 16000) -> np.ndarray:
    """Something like a voice: harmonics of a wandering pitch in syllables, with breath."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * sr)) / sr
    pitch = 2 * np.pi * np.cumsum(hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t + seed))) / sr
    tone = sum(np.sin(k * pitch) / k for k in range(1, 20)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    return (0.1 * tone + 0.002 * rng.standard_normal(len(t))).astype(np.float32)
