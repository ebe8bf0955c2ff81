"""Denoisers: what all of them promise, and what each of them does to known sounds."""

from __future__ import annotations

import dataclasses
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from sounds import noise, voice

from ser_utils import audio, study
from ser_utils.denoise import DENOISERS, Denoiser, apply_all, gated, spectral, tracker_db, wada_db
from ser_utils.denoise.blocks import Stream, at_rate, overlap_add, whole

SR = 16000
OWN = [name for name, entry in DENOISERS.items() if entry.needs in ("", "clean")]  # need no published weights


def bursts(seconds: float = 3.0, hz: float = 150.0) -> np.ndarray:
    """Half a second of a voice, half a second of nothing, and so on; in the middle of the clip there is voice."""
    y = voice(hz, seconds)
    return (y * (np.arange(len(y)) // (SR // 4) % 4 < 2)).astype(np.float32)


SOUNDS = {
    "silence": np.zeros(16000),
    "click": np.eye(1, 16000, 8000)[0],
    "offset": np.full(16000, 0.3),
    "20 ms": noise(0, 0.02),
    "full scale": np.sign(noise(1, 1.0)),
    "1 sample": np.array([0.5]),
    "barely there": 1e-30 * noise(2, 0.5).astype(float),
    "loud": 1e4 * noise(3, 0.5).astype(float),
}


def run(name: str, y: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return DENOISERS[name](y, clean=clean) if DENOISERS[name].needs == "clean" else DENOISERS[name](y)


def si_sdr(clean: np.ndarray, y: np.ndarray) -> float:
    clean, y = clean - clean.mean(), y - y.mean()
    target = clean * (y @ clean) / (clean @ clean)
    return float(10 * np.log10(np.sum(target**2) / np.sum((y - target) ** 2)))


def lag(y: np.ndarray, out: np.ndarray) -> int:
    """Samples by which `out` comes later."""
    spectrum = np.fft.rfft(out, 2 * len(y)) * np.conj(np.fft.rfft(y, 2 * len(y)))
    found = int(np.fft.irfft(spectrum).argmax())
    return found if found < len(y) else found - 2 * len(y)


# --- what all promise -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("name", OWN)
def test_any_sound_keeps_its_length_and_stays_finite(name, kind):
    y = SOUNDS[kind].astype(np.float32)
    out = run(name, y, y / 2)
    assert out.shape == y.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 2 * np.abs(y).max()


@pytest.mark.parametrize("name", OWN)
def test_a_minute_takes_less_than_a_fifth_of_a_minute(name):
    y = np.tile(bursts() + noise(4, 3.0) * 0.1, 20)
    start = time.process_time()
    assert run(name, y, y / 2).shape == y.shape
    assert time.process_time() - start < 12


@pytest.mark.parametrize("name", OWN)
def test_output_is_aligned_and_repeats(name):
    clean = bursts()
    y = clean + 0.1 * noise(5, 3.0)
    before = y.copy()
    out = run(name, y, clean)
    assert abs(lag(clean, out)) <= SR // 1000
    assert np.array_equal(out, run(name, y, clean))
    assert np.array_equal(y, before)


@pytest.mark.parametrize("sr", [8000, 22050, 48000])
def test_other_rates_come_back_aligned(sr):
    y = (0.3 * np.sin(2 * np.pi * 440 * np.arange(sr) / sr)).astype(np.float32)
    for n in (1, 2, 7, sr):
        out = DENOISERS["none"](y[:n], sr=sr)
        assert len(out) == n
    assert np.abs(out - y)[200:-200].max() < 1e-4
    assert at_rate(lambda y: y + np.float32(len(y) >= 15900), y, sr=sr)[sr // 2] == pytest.approx(
        1 + y[sr // 2], abs=1e-3
    )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((2, 100), dtype=np.float32), r"float32 of shape \(2, 100\)"),
        (np.zeros(100, dtype=np.int16), "int16"),
        (np.zeros(0, dtype=np.float32), "no sample"),
        ([0.0, 1.0], "is list"),
        (np.array([0.1, np.nan]), "1 samples that are no finite"),
    ],
)
def test_what_is_no_sound_is_refused(y, message):
    with pytest.raises(study.UserError, match=message):
        DENOISERS["wiener"](y)


def test_only_the_oracle_takes_the_clean_speech():
    y = bursts(0.5)
    for call in (
        lambda: DENOISERS["oracle"](y),
        lambda: DENOISERS["oracle"](y, clean=y[1:]),
        lambda: DENOISERS["wiener"](y, clean=y),
    ):
        with pytest.raises(study.UserError, match="oracle takes it"):
            call()


# --- what each does ---------------------------------------------------------------------------------------------


def test_floor_and_ceiling():
    clean = bursts()
    y = clean + 0.3 * noise(6, 3.0)
    assert np.array_equal(DENOISERS["none"](y), y)
    assert np.allclose(DENOISERS["oracle"](clean, clean=clean), clean, atol=1e-5)
    ceiling = si_sdr(clean, DENOISERS["oracle"](y, clean=clean))
    assert ceiling > si_sdr(clean, y) + 6
    for name in set(OWN) - {"oracle"}:
        assert si_sdr(clean, DENOISERS[name](y)) < ceiling


@pytest.mark.parametrize(("name", "gain_db"), [("wiener", 5), ("mmse_lsa", 5), ("gate_following", 2), ("wavelet", 0.5)])
def test_steady_noise_gets_less(name, gain_db):
    clean = bursts()
    y = clean + 0.3 * noise(7, 3.0)
    assert si_sdr(clean, DENOISERS[name](y)) > si_sdr(clean, y) + gain_db


@pytest.mark.parametrize("name", ["gate_stationary", "gate_following", "wiener", "mmse_lsa", "wavelet"])
def test_hiss_beside_a_word_gets_at_least_6_db_less(name):
    hiss = 0.3 * noise(15, 3.0)
    y = hiss + np.pad(voice(150, 0.5), (16000, 24000))
    out = DENOISERS[name](y)
    assert np.std(out[:15000]) < np.std(hiss[:15000]) / 2
    assert np.std(out[17000:23000]) > 0.25 * np.std(y[17000:23000])


def test_the_noise_estimate_finds_the_level_beside_the_voice():
    hiss = 0.1 * noise(8, 4.0)
    found = spectral.noise_power(np.square(np.abs(spectral.stft(hiss + bursts(4.0)))))[20:-20]
    true = np.square(np.abs(spectral.stft(hiss)))[20:-20].mean(axis=0)
    error_db = 10 * np.log10(found.mean(axis=0) / true)
    assert np.abs(np.median(error_db)) < 1
    assert np.percentile(np.abs(error_db), 75) < 2


def test_the_noise_estimate_holds_at_both_ends():
    power = np.square(np.abs(spectral.stft(0.1 * noise(18, 3.0))))
    found, true = spectral.noise_power(power), power[20:-20].mean()
    assert np.abs(10 * np.log10([found[:3].mean() / true, found[-3:].mean() / true])).max() < 0.45


def test_gains_of_the_publications():
    prior = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
    assert spectral.wiener_gain(prior, 1 + prior)[2] == 0.5
    ratio = spectral.lsa_gain(prior, 1 + prior) / spectral.wiener_gain(prior, 1 + prior)
    # exp(E1(v) / 2) with v = prior where the a-posteriori SNR is 1 + prior; E1(1) = 0.2194, E1(0.1) = 1.8229
    assert ratio[1:3] == pytest.approx(np.exp(np.array([1.8229, 0.2194]) / 2), rel=1e-3)
    assert ratio[-1] == pytest.approx(1, abs=1e-6)


def test_the_band_pass_takes_the_fundamental_away():
    y = bursts(2.0, hz=150)

    def level_db(out: np.ndarray, hz: int) -> float:
        return 20 * np.log10(np.abs(np.fft.rfft(out)[2 * hz]) / np.abs(np.fft.rfft(y)[2 * hz]))

    plain, band = DENOISERS["pca"](y), DENOISERS["pca_band"](y)
    assert abs(level_db(plain, 150)) < 1
    assert level_db(band, 150) < -40
    assert abs(level_db(band, 1050)) < 1


def test_wavelets_take_white_noise_away_and_leave_a_click():
    hiss, click = 0.1 * noise(9, 1.0), np.eye(1, 16000, 8000, dtype=np.float32)[0]
    out = DENOISERS["wavelet"](hiss + click)
    assert np.std(out[:7000]) < 0.4 * np.std(hiss)
    assert out.argmax() == 8000
    assert out[8000] > 0.4


# --- blocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [[1] * 700 + [3000], [128] * 40, [5000], [0, 4999, 1], [511, 1, 513]])
def test_blocks_of_any_length_give_what_the_whole_clip_gives(blocks):
    window = np.hanning(513)[:512].astype(np.float32)

    class Running:
        """Depends on the frames before, as a recurrent net does."""

        def __init__(self) -> None:
            self.state = 0.0

        def __call__(self, frames: np.ndarray) -> np.ndarray:
            out = []
            for frame in frames:
                self.state = 0.9 * self.state + float(frame.mean())
                out.append(frame * window + np.float32(self.state))
            return np.array(out)

    y = noise(10, sum(blocks) / SR)
    stream, parts, at = Stream(Running(), frame=512, hop=128), [], 0
    for n in blocks:
        parts.append(stream.push(y[at : at + n]))
        at += n
        given = sum(map(len, parts))
        assert given <= at
        assert at - given < 512
    out = np.concatenate([*parts, stream.flush()])
    assert len(out) == len(y)
    assert np.allclose(out, whole(Stream(Running(), frame=512, hop=128), y), atol=1e-6)
    assert np.allclose(whole(Stream(lambda frames: frames / 4, frame=512, hop=128), y), y, atol=1e-6)


def test_frames_add_up():
    frames = np.arange(12.0).reshape(3, 4)
    out = overlap_add(frames, 2)
    assert out.tolist() == [0, 1, 2 + 4, 3 + 5, 6 + 8, 7 + 9, 10, 11]


def test_who_needs_whole_clips_says_so():
    with pytest.raises(study.UserError, match="wiener needs whole clips"):
        DENOISERS["wiener"].stream()


# --- SNR and gate -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_wada_finds_the_snr_of_its_own_model(snr_db):
    rng = np.random.default_rng(11)
    speech = rng.gamma(0.4, 1, 200_000) * rng.choice([-1, 1], 200_000)
    hiss = rng.standard_normal(200_000) * np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)
    assert wada_db(speech + hiss) == pytest.approx(snr_db, abs=0.7)


