"""What a net is fed: the normaliser of the training clips, copies of clips, and batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.augment.frames import disturb
from ser_utils.features import Frames
from ser_utils.training.recipe import Recipe


@dataclass(frozen=True)
class Normaliser:
    """Mean and standard deviation per column over the valid frames of the training clips.

    Attributes
    ----------
    mean, std : np.ndarray [shape=(n_columns,)]
    clip_ids : tuple of str
        What it was fitted on; the leak gate asks.
    """

    mean: np.ndarray
    std: np.ndarray
    clip_ids: tuple[str, ...]

    @classmethod
    def fit(cls, frames: Frames, clip_ids: np.ndarray) -> Normaliser:
        """Statistics of `clip_ids` alone."""
        rows = frames.rows(clip_ids)
        valid = np.concatenate([frames.x[row, : frames.n_frames[row]] for row in rows])
        return cls(valid.mean(0, dtype=np.float64), valid.std(0, dtype=np.float64) + 1e-6, tuple(clip_ids))

    def apply(self, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        """Standardised copy with zeros in the padding; float32 [shape=(n_clips, max_frames, n_columns)]."""
        valid = np.arange(x.shape[1]) < n_frames[:, None]
        mean, std = self.mean.astype(np.float32), self.std.astype(np.float32)  # 64 bits would double the memory
        return np.where(valid[:, :, None], (x - mean) / std, np.float32(0))


@dataclass(frozen=True)
class Copies:
    """Augmented copies of clips, for training only: a fold takes those of its training clips.

    Attributes
    ----------
    table : pd.DataFrame
        Manifest rows of the copies; ``parent`` is the clip that each was made from.
    frames : Frames
        Their features, in the same order.
    share : float
        Chance that one of a clip's copies trains in its place, drawn anew in each epoch, so that the number of steps
        stays that of training without copies; in [0, 1].
    """

    table: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    share: float = 0.5

    def __post_init__(self) -> None:
        study.check_range(self, "between 0 and 1", lambda value: 0 <= value <= 1, "share")

    def of(self, clip_ids: np.ndarray) -> np.ndarray:
        """Positions of the copies of `clip_ids`."""
        return np.flatnonzero(self.table["parent"].isin(clip_ids))


class Batches:
    """Batches of sequences, cut to the next 32 frames above their longest clip; shuffled and augmented for training.

    Training batches are cut from clips sorted by length, four batches at a time, so that little of one is padding. The
    last batch may hold fewer clips. Under ``balance: weights`` a clip weighs the more, the rarer its class: all classes
    weigh the same in sum.

    Parameters
    ----------
    x : np.ndarray [shape=(n_clips + n_copies, max_frames, n_columns)]
        Standardised; zeros in the padding.
    n_frames : np.ndarray [shape=(n_clips + n_copies,)]
    targets : np.ndarray [shape=(n_clips, n_classes)]
        One-hot; the copies take those of their clips.
    recipe : Recipe
        Batch size, balance and augmentation.
    rng : np.random.Generator, optional
        For training: draws order, copies and augmentation. Without one, order is kept and nothing is augmented.
    others : list of np.ndarray, optional
        For each clip, the rows of `x` and `n_frames` that hold its copies; none where it has none.
    share : float
        Chance that a copy stands in for its clip, drawn anew in each pass.
    """

    def __init__(
        self,
        x: np.ndarray,
        n_frames: np.ndarray,
        targets: np.ndarray,
        recipe: Recipe,
        rng: np.random.Generator | None = None,
        *,
        others: list[np.ndarray] | None = None,
        share: float = 0.0,
    ) -> None:
        self.x, self.n_frames, self.targets, self.recipe, self.rng = x, n_frames, targets, recipe, rng
        self.others, self.share = others, share
        counts = targets.sum(0)
        self.class_weight = np.divide(len(targets) / len(counts), counts, out=np.zeros_like(counts), where=counts > 0)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.recipe.batch_size)

    def __iter__(self) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
        """One pass: ([frames, mask], targets, weight per clip); the mask is 1 in valid frames."""
        for rows in self._rows():
            sound = self._stand_ins(rows)
            n_frames, targets = self.n_frames[sound], self.targets[rows]
            if self.rng is None:
                x = self.x[:, : self._steps(n_frames.max())][sound]
            else:
                longest = int(n_frames.max() / (1 - self.recipe.augmentation.speed)) + 1  # of the slowest
                x = self.x[:, : self._steps(longest)][sound]
                x, n_frames, targets = disturb(x, n_frames, targets, self.recipe.augmentation, self.rng)
            size = self._steps(n_frames.max())
            mask = (np.arange(size) < n_frames[:, None]).astype(np.float32)
            weight = targets @ self.class_weight if self.recipe.balance == "weights" else targets.sum(1)
            yield [x[:, :size], mask], targets, weight

    def _steps(self, longest: int) -> int:
        """Length in steps of 32 frames: few shapes, so the backend compiles few graphs."""
        return min(-(-int(longest) // 32) * 32, self.x.shape[1])

    def _stand_ins(self, rows: np.ndarray) -> np.ndarray:
        if self.rng is None or not self.others:
            return rows
        chosen = self.rng.random(len(rows)) < self.share
        return np.array(
            [
                self.rng.choice(self.others[i]) if use and len(self.others[i]) else i
                for i, use in zip(rows, chosen, strict=True)
            ]
        )

    def _rows(self) -> list[np.ndarray]:
        size, n_clips = self.recipe.batch_size, len(self.targets)
        if self.rng is None:
            return [np.arange(i, min(i + size, n_clips)) for i in range(0, n_clips, size)]
        order = self._order()
        pools = [order[i : i + 4 * size] for i in range(0, len(order), 4 * size)]
        order = np.concatenate([pool[np.argsort(self.n_frames[pool], kind="stable")] for pool in pools])
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        return [batches[i] for i in self.rng.permutation(len(batches))]

    def _order(self) -> np.ndarray:
        """Every clip once; under ``balance: sampling`` draws with replacement in which all classes are alike often."""
        n_clips = len(self.targets)
        if self.recipe.balance != "sampling":
            return self.rng.permutation(n_clips)
        chance = self.targets @ self.class_weight
        return self.rng.choice(n_clips, size=n_clips, p=chance / chance.sum(dtype=np.float64))
