"""From files to one array per kind of feature: the clip id travels with the row, and memory stays flat."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import audio, study


def artefact_key(manifest: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What an array of features depends on: `settings`, the code, the libraries, and the clips in their order."""
    clips = "".join(manifest["clip_id"] + manifest["sha256"])
    return {
        **settings,
        "code": study.code_version("features"),
        "versions": study.versions("librosa", "numpy", "scipy") | audio.decoders(),
        "clips": hashlib.sha256(clips.encode()).hexdigest(),
    }


def results(
    manifest: pd.DataFrame, root: Path, function: Callable[[np.ndarray], Any], *, sr: int, desc: str
) -> Iterator[tuple[str, Any]]:
    """Clip id and `function` of the sound of every clip, computed in processes and handed over one by one.

    Parameters
    ----------
    manifest : pd.DataFrame
        Columns ``path, clip_id, sha256``.
    root : Path
        Folder that the paths are relative to.
    function : callable
        Picklable; takes a signal at `sr`.

    Raises
    ------
    study.UserError
        When a file differs from the manifest, or cannot be decoded.
    """
    items = list(zip(manifest["clip_id"], manifest["path"], manifest["sha256"], strict=True))
    return study.imap(functools.partial(_of_clip, root=root, function=function, sr=sr), items, desc=desc)


def _of_clip(item: tuple[str, str, str], *, root: Path, function: Callable, sr: int) -> tuple[str, Any]:
    clip_id, path, expected = item
    file = root / path
    if not file.is_file():
        raise study.UserError(
            f"{file}: the manifest names this file, but it is gone; run again to check the corpus anew"
        )
    if study.sha256(file) != expected:
        raise study.UserError(
            f"{file}: altered since the manifest was built; restore it, or run again to check it anew"
        )
    return clip_id, function(audio.load(file, sr=sr))


def write_rows(file: Path, rows: Iterable[np.ndarray], *, shape: tuple[int, ...]) -> None:
    """Write `rows` one after the other as the NumPy array [shape, dtype=float32] that they make up.

    A plain file instead of a memory map: on a full disk a write fails, while a map kills the process.

    Raises
    ------
    ValueError
        When the rows do not fill `shape`.
    """
    count = 0
    with open(file, "wb") as out:
        np.lib.format.write_array_header_1_0(
            out, {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
        )
        for count, row in enumerate(rows, 1):
            if row.shape != shape[1:]:
                raise ValueError(f"row {count} has shape {row.shape}, not {shape[1:]}")
            out.write(np.ascontiguousarray(row, dtype=np.float32).data)
    if count != shape[0]:
        raise ValueError(f"{count} rows for {shape[0]} clips")


def positions(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Positions of the clip ids `wanted` in `known`, in their order.

    Raises
    ------
    KeyError
        When one is not there.

    Examples
    --------
    >>> positions(np.array(["a", "b", "c"]), np.array(["c", "a"])).tolist()
    [2, 0]
    """
    at = {clip: i for i, clip in enumerate(known)}
    return np.array([at[clip] for clip in wanted], dtype=np.int64)
