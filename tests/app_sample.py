"""Two tiny nets to ask, that the tests of the live demo share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from saved_sample import DEMO, LABELS, SCORE, SPEC, fold_result

from ser_utils import saved

NAMES = ("tiny_cnn", "tiny_lstm")


def validation(*, n: int = 90, seed: int = 0) -> pd.DataFrame:
    """Validation clips of an overconfident net: surer where it is right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(LABELS), n)
    logits = rng.normal(0, 2, (n, len(LABELS)))
    logits[np.arange(n), truth] += 2
    p = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(p, columns=[f"p_{label}" for label in LABELS])
    speakers = [f"s{i % 6}" for i in range(n)]
    return table.assign(clip_id=[f"c{i}" for i in range(n)], speaker=speakers, y_true=[LABELS[i] for i in truth])


def save_nets(folder: Path) -> list[Path]:
    """Save a CNN with validation clips and an LSTM without, under the profile ``demo`` of ``$SER_OUT``."""
    first = fold_result(folder / "cnn")
    results = [
        (NAMES[0], dataclasses.replace(first, validation=validation()), SCORE),
        (NAMES[1], fold_result(folder / "lstm", "bilstm_attention", fold=1), (0.4, 0.3, 0.5)),
    ]
    return [
        saved.save(result, SPEC, name=name, corpora=DEMO, labels=LABELS, uar=score, profile="demo")
        for name, result, score in results
    ]
