"""Augmentations of the waveform: they do what they say, the same way every time, and refuse what they cannot do."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ser_utils import audio, augment, corpora, features, splits, study
from ser_utils.augment import rooms

SR = 16_000
NAMES = sorted(augment.AUGMENTATIONS)
SPEC = features.FrameSpec(kind="log_mel", n_mels=24, max_s=2.0, trim_db=0)


def voice(seconds: float = 1.5, *, f0_hz: float = 180.0, seed: int = 0) -> np.ndarray:
    """Syllables of a gliding harmonic voice with pauses between them."""
    t = np.arange(round(seconds * SR)) / SR
    phase = 2 * np.pi * np.cumsum(f0_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t + seed))) / SR
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    return (0.1 * buzz * np.clip(np.sin(2 * np.pi * 2 * t) * 2, 0, 1)).astype(np.float32)


def noises() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {f"rain{i}": rng.normal(0, 0.1, SR).astype(np.float32) for i in range(3)}


def changed(name: str, y: np.ndarray, clip_id: str = "a", **ranges) -> tuple[np.ndarray, dict]:
    given = {"noises": noises()} if name == "background" else {}
    return augment.apply(y, name, sr=SR, seed=1, clip_id=clip_id, **given, **ranges)


# --- what the catalogue promises --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_augmentation_states_range_unit_and_source(name):
    entry = augment.AUGMENTATIONS[name]
    assert entry.source.startswith(("doi:", "arXiv:"))
    assert entry.label_safe
    assert entry.about
    for parameter in entry.parameters.values():
        assert parameter.least <= parameter.low < parameter.high <= parameter.most
        assert parameter.unit


@pytest.mark.parametrize("name", NAMES)
def test_draws_stay_in_their_range_and_fill_it(name):
    rng = np.random.default_rng(0)
    drawn = pd.DataFrame([augment.draw(name, rng, noises=["n"]) for _ in range(300)])
    for parameter, usual in augment.AUGMENTATIONS[name].parameters.items():
        values = drawn[parameter]
        assert values.between(usual.low, usual.high).all()
        assert np.ptp(values) > 0.9 * (usual.high - usual.low)


def test_training_on_frames_imports_no_heavy_package():
    code = "import sys, ser_utils.augment; print({'audiomentations', 'pyroomacoustics'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=study.ROOT)
    assert done.stdout.strip() == "set()"


# --- the same sound every time ----------------------------------------------------------------------------------


def fingerprint(item: tuple[str, str]) -> str:
    name, clip_id = item
    y, drawn = changed(name, voice(0.5, seed=len(clip_id)), clip_id)
    return hashlib.sha256(y.tobytes()).hexdigest() + json.dumps(drawn)


def test_any_order_and_any_number_of_workers_give_the_same_bits():
    items = [(name, clip_id) for name in NAMES for clip_id in ("a", "bb")]
    alone = study.pmap(fingerprint, items, desc="", jobs=1)
    assert study.pmap(fingerprint, items[::-1], desc="", jobs=2)[::-1] == alone
    assert len(set(alone)) == len(items)


@pytest.mark.parametrize("name", NAMES)
def test_global_generators_are_neither_read_nor_moved(name):
    np.random.seed(3)  # noqa: NPY002 - the state that must not matter
    random.seed(3)
    before = (random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2])  # noqa: NPY002
    first, _ = changed(name, voice(0.3))
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2])  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    random.seed(4)
    np.testing.assert_array_equal(changed(name, voice(0.3))[0], first)


@pytest.mark.parametrize("name", NAMES)
def test_seed_and_clip_change_the_draw_and_rendering_replays_it(name):
    y = voice(0.4)
    y_out, drawn = changed(name, y)
    given = {"noises": noises()} if name == "background" else {}
    np.testing.assert_array_equal(augment.render(y, name, drawn, sr=SR, **given), y_out)
    others = [changed(name, y, clip)[1] for clip in "bcd"]
    others += [augment.apply(y, name, sr=SR, seed=seed, clip_id="a", **given)[1] for seed in (2, 3, 4)]
    assert any(other != drawn for other in others[:3])
    assert any(other != drawn for other in others[3:])


# --- what is done to the sound ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["noise", "background"])
@pytest.mark.parametrize("snr_db", [-5, 0, 20])
def test_measured_snr_is_the_asked_one_on_the_active_level(name, snr_db):
    y = 0.2 * voice()
    y_out, drawn = changed(name, y, snr_db=snr_db)
    assert drawn["scaled_db"] == 0
    assert augment.active_level_db(y, sr=SR) - audio.level_db(y_out - y) == pytest.approx(snr_db, abs=0.02)
    assert audio.level_db(y) < augment.active_level_db(y, sr=SR) - 1, "pauses must not count"


def test_noise_on_a_clip_without_pauses_is_that_of_audiomentations():
    from audiomentations import AddGaussianSNR

    tone = (0.1 * np.sin(np.arange(SR * 2) / 5)).astype(np.float32)
    theirs = AddGaussianSNR(min_snr_db=12, max_snr_db=12, p=1.0)(tone, SR) - tone
    ours = changed("noise", tone, snr_db=12)[0] - tone
    assert audio.level_db(ours) == pytest.approx(audio.level_db(theirs), abs=0.1)


@pytest.mark.parametrize(
    ("name", "ranges", "semitones", "rate", "level_db"),
    [
        ("pitch_shift", {"semitones": 2}, 2, 1, 0),
        ("pitch_shift", {"semitones": -3}, -3, 1, 0),
        ("time_stretch", {"rate": 1.25}, 0, 1.25, 0),
        ("time_stretch", {"rate": 0.5}, 0, 0.5, 0),
        ("speed", {"rate": 0.9}, 12 * np.log2(0.9), 0.9, 0),
        ("speed", {"rate": 1.2}, 12 * np.log2(1.2), 1.2, 0),
        ("gain", {"gain_db": -7}, 0, 1, -7),
        ("shift", {"shift_s": 0.2}, 0, 1, 0),
        ("low_pass", {"cutoff_hz": 3000}, 0, 1, 0),
        ("resample", {"rate_hz": 8000}, 0, 1, 0),
    ],
)
def test_cues_move_as_asked(name, ranges, semitones, rate, level_db):
    y = np.pad(voice(), (0, 4000))
    y_out, _ = changed(name, y, **ranges)
    found = augment.effect(y, y_out, SR)
    assert found["f0_change_semitones"] == pytest.approx(semitones, abs=0.1)
    assert found["rate_change"] == pytest.approx(rate, rel=0.08)
    assert found["level_change_db"] == pytest.approx(level_db, abs=0.7)
    assert found["duration_change"] == pytest.approx(1 / rate, rel=0.001)


@pytest.mark.parametrize(
    ("name", "ranges", "edge_hz", "least_db"),
    [("low_pass", {"cutoff_hz": 2000}, 4000, 23), ("resample", {"rate_hz": 6000}, 3300, 60)],
)
def test_what_lies_above_the_edge_is_gone_and_below_it_stays(name, ranges, edge_hz, least_db):
    y = np.random.default_rng(0).normal(0, 0.05, 4 * SR).astype(np.float32)
    before, after = (np.abs(np.fft.rfft(sound)) ** 2 for sound in (y, changed(name, y, **ranges)[0]))
    hz = np.fft.rfftfreq(len(y), 1 / SR)
    loss_db = 10 * np.log10(before / after)
    assert np.median(loss_db[hz > edge_hz]) > least_db
    assert abs(np.median(loss_db[(hz > 100) & (hz < 1000)])) < 0.1


def test_shift_moves_by_the_asked_samples_and_leaves_half_of_a_short_clip():
    y = voice()
    late, _ = changed("shift", y, shift_s=0.25)
    assert not late[:4000].any()
    np.testing.assert_array_equal(late[4100:], y[100:-4000])
    early, _ = changed("shift", y, shift_s=-0.25)
    np.testing.assert_array_equal(early[:-4100], y[4000:-100])
    short = np.full(SR // 10, 0.5, dtype=np.float32)
    assert np.count_nonzero(changed("shift", short, shift_s=3)[0]) >= len(short) // 2 - 1


@pytest.mark.parametrize("room", range(rooms.N_ROOMS))
def test_rooms_keep_length_level_and_place(room):
    click = np.zeros(SR, dtype=np.float32)
    click[3000] = 0.5
    y_out, _ = changed("reverb", click, room=room)
    assert len(y_out) == SR
    assert np.abs(y_out).argmax() == 3000
    assert audio.level_db(y_out) == pytest.approx(audio.level_db(click), abs=0.01)
    energy = np.cumsum(np.square(y_out[::-1], dtype=np.float64))[::-1]
    decay_db = 10 * np.log10(energy[3000:] / energy[3000])
    t30_s = 2 * ((decay_db < -35).argmax() - (decay_db < -5).argmax()) / SR
    assert 0.7 < t30_s / rooms.ROOMS[room].rt60_s < 1.4
    size, places = rooms.ROOMS[room].size_m, (rooms.ROOMS[room].source_m, rooms.ROOMS[room].microphone_m)
    assert all(0 < place[axis] < size[axis] for place in places for axis in range(3))


def test_whole_numbers_may_come_as_floats_from_a_table():
    given = {"snr_db": np.float64(10), "noise_seed": np.float64(7)}
    wanted = augment.render(voice(0.2), "noise", {"snr_db": 10, "noise_seed": 7}, sr=SR)
    np.testing.assert_array_equal(augment.render(voice(0.2), "noise", given, sr=SR), wanted)


def test_a_pause_of_the_noise_is_not_amplified():
    bark = np.zeros(SR, dtype=np.float32)
    bark[12_000:13_000] = np.tile([0.3, -0.3], 500)
    bark += np.random.default_rng(0).normal(0, 1e-4, SR).astype(np.float32)
    y = voice(0.25)
    given = {"sr": SR, "noises": {"bark": bark}}
    mixed = augment.render(y, "background", {"snr_db": 0, "offset": 0.0, "noise_id": "bark"}, **given) - y
    assert np.ptp(np.abs(mixed)) > 0.05, "the bark, not the hiss before it"
    assert np.abs(mixed[2000:]).max() < 0.01


@pytest.mark.parametrize("name", ["noise", "background"])
def test_a_silent_clip_gets_no_noise_as_no_snr_is_defined(name):
    assert not changed(name, np.zeros(SR, dtype=np.float32), snr_db=0)[0].any()


def test_sound_beyond_full_scale_is_scaled_down_and_told():
    y_out, drawn = changed("gain", 2 * voice(), gain_db=20)
    assert np.abs(y_out).max() == pytest.approx(1, abs=1e-6)
    assert drawn["scaled_db"] == pytest.approx(-20 - 20 * np.log10(2 * np.abs(voice()).max()), abs=0.01)
    quiet, told = changed("gain", voice(), gain_db=-3)
    assert told["scaled_db"] == 0
    assert np.abs(quiet).max() < 1


# --- what cannot be done ----------------------------------------------------------------------------------------

SHORT = {
    "one sample": np.array([0.3], dtype=np.float32),
    "20 ms": voice()[1000:1320],
    "silence": np.zeros(SR, dtype=np.float32),
    "silence of one sample": np.zeros(1, dtype=np.float32),
    "very loud": (1e30 * voice(0.3)).astype(np.float32),
    "very soft": (1e-30 * voice(0.3)).astype(np.float32),
    "constant": np.ones(SR, dtype=np.float32),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clip", SHORT)
def test_extreme_clips_and_parameters_give_finite_sound(name, clip):
    extremes = [{}]
    for parameter, usual in augment.AUGMENTATIONS[name].parameters.items():
        ceiling = SR / 2 - 1 if usual.unit == "Hz" else usual.most
        extremes += [{parameter: usual.least}, {parameter: min(usual.most, int(ceiling))}]
    for ranges in extremes:
        y_out, _ = changed(name, SHORT[clip], **ranges)
        assert y_out.dtype == np.float32
        assert y_out.ndim == 1
        assert len(y_out)
        assert np.isfinite(y_out).all()
        assert np.abs(y_out).max() <= 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(0, np.float32), "the clip holds no sample"),
        (np.zeros((2, 100), np.float32), r"the clip is float32 of shape \(2, 100\)"),
        (np.zeros(100, np.int16), "the clip is int16"),
        ([0.0, 0.1], "the clip is list"),
        (np.array([0.1, np.nan], np.float32), "the clip holds 1 samples that are no finite numbers"),
        (np.array([0.1, np.inf, 1e300]), "the clip holds 2 samples that are no finite numbers"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_sound_that_is_none_is_refused(name, y, message):
    with pytest.raises(study.UserError, match=message):
        changed(name, y)


@pytest.mark.parametrize(
    ("name", "ranges", "message"),
    [
        ("echo", {}, "augmentation 'echo' is unknown; use one of noise, time_stretch"),
        ("noise", {"snr_db": -30}, "noise: snr_db -30 must be a number from -20 to 100 dB"),
        ("noise", {"snr_db": (5, float("nan"))}, "snr_db"),
        ("noise", {"snr_db": (20, 10)}, "two ends of a range that rises"),
        ("noise", {"snr_db": "loud"}, "must be one number"),
        ("noise", {"level": 3}, "noise has no parameter 'level'; it has snr_db, noise_seed"),
        ("time_stretch", {"rate": 0.4}, "time_stretch: rate 0.4 must be a number from 0.5 to 2 times"),
        ("pitch_shift", {"semitones": (-2, 30)}, "semitones 30 must be a number from -12 to 12 semitones"),
        ("reverb", {"room": 8}, "room 8 must be a whole number from 0 to 7"),
        ("reverb", {"room": 1.5}, "room 1.5 must be a whole number"),
        ("low_pass", {"cutoff_hz": 8000}, "cutoff_hz 8000 Hz changes nothing at a sampling rate of 16000 Hz"),
        ("resample", {"rate_hz": 16000}, "rate_hz 16000 Hz changes nothing at a sampling rate of 16000 Hz"),
    ],
)
def test_parameters_outside_their_range_are_refused(name, ranges, message):
    with pytest.raises(study.UserError, match=message):
        changed(name, voice(0.2), **ranges)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sr", [4000, 8000])
def test_usual_draws_suit_low_sampling_rates(name, sr):
    given = {"noises": noises()} if name == "background" else {}
    for clip in map(str, range(12)):
        y_out, _ = augment.apply(voice(0.2), name, sr=sr, seed=0, clip_id=clip, **given)
        assert np.isfinite(y_out).all()


def test_copies_are_drawn_for_their_sampling_rate(clips):
    manifest, _ = clips
    table = augment.copies(manifest, ["resample"], n=10, seed=0, sr=8000)
    rates = [json.loads(recipe)["resample"]["rate_hz"] for recipe in table["recipe"]]
    assert 6000 <= min(rates) < 6200 < 7000 < max(rates) <= 7200


@pytest.mark.parametrize("name", NAMES)
def test_sound_that_must_not_be_written_to_is_copied(name):
    y = voice(0.2)
    before = y.copy()
    y.flags.writeable = False
    assert changed(name, y)[0].flags.writeable
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize(
    ("parameters", "given", "message"),
    [
        ({"snr_db": 5}, noises(), "background takes snr_db, offset, not snr_db"),
        ({"snr_db": 5, "offset": 0.1, "noise_id": "dog"}, noises(), "noise clip 'dog' is not among the 3 given"),
        ({"snr_db": 5, "offset": 0.1, "noise_id": "mute"}, {"mute": np.zeros(9, np.float32)}, "'mute' is silent"),
        ({"snr_db": 5, "offset": 0.1, "noise_id": "duo"}, {"duo": np.ones((9, 2))}, r"'duo' is float64 of shape"),
        ({"snr_db": 500, "offset": 0.1, "noise_id": "rain0"}, noises(), "snr_db 500 must be a number from -20"),
    ],
)
def test_recipes_that_cannot_be_rendered_are_refused(parameters, given, message):
    with pytest.raises(study.UserError, match=message):
        augment.render(voice(0.2), "background", {"noise_id": "rain0", **parameters}, sr=SR, noises=given)


def test_background_without_noise_clips_is_refused():
    with pytest.raises(study.UserError, match="background needs noise clips"):
        augment.apply(voice(0.2), "background", sr=SR, seed=0, clip_id="a")


# --- chains, copies and their features --------------------------------------------------------------------------


def test_a_chain_applies_each_step_with_its_probability_and_replays_from_json():
    chain = augment.Chain("mix", (("speed", 1.0), ("noise", 0.3), ("gain", 0.0)), {"speed": {"rate": (1.05, 1.1)}})
    recipes = [chain.draw(seed=0, clip_id=f"clip{i}") for i in range(400)]
    assert all("speed" in recipe and 1.05 <= recipe["speed"]["rate"] <= 1.1 for recipe in recipes)
    assert not any("gain" in recipe for recipe in recipes)
    assert np.mean(["noise" in recipe for recipe in recipes]) == pytest.approx(0.3, abs=0.07)
    y_out, recipe = chain.apply(voice(0.5), sr=SR, seed=0, clip_id="clip0")
    assert recipe["speed"]["scaled_db"] == 0
    np.testing.assert_array_equal(augment.replay(voice(0.5), json.loads(json.dumps(recipe)), sr=SR), y_out)


def test_a_chain_of_one_is_the_augmentation_itself():
    y_out, recipe = augment.Chain.of("pitch_shift").apply(voice(0.3), sr=SR, seed=1, clip_id="a")
    alone, drawn = changed("pitch_shift", voice(0.3))
    np.testing.assert_array_equal(y_out, alone)
    assert recipe["pitch_shift"]["semitones"] == drawn["semitones"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a~b", (("gain", 1.0),)), "needs a name without ~"),
        (("twice", (("gain", 1.0), ("gain", 0.5))), "each augmentation at most once"),
        (("much", (("gain", 1.5),)), "probability 1.5 of gain must lie in 0 … 1"),
        (("none", (("echo", 1.0),)), "augmentation 'echo' is unknown"),
        (("other", (("gain", 1.0),), {"noise": {}}), "ranges for noise, which is none of its steps"),
    ],
)
def test_chains_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(study.UserError, match=message):
        augment.Chain(*arguments)


@pytest.fixture
def clips(tmp_path) -> tuple[pd.DataFrame, Path]:
    """Four clips of four speakers, and two files of noise."""
    rows = []
    for i in range(4):
        sf.write(tmp_path / f"c{i}.wav", voice(0.8, f0_hz=120 + 40 * i), SR)
        digest = study.sha256(tmp_path / f"c{i}.wav")
        rows.append({"clip_id": f"c{i}", "path": f"c{i}.wav", "speaker": f"s{i}", "emotion": "sad", "sha256": digest})
    for name, sound in noises().items():
        sf.write(tmp_path / f"{name}.wav", sound, SR)
    return pd.DataFrame(rows), tmp_path


def files(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.wav" for name in noises()}


def test_copies_keep_labels_and_name_their_parent_and_their_noise(clips):
    manifest, _ = clips
    table = augment.copies(manifest, ["background", augment.Chain("both", (("gain", 1.0),))], n=2, seed=0, noises="xyz")
    assert len(table) == 4 * 2 * 2
    assert table["clip_id"].is_unique
    assert table["clip_id"].iloc[4] == "c0~background1"
    assert (table["emotion"] == "sad").all()
    assert (table["clip_id"].str.split("~").str[0] == table["parent"]).all()
    with_noise = table["augmentation"] == "background"
    assert set(table.loc[with_noise, "noise_id"]) <= set("xyz")
    assert (table.loc[~with_noise, "noise_id"] == "").all()
    assert table["recipe"].nunique() == len(table)


def test_the_gate_refuses_a_copy_of_a_test_clip(clips):
    manifest, _ = clips
    table = augment.copies(manifest, ["noise"], n=1, seed=0)
    hidden = table.assign(speaker="nobody", sha256=[f"new{i}" for i in range(4)])
    everything = augment.with_originals(hidden, manifest)
    held = {"validation": np.array(["c2"]), "test": np.array(["c3"])}
    splits.check_leaks(splits.Fold(0, np.array(["c0", "c1", "c0~noise0", "c1~noise0"]), **held), everything, fitted={})
    with pytest.raises(splits.LeakError, match="leak 'parent'"):
        splits.check_leaks(splits.Fold(0, np.array(["c0", "c3~noise0"]), **held), everything, fitted={})


def test_copies_of_copies_and_nothing_are_refused(clips):
    manifest, _ = clips
    table = augment.copies(manifest, ["noise"], n=1, seed=0)
    with pytest.raises(study.UserError, match="clip 'c0~noise0' is an augmented copy"):
        augment.copies(table, ["noise"], n=1, seed=0)
    for chains, n in (([], 1), (["noise"], 0), (["noise", "noise"], 1)):
        with pytest.raises(study.UserError, match="must be 1 or more"):
            augment.copies(manifest, chains, n=n, seed=0)


def test_features_of_copies_belong_to_their_rows_and_come_from_the_cache(clips, monkeypatch):
    manifest, root = clips
    table = augment.copies(manifest, ["speed", "background"], n=1, seed=0, noises=files(root)).sample(
        frac=1, random_state=1
    )
    make = functools.partial(augment.augmented_frames, table, root, SPEC, noises=files(root))
    monkeypatch.setenv("SER_JOBS", "2")
    found = make(cache=root / "two")
    monkeypatch.setenv("SER_JOBS", "1")
    alone = make(cache=root / "one")
    np.testing.assert_array_equal(found.x, alone.x)
    assert found.clip_ids.tolist() == table["clip_id"].tolist()
    for i, row in enumerate(table.itertuples()):
        y = augment.replay(audio.load(root / row.path), json.loads(row.recipe), sr=SR, noises=files(root))
        x, n_frames = features.frames(y, SPEC)
        np.testing.assert_array_equal(found.x[i], x)
        assert found.n_frames[i] == n_frames
    (root / "c0.wav").unlink()
    np.testing.assert_array_equal(make(cache=root / "one").x, alone.x)
    with pytest.raises(study.UserError, match=r"c0\.wav: gone or altered"):
        make(cache=root / "three")


def test_another_noise_file_recipe_or_decoder_is_computed_anew(clips, monkeypatch):
    manifest, root = clips
    table = augment.copies(manifest.head(1), ["background"], n=1, seed=0, noises=["rain0"])
    first = augment.augmented_frames(table, root, SPEC, cache=root / "kept", noises=files(root)).x
    sf.write(root / "other.wav", np.sin(np.arange(SR)).astype(np.float32) * 0.1, SR)
    second = augment.augmented_frames(table, root, SPEC, cache=root / "kept", noises={"rain0": root / "other.wav"}).x
    assert not np.array_equal(first, second)
    drawn = augment.copies(manifest.head(1), ["background"], n=1, seed=1, noises=["rain0"])
    third = augment.augmented_frames(drawn, root, SPEC, cache=root / "kept", noises=files(root)).x
    assert not np.array_equal(third, first)
    monkeypatch.setattr(audio, "decoders", lambda: {"av": "another"})
    augment.augmented_frames(drawn, root, SPEC, cache=root / "kept", noises=files(root))
    assert len(list((root / "kept").iterdir())) == 4


# --- real voices ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_clips() -> list[np.ndarray]:
    data = study.paths("full").data
    absent = [name for name in ("ravdess", "emodb") if not (data / name).is_dir()]
    if absent:
        pytest.skip(f"no {', '.join(absent)} below SER_DATA")
    found = [sorted((data / name).glob(corpora.CORPORA[name].pattern))[10::200][:3] for name in ("ravdess", "emodb")]
    return [audio.load(file) for part in found for file in part]


@pytest.mark.real
def test_real_voices_move_as_asked(real_clips):
    for i, y in enumerate(real_clips):
        for name, expected in (
            ("pitch_shift", lambda drawn: drawn["semitones"]),
            ("speed", lambda drawn: 12 * np.log2(drawn["rate"])),
            ("time_stretch", lambda drawn: 0),
            ("shift", lambda drawn: 0),
            ("reverb", lambda drawn: 0),
        ):
            y_out, drawn = changed(name, y, str(i))
            found = augment.effect(y, y_out, SR)["f0_change_semitones"]
            assert found == pytest.approx(expected(drawn), abs=0.3), (name, i)
        noisy, drawn = changed("noise", 0.3 * y, str(i), snr_db=(0, 20))
        snr_db = augment.active_level_db(0.3 * y, sr=SR) - audio.level_db(noisy - 0.3 * y)
        assert snr_db == pytest.approx(drawn["snr_db"], abs=0.1)
