"""Corpora in a remote folder (``SER_DATA=s3://…``): a local mirror that holds what the remote holds.

The mirror of an address is ``data/mirror/<digest>/`` below the output root, which is where
:func:`ser_utils.study.paths` says the data lie; it is brought up to date before a run, and needs no network after.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ser_utils import study, transfer

INDEX = ".index.jsonl"  # one line per finished file: path, bytes, stamp of the remote file
HOLDER = ".part"  # what is under way
TRIES = 4
_STAMPS = ("ETag", "etag", "md5Hash", "Content-MD5", "Last-Modified", "LastModified", "mtime", "updated", "created")
_ADVICE = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or FSSPEC_S3_ANON=true for a public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket",
}


@dataclass(frozen=True)
class RemoteFile:
    """One file of a remote folder."""

    address: str  # as its file system knows it
    path: str  # below the remote folder, with forward slashes
    size: int  # bytes; −1: the server does not say
    stamp: str  # changes when the content does; empty: the server has none


def mirror(address: str, names: Iterable[str], target: Path) -> None:
    """Make ``target/<name>`` hold what ``address/<name>`` holds, for each corpus of `names`.

    A file that came once stays as long as its size and stamp (ETag or time of change) are those of the remote. What the
    remote no longer has is removed. Every file takes its place in one step; a run that is killed goes on where it was.

    Parameters
    ----------
    address : str
        Any address that fsspec knows, e.g. ``"s3://bucket/corpora"``.
    names : iterable of str
        Folders to mirror; one that the remote does not have is absent in the mirror too.
    target : Path
        Folder of the mirror.

    Raises
    ------
    study.UserError
        One sentence for an unknown protocol, a missing package, a wrong bucket, missing credentials, no network,
        a remote folder without any of `names`, or a full disk.
    """
    names = list(dict.fromkeys(names))
    with _told(address, target):
        system, root = _connect(address)
        listed = {name: _listing(system, root, name) for name in names}
        if not any(listed.values()):
            held = sorted({PurePosixPath(place).name for place in system.ls(root, detail=False)})[:8]
            raise study.UserError(
                f"SER_DATA={address}: holds none of the folders {', '.join(names)}"
                f" (it holds {', '.join(held) or 'nothing'}); mend the address"
            )
        target.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            _bring(system, [file for files in listed.values() for file in files], target)
            for name, files in listed.items():
                _remove_others(target / name, {target / file.path for file in files})


def mirror_for(names: Iterable[str]) -> None:
    """Mirror those corpora of `names` that are not synthesised, when ``SER_DATA`` is a remote folder."""
    if not study.remote_data():
        return
    from ser_utils import corpora

    known = corpora.CORPORA
    wanted = [name for name in names if not (name in known and known[name].synthetic)]
    if wanted:
        mirror(study.remote_data(), wanted, study.data_folder())


def mirror_profile(profile: str) -> None:
    """Mirror the corpora of a profile, when ``SER_DATA`` is a remote folder."""
    found = study.load_profile(profile)
    mirror_for([*found["corpora"], *([found["noise"]] if found["noise"] else [])])


def check(address: str) -> None:
    """Refuse an address whose protocol is unknown or lacks a package; asks nothing of the network."""
    with _told(address, Path()):
        _connect(address)


# --- the remote side --------------------------------------------------------------------------------------------


def _connect(address: str) -> tuple[Any, str]:
    """File system of an address, and the folder in it."""
    import fsspec
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = address.partition("://")[0].rpartition("::")[2]
    if protocol not in fsspec.available_protocols():
        raise study.UserError(
            f"SER_DATA={address}: protocol {protocol}:// is unknown; use a folder, or s3://, https://, gs:// …"
        )
    try:
        system, root = url_to_fs(address)
    except ImportError as error:
        package = known_implementations[protocol]["class"].partition(".")[0]
        raise study.UserError(f"SER_DATA={address}: {protocol}:// needs {package}: pip install {package}") from error
    system.invalidate_cache()
    return system, root


def _listing(system: Any, root: str, name: str) -> list[RemoteFile]:
    """Files below a folder of the remote, sorted; none where it has no such folder."""
    try:
        found = system.find(f"{root}/{name}", detail=True)
    except FileNotFoundError:
        return []
    files = []
    for place, info in sorted(found.items()):
        path = place[len(root) :].lstrip("/") if place.startswith(root) else ""
        if place.endswith("/"):  # object stores mark folders by empty objects
            continue
        if not path or ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute():
            raise study.UserError(f"{place}: a path that leads out of its folder; rename or remove it")
        size = info.get("size")
        files.append(RemoteFile(place, path, -1 if size is None else int(size), _stamp(info)))
    return files


def _stamp(info: dict[str, Any]) -> str:
    return next((f"{key} {info[key]}" for key in _STAMPS if info.get(key)), "")


def _asked(system: Any, file: RemoteFile) -> RemoteFile:
    """Size and stamp of a file whose server does not list them (plain HTTP)."""
    if file.size >= 0 and file.stamp:
        return file
    info = system.info(file.address)
    size = info.get("size")
    return RemoteFile(file.address, file.path, -1 if size is None else int(size), _stamp(info))


# --- the local side ---------------------------------------------------------------------------------------------


def _bring(system: Any, files: list[RemoteFile], target: Path) -> None:
    index = _Index(target)
    shutil.rmtree(target / HOLDER, ignore_errors=True)
    waiting = [file for file in files if not (file.stamp and index.has(file))]
    if not waiting:
        return
    size = sum(max(file.size, 0) for file in waiting)
    transfer.check_space(target, size, f"the mirror of {study.remote_data() or target}")
    meter = transfer.Meter("mirror", files=len(waiting), size=size)

    def one(listed: RemoteFile) -> None:
        file = _asked(system, listed)
        if file == listed or not index.has(file):
            _get(system, file, target, meter)
            index.note(file)
        meter.file()

    study.progress(f"mirror: {len(waiting)} of {len(files)} files to bring, {transfer.size(size)}, into {target}")
    try:
        with meter:
            transfer.each(one, waiting, meter)
    finally:
        shutil.rmtree(target / HOLDER, ignore_errors=True)


def _get(system: Any, file: RemoteFile, target: Path, meter: transfer.Meter, *, pause_s: float = 0.5) -> None:
    """Bring one file; tried again when the connection drops."""
    part = target / HOLDER / study.digest(file.path)
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        counted = _Counted(meter)
        try:
            system.get_file(file.address, str(part), callback=counted.callback)
            have = part.stat().st_size
            if file.size not in (-1, have):
                raise ConnectionError(f"{file.address}: {have} of {file.size} bytes came")
            break
        except (ConnectionError, TimeoutError) as error:
            meter.keep(-counted.bytes)
            if attempt == TRIES or "refused" in str(error):
                raise
            time.sleep(pause_s * 2 ** (attempt - 1))
    place = target / file.path
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, place)


class _Counted:
    """Passes fsspec's counts on to the meter."""

    def __init__(self, meter: transfer.Meter) -> None:
        from fsspec.callbacks import Callback

        self.bytes = 0
        counted = self

        class Told(Callback):
            def relative_update(self, inc: int = 1) -> None:
                counted.bytes += inc
                meter.add(inc)

        self.callback = Told()


