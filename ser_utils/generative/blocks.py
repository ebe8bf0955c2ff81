"""Layers of the generators: over time and bands, conditioned, and blind to padding, at any length.

Tensors are (batch, time, bands, channels), masks (batch, time). No layer normalises over time or over the batch, and
every convolution sees zeros in the padding, so that padding never changes a valid frame.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from ser_utils.models.layers import NEVER


def over_bands(mask):
    """A mask (batch, time) as a factor of (batch, time, bands, channels)."""
    return ops.expand_dims(ops.expand_dims(mask, -1), -1)


@keras.saving.register_keras_serializable("ser_utils.generative")
class MaskedConv2D(layers.Layer):
    """Convolution whose padded frames stay zero; lengths are divided by the stride and rounded up.

    Parameters
    ----------
    filters : int
        Output channels.
    stride : int
        In time and bands; the kernel is 3 × 3, or ``2 · stride - 1`` where that is more, and one band high where the
        picture is.
    spectral : bool
        Divide the kernel by its largest singular value, found by one power iteration a step (Miyato et al. 2018,
        arXiv:1802.05957).
    zeros : bool
        Start with a kernel of zeros: the layer says nothing at first.
    """

    def __init__(self, filters: int, stride: int = 1, *, spectral: bool = False, zeros: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.filters, self.stride, self.spectral, self.zeros = filters, stride, spectral, zeros
        self.width = max(3, 2 * stride - 1)

    def build(self, shapes) -> None:
        self.height = self.width if shapes[0][2] > 1 else 1
        size = (self.width, self.height, shapes[0][-1], self.filters)
        self.kernel = self.add_weight(
            shape=size, initializer="zeros" if self.zeros else "glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        if self.spectral:
            start = keras.initializers.RandomNormal(stddev=1.0)
            self.u = self.add_weight(shape=(1, self.filters), initializer=start, trainable=False, name="u")

    def call(self, inputs, training=False):
        """(x, mask) → (x, mask) at the new rate."""
        x, mask = inputs
        before, below = self.width // 2, self.height // 2
        x = ops.pad(x * over_bands(mask), ((0, 0), (before, before), (below, below), (0, 0)))
        x = ops.conv(x, self._kernel(training), strides=self.stride, padding="valid") + self.bias
        mask = mask[:, :: self.stride]
        return x * over_bands(mask), mask

    def _kernel(self, training):
        if not self.spectral:
            return self.kernel
        flat = ops.reshape(self.kernel, (-1, self.filters))
        v = ops.normalize(ops.matmul(self.u, ops.transpose(flat)))
        u = ops.normalize(ops.matmul(v, flat))
        if training:
            self.u.assign(ops.stop_gradient(u))
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        return self.kernel / ops.sum(ops.matmul(v, flat) * u)

    def compute_output_shape(self, shapes):
        batch, time, bands, _ = shapes[0]
        time = None if time is None else -(-time // self.stride)
        return (batch, time, -(-bands // self.stride), self.filters), (batch, time)

    def get_config(self) -> dict:
        names = ("filters", "stride", "spectral", "zeros")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("ser_utils.generative")
class Upsample(layers.Layer):
    """Every value becomes a block of factor × factor values, taken from the channels; cut to a length and a height.

    Parameters
    ----------
    factor : int
        The channels are divided by its square.
    bands : int
        Height that comes out; the length is that of the mask.
    """

    def __init__(self, factor: int, bands: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.factor, self.bands = factor, bands

    def call(self, inputs):
        """(x, mask at the new rate) → x."""
        x, mask = inputs
        f, channels = self.factor, x.shape[-1] // self.factor**2
        batch, time, bands, _ = ops.shape(x)
        x = ops.transpose(ops.reshape(x, (batch, time, bands, f, f, channels)), (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (batch, time * f, bands * f, channels))
        return x[:, : ops.shape(mask)[1], : self.bands] * over_bands(mask)

    def compute_output_shape(self, shapes):
        return (*shapes[1][:2], self.bands, shapes[0][-1] // self.factor**2)

    def get_config(self) -> dict:
        return super().get_config() | {"factor": self.factor, "bands": self.bands}


@keras.saving.register_keras_serializable("ser_utils.generative")
class Blocks(layers.Layer):
    """Frames side by side: every `length` frames become one place, their values its channels.

    Parameters
    ----------
    length : int
        Frames of a block; the last one is filled up with zeros.
    """

    def __init__(self, length: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.length = length

    def call(self, inputs):
        """(x, mask) → x (batch, blocks, 1, length · values of a frame), mask of the blocks."""
        x, mask = inputs
        batch, time, bands, channels = ops.shape(x)
        more = -time % self.length
        x = ops.pad(x * over_bands(mask), ((0, 0), (0, more), (0, 0), (0, 0)))
        blocks = (time + more) // self.length
        return ops.reshape(x, (batch, blocks, 1, self.length * bands * channels)), mask[:, :: self.length]

    def compute_output_shape(self, shapes):
        batch, time, bands, channels = shapes[0]
        time = None if time is None else -(-time // self.length)
        return (batch, time, 1, self.length * bands * channels), (batch, time)

    def get_config(self) -> dict:
        return super().get_config() | {"length": self.length}


@keras.saving.register_keras_serializable("ser_utils.generative")
class Unblock(layers.Layer):
    """The reverse of :class:`Blocks` for pictures of one channel.

    Parameters
    ----------
    bands : int
        Height that comes out; the length is that of the mask.
    """

    def __init__(self, bands: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.bands = bands

    def call(self, inputs):
        """(x, mask of the frames) → x."""
        x, mask = inputs
        batch, blocks, _, values = ops.shape(x)
        x = ops.reshape(x, (batch, blocks * (values // self.bands), self.bands, 1))
        return x[:, : ops.shape(mask)[1]] * over_bands(mask)

    def compute_output_shape(self, shapes):
        return (*shapes[1][:2], self.bands, 1)

    def get_config(self) -> dict:
        return super().get_config() | {"bands": self.bands}


@keras.saving.register_keras_serializable("ser_utils.generative")
class Modulate(layers.Layer):
    """Scale and shift of every channel by a vector (FiLM; Perez et al. 2018, doi:10.1609/aaai.v32i1.11671)."""

    def build(self, shapes) -> None:
        self.dense = layers.Dense(2 * shapes[0][-1], kernel_initializer="zeros")
        self.dense.build(shapes[1])

    def call(self, inputs):
        """(x, vector) → x."""
        x, vector = inputs
        scale, shift = ops.split(ops.expand_dims(ops.expand_dims(self.dense(vector), 1), 1), 2, axis=-1)
        return x * (1 + scale) + shift

    def compute_output_shape(self, shapes):
        return shapes[0]


@keras.saving.register_keras_serializable("ser_utils.generative")
class Attention2D(layers.Layer):
    """Self-attention between all places of a picture; masked frames are attended by nobody (Vaswani et al. 2017,
    arXiv:1706.03762).

    Parameters
    ----------
    heads : int
        Divides the channels.
    """

    def __init__(self, heads: int = 2, **kwargs) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.norm = layers.LayerNormalization(epsilon=1e-5)

    def build(self, shapes) -> None:
        channels = shapes[0][-1]
        self.norm.build(shapes[0])
        self.queries = layers.Dense(3 * channels, use_bias=False)
        self.queries.build(shapes[0])
        self.out = layers.Dense(channels, kernel_initializer="zeros")
        self.out.build(shapes[0])

    def call(self, inputs):
        """(x, mask) → x."""
        x, mask = inputs
        batch, time, bands, _ = ops.shape(x)
        size = x.shape[-1] // self.heads
        flat = ops.reshape(self.queries(self.norm(x)), (batch, time * bands, 3, self.heads, size))
        q, k, v = (ops.transpose(flat[:, :, i], (0, 2, 1, 3)) for i in range(3))
        seen = ops.repeat(mask, bands, axis=1)[:, None, None, :]
        score = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / size**0.5 - NEVER * (1 - seen)
        mixed = ops.transpose(ops.matmul(ops.softmax(score, axis=-1), v), (0, 2, 1, 3))
        return (x + self.out(ops.reshape(mixed, (batch, time, bands, x.shape[-1])))) * over_bands(mask)

    def compute_output_shape(self, shapes):
        return shapes[0]

    def get_config(self) -> dict:
        return super().get_config() | {"heads": self.heads}


@keras.saving.register_keras_serializable("ser_utils.generative")
class TimeEmbedding(layers.Layer):
    """Sines and cosines of a share of the diffusion time, 0 … 1.

    Parameters
    ----------
    width : int
        Even; values that come out.
    """

    def __init__(self, width: int = 32, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width = width

    def call(self, time):
        """(batch, 1) → (batch, width)."""
        rates = ops.exp(ops.arange(self.width // 2, dtype="float32") * (6.9 / max(1, self.width // 2 - 1)))
        return ops.concatenate([ops.sin(time * rates), ops.cos(time * rates)], axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], self.width)

    def get_config(self) -> dict:
        return super().get_config() | {"width": self.width}


def residual(x, mask, vector, filters: int, *, name: str):
    """Two convolutions beside a shortcut, the second told by the condition `vector`."""
    short = x if x.shape[-1] == filters else layers.Dense(filters, use_bias=False, name=f"{name}_short")(x)
    h = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_a")(x)
    h, _ = MaskedConv2D(filters, name=f"{name}_conv_a")((layers.Activation("silu")(h), mask))
    h = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_b")(h)
    h = Modulate(name=f"{name}_film")((h, vector))
    h, _ = MaskedConv2D(filters, zeros=True, name=f"{name}_conv_b")((layers.Activation("silu")(h), mask))
    return layers.Add(name=name)([short, h])


class PerClip(layers.Layer):
    """Mean over the valid values of each clip: (values, mask) → (batch, 1)."""

    def call(self, inputs):
        """Every frame of a clip weighs the same, padding nothing."""
        values, mask = inputs
        per_frame = ops.mean(ops.reshape(values, (*ops.shape(values)[:2], -1)), axis=-1)
        return ops.sum(per_frame * mask, axis=1, keepdims=True) / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)

    def compute_output_shape(self, shapes):
        return (shapes[0][0], 1)


def mean_loss(_, value):
    """The training graphs answer with their losses: Keras has only to average them over the batch."""
    return ops.mean(value)
