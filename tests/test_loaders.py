"""The loader of each corpus: names, layouts that copies have in the wild, official lists, and what each download is."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import study
from ser_utils.corpora import CORPORA, cremad, emodb, esc50, fetch, meld, ravdess, savee, tess
from ser_utils.corpora.base import EMOTIONS, LABELS, MISSING, LeftOut
from ser_utils.corpora.finding import STOPS
from ser_utils.corpora.scan import scan

SPEECH = {module.CORPUS.name: module for module in (ravdess, emodb, cremad, tess, savee)}
JUNK = ("__MACOSX/{}/._{}", "{}/.DS_Store", "{}/Thumbs.db", "{}/._{}")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path_factory.mktemp("out")))


def put(root: Path, *paths: str) -> Path:
    """Files of a tenth of a second of noise; equal names hold equal sound, other names other sound."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        seed = int.from_bytes(hashlib.sha256(file.stem.lower().encode()).digest()[:4], "little")
        samples = np.random.default_rng(seed).normal(0, 0.1, 1600)
        sf.write(file, samples, 16_000, format="WAV" if file.suffix.lower() == ".wav" else None)
    return root


def used(module, root: Path) -> list[str]:
    """Ids of the clips that a scan would use, in order."""
    table = scan(module.CORPUS, root).table
    return sorted(table.loc[table["exclude_reason"] == "", "clip_id"])


# --- every corpus ------------------------------------------------------------------------------------------------


def test_corpora_are_registered_in_the_order_of_reports():
    names = ["demo", "ravdess", "emodb", "cremad", "tess", "savee", "meld", "demo_noise", "esc50"]
    assert list(CORPORA) == names


@pytest.mark.parametrize("name", [name for name, entry in CORPORA.items() if not entry.synthetic])
def test_each_corpus_says_how_to_get_and_cite_it(name):
    entry = CORPORA[name]
    assert entry.citation.startswith("@")
    assert entry.citation.count("{") == entry.citation.count("}")
    assert "doi = {10." in entry.citation
    assert entry.licence
    assert entry.address.startswith("http")
    assert entry.layout.startswith(f"{name}/")
    assert entry.downloads or entry.steps
    assert not entry.steps or entry.steps.endswith(".")
    for file in entry.downloads() if entry.downloads else ():
        assert file.address.startswith("http")
        assert file.to
        assert not Path(file.to).is_absolute()
        assert file.checksum == "" or file.checksum.partition(":")[0] in {"md5", "sha256"}


@pytest.mark.parametrize("name", SPEECH)
def test_official_lists_parse_and_have_the_official_size(name):
    module, entry = SPEECH[name], CORPORA[name]
    rows = pd.DataFrame([module.parse(Path(f"{clip}.wav")) for clip in entry.expected()])
    assert len(rows) == entry.n_clips
    assert set(rows["clip_id"]) == entry.expected()
    assert rows["speaker"].nunique() == entry.n_speakers
    assert rows["speaker"].str.startswith(f"{name}_").all()
    assert set(rows["emotion"]) == set(entry.emotions) <= set(EMOTIONS)
    assert set(rows.columns) - set(LABELS) == {"clip_id", "speaker", "emotion", "emotion_raw"}
    assert not set(entry.defects) - entry.expected()


# --- RAVDESS -----------------------------------------------------------------------------------------------------

ACTOR_1 = ("03-01-01-01-01-01-01", "03-01-01-01-01-02-01", "03-01-05-02-02-01-01")


