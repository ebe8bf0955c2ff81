"""Execute one notebook and keep what it left: executed copy, page and record, also when it fails.

Nothing that a killed run leaves is taken for a result: every file takes its place in one step, the record last.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
import traitlets
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import remove_error_markers

from ser_utils import parameters, report, study

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "pandas", "scikit-learn", "librosa", "soundfile", "papermill")
SILENCE_S = 10.0  # after so long without a word the runner says which part of the notebook it is in

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # an interrupted kernel is said in one line, not traced


def run(name: str, profile: str) -> dict[str, Any]:
    """Execute ``notebooks/<name>.ipynb`` with the values of a profile, render its page, write its record.

    Parameters
    ----------
    name : str
        Such as ``"04_lstm"``.
    profile : str
        Such as ``"demo"``; every notebook receives it as its parameter ``profile``.

    Returns
    -------
    dict
        The record, as written to ``reports/<profile>/records/<name>.json``; ``status`` is ``ok`` or ``failed``.

    Raises
    ------
    UserError
        For an unknown notebook or parameter, a mistyped value, or a full disk.
    """
    values = parameters.check(name, profile) | {parameters.PROFILE: profile}
    known = parameters.declared(study.ROOT / "notebooks" / f"{name}.ipynb")
    where = study.paths(profile)
    started = time.time()
    executed = where.reports / "notebooks" / f"{name}.ipynb"
    with _Monitor(name) as monitor:
        error = _execute(name, values, executed, monitor)
        status = "failed" if error else "ok"
        report.render_page(executed, where.reports / f"{name}.html", profile=profile, status=status)
    manifest = {"manifest": study.sha256(where.manifest)} if where.manifest.is_file() else {}
    record = {
        "notebook": name,
        "title": _title(name),
        "profile": profile,
        "run_id": monitor.run_id,
        "status": status,
        "error": error,
        "parameters": {key: value.default for key, value in known.items()} | values,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "wall_s": round(time.time() - started, 2),
        "peak_rss_mb": round(monitor.peak_bytes / 2**20, 1),
        "environment": study.environment(*PACKAGES),
        "outputs": _outputs(name, where, since=started),
        "inputs": manifest,
    }
    with study.atomic(where.records / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


# --- execution --------------------------------------------------------------------------------------------------


def _execute(name: str, values: dict[str, Any], target: Path, monitor: _Monitor) -> dict[str, Any] | None:
    """Run the cells, leave the executed copy at `target`; the error of the cell that failed, if one did."""
    error = None
    with study.atomic(target) as temporary:
        try:
            papermill.execute_notebook(
                study.ROOT / "notebooks" / f"{name}.ipynb",
                temporary,
                values,
                engine_name=_Engine.NAME,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=study.ROOT,
                monitor=monitor,
            )
        except PapermillExecutionError as failure:
            error = _error(failure.exec_count or 0, failure.ename, failure.evalue)
        except RuntimeError as failure:  # nbclient's DeadKernelError is one
            error = _error(monitor.cell, type(failure).__name__, f"{failure} ({monitor.last_words()})")
        _clean(temporary)
    return error


def _error(cell: int, name: str, message: str) -> dict[str, Any]:
    """An error in one line: TensorFlow, for one, opens with a heading and names the cause further down."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["no message"]
    if lines[0].endswith(":"):
        cause = next((line for line in lines[1:] if re.match(r"\w*(Error|Exception): ", line)), "".join(lines[1:2]))
        lines[0] = f"{lines[0]} {cause}".strip()
    return {"cell": cell, "name": name, "message": lines[0]}


def _clean(executed: Path) -> None:
    """Take out what papermill adds for its own display, and the absolute paths that it notes."""
    notebook = remove_error_markers(nbformat.read(executed, as_version=4))
    for key in ("input_path", "output_path"):
        notebook.metadata.papermill.pop(key, None)
    nbformat.write(notebook, executed)


def _title(name: str) -> str:
    first = parameters.cells(study.ROOT / "notebooks" / f"{name}.ipynb")[0]["source"]
    return first.splitlines()[0].lstrip("# ").strip()


