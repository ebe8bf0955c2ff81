"""What part of an utterance a net attended to, in the time of the recording."""

from __future__ import annotations

import librosa
import numpy as np

from ser_utils import features
from ser_utils.saved import SavedModel


def over_time(y: np.ndarray, net: SavedModel) -> np.ndarray | None:
    """Attention of a net over one utterance.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        As the net heard it, at ``net.spec.sr``; what the net cuts away gets no attention.
    net : SavedModel

    Returns
    -------
    np.ndarray [shape=(n_frames,)] or None
        Weight of each frame of ``net.spec.hop_length`` samples, mean of its nets; sums to one. None for nets that do
        not pool by attention.
    """
    from ser_utils.models import explain
    from ser_utils.models.layers import AttentionPooling

    nets = [layer for layer in net.model.layers if layer.name.startswith("net_")]
    if not all(any(isinstance(layer, AttentionPooling) for layer in part.layers) for part in nets):
        return None
    x, n_frames = features.frames(y, net.spec)
    parts = []
    for i, part in enumerate(nets):
        mean, std = net.model.get_layer(f"normaliser_{i}").get_weights()
        steps = explain.attention(part, ((x[None, :n_frames] - mean) / std).astype(np.float32))
        parts.append(np.interp(np.arange(n_frames), (np.arange(len(steps)) + 0.5) * n_frames / len(steps), steps))
    weights = np.zeros(1 + len(y) // net.spec.hop_length)
    first = _start(y, net.spec) // net.spec.hop_length
    inside = np.mean(parts, axis=0)[: len(weights) - first]
    weights[first : first + len(inside)] = inside / inside.sum()
    return weights


def _start(y: np.ndarray, spec: features.FrameSpec) -> int:
    """First sample of what :func:`features.frames` keeps."""
    start, end = librosa.effects.trim(y, top_db=spec.trim_db)[1] if spec.trim_db else (0, len(y))
    longest = (spec.max_frames - 1) * spec.hop_length
    return int(start) + max(0, int(end - start) - longest) // 2
