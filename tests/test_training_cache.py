"""What makes a fold train again: its own net and the training, and nothing else."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import pytest
from test_training import RECIPE, experiment, folds

from ser_utils import models, study, tracking, training


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's source, for changes."""
    shutil.copytree(study.PACKAGE, tmp_path / "ser_utils", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(study, "PACKAGE", tmp_path / "ser_utils")
    return tmp_path / "ser_utils"


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("{own}", True),
        ("models/layers.py", True),
        ("training/fitting.py", True),
        ("training/batches.py", True),
        ("training/averaging.py", True),
        ("training/pretraining.py", True),
        ("augment/frames.py", True),
        ("models/a_new_net.py", False),
        ("models/__init__.py", False),
        ("models/residual.py", False),
        ("training/merging.py", False),
        ("features/spectral.py", False),
        ("evaluation/ensembles.py", False),
        ("tracking.py", False),
    ],
)
def test_a_fold_trains_again_for_its_own_net_and_for_no_other(package, file, matters):
    toy = experiment()
    before = training.experiments.identity(toy)
    place = package / file.format(own=models.module_of(toy.model).replace(".", "/") + ".py")
    assert place.is_file() or not matters
    with open(place, "a") as source:
        source.write("\nANOTHER_NET = 1\n")
    assert (training.experiments.identity(toy) != before) == matters


def test_only_what_is_missing_is_counted(tmp_path, monkeypatch):
    toy, said = experiment(recipe=RECIPE), []
    made = SimpleNamespace(folder=None)
    monkeypatch.setattr(training.folds, "fit_fold", lambda *a, **k: made)
    monkeypatch.setattr(training.folds, "_save", lambda result, folder: None)
    monkeypatch.setattr(training.folds, "_load", lambda folder: folder.name)
    monkeypatch.setattr(
        study, "pmap", lambda fn, items, *, desc, jobs: said.append((desc, len(items))) or list(map(fn, items))
    )
    first = training.cross_validate(toy, folds()[:2], seeds=[0], cache=tmp_path, jobs=1)
    both = training.cross_validate(toy, folds(), seeds=[0], cache=tmp_path, jobs=1)
    assert said == [("toy: folds × seeds", 2), ("toy: folds × seeds, 2 from the cache", 1)]
    assert both[:2] == first
    assert training.cross_validate(toy, folds(), seeds=[0], cache=tmp_path, jobs=1) == both
    assert len(said) == 2


def test_tracking_changes_no_number(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    toy, tables = experiment(recipe=training.Recipe(epochs=2, batch_size=9), model="small_cnn", model_arguments={}), []
    for tool in ("", "tensorboard"):
        monkeypatch.setenv("SER_TRACK", tool)
        logs = tmp_path / (tool or "off") / "tracking"
        tables.append(training.fit_fold(folds()[0], 0, toy, logs=logs).predictions)
        events = [file.parent.name for file in logs.rglob("*tfevents*")]
        assert events == (["toy-fold-1_of_3-seed-0-small_cnn"] if tool else [])
    assert tables[0].equals(tables[1])


def test_curves_of_tensorboard_hold_what_was_logged(tmp_path, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setenv("SER_TRACK", "tensorboard")
    with tracking.run("a run", tmp_path) as log:
        log(epoch=3, loss=0.5, val_uar=0.25)
    (file,) = tmp_path.rglob("*tfevents*")
    read = {
        value.tag: (event.step, tf.make_ndarray(value.tensor).item(), value.metadata.plugin_data.plugin_name)
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert read == {"loss": (3, 0.5, "scalars"), "val_uar": (3, 0.25, "scalars")}


def test_mlflow_writes_to_a_local_folder(tmp_path, monkeypatch):
    calls = []

    class MlflowClient:
        def __init__(self, tracking_uri):
            calls.append(tracking_uri)

        def create_experiment(self, name):
            raise FileExistsError

        def get_experiment_by_name(self, name):
            return SimpleNamespace(experiment_id=f"id of {name}")

        def create_run(self, experiment, run_name):
            calls.append((experiment, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

        def log_metric(self, *values, step):
            calls.append((*values, step))

        def set_terminated(self, run):
            calls.append(run)

    errors = SimpleNamespace(MlflowException=FileExistsError)
    monkeypatch.setenv("SER_TRACK", "mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # set by the code otherwise, and would stay
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=MlflowClient, exceptions=errors))
    with tracking.run("a run", tmp_path) as log:
        log(epoch=2, loss=0.5)
    assert calls == [(tmp_path / "mlflow").as_uri(), ("id of ser_utils", "a run"), ("r1", "loss", 0.5, 2), "r1"]


def test_weights_and_biases_stays_offline(tmp_path, monkeypatch):
    calls = []
    made = SimpleNamespace(log=lambda values, step: calls.append((values, step)), finish=lambda: calls.append("end"))
    fake = SimpleNamespace(init=lambda **options: calls.append(options["mode"]) or made)
    monkeypatch.setenv("SER_TRACK", "wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with tracking.run("a run", tmp_path) as log:
        log(epoch=2, loss=0.5)
    assert calls == ["offline", ({"loss": 0.5}, 2), "end"]


@pytest.mark.parametrize("tool", ["mlflow", "wandb"])
def test_a_tool_that_is_not_installed_is_told(tmp_path, monkeypatch, tool):
    monkeypatch.setenv("SER_TRACK", tool)
    monkeypatch.setitem(sys.modules, tool, None)
    with (
        pytest.raises(study.UserError, match=f"SER_TRACK={tool} needs the package {tool}"),
        tracking.run("x", tmp_path),
    ):
        pytest.fail("the run started")


def test_an_unknown_tool_is_told_before_anything_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_TRACK", "visdom")
    monkeypatch.setattr(training.folds, "fresh_net", lambda *a, **k: pytest.fail("training started"))
    with pytest.raises(study.UserError, match="SER_TRACK=visdom is unknown; set it to tensorboard, mlflow, wandb"):
        training.cross_validate(experiment(), folds(), seeds=[0], cache=tmp_path, jobs=1)
