"""One fold of a corpus with nets of its own: conditioner, evaluator and generators, none of which has heard the people
who are tested; and the clips that the generators make of training clips."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.features import Frames, FrameSpec
from ser_utils.generative.condition import Condition, Listener
from ser_utils.generative.gate import Origin, check_generated, check_judge, check_makers
from ser_utils.generative.makers import Makers, fit_makers
from ser_utils.generative.mel import restored
from ser_utils.generative.patches import Sound
from ser_utils.generative.settings import Net, Settings
from ser_utils.splits import Fold
from ser_utils.training.batches import Normaliser
from ser_utils.training.experiments import Experiment
from ser_utils.training.folds import FoldResult, cross_validate

CLASSICAL = "classical"


@dataclass(frozen=True)
class Case:
    """What a world is made of.

    Attributes
    ----------
    name : str
        Corpus.
    manifest : pd.DataFrame
        Its clips, under the emotions `labels`.
    frames : Frames
        Their spectrograms, dB.
    labels : tuple of str
    fold : Fold
    n_folds, seed : int
    settings : Settings
    cache : Path
        Folder of the profile's artefacts.
    copies : tuple of pd.DataFrame and Frames
        One classically augmented copy of each clip, and their spectrograms.
    spec : FrameSpec
        How all spectrograms were made.
    """

    name: str
    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    fold: Fold = field(repr=False)
    n_folds: int
    seed: int
    settings: Settings = field(repr=False)
    cache: Path
    copies: tuple[pd.DataFrame, Frames] = field(repr=False)
    spec: FrameSpec

    def labels_of(self, emotions: np.ndarray) -> np.ndarray:
        """Names of emotions that are given as index."""
        return np.array(self.labels)[emotions]

    @property
    def emotions(self) -> Mapping[str, str]:
        """Clip id → emotion."""
        return dict(zip(self.manifest["clip_id"], self.manifest["emotion"], strict=True))

    @property
    def heard(self) -> tuple[str, ...]:
        """Clips that may train or choose an epoch."""
        return (*self.fold.train.tolist(), *self.fold.validation.tolist())

    def key(self) -> dict[str, Any]:
        """What its clips and its split are, for the key of an artefact."""
        content = hashlib.sha256("\n".join(self.manifest["clip_id"] + self.manifest["sha256"]).encode()).hexdigest()
        emotions = study.digest(self.manifest["emotion"].tolist())
        parts = {name: study.digest(ids.tolist()) for name, ids in vars(self.fold).items() if name != "index"}
        data = hashlib.sha256(np.ascontiguousarray(self.frames.x).data).hexdigest()
        return {"clips": content, "emotions": emotions, "fold": parts, "frames": data, "labels": self.labels}


@dataclass(frozen=True)
class World:
    """The nets of a case, and its clips as generators see them."""

    case: Case
    condition: Condition
    evaluator: Listener
    real: FoldResult = field(repr=False)  # the evaluator, trained on real clips
    makers: Makers
    normaliser: Normaliser = field(repr=False)
    train: Sound = field(repr=False)
    validation: Sound = field(repr=False)
    test: Sound = field(repr=False)

    @property
    def conditioner(self) -> Listener:
        return self.condition.listener

    def origins(self, kind: str) -> list[Origin]:
        """All nets that have a hand in clips of a kind."""
        return [self.conditioner.origin, *self.makers.origins(kind, self.case.heard, f"seed {self.case.seed}")]

    def decibels(self, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        """Standardised spectrograms in dB."""
        return restored(x, n_frames, self.normaliser)

    def make(self, kind: str, sound: Sound, wanted: np.ndarray, *, seed: int) -> tuple[np.ndarray, float]:
        """Clips of a kind in dB, and the seconds that one took."""
        x, seconds = self.makers.make(kind, sound, sound.own, wanted, seed=self.case.seed * 1000 + seed)
        return self.decibels(x, sound.n_frames), seconds


def build(case: Case) -> World:
    """Train the nets of a case, or take them from the cache, once the gate has let them pass.

    Raises
    ------
    splits.LeakError
        When a net has heard a test speaker, or conditioner and evaluator are not independent.
    """
    settings, fold = case.settings, case.fold
    label = f"{case.name} fold {fold.index + 1}/{case.n_folds} seed {case.seed}"
    listeners, results = {}, {}
    for role, net in {"conditioner": settings.conditioner, "evaluator": settings.evaluator}.items():
        results[role] = classifier(case, net, f"{label}, {role}")
        known = {"role": role, "architecture": net.model, "labels": case.labels}
        listeners[role] = Listener.of(results[role], fold, **known)
    check_judge(listeners["evaluator"].origin, [listeners["conditioner"].origin])
    check_makers(fold, case.manifest, [listener.origin for listener in listeners.values()])
    condition = Condition.fit(listeners["conditioner"], case.frames, case.emotions, fold.train)
    normaliser = Normaliser.fit(case.frames, fold.train)
    parts = [_sound(case, condition, normaliser, ids) for ids in (fold.train, fold.validation, fold.test)]
    key = case.key() | condition.facts()
    where = {"seed": case.seed, "cache": case.cache / "generators", "key": key, "label": label}
    made = fit_makers(settings, *parts[:2], **where)
    return World(case, condition, listeners["evaluator"], results["evaluator"], made, normaliser, *parts)


def _sound(case: Case, condition: Condition, normaliser: Normaliser, ids: np.ndarray) -> Sound:
    rows = case.frames.rows(ids)
    x, n_frames = case.frames.x[rows], case.frames.n_frames[rows]
    emotions = np.array([case.labels.index(case.emotions[clip]) for clip in ids])
    own = condition.own(x, n_frames)
    return Sound(normaliser.apply(x, n_frames), n_frames, emotions, own, condition.prototypes, ids)


def classifier(
    case: Case,
    net: Net,
    label: str,
    *,
    more: tuple[pd.DataFrame, Frames] | None = None,
    only: bool = False,
) -> FoldResult:
    """A classifier of the case's fold, from the cache when it is there.

    It takes as many steps with more clips as without: with twice the clips, half the epochs.

    Parameters
    ----------
    case : Case
    net : Net
    label : str
        What progress lines say.
    more : tuple of pd.DataFrame and Frames, optional
        Rows of generated or augmented clips that train, each with its ``parent``, and their spectrograms.
    only : bool
        Whether they train alone, without the real clips.
    """
    manifest, frames, fold, recipe = case.manifest, case.frames, case.fold, net.recipe
    if more is not None:
        table, made = more
        real = manifest.assign(parent=manifest["clip_id"], noise_id="")
        manifest = pd.concat([real, table[real.columns]], ignore_index=True)
        joined = (np.concatenate([getattr(f, name) for f in (frames, made)]) for name in ("x", "n_frames", "clip_ids"))
        frames, ids = Frames(*joined), table["clip_id"].to_numpy(dtype=str)
        fold = replace(fold, train=ids if only else np.concatenate([fold.train, ids]))
        share = len(case.fold.train) / len(fold.train)
        less = {name: max(1, round(getattr(recipe, name) * share)) for name in ("epochs", "patience")}
        recipe = replace(recipe, **less)
    experiment = Experiment(
        name=label,
        manifest=manifest,
        frames=frames,
        labels=case.labels,
        model=net.model,
        model_arguments=net.arguments,
        recipe=recipe,
        n_folds=case.n_folds,
    )
    seeds = [case.seed + net.shift]
    return cross_validate(experiment, [fold], seeds=seeds, cache=case.cache / "folds", jobs=1)[0]


def targets(case: Case, sound: Sound, *, seed: int = 0) -> np.ndarray:
    """Another emotion for each clip [shape=(n_clips,)], as index; all others are alike likely."""
    rng = np.random.default_rng([case.seed, case.fold.index, seed])
    return (sound.emotions + rng.integers(1, len(case.labels), len(sound.emotions))) % len(case.labels)


def generated(world: World, kind: str) -> tuple[pd.DataFrame, Frames, float]:
    """One clip of a kind for each training clip, under another emotion: rows, spectrograms, and seconds per clip.

    Raises
    ------
    splits.LeakError
        When a test speaker has a hand in them.
    """
    case, sound = world.case, world.train
    aims = targets(case, sound)
    x, seconds = world.make(kind, sound, world.condition.prototypes[aims], seed=1)
    rows = case.manifest.set_index("clip_id", drop=False).loc[sound.clip_ids].reset_index(drop=True)
    ids = rows["clip_id"] + f"~{kind}0"
    table = rows.assign(parent=rows["clip_id"], clip_id=ids, emotion=np.array(case.labels)[aims], noise_id="")
    table["sha256"] = [hashlib.sha256(np.ascontiguousarray(row).data).hexdigest() for row in x]
    check_generated(case.fold, case.manifest, table, world.origins(kind))
    return table, Frames(x, sound.n_frames, ids.to_numpy(dtype=str)), seconds


def classical(case: Case) -> tuple[pd.DataFrame, Frames]:
    """The augmented copies of the training clips."""
    table, frames = case.copies
    mine = table["parent"].isin(case.fold.train).to_numpy()
    at = frames.rows(table.loc[mine, "clip_id"].to_numpy(dtype=str))
    return table[mine].reset_index(drop=True), Frames(frames.x[at], frames.n_frames[at], frames.clip_ids[at])
