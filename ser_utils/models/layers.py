"""Layers over time and pieces that all nets share; masked frames never reach a valid one."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from ser_utils import study

POOLS = ("attention", "attention+mean")
NEVER = 1e9  # taken off the score of a masked frame before the softmax


def check_sizes(**sizes: int | Sequence[int]) -> None:
    """Raise where a size, or one of several, is below 1.

    Raises
    ------
    study.UserError
        Names the option and its value.
    """
    for name, value in sizes.items():
        several = list(value) if isinstance(value, Sequence) else [value]
        if not several or min(several) < 1:
            raise study.UserError(f"{name} {value} must be 1 or more")


def check_kernels(**kernels: int) -> None:
    """Raise where a kernel has no middle: its outputs would lie between frames."""
    for name, value in kernels.items():
        if value < 1 or value % 2 == 0:
            raise study.UserError(f"{name} {value} must be odd and 1 or more, so that it has a middle frame")


def check_dropout(dropout: float) -> None:
    """Raise where a share of dropped values is none."""
    if not 0 <= dropout < 1:
        raise study.UserError(f"dropout {dropout} must be at least 0 and below 1")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise where `value` is not among the `known` ones."""
    if value not in known:
        raise study.UserError(f"{name} '{value}' is unknown; use one of {', '.join(known)}")


