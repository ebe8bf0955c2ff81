"""Predictions for any file: as in training, in windows where it is long, one sentence where it is none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import soxr
from saved_sample import DEMO, LABELS, SCORE, SPEC, sentence

from ser_utils import denoise, features, predicting, saved, splits, study, training
from ser_utils.predicting import command, sound

P = [f"p_{label}" for label in LABELS]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Folder and manifest of 18 sounds by six speakers; a few exceed what the net hears at once."""
    root = tmp_path_factory.mktemp("corpus")
    rows = []
    for speaker in range(6):
        for i, label in enumerate(LABELS):
            clip = f"s{speaker}_{label}"
            sf.write(root / f"{clip}.wav", sentence(0.5 + 0.25 * speaker, 110 + 90 * i, seed=speaker), 16000)
            rows.append({"path": f"{clip}.wav", "clip_id": clip, "speaker": f"s{speaker}", "emotion": label})
    manifest = pd.DataFrame(rows).assign(gender="unknown", corpus="toy")
    return root, manifest.assign(sha256=[study.sha256(root / path) for path in manifest["path"]])


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """What one fold predicted in training, and the file of its net."""
    root, manifest = corpus
    out = tmp_path_factory.mktemp("out")
    experiment = training.Experiment(
        name="toy",
        manifest=manifest,
        frames=features.extract(manifest, root, SPEC, cache=out / "features"),
        labels=LABELS,
        model="small_cnn",
        model_arguments={"filters": 4, "strides": (2, 2)},
        recipe=training.Recipe(epochs=2, patience=2, batch_size=6),
        n_folds=3,
    )
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=3)
    result = training.cross_validate(experiment, folds[:1], seeds=[0], cache=out / "folds", jobs=1)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(out))
        file = saved.save(result, SPEC, name="toy_cnn", corpora=DEMO, labels=LABELS, uar=SCORE, profile="demo")
    return result.predictions, file


@pytest.fixture(scope="module")
def net(trained):
    return saved.load(trained[1])


def one(net, file, **how):
    """Table of a file that must be heard."""
    table, refused = predicting.predict([file], net, **how)
    assert refused == []
    return table


# --- a clip ---------------------------------------------------------------------------------------------------------


def test_a_file_gets_the_probabilities_that_its_fold_gave_the_clip(corpus, trained, net):
    told = trained[0]
    table, refused = predicting.predict([corpus[0] / f"{clip}.wav" for clip in told["clip_id"]], net)
    assert refused == []
    np.testing.assert_allclose(table[P], told[P], atol=1e-6)
    assert table["emotion"].tolist() == told["y_pred"].tolist()
    assert table["probability"].to_numpy() == pytest.approx(table[P].max(axis=1).to_numpy())


def aac(file, y, rate):
    import av

    with av.open(str(file), "w") as film:
        track = film.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        fit = av.AudioResampler(format="fltp", layout="mono", rate=rate, frame_size=1024)
        for part in [*fit.resample(frame), *fit.resample(None)]:
            film.mux(track.encode(part))
        film.mux(track.encode(None))


def test_rate_channels_and_format_hardly_matter(net, tmp_path):
    y = sentence(0.8)
    high = soxr.resample(y, 16000, 48000)
    sf.write(tmp_path / "a.wav", y, 16000)
    sf.write(tmp_path / "stereo.wav", np.stack([high, 0.5 * high], axis=1) / 0.75, 48000, subtype="PCM_24")
    sf.write(tmp_path / "a.mp3", y, 16000)
    aac(tmp_path / "a.m4a", high, 48000)
    tables = {name: one(net, tmp_path / name) for name in ("a.wav", "stereo.wav", "a.mp3", "a.m4a")}
    for name, table in tables.items():
        assert table["end_s"].tolist() == pytest.approx([0.8], abs=0.08), name
        np.testing.assert_allclose(table[P], tables["a.wav"][P], atol=0.1, err_msg=name)
    np.testing.assert_allclose(tables["stereo.wav"][P], tables["a.wav"][P], atol=0.01)


def test_a_denoiser_comes_before_the_features(net, tmp_path):
    sf.write(tmp_path / "a.wav", sentence(0.8), 16000)
    plain = one(net, tmp_path / "a.wav")[P].to_numpy()
    heard = []
    quieter = one(net, tmp_path / "a.wav", denoise=lambda y, sr: heard.append(sr) or y * np.float32(0.01))[P].to_numpy()
    assert heard == [16000]
    assert np.abs(plain - quieter).max() > 1e-3
    table, refused = predicting.predict([tmp_path / "a.wav"], net, denoise=lambda y, sr: y * np.float32(0))
    assert table.empty
    assert refused == [f"{tmp_path / 'a.wav'}: is silent: its peak is below -60 dB of full scale"]


# --- a long recording -----------------------------------------------------------------------------------------------