@pytest.mark.parametrize(
    "folders",
    [
        ["Actor_01"],
        ["Audio_Speech_Actors_01-24/Actor_01"],
        ["Actor_01", "audio_speech_actors_01-24/Actor_01"],
        ["ravdess/Actor_01", "ravdess/audio_speech_actors_01-24/Actor_01"],
    ],
)
def test_ravdess_is_read_once_from_official_and_kaggle_folders(tmp_path, folders):
    put(tmp_path / "ravdess", *(f"{folder}/{clip}.wav" for folder in folders for clip in ACTOR_1))
    assert used(ravdess, tmp_path) == list(ACTOR_1)
    table = scan(ravdess.CORPUS, tmp_path).table
    copies = table[table["exclude_reason"] != ""]
    assert len(copies) == len(ACTOR_1) * (len(folders) - 1)
    assert copies["exclude_reason"].str.startswith("same audio as").all()


def test_ravdess_take_is_told_from_the_sixth_field():
    rows = [ravdess.parse(Path(f"{clip}.wav")) for clip in ACTOR_1]
    assert [row["repetition"] for row in rows] == ["1", "2", "1"]
    assert "age_group" not in rows[0]  # no actor's age is published


@pytest.mark.parametrize("clip", ["03-02-01-01-01-01-01", "01-01-01-01-01-01-01"])
def test_ravdess_song_and_film_are_left_out_by_name(clip):
    with pytest.raises(LeftOut):
        ravdess.parse(Path(f"Actor_01/{clip}.wav"))


# --- EmoDB -------------------------------------------------------------------------------------------------------


def test_emodb_version_is_the_take_and_age_the_published_one():
    rows = {clip: emodb.parse(Path(f"wav/{clip}.wav")) for clip in ("03a01Fa", "14b10Wc", "09a02Nf")}
    assert [row["repetition"] for row in rows.values()] == ["a", "c", "f"]
    assert [row["age_group"] for row in rows.values()] == ["30-44", "30-44", "18-29"]
    assert [row["gender"] for row in rows.values()] == ["male", "female", "female"]


@pytest.mark.parametrize("folder", ["wav", ".", "EmoDB/wav", "download"])
def test_emodb_is_read_with_and_without_its_folder(tmp_path, folder):
    put(tmp_path / "emodb", f"{folder}/03a01Fa.wav", f"{folder}/16b10Wb.wav", f"{folder}/holiday.wav")
    for name in ("erkennung.txt", "lablaut/03a01Fa.lablaut", "labsilb/03a01Fa.labsilb", "silb/03a01Fa.silb"):
        file = tmp_path / "emodb" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("no sound", encoding="utf-8")
    found = scan(emodb.CORPUS, tmp_path)
    assert found.table["clip_id"].tolist() == ["03a01Fa", "16b10Wb"]
    told = [finding.path for finding in found.findings if "not read" in finding.problem]
    assert told == [f"emodb/{folder}/holiday.wav".replace("/./", "/")]


def test_emodb_clip_whose_name_holds_an_unknown_code_stops_a_run(tmp_path):
    put(tmp_path / "emodb", "03a01Fa.wav", "03a01Xa.wav")
    told = [(finding.path, finding.action) for finding in scan(emodb.CORPUS, tmp_path).findings]
    assert ("emodb/03a01Xa.wav", "stops the run") in told


@pytest.mark.parametrize("speaker", ["19", "99"])
def test_emodb_speaker_that_nobody_is_stops_a_run(tmp_path, speaker):
    found = scan(emodb.CORPUS, put(tmp_path, "emodb/wav/03a01Fa.wav", f"emodb/wav/{speaker}a01Fa.wav")).findings
    assert [item.problem for item in found if item.action == STOPS] == [
        f"speaker code '{speaker}' is not one of {', '.join(emodb.SPEAKERS)}"
    ]


def test_a_file_out_of_place_is_told_with_what_is_wrong_in_its_name(tmp_path):
    root = put(tmp_path, "emodb/wav/03a01Fa.wav", "emodb/wav/xxa01Fa.wav", "emodb/wav/03c01Fa.wav")
    problems = {item.path: item.problem for item in scan(emodb.CORPUS, root).findings}
    layout = "not read: lies outside the layout emodb/wav/03a01Fa.wav"
    assert problems["emodb/wav/xxa01Fa.wav"].startswith(f"{layout} (speaker code 'xx' is not one of 03, 08")
    assert problems["emodb/wav/03c01Fa.wav"].startswith(f"{layout} (sentence code 'c01' is not one of a01")


