"""librosa's functions are compiled by one process, once; what an earlier one left half-way is not trusted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ser_utils import compiled, study

TOLD = "import os, time; time.sleep(0.3); open(os.environ['TOLD'], 'a').write('x')"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache" / ".numba"))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setattr(compiled, "COMPILE", TOLD)
    return tmp_path / "cache" / ".numba"


def test_a_spoilt_cache_is_made_anew_and_a_whole_one_is_kept(folder, tmp_path):
    (folder / "util").mkdir(parents=True)
    (folder / "util" / "guf-utils.1.nbc").write_bytes(b"half")
    compiled.once()
    assert not (folder / "util").exists()
    (folder / "kept.nbc").write_bytes(b"whole")
    compiled.once()
    assert (folder / "kept.nbc").exists()
    assert (tmp_path / "told").read_text() == "x"


def test_another_environment_compiles_anew(folder, tmp_path, monkeypatch):
    compiled.once()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "elsewhere"))
    compiled.once()
    assert (tmp_path / "told").read_text() == "xx"


def test_of_many_processes_one_compiles(folder, tmp_path):
    code = f"from ser_utils import compiled; compiled.COMPILE = {TOLD!r}; compiled.once()"
    runs = [subprocess.Popen([sys.executable, "-c", code], cwd=study.ROOT, env=os.environ) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert (tmp_path / "told").read_text() == "x"


def test_a_failure_leaves_no_mark(folder, monkeypatch):
    monkeypatch.setattr(compiled, "COMPILE", "raise SystemExit(3)")
    with pytest.raises(subprocess.CalledProcessError):
        compiled.once()
    assert not list(folder.glob("complete-*"))
