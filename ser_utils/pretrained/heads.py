"""A small net on frozen embeddings that learns which layers to listen to."""

from __future__ import annotations

import keras
from keras import layers, ops

from ser_utils import study


@keras.saving.register_keras_serializable("ser_utils")
class LayerSum(layers.Layer):
    """Weighted sum over the layers of an encoder, each brought to mean 0 and variance 1 over its columns first.

    The weights are positive and sum to one (Yang et al. 2021, doi:10.21437/Interspeech.2021-1775); of pooled vectors,
    the sum of the means is the mean of the sum.
    """

    def build(self, shapes) -> None:
        self.scores = self.add_weight(shape=(shapes[0][1],), initializer="zeros", name="scores")

    def weights_of_layers(self):
        """Weights (n_layers,) that sum to one."""
        return ops.softmax(self.scores)

    def call(self, inputs):
        """(layers, mask) → (batch, columns); layers are (batch, n_layers, columns), the mask is 1 for those to use."""
        x, mask = inputs
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        x = centred / ops.sqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + 1e-5)
        weights = ops.softmax(self.scores - 1e9 * (1 - ops.cast(mask, x.dtype)), axis=-1)
        return ops.sum(ops.expand_dims(weights, -1) * x, axis=1)


def layer_mlp(n_columns: int, n_classes: int, *, n_layers: int, units: int = 128, dropout: float = 0.3) -> keras.Model:
    """Weighted sum of layers, one hidden layer, classes; trained on :meth:`~ser_utils.pretrained.Embeddings.frames`.

    Parameters
    ----------
    n_columns, n_classes : int
        Columns of an embedding, classes out.
    n_layers : int
        Layers of the encoder; they stand where other nets have time. Augmentation over time is to be switched off.
    units : int
        Width of the hidden layer.
    dropout : float
        Share of values dropped before and after it, in [0, 1).

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    study.UserError
        For a size below 1 or a dropout that cannot be.

    Examples
    --------
    >>> layer_mlp(1024, 7, n_layers=5).output_shape
    (None, 7)
    """
    check_options(dropout, n_columns=n_columns, n_classes=n_classes, n_layers=n_layers, units=units)
    frames, mask = keras.Input((n_layers, n_columns), name="frames"), keras.Input((n_layers,), name="mask")
    x = layers.Dropout(dropout)(LayerSum(name="layers")((frames, mask)))
    x = layers.Dropout(dropout)(layers.Dense(units, activation="gelu")(x))
    return keras.Model([frames, mask], classes(x, n_classes), name="layer_mlp")


def layer_weights(net: keras.Model) -> list[float]:
    """How much a trained :func:`layer_mlp` listens to each layer; sums to one."""
    return ops.convert_to_numpy(net.get_layer("layers").weights_of_layers()).tolist()


def classes(x: keras.KerasTensor, n_classes: int) -> keras.KerasTensor:
    """Class probabilities, in 32 bits whatever the net computes in."""
    return layers.Dense(n_classes, activation="softmax", dtype="float32")(x)


def check_options(dropout: float, **sizes: int) -> None:
    """Raise a :class:`study.UserError` for a size below 1 or a dropout outside [0, 1)."""
    for name, value in sizes.items():
        if value < 1:
            raise study.UserError(f"{name} {value} must be 1 or more")
    if not 0 <= dropout < 1:
        raise study.UserError(f"dropout {dropout} must be at least 0 and below 1")