@pytest.mark.parametrize("clip", ["03a01F1", "03a01FA", "03a01Xa", "99a01Fa", "03a03Fa", "03a01F"])
def test_emodb_name_with_an_unknown_part_is_refused(clip):
    with pytest.raises(ValueError, match="not"):
        emodb.parse(Path(f"wav/{clip}.wav"))


# --- CREMA-D -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["AudioWAV", ".", "AudioWAV/AudioWAV", "CREMA-D/AudioWAV", "cremad/AudioWAV"])
def test_cremad_is_read_from_official_flat_and_kaggle_folders(tmp_path, folder):
    clips = ["1001_DFA_ANG_XX", "1001_IEO_SAD_HI", "1091_WSI_SAD_XX"]
    put(tmp_path / "cremad", *(f"{folder}/{clip}.wav" for clip in clips))
    (tmp_path / "cremad" / "summaryTable.csv").write_text("not sound", encoding="utf-8")
    found = scan(cremad.CORPUS, tmp_path)
    assert sorted(found.table["clip_id"]) == clips
    assert not any("not read" in finding.problem for finding in found.findings)


def test_cremad_sound_that_raters_heard_is_no_second_clip(tmp_path):
    """A full clone holds every clip twice, as mp3 too: not one line is said of 7442 of them."""
    put(tmp_path / "cremad", "AudioWAV/1001_DFA_ANG_XX.wav")
    put(tmp_path / "cremad", *(f"AudioMP3/1001_{code}_ANG_XX.mp3" for code in cremad.SENTENCES if code != "IEO"))
    found = scan(cremad.CORPUS, tmp_path)
    assert found.table["path"].tolist() == ["cremad/AudioWAV/1001_DFA_ANG_XX.wav"]
    assert not any("MP3" in finding.path for finding in found.findings)
    assert fetch.state(cremad.CORPUS, tmp_path).ids == {"1001_DFA_ANG_XX"}


def test_cremad_levels_ages_and_sex():
    rows = [cremad.parse(Path(f"{clip}.wav")) for clip in ("1001_IEO_ANG_LO", "1002_IEO_ANG_MD", "1002_DFA_ANG_XX")]
    assert [row["intensity"] for row in rows] == ["low", "medium", ""]
    assert [row["age_group"] for row in rows] == ["45-59", "18-29", "18-29"]
    assert [row["gender"] for row in rows] == ["male", "female", "female"]


def test_cremad_misnamed_file_is_the_official_clip():
    row = cremad.parse(Path("AudioWAV/1040_ITH_SAD_X.wav"))
    assert row["clip_id"] == "1040_ITH_SAD_XX"
    assert row["clip_id"] in cremad.expected()


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        ("1092_DFA_ANG_XX", "actor '1092'"),
        ("1001_ABC_ANG_XX", "sentence code 'ABC'"),
        ("1001_DFA_SUR_XX", "emotion code 'SUR'"),
        ("1001_DFA_ANG_X", "level code 'X'"),
        ("1001_DFA_ANG", "3 fields"),
        ("copy of 1001_DFA_ANG_XX", "actor 'copy of 1001'"),
    ],
)
def test_cremad_name_with_an_unknown_part_is_refused(clip, words):
    with pytest.raises(ValueError, match=words):
        cremad.parse(Path(f"{clip}.wav"))


