"""Moving files over a network: how far it is, several at a time, and whether they fit on the disk."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ser_utils import study

THREADS = 8  # files under way at once: many small ones are limited by waiting, not by the line
RESERVE = 200_000_000  # bytes of disk that a transfer leaves free


class Stopped(Exception):
    """Another file failed, or the user interrupted: this one ends too."""


class Meter:
    """Bytes and files that have come: a bar on a terminal, elsewhere one line every few seconds.

    Parameters
    ----------
    desc : str
        What comes, e.g. ``"cremad"``.
    files : int
        How many.
    size : int
        Bytes together; 0 when nobody knows.
    every_s : float
        Seconds between two lines.
    """

    def __init__(self, desc: str, *, files: int, size: int = 0, every_s: float = 5.0) -> None:
        self.desc, self.files, self.size, self._every_s = desc, files, size, every_s
        self.done = self.bytes = self.kept = 0  # kept: bytes of an earlier call, no part of the rate
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._begun = self._said = time.monotonic()
        self._bar = self._make_bar() if _on_terminal() else None

    def _make_bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(desc=self.desc, total=self.size or None, unit="B", unit_scale=True, file=sys.stderr, leave=False)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def stop(self) -> None:
        """End every transfer at its next bytes."""
        self._stop.set()

    def expect(self, n_bytes: int) -> None:
        """More bytes to come than was known."""
        with self._lock:
            self.size += n_bytes
            if self._bar is not None:
                self._bar.total = self.size

    def keep(self, n_bytes: int) -> None:
        """Bytes that an earlier call brought; fewer than none when they have to come again."""
        with self._lock:
            self.bytes += n_bytes
            self.kept += n_bytes
            if self._bar is not None:
                self._bar.initial += n_bytes
                self._bar.update(n_bytes)

    def add(self, n_bytes: int) -> None:
        """Bytes came.

        Raises
        ------
        Stopped
            When the transfer is to end.
        """
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            self.bytes += n_bytes
            if self._bar is not None:
                self._bar.update(n_bytes)
            elif time.monotonic() - self._said > self._every_s:
                self._said = time.monotonic()
                study.progress(self.line())

    def file(self) -> None:
        """A file is complete."""
        with self._lock:
            self.done += 1
            if self._bar is not None and self.files > 1:
                self._bar.set_postfix_str(f"{self.done} of {self.files} files")

    def line(self, *, clock: Callable[[], float] = time.monotonic) -> str:
        """How far it is, in words.

        Examples
        --------
        >>> meter = Meter("ravdess", files=1, size=2_000_000)
        >>> meter.add(500_000)
        >>> meter.line(clock=lambda: meter._begun + 10)
        'ravdess: 500 kB of 2.0 MB, 50 kB/s, about 30 s left'
        """
        rate = (self.bytes - self.kept) / max(clock() - self._begun, 1e-3)
        parts = [f"{self.desc}: {size(self.bytes)}" + (f" of {size(self.size)}" if self.size else "")]
        parts += [f"{self.done} of {self.files} files"] if self.files > 1 else []
        parts += [f"{size(rate)}/s"]
        if self.size and rate:
            parts += [f"about {study.duration(max(self.size - self.bytes, 0) / rate)} left"]
        return ", ".join(parts)


def _on_terminal() -> bool:
    return sys.stderr.isatty() and "SER_PROGRESS" not in os.environ


def size(n_bytes: float) -> str:
    """Bytes as people say them.

    Examples
    --------
    >>> size(812), size(40_300), size(208_468_073), size(10_878_146_150)
    ('812 B', '40 kB', '208 MB', '10.9 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            digits = 1 if unit == "GB" or (unit == "MB" and n_bytes < 10e6) else 0
            return f"{n_bytes / factor:.{digits}f} {unit}"
    return f"{n_bytes:.0f} B"


def each(fn: Callable[[Any], None], items: Iterable[Any], meter: Meter, *, threads: int = THREADS) -> None:
    """Call `fn` on every item, several at a time; the first error, or Ctrl-C, stops the others and is raised."""
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        for future in as_completed([pool.submit(fn, item) for item in items]):
            future.result()
    except BaseException:
        meter.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_space(folder: Path, n_bytes: int, what: str) -> None:
    """Refuse a transfer that the disk of `folder` cannot hold.

    Raises
    ------
    study.UserError
        Saying how much is needed and how much is free.
    """
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if n_bytes + RESERVE > free:
        raise study.UserError(
            f"{what} needs {size(n_bytes)} on the disk of {folder}, which has {size(free)} free; free some, or set "
            "SER_DATA (for a mirror SER_OUT) to another disk"
        )
