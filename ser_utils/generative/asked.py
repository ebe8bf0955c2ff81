"""What the world of a fold is asked: does training on what it makes help, does enhancing what is tested help, who says
so, and how near is what is made to what is real?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from ser_utils.features import Frames
from ser_utils.generative.condition import Listener
from ser_utils.generative.diffusion import Told
from ser_utils.generative.gate import check_judge
from ser_utils.generative.makers import histories, untrained
from ser_utils.generative.measures import cepstral_distortion, frechet, main_axes, melody, nearest
from ser_utils.generative.mel import to_audio
from ser_utils.generative.patches import Sound
from ser_utils.generative.vae import masked_error
from ser_utils.generative.worlds import CLASSICAL, World, classical, classifier, generated, targets

AXES = 8  # of the embeddings that distances are taken along
PATCHES = 20  # training patches per component: fewer make components worse, more hardly better
TOLD = {"own": "what the conditioner hears in the clip", "label": "the emotion that was spoken"}
Table = tuple[pd.DataFrame, Frames]


@dataclass(frozen=True)
class Answers:
    """Tables of one world; each can be added to those of others.

    Attributes
    ----------
    regimes : pd.DataFrame
        Predictions of test clips by evaluators of every training regime.
    enhanced : pd.DataFrame
        Predictions of test clips as they are, and after every kind: by `judge`, with the generator told by `told`.
    recognised : pd.DataFrame
        Predictions of generated clips by the evaluator; ``y_true`` is what was asked for.
    measures : pd.DataFrame
        ``kind, measure, value``.
    costs : pd.DataFrame
        ``kind, measure, value``: seconds.
    histories : pd.DataFrame
        Validation losses of the generators.
    samples : dict of str to np.ndarray
        Spectrograms in dB for figures.
    """

    regimes: pd.DataFrame
    enhanced: pd.DataFrame
    recognised: pd.DataFrame
    measures: pd.DataFrame
    costs: pd.DataFrame
    histories: pd.DataFrame
    samples: dict[str, np.ndarray]

    def save(self, folder: Path) -> None:
        """Write every table into a folder."""
        for name, value in vars(self).items():
            if name == "samples":
                np.savez(folder / "samples.npz", **value)
            else:
                value.to_parquet(folder / f"{name}.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> Answers:
        """Read what :meth:`save` wrote."""
        names = [name for name in cls.__dataclass_fields__ if name != "samples"]
        with np.load(folder / "samples.npz") as stored:
            samples = {name: stored[name] for name in stored.files}
        return cls(*(pd.read_parquet(folder / f"{name}.parquet") for name in names), samples)


def ask(world: World) -> Answers:
    """Everything that is asked of a world."""
    sets = {kind: generated(world, kind) for kind in world.case.settings.kinds}
    tables = {kind: (table, frames) for kind, (table, frames, _) in sets.items()}
    costs = [(kind, "seconds per clip", seconds) for kind, (_, _, seconds) in sets.items()]
    costs += [(name, "training seconds", float(a.facts["seconds"])) for name, a in world.makers.artefacts.items()]
    costs += [(name, "weights", float(a.facts["parameters"])) for name, a in world.makers.artefacts.items()]
    return Answers(
        regimes(world, tables),
        enhanced(world),
        recognised(world, tables),
        _rows(measured(world, tables)),
        _rows(costs),
        histories(world.makers),
        samples(world, tables),
    )


def _rows(values: Sequence[tuple[str, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["kind", "measure", "value"])


# --- training on it ------------------------------------------------------------------------------------------------


def regimes(world: World, tables: dict[str, Table]) -> pd.DataFrame:
    """Predictions of real test clips by the evaluator's architecture, trained on each mixture; equal steps for all."""
    case = world.case
    found = [world.real.predictions.assign(train_regime="real")]
    for name, more in {CLASSICAL: classical(case), **tables}.items():
        ways = {f"real+{name}": False} | ({} if name == CLASSICAL else {name: True})
        for regime, only in ways.items():
            label = f"{case.name} fold {case.fold.index + 1}, {regime}"
            result = classifier(case, case.settings.evaluator, label, more=more, only=only)
            found.append(result.predictions.assign(train_regime=regime))
    return pd.concat(found, ignore_index=True)


# --- enhancing what is tested ----------------------------------------------------------------------------------------


