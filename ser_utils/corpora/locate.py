"""Paths of a user's table: what they mean below the corpus folder, which files they name, and the ids of the clips."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ser_utils import study
from ser_utils.corpora.base import AUDIO_SUFFIXES


def tidy(path: str) -> str:
    """A path with forward slashes and without detours.

    Examples
    --------
    >>> tidy("clips\\\\a/../b.wav")
    'clips/b.wav'
    """
    return posixpath.normpath(path.replace("\\", "/")) if path else ""


def leads_out(path: str) -> bool:
    """Whether a tidy path leads out of the folder that it starts from.

    Examples
    --------
    >>> [leads_out(path) for path in ("a.wav", "../a.wav", "/a.wav", "C:/a.wav")]
    [False, True, True, True]
    """
    return _absolute(path) or path.split("/")[0] == ".."


def _absolute(path: str) -> bool:
    return re.match(r"[\\/]|[A-Za-z]:", path) is not None


def paths(written: pd.Series, file: Path, base: str) -> pd.Series:
    """Paths below the corpus folder.

    Parameters
    ----------
    written : pd.Series
        Paths of the table, below `base`; the index is the line.
    file : Path
        The table.
    base : str
        Tidy path of the folder that they start from, below the corpus folder.

    Raises
    ------
    study.UserError
        For a path that is empty or leads out of the corpus folder.
    """
    found = written.map(lambda path: path if _absolute(path) else tidy(f"{base}/{path}"))
    for line, path in written.items():
        if not path:
            raise study.UserError(f"{file}, line {line}: the path is empty; write one, or delete the line")
        if leads_out(found[line]):
            raise study.UserError(
                f"{file}, line {line}: path {path} leads out of the corpus folder; put the clips into that folder and "
                "write paths relative to the table, or to the folder named by audio: in the profile"
            )
    return found


def finder(folder: Path, base: str) -> Callable[[str, str], str]:
    """A function from a path as written, and its place in the table, to the path of the file.

    Case, a missing suffix and the form of accents (macOS takes letters and accents apart) do not count. A bare name is
    looked for in all folders below `base`. A path that fits no file stays as it is; one that fits several raises
    :class:`~ser_utils.study.UserError`.
    """
    here, found = set(), defaultdict(set)
    for path in study.files_below(folder):
        if os.path.splitext(path)[1].lower() in AUDIO_SUFFIXES:
            here.add(path)
            for key in {_key(path), _key(os.path.splitext(path)[0])}:
                found[key].add(path)
                if base == "." or path.startswith(f"{base}/"):
                    found[f"*/{posixpath.basename(key)}"].add(path)

    def locate(path: str, where: str) -> str:
        if path in here:
            return path
        bare = posixpath.dirname(path) in ("" if base == "." else base,)
        fits = found.get(_key(path)) or (found.get(f"*/{posixpath.basename(_key(path))}") if bare else None)
        if fits and len(fits) > 1:
            raise study.UserError(f"{where}: {path} fits {' and '.join(sorted(fits))}; write the whole path")
        return next(iter(fits)) if fits else path

    return locate


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def clip_ids(paths: pd.Series) -> pd.Series:
    """Shortest unique ids: names without suffix, with their folders where two are equal, else whole paths.

    ``~`` is kept for augmented copies; another sign stands in its place, ``-`` unless ids would be equal then.

    Examples
    --------
    >>> clip_ids(pd.Series(["x/a~1.wav", "x/b.wav"])).tolist(), clip_ids(pd.Series(["a~1.wav", "a-1.wav"])).tolist()
    (['a-1', 'b'], ['a_1', 'a-1'])
    """
    paths = paths.map(lambda path: unicodedata.normalize("NFC", path))
    stems = paths.map(lambda path: os.path.splitext(path)[0])
    ids = next(names for names in (stems.map(posixpath.basename), stems, paths) if names.is_unique)
    signs = itertools.chain("-_+=", map(chr, range(0x2010, 0x2E00)))  # one of them occurs in no id
    return next(found for sign in signs if (found := ids.str.replace("~", sign, regex=False)).is_unique)
