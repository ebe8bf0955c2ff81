"""Nets that hear a clip, read its text, or do both: ``keras.ops`` only, so that every Keras backend runs them.

Every net takes ``[audio, audio_mask, text, text_mask]`` and returns class probabilities: sequences (batch, steps,
columns) and masks (batch, steps) that are 1 in valid steps. One vector per clip is a sequence of one step. A mask
without a 1 says that the modality is missing; what stands in the sequence then changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from ser_utils import study


@keras.saving.register_keras_serializable("ser_utils.fusion")
class MaskedMean(layers.Layer):
    """Mean over the valid steps: (batch, steps, columns), (batch, steps) → (batch, columns); 0 where there is none."""

    def call(self, inputs):
        sequence, mask = inputs
        weights = ops.expand_dims(mask, -1)
        return ops.sum(sequence * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)


@keras.saving.register_keras_serializable("ser_utils.fusion")
class Present(layers.Layer):
    """Whether a modality is there: mask (batch, steps) → 0 or 1 (batch, 1)."""

    def call(self, mask):
        return ops.max(mask, axis=1, keepdims=True)


@keras.saving.register_keras_serializable("ser_utils.fusion")
class StandIn(layers.Layer):
    """A learnt vector in place of a modality that is missing: (batch, columns), (batch, 1) → (batch, columns)."""

    def build(self, shapes) -> None:
        self.vector = self.add_weight(shape=(shapes[0][-1],), initializer="zeros", name="vector")

    def call(self, inputs):
        known, present = inputs
        return known * present + self.vector * (1.0 - present)


@keras.saving.register_keras_serializable("ser_utils.fusion")
class Share(layers.Layer):
    """How much the first of two modalities counts: a learnt gate (batch, columns) in 0 … 1, and what is there.

    A missing modality counts nothing, and the other one then all.
    """

    def call(self, inputs):
        gate, first, second = inputs
        first, second = gate * first, (1.0 - gate) * second
        return first / ops.maximum(first + second, 1e-6)


@keras.saving.register_keras_serializable("ser_utils.fusion")
class CrossAttention(layers.Layer):
    """Steps of one modality look at the steps of the other (Vaswani et al. 2017, arXiv:1706.03762).

    Parameters
    ----------
    units : int
        Columns of queries, keys, values and of the result.
    heads : int
        Divides `units`.
    """

    def __init__(self, units: int, heads: int = 4, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units, self.heads = units, heads
        self.query, self.key, self.value = (layers.Dense(units, name=name) for name in ("query", "key", "value"))
        self.out = layers.Dense(units, name="out")

    def build(self, shapes) -> None:
        looking, seen = shapes[:2]
        self.query.build(looking)
        self.key.build(seen)
        self.value.build(seen)
        self.out.build((*looking[:2], self.units))

    def _split(self, x):
        steps = ops.shape(x)[1]
        return ops.transpose(ops.reshape(x, (-1, steps, self.heads, self.units // self.heads)), (0, 2, 1, 3))

    def weights_over_steps(self, looking, seen, mask):
        """Weights (batch, heads, looking steps, seen steps) that sum to one over the valid steps."""
        scores = ops.matmul(self._split(self.query(looking)), ops.transpose(self._split(self.key(seen)), (0, 1, 3, 2)))
        scores = scores / float(np.sqrt(self.units / self.heads)) - 1e9 * (1.0 - mask[:, None, None, :])
        chances = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))  # Keras's softmax warns of a single step
        return chances / ops.sum(chances, axis=-1, keepdims=True)

    def call(self, inputs):
        """(looking, seen, mask of the seen) → (batch, looking steps, units); 0 where nothing is seen."""
        looking, seen, mask = inputs
        found = ops.matmul(self.weights_over_steps(looking, seen, mask), self._split(self.value(seen)))
        found = ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (-1, ops.shape(looking)[1], self.units))
        return self.out(found) * ops.max(mask, axis=1)[:, None, None]

    def get_config(self) -> dict:
        return super().get_config() | {"units": self.units, "heads": self.heads}


class _Inputs(NamedTuple):
    """The four inputs of every net."""

    audio: keras.KerasTensor
    audio_mask: keras.KerasTensor
    text: keras.KerasTensor
    text_mask: keras.KerasTensor


def _inputs(audio_dim: int, text_dim: int) -> _Inputs:
    return _Inputs(
        keras.Input((None, audio_dim), name="audio"),
        keras.Input((None,), name="audio_mask"),
        keras.Input((None, text_dim), name="text"),
        keras.Input((None,), name="text_mask"),
    )


def _check(units: int, dropout: float) -> None:
    if units < 1:
        raise study.UserError(f"units {units} must be 1 or more")
    if not 0 <= dropout < 1:
        raise study.UserError(f"dropout {dropout} must be at least 0 and below 1")


def _hidden(x, units: int, dropout: float):
    x = layers.Dropout(dropout)(x)
    return layers.Dropout(dropout)(ops.gelu(layers.LayerNormalization(epsilon=1e-5)(layers.Dense(units)(x))))


def _sides(inputs: _Inputs, units: int, dropout: float):
    """One hidden vector per modality, and whether each is there."""
    pairs = ((inputs.audio, inputs.audio_mask), (inputs.text, inputs.text_mask))
    hidden = [_hidden(MaskedMean()(pair), units, dropout) for pair in pairs]
    return hidden, [Present()(mask) for _, mask in pairs]


def _net(inputs: _Inputs, x, n_classes: int, name: str) -> keras.Model:
    return keras.Model(list(inputs), layers.Dense(n_classes, activation="softmax")(x), name=name)


def audio_only(audio_dim: int, text_dim: int, n_classes: int, *, units: int = 64, dropout: float = 0.3) -> keras.Model:
    """One hidden layer on the mean of the audio; the text is not looked at. Parameters as for :func:`early`."""
    _check(units, dropout)
    inputs = _inputs(audio_dim, text_dim)
    hidden, present = _sides(inputs, units, dropout)
    return _net(inputs, StandIn()((hidden[0], present[0])), n_classes, "audio_only")


def text_only(audio_dim: int, text_dim: int, n_classes: int, *, units: int = 64, dropout: float = 0.3) -> keras.Model:
    """One hidden layer on the mean of the text; the audio is not looked at. Parameters as for :func:`early`."""
    _check(units, dropout)
    inputs = _inputs(audio_dim, text_dim)
    hidden, present = _sides(inputs, units, dropout)
    return _net(inputs, StandIn()((hidden[1], present[1])), n_classes, "text_only")


def early(audio_dim: int, text_dim: int, n_classes: int, *, units: int = 64, dropout: float = 0.3) -> keras.Model:
    """Both modalities side by side, then one more hidden layer.

    Parameters
    ----------
    audio_dim, text_dim, n_classes : int
        Columns in, classes out.
    units : int
        Of the hidden layers.
    dropout : float
        Share of values dropped, in [0, 1).

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    study.UserError
        For units or a dropout that cannot be.

    Examples
    --------
    >>> early(786, 384, 7).output_shape
    (None, 7)
    """
    _check(units, dropout)
    inputs = _inputs(audio_dim, text_dim)
    hidden, present = _sides(inputs, units, dropout)
    both = layers.Concatenate()([StandIn()(side) for side in zip(hidden, present, strict=True)])
    return _net(inputs, _hidden(both, units, dropout), n_classes, "early")


def gated(audio_dim: int, text_dim: int, n_classes: int, *, units: int = 64, dropout: float = 0.3) -> keras.Model:
    """A gate decides, column by column, how much each modality counts (Arevalo et al. 2017, arXiv:1702.01992).

    Parameters as for :func:`early`.
    """
    _check(units, dropout)
    inputs = _inputs(audio_dim, text_dim)
    hidden, present = _sides(inputs, units, dropout)
    gate = layers.Dense(units, activation="sigmoid", name="gate")(layers.Concatenate()(hidden))
    share = Share(name="share")([gate, *present])
    return _net(inputs, share * hidden[0] + (1.0 - share) * hidden[1], n_classes, "gated")


def cross_attention(
    audio_dim: int, text_dim: int, n_classes: int, *, units: int = 64, heads: int = 4, dropout: float = 0.3
) -> keras.Model:
    """Frames look at words and words at frames, then the means of both (after Tsai et al. 2019,
    doi:10.18653/v1/P19-1656): for sequences; with one step each it comes down to :func:`early`.

    Parameters
    ----------
    audio_dim, text_dim, n_classes, units, dropout
        As for :func:`early`.
    heads : int
        Attention heads; they divide `units`.

    Raises
    ------
    study.UserError
        For units, heads or a dropout that cannot be.
    """
    _check(units, dropout)
    if heads < 1 or units % heads:
        raise study.UserError(f"heads {heads} must divide the {units} units; use another number")
    inputs = _inputs(audio_dim, text_dim)
    audio, text = (layers.Dropout(dropout)(layers.Dense(units)(x)) for x in (inputs.audio, inputs.text))
    heard = CrossAttention(units, heads, name="audio_to_text")([audio, text, inputs.text_mask])
    read = CrossAttention(units, heads, name="text_to_audio")([text, audio, inputs.audio_mask])
    means = []
    for x, mask in ((audio + heard, inputs.audio_mask), (text + read, inputs.text_mask)):
        x = ops.gelu(layers.LayerNormalization(epsilon=1e-5)(x))
        means.append(StandIn()((MaskedMean()((x, mask)), Present()(mask))))
    return _net(inputs, _hidden(layers.Concatenate()(means), units, dropout), n_classes, "cross_attention")


def attention(net: keras.Model, inputs: list[np.ndarray], *, layer: str = "text_to_audio") -> np.ndarray:
    """Where a :func:`cross_attention` net looks, for clips of a batch.

    Parameters
    ----------
    net : keras.Model
    inputs : list of np.ndarray
        Audio, audio mask, text, text mask, standardised.
    layer : str
        ``text_to_audio``: each word over the frames; ``audio_to_text``: each frame over the words.

    Returns
    -------
    np.ndarray [shape=(n_clips, looking steps, seen steps)]
        Mean over the heads; every row sums to one over valid steps.
    """
    found = net.get_layer(layer)
    before = keras.Model(net.inputs, list(found.input))
    looking, seen, mask = before(inputs)
    return ops.convert_to_numpy(ops.mean(found.weights_over_steps(looking, seen, mask), axis=1))


BUILDERS = {
    "audio_only": audio_only,
    "text_only": text_only,
    "early": early,
    "gated": gated,
    "cross_attention": cross_attention,
}
