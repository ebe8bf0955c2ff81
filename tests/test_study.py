"""Configuration, cache and provenance."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import time

import pytest

from ser_utils import study


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(study.UserError, match=r"profile 'dmeo' is unknown.*demo"):
        study.load_profile("dmeo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpra: [demo]", "unknown key 'corpra'"),
        ("- demo", "holds list, not a mapping"),
        ("title: [", "not valid YAML"),
        ("title: 2024", r"title is 2024; write a text"),
        ("corpora: demo", r'corpora is "demo"; write a list of corpora'),
        ("corpora: [demo, no]", r"corpora\.2 is false; write the name of a corpus"),
        ("noise: [esc50]", r'noise is \["esc50"\]; write the name of a noise corpus'),
        ("embed_audio: 1", r"embed_audio is 1; write true or false"),
        ("exclude: [a.wav]", r'exclude is \["a.wav"\]; write path: reason lines'),
        ("exclude: {ravdess: a.wav}", r'exclude\.ravdess is "a.wav"; write path: reason lines'),
        ("exclude: {ravdess: {a.wav: 3}}", r"exclude\.ravdess\.a\.wav is 3; write the reason"),
        ("exclude: {ravdess: {a.wav: ' '}}", r'exclude\.ravdess\.a\.wav is " "; write the reason'),
        ("exclude: {ravdess: {a.wav: }}", r"exclude\.ravdess\.a\.wav is null; write the reason"),
        ("max_clips_per_speaker_emotion: -1", r"max_clips_per_speaker_emotion is -1; write a whole number"),
        ("max_clips_per_speaker_emotion: true", r"max_clips_per_speaker_emotion is true; write a whole number"),
        ("max_clips_per_speaker_emotion: 1.5", r"max_clips_per_speaker_emotion is 1.5; write a whole number"),
        ("notebooks: [01_eda]", r"notebooks is \[.01_eda.\]; write one line per notebook"),
        ("notebooks: {04_lstm: 5}", r"notebooks\.04_lstm is 5; write 'parameter: value' lines below it"),
        ("notebooks: {4: {}}", r"notebooks holds the name 4, .*quotes"),
        ("seed: 0", "unknown key 'seed'"),
    ],
)
def test_bad_profiles_are_refused(tmp_path, monkeypatch, text, message):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "bad.yaml").write_text(text)
    monkeypatch.setattr(study, "ROOT", tmp_path)
    with pytest.raises(study.UserError, match=message):
        study.load_profile("bad")


def test_settings_without_a_value_have_their_default(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "bare.yaml").write_text("corpora: [demo]\nnoise:\ntitle:\nnotebooks:\n  01_eda:\n")
    monkeypatch.setattr(study, "ROOT", tmp_path)
    given = {"title": "bare", "corpora": ["demo"], "notebooks": {"01_eda": {}}}
    assert study.load_profile("bare") == study.PROFILE_DEFAULTS | given


@pytest.mark.parametrize("name", study.profiles())
def test_the_profiles_of_the_study_are_read(name):
    assert set(study.load_profile(name)) == set(study.PROFILE_DEFAULTS)


@pytest.mark.parametrize("wanted", ["two", "0", "-1", "1.5", "²"])
def test_a_number_of_processes_that_is_none_is_told(monkeypatch, wanted):
    monkeypatch.setenv("SER_JOBS", wanted)
    with pytest.raises(study.UserError, match=f"SER_JOBS={wanted} is no number of processes; set it to 1 or more"):
        study.n_jobs()
    monkeypatch.setenv("SER_JOBS", "3")
    assert study.n_jobs() == 3


@pytest.mark.parametrize("links", [("again",), ("again", "and again")])
def test_links_that_lead_back_end(tmp_path, links):
    """Two of them double the paths with each folder, so that a walk without a guard would not end in our time."""
    (tmp_path / "savee" / "ALL").mkdir(parents=True)
    (tmp_path / "savee" / "ALL" / "DC_a01.wav").write_bytes(b"x")
    for name in links:
        (tmp_path / "savee" / "ALL" / name).symlink_to(tmp_path / "savee", target_is_directory=True)
    assert list(itertools.islice(study.files_below(tmp_path / "savee"), 9)) == ["ALL/DC_a01.wav"]
    if len(links) == 1:
        assert study.fingerprint(tmp_path / "savee").startswith("1 files, ")


def test_a_fingerprint_sees_every_change_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "x.wav"
    file.write_bytes(b"1234")
    os.utime(file, ns=(5, 5))
    seen = [study.fingerprint(tmp_path)]
    file.rename(file.with_name("y.wav"))
    seen.append(study.fingerprint(tmp_path))
    file.with_name("y.wav").write_bytes(b"4321")
    os.utime(file.with_name("y.wav"), ns=(6, 6))
    seen.append(study.fingerprint(tmp_path))
    (tmp_path / "a" / "z.wav").symlink_to("nowhere")
    seen.append(study.fingerprint(tmp_path))
    assert len(set(seen)) == 4
    assert seen[-1] == study.fingerprint(tmp_path)
    assert seen[-1].startswith("2 files")


def cached_text(folder, key, make):
    return study.cached(
        folder,
        key,
        make,
        save=lambda value, target: (target / "value.txt").write_text(value),
        load=lambda target: (target / "value.txt").read_text(),
    )


def test_an_artefact_is_made_once_per_key(tmp_path):
    made = []
    for size in (1, 1, 2):
        cached_text(tmp_path, {"size": size}, lambda size=size: made.append(size) or str(size))
    assert made == [1, 2]


def test_an_artefact_that_fails_leaves_nothing(tmp_path):
    def broken(value, target):
        (target / "half.txt").write_text(value)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        study.cached(tmp_path, {"a": 1}, lambda: "x", save=broken, load=lambda target: target)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_artefact_that_is_trusted(tmp_path):
    script = f"""
