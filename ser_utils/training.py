"""Training with a leak gate inside, one artefact per fold, and one ``cross_validate`` that yields the predictions."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import recall_score

from ser_utils import models, splits, study
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
    time_mask, column_mask : float
        SpecAugment (Park et al. 2019, doi:10.21437/Interspeech.2019-2680): longest masked share of the frames and
        of the columns, two masks each, in [0, 1).
    mixup : float
        Beta parameter of mixup (Zhang et al. 2018, arXiv:1710.09412); 0 switches it off.
    speed : float
        Largest relative change of tempo by resampling frames, e.g. 0.1.
    gain_db : float
        Standard deviation of a random level, dB; only for features in dB.
    """

    epochs: int = 50
    patience: int = 15
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    time_mask: float = 0.1
    column_mask: float = 0.1
    mixup: float = 0.2
    speed: float = 0.1
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise study.UserError(
                f"epochs {self.epochs} and batch_size {self.batch_size} must be 1 or more, "
                f"learning_rate {self.learning_rate} above 0"
            )


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


class Batches(keras.utils.PyDataset):
    """Batches of sequences, cut to their longest clip; shuffled and augmented when they train.

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
        super().__init__()
        self.x, self.n_frames, self.targets, self.recipe, self.rng = x, n_frames, targets, recipe, rng
        counts = targets.sum(0)
        self.class_weight = np.divide(len(x) / len(counts), counts, out=np.zeros_like(counts), where=counts > 0)
        self.on_epoch_begin()

    def __len__(self) -> int:
        return -(-len(self.x) // self.recipe.batch_size)

    def on_epoch_begin(self) -> None:
        self.order = np.arange(len(self.x)) if self.rng is None else self.rng.permutation(len(self.x))

    def __getitem__(self, index: int):
        rows = self.order[index * self.recipe.batch_size : (index + 1) * self.recipe.batch_size]
        x, n_frames, targets = self.x[rows], self.n_frames[rows], self.targets[rows]
        if self.rng is not None:
            x, n_frames, targets = augment(x, n_frames, targets, self.recipe, self.rng)
        # lengths in steps of 32 frames: few shapes, so the backend compiles few graphs
        longest = min(-(-int(n_frames.max()) // 32) * 32, x.shape[1])
        mask = (np.arange(longest) < n_frames[:, None]).astype(np.float32)
        return {"frames": x[:, :longest], "mask": mask}, targets, targets @ self.class_weight


def augment(
    x: np.ndarray, n_frames: np.ndarray, targets: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random tempo, masks (SpecAugment) and mixup of one batch; shapes stay."""
    x = x.copy()
    n_frames = n_frames.copy()
    for i in range(len(x)):
        if recipe.speed:
            x[i], n_frames[i] = _change_tempo(x[i], int(n_frames[i]), 1 + rng.uniform(-1, 1) * recipe.speed)
        for axis, size, share in ((0, int(n_frames[i]), recipe.time_mask), (1, x.shape[2], recipe.column_mask)):
            for _ in range(2):
                width = rng.integers(0, int(size * share) + 1)
                start = rng.integers(0, size - width + 1)
                np.moveaxis(x[i], axis, 0)[start : start + width] = 0
    if recipe.mixup:
        other = rng.permutation(len(x))
        share = rng.beta(recipe.mixup, recipe.mixup, size=len(x)).astype(np.float32)
        share = np.maximum(share, 1 - share)
        x = share[:, None, None] * x + (1 - share)[:, None, None] * x[other]
        targets = share[:, None] * targets + (1 - share)[:, None] * targets[other]
        n_frames = np.maximum(n_frames, n_frames[other])
    return x, n_frames, targets


def _change_tempo(x: np.ndarray, n_frames: int, factor: float) -> tuple[np.ndarray, int]:
    new = min(max(2, round(n_frames / factor)), len(x))
    positions = np.linspace(0, n_frames - 1, new)
    low = positions.astype(int)
    high = np.minimum(low + 1, n_frames - 1)
    share = (positions - low)[:, None]
    out = np.zeros_like(x)
    out[:new] = x[low] * (1 - share) + x[high] * share
    return out, new