def test_the_tracker_tells_more_noise_from_less():
    found = [tracker_db(bursts() + gain * noise(12, 3.0)) for gain in (1.0, 0.3, 0.1)]
    assert np.diff(found).min() > 3
    assert found[1] == pytest.approx(20 * np.log10(np.std(voice(150, 1.0)) / np.std(0.3 * noise(12, 3.0))), abs=2)


def half(y: np.ndarray) -> np.ndarray:
    return y / 2


def test_the_gate_leaves_clips_alone_that_lose_little():
    clean, y = bursts(), bursts() + 0.5 * noise(13, 3.0)
    gate = gated(DENOISERS["mmse_lsa"], 10)
    assert np.array_equal(gate(clean + 0.001 * noise(14, 3.0)), clean + 0.001 * noise(14, 3.0))
    assert np.array_equal(gate(y), DENOISERS["mmse_lsa"](y))
    assert gate.name == "mmse_lsa_below_10db"
    for estimate in ("tracker", "wada"):
        other = gated(DENOISERS["mmse_lsa"], 10, estimate=estimate)
        assert np.array_equal(other(y), DENOISERS["mmse_lsa"](y))
        assert estimate in other.name


@pytest.mark.parametrize(
    ("name", "options"), [("oracle", {}), ("wiener", {"threshold_db": 80}), ("wiener", {"estimate": "ear"})]
)
def test_gates_that_make_no_sense_are_refused(name, options):
    with pytest.raises(study.UserError, match="cannot be gated"):
        gated(DENOISERS[name], **options)