def _outputs(name: str, where: study.Paths, *, since: float) -> dict[str, str]:
    """Hashes of what this run of the notebook wrote; its older figures, no longer drawn, are removed.

    The page is not among them: it is rendered from the executed copy, and its links follow the rest of the report.
    """
    number = name.split("_")[0]
    files = [where.reports / "notebooks" / f"{name}.ipynb"]
    files += [where.predictions / f"{name}.parquet", where.reports / "results" / f"{name}.csv"]
    files += [where.reports / "results.csv", *sorted((where.reports / "tables").glob(f"{number}_*"))]
    files += sorted(where.figures.glob(f"{number}_*"))
    hashes = {}
    for file in files:
        if file.is_file() and file.stat().st_mtime >= since - 1:  # file systems round times down
            hashes[file.relative_to(study.output_root()).as_posix()] = study.sha256(file)
        elif file.parent == where.figures:
            file.unlink()
    return hashes


def _kernel_environment(monitor: _Monitor) -> dict[str, str]:
    """Threads come from processes (``SER_JOBS``), so each process computes on one: the same numbers on any machine."""
    return os.environ | {
        "SER_PROGRESS": str(monitor.progress),
        "SER_RUN_ID": monitor.run_id,
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


class _ThisPython(KernelSpecManager):
    """The kernel is this interpreter, whatever kernels the user has installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "--log-level=CRITICAL", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


class _Kernel(AsyncKernelManager):
    @traitlets.default("kernel_spec_manager")
    def _specs(self) -> KernelSpecManager:
        return _ThisPython(parent=self)


class _Engine(Engine):
    """Papermill's engine with our kernel and environment, which tells the monitor where it is."""

    NAME = "ser_utils"

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, monitor: _Monitor, **_: Any) -> None:
        heading, begin = "", nb_man.cell_start
        total = sum(cell.cell_type == "code" for cell in nb_man.nb.cells)
        done = 0

        def cell_start(cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
            nonlocal heading, done
            if cell.cell_type == "code":
                done += 1
                monitor.at(done, total, heading)
            else:
                heading = next((h.lstrip("# ") for h in cell.source.splitlines() if h.startswith("#")), heading)
            begin(cell, cell_index, **kwargs)

        nb_man.cell_start = cell_start
        client = PapermillNotebookClient(
            nb_man, kernel_name=kernel_name, kernel_manager_class=_Kernel, timeout=None, startup_timeout=120
        )
        with open(monitor.words, "wb") as words:
            client.execute(env=_kernel_environment(monitor), stdout=words, stderr=words)


papermill_engines.register(_Engine.NAME, _Engine)


# --- watching ---------------------------------------------------------------------------------------------------


class _Monitor:
    """Prints the notebook's progress lines, measures its memory, and ends it when its parent has died."""

    def __init__(self, name: str, *, every_s: float = 0.4) -> None:
        self.name = name
        self.run_id = study.run_id()  # one for the kernel and the record
        self.peak_bytes = 0  # resident memory of the kernel and all its workers; shared pages count in each
        self.cell = 0
        self._every_s = every_s
        self._place = "starting the kernel"
        self._parent = os.getppid() if "SER_RUN_ID" in os.environ else None  # None: started by hand, may outlive it
        self._stop = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="ser-")
        self.progress = Path(self._folder.name) / "progress"
        self.words = Path(self._folder.name) / "words"  # what libraries print past Python, such as TensorFlow's log
        self._offset = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Monitor:
        self._begun = self._said = time.monotonic()
        self._say("starts")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._tell()
        self._folder.cleanup()

    def at(self, cell: int, total: int, heading: str) -> None:
        """The notebook begins a code cell."""
        self.cell = cell
        self._place = f"cell {cell} of {total}" + (f", {heading}" if heading else "")

    def last_words(self) -> str:
        """Last line that a kernel printed before it died."""
        lines = self.words.read_text(encoding="utf-8", errors="replace").split("\n") if self.words.is_file() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return f"killed, or out of memory; {self.peak_bytes / 2**30:.1f} GB at most; its last words: {last}"

    def _say(self, line: str) -> None:
        print(f"{self.name} · {line}", file=sys.stderr, flush=True)
        self._said = time.monotonic()

    def _tell(self) -> None:
        with contextlib.suppress(FileNotFoundError), open(self.progress, encoding="utf-8") as file:
            file.seek(self._offset)
            for line in file.read().splitlines():
                self._say(line)
            self._offset = file.tell()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._tell()
            now = time.monotonic()
            if now - self._said > SILENCE_S:
                self._say(f"{self._place} ({study.duration(now - self._begun)})")
            self.peak_bytes = max(self.peak_bytes, sum(_resident(process) for process in _family()))
            if self._parent and os.getppid() != self._parent:  # killed: nobody waits for this notebook any more
                for process in _family():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                os._exit(137)


def _family() -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        yield from psutil.Process().children(recursive=True)


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return process.memory_info().rss
    return 0
