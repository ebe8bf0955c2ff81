"""The README quotes published results and nothing else."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from ser_utils import evaluation, study
from ser_utils.report import publish


def test_the_readme_quotes_the_published_results():
    readme = (study.ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == publish.renewed(readme)
    for file in publish.FOLDER.glob("*_headline.csv"):
        assert f"<!-- results:{file.stem.removesuffix('_headline')} -->" in readme


@pytest.mark.parametrize("profile", ["demo", "full"])
def test_the_headline_is_that_of_the_published_scores(profile):
    scores = evaluation.load_results(publish.FOLDER / f"{profile}.csv").set_index([*evaluation.SYSTEM, "metric"])
    leaders = pd.read_csv(publish.FOLDER / f"{profile}_headline.csv", dtype={"corpus_version": str})
    assert len(leaders) > 0
    for row in leaders.itertuples():
        system = tuple(str(getattr(row, name, "clean")) for name in evaluation.SYSTEM)
        for metric in ("UAR", "WA", "macro_F1"):
            assert getattr(row, metric) == pytest.approx(scores.loc[(*system, metric), "value"], abs=1e-6)
        uar = scores.loc[(*system, "UAR")]
        assert [row.ci_low, row.ci_high] == pytest.approx([uar["ci_low"], uar["ci_high"]], abs=1e-6, nan_ok=True)


PAGES = sorted(file.parent for file in publish.FOLDER.glob("*/index.html"))  # of profiles published with their pages


@pytest.mark.parametrize("folder", PAGES)
def test_the_published_pages_fit_a_repository(folder):
    pages = sorted(folder.rglob("*.*"))
    assert sum(file.stat().st_size for file in pages) < publish.MOST_BYTES
    for page in (file for file in pages if file.suffix in (".html", ".json", ".csv", ".md")):
        text = page.read_text(encoding="utf-8")
        assert not publish.SOUND.search(text)
        assert not re.search(r"(?<![\w./])/(?:home|root|tmp|usr|work|Users)/", text), page


@pytest.mark.parametrize("folder", PAGES)
def test_links_of_the_published_pages_lead_somewhere(folder):
    texts = {page.name: page.read_text(encoding="utf-8") for page in folder.glob("*.html")}
    anchors = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in texts.items()}
    for name, text in texts.items():
        for link in re.findall(r'href="(?!https?:|mailto:|data:)([^"]+)"', text):
            file, _, anchor = link.partition("#")
            assert (folder / (file or name)).exists(), (name, link)
            assert not anchor or anchor in anchors[file or name], (name, link)


@pytest.mark.parametrize("folder", PAGES)
def test_the_published_pages_say_what_the_scores_say(folder):
    results = evaluation.load_results(folder.with_suffix(".csv"))
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert set(results["run_id"]) <= {notebook["run_id"] for notebook in record["notebooks"].values()}
    page = (folder / "09_evaluation.html").read_text(encoding="utf-8")
    leaders = pd.read_csv(folder.with_name(f"{folder.name}_headline.csv"))
    for row in leaders.itertuples():
        assert f"{row.UAR:.3f}" in page, row


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A complete run of a profile called toy, and a README that quotes it."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setattr(study, "ROOT", tmp_path)
    monkeypatch.setattr(publish, "FOLDER", tmp_path / "reports" / "published")
    places = study.paths("toy")
    for folder in (places.figures, places.reports / "tables", places.predictions, tmp_path / "config"):
        folder.mkdir(parents=True)
    (tmp_path / "config" / "toy.yaml").write_text(
        "title: Toy\ncorpora: [emodb]\nembed_audio: false\nnotebooks: {02_features: {}}\n"
    )
    (places.figures / publish.FIGURE).write_bytes(b"png")
    system = {"corpus": "toy", "corpus_version": "1", "split": "loso", "train_regime": "clean", "condition": "clean"}
    rows, made = [], []
    for model, features, lead in (
        ("net", "mfcc", 0),
        ("net", "zcr", -0.2),
        ("net", "mfcc+speaker_norm", 0.2),
        ("chance", "none", -0.3),
    ):
        known = system | {"model": model, "features": features}
        made += [known] if model != "chance" else []
        for metric, value in (("UAR", 0.5), ("WA", 0.6), ("macro_F1", 0.4)):
            limits = {"value": value + lead, "ci_low": 0.4, "ci_high": 0.6}
            rows.append(
                known | {"metric": metric, "n_clips": 20, "n_speakers": 12, "n_seeds": 1, "run_id": "r1"} | limits
            )
    pd.DataFrame(rows).to_csv(places.reports / "results.csv", index=False)
    pd.DataFrame(made).to_parquet(places.predictions / "02_features.parquet")
    (places.reports / "index.html").write_text("<p>page</p>")
    (places.reports / "tables" / "a.csv").write_text("a\n1\n")
    (places.reports / "run.json").write_text(json.dumps({"run_id": "r1", "commit": "abc", "notebooks": {}}))
    (tmp_path / "README.md").write_text("before\n<!-- results:toy -->\nold\n<!-- /results -->\nafter\n")
    return places


def test_publishing_copies_and_renews(run, tmp_path):
    publish.publish("toy")
    readme = (tmp_path / "README.md").read_text()
    assert "| toy | loso | classic | net | mfcc | 0.500 [0.400, 0.600] | 0.600 | 0.200 | 20 | 12 | 1 |" in readme
    assert "speaker_norm" not in readme  # needs other clips of the test speaker
    assert "zcr" not in readme  # the model does better on other features; the file has it
    assert "zcr" in (publish.FOLDER / "toy.csv").read_text()
    assert "old" not in readme
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert json.loads((publish.FOLDER / "toy.json").read_text()) == {"commit": "abc", "run_id": "r1"}
    kept = {file.relative_to(publish.FOLDER / "toy").as_posix() for file in (publish.FOLDER / "toy").rglob("*.*")}
    assert kept == {"index.html", "run.json", "tables/a.csv"}


def test_pages_of_an_older_run_do_not_stay(run):
    (publish.FOLDER / "toy").mkdir(parents=True)
    (publish.FOLDER / "toy" / "old.html").write_text("old")
    publish.publish("toy")
    assert not (publish.FOLDER / "toy" / "old.html").exists()


def test_pages_with_sound_or_too_large_ones_are_not_published(run, monkeypatch):
    (run.reports / "01_eda.html").write_text('<audio src="data:audio/wav;base64,AAAA"></audio>')
    with pytest.raises(study.UserError, match=r"01_eda.html: holds sound"):
        publish.publish("toy")
    (run.reports / "01_eda.html").write_text("x" * 1000)
    monkeypatch.setattr(publish, "MOST_BYTES", 900)
    with pytest.raises(study.UserError, match=r"0\.0 MB are more than"):
        publish.publish("toy")
    assert not publish.FOLDER.exists()


def test_pages_of_a_profile_with_sound_stay_at_home(run, tmp_path):
    config = tmp_path / "config" / "toy.yaml"
    config.write_text(config.read_text().replace("embed_audio: false", "embed_audio: true"))
    publish.publish("toy")
    assert not (publish.FOLDER / "toy").exists()


def test_an_incomplete_run_is_not_published(run):
    (run.reports / "results.csv").unlink()
    with pytest.raises(study.UserError, match=r"results.csv: missing, so there is nothing to publish"):
        publish.publish("toy")
    assert not publish.FOLDER.exists()