def net_inputs(n_columns: int, n_classes: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Inputs of every net: frames (batch, time, columns) and mask (batch, time).

    Raises
    ------
    study.UserError
        Without a column or a class.
    """
    check_sizes(n_columns=n_columns, n_classes=n_classes)
    return keras.Input((None, n_columns), name="frames"), keras.Input((None,), name="mask")


def classifier(clip: keras.KerasTensor, n_classes: int, dropout: float) -> keras.KerasTensor:
    """Class probabilities (batch, n_classes) of vectors (batch, width); in 32 bits whatever the nets compute in."""
    clip = layers.Dropout(dropout)(clip)
    return layers.Dense(n_classes, activation="softmax", dtype="float32")(clip)


def pooled(frames: keras.KerasTensor, mask: keras.KerasTensor, pool: str = "attention") -> keras.KerasTensor:
    """One vector per clip: the layer ``pool`` weighs the frames, and ``attention+mean`` adds plain statistics."""
    clip = AttentionPooling(name="pool")((frames, mask))
    if pool == "attention":
        return clip
    return layers.Concatenate()([clip, StatisticsPooling(name="statistics")((frames, mask))])


@keras.saving.register_keras_serializable("ser_utils")
class MaskedConv(layers.Layer):
    """1-D convolution over time with stride, layer normalisation and GELU, blind to masked frames.

    Zeros are padded explicitly: Keras's ``same`` padding of a strided convolution depends on the length.

    Parameters
    ----------
    filters, kernel, stride : int
        Output columns; frames that one output sees, odd; frames between outputs.
    activation : str
        Name of a Keras activation.
    """

    def __init__(self, filters: int, kernel: int, stride: int = 1, activation: str = "gelu", **kwargs) -> None:
        super().__init__(**kwargs)
        check_kernels(kernel=kernel)
        self.filters, self.kernel, self.stride, self.activation = filters, kernel, stride, activation
        self.pad = layers.ZeroPadding1D(kernel // 2)
        self.conv = layers.Conv1D(filters, kernel, strides=stride, padding="valid")
        self.norm = layers.LayerNormalization(epsilon=1e-5)

    def build(self, shapes) -> None:
        padded = self.pad.compute_output_shape(shapes[0])
        self.conv.build(padded)
        self.norm.build(self.conv.compute_output_shape(padded))

    def call(self, inputs):
        """(frames, mask) → (frames, mask) at the new rate."""
        frames, mask = inputs
        frames = self.conv(self.pad(frames * ops.expand_dims(mask, -1)))
        return keras.activations.get(self.activation)(self.norm(frames)), mask[:, :: self.stride]

    def get_config(self) -> dict:
        options = {name: getattr(self, name) for name in ("filters", "kernel", "stride", "activation")}
        return super().get_config() | options


@keras.saving.register_keras_serializable("ser_utils")
class MaskedAverage(layers.Layer):
    """Mean of the valid ones among every `stride` frames: a slower rate without a weight.

    Parameters
    ----------
    stride : int
        Frames per output.
    """

    def __init__(self, stride: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.stride = stride
        self.pad = layers.ZeroPadding1D((0, stride - 1))
        self.mean = layers.AveragePooling1D(stride, padding="valid")

    def build(self, shapes) -> None:
        self.pad.build(shapes[0])
        self.mean.build(self.pad.compute_output_shape(shapes[0]))

    def call(self, inputs):
        """(frames, mask) → (frames, mask) at the new rate."""
        frames, mask = inputs
        valid = ops.expand_dims(mask, -1)
        share = self.mean(self.pad(valid))
        share = ops.where(share > 0, share, ops.ones_like(share))
        return self.mean(self.pad(frames * valid)) / share, mask[:, :: self.stride]

    def get_config(self) -> dict:
        return super().get_config() | {"stride": self.stride}


class _Pooling(layers.Layer):
    """(frames, mask) → (batch, 2 · columns), in 32 bits."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs, previous=None):
        """None: time is gone."""

    def call(self, inputs):
        """Weighted mean and standard deviation over time."""
        frames, mask = inputs
        weights = self.weights_over_time(frames, mask)
        frames = ops.cast(frames, "float32")
        mean = ops.sum(weights * frames, axis=1)
        variance = ops.sum(weights * ops.square(frames - ops.expand_dims(mean, 1)), axis=1)
        return ops.concatenate([mean, ops.sqrt(variance + 1e-6)], axis=-1)


@keras.saving.register_keras_serializable("ser_utils")
class AttentionPooling(_Pooling):
    """Attentive statistics: weighted mean and standard deviation over time (Okabe et al. 2018,
    doi:10.21437/Interspeech.2018-993).

    Parameters
    ----------
    units : int
        Width of the scorer's hidden layer.
    """

    def __init__(self, units: int = 32, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, activation="tanh")
        self.score = layers.Dense(1, use_bias=False)

    def build(self, shapes) -> None:
        self.hidden.build(shapes[0])
        self.score.build((*shapes[0][:-1], self.units))

    def weights_over_time(self, frames, mask):
        """Weights (batch, time, 1) that sum to one over the valid frames."""
        valid = ops.cast(ops.expand_dims(mask, -1), "float32")
        return ops.softmax(ops.cast(self.score(self.hidden(frames)), "float32") - NEVER * (1 - valid), axis=1)

    def get_config(self) -> dict:
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable("ser_utils")
class StatisticsPooling(_Pooling):
    """Mean and standard deviation over the valid frames (Snyder et al. 2018, doi:10.1109/ICASSP.2018.8461375)."""

    def weights_over_time(self, frames, mask):
        """Weights (batch, time, 1): the same for all valid frames."""
        valid = ops.cast(ops.expand_dims(mask, -1), "float32")
        return valid / ops.maximum(ops.sum(valid, axis=1, keepdims=True), 1.0)


@keras.saving.register_keras_serializable("ser_utils")
class FixedLength(layers.Layer):
    """The same number of frames from every clip, for nets that are not blind to padding: the middle of a longer clip,
    zeros after the end of a shorter one.

    Parameters
    ----------
    n_frames : int
        Frames that come out.
    """

    def __init__(self, n_frames: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.n_frames = n_frames

    def call(self, inputs):
        """(frames, mask) → (frames, mask) of ``n_frames`` frames; masked frames are zero."""
        frames, mask = inputs
        frames = ops.concatenate([frames * ops.expand_dims(mask, -1), ops.expand_dims(mask, -1)], axis=-1)
        surplus = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True) - self.n_frames
        positions = ops.maximum(surplus, 0) // 2 + ops.arange(self.n_frames, dtype="int32")
        frames = ops.pad(frames, ((0, 0), (0, self.n_frames), (0, 0)))
        frames = ops.take_along_axis(frames, ops.expand_dims(positions, -1), axis=1)
        return frames[..., :-1], frames[..., -1]

    def compute_output_shape(self, shapes):
        batch, _, columns = shapes[0]
        return (batch, self.n_frames, columns), (batch, self.n_frames)

    def get_config(self) -> dict:
        return super().get_config() | {"n_frames": self.n_frames}