def test_a_long_file_comes_in_windows_that_end_with_it(net, tmp_path):
    y = sentence(4.3)
    y[16000 : 2 * 16000] = 0
    sf.write(tmp_path / "talk.wav", y, 16000)
    table = one(net, tmp_path / "talk.wav")
    assert table["start_s"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert table["end_s"].tolist() == [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.3]
    assert table["emotion"].eq("").tolist() == [False, False, True, *[False] * 5]
    assert table["probability"].isna().tolist() == table["emotion"].eq("").tolist()
    sf.write(tmp_path / "part.wav", y[int(2.5 * 16000) : int(3.5 * 16000)], 16000)
    np.testing.assert_allclose(table[P].iloc[[5]], one(net, tmp_path / "part.wav")[P], atol=1e-6)


def test_windows_are_as_long_as_asked_for(net, tmp_path):
    sf.write(tmp_path / "talk.wav", sentence(1.5), 16000)
    assert len(one(net, tmp_path / "talk.wav")) == 1  # up to twice max_s, one utterance
    table = one(net, tmp_path / "talk.wav", window_s=0.5, hop_s=0.5)
    assert table[["start_s", "end_s"]].to_numpy().tolist() == [[0, 0.5], [0.5, 1], [1, 1.5]]
    assert len(one(net, tmp_path / "talk.wav", window_s=0.5)) == 5


@pytest.mark.parametrize(
    ("window_s", "hop_s", "message"),
    [
        (1.5, None, "a window of 1.5 s does not fit toy_cnn; use 0.1 to 1 s"),
        (0.01, None, "a window of 0.01 s does not fit"),
        (0.5, 0.6, "a hop of 0.6 s does not fit windows of 0.5 s"),
        (None, 0.0, "a hop of 0 s does not fit windows of 1 s"),
        (float("nan"), None, "a window of nan s does not fit"),
    ],
)
def test_windows_that_cannot_be_are_refused(net, window_s, hop_s, message):
    with pytest.raises(study.UserError, match=re.escape(message)):
        predicting.predict([], net, window_s=window_s, hop_s=hop_s)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a"])
def test_reading_in_blocks_changes_nothing(tmp_path, monkeypatch, name):
    y = soxr.resample(sentence(25), 16000, 44100)
    aac(tmp_path / name, y, 44100) if name.endswith("m4a") else sf.write(tmp_path / name, y, 44100)
    at_once = list(predicting.pieces(tmp_path / name, sr=16000, max_s=2.0))
    monkeypatch.setattr(sound, "WHOLE_S", 1.0)
    in_blocks = list(predicting.pieces(tmp_path / name, sr=16000, max_s=2.0))
    assert len(in_blocks) == len(at_once) > 20
    for a, b in zip(at_once, in_blocks, strict=True):
        assert (a.start_s, a.end_s) == (b.start_s, b.end_s)
        np.testing.assert_allclose(a.y, b.y, atol=1e-6)
    assert in_blocks[-1].share == pytest.approx(1, abs=0.01)


def test_a_flac_that_does_not_say_its_length_is_heard_to_its_end(tmp_path):
    sf.write(tmp_path / "piped.flac", sentence(70), 16000)
    data = bytearray((tmp_path / "piped.flac").read_bytes())
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # the number of samples, 36 bits
    (tmp_path / "piped.flac").write_bytes(data)
    found = list(predicting.pieces(tmp_path / "piped.flac", sr=16000, max_s=4.0))
    assert found[-1].end_s == 70


def test_memory_does_not_grow_with_the_file(tmp_path):
    with sf.SoundFile(tmp_path / "long.wav", "w", 48000, 2) as file:
        for _ in range(30):
            file.write(np.zeros((48000 * 10, 2), dtype=np.int16))
    tracemalloc.start()
    n = sum(1 for _ in predicting.pieces(tmp_path / "long.wav", sr=16000, max_s=4.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 149
    assert peak < 24e6  # a whole file would be 115 MB


def test_a_long_file_that_breaks_off_keeps_what_was_heard(net, tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "WHOLE_S", 1.0)
    sf.write(tmp_path / "whole.flac", sentence(20), 16000)
    data = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) * 3 // 4])
    table, refused = predicting.predict([tmp_path / "cut.flac"], net)
    assert 8 < table["end_s"].max() < 16
    assert len(refused) == 1
    assert re.search(r"cut\.flac: (cannot be decoded after|truncated: its header promises 20 s)", refused[0])


# --- what is refused, and what is found -----------------------------------------------------------------------------


def test_bad_files_are_named_and_stop_no_other(net, tmp_path):
    y = sentence(0.8)
    sf.write(tmp_path / "good.wav", y, 16000)
    sf.write(tmp_path / "short.wav", y[:320], 16000)
    sf.write(tmp_path / "nothing.wav", y[:0], 16000)
    sf.write(tmp_path / "silent.wav", 0 * y, 16000)
    sf.write(tmp_path / "nan.wav", np.where(np.arange(len(y)) == 9, np.nan, y), 16000, subtype="FLOAT")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("Dear diary")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:9000])
    files, _ = predicting.collect([tmp_path])
    table, refused = predicting.predict(files, net)
    assert table["file"].tolist() == [str(tmp_path / "good.wav")]
    said = {line.split(": ")[0].rsplit("/")[-1]: line.split(": ", 1)[1] for line in refused}
    assert said.keys() == {file.name for file in files} - {"good.wav"}
    assert said["short.wav"] == "lasts 0.02 s; 0.1 s or more are needed"
    assert said["nothing.wav"] == "lasts 0 s; 0.1 s or more are needed"
    assert said["silent.wav"].startswith("is silent")
    assert said["nan.wav"] == "holds samples that are not finite numbers"
    assert said["empty.wav"] == "the file has 0 bytes"
    assert said["text.wav"].startswith("not readable as audio")
    assert said["cut.wav"].startswith("truncated")


