"""Two reports of ``parts`` side by side: what became slower or larger."""

from __future__ import annotations

from typing import Any

from ser_utils.bench import measuring

MORE = 1.25  # share from which a difference is more than the noise of a shared machine


def ratios(now: dict[str, Any], then: dict[str, Any]) -> list[dict[str, Any]]:
    """Time and memory of every part that both reports measured, as shares of `then`.

    Examples
    --------
    >>> now = {"rows": [{"part": "features", "of": "log-mels", "ms": 30.0, "peak_mb": 400.0}]}
    >>> then = {"rows": [{"part": "features", "of": "log-mels", "ms": 20.0, "peak_mb": 400.0}]}
    >>> ratios(now, then)
    [{'part': 'features', 'of': 'log-mels', 'time': 1.5, 'memory': 1.0, 'verdict': 'slower'}]
    """
    before = {(row["part"], row["of"]): row for row in then["rows"] if row.get("ms")}
    rows = []
    for row in now["rows"]:
        old = before.get((row["part"], row["of"]))
        if old and row.get("ms"):
            time, memory = row["ms"] / old["ms"], row["peak_mb"] / old["peak_mb"]
            rows.append(
                {
                    "part": row["part"],
                    "of": row["of"],
                    "time": time,
                    "memory": memory,
                    "verdict": _verdict(time, memory),
                }
            )
    return rows


def _verdict(time: float, memory: float) -> str:
    words = {"slower": time > MORE, "faster": time < 1 / MORE, "larger": memory > MORE, "smaller": memory < 1 / MORE}
    return ", ".join(word for word, holds in words.items() if holds)


def show(then: dict[str, Any]) -> None:
    """Print how the last report compares with another."""
    now = measuring.read(measuring.folder() / "parts.json")
    commits = [report["environment"]["commit"] for report in (now, then)]
    measuring.print_table(f"{commits[0]} as shares of {commits[1]}", ratios(now, then))
