"""The whole study on a few dozen synthetic clips, through the front door; then the report that it left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from walk_results import differing, untraced, wrong_intervals

from ser_utils import evaluation, report, study
from ser_utils.report import compare, crate

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


def test_every_interval_can_be_computed_from_the_saved_predictions(smoke):
    reports = smoke[0] / "reports" / "smoke"
    run = json.loads((reports / "run.json").read_text(encoding="utf-8"))
    for file in [reports / "results.csv", *sorted((reports / "results").glob("*.csv"))]:
        owner = next(
            name for name in run["notebooks"] if name.startswith("09" if file.stem == "results" else file.stem[:2])
        )
        settings = run["notebooks"][owner]["parameters"]
        names = study.load_profile("smoke")["notebooks"] if file.stem == "results" else [file.stem]
        files = [reports / "predictions" / f"{name}.parquet" for name in names]
        options = {"n_resamples": settings["resamples"], "seed": settings["seed"]}
        assert wrong_intervals(file, [each for each in files if each.is_file()], **options) == []


def test_every_number_with_an_interval_on_the_evaluation_page_is_in_a_saved_table(smoke):
    reports = smoke[0] / "reports" / "smoke"
    tables = [reports / "results.csv", *(reports / "results").glob("*.csv"), *(reports / "tables").glob("*.csv")]
    assert untraced(reports / "09_evaluation.html", tables) == []


def test_pages_are_light(smoke):
    sizes = {page.name: page.stat().st_size / 1e6 for page in (smoke[0] / "reports" / "smoke").glob("*.html")}
    assert {name: size for name, size in sizes.items() if size > 3} == {}


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


@pytest.fixture
def copied(smoke, tmp_path):
    """The scores of the run in another place, with the predictions that gave them."""
    reports = smoke[0] / "reports" / "smoke"
    other = tmp_path / "reports" / "smoke"
    shutil.copytree(reports / "predictions", other / "predictions")
    for name in ("results.csv", "run.json"):
        shutil.copy(reports / name, other / name)
    return tmp_path


def test_a_run_is_identical_to_its_copy_and_changed_where_labels_are_shifted_by_one(smoke, copied, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(smoke[0]))
    lines, fine = compare.report("smoke", copied)
    assert fine
    assert "why they may differ:" not in lines
    assert "identical" in lines[2]
    assert not any(level in lines[2] for level in compare.LEVELS[1:])
    monkeypatch.setenv("SER_OUT", str(copied))
    table = evaluation.load_predictions("smoke")
    names = evaluation.classes(table["y_true"])
    table["y_pred"] = table["y_pred"].map(dict(zip(names, [*names[1:], names[0]], strict=True)))
    probabilities = [f"p_{name}" for name in names]
    table[probabilities] = table[[probabilities[-1], *probabilities[:-1]]].to_numpy()
    evaluation.save_results(evaluation.results_table(table), copied / "reports" / "smoke" / "results.csv")
    lines, fine = compare.report("smoke", smoke[0])
    assert not fine
    assert any(line.startswith("changed: ") for line in lines)
