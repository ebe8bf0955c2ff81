"""A corpus of the user's own: what is recognised without a word, what a profile says, and one sentence per mistake."""

from __future__ import annotations

import pickle
import unicodedata

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import study
from ser_utils.corpora import base, own
from ser_utils.corpora.scan import scan


def corpus(root, table, *, name="mine", written="labels.csv", sounds=(), **settings):
    """Write a table and silent clips below ``root/<name>``; returns the entry."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    content = table if isinstance(table, bytes) else table.encode()
    (folder / written).write_bytes(content)
    for sound in sounds:
        (folder / sound).parent.mkdir(parents=True, exist_ok=True)
        sf.write(folder / sound, np.zeros(160), 16000)
    return own.entry(name, settings, root, registered=("ravdess",))


def rows(entry, root):
    """Manifest labels by line, as a scan asks for them."""
    return entry.table(root / entry.name)


def speakers(*names, per=2):
    """A table in which each speaker says each of two emotions."""
    lines = [f"{who}{i}.wav,{e},{who}" for who in names for i, e in enumerate(["sad", "happy"] * (per // 2))]
    return "\n".join(["path,emotion,speaker", *lines])


# --- without a word in the profile ---


def test_the_plainest_table_needs_no_setting(tmp_path):
    """mp3 beside the table, a space after the comma, nothing but the name of the corpus in the profile."""
    entry = corpus(tmp_path, "Filename, Emotion\n18777.mp3, Neutral\n18778.mp3, Happy\n", sounds=["18777.mp3"])
    assert (entry.name, entry.kind, entry.parse, entry.synthetic) == ("mine", "speech", None, False)
    assert entry.emotions == ("happy", "neutral")  # in the order of the vocabulary
    found = rows(entry, tmp_path)
    assert found["path"].tolist() == ["18777.mp3", "18778.mp3"]  # the second has no file: the scan says so
    assert found["clip_id"].tolist() == ["18777", "18778"]
    assert found["emotion"].tolist() == ["neutral", "happy"]
    assert found["emotion_raw"].tolist() == ["Neutral", "Happy"]
    assert set(base.LABELS) <= set(found)
    assert (found["exclude_reason"] == "").all()
    assert not entry.audio_may_be_published


def test_no_settings_at_all_is_an_empty_mapping(tmp_path):
    corpus(tmp_path, "path,emotion\na.wav,sad\n")
    assert own.entry("mine", None, tmp_path).emotions == ("sad",)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_encodings(tmp_path, separator, encoding):
    lines = [["File_Name", "EMOTION", "Speaker ID", "Transcript"], ["a.wav", "sad", "Zoë", '"one, two; three"']]
    entry = corpus(tmp_path, "\r\n".join(separator.join(line) for line in lines).encode(encoding))
    row = rows(entry, tmp_path).iloc[0]
    assert (row["path"], row["emotion"], row["speaker"], row["text"]) == (
        "a.wav",
        "sad",
        "mine_Zoë",
        "one, two; three",
    )


def test_parquet_is_read_like_csv(tmp_path):
    (tmp_path / "mine").mkdir()
    table = pd.DataFrame({"Path": [18777, 18778], "Label": pd.Categorical(["joy", "anger"]), "Actor": [1, 2]})
    table.to_parquet(tmp_path / "mine" / "labels.parquet", index=False)
    sf.write(tmp_path / "mine" / "18777.flac", np.zeros(160), 16000)
    entry = own.entry("mine", {}, tmp_path)
    found = rows(entry, tmp_path)
    assert found["path"].tolist() == ["18777.flac", "18778"]
    assert found["emotion"].tolist() == ["happy", "angry"]
    assert found["speaker"].tolist() == ["mine_1", "mine_2"]


def test_common_names_of_emotions_are_understood(tmp_path):
    words = {
        "Anger": "angry",
        "ANGRY": "angry",
        "happiness": "happy",
        "joy": "happy",
        "Sadness": "sad",
        "fearful": "fear",
        "Disgusted": "disgust",
        "surprised": "surprise",
        "pleasant_surprise": "surprise",
        "Pleasant Surprised": "surprise",
        "ps": "surprise",
        "bored": "boredom",
        "neu": "neutral",
        "calm": "calm",
    }
    entry = corpus(tmp_path, "\n".join(["path,emotion", *(f"{i}.wav,{word}" for i, word in enumerate(words))]))
    found = rows(entry, tmp_path)
    assert dict(zip(found["emotion_raw"], found["emotion"], strict=True)) == words


def test_sexes_are_understood_and_others_are_unknown(tmp_path):
    table = "path,emotion,sex\na.wav,sad,F\nb.wav,sad,Male\nc.wav,sad,?\nd.wav,sad,\n"
    found = rows(corpus(tmp_path, table), tmp_path)
    assert found["gender"].tolist() == ["female", "male", "unknown", "unknown"]


# --- with settings ---


def test_everything_can_be_named(tmp_path):
    (tmp_path / "mine" / "tables").mkdir(parents=True)
    entry = corpus(
        tmp_path,
        "No,Filename,Feeling,Who,Label\n1,a.wav,Excited,x,q\n2,b,Other,y,q\n3,c.wav,neutral,z,q\n",
        written="tables/my.txt",
        sounds=["clips/a.wav", "clips/B.WAV"],
        **{"file": "tables/my.txt", "audio": "clips", "language": "en", "licence": "mine alone", "title": "My voices"},
        columns={"path": "filename", "emotion": "Feeling", "speaker": "Who"},
        emotions={"excited": "happy", "Other": None},
    )
    assert (entry.title, entry.licence, entry.language) == ("My voices", "mine alone", "en")
    assert entry.emotions == ("happy", "neutral")
    found = rows(entry, tmp_path)
    assert found["path"].tolist() == ["clips/a.wav", "clips/B.WAV", "clips/c.wav"]
    assert found["emotion"].tolist() == ["happy", "", "neutral"]
    assert found["exclude_reason"].tolist() == ["", "left out by the profile: emotion 'Other' is not used", ""]
    assert "language" not in found  # a scan takes the corpus's own


def test_a_column_can_be_switched_off(tmp_path):
    table = "path,emotion,actor,set\na.wav,sad,x,train\nb.wav,sad,x,test\nc.wav,sad,y,test\n"
    entry = corpus(tmp_path, table, columns={"speaker": None, "split": None})
    assert (entry.n_speakers, entry.split) == (0, "random")
    assert (rows(entry, tmp_path)[["speaker", "split"]] == "").all(axis=None)
    with pytest.raises(study.UserError, match="columns: emotion is null, but is needed; write the column's name"):
        corpus(tmp_path, table, columns={"emotion": None})


def test_a_label_of_signs_alone_is_no_emotion_unless_the_profile_says_so(tmp_path):
    table = "path,emotion\na.wav,-\nb.wav,\nc.wav,sad\n"
    found = rows(corpus(tmp_path, table), tmp_path)
    assert found["exclude_reason"].tolist() == ["the table gives no emotion ('-')", "the table gives no emotion", ""]
    left_out = rows(corpus(tmp_path, table, emotions={"-": None}), tmp_path)
    assert left_out["exclude_reason"][0] == "left out by the profile: emotion '-' is not used"
    named = rows(corpus(tmp_path, table, emotions={"-": "neutral"}), tmp_path)
    assert named["emotion"].tolist() == ["neutral", "", "sad"]


def test_paths_start_at_the_table_unless_a_folder_is_named(tmp_path):
    (tmp_path / "mine" / "sub").mkdir(parents=True)
    entry = corpus(tmp_path, "path,emotion\nx/a.wav,sad\n", written="sub/t.csv", **{"file": "sub/t.csv"})
    assert rows(entry, tmp_path)["path"].tolist() == ["sub/x/a.wav"]
    assert rows(own.entry("mine", {"file": "sub/t.csv", "audio": "."}, tmp_path), tmp_path)["path"][0] == "x/a.wav"


def test_a_language_per_row_wins_over_the_corpus(tmp_path):
    found = rows(corpus(tmp_path, "path,emotion,lang\na.wav,sad,de\nb.wav,sad,\n", language="en"), tmp_path)
    assert found["language"].tolist() == ["de", "en"]


def test_the_version_changes_with_the_table_and_the_entry_travels_to_workers(tmp_path):
    one = corpus(tmp_path, "path,emotion\na.wav,sad\n")
    two = corpus(tmp_path, "path,emotion\na.wav,happy\n")
    assert one.version != two.version
    assert (one.emotions, two.emotions) == (("sad",), ("happy",))
    assert rows(pickle.loads(pickle.dumps(two)), tmp_path)["emotion"].tolist() == ["happy"]


# --- speakers and splits ---


@pytest.mark.parametrize(
    ("n", "split", "leaks"),
    [
        (1, "random", ("speaker",)),
        (2, "loso", ()),
        (3, "loso", ()),
        (12, "loso", ()),
        (13, "speaker_groups", ()),
    ],
)
def test_the_split_follows_from_the_number_of_speakers(tmp_path, n, split, leaks):
    entry = corpus(tmp_path, speakers(*(f"s{i}" for i in range(n))))
    assert (entry.n_speakers, entry.split, entry.leaks) == (n, split, leaks)


def test_without_speakers_independence_cannot_be_checked(tmp_path):
    for table in ("path,emotion\na.wav,sad\n", "path,emotion,speaker\na.wav,sad,\n"):
        entry = corpus(tmp_path, table)
        assert (entry.n_speakers, entry.split, entry.leaks) == (0, "random", ("speaker",))
        assert "speaker independence cannot be checked" in entry.notes["speakers"]
        assert rows(entry, tmp_path)["speaker"].tolist() == [""]


def test_a_clip_without_speaker_among_others_is_left_out(tmp_path):
    entry = corpus(tmp_path, speakers("x", "y") + "\nodd.wav,sad,")
    assert rows(entry, tmp_path)["exclude_reason"].tolist()[-1] == "the table gives no speaker"
    assert (entry.n_speakers, entry.split) == (2, "loso")


@pytest.mark.parametrize("nobody", ["NaN", "none", "NULL", "n/a", "Unknown", "-", "?"])
def test_a_word_for_nobody_is_no_speaker(tmp_path, nobody):
    some = corpus(tmp_path, speakers("x", "y") + f"\nodd.wav,sad,{nobody}")
    assert rows(some, tmp_path)["exclude_reason"].tolist()[-1] == f"the table gives no speaker ('{nobody}')"
    assert (some.n_speakers, some.split) == (2, "loso")
    nobodies = corpus(tmp_path, f"path,emotion,speaker\na.wav,sad,{nobody}\nb.wav,happy,\n")
    assert (nobodies.n_speakers, nobodies.split, nobodies.leaks) == (0, "random", ("speaker",))
    assert (rows(nobodies, tmp_path)["exclude_reason"] == "").all()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("Ann", "ann", "ANN", "Bob", "bob"), "'Ann' and 'ann' and 'ANN'; 'Bob' and 'bob'; write one name"),
        (("1", "01", "1.0", "2"), "'1' and '01' and '1.0'; write one name"),
        (("s_01", "S1", "s2"), "'s_01' and 'S1'; write"),
        (("Ann Lee", "Ann_Lee"), "'Ann Lee' and 'Ann_Lee'; write"),
        (("Zo\u00eb", "Zoe\u0308"), "may be one speaker"),
    ],
)
def test_a_person_under_two_spellings_is_not_taken_for_two(tmp_path, names, told):
    with pytest.raises(study.UserError) as raised:
        corpus(tmp_path, speakers(*names))
    message = str(raised.value)
    assert "labels.csv: column 'speaker' spells what may be one speaker in several ways: " in message
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize("names", [("1", "10", "2"), ("1_11", "11_1", "111"), ("1.0", "1.5"), ("s1", "s10", "t1")])
def test_speakers_that_only_look_alike_are_kept_apart(tmp_path, names):
    assert corpus(tmp_path, speakers(*names)).n_speakers == len(names)


def test_official_parts_are_used(tmp_path):
    table = "path,emotion,speaker,Set\na.wav,sad,x,Train\nb.wav,sad,y,dev\nc.wav,sad,z,TEST\nd.wav,sad,z,\n"
    entry = corpus(tmp_path, table)
    assert (entry.split, entry.leaks, entry.folds) == ("published", (), ())
    found = rows(entry, tmp_path)
    assert found["split"].tolist() == ["train", "validation", "test", ""]
    assert found["exclude_reason"].tolist()[-1] == "the table gives no part of the split"


def test_speakers_in_train_and_test_are_a_leak_that_is_told(tmp_path):
    entry = corpus(tmp_path, "path,emotion,speaker,split\na.wav,sad,x,train\nb.wav,sad,x,test\nc.wav,sad,y,test\n")
    assert (entry.split, entry.leaks) == ("published", ("speaker",))
    assert entry.notes["speakers"].startswith("1 speakers occur in train and in test")
    unknown = corpus(tmp_path, "path,emotion,split\na.wav,sad,train\nb.wav,sad,test\n")
    assert (unknown.split, unknown.leaks) == ("published", ("speaker",))
    assert "cannot be checked" in unknown.notes["speakers"]


def test_numbered_folds_are_no_parts(tmp_path):
    table = "path,emotion,fold\na.wav,sad,1\nb.wav,sad,2\n"
    entry = corpus(tmp_path, table)
    assert entry.split == "random"
    assert entry.notes["split"] == "column 'fold' holds 1, 2, not train and test: it is not used as a split"
    with pytest.raises(study.UserError, match="column 'fold' holds 1, 2; a split takes train and test"):
        corpus(tmp_path, table, columns={"split": "fold"})


# --- paths ---


@pytest.mark.parametrize(
    "path", ["/etc/a.wav", "C:\\a.wav", "..\\..\\a.wav", "../a.wav", "x/../../a.wav", "\\\\host\\a.wav"]
)
def test_paths_out_of_the_folder_are_refused(tmp_path, path):
    with pytest.raises(study.UserError, match=r"labels.csv, line 3: path .* leads out of the corpus folder; put the"):
        corpus(tmp_path, f"path,emotion\na.wav,sad\n{path},sad\n")


def test_detours_inside_the_folder_and_windows_signs_are_mended(tmp_path):
    entry = corpus(tmp_path, "path,emotion\n../b/x.wav,sad\n.\\c\\y.wav,sad\n", audio="a")
    assert rows(entry, tmp_path)["path"].tolist() == ["b/x.wav", "a/c/y.wav"]


def test_files_are_found_by_stem_by_case_and_in_folders_below(tmp_path):
    sounds = ["deep/one.flac", "two.WAV", "clips/three.v2.ogg"]
    entry = corpus(tmp_path, "path,emotion\none,sad\nTWO.wav,sad\nthree.v2,sad\nfour,sad\n", sounds=sounds)
    assert rows(entry, tmp_path)["path"].tolist() == ["deep/one.flac", "two.WAV", "clips/three.v2.ogg", "four"]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
@pytest.mark.parametrize("written", ["Größe/Zoë.wav", "zoë.WAV", "Zoë"])
def test_accents_are_found_in_either_form(tmp_path, on_disk, in_table, written):
    """macOS takes letters and accents apart in the names of files."""
    sound = unicodedata.normalize(on_disk, "Größe/Zoë.wav")
    entry = corpus(tmp_path, f"path,emotion\n{unicodedata.normalize(in_table, written)},sad\n", sounds=[sound])
    found = rows(entry, tmp_path)
    assert (found["path"][0], found["clip_id"][0]) == (sound, "Zoë")


def test_the_sign_of_augmented_copies_stands_in_no_id(tmp_path):
    names = ["a~1.wav", "b.wav"]
    entry = corpus(tmp_path, "\n".join(["path,emotion", *(f"{name},sad" for name in names)]))
    assert rows(entry, tmp_path)["clip_id"].tolist() == ["a-1", "b"]
    names = ["a~1.wav", "a-1.wav", "a_1.wav", "~-.wav", "-~.wav"]
    entry = corpus(tmp_path, "\n".join(["path,emotion", *(f"{name},sad" for name in names)]))
    ids = rows(entry, tmp_path)["clip_id"]
    assert ids.is_unique
    assert not ids.str.contains("~").any()


def test_a_table_without_any_sound_stops_and_one_clip_is_enough_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))

    def stopping(entry):
        return [item.problem for item in scan(entry, tmp_path).findings if item.action == "stops the run"]

    table = "path,emotion\nclips/a.wav,sad\nb.wav,sad\n"
    assert stopping(corpus(tmp_path, table)) == [
        "no sound found: none of the 2 clips of the table has a file, the first would be mine/clips/a.wav"
    ]
    assert stopping(corpus(tmp_path, table, sounds=["b.wav"])) == []


def test_a_link_that_leads_back_makes_no_second_file(tmp_path):
    entry = corpus(tmp_path, "path,emotion\none,sad\n", sounds=["a/one.wav"])
    (tmp_path / "mine" / "a" / "again").symlink_to(tmp_path / "mine", target_is_directory=True)
    assert rows(entry, tmp_path)["path"].tolist() == ["a/one.wav"]


def test_a_name_that_fits_two_files_is_refused(tmp_path):
    entry = corpus(tmp_path, "path,emotion\none,sad\n", sounds=["a/one.wav", "b/one.wav"])
    with pytest.raises(study.UserError, match=r"line 2: one fits a/one.wav and b/one.wav; write the whole path"):
        rows(entry, tmp_path)


def test_clip_ids_stay_unique(tmp_path):
    stems = corpus(tmp_path, "path,emotion\nx/a.wav,sad\nx/b.wav,sad\n")
    assert rows(stems, tmp_path)["clip_id"].tolist() == ["a", "b"]
    folders = corpus(tmp_path, "path,emotion\nx/a.wav,sad\ny/a.wav,sad\n")
    assert rows(folders, tmp_path)["clip_id"].tolist() == ["x/a", "y/a"]
    suffixes = corpus(tmp_path, "path,emotion\na.wav,sad\na.mp3,sad\n")
    assert rows(suffixes, tmp_path)["clip_id"].tolist() == ["a.wav", "a.mp3"]


def test_a_path_twice_counts_once_unless_its_labels_differ(tmp_path):
    entry = corpus(tmp_path, "path,emotion\na.wav,sad\n./a.wav,Sadness\n")
    assert len(rows(entry, tmp_path)) == 1
    assert entry.notes["duplicates"] == "1 row repeats a path with the same label; each path counts once"
    with pytest.raises(study.UserError, match=r"lines 2, 4: a.wav is labelled sad and happy; keep one"):
        corpus(tmp_path, "path,emotion\na.wav,sad\nb.wav,sad\na.wav,joy\n")
    with pytest.raises(study.UserError, match=r"a.wav is labelled mine_x and mine_y"):
        corpus(tmp_path, "path,emotion,speaker\na.wav,sad,x\na.wav,sad,y\n")
    stem = corpus(tmp_path, "path,emotion\na,sad\na.wav,sad\n", sounds=["a.wav"])
    with pytest.raises(study.UserError, match=r"lines 2, 3: all mean a.wav; keep one"):
        rows(stem, tmp_path)


# --- mistakes ---


def test_unknown_emotions_are_named_together_with_their_counts_and_what_to_write(tmp_path):
    table = "path,emotion\na.wav,Excited\nb.wav,Excited\nc.wav,Other\nd.wav,sad\n"
    with pytest.raises(study.UserError) as raised:
        corpus(tmp_path, table)
    told = str(raised.value)
    assert told.startswith(
        f"{tmp_path / 'mine' / 'labels.csv'}: unknown emotions: 'Excited' (2 clips), 'Other' (1 clip)"
    )
    assert "under tables: mine: emotions: in the profile" in told
    assert "'Excited: happy'" in told
    assert "'Excited: null' to leave its clips out" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "labels.csv: the table is empty; write a line of column names"),
        ("path,emotion\n", "labels.csv: the table has no rows"),
        (
            "path:emotion\na.wav:sad\n",
            r"line 1: one field, 'path:emotion', .* separate them with commas, semicolons, tabs",
        ),
        ("path,emotion\na.wav,sad,x\n", "labels.csv, line 2: 3 fields where the first line has 2; put texts"),
        ('path,emotion\na.wav,"sad\n', r"labels.csv, line 2: not readable as CSV \(.*; mend it"),
        (
            "Tone,Feeling\na.wav,sad\n",
            "no column for path; its columns are Tone, Feeling; write 'path: <column>' under",
        ),
        (
            "path,Feeling\na.wav,sad\n",
            "no column for emotion; its columns are path, Feeling; write 'emotion: <column>'",
        ),
        ("path,emotion,Path\na.wav,sad,b.wav\n", "2 columns are called path; rename all but one"),
        ("path,emotion\n,sad\n", "line 2: the path is empty"),
        (
            "path,emotion\nä.wav,sad\n".encode("latin-1"),
            r"not UTF-8 text \(byte 0xe4 in line 2\); save it as 'CSV UTF-8'",
        ),
        ("path,emotion\na.wav,sad\n".encode("utf-16"), r"not UTF-8 text \(UTF-16 in line 1\)"),
        (b"PK\x03\x04spreadsheet", "is a spreadsheet or an archive, not a table; save it as 'CSV UTF-8'"),
        (b"PAR1 and nothing else", "not readable as Parquet"),
    ],
)
def test_tables_that_cannot_be_used_are_told_in_one_sentence(tmp_path, table, message):
    with pytest.raises(study.UserError, match=message) as raised:
        corpus(tmp_path, table)
    assert "mine" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"colums": {}}, r"tables: mine: unknown setting 'colums' \(did you mean columns\?\); known settings are file"),
        ({"file": 3}, "tables: mine: file is 3; write the name of the table"),
        ({"language": False}, "tables: mine: language is false; write an ISO 639-1 code in quotes"),
        ({"columns": ["path"]}, "tables: mine: columns is .*; write 'what: column' lines"),
        ({"columns": {"speakr": "Who"}}, r"columns: 'speakr' is not read \(did you mean speaker\?\); known are path"),
        ({"columns": {"path": 3}}, "columns: path is 3; write the column's name in quotes"),
        ({"columns": {"speaker": "Feelin"}}, r"column 'Feelin' does not exist.*its columns are path, emotion; mend"),
        (
            {"emotions": {"sad": "sadd"}},
            r"emotions: sad is 'sadd', which is no emotion \(did you mean sad\?\); write one",
        ),
        ({"emotions": {"sda": "sad"}}, r"label 'sda' occurs nowhere in .*labels.csv \(did you mean sad\?\); mend"),
        (
            {"file": "other.csv"},
            r"other.csv: no such file; the tables there are labels.csv; write 'file: <name>' under",
        ),
        ({"file": "../labels.csv"}, "file ../labels.csv leads out of the corpus folder"),
        ({"audio": "/clips"}, "audio /clips leads out of the corpus folder"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(tmp_path, settings, message):
    with pytest.raises(study.UserError, match=message):
        corpus(tmp_path, "path,emotion\na.wav,sad\n", **settings)


def test_no_table_and_several_tables_are_told(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(study.UserError, match=r"mine: no table here; put one there that ends in .csv, .tsv, .parquet"):
        own.entry("mine", {}, tmp_path)
    corpus(tmp_path, "path,emotion\na.wav,sad\n")
    with pytest.raises(
        study.UserError, match=r"holds 2 tables \(b.csv, labels.csv\); write 'file: <name>' under tables"
    ):
        corpus(tmp_path, "path,emotion\na.wav,sad\n", written="b.csv")


def test_a_corpus_without_folder_is_absent_not_wrong(tmp_path):
    entry = own.entry("mine", {}, tmp_path)
    assert (entry.emotions, entry.n_speakers) == ((), 0)
    with pytest.raises(study.UserError, match="mine: no such folder; put the table and its clips there"):
        rows(entry, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ravdess", "ravdess is the name of a corpus that the study knows; give your own another name"),
        ("My Voices", "'My Voices' cannot name a corpus; write lower-case letters"),
        ("../x", "cannot name a corpus"),
    ],
)
def test_names_that_cannot_serve_are_refused(tmp_path, name, message):
    with pytest.raises(study.UserError, match=message):
        own.entry(name, {}, tmp_path, registered=("ravdess",))


# --- the profile ---


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("tables: [mine]", "tables is .*; write one line per corpus of your own"),
        ("tables: {mine: labels.csv}", "tables.mine is .*; write 'setting: value' lines below it"),
        ("tables: {mine: {}, other: {}}", "tables: 'other' is none of the profile's corpora; add it to corpora"),
    ],
)
def test_the_profile_refuses_tables_of_another_form(tmp_path, monkeypatch, lines, message):
    monkeypatch.setattr(study, "ROOT", tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "p.yaml").write_text(f"corpora: [mine]\n{lines}\n")
    with pytest.raises(study.UserError, match=message):
        study.load_profile("p")


def test_the_profile_takes_tables_without_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "ROOT", tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "p.yaml").write_text("corpora: [mine]\ntables:\n  mine:\n")
    assert study.load_profile("p")["tables"] == {"mine": {}}
