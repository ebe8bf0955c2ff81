"""Augmentation of training batches of frame features; validation and test clips never pass through here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_utils import study


@dataclass(frozen=True)
class FrameAugmentation:
    """How far a training batch is disturbed; 0 switches a part off.

    Parameters
    ----------
    time_mask, column_mask : float
        SpecAugment (Park et al. 2019, doi:10.21437/Interspeech.2019-2680): longest masked share of the frames and
        of the columns, two masks each, in [0, 1).
    mixup : float
        Beta parameter of mixup (Zhang et al. 2018, arXiv:1710.09412).
    speed : float
        Largest relative change of tempo by resampling frames, e.g. 0.1.
    warp : float
        Largest relative stretch of the mel axis, e.g. 0.1: vocal-tract-length perturbation (Jaitly & Hinton 2013).
    n_bands : int
        Leading columns that are mel bands; `warp` stretches these and no others.
    crop : float
        Largest share of the frames that is cut away, at random from both ends, in [0, 1).
    gain : float
        Largest shift of the column `level_column` over a whole clip, in standard deviations: a louder or softer voice.
    level_column : int
        Column of the level; -1, the last, is where ``clip_mean: level`` puts it.
    noise : float
        Standard deviation of Gaussian noise on every valid value, in standard deviations of its column.
    cutout : float
        Longest side of one hidden rectangle, as a share of the frames and of the columns, in [0, 1) (DeVries & Taylor
        2017, arXiv:1708.04552).
    """

    time_mask: float = 0.1
    column_mask: float = 0.1
    mixup: float = 0.2
    speed: float = 0.1
    warp: float = 0.0
    n_bands: int = 0
    crop: float = 0.0
    gain: float = 0.0
    level_column: int = -1
    noise: float = 0.0
    cutout: float = 0.0

    def __post_init__(self) -> None:
        study.check_range(self, "0 or more", lambda value: value >= 0, "mixup", "n_bands", "gain", "noise")
        shares = ("time_mask", "column_mask", "speed", "warp", "crop", "cutout")
        study.check_range(self, "at least 0 and below 1", lambda value: 0 <= value < 1, *shares)


def disturb(
    x: np.ndarray,
    n_frames: np.ndarray,
    targets: np.ndarray,
    augmentation: FrameAugmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretch, cut, mask and mix the clips of one training batch.

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
    made, lengths = np.zeros_like(x), n_frames.copy()
    for i, length in enumerate(n_frames):  # one clip fits into the processor's cache, a batch does not
        clip = _deform(x[i, :length], x.shape[1], augmentation, rng)
        lengths[i] = len(clip)
        made[i, : len(clip)] = clip
        valid = made[i, : len(clip)]
        if augmentation.gain:
            valid[:, augmentation.level_column] += rng.uniform(-1, 1) * augmentation.gain
        if augmentation.noise:
            valid += augmentation.noise * rng.standard_normal(valid.shape, dtype=np.float32)
        _hide(valid, augmentation, rng)
    return _mix(made, lengths, targets, augmentation.mixup, rng) if augmentation.mixup else (made, lengths, targets)


def _deform(clip: np.ndarray, longest: int, augmentation: FrameAugmentation, rng: np.random.Generator) -> np.ndarray:
    """The clip cut, and stretched over columns and time; at most `longest` frames."""
    if augmentation.crop:
        size = max(1, round(len(clip) * (1 - rng.uniform(0, augmentation.crop))))
        start = rng.integers(0, len(clip) - size + 1)
        clip = clip[start : start + size]
    if augmentation.warp and augmentation.n_bands:
        factor, n_bands = 1 + rng.uniform(-1, 1) * augmentation.warp, augmentation.n_bands
        bands = _stretch(clip[:, :n_bands], n_bands, factor, axis=1)
        clip = np.concatenate([bands, clip[:, n_bands:]], axis=1)
    if augmentation.speed:
        factor = 1 + rng.uniform(-1, 1) * augmentation.speed
        clip = _stretch(clip, min(max(2, round(len(clip) / factor)), longest), factor, axis=0)
    return clip


def _stretch(clip: np.ndarray, size: int, factor: float, *, axis: int) -> np.ndarray:
    """Values at every `factor`-th position along `axis`, interpolated; the last value is held beyond the end."""
    positions = np.minimum(np.arange(size) * factor, clip.shape[axis] - 1)
    low = positions.astype(int)
    share = (positions - low).astype(np.float32)
    made = clip.take(low, axis)
    rise = clip.take(np.minimum(low + 1, clip.shape[axis] - 1), axis)
    rise -= made
    rise *= share[:, None] if axis == 0 else share
    made += rise
    return made


def _hide(clip: np.ndarray, augmentation: FrameAugmentation, rng: np.random.Generator) -> None:
    """Set two stretches of frames, two of columns, and one rectangle to zero, the mean."""
    for axis, share in enumerate((augmentation.time_mask, augmentation.column_mask)):
        for _ in range(2):
            np.moveaxis(clip, axis, 0)[_span(clip.shape[axis], share, rng)] = 0
    if augmentation.cutout:
        rows, columns = (_span(size, augmentation.cutout, rng) for size in clip.shape)
        clip[rows, columns] = 0


def _span(size: int, share: float, rng: np.random.Generator) -> slice:
    """A stretch of at most `share` of `size`, anywhere."""
    width = rng.integers(0, int(size * share) + 1)
    start = rng.integers(0, size - width + 1)
    return slice(start, start + width)


def _mix(
    x: np.ndarray, n_frames: np.ndarray, targets: np.ndarray, beta: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every clip with some of another one."""
    other = rng.permutation(len(x))
    share = rng.beta(beta, beta, size=len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    lengths = np.maximum(n_frames, n_frames[other])
    mixed = np.zeros_like(x)
    for i, length in enumerate(lengths):
        np.multiply(x[i, :length], share[i], out=mixed[i, :length])
        mixed[i, :length] += (1 - share[i]) * x[other[i], :length]
    return mixed, lengths, share[:, None] * targets + (1 - share)[:, None] * targets[other]
