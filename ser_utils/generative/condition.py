"""What generators are told: the embedding of a clip or of an emotion, by a net that knows training speakers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from ser_utils.features import Frames
from ser_utils.generative.gate import Origin, weights_hash
from ser_utils.generative.mel import valid
from ser_utils.splits import Fold
from ser_utils.training.batches import Normaliser
from ser_utils.training.folds import FoldResult, load_model

BATCH = 32


@dataclass(frozen=True)
class Listener:
    """A trained classifier that can also embed: the conditioner, or an evaluator.

    Attributes
    ----------
    net : keras.Model
        Probabilities.
    body : keras.Model
        What the last layer reads.
    normaliser : Normaliser
    labels : tuple of str
    origin : Origin
    """

    net: keras.Model = field(repr=False)
    body: keras.Model = field(repr=False)
    normaliser: Normaliser = field(repr=False)
    labels: tuple[str, ...]
    origin: Origin

    @classmethod
    def of(cls, result: FoldResult, fold: Fold, *, role: str, architecture: str, labels: tuple[str, ...]) -> Listener:
        """From what training left of a fold; it has heard the clips that train and those that chose its epoch."""
        net = load_model(result)
        heard = (*fold.train.tolist(), *fold.validation.tolist())
        origin = Origin(role, architecture, f"seed {int(result.facts['seed'])}", weights_hash(net.get_weights()), heard)
        body = keras.Model(net.inputs, net.layers[-1].input)
        return cls(net, body, result.normaliser, labels, origin)

    def probabilities(self, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        """Of every emotion [shape=(n_clips, n_labels)], for spectrograms in dB."""
        return self._run(self.net, x, n_frames)

    def embed(self, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        """Vectors [shape=(n_clips, n_columns)] of spectrograms in dB."""
        return self._run(self.body, x, n_frames)

    def _run(self, net: keras.Model, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        parts = []
        for at in range(0, len(x), BATCH):
            rows = slice(at, at + BATCH)
            given = self.normaliser.apply(x[rows], n_frames[rows])
            given, mask, n = _filled(given), _filled(valid(n_frames[rows], x.shape[1])), len(given)
            parts.append(keras.ops.convert_to_numpy(net.predict_on_batch([given, mask]))[:n])
        return np.concatenate(parts)


def _filled(values: np.ndarray) -> np.ndarray:
    """Up to a whole batch, so that one graph serves all: the last clip again."""
    return np.concatenate([values, np.repeat(values[-1:], BATCH - len(values), axis=0)])


@dataclass(frozen=True)
class Condition:
    """Embeddings on one scale.

    Attributes
    ----------
    listener : Listener
    mean, deviation : np.ndarray [shape=(n_columns,)]
        Of the training clips.
    prototypes : np.ndarray [shape=(n_labels, n_columns)]
        Mean embedding of each emotion's training clips.
    """

    listener: Listener
    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)
    prototypes: np.ndarray = field(repr=False)

    @classmethod
    def fit(cls, listener: Listener, frames: Frames, emotions: Mapping[str, str], train: np.ndarray) -> Condition:
        """Scale and prototypes of the clips `train`.

        Parameters
        ----------
        listener : Listener
        frames : Frames
            dB.
        emotions : mapping
            Clip id → emotion.
        train : np.ndarray [shape=(n_clips,)]
            Clip ids.
        """
        rows = frames.rows(train)
        x = listener.embed(frames.x[rows], frames.n_frames[rows])
        mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-3
        labels = np.array([emotions[clip] for clip in train])
        scaled = (x - mean) / deviation
        known = [scaled[labels == label] for label in listener.labels]
        nothing = np.zeros_like(mean)
        prototypes = np.stack([part.mean(axis=0) if len(part) else nothing for part in known])
        return cls(listener, mean, deviation, prototypes.astype(np.float32))

    def own(self, x: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
        """Embeddings of spectrograms in dB; no label is asked for."""
        return ((self.listener.embed(x, n_frames) - self.mean) / self.deviation).astype(np.float32)

    def facts(self) -> dict[str, Any]:
        """What a generator depends on, for the key of its artefact."""
        return {"conditioner": self.listener.origin.weights, "labels": self.listener.labels}
