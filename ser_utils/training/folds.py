"""Training with a leak gate inside, one artefact per fold, and one ``cross_validate`` that yields the predictions."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import recall_score

from ser_utils import models, splits, study
from ser_utils.augment import FrameAugmentation, disturb
from ser_utils.features import Frames
from ser_utils.splits import Fold


@dataclass(frozen=True)
class Recipe:
    """How a net is trained.

    Parameters
    ----------
    epochs, patience : int
        Most epochs; epochs without a better validation UAR before stopping. The best weights are restored.
    batch_size : int
    learning_rate, weight_decay : float
        Peak rate of AdamW after one warm-up epoch, then cosine decay to zero.
    label_smoothing : float
        In [0, 1).
    augmentation : FrameAugmentation
        How training batches are disturbed.
    """

    epochs: int = 50
    patience: int = 15
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    augmentation: FrameAugmentation = field(default_factory=FrameAugmentation)

    def __post_init__(self) -> None:
        study.check_range(self, "1 or more", lambda value: value >= 1, "epochs", "patience", "batch_size")
        study.check_range(self, "above 0", lambda value: value > 0, "learning_rate")
        study.check_range(self, "0 or more", lambda value: value >= 0, "weight_decay")
        study.check_range(self, "at least 0 and below 1", lambda value: 0 <= value < 1, "label_smoothing")


@dataclass(frozen=True)
class Normaliser:
    """Mean and standard deviation per column over the valid frames of the training clips.

    Attributes
    ----------
    mean, std : np.ndarray [shape=(n_columns,)]
    clip_ids : tuple of str
        What it was fitted on; the leak gate asks.
    """

    mean: np.ndarray
    std: np.ndarray
    clip_ids: tuple[str, ...]

    @classmethod
    def fit(cls, frames: Frames, clip_ids: np.ndarray) -> Normaliser:
        """Statistics of `clip_ids` alone."""
        rows = frames.rows(clip_ids)
        valid = np.concatenate([frames.x[row, : frames.n_frames[row]] for row in rows])
        return cls(valid.mean(0, dtype=np.float64), valid.std(0, dtype=np.float64) + 1e-6, tuple(clip_ids))

    def apply(self, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        """Standardised copy with zeros in the padding; float32 [shape=(n_clips, max_frames, n_columns)]."""
        valid = np.arange(x.shape[1]) < n_frames[:, None]
        return np.where(valid[:, :, None], (x - self.mean) / self.std, 0).astype(np.float32)


class Batches:
    """Batches of sequences, cut to their longest clip; in random order and augmented when they train.

    Training batches hold clips of similar length, so that little of a batch is padding.

    Parameters
    ----------
    x : np.ndarray [shape=(n_clips, max_frames, n_columns)]
        Standardised.
    n_frames : np.ndarray [shape=(n_clips,)]
    targets : np.ndarray [shape=(n_clips, n_classes)]
        One-hot.
    recipe : Recipe
    rng : np.random.Generator, optional
        Draws order and augmentation; without one, order is kept and nothing is augmented.
    """

    def __init__(self, x, n_frames, targets, recipe: Recipe, rng: np.random.Generator | None = None) -> None:
        self.x, self.n_frames, self.targets, self.recipe, self.rng = x, n_frames, targets, recipe, rng
        counts = targets.sum(0)
        self.class_weight = np.divide(len(x) / len(counts), counts, out=np.zeros_like(counts), where=counts > 0)

    def __len__(self) -> int:
        return -(-len(self.x) // self.recipe.batch_size)

    def __iter__(self) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
        """One pass: ([frames, mask], targets, weight per clip)."""
        for rows in self._rows():
            x, n_frames, targets = self.x[rows], self.n_frames[rows], self.targets[rows]
            if self.rng is not None:
                x, n_frames, targets = disturb(x, n_frames, targets, self.recipe.augmentation, self.rng)
            # lengths in steps of 32 frames: few shapes, so the backend compiles few graphs
            longest = min(-(-int(n_frames.max()) // 32) * 32, x.shape[1])
            mask = (np.arange(longest) < n_frames[:, None]).astype(np.float32)
            yield [x[:, :longest], mask], targets, targets @ self.class_weight

    def _rows(self) -> list[np.ndarray]:
        size = self.recipe.batch_size
        if self.rng is None:
            return [np.arange(i, min(i + size, len(self.x))) for i in range(0, len(self.x), size)]
        order = self.rng.permutation(len(self.x))
        pools = [order[i : i + 4 * size] for i in range(0, len(order), 4 * size)]
        order = np.concatenate([pool[np.argsort(self.n_frames[pool], kind="stable")] for pool in pools])
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        return [batches[i] for i in self.rng.permutation(len(batches))]


class BestByUAR:
    """Validation UAR after each epoch: keeps the best weights, stops without progress, tells who waits."""

    def __init__(self, net: keras.Model, validation: Batches, recipe: Recipe, *, label: str) -> None:
        self.net, self.validation, self.recipe, self.label = net, validation, recipe, label
        self.uar, self.epoch, self.weights = -1.0, 0, net.get_weights()
        self.start = self.said = time.monotonic()
        self.history: list[dict[str, float]] = []

    def update(self, epoch: int, loss: float) -> bool:
        """Score `epoch` (1 …); whether to go on."""
        true = self.validation.targets.argmax(1)
        predicted = predict(self.net, self.validation).argmax(1)
        uar = float(recall_score(true, predicted, average="macro", labels=np.unique(true), zero_division=0))
        self.history.append({"epoch": epoch, "loss": loss, "val_uar": uar})
        if uar > self.uar:
            self.uar, self.epoch, self.weights = uar, epoch, self.net.get_weights()
        self._tell(epoch, uar)
        return epoch < self.recipe.epochs and epoch - self.epoch < self.recipe.patience

    def _tell(self, epoch: int, uar: float, *, every_s: float = 10.0) -> None:
        now = time.monotonic()
        if epoch == 1:  # most of it is the building of graphs: it says nothing about the next ones
            self.start = now
        elif now - self.said > every_s:
            left = (now - self.start) / (epoch - 1) * (self.recipe.epochs - epoch)
            study.progress(
                f"{self.label}: epoch {epoch}/{self.recipe.epochs}, validation UAR {uar:.3f} "
                f"(best {self.uar:.3f}), at most {study.duration(left)} left in this fold"
            )
            self.said = now


def fit(net: keras.Model, train: Batches, validation: Batches, recipe: Recipe, *, label: str) -> BestByUAR:
    """Train `net` and leave it with the weights of the epoch with the best validation UAR."""
    best = BestByUAR(net, validation, recipe, label=label)
    for epoch in range(1, recipe.epochs + 1):
        losses = [float(net.train_on_batch(x, y, sample_weight=weight)) for x, y, weight in train]
        if not best.update(epoch, float(np.mean(losses))):
            break
    net.set_weights(best.weights)
    return best


def predict(net: keras.Model, batches: Batches) -> np.ndarray:
    """Class probabilities [shape=(n_clips, n_classes)] in the order of `batches`."""
    return np.concatenate([keras.ops.convert_to_numpy(net.predict_on_batch(x)) for x, _, _ in batches])


@dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar
    facts: dict[str, Any]  # fold, seed, n_train, n_validation, n_test, best_epoch, val_uar, n_parameters, wall_s
    normaliser: Normaliser = field(repr=False)
    model: keras.Model | None = field(default=None, repr=False)  # None when read from the cache: see load_model
    folder: Path | None = None  # where the artefact lies


@dataclass(frozen=True)
class Experiment:
    """One model on one corpus: everything that a fold needs and that its artefact depends on."""

    name: str  # e.g. "ravdess"
    manifest: pd.DataFrame = field(repr=False)
    frames: Frames = field(repr=False)
    labels: tuple[str, ...]
    model: str
    model_arguments: Mapping[str, Any]
    recipe: Recipe
    n_folds: int
    allow_leaks: tuple[str, ...] = ()


def fit_normaliser(fold: Fold, experiment: Experiment) -> Normaliser:
    """Normaliser of the training clips, once the leak gate has let the fold pass.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    """
    normaliser = Normaliser.fit(experiment.frames, fold.train)
    fitted = {"normaliser": normaliser.clip_ids}
    splits.check_leaks(fold, experiment.manifest, fitted=fitted, allow=experiment.allow_leaks)
    return normaliser


def fit_fold(fold: Fold, seed: int, experiment: Experiment) -> FoldResult:
    """Train on one fold and predict its test clips.

    Raises
    ------
    splits.LeakError
        Before the first step, when something of the test clips is known in training.
    """
    start = time.monotonic()
    keras.backend.clear_session()
    study.seed_everything(seed * 1000 + fold.index)
    normaliser = fit_normaliser(fold, experiment)
    rng = np.random.default_rng([seed, fold.index])
    train, validation, test = (
        _batches(experiment, normaliser, ids, rng if ids is fold.train else None)
        for ids in (fold.train, fold.validation, fold.test)
    )
    net = models.BUILDERS[experiment.model](
        experiment.frames.x.shape[2], len(experiment.labels), **experiment.model_arguments
    )
    compile_(net, experiment.recipe, steps_per_epoch=len(train))
    label = f"{experiment.name} fold {fold.index + 1}/{experiment.n_folds} seed {seed}"
    best = fit(net, train, validation, experiment.recipe, label=label)
    facts = {
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.epoch,
        "val_uar": best.uar,
        "n_parameters": net.count_params(),
        "wall_s": time.monotonic() - start,
    }
    rows = _rows(experiment, fold, predict(net, test))
    return FoldResult(rows, pd.DataFrame(best.history), facts, normaliser, net)


def compile_(net: keras.Model, recipe: Recipe, *, steps_per_epoch: int) -> None:
    """AdamW with one epoch of warm-up and cosine decay; XLA is off, being slower on CPUs for these nets."""
    total = recipe.epochs * steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 100,
        warmup_target=recipe.learning_rate,
        warmup_steps=steps_per_epoch,
        decay_steps=max(1, total - steps_per_epoch),
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, global_clipnorm=1.0)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=False)


def _batches(experiment: Experiment, normaliser: Normaliser, ids: np.ndarray, rng) -> Batches:
    rows = experiment.frames.rows(ids)
    n_frames = experiment.frames.n_frames[rows]
    x = normaliser.apply(experiment.frames.x[rows], n_frames)
    emotion = experiment.manifest.set_index("clip_id")["emotion"].loc[ids]
    targets = (emotion.to_numpy()[:, None] == np.array(experiment.labels)).astype(np.float32)
    return Batches(x, n_frames, targets, experiment.recipe, rng)


def _rows(experiment: Experiment, fold: Fold, probabilities: np.ndarray) -> pd.DataFrame:
    clips = experiment.manifest.set_index("clip_id").loc[fold.test]
    labels = np.array(experiment.labels)
    table = pd.DataFrame(
        {
            "clip_id": fold.test,
            "speaker": clips["speaker"].to_numpy(),
            "y_true": clips["emotion"].to_numpy(),
            "y_pred": labels[probabilities.argmax(1)],
        }
    )
    return table.assign(**{f"p_{label}": probabilities[:, i] for i, label in enumerate(labels)})


def cross_validate(
    experiment: Experiment, folds: Sequence[Fold], *, seeds: Sequence[int], cache: Path, jobs: int | None = None
) -> list[FoldResult]:
    """Every fold with every seed, in processes; finished ones come from the cache, so a killed run resumes.

    Parameters
    ----------
    experiment : Experiment
    folds : sequence of Fold
    seeds : sequence of int
    cache : Path
        Folder of the fold artefacts: predictions, history, weights.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of FoldResult
        Seed by seed, fold by fold; the nets stay on disk.
    """
    if not seeds:
        raise study.UserError("n_seeds 0 leaves nothing to train; use 1 or more")
    for fold in folds:  # also those that the cache will answer for
        fit_normaliser(fold, experiment)
    content = _content(experiment)
    work = functools.partial(_cached_fold, experiment=experiment, content=content, cache=cache)
    cells = [(fold, seed) for seed in seeds for fold in folds]
    return study.pmap(work, cells, desc=f"{experiment.name}: folds × seeds", jobs=jobs)


def _content(experiment: Experiment) -> str:
    data = hashlib.sha256(np.ascontiguousarray(experiment.frames.x).tobytes())
    data.update(experiment.frames.n_frames.tobytes())
    for column in ("clip_id", "emotion", "speaker", "sha256"):
        data.update("\n".join(experiment.manifest[column]).encode())
    return data.hexdigest()


def _cached_fold(cell: tuple[Fold, int], *, experiment: Experiment, content: str, cache: Path) -> FoldResult:
    fold, seed = cell
    key = {
        "content": content,
        "fold": {name: study.digest(ids.tolist()) for name, ids in vars(fold).items() if name != "index"},
        "index": fold.index,
        "seed": seed,
        "model": experiment.model,
        "model_arguments": dict(experiment.model_arguments),
        "recipe": asdict(experiment.recipe),
        "labels": experiment.labels,
        "allow_leaks": experiment.allow_leaks,
        "code": study.code_version("training"),
        "backend": keras.backend.backend(),
        "versions": study.versions("keras", "tensorflow", "jax", "numpy"),
    }
    return study.cached(cache, key, lambda: fit_fold(fold, seed, experiment), save=_save, load=_load)


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.history.to_csv(folder / "history.csv", index=False)
    pd.Series(result.facts).to_json(folder / "facts.json")
    result.model.save(folder / "model.keras")
    np.savez(folder / "normaliser.npz", **vars(result.normaliser))


def _load(folder: Path) -> FoldResult:
    facts = pd.read_json(folder / "facts.json", typ="series").to_dict()
    with np.load(folder / "normaliser.npz") as stored:
        normaliser = Normaliser(stored["mean"], stored["std"], tuple(stored["clip_ids"].tolist()))
    tables = pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "history.csv")
    return FoldResult(*tables, facts, normaliser, folder=folder)


def load_model(result: FoldResult) -> keras.Model:
    """Net of a fold, from its artefact; nothing but weights and a known architecture is read."""
    return keras.saving.load_model(result.folder / "model.keras", compile=False, safe_mode=True)


def predictions_table(results: Sequence[FoldResult], **constants: Any) -> pd.DataFrame:
    """One table of all folds and seeds; `constants` are the columns that every row shares (corpus, split, model…)."""
    parts = [r.predictions.assign(fold=int(r.facts["fold"]), seed=int(r.facts["seed"])) for r in results]
    return pd.concat(parts, ignore_index=True).assign(**constants)
