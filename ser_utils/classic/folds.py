"""Cross-validation of classic models: the leak gate and the inner grouped search are part of every fold.

Validation clips of a fold train here: nothing stops early, and settings come from inner folds of the training speakers.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from ser_utils import splits, study
from ser_utils.classic import estimators
from ser_utils.classic.clips import Clips, content, prepare
from ser_utils.classic.search import Found, find_setting, fit, score
from ser_utils.features import Table
from ser_utils.splits import Fold


@dataclass(frozen=True)
class FoldResult:
    """What one model leaves behind on one fold."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    search: pd.DataFrame = field(repr=False)  # setting, uar of the inner folds; no row without a search
    facts: dict[str, Any]  # model, features, fold, seed, n_train, n_test, setting, inner, temperature, wall_s…


def cross_validate(
    table: Table,
    manifest: pd.DataFrame,
    folds: Sequence[Fold],
    labels: Sequence[str],
    *,
    models: Sequence[str],
    features: str,
    normalisation: str = "training",
    tune: bool = True,
    n_inner: int = 3,
    seed: int = 0,
    cache: Path,
    allow: Collection[str] = (),
    jobs: int | None = None,
) -> list[FoldResult]:
    """Every model on every fold, in processes; finished ones come from the cache, so a killed run resumes.

    Parameters
    ----------
    table : Table
        One row of features per clip.
    manifest : pd.DataFrame
        Clips of one corpus: ``clip_id, corpus, speaker, emotion, sha256``; ``sentence`` and
        ``parent`` where there are some.
    folds : sequence of Fold
        Clips that validate are trained on: the search makes its own folds.
    labels : sequence of str
        Emotions, in the order of the probabilities.
    models : sequence of str
        Names from :data:`~ser_utils.classic.MODELS`.
    features : str
        Name of the table, e.g. ``"egemaps"``; predictions carry it.
    normalisation : str
        ``training``: z-scores over the training rows. ``speaker``: before that, z-scores over all clips of each
        speaker, which needs the other clips of a test speaker (not their labels): a condition of its own, marked
        ``+speaker_norm`` in `features`. ``none``: as extracted, marked ``+unscaled``.
    tune : bool
        Whether an inner search over folds of training speakers chooses the setting; otherwise the model's default is
        taken. Where one speaker trains, the inner folds keep sentences apart, or else only clips.
    n_inner : int
        Inner folds, 2 or more.
    seed : int
        Of inner folds and models.
    cache : Path
        Folder of the fold artefacts.
    allow : collection of str
        Kinds of leak that are wanted: see :func:`splits.check_leaks`.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of FoldResult
        Model by model, fold by fold.

    Raises
    ------
    splits.LeakError
        When something of the test clips is known in training.
    study.UserError
        For an unknown model or normalisation, a feature that is no number, or a clip with an unlisted emotion.
    """
    if n_inner < 2 or not models:
        raise study.UserError(f"n_inner {n_inner} must be 2 or more, and models ({', '.join(models)}) at least one")
    for name in models:
        estimators.model(name)
    data = prepare(table, manifest, labels, features=features, normalisation=normalisation, allow=allow)
    for fold in folds:  # also those that the cache will answer for
        training_rows(data, fold)
    settings = {"tune": tune, "n_inner": n_inner, "seed": seed} | inputs(data)
    work = functools.partial(_cached_fold, data=data, settings=settings, cache=cache)
    cells = [(name, fold) for name in models for fold in folds]
    return study.pmap(work, cells, desc=f"{data.name} {data.features}: models × folds", jobs=jobs)


def training_rows(data: Clips, fold: Fold) -> np.ndarray:
    """Rows that train on a fold, its validation clips among them, once the leak gate has let them pass.

    Raises
    ------
    splits.LeakError
        When something of the test clips is known in training.
    """
    rows = data.rows(np.concatenate([fold.train, fold.validation]))
    ids = data.clips["clip_id"].to_numpy(dtype=str)[rows]
    merged = Fold(fold.index, ids, ids[:0], fold.test)
    splits.check_leaks(merged, data.clips, fitted={"scaler": ids, "search": ids}, allow=data.allow)
    return rows


