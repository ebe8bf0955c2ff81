"""Linear models on frozen embeddings: which layer tells most about emotion, and what else the vectors know.

An encoder and a set of acoustic features are treated alike, as a :class:`Source`: what an encoder is worth shows beside
features that nobody trained. Layers and settings are chosen by inner folds of the training speakers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ser_utils import classic, evaluation, features, pretrained, study
from ser_utils.classic import FoldResult
from ser_utils.features import Table
from ser_utils.splits import Fold

HEAD = "logistic"  # name in classic.MODELS
MODEL = "linear_probe"  # … in predictions: 02 has a logistic regression of its own
HEARD = ("no", "possible", "yes")  # from :func:`ser_utils.pretrained.heard`, the best first
SEVERAL = "several"  # features of an ensemble whose members differ in them
PICKED = "picked"  # stands for the layer in names of features where every fold has picked its own


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
        found = classic.cross_validate(
            table,
            self.manifest,
            self.folds,
            self.labels,
            models=[HEAD],
            features=words,
            tune=tune,
            n_inner=self.n_inner,
            seed=self.seed,
            cache=study.paths(self.profile).derived / "classic",
            allow=self.allow,
        )
        return [dataclasses.replace(result, facts=result.facts | {"model": MODEL}) for result in found]


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
        ``corpus, features``; features begin with the name of the encoder, see :meth:`Source.words`. Of several systems
        in one (features ``several``) the encoder counts that has heard most.
    sources : sequence of Source
    """
    known = {source.words().partition(":")[0]: source.name for source in sources if source.is_encoder}
    heard = []
    for words, corpus in zip(board["features"], board["corpus"], strict=True):
        first = re.split("[:+]", words)[0]
        names = known.values() if first == SEVERAL else [known[first]] if first in known else []
        heard.append(max((pretrained.heard(name, corpus) for name in names), key=HEARD.index, default=HEARD[0]))
    return board.assign(heard=heard)


def per_layer(bench: Bench, layers: Sequence[str], tables: Mapping[str, Table], source: Source) -> pd.DataFrame:
    """Predictions of every fold with a layer of its own and default settings.

    Parameters
    ----------
    bench : Bench
    layers : sequence of str
        One for each fold, from :func:`pick`.
    tables : mapping of str to Table
        Of these layers.
    source : Source
        Names the features.
    """
    results = []
    for layer in dict.fromkeys(layers):
        chosen = [fold for fold, wanted in zip(bench.folds, layers, strict=True) if wanted == layer]
        results += dataclasses.replace(bench, folds=chosen).fit(tables[layer], source.words(), tune=False)
    return classic.predictions_table(results)


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
    >>> neighbours(np.array([[0.0, 0], [1, 0], [9, 9], [9, 8]]), {"a": np.array([0, 0, 1, 1])})
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
