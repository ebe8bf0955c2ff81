"""Words and linear models: the floor that every text model has to pass, and heads on sentence vectors.

Settings are chosen on the validation clips of a fold, which nobody trains on; test clips are looked at once.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ser_utils import splits, study
from ser_utils.features import Table
from ser_utils.splits import Fold

METRICS = {
    "uar": lambda true, answer: recall_score(true, answer, average="macro", labels=np.unique(true), zero_division=0),
    "weighted_f1": lambda true, answer: f1_score(true, answer, average="weighted", zero_division=0),
}
COSTS = {"words": (0.3, 1, 3), "vectors": (0.0003, 0.001, 0.003, 0.01)}  # C of the regression, the smoothest first
BALANCE = {"uar": (0.5, 1), "weighted_f1": (0, 0.5)}  # clips weigh as the frequency of their class to minus this power


class Words:
    """TF-IDF of words, pairs of words and parts of words; of each utterance before, with a vocabulary of its own.

    Terms in fewer than two texts are dropped; counts are damped by a logarithm (Salton & Buckley 1988,
    doi:10.1016/0306-4573(88)90021-0).
    """

    def fit(self, texts: Sequence[Sequence[str]]) -> Words:
        """Vocabularies of `texts` [length n_texts], each an utterance and those before it."""
        self.columns_ = [_vectorisers(column) for column in zip(*texts, strict=True)]
        return self

    def transform(self, texts: Sequence[Sequence[str]]) -> Any:
        """Sparse matrix [shape=(n_texts, n_terms)]."""
        columns = zip(*texts, strict=True)
        parts = [v.transform(column) for made, column in zip(self.columns_, columns, strict=True) for v in made]
        return hstack(parts, format="csr")


def _vectorisers(texts: Sequence[str]) -> list[TfidfVectorizer]:
    common = {"lowercase": True, "sublinear_tf": True, "strip_accents": "unicode", "dtype": np.float32}
    made = [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]+", **common),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **common),
    ]
    least = 2 if len(set(texts)) > 100 else 1
    return [v.set_params(min_df=least).fit(texts) for v in made]


@dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind."""

    predictions: pd.DataFrame = field(repr=False)  # of the test clips: clip_id, speaker, y_true, y_pred, p_<emotion>…
    validation: pd.DataFrame = field(repr=False)  # of the validation clips, alike: what stacking is fitted on
    search: pd.DataFrame = field(repr=False)  # setting, score on the validation clips
    facts: dict[str, Any]  # features, fold, seed, n_train, n_validation, n_test, n_columns, setting, score, wall_s


@dataclass(frozen=True)
class _Data:
    """One corpus: what a fold needs and its artefact depends on."""

    name: str
    clips: pd.DataFrame = field(repr=False)
    texts: list[tuple[str, ...]] | None = field(repr=False)  # each with those before it; None: vectors
    x: np.ndarray | None = field(repr=False)
    labels: tuple[str, ...]
    features: str
    metric: str
    allow: tuple[str, ...]


def cross_validate(
    manifest: pd.DataFrame,
    folds: Sequence[Fold],
    labels: Sequence[str],
    *,
    vectors: Table | None = None,
    features: str = "tfidf",
    metric: str = "uar",
    cache: Path,
    allow: Collection[str] = (),
    jobs: int | None = None,
) -> list[FoldResult]:
    """A logistic regression on words, or on vectors, for every fold, in processes; finished folds come from the cache.

    Parameters
    ----------
    manifest : pd.DataFrame
        Clips of one corpus: ``clip_id, corpus, speaker, emotion, sha256, text``; with ``context`` (see
        :func:`with_context`) the utterances before count as well.
    folds : sequence of Fold
    labels : sequence of str
        Emotions, in the order of the probabilities.
    vectors : Table, optional
        Sentence vectors of the clips; without them, TF-IDF whose vocabulary is that of the training clips.
    features : str
        What the predictions call it.
    metric : str
        ``uar`` or ``weighted_f1``: what chooses a setting on the validation clips.
    cache : Path
        Folder of the fold artefacts.
    allow : collection of str
        Kinds of leak that the split has by its nature, see :func:`splits.check_leaks`.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of FoldResult

    Raises
    ------
    splits.LeakError
        When something of the held-out clips is known in training.
    study.UserError
        For an unknown metric, a fold with an empty part, or a clip with an unlisted emotion or without a vector.
    """
    if metric not in METRICS:
        raise study.UserError(f"metric '{metric}' is unknown; use one of {', '.join(METRICS)}")
    data = _prepare(manifest, labels, vectors, features, metric, tuple(allow))
    for fold in folds:  # also those that the cache will answer for
        _check(data, fold)
    work = functools.partial(_cached_fold, data=data, content=_content(data), cache=cache)
    return study.pmap(work, folds, desc=f"{data.name} {features}: folds", jobs=jobs)


def _prepare(
    manifest: pd.DataFrame,
    labels: Sequence[str],
    vectors: Table | None,
    features: str,
    metric: str,
    allow: tuple[str, ...],
) -> _Data:
    for name in sorted(set(manifest["emotion"]) - set(labels)):
        raise study.UserError(f"emotion '{name}' is not among the labels {', '.join(labels)}; add it, or leave it out")
    clips = manifest.reset_index(drop=True)
    x = texts = None
    if vectors is None:
        context = clips["context"] if "context" in clips else [()] * len(clips)
        texts = [(text, *before) for text, before in zip(clips["text"], context, strict=True)]
    else:
        x = np.asarray(vectors.x[vectors.rows(clips["clip_id"].to_numpy(dtype=str))], dtype=np.float32)
    return _Data(str(clips["corpus"].iloc[0]), clips, texts, x, tuple(labels), features, metric, allow)


