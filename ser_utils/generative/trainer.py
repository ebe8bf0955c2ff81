"""One loop for all generators: steps, validation, checkpoints that a killed run goes on from, and a hashed artefact."""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.generative.blocks import mean_loss
from ser_utils.generative.gate import weights_hash


@dataclass(frozen=True)
class Budget:
    """How long a generator trains.

    Parameters
    ----------
    steps, batch_size : int
    patch_frames : int
        Frames of a patch.
    learning_rate : float
        Peak; it rises over a twentieth of the steps and falls along a cosine.
    validate_every, checkpoint_every : int
        Steps between two validation losses, and between two checkpoints.
    """

    steps: int = 400
    batch_size: int = 16
    patch_frames: int = 64
    learning_rate: float = 2e-3
    validate_every: int = 100
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "patch_frames", "validate_every", "checkpoint_every")
        study.check_range(self, "1 or more", lambda value: value >= 1, *counts)
        study.check_range(self, "above 0", lambda value: value > 0, "learning_rate")

    def rate(self, step: int) -> float:
        """Learning rate of a step.

        Examples
        --------
        >>> budget = Budget(steps=100, learning_rate=1.0)
        >>> [round(budget.rate(step), 2) for step in (0, 5, 52, 99)]
        [0.17, 1.0, 0.51, 0.0]
        """
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.learning_rate * (step + 1) / (warm + 1)
        return self.learning_rate * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm))) / 2


class Learner:
    """A generator while it trains: a subclass makes its graphs, takes a step, and tells a validation loss.

    Attributes
    ----------
    graphs : sequence of keras.Model
        Compiled; their weights and optimizers are what a checkpoint holds.
    """

    graphs: Sequence[keras.Model] = ()

    def step(self, number: int, rng: np.random.Generator, rate: float) -> None:
        """One update of the weights; everything that is drawn comes from `rng`."""
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        """Losses on clips of speakers who do not train."""
        raise NotImplementedError

    def losses(self) -> dict[str, float]:
        """Mean losses of training since the last call."""
        found = {}
        for graph in self.graphs:
            means = {name: float(value) for name, value in graph.get_metrics_result().items()}
            single = {f"{graph.output_names[0]}_loss": means.pop("loss")} if len(graph.outputs) == 1 else {}
            found |= {name: value for name, value in means.items() if name != "loss"} | single
            graph.reset_metrics()
        return found

    def finish(self) -> None:
        """What is left to do after the last step."""

    def variables(self) -> list[Any]:
        """All that changes while training, each once."""
        found = {}
        for graph in self.graphs:
            for variable in [*graph.variables, *graph.optimizer.variables]:
                found[id(variable)] = variable
        return list(found.values())


def compiled(graph: keras.Model, rate: float, *, ema: float = 0.0, beta_1: float = 0.9) -> keras.Model:
    """A graph that answers with its losses, ready to train on their sum."""
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    optimizer = keras.optimizers.Adam(rate, beta_1=beta_1, beta_2=0.99, global_clipnorm=1.0, **average)
    graph.compile(optimizer=optimizer, loss=dict.fromkeys(graph.output_names, mean_loss), jit_compile=False)
    optimizer.build(graph.trainable_variables)
    return graph


def update(graph: keras.Model, inputs: Mapping[str, np.ndarray], rate: float) -> None:
    """One step of a compiled graph down the sum of its outputs."""
    graph.optimizer.learning_rate = rate
    size = len(next(iter(inputs.values())))
    graph.train_on_batch(dict(inputs), {name: np.zeros((size, 1), np.float32) for name in graph.output_names})


def train(learner: Learner, budget: Budget, *, seed: int, partial: Path | None, label: str) -> pd.DataFrame:
    """Train from the last checkpoint, or from the start; equal results either way.

    Parameters
    ----------
    learner : Learner
    budget : Budget
    seed : int
        With the number of the step, it draws everything that a step draws.
    partial : Path, optional
        Folder of the checkpoint; removed by whoever keeps the result.
    label : str
        What progress lines say.

    Returns
    -------
    pd.DataFrame
        ``step``, training losses since the row before, validation losses with ``val_``, ``seconds`` so far.
    """
    begun, history = _resume(learner, partial)
    said = start = time.monotonic()
    spent = history[-1]["seconds"] if history else 0.0
    for number in range(begun, budget.steps):
        learner.step(number, np.random.default_rng([seed, number]), budget.rate(number))
        done, last = number + 1, number + 1 == budget.steps
        if done % budget.validate_every == 0 or last:
            known = {"step": done, **learner.losses(), **learner.validate()}
            history.append(known | {"seconds": spent + time.monotonic() - start})
        if partial and done % budget.checkpoint_every == 0 and not last:
            _checkpoint(learner, done, history, partial)
        if time.monotonic() - said > 10:
            said, left = time.monotonic(), (time.monotonic() - start) / (done - begun) * (budget.steps - done)
            study.progress(f"{label}: step {done}/{budget.steps}, about {study.duration(left)} left")
    learner.finish()
    return pd.DataFrame(history)


