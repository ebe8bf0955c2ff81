"""Temperature and threshold: from validation clips, and none where those tell nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from app_sample import validation
from saved_sample import LABELS

from ser_utils.saved import confidence

P = [f"p_{label}" for label in LABELS]


def loss(p, truth):
    return -np.log(p[np.arange(len(p)), truth]).mean()


def test_an_overconfident_net_gets_a_temperature_above_one_and_a_smaller_loss():
    table = validation()
    p, truth = table[P].to_numpy(), table["y_true"].map(LABELS.index).to_numpy()
    found = confidence.temperature(p, truth)
    assert 1.3 < found < 6
    assert loss(confidence.scaled(p, found), truth) < loss(p, truth) - 0.05
    for other in (0.9 * found, 1.1 * found):
        assert loss(confidence.scaled(p, other), truth) > loss(confidence.scaled(p, found), truth)


def test_scaling_keeps_the_order_and_the_sum():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    for found in (0.5, 3.0):
        q = confidence.scaled(p, found)
        assert (q.argsort(axis=1) == p.argsort(axis=1)).all()
        np.testing.assert_allclose(q.sum(axis=1), 1)
    np.testing.assert_allclose(confidence.scaled(p, 1.0), p, atol=1e-7)


def test_the_threshold_is_the_widest_coverage_with_a_quarter_fewer_errors():
    sure = np.linspace(1, 0, 100)
    right = np.arange(100) < 60  # the surest 60 are right: risk of all 0.4, wanted 0.3
    told = confidence.threshold(sure, right)
    assert told["coverage"] == pytest.approx(0.85)
    assert told["risk"] == pytest.approx(25 / 85)
    assert told["threshold"] == pytest.approx(sure[84])
    assert told["risk_of_all"] == pytest.approx(0.4)


def test_no_threshold_is_invented():
    rng = np.random.default_rng(0)
    blind = confidence.threshold(rng.random(400), rng.random(400) < 0.5)
    assert blind["threshold"] is None
    assert blind["risk"] == blind["risk_of_all"]
    assert confidence.threshold(np.linspace(0, 1, 50), np.ones(50, bool))["threshold"] is None


def test_facts_take_clips_that_every_net_validated_on():
    table = validation()
    told = confidence.facts([table], LABELS)
    assert (told["n_clips"], told["n_speakers"]) == (90, 6)
    assert 0 < told["threshold"] < 1
    assert confidence.facts([table.iloc[: confidence.LEAST_CLIPS - 1]], LABELS) == {}
    assert confidence.facts([pd.DataFrame()], LABELS) == {}
    assert confidence.facts([table, pd.DataFrame()], LABELS) == {}
    two = confidence.facts([table.iloc[:60], table.iloc[20:]], LABELS)
    assert two["n_clips"] == 40
