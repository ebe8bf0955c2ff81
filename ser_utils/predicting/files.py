"""Which files are meant by names of files and folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ser_utils import study
from ser_utils.corpora.base import AUDIO_SUFFIXES, is_junk


def collect(names: Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """Sound files that `names` mean, each once: files as they are, of folders every sound file below them, sorted.

    Returns
    -------
    files : list of Path
        Written as the names were: relative names stay relative.
    refused : list of str
        One sentence for each name that is nothing, and each folder without a sound file.

    Examples
    --------
    >>> collect(["no-such-file.wav"])
    ([], ['no-such-file.wav: does not exist'])
    """
    found: dict[Path, Path] = {}
    refused = []
    for name in map(Path, names):
        files = [name] if name.is_file() else _below(name)
        if not files:
            refused.append(f"{shown(name)}: " + ("holds no sound file" if name.is_dir() else "does not exist"))
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values()), refused


def _below(folder: Path) -> list[Path]:
    paths = (path for path in study.files_below(folder) if path.lower().endswith(AUDIO_SUFFIXES) and not is_junk(path))
    return [folder / path for path in sorted(paths)]


def shown(file: Path) -> str:
    """A path as text that every terminal and table takes, whatever bytes its name holds.

    Examples
    --------
    >>> shown(Path("a/b.wav"))
    'a/b.wav'
    """
    return os.fsencode(file).decode("utf-8", "replace")
