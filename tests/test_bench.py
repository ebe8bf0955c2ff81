"""The bench: equal values on real work, honest refusals, a report that can be read by a program."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile as sf
from sounds import noise, voice

from ser_utils import bench, study


@pytest.fixture
def few_files(tmp_path, monkeypatch):
    """Three short clips in place of the corpora, and one repeat."""
    files = []
    for i in range(3):
        files.append(tmp_path / f"{i}.wav")
        sf.write(files[-1], voice(120 + 40 * i, 0.5) + 0.1 * noise(i), 16000)
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("SER_JOBS", "1")
    monkeypatch.setattr(bench, "clip_files", lambda n: (files, "tones"))
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "MEMORY_CLIPS", 2)
    monkeypatch.setattr(bench, "GROWTH", (1,))
    return files


def test_an_unknown_bench_is_refused():
    with pytest.raises(study.UserError, match="bench 'nets' is unknown; use one of features"):
        bench.main(["nets"])


def test_the_bench_of_features_reports_ratios_equality_and_memory(few_files, tmp_path, capsys):
    assert bench.main(["features"]) == 0
    report = json.loads((tmp_path / "out" / "reports" / "bench" / "features.json").read_text(encoding="utf-8"))
    assert len(report["comparison"]) == len(bench.SETTINGS)
    for row in report["comparison"]:
        assert 0 < row["max_relative_difference"] <= bench.TOLERANCE
        assert row["ratio_to_per_feature"] > 1
    assert report["memory"][0]["clips"] == 2
    assert report["memory"][0]["peak_mb"] > 50
    assert {"power", "chroma", "f0", "statistics_110"} <= {row["feature"] for row in report["features"]}
    assert "ratio_to_shared" in capsys.readouterr().out


def test_values_that_differ_fail_the_bench(few_files, monkeypatch):
    honest = bench.ours
    monkeypatch.setattr(bench, "ours", lambda y, spec: [1.01 * values for values in honest(y, spec)])
    monkeypatch.setattr(bench, "time_each", lambda clips: [])
    monkeypatch.setattr(bench, "memory", lambda files, growth: {})
    assert bench.main(["features"]) == 1


def test_every_way_computes_the_same():
    y = voice(200, 1.0)
    for spec in bench.SETTINGS.values():
        per_feature, shared = bench.call_per_feature(y, spec), bench.shared_transform(y, spec)
        assert bench.relative_difference([per_feature[0], per_feature[2]], [shared[0], shared[2]]) < 1e-5
        assert [part.shape for part in bench.ours(y, spec)] == [part.shape for part in shared]


def test_without_real_corpora_the_embedded_one_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    table = study.paths("demo").data  # any folder
    monkeypatch.setattr(bench.corpora, "manifest", lambda profile: bench.pd.DataFrame({"corpus": ["demo"] * 4}))
    monkeypatch.setattr(bench.corpora, "usable", lambda found: found.assign(path=[f"{i}.wav" for i in range(4)]))
    monkeypatch.setattr(bench.corpora, "audio_root", lambda name, profile: table)
    files, origin = bench.clip_files(2)
    assert origin == "the embedded corpus"
    assert np.array_equal([file.name for file in files], ["0.wav", "2.wav"])
