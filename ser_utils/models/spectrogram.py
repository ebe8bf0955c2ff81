"""Layers over time × bands, and what joins the two-dimensional nets to the rest: bands, extra columns, collapse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import layers, ops

from ser_utils import study
from ser_utils.models.layers import MaskedConv, check_choice, check_kernels

NORMS = ("layer", "group")


@keras.saving.register_keras_serializable("ser_utils")
class MaskedGroupNorm(layers.Layer):
    """Group normalisation (Wu & He 2018, doi:10.1007/978-3-030-01261-8_1) with the statistics of the valid frames.

    Parameters
    ----------
    groups : int
        Most groups of channels; fewer where the channels cannot be shared out among so many.
    """

    def __init__(self, groups: int = 8, **kwargs) -> None:
        super().__init__(**kwargs)
        self.groups = groups

    def build(self, shapes) -> None:
        channels = shapes[0][-1]
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, inputs):
        """(frames, mask) → frames; (batch, time, bands, channels)."""
        frames, mask = inputs
        x = ops.cast(frames, "float32")
        valid = ops.cast(mask, "float32")[:, :, None, None]
        mean = self._of_groups(x, valid)
        variance = self._of_groups(ops.square(x - mean), valid)
        x = (x - mean) * ops.rsqrt(variance + 1e-5)
        return ops.cast(x, frames.dtype) * ops.cast(self.gamma, frames.dtype) + ops.cast(self.beta, frames.dtype)

    def _of_groups(self, x, valid):
        """Mean over time, bands and the channels of a group, for each channel (batch, 1, 1, channels)."""
        bands, channels = x.shape[2:]
        groups = math.gcd(self.groups, channels)
        mean = ops.sum(x * valid, axis=(1, 2)) / ops.maximum(ops.sum(valid, axis=(1, 2)) * bands, 1.0)
        mean = ops.mean(ops.reshape(mean, (-1, groups, channels // groups)), axis=-1)
        return ops.repeat(mean, channels // groups, axis=-1)[:, None, None, :]

    def get_config(self) -> dict:
        return super().get_config() | {"groups": self.groups}


@keras.saving.register_keras_serializable("ser_utils")
class MaskedConv2D(layers.Layer):
    """2-D convolution over time and bands with strides, normalisation and activation, blind to masked frames.

    Parameters
    ----------
    filters, kernel : int
        Output channels; frames and bands that one output sees, odd.
    strides : (int, int)
        Frames and bands between outputs; one must divide the other where `separable`.
    separable : bool
        Filter each channel by itself, then mix them (Howard et al. 2017, arXiv:1704.04861): fewer multiply-adds.
    norm : str
        One of :data:`NORMS`: over the channels of each point, or over the clip in groups of channels.
    activation : str
        Name of a Keras activation.
    """

    def __init__(
        self,
        filters: int,
        kernel: int = 3,
        strides: Sequence[int] = (1, 1),
        separable: bool = False,
        norm: str = "layer",
        activation: str = "gelu",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_kernels(kernel=kernel)
        check_choice("norm", norm, NORMS)
        self.filters, self.kernel, self.strides, self.separable = filters, kernel, tuple(strides), separable
        self.norm, self.activation = norm, activation
        self.pad = layers.ZeroPadding2D(kernel // 2)
        first = layers.Conv2D(filters, kernel, strides=self.strides)
        self.convs = self._separated() if separable else [first]
        self.normalise = MaskedGroupNorm() if norm == "group" else layers.LayerNormalization(epsilon=1e-5)

    def _separated(self) -> list[layers.Layer]:
        """Depthwise filters take equal strides only, so the mixing convolution takes what is left of them."""
        both = math.gcd(*self.strides)
        if both != min(self.strides):
            raise study.UserError(f"strides {self.strides} must divide one another in a separable convolution")
        left = tuple(stride // both for stride in self.strides)
        spread = layers.DepthwiseConv2D(self.kernel, strides=both, use_bias=False)
        return [spread, layers.Conv2D(self.filters, 1, strides=left)]

    def build(self, shapes) -> None:
        shape = self.pad.compute_output_shape(shapes[0])
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.normalise.build([shape, shape[:2]] if self.norm == "group" else shape)

    def compute_output_shape(self, shapes):
        """JAX cannot prove by itself that frames and mask come out equally long."""
        shape = self.pad.compute_output_shape(shapes[0])
        for conv in self.convs:
            shape = conv.compute_output_shape(shape)
        return shape, shape[:2]

    def call(self, inputs):
        """(frames, mask) → (frames, mask) at the new rate; frames are (batch, time, bands, channels)."""
        frames, mask = inputs
        frames = self.pad(frames * mask[:, :, None, None])
        for conv in self.convs:
            frames = conv(frames)
        mask = mask[:, :: self.strides[0]]
        frames = self.normalise((frames, mask)) if self.norm == "group" else self.normalise(frames)
        return keras.activations.get(self.activation)(frames), mask

    def get_config(self) -> dict:
        names = ("filters", "kernel", "strides", "separable", "norm", "activation")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("ser_utils")
class SqueezeExcitation(layers.Layer):
    """Weighs channels by what the whole clip holds of them (Hu et al. 2018, doi:10.1109/CVPR.2018.00745).

    Parameters
    ----------
    ratio : int
        Channels per unit of the narrow layer in the middle.
    """

    def __init__(self, ratio: int = 8, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, shapes) -> None:
        batch, channels = shapes[0][0], shapes[0][-1]
        narrow = max(1, channels // self.ratio)
        self.squeeze = layers.Dense(narrow, activation="gelu", dtype=self.dtype_policy)
        self.excite = layers.Dense(channels, activation="sigmoid", dtype=self.dtype_policy)
        self.squeeze.build((batch, channels))
        self.excite.build((batch, narrow))

    def call(self, inputs):
        """(frames, mask) → frames; (batch, time, bands, channels)."""
        frames, mask = inputs
        valid = ops.cast(mask, "float32")[:, :, None, None]
        total = ops.sum(ops.cast(frames, "float32") * valid, axis=(1, 2))
        mean = total / ops.maximum(ops.sum(valid, axis=(1, 2)) * frames.shape[2], 1.0)
        return frames * self.excite(self.squeeze(mean))[:, None, None, :]

    def get_config(self) -> dict:
        return super().get_config() | {"ratio": self.ratio}


def split_bands(frames: keras.KerasTensor, n_bands: int) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """The leading `n_bands` columns as an image of one channel, and the columns after them.

    Parameters
    ----------
    frames : keras.KerasTensor [shape=(batch, time, columns)]
    n_bands : int
        0: all columns are bands.

    Returns
    -------
    image : keras.KerasTensor [shape=(batch, time, n_bands, 1)]
    extra : keras.KerasTensor [shape=(batch, time, columns - n_bands)] or None
        None where all columns are bands.

    Raises
    ------
    study.UserError
        When there are fewer columns than bands.
    """
    n_columns = frames.shape[-1]
    if not 0 <= n_bands <= n_columns:
        raise study.UserError(f"n_bands {n_bands} must lie between 0 and the {n_columns} columns of the frames")
    if n_bands in (0, n_columns):
        return ops.expand_dims(frames, -1), None
    return ops.expand_dims(frames[..., :n_bands], -1), frames[..., n_bands:]


def collapse_bands(
    image: keras.KerasTensor, extra: keras.KerasTensor | None, mask: keras.KerasTensor, *, width: int, stride: int
) -> keras.KerasTensor:
    """Frames (batch, time, columns) of an image: each frame's bands and channels are mixed to `width` columns, and the
    extra columns join at the same rate.

    Parameters
    ----------
    image : keras.KerasTensor [shape=(batch, steps, bands, channels)]
    extra : keras.KerasTensor [shape=(batch, time, columns)] or None
    mask : keras.KerasTensor [shape=(batch, time)]
        Of the frames, not of the steps.
    width : int
        Columns of the mixture; the extra columns add a quarter of it, but eight or more: two or three say next to
        nothing once they are normalised.
    stride : int
        Frames per step.
    """
    bands, channels = image.shape[2:]
    steps = layers.Reshape((-1, bands * channels))(image)
    steps = layers.Dense(width, activation="gelu", name="collapse")(steps)
    if extra is None:
        return steps
    late, _ = MaskedConv(max(8, width // 4), 2 * stride + 1, stride, name="extra")((extra, mask))
    return layers.Concatenate(name="join")([steps, late])
