"""Published weights: found where they lie, used only as published, and said how to get when they are not there."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import pytest
from test_fetch import Server, server  # noqa: F401 - a fixture

from ser_utils import study, weights

CONTENT = b"published weights" * 100


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()


@pytest.fixture
def toy(monkeypatch):
    """Weights of which we know the content."""
    entry = dataclasses.replace(
        weights.WEIGHTS["gtcrn"], file="toy.bin", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT)
    )
    monkeypatch.setitem(weights.WEIGHTS, "toy", entry)
    return entry


def test_own_folder_goes_before_the_projects(toy, tmp_path, monkeypatch):
    project = tmp_path / "out" / "data" / "pretrained"
    project.mkdir(parents=True)
    (project / "toy.bin").write_bytes(CONTENT)
    assert weights.find("toy") == project / "toy.bin"
    (tmp_path / "own" / "toy.bin").write_bytes(CONTENT)
    assert weights.find("toy") == tmp_path / "own" / "toy.bin"
    monkeypatch.delenv("SER_PRETRAINED")
    assert weights.find("toy") == project / "toy.bin"


def test_missing_weights_are_named_with_size_source_and_place(toy, tmp_path):
    with pytest.raises(study.UserError) as error:
        weights.find("toy")
    said = str(error.value)
    for part in ("toy.bin", "2 kB", toy.address, str(tmp_path / "own"), "data/pretrained", "weights.get('toy')"):
        assert part in said
    assert weights.not_run("toy").startswith("not run: ")
    assert str(tmp_path) not in weights.not_run("toy")  # reports are published


def test_altered_weights_are_not_used_and_the_check_is_remembered(toy, tmp_path, monkeypatch):
    file = tmp_path / "own" / "toy.bin"
    file.write_bytes(CONTENT)
    reads = []
    monkeypatch.setattr(study, "sha256", lambda path, take=study.sha256: reads.append(path) or take(path))
    assert [weights.find("toy") for _ in range(3)] == [file] * 3
    assert len(reads) == 1
    file.write_bytes(CONTENT[:-1] + b"!")
    os.utime(file, ns=(1, 1))
    with pytest.raises(study.UserError, match=r"toy\.bin.*not the published.*delete it"):
        weights.find("toy")
    assert len(reads) == 2


def test_what_cannot_be_read_is_one_sentence(toy, tmp_path):
    (tmp_path / "own" / "toy.bin").mkdir()
    with pytest.raises(study.UserError, match=r"toy\.bin: cannot be read"):
        weights.find("toy")


def test_unknown_weights_are_refused():
    with pytest.raises(study.UserError, match="'dtnl' are unknown; use one of dtln_norm_500h"):
        weights.find("dtnl")


def test_the_table_tells_what_is_ready(toy, tmp_path):
    (tmp_path / "own" / "toy.bin").write_bytes(CONTENT)
    table = weights.status().set_index("name")
    assert table.loc["toy", "state"] == "ready"
    assert table.loc["byol_s", "state"].startswith("not run: ")
    assert "weights.get('byol_s')" in table.loc["byol_s", "state"]
    assert table.loc["metricgan_plus", "size"] == "7.6 MB"


def test_every_entry_is_complete():
    for entry in weights.WEIGHTS.values():
        assert len(entry.sha256) == 64
        assert entry.address.startswith("https://")
        assert "doi" in entry.citation
        assert entry.licence
    assert len({entry.file for entry in weights.WEIGHTS.values()}) == len(weights.WEIGHTS)


# --- fetching ---------------------------------------------------------------------------------------------------


def offered(server: Server, content: bytes, entry: weights.Weights, monkeypatch) -> None:  # noqa: F811
    """The toy weights come from `server` now."""
    server.files["toy"] = content
    monkeypatch.setitem(weights.WEIGHTS, "toy", dataclasses.replace(entry, address=server.address("toy")))


def test_weights_are_fetched_once_and_checked(toy, tmp_path, server, monkeypatch):  # noqa: F811
    offered(server, CONTENT, toy, monkeypatch)
    file = weights.get("toy")
    assert file == tmp_path / "out" / "data" / "pretrained" / "toy.bin"
    assert file.read_bytes() == CONTENT
    assert weights.get("toy") == weights.find("toy") == file
    assert len(server.requests) == 1
    assert [path.name for path in file.parent.iterdir()] == ["toy.bin"]


def test_other_content_from_the_address_is_not_kept(toy, tmp_path, server, monkeypatch):  # noqa: F811
    offered(server, CONTENT + b"!", toy, monkeypatch)
    with pytest.raises(study.UserError, match="is not the published"):
        weights.get("toy")
    assert not list((tmp_path / "out" / "data" / "pretrained").iterdir())


def test_a_folder_that_cannot_be_made_is_one_sentence(toy, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(study.UserError, match=r"cannot be written.*SER_PRETRAINED"):
        weights.get("toy")
