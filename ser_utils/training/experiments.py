"""What is trained on what: an experiment, what it learns first, and the gate that every fold passes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import pandas as pd

from ser_utils import models, splits, study
from ser_utils.features import Frames
from ser_utils.splits import Fold
from ser_utils.training.batches import Batches, Copies, Normaliser
from ser_utils.training.recipe import Recipe

ELSEWHERE = ("features", "splits", "models", "tracking")  # hashed by what they return, or by the net's own module


@dataclass(frozen=True)
class Pretraining:
    """What a net learns before the folds: other corpora, whose people no fold may test or validate on.

    The net is trained once per seed, by its own recipe, and all folds start from it with a new last layer. Its clips
    are standardised by statistics of their own training part, those of a fold by the fold's: levels and microphones
    differ between corpora.

    Attributes
    ----------
    manifest : pd.DataFrame
        Their clips; :func:`merge` makes one table of several corpora.
    frames : Frames
        The same kind of features as the experiment's.
    labels : tuple of str
        Emotions to tell apart; they need not be those of the experiment.
    recipe : Recipe
    validation_share : float
        Share of the speakers that validate, in (0, 1).
    """

    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    recipe: Recipe
    validation_share: float = 0.1


@dataclass(frozen=True)
class Experiment:
    """One model on one corpus, or on several: everything that a fold needs and that its artefact depends on.

    With `refit`, the validation clips of a fold train, too: no epoch is chosen, the last weights are kept, and there is
    no validation UAR. Only a recipe that was settled before may train so.

    Raises
    ------
    study.UserError
        For `refit` with a schedule that waits for validation.
    """

    name: str  # e.g. "ravdess"
    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    model: str
    model_arguments: Mapping[str, Any]
    recipe: Recipe
    n_folds: int
    allow_leaks: tuple[str, ...] = ()
    copies: Copies | None = None
    pretraining: Pretraining | None = None
    refit: bool = False

    def __post_init__(self) -> None:
        if self.refit and self.recipe.schedule == "plateau":
            raise study.UserError("schedule 'plateau' waits for validation, and refit leaves none; use cosine")


def trained(fold: Fold, experiment: Experiment) -> Fold:
    """The fold as an experiment trains on it: with `refit`, nobody validates."""
    if not experiment.refit:
        return fold
    clips = np.concatenate([fold.train, fold.validation])
    return dataclasses.replace(fold, train=clips, validation=fold.validation[:0])


def fit_normaliser(fold: Fold, experiment: Experiment) -> Normaliser:
    """Normaliser of the training clips, once the leak gate has let the fold pass.

    Copies and clips of the pretraining count as training clips.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        When no clip trains, validates or is tested; see :func:`splits.check_leaks` for more.
    """
    splits.check_filled(fold, *splits.OFFICIAL)
    fold = trained(fold, experiment)
    normaliser = Normaliser.fit(experiment.frames, fold.train)
    clips, more = experiment.manifest, []
    if experiment.copies:
        clips = clips.assign(parent=clips["clip_id"], noise_id=clips.get("noise_id", ""))
        more.append(experiment.copies.table.iloc[experiment.copies.of(fold.train)])
    if experiment.pretraining:
        more.append(experiment.pretraining.manifest)
    if more:
        heard = np.concatenate([fold.train, *(table["clip_id"].to_numpy(dtype=str) for table in more)])
        fold = dataclasses.replace(fold, train=heard)
        # a clip that is in both tables is one clip: the gate tells whether it is held out
        clips = pd.concat([clips, *more], ignore_index=True).drop_duplicates("clip_id")
    splits.check_leaks(fold, clips, fitted={"normaliser": normaliser.clip_ids}, allow=experiment.allow_leaks)
    return normaliser


def batches(
    experiment: Experiment, normaliser: Normaliser, ids: np.ndarray, rng: np.random.Generator | None = None
) -> Batches:
    """Batches of some clips; with `rng` for training, and with the copies of these clips."""
    rows = experiment.frames.rows(ids)
    n_frames = experiment.frames.n_frames[rows]
    x = normaliser.apply(experiment.frames.x[rows], n_frames)
    emotion = experiment.manifest.set_index("clip_id")["emotion"].loc[ids]
    targets = (emotion.to_numpy()[:, None] == np.array(experiment.labels)).astype(np.float32)
    if rng is None or experiment.copies is None:
        return Batches(x, n_frames, targets, experiment.recipe, rng)
    copies = experiment.copies
    made = copies.of(ids)
    n_made = copies.frames.n_frames[made]
    parents = copies.table["parent"].to_numpy()[made]
    return Batches(
        np.concatenate([x, normaliser.apply(copies.frames.x[made], n_made)]),
        np.concatenate([n_frames, n_made]),
        targets,
        experiment.recipe,
        rng,
        others=[len(ids) + np.flatnonzero(parents == clip) for clip in ids],
        share=copies.share,
    )


def identity(experiment: Experiment) -> dict[str, Any]:
    """What the results of an experiment depend on, besides fold and seed, for the key of an artefact.

    Of the models, the code of the net's own module counts and no other: a new net leaves the folds of the others valid.
    Features count by their values and splits by their clips.
    """
    code = study.code_version("training.folds", without=ELSEWHERE)
    key = {
        "content": _content(experiment),
        "model": experiment.model,
        "model_arguments": dict(experiment.model_arguments),
        "recipe": asdict(experiment.recipe),
        "labels": experiment.labels,
        "allow_leaks": experiment.allow_leaks,
        "copies": experiment.copies.share if experiment.copies else 0,
        "refit": experiment.refit,
        "code": [code, study.code_version(models.module_of(experiment.model))],
        "backend": keras.backend.backend(),
        "versions": study.versions("keras", keras.backend.backend(), "numpy"),
    }
    if experiment.pretraining:
        key["pretraining"] = identity(first_task(experiment))
    return key


def first_task(experiment: Experiment) -> Experiment:
    """The pretraining of an experiment as an experiment of its own."""
    first = experiment.pretraining
    return Experiment(
        name=f"pretraining for {experiment.name}",
        manifest=first.manifest,
        frames=first.frames,
        labels=first.labels,
        model=experiment.model,
        model_arguments=experiment.model_arguments,
        recipe=first.recipe,
        n_folds=1,
    )


def _content(experiment: Experiment) -> str:
    data = hashlib.sha256()
    for frames in [experiment.frames, *([experiment.copies.frames] if experiment.copies else [])]:
        data.update(np.ascontiguousarray(frames.x).data)
        data.update(frames.n_frames.tobytes())
        data.update("\n".join(frames.clip_ids).encode())
    for column in ("clip_id", "emotion", "speaker", "sha256"):
        data.update("\n".join(experiment.manifest[column]).encode())
    if experiment.copies:
        data.update("\n".join(experiment.copies.table["parent"]).encode())
    return data.hexdigest()
