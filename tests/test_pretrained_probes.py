"""Linear models on frozen embeddings: layers are chosen by training speakers alone, and the gate asks about noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import audio, evaluation, noise, splits, study
from ser_utils.features import Table
from ser_utils.pretrained import few, noisy, probes
from tests.sounds import noise as hiss
from tests.sounds import voice

LABELS = ("angry", "sad")
TASK = {"run_id": "r", "profile": "p", "corpus": "toy", "corpus_version": "1", "split": "speaker_groups"}


def toy(n_speakers=6, per_speaker=8):
    """Manifest, and three layers of which the second alone knows the emotion."""
    rows = [
        {"clip_id": f"s{s}c{c}", "speaker": f"s{s}", "gender": "female" if s % 2 else "male", "emotion": LABELS[c % 2]}
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    manifest = pd.DataFrame(rows).assign(corpus="toy", sha256=lambda t: t["clip_id"])
    rng, ids = np.random.default_rng(0), manifest["clip_id"].to_numpy(dtype=str)
    told = (manifest["emotion"] == "sad").to_numpy()
    layers = {}
    for name, strength in {"low": 0.0, "middle": 4.0, "high": 0.0}.items():
        x = rng.standard_normal((len(ids), 5)).astype(np.float32)
        x[:, 0] += strength * told
        layers[name] = Table(x, tuple("abcde"), ids)
    return manifest, layers


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A bench on the toy clips; every encoder answers with the three layers."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setenv("SER_JOBS", "1")
    manifest, layers = toy()
    monkeypatch.setattr(probes.Source, "tables", lambda *_: layers)
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=3)
    return probes.Bench(manifest, tmp_path, folds, LABELS, "p")


SOURCE = probes.Source("byol_s")


def test_every_fold_picks_the_layer_that_its_inner_folds_prefer(bench):
    found = probes.by_layer(SOURCE, bench)
    picked = probes.pick(found, SOURCE)
    assert [result.facts["layer"] for result in picked] == ["middle"] * 3
    assert {result.facts["features"] for result in picked} == {"byol_s:picked:mean_plus_max_std"}
    table = probes.classic.predictions_table(picked, train_regime="clean", condition="clean", **TASK)
    evaluation.validate_predictions(table)
    assert evaluation.uar(table["y_true"], table["y_pred"]) > 0.9
    curve = probes.curve(found, SOURCE).set_index("layer")
    assert curve["picked"].to_dict() == {"low": 0, "middle": 3, "high": 0}
    assert curve.loc["middle", "inner_uar"] > curve.loc["low", "inner_uar"] + 0.2


def test_the_score_on_test_speakers_picks_nothing(bench):
    found = probes.by_layer(SOURCE, bench)
    lucky = [
        dataclasses.replace(r, predictions=r.predictions.assign(y_pred=r.predictions["y_true"])) for r in found["low"]
    ]
    same = probes.pick(found | {"low": lucky}, SOURCE)
    assert [result.facts["layer"] for result in same] == ["middle"] * 3


def test_sources_say_what_they_are_and_whether_they_can_be_used(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    assert SOURCE.not_run.startswith("not run: ")
    acoustic = probes.Source("statistics_110")
    assert (acoustic.not_run, acoustic.words(), acoustic.is_encoder) == ("", "statistics_110", False)


@pytest.mark.parametrize(
    ("corpus", "features", "heard"),
    [
        ("ravdess", "whisper_base:picked:mean", "possible"),
        ("ravdess", "whisper_base+minilm", "possible"),
        ("ravdess", "several", "possible"),
        ("ravdess", "byol_s:picked:mean", "no"),
        ("demo", "whisper_base:picked:mean", "no"),
        ("ravdess", "functionals", "no"),
    ],
)
def test_the_board_says_what_an_encoder_may_have_heard(corpus, features, heard):
    board = pd.DataFrame({"corpus": [corpus], "features": [features]})
    sources = [probes.Source(name, "mean") for name in ("byol_s", "whisper_base", "functionals")]
    assert probes.with_heard(board, sources)["heard"].tolist() == [heard]


def test_neighbours_know_what_the_vectors_are_about():
    manifest, layers = toy()
    groups = {name: manifest[name].to_numpy(dtype=str) for name in ("emotion", "speaker")}
    told, untold = (probes.neighbours(layers[name].x, groups) for name in ("middle", "low"))
    assert told["emotion"] > untold["emotion"] + 0.1
    assert told["speaker"] < 0.5


def test_a_projection_has_two_columns_and_repeats():
    x = toy()[1]["middle"].x
    first, second = probes.projection(x), probes.projection(x)
    assert first.shape == (len(x), 2)
    np.testing.assert_array_equal(first, second)


# --- few speakers -------------------------------------------------------------------------------------------------


def test_few_speakers_train_of_both_genders_and_tests_stay(bench):
    who = bench.manifest.set_index("clip_id")
    small = few.few_speakers(bench, 2)
    for before, fold in zip(bench.folds, small.folds, strict=True):
        rows = who.loc[fold.train]
        assert rows["speaker"].nunique() == 2
        assert set(rows["gender"]) == {"female", "male"}
        assert not set(rows["speaker"]) & set(who.loc[fold.test, "speaker"])
        assert fold.test.tolist() == before.test.tolist()
        assert not len(fold.validation)
    assert few.training_speakers(bench) == 4
    with pytest.raises(study.UserError, match="5 training speakers of 4"):
        few.few_speakers(bench, 5)


def test_scores_grow_with_speakers(bench):
    table = few.scarce(SOURCE, ["low", "middle", "middle"], bench, [1, 4])
    assert set(table["train_regime"]) == {"speakers_1", "speakers_4"}
    assert table.groupby("train_regime")["clip_id"].nunique().eq(len(bench.manifest)).all()
    right = (table["y_true"] == table["y_pred"]).groupby(table["fold"]).mean()
    assert right[0] < 0.75 < right[1]  # the layer of each fold is the one that was asked for


# --- noise --------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoken(tmp_path, monkeypatch):
    """A bench on real sound files, and a plan with one noise file for training and one for tests."""
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("SER_JOBS", "1")
    manifest, _ = toy(n_speakers=4, per_speaker=2)
    for i, row in manifest.iterrows():
        sf.write(tmp_path / f"{row['clip_id']}.wav", voice(110 + 70 * (row["emotion"] == "sad") + i), audio.SAMPLE_RATE)
    files = {part: tmp_path / f"{part}_noise.wav" for part in ("train", "test")}
    for seed, file in enumerate(files.values()):
        sf.write(file, hiss(seed, 1.0), audio.SAMPLE_RATE)
    manifest["path"] = manifest["clip_id"] + ".wav"
    manifest["sha256"] = [study.sha256(tmp_path / path) for path in manifest["path"]]
    rows = [
        {"noise_id": part, "noise_class": "rain", "corpus": "x", "source": part, "part": part, "file": str(file)}
        for part, file in files.items()
    ]
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=2)
    return probes.Bench(manifest, tmp_path, folds, LABELS, "p"), pd.DataFrame(rows)


CONDITIONS = noise.grid(["rain"], snrs_db=[-5], denoisers=["", "wiener"])
TRAINED = noise.Condition("rain", (0.0, 10.0))


def test_every_clip_is_answered_in_every_condition_after_both_trainings(spoken):
    bench, plan = spoken
    source = probes.Source("statistics_110")
    table = noisy.in_noise(source, ["statistics_110"] * 2, bench, CONDITIONS, TRAINED, plan)
    evaluation.validate_predictions(table.assign(**TASK))
    assert set(table["condition"]) == set(map(str, CONDITIONS))
    assert set(table["train_regime"]) == {"clean", noisy.NOISY}
    assert table.groupby(["train_regime", "condition"])["clip_id"].nunique().eq(len(bench.manifest)).all()
    p = table.set_index(["train_regime", "condition", "clip_id"])["p_sad"].unstack("clip_id")  # noqa: PD010
    assert not np.allclose(p.loc["clean", "clean"], p.loc["clean", "noise=rain;snr_db=-5"], atol=1e-3)
    assert not np.allclose(p.loc["clean", "clean"], p.loc[noisy.NOISY, "clean"], atol=1e-3)


def test_a_noise_file_of_a_test_in_training_stops_the_run(spoken):
    bench, plan = spoken
    plan["noise_id"] = "the same"
    with pytest.raises(splits.LeakError, match="leak 'noise'"):
        noisy.in_noise(probes.Source("statistics_110"), ["statistics_110"] * 2, bench, CONDITIONS[:3], TRAINED, plan)


def test_thinning_keeps_every_speaker_and_emotion_in_its_part(bench):
    small = noisy.thinned(bench, 1)
    assert len(small.manifest) == 6 * 2
    for before, fold in zip(bench.folds, small.folds, strict=True):
        for part in splits.OFFICIAL:
            assert set(getattr(fold, part)) <= set(getattr(before, part))
        assert len(fold.test) == 4
    assert noisy.thinned(bench, 0) is bench