def test_cremad_recordings_under_two_emotions_are_left_out_with_their_twin_named(tmp_path):
    put(
        tmp_path / "cremad",
        "AudioWAV/1006_TIE_HAP_XX.wav",
        "AudioWAV/1006_TIE_NEU_XX.wav",
        "AudioWAV/1001_DFA_ANG_XX.wav",
    )
    table = scan(cremad.CORPUS, tmp_path).table.set_index("clip_id")["exclude_reason"]
    assert table["1001_DFA_ANG_XX"] == ""
    assert "1006_TIE_NEU_XX" in table["1006_TIE_HAP_XX"]
    assert "1006_TIE_HAP_XX" in table["1006_TIE_NEU_XX"]


def test_cremad_twins_are_all_that_the_published_sums_show():
    sums = pd.Series(cremad.hashes())
    twins = sums[sums.duplicated(keep=False)].groupby(sums).groups.values()
    assert {tuple(sorted(pair)) for pair in twins} == set(cremad.SAME_SOUND)


def test_cremad_file_that_differs_from_its_published_sum_is_named(tmp_path):
    put(tmp_path / "cremad", "AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1001_DFA_DIS_XX.flac")
    altered = [finding.path for finding in scan(cremad.CORPUS, tmp_path).findings if "altered" in finding.problem]
    assert altered == ["cremad/AudioWAV/1001_DFA_ANG_XX.wav"]  # no sum is published for another format


def test_cremad_downloads_are_every_file_with_its_sum():
    files = cremad.downloads()
    sounds = [file for file in files if file.to.endswith(".wav")]
    assert {Path(file.to).stem for file in sounds} == cremad.expected()
    assert all(len(file.checksum) == len("sha256:") + 64 and file.size > 40_000 for file in sounds)
    assert all(file.address.endswith(f"/master/{file.to}") for file in sounds)
    assert {file.to for file in files} - {file.to for file in sounds} == {"VideoDemographics.csv", "summaryTable.csv"}


VOTES = """"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"
"1","1001_IEO_NEU_XX","N","69.1","N","92.2","N","64.8"
"2","1001_IEO_ANG_MD","A:D","40:60","A","45","A","44"
"3","1001_IEO_ANG_LO","N","50","A","45","A","44"
"4","1001_IEO_SAD_LO","A:D","40:60","S","45","F:S","44:46"
"""


@pytest.fixture
def rated(tmp_path):
    (tmp_path / "processedResults").mkdir()
    (tmp_path / "processedResults" / "summaryTable.csv").write_text(VOTES, encoding="utf-8")
    return tmp_path


def test_votes_are_emotions_and_ties_keep_all_of_them(rated):
    table = cremad.votes(rated).set_index("clip_id")
    assert table.loc["1001_IEO_NEU_XX", "voice"] == ("neutral",)
    assert table.loc["1001_IEO_ANG_MD", "voice"] == ("angry", "disgust")
    assert table.loc["1001_IEO_ANG_MD", "voice_level"] == 50
    assert table.loc["1001_IEO_SAD_LO", "multimodal"] == ("fear", "sad")
    assert table["emotion"].tolist() == ["neutral", "angry", "angry", "sad"]


def test_human_line_counts_a_tie_by_its_share(rated):
    line = cremad.human_recognition(rated)
    assert (line.n_clips, line.n_ties) == (4, 2)
    assert line.accuracy == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert line.accuracy_no_ties == pytest.approx(1 / 4)
    assert line.recall.to_dict() == pytest.approx({"angry": 0.25, "neutral": 1.0, "sad": 0.0})
    assert line.uar == pytest.approx((0.25 + 1 + 0) / 3)
    assert line.confusion.loc["sad", ["angry", "disgust", "sad"]].tolist() == [0.5, 0.5, 0.0]
    assert line.confusion.to_numpy().sum() == pytest.approx(4)
    assert cremad.human_recognition(rated, modality="face").accuracy == 1.0
    assert cremad.human_recognition(rated, clips=["1001_IEO_NEU_XX"]).n_clips == 1


