"""Parameters are checked before anything runs; the graph reruns what changed, says why, and survives failures."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psutil
import pytest
from conftest import LSTM, make_project

from ser_utils import console, graph, parameters, runner, study
from ser_utils.report import record

# --- parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "fitting"),
    [
        (3, "int", True),
        (3.0, "int", False),
        (True, "int", False),
        (3, "float", True),
        ("1e-3", "float", False),
        ("a", "str", True),
        (["a"], "list[str]", True),
        (["a", 1], "list[str]", False),
        ([1, 2.5], "tuple[float, ...]", True),
        ({"a": 1}, "dict[str, int]", True),
        (None, "int | None", True),
        ("x", "int | None", False),
    ],
)
def test_fits(value, kind, fitting):
    assert parameters.fits(value, kind) is fitting


def test_parse_reads_type_default_and_comment():
    found = parameters.parse('epochs: int = 5  # most epochs\nname = "a # b"  # a word')
    assert found["epochs"] == parameters.Parameter("epochs", "int", 5, "most epochs")
    assert found["name"] == parameters.Parameter("name", "str", "a # b", "a word")


@pytest.mark.parametrize("source", ["import os", "a = b", "a: int", "x, y = 1, 2"])
def test_parse_refuses_more_than_literals(source):
    with pytest.raises((ValueError, AttributeError)):
        parameters.parse(source)


def test_every_shipped_profile_fits_its_notebooks():
    for profile in study.profiles():
        for name in study.load_profile(profile)["notebooks"]:
            parameters.check(name, profile)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"lstm": {"epoch": 3}}, "notebooks.04_lstm.epoch is not a parameter of notebooks/04_lstm.ipynb; did you mean"),
        ({"lstm": {"epochs": "ten"}}, "'ten' (str), but notebooks/04_lstm.ipynb wants int, such as 1"),
        ({"lstm": {"epochs": "1e2"}}, "YAML wants a dot and a sign"),
        ({"lstm": {"profile": "demo"}}, "the run sets this parameter itself"),
        ({"lstm": [1]}, "write 'parameter: value' lines below it"),
    ],
)
def test_a_wrong_parameter_stops_the_run_before_it_starts(project, section, said):
    project.configure(eda={}, **section)
    done = project.run("run", "--profile", "toy")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: config/toy.yaml: notebooks.04_lstm")
    assert said in done.stderr
    assert not (project.root / "reports").exists()


@pytest.mark.parametrize("more", [{}, {"dry_run": True}])
def test_corpora_that_cannot_be_meant_stop_the_run_before_it_starts(monkeypatch, tmp_path, more):
    profile = study.PROFILE_DEFAULTS | {"corpora": ["emodb", "emodb"], "notebooks": {}}
    monkeypatch.setattr(study, "load_profile", lambda name: profile)
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setattr(graph, "_snakemake", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(study.UserError, match="corpora: emodb stands there 2 times"):
        graph.run("any", **more)
    assert list(tmp_path.iterdir()) == []


def test_unknown_notebook_is_named(project):
    done = project.run("run", "--profile", "toy", "--only", "05")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "notebook '05' is not in config/toy.yaml" in done.stderr


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "Missing output files: reports/demo/records/04_lstm.json, x; Updated input files: y",
            "no finished result yet",
        ),
        ("Missing output files: reports/demo/04_lstm.html", "reports/demo/04_lstm.html missing"),
        ("Input files updated by another job: reports/demo/results.csv", "new results of 09_evaluation"),
        ("Forced execution", "asked for"),
    ],
)
def test_why(reason, said):
    assert console.why(reason, "demo", "asked for") == said


def test_error_line_names_the_cause():
    error = runner._error(3, "InvalidArgumentError", "Graph execution error:\n\nnode\nTypeError: wrong shape\n  File")
    assert error == {
        "cell": 3,
        "name": "InvalidArgumentError",
        "message": "Graph execution error: TypeError: wrong shape",
    }


# --- runs -------------------------------------------------------------------------------------------------------


def _ran(stderr: str) -> dict[str, str]:
    """What ran, and why."""
    return dict(line.split(" runs: ") for line in stderr.splitlines() if " runs: " in line)


def test_only_what_changed_runs_again(project):
    first = project.run("run", "--profile", "toy")
    assert first.returncode == 0, first.stderr
    assert list(_ran(first.stderr)) == ["manifest", "01_eda", "04_lstm", "09_evaluation"]
    assert "04_lstm · fold 1 of 1" in first.stderr
    assert "reports/toy/index.html" in first.stderr
    assert project.run("verify", "--profile", "toy").returncode == 0

    started = time.monotonic()
    again = project.run("run", "--profile", "toy")
    assert (again.returncode, _ran(again.stderr)) == (0, {})
    assert "nothing to do" in again.stderr
    assert time.monotonic() - started < 15

    (project.root / "notebooks" / "04_lstm.ipynb").touch()
    (project.root / "ser_utils" / "runner.py").touch()  # no notebook's result depends on it
    touched = _ran(project.run("run", "--profile", "toy", "--dry-run").stderr.replace("would run", "runs"))
    assert touched == {
        "04_lstm": "notebooks/04_lstm.ipynb changed",
        "09_evaluation": "new results of 04_beside and 04_lstm",
    }

    (project.root / "ser_utils" / "features.py").write_text('"""Changed."""\n\nVALUE = 2\n', encoding="utf-8")
    done = project.run("run", "--profile", "toy")
    assert list(_ran(done.stderr)) == ["04_lstm", "09_evaluation"]
    assert "ser_utils/features.py changed" in _ran(done.stderr)["04_lstm"].replace("and ", "")

    project.configure(eda={"rows": 7}, lstm={"epochs": 3}, evaluation={})
    changed = project.run("run", "--profile", "toy")
    assert _ran(changed.stderr) == {"01_eda": "rows is now 7 (config/toy.yaml)"}
    assert "7 toy" in (project.root / "reports" / "toy" / "notebooks" / "01_eda.ipynb").read_text(encoding="utf-8")

    results = project.root / "reports" / "toy" / "results.csv"
    results.write_text(results.read_text(encoding="utf-8").replace("0.", "0.1"), encoding="utf-8")
    verified = project.run("verify", "--profile", "toy")
    assert verified.returncode == 1
    assert "results.csv: changed since 09_evaluation wrote it" in verified.stderr
    assert "not what the predictions" in verified.stderr


def test_a_failed_notebook_keeps_its_page_and_stops_what_needs_it(project):
    cells = [
        "from ser_utils import study",
        "print('so far')",
        "raise study.UserError('clip a.wav is empty; replace it')",
    ]
    project.write("04_lstm", cells, "epochs: int = 1  # passes\n")
    done = project.run("run", "--profile", "toy")
    sentence = "04_lstm failed in cell 5: UserError: clip a.wav is empty; replace it"
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "not run, since they need what failed: 09_evaluation" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.record("01_eda")["status"] == "ok"
    assert project.record("04_lstm")["error"]["message"] == "clip a.wav is empty; replace it"
    reports = project.root / "reports" / "toy"
    page = (reports / "04_lstm.html").read_text(encoding="utf-8")
    assert "so far" in page
    assert "clip a.wav is empty" in page
    assert (reports / "notebooks" / "04_lstm.ipynb").is_file()
    assert "not run: 04_lstm failed" in (reports / "index.html").read_text(encoding="utf-8")

    planned = project.run("run", "--profile", "toy", "--dry-run")
    assert "04_lstm would run: its last run failed" in planned.stderr
    project.write("04_lstm", LSTM, "epochs: int = 1  # passes\n")
    mended = project.run("run", "--profile", "toy")
    assert (mended.returncode, list(_ran(mended.stderr))) == (0, ["04_lstm", "09_evaluation"]), mended.stderr
    assert "not run: " not in (reports / "index.html").read_text(encoding="utf-8")
    assert "Not current" not in (reports / "09_evaluation.html").read_text(encoding="utf-8")

    project.write("04_lstm", cells, "epochs: int = 1  # passes\n")
    project.run("run", "--profile", "toy")
    index = (reports / "index.html").read_text(encoding="utf-8")
    assert "not run: 04_lstm failed" in index
    assert "These scores come from an earlier run" in index
    assert "04_lstm failed in the last run" in (reports / "09_evaluation.html").read_text(encoding="utf-8")
    verified = project.run("verify", "--profile", "toy")
    assert "09_evaluation: did not run, since 04_lstm failed" in verified.stderr


def test_a_notebook_waits_until_it_ran_or_is_current(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    names = ["01_eda", "04_lstm", "09_evaluation"]
    reports = study.paths("demo").reports

    def after(targets, *, planned=(), begun=(), failed=()):
        said = console.Console("demo", {}, dry_run=False)
        said.planned, said.begun, said.failed = set(planned), set(begun), dict.fromkeys(failed, "")
        graph._keep_waiting("demo", names, targets, said)
        return record.load_waiting(reports)

    stuck = {"09_evaluation": ["04_lstm"]}
    assert after(names, planned=names, begun=names[:2], failed=names[:2]) == stuck
    assert after(["01_eda"], planned=["01_eda"], begun=["01_eda"]) == stuck
    assert after(names) == {}
    assert after(names, planned=["manifest", *names], begun=["manifest"], failed=["manifest"]) == {
        name: ["manifest"] for name in names
    }
    assert after(names, planned=names, begun=names) == {}


def test_the_evaluation_reads_every_listed_notebook_that_leaves_predictions(monkeypatch):
    leaves = {
        "02_features": ["predictions/02_features.parquet"],
        "03_x": ["t.csv"],
        "10_y": ["predictions/10_y.parquet"],
    }
    monkeypatch.setattr(graph, "LEAVES", graph.LEAVES | leaves)
    names = ["02_features", "03_x", "04_lstm", "09_evaluation", "10_y"]
    assert graph.upstream("09_evaluation", names) == ["02_features", "04_lstm"]
    assert graph.upstream("09_evaluation", names[1:]) == ["04_lstm"]
    assert graph.upstream("04_lstm", names) == []


def test_a_notebook_that_joins_predictions_of_others_runs_after_those_that_are_listed():
    names = ["02_features", "04_lstm", "07_pretrained_fusion", "09_evaluation"]
    assert graph.upstream("07_pretrained_fusion", names) == ["04_lstm"]
    assert graph.upstream("07_pretrained_fusion", names[2:]) == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("import os\n\nos.kill(os.getpid(), 9)", "04_lstm failed in cell 3: DeadKernelError"),
        ("print(1)", "04_lstm failed: it ended well, but did not write reports/toy/predictions/04_beside.parquet"),
    ],
)
def test_no_result_is_a_failure(project, cell, said):
    project.write("04_lstm", [cell], "epochs: int = 1  # passes\n")
    done = project.run("run", "--profile", "toy", "--only", "04")
    assert done.returncode == 1
    assert said in done.stderr


def test_killed_in_the_middle_it_goes_on(project):
    wait = "import time\n\nif (study.ROOT / 'slow').exists():\n    study.progress('waiting')\n    time.sleep(120)"
    project.write("04_lstm", [LSTM[0], wait, LSTM[1]], "epochs: int = 1  # passes\n")
    (project.root / "slow").touch()
    run = subprocess.Popen(
        project.command("run", "--profile", "toy", "--only", "04"),
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in run.stderr:
        if "waiting" in line:
            break
    family = psutil.Process(run.pid).children(recursive=True)
    refused = project.run("run", "--profile", "toy")
    assert refused.returncode == 2
    assert "another run works in" in refused.stderr
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []

    (project.root / "slow").unlink()
    again = project.run("run", "--profile", "toy", "--only", "04")
    assert (again.returncode, list(_ran(again.stderr))) == (0, ["04_lstm"]), again.stderr


def test_old_leftovers_of_killed_runs_are_removed(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    old, young = (study.paths("demo").derived / "features" / f".tmp-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "half").touch()
    os.utime(old, (0, 0))
    graph._sweep("demo")
    assert (old.exists(), young.exists()) == (False, True)


def test_raw_files_notices_a_changed_corpus(monkeypatch, tmp_path):
    folder = tmp_path / "ravdess" / "Actor_01"
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"1234")
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    before = graph.raw_files("full")
    (folder / "a.wav").write_bytes(b"12345")
    assert len(before) == 1
    assert graph.raw_files("full") != before


def test_sources_follow_imports_and_include_templates():
    names = {file.name for file in graph.sources("report")}
    assert {"study.py", "pages.py", "style.css"} <= names
    assert "training.py" not in names


def test_make_project_is_self_contained(tmp_path):
    assert not (make_project(tmp_path / "p").root / "ser_utils" / "corpora" / "ravdess.py").exists()
