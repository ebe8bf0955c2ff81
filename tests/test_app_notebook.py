"""The same clip by the page, by a client, by ``predict`` and inside the notebook; and the notebook under papermill."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from app_sample import save_nets
from saved_sample import LABELS

from ser_utils import app, study
from ser_utils.app import sounds

pytestmark = pytest.mark.slow
NOTEBOOK = "10_live_demo"


@pytest.fixture(scope="module", autouse=True)
def _seeded():
    study.seed_everything(0)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Output root with two nets, after the notebook ran there."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("out")
        patch.setenv("SER_OUT", str(folder))
        save_nets(folder / "folds")
        _command("notebook", NOTEBOOK, "--profile", "demo")
        yield folder


def _command(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ser_utils", *words], cwd=study.ROOT, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_notebook_starts_the_page_asks_it_once_and_stops_it(out):
    made = next(out.rglob(f"{NOTEBOOK}*.ipynb")).read_text(encoding="utf-8")
    assert "it answers no more" in made
    assert (out / "figures" / "demo" / "10_heard.png").stat().st_size > 0


def test_notebook_client_page_and_predict_say_the_same(out, tmp_path):
    clip, known = tmp_path / "clip.wav", app.Nets("demo")
    clip.write_bytes(sounds.wav(app.example("happy").y))
    name = next(iter(known.cards()))
    said = pd.read_csv(out / "reports" / "demo" / "tables" / "10_answers.csv").set_index("emotion")
    ways = {way: column.to_numpy() for way, column in said.loc[list(LABELS)].items()}
    ways["function here"] = app.hear(app.read(clip), app.Settings(name), known).probabilities.iloc[0].to_numpy()
    with app.running(nets=known) as served:
        told = app.ask(served.url, clip, app.Settings(name))["windows"][0]
    ways["client here"] = np.array([told[f"p_{label}"] for label in LABELS])
    _command("predict", str(clip), "--profile", "demo", "--model", name, "--csv", str(tmp_path / "a.csv"))
    ways["predict here"] = pd.read_csv(tmp_path / "a.csv")[[f"p_{label}" for label in LABELS]].iloc[0].to_numpy()
    assert list(ways)[:3] == ["by the page", "by the function", "by predict"]
    for way, p in ways.items():
        np.testing.assert_allclose(p, ways["function here"], atol=1e-6, err_msg=way)