def inputs(data: Clips) -> dict[str, Any]:
    """What every artefact of one corpus and table depends on; hashes all of it, so call it once."""
    return {
        "content": content(data),
        "labels": data.labels,
        "features": data.features,
        "allow": data.allow,
        "code": study.code_version("classic"),
        "versions": study.versions("scikit-learn", "numpy", "scipy"),
    }


def cell_key(name: str, fold: Fold, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the artefact of one model on one fold depends on."""
    return {
        **settings,
        "model": name,
        "index": fold.index,
        "fold": {part: study.digest(ids.tolist()) for part, ids in vars(fold).items() if part != "index"},
    }


def _cached_fold(cell: tuple[str, Fold], *, data: Clips, settings: Mapping[str, Any], cache: Path) -> FoldResult:
    name, fold = cell
    make = functools.partial(fit_fold, name, fold, data, settings)
    return study.cached(cache, cell_key(name, fold, settings), make, save=_save, load=_load)


def fit_fold(name: str, fold: Fold, data: Clips, settings: Mapping[str, Any]) -> FoldResult:
    """Find a setting, fit on all training clips, predict the test clips; in one thread, so that cores change no bit."""
    start, busy = time.monotonic(), time.process_time()
    rows, test = training_rows(data, fold), data.rows(fold.test)
    seed = settings["seed"] * 1000 + fold.index
    with threadpool_limits(1):
        found = (
            find_setting(name, data, rows, seed=seed, n_inner=settings["n_inner"])
            if settings["tune"]
            else Found.default(name)
        )
        fitted = fit(name, data, rows, found.setting, seed)
        scores = score(name, fitted, data.x[test], data.labels)
    facts = {
        "model": name,
        "features": data.features,
        "fold": fold.index,
        "seed": settings["seed"],
        "n_train": len(rows),
        "n_test": len(test),
        "n_columns": data.x.shape[1],
        "setting": dict(found.setting),
        "inner": found.unit,
        "inner_uar": found.uar,
        "temperature": found.temperature,
        "wall_s": time.monotonic() - start,
        "cpu_s": time.process_time() - busy,
    }
    probabilities = softmax(scores / found.temperature, axis=1)
    return FoldResult(_predictions(data, test, scores, probabilities), found.tried, facts)


def _predictions(data: Clips, test: np.ndarray, scores: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    clips = data.clips.iloc[test]
    table = pd.DataFrame(
        {
            "clip_id": clips["clip_id"].to_numpy(),
            "speaker": clips["speaker"].to_numpy(),
            "y_true": clips["emotion"].to_numpy(),
            "y_pred": np.array(data.labels)[scores.argmax(axis=1)],
        }
    )
    return table.assign(**{f"p_{label}": probabilities[:, i] for i, label in enumerate(data.labels)})


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.search.to_csv(folder / "search.csv", index=False)
    (folder / "facts.json").write_text(json.dumps(result.facts), encoding="utf-8")


def _load(folder: Path) -> FoldResult:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return FoldResult(pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "search.csv"), facts)


def predictions_table(results: Sequence[FoldResult], **constants: Any) -> pd.DataFrame:
    """One table of all results; `constants` are the columns that every row shares (corpus, split, condition…)."""
    own = ("model", "features", "fold", "seed")
    parts = [result.predictions.assign(**{name: result.facts[name] for name in own}) for result in results]
    return pd.concat(parts, ignore_index=True).assign(**constants)


def facts_table(results: Sequence[FoldResult]) -> pd.DataFrame:
    """One row per model and fold: sizes, chosen setting, UAR of the inner folds, seconds."""
    return pd.DataFrame([result.facts for result in results])
