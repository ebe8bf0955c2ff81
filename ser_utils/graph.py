"""Run the study: check the profile, let Snakemake run what changed, say why, sum up.

The graph itself is the ``Snakefile``; the functions that it needs are here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ser_utils import parameters, study
from ser_utils.report.record import load_records

OK, FAILED = "ok", "failed"
_NOT_SETTINGS = ("title", "notebooks")  # keys of a profile that no result depends on, or that have their own place


# --- what the Snakefile needs -----------------------------------------------------------------------------------


def sources(*modules: str) -> list[Path]:
    """Files of ``ser_utils`` that `modules` consist of, templates and style sheets of packages included.

    Examples
    --------
    >>> [file.name for file in sources("study")]
    ['__init__.py', 'study.py']
    """
    files = study.imported_files(*modules)
    packages = {file.parent for file in files} - {study.PACKAGE}
    beside = (f for folder in packages for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return sorted(files | set(beside))


def settings(profile: str, *, without: tuple[str, ...] = ()) -> list[str]:
    """Lines ``key = value`` of a profile that results depend on; Snakemake compares them with those of the last run."""
    found = study.load_profile(profile)
    return [_line(key, value) for key, value in found.items() if key not in (*_NOT_SETTINGS, *without)]


def values(profile: str, name: str) -> list[str]:
    """Lines ``parameter = value`` that a profile gives to a notebook."""
    return [_line(key, value) for key, value in (study.load_profile(profile)["notebooks"][name] or {}).items()]


def raw_files(profile: str) -> list[str]:
    """One line per corpus of a profile that tells whether its folder changed, without reading its files.

    Examples
    --------
    >>> raw_files("demo")  # synthesised, no folder
    []
    """
    found = study.load_profile(profile)
    data = study.paths(profile).data
    names = [*found["corpora"], *([found["noise"]] if found["noise"] else [])]
    return [_line(f"files of {name}", _fingerprint(data / name)) for name in names if (data / name).is_dir()]


def _fingerprint(folder: Path) -> str:
    number = size = newest = 0
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a dangling link: reading the corpus reports it
                stat = os.stat(os.path.join(parent, name))
                number, size, newest = number + 1, size + stat.st_size, max(newest, stat.st_mtime_ns)
    return f"{number} files, {size} bytes, newest {newest // 10**9}"


def _line(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, sort_keys=True, default=str)}"


# --- running ----------------------------------------------------------------------------------------------------


def run(
    profile: str, *, only: str | None = None, start: str | None = None, dry_run: bool = False, cores: int | None = None
) -> int:
    """Bring the results of a profile up to date and show what happened.

    Parameters
    ----------
    profile : str
    only : str, optional
        Number or name of one notebook: bring it, and what it needs, up to date.
    start : str, optional
        Number or name of a notebook: it and all later ones run even if nothing changed.
    dry_run : bool
        Say what would run, and why; run nothing.
    cores : int, optional
        Default: all that this process may use.

    Returns
    -------
    int
        0 when every notebook asked for is up to date, 1 when one failed, 130 when interrupted.

    Raises
    ------
    UserError
        Before anything runs: for an unknown profile, notebook or parameter, or another run in the same folder.
    """
    names = sorted(study.load_profile(profile)["notebooks"])
    for name in names:
        parameters.check(name, profile)
    _check_data()
    targets = [resolve(only, names, profile)] if only else names
    forced = {
        name: "its last run failed"
        for name, record in load_records(study.paths(profile).records).items()
        if record["status"] != OK
    }
    if start:
        forced |= {name: f"--from {start}" for name in names if name >= resolve(start, names, profile)}
    with _alone():
        _sweep(profile)
        voice = _Voice(profile, forced, dry_run=dry_run)
        code = _snakemake(profile, targets, voice, dry_run=dry_run, cores=cores or available_cores())
        if dry_run:
            print("nothing to do" if not voice.begun else "dry run: nothing was run", file=sys.stderr)
            return code
        _summary(profile, names, targets, voice)
        print(f"report: {_shown(_render(profile))}", file=sys.stderr)
    return code


def resolve(word: str, names: list[str], profile: str) -> str:
    """Notebook of a profile by number or name.

    Examples
    --------
    >>> resolve("4", ["01_eda", "04_lstm"], "demo")
    '04_lstm'
    """
    for name in names:
        if word == name or (word.isdigit() and int(word) == int(name.split("_")[0])):
            return name
    raise study.UserError(f"notebook '{word}' is not in config/{profile}.yaml{parameters.nearest(word, names)}")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_data() -> None:
    data = os.environ.get("SER_DATA")
    if data and not Path(data).expanduser().is_dir():
        raise study.UserError(f"SER_DATA={data} is not a folder; set it to the folder that holds the corpora")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One run at a time in an output folder. The lock vanishes with its process, however that ends."""
    folder = study.output_root() / ".snakemake"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "run.lock", "a+", encoding="utf-8")  # noqa: SIM115 - open as long as the run
    except OSError as error:
        raise study.UserError(f"cannot write to {study.output_root()} ({error.strerror}); set SER_OUT") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise study.UserError(
                f"another run works in {study.output_root()}; wait until it ends, or set SER_OUT to another folder"
            ) from error
        yield


