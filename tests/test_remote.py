"""Remote data folders: a local object store over the real protocol, plain HTTP, and what goes wrong in one sentence."""

from __future__ import annotations

import functools
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from conftest import Project

from ser_utils import graph, remote, study

FILES = {f"ravdess/Actor_01/{number:02d}.wav": bytes([number]) * 1000 for number in range(12)}
ADDRESS = "s3://voices/corpora"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
LOG: list[tuple[str, str]] = []  # method and path of every request that the store got


def watched(app):
    """The store, noting its requests; a path in FAILING is answered with an error, once what BEFORE says holds."""

    @functools.wraps(app)
    def call(environ, start):
        LOG.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if any(environ["PATH_INFO"].endswith(name) for name in FAILING) and environ["REQUEST_METHOD"] == "GET":
            until(lambda: all(holds() for holds in BEFORE))
            start("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        return app(environ, start)

    return call


FAILING: set[str] = set()
BEFORE: list[Callable[[], bool]] = []


def until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from werkzeug.serving import make_server

    store = make_server("127.0.0.1", 0, watched(moto.DomainDispatcherApplication(moto.create_backend_app)), True)
    thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{store.port}"
    store.shutdown()
    thread.join()


@pytest.fixture
def bucket(endpoint, monkeypatch, tmp_path):
    """A client of the store whose bucket ``voices`` holds FILES, and the environment that points at it."""
    import boto3
    import s3fs

    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "NO_PROXY": "*"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="voices")
    for name, content in FILES.items():
        client.put_object(Bucket="voices", Key=f"corpora/{name}", Body=content)
    FAILING.clear()
    BEFORE.clear()
    LOG.clear()
    yield client
    for item in client.list_objects_v2(Bucket="voices").get("Contents", []):
        client.delete_object(Bucket="voices", Key=item["Key"])
    client.delete_bucket(Bucket="voices")
    s3fs.S3FileSystem.clear_instance_cache()


def got() -> list[str]:
    """Files that were asked of the store since the last look."""
    names = sorted(path.rpartition("/")[2] for method, path in LOG if method == "GET" and path.endswith(".wav"))
    LOG.clear()
    return names


