"""Loaders, checks and the manifest, on small corpora written here."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import corpora, study
from ser_utils.corpora import emodb, ravdess
from ser_utils.corpora.base import SPEECH_COLUMNS

GOOD = "ravdess/Actor_01/03-01-03-01-01-01-01.wav"


def tone(file, *, seed=0, sr=16000, channels=1, seconds=0.5, gain=0.1):
    """Write noise that differs with the seed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    y = gain * np.random.default_rng(seed).standard_normal((int(sr * seconds), channels))
    sf.write(file, y, sr)
    return file


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with a few RAVDESS clips of three actors, and a profile that reads it."""
    monkeypatch.setenv("SER_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    profile = study.PROFILE_DEFAULTS | {"corpora": ["ravdess", "emodb"]}
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    for actor in (1, 2, 3):
        for emotion in (3, 4):
            name = f"ravdess/Actor_{actor:02d}/03-01-{emotion:02d}-01-01-01-{actor:02d}.wav"
            tone(tmp_path / "raw" / name, seed=10 * actor + emotion)
    return tmp_path / "raw"


def stops(message):
    return pytest.raises(study.UserError, match=message)


def test_manifest_keeps_the_contract(data):
    table = corpora.manifest("any")
    assert list(table.columns) == list(SPEECH_COLUMNS)
    assert len(table) == 6
    assert set(table["speaker"]) == {"ravdess_1", "ravdess_2", "ravdess_3"}
    assert set(table["emotion"]) == {"happy", "sad"}
    notes = corpora.findings("any")
    assert "6 of the 1440 official clips are used" in set(notes["problem"])
    assert "absent: no folder emodb in the data folder" in set(notes["problem"])


def test_a_manifest_read_back_is_the_one_written(data):
    first = corpora.manifest("any")
    pd.testing.assert_frame_equal(first, corpora.manifest("any"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "03-01-05-01-01-01-01.wav: the file has 0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a git-lfs text pointer, not audio"),
        (b"plain text", "not readable as audio"),
    ],
)
def test_files_that_are_no_audio_stop_the_run(data, content, message):
    (data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav").write_bytes(content)
    with stops(message):
        corpora.build("any")
    assert not study.paths("any").manifest.exists()


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_truncated_file_stops_the_run(data, suffix):
    file = tone(data / f"ravdess/Actor_01/03-01-05-01-01-01-01.{suffix}", seed=5)
    file.write_bytes(file.read_bytes()[:9000])
    with stops(rf"03-01-05-01-01-01-01.{suffix}: (truncated|not readable)"):
        corpora.build("any")


def test_an_unknown_emotion_code_stops_the_run(data):
    tone(data / "ravdess/Actor_01/03-01-09-01-01-01-01.wav", seed=5)
    with stops(r"03-01-09-01-01-01-01.wav: emotion code '09' is not one of 01, 02"):
        corpora.build("any")


def test_every_bad_file_is_named_at_once(data):
    (data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav").write_bytes(b"")
    (data / "ravdess/Actor_02/03-01-05-01-01-01-02.wav").write_bytes(b"")
    with stops("(?s)-01.wav: the file has 0 bytes.*-02.wav: the file has 0 bytes"):
        corpora.build("any")


def test_a_bad_file_excluded_with_a_reason_lets_the_rest_run(data, monkeypatch):
    (data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav").write_bytes(b"")
    reason = {"ravdess": {"ravdess/Actor_01/03-01-05-01-01-01-01.wav": "lost in transfer"}}
    profile = study.PROFILE_DEFAULTS | {"corpora": ["ravdess"], "exclude": reason}
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    assert len(corpora.manifest("any")) == 6
    assert "left out by the profile: lost in transfer" in set(corpora.findings("any")["problem"])


def test_a_wrong_layout_says_what_was_expected_and_found(data):
    (data / "ravdess").rename(data / "elsewhere")
    tone(data / "ravdess/audio/clip.wav")
    with stops(r"wrong folder layout.*expected ravdess/Actor_01/.*found for example ravdess/audio"):
        corpora.build("any")


def test_an_empty_folder_is_said(data):
    (data / "emodb").mkdir()
    with stops("emodb: the corpus folder is empty"):
        corpora.build("any")


def test_no_corpus_at_all(data, monkeypatch, tmp_path):
    monkeypatch.setenv("SER_DATA", str(tmp_path / "nowhere"))
    with stops("none of the corpora ravdess, emodb has a folder in"):
        corpora.build("any")


def test_a_second_copy_under_a_nested_folder_is_left_out(data):
    for file in list((data / "ravdess").glob("Actor_*/*")):
        copy = data / "ravdess" / "audio_speech_actors_01-24" / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    table = corpora.manifest("any")
    assert len(table) == 12
    assert len(corpora.usable(table)) == 6
    assert table["exclude_reason"].str.startswith("same audio as").sum() == 6


def test_equal_audio_under_two_labels_stops_the_run(data):
    twin = data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav"
    twin.write_bytes((data / GOOD).read_bytes())
    with stops("same audio as ravdess/Actor_01/03-01-03-01-01-01-01.wav, but labelled angry instead of happy"):
        corpora.build("any")


def test_a_silent_clip_is_left_out_with_its_reason(data):
    tone(data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav", gain=0)
    table = corpora.manifest("any").set_index("clip_id")
    assert table.loc["03-01-05-01-01-01-01", "exclude_reason"] == "silent: its peak is below -60 dBFS"


def test_a_manifest_changed_by_hand_is_refused(data):
    file = study.paths("any").manifest
    table = corpora.manifest("any")
    table.loc[0, "emotion"] = "sad"
    table.to_parquet(file)
    with stops(r"manifest.parquet: the manifest was changed by hand.*delete it and run again"):
        corpora.manifest("any")


def test_a_profile_may_use_few_clips_and_says_so(data, monkeypatch):
    tone(data / "ravdess/Actor_01/03-01-03-01-02-01-01.wav", seed=99)
    profile = study.PROFILE_DEFAULTS | {"corpora": ["ravdess"], "max_clips_per_speaker_emotion": 1}
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    table = corpora.manifest("any")
    assert (len(table), len(corpora.usable(table))) == (7, 6)


def test_a_real_full_disk_is_one_sentence_and_leaves_nothing(data, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        monkeypatch.setenv("SER_OUT", str(disk))
        with stops("no space left on the disk of"):
            corpora.build("any")
        assert not study.paths("any").manifest.exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("corpus", corpora.CORPORA.values(), ids=lambda entry: entry.name)
def test_entries_are_complete(corpus):
    assert corpus.licence
    assert corpus.synthetic or corpus.citation.startswith("@")
    assert corpus.layout.startswith(corpus.name)
    assert set(corpus.emotions) <= set(corpora.EMOTIONS)


def test_published_folds_hold_every_actor_once():
    speakers = [speaker for fold in ravdess.CORPUS.folds for speaker in fold]
    assert sorted(speakers) == sorted(f"ravdess_{actor}" for actor in range(1, 25))


def test_names_that_do_not_parse():
    from pathlib import Path

    for parse, name in ((ravdess.parse, "03-01.wav"), (emodb.parse, "99a01Fa.wav"), (emodb.parse, "03a01Xa.wav")):
        with pytest.raises(ValueError, match="not"):
            parse(Path(name))


def test_a_manifest_of_an_older_synthetic_voice_is_built_anew(data, monkeypatch):
    corpora.manifest("any")
    built = []
    monkeypatch.setattr(corpora, "build", built.append)
    corpora.manifest("any")
    assert built == []
    monkeypatch.setattr(corpora, "_voices", lambda profile: b"another version")
    corpora.manifest("any")
    assert built == ["any"]
