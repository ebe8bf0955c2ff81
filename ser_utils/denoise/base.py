"""What a denoiser promises: the same length, the same place in time, mono float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ser_utils import audio, study, weights
from ser_utils.denoise.blocks import RATE, Stream, at_rate

CLEAN = "clean"  # in `needs`: the speech without noise


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """One denoiser: a function of a signal, and a row of a table.

    ``function`` takes the signal at 16 kHz; with ``needs="clean"`` the clean speech after it, and with the name of
    published weights their ``file``. Two denoisers of one name are the same: what changes the output and is neither
    code nor published weights, such as a net trained here, goes into ``version``.
    """

    name: str
    title: str
    function: Callable[..., np.ndarray] = field(repr=False)  # picklable
    latency_s: float | None = None  # algorithmic; None: the whole clip is needed
    n_parameters: int = 0  # learnt ones
    needs: str = ""  # name of published weights, "clean", or empty
    packages: tuple[str, ...] = ()  # whose versions may change the output, beside NumPy and SciPy
    reference: str = ""
    version: str = ""
    parts: tuple[Denoiser, ...] = ()  # denoisers that the function calls
    streaming: Callable[..., Stream] | None = field(default=None, repr=False)  # takes the file of the weights

    def __call__(self, y: np.ndarray, sr: int = RATE, *, clean: np.ndarray | None = None) -> np.ndarray:
        """Denoise one clip.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,)]
            Mono, floating point, finite, at least 1 sample.
        sr : int
            Hz. Other rates than 16 kHz are converted there and back: what lies above 8 kHz is lost.
        clean : np.ndarray [shape=(n_samples,)], optional
            The speech in `y` without noise; the oracle takes it, and no other denoiser.

        Returns
        -------
        np.ndarray [shape=(n_samples,), dtype=float32]
            Aligned with `y`, finite. Silence stays silence.

        Raises
        ------
        study.UserError
            For sound that is not mono, floating, finite and there, for published weights that are missing, and for a
            clean reference that is missing, of no use or of another length.
        """
        signals = [audio.checked(part) for part in (y, clean) if part is not None]
        if (clean is not None) != (self.needs == CLEAN) or (clean is not None and clean.shape != y.shape):
            raise study.UserError(
                f"{self.name}: clean speech of shape {None if clean is None else clean.shape} for sound of shape "
                f"{y.shape}; the oracle takes it, of the same length, and no other denoiser does"
            )
        function = functools.partial(self.function, **self._file())
        if not y.any():
            return signals[0]
        return at_rate(function, *signals, sr=sr).astype(np.float32, copy=False)

    def stream(self) -> Stream:
        """The same for sound at 16 kHz that comes in blocks.

        Raises
        ------
        study.UserError
            Where the denoiser needs whole clips, or its weights are missing.
        """
        if self.streaming is None:
            raise study.UserError(f"{self.name} needs whole clips; dtln, gtcrn and lstm_mask take blocks")
        return self.streaming(**self._file())

    def _file(self) -> dict[str, Any]:
        return {"file": weights.find(self.needs)} if self.needs in weights.WEIGHTS else {}

    @property
    def not_run(self) -> str:
        """Why it cannot run here, and how to change that; empty when it can."""
        return weights.not_run(self.needs) if self.needs in weights.WEIGHTS else ""

    def key(self) -> dict[str, Any]:
        """What the output depends on beside the sound: part of the key of whatever is computed from it."""
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        module = function.__module__.removeprefix("ser_utils.")
        return {
            "denoiser": self.name,
            "version": self.version,
            "weights": weights.WEIGHTS[self.needs].sha256 if self.needs in weights.WEIGHTS else "",
            "code": study.code_version("denoise.blocks", module),
            "packages": study.versions("numpy", "scipy", "soundfile", "soxr", *self.packages),
            "parts": [part.key() for part in self.parts],
        }
