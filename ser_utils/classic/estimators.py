"""Classic models as scikit-learn pipelines, each with a small grid, on rows of fixed length.

Every pipeline scales with the training rows alone. After :class:`RowSpace` the mean squared length of a row is
1, so one grid of C and gamma serves 88 columns and 6373 alike, and wide tables cost little more than narrow ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from ser_utils import study

SMALLEST = 1e-6  # share of the largest eigenvalue below which float32 products hold noise only


class RowSpace(TransformerMixin, BaseEstimator):
    """Rows in coordinates of the space that the training rows span, scaled to a mean squared length of 1.

    Lengths, distances and inner products of training rows are kept but for the scale, so models that see nothing else
    (support vectors, ridge-penalised linear models, neighbours) stay the same with as many columns as there are
    training rows. What lies outside the space goes, as a length, into one more column that is 0 in training: distances
    from new rows to training rows are kept as well. Tables with fewer columns than rows are only scaled.

    Attributes
    ----------
    scale_ : float
        Root of the mean squared length of the training rows.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((5, 100)).astype(np.float32)
    >>> RowSpace().fit_transform(rows).shape
    (5, 6)
    """

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> RowSpace:
        """Keep the training rows [shape=(n_rows, n_columns)] and the rotation onto their space."""
        self.fit_transform(x)
        return self

    def fit_transform(self, x: np.ndarray, y: np.ndarray | None = None, **_: Any) -> np.ndarray:
        """Coordinates of the training rows themselves."""
        self.scale_ = float(np.sqrt(np.mean(np.einsum("ij,ij->i", x, x)))) or 1.0
        self.rows_ = None
        if x.shape[1] <= len(x):
            return x / self.scale_
        values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
        kept = values > max(values[-1] * SMALLEST, 0)
        lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
        self.rows_, self.rotation_ = x, vectors / lengths
        return np.column_stack([vectors * lengths, np.zeros(len(x))]) / self.scale_

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Coordinates of new rows [shape=(n_rows, n_columns)]."""
        if self.rows_ is None:
            return x / self.scale_
        inside = (x @ self.rows_.T) @ self.rotation_
        outside = np.einsum("ij,ij->i", x, x, dtype=np.float64) - np.einsum("ij,ij->i", inside, inside)
        return np.column_stack([inside, np.sqrt(np.maximum(outside, 0))]) / self.scale_


