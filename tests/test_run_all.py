"""The front door: each mistake gets one line and an exit code, and the environment is only trusted when complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Project

from ser_utils import study

SYSTEM = "/usr/bin:/bin"


def run_all(project: Project, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = project.environment | {"HOME": str(project.root)} | extra
    command = ["bash", str(project.root / "run_all.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=project.root)


def bare(project: Project, python: str, **extra: str) -> dict[str, str]:
    """Environment variables of a machine whose every Python is the shell script `python`."""
    folder = project.root / "bin"
    folder.mkdir()
    for name in ("python", "python3", "python3.11", "python3.12"):
        (folder / name).write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{SYSTEM}", "VIRTUAL_ENV": "", "CONDA_PREFIX": "", **extra}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_names_every_word():
    done = subprocess.run(["bash", study.ROOT / "run_all.sh", "--help"], capture_output=True, text=True, check=True)
    for word in (
        "PROFILE",
        "--from",
        "--only",
        "--dry-run",
        "--cores",
        "test",
        "data",
        "verify",
        "app",
        "lab",
        "bench",
    ):
        assert word in done.stdout


def test_the_live_demo_refuses_an_address_of_another_computer(tmp_path):
    known = os.environ | {"VIRTUAL_ENV": sys.prefix, "SER_OUT": str(tmp_path)}
    command = ["bash", str(study.ROOT / "run_all.sh"), "app", "--host", "192.0.2.1"]
    done = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the page cannot be served at 192.0.2.1:7860" in one_line(done)


@pytest.mark.parametrize("words", [("data",), ("data", "fetch")])
def test_an_unknown_word_of_data_names_the_known_ones(project, words):
    done = run_all(project, *words)
    assert done.returncode == 2
    assert f"'{' '.join(words)}' is unknown; use: data list, data get NAME…, data check [NAME…]" in one_line(done)


def test_data_words_reach_the_study(tmp_path):
    """The real package: the small project of the other tests has no corpora."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        known = {key: value for key, value in os.environ.items() if not key.startswith("SER_")}
        known |= {"VIRTUAL_ENV": sys.prefix, "SER_DATA": str(tmp_path / "raw"), "SER_OUT": str(tmp_path)}
        command = ["bash", str(study.ROOT / "run_all.sh"), "data", *words]
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False)

    listed = call("list")
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"^savee +speech +absent +480 clips", listed.stdout, re.MULTILINE)
    by_hand = call("get", "savee")
    assert by_hand.returncode == 1
    assert "has to be fetched by hand" in by_hand.stdout
    assert "'raves' is unknown" in one_line(call("get", "raves"))
    assert "corpus 'ravdes' is unknown (did you mean ravdess?)" in one_line(call("check", "ravdes"))
    assert "profile 'mine' is unknown" in one_line(call("list", "--profile", "mine"))
    assert "'mine' is not understood" in one_line(call("get", "savee", "--profile", "mine"))
    assert call("get", "ravdess", "--dry-run").returncode == 0
    assert not (tmp_path / "raw" / "ravdess").exists()


def test_data_knows_the_tables_of_a_profile(project):
    """The small project has no corpora of its own kind: the command hands on the profile, and nothing else."""
    (project.root / "ser_utils/corpora/__init__.py").write_text(
        "CORPORA = {}\nreal = lambda profile: [profile]\npresent = lambda names, profile: names\n"
        "check_report = lambda names, profile: (f'{names} of {profile}', True)\n"
    )
    assert project.run("data", "check", "--profile", "mine").stdout == "None of mine\n"
    assert project.run("data", "check", "a", "b").stdout == "['a', 'b'] of full\n"
    done = run_all(project, "data", "check", "--profile", "mine")
    assert done.stdout == "None of mine\n", done.stderr


def test_the_command_line_answers_at_once():
    """No command loads more than it needs: help comes without pandas or Snakemake."""
    code = "import sys; from ser_utils.__main__ import _parser; _parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=study.ROOT, capture_output=True, text=True, check=True)
    heavy = {"pandas", "numpy", "snakemake", "papermill", "fsspec", "requests", "tqdm", "pooch", "keras"}
    assert not heavy & set(done.stdout.split())


def test_corpora_load_no_more_than_a_second_check_needs():
    """What is remembered is told in about a second, most of it for pandas."""
    code = "import sys, ser_utils.corpora, ser_utils.remote; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=study.ROOT, capture_output=True, text=True, check=True)
    heavy = {"scipy.fft", "librosa", "sklearn", "joblib", "av", "fsspec", "requests", "pooch", "keras", "matplotlib"}
    assert not heavy & set(done.stdout.split())


