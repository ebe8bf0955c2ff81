"""RO-Crate: the report's folder described for machines, as JSON-LD that needs nothing but this study to write.

Soiland-Reyes et al.: Packaging research artefacts with RO-Crate. 2022. doi:10.3233/DS-210053. Specification:
https://w3id.org/ro/crate/1.1
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_utils import study

FILE = "ro-crate-metadata.json"
CONFORMS_TO = "https://w3id.org/ro/crate/1.1"
LICENCE = "https://spdx.org/licenses/MIT"
PARTS = ("*.html", "*.md", "run.json", "results.csv", "results/*.csv", "tables/*.csv", "predictions/*.parquet")
TYPES = {".parquet": "application/vnd.apache.parquet", ".md": "text/markdown", ".csv": "text/csv"}


def write(reports: Path, run: Mapping[str, Any], corpora: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``ro-crate-metadata.json`` of a report's folder.

    Parameters
    ----------
    reports : Path
    run : mapping
        The run record.
    corpora : sequence of mapping
        Facts of each corpus and its registered title, licence and address.
    """
    files = sorted({file for pattern in PARTS for file in reports.glob(pattern) if file.is_file()})
    text = json.dumps(metadata(reports, run, corpora, files), indent=1, ensure_ascii=False) + "\n"
    with study.atomic(reports / FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return reports / FILE


def metadata(
    reports: Path, run: Mapping[str, Any], corpora: Sequence[Mapping[str, Any]], files: Sequence[Path]
) -> dict[str, Any]:
    """The crate: descriptor, root, one entity per file, the corpora, and what made it."""
    names = [file.relative_to(reports).as_posix() for file in files]
    begun = [record.get("started") for record in run["notebooks"].values() if record.get("started")]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Speech emotion recognition on unseen speakers: {run['title']}",
        "description": "Scores, tables, pages and predictions of one run of the study; no audio of its corpora.",
        "datePublished": max(begun, default="1970-01-01")[:10],
        "license": {"@id": LICENCE},
        "identifier": str(run["run_id"]),
        "hasPart": [{"@id": name} for name in names],
        "mentions": [{"@id": _id(corpus)} for corpus in corpora],
    }
    graph = [
        {
            "@id": FILE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": CONFORMS_TO},
            "about": {"@id": "./"},
        },
        root,
        {"@id": LICENCE, "@type": "CreativeWork", "name": "MIT License"},
        *(_file(file, name) for file, name in zip(files, names, strict=True)),
        *(_corpus(corpus) for corpus in corpora),
        _action(run, names),
        {"@id": "#study", "@type": "SoftwareApplication", "name": "ser_utils", "version": run["commit"]},
    ]
    return {"@context": f"{CONFORMS_TO}/context", "@graph": graph}


def _file(file: Path, name: str) -> dict[str, Any]:
    kind = TYPES.get(file.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    # run.json and pages are written anew around this file, so their sizes say nothing about what is published
    size = {} if file.suffix in (".html", ".json") else {"contentSize": str(file.stat().st_size)}
    return {"@id": name, "@type": "File", "name": file.name, "encodingFormat": kind} | size


def _id(corpus: Mapping[str, Any]) -> str:
    return f"#corpus-{corpus['name']}"  # not its address, which two corpora may share


def _corpus(corpus: Mapping[str, Any]) -> dict[str, Any]:
    address = str(corpus.get("address") or "")
    return {
        "@id": _id(corpus),
        "@type": "Dataset",
        "name": corpus["title"],
        "version": corpus["version"],
        "description": f"{corpus['n_used']} clips used of {corpus['n_clips']}",
        "license": corpus.get("licence") or "unknown",
        "sha256": corpus["sha256"],
    } | ({"url": address} if address.startswith(("https://", "http://")) else {})


def _action(run: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The run itself."""
    machine = run.get("environment") or {}
    return {
        "@id": f"#run-{run['run_id']}",
        "@type": "CreateAction",
        "name": f"./run_all.sh {run['profile']}",
        "instrument": {"@id": "#study"},
        "result": [{"@id": name} for name in names if name.startswith("results") or name.startswith("predictions/")],
        "description": ", ".join(f"{name} {value}" for name, value in machine.items()),
    }


def problems(crate: Mapping[str, Any], reports: Path) -> list[str]:
    """What a crate lacks of RO-Crate 1.1: context, descriptor, root and its required keys, parts that exist."""
    entities = {entity.get("@id"): entity for entity in crate.get("@graph", [])}
    found = [] if crate.get("@context") == f"{CONFORMS_TO}/context" else ["no context of RO-Crate 1.1"]
    found += [f"two entities are called {name}" for name in _twice(crate)]
    found += [f"{name}: no @type" for name, entity in entities.items() if not entity.get("@type")]
    descriptor, root = entities.get(FILE, {}), entities.get("./", {})
    if (descriptor.get("conformsTo"), descriptor.get("about")) != ({"@id": CONFORMS_TO}, {"@id": "./"}):
        found.append("the descriptor does not say what it conforms to, or what it is about")
    keys = ("@type", "name", "description", "datePublished", "license")
    found += [f"the root lacks {key}" for key in keys if not root.get(key)]
    for part in [part["@id"] for part in root.get("hasPart", [])]:
        if part not in entities:
            found.append(f"{part} is not described")
        elif not (reports / part).is_file():
            found.append(f"{part} is not there")
    return found + [f"{name} is not described" for name in sorted(_named(crate) - entities.keys() - {CONFORMS_TO})]


def _twice(crate: Mapping[str, Any]) -> list[str]:
    names = [entity.get("@id") for entity in crate.get("@graph", [])]
    return sorted({str(name) for name in names if names.count(name) > 1})


def _named(crate: Mapping[str, Any]) -> set[str]:
    """Every ``@id`` that an entity points to."""
    found = set()
    for entity in crate.get("@graph", []):
        for value in entity.values():
            values = value if isinstance(value, list) else [value]
            found |= {item["@id"] for item in values if isinstance(item, Mapping) and "@id" in item}
    return found
