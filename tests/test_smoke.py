"""The whole study on a few dozen synthetic clips, through the front door; then the report that it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from walk_results import differing

from ser_utils import report, study
from ser_utils.report import crate

pytestmark = pytest.mark.slow


def _run_all(*arguments: str, out: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SER_OUT": str(out), "VIRTUAL_ENV": sys.prefix}
    command = [str(study.ROOT / "run_all.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("smoke")
    return out, _run_all("smoke", out=out)


def test_runs_to_the_end(smoke):
    out, done = smoke
    assert done.returncode == 0, done.stderr[-4000:]
    names = list(study.load_profile("smoke")["notebooks"])
    for name in names:
        assert f"{name} done in" in done.stderr
    assert {page.stem for page in (out / "reports" / "smoke").glob("*.html")} == {"index", *names}


def test_pages_are_sound(smoke):
    out, _ = smoke
    pages = sorted((out / "reports" / "smoke").glob("*.html"))
    assert {page.name: report.problems(page) for page in pages} == {page.name: [] for page in pages}


def test_every_result_can_be_computed_from_the_saved_predictions(smoke):
    reports = smoke[0] / "reports" / "smoke"
    files = [reports / "predictions" / f"{name}.parquet" for name in study.load_profile("smoke")["notebooks"]]
    assert differing(reports / "results.csv", [file for file in files if file.is_file()]) == []
    for file in sorted((reports / "results").glob("*.csv")):
        assert differing(file, [reports / "predictions" / f"{file.stem}.parquet"]) == []


def test_the_crate_is_valid(smoke):
    reports = smoke[0] / "reports" / "smoke"
    assert crate.problems(json.loads((reports / crate.FILE).read_text(encoding="utf-8")), reports) == []


def test_names_the_corpus_synthetic(smoke):
    index = (smoke[0] / "reports" / "smoke" / "index.html").read_text(encoding="utf-8")
    assert "they say nothing about people" in index


def test_second_run_does_nothing(smoke):
    started = time.monotonic()
    again = _run_all("smoke", out=smoke[0])
    assert again.returncode == 0, again.stderr[-4000:]
    assert "nothing to do" in again.stderr
    assert " runs: " not in again.stderr
    assert time.monotonic() - started < 15


def test_verifies(smoke):
    done = subprocess.run(
        [sys.executable, "-m", "ser_utils", "verify", "--profile", "smoke"],
        env=os.environ | {"SER_OUT": str(smoke[0])},
        cwd=study.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
