"""The layer that a saved net has and a net in training has not: the normaliser, with its numbers as weights."""

from __future__ import annotations

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("ser_utils")
class Standardise(layers.Layer):
    """Subtract the mean of each column and divide by its standard deviation; padding becomes zeros.

    The weights ``mean`` and ``std`` [shape=(n_columns,)] are those of a :class:`~ser_utils.training.Normaliser`.
    """

    def build(self, shapes) -> None:
        n_columns = shapes[0][-1]
        self.mean = self.add_weight(name="mean", shape=(n_columns,), initializer="zeros", trainable=False)
        self.std = self.add_weight(name="std", shape=(n_columns,), initializer="ones", trainable=False)

    def call(self, inputs):
        """(frames, mask) → frames."""
        frames, mask = inputs
        return ops.where(ops.expand_dims(mask, -1) > 0, (frames - self.mean) / self.std, 0.0)
