"""What is tried: a task per corpus, a variant per net, and the trial that comes of both."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import augment, corpora, features, splits, study
from ser_utils.corpora.base import Corpus
from ser_utils.features import Frames, FrameSpec
from ser_utils.splits import Fold
from ser_utils.training import Copies, Experiment, FoldResult, Recipe

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it remarks on every other net of a process


@dataclass(frozen=True)
class Task:
    """One corpus: its entry, its usable clips, and its folds."""

    entry: Corpus
    rows: pd.DataFrame = field(repr=False)
    folds: list[Fold] = field(repr=False)

    @property
    def name(self) -> str:
        return self.entry.name


def paced(epochs: int, task: Task, first: Task) -> int:
    """Epochs that train a corpus in about as many steps as the first one; a smaller one has no more of them.

    Examples
    --------
    >>> rows = pd.DataFrame({"clip_id": list("abcd")})
    >>> first, twice = Task(None, rows[:2], []), Task(None, rows, [])
    >>> paced(70, twice, first), paced(70, first, twice)
    (35, 70)
    """
    return max(1, min(epochs, round(epochs * len(first.rows) / len(task.rows))))


@dataclass(frozen=True, eq=False)
class Variant:
    """One row of the study: a net, what it hears, and how it is trained.

    Attributes
    ----------
    name : str
        What the column ``model`` of its predictions says, in lower case.
    model : str
        A key of :data:`models.BUILDERS`.
    arguments : mapping
        Its options.
    spec : FrameSpec
    recipe : Recipe
    corpora : tuple of str
        Corpora that it is tried on; all without one.
    n_seeds : int
        Repetitions, 1 or more.
    max_folds : int
        Folds that are run, the first ones; 0 for all.
    first : Recipe, optional
        Pretraining on the other corpora, by this recipe: see :func:`pretraining`.
    chains : tuple of str
        Augmentations of the sound, see :mod:`ser_utils.augment`: copies of the training clips, drawn once for all seeds
        and folds.
    n_copies : int
        Copies per clip and augmentation, 1 or more.
    share : float
        How often a copy stands in for its clip in training, above 0 and at most 1.
    refit : bool
        Whether the validation speakers of each fold train, too, and the last epoch is kept: see :class:`Experiment`.
    regime : str
        What the column ``train_regime`` says; where nothing else is said ``clean``, or ``pretrained``, ``augmented``
        (with copies), ``refit``, joined by +.
    """

    name: str
    model: str
    arguments: Mapping[str, Any]
    spec: FrameSpec
    recipe: Recipe
    corpora: tuple[str, ...] = ()
    n_seeds: int = 1
    max_folds: int = 0
    first: Recipe | None = None
    chains: tuple[str, ...] = ()
    n_copies: int = 1
    share: float = 0.5
    refit: bool = False
    regime: str = ""

    def __post_init__(self) -> None:
        study.check_range(self, "1 or more", lambda value: value >= 1, "n_seeds", "n_copies")
        study.check_range(self, "0 or more", lambda value: value >= 0, "max_folds")
        study.check_range(self, "above 0 and at most 1", lambda value: 0 < value <= 1, "share")
        said = ["pretrained"] * bool(self.first) + ["augmented"] * bool(self.chains) + ["refit"] * self.refit
        object.__setattr__(self, "regime", self.regime or "+".join(said) or "clean")


@dataclass(frozen=True)
class Trial:
    """A variant on a corpus: the folds that were run, and what they left behind, seed by seed, fold by fold."""

    variant: Variant
    task: Task
    folds: list[Fold] = field(repr=False)
    results: list[FoldResult] = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether every fold of the corpus was run."""
        return len(self.folds) == len(self.task.folds)

    @property
    def split(self) -> str:
        return split_name(self.task.entry.split, len(self.folds), len(self.task.folds))


def tasks(
    clips: pd.DataFrame, profile: str, *, n_groups: int = 0, validation_share: float = 0.2, seed: int = 0
) -> dict[str, Task]:
    """Corpus → its clips and its folds, by the split that its scores are published on.

    Parameters
    ----------
    clips : pd.DataFrame
        Usable clips of all corpora.
    profile : str
    n_groups : int
        Folds of corpora that are split by groups or at random; 0: as many as the corpus states.
    validation_share, seed
        As for :func:`splits.make_folds`.
    """
    found = {}
    for name, rows in clips.groupby("corpus", sort=False):
        entry, rows = corpora.corpus(name, profile), rows.reset_index(drop=True)
        groups = {"n_groups": n_groups or entry.n_groups, "validation_share": validation_share, "seed": seed}
        found[name] = Task(entry, rows, splits.make_folds(rows, entry.split, published=entry.folds, **groups))
    return found


