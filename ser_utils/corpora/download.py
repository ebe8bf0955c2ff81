"""One file over HTTP: resumed at the byte where it stopped, and put in place only with the published checksum.

Nothing half-finished lies in a corpus folder: ``<data root>/.part/<corpus>/`` holds what is under way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_utils import study, transfer
from ser_utils.corpora.base import Download

TIMEOUT_S = (10, 60)  # to connect, and between two pieces
TRIES = 5  # in a row without a byte; each piece that comes starts the count anew
PIECE = 2**16  # bytes; of a piece that is cut nothing is kept
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # statuses that pass


def fetch(item: Download, holder: Path, meter: transfer.Meter, *, pause_s: float = 1.0) -> Path:
    """Bring one file to ``holder/<item.to>``; a complete one that is there already is only checked.

    Parameters
    ----------
    item : Download
    holder : Path
        Folder for what is under way. The partial file is ``<item.to>.part``.
    meter : transfer.Meter
    pause_s : float
        Seconds before the second try; doubled for each further one.

    Raises
    ------
    study.UserError
        One sentence for an address that does not answer, an HTTP error, a wrong checksum, a full disk, or a folder
        that cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")
    keeper = pooch.create(
        path=holder, base_url="", registry={item.to: item.checksum or None}, urls={item.to: item.address}
    )
    target = holder / item.to
    loader = _Resume(target.with_name(target.name + ".part"), meter, item, pause_s)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        keeper.fetch(item.to, downloader=loader)
    except ValueError as error:  # pooch found another checksum, and deleted its copy
        raise study.UserError(_mismatch(item, str(error))) from error
    except OSError as error:
        raise study.UserError(_reason(error, item, holder)) from error
    finally:
        if not target.exists() and not loader.resumable:
            loader.forget()
    loader.forget()
    return target


def _mismatch(item: Download, message: str) -> str:
    kind = item.checksum.partition(":")[0].upper()
    found = re.search(r"but got (\w+)", message)
    return (
        f"{item.address}: {kind} {found[1] if found else '?'} is not the published {item.checksum.partition(':')[2]}, "
        f"so {item.to} was not kept; run again, and if it stays so the address serves another file"
    )


@dataclass
class _Resume:
    """Pooch's downloader: goes on where the partial file ends, tries again when the connection drops."""

    part: Path
    meter: transfer.Meter
    item: Download
    pause_s: float
    resumable: bool = True

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        self._start()
        failures = 0
        while True:
            before = self._have()
            try:
                self._go_on(url)
                break
            except OSError as error:  # requests' errors are OSErrors
                failures = 1 if self._have() > before else failures + 1
                if not _passes(error) or failures >= TRIES:
                    raise
                time.sleep(self.pause_s * 2 ** (failures - 1))
        self.resumable = False  # complete: pooch's check decides
        os.unlink(output_file)
        try:
            os.link(self.part, output_file)  # a run that is killed while the checksum is taken keeps the partial file
        except OSError:
            os.replace(self.part, output_file)  # a file system without links

    @property
    def _stamp(self) -> Path:
        """Holds what tells the server's file from a later one of the same address."""
        return self.part.with_name(self.part.name + ".etag")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _start(self) -> None:
        if not self.item.checksum and not self._stamp.is_file():  # nothing would tell a mixture of two versions
            self.part.unlink(missing_ok=True)
        self.meter.keep(self._have())

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self._stamp.unlink(missing_ok=True)

    def _go_on(self, url: str) -> None:
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._stamp.is_file():
                headers["If-Range"] = self._stamp.read_text(encoding="utf-8")
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416 and have:
                if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                    return  # it was complete
                self._start_over(have)
                raise requests.ConnectionError("the partial file is no part of what the server has")
            answer.raise_for_status()
            resumes = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if have and not (answer.status_code == 206 and resumes):
                self._start_over(have)
                have = 0
            self._receive(answer, have)

    def _start_over(self, have: int) -> None:
        self.meter.keep(-have)
        self.forget()

    def _receive(self, answer: Any, have: int) -> None:
        import requests

        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        if total and not self.item.size and not have:
            self.meter.expect(total)
            transfer.check_space(self.part.parent, total, self.item.to)
        stamp = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if stamp and not stamp.startswith("W/"):
            self._stamp.write_text(stamp, encoding="utf-8")
        with open(self.part, "ab") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                self.meter.add(len(piece))
        if total and self._have() < total:
            raise requests.ConnectionError(f"the connection ended after {self._have()} of {total} bytes")


def _passes(error: OSError) -> bool:
    """Whether trying again may help: not for a name that does not exist, a refusal, or a missing page."""
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response.status_code in _AGAIN
    text = str(error)
    dead = isinstance(error, requests.ConnectionError) and re.search(r"resolve|resolution|refused|unreachable", text)
    return isinstance(error, requests.RequestException) and not dead and not isinstance(error, _malformed())


def _malformed() -> tuple[type[Exception], ...]:
    from requests import exceptions

    return (exceptions.MissingSchema, exceptions.InvalidSchema, exceptions.InvalidURL, exceptions.TooManyRedirects)


def _reason(error: OSError, item: Download, holder: Path) -> str:
    """The sentence for an error of the network or of the disk."""
    import requests

    again = "run the same command again: it goes on where it stopped"
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return f"{item.address}: the server answers {status} {error.response.reason}; {again}, or get the file by hand"
    if isinstance(error, requests.Timeout):
        return f"{item.address}: the server is silent for {TIMEOUT_S[1]} s; {again}"
    if isinstance(error, requests.RequestException):
        host = re.sub(r"^\w+://([^/]+).*", r"\1", item.address)
        text = str(error)
        if re.search(r"resolve|resolution", text):
            return (
                f"{item.address}: the name {host} is not known here; check the connection to the network, then {again}"
            )
        if "refused" in text:
            return f"{item.address}: {host} refuses the connection; check the network or its proxy, then {again}"
        return f"{item.address}: the connection broke ({_short(error)}); {again}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk of {holder} while {item.to} came; free some, then {again}"
    return (
        f"{error.filename or holder}: {error.strerror or error}; make the folder writable, or set SER_DATA to another"
    )


def _short(error: Exception) -> str:
    """The innermost reason of an error that wraps others."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    with contextlib.suppress(AttributeError):
        error = error.reason
    return " ".join(str(error).split())[:120]
