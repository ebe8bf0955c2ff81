"""The first page of the report and the run record beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_utils import study
from ser_utils.report import cards, crate, headline
from ser_utils.report.figures import described, figure_html
from ser_utils.report.pages import NOTEBOOKS, mark_old, number_captions, page_title, templates, tie_pages
from ser_utils.report.record import load_records, load_waiting, run_record

N_FIGURES = 6
SECTIONS = (
    ("results", "Results"),
    ("figures", "Key figures"),
    ("pages", "Pages of this report"),
    ("reading", "How to read the numbers"),
    ("corpora", "Corpora"),
    ("provenance", "Where the numbers come from"),
)


def render_index(profile: str) -> Path:
    """Write ``index.html``, ``run.json``, the cards and the crate of a profile from what its notebooks left on disk.

    Nothing is computed anew: scores come from the results tables, everything else from records and manifests. Links
    between pages are pointed at the pages that exist by now.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UserError
        For an unknown profile, or a record or results table that cannot be read.
    """
    places = study.paths(profile)
    planned = study.load_profile(profile)["notebooks"]
    records = {name: record for name, record in load_records(places.records).items() if name in planned}
    run = run_record(profile, records)
    results = headline.load_results(places.reports, planned)
    registry = _registry(profile)
    corpora = [
        _corpus(name, _title(name, registry), facts, registry.get(name))
        for name, facts in run["manifest"]["corpora"].items()
    ]
    splits = {name: entry.split for name, entry in registry.items()}
    figures = key_figures(places.figures, records)
    context = {
        "run": run,
        "blocks": [] if results is None else _traced(headline.blocks(results, splits=splits), profile),
        "n_results": 0 if results is None else len(results),
        "complete": (places.reports / "results.csv").is_file(),
        "old_scores": _old_scores(places, records, run["waiting"]),
        "corpora": corpora,
        "absent": [_title(name, registry) for name in run["manifest"]["absent"]],
        "names": {name: _title(name, registry) for name in set(registry) | set(run["manifest"]["corpora"])},
        "known_speakers": known_speakers(run["manifest"]["corpora"], registry),
        "synthetic": [c["title"] for c in corpora if c["synthetic"] and c["kind"] != "noise"],
        "figures": [_gallery(png) for png in figures],
        "pages": page_rows(profile, records, places.reports),
        "contents": [{"level": 2, "id": i, "text": t} for i, t in SECTIONS if figures or i != "figures"],
    }
    with study.atomic(places.reports / "run.json") as temporary:
        temporary.write_text(json.dumps(run, indent=1, default=str) + "\n", encoding="utf-8")
    index = places.reports / "index.html"
    with study.atomic(index) as temporary:
        temporary.write_text(_page(context, places.reports), encoding="utf-8")
    _tie_all(places.reports, run["waiting"])
    cards.write(places.reports, run, context["blocks"], corpora)
    crate.write(places.reports, run, corpora)
    return index


def _traced(blocks: list[dict[str, Any]], profile: str) -> list[dict[str, Any]]:
    """`blocks`, the best system of each with ``made``: the place that made its predictions, and their file."""
    from ser_utils.overview import families

    made = families.made_by(profile)
    for block in blocks:
        if not block["best"]:
            continue
        key = block["best"]["key"]
        block["best"]["made"] = None
        rows = made[(made[list(key)] == list(key.values())).all(axis=1)]
        if len(rows):
            name = rows["notebook"].iloc[0]
            kind = families.family(key["model"], key["features"], name)
            told = {
                "place": families.place(name, kind),
                "page": page_title(name),
                "file": f"predictions/{name}.parquet",
            }
            block["best"]["made"] = told
    return blocks


def _page(context: Mapping[str, Any], reports: Path) -> str:
    from bs4 import BeautifulSoup

    template = templates().get_template("index.html.j2")
    soup = BeautifulSoup(template.render(context, interval=headline.interval_svg), "html.parser")
    number_captions(soup)
    return tie_pages(str(soup), _existing(reports))


def _existing(reports: Path) -> set[str]:
    return {page.stem for page in reports.glob("[0-9][0-9]_*.html")}


def _tie_all(reports: Path, waiting: Mapping[str, list[str]]) -> None:
    for page in reports.glob("[0-9][0-9]_*.html"):
        text = page.read_text(encoding="utf-8")
        tied = mark_old(tie_pages(text, _existing(reports)), waiting.get(page.stem, []))
        if tied != text:
            made = page.stat()
            with study.atomic(page) as temporary:
                temporary.write_text(tied, encoding="utf-8")
                # a link or a banner is not a new result: the page keeps its age, so that nothing reruns because of it
                os.utime(temporary, ns=(made.st_atime_ns, made.st_mtime_ns))


def _old_scores(
    places: study.Paths, records: Mapping[str, Mapping[str, Any]], waiting: Mapping[str, list[str]]
) -> bool:
    """Whether the overall results come from an earlier run than the evaluation's last one."""
    file = places.reports / "results.csv"
    written = (records.get("09_evaluation") or {}).get("outputs") or {}
    new = file.relative_to(study.output_root()).as_posix() in written and "09_evaluation" not in waiting
    return file.is_file() and not new


