"""Augmentation of training batches of frame features; validation and test clips never pass through here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_utils import study


@dataclass(frozen=True)
class FrameAugmentation:
    """How far a training batch is disturbed.

    Parameters
    ----------
    time_mask, column_mask : float
        SpecAugment (Park et al. 2019, doi:10.21437/Interspeech.2019-2680): longest masked share of the frames and
        of the columns, two masks each, in [0, 1).
    mixup : float
        Beta parameter of mixup (Zhang et al. 2018, arXiv:1710.09412); 0 switches it off.
    speed : float
        Largest relative change of tempo by resampling frames, e.g. 0.1.
    warp : float
        Largest relative stretch of the mel axis, e.g. 0.1: vocal-tract-length perturbation (Jaitly & Hinton 2013).
    n_bands : int
        Leading columns that are mel bands; `warp` stretches these and no others.
    """

    time_mask: float = 0.1
    column_mask: float = 0.1
    mixup: float = 0.2
    speed: float = 0.1
    warp: float = 0.0
    n_bands: int = 0

    def __post_init__(self) -> None:
        study.check_range(self, "0 or more", lambda value: value >= 0, "mixup", "n_bands")
        shares = ("time_mask", "column_mask", "speed", "warp")
        study.check_range(self, "at least 0 and below 1", lambda value: 0 <= value < 1, *shares)


def disturb(
    x: np.ndarray,
    n_frames: np.ndarray,
    targets: np.ndarray,
    augmentation: FrameAugmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretch, mask and mix the clips of one training batch.

    Parameters
    ----------
    x : np.ndarray [shape=(n_clips, max_frames, n_columns), dtype=float32]
        Standardised frames, zeros in the padding.
    n_frames : np.ndarray [shape=(n_clips,)]
        Valid frames of each clip.
    targets : np.ndarray [shape=(n_clips, n_classes)]
        One-hot.
    augmentation : FrameAugmentation
    rng : np.random.Generator

    Returns
    -------
    x, n_frames, targets
        Copies of the same shapes; a mixed clip is as long as the longer one, and its targets still sum to one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, n, y = disturb(np.ones((4, 9, 3), np.float32), np.full(4, 9), np.eye(4), FrameAugmentation(), rng)
    >>> x.shape, bool(np.allclose(y.sum(1), 1))
    ((4, 9, 3), True)
    """
    x = x.copy()
    n_frames = n_frames.copy()
    for i in range(len(x)):
        clip = x[i, : n_frames[i]]
        if augmentation.warp and augmentation.n_bands:
            bands = _stretch(
                clip[:, : augmentation.n_bands],
                augmentation.n_bands,
                1 + rng.uniform(-1, 1) * augmentation.warp,
                axis=1,
            )
            clip = np.concatenate([bands, clip[:, augmentation.n_bands :]], axis=1)
        if augmentation.speed:
            factor = 1 + rng.uniform(-1, 1) * augmentation.speed
            clip = _stretch(clip, min(max(2, round(len(clip) / factor)), x.shape[1]), factor, axis=0)
        x[i, : len(clip)], x[i, len(clip) :], n_frames[i] = clip, 0, len(clip)
        for axis, size, share in (
            (0, int(n_frames[i]), augmentation.time_mask),
            (1, x.shape[2], augmentation.column_mask),
        ):
            for _ in range(2):
                width = rng.integers(0, int(size * share) + 1)
                start = rng.integers(0, size - width + 1)
                np.moveaxis(x[i], axis, 0)[start : start + width] = 0
    if augmentation.mixup:
        other = rng.permutation(len(x))
        share = rng.beta(augmentation.mixup, augmentation.mixup, size=len(x)).astype(np.float32)
        share = np.maximum(share, 1 - share)
        x = share[:, None, None] * x + (1 - share)[:, None, None] * x[other]
        targets = share[:, None] * targets + (1 - share)[:, None] * targets[other]
        n_frames = np.maximum(n_frames, n_frames[other])
    return x, n_frames, targets


def _stretch(clip: np.ndarray, size: int, factor: float, *, axis: int) -> np.ndarray:
    """Values at every `factor`-th position along `axis`, interpolated; the last value is held beyond the end."""
    positions = np.minimum(np.arange(size) * factor, clip.shape[axis] - 1)
    low = positions.astype(int)
    high = np.minimum(low + 1, clip.shape[axis] - 1)
    share = (positions - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    return clip.take(low, axis) * (1 - share) + clip.take(high, axis) * share
