"""BYOL-S in Keras: a speech encoder that was trained without any label, from its published weights.

Three blocks of convolution and two dense layers over 8 mel bands × 64 channels; one frame of every layer lasts 20, 40
or 80 ms (Scheidwasser-Clow et al. 2022, doi:10.1109/ICASSP43922.2022.9747348; Niizumi et al. 2021,
doi:10.1109/IJCNN52387.2021.9534474). Its batch normalisation is part of the kernels here, with the published moments.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import keras
import librosa
import numpy as np
import scipy.fft
from keras import layers, ops
from numpy.lib.stride_tricks import sliding_window_view

from ser_utils import study, torch_zip

SAMPLE_RATE = 16_000  # Hz
N_FFT, HOP = 1024, 160  # samples
N_MELS, FMIN, FMAX = 64, 60.0, 7800.0  # bands; Hz
FLOOR = float(np.finfo(np.float32).eps)  # added to the power before the logarithm
SHORTEST = 8 * HOP  # samples; anything shorter is filled up with silence, so that one frame comes out
LAYERS = ("conv1", "conv2", "conv3", "dense1", "dense2")
STEPS = {"conv1": 2, "conv2": 4, "conv3": 8, "dense1": 8, "dense2": 8}  # log-mel frames per frame of a layer
WIDTH = 512  # columns of every layer; of the convolutions 8 bands × 64 channels
_CONVOLUTIONS = {  # modules of the published net: kernel, batch normalisation
    "conv1": ("features.0", "features.1"),
    "conv2": ("features.4", "features.5"),
    "conv3": ("features.8", "features.9"),
}
_DENSE = {"dense1": "fc.0", "dense2": "fc.3"}
_NORM_EPSILON = 1e-5


# --- input --------------------------------------------------------------------------------------------------------


def log_mel(y: np.ndarray) -> np.ndarray:
    """What the net takes: natural logarithm of 64 mel bands (HTK's scale, 60 … 7800 Hz, window 64 ms, hop 10 ms),
    standardised by the mean and standard deviation of the clip.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal at 16 kHz.

    Returns
    -------
    np.ndarray [shape=(n_frames, 64), dtype=float32]
        Silence is 0 everywhere.

    Examples
    --------
    >>> log_mel(np.zeros(16000, dtype=np.float32)).shape
    (101, 64)
    """
    y = np.pad(np.asarray(y, dtype=np.float32), (0, max(0, SHORTEST - len(y))))
    frames = sliding_window_view(np.pad(y, N_FFT // 2, mode="reflect"), N_FFT)[::HOP]
    parts = scipy.fft.rfft(frames * _hann(), axis=1, overwrite_x=True).view(np.float32)
    np.square(parts, out=parts)
    bands = np.log((parts[:, ::2] + parts[:, 1::2]) @ _mel_filters() + np.float32(FLOOR))
    return (bands - bands.mean()) / max(bands.std(), np.float32(1e-3))


@functools.cache
def _hann() -> np.ndarray:
    return librosa.filters.get_window("hann", N_FFT, fftbins=True).astype(np.float32)


@functools.cache
def _mel_filters() -> np.ndarray:
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=FMIN, fmax=FMAX, htk=True, norm=None)
    return np.ascontiguousarray(filters.T)


# --- layers -------------------------------------------------------------------------------------------------------


class _Block(layers.Layer):
    """A published layer whose weights are `start` + `rate` · `change`: `change` begins at zero and is what is trained.

    An optimiser that scales its steps, as Adam does, then moves the weights `rate` times as far as those of other
    layers, and its weight decay pulls towards the published weights (Li et al. 2018, arXiv:1802.01483).

    Parameters
    ----------
    units : int
        Channels or columns that come out.
    rate : float
        0: frozen, without any weight to train.
    """

    def __init__(self, units: int, rate: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units, self.rate = units, rate

    def _add(self, name: str, shape: tuple[int, ...]) -> None:
        start = self.add_weight(shape=shape, initializer="zeros", trainable=False, name=f"{name}_start")
        change = self.add_weight(shape=shape, initializer="zeros", name=f"{name}_change") if self.rate else None
        setattr(self, name, (start, change))

    def _value(self, name: str):
        start, change = getattr(self, name)
        return start + self.rate * change if self.rate else start

    def assign(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Published values."""
        self.kernel[0].assign(kernel)
        self.bias[0].assign(bias)

    def get_config(self) -> dict:
        return super().get_config() | {"units": self.units, "rate": self.rate}


@keras.saving.register_keras_serializable("ser_utils")
class ConvolutionBlock(_Block):
    """3 × 3 convolution, ReLU, and the maximum of 2 × 2; an incomplete pair of frames at the end is dropped."""

    def build(self, shapes) -> None:
        self._add("kernel", (3, 3, shapes[0][-1], self.units))
        self._add("bias", (self.units,))

    def call(self, inputs):
        """(frames, mask) → (frames, mask) at half the rate; frames are (batch, time, bands, channels)."""
        frames, mask = inputs
        frames = frames * ops.cast(mask, frames.dtype)[:, :, None, None]
        frames = ops.conv(frames, self._value("kernel"), strides=1, padding="same") + self._value("bias")
        return ops.max_pool(ops.relu(frames), 2, strides=2, padding="valid"), mask[:, 1::2]


@keras.saving.register_keras_serializable("ser_utils")
class DenseBlock(_Block):
    """Dense layer and ReLU on every frame."""

    def build(self, shape) -> None:
        self._add("kernel", (shape[-1], self.units))
        self._add("bias", (self.units,))

    def call(self, frames):
        return ops.relu(ops.matmul(frames, self._value("kernel")) + self._value("bias"))


@keras.saving.register_keras_serializable("ser_utils")
class ClipStatistics(layers.Layer):
    """(frames, mask) → mean, maximum and standard deviation over the valid frames (batch, 3, columns)."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs, previous=None):
        """None: time is gone."""

    def call(self, inputs):
        frames, mask = inputs
        valid = ops.cast(ops.expand_dims(mask, -1), frames.dtype)
        count = ops.maximum(ops.sum(valid, axis=1), 1)
        mean = ops.sum(frames * valid, axis=1) / count
        variance = ops.sum(ops.square(frames - ops.expand_dims(mean, 1)) * valid, axis=1) / count
        largest = ops.max(frames * valid, axis=1)  # what comes out of a ReLU is never below zero
        return ops.stack([mean, largest, ops.sqrt(variance + 1e-12)], axis=1)


# --- the net ------------------------------------------------------------------------------------------------------


def states(frames: keras.KerasTensor, mask: keras.KerasTensor, rates: Mapping[str, float] | None = None) -> dict:
    """Output of every layer as (frames, mask), frames (batch, time, 512); masked frames reach no valid one.

    Parameters
    ----------
    frames, mask : keras.KerasTensor
        (batch, time, 64), from :func:`log_mel`; (batch, time), 1 in valid frames.
    rates : mapping, optional
        Layer → how far its weights move in training, see :class:`_Block`; the others are frozen.
    """
    rates, found = rates or {}, {}
    x, m = ops.expand_dims(frames, -1), mask
    for name in _CONVOLUTIONS:
        x, m = ConvolutionBlock(64, rates.get(name, 0.0), name=name)((x, m))
        found[name] = _columns(x), m
    return found | top(found["conv3"][0], m, rates)


def top(frames: keras.KerasTensor, mask: keras.KerasTensor, rates: Mapping[str, float] | None = None) -> dict:
    """The dense layers alone, on frames (batch, time, 512) of ``conv3``; otherwise as :func:`states`."""
    rates, found = rates or {}, {}
    for name in _DENSE:
        frames = DenseBlock(WIDTH, rates.get(name, 0.0), name=name)(frames)
        found[name] = frames, mask
    return found


def _columns(x: keras.KerasTensor) -> keras.KerasTensor:
    """Means over bands, so that 8 are left, beside one another (batch, time, 512)."""
    bands = x.shape[2] // 8
    x = layers.AveragePooling2D((1, bands), padding="valid")(x) if bands > 1 else x
    return layers.Reshape((-1, WIDTH))(x)


def load_weights(net: keras.Model, file: Path) -> None:
    """Put the published weights into the layers of :data:`LAYERS` that `net` has.

    Parameters
    ----------
    net : keras.Model
        Made of :func:`states`.
    file : Path
        Archive that torch wrote.

    Raises
    ------
    study.UserError
        When the file is not readable, or holds the weights of another net.
    """
    tensors = torch_zip.read_tensors(file)
    try:
        values = {name: _folded(tensors, *modules) for name, modules in _CONVOLUTIONS.items()}
        values |= {name: (tensors[f"{m}.weight"].T, tensors[f"{m}.bias"]) for name, m in _DENSE.items()}
        for block in blocks(net):
            block.assign(*values[block.name])
    except (KeyError, ValueError) as error:
        raise study.UserError(
            f"{file}: not the weights of BYOL-S with 512 columns ({error}); fetch it again"
        ) from error


def random_weights(net: keras.Model) -> None:
    """Put random weights of the usual size into the layers of BYOL-S, as Keras starts layers of its own."""
    for block in blocks(net):
        kernel, bias = block.kernel[0], block.bias[0]
        block.assign(keras.initializers.HeUniform()(kernel.shape), ops.zeros(bias.shape))


def blocks(net: keras.Model) -> list[_Block]:
    """The layers of BYOL-S in a net, first to last."""
    return [layer for layer in net.layers if isinstance(layer, _Block)]


def _folded(tensors: Mapping[str, np.ndarray], convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (time, bands, channels in, channels out) and bias of a convolution with its batch normalisation."""
    kernel, bias = tensors[f"{convolution}.weight"], tensors[f"{convolution}.bias"]
    scale, shift, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + _NORM_EPSILON)
    return kernel.transpose(3, 2, 1, 0) * scale, (bias - mean) * scale + shift