def _sweep(profile: str) -> None:
    """Remove what killed runs were writing; what is younger than an hour may belong to an open notebook."""
    where = study.paths(profile)
    for leftover in (path for folder in (where.derived, where.reports) for path in folder.rglob(".tmp-*")):
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)


def _snakemake(profile: str, targets: list[str], voice: _Voice, *, dry_run: bool, cores: int) -> int:
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger
    from snakemake.scheduling.greedy import SchedulerSettings as GreedySettings
    from snakemake.settings import types as smk
    from snakemake.settings.enums import Quietness, RerunTrigger

    os.environ["SER_RUN_ID"] = study.run_id()
    output = smk.OutputSettings(dryrun=dry_run, quiet={Quietness.ALL}, enable_file_logging=False)
    with SnakemakeApi(output) as api:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.addHandler(voice)
        workflow = api.workflow(
            resource_settings=smk.ResourceSettings(cores=cores),
            config_settings=smk.ConfigSettings(config={"profile": profile}),
            snakefile=study.ROOT / "Snakefile",
            workdir=study.output_root(),
        )
        dag = workflow.dag(
            smk.DAGSettings(
                targets=set(targets),
                forcerun=set(voice.forced),
                force_incomplete=True,  # what a killed run was writing is made anew
                rerun_triggers={RerunTrigger.MTIME, RerunTrigger.PARAMS, RerunTrigger.INPUT},
                max_checksum_file_size=0,
            )
        )
        execution = smk.ExecutionSettings(lock=False, keep_going=True, keep_incomplete=True, latency_wait=0)
        try:
            dag.execute_workflow(
                "dryrun" if dry_run else "local",
                execution_settings=execution,
                scheduling_settings=smk.SchedulingSettings(scheduler="greedy"),
                scheduler_settings=GreedySettings(),
            )
        except WorkflowError as error:
            if not voice.failed and not voice.interrupted:
                raise study.UserError(f"Snakemake: {' '.join(str(error).split())}") from error
            return 130 if voice.interrupted else 1
        except OSError as error:
            raise study.UserError(
                f"{error.filename or study.output_root()}: {error.strerror}; mend it, then run again"
            ) from error
    return 0


def _render(profile: str) -> Path:
    """Render the report's index where it is older than what it shows."""
    where = study.paths(profile)
    index = where.reports / "index.html"
    shown = [file.stat().st_mtime for file in where.records.glob("*.json")]
    if (
        not index.is_file()
        or not (where.reports / "run.json").is_file()
        or max(shown, default=0) > index.stat().st_mtime
    ):
        from ser_utils import report

        report.render_index(profile)
    return index


# --- words ------------------------------------------------------------------------------------------------------


class _Voice(logging.Handler):
    """Says in one line each what Snakemake is about to do, and why; remembers what ended how."""

    def __init__(self, profile: str, forced: Mapping[str, str], *, dry_run: bool) -> None:
        super().__init__()
        self.profile, self.forced, self.dry_run = profile, forced, dry_run
        self.planned: set[str] = set()
        self.begun: set[str] = set()
        self.interrupted = False
        self.failed: dict[str, str] = {}  # rule → what Snakemake says about it, beyond the record

    def emit(self, record: logging.LogRecord) -> None:
        event, rule = getattr(record, "event", None), getattr(record, "rule_name", "")
        if record.getMessage().startswith("Terminating processes on user request"):
            self.interrupted = True
        elif event == "run_info":
            self.planned |= set(record.stats) - {"all", "total"}
        elif event == "job_info" and rule != "all":
            self.begun.add(rule)
            verb = "would run" if self.dry_run else "runs"
            print(f"{rule} {verb}: {why(record.reason, self.profile, self.forced.get(rule, ''))}", file=sys.stderr)
        elif event == "job_error":
            self.failed.setdefault(rule, "")
        elif event == "error":
            found = re.search(r"MissingOutputException in rule (\w+)", record.getMessage())
            missing = re.findall(r"^(\S+) \(missing", record.getMessage(), re.MULTILINE)
            if found:
                self.failed[found[1]] = f"it ended well, but did not write {_list(missing)}"


