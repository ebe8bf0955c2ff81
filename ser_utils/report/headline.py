"""From the long results table to what the first page shows: one block per corpus, systems sorted, floors last."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

N_SYSTEMS = 12  # shown per corpus; the rest are in the table on disk
RECALL = "recall_"


def load_results(reports: Path, notebooks: Iterable[str]) -> pd.DataFrame | None:
    """``results.csv`` of a report, else what `notebooks` have left so far under ``results/``; None without either.

    Raises
    ------
    UserError
        When a file lacks a column of the results table.
    """
    import pandas as pd

    from ser_utils import evaluation

    files = [reports / "results.csv"]
    if not files[0].is_file():
        files = [reports / "results" / f"{name}.csv" for name in sorted(notebooks)]
    tables = [evaluation.load_results(file) for file in files if file.is_file()]
    if not tables:
        return None
    # every notebook leaves the floors
    return pd.concat(tables, ignore_index=True).drop_duplicates([*evaluation.SYSTEM, "metric"], keep="last")


def blocks(results: pd.DataFrame, *, splits: dict[str, str]) -> list[dict[str, Any]]:
    """What the headline shows, one block per corpus and split, clean speech only.

    Parameters
    ----------
    results : pd.DataFrame
        As :func:`load_results` gives it.
    splits : dict
        The split on which a corpus's scores are published, by corpus; other splits of it are left out.

    Returns
    -------
    list of dict with ``corpus, corpus_version, split``, ``systems`` (best first, floors last), ``more`` (how many are
    not shown), ``best`` and ``chance``
    """
    from ser_utils import evaluation

    rows = dict(list(results[results["condition"] == "clean"].groupby(evaluation.SYSTEM)))
    board = evaluation.headline(results).assign(condition="clean")
    found = []
    for key, task in board.groupby(evaluation.TASK, sort=False):
        wanted = splits.get(key[0])
        if wanted in set(board.loc[board["corpus"] == key[0], "split"]) and key[2] != wanted:
            continue
        names = task[evaluation.SYSTEM].itertuples(index=False, name=None)
        systems = [_system(rows[name], floor=name[3] in evaluation.BASELINES) for name in names]
        models = [system for system in systems if not system["floor"]]
        shown = [*models[:N_SYSTEMS], *(system for system in systems if system["floor"])]
        chance = [system["metrics"]["UAR"]["value"] for system in systems if system["model"] == "chance"]
        found.append(
            dict(zip(evaluation.TASK, key, strict=True))
            | {"systems": shown, "more": len(systems) - len(shown)}
            | {"best": models[0] if models else None, "chance": chance[0] if chance else None}
        )
    return found


def _system(rows: pd.DataFrame, *, floor: bool) -> dict[str, Any]:
    from ser_utils import evaluation

    first = rows.iloc[0]
    how = [word for word in (first["features"], first["train_regime"]) if word not in {"", "none"}]
    metrics = {
        row.metric: {"value": row.value, "low": row.ci_low, "high": row.ci_high} for row in rows.itertuples(index=False)
    }
    return {
        "key": {name: first[name] for name in evaluation.SYSTEM},
        "model": first["model"],
        "how": " · ".join(how),
        "floor": floor,
        "metrics": metrics,
        "recalls": {name.removeprefix(RECALL): m for name, m in metrics.items() if name.startswith(RECALL)},
        **{name: first.get(name) for name in ("n_clips", "n_speakers", "n_seeds")},
    }


def interval_svg(value: float, low: float, high: float, *, chance: float | None = None) -> str:
    """A score between 0 and 1 with its interval and, dashed, chance; the numbers stand beside it.

    Examples
    --------
    >>> interval_svg(0.5, 0.4, 0.6).count("<line")
    3
    """
    lines = [("axis", 0, 1, 10, 10)]
    lines += [("chance", chance, chance, 1, 19)] if chance is not None and chance == chance else []
    lines += [("range", low, high, 10, 10)] if low == low and high == high else []
    lines += [("point", value, value, 4, 16)]
    return _svg(
        f'<line class="{name}" x1="{100 * x1:.2f}" x2="{100 * x2:.2f}" y1="{y1}" y2="{y2}" '
        'vector-effect="non-scaling-stroke"/>'
        for name, x1, x2, y1, y2 in lines
    )


def _svg(shapes: Iterable[str]) -> str:
    head = '<svg class="interval" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
    return head + "".join(shapes) + "</svg>"
