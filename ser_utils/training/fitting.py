"""The loop over epochs: AdamW, the best weights by validation UAR, predictions."""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from sklearn.metrics import recall_score

from ser_utils import models, study
from ser_utils.training.batches import Batches, Recipe


def fresh_net(model: str, arguments: Mapping[str, Any], n_columns: int, n_classes: int, recipe: Recipe) -> keras.Model:
    """A compiled net with new weights; call :func:`study.seed_everything` first.

    A process makes each kind of net once and gives it new weights, a new optimizer state and new random states
    afterwards: its graph takes longer to make than a small net to train. The net is therefore the next call's, too.

    Parameters
    ----------
    model : str
        A key of :data:`models.BUILDERS`.
    arguments : mapping
        Its options.
    n_columns, n_classes : int
        Feature columns in, classes out.
    recipe : Recipe
    """
    new = models.BUILDERS[model](n_columns, n_classes, **arguments)  # first, so that all draws follow from the seed
    options = json.dumps(dict(arguments), sort_keys=True)
    net = _compiled(model, options, n_columns, n_classes, recipe.weight_decay, recipe.label_smoothing)
    for old_layer, new_layer in zip(net.layers, new.layers, strict=True):
        for old, start in zip(old_layer.variables, new_layer.variables, strict=True):
            old.assign(start)
    for variable in net.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    return net


@functools.lru_cache(maxsize=2)
def _compiled(
    model: str, options: str, n_columns: int, n_classes: int, weight_decay: float, label_smoothing: float
) -> keras.Model:
    """XLA is off, being slower on CPUs for these nets."""
    net = models.BUILDERS[model](n_columns, n_classes, **json.loads(options))
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=weight_decay, global_clipnorm=1.0)
    optimizer.build(net.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    return net


def learning_rate(step: int, recipe: Recipe, *, steps_per_epoch: int) -> float:
    """Rate of one step: from a hundredth up to the peak over the first epoch, then down to zero along a cosine
    (Loshchilov & Hutter 2017, arXiv:1608.03983).

    Examples
    --------
    >>> recipe = Recipe(epochs=5, learning_rate=0.01)
    >>> [round(learning_rate(step, recipe, steps_per_epoch=10), 4) for step in (0, 10, 30, 50)]
    [0.0001, 0.01, 0.005, 0.0]
    """
    peak = recipe.learning_rate
    if step < steps_per_epoch:
        return peak / 100 + (peak - peak / 100) * step / steps_per_epoch
    done = (step - steps_per_epoch) / max(1, (recipe.epochs - 1) * steps_per_epoch)
    return peak * (1 + math.cos(math.pi * min(1.0, done))) / 2


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
    step, steps_per_epoch = 0, len(train)
    for epoch in range(1, recipe.epochs + 1):
        net.reset_metrics()  # the loss that Keras returns is the mean since then
        loss = math.nan
        for x, y, weight in train:
            net.optimizer.learning_rate = learning_rate(step, recipe, steps_per_epoch=steps_per_epoch)
            loss = float(net.train_on_batch(x, y, sample_weight=weight))
            step += 1
        if not best.update(epoch, loss):
            break
    net.set_weights(best.weights)
    return best


def predict(net: keras.Model, batches: Batches) -> np.ndarray:
    """Class probabilities [shape=(n_clips, n_classes)] in the order of `batches`."""
    return np.concatenate([keras.ops.convert_to_numpy(net.predict_on_batch(x)) for x, _, _ in batches])
