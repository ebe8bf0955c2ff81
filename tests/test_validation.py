"""Every defect that a corpus can have, injected into a copy and found by name; what was read is remembered."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import corpora, study
from ser_utils.corpora import cremad, facts, ravdess
from ser_utils.corpora.base import MISSING, Corpus
from ser_utils.corpora.finding import LEFT_OUT, NOTE, STOPS
from ser_utils.corpora.probe import clipped_share, probe

NAMES = sorted(name for name in ravdess.expected() if name.endswith("-01"))  # 60; takes of a sentence are neighbours
EXTRA = "03-01-01-01-01-01-02"
NESTED = "ravdess/audio_speech_actors_01-24"


def clip(file, seed, *, sr=16000):
    """Write noise that differs with the seed, at speech-like levels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    y = 0.1 * np.random.default_rng(seed).standard_normal(int(sr * (0.5 + 0.01 * (seed % 5))))
    sf.write(file, y, sr)
    return file


def sample(file):
    return sf.read(file, dtype="float32")


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


def change(edit, *, rate=1.0):
    """A defect that is made from the samples."""

    def inject(file):
        y, sr = sample(file)
        sf.write(file, edit(y), int(sr * rate), subtype="FLOAT" if file.suffix == ".wav" else None)

    return inject


def recode(suffix, *, name="", damage=lambda file: None):
    """The same sound in another container, under its own suffix or `name`."""

    def inject(file):
        y, sr = sample(file)
        new = file.with_suffix(suffix)
        sf.write(new, y, sr)
        damage(new)
        file.unlink()
        return new.rename(new.with_suffix(name)) if name else new

    return inject


def other(file, step):
    """A clip beside this one: the next take (1) or another emotion (-24)."""
    return file.with_name(f"{NAMES[NAMES.index(file.stem) + step]}.wav")


def copy_of(step, *, to="", suffix=""):
    """Overwrite a clip with the sound of another one."""

    def inject(file):
        y, sr = sample(other(file, step))
        place = Path(str(file.parent).replace("ravdess/Actor", f"{to}/Actor")) if to else file.parent
        place.mkdir(parents=True, exist_ok=True)
        if not to:
            file.unlink()
        new = (place / file.name).with_suffix(suffix or ".wav")
        if suffix:
            sf.write(new, y, sr)
        else:
            shutil.copyfile(other(file, step), new)
        return new

    return inject


def write(content):
    return lambda file: file.write_bytes(content) and None


def link(file):
    file.unlink()
    file.symlink_to("gone.wav")


def beside(name):
    """Another file in the corpus folder; the clip stays."""

    def inject(file):
        new = file.parents[1] / name
        new.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, new)
        return new

    return inject


def move_extra(file):
    new = file.parents[1] / "Actor_02" / f"{EXTRA}.wav"
    new.parent.mkdir()
    y, sr = sample(file)
    sf.write(new, y[::-1], sr)
    return new


