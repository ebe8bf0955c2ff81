"""Time and memory of a piece of work, in a process of its own where memory counts; reports as tables and as JSON."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ser_utils import study

Work = Callable[[], Mapping[str, Any] | None]


def seconds(function: Callable[[], Any], *, clock: Callable[[], float] = time.process_time) -> float:
    """Time that `function` takes: of this process alone, so that others on the machine do not count, or by `clock`."""
    start = clock()
    function()
    return clock() - start


def peak_mb() -> float:
    """Peak of this process's own memory; the portable figure would count that of the process it was started from."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def apart(
    prepare: Callable[..., Work], *arguments: Any, limit_mb: int = 0, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Measure one piece of work in a fresh process without workers, so that its peak is the whole peak.

    Parameters
    ----------
    prepare : callable
        A function of a module; imports and makes what the work needs, and returns the work, which alone is timed.
    *arguments
        Of `prepare`; picklable.
    limit_mb : int
        Most address space of the process, MB, as ``ulimit -v`` sets it; 0: no limit.
    environment : mapping, optional
        Variables that the process starts with, beside those of this one.

    Returns
    -------
    dict
        ``seconds`` of processor time, ``wall_s``, ``start_mb`` before the work, ``peak_mb``, and what the work tells.

    Raises
    ------
    RuntimeError
        When the work failed or was ended: with its error.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(prepare, arguments, limit_mb, theirs))
    with _environment(environment or {}):
        process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError as error:
        raise RuntimeError(f"{prepare.__name__}: the process ended early; its message is above") from error
    finally:
        process.join()
    if "error" in answer:
        raise RuntimeError(f"{prepare.__name__}: {answer['error']}")
    return answer


def _measure(prepare: Callable[..., Work], arguments: tuple[Any, ...], limit_mb: int, answer: Any) -> None:
    os.environ["SER_JOBS"] = "1"
    os.environ.pop("SER_DASK_SCHEDULER", None)
    if limit_mb:
        resource.setrlimit(resource.RLIMIT_AS, (limit_mb * 2**20, limit_mb * 2**20))
    try:
        work = prepare(*arguments)
        start_mb, cpu, wall = peak_mb(), time.process_time(), time.perf_counter()
        told = work() or {}
        taken = {"seconds": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        answer.send({**told, **taken, "start_mb": start_mb, "peak_mb": peak_mb()})
    except Exception as error:
        answer.send({"error": f"{type(error).__name__}: {error}"})


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


# --- reports -----------------------------------------------------------------------------------------------------


def folder() -> Path:
    """Where the benches leave their JSON, beside the reports of all profiles."""
    return study.output_root() / "reports" / "bench"


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Rows as a table of three digits."""
    import pandas as pd

    print(f"\n{title}")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3g}"), flush=True)


def write(report: dict[str, Any], name: str) -> Path:
    """Keep a report as ``reports/bench/<name>.json``."""
    target = folder() / f"{name}.json"
    with study.atomic(target) as temporary:
        temporary.write_text(json.dumps(report, indent=1, default=float) + "\n", encoding="utf-8")
    print(f"\nkept in {target}")
    return target


def read(file: Path) -> dict[str, Any]:
    """A report that :func:`write` kept.

    Raises
    ------
    study.UserError
        When the file is not there or no report.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise study.UserError(
            f"{file}: not a report of ./run_all.sh bench ({error}); give the JSON that one left"
        ) from error
    if not isinstance(report, dict) or "environment" not in report:
        raise study.UserError(f"{file}: not a report of ./run_all.sh bench; give the JSON that one left")
    return report