def held(target: Path) -> dict[str, bytes]:
    files = (file for file in target.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {file.relative_to(target).as_posix(): file.read_bytes() for file in files}


# --- an object store --------------------------------------------------------------------------------------------


def test_a_bucket_is_mirrored_once(bucket, tmp_path):
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert held(tmp_path / "m") == FILES
    assert len(got()) == len(FILES)
    before = study.fingerprint(tmp_path / "m" / "ravdess")
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert got() == []
    assert study.fingerprint(tmp_path / "m" / "ravdess") == before


def test_only_what_is_asked_for_comes(bucket, tmp_path):
    bucket.put_object(Bucket="voices", Key="corpora/tess/a.wav", Body=b"x")
    bucket.put_object(Bucket="voices", Key="corpora/ravdess2/a.wav", Body=b"x")
    remote.mirror(ADDRESS, ["ravdess", "emodb"], tmp_path / "m")
    assert held(tmp_path / "m") == FILES
    assert not (tmp_path / "m" / "emodb").exists()


def test_an_interrupted_mirror_goes_on(bucket, tmp_path):
    FAILING.add("07.wav")
    BEFORE.append((tmp_path / "m" / remote.INDEX).is_file)  # a first file has come
    with pytest.raises(study.UserError, match="access is denied"):
        remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    have = held(tmp_path / "m")
    assert 0 < len(have) < len(FILES)
    assert all(FILES[name] == content for name, content in have.items())
    FAILING.clear()
    got()
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert held(tmp_path / "m") == FILES
    assert got() == sorted(Path(name).name for name in FILES if name not in have)


def test_a_changed_object_comes_again_and_a_deleted_one_goes(bucket, tmp_path):
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    got()
    bucket.put_object(Bucket="voices", Key="corpora/ravdess/Actor_01/03.wav", Body=b"\xff" * 1000)  # of the same size
    bucket.delete_object(Bucket="voices", Key="corpora/ravdess/Actor_01/04.wav")
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert got() == ["03.wav"]
    have = held(tmp_path / "m")
    assert have["ravdess/Actor_01/03.wav"] == b"\xff" * 1000
    assert set(FILES) - set(have) == {"ravdess/Actor_01/04.wav"}


def test_what_was_touched_or_added_in_the_mirror_is_set_right(bucket, tmp_path):
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    got()
    folder = tmp_path / "m" / "ravdess" / "Actor_01"
    (folder / "05.wav").write_bytes(b"cut")
    (folder / "mine.wav").write_bytes(b"x")
    (folder / "06.wav").unlink()
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert held(tmp_path / "m") == FILES
    assert got() == ["05.wav", "06.wav"]


def test_a_cut_index_costs_one_file(bucket, tmp_path):
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    got()
    index = tmp_path / "m" / remote.INDEX
    index.write_text(index.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert len(got()) == 1
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert got() == []


def test_a_killed_process_goes_on(bucket, tmp_path):
    """Only what was under way comes again: every finished file is in the index at once."""
    code = (
        "import os; from pathlib import Path; from ser_utils import remote\n"
        "note, count = remote._Index.note, []\n"
        "def counted(self, file):\n"
        "    note(self, file); count.append(1)\n"
        "    if len(count) == 4: os.kill(os.getpid(), 9)\n"
        "remote._Index.note = counted; remote.transfer.THREADS = 1\n"
        f"remote.mirror({ADDRESS!r}, ['ravdess'], Path({str(tmp_path / 'm')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=study.ROOT, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    noted = (tmp_path / "m" / remote.INDEX).read_text(encoding="utf-8").splitlines()
    assert 4 <= len(noted) < len(FILES)
    got()
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert held(tmp_path / "m") == FILES
    # as a set: a last request of the killed process may reach the store only now
    assert set(got()) == {Path(name).name for name in FILES} - {Path(json.loads(line)[0]).name for line in noted}


def test_a_path_that_leads_out_is_refused(tmp_path, monkeypatch):
    class System:
        def find(self, *_: object, **__: object) -> dict[str, dict]:
            return {"b/c/ravdess/../../../evil.wav": {"size": 1}}

    with pytest.raises(study.UserError, match="leads out of its folder"):
        remote._listing(System(), "b/c", "ravdess")


# --- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://no-such-bucket/corpora", "no such bucket or folder .*; mend the address"),
        ("s3://voices/corpra", "no such bucket or folder .*; mend the address"),
        ("s3://voices", r"holds none of the folders ravdess \(it holds corpora\)"),
    ],
)
def test_a_wrong_address_is_one_sentence_and_keeps_the_mirror(bucket, tmp_path, address, words):
    remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    with pytest.raises(study.UserError, match=words) as caught:
        remote.mirror(address, ["ravdess"], tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert held(tmp_path / "m") == FILES


def test_missing_credentials_are_told(bucket, tmp_path, monkeypatch):
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(study.UserError, match=r"no credentials found .* set AWS_ACCESS_KEY_ID"):
        remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")


def test_a_dead_endpoint_is_told(tmp_path):
    with pytest.raises(study.UserError, match=r"http://127\.0\.0\.1:9/x: cannot be reached"):
        remote.mirror("http://127.0.0.1:9/x", ["ravdess"], tmp_path / "m")


@pytest.mark.parametrize(
    ("address", "words"),
    [("nothing://x/y", "protocol nothing:// is unknown"), ("abfs://x/y", r"abfs:// needs adlfs: pip install adlfs")],
)
def test_a_protocol_without_its_package_is_told(address, words):
    with pytest.raises(study.UserError, match=words):
        remote.check(address)


def test_a_full_disk_is_told_before_the_start(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(remote.transfer, "RESERVE", 10**18)
    with pytest.raises(study.UserError, match=r"the mirror of .* needs 12 kB on the disk"):
        remote.mirror(ADDRESS, ["ravdess"], tmp_path / "m")
    assert got() == []


# --- other protocols --------------------------------------------------------------------------------------------


def test_memory_and_local_folders_are_mirrored(tmp_path):
    system = fsspec.filesystem("memory")
    system.pipe({f"/corpora/{name}": content for name, content in FILES.items()})
    remote.mirror("memory://corpora", ["ravdess"], tmp_path / "a")
    remote.mirror(f"file://{tmp_path / 'a'}", ["ravdess"], tmp_path / "b")
    assert held(tmp_path / "a") == held(tmp_path / "b") == FILES


def test_plain_http_is_mirrored_by_its_listing(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_bytes(content)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.command)

    serve = functools.partial(Handler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        remote.mirror(address, ["ravdess"], tmp_path / "m")
        assert held(tmp_path / "m") == FILES
        first = asked.count("GET")
        remote.mirror(address, ["ravdess"], tmp_path / "m")
        assert asked.count("GET") - first < len(FILES)  # the listing; the files themselves are only asked for by HEAD
        server.shutdown()


# --- the study --------------------------------------------------------------------------------------------------


def test_paths_are_the_mirror_without_asking_anyone(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setenv("SER_DATA", "s3://nobody/knows/")
    where = study.paths("demo").data
    assert where.parent == tmp_path / "data" / "mirror"
    assert not where.exists()
    monkeypatch.setenv("SER_DATA", "s3://nobody/knows")
    assert study.paths("demo").data == where
    monkeypatch.setenv("SER_DATA", "s3://nobody/else")
    assert study.paths("demo").data != where
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    assert study.paths("demo").data == tmp_path


def test_synthetic_corpora_need_no_remote(monkeypatch):
    monkeypatch.setenv("SER_DATA", "s3://nobody/knows")
    monkeypatch.setattr(remote, "mirror", lambda *_: pytest.fail("asked the network"))
    graph._check_data("demo", dry_run=False)


def test_a_run_mirrors_what_its_profile_names(bucket, project: Project):
    for name, content in FILES.items():
        bucket.put_object(Bucket="voices", Key=f"corpora/{name.replace('ravdess', 'toy')}", Body=content)
    code = "from ser_utils import graph; graph._check_data('toy', dry_run=False)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.environment | {"SER_DATA": ADDRESS, "SER_OUT": str(project.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mirror: 12 of 12 files to bring, 12 kB" in done.stderr
    assert len(list((project.root / "data" / "mirror").glob("*/toy/Actor_01/*.wav"))) == len(FILES)
    assert not list((project.root / "data" / "mirror").glob("*/ravdess"))


def test_a_wrong_bucket_ends_a_run_in_one_sentence(bucket, project: Project):
    done = project.run("run", "--profile", "toy", SER_DATA="s3://no-such-bucket/x", SER_OUT=str(project.root))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "error: SER_DATA=s3://no-such-bucket/x: no such bucket or folder" in done.stderr
