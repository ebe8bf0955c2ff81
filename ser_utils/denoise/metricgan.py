"""MetricGAN+ (Fu et al. 2021, doi:10.21437/Interspeech.2021-599) from SpeechBrain's published checkpoint, in Keras.

Two bidirectional LSTM layers and two dense ones see the magnitudes of a whole clip and give a mask between 0.05 and 1.2
of their logarithm. The published net was taught by a second net that had learnt to predict PESQ.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import study, torch_zip
from ser_utils.denoise.blocks import overlap_add

FRAME, HOP, BINS = 512, 256, 257  # samples, samples, bins
UNITS, DENSE = 200, 300
WINDOW = (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)  # Hamming
MIN_MASK, MAX_MASK = 0.05, 1.2
LEAK = 0.3  # slope of the rectifier below 0
TINY = 1e-7  # magnitude of silence


def shapes() -> dict[str, tuple[int, ...]]:
    """Tensors of the checkpoint and their shapes."""
    found: dict[str, tuple[int, ...]] = {}
    for layer, n_in in enumerate((BINS, 2 * UNITS)):
        for way in ("", "_reverse"):
            found |= {
                f"blstm.rnn.weight_ih_l{layer}{way}": (4 * UNITS, n_in),
                f"blstm.rnn.weight_hh_l{layer}{way}": (4 * UNITS, UNITS),
                f"blstm.rnn.bias_ih_l{layer}{way}": (4 * UNITS,),
                f"blstm.rnn.bias_hh_l{layer}{way}": (4 * UNITS,),
            }
    for name, size in {"linear1": (DENSE, 2 * UNITS), "linear2": (BINS, DENSE)}.items():
        found |= {f"{name}.weight": size, f"{name}.bias": size[:1]}
    return found | {"Learnable_sigmoid.slope": (BINS,)}


@functools.lru_cache(maxsize=2)
def net(file: Path) -> Any:
    """The net with the weights of a checkpoint: log magnitudes [shape=(batch, n_frames, 257)] → mask.

    Raises
    ------
    study.UserError
        When the file is no checkpoint, or one of another net.
    """
    tensors = torch_zip.read_tensors(file)
    for name, shape in shapes().items():
        found = tensors[name].shape if name in tensors else "nothing"
        if found != shape:
            raise study.UserError(f"{file}: {name} is {found}, not {shape}; it holds another net than MetricGAN+")
    made = _untrained()
    made.set_weights(_weights(tensors))
    return made


def _untrained() -> Any:
    import keras
    from keras import layers

    x = keras.Input((None, BINS))
    h = x
    for _ in range(2):
        h = layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True))(h)
    h = layers.LeakyReLU(negative_slope=LEAK)(layers.Dense(DENSE)(h))
    return keras.Model(x, MAX_MASK * keras.ops.sigmoid(layers.Dense(BINS)(h)))


def _weights(tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    """In the order of Keras. Both have the gates in the order input, forget, cell, output; torch has two biases, of
    which only the sum counts, and the learnt slope of the sigmoid scales what the last layer gives."""
    arrays = []
    for layer in range(2):
        for way in ("", "_reverse"):
            part = {kind: tensors[f"blstm.rnn.{kind}_l{layer}{way}"] for kind in ("weight_ih", "weight_hh")}
            bias = sum(tensors[f"blstm.rnn.{kind}_l{layer}{way}"] for kind in ("bias_ih", "bias_hh"))
            arrays += [part["weight_ih"].T, part["weight_hh"].T, bias]
    slope = tensors["Learnable_sigmoid.slope"]
    arrays += [tensors["linear1.weight"].T, tensors["linear1.bias"]]
    return [*arrays, tensors["linear2.weight"].T * slope, tensors["linear2.bias"] * slope]


def denoise(y: np.ndarray, *, file: Path) -> np.ndarray:
    """A whole clip at 16 kHz."""
    spectrum = stft(y)
    magnitude = np.abs(spectrum)
    logs = np.log1p(magnitude)
    mask = np.maximum(net(file).predict_on_batch(logs[None])[0], MIN_MASK)
    return istft(spectrum * (np.expm1(mask * logs) / np.maximum(magnitude, TINY)), len(y))


def stft(y: np.ndarray) -> np.ndarray:
    """Spectrum [shape=(n_frames, 257)] as SpeechBrain has it: frames around every 256th sample, zeros outside."""
    padded = np.pad(y, FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    return np.fft.rfft(frames * WINDOW).astype(np.complex64)


def istft(spectrum: np.ndarray, n_samples: int) -> np.ndarray:
    """Signal of a spectrum of :func:`stft`.

    Examples
    --------
    >>> y = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    >>> bool(np.allclose(istft(stft(y), 1000), y, atol=1e-5))
    True
    """
    signal = overlap_add(np.fft.irfft(spectrum).astype(np.float32) * WINDOW, HOP)
    weight = overlap_add(np.tile(np.square(WINDOW), (len(spectrum), 1)), HOP)
    return (signal / weight)[FRAME // 2 :][:n_samples]
