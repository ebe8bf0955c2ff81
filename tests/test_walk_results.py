"""The walk over results notices a value that the predictions do not give; the smoke run is walked in test_smoke."""

import pandas as pd
import pytest
from test_evaluation import predictions
from walk_results import differing, untraced, wrong_intervals

from ser_utils import evaluation


@pytest.fixture
def run(tmp_path):
    table = pd.concat([predictions(), predictions(model="svm", right=0.3, seeds=(0, 1)), predictions(corpus="emodb")])
    table = table.reset_index(drop=True)
    table.to_parquet(tmp_path / "p.parquet")
    evaluation.save_results(evaluation.results_table(table, n_resamples=20), tmp_path / "results.csv")
    return tmp_path


def test_every_value_comes_from_the_predictions(run):
    assert differing(run / "results.csv", [run / "p.parquet"]) == []


def test_a_value_that_does_not_is_noticed(run):
    table = evaluation.load_results(run / "results.csv")
    table.loc[5, "value"] += 0.001
    evaluation.save_results(table.drop(index=9), run / "results.csv")
    assert len(differing(run / "results.csv", [run / "p.parquet"])) == 2


def test_every_interval_comes_from_the_predictions_and_one_that_does_not_is_noticed(run):
    def wrong(**options):
        return wrong_intervals(run / "results.csv", [run / "p.parquet"], **({"n_resamples": 20, "seed": 0} | options))

    assert wrong() == []
    assert len(wrong(seed=1)) > 10
    table = evaluation.load_results(run / "results.csv")
    table.loc[5, "ci_high"] += 0.001
    evaluation.save_results(table, run / "results.csv")
    assert len(wrong()) == 1


def test_a_number_on_a_page_that_no_table_holds_is_noticed(run):
    row = evaluation.load_results(run / "results.csv").query("model == 'svm' and metric == 'UAR'").iloc[0]
    good = evaluation.interval_text(row["value"], row["ci_low"], row["ci_high"])
    page = run / "page.html"
    page.write_text(f"<main><p>UAR {good}, then 0.123 [0.012,\u00a00.345]</p></main>", encoding="utf-8")
    assert untraced(page, [run / "results.csv"]) == ["(0.123, 0.012, 0.345)"]
    assert len(untraced(page, [])) == 2