def encoder(file: Path) -> keras.Model:
    """The frozen net: frames (batch, time, 64) and mask (batch, time) → (frames, mask) of every layer by name."""
    frames, mask = keras.Input((None, N_MELS), name="frames"), keras.Input((None,), name="mask")
    net = keras.Model([frames, mask], states(frames, mask), name="byol_s")
    load_weights(net, file)
    return net


@functools.lru_cache(maxsize=1)
def _nets(file: Path) -> tuple[keras.Model, keras.Model]:
    """The encoder, and frames and mask → mean, maximum and standard deviation over time (batch, 5 layers, 3, 512)."""
    net = encoder(file)
    pooled = [ClipStatistics()(pair) for pair in net.output.values()]
    return net, keras.Model(net.input, ops.stack(pooled, axis=1))


def clip_statistics(x: np.ndarray, file: Path) -> np.ndarray:
    """Mean, maximum and standard deviation over time of every layer [shape=(5, 3, 512)] of one :func:`log_mel`.

    One clip at a time: no padding, and no result that depends on what else is in the batch.
    """
    return ops.convert_to_numpy(_nets(file)[1].predict_on_batch(_batch(x)))[0]


def layer_frames(x: np.ndarray, file: Path, position: int) -> np.ndarray:
    """Frames [shape=(n_frames, 512)] of the layer at `position` of :data:`LAYERS`, of one :func:`log_mel`."""
    found = _nets(file)[0].predict_on_batch(_batch(x))
    return ops.convert_to_numpy(found[LAYERS[position]][0])[0]


def _batch(x: np.ndarray) -> list[np.ndarray]:
    return [x[None], np.ones((1, len(x)), dtype=np.float32)]
