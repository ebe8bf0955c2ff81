"""Frame features: librosa's values, alignment, and a cache that trusts content only."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import features, study
from ser_utils.features import sequences

SPEC = features.FrameSpec(max_s=1.0, trim_db=0)


def noise(seed, seconds=0.5):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16000 * seconds))).astype(np.float32)


def test_log_mel_is_librosa_s():
    y = noise(0)
    power = librosa.feature.melspectrogram(y=y, sr=16000, n_fft=512, hop_length=160, n_mels=64, fmin=50, fmax=8000)
    expected = librosa.power_to_db(power, amin=1e-10, top_db=None).T
    np.testing.assert_allclose(features.log_mel(y, SPEC), expected, rtol=1e-4, atol=1e-3)


def test_mfcc_is_librosa_s_with_differences():
    y = noise(1)
    static = librosa.feature.mfcc(S=features.log_mel(y, SPEC).T, n_mfcc=20)
    values = features.mfcc(y, SPEC)
    np.testing.assert_allclose(values[:, :20], static.T, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(values[:, 20:40], librosa.feature.delta(static, mode="nearest").T, atol=1e-3)


def test_both_kinds_stand_side_by_side():
    y = noise(2)
    both, _ = features.frames(y, dataclasses.replace(SPEC, kind="log_mel+mfcc"))
    mel, n = features.frames(y, SPEC)
    np.testing.assert_array_equal(both[:, :64], mel)
    assert both.shape == (101, 124)
    assert n == 51
    assert not both[n:].any()


@pytest.mark.parametrize("seconds", [0.02, 0.5, 3.0])
def test_any_length_fits(seconds):
    x, n_frames = features.frames(noise(3, seconds), dataclasses.replace(SPEC, kind="mfcc"))
    assert x.shape == (101, 60)
    assert n_frames == min(1 + int(16000 * seconds) // 160, 101)
    assert np.isfinite(x).all()


@pytest.mark.parametrize(
    ("change", "message"), [({"kind": "mell"}, "features 'mell' are unknown"), ({"fmax": 9000.0}, "stay below 8000")]
)
def test_impossible_specs_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        dataclasses.replace(SPEC, **change)


@pytest.fixture
def corpus(tmp_path):
    """Twelve clips whose level says which they are, listed in an order that is not the one of the files."""
    rows = []
    for i in np.random.default_rng(0).permutation(12):
        file = tmp_path / f"{i:02d}.wav"
        sf.write(file, np.full(8000, (i + 1) / 20, dtype=np.float32) * (-1) ** np.arange(8000), 16000)
        rows.append({"path": file.name, "clip_id": f"clip{i:02d}", "corpus": "x", "sha256": study.sha256(file)})
    return pd.DataFrame(rows)


def test_features_and_clip_ids_never_get_out_of_step(corpus, tmp_path):
    found = features.extract(corpus, tmp_path, SPEC, cache=tmp_path / "cache")
    assert found.clip_ids.tolist() == corpus["clip_id"].tolist()
    loudness = [found.x[i, :50].max() for i in found.rows(np.array(sorted(found.clip_ids)))]
    assert loudness == sorted(loudness)
    shuffled = corpus.sample(frac=1, random_state=1)
    again = features.extract(shuffled, tmp_path, SPEC, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.x[again.rows(found.clip_ids)], found.x)


def test_the_cache_answers_for_equal_content_only(corpus, tmp_path, monkeypatch):
    features.extract(corpus, tmp_path, SPEC, cache=tmp_path / "cache")
    monkeypatch.setattr(sequences, "frames", lambda y, spec: pytest.fail("computed again"))
    features.extract(corpus, tmp_path, SPEC, cache=tmp_path / "cache")
    monkeypatch.undo()
    features.extract(corpus, tmp_path, dataclasses.replace(SPEC, n_mels=32), cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.fixture
def one_process(monkeypatch):
    monkeypatch.setenv("SER_JOBS", "1")


def test_a_file_altered_after_the_check_stops_the_run(corpus, tmp_path, one_process):
    sf.write(tmp_path / corpus["path"][3], noise(9), 16000)
    with pytest.raises(study.UserError, match=rf"{corpus['path'][3]}: altered since the manifest was built"):
        features.extract(corpus, tmp_path, SPEC, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_a_file_that_is_gone_stops_the_run(corpus, tmp_path, one_process):
    (tmp_path / corpus["path"][3]).unlink()
    with pytest.raises(study.UserError, match="it is gone"):
        features.extract(corpus, tmp_path, SPEC, cache=tmp_path / "cache")
