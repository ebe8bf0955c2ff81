"""Linear models on frozen embeddings: which layer tells most, how many speakers are needed, what noise leaves.

An encoder and a set of acoustic features are treated alike, as a :class:`Source`: what an encoder is worth shows beside
features that nobody trained. Layers and settings are chosen by inner folds of the training speakers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ser_utils import classic, denoise, evaluation, features, noise, pretrained, study
from ser_utils.classic import FoldResult
from ser_utils.features import Table
from ser_utils.noise import Condition
from ser_utils.splits import Fold

MODEL = "logistic"
PICKED = "picked"  # stands for the layer in names of features where every fold has picked its own
NOISY = "noisy"  # training regime with noisy copies


@dataclass(frozen=True)
class Source:
    """What turns clips into rows of numbers.

    Attributes
    ----------
    name : str
        An encoder, as :func:`ser_utils.pretrained.entry` takes it, or one of :data:`ser_utils.features.TABLES`.
    pooling : str
        Of an encoder: one of :data:`ser_utils.pretrained.POOLINGS`.
    """

    name: str
    pooling: str = "mean_plus_max_std"

    @property
    def is_encoder(self) -> bool:
        return self.name not in features.TABLES

    @property
    def not_run(self) -> str:
        """Why it cannot be used, and what changes that; empty where it is ready."""
        return pretrained.not_run(self.name) if self.is_encoder else features.not_run(self.name)

    def words(self, layer: str = PICKED) -> str:
        """What the column ``features`` of predictions says.

        Examples
        --------
        >>> Source("byol_s").words("conv3"), Source("egemaps").words()
        ('byol_s:conv3:mean_plus_max_std', 'egemaps')
        """
        return f"{Path(self.name).name}:{layer}:{self.pooling}".lower() if self.is_encoder else self.name

    def tables(self, manifest: pd.DataFrame, root: Path, profile: str) -> dict[str, Table]:
        """Layer → one row per clip; acoustic features are one layer of their own name."""
        derived = study.paths(profile).derived
        if not self.is_encoder:
            return {self.name: features.extract_table(manifest, root, self.name, cache=derived / "features")}
        found = pretrained.embed(manifest, root, self.name, pooling=self.pooling, cache=derived / "embeddings")
        return {layer: found.table(layer) for layer in found.layers}


@dataclass(frozen=True)
class Bench:
    """One corpus on which sources are compared.

    Attributes
    ----------
    manifest : pd.DataFrame
        Its usable clips.
    root : Path
        Folder that their paths are relative to.
    folds : sequence of Fold
    labels : tuple of str
    profile : str
    allow : collection of str
        Kinds of leak that the split has by its nature.
    n_inner : int
        Inner folds that choose layer and setting.
    seed : int
    """

    manifest: pd.DataFrame = field(repr=False)
    root: Path
    folds: Sequence[Fold] = field(repr=False)
    labels: tuple[str, ...]
    profile: str
    allow: Collection[str] = ()
    n_inner: int = 2
    seed: int = 0

    def fit(self, table: Table, words: str, *, tune: bool = True) -> list[FoldResult]:
        """Logistic regression on every fold; finished folds come from the cache."""
        return classic.cross_validate(
            table,
            self.manifest,
            self.folds,
            self.labels,
            models=[MODEL],
            features=words,
            tune=tune,
            n_inner=self.n_inner,
            seed=self.seed,
            cache=study.paths(self.profile).derived / "classic",
            allow=self.allow,
        )


# --- layers -------------------------------------------------------------------------------------------------------


def by_layer(source: Source, bench: Bench) -> dict[str, list[FoldResult]]:
    """Every layer of a source on every fold of a bench.

    Raises
    ------
    study.UserError
        When the source cannot be used, see :attr:`Source.not_run`.
    """
    tables = source.tables(bench.manifest, bench.root, bench.profile)
    return {layer: bench.fit(table, source.words(layer)) for layer, table in tables.items()}


def pick(found: Mapping[str, Sequence[FoldResult]], source: Source) -> list[FoldResult]:
    """Of each fold the result of the layer with the best UAR over its inner folds; of equal ones the first layer.

    Test clips choose nothing: another fold may pick another layer. ``facts["layer"]`` says which.
    """
    picked = []
    for results in zip(*found.values(), strict=True):
        layer, best = max(zip(found, results, strict=True), key=lambda pair: pair[1].facts["inner_uar"])
        picked.append(dataclasses.replace(best, facts=best.facts | {"features": source.words(), "layer": layer}))
    return picked


def curve(found: Mapping[str, Sequence[FoldResult]], source: Source) -> pd.DataFrame:
    """One row per layer: ``layer``, ``inner_uar`` (mean over folds: what chooses), ``uar`` (of all test clips: what
    does not) and ``picked``, the number of folds that chose it.
    """
    chosen = [result.facts["layer"] for result in pick(found, source)]
    rows = []
    for layer, results in found.items():
        answers = pd.concat([result.predictions for result in results])
        inner = float(np.mean([result.facts["inner_uar"] for result in results]))
        uar = evaluation.uar(answers["y_true"], answers["y_pred"])
        rows.append({"layer": layer, "inner_uar": inner, "uar": uar, "picked": chosen.count(layer)})
    return pd.DataFrame(rows)


def with_heard(board: pd.DataFrame, sources: Sequence[Source]) -> pd.DataFrame:
    """A board of scores with column ``heard``: whether the encoder has heard the corpus in its own training.

    Parameters
    ----------
    board : pd.DataFrame
        ``corpus, features``; features begin with the name of the encoder, see :meth:`Source.words`.
    sources : sequence of Source
    """
    known = {source.words().partition(":")[0]: source.name for source in sources if source.is_encoder}
    names = board["features"].str.partition(":")[0].map(known)
    heard = [
        pretrained.heard(name, corpus) if isinstance(name, str) else "no"
        for name, corpus in zip(names, board["corpus"], strict=True)
    ]
    return board.assign(heard=heard)


# --- neighbours ---------------------------------------------------------------------------------------------------


def neighbours(x: np.ndarray, groups: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How often the nearest other clip, by cosine of standardised rows, is of the same group.

    Parameters
    ----------
    x : np.ndarray [shape=(n_clips, n_columns)]
    groups : mapping of str to np.ndarray [shape=(n_clips,)]
        E.g. ``{"emotion": …, "speaker": …}``.

    Returns
    -------
    dict of float
        0 … 1 for each of `groups`.

    Examples
    --------
    >>> neighbours(np.array([[0.0, 1], [0, 2], [9, 1], [9, 2]]), {"a": np.array([0, 0, 1, 1])})
    {'a': 1.0}
    """
    rows = _standardised(x)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    likeness = rows @ rows.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = likeness.argmax(axis=1)
    return {name: float((group == group[nearest]).mean()) for name, group in groups.items()}