DEFECTS = {  # what is done to a clip, what is said of it, what follows
    "missing": (lambda file: file.unlink(), "missing: an official clip without a file", NOTE),
    "extra": (move_extra, "extra: not an official clip", NOTE),
    "empty": (write(b""), "the file has 0 bytes", STOPS),
    "unreadable": (write(b"RIFF\xff\xff\xff\x7fWAVE" + bytes(range(256)) * 9), "not readable as audio", STOPS),
    "web page under .wav": (write(b"<!DOCTYPE html><html>not found</html>"), "holds a web page, not audio", STOPS),
    "archive under .wav": (write(b"PK\x03\x04" + bytes(999)), "holds a ZIP archive, not audio", STOPS),
    "pointer": (write(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "a git-lfs text pointer", STOPS),
    "truncated wav": (cut, "truncated: its header promises", STOPS),
    "truncated flac": (recode(".flac", damage=cut), "truncated", STOPS),
    "truncated ogg": (recode(".ogg", damage=cut), "truncated: its last Ogg page", STOPS),
    "truncated mp3": (recode(".mp3", damage=cut), "truncated", STOPS),
    "flac under .wav": (recode(".flac", name=".wav"), "wrong container: holds FLAC under .wav", NOTE),
    "mp3 under .wav": (recode(".mp3", name=".wav"), "wrong container: holds MP3 under .wav", NOTE),
    "not finite": (change(lambda y: np.where(np.arange(y.size) == 99, np.nan, y)), "not finite numbers", STOPS),
    "dangling link": (link, "a link to a file that does not exist (gone.wav)", STOPS),
    "unknown code": (lambda file: file.rename(file.with_name("03-01-09-01-01-01-01.wav")), "emotion code '09'", STOPS),
    "silent": (change(lambda y: 1e-4 * y), "silent: its peak is below -60 dBFS", LEFT_OUT),
    "silent with offset": (change(lambda y: 1e-4 * y + 0.2), "silent: its peak is below -60 dBFS", LEFT_OUT),
    "clipped": (change(lambda y: np.clip(y / y.std(), -1, 1)), "clipped: ", NOTE),
    "DC offset": (change(lambda y: y + 0.05), "DC offset: its samples average +0.050 of full scale", NOTE),
    "long": (change(lambda y: np.tile(y, 5)), "duration outlier: ", NOTE),
    "short": (change(lambda y: y[y.size // 2 : y.size // 2 + y.size // 10]), "duration outlier: ", NOTE),
    "sample rate": (change(lambda y: y, rate=1.2), "where 16000 Hz is usual", NOTE),
    "stereo": (change(lambda y: np.stack([y, y[::-1]], 1)), "2 channels, where one is usual", NOTE),
    "copy": (copy_of(-1), "same audio as", LEFT_OUT),
    "copy as flac": (copy_of(-1, suffix=".flac"), "(in another file format)", LEFT_OUT),
    "copy of another emotion": (copy_of(-24), "but labelled", STOPS),
    "nested copy": (copy_of(0, to=NESTED), "(the same take in another folder)", LEFT_OUT),
    "nested copy as flac": (copy_of(0, to=NESTED, suffix=".flac"), "another folder, in another file", LEFT_OUT),
    "nested take of other sound": (copy_of(1, to=NESTED, suffix=".mp3"), "folder, with other sound)", LEFT_OUT),
    "altered": (lambda file: None, "altered: its sha256 is not the published one", NOTE),
    "foreign file": (beside("Actor_01/notes.txt"), "not read: its suffix is none of", NOTE),
    "out of place": (beside("somewhere/clip.wav"), "not read: lies outside the layout", NOTE),
}
PLACES = {name: 59 - number for number, name in enumerate(DEFECTS)}  # each has its own clip, from the end of NAMES
PLACES |= {"copy": 1, "copy as flac": 3, "missing": 4}  # takes of what stays as it is
ALTERED = NAMES[PLACES["altered"]]


def inject_all(root, monkeypatch):
    """Every defect into its own clip of 60; the corpus is told that these are all.

    Returns
    -------
    dict
        Defect → path below `root` that the finding has to name.
    """
    entry = dataclasses.replace(
        ravdess.CORPUS, n_clips=60, expected=lambda: frozenset(NAMES), hashes=lambda: {ALTERED: "0" * 64}
    )
    monkeypatch.setitem(corpora.CORPORA, "ravdess", entry)
    named = {}
    for defect, (inject, _, _) in DEFECTS.items():
        file = root / "ravdess/Actor_01" / f"{NAMES[PLACES[defect]]}.wav"
        path = inject(file) or file
        named[defect] = path.relative_to(root).as_posix() if defect != "missing" else file.stem
    return named


def profile_of(monkeypatch, **settings):
    profile = study.PROFILE_DEFAULTS | settings
    monkeypatch.setattr(study, "load_profile", lambda name: profile)


@dataclasses.dataclass(frozen=True)
class Spoilt:
    """What is said of 60 clips with every defect."""

    named: dict[str, str]  # defect → path that its finding has to name
    found: pd.DataFrame
    report: tuple[str, bool]
    bad: list[str]  # paths that stop a run
    table: pd.DataFrame  # manifest once these are excluded
    notes: pd.DataFrame  # findings then


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoilt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_DATA", str(root / "raw"))
        patch.setenv("SER_OUT", str(root / "out"))
        patch.setenv("SER_JOBS", "1")  # quicker than starting workers for 60 clips
        for seed, name in enumerate(NAMES):
            clip(root / "raw/ravdess/Actor_01" / f"{name}.wav", seed)
        named = inject_all(root / "raw", patch)
        found, report = corpora.validate(["ravdess"]), corpora.check_report(["ravdess"])
        bad = found.loc[found["action"] == STOPS, "path"].tolist()
        profile_of(patch, corpora=["ravdess"], exclude={"ravdess": dict.fromkeys(bad, "broken")})
        return Spoilt(named, found, report, bad, corpora.manifest("any"), corpora.findings("any"))


def assert_found(defect, found, named):
    _, words, action = DEFECTS[defect]
    rows = found[found["path"] == named[defect]]
    told = rows[rows["problem"].str.contains(words, regex=False)]
    assert told["action"].tolist() == [action], rows.to_string()


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_by_name(spoilt, defect):
    assert_found(defect, spoilt.found, spoilt.named)


def test_a_sound_clip_is_not_named(spoilt):
    renamed = NAMES[PLACES["unknown code"]]
    assert not set(spoilt.found["path"]) - set(spoilt.named.values()) - {"ravdess", renamed}


def test_counts_per_emotion_and_speaker_are_told(spoilt):
    told = spoilt.found.loc[spoilt.found["path"] == "ravdess", "problem"]
    counts = next(problem for problem in told if problem.startswith("clips per emotion"))
    assert "neutral: 2 of 4" in counts  # both copies, and no other defect, lie in neutral
    assert any(problem.startswith("clips per speaker: ravdess_1: ") and " of 60" in problem for problem in told)


def test_what_is_left_out_is_in_the_manifest_or_excluded_with_the_same_reason(spoilt):
    notes, table = spoilt.notes, spoilt.table
    told = notes[notes["action"] == LEFT_OUT].set_index("path")["problem"].to_dict()
    excluded = table[table["exclude_reason"] != ""].set_index("path")["exclude_reason"].to_dict()
    assert told == excluded | dict.fromkeys(spoilt.bad, "left out by the profile: broken")
    assert len(excluded) == sum(action == LEFT_OUT for _, _, action in DEFECTS.values())


@pytest.mark.parametrize("action", [STOPS, LEFT_OUT, NOTE])
def test_the_report_names_each_file_and_says_whether_a_run_stops(spoilt, action):
    text, ok = spoilt.report
    assert not ok
    for path in spoilt.found.loc[spoilt.found["action"] == action, "path"]:
        assert path in text
    assert text.splitlines()[-1].endswith(f"; {len(spoilt.bad)} findings stop a run")


@pytest.mark.real
def test_every_defect_is_found_among_real_clips(tmp_path, monkeypatch):
    source = study.paths("full").data / "ravdess/Actor_01"
    files = {file.stem: file for file in source.glob("*")} if source.is_dir() else {}
    if not set(NAMES) <= set(files):
        pytest.skip("no ravdess/Actor_01 below SER_DATA")
    monkeypatch.setenv("SER_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    (tmp_path / "raw/ravdess/Actor_01").mkdir(parents=True)
    for name in NAMES:
        y, sr = sample(files[name])
        mono = y if y.ndim == 1 else y.mean(axis=1)
        sf.write(tmp_path / "raw/ravdess/Actor_01" / f"{name}.wav", mono, 16000 if sr == 16000 else sr)
    named = inject_all(tmp_path / "raw", monkeypatch)
    found = corpora.validate(["ravdess"])
    for defect in DEFECTS:
        if defect != "sample rate" or sr == 16000:
            assert_found(defect, found, named)


def test_a_corpus_that_cannot_be_read_does_not_hide_the_others(data):
    (data / "emodb").mkdir()
    text, ok = corpora.check_report()
    assert not ok
    assert "the corpus folder is empty" in text
    assert "ravdess: 12 clips, 12 used, 0 left out" in text


# --- copies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with twelve RAVDESS clips, and a profile that reads it."""
    monkeypatch.setenv("SER_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    profile_of(monkeypatch, corpora=["ravdess"])
    for seed, name in enumerate(NAMES[:12]):
        clip(tmp_path / "raw/ravdess/Actor_01" / f"{name}.wav", seed)
    return tmp_path / "raw"


def double(root):
    """As the Kaggle archive unpacks: every actor again, under a second folder."""
    for file in sorted((root / "ravdess").glob("Actor_*/*")):
        copy = root / NESTED / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(file)


def test_a_doubled_corpus_counts_once(data):
    double(data)
    table = corpora.manifest("any")
    used = corpora.usable(table)
    assert (len(table), len(used)) == (24, 12)
    assert used["path"].str.startswith("ravdess/Actor_01").all()


@pytest.mark.real
def test_a_doubled_ravdess_has_as_many_clips_as_a_single_one(tmp_path, monkeypatch):
    source = study.paths("full").data / "ravdess"
    if len(list(source.glob("Actor_*/*"))) != 1440:
        pytest.skip("no whole ravdess below SER_DATA")
    (tmp_path / "raw/ravdess").mkdir(parents=True)
    for folder in source.glob("Actor_*"):
        shutil.copytree(folder, tmp_path / "raw/ravdess" / folder.name, copy_function=os.symlink)
    monkeypatch.setenv("SER_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    profile_of(monkeypatch, corpora=["ravdess"])
    single = len(corpora.usable(corpora.manifest("any")))
    double(tmp_path / "raw")
    table = corpora.manifest("any")
    assert (len(table), table["clip_id"].nunique(), len(corpora.usable(table))) == (2880, 1440, single)


def test_a_clip_that_two_corpora_hold_is_used_once(data, monkeypatch):
    profile_of(monkeypatch, corpora=["ravdess", "emodb"])
    twin = data / "ravdess/Actor_01" / f"{NAMES[0]}.wav"
    clip(data / "emodb/wav/03a01Fa.wav", 99)
    y, sr = sample(twin)
    sf.write(data / "emodb/wav/03a01Wa.flac", y, sr)
    table = corpora.manifest("any").set_index("path")
    reason = f"same audio as ravdess/Actor_01/{NAMES[0]}.wav of corpus ravdess, there labelled neutral, here angry"
    assert table.loc["emodb/wav/03a01Wa.flac", "exclude_reason"] == reason
    assert (table["exclude_reason"] == "").sum() == 13
    told = corpora.findings("any").set_index("path").loc["emodb/wav/03a01Wa.flac"]
    assert (told["problem"], told["action"]) == (reason, LEFT_OUT)


# --- clips from a table ------------------------------------------------------------------------------------------


@pytest.fixture
def listed(data, monkeypatch):
    """A corpus of four clips that a table names; nothing of its sound is there yet."""
    rows = [
        {"path": f"sounds/{n}.wav", "clip_id": str(n), "speaker": f"listed_{n % 2}", "emotion": "happy",
         "emotion_raw": "joy", "exclude_reason": "bad cut" if n == 3 else ""}
        for n in range(4)
    ]  # fmt: skip
    entry = Corpus(
        name="listed", title="Listed", version="1", licence="none", citation="@misc{x}", address="", n_clips=4,
        layout="listed/sounds/0.wav", pattern="**/*", table=lambda folder: pd.DataFrame(rows),
    )  # fmt: skip
    monkeypatch.setitem(corpora.CORPORA, "listed", entry)
    (data / "listed").mkdir()
    profile_of(monkeypatch, corpora=["ravdess", "listed"])
    return data / "listed"


def test_a_corpus_without_its_sound_is_a_state_and_no_error(listed):
    table = corpora.manifest("any").query("corpus == 'listed'")
    assert table["exclude_reason"].tolist() == [MISSING, MISSING, MISSING, "bad cut"]
    assert (table["sample_rate"] == 0).all()
    assert table["duration_s"].isna().all()
    assert (table["sha256"] == "").all()
    assert len(corpora.usable(corpora.manifest("any"))) == 12
    found = corpora.findings("any").query("corpus == 'listed'")
    assert found["problem"].tolist() == ["bad cut", "audio missing: 3 of 4 clips of the table have no file"]


def test_a_manifest_without_any_sound_is_written(listed, monkeypatch):
    profile_of(monkeypatch, corpora=["listed"])
    table = corpora.manifest("any")
    assert (len(table), len(corpora.usable(table))) == (4, 0)


def test_sound_that_is_there_is_used_and_the_rest_is_named(listed):
    clip(listed / "sounds/0.wav", 50)
    clip(listed / "sounds/3.wav", 53)
    clip(listed / "sounds/9.wav", 59)
    table = corpora.manifest("any").query("corpus == 'listed'")
    assert table["exclude_reason"].tolist() == ["", MISSING, MISSING, "bad cut"]
    assert table["duration_s"].notna().tolist() == [True, False, False, True]
    found = corpora.findings("any").set_index("path")["problem"]
    assert found["listed/sounds/1.wav"] == "missing: no such file"
    assert found["listed/sounds/9.wav"] == "not read: no row of the table names this file"
    assert found["listed/sounds/3.wav"] == "bad cut"


def test_a_listed_file_that_is_broken_stops_the_run_unless_it_is_left_out_anyway(listed):
    for name in ("0", "3"):
        clip(listed / f"sounds/{name}.wav", 50).write_bytes(b"")
    with pytest.raises(study.UserError) as stopped:
        corpora.build("any")
    assert str(stopped.value).startswith("listed/sounds/0.wav: the file has 0 bytes; replace the file")
    assert "sounds/3.wav" not in str(stopped.value)


def test_a_known_defect_is_left_out_with_its_reason(data, monkeypatch):
    entry = dataclasses.replace(ravdess.CORPUS, defects={NAMES[0]: "wrongly labelled"})
    monkeypatch.setitem(corpora.CORPORA, "ravdess", entry)
    table = corpora.manifest("any").set_index("clip_id")
    assert table.loc[NAMES[0], "exclude_reason"] == "wrongly labelled"
    assert "wrongly labelled" in corpora.findings("any")["problem"].tolist()


def test_a_table_of_the_users_own_is_a_corpus_of_the_profile(data, monkeypatch):
    for seed in range(4):
        clip(data / f"mine/{seed}.wav", 70 + seed)
    rows = [f"{n}.wav,{emotion},p{n % 2}" for n, emotion in enumerate(("happy", "sad") * 2)]
    (data / "mine/labels.csv").write_text("\n".join(["Filename,Emotion,Speaker", *rows]), encoding="utf-8")
    profile_of(monkeypatch, corpora=["ravdess", "mine"], tables={"mine": {}})
    table = corpora.usable(corpora.manifest("any")).query("corpus == 'mine'")
    assert table["emotion"].tolist() == ["happy", "sad", "happy", "sad"]
    assert corpora.corpus("mine", "any").name == "mine"
    with pytest.raises(study.UserError, match="corpus 'mine' is unknown"):
        corpora.corpus("mine")


def test_what_was_seen_in_a_table_of_the_users_own_is_a_note(data, monkeypatch):
    clip(data / "mine/0.wav", 70)
    clip(data / "mine/1.wav", 71)
    (data / "mine/labels.csv").write_text("path,emotion,fold\n0.wav,sad,1\n1.wav,happy,2\n1.wav,happy,2\n")
    profile_of(monkeypatch, corpora=["ravdess", "mine"], tables={"mine": {}})
    corpora.build("any")
    for found in (corpora.findings("any"), corpora.validate(["mine"], profile="any")):
        notes = found[(found["path"] == "mine") & (found["action"] == NOTE)]["problem"]
        for words in ("column 'fold' holds 1, 2", "1 row repeats a path", "speaker independence cannot be checked"):
            assert notes.str.contains(words, regex=False).sum() == 1, words
    assert "speaker independence cannot be checked" in corpora.check_report(["mine"], profile="any")[0]
    general = ravdess.CORPUS.notes["age"]  # true of every copy, so no finding
    assert general not in set(corpora.findings("any")["problem"])


def test_a_broken_table_does_not_hide_the_other_corpora(data, monkeypatch):
    (data / "mine").mkdir()
    (data / "mine/labels.csv").write_text("path,emotion\n0.wav,hungry\n")
    profile_of(monkeypatch, corpora=["ravdess", "mine"], tables={"mine": {}})
    text, ok = corpora.check_report(profile="any")
    assert not ok
    assert "unknown emotions: 'hungry' (1 clip)" in text
    assert "ravdess: 12 clips, 12 used" in text


def test_a_name_that_is_nearly_right_is_offered(data):
    for ask in (lambda: corpora.corpus("ravdes", "any"), lambda: corpora.validate(["ravdes"])):
        with pytest.raises(study.UserError, match=r"corpus 'ravdes' is unknown \(did you mean ravdess\?\); known"):
            ask()


# --- many files with one fault -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a git-lfs text pointer, not audio"),
        (b"", "the file has 0 bytes"),
    ],
)
def test_a_corpus_without_content_is_told_in_a_few_lines(data, monkeypatch, content, words):
    """As a clone of CREMA-D without git-lfs: every file is there, and none holds sound."""
    names = sorted(cremad.expected())[:300]
    (data / "cremad/AudioWAV").mkdir(parents=True)
    for name in names:
        (data / f"cremad/AudioWAV/{name}.wav").write_bytes(content)
    profile_of(monkeypatch, corpora=["ravdess", "cremad"])
    text, ok = corpora.check_report(["cremad"])
    assert not ok
    told = text[text.index("stops the run") :].splitlines()
    assert told[0].startswith(f"stops the run: 300 files: {words}")
    assert told[1:22] == [f"    cremad/AudioWAV/{name}.wav" for name in names[:20]] + ["    … and 280 more"]
    assert len(text.splitlines()) < 60
    with pytest.raises(study.UserError) as stopped:
        corpora.build("any")
    lines = str(stopped.value).splitlines()
    assert lines[0].startswith(f"300 files: {words}")
    assert lines[1:] == [f"  cremad/AudioWAV/{name}.wav" for name in names[:20]] + ["  … and 280 more"]


def test_many_files_with_many_faults_are_told_in_part(data):
    for name in NAMES[12:60]:
        clip(data / f"ravdess/Actor_01/{name}-x.wav", 1)  # names that each say another thing
        (data / f"ravdess/Actor_01/{name}-x.wav").rename(data / f"ravdess/Actor_01/03-01-{name[6:8]}-{name[9:]}-9.wav")
        (data / f"ravdess/Actor_01/{name}{name[-5:-3]}-{name[6:17]}.wav").write_bytes(b"")
    with pytest.raises(study.UserError) as stopped:
        corpora.build("any")
    assert len(str(stopped.value).splitlines()) <= 41


# --- memory ------------------------------------------------------------------------------------------------------


@pytest.fixture
def read(data, monkeypatch):
    """Names of the files that are decoded from here on; everything was once."""
    corpora.validate(["ravdess"])
    names = []
    monkeypatch.setattr(facts, "probe", lambda path: names.append(path.name) or probe(path))
    return names


def store(data):
    return next((data.parent / "out/data/derived/checks").glob("ravdess-*.parquet"))


def test_a_second_check_decodes_nothing_and_finds_the_same(data, read):
    y, sr = sample(data / f"ravdess/Actor_01/{NAMES[0]}.wav")
    sf.write(data / f"ravdess/Actor_01/{NAMES[0]}.wav", y + 0.1, sr)
    first = corpora.validate(["ravdess"])
    assert read == [f"{NAMES[0]}.wav"]
    pd.testing.assert_frame_equal(first, corpora.validate(["ravdess"]))
    assert first["problem"].str.startswith("DC offset").any()
    assert len(read) == 1


def test_only_files_that_changed_are_decoded_again(data, read):
    folder = data / "ravdess/Actor_01"
    os.utime(folder / f"{NAMES[2]}.wav", ns=(1, 1))
    (folder / f"{NAMES[5]}.wav").write_bytes(b"")
    clip(folder / f"{NAMES[12]}.wav", 12)
    corpora.validate(["ravdess"])
    assert sorted(read) == [f"{NAMES[n]}.wav" for n in (2, 5, 12)]
    corpora.validate(["ravdess"])
    assert read[3:] == [f"{NAMES[5]}.wav"]  # a broken file may be readable once a decoder is there


def test_facts_of_other_code_are_not_taken(data, read, monkeypatch):
    monkeypatch.setattr(facts, "_code", lambda: "other code")
    corpora.validate(["ravdess"])
    assert len(read) == 12


def test_facts_of_another_folder_are_not_taken(data, read, monkeypatch):
    shutil.copytree(data, data.parent / "copy")  # with the times of the files
    monkeypatch.setenv("SER_DATA", str(data.parent / "copy"))
    corpora.validate(["ravdess"])
    assert len(read) == 12


def test_memory_that_is_damaged_is_said_and_read_again(data, read, capsys):
    whole = store(data).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole.replace(b"Actor_01", b"Actor_02")):
        store(data).write_bytes(damaged)
        read.clear()
        found = corpora.validate(["ravdess"])
        assert len(read) == 12
        assert "every file is read again" in capsys.readouterr().err
        assert not found["path"].str.contains("Actor_02/").any()
    assert store(data).stat().st_size == len(whole)


# --- measures ----------------------------------------------------------------------------------------------------


def test_sound_that_only_touches_full_scale_is_not_clipped():
    y = np.random.default_rng(0).standard_normal((16000, 1))
    y /= np.abs(y).max()
    assert clipped_share(y) == 0
    assert clipped_share(np.clip(3 * y, -1, 1)) > 0.002
    assert clipped_share(0.7 * np.clip(3 * y, -1, 1)) > 0.002
    assert clipped_share(0.1 * np.clip(3 * y, -1, 1)) == 0


def test_equal_sound_has_one_hash_whatever_holds_it(tmp_path):
    y = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    sf.write(tmp_path / "a.wav", y, 16000)
    y, _ = sample(tmp_path / "a.wav")
    sf.write(tmp_path / "b.flac", y, 16000)
    sf.write(tmp_path / "c.wav", np.stack([y, y], 1), 16000, subtype="FLOAT")
    sf.write(tmp_path / "d.wav", y, 8000)
    hashes = [probe(tmp_path / name)["sound"] for name in ("a.wav", "b.flac", "c.wav", "d.wav")]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


@pytest.mark.parametrize("suffix", [".ogg", ".mp3", ".flac", ".wav"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_cut_stream_is_told_wherever_it_ends(tmp_path, suffix, share):
    y = 0.1 * np.random.default_rng(0).standard_normal(32000)
    file = tmp_path / f"a{suffix}"
    sf.write(file, y, 16000)
    assert probe(file)["duration_s"] == pytest.approx(2, abs=0.1)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="truncated"):
        probe(file)
