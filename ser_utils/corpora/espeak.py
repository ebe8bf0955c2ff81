"""Speech synthesis with espeak-ng, offline, through the library in the ``espeakng_loader`` wheel.

espeak-ng (GPL-3) keeps state from call to call and seeds itself by the clock, so the same call can give other
samples. :func:`speak` therefore says a whole list in one fresh process with a fixed seed: the same list gives the
same bits, whatever ran before, also in a notebook. What is said later never changes what was said earlier.

This file imports nothing of the package, because the fresh process runs it by its path.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import espeakng_loader
import numpy as np

SAMPLE_RATE = 22050  # Hz; checked at start

_SYNCHRONOUS, _BUFFER_MS = 1, 200  # ENOUTPUT_MODE_SYNCHRONOUS: samples go to the callback
_CHARACTERS, _UTF8 = 1, 1  # POS_CHARACTER, espeakCHARS_UTF8
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "gap": 7}  # espeak_PARAMETER
_LIMITS = {"rate": (80, 450), "volume": (0, 200), "pitch": (0, 99), "range": (0, 99), "gap": (0, 100)}
_RECEIVE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class EspeakError(RuntimeError):
    """espeak-ng refused a call."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What is said, and how.

    Parameters
    ----------
    text : str
        One sentence; its final mark chooses the melody.
    voice : str
        Language and, after ``+``, variant, e.g. ``"en-us+f2"``.
    pitch : int
        0 … 99, 50 is the voice's own. From 50, 6 steps up or 7 down are about a semitone.
    range : int
        Of F0, 0 … 99; 50 is the voice's own, 0 a monotone.
    rate : int
        Words a minute, 80 … 450.
    volume : int
        0 … 200; 100 is the voice's own.
    gap : int
        Pause between words, 0 … 100, in units of 10 ms.

    Raises
    ------
    ValueError
        For a number outside its limits: espeak-ng itself would bend it silently.
    """

    text: str
    voice: str = "en-us"
    pitch: int = 50
    range: int = 50
    rate: int = 170
    volume: int = 100
    gap: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name)} is outside {low} … {high}")


def speak(utterances: Sequence[Utterance], *, seed: int = 1) -> list[np.ndarray]:
    """Say each utterance in turn, in one fresh process.

    Parameters
    ----------
    utterances : sequence of Utterance
    seed : int
        Of espeak-ng's own random numbers (aspiration, flutter), > 0.

    Returns
    -------
    list of np.ndarray [shape=(n_samples,), dtype=float32]
        Samples in −1 … 1 at :data:`SAMPLE_RATE`, with the silence that espeak-ng leaves around speech.

    Raises
    ------
    EspeakError
        When espeak-ng refuses a voice or a parameter, or says nothing.

    Examples
    --------
    >>> (y,) = speak([Utterance(text="Good morning.")])
    >>> y.dtype.name, 0.5 < len(y) / SAMPLE_RATE < 2
    ('float32', True)
    """
    job = json.dumps({"seed": seed, "utterances": [dataclasses.asdict(u) for u in utterances]})
    # -P: this folder holds modules that must not hide others of the same name
    child = subprocess.run([sys.executable, "-P", __file__], input=job.encode(), capture_output=True, check=False)
    if child.returncode:
        lines = child.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
        raise EspeakError(lines[-1].removeprefix("__main__.EspeakError: "))
    stream = io.BytesIO(child.stdout)
    return [np.load(stream).astype(np.float32) / 32768 for _ in utterances]


class Synthesiser:
    """The library, opened once in a process. Use :func:`speak` unless the order of all calls is yours.

    Raises
    ------
    EspeakError
        When the library or its data cannot be opened.
    """

    def __init__(self, *, seed: int = 1) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._chunks: list[np.ndarray] = []
        self._receive = _RECEIVE(self._take)  # kept: the library calls it later
        self._library.espeak_ng_InitializePath.restype = None
        self._library.espeak_ng_InitializePath(espeakng_loader.get_data_path().encode())
        self._call("espeak_ng_Initialize", None)
        self._call("espeak_ng_InitializeOutput", _SYNCHRONOUS, _BUFFER_MS, None)
        self._library.espeak_SetSynthCallback(self._receive)
        if (rate := self._library.espeak_ng_GetSampleRate()) != SAMPLE_RATE:
            raise EspeakError(f"espeak-ng gives {rate} Hz instead of {SAMPLE_RATE} Hz")
        self._call("espeak_ng_SetRandSeed", ctypes.c_long(seed))

    def say(self, utterance: Utterance) -> np.ndarray:
        """Samples of one utterance [shape=(n_samples,), dtype=int16]; they depend on everything said before."""
        self._set_voice(utterance.voice)
        for name, code in _PARAMETERS.items():
            self._call("espeak_ng_SetParameter", code, getattr(utterance, name), 0)
        self._chunks.clear()
        text = utterance.text.encode()
        size = ctypes.c_size_t(len(text) + 1)
        self._call("espeak_ng_Synthesize", text, size, 0, _CHARACTERS, 0, _UTF8, None, None)
        self._call("espeak_ng_Synchronize")
        if not any(chunk.any() for chunk in self._chunks):
            raise EspeakError(f"espeak-ng says nothing for the text '{utterance.text}'")
        return np.concatenate(self._chunks)

    def _set_voice(self, voice: str) -> None:
        variant = voice.partition("+")[2]
        if variant and variant not in variants():  # espeak-ng would ignore it and report success
            raise EspeakError(f"espeak-ng has no variant '{variant}' (voice '{voice}')")
        self._call("espeak_ng_SetVoiceByName", voice.encode(), what=f"voice '{voice}'")

    def _call(self, function: str, *arguments: object, what: str = "") -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            message = ctypes.create_string_buffer(512)
            self._library.espeak_ng_GetStatusCodeMessage(status, message, ctypes.c_size_t(len(message)))
            reason = message.value.decode(errors="replace")
            raise EspeakError(f"{function} refused {what or arguments} with status {status:#x}: {reason}")

    def _take(self, samples: ctypes._Pointer, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@functools.cache
def variants() -> frozenset[str]:
    """Names that may follow ``+`` in a voice."""
    return frozenset(path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir())


def _serve(job: dict, out: BinaryIO) -> None:
    synthesiser = Synthesiser(seed=job["seed"])
    for fields in job["utterances"]:
        np.save(out, synthesiser.say(Utterance(**fields)))


if __name__ == "__main__":
    _serve(json.load(sys.stdin), sys.stdout.buffer)