def enhanced(world: World) -> pd.DataFrame:
    """Predictions of test clips, as they are and enhanced; ``kind`` (empty: as they are), ``told``, ``judge``.

    The honest answer is that of the evaluator to clips whose generator was told what the conditioner hears in them. The
    circular one is that of the conditioner to clips whose generator was told what they should be.
    """
    case, test, parts = world.case, world.test, []
    wanted = {"own": test.own, "label": world.condition.prototypes[test.emotions]}
    as_is = world.decibels(test.x, test.n_frames)
    for kind, told in [("", ""), *((kind, told) for kind in case.settings.kinds for told in TOLD)]:
        x = world.make(kind, test, wanted[told], seed=2)[0] if kind else as_is
        for judge in (world.evaluator, world.conditioner):
            circular = judge is world.conditioner and kind
            check_judge(judge.origin, world.origins(kind) if kind else [], allow=("judge",) if circular else ())
            rows = predictions(judge, x, test, case.labels, case.labels_of(test.emotions), world)
            parts.append(rows.assign(kind=kind, told=told, judge=judge.origin.role, model=judge.origin.architecture))
    return pd.concat(parts, ignore_index=True)


def predictions(
    judge: Listener, x: np.ndarray, sound: Sound, labels: Sequence[str], truth: np.ndarray, world: World
) -> pd.DataFrame:
    """Answers of a judge to spectrograms in dB; speakers are those of the clips of `sound`."""
    probabilities = judge.probabilities(x, sound.n_frames)
    speakers = world.case.manifest.set_index("clip_id")["speaker"].loc[sound.clip_ids].to_numpy()
    known = {"clip_id": sound.clip_ids, "speaker": speakers, "y_true": truth}
    table = pd.DataFrame(known | {"y_pred": np.array(labels)[probabilities.argmax(1)]})
    return table.assign(**{f"p_{label}": probabilities[:, i] for i, label in enumerate(labels)})


def recognised(world: World, tables: dict[str, Table]) -> pd.DataFrame:
    """Whether the evaluator, who has no hand in them, hears in generated clips what was asked for."""
    parts = []
    for kind, (table, frames) in tables.items():
        check_judge(world.evaluator.origin, world.origins(kind))
        truth = table["emotion"].to_numpy()
        rows = predictions(world.evaluator, frames.x, world.train, world.case.labels, truth, world)
        parts.append(rows.assign(clip_id=table["clip_id"].to_numpy(), kind=kind))
    return pd.concat(parts, ignore_index=True)


# --- how near it is --------------------------------------------------------------------------------------------------


def measured(world: World, tables: dict[str, Table]) -> list[tuple[str, str, float]]:
    """Measures of all kinds and of what they are compared with."""
    found = [*_coding(world)]
    real = Embedded(world)
    for kind, x in _compared(world, tables):
        found.append((kind, "Fréchet distance", real.distance(x)))
    for kind, (_, frames) in tables.items():
        near = nearest(real.of(frames.x), real.training, real.held_out)
        found += [(kind, "copies", near.copies), (kind, "spread", near.spread)]
        found += [(kind, "nearest training clip / of held-out clips", near.made / max(near.held_out, 1e-9))]
        found += [*_kept(world, kind, frames)]
    return found


class Embedded:
    """Clips along the main axes of the evaluator's embedding of real training clips, with unit deviation."""

    def __init__(self, world: World) -> None:
        self.world, self.aims = world, targets(world.case, world.train)
        sound = world.train
        raw = world.evaluator.embed(world.decibels(sound.x, sound.n_frames), sound.n_frames)
        self.mean, self.axes, self.deviation = main_axes(raw, AXES)
        self.training = self._along(raw)
        others = world.test
        self.held_out = self._along(world.evaluator.embed(world.decibels(others.x, others.n_frames), others.n_frames))

    def _along(self, raw: np.ndarray) -> np.ndarray:
        return (raw - self.mean) @ self.axes / self.deviation

    def of(self, x: np.ndarray) -> np.ndarray:
        """Spectrograms in dB, one for each training clip."""
        return self._along(self.world.evaluator.embed(x, self.world.train.n_frames))

    def distance(self, x: np.ndarray) -> float:
        """Mean Fréchet distance over the emotions that were asked for, to the real training clips of each."""
        made, emotions = self.of(x), self.world.train.emotions
        parts = [(made[self.aims == e], self.training[emotions == e]) for e in np.unique(emotions)]
        return float(np.mean([frechet(a, b) for a, b in parts if min(len(a), len(b)) >= 2]))


