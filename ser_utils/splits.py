"""Who is trained on and who is tested on, and the gate that keeps the two apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_utils import study

SPLITS = ("published", "loso", "speaker_groups", "random")
OFFICIAL = ("train", "validation", "test")  # parts in the manifest's column `split`
_SHARED = {  # kind of leak → column of the manifest whose values must not be shared
    "clip": "clip_id",
    "speaker": "speaker",
    "content": "sha256",
    "parent": "parent",  # an augmented copy names the clip that it was made from; an original itself, or nothing
    "noise": "noise_id",  # noise clip that was mixed in; empty where none was
}
_COPY = re.compile(r"~(?!\d+$)[^~]+\d$")  # end of the id of a copy: its augmentation and number, as in a~noise0
LEAKS = (*_SHARED, "fitted")


class LeakError(AssertionError):
    """Something of a test fold is known in training."""


@dataclass(frozen=True)
class Fold:
    """One fold as clip ids; validation clips come from the training side and are trained on by nobody.

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
    group: str = "",
    validation_share: float = 0.2,
    seed: int = 0,
) -> list[Fold]:
    """Folds of one corpus; speaker-disjoint, but for ``random``.

    Parameters
    ----------
    manifest : pd.DataFrame
        Usable clips of one corpus: ``clip_id, speaker, gender``; ``emotion`` and `group` for ``random``, ``split`` for
        official parts.
    split : str
        ``published`` (test speakers from `published`; without any, the official parts of column ``split``), ``loso``
        (leave one speaker out), ``speaker_groups`` (`n_groups` groups of speakers, balanced by gender, seeded), or
        ``random`` (`n_groups` parts, each with its share of every emotion, seeded): what a corpus without speakers is
        left with, and a rung of the leakage ladder.
    published : collection of collections of str
        Test speakers of each fold. Speakers that the manifest lacks are skipped, and so are folds that lose all.
    n_groups : int
        Folds of ``speaker_groups`` and ``random``.
    group : str
        Column whose values ``random`` keeps together, such as ``sentence``; there may be fewer folds then.
    validation_share : float
        Share of the training speakers that validate, at least one, balanced by gender; in (0, 1). Where one speaker
        trains, and for ``random``, the share of the clips.
    seed : int
        Draws groups and validation speakers.

    Raises
    ------
    study.UserError
        When the split is unknown, or the corpus has too few speakers, clips or official parts for it.

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": list("abcd"), "speaker": list("1234"), "gender": ["female", "male"] * 2})
    >>> [fold.test.tolist() for fold in make_folds(clips, "loso")]
    [['a'], ['b'], ['c'], ['d']]
    """
    if split not in SPLITS:
        raise study.UserError(f"split '{split}' is unknown; use one of {', '.join(SPLITS)}")
    if not 0 < validation_share < 1 or n_groups < 2:
        raise study.UserError(
            f"validation_share {validation_share} must lie between 0 and 1, n_groups {n_groups} must be 2 or more"
        )
    if split == "random":
        return _random_folds(manifest, n_groups, group, validation_share, seed)
    if split == "published" and not published:
        return [_official_fold(manifest, validation_share, seed)]
    speakers = manifest.groupby("speaker")["gender"].first()
    if len(speakers) < 2:
        raise study.UserError(
            f"split '{split}' needs 2 speakers or more, this corpus has {len(speakers)}: one to test on, one to train "
            "on; use split random, whose scores are those of known speakers"
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
    who = manifest["speaker"]
    tested = manifest.loc[who.isin(test), "clip_id"].to_numpy(dtype=str)
    if not len(rest):
        raise study.UserError(
            f"fold {index + 1} tests on every speaker and leaves none to train on; use more groups or another split"
        )
    if len(rest) == 1:
        alone = manifest[who.isin(rest.index)]
        has_sentences = "sentence" in alone and alone["sentence"].nunique() >= 2
        return Fold(index, *_divide(alone, share, "sentence" if has_sentences else "", rng), tested)
    order = [rng.permutation(members.index.to_numpy(dtype=str)) for _, members in rest.groupby(rest)]
    dealt = [speaker for turn in range(len(rest)) for group in order for speaker in group[turn : turn + 1]]
    validation = dealt[: min(max(1, round(share * len(rest))), len(rest) - 1)]
    train = manifest.loc[~who.isin([*validation, *test]), "clip_id"].to_numpy(dtype=str)
    return Fold(index, train, manifest.loc[who.isin(validation), "clip_id"].to_numpy(dtype=str), tested)


def _divide(rows: pd.DataFrame, share: float, group: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Clips to train and to validate on where speakers cannot be kept apart; groups are, where one is named."""
    parts = _deal(rows, max(2, round(1 / share)), group, rng)
    ids = rows["clip_id"].to_numpy(dtype=str)
    return [ids[parts != 0], ids[parts == 0]]


def _deal(rows: pd.DataFrame, n_parts: int, group: str, rng: np.random.Generator) -> np.ndarray:
    """Part of each row, 0 … at most `n_parts` - 1: groups as a whole, or the clips of each emotion in turn."""
    if group:
        names = rng.permutation(rows[group].unique().astype(str))
        return rows[group].map({name: i % n_parts for i, name in enumerate(names)}).to_numpy()
    shuffled = rows["emotion"].iloc[rng.permutation(len(rows))].sort_values(kind="stable")
    part = pd.Series(np.arange(len(rows)) % n_parts, index=shuffled.index)
    return part.loc[rows.index].to_numpy()


def _random_folds(manifest: pd.DataFrame, n_groups: int, group: str, share: float, seed: int) -> list[Fold]:
    if group and manifest[group].nunique() < 2:
        raise study.UserError(f"split 'random' by {group} needs 2 of them or more, this corpus has one")
    part = _deal(manifest, n_groups, group, np.random.default_rng(seed))
    ids = manifest["clip_id"].to_numpy(dtype=str)
    n_folds = len(np.unique(part))
    if n_folds < 2 or len(ids) < 2 * n_folds:
        raise study.UserError(f"split 'random' cannot make {n_groups} folds of {len(ids)} clips; lower n_groups")
    return [
        Fold(i, *_divide(manifest[part != i], share, group, np.random.default_rng([seed, i])), ids[part == i])
        for i in range(n_folds)
    ]


def hold_out(manifest: pd.DataFrame, *, validation_share: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips to train and to validate on, of speakers that nobody tests; see :func:`make_folds` for the rules.

    Returns
    -------
    train, validation : np.ndarray [shape=(n,), dtype=str]
        Clip ids.

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": list("abc"), "speaker": list("112"), "gender": "female"})
    >>> [len(part) for part in hold_out(clips)]
    [1, 2]
    """
    speakers = manifest.groupby("speaker")["gender"].first()
    held = _fold(0, manifest, speakers, (), validation_share, seed)
    return held.train, held.validation


def _official_fold(manifest: pd.DataFrame, share: float, seed: int) -> Fold:
    """The official parts; where none validates, a share of the training speakers (or clips) does."""
    part = manifest["split"] if "split" in manifest else pd.Series("", index=manifest.index)
    ids = {name: manifest.loc[part == name, "clip_id"].to_numpy(dtype=str) for name in OFFICIAL}
    if not len(ids["train"]) or not len(ids["test"]):
        raise study.UserError(
            "split 'published' needs test speakers from the corpus, or the parts train and test in column split; this "
            "corpus has neither; use loso, speaker_groups or random"
        )
    if not len(ids["validation"]):
        ids |= dict(zip(OFFICIAL, hold_out(manifest[part == "train"], validation_share=share, seed=seed), strict=False))
    return Fold(0, *(ids[name] for name in OFFICIAL))


def check_leaks(
    fold: Fold, manifest: pd.DataFrame, *, fitted: Mapping[str, Collection[str]], allow: Collection[str] = ()
) -> None:
    """Raise when anything of the test clips is known in training or validation, or of validation in training.

    Where one speaker is left beside the test speakers, the same person validates: with other clips. A fold may have no
    validation clips, as classic models train on them.

    Training calls this itself, before it looks for a finished fold; only the leakage ladder switches parts of it off,
    by name.

    Parameters
    ----------
    fold : Fold
    manifest : pd.DataFrame
        ``clip_id, speaker, sha256`` of all clips of the fold; ``parent`` and ``noise_id`` where some are augmented. A
        clip without a parent is its own, unless its id is that of a copy (``a~noise0``): then the part before is.
    fitted : mapping
        Name of a scaler, vocabulary, normaliser or threshold → clip ids that it was fitted on.
    allow : collection of str
        Kinds of leak that are wanted: ``clip, speaker, content, parent, noise, fitted``. Speakers that nobody knows
        (empty) count as shared.

    Raises
    ------
    LeakError
        Naming the kind of leak and an example.
    study.UserError
        When `allow` holds an unknown kind, no clip trains or is tested, a clip stands twice in the manifest, or its
        speaker or hash is missing (NaN).
    """
    unknown = set(allow) - set(LEAKS)
    if unknown:
        raise study.UserError(f"leak '{min(unknown)}' is unknown; use one of {', '.join(LEAKS)}")
    check_filled(fold, "train", "test")
    rows = _of_parts(fold, manifest)
    values = {part: _values(rows.loc[getattr(fold, part)]) for part in OFFICIAL}
    only_one = len(values["train"]["speaker"] | values["validation"]["speaker"]) == 1
    for hidden, known in (("test", "train"), ("test", "validation"), ("validation", "train")):
        for kind in _SHARED:
            same_person = kind == "speaker" and hidden == "validation" and only_one  # who else could validate?
            if kind not in allow and not same_person:
                where = f"{hidden} clips are known in {known}"
                _raise_if_shared(fold, kind, values[hidden][kind], values[known][kind], where=where)
    if "fitted" not in allow:
        held_out = set(fold.test) | set(fold.validation)
        for name, ids in fitted.items():
            _raise_if_shared(fold, "fitted", held_out, set(ids), where=f"{name} was fitted on held-out clips")


def check_filled(fold: Fold, *parts: str) -> None:
    """Raise a :class:`study.UserError` when one of `parts` (``train, validation, test``) has no clip."""
    for part in parts:
        if not len(getattr(fold, part)):
            raise study.UserError(f"fold {fold.index}: its part '{part}' has no clip; use fewer folds or another split")


def _of_parts(fold: Fold, manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows by clip id, each once, with a speaker and a hash."""
    rows = manifest.set_index("clip_id", drop=False)
    if not rows.index.is_unique:
        again = rows.index[rows.index.duplicated()][0]
        raise study.UserError(f"fold {fold.index}: clip '{again}' stands twice in the manifest; keep one of its rows")
    for column in ("speaker", "sha256"):
        missing = rows.index[rows[column].isna()]
        if len(missing):
            raise study.UserError(
                f"fold {fold.index}: clip '{missing[0]}' has no {column} (NaN) in the manifest; fill it in, or write "
                "an empty text where nobody knows the speaker"
            )
    return rows


def _values(rows: pd.DataFrame) -> dict[str, set[str]]:
    """What the clips of one part must share with no other part, by kind of leak."""
    found = {kind: set(rows[column].dropna()) for kind, column in _SHARED.items() if column in rows}
    parents = rows["parent"].astype(object).fillna("") if "parent" in rows else [""] * len(rows)
    found["parent"] = {given or _COPY.sub("", clip) for given, clip in zip(parents, rows["clip_id"], strict=True)}
    return found | {"noise": found.get("noise", set()) - {""}}


def _raise_if_shared(fold: Fold, kind: str, hidden: set[str], known: set[str], *, where: str) -> None:
    shared = hidden & known
    if shared:
        raise LeakError(f"fold {fold.index}, leak '{kind}': {where}, {len(shared)} times, for example {min(shared)}")
