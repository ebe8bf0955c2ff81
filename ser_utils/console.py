"""What a run says: why something runs again, what is under way, and how each notebook ended."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_utils import study
from ser_utils.report.record import load_records

OK, FAILED = "ok", "failed"


class Console(logging.Handler):
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
        files = [shown(Path(file)) for file in sorted(rest.split(", "))]
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
    named = words if len(words) < 5 else [*words[:3], f"{len(words) - 3} more"]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


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


def shown(file: Path) -> str:
    """A path as short as can be understood from here."""
    full = (study.output_root() / file).resolve()
    for base in (study.ROOT, Path.cwd()):
        if full.is_relative_to(base):
            return full.relative_to(base).as_posix()
    return str(full)


def summary(profile: str, names: list[str], targets: list[str], console: Console) -> None:
    where = study.paths(profile)
    known = load_records(where.records)
    rows = [("notebook", "status", "time", "memory", "page")]
    for name in names:
        record, page = known.get(name), where.reports / f"{name}.html"
        took = study.duration(record["wall_s"]) if record else ""
        memory = f"{record['peak_rss_mb'] / 1024:.1f} GB" if record else ""
        rows.append((name, _status(name, record, console), took, memory, shown(page) if page.is_file() else ""))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
    if console.interrupted:
        print("interrupted: run again to go on", file=sys.stderr)
        return
    for name in sorted(console.failed):
        print(_failure(name, known.get(name), console.failed[name]), file=sys.stderr)
    waiting = sorted(console.planned - console.begun)
    if waiting:
        print(f"not run, since they need what failed: {_list(waiting)}", file=sys.stderr)
    if not console.planned:
        print(f"nothing to do: {_list(targets)} up to date", file=sys.stderr)


def _status(name: str, record: Mapping[str, Any] | None, console: Console) -> str:
    if name in console.failed:
        return "interrupted" if console.interrupted else "FAILED"
    if name in console.begun:
        return "done"
    if name in console.planned:
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