def overview(chosen: Mapping[str, Task]) -> pd.DataFrame:
    """One row per fold: ``corpus, split, fold``, clips and speakers of each part, and who is tested."""
    return pd.DataFrame(
        {"corpus": task.name, "split": task.entry.split, "fold": fold.index + 1}
        | {part: _sizes(task.rows, getattr(fold, part)) for part in splits.OFFICIAL}
        | {"test speakers": _who(task.rows, fold.test)}
        for task in chosen.values()
        for fold in task.folds
    )


def _speakers(rows: pd.DataFrame, ids: Iterable[str]) -> list[str]:
    return sorted(set(rows.set_index("clip_id").loc[ids, "speaker"]) - {""})


def _sizes(rows: pd.DataFrame, ids: Sequence[str]) -> str:
    return f"{len(ids)}\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}{len(_speakers(rows, ids)) or '?'}"


def _who(rows: pd.DataFrame, ids: Sequence[str]) -> str:
    """The first ten by name."""
    names = _speakers(rows, ids) or ["unknown"]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def words(spec: FrameSpec) -> str:
    """What the column ``features`` says.

    Examples
    --------
    >>> words(FrameSpec(kind="log_mel+f0", clip_mean="level")), words(FrameSpec(kind="mfcc"))
    ('log_mel+f0+cmn+level', 'mfcc')
    """
    return spec.kind + {"keep": "", "remove": "+cmn", "level": "+cmn+level"}[spec.clip_mean]


def split_name(split: str, n_folds: int, of: int) -> str:
    """Name of a split of which `n_folds` folds were run, the first ones.

    Examples
    --------
    >>> [split_name("loso", n, 10) for n in (1, 2, 10)]
    ['loso_fold_1', 'loso_folds_1_to_2', 'loso']
    """
    if n_folds == of:
        return split
    return f"{split}_fold_1" if n_folds == 1 else f"{split}_folds_1_to_{n_folds}"


def frames(task: Task, spec: FrameSpec, profile: str) -> Frames:
    """Features of the clips of a task, from the cache when they are there."""
    root, cache = corpora.audio_root(task.name, profile), study.paths(profile).derived / "features"
    return features.extract(task.rows, root, spec, cache=cache)


def copies(variant: Variant, rows: pd.DataFrame, profile: str) -> Copies | None:
    """Augmented copies of clips of one corpus or several, as a variant trains on them; None where it does not."""
    if not variant.chains:
        return None
    cache, tables, made = study.paths(profile).derived / "features", [], []
    for name, part in rows.groupby("corpus", sort=False):
        tables.append(augment.copies(part.reset_index(drop=True), variant.chains, n=variant.n_copies, seed=0))
        made.append(augment.augmented_frames(tables[-1], corpora.audio_root(name, profile), variant.spec, cache=cache))
    return Copies(pd.concat(tables, ignore_index=True), joined(made), share=variant.share)


def joined(parts: Sequence[Frames]) -> Frames:
    """Features of different clips, one after the other."""
    if len(parts) == 1:
        return parts[0]  # as it is: mapped from the disk
    return Frames(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "n_frames", "clip_ids")))


def experiment(variant: Variant, task: Task, profile: str, **changes: Any) -> Experiment:
    """A variant on a corpus as training takes it; `changes` replace or add fields."""
    known = {
        "name": task.name,
        "manifest": task.rows,
        "labels": task.entry.emotions,
        "model": variant.model,
        "model_arguments": variant.arguments,
        "recipe": variant.recipe,
        "n_folds": len(task.folds),
        "allow_leaks": task.entry.leaks,
        "refit": variant.refit,
    }
    known |= changes
    if "frames" not in known:
        known["frames"] = frames(task, variant.spec, profile)
    if "copies" not in known:
        known["copies"] = copies(variant, known["manifest"], profile)
    return Experiment(**known)
