"""The gate for generated data: nothing that makes or judges it may know the people who are tested, and no judge may be
the net that told the generator what to do.

A generator learns from many clips, and what it makes may hold any of them. A generated clip therefore has more parents
than the one that it was made from: all clips that its makers have heard. The gate asks for all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.splits import Fold, LeakError

LEAKS = ("judge",)


@dataclass(frozen=True)
class Origin:
    """Where a net comes from.

    Attributes
    ----------
    role : str
        ``conditioner``, ``evaluator``, or the name of a generator.
    architecture : str
        Name of its builder.
    order : str
        What draws the order of its training data, such as ``seed 3``.
    weights : str
        Hash of its weights, see :func:`weights_hash`.
    heard : tuple of str
        Ids of all clips that it, or a net or a normaliser inside it, was fitted to or chosen by.
    """

    role: str
    architecture: str
    order: str
    weights: str
    heard: tuple[str, ...] = field(repr=False)


def weights_hash(weights: Iterable[np.ndarray]) -> str:
    """SHA-256 over all weights, in their order.

    Examples
    --------
    >>> weights_hash([np.zeros(2)]) == weights_hash([np.zeros(3)])
    False
    """
    data = hashlib.sha256()
    for value in weights:
        data.update(np.ascontiguousarray(value).tobytes())
    return data.hexdigest()


def check_makers(fold: Fold, manifest: pd.DataFrame, makers: Sequence[Origin]) -> None:
    """Raise when a net that makes data for a fold has heard a person, or a recording, that the fold tests.

    Parameters
    ----------
    fold : Fold
    manifest : pd.DataFrame
        ``clip_id, speaker, sha256`` of all clips.
    makers : sequence of Origin
        Every net that has a hand in the data.

    Raises
    ------
    LeakError
    study.UserError
        When a maker has heard a clip that the manifest does not list: nobody could tell who speaks in it.
    """
    known = manifest.set_index("clip_id")
    for maker in makers:
        _check_ids(fold, known, maker.heard, f"{maker.role} has heard")


def check_generated(fold: Fold, manifest: pd.DataFrame, table: pd.DataFrame, makers: Sequence[Origin]) -> None:
    """Raise when generated data for training come from a person whom the fold tests.

    Parameters
    ----------
    fold : Fold
    manifest : pd.DataFrame
        ``clip_id, speaker, sha256`` of the real clips.
    table : pd.DataFrame
        The generated clips: ``clip_id, parent``, the real clip that each was made from, and ``speaker``.
    makers : sequence of Origin
        Every net that has a hand in them; at least one.

    Raises
    ------
    LeakError
    study.UserError
        Without a maker, or for a parent that the manifest does not list.
    """
    if not makers:
        raise study.UserError(f"fold {fold.index}: generated clips name no net that made them; give their origins")
    check_makers(fold, manifest, makers)
    known = manifest.set_index("clip_id")
    _check_ids(fold, known, table["parent"], "generated clips have the parent")
    tested = set(known.loc[fold.test, "speaker"]) & set(table["speaker"])
    if tested:
        raise LeakError(f"fold {fold.index}, leak 'speaker': generated clips speak as the test speaker {min(tested)}")


def _check_ids(fold: Fold, known: pd.DataFrame, ids: Iterable[str], what: str) -> None:
    ids = pd.Index(list(dict.fromkeys(ids)))
    missing = ids.difference(known.index)
    if len(missing):
        raise study.UserError(
            f"fold {fold.index}: {what} {missing[0]}, which the manifest does not list; name real clips"
        )
    tested = known.loc[fold.test]
    for kind, column in {"parent": None, "speaker": "speaker", "content": "sha256"}.items():
        mine = set(ids) if column is None else set(known.loc[ids, column])
        shared = mine & (set(tested.index) if column is None else set(tested[column]))
        if shared:
            raise LeakError(
                f"fold {fold.index}, leak '{kind}': {what} {min(shared)}, which is tested, {len(shared)} of them"
            )


def check_judge(judge: Origin, makers: Sequence[Origin], *, allow: Collection[str] = ()) -> None:
    """Raise when the net that judges generated data had a hand in making it, or is built or trained as one that had.

    Parameters
    ----------
    judge : Origin
    makers : sequence of Origin
    allow : collection of str
        ``judge`` opens the gate: for the circular protocol, and for nothing else.

    Raises
    ------
    LeakError
        When weights, architecture or order of the training data are the same.
    study.UserError
        For an unknown leak in `allow`.

    Examples
    --------
    >>> judge = Origin("evaluator", "small_cnn", "seed 1", "aa", ())
    >>> check_judge(judge, [Origin("conditioner", "crnn", "seed 2", "bb", ())])
    """
    unknown = set(allow) - set(LEAKS)
    if unknown:
        raise study.UserError(f"leak '{min(unknown)}' is unknown; use one of {', '.join(LEAKS)}")
    for maker in makers:
        for what in ("weights", "architecture", "order"):
            if getattr(maker, what) == getattr(judge, what) and "judge" not in allow:
                raise LeakError(
                    f"leak 'judge': {judge.role} and {maker.role} have the same {what} ({getattr(judge, what)}); what "
                    "a generator was told by a net must be judged by another"
                )
