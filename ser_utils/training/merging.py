"""Several corpora as one: folds that unite theirs, and folds that train on one corpus and test on the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ser_utils import splits, study
from ser_utils.corpora.base import EMOTIONS
from ser_utils.corpora.remaps import to_seven
from ser_utils.features import Frames
from ser_utils.splits import Fold


@dataclass(frozen=True)
class Merged:
    """Clips of several corpora under one list of emotions.

    Attributes
    ----------
    manifest : pd.DataFrame
        ``emotion`` is remapped, ``emotion_raw`` is not.
    frames : Frames
    folds : list of Fold
    labels : tuple of str
        Emotions that occur.
    left_out : dict
        Corpus → clips whose emotion the remap leaves out.
    """

    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    folds: list[Fold] = field(repr=False)
    labels: tuple[str, ...]
    left_out: dict[str, int]


def merge(
    parts: Mapping[str, tuple[pd.DataFrame, Frames, Sequence[Fold]]], *, remap: Callable[[str], str] = to_seven
) -> Merged:
    """Several corpora as one.

    Fold *i* unites fold *i* of all corpora. A corpus with fewer folds goes on with its first training clips and is
    tested no more, so that every clip is tested once. Where a corpus has one speaker left beside those it tests, that
    speaker only trains: those of the other corpora validate.

    Parameters
    ----------
    parts : mapping
        Corpus → its manifest, features and folds; without folds for :class:`Pretraining` and
        :func:`cross_corpus_fold`.
    remap : callable
        From an emotion to an emotion of the common list, or to an empty text: a function of
        :mod:`ser_utils.corpora.remaps`.

    Raises
    ------
    study.UserError
        When two corpora share a clip id, or their features differ in shape.
    """
    tables = {name: remapped(manifest, remap) for name, (manifest, _, _) in parts.items()}
    manifest = pd.concat(tables.values(), ignore_index=True)
    twice = manifest.loc[manifest["clip_id"].duplicated(), "clip_id"]
    if len(twice):
        raise study.UserError(
            f"clip '{twice.iloc[0]}' is in two of the corpora {', '.join(parts)}; rename it in one of them"
        )
    folds = [[_only(fold, tables[name]) for fold in part[2]] for name, part in parts.items()]
    return Merged(
        manifest,
        _join({name: (tables[name], part[1]) for name, part in parts.items()}),
        [_unite(i, [corpus for corpus in folds if corpus]) for i in range(max(map(len, folds)))],
        tuple(emotion for emotion in EMOTIONS if (manifest["emotion"] == emotion).any()),
        {name: len(part[0]) - len(tables[name]) for name, part in parts.items()},
    )


def remapped(manifest: pd.DataFrame, remap: Callable[[str], str]) -> pd.DataFrame:
    """The clips that `remap` keeps, with its emotions.

    Examples
    --------
    >>> remapped(pd.DataFrame({"emotion": ["calm", "boredom", "sad"]}), to_seven)["emotion"].tolist()
    ['neutral', 'sad']
    """
    table = manifest.assign(emotion=manifest["emotion"].map(remap))
    return table[table["emotion"] != ""].reset_index(drop=True)


def _only(fold: Fold, manifest: pd.DataFrame) -> Fold:
    """The clips of a fold that are in `manifest`."""
    speaker = manifest.set_index("clip_id")["speaker"]
    train, validation, test = (
        np.array([clip for clip in getattr(fold, part) if clip in speaker.index], dtype=str) for part in splits.OFFICIAL
    )
    if set(speaker[train]) & set(speaker[validation]):  # one speaker was left; in a merged fold others validate
        train, validation = np.concatenate([train, validation]), validation[:0]
    return Fold(fold.index, train, validation, test)


def _unite(index: int, folds: Sequence[Sequence[Fold]]) -> Fold:
    chosen = [corpus[index % len(corpus)] for corpus in folds]
    tested = [corpus[index].test for corpus in folds if index < len(corpus)]
    train, validation = (np.concatenate([getattr(fold, part) for fold in chosen]) for part in ("train", "validation"))
    return Fold(index, train, validation, np.concatenate(tested))


def _join(parts: Mapping[str, tuple[pd.DataFrame, Frames]]) -> Frames:
    shapes = {name: frames.x.shape[1:] for name, (_, frames) in parts.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape[0]} × {shape[1]}" for name, shape in shapes.items())
        raise study.UserError(f"features differ in frames × columns ({told}); compute all with the same FrameSpec")
    ids = {name: table["clip_id"].to_numpy(dtype=str) for name, (table, _) in parts.items()}
    rows = {name: frames.rows(ids[name]) for name, (_, frames) in parts.items()}
    return Frames(
        np.concatenate([frames.x[rows[name]] for name, (_, frames) in parts.items()]),
        np.concatenate([frames.n_frames[rows[name]] for name, (_, frames) in parts.items()]),
        np.concatenate(list(ids.values())),
    )


def cross_corpus_fold(
    manifest: pd.DataFrame, trained: str, *, index: int = 0, validation_share: float = 0.2, seed: int = 0
) -> Fold:
    """Train on one corpus, test on all clips of all others: one row of the cross-corpus matrix.

    Parameters
    ----------
    manifest : pd.DataFrame
        Of :func:`merge`.
    trained : str
        Corpus whose speakers train and validate.
    index : int
        Of the fold, e.g. the number of the row.
    validation_share : float
        Share of its speakers that validate, in (0, 1).
    seed : int

    Raises
    ------
    study.UserError
        When the manifest has no such corpus, or no other.
    """
    known = sorted(manifest["corpus"].unique())
    if trained not in known or len(known) < 2:
        raise study.UserError(
            f"cross-corpus training on '{trained}' needs it and another corpus; these clips are of {', '.join(known)}"
        )
    own = manifest["corpus"] == trained
    parts = splits.hold_out(manifest[own], validation_share=validation_share, seed=seed)
    return Fold(index, *parts, manifest.loc[~own, "clip_id"].to_numpy(dtype=str))


def by_corpus(table: pd.DataFrame, manifest: pd.DataFrame, *, split: str | Mapping[str, str]) -> pd.DataFrame:
    """Predictions with the columns ``corpus, corpus_version`` of the clips that were tested, and their ``split``.

    Parameters
    ----------
    table : pd.DataFrame
        Of :func:`predictions_table`, for :attr:`Merged.folds` or :func:`cross_corpus_fold`.
    manifest : pd.DataFrame
        Of :func:`merge`.
    split : str or mapping
        One for all, such as ``cross_corpus``, or one for each corpus: remapped emotions need a name of their own, such
        as ``published_7``.

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": ["a"], "corpus": ["emodb"], "corpus_version": ["1.3"]})
    >>> by_corpus(clips[["clip_id"]], clips, split={"emodb": "loso_7"}).iloc[0].tolist()
    ['a', 'emodb', '1.3', 'loso_7']
    """
    known = manifest.set_index("clip_id").loc[table["clip_id"]]
    corpus = known["corpus"].to_numpy()
    names = [split if isinstance(split, str) else split[name] for name in corpus]
    return table.assign(corpus=corpus, corpus_version=known["corpus_version"].to_numpy(), split=names)
