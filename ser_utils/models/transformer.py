"""Encoders with self-attention: a light conformer, and without its convolutions a transformer."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers, ops

from ser_utils import study
from ser_utils.models.layers import (
    POOLS,
    MaskedConv,
    check_choice,
    check_dropout,
    check_kernels,
    check_sizes,
    classifier,
    net_inputs,
    pooled,
)


@keras.saving.register_keras_serializable("ser_utils")
class Positions(layers.Layer):
    """Adds sines and cosines of each frame's position (Vaswani et al. 2017, arXiv:1706.03762)."""

    def call(self, frames):
        """(batch, time, width) → the same shape; `width` is even."""
        width = frames.shape[-1]
        rates = ops.convert_to_tensor(np.exp(-math.log(10000) * np.arange(0, width, 2) / width), dtype="float32")
        angles = ops.cast(ops.arange(ops.shape(frames)[1]), "float32")[:, None] * rates
        return frames + ops.cast(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1), frames.dtype)

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable("ser_utils")
class ConvolutionModule(layers.Layer):
    """The convolution of a conformer, with layer normalisation in place of that over the batch, blind to masked frames.

    Parameters
    ----------
    width, kernel : int
        Columns in and out; frames that one output sees, odd.
    """

    def __init__(self, width: int, kernel: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width, self.kernel = width, kernel
        self.spread = layers.Dense(2 * width)
        self.pad = layers.ZeroPadding1D(kernel // 2)
        self.conv = layers.DepthwiseConv1D(kernel)
        self.norm = layers.LayerNormalization(epsilon=1e-5)
        self.mix = layers.Dense(width)

    def build(self, shapes) -> None:
        frames = shapes[0]
        padded = self.pad.compute_output_shape((*frames[:-1], self.width))
        self.spread.build(frames)
        self.conv.build(padded)
        for layer in (self.norm, self.mix):
            layer.build((*frames[:-1], self.width))

    def call(self, inputs):
        """(frames, mask) → frames."""
        frames, mask = inputs
        gated = ops.glu(self.spread(frames), axis=-1) * ops.expand_dims(mask, -1)
        return self.mix(ops.silu(self.norm(self.conv(self.pad(gated)))))

    def get_config(self) -> dict:
        return super().get_config() | {"width": self.width, "kernel": self.kernel}


def conformer(
    n_columns: int,
    n_classes: int,
    *,
    width: int = 64,
    blocks: int = 2,
    heads: int = 4,
    kernel: int = 15,
    dropout: float = 0.2,
    pool: str = "attention",
) -> keras.Model:
    """Light conformer encoder (Gulati et al. 2020, doi:10.21437/Interspeech.2020-3015) after convolutions that leave
    every fourth frame; with `kernel` 0 a transformer encoder (Vaswani et al. 2017, arXiv:1706.03762).

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    width : int
        Columns of the encoder, a multiple of twice the heads.
    blocks, heads : int
        Blocks; attention heads of each.
    kernel : int
        Steps of four frames that the convolution of a block sees, odd; 0: no convolution.
    dropout : float
        Share of values dropped in each part of a block and before the output, in [0, 1).
    pool : str
        ``attention`` or ``attention+mean``.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    study.UserError
        For an option that cannot be.

    Examples
    --------
    >>> conformer(64, 7).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    check_sizes(width=width, blocks=blocks, heads=heads)
    check_choice("pool", pool, POOLS)
    if kernel:
        check_kernels(kernel=kernel)
    if width % (2 * heads):
        raise study.UserError(f"width {width} must be a multiple of {2 * heads}, twice the heads")
    frames, mask = net_inputs(n_columns, n_classes)
    x, m = frames, mask
    for i in range(2):
        x, m = MaskedConv(width, 5, 2, name=f"conv_{i}")((x, m))
    x = layers.Dropout(dropout)(Positions(name="positions")(x))
    for i in range(blocks):
        x = _block(x, m, heads=heads, kernel=kernel, dropout=dropout, name=f"block_{i}")
    return keras.Model([frames, mask], classifier(pooled(x, m, pool), n_classes, dropout), name="conformer")


def _block(
    x: keras.KerasTensor, m: keras.KerasTensor, *, heads: int, kernel: int, dropout: float, name: str
) -> keras.KerasTensor:
    """Half a feed-forward net, self-attention, convolution, the other half; each added to what it reads."""
    width = x.shape[-1]
    x = x + 0.5 * _feed_forward(x, dropout, name=f"{name}_before")
    y = layers.LayerNormalization(epsilon=1e-5)(x)
    attend = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"{name}_attention")
    x = x + attend(y, y, attention_mask=ops.cast(m, "bool")[:, None, :])
    if kernel:
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        x = x + layers.Dropout(dropout)(ConvolutionModule(width, kernel, name=f"{name}_conv")((y, m)))
    x = x + 0.5 * _feed_forward(x, dropout, name=f"{name}_after")
    return layers.LayerNormalization(epsilon=1e-5, name=name)(x)


def _feed_forward(x: keras.KerasTensor, dropout: float, *, name: str) -> keras.KerasTensor:
    width = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-5)(x)
    y = layers.Dropout(dropout)(layers.Dense(2 * width, activation="silu", name=f"{name}_wide")(y))
    return layers.Dropout(dropout)(layers.Dense(width, name=f"{name}_narrow")(y))
