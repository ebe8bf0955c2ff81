"""Getting corpora over a local HTTP server: what is cut goes on, what is wrong is not kept, what is here is used."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_utils import __main__ as command
from ser_utils import corpora, study, transfer
from ser_utils.corpora import byhand, download, emodb, fetch, ravdess, tess
from ser_utils.corpora.base import Download
from ser_utils.decoding import LFS_POINTER

REAL = study.data_folder()  # as the caller set it
CONTENT = bytes(range(256)) * 4000  # 1 MB
CUT = 4 * download.PIECE
CLIPS = [f"Actor_01/03-01-{emotion}-01-01-01-01.wav" for emotion in ravdess.EMOTIONS]


class Server(http.server.ThreadingHTTPServer):
    """Files from memory. `drops` connections end after `cut` bytes; `requests` notes names and ranges."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.ranges, self.etag = True, '"v1"'
        self.cut = self.drops = self.status = 0
        self.pause_s = 0.0

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def offers(self, name: str, content: bytes, *, checksum: str | None = None, to: str = "") -> Download:
        self.files[name] = content
        known = f"sha256:{hashlib.sha256(content).hexdigest()}" if checksum is None else checksum
        return Download(address=self.address(name), checksum=known, to=to or name, size=len(content))


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name, wanted = self.path[1:], self.headers.get("Range")
        self.server.requests.append((name, wanted))
        if self.server.status or name not in self.server.files:
            self.send_error(self.server.status or 404)
            return
        content, start = self.server.files[name], 0
        same = self.headers.get("If-Range") in (None, self.server.etag)
        if wanted and self.server.ranges and same:
            start = int(re.findall(r"\d+", wanted)[0])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        self._send(content[start:])

    def _send(self, rest: bytes) -> None:
        cut = self.server.drops > 0
        self.server.drops -= cut
        rest = rest[: self.server.cut] if cut else rest
        for at in range(0, len(rest), 50_000):
            self.wfile.write(rest[at : at + 50_000])
            time.sleep(self.server.pause_s)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.delenv("SER_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def one(item: Download, holder: Path) -> Path:
    return download.fetch(item, holder, transfer.Meter("test", files=1, size=item.size), pause_s=0.001)


def offered(monkeypatch: pytest.MonkeyPatch, *items: Download, name: str = "ravdess", **changes: object) -> None:
    """Let a corpus be fetched from the local server."""
    entry = dataclasses.replace(corpora.CORPORA[name], downloads=lambda: items, **changes)
    monkeypatch.setitem(corpora.CORPORA, name, entry)


def zipped(*names: str, **extra: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"sound of " + name.encode())
        for name, content in extra.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def left(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


# --- one file ---------------------------------------------------------------------------------------------------


def test_a_dropped_connection_goes_on_at_the_byte(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    server.cut, server.drops = CUT, 2
    assert one(item, tmp_path / "part").read_bytes() == CONTENT
    assert server.requests == [("a.bin", None), ("a.bin", f"bytes={CUT}-"), ("a.bin", f"bytes={2 * CUT}-")]
    assert left(tmp_path / "part") == ["a.bin"]


def test_a_later_run_goes_on_where_this_one_gave_up(server, tmp_path, monkeypatch):
    item = server.offers("a.bin", CONTENT)
    monkeypatch.setattr(download, "TRIES", 1)
    server.cut, server.drops = CUT, 1
    with pytest.raises(study.UserError, match=r"a\.bin: the connection broke .* it goes on where it stopped"):
        one(item, tmp_path)
    assert "a.bin" not in left(tmp_path)
    assert (tmp_path / "a.bin.part").stat().st_size == CUT
    server.requests.clear()
    assert one(item, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("a.bin", f"bytes={CUT}-")]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    server.ranges = False
    server.cut, server.drops = CUT, 1
    meter = transfer.Meter("test", files=1, size=item.size)
    assert download.fetch(item, tmp_path, meter, pause_s=0.001).read_bytes() == CONTENT
    assert server.requests[1] == ("a.bin", f"bytes={CUT}-")
    assert meter.bytes == len(CONTENT)  # what came twice counts once


def test_another_version_on_the_server_starts_over(server, tmp_path, monkeypatch):
    """Without a published checksum nothing else would tell that two halves do not belong together."""
    item = server.offers("a.bin", CONTENT, checksum="")
    monkeypatch.setattr(download, "TRIES", 1)
    server.cut, server.drops = CUT, 1
    with pytest.raises(study.UserError):
        one(item, tmp_path)
    server.files["a.bin"], server.etag = CONTENT[::-1], '"v2"'
    assert one(item, tmp_path).read_bytes() == CONTENT[::-1]


def test_no_checksum_and_no_version_means_no_resume(server, tmp_path, monkeypatch):
    item = server.offers("a.bin", CONTENT, checksum="")
    server.etag = ""
    monkeypatch.setattr(download, "TRIES", 1)
    server.cut, server.drops = CUT, 1
    with pytest.raises(study.UserError):
        one(item, tmp_path)
    one(item, tmp_path)
    assert server.requests[-1] == ("a.bin", None)


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_wrong_checksum_leaves_nothing(server, tmp_path, content):
    item = dataclasses.replace(server.offers("a.bin", CONTENT), size=0)
    server.files["a.bin"] = content
    with pytest.raises(study.UserError, match=r"SHA256 \w{64} is not the published \w{64}, so a\.bin was not kept"):
        one(item, tmp_path)
    assert left(tmp_path) == []
    server.files["a.bin"] = CONTENT
    assert one(item, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("a.bin", None)


def test_a_wrong_half_leaves_nothing(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    (tmp_path / "a.bin.part").write_bytes(b"x" * 500_000)
    with pytest.raises(study.UserError, match="is not the published"):
        one(item, tmp_path)
    assert left(tmp_path) == []


def test_md5_is_understood(server, tmp_path):
    item = server.offers("a.bin", CONTENT, checksum=f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    assert one(item, tmp_path).read_bytes() == CONTENT


def test_a_complete_partial_file_is_only_checked(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert one(item, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("a.bin", f"bytes={len(CONTENT)}-")]


def test_a_partial_file_that_is_too_long_starts_over(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    assert one(item, tmp_path).read_bytes() == CONTENT


def test_a_killed_process_resumes(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    server.pause_s = 0.05
    code = (
        "from pathlib import Path; from ser_utils import transfer; from ser_utils.corpora import base, download\n"
        "download.PIECE = 10_000\n"
        f"item = base.Download(address={item.address!r}, checksum={item.checksum!r}, to='a.bin', size={item.size})\n"
        f"download.fetch(item, Path({str(tmp_path)!r}), transfer.Meter('a', files=1))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=study.ROOT)
    part, deadline = tmp_path / "a.bin.part", time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size > 200_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    have = part.stat().st_size
    assert 200_000 < have < len(CONTENT)
    assert not (tmp_path / "a.bin").exists()
    server.pause_s = 0
    assert one(item, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("a.bin", f"bytes={have}-")


def test_a_busy_server_is_asked_again_and_a_missing_page_is_not(server, tmp_path):
    item = server.offers("a.bin", CONTENT)
    server.status = 503
    with pytest.raises(study.UserError, match="the server answers 503"):
        one(item, tmp_path)
    assert len(server.requests) == download.TRIES
    server.requests.clear()
    server.status = 404
    with pytest.raises(study.UserError, match=r"the server answers 404 Not Found"):
        one(item, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9/a", "127.0.0.1:9 refuses the connection"),
        ("http://no-such-host.invalid/a", "the name no-such-host.invalid is not known here"),
    ],
)
def test_a_dead_address_is_one_sentence(tmp_path, address, words):
    with pytest.raises(study.UserError, match=words) as caught:
        one(Download(address=address, to="a"), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_before_the_first_byte_is_kept(server, tmp_path, monkeypatch):
    item = dataclasses.replace(server.offers("a.bin", CONTENT), size=0)
    monkeypatch.setattr(transfer, "RESERVE", 10**18)
    with pytest.raises(study.UserError, match=r"a\.bin needs 1\.0 MB on the disk"):
        one(item, tmp_path)
    assert not (tmp_path / "a.bin.part").exists()


# --- a corpus ---------------------------------------------------------------------------------------------------


def test_an_archive_is_fetched_unpacked_and_removed(server, data, monkeypatch, capsys):
    offered(monkeypatch, server.offers("speech.zip", zipped(*CLIPS, "notes.txt", "run.sh")), n_clips=len(CLIPS))
    assert fetch.get(["ravdess"], data) == 0
    assert left(data) == sorted([*(f"ravdess/{name}" for name in CLIPS), "ravdess/notes.txt"])
    assert "complete, 8 clips" in capsys.readouterr().out
    server.requests.clear()
    assert fetch.get(["ravdess"], data) == 0
    assert server.requests == []


def test_an_archive_that_holds_less_is_not_fetched_again(server, data, monkeypatch, capsys):
    offered(monkeypatch, server.offers("speech.zip", zipped(*CLIPS)))
    assert fetch.get(["ravdess"], data) == 1
    assert "8 of 1440 clips" in capsys.readouterr().out
    server.requests.clear()
    assert fetch.get(["ravdess"], data) == 1
    assert server.requests == []
    (data / "ravdess" / CLIPS[0]).unlink()
    fetch.get(["ravdess"], data)
    assert len(server.requests) == 1


def test_a_kept_archive_stays(server, data, monkeypatch):
    offered(monkeypatch, server.offers("speech.zip", zipped(*CLIPS)), n_clips=len(CLIPS))
    fetch.get(["ravdess"], data, keep=True)
    assert "ravdess/speech.zip" in left(data)


def test_a_page_instead_of_an_archive_is_not_kept(server, data, monkeypatch):
    offered(monkeypatch, server.offers("speech.zip", b"<!DOCTYPE html><title>Log in</title>", checksum=""))
    with pytest.raises(study.UserError, match="begins like a web page"):
        fetch.get(["ravdess"], data)
    assert left(data) == []


def test_many_files_are_fetched_once_and_a_changed_one_again(server, data, monkeypatch):
    items = [server.offers(name.replace("/", "_"), name.encode() * 50, to=name) for name in CLIPS]
    offered(monkeypatch, *items, n_clips=len(CLIPS))
    assert fetch.get(["ravdess"], data) == 0
    assert len(server.requests) == len(CLIPS)
    server.requests.clear()
    hashed: list[str] = []
    import pooch

    hash_file = pooch.file_hash
    monkeypatch.setattr(pooch, "file_hash", lambda name, **key: hashed.append(name) or hash_file(name, **key))
    assert fetch.get(["ravdess"], data) == 0
    assert (server.requests, hashed) == ([], [])
    (data / "ravdess" / CLIPS[3]).write_bytes(b"altered")
    assert fetch.get(["ravdess"], data) == 0
    assert [name for name, _ in server.requests] == [CLIPS[3].replace("/", "_")]
    assert (data / "ravdess" / CLIPS[3]).read_bytes() == CLIPS[3].encode() * 50
    assert len(hashed) == 1


def test_one_wrong_file_among_many_keeps_the_others(server, data, monkeypatch):
    items = [server.offers(name.replace("/", "_"), name.encode() * 50, to=name) for name in CLIPS]
    server.files[CLIPS[7].replace("/", "_")] = b"version https://git-lfs.github.com/spec/v1\n"
    offered(monkeypatch, *items, n_clips=len(CLIPS))
    with pytest.raises(study.UserError, match=CLIPS[7]):
        fetch.get(["ravdess"], data)
    assert f"ravdess/{CLIPS[7]}" not in left(data)
    assert f".part/ravdess/{CLIPS[7]}.part" not in left(data)


def test_a_clip_in_another_container_is_not_fetched(server, data, monkeypatch):
    items = [server.offers(name.replace("/", "_"), name.encode(), to=name) for name in CLIPS]
    offered(monkeypatch, *items)
    there = data / "ravdess" / CLIPS[0].replace(".wav", ".flac")
    there.parent.mkdir(parents=True)
    there.write_bytes(b"flac")
    fetch.get(["ravdess"], data)
    assert len(server.requests) == len(CLIPS) - 1
    assert f"ravdess/{CLIPS[0]}" not in left(data)


def test_dry_run_names_addresses_and_sizes_and_fetches_nothing(server, data, monkeypatch, capsys):
    offered(monkeypatch, server.offers("speech.zip", zipped(*CLIPS)))
    assert fetch.get(["ravdess"], data, dry_run=True) == 0
    out = capsys.readouterr().out
    assert server.address("speech.zip") in out
    assert "1 kB" in out
    assert (server.requests, left(data)) == ([], [])


def test_by_hand_prints_the_steps_and_the_folder(data, capsys):
    assert fetch.get(["savee"], data) == 1
    out = capsys.readouterr().out
    assert "kahlan.eps.surrey.ac.uk" in out
    assert str(data / "savee") in out


@pytest.mark.parametrize(
    ("names", "words"),
    [(["ravdes"], r"'ravdes' is unknown \(did you mean ravdess\?\)"), ([], "data get needs a name")],
)
def test_a_wrong_name_is_told(data, names, words):
    with pytest.raises(study.UserError, match=words):
        fetch.get(names, data)


def test_a_file_as_data_folder_is_told(data):
    (data / "file").write_text("x")
    with pytest.raises(study.UserError, match="is a file; set SER_DATA"):
        fetch.get(["ravdess"], data / "file")


def test_a_read_only_folder_is_told(data, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere, so the mode of a folder would not do
    with pytest.raises(study.UserError, match=r"cannot be written \(Permission denied\)"):
        fetch.get(["ravdess"], data)


def test_a_disk_that_is_too_small_is_told_before_the_start(server, data, monkeypatch):
    offered(monkeypatch, dataclasses.replace(server.offers("speech.zip", zipped(*CLIPS)), size=10**16))
    with pytest.raises(study.UserError, match=r"needs 20000000\.0 GB on the disk"):
        fetch.get(["ravdess"], data)
    assert server.requests == []


# --- what a person put there ------------------------------------------------------------------------------------


def test_an_archive_is_known_by_its_content(data, monkeypatch, capsys):
    offered(monkeypatch, n_clips=len(CLIPS))
    second = [f"audio_speech_actors_01-24/{name}" for name in CLIPS]
    (data / "archive.zip").write_bytes(zipped(*CLIPS, *second))
    (data / "archive(1).zip").write_bytes(zipped("holiday.wav", "readme.txt"))
    assert fetch.get(["ravdess"], data, dry_run=True) == 0
    assert fetch.get(["ravdess"], data) == 0
    assert "found 8 clips in" in capsys.readouterr().out
    assert f"ravdess/{CLIPS[0]}" in left(data)
    assert (data / "archive.zip").is_file()  # the user's own


def test_one_archive_may_hold_several_corpora(data):
    tess_clips = [f"Tess/OAF_angry/OAF_{word}_angry.wav" for word in ("back", "bar", "base")]
    (data / "archive.zip").write_bytes(zipped(*CLIPS, *tess_clips, *(f"x/{i}.wav" for i in range(30))))
    assert byhand.find(tess.CORPUS, data) is None  # three names among forty prove nothing
    (data / "archive.zip").write_bytes(zipped(*CLIPS, *tess_clips))
    byhand.unpack(data / "archive.zip", data / "ravdess", holder=data / "holder", only=ravdess.CORPUS)
    assert left(data / "ravdess") == sorted(CLIPS)


def test_an_unpacked_folder_is_linked(data, monkeypatch, capsys):
    offered(monkeypatch, n_clips=len(CLIPS))
    for name in CLIPS:
        file = data / "ravdess-emotional-speech-audio" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    assert any("from ravdess-emotional-speech-audio (8 clips)" in line for line in fetch.table(data))
    assert fetch.get(["ravdess"], data) == 0
    assert (data / "ravdess").is_symlink()
    assert "is now a link" in capsys.readouterr().out
    assert any(re.match(r"ravdess +speech +complete", line) for line in fetch.table(data))


def test_an_archive_with_all_files_at_its_top_is_used(data, monkeypatch):
    names = sorted(emodb.expected())[:30]
    offered(monkeypatch, name="emodb", n_clips=30)
    (data / "download.zip").write_bytes(zipped(*(f"{name}.wav" for name in names), "erkennung.txt", "holiday.wav"))
    assert fetch.get(["emodb"], data) == 0
    assert left(data / "emodb") == sorted([*(f"{name}.wav" for name in names), "erkennung.txt"])


def tarred(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_meld_is_known_by_its_tables_and_unpacked_with_the_archives_inside(data, monkeypatch, capsys):
    films = {f"train_splits/dia{n}_utt0.mp4": b"film" for n in range(3)}
    inside = tarred(**films, **{"train/train_sent_emo.csv": b"Sr No.,Utterance"})
    tables = {f"MELD.Raw/{part}_sent_emo.csv": b"Sr No.,Utterance" for part in ("dev", "test")}
    (data / "MELD.Raw.tar.gz").write_bytes(tarred(**tables, **{"MELD.Raw/train.tar.gz": inside}))
    offered(monkeypatch, name="meld", n_clips=3)
    row = next(line for line in fetch.table(data) if line.startswith("meld"))
    assert "data get, from MELD.Raw.tar.gz (2 tables)" in row
    assert not any("MELD" in line for line in fetch.table(data) if not line.startswith("meld"))
    assert fetch.get(["meld"], data) == 0
    said = capsys.readouterr().out
    assert "found 2 tables in" in said
    assert "found 3 clips and 1 table in" in said
    assert set(films) <= {name.removeprefix("meld/") for name in left(data)}
    assert fetch.state(corpora.CORPORA["meld"], data).tables == set(corpora.CORPORA["meld"].tables)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_meld_is_known_by_the_names_of_its_films(data, monkeypatch, kind):
    films = [f"dev_splits_complete/dia{n}_utt1.mp4" for n in range(5)]
    offered(monkeypatch, name="meld", n_clips=5)
    if kind == "zip":
        (data / "films.zip").write_bytes(zipped(*films, "dev_splits_complete/._dia0_utt1.mp4"))
    for name in films if kind == "folder" else ():
        (data / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (data / "films" / name).write_bytes(b"x")
    assert any(line.startswith("meld") and "(5 clips)" in line for line in fetch.table(data))
    assert fetch.get(["meld"], data) == 0


def test_pointers_to_sound_are_no_clips(data):
    """As a clone without git-lfs leaves them."""
    for number, name in enumerate(CLIPS):
        file = data / "ravdess" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"sound" if number else LFS_POINTER + b".github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert len(fetch.state(ravdess.CORPUS, data).ids) == len(CLIPS) - 1


def test_a_link_that_leads_back_is_counted_once(data):
    (data / "savee/ALL").mkdir(parents=True)
    (data / "savee/ALL/DC_a01.wav").write_bytes(b"sound")
    (data / "savee/ALL/again").symlink_to(data / "savee", target_is_directory=True)
    assert fetch.state(corpora.CORPORA["savee"], data).size == len(b"sound")


def spoilt_xz() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        info = tarfile.TarInfo("sound.wav")
        info.size = 200_000
        archive.addfile(info, io.BytesIO(os.urandom(info.size)))
    spoilt = bytearray(content.getvalue())
    spoilt[1000:1200] = bytes(200)
    return bytes(spoilt)


def locked() -> bytes:
    """A zip whose files ask for a password, as its flags say."""
    content = bytearray(zipped(*CLIPS))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # each file's own header, and the list at the end
        for found in re.finditer(re.escape(mark), bytes(content)):
            content[found.start() + at] |= 1
    return bytes(content)


DAMAGED = {  # file name → content, what is said of it
    "archive.zip": (zipped(*CLIPS)[:-40], "not readable as a zip or tar archive, or damaged ("),
    "archive.tar": (b"nothing of the kind", "not readable as a zip or tar archive, or damaged ("),
    "archive.tar.gz": (b"<!DOCTYPE html><html>", "not readable as a zip or tar archive (it begins like a web page)"),
    "archive.tar.xz": (spoilt_xz(), "not readable as a zip or tar archive, or damaged ("),
    "archive.tar.bz2": (b"BZh9" + bytes(99), "not readable as a zip or tar archive, or damaged ("),
    "locked.zip": (locked(), "asks for a password; unpack it yourself"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_archive_is_named_in_one_line_below_the_table(data, name):
    content, words = DAMAGED[name]
    (data / name).write_bytes(content)
    lines = fetch.table(data)
    assert len(lines) == len(corpora.CORPORA) + 2
    assert lines[-1].startswith(f"{data / name}: {words}")
    assert "\n" not in lines[-1]


@pytest.mark.parametrize(
    ("name", "corpus", "told"),
    [
        ("archive.tar", "savee", True),  # nobody knows what it holds, and SAVEE has to come by hand
        ("archive.tar", "esc50", False),
        ("ESC-50-master.tar", "esc50", True),
        ("ESC-50-master.tar", "savee", False),
        ("ESC-50-master.tar", "demo", False),
        ("savee/part.tar", "savee", True),
        ("savee/part.tar", "esc50", False),
    ],
)
def test_a_damaged_archive_is_told_to_whom_it_concerns(data, capsys, name, corpus, told):
    (data / "savee").mkdir()
    (data / name).write_bytes(b"nothing of the kind")
    fetch.get([corpus], data, dry_run=True)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith(str(data / name))]
    assert len(said) == told


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_archive_with_a_password_stops_and_leaves_nothing(data, dry_run):
    (data / "archive.zip").write_bytes(locked())
    with pytest.raises(study.UserError, match=r"archive\.zip: asks for a password"):
        fetch.get(["ravdess"], data, dry_run=dry_run)
    assert [path.name for path in data.rglob("*")] == ["archive.zip"]


def test_an_archive_with_a_spoilt_file_stops_and_leaves_nothing(data):
    content = bytearray(zipped(*CLIPS))
    content[content.index(b"sound of " + CLIPS[5].encode())] ^= 1
    (data / "archive.zip").write_bytes(content)
    with pytest.raises(study.UserError, match=r"archive.zip: .* damaged \(Bad CRC-32") as raised:
        fetch.get(["ravdess"], data)
    assert "\n" not in str(raised.value)
    assert [path.name for path in data.rglob("*")] == ["archive.zip"]


@pytest.mark.parametrize("name", ["../evil.csv", "/tmp/evil.csv", "a/../../evil.csv", "..\\evil.csv"])
def test_a_path_that_leads_out_is_not_unpacked(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zipped("good.csv", **{name: b"x"}))
    assert byhand.unpack(tmp_path / "a.zip", tmp_path / "t" / "u", holder=tmp_path / "h") == 1
    assert left(tmp_path) == ["a.zip", "t/u/good.csv"]


def test_a_link_in_a_tar_is_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("out.csv")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
        info = tarfile.TarInfo("good.csv")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"ab"))
    assert byhand.unpack(tmp_path / "a.tar.gz", tmp_path / "t", holder=tmp_path / "h") == 1
    assert left(tmp_path / "t") == ["good.csv"]


def test_a_damaged_member_leaves_no_file(tmp_path):
    content = bytearray(zipped(*CLIPS))
    content[content.index(b"sound of " + CLIPS[5].encode())] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(study.UserError, match=r"damaged \(Bad CRC-32"):
        byhand.unpack(tmp_path / "a.zip", tmp_path / "t", holder=tmp_path / "h")
    assert left(tmp_path) == ["a.zip"]


# --- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["esc50 tess --keep --dry-run", "--keep --dry-run esc50 tess", "--keep esc50 --dry-run tess"]
)
def test_names_and_options_stand_in_any_order(data, monkeypatch, words):
    asked = []
    monkeypatch.setenv("SER_DATA", str(data))
    monkeypatch.setattr(fetch, "get", lambda names, _, **options: asked.append((names, options)) or 0)
    assert command.main(["data", "get", *words.split()]) == 0
    assert asked == [(["esc50", "tess"], {"keep": True, "dry_run": True})]


def test_a_check_takes_its_profile_before_the_names(data, monkeypatch, capsys):
    asked = []
    monkeypatch.setenv("SER_DATA", str(data))
    monkeypatch.setattr(corpora, "check_report", lambda names, **more: asked.append((names, more)) or ("fine", True))
    assert command.main(["data", "check", "--profile", "demo", "emodb"]) == 0
    assert asked == [(["emodb"], {"profile": "demo"})]


def test_a_wrong_number_of_processes_is_told_at_once(data, monkeypatch, capsys):
    monkeypatch.setenv("SER_JOBS", "two")
    assert command.main(["data", "list"]) == 2
    assert capsys.readouterr().err.startswith("error: SER_JOBS=two is no number of processes")


@pytest.mark.parametrize("words", ["data check --nonsense emodb", "verify emodb", "data check emodb --keeps"])
def test_words_that_no_command_knows_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        command.main(words.split())
    assert "unrecognized arguments: " in capsys.readouterr().err


# --- the table --------------------------------------------------------------------------------------------------


def test_the_table_names_every_corpus(data):
    lines = fetch.table(data)
    assert [line.split()[0] for line in lines[1:]] == list(corpora.CORPORA)
    savee = next(line for line in lines if line.startswith("savee"))
    assert re.search(r"absent +480 clips .*by hand$", savee)


def test_the_table_names_the_users_own_corpora_of_a_profile(data, monkeypatch):
    tables = {"mine": {}, "other": {}, "absent": {}}
    monkeypatch.setattr(study, "load_profile", lambda name: study.PROFILE_DEFAULTS | {"tables": tables})
    monkeypatch.setenv("SER_DATA", str(data))
    for name, emotion in {"mine": "sad", "other": "hungry"}.items():
        (data / name).mkdir()
        (data / name / "labels.csv").write_text(f"path,emotion\na.mp3,{emotion}\n", encoding="utf-8")
        (data / name / "a.mp3").write_bytes(b"x")
    (data / "archive.zip").write_bytes(zipped("b.mp3"))  # any sound could be the user's, so names tell nothing
    lines = fetch.table(data, profile="any")
    told = {line.split()[0]: line for line in lines[len(corpora.CORPORA) + 1 :]}
    assert re.search(r"speech +1 clips .*not stated$", told["mine"])
    assert re.search(r"speech +absent .*not stated", told["absent"])
    assert "not readable, see below" in told["other"]
    assert "unknown emotions: 'hungry'" in lines[-1]


@pytest.mark.real
def test_real_corpora_are_counted_by_name():
    for name in ("ravdess", "emodb"):
        if not (REAL / name).is_dir():
            pytest.skip(f"no {name} below SER_DATA")
        assert fetch.state(corpora.CORPORA[name], REAL).complete