# --- many clips -------------------------------------------------------------------------------------------------


def fail(y: np.ndarray) -> np.ndarray:
    raise AssertionError("denoised again")


def double(y: np.ndarray) -> np.ndarray:
    return 2 * y


@pytest.fixture
def clips(tmp_path) -> tuple[pd.DataFrame, Path]:
    """Manifest of three noisy clips, with their clean ones beside them."""
    rows = []
    for name, y in {"a": noise(16), "b": bursts(0.5), "c": noise(17) / np.abs(noise(17)).max()}.items():
        for kind, gain in {"noisy": 1, "clean": 0.5}.items():
            sf.write(tmp_path / f"{name}_{kind}.flac", gain * y, SR, subtype="PCM_16")
        rows.append({"clip_id": name, "path": f"{name}_noisy.flac", "condition": "noise=rain;snr_db=5"})
    table = pd.DataFrame(rows)
    return table.assign(sha256=[study.sha256(tmp_path / path) for path in table["path"]]), tmp_path


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.setenv("SER_JOBS", "1")


def test_a_table_of_clips_becomes_a_table_of_denoised_clips(clips):
    table, root = clips
    made, folder = apply_all(table, root, Denoiser(name="half", title="", function=half), cache=root / "cache")
    assert made["clip_id"].tolist() == ["a", "b", "c"]
    assert made["condition"].unique().tolist() == ["noise=rain;snr_db=5;denoiser=half"]
    for before, after in zip(table.itertuples(), made.itertuples(), strict=True):
        y = audio.load_listed(folder / after.path, after.sha256)
        assert np.abs(y - audio.load(root / before.path) / 2).max() <= 2**-15
    assert (made["gain_db"] == 0).all()
    assert not list(root.rglob(".tmp*"))


