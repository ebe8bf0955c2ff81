"""Numbers per clip: their values, their names, their clips; openSMILE absent; normalisation; pictures."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import weakref

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from sounds import noise, real_files, voice

from ser_utils import audio, features, study
from ser_utils.features import normalise, smile, store, tables

SPEC = features.FrameSpec(max_s=1.0, trim_db=0)
EDGES = {"silence": np.zeros(8000, np.float32), "20 ms": noise(0, 0.02), "one sample": np.full(1, 0.5, np.float32)}
needs_smile = pytest.mark.skipif(bool(smile.available()), reason=smile.available())


# --- features, labels and clip ids in step ----------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Ten clips, each a tone whose pitch its label tells, listed in an order that is not the one of the files."""
    rows = []
    for i in np.random.default_rng(0).permutation(10):
        file = tmp_path / f"{i:02d}.wav"
        sf.write(file, voice(100 + 30 * i, 0.4), 16000)
        row = {"path": file.name, "clip_id": f"clip{9 - i}", "corpus": "x", "sha256": study.sha256(file)}
        rows.append(row | {"pitch": 100 + 30 * i})
    monkeypatch.setenv("SER_JOBS", "1")
    return pd.DataFrame(rows)


def pitches(found, clip_ids):
    """Pitch of each clip as its features tell it, Hz; frames and tables alike."""
    rows = found.rows(np.asarray(clip_ids, dtype=str))
    if isinstance(found, features.Frames):
        semitones = np.array([np.median(found.x[row, : found.n_frames[row], 0]) for row in rows])
    else:
        semitones = found.x[rows, found.columns.index("f0_semitones_p50")]
    return 55 * 2 ** (semitones / 12)


def frames_of(manifest, root):
    spec = features.FrameSpec(kind="f0+rms", max_s=1.0)
    return features.extract(manifest, root, spec, cache=root / "cache")


def table_of(manifest, root):
    return features.extract_table(manifest, root, "functionals", cache=root / "cache")


def as_they_end(fn, items, *, desc):
    """Workers that hand over their results in the order in which they end."""
    return iter([fn(item) for item in reversed(list(items))])


@pytest.mark.parametrize("extract", [frames_of, table_of])
def test_features_labels_and_clip_ids_cannot_get_out_of_step(extract, corpus, tmp_path, monkeypatch):
    def in_step(manifest):
        for found in (extract(manifest, tmp_path), extract(manifest, tmp_path)):  # computed, then from the cache
            assert sorted(found.clip_ids) == sorted(manifest["clip_id"])
            np.testing.assert_allclose(pitches(found, manifest["clip_id"]), manifest["pitch"], rtol=0.01)

    in_step(corpus)
    in_step(corpus.sample(frac=1, random_state=1))  # shuffled
    in_step(corpus.sample(n=4, random_state=2))  # a part
    monkeypatch.setattr(study, "imap", as_they_end)
    in_step(corpus.sample(frac=1, random_state=3))
    monkeypatch.undo()
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_worker_that_fails_leaves_nothing_behind(corpus, tmp_path):
    (tmp_path / corpus["path"][7]).write_bytes(b"no sound")
    corpus.loc[7, "sha256"] = study.sha256(tmp_path / corpus["path"][7])
    with pytest.raises(study.UserError, match="not readable as audio"):
        table_of(corpus, tmp_path)
    assert not list((tmp_path / "cache").glob("*"))


def test_another_decoder_computes_anew(corpus, tmp_path, monkeypatch):
    frames_of(corpus, tmp_path)
    monkeypatch.setattr(audio, "decoders", lambda: {"av": "another"})
    frames_of(corpus, tmp_path)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_clip_without_features_is_an_error(corpus, tmp_path):
    with pytest.raises(KeyError, match="stranger"):
        table_of(corpus, tmp_path).rows(np.array(["clip1", "stranger"]))


