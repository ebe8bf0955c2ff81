"""Denoising the clips of a table, each once: the sound is kept, and read as a corpus is read."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ser_utils import audio, study
from ser_utils.denoise.base import CLEAN, Denoiser
from ser_utils.denoise.blocks import flac, gain_db
from ser_utils.noise import Condition

Clips = tuple[pd.DataFrame, Path]  # a manifest, and the folder that its paths are relative to


class _Item(NamedTuple):
    """One clip: its file and hash, its speech without noise where that is wanted, and where the result goes."""

    file: Path
    sha256: str
    clean_file: Path | None
    clean_sha256: str
    gain_db: float
    target: Path


def apply_all(
    table: pd.DataFrame, root: Path, denoiser: Denoiser, *, cache: Path, clean: Clips | None = None
) -> tuple[pd.DataFrame, Path]:
    """Denoise every clip of a table in processes; clips that were denoised before are not denoised again.

    Parameters
    ----------
    table : pd.DataFrame
        Manifest of the noisy clips, e.g. from :func:`ser_utils.noise.render`; order is kept.
    root : Path
        Folder that the paths are relative to.
    denoiser : Denoiser
    cache : Path
        Folder of what was denoised. A clip is known by the content of its file, whatever table it is in; the code of
        the denoiser, its weights and the libraries are part of the key.
    clean : (pd.DataFrame, Path), optional
        For the oracle: manifest and root of the clips without noise, found by ``clip_id``, or ``parent`` where the
        table has that column.

    Returns
    -------
    table : pd.DataFrame
        With ``path`` and ``sha256`` of the new files, 16-bit FLAC at 16 kHz, ``gain_db`` (0 or below: what a clip was
        scaled by to stay within ±1, together with what `table` says), and the denoiser in ``condition``.
    root : Path
        Folder that its paths are relative to.

    Raises
    ------
    study.UserError
        When a file is gone, altered or cannot be decoded, weights are missing, a clip has no clean reference, or the
        disk is full.
    """
    key = denoiser.key() | {"decoders": audio.decoders()}
    folder = cache / denoiser.name / study.digest(key)
    if not (folder / "key.json").is_file():
        with study.atomic(folder / "key.json") as temporary:
            temporary.write_text(json.dumps(key, indent=1), encoding="utf-8")
    items = _items(table, root, folder, clean if denoiser.needs == CLEAN else None)
    waiting = list({item.target: item for item in items if not item.target.is_file()}.values())
    study.pmap(functools.partial(_denoise, denoiser=denoiser), waiting, desc=f"denoising with {denoiser.name}")
    made = [_facts(item) for item in items]
    found = table.assign(
        path=[item.target.relative_to(folder).as_posix() for item in items],
        sha256=[sha256 for sha256, _ in made],
        gain_db=[gain_db for _, gain_db in made],
        sample_rate=audio.SAMPLE_RATE,
        channels=1,
    )
    if "condition" in table:
        names = {text: _condition(text, denoiser.name) for text in table["condition"].unique()}
        found["condition"] = table["condition"].map(names)
    return found, folder


def _condition(text: str, denoiser: str) -> str:
    return str(dataclasses.replace(Condition.parse(text), denoiser=denoiser))


def _items(table: pd.DataFrame, root: Path, folder: Path, clean: Clips | None) -> list[_Item]:
    rows = {} if clean is None else clean[0].set_index("clip_id")[["path", "sha256"]].to_dict("index")
    items = []
    for row in table.to_dict("records"):
        wanted, gain_db = row.get("parent", row["clip_id"]), float(row.get("gain_db", 0.0))
        if clean is not None and wanted not in rows:
            raise study.UserError(f"clip '{wanted}' has no clean reference; add its row to the clean manifest")
        other: dict[str, Any] = rows.get(wanted, {"path": "", "sha256": ""})
        name = study.digest([row["sha256"], other["sha256"], gain_db if clean else 0.0], length=32)
        place = root / row["path"], row["sha256"], clean[1] / other["path"] if clean else None, other["sha256"]
        items.append(_Item(*place, gain_db, folder / name[:2] / f"{name[2:]}.flac"))
    return items


def _denoise(item: _Item, *, denoiser: Denoiser) -> None:
    y, clean = audio.load_listed(item.file, item.sha256), None
    if item.clean_file is not None:
        clean = audio.load_listed(item.clean_file, item.clean_sha256) * np.float32(10 ** (item.gain_db / 20))
    content = flac(denoiser(y, clean=clean))
    with study.atomic(item.target) as temporary:
        temporary.write_bytes(content)


def _facts(item: _Item) -> tuple[str, float]:
    """Hash and gain of what was denoised."""
    content = item.target.read_bytes()
    return hashlib.sha256(content).hexdigest(), item.gain_db + gain_db(content)