@pytest.mark.parametrize("options", [{"modality": "smell"}, {"clips": ["03a01Fa"]}])
def test_human_line_of_nothing_is_refused(rated, options):
    with pytest.raises(study.UserError, match=r"smell|none of the clips"):
        cremad.human_recognition(rated, **options)


def test_votes_that_are_absent_or_another_table_are_told(tmp_path):
    with pytest.raises(study.UserError, match=r"no summaryTable\.csv"):
        cremad.votes(tmp_path)
    (tmp_path / "summaryTable.csv").write_text("FileName,Vote\na,b\n", encoding="utf-8")
    with pytest.raises(study.UserError, match="no column VoiceVote"):
        cremad.votes(tmp_path)


# --- TESS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "name", "clip"),
    [
        ("OAF_angry", "OAF_back_angry", "OAF_back_angry"),
        ("OAF_Fear", "OAF_back_fear", "OAF_back_fear"),
        ("OAF_Pleasant_surprise", "OAF_back_ps", "OAF_back_ps"),
        ("YAF_pleasant_surprised", "YAF_youth_ps", "YAF_youth_ps"),
        ("yaf_pleasant_surprised", "yaf_youth_pleasant_surprised", "YAF_youth_ps"),
        ("YAF_surprise", "YAF_youth_Surprise", "YAF_youth_ps"),
        ("OAF_neutral", "OA_bite_neutral", "OAF_bite_neutral"),
        (".", "YAF_youth_sad", "YAF_youth_sad"),
        ("TESS Toronto emotional speech set data/YAF_sad", "YAF_youth_sad", "YAF_youth_sad"),
    ],
)
def test_tess_is_read_in_any_case_and_spelling(tmp_path, folder, name, clip):
    put(tmp_path / "tess", f"{folder}/{name}.wav")
    assert used(tess, tmp_path) == [clip]
    assert clip in tess.expected()


def test_tess_kaggle_archive_with_everything_twice_is_read_once(tmp_path):
    inner = "TESS Toronto emotional speech set data"
    clips = ["OAF_back_angry", "OAF_bar_angry", "OAF_base_angry"]
    put(tmp_path / "tess", *(f"{inner}/{middle}OAF_angry/{c}.wav" for middle in ("", f"{inner}/") for c in clips))
    assert len(scan(tess.CORPUS, tmp_path).table) == 6
    assert used(tess, tmp_path) == sorted(clips)


def test_tess_labels_of_speaker_and_word():
    row = tess.parse(Path("OAF_Fear/OAF_home_fear.wav"))
    assert (row["speaker"], row["gender"], row["age_group"]) == ("tess_OAF", "female", "60+")
    assert (row["sentence"], row["text"]) == ("home", "Say the word home.")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("OAF_sad/OAF_back_angry.wav", "its folder is OAF_sad"),
        ("YAF_angry/OAF_back_angry.wav", "its folder is YAF_angry"),
        ("MAF_back_angry.wav", "speaker 'MAF'"),
        ("OAF_back_bored.wav", "emotion 'bored'"),
        ("OAF_banana_sad.wav", "word 'banana'"),
        ("OAF_back_angry (1).wav", "speaker_word_emotion"),
    ],
)
def test_tess_name_that_cannot_be_right_is_refused(path, words):
    with pytest.raises(ValueError, match=words):
        tess.parse(Path(path))


# --- SAVEE -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "paths",
    [
        ["DC_a01.wav", "KL_su15.wav", "JE_n30.wav"],
        ["DC/a01.wav", "KL/su15.wav", "JE/n30.wav"],
        ["AudioData/DC/a01.wav", "AudioData/KL/su15.wav", "AudioData/JE/n30.wav"],
        ["ALL/DC_a01.wav", "ALL/KL_su15.wav", "ALL/JE_n30.wav"],
    ],
)
def test_savee_is_read_flat_and_in_folders_of_speakers(tmp_path, paths):
    put(tmp_path / "savee", *paths)
    assert used(savee, tmp_path) == ["DC_a01", "JE_n30", "KL_su15"]


