"""Curves of a running training for TensorBoard, MLflow or Weights & Biases: off unless ``$SER_TRACK`` names one.

What is logged is a copy of what the artefacts of the folds hold anyway; no number depends on it, and nothing is sent
anywhere: Weights & Biases stays offline unless ``$WANDB_MODE`` says otherwise. To look at the curves:
``tensorboard --logdir FOLDER``, ``MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri FOLDER``, or
``wandb sync FOLDER``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from ser_utils import study

Log = Callable[..., None]  # log(epoch, loss=…, val_uar=…)


def wanted() -> str:
    """``$SER_TRACK``: empty, or one of ``tensorboard, mlflow, wandb``.

    Raises
    ------
    study.UserError
        For another word.

    Examples
    --------
    >>> wanted() in ("", "tensorboard", "mlflow", "wandb")
    True
    """
    name = os.environ.get("SER_TRACK", "")
    if name and name not in _LOGS:
        raise study.UserError(f"SER_TRACK={name} is unknown; set it to {', '.join(_LOGS)}, or unset it")
    return name


@contextlib.contextmanager
def run(name: str, folder: Path) -> Iterator[Log]:
    """A function that logs the scalars of an epoch under the name of a run; it does nothing when tracking is off.

    Parameters
    ----------
    name : str
        What curves are called, e.g. ``"ravdess bilstm_attention fold 1/6 seed 0"``.
    folder : Path
        Where logs go: ``folder/<tool>/``.

    Raises
    ------
    study.UserError
        For an unknown tool, or one that is not installed.
    """
    tool = wanted()
    if not tool:
        yield lambda epoch, **scalars: None
        return
    place = folder / tool
    place.mkdir(parents=True, exist_ok=True)
    with _LOGS[tool](name, place) as log:
        yield log


def _package(name: str, tool: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise study.UserError(
            f"SER_TRACK={tool} needs the package {error.name}, which is not installed; pip install {name}, or unset "
            "SER_TRACK"
        ) from error


@contextlib.contextmanager
def _tensorboard(name: str, place: Path) -> Iterator[Log]:
    tf = _package("tensorflow", "tensorboard")
    summary = tf.compat.v1.SummaryMetadata()
    summary.plugin_data.plugin_name = "scalars"  # tf.summary.scalar would need the viewer's package
    summary.data_class = 1  # DATA_CLASS_SCALAR
    writer = tf.summary.create_file_writer(str(place / name.replace("/", "_of_").replace(" ", "-")))

    def log(epoch: int, **scalars: float) -> None:
        with writer.as_default():
            for key, value in scalars.items():
                tf.summary.write(key, tf.constant(value, tf.float32), step=epoch, metadata=summary)

    yield log
    writer.close()


@contextlib.contextmanager
def _mlflow(name: str, place: Path) -> Iterator[Log]:
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # files: several folds write at a time
    package = _package("mlflow", "mlflow")
    client = package.MlflowClient(tracking_uri=place.resolve().as_uri())
    with contextlib.suppress(package.exceptions.MlflowException):  # an earlier fold made it
        client.create_experiment("ser_utils")
    made = client.create_run(client.get_experiment_by_name("ser_utils").experiment_id, run_name=name)

    def log(epoch: int, **scalars: float) -> None:
        for key, value in scalars.items():
            client.log_metric(made.info.run_id, key, float(value), step=epoch)

    yield log
    client.set_terminated(made.info.run_id)


@contextlib.contextmanager
def _wandb(name: str, place: Path) -> Iterator[Log]:
    mode = os.environ.get("WANDB_MODE", "offline")
    made = _package("wandb", "wandb").init(project="ser_utils", name=name, dir=str(place), mode=mode, reinit=True)
    yield lambda epoch, **scalars: made.log(scalars, step=epoch)
    made.finish()


_LOGS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
