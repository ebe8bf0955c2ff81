"""The loaders against the real corpora, where they are at hand."""

from __future__ import annotations

import pytest

from ser_utils import corpora, splits, study

pytestmark = pytest.mark.real

EXPECTED = {  # corpus: clips, speakers, clips per emotion where the corpus publishes them
    "ravdess": (1440, 24, {"neutral": 96, "calm": 192, "happy": 192, "surprise": 192}),
    "emodb": (535, 10, {"angry": 127, "boredom": 81, "disgust": 46, "fear": 69, "happy": 71, "sad": 62, "neutral": 79}),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    absent = [name for name in EXPECTED if not (study.paths("full").data / name).is_dir()]
    if absent:
        pytest.skip(f"no {', '.join(absent)} below SER_DATA")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(tmp_path_factory.mktemp("real")))
        yield corpora.manifest("full")


@pytest.mark.parametrize("name", EXPECTED)
def test_counts_are_the_published_ones(table, name):
    clips, speakers, emotions = EXPECTED[name]
    rows = table[table["corpus"] == name]
    assert (len(rows), rows["speaker"].nunique()) == (clips, speakers)
    counts = rows["emotion"].value_counts()
    assert {emotion: int(counts[emotion]) for emotion in emotions} == emotions


def test_every_official_clip_is_there_and_nothing_else(table):
    notes = corpora.findings("full")["problem"]
    assert not notes.str.contains("missing|extra").any()


def test_the_one_duplicate_of_ravdess_is_left_out(table):
    reasons = table.loc[table["exclude_reason"] != "", ["clip_id", "exclude_reason"]]
    assert reasons["clip_id"].tolist() == ["03-01-03-01-02-02-07"]
    assert reasons["exclude_reason"].str.startswith("same audio as").all()


@pytest.mark.parametrize(("name", "n_folds"), [("ravdess", 6), ("emodb", 10)])
def test_folds_of_real_corpora_pass_the_gate(table, name, n_folds):
    rows = corpora.usable(table[table["corpus"] == name])
    entry = corpora.CORPORA[name]
    folds = splits.make_folds(rows, entry.split, published=entry.folds)
    assert len(folds) == n_folds
    assert sorted(clip for fold in folds for clip in fold.test) == sorted(rows["clip_id"])
    for fold in folds:
        splits.check_leaks(fold, rows, fitted={"normaliser": fold.train})
