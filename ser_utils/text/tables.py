"""Texts of clips: which a corpus has, what was said before, and where every emotion says the same words."""

from __future__ import annotations

import hashlib
import re

import pandas as pd

from ser_utils import study
from ser_utils.corpora.base import MISSING

OF_THE_SOUND = (  # beginnings of reasons that leave a clip's sound out, and say nothing against its text
    MISSING,
    "its time code",
    "same time code",
    "the official film",
    "the official archive",
)
_TWIN = re.compile(r"same time code as (\w+)")


def transcripts(manifest: pd.DataFrame) -> pd.DataFrame:
    """Clips of one corpus whose text can be used, whether or not their sound is there.

    A reason against the sound does not count against the text. Where a corpus has official parts, all of its test clips
    with a text stay, so that scores compare, and clips that train or validate leave where their words are known in a
    test clip's dialogue: the same moment under two ids, or a whole dialogue that stands in two parts.

    Parameters
    ----------
    manifest : pd.DataFrame
        ``clip_id, text, dialogue, split, exclude_reason``; clips of a dialogue in the order in which they were said.

    Returns
    -------
    pd.DataFrame
        Rows of `manifest`; ``sha256`` is that of the text and its place in the dialogue, or of the text and the clip's
        id outside dialogues: people say "Yeah." more than once, so equal short texts are no copies.

    Raises
    ------
    study.UserError
        When no clip has a text.
    """
    reason = manifest["exclude_reason"]
    usable = (reason == "") | reason.str.startswith(OF_THE_SOUND)
    table = manifest[usable & (manifest["text"] != "")].copy()
    if table.empty:
        raise study.UserError("no clip has a text; text needs a corpus with transcripts in column text")
    table["sha256"] = _content(table)
    return table[~_known_in_test(table)].reset_index(drop=True)


def _content(table: pd.DataFrame) -> pd.Series:
    """Hash of what was said where: the words of the whole dialogue and the place in it."""
    in_dialogue = table["dialogue"] != ""
    scene = table["dialogue"].where(in_dialogue, "\0" + table["clip_id"])
    words = table.groupby(scene)["text"].agg("\n".join)
    where = scene.map(words) + "\0" + table.groupby(scene).cumcount().astype(str)
    own = where.where(in_dialogue, table["clip_id"] + "\0" + table["text"])
    return own.map(lambda text: hashlib.sha256(text.encode()).hexdigest())


def _known_in_test(table: pd.DataFrame) -> pd.Series:
    """Rows that train or validate, and whose words are a test clip's; of training, also a validation clip's."""
    twin = table["exclude_reason"].str.extract(_TWIN, expand=False)
    part = table.set_index("clip_id")["split"]
    rank = {"train": 0, "validation": 1, "test": 2}
    own = table["split"].map(rank)
    highest = table.assign(own=own).groupby("sha256")["own"].transform("max")
    return (own < highest) | (own < twin.map(part).map(rank))


def with_context(table: pd.DataFrame, n_previous: int) -> pd.DataFrame:
    """Add column ``context``: what was said before in the same dialogue, by whomever, the last first.

    Parameters
    ----------
    table : pd.DataFrame
        ``text, dialogue``, in the order in which the clips of a dialogue were said.
    n_previous : int
        Utterances, 1 or more.

    Returns
    -------
    pd.DataFrame
        ``context`` is a tuple of `n_previous` texts, empty ones before the beginning and outside dialogues.

    Examples
    --------
    >>> rows = pd.DataFrame({"text": ["Hi.", "What?", "No."], "dialogue": ["a", "a", ""]})
    >>> with_context(rows, 1)["context"].tolist()
    [('',), ('Hi.',), ('',)]
    """
    if n_previous < 1:
        raise study.UserError(f"n_previous {n_previous} must be 1 or more")
    known = table["text"].where(table["dialogue"] != "", "")
    groups = known.groupby(table["dialogue"])
    before = [groups.shift(k).fillna("").where(table["dialogue"] != "", "") for k in range(1, n_previous + 1)]
    return table.assign(context=list(zip(*before, strict=True)))


def same_words(manifest: pd.DataFrame) -> pd.DataFrame:
    """Clips of which text can say nothing about emotion: of each speaker one take of each sentence that this speaker
    says in every emotion of the corpus.

    Whatever a text alone predicts for these clips, it answers each sentence alike in all emotions, so that the recalls
    of the emotions sum to 1 for every speaker: the UAR is exactly 1 / number of emotions.

    Parameters
    ----------
    manifest : pd.DataFrame
        ``speaker, emotion, text``.

    Returns
    -------
    pd.DataFrame
        Rows of `manifest`, in its order; none where no speaker says a sentence in every emotion.
    """
    once = manifest[manifest["text"] != ""].drop_duplicates(["speaker", "text", "emotion"])
    said = once.groupby(["speaker", "text"])["emotion"].transform("nunique")
    return once[said == manifest["emotion"].nunique()].reset_index(drop=True)
