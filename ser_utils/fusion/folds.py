"""Folds of nets that hear and read: one artefact for each fold and seed, and one ``cross_validate``."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import study, training
from ser_utils.evaluation.predictions import answers
from ser_utils.fusion.nets import BUILDERS
from ser_utils.fusion.pairs import SHUFFLED, Experiment, Pairs, content, fit_normalisers
from ser_utils.splits import Fold
from ser_utils.training import Normaliser

ELSEWHERE = ("features", "splits", "models", "tracking", "evaluation", "corpora")  # what counts by its values


@dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # condition, clip_id, speaker, y_true, y_pred, p_<emotion>…
    validation: pd.DataFrame = field(repr=False)  # of the validation clips, alike: what stacking is fitted on
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar…
    facts: dict[str, Any]  # model, train_regime, fold, seed, n_train, n_validation, n_test, best_epoch, val_uar…
    normalisers: dict[str, Normaliser] = field(repr=False)
    model: keras.Model | None = field(default=None, repr=False)  # None when read from the cache: see load_model
    folder: Path | None = None  # where the artefact lies


def cross_validate(
    experiments: Sequence[Experiment],
    folds: Sequence[Fold],
    *,
    seeds: Sequence[int] = (0,),
    cache: Path,
    jobs: int | None = None,
) -> list[FoldResult]:
    """Every experiment on every fold with every seed, in processes; finished ones come from the cache.

    Validation clips choose the epoch and train nothing. Test clips are predicted as they are, without text, without
    sound, and with wrong texts: column ``condition``.

    Parameters
    ----------
    experiments : sequence of Experiment
    folds : sequence of Fold
    seeds : sequence of int
    cache : Path
        Folder of the fold artefacts: predictions, history, weights.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of FoldResult
        Experiment by experiment, seed by seed, fold by fold.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        Without experiments or seeds, for options that a net does not take, or a fold with an empty part.
    """
    if not experiments or not seeds:
        raise study.UserError("there is nothing to train: give one experiment and one seed or more")
    cells = []
    for experiment in experiments:
        key = _identity(experiment)
        for fold in folds:  # also those that the cache will answer for
            fit_normalisers(fold, experiment)
        cells += [(experiment, key, fold, seed) for seed in seeds for fold in folds]
    work = functools.partial(_cached_fold, cache=cache)
    return study.pmap(work, cells, desc=f"{experiments[0].name}: fusion nets × folds × seeds", jobs=jobs)


def _identity(experiment: Experiment) -> dict[str, Any]:
    """What the results of an experiment depend on, besides fold and seed."""
    return {
        "content": content(experiment),
        "model": experiment.model,
        "model_arguments": dict(experiment.model_arguments),
        "recipe": asdict(experiment.recipe),
        "modality_dropout": experiment.modality_dropout,
        "shuffle_text": experiment.shuffle_text,
        "labels": experiment.labels,
        "allow_leaks": experiment.allow_leaks,
        "code": study.code_version("fusion.folds", without=ELSEWHERE),
        "backend": keras.backend.backend(),
        "versions": study.versions("keras", "tensorflow", "jax", "numpy"),
    }


def _cached_fold(cell: tuple[Experiment, Mapping[str, Any], Fold, int], *, cache: Path) -> FoldResult:
    experiment, identity, fold, seed = cell
    parts = {part: study.digest(ids.tolist()) for part, ids in vars(fold).items() if part != "index"}
    key = {**identity, "fold": parts, "index": fold.index, "seed": seed}
    return study.cached(cache, key, lambda: fit_fold(fold, seed, experiment), save=_save, load=_load)


def fit_fold(fold: Fold, seed: int, experiment: Experiment) -> FoldResult:
    """Train on one fold; predict its test clips under every condition, and its validation clips.

    The net of the result is trained anew by the next call.
    """
    begun = time.monotonic()
    study.seed_everything(seed * 1000 + fold.index)
    normalisers = fit_normalisers(fold, experiment)
    make = functools.partial(Pairs, experiment, normalisers)
    words = {part: _texts_of(experiment, fold, part, seed) for part in ("train", "validation", "test")}
    train = make(fold.train, texts_of=words["train"], rng=np.random.default_rng([seed, fold.index]))
    validation = make(fold.validation, texts_of=words["validation"])
    net = _fresh_net(experiment, train)
    label = f"{experiment.name} {experiment.model} fold {fold.index + 1} seed {seed}"
    best = training.fit(net, train, validation, experiment.recipe, label=label)
    tables = []
    for condition in experiment.conditions:
        wrong = condition == "text=shuffled"
        texts_of = _shuffled(fold.test, [seed, fold.index, 2]) if wrong else words["test"]
        missing = condition.removesuffix("=missing") if condition.endswith("=missing") else ""
        test = make(fold.test, texts_of=texts_of, missing=missing)
        found = answers(experiment.manifest, fold.test, training.predict(net, test), experiment.labels)
        tables.append(found.assign(condition=condition))
    facts = {
        "model": experiment.model,
        "train_regime": SHUFFLED if experiment.shuffle_text else "clean",
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "n_parameters": net.count_params(),
        "wall_s": time.monotonic() - begun,
    }
    held_out = answers(experiment.manifest, fold.validation, training.predict(net, validation), experiment.labels)
    tables = pd.concat(tables, ignore_index=True), held_out.assign(condition="clean"), pd.DataFrame(best.history)
    return FoldResult(*tables, facts, normalisers, net)


def _texts_of(experiment: Experiment, fold: Fold, part: str, seed: int) -> np.ndarray:
    """Clips whose texts the clips of a part have: their own, or each other's."""
    ids = getattr(fold, part)
    number = ("train", "validation", "test").index(part)
    return _shuffled(ids, [seed, fold.index, 1, number]) if experiment.shuffle_text else ids


