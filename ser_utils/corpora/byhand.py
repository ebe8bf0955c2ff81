"""Corpora that a person downloaded: archives and folders are recognised by the names inside, not by their own."""

from __future__ import annotations

import fnmatch
import functools
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ser_utils import study, transfer
from ser_utils.corpora.base import AUDIO_SUFFIXES, Corpus, LeftOut, is_junk
from ser_utils.corpora.scan import is_beside

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".json")
FEW = 20  # clips that are enough to know a corpus among other files
MOST = 50_000  # files of a folder that are looked at: a data root may be somebody's home


@dataclass(frozen=True)
class Found:
    """A place that holds clips of a corpus."""

    path: Path
    archive: bool
    clips: int  # that are not yet in the corpus folder
    tables: int = 0  # of labels, the same

    def __str__(self) -> str:
        counts = {"clip": self.clips, "table": self.tables}
        return " and ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items() if count)


def is_clip(entry: Corpus, name: str | PurePosixPath | Path) -> str:
    """What tells one clip of a corpus from another when the name of a file is one of its clips, else empty.

    Corpora that are labelled by a table name their clips anew in each folder, so the folder counts.

    Examples
    --------
    >>> from ser_utils.corpora import ravdess
    >>> is_clip(ravdess.CORPUS, "archive/Actor_12/03-01-06-01-02-01-12.wav"), is_clip(ravdess.CORPUS, "song.wav")
    ('03-01-06-01-02-01-12', '')
    """
    path = Path(name)
    if path.suffix.lower() not in AUDIO_SUFFIXES or is_junk(path.as_posix()) or is_beside(entry, path.as_posix()):
        return ""
    if entry.parse is None:
        known = fnmatch.fnmatch(path.name, entry.pattern.rpartition("/")[2])
        return f"{path.parent.name}/{path.stem}" if known else ""
    try:
        return str(entry.parse(path)["clip_id"])
    except (ValueError, LeftOut):
        return ""


def is_table(entry: Corpus, name: str) -> str:
    """Name of a table that labels a corpus, when the name of a file is that of one, else empty."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    return bare if bare in entry.tables else ""


def find(entry: Corpus, data: Path, have: Set[str] = frozenset(), *, others: Iterable[str] = ()) -> Found | None:
    """The place in `data` that holds most clips, or tables, of a corpus that its own folder does not.

    Parameters
    ----------
    entry : Corpus
    data : Path
        Data root. Archives are looked for in it and anywhere in its folder of the corpus, folders in it alone.
    have : set of str
        Clips and tables that the folder of the corpus holds, as :func:`is_clip` and :func:`is_table` tell them.
    others : iterable of str
        Folders that belong to corpora.
    """
    others = {entry.name, *others}
    places = sorted(data.iterdir()) if data.is_dir() else []
    places += [place for place in sorted((data / entry.name).rglob("*")) if _is_archive(place)]
    found = []
    for place in places:
        if _is_archive(place):
            names = members(place)
        elif place.is_dir() and place.parent == data and not place.name.startswith(".") and place.name not in others:
            names = _below(place)
        else:
            continue
        tables = {is_table(entry, name) for name in names} - {""}
        clips = _recognised(entry, names, sure=bool(tables))
        new = Found(place, place.is_file(), len(clips - have), len(tables - have))
        found += [new] if new.clips or new.tables else []
    return max(found, key=lambda place: (place.clips, place.tables), default=None)


def _is_archive(place: Path) -> bool:
    return place.name.lower().endswith(ARCHIVES) and place.is_file()


def damaged(data: Path, folders: Iterable[str] = ()) -> dict[Path, str]:
    """Archives that cannot be unpacked, in the data root and in `folders` of it, and one sentence on each."""
    places = list(data.iterdir()) if data.is_dir() else []
    places += [place for folder in folders for place in (data / folder).rglob("*")]
    said = {archive: _listed(archive)[1] for archive in sorted(filter(_is_archive, places))}
    return {archive: sentence for archive, sentence in said.items() if sentence}


def is_named_after(archive: Path, entry: Corpus, data: Path) -> bool:
    """Whether an archive lies in the folder of a corpus, or bears its name."""
    name, wanted = (re.sub(r"[\W_]", "", text.lower()) for text in (archive.name, entry.name))
    return archive.is_relative_to(data / entry.name) or wanted in name


def _recognised(entry: Corpus, names: Iterable[str], *, sure: bool) -> set[str]:
    """Clips of a corpus among names; none when they are too few to tell, unless something else makes `sure`."""
    sounds = [name for name in names if name.lower().endswith(AUDIO_SUFFIXES)]
    clips = {is_clip(entry, name) for name in sounds} - {""}
    return clips if sure or len(clips) >= FEW or 2 * len(clips) >= len(sounds) else set()


def _below(folder: Path) -> list[str]:
    names: list[str] = []
    for parent, _, files in os.walk(folder):
        names += [f"{os.path.relpath(parent, folder)}/{name}" for name in files]
        if len(names) > MOST:
            break
    return names


# --- archives ---------------------------------------------------------------------------------------------------


def members(archive: Path) -> list[str]:
    """Names of the files in a zip or tar archive; none when it cannot be read, which :func:`damaged` tells."""
    return _listed(archive)[0]


def check_open(archive: Path) -> None:
    """Refuse an archive that cannot be unpacked.

    Raises
    ------
    study.UserError
        When it is no archive, is damaged in what lists its files, or asks for a password.
    """
    if _listed(archive)[1]:
        raise study.UserError(_listed(archive)[1])


def _listed(archive: Path) -> tuple[list[str], str]:
    stat = archive.stat()
    return _list(archive, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _list(archive: Path, _size: int, _changed: int) -> tuple[list[str], str]:
    """Names in an archive and why it cannot be unpacked, empty where it can.

    To list a compressed tar all of it has to be read, and every corpus asks what is in it.
    """
    try:
        with _opened(archive) as (names, opened):
            locked = isinstance(opened, zipfile.ZipFile) and any(info.flag_bits & 1 for info in opened.infolist())
    except study.UserError as error:
        return [], str(error)
    except OSError as error:
        return [], f"{archive}: cannot be read ({error.strerror}); mend its permissions or its disk"
    advice = "asks for a password; unpack it yourself and leave the folder in place of the archive"
    return names, f"{archive}: {advice}" if locked else ""


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[str], object]]:
    """Names of the plain files of an archive, and the archive to read them from.

    Raises
    ------
    study.UserError
        When it is no archive, or is damaged.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield [info.filename for info in opened.infolist() if not info.is_dir()], opened
        else:
            with tarfile.open(archive) as opened:
                yield [info.name for info in opened.getmembers() if info.isfile()], opened
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise _unreadable(archive, error) from error
    except OSError as error:
        if error.errno is not None:  # of the disk; decoders of gzip and bzip2 raise some without a number
            raise
        raise _unreadable(archive, error) from error


