"""The gate: test speakers have no hand in generated data, and no net judges what it helped to make."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ser_utils import study
from ser_utils.generative.gate import Origin, check_generated, check_judge, check_makers, weights_hash
from ser_utils.splits import Fold, LeakError

CLIPS = pd.DataFrame(
    {
        "clip_id": ["a1", "a2", "b1", "b2", "c1", "d1"],
        "speaker": ["a", "a", "b", "b", "c", "d"],
        "sha256": ["1", "2", "3", "4", "5", "6"],
    }
)
FOLD = Fold(0, np.array(["a1", "a2"]), np.array(["b1"]), np.array(["c1"]))
MAKER = Origin("diffusion", "unet", "seed 1", "aa", ("a1", "a2", "b1"))
MADE = pd.DataFrame({"clip_id": ["a1~diffusion0"], "parent": ["a1"], "speaker": ["a"]})


def test_what_training_speakers_made_passes():
    check_generated(FOLD, CLIPS, MADE, [MAKER])


def test_a_parent_who_is_tested_is_refused():
    made = MADE.assign(parent="c1")
    with pytest.raises(LeakError, match=r"leak 'parent': generated clips have the parent c1, which is tested"):
        check_generated(FOLD, CLIPS, made, [MAKER])


def test_another_clip_of_a_test_speaker_is_refused_as_parent():
    clips = CLIPS.assign(speaker=["a", "a", "b", "b", "c", "c"])
    with pytest.raises(LeakError, match=r"leak 'speaker': generated clips have the parent c"):
        check_generated(FOLD, clips, MADE.assign(parent="d1"), [MAKER])


def test_a_maker_that_heard_a_test_clip_is_refused_even_if_the_parent_did_not():
    heard = dataclasses.replace(MAKER, role="conditioner", heard=("a1", "c1"))
    with pytest.raises(LeakError, match="leak 'parent': conditioner has heard c1"):
        check_generated(FOLD, CLIPS, MADE, [MAKER, heard])


def test_a_maker_that_heard_a_copy_of_a_test_recording_is_refused():
    clips = CLIPS.assign(sha256=["1", "2", "3", "4", "5", "5"])
    with pytest.raises(LeakError, match="leak 'content'"):
        check_makers(FOLD, clips, [dataclasses.replace(MAKER, heard=("d1",))])


def test_generated_clips_may_not_speak_as_a_test_speaker():
    with pytest.raises(LeakError, match="speak as the test speaker c"):
        check_generated(FOLD, CLIPS, MADE.assign(speaker="c"), [MAKER])


@pytest.mark.parametrize(
    ("made", "makers", "words"),
    [(MADE, [], "name no net"), (MADE.assign(parent="zz"), [MAKER], "parent zz, which the manifest does not list")],
)
def test_unknown_origins_are_named(made, makers, words):
    with pytest.raises(study.UserError, match=words):
        check_generated(FOLD, CLIPS, made, makers)


JUDGE = Origin("evaluator", "cnn_1d", "seed 101", "bb", ("a1",))


def test_an_independent_judge_passes():
    check_judge(JUDGE, [MAKER, Origin("conditioner", "crnn", "seed 1", "cc", ("a1",))])


@pytest.mark.parametrize("same", ["weights", "architecture", "order"])
def test_a_judge_that_shares_anything_with_a_maker_is_refused(same):
    judge = dataclasses.replace(JUDGE, **{same: getattr(MAKER, same)})
    with pytest.raises(LeakError, match=f"evaluator and diffusion have the same {same}"):
        check_judge(judge, [MAKER])
    check_judge(judge, [MAKER], allow=("judge",))


def test_unknown_leaks_are_named():
    with pytest.raises(study.UserError, match="leak 'speaker' is unknown"):
        check_judge(JUDGE, [MAKER], allow=("speaker",))


def test_hashes_tell_weights_apart_by_value_and_order():
    a, b = np.zeros(2, np.float32), np.ones(2, np.float32)
    assert len({weights_hash(w) for w in ([a, b], [b, a], [a, a])}) == 3
    assert weights_hash([a.copy(), b.copy()]) == weights_hash([a, b])