def projection(x: np.ndarray, *, n_components: int = 30, seed: int = 0) -> np.ndarray:
    """Rows in two dimensions: standardised, principal components, then t-SNE, which keeps neighbours together.

    Parameters
    ----------
    x : np.ndarray [shape=(n_clips, n_columns)]
        5 rows or more.
    n_components : int
        Principal components that t-SNE sees.
    seed : int

    Returns
    -------
    np.ndarray [shape=(n_clips, 2)]

    References
    ----------
    van der Maaten & Hinton: Visualizing data using t-SNE. JMLR 9, 2579-2605, 2008.
    """
    rows = PCA(min(n_components, *x.shape), random_state=seed).fit_transform(_standardised(x))
    return TSNE(init="pca", perplexity=min(30.0, len(rows) / 4), random_state=seed).fit_transform(rows)


def _standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6)


# --- few speakers -------------------------------------------------------------------------------------------------


def scarce(source: Source, layers: Sequence[str], bench: Bench, counts: Sequence[int]) -> pd.DataFrame:
    """Predictions after training on few speakers, with default settings; ``train_regime`` is ``speakers_<n>``.

    Parameters
    ----------
    source : Source
    layers : sequence of str
        Of each fold the layer, from :func:`pick`.
    bench : Bench
    counts : sequence of int
        Numbers of training speakers, see :func:`few_speakers`.
    """
    tables = source.tables(bench.manifest, bench.root, bench.profile)
    parts = [
        _per_layer(few_speakers(bench, n), layers, tables, source).assign(train_regime=f"speakers_{n}") for n in counts
    ]
    return pd.concat(parts, ignore_index=True)


def _per_layer(bench: Bench, layers: Sequence[str], tables: Mapping[str, Table], source: Source) -> pd.DataFrame:
    """Every fold with its own layer and default settings."""
    results = []
    for layer in dict.fromkeys(layers):
        chosen = [fold for fold, wanted in zip(bench.folds, layers, strict=True) if wanted == layer]
        results += dataclasses.replace(bench, folds=chosen).fit(tables[layer], source.words(), tune=False)
    return classic.predictions_table(results)


def training_speakers(bench: Bench) -> int:
    """How many speakers train or validate in the fold that has fewest of them."""
    who = bench.manifest.set_index("clip_id")["speaker"]
    return min(who.loc[np.concatenate([fold.train, fold.validation])].nunique() for fold in bench.folds)


