"""Results that are kept: a copy of one run's scores under ``reports/published`` and the README's table made from it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from ser_utils import study

FOLDER = study.ROOT / "reports" / "published"
FIGURE = "09_uar.png"
KEPT = ("run_id", "commit", "dirty", "seeds", "parameters", "environment", "manifest")  # of the run record


def publish(profile: str) -> list[Path]:
    """Keep the scores, the headline figure and the provenance of the last run of `profile`, and renew the README.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    study.UserError
        When the run is not complete.
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
    for source, target in sources.items():
        with study.atomic(target) as temporary:
            shutil.copyfile(source, temporary)
    facts = json.loads(record.read_text(encoding="utf-8"))
    with study.atomic(FOLDER / f"{profile}.json") as temporary:
        kept = {key: facts[key] for key in KEPT if key in facts}
        temporary.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    readme = study.ROOT / "README.md"
    with study.atomic(readme) as temporary:
        temporary.write_text(renewed(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return [*sources.values(), FOLDER / f"{profile}.json", readme]


def renewed(readme: str) -> str:
    """`readme` with the table of ``reports/published/<profile>.csv`` between each pair of its markers."""

    def block(match: re.Match[str]) -> str:
        file = FOLDER / f"{match['profile']}.csv"
        return match["begin"] + (markdown(file) if file.is_file() else "") + match["end"]

    pattern = r"(?P<begin><!-- results:(?P<profile>\w+) -->\n).*?(?P<end><!-- /results -->)"
    return re.sub(pattern, block, readme, flags=re.DOTALL)


def markdown(file: Path) -> str:
    """Headline table of a results file as Markdown: each model on the features that suit it best, best first.

    Features that other clips of the test speaker standardise have rows of their own.
    """
    from ser_utils import evaluation

    table = evaluation.headline(evaluation.load_results(file))
    table["known"] = evaluation.knows_speaker(table["features"])
    table = table.drop_duplicates([*evaluation.TASK, "model", "known"])
    lines = [
        "| corpus | split | model | features | UAR [95 % interval] | WA | macro-F1 | clips | speakers | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        model = row.model.replace("_", " ")
        score = evaluation.interval_text(row.UAR, row.ci_low, row.ci_high)
        numbers = f"{row.WA:.3f} | {row.macro_F1:.3f} | {row.n_clips} | {row.n_speakers} | {row.n_seeds}"
        features = "–" if row.features == "none" else row.features
        lines.append(f"| {row.corpus} | {row.split.replace('_', ' ')} | {model} | {features} | {score} | {numbers} |")
    run = evaluation.load_results(file)["run_id"].iloc[0]
    more = f" Every system is in [{file.name}](reports/published/{file.name})."
    return "\n".join([*lines, "", f"Run `{run}`.{more}", ""])
