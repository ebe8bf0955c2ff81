"""What is tried: a task per corpus, a variant per net, and the trial that comes of both."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ser_utils import corpora, features, splits, study
from ser_utils.corpora.base import Corpus
from ser_utils.features import Frames, FrameSpec
from ser_utils.splits import Fold
from ser_utils.training import Experiment, FoldResult, Recipe

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
    regime : str
        What the column ``train_regime`` says; ``pretrained`` where there is a pretraining and nothing else is said.
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
    regime: str = ""

    def __post_init__(self) -> None:
        study.check_range(self, "1 or more", lambda value: value >= 1, "n_seeds")
        study.check_range(self, "0 or more", lambda value: value >= 0, "max_folds")
        object.__setattr__(self, "regime", self.regime or ("pretrained" if self.first else "clean"))


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
    }
    known |= changes
    return Experiment(**({"frames": frames(task, variant.spec, profile)} if "frames" not in known else {}), **known)
