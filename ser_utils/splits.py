"""Who is trained on and who is tested on, and the gate that keeps the two apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_utils import study

SPLITS = ("published", "loso", "speaker_groups")
LEAKS = ("clip", "speaker", "content", "fitted")


class LeakError(AssertionError):
    """Something of a test fold is known in training."""


@dataclass(frozen=True)
class Fold:
    """One fold as clip ids; validation clips come from training speakers and are trained on by nobody.

    Attributes
    ----------
    index : int
        0 … number of folds - 1.
    train, validation, test : np.ndarray [shape=(n,), dtype=str]
        Clip ids.
    """

    index: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_folds(
    manifest: pd.DataFrame,
    split: str,
    *,
    published: Collection[Collection[str]] = (),
    n_groups: int = 5,
    validation_share: float = 0.2,
    seed: int = 0,
) -> list[Fold]:
    """Speaker-disjoint folds of one corpus.

    Parameters
    ----------
    manifest : pd.DataFrame
        Usable clips of one corpus: ``clip_id, speaker, gender``.
    split : str
        ``published`` (test speakers from `published`), ``loso`` (leave one speaker out), or ``speaker_groups``
        (`n_groups` groups of speakers, balanced by gender, seeded).
    published : collection of collections of str
        Test speakers of each fold. Speakers that the manifest lacks are skipped, and so are folds that lose all.
    n_groups : int
        Folds of ``speaker_groups``.
    validation_share : float
        Share of the training speakers that validate, at least one, balanced by gender; in (0, 1).
    seed : int
        Draws groups and validation speakers.

    Raises
    ------
    study.UserError
        When the split is unknown, the corpus has no speakers, or too few for the split.

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": list("abcd"), "speaker": list("1234"), "gender": ["female", "male"] * 2})
    >>> [fold.test.tolist() for fold in make_folds(clips, "loso")]
    [['a'], ['b'], ['c'], ['d']]
    """
    speakers = manifest.groupby("speaker")["gender"].first()
    if split not in SPLITS:
        raise study.UserError(f"split '{split}' is unknown; use one of {', '.join(SPLITS)}")
    if not 0 < validation_share < 1 or n_groups < 2:
        raise study.UserError(
            f"validation_share {validation_share} must lie between 0 and 1, n_groups {n_groups} must be 2 or more"
        )
    if len(speakers) < 3:
        raise study.UserError(
            f"split '{split}' needs 3 speakers or more, this corpus has {len(speakers)}: "
            "one to test on, one to validate on, one to train on"
        )
    groups = {
        "published": lambda: [sorted(set(group) & set(speakers.index)) for group in published],
        "loso": lambda: [[speaker] for speaker in speakers.index],
        "speaker_groups": lambda: _groups(speakers, n_groups, np.random.default_rng(seed)),
    }[split]()
    return [_fold(i, manifest, speakers, test, validation_share, seed) for i, test in enumerate(groups) if test]


def _groups(speakers: pd.Series, n_groups: int, rng: np.random.Generator) -> list[list[str]]:
    groups: list[list[str]] = [[] for _ in range(min(n_groups, len(speakers)))]
    dealt = 0
    for _, members in speakers.groupby(speakers):
        for speaker in rng.permutation(members.index.to_numpy(dtype=str)):
            groups[dealt % len(groups)].append(str(speaker))
            dealt += 1
    return groups


def _fold(
    index: int, manifest: pd.DataFrame, speakers: pd.Series, test: Collection[str], share: float, seed: int
) -> Fold:
    rest = speakers.drop(list(test))
    rng = np.random.default_rng([seed, index])
    order = [rng.permutation(members.index.to_numpy(dtype=str)) for _, members in rest.groupby(rest)]
    dealt = [speaker for turn in range(len(rest)) for group in order for speaker in group[turn : turn + 1]]
    validation = dealt[: min(max(1, round(share * len(rest))), len(rest) - 1)]
    if not validation:
        raise study.UserError(
            f"fold {index + 1} leaves {len(rest)} speakers beside the test speakers, but it takes 2: "
            "one to validate on, one to train on; use more groups or another split"
        )
    who = manifest["speaker"]
    pick = [manifest.loc[who.isin(names), "clip_id"].to_numpy(dtype=str) for names in (validation, list(test))]
    train = manifest.loc[~who.isin([*validation, *test]), "clip_id"].to_numpy(dtype=str)
    return Fold(index, train, *pick)


def check_leaks(
    fold: Fold, manifest: pd.DataFrame, *, fitted: Mapping[str, Collection[str]], allow: Collection[str] = ()
) -> None:
    """Raise when anything of the test clips is known in training or validation, or of validation in training.

    Training calls this itself, before it looks for a finished fold; only the leakage ladder switches parts of it off,
    by name.

    Parameters
    ----------
    fold : Fold
    manifest : pd.DataFrame
        ``clip_id, speaker, sha256`` of all clips of the fold.
    fitted : mapping
        Name of a scaler, vocabulary, normaliser or threshold → clip ids that it was fitted on.
    allow : collection of str
        Kinds of leak that are wanted: ``clip, speaker, content, fitted``.

    Raises
    ------
    LeakError
        Naming the kind of leak and an example.
    study.UserError
        When `allow` holds an unknown kind.
    """
    unknown = set(allow) - set(LEAKS)
    if unknown:
        raise study.UserError(f"leak '{min(unknown)}' is unknown; use one of {', '.join(LEAKS)}")
    rows = manifest.set_index("clip_id")
    parts = {name: rows.loc[getattr(fold, name)] for name in ("train", "validation", "test")}
    for hidden, known in (("test", "train"), ("test", "validation"), ("validation", "train")):
        for kind, column in (("clip", None), ("speaker", "speaker"), ("content", "sha256")):
            if kind not in allow:
                values = [set(parts[part][column] if column else parts[part].index) for part in (hidden, known)]
                _raise_if_shared(fold, kind, *values, where=f"{hidden} clips are known in {known}")
    if "fitted" not in allow:
        held_out = set(fold.test) | set(fold.validation)
        for name, ids in fitted.items():
            _raise_if_shared(fold, "fitted", held_out, set(ids), where=f"{name} was fitted on held-out clips")


def _raise_if_shared(fold: Fold, kind: str, hidden: set[str], known: set[str], *, where: str) -> None:
    shared = hidden & known
    if shared:
        raise LeakError(f"fold {fold.index}, leak '{kind}': {where}, {len(shared)} times, for example {min(shared)}")
