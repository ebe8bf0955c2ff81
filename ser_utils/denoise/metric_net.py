"""A small MetricGAN+ trained here: a mask that is taught by a second net, which learns what PESQ says.

After Fu et al. 2021 (doi:10.21437/Interspeech.2021-599): bidirectional LSTM layers and a sigmoid with a learnt slope
per bin give a mask of the magnitude; the judge hears a clip beside its clean speech and learns the PESQ of clean, noisy
and denoised clips, those of earlier rounds too; the mask then learns to please the judge. Other than there, the mask is
first taught for a while by the error of its magnitude, since a few minutes do not suffice from nothing, and clips are
crops of two seconds at one level.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import study
from ser_utils.denoise.blocks import RATE, overlap_add
from ser_utils.denoise.descent import descend
from ser_utils.denoise.lstm_mask import BINS, HOP, TINY, WINDOW, logs, read, spectra
from ser_utils.denoise.pairs import Sounds
from ser_utils.denoise.recurrent import both_ways, layer, sigmoid
from ser_utils.quality.metrics import METRICS, score

UNITS, DENSE = 64, 128
MIN_MASK, MAX_MASK = 0.05, 1.2
LEAK = 0.3  # slope of the rectifiers below 0
RMS = 10 ** (-26 / 20)  # of a clip when the nets hear it
CROP_S = 2.0
BATCH = 8
PEAK_RATE = 2e-3
ROUND = 12  # crops that are judged by PESQ in a round
TEACHING = 4  # batches that the mask learns in a round
REPLAYED = 12  # judged crops of earlier rounds that the judge hears again
MASK_RATE, JUDGE_RATE = 3e-4, 1e-3
CHANNELS = (12, 24, 36, 48)


# --- nets -------------------------------------------------------------------------------------------------------


def build(units: int = UNITS) -> Any:
    """The untrained net: standardised log magnitudes [shape=(batch, n_frames, 257)] → mask, 0 … 1.2."""
    import keras
    from keras import layers, ops

    x = keras.Input((None, BINS))
    h = x
    for i in range(2):
        ahead = layers.LSTM(units, return_sequences=True, name=f"ahead_{i}")(h)
        back = layers.LSTM(units, return_sequences=True, go_backwards=True, name=f"back_{i}")(h)
        h = layers.Concatenate()([ahead, ops.flip(back, axis=1)])
    h = layers.LeakyReLU(LEAK)(layers.Dense(DENSE, name="dense")(h))
    h = layers.Dense(BINS, name="mask")(h)
    # one weight per bin: a convolution that sees one frame and keeps its columns apart
    h = layers.DepthwiseConv1D(1, use_bias=False, depthwise_initializer="ones", name="slope")(h)
    return keras.Model(x, MAX_MASK * ops.sigmoid(h))


def judge() -> Any:
    """The second net: magnitudes of a clip beside those of its clean speech [shape=(batch, n_frames, 257, 2)] → PESQ,
    0 … 1."""
    import keras
    from keras import layers

    bounded = layers.SpectralNormalization
    x = keras.Input((None, BINS, 2))
    h = x
    for channels in CHANNELS:
        h = layers.LeakyReLU(LEAK)(bounded(layers.Conv2D(channels, 5, strides=2, padding="same"))(h))
    h = layers.GlobalAveragePooling2D()(h)
    h = layers.LeakyReLU(LEAK)(bounded(layers.Dense(CHANNELS[-1]))(h))
    return keras.Model(x, bounded(layers.Dense(1))(h))


def school(mask: Any, judging: Any) -> Any:
    """Both in a row: log magnitudes, noisy and clean magnitudes → what the judge says of the denoised ones."""
    import keras
    from keras import ops

    x, noisy, clean = (keras.Input((None, BINS)) for _ in range(3))
    denoised = ops.maximum(mask(x), MIN_MASK) * noisy
    heard = ops.stack([ops.log1p(10 * denoised), ops.log1p(10 * clean)], axis=-1)
    return keras.Model([x, noisy, clean], judging(heard))


# --- learning ---------------------------------------------------------------------------------------------------


def crops(sounds: Sounds, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy crops at one level and the speech in them [shape=(n, n_samples)]."""
    noisy, speech = sounds.draw(rng, n, round(CROP_S * RATE))
    gain = RMS / np.maximum(np.sqrt(np.square(noisy).mean(axis=1, keepdims=True)), TINY)
    return noisy * gain, speech * gain


