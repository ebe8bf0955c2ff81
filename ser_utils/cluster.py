"""Parallel maps on a Dask cluster: results and messages are those of processes on this machine.

Used by :func:`ser_utils.study.imap` alone, when ``$SER_DASK_SCHEDULER`` is set. The function and every large array, of
the function or of an item, are written once to the output folder, which all workers share, arrays under a key of their
content; workers map them into memory. So little passes the scheduler, and a lost worker takes nothing along but the
work it was at. ``joblib``'s Dask backend is not used: it keeps large items in the memory of a worker.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import logging
import multiprocessing
import os
import pickle
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import numpy as np

from ser_utils import study

T = TypeVar("T")

EXTRA = "pip install -r requirements-cluster.lock"
CONNECT_S, WORKERS_S = 10, 60  # how long to wait for the scheduler, and for its first worker
LARGE = 2**20  # bytes from which an array goes by file
IDLE_S = 600  # how long a worker keeps its process
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")  # cores: by workers
OWN = ("SER_DASK_SCHEDULER", "SER_JOBS", "SER_PROGRESS")  # settings of this process that mean nothing to a worker


@dataclass(frozen=True)
class Job:
    """What a worker needs besides its item."""

    file: str  # pickled function, in the shared folder
    code: str  # state of the package that it was made with
    settings: tuple[tuple[str, str], ...]  # environment variables


def imap(fn: Callable[[Any], T], items: Iterable[Any], *, desc: str, address: str) -> Iterator[T]:
    """Map `fn` over `items` on the cluster of the scheduler at `address`; order is kept, the first error ends the map.

    Parameters
    ----------
    fn : callable
        Picklable; takes one item.
    items : iterable
    desc : str
        What is computed, for messages.
    address : str
        Such as ``"tcp://10.0.0.1:8786"``.

    Raises
    ------
    UserError
        When Dask is not installed, the scheduler cannot be reached or is lost, it has no worker or one with several
        threads, a worker has other code or does not see the output folder, or an item ended several workers in turn.
    """
    client = _client(address)
    folder = study.output_root() / "data" / "derived"
    folder.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=".tmp-map-", dir=folder))
    futures: list[Any] = []
    try:
        pack = _Packer(holder)
        file = holder / "function.pickle"
        file.write_bytes(pack(fn))
        work = functools.partial(work_on, job=Job(str(file), package_digest(), _settings()))
        with warnings.catch_warnings():  # of a large graph: many small items make one, too
            warnings.simplefilter("ignore", UserWarning)
            futures += client.map(work, [pack(item) for item in items], pure=False, key="ser_utils")
        yield from _in_order(futures, loop=client.loop, desc=desc, address=address)
    finally:
        if client.status == "running":
            client.cancel([future for future in futures if future is not None])
        shutil.rmtree(holder, ignore_errors=True)


class _Packer:
    """Pickles things of one map; their large arrays become files, equal ones the same file."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: dict[int, tuple[np.ndarray, str]] = {}  # identity → the array, held so that it stays its own; file

    def __call__(self, thing: Any) -> bytes:
        out = io.BytesIO()
        pickler = _Pickler(out)
        pickler.packer = self
        pickler.dump(thing)
        return out.getvalue()

    def file(self, array: np.ndarray) -> str:
        if id(array) not in self.files:
            content = np.ascontiguousarray(array)
            key = hashlib.sha256(f"{content.dtype.str} {content.shape}".encode())
            key.update(content.reshape(-1).view(np.uint8))
            target = self.folder / f"{key.hexdigest()[:32]}.npy"
            if not target.exists():
                np.save(target, content)
            self.files[id(array)] = array, str(target)
        return self.files[id(array)][1]


class _Pickler(cloudpickle.Pickler):
    packer: _Packer

    def reducer_override(self, thing: Any) -> Any:
        if type(thing) in (np.ndarray, np.memmap) and thing.nbytes >= LARGE and thing.dtype.kind in "biufcSU":
            return _mapped, (self.packer.file(thing),)
        return super().reducer_override(thing)


def _mapped(file: str) -> np.ndarray:
    return np.load(file, mmap_mode="r")


