"""Figures that notebooks on nets share show the numbers that they are given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ser_utils import models, report, study
from ser_utils.report import nets

OPTIONS = {
    "bilstm_attention": {"filters": 8, "units": 4, "stride": 4},
    "conv_lstm_128_64": {},
    "cnn_1d": {},
    "crnn": {},
    "se_resnet": {"filters": (8, 16), "blocks": 1},
    "conformer": {},
}


@pytest.fixture(scope="module", autouse=True)
def seeded():
    study.seed_everything(0)


@pytest.fixture(autouse=True)
def closed():
    report.style()
    yield
    plt.close("all")


def texts(fig):
    """Every text that is drawn."""
    titles = [ax.get_title("left") for ax in fig.axes]
    return [text.get_text() for ax in fig.axes for text in ax.texts] + titles


@pytest.mark.parametrize("name", OPTIONS)
def test_layers_hold_every_parameter_once(name):
    model = models.BUILDERS[name](64, 7, **OPTIONS[name])
    table = nets.layer_table(model, 100)
    assert table["parameters"].sum() == model.count_params()
    assert table.iloc[0][["layer", "shape"]].tolist() == ["frames", "100 × 64"]
    assert table.iloc[-1][["kind", "shape"]].tolist() == ["Dense", "7"]
    assert table["layer"].is_unique
    assert len(table) < 16


def test_layers_tell_their_length():
    table = nets.layer_table(models.bilstm_attention(64, 7, **OPTIONS["bilstm_attention"]), 100).set_index("layer")
    assert table["shape"].to_dict() == {
        "frames": "100 × 64",
        "conv_0": "50 × 8",
        "conv_1": "25 × 8",
        "bilstm_0": "25 × 8",
        "pool": "16",
        "answer": "7",
    }
    assert table.loc["bilstm_0", "kind"] == "Bidirectional LSTM"


def test_architecture_shows_every_layer_and_its_size():
    table = nets.layer_table(models.bilstm_attention(64, 7, **OPTIONS["bilstm_attention"]), 100)
    shown = texts(nets.architecture({"net": table, "again": table}))
    for row in table.itertuples():
        assert shown.count(row.layer) >= 2
        assert shown.count(f"{row.parameters:,} parameters") >= 2
    assert f"again: {table['parameters'].sum():,} parameters" in shown


def history(corpus, n_epochs):
    epochs = np.arange(1, n_epochs + 1)
    known = {"corpus": corpus, "fold": 0, "seed": 0, "epoch": epochs, "loss": 1 / epochs, "val_uar": epochs / 10}
    return pd.DataFrame(known | {"learning_rate": 0.1})


def test_curves_have_a_column_per_corpus_and_the_mean_of_its_runs():
    two = pd.concat([history("red", 3), history("red", 2).assign(seed=1, val_uar=0.5), history("blue", 2)])
    fig = nets.curves(two, {"red": 0.25, "blue": 0.5})
    assert len(fig.axes) == 6
    middle = fig.axes[2].lines[2]  # validation of red: two runs, then their mean
    assert middle.get_ydata() == pytest.approx([0.3, 0.35, 0.3])
    assert fig.axes[2].lines[3].get_ydata()[0] == 0.25


def test_confusions_are_shares_of_the_spoken_emotion():
    shown = texts(nets.confusions({"red": (np.array([[3, 1], [0, 2]]), ["happy", "sad"])}))
    assert [text for text in shown if "%" in text] == ["75 %", "25 %", "0 %", "100 %"]
    assert "red" in shown


def scored(**columns):
    return pd.DataFrame({"ci_low": 0.1, "ci_high": 0.9} | columns)


def test_recalls_have_a_bar_per_emotion():
    results = scored(corpus=["red", "red", "blue"], metric=["recall_happy", "recall_sad", "recall_sad"], value=0.5)
    fig = nets.recalls(results)
    assert [len(ax.patches) for ax in fig.axes] == [2, 1]
    assert [text.get_text() for text in fig.axes[0].get_xticklabels()] == ["happy", "sad"]


def test_trade_off_names_every_net():
    table = scored(model=["a", "b"], parameters=[1000, 2000], ms=[1.0, 2.0], UAR=[0.5, 0.6])
    fig = nets.trade_off(table)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["a", "b"]


def test_a_score_of_one_speaker_is_drawn_without_an_interval():
    table = scored(model=["a"], parameters=[1000], ms=[1.0], UAR=[0.5]).assign(ci_low=np.nan, ci_high=np.nan)
    nets.trade_off(table).canvas.draw()


def test_matrix_leaves_out_what_was_not_tested():
    scores = pd.DataFrame([[0.9, 0.4], [np.nan, 0.8]], index=["red", "blue"], columns=["red", "blue"])
    shown = [text for text in texts(nets.matrix(scores, scores * 0 + 7)) if text]
    assert shown == ["0.90\n7 classes", "0.40\n7 classes", "0.80\n7 classes"]


def test_ladder_goes_from_most_leakage_to_least():
    results = scored(corpus="red", split=["unseen", "copies"], value=[0.4, 0.9])
    fig = nets.ladder(results, ["copies", "random", "unseen"])
    assert [text.get_text() for text in fig.axes[0].get_xticklabels()] == ["copies", "unseen"]
    assert fig.axes[0].lines[0].get_ydata().tolist() == [0.9, 0.4]