def test_savee_has_15_sentences_per_emotion_and_30_neutral_ones():
    rows = [savee.parse(Path(f"{clip}.wav")) for clip in savee.expected()]
    counts = Counter((row["speaker"], row["emotion"]) for row in rows)
    assert set(counts.values()) == {15, 30}
    assert {key for key, count in counts.items() if count == 30} == {(f"savee_{s}", "neutral") for s in savee.SPEAKERS}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a01.wav", "speaker"),
        ("XX_a01.wav", "speaker 'XX'"),
        ("DC/JE_a01.wav", "its folder is DC"),
        ("DC_b01.wav", "emotion 'b'"),
        ("DC_a16.wav", "sentence 16"),
        ("DC_n00.wav", "sentence 0"),
        ("DC_a01 copy.wav", "name is not"),
    ],
)
def test_savee_name_that_cannot_be_right_is_refused(path, words):
    with pytest.raises(ValueError, match=words):
        savee.parse(Path(path))


# --- what desktops leave, for each corpus that reads names --------------------------------------------------------

ONE = {
    "ravdess": ("Actor_01", "03-01-01-01-01-01-01.wav"),
    "emodb": ("wav", "03a01Fa.wav"),
    "cremad": ("AudioWAV", "1001_DFA_ANG_XX.wav"),
    "tess": ("OAF_angry", "OAF_back_angry.wav"),
    "savee": ("DC", "a01.wav"),
}


@pytest.mark.parametrize("name", SPEECH)
def test_files_that_desktops_leave_are_no_clips(tmp_path, name):
    folder, clip = ONE[name]
    put(tmp_path / name, f"{folder}/{clip}")
    for path in JUNK:
        file = tmp_path / name / path.format(folder, clip)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\0\5\26\7")
    found = scan(CORPORA[name], tmp_path)
    assert len(found.table) == 1
    assert {finding.path for finding in found.findings if finding.path.startswith(name)} <= {
        name,
        f"{name}/{folder}/{clip}",
    }


# --- ESC-50 ------------------------------------------------------------------------------------------------------


def test_esc50_folder_of_the_archive_is_read_with_its_folds(tmp_path):
    put(tmp_path / "esc50", "ESC-50-master/audio/1-100032-A-0.wav", "ESC-50-master/audio/4-172649-A-40.wav")
    table = scan(esc50.CORPUS, tmp_path).table
    assert table[["fold", "noise_class", "source"]].to_numpy().tolist() == [
        [1, "dog", "100032"],
        [4, "helicopter", "172649"],
    ]


# --- MELD --------------------------------------------------------------------------------------------------------

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


def line(d: int, u: int, *, emotion="joy", speaker="Joey", text="Hey", start="00:01:00,000", end="00:01:02,500", ep=1):
    return f'{d},"{text}",{speaker},{emotion},positive,{d},{u},3,{ep},"{start}","{end}"\n'


