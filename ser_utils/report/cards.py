"""Model card and data card of a run, as Markdown, from what the run left: nothing in them is typed by hand but prose.

Mitchell et al.: Model cards for model reporting. 2019. doi:10.1145/3287560.3287596. Gebru et al.: Datasheets for
datasets. 2021. doi:10.1145/3458723.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_utils import study

MODEL_CARD, DATA_CARD = "MODEL_CARD.md", "DATA_CARD.md"
FOR_WHAT = """## Intended use

To study how well the emotion that a voice expresses can be recognised in people whom a model has never heard, and to
compare ways of doing it. **Not** for decisions about people: hiring, health, credit, teaching, policing, or telling
what someone feels. A score says how often the answer equals the label of an actor or annotator, not what a person
felt."""
SYNTHETIC = ", synthetic: says nothing about people"
LIMITS = """## Limits

- Actors speak fixed sentences; scores do not carry over to conversation, other languages, rooms or microphones.
- Intervals tell how a score moves with other speakers of the same corpus; with few speakers they are unreliable.
- The best system of a corpus is chosen by the scores shown, so its lead is slightly flattered."""


def write(
    reports: Path, run: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]], corpora: Sequence[Mapping[str, Any]]
) -> list[Path]:
    """Write both cards of a report.

    Parameters
    ----------
    reports : Path
        Folder of the report.
    run : mapping
        The run record.
    blocks : sequence of mapping
        What the report's first page shows, from :func:`headline.blocks`.
    corpora : sequence of mapping
        Facts of each corpus and its registered title, licence, address, citation and kind.
    """
    cards = {MODEL_CARD: model_card(run, blocks, reports), DATA_CARD: data_card(run, corpora)}
    for name, text in cards.items():
        with study.atomic(reports / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [reports / name for name in cards]


def model_card(run: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]], reports: Path) -> str:
    """What the models of a run are, what they were made from, and how well they do on people nobody heard."""
    parts = [f"# Model card: {run['title']}", _made(run), FOR_WHAT, "## Models", *_models(reports)]
    parts += ["## Scores on unseen speakers", *(_scores(block) for block in blocks)]
    if not blocks:
        parts.append("No results yet.")
    groups = _groups(reports)
    parts += ["## Groups of speakers", groups] if groups else []
    return "\n\n".join([*parts, LIMITS]) + "\n"


def _made(run: Mapping[str, Any]) -> str:
    seeds = sorted({str(seed) for seed in run.get("seeds", {}).values()})
    dirty = " with changes that are not committed" if run.get("dirty") else ""
    return (
        f"Made by profile `{run['profile']}`, run `{run['run_id']}`, commit `{run['commit']}`{dirty}, first seed "
        f"{' and '.join(seeds) or 'none'}. Parameters, versions and hashes of all outputs are in `run.json`."
    )


def _models(reports: Path) -> list[str]:
    nets = sorted((reports / "models").glob("*.keras"))
    if not nets:
        return ["No net was kept for use; scores come from nets of each fold."]
    rows = [(f"`models/{net.name}`", f"{net.stat().st_size / 1e6:.1f}", f"`{study.sha256(net)[:16]}`") for net in nets]
    return ["Nets that were kept for use:", _table(["file", "MB", "sha256"], rows)]


def _scores(block: Mapping[str, Any]) -> str:
    rows = []
    for system in block["systems"]:
        uar = system["metrics"]["UAR"]
        interval = f"{uar['value']:.3f}"
        if uar["high"] > uar["low"]:
            interval += f" [{uar['low']:.3f}, {uar['high']:.3f}]"
        rows.append((system["model"], system["how"] or "–", interval, f"{system['metrics']['WA']['value']:.3f}"))
    size = block["systems"][0] if block["systems"] else {}
    told = f"{size.get('n_clips')} clips, {size.get('n_speakers')} speakers; UAR with its 95 % interval over speakers."
    title = f"### {block['corpus']}, split {block['split'].replace('_', ' ')}"
    return "\n\n".join([title, told, _table(["model", "how", "UAR [95 %]", "WA"], rows)])


def _groups(reports: Path) -> str:
    """Recall by group of speakers of the best systems; empty where 09 has not run."""
    import pandas as pd

    file = reports / "tables" / "09_groups.csv"
    if not file.is_file():
        return ""
    table = pd.read_csv(file, dtype={"group": "str"})
    rows = []
    for (corpus, by), part in table.groupby(["corpus", "by"], sort=False):
        low, high = part.loc[part["UAR"].idxmin()], part.loc[part["UAR"].idxmax()]
        rows.append((corpus, by, len(part), f"{high['group']} {high['UAR']:.3f}", f"{low['group']} {low['UAR']:.3f}"))
    return _table(["corpus", "by", "groups", "best served", "worst served"], rows)


def data_card(run: Mapping[str, Any], corpora: Sequence[Mapping[str, Any]]) -> str:
    """Which corpora a run used, in which version, under which licence, and what was left out."""
    parts = [f"# Data card: {run['title']}", _made(run)]
    absent = run["manifest"].get("absent") or []
    parts.append(f"Asked for and not here: {', '.join(absent)}." if absent else "Every corpus of the profile was here.")
    parts.append("No audio is part of the report but what its licence allows; the corpora have to be fetched anew.")
    for corpus in corpora:
        parts += [f"## {corpus['title']}", _facts(corpus), corpus.get("cite") or ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(corpus: Mapping[str, Any]) -> str:
    left = corpus["n_clips"] - corpus["n_used"]
    rows = [
        ("Kind", (corpus.get("kind") or "speech") + (SYNTHETIC if corpus["synthetic"] else "")),
        ("Version", corpus["version"]),
        ("Licence", corpus.get("licence") or "unknown"),
        ("Address", corpus.get("address") or "none"),
        ("Clips used", corpus["n_used"]),
        ("Clips left out", f"{left} (reasons in the manifest)" if left else 0),
        ("Speakers", corpus["n_speakers"] if corpus["n_speakers"] else "unknown or none"),
        ("Hours", f"{corpus['hours']:.2f}"),
        ("Content hash", f"`{corpus['sha256'][:16]}`"),
    ]
    return _table(["", ""], rows)


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [f"| {' | '.join(str(value).replace('|', '/') for value in row)} |" for row in rows]
    return "\n".join(lines)
