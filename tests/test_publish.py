"""The README quotes published results and nothing else."""

from __future__ import annotations

import json

import pytest

from ser_utils import study
from ser_utils.report import publish


def test_the_readme_quotes_the_published_results():
    readme = (study.ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == publish.renewed(readme)
    for file in publish.FOLDER.glob("*.csv"):
        assert f"<!-- results:{file.stem} -->" in readme


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A complete run of a profile called toy, and a README that quotes it."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setattr(study, "ROOT", tmp_path)
    monkeypatch.setattr(publish, "FOLDER", tmp_path / "reports" / "published")
    places = study.paths("toy")
    places.figures.mkdir(parents=True)
    places.reports.mkdir(parents=True)
    (places.figures / publish.FIGURE).write_bytes(b"png")
    system = {"corpus": "toy", "corpus_version": "1", "split": "loso", "train_regime": "clean", "condition": "clean"}
    system |= {"n_clips": 20, "n_speakers": 12, "n_seeds": 1, "run_id": "r1"}
    lines = [",".join(["model", "features", "metric", "value", "ci_low", "ci_high", *system])]
    for features, lead in (("mfcc", 0), ("zcr", -0.2), ("mfcc+speaker_norm", 0.2)):
        for metric, value in (("UAR", 0.5), ("WA", 0.6), ("macro_F1", 0.4)):
            lines.append(
                ",".join(["net", features, metric, f"{value + lead:.1f}", "0.4", "0.6", *map(str, system.values())])
            )
    (places.reports / "results.csv").write_text("\n".join(lines) + "\n")
    (places.reports / "run.json").write_text(json.dumps({"run_id": "r1", "commit": "abc", "notebooks": {}}))
    (tmp_path / "README.md").write_text("before\n<!-- results:toy -->\nold\n<!-- /results -->\nafter\n")
    return places


def test_publishing_copies_and_renews(run, tmp_path):
    publish.publish("toy")
    readme = (tmp_path / "README.md").read_text()
    assert "| toy | loso | net | mfcc | 0.500 [0.400, 0.600] | 0.600 | 0.400 | 20 | 12 | 1 |" in readme
    assert "| net | mfcc+speaker_norm | 0.700 [0.400, 0.600] |" in readme
    assert "zcr" not in readme  # the model does better on other features; the file has it
    assert "zcr" in (publish.FOLDER / "toy.csv").read_text()
    assert "old" not in readme
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert json.loads((publish.FOLDER / "toy.json").read_text()) == {"commit": "abc", "run_id": "r1"}


def test_an_incomplete_run_is_not_published(run):
    (run.reports / "results.csv").unlink()
    with pytest.raises(study.UserError, match=r"results.csv: missing, so there is nothing to publish"):
        publish.publish("toy")
    assert not publish.FOLDER.exists()
