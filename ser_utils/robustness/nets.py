"""A net under all conditions: trained once per regime and fold, then asked again for every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import features, study, training
from ser_utils.features import Frames, FrameSpec
from ser_utils.noise import Condition
from ser_utils.robustness.bench import Bench, Clips, Regime
from ser_utils.training import Batches, Copies, Experiment, FoldResult, Recipe


def net_grid(
    bench: Bench,
    regimes: Sequence[Regime],
    conditions: Sequence[Condition],
    *,
    model: str,
    arguments: Mapping[str, Any],
    spec: FrameSpec,
    recipe: Recipe,
    share: float,
    name: str,
    profile: str,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Predictions of a net, trained in every regime, under every condition that its regime is tested under.

    Validation clips, which choose the epoch, are those of the regime without copies.

    Parameters
    ----------
    bench : Bench
    regimes : sequence of Regime
    conditions : sequence of Condition
    model : str
        A key of :data:`ser_utils.models.BUILDERS`.
    arguments : mapping
        Its options.
    spec : FrameSpec
    recipe : Recipe
    share : float
        Chance that a copy trains in place of its clip.
    name : str
        What the column ``features`` says.
    profile : str
    jobs : int, optional

    Returns
    -------
    pd.DataFrame
        As :func:`ser_utils.evaluation.validate_predictions` wants it.
    """
    common = {"run_id": study.run_id(), "profile": profile, "model": model, "features": name} | bench.constants
    parts = []
    for regime in regimes:
        experiment = _experiment(bench, regime, model, arguments, spec, recipe, share)
        results = training.cross_validate(
            experiment, bench.folds, seeds=[bench.seed], cache=bench.cache / "folds", jobs=jobs
        )
        nets = [training.load_model(result) for result in results]
        for each in regime.tests(conditions):
            clips = bench.tested(each)
            frames = features.extract(clips.table, clips.root, spec, cache=bench.cache / "features")
            for fold, result, net in zip(bench.folds, results, nets, strict=True):
                rows = answers(experiment, result, net, frames, fold.test)
                parts.append(rows.assign(condition=str(each), train_regime=regime.name, fold=fold.index))
    return pd.concat(parts, ignore_index=True).assign(seed=bench.seed, **common)


def _experiment(
    bench: Bench,
    regime: Regime,
    model: str,
    arguments: Mapping[str, Any],
    spec: FrameSpec,
    recipe: Recipe,
    share: float,
) -> Experiment:
    own, copies = bench.training(regime)
    cache = bench.cache / "features"
    made = [features.extract(part.table, part.root, spec, cache=cache) for part in copies]
    return Experiment(
        name=bench.name,
        manifest=own.table,
        frames=features.extract(own.table, own.root, spec, cache=cache),
        labels=bench.entry.emotions,
        model=model,
        model_arguments=arguments,
        recipe=recipe,
        n_folds=len(bench.folds),
        allow_leaks=bench.allow,
        copies=_copies(copies, made, share) if copies else None,
    )


def _copies(parts: Sequence[Clips], made: Sequence[Frames], share: float) -> Copies:
    table = pd.concat([part.table for part in parts], ignore_index=True)
    frames = Frames(*(np.concatenate([getattr(f, name) for f in made]) for name in ("x", "n_frames", "clip_ids")))
    return Copies(table, Frames(frames.x, frames.n_frames, table["clip_id"].to_numpy(dtype=str)), share)


def answers(
    experiment: Experiment, result: FoldResult, net: keras.Model, frames: Frames, clip_ids: np.ndarray
) -> pd.DataFrame:
    """What the net of a fold says of clips whose frames were made under a condition."""
    rows = frames.rows(clip_ids)
    x = result.normaliser.apply(frames.x[rows], frames.n_frames[rows])
    nobody = np.zeros((len(rows), len(experiment.labels)), dtype=np.float32)
    chances = training.predict(net, Batches(x, frames.n_frames[rows], nobody, experiment.recipe))
    clips, labels = experiment.manifest.set_index("clip_id").loc[clip_ids], np.array(experiment.labels)
    table = pd.DataFrame({"clip_id": clip_ids, "speaker": clips["speaker"].to_numpy()})
    table = table.assign(y_true=clips["emotion"].to_numpy(), y_pred=labels[chances.argmax(axis=1)])
    return table.assign(**{f"p_{label}": chances[:, i] for i, label in enumerate(labels)})