@pytest.mark.parametrize(("rows", "message"), [([[1.0, 2.0]], "1 rows for 2 clips"), ([[1.0]] * 2, "row 1 has shape")])
def test_rows_that_do_not_fill_the_array_are_refused(rows, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        store.write_rows(tmp_path / "x.npy", map(np.array, rows), shape=(2, 2))


def test_rows_go_to_the_disk_one_by_one(corpus, tmp_path, monkeypatch):
    rows, alive = [], []

    def watched(fn, items, *, desc):
        for item in items:
            result = fn(item)
            rows.append(weakref.ref(result[1][0]))
            alive.append(sum(row() is not None for row in rows))
            yield result
            del result

    monkeypatch.setattr(study, "imap", watched)
    found = frames_of(corpus, tmp_path)
    assert max(alive) <= 3 < len(alive)
    assert isinstance(found.x, np.memmap)
    assert not found.x.flags.writeable


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_vector110_is_what_librosa_s_defaults_give():
    y = voice(180, 1.5) + noise(1, 1.5)
    spectrum = np.abs(librosa.stft(y))
    parts = [
        librosa.feature.mfcc(y=y, sr=16000, n_mfcc=40),
        librosa.feature.spectral_centroid(S=spectrum, sr=16000),
        librosa.feature.spectral_bandwidth(S=spectrum, sr=16000),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.chroma_stft(y=y, sr=16000),
    ]
    expected = np.concatenate([part.mean(axis=1) for part in parts] + [part.std(axis=1) for part in parts])
    np.testing.assert_allclose(features.vector110(y), expected, rtol=1e-3, atol=1e-3)
    assert len(features.vector110_columns()) == 110
    assert features.vector110_columns()[40] == "centroid_hz_mean"


def test_functionals_say_what_their_names_say():
    glide = np.concatenate([voice(100, 0.5), np.zeros(4800, np.float32), voice(200, 0.5)])
    values = dict(zip(features.functionals_columns(), features.functionals(glide), strict=True))
    assert values["f0_semitones_p95"] - values["f0_semitones_p05"] == pytest.approx(12, abs=0.3)
    assert values["f0_semitones_slope"] > 5
    assert values["f0_semitones_step"] < 1
    assert values["voiced_per_s"] == pytest.approx(2 / values["duration_s"], rel=1e-3)
    assert 0.6 < values["voiced_share"] < 0.9
    assert values["level_db_p95"] > values["level_db_p50"] > values["level_db_p05"]


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("function", [features.vector110, features.functionals])
def test_no_clip_leaves_a_hole(function, name):
    assert np.isfinite(function(EDGES[name])).all()


@needs_smile
@pytest.mark.parametrize("name", EDGES)
def test_opensmile_has_an_answer_to_the_shortest_clips(name):
    assert np.isfinite(smile.extract(EDGES[name], "egemaps")).all()


DIRECT = """
import sys
import numpy as np
import opensmile
y = np.load(sys.argv[1])
for name in ("eGeMAPSv02", "ComParE_2016"):
    extractor = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals)
    np.save(f"{sys.argv[1]}.{name}.npy", extractor.process_signal(y, 16000).to_numpy(np.float32)[0])
"""


@needs_smile
def test_opensmile_s_values_come_through(tmp_path):
    file, y = tmp_path / "y.npy", voice(150, 1.0)
    np.save(file, y)
    subprocess.run([sys.executable, "-c", DIRECT, str(file)], check=True)
    for name, n_columns in (("egemaps", 88), ("compare_2016", 6373)):
        values = smile.extract(y, name)
        assert values.shape == (n_columns,) == np.shape(smile.columns(name))
        np.testing.assert_array_equal(values, np.load(f"{file}.{smile.SETS[name]}.npy"))


AFTER_TENSORFLOW = """
import sys
import numpy as np
import tensorflow
from ser_utils.features import smile
values = [smile.extract(np.load(sys.argv[1]), "egemaps") for _ in range(3)]
assert "opensmile" not in sys.modules
np.save(sys.argv[1], values[-1])
"""


@needs_smile
def test_opensmile_survives_a_process_that_loaded_tensorflow_first(tmp_path):
    file, y = tmp_path / "y.npy", voice(150, 1.0)
    np.save(file, y)
    subprocess.run([sys.executable, "-c", AFTER_TENSORFLOW, str(file)], check=True, cwd=study.ROOT)
    np.testing.assert_array_equal(np.load(file), smile.extract(y, "egemaps"))


@needs_smile
def test_a_full_scale_sample_does_not_turn_over():
    loud = 0.5 * voice(150, 1.0) / np.abs(voice(150, 1.0)).max()
    clipped = loud.copy()
    clipped[8000:8010] = 1.0
    nearly = np.where(clipped == 1, np.float32(0.999), clipped)
    np.testing.assert_allclose(
        smile.extract(clipped, "egemaps"), smile.extract(nearly, "egemaps"), rtol=0.02, atol=0.05
    )


def test_without_opensmile_a_set_says_so_and_the_others_go_on(corpus, tmp_path, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "opensmile" else known(name))
    smile._smile.cache_clear()
    reasons = {name: features.not_run(name) for name in features.TABLES}
    assert {name for name, reason in reasons.items() if reason == "opensmile not installed"} == set(smile.SETS)
    with pytest.raises(study.UserError, match=r"egemaps needs openSMILE \(opensmile not installed\)"):
        features.extract_table(corpus, tmp_path, "egemaps", cache=tmp_path / "cache")
    assert features.extract_table(corpus, tmp_path, "statistics_110", cache=tmp_path / "cache").x.shape == (10, 110)


def test_an_unknown_set_is_refused(corpus, tmp_path):
    with pytest.raises(study.UserError, match="features 'emobase' are unknown; use one of statistics_110, functionals"):
        features.extract_table(corpus, tmp_path, "emobase", cache=tmp_path / "cache")


@pytest.mark.real
def test_every_set_of_a_real_voice_is_complete():
    y = audio.load(real_files(each=1)[0])
    for name in features.TABLES:
        if not features.not_run(name):
            made = tables._SETS[name]
            values = made.function(y)
            assert values.shape == (len(made.columns()),)
            assert np.isfinite(values).all()


# --- normalisation and pictures ---------------------------------------------------------------------------------------


def test_each_speaker_is_standardised_by_own_clips_alone():
    rng = np.random.default_rng(1)
    speakers = np.array(["a", "b", "c"]).repeat([6, 5, 1])[rng.permutation(12)]
    x = rng.normal(size=(12, 3)) + np.array([{"a": 0, "b": 50, "c": 9}[s] for s in speakers])[:, None]
    out = normalise.per_speaker(x, speakers)
    for speaker in "ab":
        np.testing.assert_allclose(out[speakers == speaker].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(out[speakers == speaker].std(axis=0), 1, atol=1e-5)
    assert not out[speakers == "c"].any()
    constant = normalise.per_speaker(np.full((12, 1), 0.1, np.float32), speakers)
    np.testing.assert_allclose(constant, 0, atol=1e-5)
    with pytest.raises(study.UserError, match="12 rows cannot be normalised by 11 speakers"):
        normalise.per_speaker(x, speakers[1:])


def test_a_picture_shows_time_to_the_right_and_low_bands_below():
    t = np.arange(16000) / 16000
    y = np.concatenate([np.zeros(16000), np.sin(2 * np.pi * 150 * t)]).astype(np.float32)
    picture = features.image(y)
    assert (picture.shape, picture.dtype, picture.min()) == ((224, 224, 3), np.uint8, 0)
    assert not picture[:, :100].any()
    assert picture[170:, 130:].max() > 240
    assert picture[:100, 130:].max() < 60
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("size", [(224, 224), (64, 600)])
def test_a_picture_of_any_clip_has_its_size(name, size):
    assert features.image(EDGES[name], size).shape == (*size, 3)
