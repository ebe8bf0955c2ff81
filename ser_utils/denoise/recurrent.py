"""LSTM layers in NumPy, for nets that denoise: one clip at a time, or frames as they come, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Layer = tuple[np.ndarray, np.ndarray, np.ndarray]  # kernel, recurrent kernel, bias
State = tuple[np.ndarray, np.ndarray]  # output and cell of the last frame


class Stage:
    """LSTM layers, a dense layer and a sigmoid: features → mask, with the state of the last frame."""

    def __init__(self, lstms: list[Layer], dense: tuple[np.ndarray, np.ndarray]) -> None:
        self._lstms, self._dense = lstms, dense
        self._states = [silent(arrays) for arrays in lstms]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Features [shape=(n_frames, n_in)] → mask [shape=(n_frames, n_out)]."""
        for i, arrays in enumerate(self._lstms):
            x, self._states[i] = lstm(x, *arrays, self._states[i])
        kernel, bias = self._dense
        return sigmoid(x @ kernel + bias)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−x)), for any x.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def silent(arrays: Layer) -> State:
    """State of a layer before the first frame."""
    units = arrays[1].shape[0]
    return np.zeros(units, np.float32), np.zeros(units, np.float32)


def lstm(
    x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, state: State
) -> tuple[np.ndarray, State]:
    """One layer over all frames [shape=(n_frames, n_in)]; gates are in the order of :func:`layer`.

    Returns
    -------
    out : np.ndarray [shape=(n_frames, units)]
    state : (np.ndarray, np.ndarray)
        For the next frames.
    """
    from_input = x @ kernel + bias
    h, c = state
    units = len(h)
    out = np.empty((len(x), units), dtype=np.float32)
    for t, row in enumerate(from_input):
        gates = np.tanh(row + h @ recurrent)
        i, f, o = (0.5 * gates[: 3 * units] + 0.5).reshape(3, units)
        c = f * c + i * gates[3 * units :]
        h = o * np.tanh(c)
        out[t] = h
    return out, (h, c)


def both_ways(x: np.ndarray, forward: Layer, backward: Layer) -> np.ndarray:
    """A bidirectional layer: frames [shape=(n_frames, n_in)] → [shape=(n_frames, 2 · units)]."""
    ahead, _ = lstm(x, *forward, silent(forward))
    back, _ = lstm(x[::-1], *backward, silent(backward))
    return np.concatenate([ahead, back[::-1]], axis=1)


def layer(arrays: Mapping[str, np.ndarray], name: str) -> Layer:
    """The weights ``<name>/kernel, recurrent_kernel, bias`` of Keras, as :func:`lstm` takes them.

    Keras has input, forget, cell, output. Here the cell goes last; the others are halved, for σ(x) is half of
    1 + tanh(x / 2): then one tanh does for all four.
    """
    kernel, recurrent, bias = (_gates(arrays[f"{name}/{part}"]) for part in ("kernel", "recurrent_kernel", "bias"))
    return kernel, recurrent, bias


def _gates(array: np.ndarray) -> np.ndarray:
    i, f, c, o = np.split(array, 4, axis=-1)
    return np.ascontiguousarray(np.concatenate([i / 2, f / 2, o / 2, c], axis=-1), dtype=np.float32)
