"""Notebooks as jobs of a real SLURM: one node on this machine, of Debian's packages, with Snakemake's own executor."""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ser_utils import study

PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "sbatch")
CLIENTS = ("srun", "sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "sacctmgr")
WHERE = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CONF = """\
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.sock
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
CommunicationParameters=NoInAddrAny
MinJobAge=300
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
missing = [program for program in PROGRAMS if not shutil.which(program, path=WHERE)]
needs_slurm = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: apt install slurm-wlm munge"),
    pytest.mark.skipif(
        not importlib.util.find_spec("snakemake_executor_plugin_slurm"),
        reason="the executor is not installed: pip install -r requirements-cluster.lock",
    ),
]


class Slurm:
    """A controller and a node of SLURM with keys, ports and folders of their own; nothing of the system is touched."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        for name in ("state", "spool", "bin"):
            (folder / name).mkdir()
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        node, ports = socket.gethostname().split(".")[0], [_free_port(), _free_port()]
        known = {"node": node, "ports": ports, "folder": folder, "user": getpass.getuser(), "cpus": os.cpu_count()}
        (folder / "slurm.conf").write_text(CONF.format(**known))
        for name in CLIENTS:  # the executor takes SLURM_CONF away from jobs, so the programs bring it
            script = folder / "bin" / name
            script.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            script.chmod(0o755)
        options = {"key-file": "key", "socket": "munge.sock", "pid-file": "munge.pid", "log-file": "munge.log"}
        places = [f"--{name}={folder / file}" for name, file in (options | {"seed-file": "seed"}).items()]
        self._start("munged", "--foreground", "--force", "--num-threads=1", *places)
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")

    def _start(self, name: str, *options: str) -> None:
        with open(self.folder / f"{name}.out", "wb") as log:
            command = [shutil.which(name, path=WHERE), *options]
            conf = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}
            self.processes.append(subprocess.Popen(command, env=conf, stdout=log, stderr=log))

    @property
    def path(self) -> str:
        return os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])

    def idle(self) -> bool:
        told = subprocess.run(
            [self.folder / "bin" / "sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False
        )
        return told.stdout.strip() == "idle"

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def slurm(tmp_path):
    folder = tmp_path / "slurm"
    folder.mkdir()
    found = Slurm(folder)
    try:
        deadline = time.monotonic() + 30
        while not found.idle():
            if time.monotonic() > deadline:
                words = [file.read_text(errors="replace")[-200:] for file in sorted(folder.glob("*.out"))]
                pytest.skip(f"SLURM does not start here: {' '.join(' '.join(words).split())}")
            time.sleep(0.5)
        yield found
    finally:
        found.end()


def test_the_profile_asks_for_what_run_all_asks_for():
    file = study.ROOT / "config" / "cluster" / "slurm" / "config.yaml"
    profile = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert profile["executor"] == "slurm"
    assert set(profile["rerun-triggers"]) == {"mtime", "params", "input"}
    assert profile["default-resources"]["mem_mb"] >= 4000


def test_the_pods_of_kubernetes_name_one_another():
    file = study.ROOT / "config" / "cluster" / "kubernetes.yaml"
    parts = {part["metadata"]["name"]: part for part in yaml.safe_load_all(file.read_text(encoding="utf-8"))}
    port = parts["ser-dask"]["spec"]["ports"][0]["port"]
    pods = {name: part["spec"]["template"]["spec"] for name, part in parts.items() if "template" in part["spec"]}
    address = f"tcp://ser-dask:{port}"
    assert address in pods["ser-dask-worker"]["containers"][0]["command"]
    assert {"name": "SER_DASK_SCHEDULER", "value": address} in pods["ser-full"]["containers"][0]["env"]
    for name in ("ser-dask-worker", "ser-full"):
        assert pods[name]["volumes"][0]["persistentVolumeClaim"]["claimName"] in parts


@pytest.mark.slow
@pytest.mark.parametrize("_", [pytest.param("", marks=needs_slurm)])
def test_jobs_of_slurm_leave_the_predictions_of_a_local_run(project, slurm, tmp_path, _):
    local = project.run("run", "--profile", "toy", SER_OUT=str(tmp_path / "local"))
    assert local.returncode == 0, local.stderr
    shutil.copytree(study.ROOT / "config" / "cluster", project.root / "config" / "cluster")
    command = [
        *(sys.executable, "-m", "snakemake", "--config", "profile=toy", "--profile", "config/cluster/slurm"),
        *("--cores", "1", "--default-resources", "mem_mb=1000", "runtime=10"),
        *("--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
    ]
    asked = project.environment | {"PATH": slurm.path, "SER_OUT": str(tmp_path / "jobs"), "SER_RUN_ID": "slurm"}
    done = subprocess.run(
        command, cwd=project.root, env=asked, capture_output=True, text=True, check=False, timeout=580
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "submitted with SLURM jobid" in done.stderr
    for name in ("04_lstm", "04_beside"):
        here, there = (
            pd.read_parquet(tmp_path / place / "reports" / "toy" / "predictions" / f"{name}.parquet")
            for place in ("local", "jobs")
        )
        assert set(there["run_id"]) == {"slurm"}
        pd.testing.assert_frame_equal(here.drop(columns="run_id"), there.drop(columns="run_id"))
