"""Loaders, checks and the manifest, on small corpora written here."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import corpora, study
from ser_utils.corpora import emodb, own, ravdess
from ser_utils.corpora.base import AUDIO_SUFFIXES, SPEECH_COLUMNS
from ser_utils.corpora.probe import probe
from ser_utils.corpora.scan import scan

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


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        (
            {"ravdess": {"ravdess/Actor_01/03-01-03-01-01-01-1.wav": "typo"}},
            rf"Actor_01/03-01-03-01-01-01-1.wav matches no file of the corpus \(did you mean {GOOD}\?\)",
        ),
        ({"ravdes": {GOOD: "typo"}}, r"ravdes is no corpus of profile any \(did you mean ravdess\?\)"),
        ({"esc50": {}}, "esc50 is no corpus of profile any; its corpora are ravdess, emodb"),
    ],
)
def test_an_exclude_that_matches_nothing_is_refused(data, monkeypatch, exclude, message):
    profile = study.PROFILE_DEFAULTS | {"corpora": ["ravdess", "emodb"], "exclude": exclude}
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    with stops(message):
        corpora.build("any")


def test_song_and_film_are_left_out_with_a_reason(data):
    tone(data / "ravdess/Actor_01/03-02-03-01-01-01-01.wav", seed=7)
    tone(data / "ravdess/Actor_01/01-01-03-01-01-01-01.wav", seed=8)
    assert len(corpora.manifest("any")) == 6
    notes = corpora.findings("any").set_index("path")
    song = notes.loc["ravdess/Actor_01/03-02-03-01-01-01-01.wav"]
    assert (song["problem"], song["action"]) == ("song, not speech", "clip left out")
    assert notes.loc["ravdess/Actor_01/01-01-03-01-01-01-01.wav", "problem"].startswith("film with sound")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("04-01-03-01-01-01-01", "modality code '04' is not one of 01, 02, 03"),
        ("03-03-03-01-01-01-01", "channel code '03' is not one of 01, 02"),
        ("03-01-03-01-01-03-01", "repetition code '03' is not one of 01, 02"),
        ("03-01-03-01-01-01-25", "actor code '25' is not one of 01"),
        ("03-01-03-01-01-01-02", "name says actor 02, but its folder is Actor_01"),
        ("03-02-03-01-01-01-02", "name says actor 02, but its folder is Actor_01"),
    ],
)
def test_fields_that_no_ravdess_name_holds(name, message):
    with pytest.raises(ValueError, match=message):
        ravdess.parse(Path(f"Actor_01/{name}.wav"))


@pytest.fixture
def few(monkeypatch):
    """RAVDESS as if these were its official clips, one of which is not there."""
    names = [f"03-01-{emotion:02d}-01-01-01-{actor:02d}" for actor in (1, 2, 3) for emotion in (3, 4, 5)]

    def official(n):
        entry = dataclasses.replace(ravdess.CORPUS, n_clips=n, expected=lambda: frozenset(names[:n]))
        monkeypatch.setitem(corpora.CORPORA, "ravdess", entry)

    return official


def test_each_missing_and_each_extra_clip_is_named(data, few):
    few(6)
    found = corpora.validate(["ravdess"])
    named = found[found["path"] != "ravdess"].set_index("path")["problem"].to_dict()
    assert named == {
        "03-01-05-01-01-01-01": "missing: an official clip without a file",
        "03-01-05-01-01-01-02": "missing: an official clip without a file",
        "ravdess/Actor_03/03-01-03-01-01-01-03.wav": "extra: not an official clip",
        "ravdess/Actor_03/03-01-04-01-01-01-03.wav": "extra: not an official clip",
    }
    assert set(found["action"]) == {"note"}


def test_a_broken_clip_is_not_missing_too(data, few):
    few(3)
    (data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav").write_bytes(b"")
    found = corpora.validate(["ravdess"])
    assert found[found["path"].str.contains("05-01-01-01-01")]["problem"].tolist() == ["the file has 0 bytes"]


def test_many_missing_clips_are_named_in_part(data):
    found = corpora.validate(["ravdess"])
    assert found["problem"].str.startswith("missing").sum() == 20
    assert "… and 1414 more are missing" in set(found["problem"])


def test_official_names_fit_their_parsers():
    for module in (ravdess, emodb):
        names = module.expected()
        assert len(names) == module.CORPUS.n_clips
        rows = [module.parse(Path(f"{name}.wav")) for name in names]
        assert len({row["speaker"] for row in rows}) == module.CORPUS.n_speakers
        assert {row["emotion"] for row in rows} == set(module.CORPUS.emotions)


def test_a_link_to_nothing_stops_the_run_and_other_files_are_named(data):
    (data / "ravdess/Actor_01/notes.txt").write_text("x")
    corpora.build("any")
    notes = corpora.findings("any").set_index("path")
    assert notes.loc["ravdess/Actor_01/notes.txt", "problem"].startswith("not read: its suffix is none of .wav")
    (data / "ravdess/Actor_01/03-01-05-01-01-01-01.wav").symlink_to("gone.wav")
    with stops(r"05-01-01-01-01.wav: a link to a file that does not exist \(gone.wav\); replace the file"):
        corpora.build("any")


def test_a_file_that_cannot_be_read_is_a_finding(data, monkeypatch):
    read = Path.read_bytes

    def refuse(file):
        if file == data / GOOD:
            raise PermissionError(13, "Permission denied", str(file))
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = corpora.validate(["ravdess"]).set_index("path").loc[GOOD]
    assert (found["problem"], found["action"]) == ("cannot be read (Permission denied)", "stops the run")


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


def test_equal_audio_of_two_speakers_stops_the_run(data):
    twin = data / "ravdess/Actor_02/03-01-03-01-01-02-02.wav"
    twin.write_bytes((data / GOOD).read_bytes())
    with stops("same audio as ravdess/Actor_01/.*, but labelled ravdess_2 instead of ravdess_1"):
        corpora.build("any")


def test_silent_clips_of_two_speakers_are_no_copies(data):
    for actor in ("01", "02"):
        tone(data / f"ravdess/Actor_{actor}/03-01-05-01-01-01-{actor}.wav", gain=0)
    assert corpora.manifest("any")["exclude_reason"].str.startswith("silent").sum() == 2


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
    for parse, name in ((ravdess.parse, "03-01.wav"), (emodb.parse, "99a01Fa.wav"), (emodb.parse, "03a01Xa.wav")):
        with pytest.raises(ValueError, match="not"):
            parse(Path(name))


@pytest.fixture
def built(monkeypatch):
    """Profiles that are built from here on."""
    corpora.manifest("any")
    names, build = [], corpora.build
    monkeypatch.setattr(corpora, "build", lambda profile: names.append(profile) or build(profile))
    return names


def test_a_manifest_that_fits_is_not_built_again(data, built):
    corpora.manifest("any")
    corpora.noise_manifest("any")
    assert built == []


def _rename(data):
    file = data / GOOD
    file.rename(file.with_name("03-01-05-01-01-01-01.wav"))


CHANGES = {
    "voice": lambda data, patch: patch.setattr(corpora, "_voice", lambda entry: "another version"),
    "loader": lambda data, patch: patch.setattr(corpora, "_code", lambda: "another version"),
    "file renamed": lambda data, patch: _rename(data),
    "file written": lambda data, patch: os.utime(data / GOOD, ns=(1, 1)),
    "corpus added": lambda data, patch: tone(data / "emodb/wav/03a01Fa.wav", seed=77),
    "setting": lambda data, patch: patch.setitem(study.load_profile("any"), "max_clips_per_speaker_emotion", 1),
    "excluded": lambda data, patch: patch.setitem(study.load_profile("any"), "exclude", {"ravdess": {GOOD: "bad"}}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_of_other_inputs_is_built_anew(data, monkeypatch, change):
    profile = study.load_profile("any") | {"corpora": ["ravdess", "emodb"]}
    if change == "voice":
        monkeypatch.setattr(corpora, "audio_root", lambda name, _: data)
        monkeypatch.setitem(corpora.CORPORA, "ravdess", dataclasses.replace(ravdess.CORPUS, synthetic=True))
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    corpora.manifest("any")
    before = study.paths("any").manifest.stat().st_mtime_ns
    CHANGES[change](data, monkeypatch)
    corpora.manifest("any")
    after = study.paths("any").manifest.stat().st_mtime_ns
    corpora.manifest("any")
    assert before < after == study.paths("any").manifest.stat().st_mtime_ns


def test_a_manifest_outlives_its_audio(data, built):
    (data / "ravdess").rename(data / "elsewhere")
    assert len(corpora.manifest("any")) == 6
    assert built == []


def test_a_manifest_outlives_its_audio_when_loaders_change(data, built, monkeypatch):
    (data / "ravdess").rename(data / "elsewhere")
    monkeypatch.setattr(corpora, "_code", lambda: "another version")
    assert len(corpora.manifest("any")) == 6
    assert built == []


def test_a_changed_loader_is_other_code(monkeypatch, tmp_path):
    """The code that a manifest depends on holds every loader, and what reads the tables of users."""
    files = {file.name for file in study.imported_files("corpora")}
    assert {"ravdess.py", "own.py", "scan.py", "checks.py", "probe.py"} <= files


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpora": ["ravdess", "ravdes"]}, r"corpus 'ravdes' is unknown \(did you mean ravdess\?\); known corpora"),
        ({"noise": "esc"}, "config/any.yaml: corpus 'esc' is unknown"),
        ({"corpora": ["ravdess", "ravdess"]}, "any.yaml: corpora: ravdess stands there 2 times; write it once"),
        (
            {"corpora": ["ravdess", "esc50"]},
            "corpora: esc50 holds noise, not speech; name it in the line 'noise: esc50'",
        ),
        ({"noise": "tess"}, "noise: tess holds speech, not noise; write one of demo_noise, esc50, or null"),
        ({"corpora": ["mine"], "noise": "mine", "tables": {"mine": {}}}, "noise: mine holds speech"),
        ({"corpora": []}, "corpora is empty; name one or more of demo, ravdess"),
        ({"exclude": {"emod": {"a.wav": "bad"}}}, "exclude: emod is no corpus of profile any"),
        ({"tables": {"mine": {"fil": "a.csv"}}}, "tables: mine: unknown setting 'fil'"),
    ],
)
def test_a_profile_that_cannot_mean_its_corpora_is_refused(data, monkeypatch, settings, message):
    profile = study.load_profile("any") | settings
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    for ask in (corpora.check, corpora.build):
        with stops(message):
            ask("any")


def test_the_shipped_profiles_can_mean_their_corpora():
    for name in study.profiles():
        corpora.check(name)


@pytest.mark.parametrize("error", [study.UserError("no such clip"), OSError("input/output error")])
def test_an_error_while_building_anew_is_told(data, monkeypatch, error):
    corpora.manifest("any")

    def fail(profile):
        raise error

    monkeypatch.setattr(corpora, "build", fail)
    _rename(data)
    with pytest.raises(type(error), match=str(error)):
        corpora.manifest("any")


# --- suffixes ---------------------------------------------------------------------------------------------------------

RATE_HZ = 48_000  # Opus has no other
LENGTH_S = 0.5
SNDFILE = {".ogg": {"format": "OGG"}, ".opus": {"format": "OGG", "subtype": "OPUS"}, ".aif": {"format": "AIFF"}}
FILMS = {  # suffix → codec and container
    ".aac": ("aac", "adts"),
    ".m4a": ("aac", None),
    ".m4b": ("aac", "mp4"),
    ".mka": ("libopus", "matroska"),
    ".mkv": ("aac", "matroska"),
    ".mov": ("aac", None),
    ".mp4": ("aac", None),
    ".webm": ("libopus", None),
}


def encode(file, hz):
    """A tone under the suffix of `file`."""
    y = (0.5 * np.sin(2 * np.pi * hz * np.arange(round(RATE_HZ * LENGTH_S)) / RATE_HZ)).astype(np.float32)
    if file.suffix not in FILMS:
        sf.write(file, y, RATE_HZ, **SNDFILE.get(file.suffix, {}))
        return
    av = pytest.importorskip("av")
    codec, form = FILMS[file.suffix]
    with av.open(os.fspath(file), "w", format=form) as film:
        track = film.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        film.mux(track.encode(frame))
        film.mux(track.encode())


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_a_suffix_that_counts_as_sound_is_read_and_is_no_wrong_name(tmp_path, suffix):
    encode(tmp_path / f"a{suffix}", 440)
    facts = probe(tmp_path / f"a{suffix}")
    assert (facts["sample_rate"], facts["channels"], facts["foreign"]) == (RATE_HZ, 1, "")
    assert facts["duration_s"] == pytest.approx(LENGTH_S, abs=0.06)
    assert facts["level_dbfs"] == pytest.approx(-9, abs=1)


def test_a_table_may_name_them_with_and_without_suffix(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    folder = tmp_path / "mine"
    folder.mkdir()
    lines = ["path,emotion"]
    for number, suffix in enumerate(AUDIO_SUFFIXES):
        encode(folder / f"clip{number}{suffix}", 300 + 20 * number)
        lines.append(f"clip{number}{suffix if number % 2 else ''},sad")
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    found = scan(own.entry("mine", {}, tmp_path), tmp_path)
    assert (found.table["exclude_reason"] == "").all()
    assert len(found.table) == len(AUDIO_SUFFIXES)
    assert study.sha256(folder / "clip0.wav") in set(found.table["sha256"])
