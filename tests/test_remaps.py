"""Remaps keep what a smaller set has, fold calm into neutral, and leave the rest out."""

from __future__ import annotations

import pytest

from ser_utils import study
from ser_utils.corpora import cremad, ravdess, tess
from ser_utils.corpora.base import EMOTIONS
from ser_utils.corpora.remaps import REMAPS, to_four, to_seven, to_six


@pytest.mark.parametrize(("remap", "left_out"), [(to_seven, 1), (to_six, 2), (to_four, 4)])
def test_sizes(remap, left_out):
    mapped = {emotion: remap(emotion) for emotion in EMOTIONS}
    assert list(mapped.values()).count("") == left_out
    assert mapped["calm"] == mapped["neutral"] == "neutral"
    moved = {old for old, new in mapped.items() if new not in ("", old)}
    assert moved == {"calm"}


def test_each_set_holds_the_next():
    sets = [{remap(emotion) for emotion in EMOTIONS} - {""} for remap in REMAPS.values()]
    assert [len(names) for names in sets] == [7, 6, 4]
    assert sets[0] > sets[1] > sets[2]


def test_sets_are_those_of_the_corpora():
    assert {to_seven(emotion) for emotion in ravdess.CORPUS.emotions} == set(tess.CORPUS.emotions)
    assert {to_six(emotion) for emotion in EMOTIONS} - {""} == set(cremad.CORPUS.emotions)


@pytest.mark.parametrize("remap", REMAPS.values())
def test_unknown_emotion_is_refused(remap):
    with pytest.raises(study.UserError, match="emotion 'joy' is unknown; use one of angry"):
        remap("joy")
