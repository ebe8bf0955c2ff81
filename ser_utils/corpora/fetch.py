"""Getting corpora: what is here, what can be fetched, what a person has to do (``./run_all.sh data list | get``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_utils import corpora, study, transfer
from ser_utils.corpora import byhand, choice, download
from ser_utils.corpora.base import AUDIO_SUFFIXES, Corpus, Download
from ser_utils.corpora.ledger import Ledger
from ser_utils.corpora.scan import files
from ser_utils.decoding import HEAD, LFS_POINTER

HOLDER = ".part"  # folder of the data root for what is under way


@dataclass(frozen=True)
class State:
    """What a data root holds of a corpus."""

    ids: frozenset[str]  # clips that the corpus knows, as byhand.is_clip tells them
    tables: frozenset[str]  # of labels, as byhand.is_table tells them
    size: int  # bytes of all files in its folder
    total: int  # official count; 0: nobody knows

    @property
    def complete(self) -> bool:
        return 0 < self.total <= len(self.ids)

    def __str__(self) -> str:
        if not self.size:
            return "absent"
        if self.complete:
            return "complete"
        return f"{len(self.ids)} of {self.total} clips" if self.total else f"{len(self.ids)} clips"


def state(entry: Corpus, data: Path) -> State:
    """Count the clips of a corpus by the names of its files; only those that are too small for sound are read."""
    folder = data / entry.name
    all_files = [folder / path for path in study.files_below(folder)]
    size = sum(file.stat().st_size for file in all_files if file.exists())
    ids = {byhand.is_clip(entry, name) for name in files(entry, folder).clips if _holds(folder / name)}
    tables = {byhand.is_table(entry, file.name) for file in all_files}
    return State(frozenset(ids - {""}), frozenset(tables - {""}), size, entry.n_clips)


def _holds(file: Path) -> bool:
    """Whether a file is there, and more than a git-lfs pointer to what is not."""
    if not file.exists():
        return False
    return file.stat().st_size > HEAD or not file.read_bytes().startswith(LFS_POINTER)


def _found(entry: Corpus, data: Path, here: State) -> byhand.Found | None:
    if here.complete or entry.name not in corpora.CORPORA:  # names tell nothing of a user's own corpus
        return None
    return byhand.find(entry, data, here.ids | here.tables, others=corpora.CORPORA)


# --- list -------------------------------------------------------------------------------------------------------


def table(data: Path, *, profile: str = "full") -> list[str]:
    """Lines of a table: every corpus, those of `profile` too, what is here of it, its licence, and how to get it.

    Archives and tables that cannot be read are named below.
    """
    head = ("name", "kind", "here", "size", "official", "licence", "get")
    rows, broken = [head], []
    for name in dict.fromkeys([*corpora.CORPORA, *corpora.real(profile)]):
        try:
            rows.append(_row(corpora.corpus(name, profile), data))
        except study.UserError as error:
            rows.append((name, "speech", "not readable, see below", "", "", "", ""))
            broken.append(str(error))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *byhand.damaged(data, corpora.CORPORA).values(), *broken]


def _row(entry: Corpus, data: Path) -> tuple[str, ...]:
    official = f"{entry.n_clips} clips" if entry.n_clips else ""
    if entry.synthetic:
        return entry.name, entry.kind, "made on first use", "", official, entry.licence, "nothing to do"
    here = state(entry, data)
    found = _found(entry, data, here)
    how = " and ".join(way for way, open_ in (("data get", _downloads(entry)), ("by hand", entry.steps)) if open_)
    if here.complete or (here.size and entry.name not in corpora.CORPORA):
        how = ""
    elif found:
        how = f"data get, from {found.path.name} ({found})"
    size = transfer.size(here.size) if here.size else ""
    return entry.name, entry.kind, str(here), size, official, entry.licence, how


# --- get --------------------------------------------------------------------------------------------------------


def get(names: Sequence[str], data: Path, *, keep: bool = False, dry_run: bool = False) -> int:
    """Bring corpora to a data root.

    Parameters
    ----------
    names : sequence of str
    data : Path
        Data root; each corpus gets a folder in it.
    keep : bool
        Keep fetched archives beside what was unpacked from them.
    dry_run : bool
        List addresses and sizes; fetch nothing.

    Returns
    -------
    int
        0 when all of them are complete (or, with `dry_run`, could be fetched), 1 when a person has to do something.

    Raises
    ------
    study.UserError
        For an unknown name, an address that does not answer, a wrong checksum, or a disk that is full or read-only.
    """
    if not names:
        raise study.UserError(f"data get needs a name: one or more of {', '.join(_real())}")
    for name in names:
        if name not in corpora.CORPORA:
            choice.known(name, _real())
    entries = [corpora.CORPORA[name] for name in dict.fromkeys(names)]
    if dry_run:
        return int(not all([_plan(entry, data) for entry in entries]))
    _check_writable(data)
    return int(not all([_bring(entry, data, keep=keep) for entry in entries]))


def _real() -> list[str]:
    return [name for name, entry in corpora.CORPORA.items() if not entry.synthetic]


def _check_writable(data: Path) -> None:
    try:
        (data / HOLDER).mkdir(parents=True, exist_ok=True)
        _tidy(data / HOLDER)
    except (FileExistsError, NotADirectoryError) as error:
        raise study.UserError(f"{data} is a file; set SER_DATA to a folder") from error
    except OSError as error:
        raise study.UserError(
            f"{data} cannot be written ({error.strerror}); set SER_DATA to a folder that can"
        ) from error


def _downloads(entry: Corpus) -> list[Download]:
    return list(entry.downloads()) if entry.downloads else []


def _plan(entry: Corpus, data: Path) -> bool:
    """Say what `get` would do; whether it can."""
    if entry.synthetic:
        print(f"{entry.name}: synthesised on first use; nothing to get")
        return True
    here = state(entry, data)
    _say_damaged(entry, data, here)
    found = _found(entry, data, here)
    if found:
        if found.archive:
            byhand.check_open(found.path)
        print(f"{entry.name}: would take {found} from {found.path}")
        return True
    todo = _todo(entry, data, here)
    known = f", {transfer.size(sum(item.size for item in todo))}" if all(item.size for item in todo) else ""
    if todo:
        print(f"{entry.name}: {_files(todo)} to fetch{known} into {data / entry.name}")
    for item in todo:
        print(f"  {item.address}  {transfer.size(item.size) if item.size else 'size not published'}")
    if here.complete and not todo:
        print(f"{entry.name}: complete, nothing to fetch")
    elif entry.steps or not todo:
        _say_steps(entry, data, here)
    return bool(todo) or here.complete


def _bring(entry: Corpus, data: Path, *, keep: bool) -> bool:
    """Bring one corpus; whether it is complete then."""
    if entry.synthetic:
        print(f"{entry.name}: synthesised on first use; nothing to get")
        return True
    here = _use_by_hand(entry, data, state(entry, data))
    todo = _todo(entry, data, here)
    if todo:
        _fetch(entry, data, todo, keep=keep)
        here = state(entry, data)
    if here.complete:
        print(f"{entry.name}: complete, {len(here.ids)} clips in {data / entry.name}")
    elif todo or _downloads(entry):
        print(
            f"{entry.name}: {here} in {data / entry.name}; ./run_all.sh data check {entry.name} names what is missing"
        )
    else:
        _say_steps(entry, data, here)
    return here.complete


def _say_steps(entry: Corpus, data: Path, here: State) -> None:
    print(f"{entry.name}: {here}; {'the rest of ' if here.size else ''}{entry.title} has to be fetched by hand.")
    print(f"  {entry.steps or f'Read {entry.address}.'}")
    print(f"  It is expected in {data / entry.name}, as {entry.layout}; an archive may lie in {data} as it is.")
    print(f"  Then: ./run_all.sh data get {entry.name}")


def _say_damaged(entry: Corpus, data: Path, here: State) -> None:
    """Name archives that may hold what is missing of a corpus and cannot be read, so that nobody waits for them.

    Where a person has to get the corpus, those are all that no other corpus gave its name to.
    """
    for archive, sentence in byhand.damaged(data, [entry.name]).items() if not here.complete else ():
        named = [name for name, other in corpora.CORPORA.items() if byhand.is_named_after(archive, other, data)]
        if entry.name in named or not (named or byhand.members(archive) or _downloads(entry)):
            study.progress(sentence)


def _use_by_hand(entry: Corpus, data: Path, here: State) -> State:
    """Unpack archives, or link a folder, that a person put into the data root; what is here then."""
    _say_damaged(entry, data, here)
    while found := _found(entry, data, here):
        before = here
        print(f"{entry.name}: found {found} in {found.path}")
        _take(entry, data, found)
        here = state(entry, data)
        if (here.ids, here.tables) == (before.ids, before.tables):
            print(f"{entry.name}: they are not used; bring them to the layout {entry.layout}")
            break
    return here


def _take(entry: Corpus, data: Path, found: byhand.Found) -> None:
    folder = data / entry.name
    if found.archive:
        try:
            with _disk(found.path):
                byhand.unpack(found.path, folder, holder=data / HOLDER / entry.name / "unpacked", only=entry)
        finally:
            _tidy(data / HOLDER / entry.name)
        print(f"{entry.name}: unpacked into {folder}; {found.path.name} is no longer needed")
    elif folder.exists():
        print(
            f"{entry.name}: {folder} exists too; move the files of {found.path.name} into it, or remove one of the two"
        )
    else:
        with _disk(folder):
            folder.symlink_to(found.path.name, target_is_directory=True)
        print(f"{entry.name}: {folder} is now a link to it")


class _disk:
    """Errors of the disk as one sentence."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise study.UserError(
                f"{error.filename or self.place}: {error.strerror or error}; free or mend the disk, then run again"
            ) from error