import time
from pathlib import Path
from ser_utils import study
def save(value, target):
    (target / "value.txt").write_text(value)
    print("saved", flush=True)
    time.sleep(60)
study.cached(Path({str(tmp_path)!r}), {{"a": 1}}, lambda: "half", save=save, load=lambda target: target)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "saved\n"
        process.kill()
    assert cached_text(tmp_path, {"a": 1}, lambda: "whole") == "whole"


def test_a_full_disk_is_one_sentence(tmp_path):
    def full():
        with study.atomic(tmp_path / "file"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(study.UserError, match="no space left on the disk of"):
        full()


def test_pmap_keeps_order_over_processes():
    assert study.pmap(abs, range(-20, 0), desc="absolute values", jobs=2) == list(range(20, 0, -1))


def _fails_at_once_or_sleeps(item):
    if item == 1:
        raise study.UserError("clip 1 is empty; replace it")
    time.sleep(120)


def test_pmap_ends_with_the_error_at_once_whatever_else_runs():
    started = time.monotonic()
    with pytest.raises(study.UserError, match=r"^clip 1 is empty; replace it$"):
        study.pmap(_fails_at_once_or_sleeps, range(8), desc="clips", jobs=2)
    assert time.monotonic() - started < 60
    assert study.pmap(abs, [-1, -2, -3], desc="absolute values", jobs=2) == [1, 2, 3]


@pytest.mark.parametrize(
    ("jobs", "arrivals", "lines"),
    [
        # six folds of a minute, two at a time
        (2, [60, 60, 120, 121, 180, 181], ["1/6", "3/6, about 60 s left", "5/6", "6/6 in 3.0 min"]),
        # workers take 8 s to start, then eight clips a second
        (1, [8 + i / 8 for i in range(200)], ["1/200", "42/200, about 20 s left", "83/200, about 15 s left"]),
        (1, [0, 1, 2], []),
    ],
)
def test_what_is_left_is_told_without_the_start_of_the_workers(monkeypatch, jobs, arrivals, lines):
    said, now = [], [0.0]

    def results():
        for at in arrivals:
            now[0] = at
            yield at

    monkeypatch.setattr(study, "progress", said.append)
    assert list(study._track(results(), len(arrivals), "x", jobs=jobs, clock=lambda: now[0])) == arrivals
    assert said[: len(lines)] == [f"x: {line}" for line in lines]
    assert bool(said) == bool(lines)


def test_progress_goes_to_the_runner_s_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PROGRESS", str(tmp_path / "progress"))
    study.progress("fold 1/2")
    assert (tmp_path / "progress").read_text() == "fold 1/2\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's shape: a imports b, c stands alone."""
    for name, text in {
        "__init__": "",
        "study": "",
        "a": "from ser_utils import b\n",
        "b": "def f(x):\n    return x + 1\n",
        "c": "",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(study, "PACKAGE", tmp_path)
    return tmp_path


def test_code_version_follows_imports_and_ignores_comments(package):
    before = study.code_version("a")
    (package / "c.py").write_text("x = 1\n")
    (package / "b.py").write_text('def f(x):\n    """Add one."""\n    return x + 1  # plus\n')
    assert study.code_version("a") == before
    (package / "b.py").write_text("def f(x):\n    return x + 2\n")
    assert study.code_version("a") != before


def test_code_version_leaves_out_what_is_named(package):
    before = study.code_version("a", without=["b"])
    assert before != study.code_version("a")
    (package / "b.py").write_text("def f(x):\n    return x + 2\n")
    assert study.code_version("a", without=["b"]) == before
    (package / "a.py").write_text("from ser_utils import b\nx = 1\n")
    assert study.code_version("a", without=["b"]) != before


HEAVY = {"tensorflow", "keras", "numpy", "pandas", "librosa", "matplotlib", "scipy", "sklearn", "snakemake", "dask"}
LIGHT = {  # what must start at once → its code, greatest seconds of processor time
    "import": ("import ser_utils", 0.2),
    "help": (
        "import contextlib, ser_utils.__main__ as m\nwith contextlib.suppress(SystemExit): m.main(['--help'])",
        0.3,
    ),
}


@pytest.mark.parametrize("name", LIGHT)
def test_help_and_the_package_load_nothing_heavy_and_start_at_once(name):
    code, limit = LIGHT[name]
    tell = "\nimport sys, time\nprint(time.process_time(), *sorted({n.split('.')[0] for n in sys.modules}))"
    command = [sys.executable, "-c", code + tell]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    answers = [run.stdout.splitlines()[-1].split() for run in runs]
    assert not HEAVY & set(answers[0][1:])
    assert min(float(seconds) for seconds, *_ in answers) < limit  # processor time: others on the machine do not count


def test_workers_may_grow_without_being_replaced():
    from joblib.externals.loky import process_executor

    assert process_executor._MAX_MEMORY_LEAK_SIZE < study.WORKER_GROWTH  # loky still knows it by this name
    limits = study.pmap(_limit, range(4), desc="limits", jobs=2)
    assert set(limits) == {study.WORKER_GROWTH}


def _limit(_):
    from joblib.externals.loky import process_executor

    return process_executor._MAX_MEMORY_LEAK_SIZE
