"""Noise plans, draws and mixes: no noise of a test is heard in training, and a draw is the same every time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import audio, corpora, features, noise, splits, study
from ser_utils.noise import babble, folders, mixing, plans
from ser_utils.noise.conditions import Condition
from tests.sounds import noise as hiss
from tests.sounds import voice

SR = 16_000

# --- conditions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "clean",
        "clean;denoiser=dtln",
        "noise=rain;snr_db=5",
        "noise=rain;snr_db=-5;denoiser=dtln",
        "noise=babble+rain;snr_db=0..20;room=any",
        "noise=white;snr_db=2.5;room=3;denoiser=oracle_mask",
        "room=0",
    ],
)
def test_conditions_are_written_and_read_back(text):
    assert str(Condition.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "rain", "noise=rain", "snr_db=5", "noise=rain;snr_db=loud", "noise=rain;snr_db=1..2..3", "clean;snr=5"]
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(study.UserError, match=r"condition|give a noise and a number"):
        Condition.parse(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"noise": "rain"}, "noise 'rain' at snr_db inf"),
        ({"snr_db": 5.0}, "give a noise and a number of dB"),
        ({"noise": "rain", "snr_db": (20.0, 0.0)}, "or two that rise"),
        ({"noise": "Rain", "snr_db": 5.0}, "'Rain' cannot stand in a condition"),
        ({"denoiser": "a;b"}, "'a;b' cannot stand in a condition"),
        ({"room": "hall"}, "room 'hall' is none"),
    ],
)
def test_conditions_that_cannot_be_are_refused(fields, message):
    with pytest.raises(study.UserError, match=message):
        Condition(**fields)


def test_a_grid_has_every_noise_snr_and_denoiser_once_and_clean_first():
    found = [str(condition) for condition in noise.grid(["rain", "white"], snrs_db=[20, -5], denoisers=["", "dtln"])]
    assert len(set(found)) == len(found) == (1 + 2 * 2) * 2
    assert found[:3] == ["clean", "clean;denoiser=dtln", "noise=rain;snr_db=-5"]
    assert len(noise.grid()) == 1 + len(noise.GRID) * 6


# --- plans ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_plan() -> pd.DataFrame:
    """Plan of the synthetic noises by their names, without their sound."""
    from ser_utils.corpora import demo_noise

    rows = [
        plans._row({"corpus": "demo_noise", **demo_noise.parse(Path(source.name(take)))}, Path(source.name(take)))
        for source in demo_noise.sources()
        for take in demo_noise.TAKES
    ]
    return plans.apart(pd.DataFrame(rows))


def test_parts_share_no_file_and_no_recording_and_unseen_classes_are_for_tests_alone(demo_plan):
    for column in ("noise_id", "file", "source"):
        assert (demo_plan.groupby(column)["part"].agg(set).map(len) == 1).all()
    assert demo_plan["part"].value_counts().to_dict() == {"train": 72, "test": 64, "validation": 24}
    hidden = demo_plan[demo_plan["noise_class"].isin(noise.UNSEEN["demo_noise"])]
    assert set(hidden["part"]) == {"test"}
    assert len(hidden) == 40
    for part in ("train", "validation"):
        assert not set(noise.UNSEEN["demo_noise"]) & set(demo_plan.loc[demo_plan["part"] == part, "noise_class"])
    assert [len(classes) for classes in noise.UNSEEN.values()] == [2, 2]


def test_unseen_classes_are_classes_of_their_corpus():
    assert set(noise.UNSEEN["esc50"]) <= set(corpora.esc50.CLASSES)
    assert set(noise.UNSEEN["demo_noise"]) <= set(corpora.demo_noise.CLASSES)
    for classes in noise.SETS.values():
        assert set(classes) <= set(corpora.esc50.CLASSES) | set(corpora.demo_noise.CLASSES)
        assert len(set(classes)) == len(classes)


def test_official_folds_of_esc50_and_a_recording_in_two_folds():
    names = ["1-100-A-10", "3-101-A-10", "5-102-A-10", "4-103-A-36", "2-209698-A-38", "5-209698-A-37"]
    rows = [{"corpus": "esc50", **corpora.esc50.parse(Path(f"{name}.wav"))} for name in names]
    table = plans.apart(pd.DataFrame([plans._row(row, Path("x")) for row in rows]).assign(clip_id=names))
    assert table["part"].tolist() == ["train", "validation", "test", "test", "test"]
    assert table["clip_id"].tolist() == [*names[:4], names[5]], "the clip of fold 2 has its recording in fold 5"
    assert table["noise_id"].iloc[0] == "1-100-A-10", "as augmentation names it"


def test_names_stand_for_classes_sets_and_collections(demo_plan):
    def classes(name: str, part: str) -> list[str]:
        return sorted(noise.choose(demo_plan, name, part=part)["noise_class"].unique())

    assert classes("rain", "train") == ["rain"]
    assert classes("everyday", "train") == classes("everyday", "test") == ["clatter", "hum", "rain"]
    assert classes("stationary", "test") == ["hum", "rain"], "an unseen class belongs to no other set"
    assert classes("unseen", "test") == ["engine", "siren"]
    assert classes("engine", "test") == ["engine"]
    assert len(classes("demo_noise", "test")) == 8
    for name in ("unseen", "engine", "jackhammer"):
        with pytest.raises(
            study.UserError, match=f"noise '{name}': no file of it is for part 'train'; use one of every"
        ):
            noise.choose(demo_plan, name, part="train")
    assert noise.available(demo_plan, part="train", names=noise.GRID) == [
        "everyday", "stationary", "impulsive", "babble", "white",
    ]  # fmt: skip


COLLECTIONS = {
    "DEMAND": [f"{scene}/ch{k:02d}.wav" for scene in ("DKITCHEN", "DLIVING", "TBUS", "NPARK") for k in (1, 2, 16)],
    "musan": [f"noise/free-sound/noise-free-sound-{k:04d}.wav" for k in range(60)]
    + ["music/jamendo/music-jamendo-0000.wav", "speech/librivox/speech-librivox-0001.wav", "noise/free-sound/LICENSE"],
    "NOISEX-92": ["babble.wav", "factory1.wav", "factory2.wav", "volvo.wav", "own_recording.wav", "._volvo.wav"],
}


def test_collections_are_found_by_folder_and_layout(tmp_path):
    for name, paths in COLLECTIONS.items():
        for path in paths:
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    table = pd.DataFrame(folders.files(tmp_path))
    demand = table[table["corpus"] == "demand"].set_index("source")
    assert demand["part"].to_dict() == {"DKITCHEN": "train", "DLIVING": "test", "TBUS": "test", "NPARK": "validation"}
    assert demand.loc["DKITCHEN", "noise_class"] == "demand_home"
    assert demand["file"].str.endswith("ch01.wav").all()
    musan = table[table["corpus"] == "musan"]
    assert musan["noise_class"].value_counts().to_dict() == {"musan_noise": 60, "musan_music": 1}
    shares = musan["part"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.6, abs=0.15)
    assert set(shares.index) == {"train", "validation", "test"}
    noisex = table[table["corpus"] == "noisex"].set_index("source")["part"].to_dict()
    assert noisex == {"babble": "test", "factory1": "test", "factory2": "train", "volvo": "test"}
    assert list(plans.apart(table)["part"]) == list(table["part"])
    assert set(noise.choose(table, "demand", part="test")["source"]) == {"DLIVING", "TBUS"}


def test_a_collection_in_another_layout_stops_with_its_layout(tmp_path):
    (tmp_path / "demand" / "kitchen.wav").parent.mkdir()
    (tmp_path / "demand" / "kitchen.wav").touch()
    with pytest.raises(study.UserError, match=r"demand: no file of DEMAND.* such as DEMAND/DKITCHEN/ch01\.wav; unpack"):
        folders.files(tmp_path)


# --- babble -----------------------------------------------------------------------------------------------------


def people(corpus: str, n: int, emotion: str = "neutral") -> pd.DataFrame:
    rows = [(corpus, f"{corpus}_{k:02d}", f"{corpus}{k}", emotion) for k in range(n)]
    return pd.DataFrame(rows, columns=["corpus", "speaker", "clip_id", "emotion"])


def test_babble_comes_from_the_largest_other_corpus_with_people_enough():
    manifest = pd.concat([people("a", 40), people("b", 15), people("c", 16), people("d", 50, "angry")])
    assert babble.source(manifest, "a") == "c"
    assert babble.source(manifest, "b") == "a"
    assert babble.source(manifest[manifest["corpus"] != "c"], "a") == "b"
    assert babble.source(people("e", 14), "a") == ""


def test_babble_is_of_five_people_who_babble_in_one_part_alone(tmp_path):
    rows = people("a", 15).assign(path=lambda t: t["clip_id"] + ".wav")
    for k, path in enumerate(rows["path"]):
        sf.write(tmp_path / path, 0.1 * np.sin(2 * np.pi * (300 + 200 * k) * np.arange(SR) / SR), SR)
    rows["sha256"] = [study.sha256(tmp_path / path) for path in rows["path"]]
    made = babble.folder(rows, tmp_path, cache=tmp_path / "cache")
    files = sorted(made.glob("*.flac"))
    assert len(files) == sum(babble.N_CLIPS.values())
    heard: dict[str, set[int]] = {part: set() for part in babble.N_CLIPS}
    for file in files:
        y = audio.load(file)
        assert len(y) == 10 * SR
        assert audio.level_db(y) == pytest.approx(babble.LEVEL_DBFS, abs=0.1)
        power = np.abs(np.fft.rfft(y))[[10 * (300 + 200 * k) for k in range(15)]]
        voices = set(np.flatnonzero(power > 0.05 * power.max()).tolist())
        assert len(voices) == babble.TALKERS
        heard[file.stem.partition("-")[0]] |= voices
    assert not heard["train"] & heard["test"]
    assert not heard["train"] & heard["validation"]
    assert not heard["validation"] & heard["test"]


# --- draws ------------------------------------------------------------------------------------------------------


def clips(n: int = 40) -> pd.DataFrame:
    ids = [f"c{k}" for k in range(n)]
    speakers = [f"s{k % 4}" for k in range(n)]
    return pd.DataFrame({"clip_id": ids, "speaker": speakers, "sha256": ids, "emotion": "sad", "level_dbfs": -20.0})


def test_a_draw_depends_on_seed_clip_and_noise_and_on_nothing_else(demo_plan):
    drawn = noise.draw(clips(), "noise=everyday;snr_db=5", demo_plan)
    shuffled = noise.draw(clips().sample(frac=1, random_state=1), "noise=everyday;snr_db=5", demo_plan.sample(frac=1))
    pd.testing.assert_frame_equal(shuffled.sort_index(), drawn)
    facts = ["noise_id", "noise_class", "noise_file", "room", "mix_seed"]
    louder = noise.draw(clips(), "noise=everyday;snr_db=-5;denoiser=dtln", demo_plan)
    pd.testing.assert_frame_equal(louder[facts], drawn[facts])
    assert (louder["condition"] == "noise=everyday;snr_db=-5").all()
    for other in (
        noise.draw(clips(), "noise=everyday;snr_db=5", demo_plan, seed=1),
        noise.draw(clips(), "noise=everyday;snr_db=5", demo_plan, part="train"),
        noise.draw(clips().assign(clip_id=lambda t: "x" + t["clip_id"]), "noise=everyday;snr_db=5", demo_plan),
    ):
        assert (other["mix_seed"] != drawn["mix_seed"]).all()
        assert (other["noise_id"] != drawn["noise_id"]).any()


def test_every_class_is_as_likely_as_the_others_and_only_files_of_the_part_are_drawn(demo_plan):
    most = demo_plan[(demo_plan["noise_class"] != "rain") | demo_plan["source"].str.endswith("400")]
    drawn = noise.draw(clips(900), "noise=everyday;snr_db=0..20", most, part="train")
    parts = drawn["noise_id"].map(most.set_index("noise_id")["part"])
    assert set(parts) == {"train"}
    assert drawn["noise_class"].value_counts(normalize=True).to_numpy() == pytest.approx([1 / 3] * 3, abs=0.06)
    assert drawn["snr_db"].between(0, 20).all()
    assert drawn["snr_db"].std() == pytest.approx(20 / np.sqrt(12), rel=0.1)
    mixture = noise.draw(clips(900), "noise=everyday+white;snr_db=5", demo_plan)["noise_class"]
    assert (mixture == "white").mean() == pytest.approx(0.5, abs=0.06)
    assert (drawn["room"] == -1).all()
    rooms = noise.draw(clips(900), "noise=white;snr_db=5;room=any", demo_plan)["room"]
    assert set(rooms) == set(range(8))
    assert set(noise.draw(clips(3), "room=2", demo_plan)["room"]) == {2}


def test_clean_draws_nothing(demo_plan, tmp_path):
    drawn = noise.draw(clips(), "clean", demo_plan)
    assert (drawn["noise_id"] == "").all()
    rows, root = noise.render(drawn, tmp_path, cache=tmp_path)
    assert root == tmp_path
    assert list(rows["clip_id"]) == list(drawn["clip_id"])


@pytest.fixture
def fold() -> splits.Fold:
    ids = clips()["clip_id"].to_numpy(dtype=str)
    who = clips()["speaker"]
    return splits.Fold(0, ids[who.isin(["s0", "s1"])], ids[who == "s2"], ids[who == "s3"])


def test_the_gate_lets_planned_noise_pass_and_refuses_a_test_noise_in_training(demo_plan, fold):
    condition = "noise=everyday+babble+white;snr_db=0..20"
    train = noise.copies(clips(), condition, demo_plan, part="train", n=2)
    validation = noise.copies(clips(), condition, demo_plan, part="validation")
    tests = [noise.draw(clips(), f"noise={name};snr_db=5", demo_plan) for name in ("everyday", "unseen", "babble")]
    noise.gate(fold, clips(), {"train": [train], "validation": [validation], "test": tests})
    with pytest.raises(splits.LeakError, match="leak 'noise': test clips are known in train"):
        noise.gate(fold, clips(), {"train": [noise.copies(clips(), condition, demo_plan, part="test")], "test": tests})
    with pytest.raises(splits.LeakError, match="leak 'noise': validation clips are known in train"):
        noise.gate(fold, clips(), {"train": [train], "validation": [train]})
    mixed_up = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))
    with pytest.raises(splits.LeakError, match="leak 'clip'"):
        noise.gate(mixed_up, clips(), {"test": tests})


def test_copies_name_their_parent_and_draw_their_own_noise(demo_plan):
    table = noise.copies(clips(5), "noise=everyday;snr_db=0..20", demo_plan, part="train", n=3)
    assert table["clip_id"].tolist()[5:7] == ["c0~noisy1", "c1~noisy1"]
    assert table["parent"].tolist() == 3 * [f"c{k}" for k in range(5)]
    assert table["mix_seed"].is_unique


# --- sound ------------------------------------------------------------------------------------------------------


@pytest.fixture
def sounds(tmp_path) -> tuple[pd.DataFrame, Path, pd.DataFrame]:
    """Three clips, their folder, and a plan of three noises for tests."""
    manifest = clips(3).assign(path=["c0.wav", "c1.wav", "c2.wav"], corpus="toy", sample_rate=SR)
    for k, path in enumerate(manifest["path"]):
        sf.write(tmp_path / path, voice(150 + 40 * k), SR, subtype="PCM_16")
    manifest["sha256"] = [study.sha256(tmp_path / path) for path in manifest["path"]]
    rows = []
    for k in range(3):
        sf.write(tmp_path / f"n{k}.wav", hiss(k, 2.0), SR)
        rows.append((f"esc50/n{k}", "rain", "esc50", f"{k}", "test", str(tmp_path / f"n{k}.wav")))
    return manifest, tmp_path, pd.DataFrame(rows, columns=list(plans.COLUMNS))


def test_rendered_clips_are_a_manifest_of_what_was_drawn(sounds, monkeypatch):
    manifest, root, plan = sounds
    drawn = noise.draw(manifest, "noise=rain;snr_db=0", plan).sample(frac=1, random_state=2)
    monkeypatch.setenv("SER_JOBS", "1")
    rows, place = noise.render(drawn, root, cache=root / "cache")
    assert rows["clip_id"].tolist() == drawn["clip_id"].tolist()
    assert "level_dbfs" not in rows
    for (_, row), before in zip(rows.iterrows(), drawn.to_dict("records"), strict=True):
        mix = noise.mixed(before, root)
        stored = audio.load_listed(place / row["path"], row["sha256"])
        np.testing.assert_allclose(stored, mix.y, atol=1 / 2**15)
        y = audio.load(root / before["path"])
        added = stored / 10 ** (row["gain_db"] / 20) - y
        assert audio.active_level_db(y, sr=SR) - audio.level_db(added) == pytest.approx(0, abs=0.1)
    spec = features.FrameSpec(n_mels=20, max_s=1.0)
    found = features.extract(rows, place, spec, cache=root / "features")
    assert found.clip_ids.tolist() == rows["clip_id"].tolist()


def test_mixes_come_from_the_cache_and_are_the_same_in_any_order_and_number_of_workers(sounds, monkeypatch):
    manifest, root, plan = sounds
    drawn = noise.draw(manifest, "noise=rain;snr_db=5;room=any", plan)
    monkeypatch.setenv("SER_JOBS", "2")
    two, place = noise.render(drawn, root, cache=root / "two")
    monkeypatch.setenv("SER_JOBS", "1")
    one, _ = noise.render(drawn.iloc[::-1], root, cache=root / "one")
    assert one.iloc[::-1]["sha256"].tolist() == two["sha256"].tolist()
    (root / "c0.wav").unlink()
    again, where = noise.render(drawn, root, cache=root / "two")
    pd.testing.assert_frame_equal(again, two)
    assert where == place
    with pytest.raises(study.UserError, match=r"c0\.wav: gone or altered"):
        noise.render(drawn, root, cache=root / "three")


def test_another_noise_file_snr_or_clip_is_mixed_anew_and_a_gone_noise_is_named(sounds, monkeypatch):
    manifest, root, plan = sounds
    monkeypatch.setenv("SER_JOBS", "1")
    drawn = noise.draw(manifest, "noise=rain;snr_db=5", plan)
    first, _ = noise.render(drawn, root, cache=root / "cache")
    louder, _ = noise.render(drawn.assign(snr_db=4.0), root, cache=root / "cache")
    assert not set(first["sha256"]) & set(louder["sha256"])
    for k in range(3):
        sf.write(root / f"n{k}.wav", hiss(k + 9, 2.0), SR)
    mixing._noise.cache_clear()
    other, _ = noise.render(drawn, root, cache=root / "cache")
    assert not set(first["sha256"]) & set(other["sha256"])
    for k in range(3):
        (root / f"n{k}.wav").unlink()
    with pytest.raises(study.UserError, match=r"n\d\.wav: this noise is gone since the plan was made"):
        noise.render(drawn.assign(snr_db=3.0), root, cache=root / "cache")


def test_a_silent_noise_file_is_named(sounds, monkeypatch):
    manifest, root, plan = sounds
    monkeypatch.setenv("SER_JOBS", "1")
    sf.write(root / "mute.wav", np.zeros(SR), SR)
    drawn = noise.draw(manifest, "noise=rain;snr_db=5", plan.assign(file=str(root / "mute.wav")))
    with pytest.raises(study.UserError, match=r"mute\.wav: this noise is silent; leave it out through exclude"):
        noise.render(drawn, root, cache=root / "cache")


def test_a_room_is_heard_in_the_speech_and_not_in_the_noise(sounds):
    manifest, root, plan = sounds
    dry, wet = (
        noise.mixed(noise.draw(manifest, f"noise=rain;snr_db=5{room}", plan).iloc[0], root) for room in ("", ";room=7")
    )
    assert np.corrcoef(dry.noise, wet.noise)[0, 1] > 0.999
    assert np.corrcoef(dry.speech, wet.speech)[0, 1] < 0.95
    far = noise.mixed(noise.draw(manifest, "room=7", plan).iloc[0], root)
    assert not far.noise.any()
    np.testing.assert_allclose(far.y, wet.speech / 10 ** (wet.gain_db / 20), atol=1e-5)


# --- real corpora -----------------------------------------------------------------------------------------------


@pytest.mark.real
def test_real_esc50_is_parted_by_recording(monkeypatch):
    files = sorted((study.paths("full").data / "esc50" / "audio").glob("*"))
    if not files:
        pytest.skip("no esc50 below SER_DATA")
    rows = [{"corpus": "esc50", **corpora.esc50.parse(file)} for file in files]
    table = plans.apart(pd.DataFrame([plans._row(row, Path(row["clip_id"])) for row in rows]))
    assert (table.groupby("source")["part"].agg(set).map(len) == 1).all()
    assert not set(table.loc[table["part"] == "train", "noise_class"]) & set(noise.UNSEEN["esc50"])
    assert {"everyday", "stationary", "impulsive", "unseen"} <= set(noise.available(table, part="test"))
    assert len(noise.choose(table, "everyday", part="train")) > 400