def _files(items: Sequence[Download]) -> str:
    return f"{len(items)} file" + "s" * (len(items) != 1)


def _is_archive(item: Download) -> bool:
    return item.to.lower().endswith(byhand.ARCHIVES)


def _todo(entry: Corpus, data: Path, here: State) -> list[Download]:
    """Files that are not here as published."""
    ledger, folder = Ledger(data), data / entry.name
    there = {file.with_suffix("") for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES}
    todo = []
    for item in _downloads(entry):
        if _is_archive(item):
            done = here.complete or ledger.unpacked(folder / item.to, len(here.ids))
        else:
            done = ledger.trusts(folder / item.to, item.checksum) or (
                not (folder / item.to).exists()
                and item.to.lower().endswith(AUDIO_SUFFIXES)
                and (folder / item.to).with_suffix("") in there  # the same clip in another container
            )
        todo += [] if done else [item]
    ledger.save()
    return todo


def _fetch(entry: Corpus, data: Path, todo: list[Download], *, keep: bool) -> None:
    folder, holder, ledger = data / entry.name, data / HOLDER / entry.name, Ledger(data)
    for leftover in holder.rglob("tmp*") if holder.is_dir() else ():  # of a killed run; what it had is in .part files
        leftover.unlink()
    size = sum(item.size for item in todo)
    archives = sum(item.size for item in todo if _is_archive(item))
    transfer.check_space(folder, size + archives, entry.title)
    meter = transfer.Meter(entry.name, files=len(todo), size=size)

    def one(item: Download) -> None:
        file = download.fetch(item, holder, meter)
        if not _is_archive(item):
            with _disk(folder):
                (folder / item.to).parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, folder / item.to)
            ledger.note(folder / item.to, item.checksum)
        meter.file()

    study.progress(f"{entry.name}: fetching {_files(todo)}" + (f", {transfer.size(size)}" if size else ""))
    try:
        with meter:
            transfer.each(one, todo, meter)
        for item in filter(_is_archive, todo):
            _settle(entry, data, item, ledger, keep=keep)
    finally:
        ledger.save()
        _tidy(holder)


def _settle(entry: Corpus, data: Path, item: Download, ledger: Ledger, *, keep: bool) -> None:
    """Unpack a fetched archive into the folder that it belongs to."""
    folder, archive = data / entry.name, data / HOLDER / entry.name / item.to
    study.progress(f"{entry.name}: unpacking {archive.name}")
    with _disk(folder):
        try:
            byhand.unpack(archive, (folder / item.to).parent, holder=archive.parent / "unpacked")
        except study.UserError:
            archive.unlink()  # no published checksum told that it is damaged
            raise
        if keep:
            shutil.move(archive, folder / item.to)
        else:
            archive.unlink()
    ledger.note_unpacked(folder / item.to, len(state(entry, data).ids))


def _tidy(holder: Path) -> None:
    """Remove folders of what was under way that are empty, and the folder of all when nothing is left in it."""
    folders = [Path(parent) for parent, _, _ in os.walk(holder, topdown=False)]
    for folder in [*folders, holder.parent]:
        if HOLDER in folder.parts and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
