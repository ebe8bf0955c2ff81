"""Speech that is mixed with what was drawn for it, kept as sound files that everything reads as it reads a corpus."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from ser_utils import audio, study
from ser_utils.audio import Mix
from ser_utils.augment.sounds import reverb

FULL_SCALE = 2**15  # of 16 bits
_OUTDATED = ["level_dbfs", "peak_dbfs", "dc_offset", "clipped_share"]  # what a manifest tells of the clean sound
_PACKAGES = ("numpy", "scipy", "soundfile", "soxr", "pyroomacoustics")


def mixed(row: Mapping[str, Any], root: Path, *, sr: int = audio.SAMPLE_RATE) -> Mix:
    """One clip in its noise.

    Parameters
    ----------
    row : mapping
        Row of a table from :func:`ser_utils.noise.draw`: ``path, sha256, noise_file, snr_db, room, mix_seed``.
    root : Path
        Folder that the path is relative to.
    sr : int
        Hz.

    Returns
    -------
    Mix
        Its ``speech`` is as far away as in ``y``: with the reverberation of the room, if there is one.

    Raises
    ------
    study.UserError
        When a file is gone, altered or cannot be decoded, or the noise is silent.
    """
    y = audio.load_listed(root / row["path"], row["sha256"], sr=sr)
    y = y if row["room"] < 0 else reverb(y, sr=sr, room=int(row["room"]))
    noise = _noise(row["noise_file"], sr) if row["noise_file"] else np.zeros(1, dtype=np.float32)
    return audio.mix_at_snr(y, noise, row["snr_db"], sr=sr, rng=np.random.default_rng(row["mix_seed"]))


@functools.lru_cache(maxsize=16)  # a noise serves many clips; the longest, of five minutes, are 19 MB each
def _noise(file: str, sr: int) -> np.ndarray:
    noise = audio.load(file, sr=sr)
    if np.ptp(noise) == 0:
        raise study.UserError(f"{file}: this noise is silent; leave it out through exclude in the profile")
    return noise


def render(table: pd.DataFrame, root: Path, *, cache: Path) -> tuple[pd.DataFrame, Path]:
    """Mix every clip with what was drawn for it, once; the sound is kept as 16-bit FLAC at 16 kHz.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`ser_utils.noise.draw` or :func:`ser_utils.noise.copies`; order is kept.
    root : Path
        Folder that the paths are relative to.
    cache : Path
        Folder for the artefact; its key holds the draws, the code and the content of clips and noises.

    Returns
    -------
    manifest : pd.DataFrame
        The table with ``path``, ``sha256`` and ``sample_rate`` of the new files and ``gain_db``, 0 or below: by how
        much a clip was scaled to stay within ±1. Features are extracted from it as from any manifest.
    root : Path
        Folder that its paths are relative to. Where nothing is done to any clip, both are the given ones.

    Raises
    ------
    study.UserError
        When a file is gone, altered or cannot be decoded, a noise is silent, or the disk is full.
    """
    if not (table["noise_id"] != "").any() and not (table["room"] >= 0).any():
        return table.assign(gain_db=0.0), root
    columns = ["clip_id", "sha256", "noise_id", "snr_db", "room", "mix_seed"]
    lines = table[columns].astype(str).agg("\t".join, axis=1)
    files = dict(zip(table["noise_id"], table["noise_file"], strict=True))
    key = {
        "clips": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "noises": {name: _content(file) for name, file in sorted(files.items()) if file},
        "code": study.code_version("noise.mixing"),
        "versions": study.versions(*_PACKAGES) | audio.decoders(),
    }
    items = table[["path", "sha256", "noise_file", "snr_db", "room", "mix_seed"]].to_dict("records")
    work = functools.partial(_encoded, root=root)
    desc = f"mixing {table['condition'].iloc[0]}"
    facts, place = study.cached(cache, key, lambda: study.imap(work, items, desc=desc), save=_save, load=_load)
    facts = facts.set_index(table.index)
    kept = table.drop(columns=[name for name in _OUTDATED if name in table])
    return kept.assign(**{name: facts[name] for name in facts}, sample_rate=audio.SAMPLE_RATE, channels=1), place


def _content(noise: str) -> str:
    if not Path(noise).is_file():
        raise study.UserError(f"{noise}: this noise is gone since the plan was made; restore it, or make a new plan")
    return study.sha256(Path(noise))


def _encoded(row: Mapping[str, Any], *, root: Path) -> tuple[bytes, float]:
    mix = mixed(row, root)
    samples = np.clip(np.rint(mix.y * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    out = io.BytesIO()
    soundfile.write(out, samples, audio.SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue(), mix.gain_db


def _save(results: Iterable[tuple[bytes, float]], folder: Path) -> None:
    rows = []
    for number, (content, gain_db) in enumerate(results):
        path = f"{number:06d}.flac"
        (folder / path).write_bytes(content)
        rows.append({"path": path, "sha256": hashlib.sha256(content).hexdigest(), "gain_db": gain_db})
    pd.DataFrame(rows).to_parquet(folder / "facts.parquet", index=False)


def _load(folder: Path) -> tuple[pd.DataFrame, Path]:
    return pd.read_parquet(folder / "facts.parquet"), folder
