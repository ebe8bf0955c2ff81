"""Nets, one builder each: Keras 3 with ``keras.ops`` only, so that every Keras backend runs them.

Every model takes ``{"frames": (batch, time, columns), "mask": (batch, time)}`` and returns class probabilities.
Masked frames never change a result, however long the padding: convolutions see zeros there, the recurrent nets
stop, attention gives them no weight, and no layer normalises over the batch.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from ser_utils import study

STRIDES = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (2, 2, 2)}  # frames per LSTM step: stride of each convolution


@keras.saving.register_keras_serializable("ser_utils")
class MaskedConv(layers.Layer):
    """1-D convolution over time with stride, layer normalisation and GELU, blind to masked frames.

    Zeros are padded explicitly: Keras's ``same`` padding of a strided convolution depends on the length.

    Parameters
    ----------
    filters, kernel, stride : int
        Output columns; frames that one output sees; frames between outputs.
    """

    def __init__(self, filters: int, kernel: int, stride: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel, self.stride = filters, kernel, stride
        self.pad = layers.ZeroPadding1D(kernel // 2)
        self.conv = layers.Conv1D(filters, kernel, strides=stride, padding="valid")
        self.norm = layers.LayerNormalization(epsilon=1e-5)

    def build(self, shapes) -> None:
        batch, time, columns = shapes[0]
        self.conv.build((batch, time, columns))
        self.norm.build((batch, time, self.filters))

    def call(self, inputs):
        """(frames, mask) → (frames, mask) at the new rate."""
        frames, mask = inputs
        frames = self.conv(self.pad(frames * ops.expand_dims(mask, -1)))
        return ops.gelu(self.norm(frames)), mask[:, :: self.stride]

    def get_config(self) -> dict:
        return super().get_config() | {"filters": self.filters, "kernel": self.kernel, "stride": self.stride}


@keras.saving.register_keras_serializable("ser_utils")
class AttentionPooling(layers.Layer):
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
        self.supports_masking = True

    def build(self, shapes) -> None:
        batch, time, columns = shapes[0]
        self.hidden.build((batch, time, columns))
        self.score.build((batch, time, self.units))

    def compute_mask(self, inputs, previous=None):
        """None: time is gone."""

    def weights_over_time(self, frames, mask):
        """Weights (batch, time, 1) that sum to one over the valid frames."""
        scores = self.score(self.hidden(frames)) - 1e9 * (1 - ops.expand_dims(mask, -1))
        return ops.softmax(scores, axis=1)

    def call(self, inputs):
        """(frames, mask) → (batch, 2 · columns)."""
        frames, mask = inputs
        weights = self.weights_over_time(frames, mask)
        mean = ops.sum(weights * frames, axis=1)
        variance = ops.sum(weights * ops.square(frames - ops.expand_dims(mean, 1)), axis=1)
        return ops.concatenate([mean, ops.sqrt(variance + 1e-6)], axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {"units": self.units}


def bilstm_attention(
    n_columns: int,
    n_classes: int,
    *,
    filters: int = 64,
    stride: int = 4,
    units: int = 64,
    depth: int = 1,
    dropout: float = 0.4,
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
        Share of values dropped before the LSTM and before the output, in [0, 1).

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    study.UserError
        For a stride or a dropout that cannot be.

    Examples
    --------
    >>> bilstm_attention(64, 7).output_shape
    (None, 7)
    """
    if stride not in STRIDES:
        raise study.UserError(f"stride {stride} is unknown; use one of {', '.join(map(str, STRIDES))}")
    if not 0 <= dropout < 1:
        raise study.UserError(f"dropout {dropout} must be at least 0 and below 1")
    frames = keras.Input((None, n_columns), name="frames")
    mask = keras.Input((None,), name="mask")
    x, m = frames, mask
    for i, step in enumerate(STRIDES[stride]):
        x, m = MaskedConv(filters, 5, step, name=f"conv_{i}")((x, m))
    x = layers.Dropout(dropout / 2)(x)
    for i in range(depth):
        lstm = layers.LSTM(units, return_sequences=True)
        x = layers.Bidirectional(lstm, name=f"bilstm_{i}")(x, mask=ops.cast(m, "bool"))
        x = layers.Dropout(dropout / 2)(x)
    x = AttentionPooling(name="pool")((x, m))
    x = layers.Dropout(dropout)(x)
    return keras.Model([frames, mask], layers.Dense(n_classes, activation="softmax")(x), name="bilstm_attention")


def small_cnn(
    n_columns: int, n_classes: int, *, filters: int = 48, strides: tuple[int, ...] = (2, 2, 2), dropout: float = 0.3
) -> keras.Model:
    """A few strided convolutions over time and attentive pooling: quick to train, for comparisons of other things.

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    filters : int
        Columns of the convolutions.
    strides : tuple of int
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
        For a dropout that cannot be.

    Examples
    --------
    >>> small_cnn(64, 7).output_shape
    (None, 7)
    """
    if not 0 <= dropout < 1:
        raise study.UserError(f"dropout {dropout} must be at least 0 and below 1")
    frames = keras.Input((None, n_columns), name="frames")
    mask = keras.Input((None,), name="mask")
    x, m = frames, mask
    for i, step in enumerate(strides):
        x, m = MaskedConv(filters, 5, step, name=f"conv_{i}")((x, m))
    x = layers.Dropout(dropout)(AttentionPooling(name="pool")((x, m)))
    return keras.Model([frames, mask], layers.Dense(n_classes, activation="softmax")(x), name="small_cnn")


def attention(model: keras.Model, frames: np.ndarray) -> np.ndarray:
    """Attention weights of one clip under a model with a layer called ``pool``.

    Parameters
    ----------
    model : keras.Model
    frames : np.ndarray [shape=(1, n_frames, n_columns)]
        Standardised, without padding.

    Returns
    -------
    np.ndarray [shape=(n_steps,)]
        Sums to one; a step is as many frames as the model's stride.
    """
    pool = model.get_layer("pool")
    before = keras.Model(model.inputs, list(pool.input))
    steps, mask = before([frames, np.ones(frames.shape[:2], dtype=np.float32)])
    return ops.convert_to_numpy(pool.weights_over_time(steps, mask))[0, :, 0]


BUILDERS = {"bilstm_attention": bilstm_attention, "small_cnn": small_cnn}
