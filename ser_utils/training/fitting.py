"""The loop over epochs: AdamW, the best weights by validation UAR, predictions."""

from __future__ import annotations

import time

import keras
import numpy as np
from sklearn.metrics import recall_score

from ser_utils import study
from ser_utils.training.batches import Batches, Recipe


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
