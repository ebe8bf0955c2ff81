"""The loop that trains a denoiser: a fixed number of batches, a rate that falls along a cosine, no early stop.

Nothing is chosen by a score, so no speaker is needed to validate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ser_utils import study

WARM_UP = 0.05  # share of the steps
SAID_EVERY_S = 10.0
Batch = Callable[[], tuple[Any, Any]]


def descend(net: Any, batch: Batch, loss: Any, *, steps: int, peak_rate: float, label: str) -> list[dict[str, float]]:
    """Train `net` in place.

    Parameters
    ----------
    net : keras.Model
    batch : callable
        Gives inputs and targets, new ones at each call.
    loss : callable
    steps : int
        Batches, 1 or more.
    peak_rate : float
        Of Adam, after the warm-up.
    label : str
        What the progress line says.

    Returns
    -------
    list of dict
        ``step, loss``: the mean since the last row, twenty rows or fewer.
    """
    import keras

    net.compile(optimizer=keras.optimizers.Adam(0.0, global_clipnorm=1.0), loss=loss, jit_compile=False)
    rows, recent, start = [], [], time.monotonic()
    said = start
    for step in range(steps):
        net.optimizer.learning_rate = peak_rate * rate(step, steps)
        net.reset_metrics()  # the loss that Keras returns is the mean since then
        recent.append(float(net.train_on_batch(*batch())))
        if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
            rows.append({"step": step + 1, "loss": float(np.mean(recent))})
            recent = []
        now = time.monotonic()
        if now - said > SAID_EVERY_S:
            left = (now - start) / (step + 1) * (steps - step - 1)
            study.progress(f"{label}: step {step + 1}/{steps}, about {study.duration(left)} left")
            said = now
    return rows


def rate(step: int, steps: int) -> float:
    """Share of the peak rate in one step, above 0.

    Examples
    --------
    >>> [round(rate(step, 100), 2) for step in (0, 4, 50, 99)]
    [0.2, 1.0, 0.54, 0.0]
    """
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2


def arrays_of(net: Any) -> dict[str, np.ndarray]:
    """Weights of a net, named ``<layer>/<weight>``."""
    return {f"{layer.name}/{w.name}": np.asarray(w, dtype=np.float32) for layer in net.layers for w in layer.weights}
