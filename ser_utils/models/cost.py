"""What a net costs: parameters, and multiply-adds for one clip."""

from __future__ import annotations

import math

import keras
from keras import layers


def cost(model: keras.Model, n_frames: int) -> dict[str, int]:
    """Parameters of a net and multiply-adds of one prediction.

    Counted are the products of dense layers, convolutions, LSTMs and self-attention, from the shapes that each layer
    meets; sums, normalisations, activations and pooling cost little beside them and are left out.

    Parameters
    ----------
    model : keras.Model
        From :data:`models.BUILDERS`.
    n_frames : int
        Frames of the clip.

    Returns
    -------
    dict
        ``n_parameters`` and ``multiply_adds``.

    Examples
    --------
    >>> from ser_utils.models.convolutional import small_cnn
    >>> cost(small_cnn(64, 7, filters=8, strides=(2,)), 100)
    {'n_parameters': 3023, 'multiply_adds': 142512}
    """
    inputs = [keras.Input((n_frames, *tensor.shape[2:]), name=tensor.name) for tensor in model.inputs]
    fixed = keras.models.clone_model(model, input_tensors=inputs)
    return {"n_parameters": model.count_params(), "multiply_adds": _multiply_adds(fixed)}


def _multiply_adds(layer: layers.Layer) -> int:
    for kind, count in COUNTS.items():
        if isinstance(layer, kind):
            return count(layer, _input_shape(layer))
    # Keras has no public way into layers that own layers
    return sum(map(_multiply_adds, layer._flatten_layers(include_self=False, recursive=False)))


def _input_shape(layer: layers.Layer) -> tuple[int, ...]:
    """Shape of one clip at the layer's first input."""
    known = layer.get_build_config()
    shape = known.get("input_shape") or next(iter(known["shapes_dict"].values()))
    return tuple(shape[1:])


def _kernels(layer: layers.Layer) -> int:
    return sum(math.prod(weight.shape) for weight in layer.weights if weight.name.endswith("kernel"))


def _each_step(layer: layers.Layer, shape: tuple[int, ...]) -> int:
    """Each step, or each point in time and bands, meets every kernel once."""
    return math.prod(shape[:-1]) * _kernels(layer)


def _conv(layer: layers.Layer, shape: tuple[int, ...]) -> int:
    """Each point of the output takes the whole kernel, depthwise or not."""
    return math.prod(layer.compute_output_shape((None, *shape))[1:-1]) * _kernels(layer)


def _attention(layer: layers.MultiHeadAttention, shape: tuple[int, ...]) -> int:
    """Beside its kernels, every step meets every other: once for the scores, once for the values."""
    options = layer.get_config()
    return _each_step(layer, shape) + shape[0] ** 2 * options["num_heads"] * (options["key_dim"] + options["value_dim"])


COUNTS = {
    layers.Dense: _each_step,
    layers.Conv1D: _conv,
    layers.Conv2D: _conv,
    layers.DepthwiseConv1D: _conv,
    layers.DepthwiseConv2D: _conv,
    layers.LSTM: _each_step,
    layers.Bidirectional: _each_step,
    layers.MultiHeadAttention: _attention,
}