def test_unknown_profile(project):
    done = run_all(project, "demoo")
    assert done.returncode == 2
    assert "'demoo' is neither a word nor a profile under config/ (toy)" in one_line(done)


def test_unknown_notebook(project):
    done = run_all(project, "toy", "--only", "77")
    assert done.returncode == 2
    assert "notebook '77' is not in config/toy.yaml" in one_line(done)


def test_missing_data_folder(project):
    done = run_all(project, "toy", SER_DATA="/nowhere/at/all")
    assert done.returncode == 2
    assert "SER_DATA=/nowhere/at/all is not a folder" in one_line(done)


def test_dry_run_through_the_door(project):
    done = run_all(project, "toy", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "04_lstm would run: no finished result yet" in done.stderr
    assert not (project.root / ".venv").exists()  # the active environment has every pin


def test_active_environment_that_lacks_a_pin_is_named(project):
    lock = project.root / "requirements.lock"
    lock.write_text("no-such-package==1.0 \\\n" + lock.read_text(encoding="utf-8"), encoding="utf-8")
    done = run_all(project, "toy", **bare(project, "exit 1", VIRTUAL_ENV=sys.prefix))
    assert f"the active environment {sys.prefix} lacks no-such-package==1.0: using .venv instead" in done.stderr
    assert done.returncode == 1


def test_wrong_python(project):
    fake = 'case "$1" in --version) echo Python 3.9.1;; *) exit 1;; esac'
    done = run_all(project, "toy", **bare(project, fake))
    if "no Python 3.11" not in done.stderr:
        pytest.skip("this machine has a Python 3.11 or 3.12 that no PATH can hide")
    assert done.returncode == 1
    assert "Python 3.9.1 is on the PATH" in one_line(done)
    assert not (project.root / ".venv").exists()


def test_no_disk_space(project):
    environment = bare(project, "exit 1")
    df = project.root / "bin" / "df"
    df.write_text("#!/bin/sh\necho header\necho disk 1000 900 100 90% /\n", encoding="utf-8")
    df.chmod(0o755)
    done = run_all(project, "toy", **environment)
    assert done.returncode == 1
    assert "needs 3500 MB of disk" in one_line(done)


def test_no_network_then_no_trust_in_the_half_made_environment(project):
    real = getattr(sys, "_base_executable", sys.executable)
    environment = bare(project, f'exec "{real}" "$@"')
    environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    environment |= {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "NO_PROXY": "*"}
    done = run_all(project, "toy", **environment)
    assert done.returncode == 1
    assert "the package index cannot be reached (http://127.0.0.1:9/simple)" in one_line(done)
    assert (project.root / ".venv" / ".installing").exists()
    assert not (project.root / ".venv" / ".complete").exists()

    again = run_all(project, "toy", **environment)
    assert "The last installation was interrupted: starting it over." in again.stderr


def test_a_complete_environment_is_used_without_looking(project):
    venv = project.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text('#!/bin/sh\necho "used: $*"\n', encoding="utf-8")
    (venv / "bin" / "python").chmod(0o755)
    with open(project.root / "requirements.lock", "rb") as lock:
        stamp = subprocess.run(["cksum"], stdin=lock, capture_output=True, text=True, check=True).stdout
    (venv / ".complete").write_text(stamp, encoding="utf-8")
    done = run_all(project, "toy", "--only", "04", VIRTUAL_ENV="", CONDA_PREFIX="")
    assert "used: -m ser_utils run --profile toy --only 04" in done.stdout
    lab = run_all(project, "lab", "--no-browser", VIRTUAL_ENV="", CONDA_PREFIX="")
    assert f"used: -m jupyterlab --notebook-dir {project.root} --no-browser" in lab.stdout


def test_the_project_names_no_place_of_one_machine():
    names = subprocess.run(["git", "ls-files"], cwd=study.ROOT, capture_output=True, text=True, check=False).stdout
    if not names:
        pytest.skip("not a git checkout")
    here = re.compile(rf"(?<![\w.])(/(?:home|root|Users)/|{re.escape(str(Path.home()))}/|{re.escape(str(study.ROOT))})")
    for name in names.splitlines():
        file = study.ROOT / name
        if file.suffix not in {".png", ".lock"} and name not in {
            "tests/test_run_all.py",
            "tests/test_notebook_contract.py",
        }:
            found = here.search(file.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found}"
