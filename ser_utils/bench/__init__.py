"""How fast the parts of the study are, what memory they take, and how both grow with a corpus.

Every bench prints tables and leaves ``reports/bench/<name>.json``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from ser_utils import study
from ser_utils.bench import comparing, measuring

EVERYTHING = "parts"  # what runs when none is named
BENCHES = {"parts": "parts", "growth": "growth", "features": "features", "app": "demo"}  # name → module


def main(names: Sequence[str] = (), *, against: Path | None = None) -> int:
    """Run benches by name; without one the table of everything.

    Parameters
    ----------
    names : sequence of str
        Of :data:`BENCHES`.
    against : Path, optional
        A report of ``parts`` from another commit or machine: times and memory are told as shares of it.

    Returns
    -------
    int
        0; 1 when values differ from the reference, or what must not grow does.

    Raises
    ------
    study.UserError
        For an unknown name, or a file that is no such report; before anything is measured.
    """
    for name in names:
        if name not in BENCHES:
            raise study.UserError(f"bench '{name}' is unknown; use one of {', '.join(BENCHES)}")
    if against and names and EVERYTHING not in names:
        raise study.UserError(f"--against compares the table of everything; leave {', '.join(names)} out")
    then = measuring.read(against) if against else None
    code = max(importlib.import_module(f"ser_utils.bench.{BENCHES[name]}").run() for name in names or [EVERYTHING])
    if then:
        comparing.show(then)
    return code
