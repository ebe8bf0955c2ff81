"""GTCRN (Rong et al. 2024, doi:10.1109/ICASSP48485.2024.10448310) from its published streaming ONNX graph.

The graph takes one frame of the spectrum and its own state of the frames before, and gives the masked frame.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import study
from ser_utils.denoise.blocks import Stream, whole

FRAME, HOP = 512, 256  # samples
WINDOW = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)  # √Hann, twice: sums to 1
STATES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}


class Net:
    """The net for frames of the waveform; keeps the state from call to call."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._states = {name: np.zeros(shape, dtype=np.float32) for name, shape in STATES.items()}

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames [shape=(n, 512)] → frames to be added up."""
        spectrum = np.fft.rfft(frames * WINDOW).astype(np.complex64)
        parts = spectrum.view(np.float32).reshape(len(frames), 1, -1, 1, 2)
        masked = np.stack([self._one(part) for part in parts]).reshape(len(frames), -1)
        return (np.fft.irfft(masked.view(np.complex64)) * WINDOW).astype(np.float32)

    def _one(self, part: np.ndarray) -> np.ndarray:
        masked, *states = self._session.run(None, {"mix": part, **self._states})
        self._states = dict(zip(STATES, states, strict=True))
        return masked


@functools.lru_cache(maxsize=2)
def session(file: Path) -> Any:
    """The graph, ready to run on one thread.

    Raises
    ------
    study.UserError
        When the file is no ONNX graph, or one of other inputs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base of its errors
        raise study.UserError(f"{file}: not an ONNX graph that runs here ({error}); fetch it again") from error


def stream(*, file: Path) -> Stream:
    """GTCRN for sound at 16 kHz that comes in blocks; latency 32 ms."""
    return Stream(Net(session(file)), frame=FRAME, hop=HOP)


def denoise(y: np.ndarray, *, file: Path) -> np.ndarray:
    """A whole clip at 16 kHz."""
    return whole(stream(file=file), y)
