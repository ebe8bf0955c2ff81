"""The walk over results notices a value that the predictions do not give; the smoke run is walked in test_smoke."""

import pandas as pd
import pytest
from test_evaluation import predictions
from walk_results import differing

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
