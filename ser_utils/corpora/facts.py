"""Facts about many sound files: decoded in parallel once, and remembered until a file changes."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ser_utils import study
from ser_utils.corpora import sealed
from ser_utils.corpora.probe import FACTS, probe

COLUMNS = {"path": "str", "size": "int64", "mtime_ns": "int64", **FACTS}
FEW = 50  # files that are read faster here than by workers that have to start first


def gather(paths: Sequence[str], root: Path, *, name: str) -> dict[str, dict[str, Any] | str]:
    """Facts of the files `paths` below `root`, or one clause per file that says why it cannot be used.

    What is known is kept below ``data/derived/checks`` and taken again for a file of the same path, size and time of
    change; that a file changed without either is found by its hash when features are extracted. Files that could not
    be used are tried again each time, since what they lack (a decoder, a permission) may be there by then.

    Parameters
    ----------
    paths : sequence of str
        With forward slashes, relative to `root`.
    name : str
        Of the corpus.
    """
    store = study.output_root() / "data" / "derived" / "checks" / f"{name}-{study.digest(str(root), length=8)}.parquet"
    known = _remembered(store, _code())
    states = {path: _state(f"{root}/{path}") for path in paths}
    new = [path for path in paths if states[path] is None or states[path] != known.get(path, {}).get("state")]
    if new:
        jobs = 1 if len(new) < FEW else None
        read = study.pmap(_try, [root / path for path in new], desc=f"checking {name}", jobs=jobs)
        known |= {path: {"state": states[path], "facts": facts} for path, facts in zip(new, read, strict=True)}
        if any(isinstance(facts, dict) for facts in read):
            _remember(store, known, _code())
    return {path: known[path]["facts"] for path in paths}


@functools.cache
def _code() -> str:
    """What facts depend on beside the file."""
    return study.digest([study.code_version("corpora.probe"), study.versions("soundfile", "av")])


def _try(path: Path) -> dict[str, Any] | str:
    try:
        return probe(path)
    except ValueError as error:
        return str(error)
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return f"a link to a file that does not exist ({path.readlink()})"
        return f"cannot be read ({error.strerror})"


def _state(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _remembered(store: Path, code: str) -> dict[str, dict[str, Any]]:
    """Facts by path, with the size and time they were taken at; nothing where other code took them."""
    if not store.is_file():
        return {}
    try:
        if (sealed.about(store) or {"code": code})["code"] != code:
            return {}
        table = sealed.read(store, COLUMNS)
    except (OSError, ValueError) as error:
        study.progress(f"{store}: {error}; every file is read again")
        return {}
    rows = table.to_dict("records")
    return {row.pop("path"): {"state": (row.pop("size"), row.pop("mtime_ns")), "facts": row} for row in rows}


def _remember(store: Path, known: dict[str, dict[str, Any]], code: str) -> None:
    rows = [
        {"path": path, "size": item["state"][0], "mtime_ns": item["state"][1], **item["facts"]}
        for path, item in known.items()
        if item["state"] and isinstance(item["facts"], dict)
    ]
    sealed.write(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS), store, code=code)
