"""BYOL-S with its last layers trained on: a builder like those of :mod:`ser_utils.models`."""

from __future__ import annotations

import keras
from keras import layers

from ser_utils import study, weights
from ser_utils.pretrained import byol_s, heads

STARTS = ("log_mel", "conv3")


def byol_s_tuned(
    n_columns: int,
    n_classes: int,
    *,
    n_tuned: int = 2,
    rate: float = 0.1,
    rate_decay: float = 0.5,
    start: str = "log_mel",
    dropout: float = 0.3,
    published: bool = True,
) -> keras.Model:
    """The published net, its last layers free to move, and a linear layer on the clip's statistics.

    The frames are to come in as the net knows them, not standardised again: :func:`ser_utils.pretrained.byol_s_input`,
    or for ``start="conv3"`` the frames of that layer by :func:`ser_utils.pretrained.embed_frames`, which saves the
    convolutions where none of them is tuned.

    Parameters
    ----------
    n_columns, n_classes : int
        Columns in: 64, or 512 for ``conv3``. Classes out.
    n_tuned : int
        Layers that are trained, counted from the last (``dense2, dense1, conv3, conv2, conv1``); 0 is the frozen net.
    rate : float
        How far the last layer moves per step, compared to the new output layer; above 0.
    rate_decay : float
        The same of each layer compared to the one after it, in (0, 1] (Howard & Ruder 2018, doi:10.18653/v1/P18-1031).
    start : str
        One of :data:`STARTS`: what comes in.
    dropout : float
        Share of values dropped before the output, in [0, 1).
    published : bool
        Start from the published weights; otherwise from random ones, to tell what they are worth.

    Returns
    -------
    keras.Model
        Not compiled. Weight decay pulls its layers towards the published weights, not towards zero.

    Raises
    ------
    study.UserError
        When the weights are not there, or for an option that cannot be.
    """
    heads.check_options(dropout, n_columns=n_columns, n_classes=n_classes)
    rates = layer_rates(n_tuned, rate=rate, rate_decay=rate_decay, start=start)
    frames, mask = keras.Input((None, n_columns), name="frames"), keras.Input((None,), name="mask")
    wanted = byol_s.N_MELS if start == "log_mel" else byol_s.WIDTH
    if n_columns != wanted:
        raise study.UserError(f"byol_s_tuned takes {wanted} columns from {start}, not {n_columns}")
    found = byol_s.states(frames, mask, rates) if start == "log_mel" else byol_s.top(frames, mask, rates)
    x = layers.Flatten()(byol_s.ClipStatistics(name="pool")(found["dense2"]))
    x = layers.LayerNormalization(name="scale")(x)
    net = keras.Model([frames, mask], heads.classes(layers.Dropout(dropout)(x), n_classes), name="byol_s_tuned")
    if published:
        byol_s.load_weights(net, weights.find("byol_s"))
    else:
        byol_s.random_weights(net)
    return net


def layer_rates(n_tuned: int, *, rate: float, rate_decay: float, start: str = "log_mel") -> dict[str, float]:
    """Layer → how far it moves compared to the output layer, for those that are trained.

    Raises
    ------
    study.UserError
        For an option that cannot be.

    Examples
    --------
    >>> layer_rates(3, rate=0.2, rate_decay=0.5)
    {'dense2': 0.2, 'dense1': 0.1, 'conv3': 0.05}
    """
    if start not in STARTS:
        raise study.UserError(f"start '{start}' is unknown; use one of {', '.join(STARTS)}")
    known = byol_s.LAYERS[byol_s.LAYERS.index(start) + 1 :] if start in byol_s.LAYERS else byol_s.LAYERS
    if not 0 <= n_tuned <= len(known):
        raise study.UserError(f"n_tuned {n_tuned} must be 0 to {len(known)} from {start} on")
    if not (rate > 0 and 0 < rate_decay <= 1):
        raise study.UserError(f"rate {rate} must be above 0, and rate_decay {rate_decay} above 0 and at most 1")
    return {name: rate * rate_decay**i for i, name in enumerate(reversed(known[len(known) - n_tuned :]))}
