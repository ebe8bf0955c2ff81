"""A parallel map on a Dask cluster of real processes: a scheduler and two workers, one of them killed at its work."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser_utils import cluster, study

EXTRA = pytest.mark.skipif(
    not importlib.util.find_spec("distributed"), reason=f"Dask is not installed: {cluster.EXTRA}"
)


def _start(*arguments: str, log: Path, inside: Sequence[str] = ()) -> subprocess.Popen:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SER_")}
    path = os.pathsep.join([str(study.ROOT), str(study.ROOT / "tests")])
    settings = {"PYTHONPATH": path, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with open(log, "ab") as file:
        return subprocess.Popen(
            [*inside, sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
            env=plain | settings, cwd=log.parent, stdout=file, stderr=file,
        )  # fmt: skip


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


class Cluster:
    """A scheduler and its workers, without the nanny that would start a killed one again.

    `inside` are the beginnings of the commands that start the workers.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", inside: Sequence[Sequence[str]] = ((), ())):
        port, self.log = _free_port(host), folder / "cluster.log"
        self.address = f"tcp://{host}:{port}"
        self.processes = [_start("scheduler", "--host", host, "--port", str(port), log=self.log)]
        deadline = time.monotonic() + 60
        while not _answers(host, port) and time.monotonic() < deadline:
            time.sleep(0.1)
        for words in inside:
            self.add(inside=words)

    def add(self, *, threads: int = 1, inside: Sequence[str] = ()) -> subprocess.Popen:
        options = ("--nthreads", str(threads), "--no-nanny", "--death-timeout", "60")
        self.processes.append(_start("worker", self.address, *options, log=self.log, inside=inside))
        return self.processes[-1]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("dask"))
    yield found
    found.end()


@pytest.fixture
def dask(running, tmp_path, monkeypatch):
    """The address set, an output folder, and two workers that are there."""
    monkeypatch.setenv("SER_DASK_SCHEDULER", running.address)
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    cluster._client(running.address).wait_for_workers(2, timeout=60)
    return running


def _where(item: int) -> tuple[int, int]:
    time.sleep(0.02)
    return item, os.getpid()


def _parent(item: int) -> tuple[int, int]:
    time.sleep(0.02)
    return item, os.getppid()


def _spectrum(scale: float, y: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(scale * y))


def _settings(name: str) -> str | None:
    return os.environ.get(name)


def _refuse_three(item: int) -> int:
    if item == 3:
        raise study.UserError("clip 3 is empty; record it again")
    return item


def _refuse_key(item: int) -> int:
    return {}["no such"] + item


def _die_once(item: int, *, note: Path) -> int:
    time.sleep(0.05)
    if item == 5 and not note.exists():
        note.write_text(str(os.getppid()))  # the Dask worker; this is the process that it keeps
        os.kill(os.getppid(), signal.SIGKILL)
    return item * item