def _check(data: _Data, fold: Fold) -> None:
    splits.check_filled(fold, *splits.OFFICIAL)
    name = "vocabulary" if data.x is None else "scaler"
    splits.check_leaks(fold, data.clips, fitted={name: fold.train}, allow=data.allow)


def _content(data: _Data) -> dict[str, Any]:
    columns = [data.clips[name].tolist() for name in ("clip_id", "emotion", "speaker", "sha256")]
    given = data.texts if data.x is None else study.digest(data.x.tobytes().hex())
    return {
        "content": study.digest([columns, given]),
        "labels": data.labels,
        "features": data.features,
        "metric": data.metric,
        "allow": data.allow,
        "code": study.code_version("text.linear", without=("features", "splits")),
        "versions": study.versions("scikit-learn", "numpy", "scipy"),
    }


def _cached_fold(fold: Fold, *, data: _Data, content: Mapping[str, Any], cache: Path) -> FoldResult:
    parts = {part: study.digest(ids.tolist()) for part, ids in vars(fold).items() if part != "index"}
    key = {**content, "index": fold.index, "fold": parts}
    return study.cached(cache, key, lambda: fit_fold(fold, data), save=_save, load=_load)


def fit_fold(fold: Fold, data: _Data) -> FoldResult:
    """Fit every setting on the training clips, keep the best on the validation clips, predict these and the test."""
    start = time.monotonic()
    _check(data, fold)
    rows = {part: pd.Index(data.clips["clip_id"]).get_indexer_for(getattr(fold, part)) for part in splits.OFFICIAL}
    emotion = data.clips["emotion"].to_numpy(dtype=str)
    with threadpool_limits(1):
        x = _columns(data, rows)
        settings = _settings(data)
        heads = [_fit(x["train"], emotion[rows["train"]], **setting) for setting in settings]
        judge = METRICS[data.metric]
        scores = [judge(emotion[rows["validation"]], head.predict(x["validation"])) for head in heads]
        best = int(np.argmax(scores))  # of equal ones the smoothest
        tables = {part: _rows(data, rows[part], heads[best], x[part]) for part in ("test", "validation")}
    facts = {
        "features": data.features,
        "fold": fold.index,
        "seed": 0,
        **{f"n_{part}": len(rows[part]) for part in splits.OFFICIAL},
        "n_columns": x["train"].shape[1],
        "setting": settings[best],
        data.metric: scores[best],
        "wall_s": time.monotonic() - start,
    }
    search = pd.DataFrame({"setting": list(map(json.dumps, settings)), data.metric: scores})
    return FoldResult(tables["test"], tables["validation"], search, facts)


def _settings(data: _Data) -> list[dict[str, float]]:
    costs = COSTS["words" if data.x is None else "vectors"]
    return [{"C": cost, "balance": power} for cost in costs for power in BALANCE[data.metric]]


def _fit(x: Any, truth: np.ndarray, *, C: float, balance: float) -> LogisticRegression:  # C is its name there
    names, counts = np.unique(truth, return_counts=True)
    weight = dict(zip(names, (counts.mean() / counts) ** balance, strict=True))
    return LogisticRegression(C=C, class_weight=weight, max_iter=1000).fit(x, truth)


def _columns(data: _Data, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the head sees of each part; the training clips alone make vocabulary, weights of terms and scale."""
    if data.x is not None:
        scaler = StandardScaler().fit(data.x[rows["train"]])
        return {part: scaler.transform(data.x[index]) for part, index in rows.items()}
    words = Words().fit([data.texts[i] for i in rows["train"]])
    return {part: words.transform([data.texts[i] for i in index]) for part, index in rows.items()}


def _rows(data: _Data, index: np.ndarray, head: LogisticRegression, x: Any) -> pd.DataFrame:
    probabilities = np.zeros((len(index), len(data.labels)))
    probabilities[:, [data.labels.index(name) for name in head.classes_]] = head.predict_proba(x)
    clips = data.clips.iloc[index]
    table = pd.DataFrame(
        {
            "clip_id": clips["clip_id"].to_numpy(),
            "speaker": clips["speaker"].to_numpy(),
            "y_true": clips["emotion"].to_numpy(),
            "y_pred": np.array(data.labels)[probabilities.argmax(axis=1)],
        }
    )
    return table.assign(**{f"p_{label}": probabilities[:, i] for i, label in enumerate(data.labels)})


def _save(result: FoldResult, folder: Path) -> None:
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    result.validation.to_parquet(folder / "validation.parquet", index=False)
    result.search.to_csv(folder / "search.csv", index=False)
    (folder / "facts.json").write_text(json.dumps(result.facts), encoding="utf-8")


def _load(folder: Path) -> FoldResult:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "validation"))
    return FoldResult(*tables, pd.read_csv(folder / "search.csv"), facts)


def predictions_table(results: Sequence[FoldResult], *, part: str = "test", **constants: Any) -> pd.DataFrame:
    """One table of all folds; `constants` are the columns that every row shares (corpus, split, condition…).

    Parameters
    ----------
    results : sequence of FoldResult
    part : str
        ``test``, or ``validation``: a clip may validate in several folds.
    """
    parts = []
    for result in results:
        rows = result.predictions if part == "test" else result.validation
        known = {name: result.facts[name] for name in ("features", "fold", "seed")}
        parts.append(rows.assign(model="logistic", **known))
    return pd.concat(parts, ignore_index=True).assign(**constants)