def _checkpoint(learner: Learner, done: int, history: list[dict], partial: Path) -> None:
    values = [keras.ops.convert_to_numpy(variable) for variable in learner.variables()]
    with study.atomic(partial / "state.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, done=done, history=pd.DataFrame(history).to_json(), **{f"v{i}": v for i, v in enumerate(values)})


def _resume(learner: Learner, partial: Path | None) -> tuple[int, list[dict]]:
    if not partial or not (partial / "state.npz").is_file():
        return 0, []
    with np.load(partial / "state.npz") as stored:
        for i, variable in enumerate(learner.variables()):
            variable.assign(stored[f"v{i}"])
        history = pd.read_json(io.StringIO(str(stored["history"]))).to_dict("records")
        return int(stored["done"]), history


@dataclass(frozen=True)
class Artefact:
    """What training leaves: weights by the name of the net, history, and facts.

    Attributes
    ----------
    weights : mapping of str to list of np.ndarray
    history : pd.DataFrame
    facts : mapping
        ``seconds, steps, parameters, sha256``.
    """

    weights: Mapping[str, list[np.ndarray]]
    history: pd.DataFrame
    facts: Mapping[str, Any]


def kept(
    cache: Path,
    key: Mapping[str, Any],
    make: Callable[[], tuple[Learner, Mapping[str, keras.Model]]],
    budget: Budget,
    *,
    seed: int,
    label: str,
) -> Artefact:
    """The trained nets of `make`, from the cache when they are there; a killed training goes on from its checkpoint.

    Parameters
    ----------
    cache : Path
        Folder of the artefacts.
    key : mapping
        What the result depends on, besides budget, seed and libraries.
    make : callable
        Gives the learner and the nets to keep, by name.
    budget : Budget
    seed : int
    label : str
    """
    key = dict(key) | {"budget": asdict(budget), "seed": seed, "backend": keras.backend.backend()}
    key |= study.versions("keras", "tensorflow", "jax", "numpy")
    partial = cache / f"partial-{study.digest(key)}"

    def work() -> Artefact:
        study.seed_everything(seed)
        learner, nets = make()
        history = train(learner, budget, seed=seed, partial=partial, label=label)
        weights = {name: [keras.ops.convert_to_numpy(w) for w in net.weights] for name, net in nets.items()}
        facts = {"seconds": float(history["seconds"].iloc[-1]), "steps": budget.steps}
        facts["parameters"] = int(sum(net.count_params() for net in nets.values()))
        facts["sha256"] = weights_hash(value for name in sorted(weights) for value in weights[name])
        return Artefact(weights, history, facts)

    found = study.cached(cache, key, work, save=_save, load=_load)
    shutil.rmtree(partial, ignore_errors=True)
    return found


def _save(artefact: Artefact, folder: Path) -> None:
    arrays = {f"{name}/{i:04d}": w for name, several in artefact.weights.items() for i, w in enumerate(several)}
    np.savez(folder / "weights.npz", **arrays)
    artefact.history.to_csv(folder / "history.csv", index=False)
    (folder / "facts.json").write_text(json.dumps(artefact.facts), encoding="utf-8")


def _load(folder: Path) -> Artefact:
    weights: dict[str, list[np.ndarray]] = {}
    with np.load(folder / "weights.npz") as stored:
        for key in sorted(stored.files):
            weights.setdefault(key.split("/")[0], []).append(stored[key])
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    found = weights_hash(value for name in sorted(weights) for value in weights[name])
    if found != facts["sha256"]:
        raise study.UserError(f"{folder}: the weights are not those that were saved; delete the folder, then run again")
    return Artefact(weights, pd.read_csv(folder / "history.csv"), facts)


def filled(net: keras.Model, artefact: Artefact, name: str) -> keras.Model:
    """A fresh net with the weights of an artefact."""
    for variable, value in zip(net.weights, artefact.weights[name], strict=True):
        variable.assign(value)
    return net