def _registry(profile: str) -> Mapping[str, Any]:
    from ser_utils import corpora

    found = dict(corpora.CORPORA)
    for name in study.load_profile(profile)["tables"]:
        # a table that cannot be read has stopped its notebook, whose row says why; the report is written all the same
        with contextlib.suppress(study.UserError):
            found[name] = corpora.corpus(name, profile)
    return found


def known_speakers(facts: Mapping[str, Mapping[str, Any]], registry: Mapping[str, Any]) -> dict[str, str]:
    """Corpora whose scores may come from speakers who were heard in training, each with the reason."""
    leaky = [name for name in facts if "speaker" in getattr(registry.get(name), "leaks", ())]
    return {name: _why_known(facts[name].get("n_speakers")) for name in leaky}


def _why_known(n_speakers: int | None) -> str:
    if not n_speakers:
        return "its speakers are unknown, so that their independence cannot be checked"
    return "it has one speaker" if n_speakers == 1 else "people who speak in its training part speak in its test part"


def _title(name: str, registry: Mapping[str, Any]) -> str:
    if name not in registry:
        return name
    title = registry[name].title
    return f"{title} (synthetic)" if registry[name].synthetic and "synthetic" not in title.lower() else title


def _corpus(name: str, title: str, facts: Mapping[str, Any], entry: Any) -> dict[str, Any]:
    known = {key: getattr(entry, key, "") for key in ("licence", "address", "citation", "kind")}
    synthetic = bool(getattr(entry, "synthetic", False))
    return {"name": name, **facts, **known, "title": title, "synthetic": synthetic, "cite": readable(known["citation"])}


def readable(bibtex: str) -> str:
    """A BibTeX entry as one line for people.

    Examples
    --------
    >>> readable("@article{k, author={Livingstone, S. and Russo, F.}, title={The {RAVDESS}}, year={2018}, doi={10/x}}")
    'Livingstone, S. and Russo, F. (2018). The RAVDESS. doi:10/x'
    """
    pairs = re.findall(r'(\w+)\s*=\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|"([^"]*)"|(\w+))', bibtex)
    fields = {name.lower(): " ".join(re.sub(r"[{}]", "", a or b or c).split()) for name, a, b, c in pairs}
    if "title" not in fields:
        return " ".join(bibtex.split())
    venue = fields.get("journal") or fields.get("booktitle") or fields.get("howpublished") or fields.get("publisher")
    author = f"{fields['author']} ({fields.get('year', 'n.d.')})" if "author" in fields else None
    parts = [author, fields["title"], venue]
    parts += [f"doi:{fields['doi']}" if "doi" in fields else fields.get("url")]
    return ". ".join(part for part in parts if part)


# --- figures and pages ------------------------------------------------------------------------------------------


def key_figures(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """Figures for the first page: the evaluation's, then the first of each other notebook.

    Figures that no record names are left out where any record names one: they are older than the run.
    """
    named = {Path(output).name for record in records.values() for output in record.get("outputs") or {}}
    files = sorted(folder.glob("*.png"))
    files = [file for file in files if file.name in named] or files
    evaluation = [file for file in files if file.name.startswith("09_")]
    firsts = {file.name[:2]: file for file in reversed(files) if file not in evaluation}
    return [*evaluation, *sorted(firsts.values())][:N_FIGURES]


def _gallery(png: Path) -> dict[str, str]:
    alt, caption = described(png)
    page = next((name for name in NOTEBOOKS if name.startswith(png.name[:3])), "")
    return {"html": figure_html(png, alt=alt, caption=caption), "page": page, "title": page_title(page)}


def page_rows(profile: str, records: Mapping[str, Mapping[str, Any]], reports: Path) -> list[dict[str, Any]]:
    """State of each page: ``ok``, ``failed``, ``waiting`` or ``none``, with words that say why there is none."""
    planned, waiting = study.load_profile(profile)["notebooks"], load_waiting(reports)
    rows = []
    for name in [*NOTEBOOKS, *(n for n in records if n not in NOTEBOOKS)]:
        record = records.get(name) or {}
        status = {"ok": "ok", "failed": "failed"}.get(str(record.get("status")), "none")
        rows.append(
            {
                "name": name,
                "title": page_title(name),
                "question": NOTEBOOKS.get(name, ("", ""))[1],
                "exists": name in planned and (reports / f"{name}.html").is_file(),
                "status": "waiting" if name in waiting else status,
                "word": _word(name, record, planned, waiting.get(name, [])),
                "error": None if name in waiting else record.get("error"),
                "wall_s": record.get("wall_s"),
                "peak_rss_mb": record.get("peak_rss_mb"),
                "run_id": record.get("run_id"),
            }
        )
    return rows


def _word(name: str, record: Mapping[str, Any], planned: Mapping[str, Any], failed: list[str]) -> str:
    if failed:
        return f"not run: {' and '.join(failed)} failed"
    if record:
        return "✓ ran" if record.get("status") == "ok" else "✗ failed"
    if not (study.ROOT / "notebooks" / f"{name}.ipynb").is_file():
        return "not built yet"
    return "not run" if name in planned else "not in this profile"
