"""openSMILE's published sets, eGeMAPSv02 and ComParE_2016; its licence allows research only.

Eyben et al. 2016 (doi:10.1109/TAFFC.2015.2457417), Schuller et al. 2016 (doi:10.21437/Interspeech.2016-129), and
openSMILE itself, Eyben et al. 2010 (doi:10.1145/1873951.1874246).
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np

from ser_utils import audio, study

T = TypeVar("T")
SETS = {"egemaps": "eGeMAPSv02", "compare_2016": "ComParE_2016"}
SHORTEST_S = 0.25  # shorter clips are filled up with silence: openSMILE finds no frame in some of them


def available() -> str:
    """Empty, or the reason why openSMILE cannot be used.

    Examples
    --------
    >>> available() in ("", "opensmile not installed")
    True
    """
    return "" if importlib.util.find_spec("opensmile") else "opensmile not installed"


def extract(y: np.ndarray, name: str, *, sr: int = audio.SAMPLE_RATE) -> np.ndarray:
    """Functionals of one clip.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal, full scale ±1; any length from 1 sample.
    name : str
        ``egemaps`` (88 numbers) or ``compare_2016`` (6373).
    sr : int
        Sampling rate, Hz.

    Returns
    -------
    np.ndarray [shape=(88 or 6373,), dtype=float32]

    Raises
    ------
    study.UserError
        Without openSMILE, or when it finds no value for a column.
    """
    y = np.pad(y, (0, max(0, int(SHORTEST_S * sr) - len(y))))
    y = np.clip(y, -1, 1 - 2**-15)  # openSMILE's package turns a full-scale sample of 16 bits into its negative
    values = _apart(_values, name=name, y=y, sr=sr)
    if not np.isfinite(values).all():
        where = columns(name)[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise study.UserError(
            f"openSMILE finds no {where} of {SETS[name]} in a clip of {len(y) / sr:.2f} s; exclude it in the profile"
        )
    return values


def columns(name: str) -> tuple[str, ...]:
    """Names of the numbers of a set, as openSMILE writes them."""
    return _apart(_names, name=name)


def _values(name: str, y: np.ndarray, sr: int) -> np.ndarray:
    return _smile(name).process_signal(y, sr).to_numpy(dtype=np.float32)[0]


def _names(name: str) -> tuple[str, ...]:
    return tuple(_smile(name).feature_names)


def _apart(function: Callable[..., T], *, name: str, **arguments: Any) -> T:
    """Call `function` here, or in a process of its own where TensorFlow came first: openSMILE aborts beside it."""
    if available():
        raise study.UserError(f"{name} needs openSMILE ({available()}); run: pip install -r requirements.lock")
    if "tensorflow" not in sys.modules or "opensmile" in sys.modules:
        return function(name, **arguments)
    return _helper().submit(function, name, **arguments).result()


@functools.cache
def _helper() -> Executor:
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    return ProcessPoolExecutor(max_workers=1)


def version() -> str:
    """Installed version of openSMILE's package."""
    return study.versions("opensmile")["opensmile"]


@functools.cache
def _smile(name: str):
    """One extractor per process."""
    import opensmile

    level = opensmile.FeatureLevel.Functionals
    return opensmile.Smile(feature_set=getattr(opensmile.FeatureSet, SETS[name]), feature_level=level)
