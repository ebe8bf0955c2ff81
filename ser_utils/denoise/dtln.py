"""DTLN (Westhausen & Meyer 2020, doi:10.21437/Interspeech.2020-2631) from its published Keras weights.

Two stages of two LSTM layers each: the first masks the magnitude of the spectrum, the second a learnt representation of
the waveform. Both see one frame of 32 ms after the other. What does not depend on the frame before is computed for all
frames at once, in NumPy: a clip takes about a hundredth of its duration, and nothing needs TensorFlow.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from ser_utils import study
from ser_utils.denoise.blocks import Stream, whole
from ser_utils.denoise.recurrent import Stage, layer

FRAME, HOP = 512, 128  # samples
EPSILON = 1e-7


class Net:
    """The whole net for frames of the waveform; keeps the state from call to call."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        lstms = [layer(arrays, f"lstm{n}") for n in ("", "_1", "_2", "_3")]
        self._first = Stage(lstms[:2], (arrays["dense/kernel"], arrays["dense/bias"]))
        self._second = Stage(lstms[2:], (arrays["dense_1/kernel"], arrays["dense_1/bias"]))
        norms = sorted(name.removesuffix("/gamma") for name in arrays if name.endswith("/gamma"))
        self._norms = [
            functools.partial(_normalise, gamma=arrays[f"{n}/gamma"], beta=arrays[f"{n}/beta"]) for n in norms
        ]

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames [shape=(n, 512)] → frames to be added up."""
        spectrum = np.fft.rfft(frames).astype(np.complex64)
        magnitude = np.abs(spectrum)
        log_norm = self._norms[0] if len(self._norms) == 2 else None
        features = log_norm(np.log(magnitude + EPSILON)) if log_norm else magnitude
        masked = np.fft.irfft(spectrum * self._first(features)).astype(np.float32)
        encoded = masked @ self._arrays["conv1d/kernel"][0]
        mask = self._second(self._norms[-1](encoded))
        return (encoded * mask) @ self._arrays["conv1d_1/kernel"][0]


def _normalise(x: np.ndarray, *, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Each frame by its own mean and variance."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + EPSILON) * gamma + beta


@functools.lru_cache(maxsize=4)
def read(file: Path) -> dict[str, np.ndarray]:
    """Arrays of an h5 file of Keras weights, named ``<layer>/<weight>``.

    Raises
    ------
    study.UserError
        When the file is no such file.
    """
    import h5py

    arrays = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            layer, weight = name.split("/")[0], name.rpartition("/")[2].partition(":")[0]
            arrays[f"{layer}/{weight}"] = np.asarray(item, dtype=np.float32)

    try:
        with h5py.File(file) as content:
            content.visititems(note)
    except OSError as error:
        raise study.UserError(f"{file}: not an HDF5 file of Keras weights ({error}); fetch it again") from error
    return arrays


def stream(*, file: Path) -> Stream:
    """DTLN for sound at 16 kHz that comes in blocks; latency 32 ms."""
    return Stream(Net(read(file)), frame=FRAME, hop=HOP)


def denoise(y: np.ndarray, *, file: Path) -> np.ndarray:
    """A whole clip at 16 kHz."""
    return whole(stream(file=file), y)
