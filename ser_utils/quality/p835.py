"""DNSMOS P.835: what listeners would say of the speech, the background and the whole, predicted by a published net.

Reddy, Gopal & Cutler (2022), https://doi.org/10.1109/ICASSP43922.2022.9746108. The net hears a clip alone, without
its reference.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import soxr

from ser_utils import audio, weights

RATE = 16_000  # Hz
WEIGHTS = "dnsmos_p835"
WINDOW_S = 9.01
HOP_S = 1
_POLYNOMIALS = {  # from the net to the scale of listeners; those of Microsoft's dnsmos_local.py
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovr": (-0.06766283, 1.11546468, 0.04602535),
}


def dnsmos(y: np.ndarray, sr: int, *, n_windows: int = 0) -> dict[str, float]:
    """The three ratings of DNSMOS P.835 as Microsoft's dnsmos_local.py computes them.

    Windows of 9.01 s, one each second, are rated and the ratings averaged; a shorter clip is repeated, doubling, until
    it fills a window, so that clips of 3 s have four windows of much the same sound.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
    sr : int
        Hz.
    n_windows : int
        Most windows that are rated; 0 is all, as published. The first alone takes a fifth of the time, and rates a clip
        of 2 to 5 s differently by 0.04 (standard deviation), with no bias.

    Returns
    -------
    dict
        ``dnsmos_sig, dnsmos_bak, dnsmos_ovr``, each from 1 (bad) to 5 (excellent).

    Raises
    ------
    study.UserError
        When the weights are absent: what they are and how to get them.
    """
    samples = resampled(audio.checked(y), sr)
    return dict(_dnsmos(samples.tobytes(), weights.find(WEIGHTS), n_windows))


@functools.lru_cache(maxsize=1)  # the three ratings of one clip are asked for one after the other
def _dnsmos(samples: bytes, file: Path, most: int) -> tuple[tuple[str, float], ...]:
    y = np.frombuffer(samples, dtype=np.float32)
    while len(y) < WINDOW_S * RATE:
        y = np.append(y, y)
    n_windows = int(len(y) // RATE - WINDOW_S) // HOP_S + 1
    starts = [i * HOP_S * RATE for i in range(min(n_windows, most or n_windows))]
    windows = np.stack([y[start : start + int(WINDOW_S * RATE)] for start in starts])
    net = _session(file)
    taken = net.get_inputs()[0].name
    raw = np.array([net.run(None, {taken: window[None]})[0][0] for window in windows])
    return tuple(
        (name, float(np.polyval(curve, raw[:, i]).mean())) for i, (name, curve) in enumerate(_POLYNOMIALS.items())
    )


@functools.lru_cache(maxsize=1)
def _session(file: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # clips run side by side in processes
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def resampled(y: np.ndarray, sr: int) -> np.ndarray:
    """`y` at the rate of the net, which is that of wideband PESQ too."""
    return y if sr == RATE else soxr.resample(y, sr, RATE, quality="HQ")