def test_folders_are_searched_to_the_bottom_and_files_heard_once(tmp_path, monkeypatch):
    for path in ("b.wav", "a/z.MP3", "a/deep/y.flac", "notes.txt", "a/._z.mp3", "empty/readme.md"):
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).touch()
    monkeypatch.chdir(tmp_path)
    files, refused = predicting.collect(
        ["in/b.wav", "in", "in/notes.txt", tmp_path / "in" / "b.wav", "none", "in/empty"]
    )
    assert [file.as_posix() for file in files] == ["in/b.wav", "in/a/deep/y.flac", "in/a/z.MP3", "in/notes.txt"]
    assert refused == ["none: does not exist", "in/empty: holds no sound file"]


def test_denoisers_are_known_by_name(monkeypatch):
    assert command.denoiser("wiener") is denoise.DENOISERS["wiener"]
    for name in ("magic", "oracle"):  # the oracle needs the clean speech
        with pytest.raises(study.UserError, match=f"denoiser '{name}' is unknown; use one of .*wiener"):
            command.denoiser(name)
    monkeypatch.setenv("SER_PRETRAINED", "/nowhere")
    if denoise.DENOISERS["dtln"].not_run:
        with pytest.raises(study.UserError, match="denoiser dtln: "):
            command.denoiser("dtln")


# --- the command ----------------------------------------------------------------------------------------------------


def test_another_process_answers_the_same(corpus, trained, tmp_path):
    told, file = trained
    clip = told["clip_id"].iloc[0]
    (tmp_path / "empty.wav").touch()
    command_line = [sys.executable, "-m", "ser_utils", "predict", "--model", str(file)]
    done = subprocess.run(
        [*command_line, f"{clip}.wav", str(tmp_path), "--csv", str(tmp_path / "out.csv"), "--denoise", "none"],
        cwd=corpus[0],
        env=os.environ | {"PYTHONPATH": str(study.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    head, row = done.stdout.splitlines()
    assert head.split() == ["file", "start_s", "end_s", "emotion", "probability"]
    assert row.split()[:4] == [f"{clip}.wav", "0.00", row.split()[2], told["y_pred"].iloc[0]]
    said = done.stderr.splitlines()
    assert said[0].startswith("toy_cnn: small_cnn on demo")
    assert "means nothing" in said[0]
    assert said[2] == f"{tmp_path / 'out.csv'}: 1 rows"
    assert said[3].startswith("1 of 2 files in ")
    assert said[4:] == [f"refused: {tmp_path / 'empty.wav'}: the file has 0 bytes"]
    table = pd.read_csv(tmp_path / "out.csv")
    assert table.columns.tolist() == [*predicting.COLUMNS, *P, "model", "denoiser"]
    np.testing.assert_allclose(table[P].to_numpy(), told[P].iloc[[0]].to_numpy(), atol=2e-6)


def test_the_csv_never_replaces_a_sound(corpus, trained, capsys):
    from ser_utils.__main__ import main

    clip = corpus[0] / "s0_sad.wav"
    before = clip.read_bytes()
    assert main(["predict", str(clip), "--model", str(trained[1]), "--csv", str(clip)]) == 2
    assert "would replace a folder or a sound" in capsys.readouterr().err
    assert clip.read_bytes() == before
    assert main(["predict", str(clip), "--model", str(trained[1]), "--csv", f"{clip}/below/out.csv"]) == 2
    assert "no files can be made in" in capsys.readouterr().err


def test_silence_is_shown_without_an_emotion():
    rows = pd.DataFrame(
        [("a.wav", 0.0, 4.0, "sad", 0.5), ("a.wav", 2.0, 6.0, "", np.nan)], columns=list(predicting.COLUMNS)
    )
    assert command.shown(rows).splitlines() == [
        "file   start_s  end_s  emotion    probability",
        "a.wav     0.00   4.00  sad               0.50",
        "a.wav     2.00   6.00  (silence)",
    ]


def test_who_waits_is_told(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])
    with command.Bar(4) as bar:
        for now[0], done in ((0.0, 0.0), (3.0, 0.5), (10.0, 1.0), (12.0, 1.5), (40.0, 4.0)):
            bar.at(done)
    assert capsys.readouterr().err.splitlines() == ["heard 25%, about 30 s left"]


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from ser_utils.__main__ import _parser; _parser();"
        "sys.exit(len({'numpy', 'pandas', 'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
