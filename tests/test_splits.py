"""Folds that share no speaker, and a gate that notices when they do."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from ser_utils import splits, study


def clips(n_speakers=10, per_speaker=4):
    rows = [
        {"clip_id": f"s{s:02d}c{c}", "speaker": f"s{s:02d}", "gender": "female" if s % 2 else "male"}
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    return pd.DataFrame(rows).assign(sha256=lambda t: "hash-" + t["clip_id"])


PUBLISHED = (("s00", "s01"), ("s02", "s03"), ("s04", "s05", "s06", "s07", "s08", "s09"))


@pytest.mark.parametrize(("split", "n_folds"), [("published", 3), ("loso", 10), ("speaker_groups", 5)])
def test_every_clip_is_tested_once_and_no_speaker_is_shared(split, n_folds):
    table = clips()
    folds = splits.make_folds(table, split, published=PUBLISHED)
    assert len(folds) == n_folds
    assert sorted(clip for fold in folds for clip in fold.test) == sorted(table["clip_id"])
    speaker = table.set_index("clip_id")["speaker"]
    for fold in folds:
        parts = [set(speaker[ids]) for ids in (fold.train, fold.validation, fold.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_groups_and_validation_are_balanced_by_gender():
    table = clips(24)
    gender = table.set_index("clip_id")["gender"]
    for fold in splits.make_folds(table, "speaker_groups", n_groups=6):
        for ids in (fold.test, fold.validation):
            assert (gender[ids] == "female").mean() == 0.5


def test_seeds_repeat_and_differ():
    def draw(seed):
        return [fold.validation.tolist() for fold in splits.make_folds(clips(), "loso", seed=seed)]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_published_folds_survive_missing_speakers():
    table = clips().query("speaker not in ('s00', 's01')")
    folds = splits.make_folds(table, "published", published=PUBLISHED)
    assert [sorted(set(c[:3] for c in fold.test))[0] for fold in folds] == ["s02", "s04"]


@pytest.mark.parametrize(
    ("split", "n_speakers", "message"),
    [
        ("by_luck", 10, "split 'by_luck' is unknown"),
        ("loso", 1, "this corpus has 1"),
        ("published", 10, "parts train and test in column split"),
    ],
)
def test_impossible_splits_are_refused(split, n_speakers, message):
    with pytest.raises(study.UserError, match=message):
        splits.make_folds(clips(n_speakers), split)


@pytest.fixture
def fold():
    return splits.make_folds(clips(), "loso")[0]


def test_a_clean_fold_passes(fold):
    splits.check_leaks(fold, clips(), fitted={"normaliser": fold.train})


def leaky(fold, kind):
    """The fold, its table and what was fitted, with one leak of `kind`."""
    table, fitted = clips(), {"normaliser": fold.train}
    if kind == "clip":
        fold = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))
    elif kind == "speaker":
        table.loc[table["clip_id"] == fold.train[0], "speaker"] = "s00"
    elif kind == "content":
        table.loc[table["clip_id"] == fold.validation[0], "sha256"] = f"hash-{fold.test[0]}"
    elif kind == "noise":
        table["noise_id"] = table["clip_id"].map({fold.train[0]: "rain1", fold.test[0]: "rain1"}).fillna("")
    elif kind == "parent":
        table["parent"] = table["clip_id"].mask(table["clip_id"] == fold.train[0], fold.test[0])
    else:
        fitted = {"normaliser": [*fold.train, fold.test[0]]}
    return fold, table, fitted


@pytest.mark.parametrize("kind", splits.LEAKS)
def test_each_leak_is_noticed(fold, kind):
    bad, table, fitted = leaky(fold, kind)
    with pytest.raises(splits.LeakError, match=f"fold 0, leak '{kind}'"):
        splits.check_leaks(bad, table, fitted=fitted)


@pytest.mark.parametrize(("kind", "allow"), [("speaker", ("speaker",)), ("content", ("content",))])
def test_a_leak_can_be_wanted_by_name_only(fold, kind, allow):
    bad, table, fitted = leaky(fold, kind)
    splits.check_leaks(bad, table, fitted=fitted, allow=allow)
    with pytest.raises(splits.LeakError):
        splits.check_leaks(bad, table, fitted=fitted, allow=[k for k in splits.LEAKS if k not in allow])
    with pytest.raises(study.UserError, match="leak 'speakers' is unknown"):
        splits.check_leaks(bad, table, fitted=fitted, allow=["speakers"])


def with_copies(fold, **columns):
    """The fold and its table with a copy of a test clip that trains under another name and with other sound."""
    copy = {"clip_id": f"{fold.test[0]}~noise0", "speaker": "nobody", "sha256": "new"}
    table = pd.concat([clips().assign(**columns), pd.DataFrame([copy | dict.fromkeys(columns, fold.test[0])])])
    return dataclasses.replace(fold, train=np.append(fold.train, copy["clip_id"])), table


@pytest.mark.parametrize("columns", [{}, {"parent": ""}, {"parent": np.nan}], ids=["no column", "empty", "nan"])
def test_a_copy_of_a_test_clip_is_noticed_by_its_id_or_its_parent(fold, columns):
    bad, table = with_copies(fold, **columns)
    with pytest.raises(splits.LeakError, match=f"leak 'parent'.* example {fold.test[0]}$"):
        splits.check_leaks(bad, table, fitted={})


def test_a_person_s_own_files_with_a_tilde_and_a_number_are_no_copies(fold):
    table = clips().assign(clip_id=[f"CLIP~{i}" for i in range(40)])
    (first, *_) = splits.make_folds(table, "loso")
    splits.check_leaks(first, table, fitted={})


@pytest.mark.parametrize("nothing", ["", np.nan, None])
@pytest.mark.parametrize("column", ["parent", "noise_id"])
def test_originals_without_a_parent_or_a_noise_are_no_leak(fold, column, nothing):
    splits.check_leaks(fold, clips().assign(**{column: nothing}), fitted={})


@pytest.mark.parametrize("column", ["speaker", "sha256"])
def test_a_clip_without_a_speaker_or_a_hash_is_refused(fold, column):
    table = clips()
    table.loc[table["clip_id"] == fold.train[0], column] = np.nan
    with pytest.raises(study.UserError, match=f"clip '{fold.train[0]}' has no {column}"):
        splits.check_leaks(fold, table, fitted={})


def test_a_clip_that_stands_twice_in_the_manifest_is_refused(fold):
    again = clips().query("clip_id == @fold.train[0]").assign(speaker="s00")
    with pytest.raises(study.UserError, match=f"clip '{fold.train[0]}' stands twice"):
        splits.check_leaks(fold, pd.concat([clips(), again]), fitted={})


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_fold_that_trains_or_tests_nothing_is_refused(fold, part):
    with pytest.raises(study.UserError, match=f"fold 0: its part '{part}' has no clip"):
        splits.check_leaks(dataclasses.replace(fold, **{part: fold.test[:0]}), clips(), fitted={})


def test_a_clip_that_validates_must_not_train(fold):
    bad = dataclasses.replace(fold, train=np.append(fold.train, fold.validation[0]))
    with pytest.raises(splits.LeakError, match="validation clips are known in train"):
        splits.check_leaks(bad, clips(), fitted={})


def test_validation_speakers_train_nothing(fold):
    with pytest.raises(splits.LeakError, match="normaliser was fitted on held-out clips"):
        splits.check_leaks(fold, clips(), fitted={"normaliser": [*fold.train, fold.validation[0]]})
    table = clips()
    table.loc[table["clip_id"] == fold.train[0], "speaker"] = fold.validation[0][:3]
    with pytest.raises(splits.LeakError, match="leak 'speaker': validation clips are known in train"):
        splits.check_leaks(fold, table, fitted={})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_share": 2.0}, "validation_share 2.0"),
        ({"n_groups": 1}, "n_groups 1"),
        ({"n_groups": 0}, "n_groups 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(study.UserError, match=message):
        splits.make_folds(clips(), "speaker_groups", **options)


def test_a_fold_that_leaves_nobody_to_train_on_is_refused():
    with pytest.raises(study.UserError, match="fold 1 tests on every speaker"):
        splits.make_folds(clips(2), "published", published=[("s00", "s01")])


def spoken(n_speakers, n_sentences=4):
    """Clips of every speaker, emotion and sentence."""
    rows = [
        {"speaker": f"s{s}", "gender": "female", "emotion": emotion, "sentence": f"t{t}"}
        for s in range(n_speakers)
        for emotion in ("angry", "happy", "sad")
        for t in range(n_sentences)
    ]
    table = pd.DataFrame(rows)
    return table.assign(clip_id=[f"c{i}" for i in table.index], sha256=[f"h{i}" for i in table.index])


def test_of_two_speakers_one_trains_and_validates_with_other_sentences():
    table = spoken(2)
    folds = splits.make_folds(table, "loso")
    sentence, speaker = (table.set_index("clip_id")[name] for name in ("sentence", "speaker"))
    assert [set(speaker[fold.test]) for fold in folds] == [{"s0"}, {"s1"}]
    for fold in folds:
        assert len(fold.train)
        assert len(fold.validation)
        assert not set(sentence[fold.train]) & set(sentence[fold.validation])
        splits.check_leaks(fold, table, fitted={"normaliser": fold.train})
        with pytest.raises(splits.LeakError, match="leak 'speaker': test clips"):
            splits.check_leaks(fold, table.assign(speaker="s"), fitted={})


@pytest.mark.parametrize(("group", "n_folds"), [("", 5), ("sentence", 4)])
def test_a_random_split_tests_every_clip_once_and_keeps_groups_together(group, n_folds):
    table = spoken(3)
    folds = splits.make_folds(table, "random", group=group)
    assert len(folds) == n_folds
    assert sorted(clip for fold in folds for clip in fold.test) == sorted(table["clip_id"])
    rows = table.set_index("clip_id")
    for fold in folds:
        assert set(rows.loc[fold.test, "emotion"]) == {"angry", "happy", "sad"}
        ids = [*fold.train, *fold.validation, *fold.test]
        assert len(ids) == len(set(ids)) == len(table)
        if group:
            for one, other in itertools.combinations((fold.train, fold.validation, fold.test), 2):
                assert not set(rows.loc[one, group]) & set(rows.loc[other, group])
        else:  # sentences are no groups then: a corpus of two would lose half of its training to validation
            assert len(fold.validation) == pytest.approx(0.2 * (len(fold.train) + len(fold.validation)), abs=1)
        with pytest.raises(splits.LeakError, match="leak 'speaker'"):
            splits.check_leaks(fold, table, fitted={})
        splits.check_leaks(fold, table, fitted={"normaliser": fold.train}, allow=["speaker"])


def test_a_random_split_of_too_few_clips_is_refused():
    with pytest.raises(study.UserError, match="cannot make 5 folds of 6 clips"):
        splits.make_folds(spoken(1, 2), "random")


@pytest.mark.parametrize("parts", [("train", "validation", "test"), ("train", "train", "test")])
def test_official_parts_are_one_fold(parts):
    table = spoken(3).assign(split=lambda t: t["speaker"].map(dict(zip(("s0", "s1", "s2"), parts, strict=True))))
    (fold,) = splits.make_folds(table, "published")
    speaker = table.set_index("clip_id")["speaker"]
    assert set(speaker[fold.test]) == {"s2"}
    assert set(speaker[[*fold.train, *fold.validation]]) == {"s0", "s1"}
    assert len(fold.train)
    assert len(fold.validation)


def test_clips_without_a_speaker_are_a_leak_unless_wanted():
    table = spoken(1).assign(speaker="")
    (fold, *_) = splits.make_folds(table, "random", n_groups=3)
    with pytest.raises(splits.LeakError, match="leak 'speaker'"):
        splits.check_leaks(fold, table, fitted={})
    splits.check_leaks(fold, table, fitted={}, allow=("speaker",))


def test_official_parts_without_validation_hold_out_training_speakers():
    rows = [(f"{who}{i}", who, "test" if who == "z" else "train") for who in "vwxyz" for i in range(4)]
    clips = pd.DataFrame(rows, columns=["clip_id", "speaker", "split"])
    clips = clips.assign(gender="unknown", emotion=["sad", "happy"] * 10, sha256=clips["clip_id"])
    (fold,) = splits.make_folds(clips, "published")
    assert (len(fold.train), len(fold.validation), len(fold.test)) == (12, 4, 4)
    splits.check_leaks(fold, clips, fitted={})
    (unknown,) = splits.make_folds(clips.assign(speaker=""), "published")
    assert (len(unknown.train) + len(unknown.validation), len(unknown.test)) == (16, 4)
    assert len(unknown.validation) > 0
