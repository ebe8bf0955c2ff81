"""Averages of the weights of a net over epochs or steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from ser_utils import study
from ser_utils.training.recipe import Recipe


class Averaging:
    """Puts averaged weights into a net while an epoch is scored; see :class:`Recipe` for the kinds.

    Parameters
    ----------
    net : keras.Model
        Compiled by :func:`fresh_net` with the same recipe: under ``ema`` its optimizer keeps the average.
    recipe : Recipe

    Raises
    ------
    study.UserError
        For ``swa`` of a net with batch normalisation: its statistics would be those of no net.
    """

    def __init__(self, net: keras.Model, recipe: Recipe) -> None:
        self.net, self.kind = net, recipe.averaging
        self.first = recipe.epochs - round(recipe.average_share * (recipe.epochs - 1))
        self.mean, self.count = [], 0
        if self.kind == "swa" and any("moving_variance" in variable.path for variable in net.variables):
            raise study.UserError(
                f"averaging swa does not fit {net.name}, whose batch normalisation keeps statistics of single epochs; "
                "use ema or none"
            )

    @contextlib.contextmanager
    def applied(self, epoch: int) -> Iterator[None]:
        """The net holds averaged weights inside the block, and those it trains on with after it."""
        if self.kind == "none" or (self.kind == "swa" and epoch < self.first):
            yield
            return
        weights = self.net.get_weights()
        if self.kind == "ema":
            self.net.optimizer.finalize_variable_values(self.net.trainable_variables)
        else:
            self._add(weights)
            self.net.set_weights(self.mean)
        yield
        self.net.set_weights(weights)

    def _add(self, weights: list) -> None:
        self.count += 1
        before = self.mean or weights
        self.mean = [mean + (new - mean) / self.count for mean, new in zip(before, weights, strict=True)]
