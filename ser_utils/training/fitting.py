"""The loop over epochs: optimizer and rate, the best weights by validation UAR, predictions."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
from sklearn.metrics import recall_score

from ser_utils import models, study
from ser_utils.tracking import Log
from ser_utils.training.averaging import Averaging
from ser_utils.training.batches import Batches
from ser_utils.training.recipe import Recipe


class _Settings(NamedTuple):
    """What a compiled net depends on, besides its architecture."""

    optimizer: str
    weight_decay: float
    label_smoothing: float
    ema: float  # decay of the moving average of the weights; 0: none
    precision: str
    jit_compile: bool

    @classmethod
    def of(cls, recipe: Recipe) -> _Settings:
        """Those of a recipe; nets of recipes that differ elsewhere share a graph."""
        ema = recipe.average_decay if recipe.averaging == "ema" else 0.0
        common = recipe.weight_decay, recipe.label_smoothing, ema, recipe.precision, recipe.jit_compile
        return cls(recipe.optimizer, *common)


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

    Raises
    ------
    study.UserError
        For mixed precision where no GPU is.
    """
    if recipe.precision != "float32" and not has_gpu():
        raise study.UserError(
            f"precision {recipe.precision} needs a GPU and this machine shows none, where it would only be slower; "
            "set precision to float32 in the profile"
        )
    with _policy(recipe.precision):
        new = models.BUILDERS[model](n_columns, n_classes, **arguments)  # first: all draws follow from the seed
        options = json.dumps(dict(arguments), sort_keys=True)
        net = _compiled(model, options, n_columns, n_classes, _Settings.of(recipe))
    for old_layer, new_layer in zip(net.layers, new.layers, strict=True):
        for old, start in zip(old_layer.variables, new_layer.variables, strict=True):
            old.assign(start)
    for variable in net.optimizer.variables:
        variable.assign(keras.ops.zeros(variable.shape, dtype=variable.dtype))
    return net


@functools.lru_cache(maxsize=2)
def _compiled(model: str, options: str, n_columns: int, n_classes: int, settings: _Settings) -> keras.Model:
    net = models.BUILDERS[model](n_columns, n_classes, **json.loads(options))
    if settings.precision != "float32":
        net.layers[-1].dtype_policy = "float32"  # probabilities of 8 bits would not sum to one
    common: dict[str, Any] = {"global_clipnorm": 1.0}
    if settings.ema:
        common |= {"use_ema": True, "ema_momentum": settings.ema}
    if settings.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(0.0, weight_decay=settings.weight_decay, **common)
    else:
        optimizer = keras.optimizers.Adam(0.0, **common)
    optimizer.build(net.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=settings.jit_compile)
    return net


