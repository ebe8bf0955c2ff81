"""A net trained here that works on the waveform itself: a small Wave-U-Net.

Strided convolutions take the sound down to 62.5 frames a second, dilated ones look half a second around, and the way
back up sees each level of the way down (Stoller, Ewert & Dixon 2018, arXiv:1806.03185; for speech in noise Macartney &
Weyde 2018, arXiv:1811.11307). What it gives is the noise, which is taken off: a net that has learnt nothing changes
little. Upwards, columns become samples, which is a transposed convolution without overlap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ser_utils.denoise.lstm_mask import read
from ser_utils.denoise.pairs import Sounds

STRIDE, DEPTH = 4, 4
CHUNK = STRIDE**DEPTH  # samples of one frame at the bottom
KERNEL, UP_KERNEL, LAST_KERNEL = 9, 5, 15
DILATIONS = (1, 2, 4, 8)
LEAK = 0.2  # slope of the rectifier below 0
WIDTH = 16  # channels of the first level; the others have 2, 3 and 4 times as many
CROP_S = 2.0
BATCH = 8
PEAK_RATE = 2e-3
TINY = 1e-8
FLOOR = 1e-3  # error, relative to the speech, from which less does not count: 30 dB


def build(width: int = WIDTH) -> Any:
    """The untrained net: sound at unit level [shape=(batch, n_samples, 1)] → the noise in it; whole chunks only."""
    from keras import Model, layers

    def conv(h: Any, filters: int, kernel: int, name: str, *, stride: int = 1, dilation: int = 1) -> Any:
        h = layers.ZeroPadding1D(kernel // 2 * dilation)(h)
        return layers.Conv1D(filters, kernel, strides=stride, dilation_rate=dilation, padding="valid", name=name)(h)

    x = layers.Input((None, 1))
    h, skips = x, []
    for level in range(DEPTH):
        skips.append(h)
        h = layers.LeakyReLU(LEAK)(conv(h, width * (level + 1), KERNEL, f"down_{level}", stride=STRIDE))
    for i, dilation in enumerate(DILATIONS):
        h = h + layers.LeakyReLU(LEAK)(conv(h, width * DEPTH, UP_KERNEL, f"middle_{i}", dilation=dilation))
    for level in reversed(range(DEPTH)):
        filters = width * max(level, 1)
        h = layers.LeakyReLU(LEAK)(conv(h, STRIDE * filters, UP_KERNEL, f"up_{level}"))
        h = layers.Concatenate()([layers.Reshape((-1, filters))(h), skips[level]])
        if level:
            h = layers.LeakyReLU(LEAK)(conv(h, filters, UP_KERNEL, f"join_{level}"))
    return Model(x, conv(h, 1, LAST_KERNEL, "noise"))


def batch(sounds: Sounds, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Crops at unit level to learn from, and the noise in them."""
    noisy, speech = sounds.draw(rng, BATCH, round(CROP_S * 16_000) // CHUNK * CHUNK)
    level = np.sqrt(np.square(noisy).mean(axis=1, keepdims=True) + TINY)
    return (noisy / level)[..., None], np.stack([(noisy - speech) / level, speech / level], axis=-1)


def loss(target: Any, noise: Any) -> Any:
    """Mean over the crops of what is left of the noise, relative to the speech, dB."""
    from keras import ops

    error = ops.sum(ops.square(target[..., :1] - noise), axis=(1, 2))
    speech = ops.sum(ops.square(target[..., 1:]), axis=(1, 2))
    return ops.mean(10 / np.log(10) * ops.log((error + TINY) / (speech + 1.0) + FLOOR))


# --- the trained net, in NumPy ----------------------------------------------------------------------------------


def denoise(y: np.ndarray, *, file: Path) -> np.ndarray:
    """A whole clip at 16 kHz."""
    level = np.float32(np.sqrt(np.square(y, dtype=np.float64).mean() + TINY))
    padded = np.pad(y / level, (0, -len(y) % CHUNK))
    return y - level * noise(padded[:, None], read(file))[: len(y), 0]


def noise(x: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """What the net takes for noise in sound at unit level [shape=(n_samples, 1)]."""
    h, skips = x, []
    for level in range(DEPTH):
        skips.append(h)
        h = _leaky(_conv(h, arrays, f"down_{level}", stride=STRIDE))
    for i, dilation in enumerate(DILATIONS):
        h = h + _leaky(_conv(h, arrays, f"middle_{i}", dilation=dilation))
    for level in reversed(range(DEPTH)):
        h = _leaky(_conv(h, arrays, f"up_{level}"))
        h = np.concatenate([h.reshape(STRIDE * len(h), -1), skips[level]], axis=1)
        if level:
            h = _leaky(_conv(h, arrays, f"join_{level}"))
    return _conv(h, arrays, "noise")


def _leaky(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, np.float32(LEAK) * x)


def _conv(x: np.ndarray, arrays: dict[str, np.ndarray], name: str, *, stride: int = 1, dilation: int = 1) -> np.ndarray:
    """Convolution over time, tap by tap: the sound is never copied as often as the kernel is long."""
    kernel, bias = arrays[f"{name}/kernel"], arrays[f"{name}/bias"]
    padded = np.pad(x, ((len(kernel) // 2 * dilation,) * 2, (0, 0)))
    n_out = -(-len(x) // stride)
    out = np.tile(bias, (n_out, 1))
    for tap, weights in enumerate(kernel):
        out += padded[tap * dilation :: stride][:n_out] @ weights
    return out