def _compared(world: World, tables: dict[str, Table]) -> Iterator[tuple[str, np.ndarray]]:
    """Spectrograms under the emotions that were asked for: made ones, and what they must be better than."""
    train, aims = world.train, targets(world.case, world.train)
    rng, mask = np.random.default_rng(world.case.seed), train.mask[:, :, None]
    yield "noise", world.decibels(rng.standard_normal(train.x.shape, dtype=np.float32) * mask, train.n_frames)
    means = np.stack([_mean(train, emotion) for emotion in range(len(world.case.labels))])
    yield "class mean", world.decibels(means[aims] * mask, train.n_frames)
    yield "the clips themselves", world.decibels(train.x, train.n_frames)
    for kind, (_, frames) in tables.items():
        yield kind, frames.x
    wanted = world.condition.prototypes[aims]
    with untrained(world.makers, seed=world.case.seed) as start:
        made = {kind: start.make(kind, train, train.own, wanted, seed=3)[0] for kind in tables}
    for kind, x in made.items():
        yield f"{kind}, untrained", world.decibels(x, train.n_frames)


def _mean(sound: Sound, emotion: int) -> np.ndarray:
    """Mean spectrogram of the clips of an emotion, frame by frame."""
    mine = sound.emotions == emotion
    count = np.maximum(sound.mask[mine].sum(axis=0), 1)
    return (sound.x[mine].sum(axis=0) / count[:, None]).astype(np.float32)


def _coding(world: World) -> Iterator[tuple[str, str, float]]:
    """Error of the autoencoder on clips of validation speakers, beside as many principal components of training patches
    as the latent of a patch has numbers."""
    if "vae" not in world.makers.nets:
        return
    settings, rng = world.case.settings, np.random.default_rng(4)
    coder, n = world.makers.nets["vae"], settings.vae_budget.patch_frames
    held = world.validation.fixed(n, batch=64, seed=1)
    n_frames = held.mask.sum(1).astype(int)
    z, _ = coder.encode(held.x[..., 0], n_frames, held.condition)
    again = coder.decode(z, n_frames, held.x.shape[1], held.condition)
    size = int(np.prod(z.shape[1:]))
    many = world.train.draw(rng, PATCHES * size, n).x
    flat = many.reshape(len(many), -1)
    parts = PCA(min(size, *flat.shape), svd_solver="randomized", iterated_power=4, random_state=0).fit(flat)
    linear = parts.inverse_transform(parts.transform(held.x.reshape(len(held.x), -1))).reshape(held.x.shape)
    yield "vae", "reconstruction error", masked_error(held.x, again[..., None], held.mask)
    yield "PCA of equal size", "reconstruction error", masked_error(held.x, linear, held.mask)
    yield "vae", "numbers per patch", float(size)


def _kept(world: World, kind: str, frames: Frames) -> Iterator[tuple[str, str, float]]:
    """What is left of the content: spectral envelope and F0, against the clip that each was made from."""
    train, spec = world.train, world.case.spec
    before = world.decibels(train.x, train.n_frames)
    few = np.linspace(0, len(train.x) - 1, min(world.case.settings.n_measured, len(train.x))).astype(int)
    pairs = [(before[i, : train.n_frames[i]], frames.x[i, : train.n_frames[i]]) for i in few]
    yield kind, "mel-cepstral distortion (dB)", float(np.mean([cepstral_distortion(*pair) for pair in pairs]))
    heard = [[to_audio(mel, spec, n_iter=16) for mel in pair] for pair in pairs[: world.case.settings.n_heard]]
    if not heard:
        return
    melodies = np.array([melody(*sounds, sr=spec.sr) for sounds in heard])
    known = ("F0 correlation", "F0 difference (semitones)", "voicing agreement")
    for name, column in zip(known, melodies.T, strict=True):
        yield kind, name, float(np.nanmean(column)) if np.isfinite(column).any() else float("nan")


def samples(world: World, tables: dict[str, Table]) -> dict[str, np.ndarray]:
    """Spectrograms for figures: of each emotion the first training clip that was asked to become it."""
    train, aims = world.train, targets(world.case, world.train)
    rows = np.array([np.flatnonzero(aims == e)[0] for e in np.unique(aims)])
    found = {"original": world.decibels(train.x[rows], train.n_frames[rows]), "n_frames": train.n_frames[rows]}
    found |= {kind: frames.x[rows] for kind, (_, frames) in tables.items()}
    found |= {"asked": aims[rows], "spoken": train.emotions[rows]}
    name = next((name for name in ("diffusion", "latent") if name in world.makers.nets), "")
    if name:
        settings, first = world.case.settings, rows[:1]
        told = Told(
            train.n_frames[first], world.condition.prototypes[aims[first]], train.x[first], train.n_frames[first]
        )
        how = {"steps": settings.steps, "guidance": settings.guidance}
        strip = world.makers.nets[name].trace(told, train.x.shape[1], np.random.default_rng(5), **how)
        found["strip"] = np.stack([world.decibels(x, train.n_frames[first])[0] for x in strip])
    return found
