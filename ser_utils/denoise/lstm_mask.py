"""A net trained here that weighs the bins of a spectrum, frame by frame: two LSTM layers, and a mask.

It sees the logarithm of the magnitude of one frame of 32 ms after the other, keeps the noisy phase, and learns the
phase-sensitive mask (Erdogan et al. 2015, doi:10.1109/ICASSP.2015.7178061).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils.denoise.blocks import Stream, whole
from ser_utils.denoise.pairs import Sounds
from ser_utils.denoise.recurrent import Stage, layer

FRAME, HOP, BINS = 512, 256, 257  # samples, samples, bins
WINDOW = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)  # its squares sum to 1
TINY = 1e-6  # magnitude: 16-bit silence lies above
CROP_S = 2.0
BATCH = 16
PEAK_RATE = 2e-3
UNITS = 128


def build(units: int = UNITS) -> Any:
    """The untrained net: standardised log magnitudes [shape=(batch, n_frames, 257)] → mask, 0 … 1."""
    import keras
    from keras import layers

    x = keras.Input((None, BINS))
    h = layers.LSTM(units, return_sequences=True, name="lstm_0")(x)
    h = layers.LSTM(units, return_sequences=True, name="lstm_1")(h)
    return keras.Model(x, layers.Dense(BINS, activation="sigmoid", name="mask")(h))


def spectra(y: np.ndarray) -> np.ndarray:
    """Spectra [shape=(n, n_frames, 257)] of crops [shape=(n, n_samples)]."""
    frames = np.lib.stride_tricks.sliding_window_view(y, FRAME, axis=-1)[:, ::HOP]
    return np.fft.rfft(frames * WINDOW).astype(np.complex64)


def logs(magnitude: np.ndarray) -> np.ndarray:
    """Natural logarithm of magnitudes, float32."""
    return np.log(np.maximum(magnitude, TINY)).astype(np.float32)


def scale(sounds: Sounds, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean and spread of the log magnitudes of 64 noisy crops, for each bin."""
    noisy, _ = sounds.draw(rng, 64, round(CROP_S * 16_000))
    rows = logs(np.abs(spectra(noisy))).reshape(-1, BINS)
    return {"mean": rows.mean(axis=0), "std": rows.std(axis=0) + np.float32(1e-3)}


def batch(sounds: Sounds, rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Crops to learn from: what the net sees, and its target with the weight of each bin behind it."""
    noisy, speech = (spectra(y) for y in sounds.draw(rng, BATCH, round(CROP_S * 16_000)))
    magnitude = np.abs(noisy)
    wanted = np.clip((speech * np.conj(noisy)).real / np.maximum(magnitude, TINY) ** 2, 0, 1)
    weight = magnitude / magnitude.mean(axis=(1, 2), keepdims=True)
    x = (logs(magnitude) - arrays["mean"]) / arrays["std"]
    return x, np.concatenate([wanted, weight], axis=-1).astype(np.float32)


def loss(target: Any, mask: Any) -> Any:
    """Squared error of the mask, each bin by its share in the magnitude of its crop."""
    from keras import ops

    wanted, weight = target[..., :BINS], target[..., BINS:]
    return ops.mean(weight * ops.square(mask - wanted))


class Net:
    """The trained net for frames of the waveform; keeps its state from call to call."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._mean, self._std = arrays["mean"], arrays["std"]
        lstms = [layer(arrays, f"lstm_{n}") for n in range(2)]
        self._stage = Stage(lstms, (arrays["mask/kernel"], arrays["mask/bias"]))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames [shape=(n, 512)] → frames to be added up."""
        spectrum = np.fft.rfft(frames * WINDOW).astype(np.complex64)
        mask = self._stage((logs(np.abs(spectrum)) - self._mean) / self._std)
        return np.fft.irfft(spectrum * mask).astype(np.float32) * WINDOW


@functools.lru_cache(maxsize=8)
def read(file: Path) -> dict[str, np.ndarray]:
    """Arrays of a net that was trained here."""
    with np.load(file) as content:
        return dict(content)


def stream(*, file: Path) -> Stream:
    """The net for sound at 16 kHz that comes in blocks; latency 32 ms."""
    return Stream(Net(read(file)), frame=FRAME, hop=HOP)


def denoise(y: np.ndarray, *, file: Path) -> np.ndarray:
    """A whole clip at 16 kHz."""
    return whole(stream(file=file), y)
