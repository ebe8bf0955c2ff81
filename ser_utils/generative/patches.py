"""What generators learn from: standardised clips of one fold with their emotions, as random patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ser_utils import study
from ser_utils.generative.mel import valid

DROPPED = 0.1  # share of the patches that are shown without their condition, for classifier-free guidance
OWN = 0.5  # share of the others that are told their clip's embedding; the rest is told that of their emotion


class Patch(NamedTuple):
    """A batch of excerpts.

    Attributes
    ----------
    x : np.ndarray [shape=(batch, n_frames, n_bands, 1)]
    mask : np.ndarray [shape=(batch, n_frames)]
    condition : np.ndarray [shape=(batch, n_condition)]
        Zeros where it is dropped.
    other : np.ndarray [shape=(batch, n_condition)]
        Of another emotion.
    style, style_mask : np.ndarray
        Another excerpt of the same clip, and its mask.
    """

    x: np.ndarray
    mask: np.ndarray
    condition: np.ndarray
    other: np.ndarray
    style: np.ndarray
    style_mask: np.ndarray


@dataclass(frozen=True)
class Sound:
    """Clips of one part of a fold.

    Attributes
    ----------
    x : np.ndarray [shape=(n_clips, longest, n_bands), dtype=float32]
        Standardised; zeros in the padding.
    n_frames : np.ndarray [shape=(n_clips,)]
    emotions : np.ndarray [shape=(n_clips,)]
        Index of each clip's emotion.
    own : np.ndarray [shape=(n_clips, n_condition)]
        Embedding of each clip.
    prototypes : np.ndarray [shape=(n_emotions, n_condition)]
        Embedding of each emotion.
    clip_ids : np.ndarray [shape=(n_clips,)]
    """

    x: np.ndarray = field(repr=False)
    n_frames: np.ndarray = field(repr=False)
    emotions: np.ndarray = field(repr=False)
    own: np.ndarray = field(repr=False)
    prototypes: np.ndarray = field(repr=False)
    clip_ids: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        if not len(self.x) or not np.isfinite(self.x).all():
            raise study.UserError("the clips of a generator must be at least one and finite; check the corpus")

    @property
    def n_bands(self) -> int:
        return self.x.shape[2]

    @property
    def n_condition(self) -> int:
        return self.prototypes.shape[1]

    def draw(self, rng: np.random.Generator, batch: int, n_frames: int) -> Patch:
        """Random excerpts, each from a clip that is drawn so that all emotions come equally often."""
        rows = self._rows(rng, batch)
        x, mask = self._excerpts(rng, rows, n_frames)
        style, style_mask = self._excerpts(rng, rows, n_frames)
        label, draw = self.emotions[rows], rng.random(batch)[:, None]
        kept = rng.random(batch)[:, None] >= DROPPED
        condition = np.where(draw < OWN, self.own[rows], self.prototypes[label]) * kept
        shift = rng.integers(1, max(2, len(self.prototypes)), batch)
        other = self.prototypes[(label + shift) % len(self.prototypes)]
        told = (value.astype(np.float32) for value in (condition, other))
        return Patch(x[..., None], mask, *told, style, style_mask)

    def _rows(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        present = np.unique(self.emotions)
        wanted = present[rng.integers(0, len(present), batch)]
        return np.array([rng.choice(np.flatnonzero(self.emotions == emotion)) for emotion in wanted])

    def _excerpts(self, rng: np.random.Generator, rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        n = min(n, self.x.shape[1])
        starts = (rng.random(len(rows)) * np.maximum(1, self.n_frames[rows] - n + 1)).astype(int)
        at = starts[:, None] + np.arange(n)
        mask = (at < self.n_frames[rows][:, None]).astype(np.float32)
        return self.x[rows[:, None], at], mask

    def fixed(self, n_frames: int, *, batch: int, seed: int) -> Patch:
        """The same excerpts at every call: what a validation loss is taken on."""
        return self.draw(np.random.default_rng(seed), batch, n_frames)

    @property
    def mask(self) -> np.ndarray:
        """Of the whole clips [shape=(n_clips, longest)]."""
        return valid(self.n_frames, self.x.shape[1])
