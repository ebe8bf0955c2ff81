"""Denoisers on recorded speech in recorded noise: what is claimed of them holds there."""

from __future__ import annotations

import numpy as np
import pytest

from ser_utils import audio, study
from ser_utils.denoise import DENOISERS, gated, removed_db, tracker_db, wada_db

pytestmark = pytest.mark.real
SR = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    found = []
    for name, pattern in {"ravdess": "Actor_*/*", "emodb": "wav/*"}.items():
        files = sorted((study.paths("full").data / name).glob(pattern))
        found += files[:: max(1, len(files) // 4)][:4]
    if not found:
        pytest.skip("neither ravdess nor emodb below SER_DATA")
    return [audio.load(file) for file in found]


@pytest.fixture(scope="module")
def noises() -> list[np.ndarray]:
    files = sorted((study.paths("full").data / "esc50").glob("**/audio/*"))
    if not files:
        pytest.skip("no esc50 below SER_DATA")
    return [audio.load(file) for file in files[:: len(files) // 8][:8]]


@pytest.fixture(scope="module")
def mixes(clips, noises) -> list[audio.Mix]:
    rng = np.random.default_rng(0)
    return [audio.mix_at_snr(y, noise, 5, sr=SR, rng=rng) for y, noise in zip(clips, noises, strict=False)]


def ready(name: str):
    if DENOISERS[name].not_run:
        pytest.skip(f"{name}: {DENOISERS[name].not_run}")
    return DENOISERS[name]


def si_sdr(clean: np.ndarray, y: np.ndarray) -> float:
    clean, y = clean - clean.mean(), y - y.mean()
    target = clean * (y @ clean) / (clean @ clean)
    return float(10 * np.log10(np.sum(target**2) / np.sum((y - target) ** 2)))


def lag(y: np.ndarray, out: np.ndarray) -> int:
    spectrum = np.fft.rfft(out, 2 * len(y)) * np.conj(np.fft.rfft(y, 2 * len(y)))
    found = int(np.fft.irfft(spectrum).argmax())
    return found if found < len(y) else found - 2 * len(y)


@pytest.mark.parametrize(
    ("name", "least_db"), [("dtln", 5), ("dtln_paper", 5), ("gtcrn", 5), ("wiener", 0.5), ("mmse_lsa", 0.5)]
)
def test_speech_in_everyday_noise_gets_cleaner_and_stays_in_place(mixes, name, least_db):
    denoiser = ready(name)
    out = [denoiser(mix.y) for mix in mixes]
    gains = [si_sdr(mix.speech, y) - si_sdr(mix.speech, mix.y) for mix, y in zip(mixes, out, strict=True)]
    assert np.mean(gains) > least_db
    assert [abs(lag(mix.speech, y)) <= SR // 1000 for mix, y in zip(mixes, out, strict=True)] == [True] * len(out)


@pytest.mark.parametrize("name", ["dtln", "dtln_paper", "gtcrn"])
def test_blocks_as_they_come_give_what_the_whole_clip_gives(mixes, name):
    denoiser, y = ready(name), mixes[0].y
    stream = denoiser.stream()
    given, late = 0, 0
    parts = []
    for at in range(0, len(y), 100):
        parts.append(stream.push(y[at : at + 100]))
        given += len(parts[-1])
        late = max(late, min(at + 100, len(y)) - given)
    assert late <= denoiser.latency_s * SR
    assert np.abs(np.concatenate([*parts, stream.flush()]) - denoiser(y)).max() < 1e-4


@pytest.mark.parametrize("kind", ["silence", "click", "offset", "20 ms", "full scale", "1 sample"])
@pytest.mark.parametrize("name", ["dtln", "gtcrn", "dtln_below_25db"])
def test_any_sound_keeps_its_length_and_stays_finite(name, kind):
    rng = np.random.default_rng(1)
    y = {
        "silence": np.zeros(8000),
        "click": np.eye(1, 8000, 4000)[0],
        "offset": np.full(8000, 0.3),
        "20 ms": 0.1 * rng.standard_normal(320),
        "full scale": np.sign(rng.standard_normal(8000)),
        "1 sample": np.array([0.5]),
    }[kind].astype(np.float32)
    out = ready(name)(y)
    assert out.shape == y.shape
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.5 * np.abs(y).max()


def test_the_denoiser_tells_the_snr_best(mixes):
    denoiser = ready("dtln")
    errors = {
        "removed": [removed_db(mix.y, denoiser(mix.y)) - 5 for mix in mixes],
        "tracker": [tracker_db(mix.y) - 5 for mix in mixes],
        "wada": [wada_db(mix.y) - 5 for mix in mixes],
    }
    error = {name: np.abs(values).mean() for name, values in errors.items()}
    assert error["removed"] < 3
    assert error["removed"] < min(error["tracker"], error["wada"])


def test_the_gate_leaves_clean_speech_alone_and_denoises_noisy_speech(clips, mixes):
    gate, denoiser = gated(ready("dtln"), 15), DENOISERS["dtln"]
    assert sum(np.array_equal(gate(y), y) for y in clips) >= len(clips) - 1
    assert sum(np.array_equal(gate(mix.y), denoiser(mix.y)) for mix in mixes) >= len(mixes) - 1