def _shuffled(ids: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(seed).permutation(ids)


def _fresh_net(experiment: Experiment, train: Pairs) -> keras.Model:
    """A compiled net with new weights.

    A process makes the graph of each kind of net once, which takes longer than to train a small net.
    """
    recipe, columns = experiment.recipe, [train.inputs[i].shape[-1] for i in (0, 2)]
    shape, options = (*columns, len(experiment.labels)), json.dumps(dict(experiment.model_arguments), sort_keys=True)
    new = BUILDERS[experiment.model](*shape, **experiment.model_arguments)
    net = _compiled(experiment.model, shape, options, recipe.weight_decay, recipe.label_smoothing)
    for old_layer, new_layer in zip(net.layers, new.layers, strict=True):
        for old, start in zip(old_layer.variables, new_layer.variables, strict=True):
            old.assign(start)
    for variable in net.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    return net


@functools.lru_cache(maxsize=2)
def _compiled(
    model: str, shape: tuple[int, ...], options: str, weight_decay: float, label_smoothing: float
) -> keras.Model:
    net = BUILDERS[model](*shape, **json.loads(options))
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=weight_decay, global_clipnorm=1.0)
    optimizer.build(net.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=False)  # XLA is slower on CPUs for nets of this size
    return net


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.validation.to_parquet(folder / "validation.parquet", index=False)
    result.history.to_csv(folder / "history.csv", index=False)
    (folder / "facts.json").write_text(json.dumps(result.facts), encoding="utf-8")
    result.model.save(folder / "model.keras")
    for name, normaliser in result.normalisers.items():
        np.savez(folder / f"{name}.npz", **vars(normaliser))


def _load(folder: Path) -> FoldResult:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    normalisers = {}
    for name in ("audio", "text"):
        with np.load(folder / f"{name}.npz") as stored:
            normalisers[name] = Normaliser(stored["mean"], stored["std"], tuple(stored["clip_ids"].tolist()))
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "validation"))
    return FoldResult(*tables, pd.read_csv(folder / "history.csv"), facts, normalisers, folder=folder)


def load_model(result: FoldResult) -> keras.Model:
    """Net of a fold, from its artefact; nothing but weights and a known architecture is read."""
    return keras.saving.load_model(result.folder / "model.keras", compile=False, safe_mode=True)


def predictions_table(results: Sequence[FoldResult], *, part: str = "test", **constants: Any) -> pd.DataFrame:
    """One table of all nets, conditions, folds and seeds; `constants` are the columns that every row shares.

    Parameters
    ----------
    results : sequence of FoldResult
    part : str
        ``test``, or ``validation``: a clip may validate in several folds.
    """
    own = ("model", "train_regime", "fold", "seed")
    parts = [
        (result.predictions if part == "test" else result.validation).assign(**{n: result.facts[n] for n in own})
        for result in results
    ]
    return pd.concat(parts, ignore_index=True).assign(**constants)