def few_speakers(bench: Bench, n: int) -> Bench:
    """The bench with `n` training speakers in every fold, drawn by chance, of both genders in turn; the tests stay.

    Fewer clips train than in any other fold, so classic models keep the validation clips of these speakers, too.

    Raises
    ------
    study.UserError
        When a fold has fewer training speakers.
    """
    who = bench.manifest.set_index("clip_id")[["speaker", "gender"]]
    folds = []
    for fold in bench.folds:
        ids = np.concatenate([fold.train, fold.validation])
        speakers = who.loc[ids].drop_duplicates("speaker").set_index("speaker")["gender"]
        if not 1 <= n <= len(speakers):
            raise study.UserError(f"fold {fold.index}: {n} training speakers of {len(speakers)} cannot be drawn")
        rng = np.random.default_rng([bench.seed, fold.index, n])
        order = pd.Series(speakers.index[rng.permutation(len(speakers))])
        turn = order.groupby(order.map(speakers)).cumcount()
        kept = set(order.iloc[np.argsort(turn.to_numpy(), kind="stable")[:n]])
        train = ids[who.loc[ids, "speaker"].isin(kept)]
        folds.append(Fold(fold.index, train, train[:0], fold.test))
    return dataclasses.replace(bench, folds=folds)


# --- noise --------------------------------------------------------------------------------------------------------


def thinned(bench: Bench, per_emotion: int) -> Bench:
    """The bench with the first `per_emotion` clips of every speaker in every emotion; 0 keeps all."""
    if not per_emotion:
        return bench
    rows = bench.manifest.groupby(["speaker", "emotion"], sort=False).head(per_emotion).reset_index(drop=True)
    kept = rows["clip_id"].to_numpy(dtype=str)
    parts = ("train", "validation", "test")
    folds = [
        dataclasses.replace(fold, **{part: np.intersect1d(getattr(fold, part), kept) for part in parts})
        for fold in bench.folds
    ]
    return dataclasses.replace(bench, manifest=rows, folds=folds)


def heard(bench: Bench, condition: Condition, plan: pd.DataFrame, *, part: str, name: str) -> tuple[pd.DataFrame, Path]:
    """Copies of all clips of a bench in one condition, mixed and, where it says so, denoised: manifest and its root.

    Parameters
    ----------
    bench : Bench
    condition : Condition
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.
    part : str
        Which noise files: ``train`` or ``test``.
    name : str
        Of the copies: their ids are ``<clip>~<name>0``.
    """
    derived = study.paths(bench.profile).derived
    drawn = noise.copies(bench.manifest, condition.sound, plan, part=part, seed=bench.seed, name=name)
    table, root = noise.render(drawn, bench.root, cache=derived / "noisy")
    if condition.denoiser:
        table, root = denoise.apply_all(table, root, denoise.DENOISERS[condition.denoiser], cache=derived / "denoised")
    return table, root


def in_noise(
    source: Source,
    layers: Sequence[str],
    bench: Bench,
    conditions: Sequence[Condition],
    trained: Condition,
    plan: pd.DataFrame,
) -> pd.DataFrame:
    """Trained on clean clips, and on clean clips with noisy copies, then tested in every condition.

    Noise files of the tests are heard in no training: the leak gate asks.

    Parameters
    ----------
    source : Source
    layers : sequence of str
        Of each fold the layer, from :func:`pick`.
    bench : Bench
    conditions : sequence of Condition
        Of the test clips.
    trained : Condition
        Of the noisy copies, one of each training clip.
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.

    Returns
    -------
    pd.DataFrame
        Predictions with ``train_regime`` (``clean`` or ``noisy``) and ``condition``.
    """
    made = [heard(bench, c, plan, part="test", name=f"heard{i}x") for i, c in enumerate(conditions)]
    made.append(heard(bench, trained, plan, part="train", name="noisy"))
    tables = [source.tables(bench.manifest, bench.root, bench.profile)]
    tables += [source.tables(table, root, bench.profile) for table, root in made]
    clean = bench.manifest.assign(parent=bench.manifest["clip_id"], noise_id="")
    rows = pd.concat([clean, *(table for table, _ in made)], ignore_index=True)
    joined = {layer: _joined([table[layer] for table in tables]) for layer in dict.fromkeys(layers)}
    parts = []
    for regime in ("clean", NOISY):
        folds = [_with_copies(fold, len(conditions), noisy=regime == NOISY) for fold in bench.folds]
        both = dataclasses.replace(bench, manifest=rows, folds=folds)
        parts.append(_per_layer(both, layers, joined, source).assign(train_regime=regime))
    found = pd.concat(parts, ignore_index=True)
    split = found["clip_id"].str.extract(r"^(?P<clip>.*)~heard(?P<number>\d+)x0$")
    names = dict(enumerate(map(str, conditions)))
    return found.assign(clip_id=split["clip"], condition=split["number"].astype(int).map(names))


def _with_copies(fold: Fold, n_conditions: int, *, noisy: bool) -> Fold:
    train = np.concatenate([fold.train, fold.validation])
    test = [f"{clip}~heard{i}x0" for i in range(n_conditions) for clip in fold.test]
    copies = [f"{clip}~noisy0" for clip in train] if noisy else []
    return Fold(fold.index, np.concatenate([train, np.array(copies, dtype=str)]), train[:0], np.array(test))


def _joined(tables: Sequence[Table]) -> Table:
    x = np.concatenate([np.asarray(table.x) for table in tables])
    return Table(x, tables[0].columns, np.concatenate([table.clip_ids for table in tables]))
