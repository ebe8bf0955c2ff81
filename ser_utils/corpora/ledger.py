"""What was fetched and checked, so that no file is read or fetched a second time without need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ser_utils import study


class Ledger:
    """Files whose checksum was taken, by size and time of change: 7442 of them need not be read again."""

    def __init__(self, data: Path) -> None:
        self._file = study.output_root() / "data" / "fetched" / f"{study.digest(str(data))}.json"
        try:
            self._known: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # never written, or not by us: every file is read once more
            self._known = {}
        self._changed = False

    def trusts(self, file: Path, checksum: str) -> bool:
        """Whether a file is here with its published checksum."""
        import pooch

        if not file.is_file():
            return False
        if not checksum or self._known.get(str(file)) == self._facts(file, checksum):
            return True
        kind, _, value = checksum.rpartition(":")
        if pooch.file_hash(str(file), alg=kind or "sha256").lower() != value.lower():
            return False
        self.note(file, checksum)
        return True

    def note(self, file: Path, checksum: str) -> None:
        self._known[str(file)] = self._facts(file, checksum)
        self._changed = True

    def unpacked(self, archive: Path, clips: int) -> bool:
        """Whether an archive was unpacked, and none of its clips vanished since."""
        return 0 < self._known.get(str(archive), clips + 1) <= clips

    def note_unpacked(self, archive: Path, clips: int) -> None:
        self._known[str(archive)] = clips
        self._changed = True

    @staticmethod
    def _facts(file: Path, checksum: str) -> list[Any]:
        stat = file.stat()
        return [stat.st_size, stat.st_mtime_ns, checksum]

    def save(self) -> None:
        if self._changed:
            with study.atomic(self._file) as temporary:
                temporary.write_text(json.dumps(self._known), encoding="utf-8")
