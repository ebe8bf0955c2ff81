"""How good speech sounds: perceptual and signal measures of an estimate against its clean reference.

Every measure is called as ``measure(reference, estimate, sr)`` and gives a float; NaN where it is not defined, and
:func:`score` tells why. The DNSMOS predictors hear the estimate alone.

References
----------
.. [1] ITU-T P.862.2 (2007). Wideband extension to P.862 (PESQ). https://www.itu.int/rec/T-REC-P.862.2
.. [2] Taal et al. (2011). An algorithm for intelligibility prediction of time–frequency weighted noisy speech.
   https://doi.org/10.1109/TASL.2011.2114881
.. [3] Jensen & Taal (2016). An algorithm for predicting the intelligibility of speech masked by modulated noise
   maskers. https://doi.org/10.1109/TASLP.2016.2585878
.. [4] Le Roux et al. (2019). SDR – half-baked or well done? https://doi.org/10.1109/ICASSP.2019.8683855
.. [5] Hansen & Pellom (1998). An effective quality evaluation protocol for speech enhancement algorithms. ICSLP.
   https://doi.org/10.21437/ICSLP.1998-350
.. [6] Reddy, Gopal & Cutler (2022). DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to
   evaluate noise suppressors. https://doi.org/10.1109/ICASSP43922.2022.9746108
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ser_utils import audio, study
from ser_utils.quality.p835 import RATE, dnsmos, resampled

SDR_LIMIT_DB = 100.0  # an estimate that is the reference would have infinite
TINY = 1e-60  # power below that of any sound in 32 bits that is not silence
SEGMENT_S = 0.03
SEGMENT_DB = (-10.0, 35.0)  # limits of one frame in the segmental SNR
Measure = Callable[..., float]  # of reference, estimate and sampling rate


class _Undefined(Exception):
    """Why a measure has no value."""


@dataclass(frozen=True)
class Metric:
    """One measure; higher is better in all of them.

    Attributes
    ----------
    name, title, unit : str
    worst, best : float
        Ends of the scale.
    needs_reference : bool
    function : callable
    """

    name: str
    title: str
    unit: str
    worst: float
    best: float
    needs_reference: bool
    function: Measure = field(repr=False)


METRICS: dict[str, Metric] = {}


def _metric(
    title: str, unit: str, worst: float, best: float, *, needs_reference: bool = True
) -> Callable[[Measure], Measure]:
    """Register a measure under the name of its function; what it finds undefined becomes NaN."""

    def register(function: Measure) -> Measure:
        name = function.__name__
        METRICS[name] = Metric(name, title, unit, worst, best, needs_reference, function)

        @functools.wraps(function)
        def measure(reference: np.ndarray, estimate: np.ndarray, sr: int, **options: int) -> float:
            return score(name, reference, estimate, sr, **options)[0]

        return measure

    return register


def score(name: str, reference: np.ndarray, estimate: np.ndarray, sr: int, **options: int) -> tuple[float, str]:
    """Value of a measure, and why it is NaN where it is; `options` are those of the measure, if it has any.

    Raises
    ------
    study.UserError
        For an unknown measure, sound that is not mono, floating, finite and there, and for two lengths.

    Examples
    --------
    >>> score("pesq_wb", np.ones(1600), np.ones(1600), 16000)
    (nan, 'shorter than 0.25 s')
    """
    metric = known(name)
    reference, estimate = audio.checked(reference, "the reference"), audio.checked(estimate, "the estimate")
    if len(reference) != len(estimate):
        raise study.UserError(
            f"reference and estimate have {len(reference)} and {len(estimate)} samples; a denoiser keeps length and "
            "alignment"
        )
    for what, y in (("reference", reference), ("estimate", estimate)):
        if audio.level_db(y) <= audio.SILENCE_DB and (what == "estimate" or metric.needs_reference):
            return math.nan, f"the {what} is silent"
    try:
        return float(metric.function(reference, estimate, sr, **options)), ""
    except _Undefined as reason:
        return math.nan, str(reason)


def known(name: str) -> Metric:
    """The measure of that name.

    Raises
    ------
    study.UserError
        When there is none.
    """
    if name not in METRICS:
        raise study.UserError(f"quality metric '{name}' is unknown; use one of {', '.join(METRICS)}")
    return METRICS[name]


# --- measures of the signal -------------------------------------------------------------------------------------


@_metric("SI-SDR", "dB", -SDR_LIMIT_DB, SDR_LIMIT_DB)
def si_sdr(reference: np.ndarray, estimate: np.ndarray, sr: int) -> float:
    """Scale-invariant signal-to-distortion ratio [4]_, means removed, within ±100 dB.

    Examples
    --------
    >>> reference, noise = np.tile([1.0, -1.0], 800), np.tile([1.0, 1.0, -1.0, -1.0], 400)
    >>> round(si_sdr(reference, 2 * (reference + 0.1 * noise), 16000), 3)
    20.0
    """
    reference, estimate = (y.astype(np.float64) - y.mean(dtype=np.float64) for y in (reference, estimate))
    for what, y in (("reference", reference), ("estimate", estimate)):
        if np.abs(y).max() == 0:
            raise _Undefined(f"the {what} is constant")
    target = (estimate @ reference / (reference @ reference)) * reference
    rest = estimate - target
    ratio = max(float(target @ target), TINY) / max(float(rest @ rest), TINY)
    return float(np.clip(10 * np.log10(ratio), -SDR_LIMIT_DB, SDR_LIMIT_DB))


@_metric("segmental SNR", "dB", *SEGMENT_DB)
def segmental_snr(reference: np.ndarray, estimate: np.ndarray, sr: int) -> float:
    """Mean over the active frames of the SNR of each, held within -10 and 35 dB [5]_.

    Windows of 30 ms, every 7.5 ms; a frame is active down to 30 dB below the loudest frame of the reference. The level
    counts: bring an estimate to the level of its reference first.

    Examples
    --------
    >>> reference = np.sin(np.arange(16000) / 5)
    >>> round(segmental_snr(reference, 1.1 * reference, 16000), 3)
    20.0
    """
    length, hop = round(SEGMENT_S * sr), round(SEGMENT_S * sr / 4)
    if len(reference) < length:
        raise _Undefined(f"shorter than {SEGMENT_S} s")
    signal, error = (
        np.sum((np.lib.stride_tricks.sliding_window_view(y, length)[::hop] * np.hanning(length)) ** 2, axis=1)
        for y in (reference.astype(np.float64), reference.astype(np.float64) - estimate)
    )
    active = signal >= signal.max() * 10 ** (-audio.ACTIVE_DB / 10)
    ratios = 10 * np.log10(np.maximum(signal[active], TINY) / np.maximum(error[active], TINY))
    return float(np.clip(ratios, *SEGMENT_DB).mean())


# --- measures of hearing ----------------------------------------------------------------------------------------


@_metric("PESQ-WB", "MOS-LQO", 1.0, 4.64)
def pesq_wb(reference: np.ndarray, estimate: np.ndarray, sr: int) -> float:
    """Perceptual evaluation of speech quality, wideband [1]_, by the ``pesq`` package; from about 1.0 to 4.64."""
    import pesq

    reference, estimate = (resampled(y, sr) for y in (reference, estimate))
    if len(reference) < RATE / 4:
        raise _Undefined("shorter than 0.25 s")
    try:
        return float(pesq.pesq(RATE, reference, estimate, "wb"))
    except pesq.NoUtterancesError as error:
        raise _Undefined("no utterance found in it") from error
    except pesq.PesqError as error:
        raise _Undefined(f"PESQ fails: {error}") from error


@_metric("STOI", "", 0.0, 1.0)
def stoi(reference: np.ndarray, estimate: np.ndarray, sr: int) -> float:
    """Short-time objective intelligibility [2]_, by the ``pystoi`` package."""
    return _stoi(reference, estimate, sr, extended=False)


@_metric("ESTOI", "", 0.0, 1.0)
def estoi(reference: np.ndarray, estimate: np.ndarray, sr: int) -> float:
    """Extended STOI [3]_, for noise that changes over time."""
    return _stoi(reference, estimate, sr, extended=True)


def _stoi(reference: np.ndarray, estimate: np.ndarray, sr: int, *, extended: bool) -> float:
    from pystoi import stoi as package

    reference, estimate = (resampled(y, sr) for y in (reference, estimate))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it warns and gives 1e-5 where speech is too short
        try:
            return float(package(reference, estimate, RATE, extended=extended))
        except (RuntimeWarning, ValueError, np.exceptions.AxisError) as error:
            raise _Undefined("less than 0.4 s of speech in it") from error


@_metric("DNSMOS speech", "MOS", 1.0, 5.0, needs_reference=False)
def dnsmos_sig(reference: np.ndarray, estimate: np.ndarray, sr: int, *, n_windows: int = 0) -> float:
    """Predicted rating of the speech itself, P.835 [6]_."""
    return dnsmos(estimate, sr, n_windows=n_windows)["dnsmos_sig"]


@_metric("DNSMOS background", "MOS", 1.0, 5.0, needs_reference=False)
def dnsmos_bak(reference: np.ndarray, estimate: np.ndarray, sr: int, *, n_windows: int = 0) -> float:
    """Predicted rating of the background: 5 is not noticeable."""
    return dnsmos(estimate, sr, n_windows=n_windows)["dnsmos_bak"]


@_metric("DNSMOS overall", "MOS", 1.0, 5.0, needs_reference=False)
def dnsmos_ovr(reference: np.ndarray, estimate: np.ndarray, sr: int, *, n_windows: int = 0) -> float:
    """Predicted overall rating."""
    return dnsmos(estimate, sr, n_windows=n_windows)["dnsmos_ovr"]
