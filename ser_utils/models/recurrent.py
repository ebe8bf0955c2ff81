"""Recurrent nets: a BiLSTM with attention pooling, and four small public shapes as a reference."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from ser_utils import study
from ser_utils.models.layers import (
    POOLS,
    MaskedAverage,
    MaskedConv,
    check_choice,
    check_dropout,
    check_sizes,
    classifier,
    net_inputs,
    pooled,
)

STRIDES = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (2, 2, 2)}  # frames per LSTM step: stride of each convolution


def bilstm_attention(
    n_columns: int,
    n_classes: int,
    *,
    filters: int = 64,
    stride: int = 4,
    units: int = 64,
    depth: int = 1,
    dropout: float = 0.4,
    pool: str = "attention",
) -> keras.Model:
    """Bidirectional LSTM with attention pooling (Mirsamadi et al. 2017, doi:10.1109/ICASSP.2017.7952552), after
    convolutions that shorten the sequence.

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    filters : int
        Columns of the convolutions.
    stride : int
        Frames per LSTM step: 1, 2, 4 or 8.
    units : int
        LSTM units per direction.
    depth : int
        LSTM layers.
    dropout : float
        Share of values dropped before the output, half of it before and after each LSTM, in [0, 1).
    pool : str
        ``attention``: weighted mean and standard deviation over time; ``attention+mean``: the plain ones, too.

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
    >>> bilstm_attention(64, 7).output_shape
    (None, 7)
    """
    if stride not in STRIDES:
        raise study.UserError(f"stride {stride} is unknown; use one of {', '.join(map(str, STRIDES))}")
    check_dropout(dropout)
    check_sizes(filters=filters, units=units, depth=depth)
    check_choice("pool", pool, POOLS)
    frames, mask = net_inputs(n_columns, n_classes)
    x, m = frames, mask
    for i, step in enumerate(STRIDES[stride]):
        x, m = MaskedConv(filters, 5, step, name=f"conv_{i}")((x, m))
    x = layers.Dropout(dropout / 2)(x)
    for i in range(depth):
        lstm = layers.LSTM(units, return_sequences=True)
        x = layers.Bidirectional(lstm, name=f"bilstm_{i}")(x, mask=ops.cast(m, "bool"))
        x = layers.Dropout(dropout / 2)(x)
    y = classifier(pooled(x, m, pool), n_classes, dropout)
    return keras.Model([frames, mask], y, name="bilstm_attention")


def lstm_123_64_32(n_columns: int, n_classes: int, *, stride: int = 4, dropout: float = 0.2) -> keras.Model:
    """Three LSTMs of 123, 64 and 32 units (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735); the last
    state after the last valid frame tells the class.

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    stride : int
        Frames whose mean is one LSTM step.
    dropout : float
        Share of values dropped after each LSTM, in [0, 1).

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
    >>> lstm_123_64_32(64, 7).output_shape
    (None, 7)
    """
    return _stack("lstm_123_64_32", (123, 64, 32), n_columns, n_classes, stride=stride, dropout=dropout)


def lstm_123_72_24(n_columns: int, n_classes: int, *, stride: int = 4, dropout: float = 0.2) -> keras.Model:
    """Three LSTMs of 123, 72 and 24 units; else as :func:`lstm_123_64_32`.

    Examples
    --------
    >>> lstm_123_72_24(64, 7).output_shape
    (None, 7)
    """
    return _stack("lstm_123_72_24", (123, 72, 24), n_columns, n_classes, stride=stride, dropout=dropout)


def conv_lstm_128_64(
    n_columns: int, n_classes: int, *, kernel: int = 5, stride: int = 4, dropout: float = 0.2
) -> keras.Model:
    """A convolution of 64 filters, then LSTMs of 128 and 64 units (Zhao et al. 2019, doi:10.1016/j.bspc.2018.08.035).

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    kernel : int
        Frames that the convolution sees, odd.
    stride : int
        Frames per LSTM step: stride of the convolution.
    dropout : float
        Share of values dropped after each LSTM, in [0, 1).

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
    >>> conv_lstm_128_64(64, 7).output_shape
    (None, 7)
    """
    options = {"kernel": kernel, "stride": stride, "dropout": dropout}
    return _stack("conv_lstm_128_64", (128, 64), n_columns, n_classes, **options)


def conv_lstm_128_64_32(
    n_columns: int, n_classes: int, *, kernel: int = 5, stride: int = 4, dropout: float = 0.2
) -> keras.Model:
    """A convolution of 64 filters, then LSTMs of 128, 64 and 32 units; else as :func:`conv_lstm_128_64`.

    Examples
    --------
    >>> conv_lstm_128_64_32(64, 7).output_shape
    (None, 7)
    """
    options = {"kernel": kernel, "stride": stride, "dropout": dropout}
    return _stack("conv_lstm_128_64_32", (128, 64, 32), n_columns, n_classes, **options)


def _stack(
    name: str,
    units: Sequence[int],
    n_columns: int,
    n_classes: int,
    *,
    stride: int,
    dropout: float,
    kernel: int = 0,
) -> keras.Model:
    """LSTMs one after another; before them a convolution, or without a kernel the mean of every `stride` frames."""
    check_sizes(stride=stride)
    check_dropout(dropout)
    frames, mask = net_inputs(n_columns, n_classes)
    shorten = MaskedConv(64, kernel, stride, name="conv") if kernel else MaskedAverage(stride, name="average")
    x, m = shorten((frames, mask))
    for i, width in enumerate(units):
        lstm = layers.LSTM(width, return_sequences=i + 1 < len(units), name=f"lstm_{i}")
        x = layers.Dropout(dropout)(lstm(x, mask=ops.cast(m, "bool")))
    return keras.Model([frames, mask], classifier(x, n_classes, 0.0), name=name)