class BestByUAR(keras.callbacks.Callback):
    """Validation UAR after each epoch: keeps the best weights, stops without progress, tells who waits."""

    def __init__(self, validation: Batches, recipe: Recipe, *, label: str) -> None:
        super().__init__()
        self.validation, self.recipe, self.label = validation, recipe, label
        self.best, self.best_epoch, self.weights, self.said = -1.0, 0, None, 0.0
        self.start = time.monotonic()
        self.history: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        uar = self.uar()
        self.history.append({"epoch": epoch + 1, "loss": float((logs or {}).get("loss", np.nan)), "val_uar": uar})
        if uar > self.best:
            self.best, self.best_epoch, self.weights = uar, epoch + 1, self.model.get_weights()
        elif epoch + 1 - self.best_epoch >= self.recipe.patience:
            self.model.stop_training = True
        self.tell(epoch + 1, uar)

    def uar(self) -> float:
        predicted = predict(self.model, self.validation).argmax(1)
        true = self.validation.targets.argmax(1)
        return float(recall_score(true, predicted, average="macro", labels=np.unique(true), zero_division=0))

    def tell(self, epoch: int, uar: float) -> None:
        now = time.monotonic()
        if now - self.said > 10 or epoch == self.recipe.epochs:
            left = (now - self.start) / epoch * (self.recipe.epochs - epoch)
            study.progress(
                f"{self.label}: epoch {epoch}/{self.recipe.epochs}, validation UAR {uar:.3f} "
                f"(best {self.best:.3f}), at most {study.duration(left)} left"
            )
            self.said = now

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.model.set_weights(self.weights)


def predict(model: keras.Model, batches: Batches) -> np.ndarray:
    """Class probabilities [shape=(n_clips, n_classes)] in the order of `batches`."""
    return np.concatenate(
        [keras.ops.convert_to_numpy(model.predict_on_batch(batches[i][0])) for i in range(len(batches))]
    )


@dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # clip_id, speaker, y_true, y_pred, p_<emotion>…
    history: pd.DataFrame = field(repr=False)  # epoch, loss, val_uar
    facts: dict[str, Any]  # n_train, n_validation, n_test, best_epoch, wall_s, n_parameters
    model: keras.Model | None = field(default=None, repr=False)


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
    normaliser = Normaliser.fit(experiment.frames, fold.train)
    splits.check_leaks(
        fold, experiment.manifest, fitted={"normaliser": normaliser.clip_ids}, allow=experiment.allow_leaks
    )
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
    best = BestByUAR(validation, experiment.recipe, label=label)
    net.fit(train, epochs=experiment.recipe.epochs, callbacks=[best], verbose=0, shuffle=False)
    facts = {
        "fold": fold.index,
        "seed": seed,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "best_epoch": best.best_epoch,
        "val_uar": best.best,
        "n_parameters": net.count_params(),
        "wall_s": time.monotonic() - start,
    }
    return FoldResult(_rows(experiment, fold, predict(net, test)), pd.DataFrame(best.history), facts, net)


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
    content = _content(experiment)
    work = functools.partial(_cached_fold, experiment=experiment, content=content, cache=cache)
    cells = [(fold, seed) for seed in seeds for fold in folds]
    return study.pmap(work, cells, desc=f"{experiment.name}: folds × seeds", jobs=jobs)


def _content(experiment: Experiment) -> str:
    data = hashlib.sha256(np.ascontiguousarray(experiment.frames.x).tobytes())
    data.update(experiment.frames.n_frames.tobytes())
    data.update("".join(experiment.manifest["clip_id"] + experiment.manifest["emotion"]).encode())
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
        "backend": [keras.backend.backend(), *study.environment("keras", "tensorflow", "numpy").values()][-3:],
    }
    return study.cached(cache, key, lambda: fit_fold(fold, seed, experiment), save=_save, load=_load)


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.history.to_csv(folder / "history.csv", index=False)
    pd.Series(result.facts).to_json(folder / "facts.json")
    result.model.save(folder / "model.keras")


def _load(folder: Path) -> FoldResult:
    facts = pd.read_json(folder / "facts.json", typ="series").to_dict()
    return FoldResult(pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "history.csv"), facts)


def predictions_table(results: Sequence[FoldResult], **constants: Any) -> pd.DataFrame:
    """One table of all folds and seeds; `constants` are the columns that every row shares (corpus, split, model…)."""
    parts = [r.predictions.assign(fold=int(r.facts["fold"]), seed=int(r.facts["seed"])) for r in results]
    return pd.concat(parts, ignore_index=True).assign(**constants)
