"""Nets of the generators: U-Net, encoder and decoder, residual generator, patch discriminator, style encoder.

All are fully convolutional over time, take any length, and are told what to do by a condition vector; zeros in its
place mean no condition. Inputs are standardised mel spectrograms (batch, time, bands, channels) with a
mask (batch, time).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from ser_utils.generative.blocks import (
    Attention2D,
    Blocks,
    MaskedConv2D,
    Modulate,
    TimeEmbedding,
    Unblock,
    Upsample,
    over_bands,
    residual,
)
from ser_utils.models.layers import MaskedConv, StatisticsPooling, check_sizes

FINE = 4  # channels that are handed down to every single value, or as many as the picture has


def picture(n_bands: int, n_channels: int = 1, name: str = "x") -> keras.KerasTensor:
    """Input (batch, time, bands, channels)."""
    return keras.Input((None, n_bands, n_channels), name=name)


def time_mask(name: str = "mask") -> keras.KerasTensor:
    """Input (batch, time): 1 in valid frames."""
    return keras.Input((None,), name=name)


def masked(x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
    """`x` with zeros in the padding."""
    return layers.Multiply()([x, over_bands(mask)])


def style_encoder(frames: keras.KerasTensor, mask: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """One vector (batch, width) of a reference clip: who speaks and how it was recorded, without when (after the
    mel-style encoder of Min et al. 2021, arXiv:2106.03153)."""
    h, m = MaskedConv(width, 5, 2, name="style_a")((frames, mask))
    h, m = MaskedConv(width, 5, 2, name="style_b")((h, m))
    return layers.Dense(width, name="style")(StatisticsPooling(name="style_pool")((h, m)))


def unet(
    n_bands: int,
    n_condition: int,
    *,
    n_channels: int = 1,
    style_bands: int = 0,
    stem: int = 2,
    widths: Sequence[int] = (32, 48, 64),
    heads: int = 2,
) -> keras.Model:
    """U-Net with skip connections, told the time and the condition, with attention where it is smallest (Ronneberger et
    al. 2015, doi:10.1007/978-3-319-24574-4_28; Ho et al. 2020, arXiv:2006.11239).

    Parameters
    ----------
    n_bands, n_channels : int
        Of the picture.
    n_condition : int
        Length of the condition vector.
    style_bands : int
        Columns of a reference clip for the style encoder; 0: no style.
    stem : int
        The net works on blocks of stem × stem values.
    widths : sequence of int
        Channels of each level; every level but the first halves time and bands.
    heads : int
        Of the attention; divides the last width.

    Returns
    -------
    keras.Model
        ``[x, mask, time (batch, 1), condition (, style, style_mask)]`` → answer, of the shape of x.

    Examples
    --------
    >>> unet(20, 4, stem=1, widths=(4, 8)).output_shape
    (None, None, 20, 1)
    """
    check_sizes(n_bands=n_bands, n_condition=n_condition, widths=widths, stem=stem, heads=heads)
    x, mask = picture(n_bands, n_channels), time_mask()
    time, condition = keras.Input((1,), name="time"), keras.Input((n_condition,), name="condition")
    inputs = [x, mask, time, condition]
    told = [layers.Dense(widths[-1])(TimeEmbedding(32)(time)), layers.Dense(widths[-1], use_bias=False)(condition)]
    if style_bands:
        inputs += [keras.Input((None, style_bands), name="style_x"), time_mask("style_mask")]
        told.append(style_encoder(*inputs[-2:], widths[-1]))
    vector = layers.Dense(widths[-1], activation="silu", name="told")(layers.Activation("silu")(layers.Add()(told)))
    h, m = MaskedConv2D(widths[0], stem, name="stem")((x, mask))
    skips = []
    for i, width in enumerate(widths):
        if i:
            h, m = MaskedConv2D(width, 2, name=f"down_{i}")((h, m))
        h = residual(h, m, vector, width, name=f"level_{i}")
        skips.append((h, m))
    h = Attention2D(heads, name="attention")((h, m))
    h = residual(h, m, vector, widths[-1], name="middle")
    for i in reversed(range(len(widths) - 1)):
        skip, m = skips[i]
        h, _ = MaskedConv2D(4 * widths[i], name=f"rise_{i}")((h, skips[i + 1][1]))
        h = layers.Concatenate()([Upsample(2, skip.shape[2])((h, m)), skip])
        h = residual(h, m, vector, widths[i], name=f"up_{i}")
    answer = _fine((h, m), (x, mask), vector, stem)
    return keras.Model(inputs, answer, name="unet")


def _fine(coarse: tuple, whole: tuple, vector: keras.KerasTensor, stem: int) -> keras.KerasTensor:
    """From blocks to single values, beside the input: noise within a block is told from the input alone."""
    (h, m), (x, mask) = coarse, whole
    h = layers.Activation("silu")(layers.LayerNormalization(epsilon=1e-5, name="last_norm")(h))
    channels = max(FINE, x.shape[3])
    h, _ = MaskedConv2D(stem**2 * channels, name="last")((h, m))
    h = layers.Concatenate()([Upsample(stem, x.shape[2])((h, mask)), x])
    h, _ = MaskedConv2D(2 * channels, name="fine")((h, mask))
    h = Modulate(name="fine_film")((layers.Activation("silu")(h), vector))
    return MaskedConv2D(x.shape[3], zeros=True, name="out")((h, mask))[0]


def encoder(n_bands: int, n_condition: int, *, latent: int, block: int, width: int, depth: int) -> keras.Model:
    """``[x, mask, condition]`` → mean and log variance of the latent (batch, time / block, 1, latent), and its mask.

    A linear path leads from each block of frames and its neighbours to the mean; the residual convolutions over time
    beside it say nothing at first.
    """
    check_sizes(latent=latent, block=block, width=width, depth=depth)
    x, mask, condition = picture(n_bands), time_mask(), keras.Input((n_condition,), name="condition")
    blocks, m = Blocks(block, name="blocks")((x, mask))
    h = _over_blocks(blocks, m, condition, width, depth)
    h, _ = MaskedConv2D(2 * latent, zeros=True, name="last")((h, m))
    more, log_variance = ops.split(h, 2, axis=-1)
    mean = layers.Add(name="mean")([MaskedConv2D(latent, name="linear")((blocks, m))[0], more])
    return keras.Model([x, mask, condition], [mean, ops.clip(log_variance - 4.0, -10.0, 4.0), m], name="encoder")


def decoder(n_bands: int, n_condition: int, *, latent: int, block: int, width: int, depth: int) -> keras.Model:
    """``[z, mask, condition]`` → x; `mask` is that of the picture and tells its length.

    Like the encoder, a linear path and what is learnt beside it; two convolutions then smooth the seams of the blocks.
    """
    z, mask = keras.Input((None, 1, latent), name="z"), time_mask()
    condition = keras.Input((n_condition,), name="condition")
    m = mask[:, ::block]
    h = _over_blocks(z, m, condition, width, depth)
    h, _ = MaskedConv2D(block * n_bands, zeros=True, name="last")((h, m))
    h = layers.Add(name="blocks")([MaskedConv2D(block * n_bands, name="linear")((z, m))[0], h])
    x = Unblock(n_bands, name="frames")((h, mask))
    h, _ = MaskedConv2D(2 * FINE, name="fine")((x, mask))
    h, _ = MaskedConv2D(1, zeros=True, name="seams")((layers.Activation("silu")(h), mask))
    return keras.Model([z, mask, condition], layers.Add(name="out")([x, h]), name="decoder")


def _over_blocks(x, mask, condition, width: int, depth: int) -> keras.KerasTensor:
    h, _ = MaskedConv2D(width, name="first")((x, mask))
    for i in range(depth):
        h = residual(h, mask, condition, width, name=f"level_{i}")
    return layers.Activation("silu")(layers.LayerNormalization(epsilon=1e-5, name="last_norm")(h))


def generator(n_bands: int, n_condition: int, *, stem: int = 2, width: int = 32, blocks: int = 4) -> keras.Model:
    """``[x, mask, condition]`` → x and what it takes to change it: at first nothing."""
    x, mask, condition = picture(n_bands), time_mask(), keras.Input((n_condition,), name="condition")
    vector = layers.Dense(width, activation="silu", name="told")(condition)
    h, m = MaskedConv2D(width, stem, name="stem")((x, mask))
    for i in range(blocks):
        h = residual(h, m, vector, width, name=f"block_{i}")
    h = layers.Activation("silu")(layers.LayerNormalization(epsilon=1e-5, name="last_norm")(h))
    h, _ = MaskedConv2D(stem**2, zeros=True, name="last")((h, m))
    change = Upsample(stem, n_bands)((h, mask))
    return keras.Model([x, mask, condition], layers.Add()([masked(x, mask), change]), name="generator")


def discriminator(n_bands: int, n_condition: int, *, widths: Sequence[int] = (16, 32, 48)) -> keras.Model:
    """``[x, mask, condition]`` → a score for each patch and its mask: is it real, and of this emotion? (PatchGAN: Isola
    et al. 2017, doi:10.1109/CVPR.2017.632; projection: Miyato & Koyama 2018, arXiv:1802.05637)."""
    x, mask, condition = picture(n_bands), time_mask(), keras.Input((n_condition,), name="condition")
    h, m = x, mask
    for i, width in enumerate(widths):
        h, m = MaskedConv2D(width, 2, spectral=True, name=f"down_{i}")((h, m))
        h = layers.LeakyReLU(0.2)(h)
    score, _ = MaskedConv2D(1, spectral=True, name="score")((h, m))
    asked = layers.Dense(widths[-1], use_bias=False, name="asked")(condition)
    fits = ops.sum(h * ops.expand_dims(ops.expand_dims(asked, 1), 1), axis=-1, keepdims=True)
    return keras.Model([x, mask, condition], [masked(score + fits / widths[-1] ** 0.5, m), m], name="discriminator")
