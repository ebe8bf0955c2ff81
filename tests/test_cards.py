"""Model card, data card and crate of a report: what they must hold, and that the checks notice what is wrong."""

from __future__ import annotations

import copy
import json

import pytest
import report_sample

from ser_utils.report import crate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One whole report, shared: the tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(tmp_path_factory.mktemp("out")))
        yield report_sample.write_report()


def test_the_model_card_quotes_the_results_and_says_what_it_is_not_for(folder):
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert f"run `{run['run_id']}`" in card
    assert "**Not** for decisions about people" in card
    best = report_sample.results().query("metric == 'UAR' and condition == 'clean'").sort_values("value").iloc[-1]
    assert f"| {best['value']:.3f} [{best['ci_low']:.3f}, {best['ci_high']:.3f}] |" in card
    assert str(best["model"]) in card


def test_the_data_card_names_every_corpus_with_licence_and_what_was_left_out(folder):
    card = (folder / "DATA_CARD.md").read_text(encoding="utf-8")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for facts in run["manifest"]["corpora"].values():
        assert f"| Clips used | {facts['n_used']} |" in card
        assert f"`{facts['sha256'][:16]}`" in card
    assert "says nothing about people" in card
    assert "| Clips left out | 1 (reasons in the manifest) |" in card
    assert "| Licence | CC0" in card


def test_the_crate_is_valid_and_lists_results(folder):
    made = json.loads((folder / crate.FILE).read_text(encoding="utf-8"))
    assert crate.problems(made, folder) == []
    entities = {entity["@id"]: entity for entity in made["@graph"]}
    parts = {part["@id"] for part in entities["./"]["hasPart"]}
    assert {"results.csv", "run.json", "MODEL_CARD.md", "DATA_CARD.md", "index.html"} <= parts
    assert entities["results.csv"]["contentSize"] == str((folder / "results.csv").stat().st_size)
    assert entities["./"]["datePublished"] == "2026-01-02"
    assert str(folder) not in json.dumps(made)  # nothing of this machine


def _drop(key):
    return lambda entities: entities["./"].pop(key)


BROKEN = {
    "the root lacks license": _drop("license"),
    "the root lacks datePublished": _drop("datePublished"),
    "the descriptor does not say": lambda entities: entities[crate.FILE].pop("about"),
    "results.csv: no @type": lambda entities: entities["results.csv"].pop("@type"),
    "gone.csv is not described": lambda entities: entities["./"]["hasPart"].append({"@id": "gone.csv"}),
    "two entities are called ./": lambda entities: entities["results.csv"].update({"@id": "./"}),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_crate_is_noticed(folder, problem):
    made = copy.deepcopy(json.loads((folder / crate.FILE).read_text(encoding="utf-8")))
    BROKEN[problem]({entity["@id"]: entity for entity in made["@graph"]})
    assert any(problem in told for told in crate.problems(made, folder))
