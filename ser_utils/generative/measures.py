"""How far what is made is from what is real: as a distribution, one by one, and in what it should keep."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft

from ser_utils import study
from ser_utils.features import pitch

CEPSTRA = 13  # coefficients that a distortion is taken over, the level left out


def main_axes(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, directions [shape=(n_columns, n)] of most variance, and the deviation along each, of real embeddings.

    A covariance takes more clips than columns; along few directions few clips suffice.
    """
    mean = x.mean(axis=0)
    _, values, rows = np.linalg.svd(x - mean, full_matrices=False)
    n = min(n, int((values > 1e-6 * values[0]).sum()))
    return mean, rows[:n].T, values[:n] / np.sqrt(max(1, len(x) - 1))


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between two sets of embeddings, each taken for a normal distribution (Heusel et al. 2017,
    arXiv:1706.08500; for sound: Kilgour et al. 2019, doi:10.21437/Interspeech.2019-2219).

    It falls with more clips, so only sets of one size compare.

    Parameters
    ----------
    a, b : np.ndarray [shape=(n_clips, n_columns)]
        At least 2 clips each.

    Returns
    -------
    float
        0 or more, in squared units of the embedding.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((500, 3))
    >>> round(frechet(x, x + 2), 3)
    12.0
    """
    if len(a) < 2 or len(b) < 2:
        raise study.UserError(
            f"a Fréchet distance of {len(a)} and {len(b)} clips has no covariance; give 2 or more each"
        )
    first, second = (np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    gap = np.square(a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)).sum()
    return float(max(0.0, gap + np.trace(first) + np.trace(second) - 2 * shared))


class Nearest(NamedTuple):
    """Distances to the nearest training clip.

    Attributes
    ----------
    made, held_out, training : float
        Median distance of made clips, of real clips of other speakers, and of training clips to the others.
    copies : float
        Share of the made clips that lie nearer to a training clip than 99 % of the held-out clips do: 0.01 if making
        is no copying.
    spread : float
        Median distance between made clips and the nearest other made clip, over that of training clips: near 0 if all
        look alike.
    """

    made: float
    held_out: float
    training: float
    copies: float
    spread: float


def nearest(made: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Nearest:
    """Whether made clips are copies of training clips (memorisation), and whether they differ among themselves.

    Parameters
    ----------
    made, training, held_out : np.ndarray [shape=(n_clips, n_columns)]
        Embeddings, or spectrograms as vectors; at least 2 each.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> training, other, fresh = rng.standard_normal((3, 300, 8))
    >>> nearest(training[:50], training, other).copies, nearest(fresh, training, other).copies < 0.1
    (1.0, True)
    """
    apart, real = _to_nearest(made, training), _to_nearest(held_out, training)
    among = _to_nearest(training, training, same=True)
    own = np.median(_to_nearest(made, made, same=True)) / max(float(np.median(among)), 1e-9)
    copies = float((apart < np.quantile(real, 0.01)).mean())
    return Nearest(*(float(np.median(values)) for values in (apart, real, among)), copies, float(own))


def _to_nearest(a: np.ndarray, b: np.ndarray, *, same: bool = False) -> np.ndarray:
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    if same:
        np.fill_diagonal(squares, np.inf)
    return np.sqrt(np.maximum(squares.min(axis=1), 0))


def cepstral_distortion(a: np.ndarray, b: np.ndarray, *, n: int = CEPSTRA) -> float:
    """Mel-cepstral distortion between spectrograms of one length, frame by frame, dB (Kubichek 1993,
    doi:10.1109/PACRIM.1993.407206).

    It is the root mean square difference of the smoothed spectra without their level.

    Parameters
    ----------
    a, b : np.ndarray [shape=(n_frames, n_bands)]
        dB.
    n : int
        Cepstral coefficients, from the first.

    Examples
    --------
    >>> x = np.zeros((5, 20))
    >>> cepstral_distortion(x, x + 7) < 1e-9  # louder, and nothing else
    True
    """
    if a.shape != b.shape:
        raise study.UserError(
            f"spectrograms of shapes {a.shape} and {b.shape} have no distortion; cut them to one length"
        )
    decibels = scipy.fft.dct(a - b, axis=1)[:, 1 : n + 1] / (2 * a.shape[1])
    return float(np.sqrt(2 * np.square(decibels).sum(axis=1)).mean())


class Melody(NamedTuple):
    """How far F0 was kept: correlation over frames that are voiced in both, median difference (semitones), and share
    of the frames whose voicing agrees. NaN where too few frames are voiced."""

    correlation: float
    difference_st: float
    voicing: float


def melody(a: np.ndarray, b: np.ndarray, *, sr: int) -> Melody:
    """F0 of one sound against that of another of the same content.

    Parameters
    ----------
    a, b : np.ndarray [shape=(n_samples,)]
    sr : int
        Hz.

    Examples
    --------
    >>> t = np.arange(16000) / 16000
    >>> glide = np.sin(2 * np.pi * (150 * t + 50 * t**2))
    >>> kept = melody(glide, glide, sr=16000)
    >>> round(kept.correlation, 2), kept.difference_st, kept.voicing
    (1.0, 0.0, 1.0)
    """
    n = min(len(a), len(b))
    (hz_a, sure_a), (hz_b, sure_b) = (pitch.f0(y[:n].astype(np.float32), sr=sr) for y in (a, b))
    voiced_a, voiced_b = sure_a >= pitch.VOICED, sure_b >= pitch.VOICED
    both = voiced_a & voiced_b
    agree = float((voiced_a == voiced_b).mean())
    if both.sum() < 3:
        return Melody(np.nan, np.nan, agree)
    st_a, st_b = (12 * np.log2(hz[both]) for hz in (hz_a, hz_b))
    flat = min(st_a.std(), st_b.std()) < 1e-6
    related = np.nan if flat else float(np.corrcoef(st_a, st_b)[0, 1])
    return Melody(related, float(np.median(np.abs(st_a - st_b))), agree)
