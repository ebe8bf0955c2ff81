"""The bench: equal values on real work, honest refusals, a report that can be read by a program."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile as sf
from sounds import noise, voice

from ser_utils import bench, study
from ser_utils.bench import features, growth, measuring, parts


@pytest.fixture
def few_files(tmp_path, monkeypatch):
    """Three short clips in place of the corpora, and one repeat."""
    files = []
    for i in range(3):
        files.append(tmp_path / f"{i}.wav")
        sf.write(files[-1], voice(120 + 40 * i, 0.5) + 0.1 * noise(i), 16000)
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("SER_JOBS", "1")
    monkeypatch.setattr(features, "clip_files", lambda n: (files, "tones"))
    monkeypatch.setattr(features, "REPEATS", 1)
    monkeypatch.setattr(features, "MEMORY_CLIPS", 2)
    monkeypatch.setattr(features, "GROWTH", (1,))
    return files


def test_an_unknown_bench_is_refused():
    with pytest.raises(study.UserError, match="bench 'nets' is unknown; use one of parts"):
        bench.main(["nets"])


def test_the_bench_of_features_reports_ratios_equality_and_memory(few_files, tmp_path, capsys):
    assert bench.main(["features"]) == 0
    report = json.loads((tmp_path / "out" / "reports" / "bench" / "features.json").read_text(encoding="utf-8"))
    assert len(report["comparison"]) == len(features.SETTINGS)
    for row in report["comparison"]:
        assert 0 < row["max_relative_difference"] <= features.TOLERANCE
        assert row["ratio_to_per_feature"] > 1
    assert report["memory"][0]["clips"] == 2
    assert report["memory"][0]["peak_mb"] > 50
    assert {"power", "chroma", "f0", "statistics_110"} <= {row["feature"] for row in report["features"]}
    assert "ratio_to_shared" in capsys.readouterr().out


def test_values_that_differ_fail_the_bench(few_files, monkeypatch):
    honest = features.ours
    monkeypatch.setattr(features, "ours", lambda y, spec: [1.01 * values for values in honest(y, spec)])
    monkeypatch.setattr(features, "time_each", lambda clips: [])
    monkeypatch.setattr(features, "memory", lambda files, growth: {})
    assert bench.main(["features"]) == 1


def test_every_way_computes_the_same():
    y = voice(200, 1.0)
    for spec in features.SETTINGS.values():
        per_feature, shared = features.call_per_feature(y, spec), features.shared_transform(y, spec)
        assert features.relative_difference([per_feature[0], per_feature[2]], [shared[0], shared[2]]) < 1e-5
        assert [part.shape for part in features.ours(y, spec)] == [part.shape for part in shared]


def test_without_real_corpora_the_embedded_one_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    table = study.paths("demo").data  # any folder
    monkeypatch.setattr(features.corpora, "manifest", lambda profile: features.pd.DataFrame({"corpus": ["demo"] * 4}))
    monkeypatch.setattr(features.corpora, "usable", lambda found: found.assign(path=[f"{i}.wav" for i in range(4)]))
    monkeypatch.setattr(features.corpora, "audio_root", lambda name, profile: table)
    files, origin = features.clip_files(2)
    assert origin == "the embedded corpus"
    assert np.array_equal([file.name for file in files], ["0.wav", "2.wav"])


# --- the table of everything -------------------------------------------------------------------------------------


@pytest.fixture
def few_parts(tmp_path, monkeypatch):
    """Two cold starts and a small evaluation in place of everything."""
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.setattr(parts, "STARTS", {"import ser_utils": "import ser_utils"})
    monkeypatch.setattr(parts, "REPEATS", 1)
    monkeypatch.setattr(parts, "N_EVALUATED", 240)
    monkeypatch.setattr(parts, "N_RESAMPLES", 100)
    monkeypatch.setattr(parts, "PARTS", (parts.starts, parts.evaluation, parts.demo))
    return tmp_path / "out" / "reports" / "bench"


def test_without_a_name_one_table_holds_every_part_and_is_compared_with_what_it_replaces(few_parts, capsys):
    then = {"environment": {"commit": "earlier"}, "rows": [{"part": "starts", "of": "import ser_utils", "ms": 1e-3}]}
    then["rows"][0]["peak_mb"] = 1.0
    measuring.write(then, "parts")
    assert bench.main([], against=few_parts / "parts.json") == 0
    report = json.loads((few_parts / "parts.json").read_text(encoding="utf-8"))
    start, evaluation, demo = report["rows"]
    assert start["part"] == "starts"
    assert 0 < start["ms"] < 1000
    assert evaluation["of"] == "240 clips, 100 draws"
    assert evaluation["peak_mb"] > start["peak_mb"] > 5
    assert demo["not_run"] == "no record: ./run_all.sh demo"
    kept = few_parts / "commits" / f"{study.commit().rstrip('+')}.json"
    assert json.loads(kept.read_text(encoding="utf-8")) == report
    table, compared = capsys.readouterr().out.split("as shares of earlier")
    assert "240 clips, 100 draws" in table
    assert "slower, larger" in compared


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_file_that_is_no_report_is_refused_before_anything_is_measured(tmp_path, monkeypatch, content):
    monkeypatch.setattr(parts, "PARTS", None)
    (tmp_path / "old.json").write_text(content)
    with pytest.raises(study.UserError, match=r"old\.json: not a report of \./run_all\.sh bench"):
        bench.main([], against=tmp_path / "old.json")
    with pytest.raises(study.UserError, match="--against compares the table of everything; leave growth out"):
        bench.main(["growth"], against=tmp_path / "old.json")


def test_a_step_and_a_denoiser_are_measured(monkeypatch):
    study.seed_everything(0)
    monkeypatch.setattr(parts, "FRAMES", 32)
    monkeypatch.setattr(parts, "STEPS", 1)
    assert parts._steps("small_cnn", {"filters": 4}, False)()["loss"] > 0
    monkeypatch.setattr(parts, "SOUND_S", 2.0)
    assert parts._denoised("wiener")()["n"] == 32_000
    assert parts._naive(1)()["ratio"] > 1


def test_every_augmentation_is_measured(monkeypatch):
    from ser_utils import augment

    few = {name: augment.AUGMENTATIONS[name] for name in ("noise", "background", "gain")}
    monkeypatch.setattr(augment, "AUGMENTATIONS", few)
    assert set(parts._augmented(1)()["each"]) == set(few)


# --- a process of its own ----------------------------------------------------------------------------------------


def test_memory_and_time_are_those_of_the_work_alone():
    found = measuring.apart(_takes, 64)
    assert 60 < found["peak_mb"] - found["start_mb"] < 80
    assert found["jobs"] == "1"
    assert 0 < found["seconds"] < 5


def test_a_limit_of_memory_holds_and_an_error_is_told():
    with pytest.raises(RuntimeError, match="_takes: MemoryError"):
        measuring.apart(_takes, 4096, limit_mb=2048)
    with pytest.raises(RuntimeError, match="_takes: ValueError: nothing to take"):
        measuring.apart(_takes, 0)


def _takes(mb: int):
    if not mb:
        raise ValueError("nothing to take")
    return lambda: {"jobs": os.environ["SER_JOBS"], "n": len(b"1" * (mb * 2**20))}


# --- growth ------------------------------------------------------------------------------------------------------


def test_stages_run_one_after_the_other_on_clips_made_here(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "N_RESAMPLES", 50)
    quick = {name: work for name, work in growth.STAGES.items() if name != "training epoch"}
    monkeypatch.setattr(growth, "STAGES", quick)
    rows = growth.measure(tmp_path, 30)
    assert [row["stage"] for row in rows] == ["checking", "features", "evaluation"]
    assert rows[0]["usable"] == 30, "every clip is whole, and no two are alike"
    assert rows[1]["features_mb"] > 2
    assert all(row["peak_mb"] < row["limit_mb"] for row in rows)


def test_an_epoch_trains_on_what_the_stages_left(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("SER_JOBS", "1")
    for prepare in (lambda folder: growth.clips(folder, 40), growth._checking, growth._features, growth._epoch):
        told = prepare(str(tmp_path))()
    assert 0 <= told["val_uar"] <= 1


def test_time_that_grows_faster_than_the_corpus_and_memory_that_follows_it_are_seen():
    def rows(seconds, memory):
        return [
            {"clips": n, "seconds": seconds(n), "peak_mb": memory(n)} for n in (100, 400, 1600)
        ]  # fmt: skip

    steady = growth.summary("a", rows(lambda n: 1 + 0.01 * n, lambda n: 300))
    assert (steady["linear"], steady["flat"], round(steady["ms_per_clip"])) == (True, True, 10)
    worse = growth.summary("a", rows(lambda n: 1e-4 * n * n, lambda n: 300 + growth.sound_mb(n)))
    assert (worse["linear"], worse["flat"], round(worse["power"], 1)) == (False, False, 2.0)
    assert round(worse["mb_per_1000_clips"]) == round(growth.sound_mb(1000))
