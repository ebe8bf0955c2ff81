"""Facts about one sound file, from decoding it once: length, rate, level, faults, hashes of its bytes and its sound.

Imports little, so that workers start quickly.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import decoding

SILENT_PEAK = 10 ** (-60 / 20)  # full scale is 1: sound that never rises above −60 dBFS holds no speech
CLIPPED_PEAK = 0.5  # flat tops below −6 dBFS are coarse steps of a quiet recording, not clipping
CLIPPED_RUN = 3  # neighbouring samples that stay at the extreme
STEP = 1 / 65536  # half a step of 16-bit sound: what counts as equal
SUFFIXES = {  # what a file holds → how its name may end
    "WAV": (".wav",),
    "FLAC": (".flac",),
    "AIFF": (".aiff", ".aif"),
    "Ogg": (".ogg", ".opus"),
    "MP3": (".mp3",),
    "AAC": (".aac",),
    "MP4": (".m4a", ".m4b", ".mp4", ".mov"),
    "WebM or Matroska": (".webm", ".mka", ".mkv"),
}
FACTS = {  # what is known of each file
    "duration_s": "float64",
    "sample_rate": "int64",
    "channels": "int64",
    "level_dbfs": "float64",
    "peak_dbfs": "float64",
    "dc_offset": "float64",
    "clipped_share": "float64",
    "silent": "bool",
    "foreign": "str",  # what a file holds whose name says something else, else empty
    "sha256": "str",  # of the file
    "sound": "str",  # SHA-256 of the samples: equal for copies in another lossless container
}
UNKNOWN = {  # of a clip without sound
    name: {"float64": float("nan"), "int64": 0, "bool": False, "str": ""}[dtype] for name, dtype in FACTS.items()
}


def probe(path: Path) -> dict[str, Any]:
    """Decode a file once and state its facts.

    Returns
    -------
    dict with the keys of :data:`FACTS`; levels in dB below full scale, shares 0 … 1.

    Raises
    ------
    ValueError
        With one clause that says why the file cannot be used: empty, text pointer, truncated, unreadable, not finite.
    OSError
        When it cannot be opened.
    """
    data = path.read_bytes()
    kind = decoding.container(data[: decoding.HEAD])
    samples, sample_rate = _read(path, kind)
    _check_end(data, kind)
    if not len(samples):
        raise ValueError("holds no sample")
    if not np.isfinite(samples).all():
        raise ValueError("holds samples that are not finite numbers")
    peak, mean = float(np.abs(samples).max()), float(samples.mean())
    foreign = bool(kind) and path.suffix.lower() not in SUFFIXES.get(kind, ())
    return {
        "duration_s": len(samples) / sample_rate,
        "sample_rate": sample_rate,
        "channels": samples.shape[1],
        "level_dbfs": float(10 * np.log10(max(float(np.mean(samples**2)), 1e-12))),
        "peak_dbfs": float(20 * np.log10(max(peak, 1e-6))),
        "dc_offset": mean,
        "clipped_share": clipped_share(samples),
        "silent": float(np.abs(samples - samples.mean(axis=0)).max()) < SILENT_PEAK,
        "foreign": kind if foreign else "",
        "sha256": hashlib.sha256(data).hexdigest(),
        "sound": _sound(samples, sample_rate),
    }


def _read(path: Path, kind: str) -> tuple[np.ndarray, int]:
    try:
        return decoding.read(path)
    except ValueError as error:
        if kind == "FLAC" and "lost sync" in str(error):  # which is how libsndfile says that the stream stops early
            raise ValueError(f"truncated or damaged: {error}") from error
        raise


def _sound(samples: np.ndarray, sample_rate: int) -> str:
    """Hash of the samples; equal channels count once."""
    if (samples == samples[:, :1]).all():
        samples = samples[:, :1]
    found = hashlib.sha256(f"{sample_rate} {samples.shape[1]}".encode())
    found.update(np.ascontiguousarray(samples + np.float32(0)))  # −0 becomes 0
    return found.hexdigest()


def clipped_share(samples: np.ndarray) -> float:
    """Share of the samples that lie in runs of :data:`CLIPPED_RUN` or more at the extreme of their channel.

    Sound that was cut off at full scale, and perhaps turned down later, has such flat tops; sound that only reaches
    full scale (a normalised recording) touches it with single samples. A lossy codec bends flat tops: samples above
    full scale count as its extreme. Taken per channel, above and below zero apart.

    Parameters
    ----------
    samples : np.ndarray [shape=(n_samples, n_channels)]
        Full scale is ±1. Extremes below :data:`CLIPPED_PEAK` do not count.

    Examples
    --------
    >>> tone = np.sin(np.arange(16000) / 7)[:, None]
    >>> clipped_share(tone), round(clipped_share(np.clip(1.2 * tone, -1, 1)), 2)
    (0.0, 0.37)
    """
    inside = sum(_in_runs(side) for channel in samples.T for side in (channel, -channel))
    return inside / samples.size


def _in_runs(side: np.ndarray) -> int:
    peak = side.max()
    if peak < CLIPPED_PEAK:
        return 0
    edges = np.diff(np.concatenate([[0], side >= min(peak, 1) - STEP, [0]]).astype(np.int8))
    runs = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(runs[runs >= CLIPPED_RUN].sum())


# --- where a file ends ------------------------------------------------------------------------------------------


def _check_end(data: bytes, kind: str) -> None:
    """Refuse cut-off streams that decode without an error: Ogg and MP3 do not say at the start how long they are."""
    if kind == "Ogg" and not _ogg_ends(data):
        raise ValueError("truncated: its last Ogg page is cut off, or not marked as the last")
    if kind == "MP3" and not _mp3_ends(data):
        raise ValueError("truncated: its last MP3 frame is cut off")


def _ogg_ends(data: bytes) -> bool:
    """Whether the last page (RFC 3533, section 6) is whole and carries the mark of the end."""
    start = data.rfind(b"OggS")
    head = data[start : start + 27]
    if len(head) < 27 or not head[5] & 4:
        return False
    table = data[start + 27 : start + 27 + head[26]]
    return len(table) == head[26] and start + 27 + len(table) + sum(table) <= len(data)


_KBPS = {  # (MPEG-1?, layer) → bit rates by index, kbit/s
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mp3_ends(data: bytes) -> bool:
    """Whether the frames (ISO/IEC 11172-3, 2.4.1) fill the file up to its end, or to what is no frame (a tag)."""
    start = 0
    if data[:3] == b"ID3":
        start = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while length := _mp3_frame(data[start : start + 4]):
        start += length
    return start <= len(data)


def _mp3_frame(head: bytes) -> int:
    """Length of the frame that starts with these 4 bytes; 0 where none does, or its length is free."""
    if len(head) < 4:
        return 0
    sync, version, layer = struct.unpack(">H", head[:2])[0] >> 5, head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    first = version == 3  # MPEG-1; 2 and 0 are MPEG-2 and 2.5 with half and a quarter of the sampling rates
    rates, bits, rate = _KBPS.get((first, layer)), head[2] >> 4, head[2] >> 2 & 3
    if sync != 0x7FF or version == 1 or rates is None or bits in (0, 15) or rate == 3:
        return 0
    hertz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    words = 144 if first or layer == 2 else 72
    return words * 1000 * rates[bits] // hertz + (head[2] >> 1 & 1)
