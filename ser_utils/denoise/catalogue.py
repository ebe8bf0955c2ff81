"""All denoisers that need no training here, by name."""

from __future__ import annotations

import functools

import numpy as np

from ser_utils.denoise import dtln, gtcrn, shrinkage, spectral
from ser_utils.denoise.base import CLEAN, Denoiser
from ser_utils.denoise.blocks import RATE
from ser_utils.denoise.snr import gated


def none(y: np.ndarray) -> np.ndarray:
    """The sound as it is."""
    return y


_FRAME_S = dtln.FRAME / RATE
_DTLN = "Westhausen & Meyer 2020, doi:10.21437/Interspeech.2020-2631"

DENOISERS = {
    entry.name: entry
    for entry in (
        Denoiser(name="none", title="none: the floor", function=none, latency_s=0.0),
        Denoiser(
            name="oracle",
            title="ideal ratio mask: the ceiling of masks",
            function=spectral.oracle,
            needs=CLEAN,
            reference="Wang, Narayanan & Wang 2014, doi:10.1109/TASLP.2014.2352935",
        ),
        Denoiser(
            name="gate_stationary",
            title="spectral gating, one threshold per bin",
            function=functools.partial(shrinkage.gate, stationary=True),
            packages=("noisereduce",),
            reference="Sainburg, Thielk & Gentner 2020, doi:10.1371/journal.pcbi.1008228",
        ),
        Denoiser(
            name="gate_following",
            title="spectral gating, thresholds that follow",
            function=functools.partial(shrinkage.gate, stationary=False),
            packages=("noisereduce",),
            reference="Sainburg, Thielk & Gentner 2020, doi:10.1371/journal.pcbi.1008228",
        ),
        Denoiser(
            name="wiener",
            title="Wiener, decision-directed",
            function=functools.partial(spectral.statistical, gain=spectral.wiener_gain),
            reference="Ephraim & Malah 1984, doi:10.1109/TASSP.1984.1164453; "
            "noise: Cohen & Berdugo 2002, doi:10.1109/97.988717",
        ),
        Denoiser(
            name="mmse_lsa",
            title="MMSE of the log amplitude",
            function=functools.partial(spectral.statistical, gain=spectral.lsa_gain),
            reference="Ephraim & Malah 1985, doi:10.1109/TASSP.1985.1164550; "
            "noise: Cohen & Berdugo 2002, doi:10.1109/97.988717",
        ),
        Denoiser(name="pca", title="PCA of the magnitude", function=spectral.pca),
        Denoiser(
            name="pca_band",
            title="PCA of the magnitude, 500-4000 Hz",
            function=functools.partial(spectral.pca, band_hz=spectral.BAND_HZ),
        ),
        Denoiser(
            name="wavelet",
            title="wavelet shrinkage",
            function=shrinkage.wavelet,
            packages=("PyWavelets",),
            reference="Chang, Yu & Vetterli 2000, doi:10.1109/83.862633",
        ),
        Denoiser(
            name="dtln",
            title="DTLN, 500 hours",
            function=dtln.denoise,
            streaming=dtln.stream,
            latency_s=_FRAME_S,
            n_parameters=987_267,
            needs="dtln_norm_500h",
            reference=_DTLN,
        ),
        Denoiser(
            name="dtln_paper",
            title="DTLN, as published",
            function=dtln.denoise,
            streaming=dtln.stream,
            latency_s=_FRAME_S,
            n_parameters=986_753,
            needs="dtln_model",
            reference=_DTLN,
        ),
        Denoiser(
            name="gtcrn",
            title="GTCRN",
            function=gtcrn.denoise,
            streaming=gtcrn.stream,
            latency_s=_FRAME_S,
            n_parameters=23_670,
            needs="gtcrn",
            packages=("onnxruntime",),
            reference="Rong et al. 2024, doi:10.1109/ICASSP48485.2024.10448310",
        ),
    )
}

_GATED = gated(DENOISERS["dtln"])
DENOISERS[_GATED.name] = _GATED
