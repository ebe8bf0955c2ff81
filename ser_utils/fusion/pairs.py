"""Sound and text of the same clips: what an experiment holds, and the batches that a net is fed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import splits, study
from ser_utils.features import Frames, Table
from ser_utils.fusion.nets import BUILDERS
from ser_utils.splits import Fold
from ser_utils.training import Normaliser, Recipe

RECIPE = Recipe(epochs=40, patience=10, batch_size=32, learning_rate=1e-3, label_smoothing=0.0)
CONDITIONS = {  # of the test clips; training never sees wrong texts
    "clean": "as recorded",
    "text=missing": "the mask says that there is no text",
    "audio=missing": "the mask says that there is no sound",
    "text=shuffled": "each clip has the text of another test clip, drawn by chance",
}
SHUFFLED = "shuffled_text"  # training regime of nets that never saw a right text


@dataclass(frozen=True)
class Experiment:
    """One net on one corpus: everything that a fold needs and that its artefact depends on.

    Attributes
    ----------
    name : str
        E.g. ``"demo"``.
    manifest : pd.DataFrame
        ``clip_id, speaker, emotion, sha256``; ``parent`` and ``noise_id`` where some are augmented.
    audio, text : Table or Frames
        Of all its clips: one vector per clip, or a sequence.
    labels : tuple of str
        Emotions, in the order of the probabilities.
    model : str
        A key of :data:`BUILDERS`.
    model_arguments : mapping
        Its options.
    recipe : Recipe
        ``augmentation`` and ``balance`` other than weights are not used.
    modality_dropout : float
        Share of the training clips that lose one modality, in each pass another one; in [0, 1).
    shuffle_text : bool
        Every clip has the text of another clip of its part, in training as well: what fusion gains without words.
    allow_leaks : tuple of str
        Kinds of leak that the split has by its nature.
    """

    name: str
    manifest: pd.DataFrame = field(repr=False)
    audio: Table | Frames = field(repr=False)
    text: Table | Frames = field(repr=False)
    labels: tuple[str, ...]
    model: str
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = RECIPE
    modality_dropout: float = 0.2
    shuffle_text: bool = False
    allow_leaks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        study.check_range(self, "at least 0 and below 1", lambda value: 0 <= value < 1, "modality_dropout")
        if self.model not in BUILDERS:
            raise study.UserError(f"fusion net '{self.model}' is unknown; use one of {', '.join(BUILDERS)}")
        for name in sorted(set(self.manifest["emotion"]) - set(self.labels)):
            raise study.UserError(
                f"emotion '{name}' is not among the labels {', '.join(self.labels)}; add it, or leave it out"
            )

    @property
    def conditions(self) -> list[str]:
        """Those of :data:`CONDITIONS` that can change an answer and leave something to answer from."""
        blind = {"audio_only": ("audio", "text"), "text_only": ("audio", "text=missing")}.get(self.model, ())
        return [name for name in CONDITIONS if not blind or not name.startswith(blind)]


def sequences(given: Table | Frames) -> Frames:
    """Features as sequences: one vector per clip is a sequence of one step."""
    if isinstance(given, Frames):
        return given
    return Frames(given.x[:, None, :], np.ones(len(given.x), dtype=np.int32), given.clip_ids)


def fit_normalisers(fold: Fold, experiment: Experiment) -> dict[str, Normaliser]:
    """Statistics of sound and text over the training clips, once the leak gate has let the fold pass.

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        When no clip trains, validates or is tested.
    """
    splits.check_filled(fold, *splits.OFFICIAL)
    made = {
        name: Normaliser.fit(sequences(given), fold.train)
        for name, given in (("audio", experiment.audio), ("text", experiment.text))
    }
    fitted = {f"normaliser of the {name}": found.clip_ids for name, found in made.items()}
    splits.check_leaks(fold, experiment.manifest, fitted=fitted, allow=experiment.allow_leaks)
    return made


def content(experiment: Experiment) -> str:
    """Hash of everything that a fold is computed from."""
    data = hashlib.sha256()
    for frames in map(sequences, (experiment.audio, experiment.text)):
        data.update(np.ascontiguousarray(frames.x).data)
        data.update(frames.n_frames.tobytes())
        data.update("\n".join(frames.clip_ids).encode())
    for column in ("clip_id", "emotion", "speaker", "sha256"):
        data.update("\n".join(experiment.manifest[column]).encode())
    return data.hexdigest()


class Pairs:
    """Batches of sound and text; shuffled, and without one of the two now and then, for training.

    A clip weighs the more, the rarer its class: all classes weigh the same in sum.

    Parameters
    ----------
    experiment : Experiment
    normalisers : mapping
        From :func:`fit_normalisers`.
    clip_ids : np.ndarray [shape=(n_clips,)]
    texts_of : np.ndarray [shape=(n_clips,)], optional
        Clips whose text each one has; its own when not given.
    missing : str
        ``audio``, ``text`` or nothing.
    rng : np.random.Generator, optional
        For training: draws order and missing modalities. Without one, order is kept and nothing is dropped.
    """

    def __init__(
        self,
        experiment: Experiment,
        normalisers: Mapping[str, Normaliser],
        clip_ids: np.ndarray,
        *,
        texts_of: np.ndarray | None = None,
        missing: str = "",
        rng: np.random.Generator | None = None,
    ) -> None:
        emotion = experiment.manifest.set_index("clip_id")["emotion"].loc[clip_ids].to_numpy()
        self.targets = (emotion[:, None] == np.array(experiment.labels)).astype(np.float32)
        given = {"audio": (experiment.audio, clip_ids), "text": (experiment.text, clip_ids)}
        if texts_of is not None:
            given["text"] = experiment.text, texts_of
        self.inputs = []
        for name, (features, ids) in given.items():
            x, mask = _standardised(sequences(features), normalisers[name], ids)
            self.inputs += [x, mask * (name != missing)]
        self.rng, self.dropout, self.batch_size = rng, experiment.modality_dropout, experiment.recipe.batch_size
        counts = self.targets.sum(0)
        size = len(self.targets) / len(counts)
        self.class_weight = np.divide(size, counts, out=np.zeros_like(counts), where=counts > 0)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
        """One pass: ([audio, audio mask, text, text mask], targets, weight per clip)."""
        n_clips = len(self.targets)
        order = np.arange(n_clips) if self.rng is None else self.rng.permutation(n_clips)
        for start in range(0, n_clips, self.batch_size):
            rows = order[start : start + self.batch_size]
            audio, audio_mask, text, text_mask = (given[rows] for given in self.inputs)
            if self.rng is not None:
                lost = self.rng.random(len(rows)) < self.dropout
                which = self.rng.random(len(rows)) < 0.5
                audio_mask = audio_mask * ~(lost & which)[:, None]
                text_mask = text_mask * ~(lost & ~which)[:, None]
            yield [audio, audio_mask, text, text_mask], self.targets[rows], self.targets[rows] @ self.class_weight


def _standardised(frames: Frames, normaliser: Normaliser, clip_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = frames.rows(clip_ids)
    n_steps = frames.n_frames[rows]
    x = normaliser.apply(np.asarray(frames.x[rows]), n_steps)
    return x, (np.arange(x.shape[1]) < n_steps[:, None]).astype(np.float32)