def scale(sounds: Sounds, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean and spread of the log magnitudes of 64 noisy crops, for each bin."""
    rows = logs(np.abs(spectra(crops(sounds, rng, 64)[0]))).reshape(-1, BINS)
    return {"mean": rows.mean(axis=0), "std": rows.std(axis=0) + np.float32(1e-3)}


def batch(sounds: Sounds, rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What the mask learns from first: log magnitudes; magnitudes of the noisy crops and of the speech behind them."""
    noisy, speech = (np.abs(spectra(y)) for y in crops(sounds, rng, BATCH))
    return (logs(noisy) - arrays["mean"]) / arrays["std"], np.concatenate([noisy, speech], axis=-1)


def loss(target: Any, mask: Any) -> Any:
    """Squared error of the compressed magnitude."""
    from keras import ops

    noisy, speech = target[..., :BINS], target[..., BINS:]
    return ops.mean(ops.square(ops.log1p(10 * mask * noisy) - ops.log1p(10 * speech)))


def teach(
    net: Any, sounds: Sounds, rng: np.random.Generator, arrays: dict[str, np.ndarray], *, rounds: int, label: str
) -> list[dict[str, float]]:
    """Rounds in which the judge learns PESQ and the mask learns from the judge.

    Returns
    -------
    list of dict
        ``round, pesq`` (mean of the round's denoised crops), ``pesq_noisy, judge_loss``.
    """
    import keras

    judging = judge()
    together = school(net, judging)
    judging.compile(optimizer=keras.optimizers.Adam(JUDGE_RATE), loss="mse", jit_compile=False)
    together.compile(optimizer=keras.optimizers.Adam(MASK_RATE, global_clipnorm=1.0), loss="mse", jit_compile=False)
    rows, heard_before = [], []
    for turn in range(rounds):
        now, facts = judged(net, crops(sounds, rng, ROUND), arrays)
        judging.trainable = True
        replayed = _some(heard_before, rng)
        errors = [_learn(judging, part) for part in (now, replayed, now) if part]
        heard_before += now[: facts["n"]]  # the denoised ones
        judging.trainable = False
        for _ in range(TEACHING):
            noisy, speech = (np.abs(spectra(y)) for y in crops(sounds, rng, BATCH))
            x = (logs(noisy) - arrays["mean"]) / arrays["std"]
            together.train_on_batch([x, noisy, speech], np.ones((len(x), 1), dtype=np.float32))
        rows.append({"round": turn + 1, "judge_loss": errors[-1]} | {k: v for k, v in facts.items() if k != "n"})
        study.progress(
            f"{label}: round {turn + 1}/{rounds}, PESQ {facts['pesq']:.2f} (noisy {facts['pesq_noisy']:.2f})"
        )
    return rows


Judged = tuple[np.ndarray, float]  # magnitudes beside those of the clean speech, and what PESQ says


def judged(
    net: Any, sounds: tuple[np.ndarray, np.ndarray], arrays: dict[str, np.ndarray]
) -> tuple[list[Judged], dict[str, float]]:
    """Crops as the judge learns them: denoised ones first, then noisy and clean ones; crops without PESQ are left
    out."""
    noisy, speech = sounds
    spectrum = spectra(noisy)
    x = (logs(np.abs(spectrum)) - arrays["mean"]) / arrays["std"]
    denoised = spectrum * np.maximum(net.predict_on_batch(x), MIN_MASK)
    clean = np.abs(spectra(speech))
    kinds = {"denoised": np.abs(denoised), "noisy": np.abs(spectrum), "clean": clean}
    found: dict[str, list[float]] = {"noisy": [pesq(a, b) for a, b in zip(speech, noisy, strict=True)]}
    whole = [np.pad(overlap_add(np.fft.irfft(row).astype(np.float32) * WINDOW, HOP), (0, HOP)) for row in denoised]
    found["denoised"] = [pesq(a, b[: len(a)]) for a, b in zip(speech, whole, strict=True)]
    found["clean"] = [1.0] * len(speech)
    told = [i for i in range(len(speech)) if np.isfinite(found["noisy"][i] + found["denoised"][i])]
    pairs = [(beside(kinds[kind][i], clean[i]), found[kind][i]) for kind in kinds for i in told]
    mean = {kind: float(np.mean([found[kind][i] for i in told])) if told else np.nan for kind in found}
    best, worst = METRICS["pesq_wb"].best, METRICS["pesq_wb"].worst
    facts = {"pesq": worst + mean["denoised"] * (best - worst), "pesq_noisy": worst + mean["noisy"] * (best - worst)}
    return pairs, {"n": len(told)} | facts


def beside(magnitude: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """What the judge hears [shape=(n_frames, 257, 2)]."""
    return np.stack([np.log1p(10 * magnitude), np.log1p(10 * clean)], axis=-1)


def pesq(speech: np.ndarray, y: np.ndarray) -> float:
    """PESQ-WB between 0 and 1; NaN where it has no value."""
    metric = METRICS["pesq_wb"]
    value, _ = score("pesq_wb", speech, y.astype(np.float32), RATE)
    return (value - metric.worst) / (metric.best - metric.worst)


def _some(heard: Sequence[Judged], rng: np.random.Generator) -> list[Judged]:
    return [heard[i] for i in rng.permutation(len(heard))[:REPLAYED]]


def _learn(judging: Any, part: Sequence[Judged]) -> float:
    x, wanted = np.stack([x for x, _ in part]), np.array([[value] for _, value in part], dtype=np.float32)
    judging.reset_metrics()
    return float(judging.train_on_batch(x, wanted))


def train(
    net: Any, sounds: Sounds, rng: np.random.Generator, arrays: dict[str, np.ndarray], *, steps: int, rounds: int
) -> list[dict[str, float]]:
    """First the mask alone for `steps` batches, then `rounds` with the judge."""
    label = "metricgan_here"
    first = descend(
        net, lambda: batch(sounds, rng, arrays), loss, steps=steps, peak_rate=PEAK_RATE, label=f"{label}, mask"
    )
    return first + teach(net, sounds, rng, arrays, rounds=rounds, label=label)


# --- the trained net, in NumPy ----------------------------------------------------------------------------------


def mask(x: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Standardised log magnitudes [shape=(n_frames, 257)] → mask."""
    h = x
    for i in range(2):
        h = both_ways(h, layer(arrays, f"ahead_{i}"), layer(arrays, f"back_{i}"))
    h = h @ arrays["dense/kernel"] + arrays["dense/bias"]
    h = np.maximum(h, np.float32(LEAK) * h) @ arrays["mask/kernel"] + arrays["mask/bias"]
    return MAX_MASK * sigmoid(h * arrays["slope/kernel"].reshape(BINS))


def denoise(y: np.ndarray, *, file: Path) -> np.ndarray:
    """A whole clip at 16 kHz."""
    arrays = read(file)
    level = np.float32(max(np.sqrt(np.square(y, dtype=np.float64).mean()), TINY) / RMS)
    n_hops = -(-len(y) // HOP)
    padded = np.pad(y / level, (HOP, (n_hops + 1) * HOP - len(y)))
    spectrum = spectra(padded[None])[0]
    weights = np.maximum(mask((logs(np.abs(spectrum)) - arrays["mean"]) / arrays["std"], arrays), MIN_MASK)
    frames = np.fft.irfft(spectrum * weights).astype(np.float32) * WINDOW
    return level * overlap_add(frames, HOP)[HOP : HOP + len(y)]
