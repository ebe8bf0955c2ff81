"""One row per clip for classic models: named sets of numbers, cached by content."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import audio, study
from ser_utils.features import smile, statistics, store


@dataclass(frozen=True)
class Table:
    """Numbers of many clips.

    Attributes
    ----------
    x : np.ndarray [shape=(n_clips, n_columns), dtype=float32]
    columns : tuple of str
    clip_ids : np.ndarray [shape=(n_clips,)]
        Row *i* belongs to ``clip_ids[i]``.
    """

    x: np.ndarray
    columns: tuple[str, ...]
    clip_ids: np.ndarray

    def rows(self, clip_ids: np.ndarray) -> np.ndarray:
        """Positions of `clip_ids`, in their order.

        Raises
        ------
        KeyError
            When a clip has no features.
        """
        return store.positions(self.clip_ids, clip_ids)


@dataclass(frozen=True)
class _Set:
    """How one named set is made."""

    function: Callable[[np.ndarray], np.ndarray]
    columns: Callable[[], tuple[str, ...]]
    version: Callable[[], str] = str  # of what is not in this package


_SETS = {
    "statistics_110": _Set(statistics.vector110, statistics.vector110_columns),
    "functionals": _Set(statistics.functionals, statistics.functionals_columns),
    **{
        name: _Set(functools.partial(smile.extract, name=name), functools.partial(smile.columns, name), smile.version)
        for name in smile.SETS
    },
}
TABLES = tuple(_SETS)


def not_run(name: str) -> str:
    """Empty where the set can be computed, else the reason for a row "not run".

    Examples
    --------
    >>> not_run("statistics_110")
    ''
    """
    return smile.available() if name in smile.SETS else ""


def extract_table(manifest: pd.DataFrame, root: Path, name: str, *, cache: Path) -> Table:
    """Numbers of every clip of `manifest`, from the cache when its content is there.

    Parameters
    ----------
    manifest : pd.DataFrame
        Columns ``path, corpus, clip_id, sha256``; order is kept.
    root : Path
        Folder that the paths are relative to.
    name : str
        One of :data:`TABLES`: ``statistics_110`` (mean and standard deviation of 55 frame features), ``functionals``
        (786: six statistics of 129 frame features, pitch and rhythm), ``egemaps`` (88), ``compare_2016`` (6373).
    cache : Path
        Folder for the artefact; its key holds the name, the code and the hashes of the clips.

    Raises
    ------
    study.UserError
        For an unknown set, one that needs what is not installed (see :func:`not_run`), a file that differs from the
        manifest, or one that cannot be decoded.
    """
    if name not in _SETS:
        raise study.UserError(f"features '{name}' are unknown; use one of {', '.join(TABLES)}")
    made = _SETS[name]
    key = store.artefact_key(manifest, {"set": name, "version": made.version()})
    desc = f"{name} of {manifest['corpus'].iloc[0]}"
    return study.cached(
        cache,
        key,
        lambda: store.results(manifest, root, made.function, sr=audio.SAMPLE_RATE, desc=desc),
        save=functools.partial(_save, columns=made.columns, n_clips=len(manifest)),
        load=_load,
    )


def _save(
    results: Iterator[tuple[str, np.ndarray]], folder: Path, *, columns: Callable[[], tuple[str, ...]], n_clips: int
) -> None:
    clip_ids = []

    def rows() -> Iterator[np.ndarray]:
        for clip_id, row in results:
            clip_ids.append(clip_id)
            yield row

    store.write_rows(folder / "x.npy", rows(), shape=(n_clips, len(columns())))
    np.save(folder / "clip_ids.npy", np.array(clip_ids, dtype=str))
    (folder / "columns.json").write_text(json.dumps(columns()), encoding="utf-8")


def _load(folder: Path) -> Table:
    columns = tuple(json.loads((folder / "columns.json").read_text(encoding="utf-8")))
    return Table(np.load(folder / "x.npy", mmap_mode="r"), columns, np.load(folder / "clip_ids.npy"))
