"""Noise at an SNR: the ratio is the asked one, nothing clips, and the limits are what the docstring says."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from ser_utils import audio, study
from tests.sounds import noise, real_files, voice

SR = 16_000
SNRS = (-5, 0, 5, 10, 15, 20)


def speech(seconds: float = 1.5) -> np.ndarray:
    """Two words with a pause between them and silence around."""
    word, pause = voice(180, seconds / 3), np.zeros(int(SR * seconds / 6), dtype=np.float32)
    return np.concatenate([pause, word, pause, word])


def mix(y: np.ndarray, sound: np.ndarray, snr_db: float, seed: int = 0) -> audio.Mix:
    return audio.mix_at_snr(y, sound, snr_db, sr=SR, rng=np.random.default_rng(seed))


def measured(y: np.ndarray, found: audio.Mix) -> float:
    """SNR of the sum against the speech that went in, dB."""
    added = found.y * 10 ** (-found.gain_db / 20) - y
    return audio.active_level_db(y, sr=SR) - audio.level_db(added)


@pytest.mark.parametrize("snr_db", [*SNRS, -30, 60])
@pytest.mark.parametrize("seconds", [0.02, 0.3, 1.0, 3.0])
def test_measured_snr_is_the_asked_one_for_noises_of_any_length(snr_db, seconds):
    y = 0.1 * speech()
    assert measured(y, mix(y, 3 * noise(1, seconds), snr_db)) == pytest.approx(snr_db, abs=0.05)


def test_silence_around_speech_does_not_change_the_noise():
    y, padded = speech(), np.pad(speech(), (SR, 2 * SR))
    hiss = noise(0, 10)
    levels = [audio.level_db(mix(0.1 * sound, hiss, 5).noise) for sound in (y, padded)]
    assert levels[0] == pytest.approx(levels[1], abs=0.1)
    assert audio.level_db(padded) < audio.level_db(y) - 3


def test_infinite_snr_gives_the_speech_bit_for_bit():
    for y in (speech(), np.full(100, 1.5, dtype=np.float32), np.zeros(3, dtype=np.float32)):
        found = mix(y, noise(0), np.inf)
        np.testing.assert_array_equal(found.y, y)
        assert found.gain_db == 0
        assert not found.noise.any()
    with pytest.raises(study.UserError, match="snr_db nan must be a number of dB"):
        mix(speech(), noise(0), np.nan)
    with pytest.raises(study.UserError, match="snr_db -inf must be a number of dB"):
        mix(speech(), noise(0), -np.inf)


def test_parts_add_up_and_loud_mixes_are_scaled_in_common():
    y = speech() / np.abs(speech()).max()
    found = mix(y, noise(0), -5)
    np.testing.assert_allclose(found.y, found.speech + found.noise, atol=1e-6)
    assert np.abs(found.y).max() == pytest.approx(1, abs=1e-6)
    assert found.gain_db < -3
    np.testing.assert_allclose(found.speech, y * 10 ** (found.gain_db / 20), rtol=1e-4, atol=1e-7)
    assert measured(y, found) == pytest.approx(-5, abs=0.05)
    assert mix(0.1 * y, noise(0), 10).gain_db == 0


def test_the_excerpt_is_drawn_and_drawn_again_the_same():
    hiss = noise(0, 5)
    starts = {mix(speech(), hiss, 5, seed).start for seed in range(20)}
    assert len(starts) > 10
    assert max(starts) <= len(hiss) - len(speech())
    np.testing.assert_array_equal(mix(speech(), hiss, 5, 3).y, mix(speech(), hiss, 5, 3).y)
    found = mix(speech(), hiss, 5, 3)
    used = hiss[found.start : found.start + len(speech())]
    assert np.corrcoef(found.noise, used)[0, 1] > 0.999


def test_a_short_noise_is_repeated_without_a_click():
    tone = (0.1 * np.sin(2 * np.pi * 437 * np.arange(7000) / SR)).astype(np.float32)
    added = mix(0.1 * speech(), tone, 0).noise
    steepest = np.abs(np.diff(added)).max() / np.abs(np.diff(added[:500])).max()
    assert steepest < 1.5, "the repeated tone jumps nowhere"
    assert audio.level_db(added[:6000]) == pytest.approx(audio.level_db(added[-6000:]), abs=0.5)


@pytest.mark.parametrize("seed", range(10))
def test_no_excerpt_lies_in_a_pause_of_the_noise(seed):
    bark = 1e-4 * noise(0, 5)
    bark[60_000:62_000] = noise(1, 0.125)
    added = mix(voice(180, 0.5), bark, 0, seed).noise
    assert np.abs(added).max() > 5 * np.sqrt(np.mean(added**2)) / 3
    loud = audio.activity(added, sr=SR)[1]
    assert loud.sum() >= 3, "half of the bark is in it"
    assert loud.mean() < 0.5, "and little else"


def test_an_offset_of_the_noise_does_not_count():
    y, hiss = 0.1 * speech(), noise(0, 3)
    np.testing.assert_allclose(mix(y, hiss + 0.5, 5).noise, mix(y, hiss - hiss.mean(), 5).noise, atol=1e-4)


# --- the limits -------------------------------------------------------------------------------------------------

CLIP = {
    "silence": np.zeros(SR),
    "one click": np.eye(1, SR, 5000)[0],
    "clicks": (np.arange(SR) % 2000 == 0).astype(float),
    "offset": np.full(SR, 0.3),
    "20 ms": voice(200, 0.02),
    "one sample": np.array([0.3]),
    "full scale": np.sign(np.sin(np.arange(SR) / 20)),
    "60 s": np.tile(voice(200, 1), 60),
    "very soft": 1e-9 * voice(200, 0.5),
    "very loud": 1e30 * voice(200, 0.5).astype(np.float64),
}


@pytest.mark.parametrize("snr_db", [-5, 20])
@pytest.mark.parametrize("clip", CLIP)
def test_extreme_clips_stay_finite_whole_and_within_full_scale(clip, snr_db):
    y = CLIP[clip].astype(np.float32)
    found = mix(y, noise(0, 1.0), snr_db)
    assert found.y.shape == y.shape
    assert found.y.dtype == np.float32
    assert np.isfinite(found.y).all()
    assert np.abs(found.y).max() <= 1
    if clip not in ("silence", "very soft"):
        level = audio.active_level_db(found.speech, sr=SR) - audio.level_db(found.noise)
        assert level == pytest.approx(snr_db, abs=0.05)


@pytest.mark.parametrize("clip", ["one click", "clicks", "20 ms", "full scale", "60 s", "very soft"])
def test_extreme_noises_are_brought_to_the_snr(clip):
    y = 0.1 * speech()
    assert measured(y, mix(y, CLIP[clip].astype(np.float32), 5)) == pytest.approx(5, abs=0.1)


def test_silent_speech_stays_as_it_is_and_silent_noise_is_refused():
    for y in (np.zeros(SR, dtype=np.float32), (1e-9 * speech()).astype(np.float32)):
        found = mix(y, noise(0), 0)
        np.testing.assert_array_equal(found.y, y)
        assert not found.noise.any()
    for sound in (np.zeros(SR), np.full(SR, 0.5), np.zeros(1)):
        with pytest.raises(study.UserError, match=r"the noise is silent or constant: .*; leave it out"):
            mix(speech(), sound, 0)


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros((2, 9)), np.array([np.nan, 0.1]), np.zeros(9, np.int16)])
def test_what_is_no_sound_is_refused_by_name(sound):
    with pytest.raises(study.UserError, match=r"^the speech "):
        mix(sound, noise(0), 0)
    with pytest.raises(study.UserError, match=r"^the noise "):
        mix(speech(), sound, 0)


def test_what_goes_in_is_left_alone():
    y, hiss = speech(), noise(0)
    before = y.copy(), hiss.copy()
    y.flags.writeable = hiss.flags.writeable = False
    found = mix(y, hiss, np.inf)
    found.y[:] = 0
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(hiss, before[1])


def test_a_file_that_is_not_the_listed_one_is_refused(tmp_path):
    sf.write(tmp_path / "a.wav", speech(), SR)
    known = study.sha256(tmp_path / "a.wav")
    assert len(audio.load_listed(tmp_path / "a.wav", known)) == len(speech())
    sf.write(tmp_path / "a.wav", 0.5 * speech(), SR)
    with pytest.raises(study.UserError, match=r"a\.wav: gone or altered since the manifest was built"):
        audio.load_listed(tmp_path / "a.wav", known)
    with pytest.raises(study.UserError, match=r"b\.wav: gone or altered"):
        audio.load_listed(tmp_path / "b.wav", known)


@pytest.mark.real
def test_real_voices_in_real_noise_have_the_asked_snr_in_16_bits():
    files = sorted((study.paths("full").data / "esc50" / "audio").glob("*"))
    if not files:
        pytest.skip("no esc50 below SER_DATA")
    for i, file in enumerate(real_files(each=4)):
        y, sound = audio.load(file), audio.load(files[37 * i % len(files)])
        for snr_db in (-5, 20):
            found = mix(y, sound, snr_db, i)
            stored = np.rint(found.y * 2**15) / 2**15
            assert measured(y, found) == pytest.approx(snr_db, abs=0.05), file
            assert measured(y, found._replace(y=stored)) == pytest.approx(snr_db, abs=0.1), file
            assert np.abs(found.y).max() <= 1
