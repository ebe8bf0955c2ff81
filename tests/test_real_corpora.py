"""The loaders against the real corpora, where they are at hand; names and tables are counted here by other means."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter

import pytest

from ser_utils import corpora, splits, study
from ser_utils.corpora import cremad, meld
from ser_utils.corpora.base import MISSING

pytestmark = pytest.mark.real

CLIPS = {  # corpus: clips at hand in part or in whole
    "ravdess": {1440},
    "emodb": {535},
    "cremad": {2454, 7442},
    "tess": {559, 2800},
    "esc50": {720, 2000},
}
SPEAKERS = {"ravdess": {24}, "emodb": {10}, "cremad": {30, 91}, "tess": {2}}
LABEL = {  # where a name holds its emotion
    "ravdess": re.compile(r"^03-01-(\d\d)-(?:\d\d-){3}\d\d\."),
    "emodb": re.compile(r"^\d\d[ab]\d\d([A-Z])[a-z]\."),
    "cremad": re.compile(r"^\d{4}_[A-Z]{3}_([A-Z]{3})_[A-Z]{1,2}\."),
    "tess": re.compile(r"^[A-Z]+_[a-z]+_([a-z]+)\."),
}
CODES = {
    "ravdess": {
        "01": "neutral",
        "02": "calm",
        "03": "happy",
        "04": "sad",
        "05": "angry",
        "06": "fear",
        "07": "disgust",
        "08": "surprise",
    },
    "emodb": {
        "W": "angry",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happy",
        "T": "sad",
        "N": "neutral",
    },
    "cremad": {"ANG": "angry", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"},
    "tess": {name: name for name in ("angry", "disgust", "fear", "happy", "neutral", "sad")} | {"ps": "surprise"},
}
UTTERANCES = {"train": 9989, "dev": 1109, "test": 2610}


def raw_names(name: str) -> list[str]:
    """Names of the sound files below the folder of a corpus."""
    walk = os.walk(study.paths("full").data / name)
    return [file for _, _, files in walk for file in files if file.endswith((".wav", ".flac", ".ogg", ".mp3"))]


def need(*names: str) -> None:
    absent = [name for name in names if not (study.paths("full").data / name).is_dir()]
    if absent:
        pytest.skip(f"no {', '.join(absent)} below SER_DATA")


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """Speech and noise of the profile full."""
    if not any((study.paths("full").data / name).is_dir() for name in CLIPS):
        pytest.skip(f"none of {', '.join(CLIPS)} below SER_DATA")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(tmp_path_factory.mktemp("real")))
        yield corpora.manifest("full"), corpora.noise_manifest("full")


@pytest.fixture(scope="module")
def table(manifests):
    return manifests[0]


@pytest.mark.parametrize("name", CLIPS)
def test_every_file_is_a_row_and_their_number_is_the_known_one(manifests, name):
    need(name)
    speech, noise = manifests
    rows = noise if name == "esc50" else speech[speech["corpus"] == name]
    assert len(rows) in CLIPS[name]
    assert len(rows) == len(raw_names(name))
    assert rows["clip_id"].is_unique
    assert name == "esc50" or rows["speaker"].nunique() in SPEAKERS[name]


@pytest.mark.parametrize("name", LABEL)
def test_emotions_are_those_that_the_names_hold(table, name):
    need(name)
    codes = Counter(LABEL[name].match(file)[1] for file in raw_names(name))
    rows = table[table["corpus"] == name]
    assert rows["emotion"].value_counts().to_dict() == {CODES[name][code]: count for code, count in codes.items()}


def test_counts_of_whole_corpora_are_the_published_ones(table):
    need("ravdess", "emodb")
    counts = table.groupby("corpus")["emotion"].value_counts()
    assert counts["ravdess"].to_dict() == dict.fromkeys(CODES["ravdess"].values(), 192) | {"neutral": 96}
    published = {"angry": 127, "boredom": 81, "disgust": 46, "fear": 69, "happy": 71, "sad": 62, "neutral": 79}
    assert counts["emodb"].to_dict() == published


def test_every_official_clip_of_whole_corpora_is_there_and_nothing_else(manifests):
    need("ravdess", "emodb")
    notes = corpora.findings("full")
    whole = notes[notes["corpus"].isin(["ravdess", "emodb"])]
    assert not whole["problem"].str.contains("missing|extra").any()


def test_clips_left_out_are_these(table):
    need("ravdess", "cremad")
    rows = table[(table["exclude_reason"] != "") & (table["corpus"] != "meld")]
    known = {"03-01-03-01-02-02-07", *cremad.CORPUS.defects, "1076_MTI_SAD_XX"}
    assert {"03-01-03-01-02-02-07", "1006_TIE_HAP_XX", "1006_TIE_NEU_XX"} <= set(rows["clip_id"]) <= known
    reasons = rows.set_index("clip_id")["exclude_reason"]
    assert reasons["03-01-03-01-02-02-07"].startswith("same audio as")
    assert "1006_TIE_NEU_XX" in reasons["1006_TIE_HAP_XX"]


def test_ages_are_those_of_the_published_tables(table):
    need("cremad", "emodb", "tess")
    ages = table[table["corpus"].isin(["cremad", "emodb", "tess"])]
    assert (ages["age_group"] != "").all()
    with open(study.paths("full").data / "cremad" / "VideoDemographics.csv", encoding="utf-8", newline="") as file:
        people = {f"cremad_{row['ActorID']}": row for row in csv.DictReader(file)}
    for speaker, rows in table[table["corpus"] == "cremad"].groupby("speaker"):
        assert set(rows["gender"]) == {people[speaker]["Sex"].lower()}
        low, _, high = rows["age_group"].iloc[0].partition("-")
        assert int(low.rstrip("+")) <= int(people[speaker]["Age"]) <= int(high or 200)


@pytest.mark.parametrize("name", ["ravdess", "emodb", "cremad", "tess"])
def test_folds_of_real_corpora_pass_the_gate(table, name):
    need(name)
    rows = corpora.usable(table[table["corpus"] == name])
    entry = corpora.CORPORA[name]
    folds = splits.make_folds(rows, entry.split, published=entry.folds, n_groups=entry.n_groups)
    assert len(folds) == {"ravdess": 6, "emodb": 10, "cremad": 6, "tess": 2}[name]
    assert sorted(clip for fold in folds for clip in fold.test) == sorted(rows["clip_id"])
    for fold in folds:
        splits.check_leaks(fold, rows, fitted={"normaliser": fold.train})


# --- CREMA-D: human raters ---------------------------------------------------------------------------------------


@pytest.fixture
def votes_file():
    need("cremad")
    found = sorted((study.paths("full").data / "cremad").rglob("summaryTable.csv"))
    if not found:
        pytest.skip("no summaryTable.csv in cremad")
    return found[0]


def test_human_line_is_the_one_that_the_table_gives(votes_file):
    with open(votes_file, encoding="utf-8", newline="") as file:
        rows = [(row["FileName"].split("_")[2][0], row["VoiceVote"]) for row in csv.DictReader(file)]
    line = cremad.human_recognition(votes_file.parent)
    assert line.n_clips == len(rows) == 7442
    assert line.n_ties == sum(":" in vote for _, vote in rows) == 644
    assert line.accuracy_no_ties == pytest.approx(sum(vote == truth for truth, vote in rows) / len(rows))
    assert line.accuracy == pytest.approx(0.4462, abs=5e-5)
    assert line.uar == pytest.approx(0.4587, abs=5e-5)
    face, both = (cremad.human_recognition(votes_file.parent, modality=m).uar for m in ("face", "multimodal"))
    assert line.uar < face < both


# --- MELD --------------------------------------------------------------------------------------------------------


def test_meld_rows_are_those_of_the_official_tables(table):
    need("meld")
    rows = table[table["corpus"] == "meld"]
    names = {"joy": "happy", "anger": "angry", "sadness": "sad"}
    for part, count in UTTERANCES.items():
        file = next((study.paths("full").data / "meld").rglob(f"{part}_sent_emo.csv"))
        with open(file, encoding="utf-8", newline="") as lines:
            raw = [names.get(row["Emotion"], row["Emotion"]) for row in csv.DictReader(lines)]
        ours = rows[rows["split"] == meld.PARTS[part]]
        assert len(raw) == len(ours) == count
        assert ours["emotion"].value_counts().to_dict() == dict(Counter(raw))
    assert rows["clip_id"].is_unique
    assert (rows["text"] != "").all()


def test_meld_defects_are_named_and_few(table):
    need("meld")
    listed = meld.table(study.paths("full").data / "meld")
    bad = listed[listed["exclude_reason"] != ""]
    assert bad["split"].value_counts().to_dict() == {"train": 45, "validation": 6, "test": 11}
    kinds = bad["exclude_reason"].str.extract(r"^(the official|its time code|same time code)")[0]
    assert kinds.value_counts().to_dict() == {"same time code": 46, "its time code": 14, "the official": 2}
    known = {"train_dia125_utt3", "dev_dia110_utt7", "test_dia220_utt0", "test_dia38_utt4", "train_dia309_utt0"}
    assert known <= set(bad["clip_id"])
    left_out = table[~table["exclude_reason"].isin(["", MISSING])]
    assert set(bad["clip_id"]) <= set(left_out["clip_id"])


def test_meld_without_sound_is_audio_missing(table):
    need("meld")
    if raw_names("meld"):
        pytest.skip("meld has sound here")
    rows = table[table["corpus"] == "meld"]
    assert (rows["exclude_reason"] == MISSING).sum() == sum(UTTERANCES.values()) - 62
    assert corpora.usable(rows).empty
    notes = corpora.findings("full").query("corpus == 'meld'")["problem"]
    assert notes.str.contains(MISSING).any()


def test_meld_texts_hold_no_trace_of_a_wrong_encoding(table):
    need("meld")
    texts = table.loc[table["corpus"] == "meld", "text"]
    assert not texts.str.contains("[\x80-\x9f\ufffd]|â€").any()