def why(reason: str, profile: str, forced: str = "") -> str:
    """Snakemake's reason in words.

    Examples
    --------
    >>> why("Updated input files: ser_utils/features.py, notebooks/04_lstm.ipynb", "demo")
    'notebooks/04_lstm.ipynb and ser_utils/features.py changed'
    >>> why("Params have changed since last execution: before: 'epochs = 3' now: 'epochs = 5' ", "demo")
    'epochs is now 5, was 3 (config/demo.yaml)'
    """
    said = []
    for part in reason.split("; "):
        head, _, rest = part.partition(": ")
        files = [_shown(Path(file)) for file in sorted(rest.split(", "))]
        if head == "Forced execution":
            said.append(forced)
        elif head == "Missing output files" and _none_left(files):
            return "no finished result yet"
        elif head == "Missing output files":
            said.append(f"{_list(files)} missing")
        elif head == "Incomplete output files":
            said.append("its last run was interrupted")
        elif head == "Updated input files":
            said.append(f"{_list(files)} changed")
        elif head == "Input files updated by another job":
            said.append(f"new results of {_list(sorted({_maker(file) for file in files}))}")
        elif head.startswith("Params have changed"):
            said.append(_changed_values(rest, profile))
        elif head.startswith("Set of input files"):
            said.append("it uses other files than before")
        else:
            said.append(part)
    return ", ".join(dict.fromkeys(filter(None, said)))


def _none_left(files: list[str]) -> bool:
    return any(file.endswith((".json", "manifest.parquet")) for file in files)  # the record goes first, and comes last


def _list(words: list[str]) -> str:
    shown = words if len(words) < 5 else [*words[:3], f"{len(words) - 3} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _maker(file: str) -> str:
    """Rule that made a file of the output root."""
    stem = Path(file).stem
    return {"results": "09_evaluation", "noise": "manifest"}.get(stem, stem)


def _changed_values(text: str, profile: str) -> str:
    before, _, now = text.partition(" now: ")
    old, new = (dict(re.findall(r"""['"]([\w. ]+) = (.*?)['"](?=,|\s|$)""", side)) for side in (before, now))
    said = []
    for key in sorted(old.keys() | new.keys()):
        if key.startswith("files of "):
            said.append(f"{key} changed")
        else:
            was = f", was {old[key]}" if key in old else ""
            said.append(f"{key} is now {new.get(key, 'the default')}{was} (config/{profile}.yaml)")
    return ", ".join(said) or f"its part of config/{profile}.yaml changed"


def _shown(file: Path) -> str:
    """A path as short as can be understood from here."""
    full = (study.output_root() / file).resolve()
    for base in (study.ROOT, Path.cwd()):
        if full.is_relative_to(base):
            return full.relative_to(base).as_posix()
    return str(full)


def _summary(profile: str, names: list[str], targets: list[str], voice: _Voice) -> None:
    where = study.paths(profile)
    known = load_records(where.records)
    rows = [("notebook", "status", "time", "memory", "page")]
    for name in names:
        record, page = known.get(name), where.reports / f"{name}.html"
        took = study.duration(record["wall_s"]) if record else ""
        memory = f"{record['peak_rss_mb'] / 1024:.1f} GB" if record else ""
        rows.append((name, _status(name, record, voice), took, memory, _shown(page) if page.is_file() else ""))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
    if voice.interrupted:
        print("interrupted: run again to go on", file=sys.stderr)
        return
    for name in sorted(voice.failed):
        print(_failure(name, known.get(name), voice.failed[name]), file=sys.stderr)
    waiting = sorted(voice.planned - voice.begun)
    if waiting:
        print(f"not run, since they need what failed: {_list(waiting)}", file=sys.stderr)
    if not voice.planned:
        print(f"nothing to do: {_list(targets)} up to date", file=sys.stderr)


def _status(name: str, record: Mapping[str, Any] | None, voice: _Voice) -> str:
    if name in voice.failed:
        return "interrupted" if voice.interrupted else "FAILED"
    if name in voice.begun:
        return "done"
    if name in voice.planned:
        return "not run"
    return "unchanged" if record else "not asked for"


def _failure(name: str, record: Mapping[str, Any] | None, said: str) -> str:
    if said:
        return f"{name} failed: {said}"
    if name == "manifest":
        return "manifest failed: its message is above"
    if not record:
        return f"{name} ended without a record: its message is above, or it was killed or out of memory"
    return sentence(record)


def sentence(record: Mapping[str, Any]) -> str:
    """One line that says how a notebook ended.

    Examples
    --------
    >>> error = {"cell": 7, "name": "UserError", "message": "no clips"}
    >>> sentence({"notebook": "04_lstm", "status": "failed", "error": error})
    '04_lstm failed in cell 7: UserError: no clips'
    """
    if record["status"] == FAILED:
        error = record["error"]
        return f"{record['notebook']} failed in cell {error['cell']}: {error['name']}: {error['message']}"
    memory = f"{record['peak_rss_mb'] / 1024:.1f} GB"
    return f"{record['notebook']} done in {study.duration(record['wall_s'])}, {memory} at most"