def _die(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


@EXTRA
def test_a_map_runs_on_all_workers_and_keeps_order(dask):
    found = study.pmap(_parent, range(40), desc="places")
    assert [item for item, _ in found] == list(range(40))
    workers = {process.pid for process in dask.processes[1:]}
    assert {place for _, place in found} == workers


@EXTRA
def test_results_are_those_of_this_machine(dask, monkeypatch):
    sounds = [np.random.default_rng(i).normal(size=4000).astype(np.float32) for i in range(6)]
    there = study.pmap(functools.partial(_spectrum, 0.3), sounds, desc="spectra")
    monkeypatch.delenv("SER_DASK_SCHEDULER")
    here = study.pmap(functools.partial(_spectrum, 0.3), sounds, desc="spectra", jobs=2)
    assert all(np.array_equal(a, b) for a, b in zip(there, here, strict=True))
    assert not list((study.output_root() / "data" / "derived").iterdir()), "what was mapped is left behind"


def _mean(item: tuple[int, np.ndarray], *, table: np.ndarray) -> tuple[float, str, str]:
    place, x = item
    return float(x[place] @ table[place]), type(x).__name__, type(table).__name__


@EXTRA
def test_large_arrays_go_by_the_shared_folder_once(dask, monkeypatch):
    made = []
    monkeypatch.setattr(
        cluster.np, "save", lambda file, array, save=np.save: made.append(file.name) or save(file, array)
    )
    x, table = (np.random.default_rng(i).normal(size=(400, 800)) for i in range(2))
    items = [(0, x), (1, x), (2, x.copy()), (3, x)]
    found = study.pmap(functools.partial(_mean, table=table), items, desc="means")
    assert found == [(float(x[i] @ table[i]), "memmap", "memmap") for i in range(4)]
    assert len(made) == 2, "equal arrays are one file"
    pack = cluster._Packer(study.output_root())
    assert len(pack(items)) < 10_000
    assert pack(np.array(["a" * 2**20, None], dtype=object))[:1] == b"\x80", "objects are pickled as they are"


@EXTRA
def test_workers_compute_with_the_settings_of_the_caller(dask, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setenv("SER_JOBS", "7")
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    names = ["SER_OUT", "SER_DATA", "SER_JOBS", "SER_PROGRESS", "SER_DASK_SCHEDULER"]
    assert study.pmap(_settings, names, desc="settings") == [
        str(tmp_path / "out"), str(tmp_path), "1", None, None,
    ]  # fmt: skip


@EXTRA
def test_a_user_s_mistake_arrives_as_its_sentence(dask):
    with pytest.raises(study.UserError, match=r"^clip 3 is empty; record it again$"):
        study.pmap(_refuse_three, range(8), desc="clips")
    with pytest.raises(KeyError, match="no such"):
        study.pmap(_refuse_key, [1], desc="clips")
    assert study.pmap(abs, [-1], desc="after an error") == [1]


@EXTRA
def test_nets_trained_on_the_cluster_predict_what_nets_trained_here_predict(dask, tmp_path, monkeypatch):
    study.seed_everything(0)
    from test_training import RECIPE, experiment, folds

    from ser_utils import training

    toy = experiment(recipe=dataclasses.replace(RECIPE, epochs=2))
    tables = {}
    for place, jobs in {"there": None, "here": 2}.items():
        results = training.cross_validate(toy, folds(), seeds=[0], cache=tmp_path / place, jobs=jobs)
        tables[place] = training.predictions_table(results, corpus="toy")
        monkeypatch.delenv("SER_DASK_SCHEDULER", raising=False)
    pd.testing.assert_frame_equal(tables["there"], tables["here"])
    probabilities = [name for name in tables["here"] if name.startswith("p_")]
    assert (tables["there"][probabilities].to_numpy() == tables["here"][probabilities].to_numpy()).all()


@EXTRA
def test_an_explicit_single_process_stays_here(dask):
    assert {place for _, place in study.pmap(_where, [1, 2], desc="here", jobs=1)} == {os.getpid()}


@EXTRA
def test_results_come_as_they_are_ready_and_a_reader_may_stop(dask):
    results = study.imap(_where, range(500), desc="many")
    assert next(results)[0] == 0
    results.close()
    assert study.pmap(abs, [-2], desc="after a stop") == [2]


@EXTRA
def test_other_code_on_a_worker_is_told(dask, monkeypatch):
    monkeypatch.setattr(cluster, "package_digest", lambda: "another")
    with pytest.raises(study.UserError, match=r"has other code in .*ser_utils.*; bring it to the same state"):
        study.pmap(abs, [-1], desc="stale")


@EXTRA
def test_a_lost_worker_costs_its_task_and_not_the_run(dask, tmp_path):
    before = {process.pid: process for process in dask.processes[1:]}
    found = study.pmap(functools.partial(_die_once, note=tmp_path / "note"), range(30), desc="squares")
    assert found == [item * item for item in range(30)]
    lost = before[int((tmp_path / "note").read_text())]
    assert lost.wait(timeout=10) == -signal.SIGKILL
    dask.processes.remove(lost)
    dask.add()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture
def namespaces(tmp_path) -> Iterator[tuple[str, list[list[str]]]]:
    """Two networks of their own that reach this machine over a bridge, and nothing else: its address, and commands."""
    if not shutil.which("ip"):
        pytest.skip("no network namespaces here: ip is not installed (apt install iproute2)")
    names = [f"ser{os.getpid()}{side}" for side in "ab"]
    bridge, net = names[0][:-1], f"10.203.{os.getpid() % 250}"
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for i, name in enumerate(names):
            _ip("netns", "add", name)
            _ip("link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}0", "master", bridge, "up")
            _ip("-n", name, "address", "add", f"{net}.{2 + i}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", name, "link", "set", device, "up")
        yield f"{net}.1", [["ip", "netns", "exec", name] for name in names]
    finally:
        links = [["link", "delete", name] for name in (bridge, *(f"{name}0" for name in names))]
        for words in (*links, *(["netns", "delete", name] for name in names)):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def _address(item: int, *, of: str) -> tuple[str, int]:
    """Where the worker of an item is, as the scheduler sees it; the item squared."""
    time.sleep(0.02)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((of, 9))
        return probe.getsockname()[0], item * item


@EXTRA
@pytest.mark.slow
def test_workers_in_networks_of_their_own_and_one_of_them_lost(namespaces, tmp_path, monkeypatch):
    host, inside = namespaces
    machines = Cluster(tmp_path, host, inside)
    try:
        monkeypatch.setenv("SER_DASK_SCHEDULER", machines.address)
        monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
        cluster._client(machines.address).wait_for_workers(2, timeout=60)
        found = study.pmap(functools.partial(_address, of=host), range(40), desc="addresses")
        assert [square for _, square in found] == [i * i for i in range(40)]
        assert {place for place, _ in found} == {host[:-1] + "2", host[:-1] + "3"}
        note = tmp_path / "killed"
        squares = study.pmap(functools.partial(_die_once, note=note), range(20), desc="one is killed")
        assert note.exists()
        assert squares == [i * i for i in range(20)]
    finally:
        machines.end()


@EXTRA
def test_workers_with_threads_are_refused(dask):
    extra = dask.add(threads=2)
    client = cluster._client(dask.address)
    try:
        deadline = time.monotonic() + 60
        while 2 not in client.nthreads().values() and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(study.UserError, match="has 2 threads, and results would not repeat; start it with --nth"):
            study.pmap(abs, [-1], desc="threads")
    finally:
        extra.terminate()
        extra.wait(timeout=30)
        dask.processes.remove(extra)


@EXTRA
def test_a_lost_scheduler_and_items_that_end_workers_are_told(tmp_path, monkeypatch):
    alone = Cluster(tmp_path)
    monkeypatch.setenv("SER_DASK_SCHEDULER", alone.address)
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
    try:
        cluster._client(alone.address).wait_for_workers(2, timeout=60)
        with pytest.raises(
            study.UserError, match=r"poison: one item ended 2 workers of .* in turn; give them more mem"
        ):
            study.pmap(_die, [1], desc="poison")
        alone.add()
        results = study.imap(_where, range(500), desc="many")
        next(results)
        alone.processes[0].kill()
        with pytest.raises(study.UserError, match=r"the Dask scheduler .* was lost; start it anew, then run again"):
            list(results)
    finally:
        alone.end()


@EXTRA
def test_no_scheduler_and_no_worker_are_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    monkeypatch.setattr(cluster, "WORKERS_S", 1)
    nobody = f"tcp://127.0.0.1:{_free_port('127.0.0.1')}"
    for wrong in (nobody, "head node"):
        monkeypatch.setenv("SER_DASK_SCHEDULER", wrong)
        with pytest.raises(study.UserError, match=f"^no Dask scheduler answers at SER_DASK_SCHEDULER={wrong}; start"):
            study.pmap(abs, [-1], desc="nowhere")


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setenv("SER_DASK_SCHEDULER", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(
        study.UserError, match=r"needs Dask, which is not installed .*requirements-cluster\.lock, or un"
    ):
        study.pmap(abs, [-1], desc="nowhere")


def test_dask_is_not_imported_without_a_scheduler():
    code = "import sys; from ser_utils import cluster, study; study.pmap(abs, [-1, 2], desc='here'); "
    code += "sys.exit(bool({'dask', 'distributed'} & set(sys.modules)))"
    plain = {key: value for key, value in os.environ.items() if key != "SER_DASK_SCHEDULER"}
    assert subprocess.run([sys.executable, "-c", code], cwd=study.ROOT, env=plain, check=False).returncode == 0
