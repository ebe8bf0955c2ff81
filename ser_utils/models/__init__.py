"""Nets, one builder each: Keras 3 with ``keras.ops`` only, so that every Keras backend runs them.

Every model takes ``[frames (batch, time, columns), mask (batch, time)]`` and returns class probabilities.
Masked frames never change a result, however long the padding: convolutions see zeros there, the recurrent nets
stop, attention gives them no weight, and statistics leave them out. No layer normalises over the batch, but for
ResNet-50's in training.

A builder imports layers by their full name, ``from ser_utils.models.layers import …``, never the package: what
:func:`module_of` names then depends on few files, and another model does not change it.
"""

from ser_utils import study
from ser_utils.models.convolutional import cnn_1d, cnn_2d, crnn, small_cnn
from ser_utils.models.cost import cost
from ser_utils.models.explain import attention, grad_cam, saliency
from ser_utils.models.layers import AttentionPooling, FixedLength, MaskedAverage, MaskedConv, StatisticsPooling
from ser_utils.models.recurrent import (
    bilstm_attention,
    conv_lstm_128_64,
    conv_lstm_128_64_32,
    lstm_123_64_32,
    lstm_123_72_24,
)
from ser_utils.models.residual import resnet50, se_resnet
from ser_utils.models.spectrogram import MaskedConv2D, MaskedGroupNorm, SqueezeExcitation
from ser_utils.models.transformer import ConvolutionModule, Positions, conformer

BUILDERS = {
    builder.__name__: builder
    for builder in (
        lstm_123_64_32,
        conv_lstm_128_64,
        lstm_123_72_24,
        conv_lstm_128_64_32,
        bilstm_attention,
        small_cnn,
        cnn_1d,
        cnn_2d,
        crnn,
        se_resnet,
        resnet50,
        conformer,
    )
}


def module_of(name: str) -> str:
    """Module that builds a model, as :func:`study.code_version` takes it.

    Parameters
    ----------
    name : str
        A key of :data:`BUILDERS`.

    Raises
    ------
    study.UserError
        For a model that no one builds.

    Examples
    --------
    >>> module_of("bilstm_attention")
    'models.recurrent'
    """
    if name not in BUILDERS:
        raise study.UserError(f"model '{name}' is unknown; use one of {', '.join(BUILDERS)}")
    return BUILDERS[name].__module__.removeprefix("ser_utils.")


__all__ = [
    "BUILDERS",
    "AttentionPooling",
    "ConvolutionModule",
    "FixedLength",
    "MaskedAverage",
    "MaskedConv",
    "MaskedConv2D",
    "MaskedGroupNorm",
    "Positions",
    "SqueezeExcitation",
    "StatisticsPooling",
    "attention",
    "bilstm_attention",
    "cnn_1d",
    "cnn_2d",
    "conformer",
    "conv_lstm_128_64",
    "conv_lstm_128_64_32",
    "cost",
    "crnn",
    "grad_cam",
    "lstm_123_64_32",
    "lstm_123_72_24",
    "module_of",
    "resnet50",
    "saliency",
    "se_resnet",
    "small_cnn",
]
