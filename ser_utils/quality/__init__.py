"""How good speech sounds, and what it costs to make it sound better."""

from __future__ import annotations

from ser_utils.quality.batch import measure, not_run, real_time_factor
from ser_utils.quality.metrics import (
    METRICS,
    Metric,
    dnsmos_bak,
    dnsmos_ovr,
    dnsmos_sig,
    estoi,
    pesq_wb,
    score,
    segmental_snr,
    si_sdr,
    stoi,
)
from ser_utils.quality.p835 import dnsmos

__all__ = [
    "METRICS",
    "Metric",
    "dnsmos",
    "dnsmos_bak",
    "dnsmos_ovr",
    "dnsmos_sig",
    "estoi",
    "measure",
    "not_run",
    "pesq_wb",
    "real_time_factor",
    "score",
    "segmental_snr",
    "si_sdr",
    "stoi",
]
