"""Convolutional nets: over time alone, over time and bands, and with a recurrent net on top."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
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
from ser_utils.models.spectrogram import MaskedConv2D, collapse_bands, split_bands


def small_cnn(
    n_columns: int, n_classes: int, *, filters: int = 48, strides: Sequence[int] = (2, 2, 2), dropout: float = 0.3
) -> keras.Model:
    """A few strided convolutions over time and attentive pooling: quick to train, for comparisons of other things.

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    filters : int
        Columns of the convolutions.
    strides : sequence of int
        Stride of each convolution, frames.
    dropout : float
        Share of values dropped before the output, in [0, 1).

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
    >>> small_cnn(64, 7).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    check_sizes(filters=filters, strides=strides)
    frames, mask = net_inputs(n_columns, n_classes)
    x, m = frames, mask
    for i, step in enumerate(strides):
        x, m = MaskedConv(filters, 5, step, name=f"conv_{i}")((x, m))
    return keras.Model([frames, mask], classifier(pooled(x, m), n_classes, dropout), name="small_cnn")


def cnn_1d(
    n_columns: int,
    n_classes: int,
    *,
    filters: Sequence[int] = (64, 96, 128),
    strides: Sequence[int] = (2, 2, 2),
    kernel: int = 5,
    dropout: float = 0.3,
    pool: str = "attention",
) -> keras.Model:
    """Residual convolutions over time on frame features (He et al. 2016, doi:10.1109/CVPR.2016.90; over time alone as
    in Bai et al. 2018, arXiv:1803.01271).

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    filters, strides : sequence of int
        Columns and stride (frames) of each block of two convolutions.
    kernel : int
        Frames that a convolution sees, odd.
    dropout : float
        Share of values dropped before the output, half of it between blocks, in [0, 1).
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
    >>> cnn_1d(64, 7).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    check_kernels(kernel=kernel)
    check_choice("pool", pool, POOLS)
    _check_pairs(filters=filters, strides=strides)
    frames, mask = net_inputs(n_columns, n_classes)
    x, m = frames, mask
    for i, (width, stride) in enumerate(zip(filters, strides, strict=True)):
        y, after = MaskedConv(width, kernel, stride, name=f"conv_{i}a")((x, m))
        y, _ = MaskedConv(width, kernel, name=f"conv_{i}b")((y, after))
        short, m = MaskedConv(width, 1, stride, "linear", name=f"short_{i}")((x, m))
        x = layers.Dropout(dropout / 2)(layers.Add(name=f"block_{i}")([y, short]))
    return keras.Model([frames, mask], classifier(pooled(x, m, pool), n_classes, dropout), name="cnn_1d")


def cnn_2d(
    n_columns: int,
    n_classes: int,
    *,
    n_bands: int = 0,
    filters: Sequence[int] = (16, 32, 64, 96),
    time_strides: Sequence[int] = (2, 2, 2, 1),
    kernel: int = 3,
    separable: bool = False,
    norm: str = "layer",
    width: int = 96,
    dropout: float = 0.3,
    pool: str = "attention",
) -> keras.Model:
    """Convolutions over time and mel bands, each halving the bands, then attention over time (Zhang et al. 2018,
    doi:10.1109/TMM.2017.2766843).

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    n_bands : int
        Leading columns that are mel bands; others join before the pooling. 0: all.
    filters, time_strides : sequence of int
        Channels and stride (frames) of each convolution.
    kernel : int
        Frames and bands that a convolution sees, odd.
    separable : bool
        Separable convolutions after the first: a fraction of the parameters.
    norm : str
        ``layer`` (channels of each point) or ``group`` (groups of channels over the clip).
    width : int
        Columns that each frame is mixed to before the pooling.
    dropout : float
        Share of values dropped before the output, half of it before the pooling, in [0, 1).
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
    >>> cnn_2d(65, 7, n_bands=64).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    check_sizes(width=width)
    check_choice("pool", pool, POOLS)
    frames, mask = net_inputs(n_columns, n_classes)
    options = {"kernel": kernel, "separable": separable, "norm": norm}
    x, m = _front(frames, mask, n_bands, filters, time_strides, width=width, **options)
    x = layers.Dropout(dropout / 2)(x)
    return keras.Model([frames, mask], classifier(pooled(x, m, pool), n_classes, dropout), name="cnn_2d")


def crnn(
    n_columns: int,
    n_classes: int,
    *,
    n_bands: int = 0,
    filters: Sequence[int] = (16, 32, 64),
    time_strides: Sequence[int] = (2, 2, 1),
    kernel: int = 3,
    separable: bool = False,
    norm: str = "layer",
    width: int = 64,
    units: int = 64,
    dropout: float = 0.4,
    pool: str = "attention",
) -> keras.Model:
    """Convolutions over time and mel bands, a bidirectional LSTM and attention over time (Chen et al. 2018,
    doi:10.1109/LSP.2018.2860246).

    Parameters
    ----------
    n_columns, n_classes, n_bands, filters, time_strides, kernel, separable, norm, pool
        As in :func:`cnn_2d`.
    width : int
        Columns that the LSTM reads at each step, and a quarter of it, 8 or more, for the columns that join.
    units : int
        LSTM units per direction.
    dropout : float
        Share of values dropped before the output, half of it before and after the LSTM, in [0, 1).

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
    >>> crnn(65, 7, n_bands=64).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    check_sizes(width=width, units=units)
    check_choice("pool", pool, POOLS)
    frames, mask = net_inputs(n_columns, n_classes)
    options = {"kernel": kernel, "separable": separable, "norm": norm}
    x, m = _front(frames, mask, n_bands, filters, time_strides, width=width, **options)
    x = layers.Dropout(dropout / 2)(x)
    lstm = layers.LSTM(units, return_sequences=True)
    x = layers.Bidirectional(lstm, name="bilstm")(x, mask=ops.cast(m, "bool"))
    x = layers.Dropout(dropout / 2)(x)
    return keras.Model([frames, mask], classifier(pooled(x, m, pool), n_classes, dropout), name="crnn")


def _front(
    frames: keras.KerasTensor,
    mask: keras.KerasTensor,
    n_bands: int,
    filters: Sequence[int],
    time_strides: Sequence[int],
    *,
    kernel: int,
    separable: bool,
    norm: str,
    width: int,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Frames (batch, steps, columns) and their mask after the 2-D convolutions; the first one is never separable."""
    _check_pairs(filters=filters, time_strides=time_strides)
    image, extra = split_bands(frames, n_bands)
    x, m = image, mask
    for i, (channels, stride) in enumerate(zip(filters, time_strides, strict=True)):
        conv = MaskedConv2D(channels, kernel, (stride, 2), separable and i > 0, norm, name=f"conv_{i}")
        x, m = conv((x, m))
    return collapse_bands(x, extra, mask, width=width, stride=math.prod(time_strides)), m


def _check_pairs(**options: Sequence[int]) -> None:
    check_sizes(**options)
    (one, first), (other, second) = options.items()
    if len(first) != len(second):
        raise study.UserError(f"{one} {first} and {other} {second} must be equally many, one pair per block")
