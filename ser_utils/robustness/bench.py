"""One corpus under noise: who is tested, what is mixed in where, and every sound once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ser_utils import denoise, noise, study
from ser_utils.corpora.base import Corpus
from ser_utils.denoise import Denoiser
from ser_utils.noise import Condition
from ser_utils.splits import Fold

REGIMES = ("clean", "noisy", "denoised", "noisy+denoised")
NONE = "none"  # the denoiser that does nothing, in the columns of tables
COPY = "noisy"  # in the ids of copies


class Clips(NamedTuple):
    """A manifest, and the folder that its paths are relative to."""

    table: pd.DataFrame
    root: Path


@dataclass(frozen=True)
class Regime:
    """What a model is trained on: one of :data:`REGIMES`, the last two with a denoiser."""

    name: str
    denoiser: str = ""

    def __post_init__(self) -> None:
        if self.name not in REGIMES or bool(self.denoiser) != ("denoised" in self.name):
            raise study.UserError(
                f"training regime '{self.name}' with denoiser '{self.denoiser}' is none; use one of "
                f"{', '.join(REGIMES)}, those with 'denoised' with a denoiser"
            )

    def tests(self, conditions: Sequence[Condition]) -> list[Condition]:
        """Conditions that a model of this regime is tested under: all, or those with its own denoiser, gated or not.

        Examples
        --------
        >>> both = [Condition(), Condition(denoiser="dtln")]
        >>> [str(condition) for condition in Regime("denoised", "dtln").tests(both)]
        ['clean;denoiser=dtln']
        """
        return [each for each in conditions if not self.denoiser or denoise.inner(each.denoiser) == self.denoiser]


@dataclass(frozen=True, eq=False)
class Bench:
    """One corpus under noise.

    Attributes
    ----------
    entry : Corpus
    rows : pd.DataFrame
        Clips to train and test on.
    folds : list of Fold
        Those that are tested.
    split : str
        What the column of that name says.
    root : Path
        Folder that the paths are relative to.
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.
    cache : Path
        Folder below which sounds, features and folds are kept.
    denoisers : mapping
        By name, all that conditions name.
    trained_in : str
        Condition of the noisy copies, such as ``noise=everyday;snr_db=0..20``.
    n_copies : int
        Per clip.
    allow : tuple of str
        Leaks that the split has by its nature.
    seed : int
        Draws noises.
    """

    entry: Corpus
    rows: pd.DataFrame = field(repr=False)
    folds: list[Fold] = field(repr=False)
    split: str
    root: Path
    plan: pd.DataFrame = field(repr=False)
    cache: Path
    denoisers: Mapping[str, Denoiser] = field(repr=False)
    trained_in: str
    n_copies: int = 1
    allow: tuple[str, ...] = ()
    seed: int = 0

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def constants(self) -> dict[str, str]:
        """Columns that all predictions on the bench share."""
        return {"corpus": self.name, "corpus_version": self.entry.version, "split": self.split}

    def tested(self, condition: Condition) -> Clips:
        """All clips of the tested folds under a condition, noises of the test part."""
        ids = np.concatenate([fold.test for fold in self.folds])
        return self._sound(noise.draw(self.rows[self.rows["clip_id"].isin(ids)], condition, self.plan), condition)

    def left_alone(self, condition: Condition) -> set[str]:
        """Ids of the tested clips that a gate kept from its denoiser: they differ from what that one makes of them."""
        behind = dataclasses.replace(condition, denoiser=denoise.inner(condition.denoiser))
        given, denoised = (self.tested(each).table.set_index("clip_id")["sha256"] for each in (condition, behind))
        return set(given.index[given != denoised.loc[given.index]])

    def training(self, regime: Regime) -> tuple[Clips, list[Clips]]:
        """What the clips and their copies are in a regime; noises of the training part.

        Returns
        -------
        clips : Clips
            One row per clip, with its id.
        copies : list of Clips
            Rows with a ``parent``.
        """
        own = Clips(self.rows.assign(noise_id="", gain_db=0.0), self.root)
        if regime.name == "clean":
            return own, []
        copies = noise.copies(
            self.rows, self.trained_in, self.plan, part="train", n=self.n_copies, seed=self.seed, name=COPY
        )
        plain = self._sound(copies, Condition.parse(self.trained_in))
        if regime.name == "noisy":
            return own, [plain]
        cleaned = self._denoised(plain, regime.denoiser)
        if regime.name == "denoised":
            return self._denoised(own, regime.denoiser), [cleaned]
        renamed = cleaned.table.assign(clip_id=cleaned.table["clip_id"].str.replace(f"~{COPY}", "~denoised"))
        return own, [plain, Clips(renamed, cleaned.root)]

    def _sound(self, drawn: pd.DataFrame, condition: Condition) -> Clips:
        mixed = Clips(*noise.render(drawn, self.root, cache=self.cache / "noise"))
        return self._denoised(mixed, condition.denoiser) if condition.denoiser else mixed

    def _denoised(self, clips: Clips, name: str) -> Clips:
        clean = (self.rows, self.root) if self.denoisers[name].needs == "clean" else None
        return Clips(*denoise.apply_all(*clips, self.denoisers[name], cache=self.cache / "denoised", clean=clean))

    def gate(self, copies: Sequence[Clips], tests: Sequence[Clips]) -> None:
        """Raise where a noise file that a fold tests with is known in its training, see :func:`ser_utils.noise.gate`.

        Where the split shares speakers by its nature, only noises are looked at.
        """
        for fold in self.folds:
            if "speaker" not in self.allow:
                heard = {"train": [part.table for part in copies], "test": [part.table for part in tests]}
                noise.gate(fold, self.rows, heard)
        trained, held = (
            {name for part in parts for name in part.table["noise_id"]} - {""} for parts in (copies, tests)
        )
        if trained & held:
            raise study.UserError(f"noise file {min(trained & held)} is heard in training and in tests; mend the plan")


def fewer(rows: pd.DataFrame, n_clips: int, *, seed: int) -> pd.DataFrame:
    """At most `n_clips` of a corpus, equally many per speaker and emotion; 0 for all.

    Examples
    --------
    >>> rows = pd.DataFrame({"speaker": list("aabb"), "emotion": "sad"})
    >>> sorted(fewer(rows, 2, seed=0)["speaker"])
    ['a', 'b']
    """
    rank = rows.sample(frac=1, random_state=seed).groupby(["speaker", "emotion"]).cumcount()
    kept = rank.sort_values(kind="stable").index[: n_clips or None]
    return rows.loc[sorted(kept)].reset_index(drop=True)