def _remove_others(folder: Path, kept: set[Path]) -> None:
    """Remove from a folder of the mirror what the remote does not have, and folders that are empty then."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            if Path(parent, name) not in kept:
                Path(parent, name).unlink()
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(parent)


class _Index:
    """What came, and what its remote file was then; appended to, so that a killed run loses no finished file."""

    def __init__(self, target: Path) -> None:
        self._target, self._file, self._lock = target, target / INDEX, threading.Lock()
        self._known: dict[str, list[Any]] = {}
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        for line in lines:
            with contextlib.suppress(ValueError):  # the last line of a killed run may be cut
                path, size, stamp = json.loads(line)
                self._known[path] = [size, stamp]
        if len(lines) > len(self._known):
            self._rewrite()

    def _rewrite(self) -> None:
        with study.atomic(self._file) as temporary:
            temporary.write_text("".join(self._line(path, *facts) for path, facts in self._known.items()), "utf-8")

    @staticmethod
    def _line(path: str, size: int, stamp: str) -> str:
        return json.dumps([path, size, stamp]) + "\n"

    def has(self, file: RemoteFile) -> bool:
        """Whether the mirror holds this very file."""
        place = self._target / file.path
        if self._known.get(file.path) != [file.size, file.stamp] or not place.is_file():
            return False
        return file.size in (-1, place.stat().st_size)

    def note(self, file: RemoteFile) -> None:
        with self._lock:
            self._known[file.path] = [file.size, file.stamp]
            with open(self._file, "a", encoding="utf-8") as index:
                index.write(self._line(file.path, file.size, file.stamp))


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time fills a mirror; others wait."""
    with open(target / ".lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            study.progress("mirror: another process fills it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- what went wrong --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _told(address: str, target: Path) -> Iterator[None]:
    """Errors of file systems, which each names in its own way, as one sentence."""
    try:
        yield
    except (study.UserError, transfer.Stopped):
        raise
    except Exception as error:
        raise study.UserError(_reason(error, address, target)) from error


def _reason(error: Exception, address: str, target: Path) -> str:
    said = f"SER_DATA={address}: "
    protocol = address.partition("://")[0]
    text = re.sub(r"\?\S+(?=[\"'])", "", " ".join(str(error).split()))[:160] or type(error).__name__
    kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk of {target} for the mirror; free some, or set SER_OUT, then run again"
    if isinstance(error, PermissionError) and str(error.filename or "").startswith(str(target)):
        return f"{error.filename}: {error.strerror}; set SER_OUT to a folder that can be written"
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound"}:
        return f"{said}no credentials found ({text}); {_ADVICE.get(protocol, 'see the documentation of its package')}"
    if isinstance(error, PermissionError):
        return f"{said}access is denied ({text}); {_ADVICE.get(protocol, 'check the credentials')}"
    if isinstance(error, FileNotFoundError):
        return f"{said}no such bucket or folder ({text}); mend the address"
    if kinds & {"ConnectionError", "TimeoutError", "ClientConnectionError", "HTTPClientError", "gaierror"}:
        stale = f", or set SER_DATA={target} to go on with the mirror as it is" if target.is_dir() else ""
        return f"{said}cannot be reached ({text}); check the network and the endpoint, then run again{stale}"
    return f"{said}{type(error).__name__}: {text}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
