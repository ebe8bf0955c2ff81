"""Residual nets over time and bands: a compact one with squeeze-excitation, and ResNet-50."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from ser_utils import study
from ser_utils.models.layers import (
    POOLS,
    FixedLength,
    MaskedConv,
    StatisticsPooling,
    check_choice,
    check_dropout,
    check_sizes,
    classifier,
    net_inputs,
    pooled,
)
from ser_utils.models.spectrogram import MaskedConv2D, SqueezeExcitation, collapse_bands, split_bands

SMALLEST = 32  # frames and bands that ResNet-50 needs: it halves both five times
IMAGENET_SPREAD = 57.6  # standard deviation of ImageNet's channels, 0 … 255: what its weights expect
IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{IMAGENET_FILE}"


def se_resnet(
    n_columns: int,
    n_classes: int,
    *,
    n_bands: int = 0,
    filters: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    separable: bool = False,
    norm: str = "layer",
    ratio: int = 8,
    width: int = 96,
    dropout: float = 0.3,
    pool: str = "attention",
) -> keras.Model:
    """Compact residual net with squeeze-excitation over time and mel bands (He et al. 2016,
    doi:10.1109/CVPR.2016.90; Hu et al. 2018, doi:10.1109/CVPR.2018.00745).

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    n_bands : int
        Leading columns that are mel bands; others join before the pooling. 0: all.
    filters : sequence of int
        Channels of each stage. The first convolution and each later stage halve time and bands.
    blocks : int
        Residual blocks of two convolutions per stage.
    separable : bool
        Separable convolutions in the blocks.
    norm : str
        ``layer`` (channels of each point) or ``group`` (groups of channels over the clip).
    ratio : int
        Channels per unit of the squeeze-excitation.
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
    >>> se_resnet(65, 7, n_bands=64).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    check_sizes(filters=filters, blocks=blocks, ratio=ratio, width=width)
    check_choice("pool", pool, POOLS)
    frames, mask = net_inputs(n_columns, n_classes)
    image, extra = split_bands(frames, n_bands)
    x, m = MaskedConv2D(filters[0], 5, (2, 2), norm=norm, name="stem")((image, mask))
    options = {"separable": separable, "norm": norm, "ratio": ratio}
    for i, channels in enumerate(filters):
        for j in range(blocks):
            stride = 2 if i > 0 and j == 0 else 1
            x, m = _block(x, m, channels, stride, name=f"block_{i}{chr(97 + j)}", **options)
    x = collapse_bands(x, extra, mask, width=width, stride=2 ** len(filters))
    x = layers.Dropout(dropout / 2)(x)
    return keras.Model([frames, mask], classifier(pooled(x, m, pool), n_classes, dropout), name="se_resnet")


def _block(
    x: keras.KerasTensor,
    m: keras.KerasTensor,
    channels: int,
    stride: int,
    *,
    name: str,
    separable: bool,
    norm: str,
    ratio: int,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Two convolutions and squeeze-excitation beside a shortcut, which is a convolution where the shape changes."""
    y, after = MaskedConv2D(channels, 3, (stride, stride), separable, norm, name=f"{name}_1")((x, m))
    y, _ = MaskedConv2D(channels, 3, (1, 1), separable, norm, "linear", name=f"{name}_2")((y, after))
    y = SqueezeExcitation(ratio, name=f"{name}_se")((y, after))
    if stride > 1 or x.shape[-1] != channels:
        x, _ = MaskedConv2D(channels, 1, (stride, stride), False, norm, "linear", name=f"{name}_short")((x, m))
    return layers.Activation("gelu", name=name)(layers.Add()([x, y])), after


def resnet50(
    n_columns: int,
    n_classes: int,
    *,
    n_bands: int = 0,
    n_frames: int = 150,
    weights: str = "",
    dropout: float = 0.3,
) -> keras.Model:
    """ResNet-50 (He et al. 2016, doi:10.1109/CVPR.2016.90) on the log-mel spectrogram as a grey picture.

    It sees `n_frames` frames of every clip: the middle of longer ones, shorter ones with zeros after the end. So its
    padding is part of the picture and does not depend on other clips. In training its batch normalisation does mix
    the clips of a batch; in prediction it does not.

    Parameters
    ----------
    n_columns, n_classes : int
        Feature columns in, classes out.
    n_bands : int
        Leading columns that are mel bands, 32 or more; others join before the output. 0: all.
    n_frames : int
        Frames of the picture, 32 or more.
    weights : str
        File of weights trained on ImageNet, below ``$SER_PRETRAINED``; empty: from scratch.
    dropout : float
        Share of values dropped before the output, in [0, 1).

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    study.UserError
        For an option that cannot be, and for weights that are missing or of another net.

    Examples
    --------
    >>> resnet50(65, 7, n_bands=64, n_frames=32).output_shape
    (None, 7)
    """
    check_dropout(dropout)
    frames, mask = net_inputs(n_columns, n_classes)
    x, m = FixedLength(n_frames, name="fixed_length")((frames, mask))
    image, extra = split_bands(x, n_bands)
    if min(image.shape[1:3]) < SMALLEST:
        raise study.UserError(
            f"ResNet-50 cannot see {n_frames} frames × {image.shape[2]} bands; "
            f"give n_frames and the bands {SMALLEST} or more each"
        )
    picture = layers.Concatenate(name="grey")([image, image, image])
    if weights:
        picture = layers.Rescaling(IMAGENET_SPREAD, name="imagenet_scale")(picture)
    maps = _backbone(picture.shape[1:], weights)(picture)
    maps = layers.Identity(name="maps")(maps)  # Grad-CAM reads layers of this net, not those inside the backbone
    clip = layers.GlobalAveragePooling2D(name="mean")(maps)
    if extra is not None:
        late = MaskedConv(16, 5, 2, name="extra")((extra, m))
        clip = layers.Concatenate(name="join")([clip, StatisticsPooling(name="statistics")(late)])
    return keras.Model([frames, mask], classifier(clip, n_classes, dropout), name="resnet50")


def _backbone(shape: Sequence[int], weights: str) -> keras.Model:
    file = Path(os.environ.get("SER_PRETRAINED") or ".") / weights
    if weights and not file.is_file():
        raise study.UserError(
            f"no weights at {file}; put {IMAGENET_URL} (95 MB) there, set SER_PRETRAINED to the folder that holds it, "
            "or leave weights empty to train from scratch"
        )
    net = keras.applications.ResNet50(include_top=False, weights=None, input_shape=tuple(shape), name="backbone")
    if not weights:
        return net
    try:
        net.load_weights(file)
    except (ValueError, OSError) as error:
        raise study.UserError(f"{file} holds no weights of ResNet-50 without its top; use {IMAGENET_FILE}") from error
    return net
