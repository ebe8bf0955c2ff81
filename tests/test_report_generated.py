"""Figures of generated speech show what the tables hold, also where something is missing."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from ser_utils.report import generated

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    mpl.pyplot.close("all")


def titles(fig):
    """Titles of the panels, wherever the style puts them."""
    return ["".join(ax.get_title(loc) for loc in ("left", "center", "right")) for ax in fig.axes]


def test_losses_draw_a_panel_per_net_that_was_trained():
    rows = [
        {"corpus": corpus, "net": net, "fold": fold, "seed": 0, "step": step, "val_error": 1 / step, "val_cycle": 2.0}
        for corpus in ("a", "b")
        for net in ("vae", "gan")
        for fold in (0, 1)
        for step in (10, 20)
    ]
    fig = generated.losses(pd.DataFrame(rows))
    assert titles(fig) == ["vae", "gan"]
    assert len(fig.axes[0].lines) == 2 * (2 + 1)  # each corpus: its folds and their mean
    assert fig.axes[0].lines[0].get_ydata().tolist() == [0.1, 0.05]


def test_pictures_share_one_scale_and_show_valid_frames_alone():
    x = np.random.default_rng(0).normal(-40, 10, (2, 9, 5))
    fig = generated.side_by_side({"original": x, "vae": x - 3}, np.array([9, 4]), ["a", "b"], frame_s=0.5)
    images = [ax.images[0] for ax in fig.axes[:4]]
    assert [image.get_array().shape for image in images] == [(5, 9), (5, 4)] * 2
    assert len({image.get_clim() for image in images}) == 1
    assert images[1].get_extent()[1] == 2.0


def test_strip_goes_from_the_first_time_to_the_last():
    fig = generated.strip(np.random.default_rng(1).normal(size=(8, 6, 5)), n_frames=6, n=3)
    assert titles(fig) == ["after 1", "after 5", "after 8"]


def test_gains_name_the_regime_or_the_condition():
    tests = pd.DataFrame(
        {"corpus": "a", "train_regime": ["real+vae", "real"], "condition": ["clean", "enhanced=vae"]}
        | {"difference": [0.1, -0.1], "ci_low": [0.0, np.nan], "ci_high": [0.2, np.nan]}
    )
    ax = generated.gains(tests).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real+vae", "enhanced=vae"]


def test_circle_puts_the_clip_as_it_is_beside_every_kind():
    keys = [("none", judge, "nothing") for judge in ("evaluator", "conditioner")]
    keys += [("vae", judge, told) for judge in ("evaluator", "conditioner") for told in ("own", "label")]
    steps = pd.DataFrame(keys, columns=["kind", "judge", "told"]).assign(
        corpus="a", UAR=np.arange(6) / 10, ci_low=0.0, ci_high=1.0
    )
    ax = generated.circle(steps).axes[0]
    shown = ax.lines[0].get_ydata()
    assert np.allclose(shown, [0.0, 0.2, 0.3, 0.1, 0.4, 0.5])