def _unreadable(archive: Path, error: Exception) -> study.UserError:
    with open(archive, "rb") as file:
        start = file.read(40)
    page = " (it begins like a web page)" if start.lstrip().lower().startswith((b"<!doctype", b"<html")) else ""
    why = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__  # tarfile lists all it tried
    return study.UserError(
        f"{archive}: not readable as a zip or tar archive{page}, or damaged ({why}); delete it and get it again"
    )


def unpack(archive: Path, target: Path, *, holder: Path, only: Corpus | None = None) -> int:
    """Unpack the sound and the tables of an archive into `target`.

    All is unpacked into `holder` first and moved then, so that a run that is killed leaves no half file in `target`.
    A member whose path leads out of the folder, or that is a link, is not unpacked.

    Parameters
    ----------
    archive, target : Path
    holder : Path
        Folder on the same disk for the time being; removed at the end.
    only : Corpus, optional
        Take no sound but clips of this corpus, for archives that hold several; and archives, where its tables tell that
        they are parts of it.

    Returns
    -------
    int
        Files that are now in `target`.

    Raises
    ------
    study.UserError
        For an archive that is damaged or asks for a password; `target` is as it was.
    """
    check_open(archive)
    shutil.rmtree(holder, ignore_errors=True)
    try:
        with _opened(archive) as (names, opened):
            parts = only is not None and any(is_table(only, name) for name in names)
            chosen = [name for name in names if _wanted(name, only, archives=parts)]
            transfer.check_space(target, sum(_length(opened, name) for name in chosen), f"unpacking {archive.name}")
            for name in chosen:
                place = holder / name.replace("\\", "/")
                place.parent.mkdir(parents=True, exist_ok=True)
                with _stream(opened, name) as source, open(place, "wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
        _move(holder, target)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    return len(chosen)


def _wanted(name: str, only: Corpus | None, *, archives: bool = False) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        study.progress(f"not unpacked, since its path leads out of the folder: {name}")
        return False
    if path.name.startswith(".") or "__MACOSX" in path.parts:
        return False
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return only is None or bool(is_clip(only, path))
    return path.suffix.lower() in TABLES or (archives and path.name.lower().endswith(ARCHIVES))


def _length(opened: object, name: str) -> int:
    return opened.getinfo(name).file_size if isinstance(opened, zipfile.ZipFile) else opened.getmember(name).size


def _stream(opened: object, name: str) -> IO[bytes]:
    return opened.open(name) if isinstance(opened, zipfile.ZipFile) else opened.extractfile(name)


def _move(source: Path, target: Path) -> None:
    """Put the files of a folder below another one: in one step where that does not exist yet."""
    if not source.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.replace(source, target)
        return
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)
