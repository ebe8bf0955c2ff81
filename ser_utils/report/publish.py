"""Results that are kept: what one run found, copied to ``reports/published``, and the README's table made from it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd

from ser_utils import evaluation, study
from ser_utils.overview import families

FOLDER = study.ROOT / "reports" / "published"
FIGURE = "09_uar.png"
KEPT = ("run_id", "run_ids", "commit", "dirty", "seeds", "parameters", "environment", "manifest")  # of the run record
PAGES = ("*.html", "*.md", "run.json", "ro-crate-metadata.json", "tables/*.csv")
MOST_BYTES = 15_000_000
SOUND = re.compile(r"data:audio|<audio")


def publish(profile: str) -> list[Path]:
    """Keep scores, headline table and figure, and provenance of the last run of `profile`, and renew the README.

    The pages and tables are kept, too, where the profile embeds no sound (``embed_audio: false``).

    Returns
    -------
    list of Path
        Files and folders written.

    Raises
    ------
    study.UserError
        When the run is not complete, or its pages hold sound or are too large for a repository.
    """
    places = study.paths(profile)
    sources = {
        places.reports / "results.csv": FOLDER / f"{profile}.csv",
        places.figures / FIGURE: FOLDER / f"{profile}_uar.png",
    }
    record = places.reports / "run.json"
    for file in [*sources, record]:
        if not file.is_file():
            raise study.UserError(f"{file}: missing, so there is nothing to publish; run ./run_all.sh {profile} first")
    pages = [] if study.load_profile(profile)["embed_audio"] else _pages(places.reports)
    for source, target in sources.items():
        with study.atomic(target) as temporary:
            shutil.copyfile(source, temporary)
    with study.atomic(FOLDER / f"{profile}_headline.csv") as temporary:
        leaders(profile).to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")
    facts = json.loads(record.read_text(encoding="utf-8"))
    with study.atomic(FOLDER / f"{profile}.json") as temporary:
        kept = {key: facts[key] for key in KEPT if key in facts}
        temporary.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    kept_pages = [_copy(pages, places.reports, FOLDER / profile)] if pages else []
    readme = study.ROOT / "README.md"
    with study.atomic(readme) as temporary:
        temporary.write_text(renewed(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return [*sources.values(), *(FOLDER / f"{profile}{end}" for end in ("_headline.csv", ".json")), *kept_pages, readme]


def leaders(profile: str) -> pd.DataFrame:
    """The best system of each family and task in the last run of `profile`, and the chance of each task."""
    results = evaluation.load_results(study.paths(profile).reports / "results.csv")
    board = families.placed(evaluation.headline(results), families.made_by(profile))
    chance = board[board["model"] == "chance"].set_index(evaluation.TASK)["UAR"].rename("chance")
    return families.best(board).join(chance, on=evaluation.TASK).drop(columns=["note", "notebook"])


def _pages(reports: Path) -> list[Path]:
    """What a reader opens, after a look at what must not be published."""
    found = sorted(file for pattern in PAGES for file in reports.glob(pattern))
    for page in (file for file in found if file.suffix == ".html"):
        if SOUND.search(page.read_text(encoding="utf-8")):
            raise study.UserError(
                f"{page}: holds sound, which is not published; set embed_audio to false and run again"
            )
    if (size := sum(file.stat().st_size for file in found)) > MOST_BYTES:
        raise study.UserError(
            f"{reports}: pages and tables of {size / 1e6:.1f} MB are more than the {MOST_BYTES / 1e6:.0f} MB that a "
            "repository should hold; show less, or smaller figures"
        )
    return found


def _copy(files: list[Path], source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    with study.atomic(target) as temporary:
        for file in files:
            place = temporary / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return target


def renewed(readme: str) -> str:
    """`readme` with the table of ``reports/published/<profile>_headline.csv`` between each pair of its markers."""

    def block(match: re.Match[str]) -> str:
        known = (FOLDER / f"{match['profile']}_headline.csv").is_file()
        return match["begin"] + (markdown(match["profile"]) if known else "") + match["end"]

    pattern = r"(?P<begin><!-- results:(?P<profile>\w+) -->\n).*?(?P<end><!-- /results -->)"
    return re.sub(pattern, block, readme, flags=re.DOTALL)


def markdown(profile: str) -> str:
    """The published headline table as Markdown: the best system of each family, best first, beside chance."""
    table = pd.read_csv(FOLDER / f"{profile}_headline.csv", keep_default_na=False)
    limits = ["ci_low", "ci_high"]
    table[limits] = table[limits].apply(pd.to_numeric)  # empty: no interval
    lines = [
        "| corpus | split | family | model | features | UAR [95 % interval] | WA | chance | clips | speakers | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        names = [row.corpus, row.split.replace("_", " "), row.family, row.model.replace("_", " "), row.features]
        names[3] += f", {row.train_regime}" if row.train_regime != "clean" else ""
        score = evaluation.interval_text(row.UAR, row.ci_low, row.ci_high)
        numbers = [f"{row.WA:.3f}", f"{row.chance:.3f}", row.n_clips, row.n_speakers, row.n_seeds]
        lines.append("| " + " | ".join(map(str, [*names, score, *numbers])) + " |")
    more = f"Every system is in [{profile}.csv](reports/published/{profile}.csv)"
    if (FOLDER / profile / "index.html").is_file():
        more += f", the pages in [{profile}](reports/published/{profile}) (open `index.html` there)"
    return "\n".join([*lines, "", f"{_runs(profile)}. {more}.", ""])


def _runs(profile: str) -> str:
    """Who made the scores: a run that was resumed has as many ids as beginnings, each with its commit."""
    ids = sorted(pd.read_csv(FOLDER / f"{profile}.csv", usecols=["run_id"])["run_id"].unique())
    return ("Run " if len(ids) == 1 else "Runs ") + ", ".join(f"`{name}`" for name in ids)
