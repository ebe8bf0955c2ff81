"""All denoisers that need no training here, by name."""

from __future__ import annotations

import functools

from ser_utils import study
from ser_utils.denoise import blocks, dtln, gtcrn, metricgan, shrinkage, snr, spectral
from ser_utils.denoise.base import CLEAN, Denoiser

_FRAME_S = dtln.FRAME / blocks.RATE
_DTLN = "Westhausen & Meyer 2020, doi:10.21437/Interspeech.2020-2631"

GATED = "_below_"  # in the names of gated denoisers, before the threshold

DENOISERS = {
    entry.name: entry
    for entry in (
        Denoiser(name="none", title="none: the floor", function=blocks.same, latency_s=0.0),
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
        Denoiser(
            name="pca",
            title="PCA of the magnitude",
            function=spectral.pca,
            reference="Pearson 1901, doi:10.1080/14786440109462720",
        ),
        Denoiser(
            name="pca_band",
            title="PCA of the magnitude, 500-4000 Hz",
            function=functools.partial(spectral.pca, band_hz=spectral.BAND_HZ),
            reference="Pearson 1901, doi:10.1080/14786440109462720",
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
        Denoiser(
            name="metricgan_plus",
            title="MetricGAN+, VoiceBank",
            function=metricgan.denoise,
            n_parameters=1_895_514,
            needs="metricgan_plus",
            packages=("keras", "tensorflow"),
            reference="Fu et al. 2021, doi:10.21437/Interspeech.2021-599",
        ),
    )
}


def inner(name: str) -> str:
    """Name of the denoiser behind the gate; its own where there is no gate.

    Examples
    --------
    >>> inner("dtln_below_25db"), inner("dtln")
    ('dtln', 'dtln')
    """
    return name.split(GATED)[0]


def gated(denoiser: Denoiser, threshold_db: float = 25.0, *, estimate: str = "removed") -> Denoiser:
    """A denoiser that leaves clips alone in which it finds an SNR of `threshold_db` or more.

    Denoising helps where there is much noise and distorts where there is little. The denoiser itself is the best judge:
    what it leaves over what it takes away (:func:`removed_db`) is closer to the true SNR of recordings than what the
    distribution of the samples or a noise tracker tell. It costs the denoising of every clip.

    Parameters
    ----------
    denoiser : Denoiser
    threshold_db : float
        dB, −20 … 50. Choose it on training speakers.
    estimate : str
        Who tells the SNR: ``removed``, ``tracker`` (:func:`tracker_db`) or ``wada`` (:func:`wada_db`).

    Raises
    ------
    study.UserError
        For an unknown estimate, a threshold out of range, or a denoiser that needs the clean speech.
    """
    low, high = snr.LOWEST_DB, snr.HIGHEST_DB
    if estimate not in snr.ESTIMATES or not low <= threshold_db <= high or denoiser.needs == CLEAN:
        raise study.UserError(
            f"{denoiser.name} cannot be gated by '{estimate}' at {threshold_db:g} dB; use one of "
            f"{', '.join(snr.ESTIMATES)}, {low:g} to {high:g} dB, and a denoiser that needs no clean speech"
        )
    suffix = "" if estimate == "removed" else f"_by_{estimate}"
    return Denoiser(
        name=f"{denoiser.name}{GATED}{threshold_db:g}db{suffix}",
        title=f"{denoiser.title}, only below {threshold_db:g} dB",
        function=functools.partial(snr.gate, inner=denoiser.function, threshold_db=threshold_db, estimate=estimate),
        n_parameters=denoiser.n_parameters,
        needs=denoiser.needs,
        packages=denoiser.packages,
        reference=f"gate: own; {denoiser.reference}",
        parts=(denoiser,),
    )


_GATED = gated(DENOISERS["dtln"])
DENOISERS[_GATED.name] = _GATED