def tables(folder: Path, *, train: str, dev: str = "", test: str = "", encoding: str = "utf-8") -> Path:
    """The three official tables with the lines given."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in (("train", train), ("dev", dev), ("test", test)):
        (folder / f"{part}_sent_emo.csv").write_bytes((HEADER + lines).encode(encoding))
    return folder


@pytest.fixture
def small(tmp_path):
    return tables(
        tmp_path / "meld",
        train=line(0, 0, ep=1)
        + line(0, 1, ep=2, emotion="anger", speaker="Ross")
        + line(1, 0, ep=3, speaker="Gunther"),
        dev=line(0, 0, ep=4, emotion="sadness", speaker="Monica"),
        test=line(0, 0, ep=5, emotion="fear", speaker="Phoebe Sr"),
    )


def test_meld_ids_and_dialogues_are_unique_over_the_parts(small):
    table = meld.table(small)
    assert table["clip_id"].tolist() == [
        "train_dia0_utt0",
        "train_dia0_utt1",
        "train_dia1_utt0",
        "dev_dia0_utt0",
        "test_dia0_utt0",
    ]
    assert table["dialogue"].tolist() == ["train_dia0", "train_dia0", "train_dia1", "dev_dia0", "test_dia0"]
    assert table["split"].tolist() == ["train"] * 3 + ["validation", "test"]
    assert table["emotion"].tolist() == ["happy", "angry", "happy", "sad", "fear"]
    assert table["gender"].tolist() == ["male", "male", "unknown", "female", "unknown"]
    assert table["speaker"].tolist() == ["meld_Joey", "meld_Ross", "meld_Gunther", "meld_Monica", "meld_Phoebe Sr."]
    assert (table["exclude_reason"] == "").all()


def test_meld_without_sound_keeps_every_row_as_missing(small):
    table = scan(meld.CORPUS, small.parent).table
    assert len(table) == 5
    assert set(table["exclude_reason"]) == {MISSING}
    assert table["path"].tolist()[3] == "meld/dev_splits_complete/dia0_utt0.mp4"


LAYOUTS = {
    "official": ("train_splits", "dev_splits_complete", "output_repeated_splits_test"),
    "archive": (
        "MELD.Raw/train/train_splits",
        "MELD.Raw/dev/dev_splits_complete",
        "MELD.Raw/test/output_repeated_splits_test",
    ),
    "extracted": ("train", "dev", "test"),
    "val": ("audio/train", "audio/val", "audio/test"),
    "other words": ("latest test/training_set", "latest test/validation", "training/Test_wav"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_meld_sound_is_found_in_official_and_similar_folders(small, layout, suffix):
    put(small, *(f"{folder}/dia0_utt0{suffix}" for folder in LAYOUTS[layout]))
    table = meld.table(small).set_index("clip_id")["path"]
    for clip, folder in zip(("train_dia0_utt0", "dev_dia0_utt0", "test_dia0_utt0"), LAYOUTS[layout], strict=True):
        assert table[clip] == f"{folder}/dia0_utt0{suffix}"
    rows = scan(meld.CORPUS, small.parent).table.set_index("clip_id")
    assert rows.loc["train_dia0_utt1", "exclude_reason"] == MISSING
    assert rows.loc["train_dia0_utt0", "exclude_reason"] != MISSING
    assert rows.loc["train_dia0_utt0", "duration_s"] == pytest.approx(0.1)


def test_meld_leftovers_are_not_taken_for_clips(small):
    put(small, "train_splits/dia0_utt0.wav")
    folder = small / "output_repeated_splits_test"
    folder.mkdir()
    for name in ("._dia0_utt0.mp4", "final_videos_testdia0_utt0.mp4", "dia0_utt0.txt"):
        (folder / name).write_bytes(b"x")
    assert meld.find_sounds(small) == {"train_dia0_utt0": "train_splits/dia0_utt0.wav"}


def test_meld_takes_extracted_sound_before_the_film(small):
    put(small, "extracted/train/dia0_utt0.wav")
    (small / "train_splits").mkdir()
    (small / "train_splits" / "dia0_utt0.mp4").write_bytes(b"film")
    assert meld.find_sounds(small)["train_dia0_utt0"] == "extracted/train/dia0_utt0.wav"


def test_meld_folder_that_names_no_part_holds_no_known_clip(small):
    put(small, "latest/dia0_utt0.wav", "wav/dia0_utt0.wav")
    assert meld.find_sounds(small) == {}


def test_meld_flat_names_may_carry_the_part(small):
    put(small, "audio/train_dia0_utt0.wav", "audio/val_dia0_utt0.wav", "audio/dia0_utt1.wav")
    assert set(meld.find_sounds(small)) == {"train_dia0_utt0", "dev_dia0_utt0"}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_meld_text_is_read_in_the_encodings_of_copies(tmp_path, encoding):
    folder = tables(tmp_path / "meld", train=line(0, 0, text="he’s  lost it…"), encoding=encoding)
    assert meld.table(folder)["text"].tolist() == ["he’s lost it…"]


def test_meld_table_with_a_mark_before_its_first_column_is_read(tmp_path):
    folder = tables(tmp_path / "meld", train=line(0, 0))
    for file in folder.glob("*.csv"):
        rows = [row.partition(",")[2] for row in file.read_text(encoding="utf-8").splitlines()]
        file.write_text("\n".join(rows), encoding="utf-8-sig")
    assert meld.table(folder)["text"].tolist() == ["Hey"]


def test_meld_control_characters_for_apostrophes_are_mended(tmp_path):
    folder = tables(tmp_path / "meld", train=line(0, 0, text="he\x92s lost it\x85"))
    assert meld.table(folder)["text"].tolist() == ["he’s lost it…"]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("00:01:00,000", "00:01:00,000", "spans 0.000 s"),
        ("00:01:01,000", "00:01:00,000", "spans -1.000 s"),
        ("00:01:00,000", "00:01:00,084", "spans 0.084 s"),
        ("0:01:44,270", "00:05:39,338", "spans 235.068 s"),
    ],
)
def test_meld_time_code_that_cannot_be_right_is_left_out(tmp_path, start, end, words):
    rows = meld.table(tables(tmp_path / "meld", train=line(0, 0, start=start, end=end) + line(0, 1, ep=2)))
    assert words in rows["exclude_reason"][0]
    assert rows["exclude_reason"][1] == ""


def test_meld_same_sound_in_two_parts_stays_in_test_alone(tmp_path):
    rows = meld.table(tables(tmp_path / "meld", train=line(0, 0), dev=line(7, 0), test=line(3, 1)))
    reasons = rows.set_index("clip_id")["exclude_reason"]
    assert reasons["test_dia3_utt1"] == ""
    assert reasons["train_dia0_utt0"] == reasons["dev_dia7_utt0"] == "same time code as test_dia3_utt1, which is kept"


def test_meld_same_sound_under_two_emotions_is_left_out_everywhere(tmp_path):
    rows = meld.table(tables(tmp_path / "meld", train=line(0, 0, emotion="fear"), test=line(3, 1, emotion="joy")))
    assert rows["exclude_reason"].tolist() == [
        "same time code as test_dia3_utt1, which is labelled joy",
        "same time code as train_dia0_utt0, which is labelled fear",
    ]


def test_meld_defects_of_the_archive_are_left_out_by_name(tmp_path):
    folder = tables(tmp_path / "meld", train=line(125, 3, ep=1), dev=line(110, 7, ep=2), test=line(125, 3, ep=3))
    reasons = meld.table(folder)["exclude_reason"].tolist()
    assert ["39" in reasons[0], "22" in reasons[1], reasons[2]] == [True, True, ""]


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (line(0, 0, emotion="bored"), "emotion 'bored'"),
        (line(0, 0) + line(0, 0, ep=2), "dialogue 0 has utterance 0 twice"),
        (line(0, 0).replace(",0,0,3,", ",x,0,3,"), "Dialogue_ID 'x'"),
    ],
)
def test_meld_table_that_cannot_be_right_is_refused(tmp_path, train, words):
    with pytest.raises(study.UserError, match=words):
        meld.table(tables(tmp_path / "meld", train=train))


def test_meld_absent_and_foreign_tables_are_told(tmp_path):
    folder = tables(tmp_path / "meld", train=line(0, 0))
    (folder / "test_sent_emo.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(study.UserError, match="no column Utterance"):
        meld.table(folder)
    (folder / "dev_sent_emo.csv").unlink()
    with pytest.raises(study.UserError, match=r"no dev_sent_emo\.csv"):
        meld.table(folder)