class GaussianClasses(ClassifierMixin, BaseEstimator):
    """One mixture of Gaussians per class, with diagonal covariance, on whitened principal components; equal priors.

    Parameters
    ----------
    n_columns : int
        Principal components; fewer where the rows have no more.
    n_components : int
        Gaussians per class; fewer where a class has no more rows.
    reg_covar : float
        Least variance, in units of a component's variance over all rows.
    random_state : int

    References
    ----------
    Reynolds, Rose: Robust text-independent speaker identification using Gaussian mixture speaker models. 1995.
    doi:10.1109/89.365379

    Examples
    --------
    >>> x = np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]])
    >>> GaussianClasses(n_columns=1).fit(x, ["sad", "sad", "happy", "happy"]).predict([[0, 0.5]]).tolist()
    ['sad']
    """

    def __init__(
        self, n_columns: int = 30, n_components: int = 1, reg_covar: float = 1e-2, random_state: int = 0
    ) -> None:
        self.n_columns, self.n_components = n_columns, n_components
        self.reg_covar, self.random_state = reg_covar, random_state

    def fit(self, x: np.ndarray, y: Sequence[str]) -> GaussianClasses:
        """Components of all rows, then the mixture of each class."""
        n_columns = min(self.n_columns, *np.shape(x))
        self.components_ = PCA(n_columns, whiten=True, random_state=self.random_state).fit(x)
        z, y = self.components_.transform(x), np.asarray(y)
        self.classes_ = np.unique(y)
        self.mixtures_ = [self._mixture(z[y == name]) for name in self.classes_]
        return self

    def _mixture(self, z: np.ndarray) -> GaussianMixture:
        n = min(self.n_components, len(z))
        mixture = GaussianMixture(n, covariance_type="diag", reg_covar=self.reg_covar, random_state=self.random_state)
        # one row has no variance, and scikit-learn refuses it: twice the same row gives reg_covar
        return mixture.fit(z if len(z) > 1 else np.repeat(z, 2, axis=0))

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Posteriors [shape=(n_rows, n_classes)]."""
        z = self.components_.transform(x)
        likelihood = np.column_stack([mixture.score_samples(z) for mixture in self.mixtures_])
        likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        return likelihood / likelihood.sum(axis=1, keepdims=True)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Classes [shape=(n_rows,)]."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


class Perceptron(MLPClassifier):
    """scikit-learn's multilayer perceptron for a fixed number of passes: that it has not converged is meant."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Perceptron:
        """``max_iter`` passes over the rows at most."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(x, y)


@dataclass(frozen=True)
class Model:
    """A classifier, its default setting, and the settings that the inner search tries.

    Parameters
    ----------
    head : callable
        Classifier for a seed.
    default : mapping
        Setting without a search.
    grid : sequence of mapping
        Settings, the smoothest first: of equal ones the first wins.
    margins : bool
        Whether scores come from ``decision_function``, which is what then decides, and not from probabilities.
    rotated : bool
        Whether :class:`RowSpace` goes before it; not for models that look at single columns.
    """

    head: Callable[[int], BaseEstimator]
    default: Mapping[str, Any]
    grid: Sequence[Mapping[str, Any]]
    margins: bool = False
    rotated: bool = True


def _product(**values: Sequence[Any]) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = [{}]
    for name, choices in values.items():
        points = [point | {name: choice} for point in points for choice in choices]
    return points


MODELS = {
    # gamma 1 is scikit-learn's "scale", rows having a mean squared length of 1
    "svm_rbf": Model(
        lambda seed: SVC(class_weight="balanced", break_ties=True, random_state=seed),
        {"C": 10, "gamma": 1},
        _product(C=[1, 10], gamma=[0.3, 1]),
        margins=True,
    ),
    "svm_linear": Model(
        lambda seed: LinearSVC(class_weight="balanced", max_iter=10_000, random_state=seed),
        {"C": 1},
        _product(C=[0.3, 1, 3, 10]),
        margins=True,
    ),
    "logistic": Model(
        lambda seed: LogisticRegression(class_weight="balanced", max_iter=1000, random_state=seed),
        {"C": 10},
        _product(C=[1, 10, 100]),
    ),
    "forest": Model(
        lambda seed: RandomForestClassifier(100, class_weight="balanced_subsample", random_state=seed),
        {"min_samples_leaf": 2},
        _product(min_samples_leaf=[4, 2]),
        rotated=False,
    ),
    "knn": Model(
        lambda seed: KNeighborsClassifier(weights="distance"),
        {"n_neighbors": 15},
        _product(n_neighbors=[15, 5], metric=["euclidean", "cosine"]),
    ),
    "gmm": Model(
        lambda seed: GaussianClasses(random_state=seed),
        {"n_columns": 30},
        _product(n_columns=[30, 60], n_components=[1, 3]),
    ),
    "mlp": Model(
        lambda seed: Perceptron((128,), max_iter=60, random_state=seed),
        {"alpha": 0.1},
        _product(alpha=[1, 0.1]),
    ),
}


def model(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    study.UserError
        For an unknown one.
    """
    if name not in MODELS:
        raise study.UserError(f"model '{name}' is unknown; use one of {', '.join(MODELS)}")
    return MODELS[name]


def front(chosen: Model, *, scaled: bool) -> Pipeline:
    """What happens to rows before the classifier; fitted on training rows, the same for every setting of it."""
    scaler = StandardScaler() if scaled else FunctionTransformer()
    return make_pipeline(scaler, RowSpace() if chosen.rotated else FunctionTransformer())
