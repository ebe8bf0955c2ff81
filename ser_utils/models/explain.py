"""What a net looks at: attention over time, saliency and Grad-CAM over the spectrogram."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ser_utils import study


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

    Raises
    ------
    study.UserError
        For a model without such a layer.
    """
    if "pool" not in {layer.name for layer in model.layers}:
        raise study.UserError(f"model '{model.name}' has no attention over time; use one that pools by attention")
    pool = model.get_layer("pool")
    before = keras.Model(model.inputs, list(pool.input))
    steps, mask = before([frames, np.ones(frames.shape[:2], dtype=np.float32)])
    return ops.convert_to_numpy(pool.weights_over_time(steps, mask))[0, :, 0]


def saliency(
    model: keras.Model,
    frames: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    label: int | None = None,
    n_samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
) -> np.ndarray:
    """How much each value of one clip speaks for a class: its value times the gradient of the class's log-probability
    (Shrikumar et al. 2017, arXiv:1605.01713), averaged over noisy copies (SmoothGrad, Smilkov et al. 2017,
    arXiv:1706.03825).

    Parameters
    ----------
    model : keras.Model
    frames : np.ndarray [shape=(1, n_frames, n_columns)]
        Standardised.
    mask : np.ndarray [shape=(1, n_frames)], optional
        1 in valid frames; all are valid without it.
    label : int, optional
        Position of the class; the likeliest without it.
    n_samples : int
        Noisy copies; 1 with `noise` 0 gives the plain gradient.
    noise : float
        Standard deviation of the noise, in standard deviations of a column.
    seed : int
        Of the noise.

    Returns
    -------
    np.ndarray [shape=(n_frames, n_columns)]
        Positive where a value speaks for the class; zero in masked frames.

    Raises
    ------
    study.UserError
        On another backend than TensorFlow.
    """
    tf = _tensorflow("saliency")
    mask = np.ones(frames.shape[:2], dtype=np.float32) if mask is None else mask
    frames = frames.astype(np.float32)
    label = _label(model, frames, mask, label)
    drawn = np.random.default_rng(seed).standard_normal((n_samples, *frames.shape[1:]), dtype=np.float32)
    x = tf.constant(frames + noise * drawn)
    with tf.GradientTape() as tape:
        tape.watch(x)
        chances = model([x, tf.constant(np.repeat(mask, n_samples, axis=0))], training=False)
        y = tf.reduce_sum(tf.math.log(chances[:, label] + 1e-9))
    gradient = tape.gradient(y, x).numpy().mean(axis=0)
    return gradient * frames[0] * mask[0][:, None]


def grad_cam(
    model: keras.Model, frames: np.ndarray, *, label: int | None = None, layer: str | None = None
) -> np.ndarray:
    """Where the last 2-D convolution finds a class (Grad-CAM, Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74).

    Parameters
    ----------
    model : keras.Model
    frames : np.ndarray [shape=(1, n_frames, n_columns)]
        Standardised, without padding.
    label : int, optional
        Position of the class; the likeliest without it.
    layer : str, optional
        Name of a layer over time × bands; the last one without it.

    Returns
    -------
    np.ndarray [shape=(n_steps, n_bands)]
        0 … 1, at the rate of the layer, over the clip, or over the picture that ResNet-50 sees of it; zero where
        nothing speaks for the class.

    Raises
    ------
    study.UserError
        On another backend than TensorFlow, and for a model or a layer without bands.
    """
    tf = _tensorflow("Grad-CAM")
    mask = np.ones(frames.shape[:2], dtype=np.float32)
    label = _label(model, frames, mask, label)
    seen = keras.Model(model.inputs, [_image(model, layer), model.output])
    with tf.GradientTape() as tape:
        image, y = seen([frames, mask], training=False)
        y = tf.math.log(y[:, label] + 1e-9)
    slope = tf.reduce_mean(tape.gradient(y, image), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(slope * image, axis=-1)).numpy()[0]
    return heat / max(heat.max(), np.finfo(np.float32).tiny)


def _image(model: keras.Model, layer: str | None) -> keras.KerasTensor:
    """Output (batch, steps, bands, channels) of a layer."""
    images = {}
    for part in model.layers:
        if isinstance(part, keras.Model):  # its output belongs to its own graph
            continue
        first = part.output[0] if isinstance(part.output, list | tuple) else part.output
        if len(first.shape) == 4:
            images[part.name] = first
    if not images or layer not in (None, *images):
        wanted = f"layer '{layer}' over time × bands" if images else "layer over time × bands"
        raise study.UserError(
            f"model '{model.name}' has no {wanted}; use {', '.join(images) or 'a 2-D net such as cnn_2d'}"
        )
    return images[layer or list(images)[-1]]


def _label(model: keras.Model, frames: np.ndarray, mask: np.ndarray, label: int | None) -> int:
    return int(np.argmax(model([frames, mask], training=False)[0])) if label is None else label


def _tensorflow(what: str):
    if keras.backend.backend() != "tensorflow":
        raise study.UserError(
            f"{what} needs the TensorFlow backend, not {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    return tf
