"""Saving the best net of a kind, and loading it in another process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_utils import features, study
from ser_utils.corpora.base import Corpus
from ser_utils.features import Frames, FrameSpec
from ser_utils.saved import confidence
from ser_utils.saved.card import Card, path_of, read_card, seal

if TYPE_CHECKING:  # they import Keras
    import keras

    from ser_utils.training import FoldResult

ECHO_TOLERANCE = 1e-2  # share of a feature by which it may differ on another machine


@dataclass(frozen=True)
class SavedModel:
    """A net with everything that it takes to use it.

    Attributes
    ----------
    card : Card
    model : keras.Model
        ``{"frames": (batch, time, columns), "mask": (batch, time)}`` to probabilities; the normaliser is inside.
    """

    card: Card
    model: keras.Model = field(repr=False)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    @property
    def spec(self) -> FrameSpec:
        return self.card.spec

    @property
    def facts(self) -> dict[str, Any]:
        return dict(self.card.facts)

    def predict(self, frames: Frames) -> np.ndarray:
        """Class probabilities [shape=(n_clips, n_classes)] of features as :func:`features.extract` gives them."""
        from ser_utils import training

        nothing = np.zeros((len(frames.x), len(self.labels)), dtype=np.float32)
        return training.predict(self.model, training.Batches(frames.x, frames.n_frames, nothing, training.Recipe()))

    def hear(self, y: np.ndarray) -> dict[str, float]:
        """Probability of each emotion in one clip, treated as in training.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,)]
            Signal at ``spec.sr``; what exceeds ``spec.max_s`` is cut from both ends.
        """
        x, n_frames = features.frames(y, self.spec)
        probabilities = self.predict(Frames(x[None], np.array([n_frames]), np.array([""])))[0]
        return dict(zip(self.labels, probabilities.tolist(), strict=True))


def best(results: Sequence[FoldResult]) -> FoldResult:
    """The fold with the best validation UAR; the first of equal ones. Test clips never choose.

    Raises
    ------
    study.UserError
        Without a fold.
    """
    if not results:
        raise study.UserError("no fold was trained, so no net can be saved; train one or more")
    return max(results, key=lambda result: result.facts["val_uar"])


def save(
    results: FoldResult | Sequence[FoldResult],
    spec: FrameSpec,
    *,
    name: str,
    corpora: Corpus | Sequence[Corpus],
    labels: Sequence[str],
    uar: tuple[float, float, float],
    profile: str,
    split: str = "",
) -> Path:
    """Write a trained net with its preprocessing, labels and score into one file.

    No net is trained on all folds: what is kept is the net of one fold (:func:`best`), which has never heard that
    fold's test speakers, or the mean over the nets of several, which has never heard those that none of them heard.

    Parameters
    ----------
    results : FoldResult or sequence of FoldResult
        From :func:`training.cross_validate`.
    spec : FrameSpec
        Their features.
    name : str
        Small letters, digits, ``_ - + .``; an earlier net of that name is replaced.
    corpora : Corpus or sequence of Corpus
        What they were trained on.
    labels : sequence of str
        Emotion of each output.
    uar : tuple of float
        UAR on unseen speakers of nets made this way, over all folds, and both ends of its interval.
    profile : str
    split : str
        How clips were divided; default the first corpus's published way.

    Returns
    -------
    Path
        ``reports/<profile>/models/<name>.keras``.

    Raises
    ------
    study.UserError
        For a name that no file could have, labels or features that are not the net's, or a full disk.
    """
    results = list(results) if isinstance(results, Sequence) else [results]
    corpora = list(corpora) if isinstance(corpora, Sequence) else [corpora]
    target = path_of(name, profile)
    model, kinds = _joined(results, name)
    _check_fits(model, spec, labels)
    facts = {"model": "+".join(sorted(kinds)), "split": split or corpora[0].split}
    facts |= _training_facts(results) | _corpus_facts(corpora)
    if facts["split"] == "random" or any("speaker" in entry.leaks for entry in corpora):
        facts["unheard_speakers"] = []  # its test speakers are in training, too, or nobody knows them
    facts |= dict(zip(("uar", "uar_low", "uar_high"), map(float, uar), strict=True))
    told = confidence.facts([result.validation for result in results], labels)
    facts |= {"confidence": told} if told else {}
    facts |= {"n_parameters": int(model.count_params()), "weights_sha256": _weights_hash(model), **_code_facts()}
    card = Card(name, tuple(labels), spec, facts, _echo(spec))
    with study.atomic(target) as temporary:
        raw = temporary.with_name(f"raw{temporary.suffix}")
        model.save(raw)
        seal(raw, card, temporary)
    return target


def _joined(results: Sequence[FoldResult], name: str) -> tuple[keras.Model, set[str]]:
    """Normaliser and net of each fold behind the same inputs, the mean of several; and what nets they are."""
    import keras

    from ser_utils import training
    from ser_utils.saved.layers import Standardise

    n_columns = len(results[0].normaliser.mean)
    frames, mask = keras.Input((None, n_columns), name="frames"), keras.Input((None,), name="mask")
    outputs, kinds = [], set()
    for i, result in enumerate(results):
        net, normaliser = training.load_model(result), Standardise(name=f"normaliser_{i}")
        kinds.add(net.name)
        net.name = f"net_{i}"
        outputs.append(net([normaliser([frames, mask]), mask]))
        normaliser.set_weights([result.normaliser.mean, result.normaliser.std])
    output = outputs[0] if len(outputs) == 1 else keras.layers.Average(name="mean")(outputs)
    return keras.Model([frames, mask], output, name=name.replace("+", "_")), kinds


def _check_fits(model: keras.Model, spec: FrameSpec, labels: Sequence[str]) -> None:
    n_columns, n_classes = model.inputs[0].shape[-1], model.output_shape[-1]
    if len(spec.columns) != n_columns:
        raise study.UserError(
            f"the net takes {n_columns} columns, '{spec.kind}' gives {len(spec.columns)}; pass its own"
        )
    if len(labels) != n_classes:
        raise study.UserError(f"the net knows {n_classes} emotions, {len(labels)} labels are given; pass its own")


def _training_facts(results: Sequence[FoldResult]) -> dict[str, Any]:
    unheard = set.intersection(*(set(result.predictions["speaker"]) for result in results))
    return {
        "folds": [int(result.facts["fold"]) for result in results],
        "seeds": [int(result.facts["seed"]) for result in results],
        "val_uar": float(np.mean([result.facts["val_uar"] for result in results])),
        "n_train": int(results[0].facts["n_train"]),
        "unheard_speakers": sorted(unheard - {""}),
    }


def _corpus_facts(corpora: Sequence[Corpus]) -> dict[str, Any]:
    return {
        "corpus": "+".join(entry.name for entry in corpora),
        "corpus_version": "+".join(entry.version for entry in corpora),
        "language": ", ".join(sorted({entry.language for entry in corpora})),
        "licence": "; ".join(f"{entry.title}: {entry.licence}" for entry in corpora),
        "synthetic": any(entry.synthetic for entry in corpora),
    }


def _weights_hash(model: keras.Model) -> str:
    """The same for equal weights; that of the file is not, since Keras numbers its layers anew in each process."""
    found = hashlib.sha256()
    for weights in model.get_weights():
        found.update(f"{weights.dtype} {weights.shape}".encode())
        found.update(np.ascontiguousarray(weights))
    return found.hexdigest()


def _code_facts() -> dict[str, Any]:
    return {
        "commit": study.commit(),
        "code": study.code_version("saved"),
        "packages": study.versions("keras", "tensorflow", "numpy", "librosa"),
    }


def load(file: Path | str) -> SavedModel:
    """A net that :func:`save` wrote; nothing is unpickled.

    Raises
    ------
    study.UserError
        When the file is missing, altered, or made for features that this code computes otherwise.
    """
    file = Path(file)
    card = read_card(file)
    now = _echo(card.spec)
    if not np.allclose(now, card.echo, rtol=ECHO_TOLERANCE, atol=1e-4):
        column = card.spec.columns[int(np.abs(np.subtract(now, card.echo)).argmax())]
        raise study.UserError(
            f"{file} was trained on features that are now computed otherwise ({column} differs most); train it again, "
            f"or use it with the code of commit {card.facts['commit']}"
        )
    import keras

    from ser_utils import models  # noqa: F401 - registers the layers of all nets
    from ser_utils.saved import layers  # noqa: F401 - … and the normaliser

    return SavedModel(card, keras.saving.load_model(file, compile=False, safe_mode=True))


def _echo(spec: FrameSpec) -> tuple[float, ...]:
    """Root mean square of each feature of a known sound: a second of a falling, voice-like tone over a little hiss."""
    seconds = np.arange(spec.sr) / spec.sr
    phase = 2 * np.pi * (180 * seconds - 25 * seconds**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 12)) * np.sin(np.pi * seconds)
    hiss = np.sin(1e6 * seconds**2)
    x, n_frames = features.frames((0.1 * tone + 1e-3 * hiss).astype(np.float32), spec)
    return tuple(np.sqrt(np.square(x[:n_frames], dtype=np.float64).mean(axis=0)).round(6).tolist())