def _in_order(futures: list[Any], *, loop: Any, desc: str, address: str) -> Iterator[Any]:
    """Results in the order of `futures`, which is emptied; any error at once. What was handed on is freed."""
    distributed = importlib.import_module("distributed")
    places = {future.key: place for place, future in enumerate(futures)}
    done: dict[int, Any] = {}
    following = 0
    try:
        for future in distributed.as_completed(futures, loop=loop):
            if future.status != "finished":
                future.result()
            done[places[future.key]], futures[places[future.key]] = future, None
            while following in done:
                yield done.pop(following).result()
                following += 1
    except distributed.KilledWorker as error:
        raise study.UserError(
            f"{desc}: one item ended {error.allowed_failures + 1} workers of {address} in turn; give them more memory "
            "(dask worker --memory-limit), then run again: finished parts are kept"
        ) from error
    except (distributed.CancelledError, distributed.comm.CommClosedError) as error:
        raise study.UserError(
            f"{desc}: the Dask scheduler {address} was lost; start it anew, then run again: finished parts are kept"
        ) from error


# --- the scheduler -----------------------------------------------------------------------------------------------


@functools.cache
def _clients() -> dict[str, Any]:
    """One connection per address and process."""
    return {}


def _client(address: str) -> Any:
    client = _clients().get(address)
    if client is None or client.status != "running":
        client = _clients()[address] = _connect(address)
    _check_workers(client, address)
    return client


def _connect(address: str) -> Any:
    try:
        dask = importlib.import_module("dask")
        dask.config.set({"logging.distributed": "error"})
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise study.UserError(
            f"SER_DASK_SCHEDULER={address} needs Dask, which is not installed ({error}); run: {EXTRA}, or unset it"
        ) from error
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise study.UserError(
            f"no Dask scheduler answers at SER_DASK_SCHEDULER={address}; start one (dask scheduler), write its address "
            "as tcp://HOST:PORT, or unset it"
        ) from error


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        raise study.UserError(
            f"the Dask scheduler {address} has no worker after {WORKERS_S} s; start some: dask worker {address} "
            "--nthreads 1"
        ) from error
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise study.UserError(
                f"the Dask worker {worker} has {threads} threads, and results would not repeat; start it with "
                "--nthreads 1, and more of them with --nworkers"
            )


def _settings() -> tuple[tuple[str, str], ...]:
    """The settings that results depend on, folders as this process resolves them."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("SER_") and name not in OWN}
    kept |= {name: os.environ[name] for name in ("KERAS_BACKEND",) if name in os.environ}
    if kept.get("SER_PRETRAINED"):
        kept["SER_PRETRAINED"] = str(Path(kept["SER_PRETRAINED"]).expanduser().resolve())
    kept |= {"SER_OUT": str(study.output_root()), "SER_DATA": study.remote_data() or str(study.data_folder())}
    return tuple(sorted(kept.items()))


@functools.cache
def package_digest() -> str:
    """Hash of the package's code as this process found it, and of the Python that runs it.

    Examples
    --------
    >>> len(package_digest())
    16
    """
    files = {file.relative_to(study.PACKAGE).as_posix(): study.sha256(file) for file in study.PACKAGE.rglob("*.py")}
    return study.digest(files | {"python": platform.python_version_tuple()[:2]})


# --- on a worker -------------------------------------------------------------------------------------------------


def work_on(item: bytes, *, job: Job) -> Any:
    """The job's function of one pickled item, in a process that this worker keeps for it: there it has the main thread
    and the random states to itself, as on one machine; Dask's own threads draw random numbers, too.

    Raises
    ------
    UserError
        When this worker may not start a process, has other code or does not see the shared folder; else whatever the
        function raises.
    """
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if multiprocessing.current_process().daemon:
        raise study.UserError(
            f"the Dask worker on {platform.node()} may not start processes; start it with "
            "DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )
    executor = get_reusable_executor(max_workers=1, timeout=IDLE_S, env=dict.fromkeys(THREADS, "1"))
    try:
        return executor.submit(_compute, item, job).result()
    except BrokenProcessPool:
        os._exit(1)  # a worker that is lost: its task is tried on another


def _compute(item: bytes, job: Job) -> Any:
    return study._patiently(_function(job), pickle.loads(item))


@functools.lru_cache(maxsize=1)
def _function(job: Job) -> Callable[[Any], Any]:
    if package_digest() != job.code:
        raise study.UserError(
            f"the Dask worker on {platform.node()} has other code in {study.PACKAGE}, or another Python; bring it to "
            "the same state and restart it"
        )
    for name in [name for name in os.environ if name.startswith("SER_") or name == "KERAS_BACKEND"]:
        del os.environ[name]
    os.environ.update(job.settings, SER_JOBS="1")
    try:
        content = Path(job.file).read_bytes()
    except FileNotFoundError as error:
        raise study.UserError(
            f"the Dask worker on {platform.node()} does not see {Path(job.file).parents[3]}; set SER_OUT to a folder "
            "that all workers share"
        ) from error
    return pickle.loads(content)