def has_gpu() -> bool:
    """Whether the backend of Keras sees a GPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Layers made inside compute in `precision`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def full_precision(net: keras.Model, model: str, arguments: Mapping[str, Any]) -> keras.Model:
    """The same net with layers that compute in float32: what is predicted with and saved."""
    made = models.BUILDERS[model](net.inputs[0].shape[-1], net.output_shape[-1], **arguments)
    made.set_weights(net.get_weights())
    return made


def learning_rate(step: int, recipe: Recipe, *, steps_per_epoch: int, halvings: int = 0) -> float:
    """Rate of one step: from a hundredth up to the peak over the warm-up, then down to zero along a cosine
    (Loshchilov & Hutter 2017, arXiv:1608.03983), or as many `halvings` down as there were plateaus.

    Examples
    --------
    >>> recipe = Recipe(epochs=5, learning_rate=0.01)
    >>> [round(learning_rate(step, recipe, steps_per_epoch=10), 4) for step in (0, 10, 30, 50)]
    [0.0001, 0.01, 0.005, 0.0]
    """
    peak, warm_up = recipe.learning_rate, recipe.warmup_epochs * steps_per_epoch
    if step < warm_up:
        return peak / 100 + (peak - peak / 100) * step / warm_up
    if recipe.schedule == "plateau":
        return peak / 2**halvings
    done = (step - warm_up) / max(1, (recipe.epochs - recipe.warmup_epochs) * steps_per_epoch)
    return peak * (1 + math.cos(math.pi * min(1.0, done))) / 2


class BestByUAR:
    """Validation UAR after each epoch: keeps the best weights, stops without progress, tells who waits.

    Without validation clips the last epoch counts as the best.
    """

    def __init__(self, net: keras.Model, validation: Batches | None, recipe: Recipe, *, label: str) -> None:
        self.net, self.validation, self.recipe, self.label = net, validation, recipe, label
        self.uar, self.epoch, self.weights = -1.0, 0, net.get_weights()
        self.halvings, self.halved = 0, 0  # of the rate; epoch of the last one
        self.start = self.said = time.monotonic()
        self.history: list[dict[str, float]] = []

    def update(self, epoch: int, loss: float, rate: float) -> bool:
        """Score `epoch` (1 …), whose last step was taken at `rate`; whether to go on."""
        uar = self._score()
        self.history.append({"epoch": epoch, "loss": loss, "val_uar": uar, "learning_rate": rate})
        if not self.validation or uar > self.uar:
            self.uar, self.epoch, self.weights = uar, epoch, self.net.get_weights()
        if epoch - max(self.epoch, self.halved) >= self.recipe.plateau_epochs:
            self.halvings, self.halved = self.halvings + 1, epoch
        self._tell(epoch, uar)
        waits = epoch - self.epoch < self.recipe.patience or self.recipe.averaging == "swa"
        return epoch < self.recipe.epochs and waits

    def _score(self) -> float:
        """Validation UAR; NaN where nobody validates."""
        if not self.validation:
            return math.nan
        true = self.validation.targets.argmax(1)
        predicted = predict(self.net, self.validation).argmax(1)
        return float(recall_score(true, predicted, average="macro", labels=np.unique(true), zero_division=0))

    def _tell(self, epoch: int, uar: float, *, every_s: float = 10.0) -> None:
        now = time.monotonic()
        if epoch == 1:  # most of it is the building of graphs: it says nothing about the next ones
            self.start = now
        elif now - self.said > every_s:
            left = (now - self.start) / (epoch - 1) * (self.recipe.epochs - epoch)
            study.progress(
                f"{self.label}: epoch {epoch}/{self.recipe.epochs}, "
                + (f"validation UAR {uar:.3f} (best {self.uar:.3f}), " if self.validation else "")
                + f"at most {study.duration(left)} left in this fold"
            )
            self.said = now


def fit(
    net: keras.Model, train: Batches, validation: Batches | None, recipe: Recipe, *, label: str, log: Log | None = None
) -> BestByUAR:
    """Train `net` and leave it with the weights that had the best validation UAR, or else the last ones.

    Parameters
    ----------
    net : keras.Model
        From :func:`fresh_net` with this recipe.
    train : Batches
    validation : Batches or None
        Without them no epoch is chosen and none is left out.
    recipe : Recipe
        Not of the schedule ``plateau``, which waits for validation, where there is none.
    label : str
        What the progress line says.
    log : callable, optional
        Takes the epoch and, by name, its loss, validation UAR and rate.
    """
    best, averaging = BestByUAR(net, validation, recipe, label=label), Averaging(net, recipe)
    step, steps_per_epoch = 0, len(train)
    for epoch in range(1, recipe.epochs + 1):
        net.reset_metrics()  # the loss that Keras returns is the mean since then
        loss = rate = math.nan
        for x, y, weight in _ahead(train):
            rate = learning_rate(step, recipe, steps_per_epoch=steps_per_epoch, halvings=best.halvings)
            net.optimizer.learning_rate = rate
            loss = float(net.train_on_batch(x, y, sample_weight=weight))
            step += 1
        with averaging.applied(epoch):
            goes_on = best.update(epoch, loss, rate)
        if log:
            log(**best.history[-1])
        if not goes_on:
            break
    net.set_weights(best.weights)
    return best


def _ahead(batches: Batches) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
    """The same batches in the same order, each made in a thread while the net learns from the one before."""
    with ThreadPoolExecutor(1) as thread:
        made = iter(batches)
        coming = thread.submit(next, made, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, made, None)
            yield batch


def predict(net: keras.Model, batches: Batches) -> np.ndarray:
    """Class probabilities [shape=(n_clips, n_classes)] in the order of `batches`."""
    return np.concatenate([keras.ops.convert_to_numpy(net.predict_on_batch(x)) for x, _, _ in batches])


def body_weights(net: keras.Model) -> list[np.ndarray]:
    """Weights of every layer but the last, which knows the classes."""
    return [keras.ops.convert_to_numpy(weight) for layer in net.layers[:-1] for weight in layer.weights]


def start_from(net: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Put :func:`body_weights` of a net of the same kind into `net`, whose last layer stays as it is."""
    for weight, value in zip((w for layer in net.layers[:-1] for w in layer.weights), weights, strict=True):
        weight.assign(value)
