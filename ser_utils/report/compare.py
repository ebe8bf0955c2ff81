"""Two runs side by side: which scores are the same, which moved no more than chance, and which changed.

A score is *identical* when the value and both limits of its interval are the same for all metrics of its system;
*within tolerance* when the value moved by less than :data:`TOLERANCE`; *within noise* when it moved by more, and the
intervals overlap; else *changed*. Chance and majority do not count: they depend on nothing that could go wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_utils import study

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("identical", "within tolerance", "within noise", "changed", "missing", "new")
BAD = ("changed", "missing")
TOLERANCE = 0.005  # of a score between 0 and 1
EQUAL = 1e-6  # results are written with six decimals
FACTS = ("python", "tensorflow", "keras", "numpy", "scipy", "pandas", "scikit-learn", "librosa", "cpu", "system")


def compare(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Level of every metric of every system.

    Parameters
    ----------
    ours, reference : pd.DataFrame
        As :func:`evaluation.load_results` reads them.

    Returns
    -------
    pd.DataFrame
        ``corpus … condition, metric, value, reference, level``. A system of the reference that is not in the run is
        ``missing`` where the run has its corpus, and left out where it has not; what only the run has is ``new``.
    """
    import pandas as pd

    from ser_utils import evaluation

    key = [name for name in evaluation.SYSTEM if name != "corpus_version"] + ["metric"]
    columns = ["value", "ci_low", "ci_high"]
    tables = [table[~table["model"].isin(evaluation.BASELINES)] for table in (ours, reference)]
    old = tables[1][tables[1]["corpus"].isin(ours["corpus"])]
    both = tables[0][[*key, *columns]].merge(
        old[[*key, *columns]], on=key, how="outer", suffixes=("", "_reference"), indicator="side"
    )
    level = _moved(both)
    same = (level.eq("identical") | both["side"].ne("both")).groupby([both[name] for name in key[:-1]]).transform("all")
    level = level.mask(level.eq("identical") & ~same, "within tolerance")  # equal by coincidence
    level = level.mask(both["side"] == "left_only", "new").mask(both["side"] == "right_only", "missing")
    told = both.assign(level=pd.Categorical(level, LEVELS), reference=both["value_reference"])
    return told[[*key, "value", "reference", "level"]].sort_values(key, kind="stable", ignore_index=True)


def _moved(both: pd.DataFrame) -> pd.Series:
    import numpy as np
    import pandas as pd

    gaps = np.stack(
        [(both[name] - both[f"{name}_reference"]).abs().to_numpy() for name in ("value", "ci_low", "ci_high")]
    )
    unknown = both[["ci_low", "ci_low_reference"]].isna().all(axis=1).to_numpy()  # one speaker: no interval
    same = (gaps[0] <= EQUAL) & (unknown | (gaps[1:] <= EQUAL).all(axis=0))
    overlap = (both["ci_low"] <= both["ci_high_reference"]) & (both["ci_low_reference"] <= both["ci_high"])
    level = np.select([same, gaps[0] <= TOLERANCE, overlap], LEVELS[:3], LEVELS[3])
    return pd.Series(level, index=both.index)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """How many metrics reached each level: one row per corpus and metric that people read, and one for all."""
    import pandas as pd

    shown = table.assign(metric=table["metric"].where(table["metric"].isin(["UAR", "WA", "macro_F1"]), "others"))
    wide = pd.crosstab([shown["corpus"], shown["metric"]], shown["level"]).reindex(columns=list(LEVELS), fill_value=0)
    wide.loc[("all", ""), :] = wide.sum()
    return wide.astype(int).loc[:, lambda part: part.sum() > 0]


def agrees(table: pd.DataFrame) -> bool:
    """Whether something was compared, and nothing changed or went missing."""
    return bool(len(table) and table["level"].isin(LEVELS[:3]).any() and not table["level"].isin(BAD).any())


def reasons(ours: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """What differs between two run records, one clause each: why scores may differ."""
    found = []
    here, there = ours.get("environment") or {}, reference.get("environment") or {}
    for name in FACTS:
        if here.get(name) != there.get(name):
            found.append(f"{name}: {here.get(name, 'unknown')}, reference {there.get(name, 'unknown')}")
    new, old = (_hashes(record) for record in (ours, reference))
    for corpus in sorted(new.keys() & old.keys()):
        if new[corpus] != old[corpus]:
            found.append(f"data of {corpus}: {new[corpus][:12]}, reference {old[corpus][:12]}")
    commits = [f"{r.get('commit', 'unknown')}{' with changes' if r.get('dirty') else ''}" for r in (ours, reference)]
    if commits[0] != commits[1]:
        found.append(f"code: {commits[0]}, reference {commits[1]}")
    if ours.get("seeds") != reference.get("seeds"):
        found.append("seeds: " + _unequal(ours.get("seeds") or {}, reference.get("seeds") or {}))
    settings = [(record.get("parameters") or {}).get("notebooks") or {} for record in (ours, reference)]
    if settings[0] != settings[1]:
        found.append("parameters: " + _unequal(*settings))
    return found


def _hashes(record: Mapping[str, Any]) -> dict[str, str]:
    corpora = (record.get("manifest") or {}).get("corpora") or {}
    return {name: str(facts.get("sha256", "")) for name, facts in corpora.items()}


def _unequal(ours: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    names = sorted(name for name in ours.keys() | reference.keys() if ours.get(name) != reference.get(name))
    return ", ".join(names) + " differ" + ("s" if len(names) == 1 else "")


def find(place: Path, profile: str) -> tuple[Path, Path]:
    """Results and run record of another run: of a report's folder, of an output root, or of published results.

    Raises
    ------
    UserError
        When there are none.
    """
    pairs = [(folder / "results.csv", folder / "run.json") for folder in (place, place / "reports" / profile)]
    pairs += [(folder / f"{profile}.csv", folder / f"{profile}.json") for folder in (place,)]
    for results, record in pairs:
        if results.is_file():
            return results, record
    raise study.UserError(
        f"{place}: no results to compare with; give the folder of a run (SER_OUT), its reports/{profile}, or "
        "reports/published"
    )


def report(profile: str, place: Path) -> tuple[list[str], bool]:
    """Lines that say how the run of a profile compares with the one at `place`, and whether it agrees.

    Raises
    ------
    UserError
        When one of them has no results.
    """
    from ser_utils import evaluation

    reports = study.paths(profile).reports
    results, record = find(place, profile)
    table = compare(evaluation.load_results(reports / "results.csv"), evaluation.load_results(results))
    fine = agrees(table)
    lines = [f"{profile} beside {results}", "", *counts(table).reset_index().to_string(index=False).splitlines()]
    worst = table[table["level"].isin(BAD) & (table["metric"] == "UAR")]
    for row in worst.head(10).itertuples():
        system = f"{row.corpus}, {row.split}: {row.model} on {row.features}, {row.train_regime}, {row.condition}"
        lines.append(f"{row.level}: {system}: UAR {_told(row.value)}, reference {_told(row.reference)}")
    why = reasons(_json(reports / "run.json"), _json(record))
    if not table["level"].eq("identical").all():
        lines += [
            "",
            "why they may differ:",
            *(f"- {reason}" for reason in why or ["the run records tell no difference"]),
        ]
    return lines, fine


def _told(value: float) -> str:
    return f"{value:.3f}" if value == value else "–"


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a run without a record is compared all the same, without reasons
