"""What a reader must know about a file or a corpus, and how such findings are listed and told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pandas as pd

from ser_utils.corpora.base import Corpus

STOPS = "stops the run"
LEFT_OUT = "clip left out"
NOTE = "note"
ACTIONS = (STOPS, LEFT_OUT, NOTE)
NAMED = 20  # files of one kind that notes name one by one
ALONE = 4  # files with one problem that are listed under a common line


@dataclass(frozen=True)
class Finding:
    """One thing about one file (or a whole corpus) that a reader must know."""

    corpus: str
    path: str
    problem: str
    action: str  # STOPS | LEFT_OUT | NOTE
    advice: str = ""


def notes(corpus: Corpus, problems: Iterable[tuple[str, str]], rest: str, *, advice: str = "") -> list[Finding]:
    """One note per path and problem, and after the first :data:`NAMED` one that counts the rest in the words `rest`."""
    problems = list(problems)
    named = [Finding(corpus.name, path, problem, NOTE, advice) for path, problem in problems[:NAMED]]
    more = len(problems) - len(named)
    return named + ([Finding(corpus.name, corpus.name, f"… and {more} {rest}", NOTE)] if more else [])


def table(found: list[Finding]) -> pd.DataFrame:
    """Findings as a table: columns ``corpus, path, problem, action, advice``."""
    columns = [item.name for item in fields(Finding)]
    return pd.DataFrame([asdict(finding) for finding in found], columns=columns).astype("str")


def report(found: list[Finding], tables: dict[str, pd.DataFrame]) -> str:
    """Findings for a person: per corpus a line of numbers, then what stops a run, what is left out, and notes.

    Parameters
    ----------
    found : list of Finding
    tables : dict
        Corpus → its manifest rows.
    """
    parts = [_chapter(name, table, [item for item in found if item.corpus == name]) for name, table in tables.items()]
    stops = sum(item.action == STOPS for item in found)
    clips, used = (
        sum(map(len, tables.values())),
        sum((table["exclude_reason"] == "").sum() for table in tables.values()),
    )
    end = f"{len(tables)} corpora: {clips} clips, {used} used; "
    return "\n\n".join(
        [
            *parts,
            end + (f"{stops} finding{'s stop' if stops > 1 else ' stops'} a run" if stops else "nothing stops a run"),
        ]
    )


def _chapter(name: str, rows: pd.DataFrame, found: list[Finding]) -> str:
    used = int((rows["exclude_reason"] == "").sum())
    left_out, noted = (sum(item.action == action for item in found) for action in (LEFT_OUT, NOTE))
    stops = sum(item.action == STOPS for item in found)
    counts = [f"{len(rows)} clips", f"{used} used", f"{left_out} left out", f"{noted} note{'s' * (noted != 1)}"]
    lines = [f"{name}: {', '.join(counts)}" + (f", {stops} that stop{'s' * (stops == 1)} a run" if stops else "")]
    for action in ACTIONS:
        lines += _section(name, action, [item for item in found if item.action == action])
    return "\n".join(lines)


def _section(name: str, action: str, found: list[Finding]) -> list[str]:
    """Lines of one action; files with the same problem stand under it."""
    lines = []
    for said, paths in _alike(found).items():
        if paths == [name]:
            lines.append(f"  {action}: {said}")
        elif len(paths) < ALONE:
            lines += [f"  {action}: {path}: {said}" for path in paths]
        elif action == STOPS and len(paths) > NAMED:
            lines += [f"  {action}: {len(paths)} files: {said}", *(f"    {line}" for line in _first(paths))]
        else:
            lines += [f"  {action}: {said}", *(f"    {path}" for path in paths)]
    return lines


def stopping(found: list[Finding]) -> list[str]:
    """One line per file that stops a run; of more than :data:`NAMED` with one problem the first, and how many."""
    lines = []
    for said, paths in _alike([item for item in found if item.action == STOPS]).items():
        if len(paths) > NAMED:
            lines += [f"{len(paths)} files: {said}", *(f"  {line}" for line in _first(paths))]
        else:
            lines += [f"{path}: {said}" for path in paths]
    return lines


def _alike(found: list[Finding]) -> dict[str, list[str]]:
    """Paths by what is said of them."""
    groups: dict[str, list[str]] = {}
    for item in found:
        groups.setdefault(item.problem + (f"; {item.advice}" if item.advice else ""), []).append(item.path)
    return groups


def _first(paths: list[str]) -> list[str]:
    return [*paths[:NAMED], f"… and {len(paths) - NAMED} more"]
