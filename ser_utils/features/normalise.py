"""Bringing columns to one scale by each speaker's own clips."""

from __future__ import annotations

import numpy as np

from ser_utils import study


def per_speaker(x: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Standardise each speaker's rows by all rows of that speaker.

    No label is used, but the other clips of a test speaker are: a condition of its own, which a system that hears a
    stranger's first sentence cannot meet. Scores with it are reported apart (features ``…+speaker_norm``).

    Parameters
    ----------
    x : np.ndarray [shape=(n_clips, n_columns)]
    speakers : np.ndarray [shape=(n_clips,)]
        Speaker of each row.

    Returns
    -------
    np.ndarray [shape=(n_clips, n_columns), dtype=float32]
        0 where a speaker has one clip, or a column never changes.

    Raises
    ------
    study.UserError
        When rows and speakers differ in number.

    Examples
    --------
    >>> per_speaker(np.array([[1.0], [3.0], [10.0]]), np.array(["a", "a", "b"])).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    speakers = np.asarray(speakers)
    if len(x) != len(speakers):
        raise study.UserError(f"{len(x)} rows cannot be normalised by {len(speakers)} speakers; give one per row")
    out = np.empty(x.shape, dtype=np.float32)
    for speaker in np.unique(speakers):
        own = speakers == speaker
        mean, std = _moments(x[own])
        out[own] = (x[own] - mean) / std
    return out


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, std = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    # what rounding leaves of a constant column is not a scale
    return mean, np.where(std > 1e-7 * np.abs(mean), std, 1.0)