def test_each_clip_is_denoised_once_whatever_table_it_is_in(clips):
    table, root = clips
    entry = Denoiser(name="half", title="", function=half)
    again = dataclasses.replace(entry, function=fail)
    first, folder = apply_all(table[:2], root, entry, cache=root / "cache")
    other, same = apply_all(table[1:2].assign(clip_id="z", condition="clean"), root, again, cache=root / "cache")
    assert same == folder
    assert other["sha256"].tolist() == first["sha256"].tolist()[1:]
    assert other["condition"].tolist() == ["clean;denoiser=half"]
    for changed in (again, dataclasses.replace(again, version="2"), dataclasses.replace(again, parts=(entry,))):
        with pytest.raises(AssertionError, match="denoised again"):
            apply_all(table if changed is again else table[:1], root, changed, cache=root / "cache")


def test_what_grows_beyond_full_scale_is_scaled_and_says_so(clips):
    table, root = clips
    loud = table[2:].assign(gain_db=-3.0)
    made, folder = apply_all(loud, root, Denoiser(name="double", title="", function=double), cache=root / "cache")
    before, after = audio.load(root / loud["path"].iloc[0]), audio.load(folder / made["path"].iloc[0])
    assert np.abs(before).max() > 0.9
    assert made["gain_db"].iloc[0] == pytest.approx(-3 - 20 * np.log10(2 * np.abs(before).max()), abs=1e-3)
    assert np.allclose(after * 10 ** (-(made["gain_db"].iloc[0] + 3) / 20), 2 * before, atol=1e-4)


def test_the_oracle_gets_the_clean_clip_at_the_level_it_has_in_the_noisy_one(clips):
    table, root = clips
    names = [f"{name}_clean.flac" for name in "abc"]
    clean = pd.DataFrame({"clip_id": list("abc"), "path": names, "sha256": [study.sha256(root / n) for n in names]})
    gain_db = 20 * np.log10(2)  # then the clean clip is the whole noisy one
    for extra in ({}, {"parent": table["clip_id"], "clip_id": table["clip_id"] + "~noisy0"}):
        noisy = table.assign(gain_db=gain_db, **extra)
        made, folder = apply_all(noisy, root, DENOISERS["oracle"], cache=root / "cache", clean=(clean, root))
        for before, after in zip(table["path"], made["path"], strict=True):
            assert np.abs(audio.load(folder / after) - audio.load(root / before)).max() < 1e-3
    with pytest.raises(study.UserError, match="clip 'c' has no clean reference"):
        apply_all(table, root, DENOISERS["oracle"], cache=root / "cache", clean=(clean[:2], root))


def test_all_denoisers_go_to_other_processes():
    for entry in DENOISERS.values():
        assert pickle.loads(pickle.dumps(entry)).name == entry.name
    y = bursts(0.5)
    assert np.array_equal(pickle.loads(pickle.dumps(DENOISERS["wiener"]))(y), DENOISERS["wiener"](y))


def test_settings_weights_and_parts_are_part_of_the_key():
    wiener, gate = DENOISERS["wiener"], gated(DENOISERS["wiener"], 10)
    keys = [study.digest(entry.key()) for entry in (wiener, DENOISERS["mmse_lsa"], gate, gated(wiener, 12))]
    assert len(set(keys)) == 4
    assert gate.key()["parts"] == [wiener.key()]
    assert DENOISERS["dtln"].key()["weights"].startswith("378c209a")
