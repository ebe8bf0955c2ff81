"""The efficiency section, from reports of benches as they are kept."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from ser_utils.bench import growth, measuring
from ser_utils.overview import efficiency

COST = {"checking": 0.002, "features": 0.004, "training epoch": 0.01, "evaluation": 0.0001}


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Growth as the bench keeps it, of stages that cost the same per clip at every size."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    rows = [
        {"stage": stage, "clips": n, "seconds": 1 + cost * n, "peak_mb": 200 + (0.3 * n if "epoch" in stage else 0),
         "limit_mb": 3072, "features_mb": 0.1 * n if stage == "features" else None}
        for n in (100, 400, 1600) for stage, cost in COST.items()
    ]  # fmt: skip
    found = [growth.summary(stage, [row for row in rows if row["stage"] == stage]) for stage in COST]
    measuring.write({"environment": {}, "stages": rows, "growth": found}, "growth")
    skipped = {"part": "training", "of": "JAX", "not_run": "jax is not installed"}
    timed = {"part": "features", "of": "log-mels", "unit": "clip", "ms": 4.0, "times": None, "peak_mb": 400.0}
    measuring.write({"environment": {}, "rows": [timed, skipped]}, "parts")


def test_the_table_keeps_what_was_not_run_and_why(measured):
    table = efficiency.parts()
    assert table["ms"].tolist()[:1] == [4.0]
    assert table["not_run"].tolist() == ["", "jax is not installed"]


def test_the_figure_draws_every_stage_at_every_size(measured):
    fig = efficiency.plot(efficiency.growth())
    for ax in fig.axes:
        drawn = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
        assert all(drawn[stage] == [100, 400, 1600] for stage in COST)
    plt.close(fig)


def test_the_outlook_multiplies_what_was_measured(measured):
    told = {what: value for what, value, _ in efficiency.outlook(
        1000, workers=100, epochs=30, folds=5, price_per_core_hour=0.05)}  # fmt: skip
    clips = 1_200_000
    assert told["clips"] == clips
    light, training = clips * 0.006 / 3600, clips * 0.01 * 150 / 3600
    assert told["checking and features"] == pytest.approx(light)
    assert told["training, 5 folds of 30 epochs"] == pytest.approx(training)
    assert told["elapsed on 100 cores"] == pytest.approx(light / 100 + training / 5), "five folds feed five cores"
    assert told["memory of one training"] == pytest.approx(0.3 * clips / 1024)
    assert told["sound, 16 kHz and 16 bits"] == pytest.approx(115.2)
    assert told["price"] == pytest.approx((light + training) * 0.05)


def test_without_a_bench_there_is_nothing_to_show(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    assert efficiency.parts() is efficiency.growth() is efficiency.trends() is None
    assert efficiency.outlook(1, workers=1, epochs=1, folds=1, price_per_core_hour=0) == []
