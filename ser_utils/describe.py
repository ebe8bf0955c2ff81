"""What a corpus holds, in tables: people, balance, one clip per emotion; and what goes with the emotion or the voice.

Nothing here decodes sound: the numbers come from the manifest and from :mod:`ser_utils.measure`.
"""

from __future__ import annotations

import functools
import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import study

TOLD = ("emotion", "emotion_unseen", "speaker", "silhouette_emotion", "silhouette_speaker")  # by neighbours
SEXES = ("female", "male", "unknown")


def speakers_known(clips: pd.DataFrame) -> bool:
    """Whether every clip says who speaks, so that speakers can be kept apart.

    Examples
    --------
    >>> speakers_known(pd.DataFrame({"speaker": ["a", ""]}))
    False
    """
    return bool((clips["speaker"] != "").all())


def balance(clips: pd.DataFrame) -> dict[str, Any]:
    """Sizes of the classes of one corpus, and the scores that need no model.

    Returns
    -------
    dict
        Largest and smallest emotion with their clips, the ratio of both, the UAR of a blind guess, the WA of always
        answering the largest, and the share of clips that women speak (NaN where no sex is known).

    Examples
    --------
    >>> balance(pd.DataFrame({"emotion": ["sad", "sad", "happy"], "gender": ["female", "male", "unknown"]}))["ratio"]
    2.0
    """
    sizes = clips["emotion"].value_counts()
    stated = clips.loc[clips["gender"] != "unknown", "gender"]
    return {
        "largest": f"{sizes.idxmax()} {sizes.max()}",
        "smallest": f"{sizes.idxmin()} {sizes.min()}",
        "ratio": float(sizes.max() / sizes.min()),
        "UAR of a guess": 1 / len(sizes),
        "WA of the largest": float(sizes.max() / sizes.sum()),
        "women's share": float((stated == "female").mean()) if len(stated) else float("nan"),
    }


def people(clips: pd.DataFrame) -> dict[str, Any]:
    """Speakers of one corpus by sex and age group, and how many clips each has; clips without a speaker are counted.

    Examples
    --------
    >>> clips = pd.DataFrame({"speaker": ["a", "a", "b"], "gender": "male", "age_group": ["18-29", "18-29", ""]})
    >>> found = people(clips)
    >>> found["speakers"], found["male"], found["age groups"], found["clips per speaker"]
    (2, 2, '18-29: 1', '1 to 2')
    """
    stated = clips[clips["speaker"] != ""]
    each = stated["speaker"].value_counts()
    once = stated.drop_duplicates("speaker")
    ages = once.loc[once["age_group"] != "", "age_group"].value_counts().sort_index()
    return {
        "speakers": len(once),
        **{sex: int((once["gender"] == sex).sum()) for sex in SEXES},
        "age groups": ", ".join(f"{group}: {n}" for group, n in ages.items()) or "not published",
        "clips per speaker": f"{each.min()} to {each.max()}" if len(each) else "not known",
        "clips without a speaker": len(clips) - len(stated),
    }


def examples(clips: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """One clip per emotion: one speaker, drawn among those with most emotions in one sentence; that sentence where it
    exists, normal intensity first.

    Parameters
    ----------
    clips : pd.DataFrame
        Rows of the manifest, of one corpus.
    seed : int

    Returns
    -------
    pd.DataFrame
        Indexed by emotion, with the column ``other``: whether the sentence is another one.
    """
    kinds = clips.groupby(["speaker", "sentence"])["emotion"].nunique()
    speaker, sentence = random.Random(seed).choice(sorted(kinds.index[kinds == kinds.max()]))
    part = clips[clips["speaker"] == speaker]
    part = part.assign(other=part["sentence"] != sentence).sort_values(["emotion", "other", "intensity", "clip_id"])
    return part.drop_duplicates("emotion").set_index("emotion", drop=False)


def spread(clips: pd.DataFrame, quantities: dict[str, str]) -> pd.DataFrame:
    """Extremes and percentiles of quantities to two decimals, a row per corpus and quantity.

    Parameters
    ----------
    clips : pd.DataFrame
        Column ``corpus`` and those of `quantities`.
    quantities : dict
        Column → name in the table.

    Examples
    --------
    >>> spread(pd.DataFrame({"corpus": "toy", "x": [1.0, 2.0, 6.0]}), {"x": "length, s"})["median"].tolist()
    [2.0]
    """
    at = {"least": 0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1}
    rows = [
        {"corpus": name, "quantity": word}
        | {label: round(part[column].quantile(share), 2) + 0.0 for label, share in at.items()}  # no −0
        for name, part in clips.groupby("corpus", sort=False)
        for column, word in quantities.items()
    ]
    return pd.DataFrame(rows, columns=["corpus", "quantity", *at])


# --- what goes with the emotion, and what with the voice --------------------------------------------------------


def eta_squared(values: pd.Series | pd.DataFrame | np.ndarray, groups: pd.Series | np.ndarray) -> float | np.ndarray:
    """Correlation ratio η² (Fisher 1925): share of the variance of `values` that lies between `groups`, 0 … 1.

    Parameters
    ----------
    values : [shape=(n_clips,) or (n_clips, n_columns)]
        Numbers; those that are missing (NaN) are left out, column by column.
    groups : [shape=(n_clips,)]
        Name of the group of each clip, such as its emotion.

    Returns
    -------
    float, or np.ndarray [shape=(n_columns,)]
        NaN where the values do not vary.

    Examples
    --------
    >>> eta_squared(pd.Series([1.0, 1.0, 3.0, 3.0]), pd.Series(["a", "a", "b", "b"]))
    1.0
    >>> eta_squared(np.array([[1.0, 1.0], [1.0, 3.0], [3.0, 1.0], [3.0, 3.0]]), np.array(list("aabb"))).tolist()
    [1.0, 0.0]
    """
    x = np.asarray(values, dtype=np.float64)
    columns = x.reshape(len(x), -1)
    names = np.asarray(groups, dtype=str)
    order = np.argsort(names, kind="stable")
    starts = np.unique(names[order], return_index=True)[1]
    known = ~np.isnan(columns)
    whole = np.where(known, columns, 0)
    apart = np.where(known, columns - whole.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0)
    sizes = np.add.reduceat(known[order], starts, axis=0, dtype=np.int64)
    between = (np.add.reduceat(apart[order], starts, axis=0) ** 2 / np.maximum(sizes, 1)).sum(axis=0)
    total = (apart**2).sum(axis=0)
    varies = total > 1e-24 * (whole**2).sum(axis=0)  # what rounding leaves of a constant column is no variance
    found = np.divide(between, total, out=np.full(len(total), np.nan), where=varies)
    return found if x.ndim == 2 else float(found[0])


def hints(clips: pd.DataFrame, quantities: dict[str, str]) -> pd.DataFrame:
    """:func:`eta_squared` of quantities over emotions and over speakers, a row per corpus and quantity.

    Parameters
    ----------
    clips : pd.DataFrame
        Columns ``corpus, emotion, speaker`` and those of `quantities`.
    quantities : dict
        Column → name in the table.

    Returns
    -------
    pd.DataFrame
        Columns ``corpus, quantity, emotion, speaker``; NaN over speakers that are not known.
    """
    rows = [
        {
            "corpus": name,
            "quantity": word,
            "emotion": eta_squared(part[column], part["emotion"]),
            "speaker": eta_squared(part[column], part["speaker"]) if speakers_known(part) else float("nan"),
        }
        for name, part in clips.groupby("corpus", sort=False)
        for column, word in quantities.items()
    ]
    return pd.DataFrame(rows, columns=["corpus", "quantity", "emotion", "speaker"])


def standardise(statistics: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1; a constant column becomes 0.

    Examples
    --------
    >>> standardise(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = statistics.std(axis=0)
    return (statistics - statistics.mean(axis=0)) / np.where(spread > 0, spread, 1)


def neighbours(statistics: np.ndarray, emotions: np.ndarray, speakers: np.ndarray) -> dict[str, float]:
    """How well the nearest other clip tells the emotion, and how well it tells the speaker.

    Parameters
    ----------
    statistics : np.ndarray [shape=(n_clips, n_columns)]
        Standardised; the distance is Euclidean.
    emotions, speakers : np.ndarray [shape=(n_clips,)]
        An empty speaker is unknown.

    Returns
    -------
    dict
        Mean recall over emotions (UAR) of the nearest neighbour among all other clips, ``emotion``, and among clips of
        other speakers, ``emotion_unseen``; its mean recall over speakers, ``speaker``; the silhouettes (−1 … 1,
        Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7) ``silhouette_emotion`` and ``silhouette_speaker``. NaN where
        fewer than two classes, or unknown speakers, leave nothing to tell.
    """
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(statistics)
    known = "" not in set(speakers) and len(set(speakers)) > 1
    others = np.where(speakers[:, None] == speakers[None, :], np.inf, distances) if known else None
    return {
        "emotion": _nearest(distances, emotions),
        "emotion_unseen": _nearest(others, emotions) if known else float("nan"),
        "speaker": _nearest(distances, speakers) if known else float("nan"),
        "silhouette_emotion": _silhouette(distances, emotions),
        "silhouette_speaker": _silhouette(distances, speakers) if known else float("nan"),
    }


def separability(corpora: dict[str, tuple[pd.DataFrame, np.ndarray]]) -> pd.DataFrame:
    """What :func:`neighbours` finds in each corpus, beside chance.

    Parameters
    ----------
    corpora : dict
        Name → rows of the manifest, and their standardised statistics [shape=(n_clips, n_columns)].

    Returns
    -------
    pd.DataFrame
        Columns ``corpus, clips``, those of :func:`neighbours`, ``chance_emotion`` and ``chance_speaker``.
    """
    rows = [
        {
            "corpus": name,
            "clips": len(clips),
            **neighbours(statistics, clips["emotion"].to_numpy(str), clips["speaker"].to_numpy(str)),
            "chance_emotion": 1 / clips["emotion"].nunique(),
            "chance_speaker": 1 / clips["speaker"].nunique() if speakers_known(clips) else float("nan"),
        }
        for name, (clips, statistics) in corpora.items()
    ]
    return pd.DataFrame(rows, columns=["corpus", "clips", *TOLD, "chance_emotion", "chance_speaker"])


def _nearest(distances: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import recall_score

    if len(set(labels)) < 2:
        return float("nan")
    apart = distances.copy()
    np.fill_diagonal(apart, np.inf)
    return float(recall_score(labels, labels[apart.argmin(axis=1)], average="macro", zero_division=0))


def _silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    if not 1 < len(set(labels)) < len(labels):
        return float("nan")
    exact = distances.copy()
    np.fill_diagonal(exact, 0)
    return float(silhouette_score(exact, labels, metric="precomputed"))


def projections(statistics: np.ndarray, *, seed: int, cache: Path) -> dict[str, np.ndarray]:
    """Two views of many columns in a plane: principal components, and t-SNE (van der Maaten & Hinton 2008).

    Parameters
    ----------
    statistics : np.ndarray [shape=(n_clips, n_columns)]
        Standardised; at least 3 clips.
    seed : int
        Seed of t-SNE.
    cache : Path
        Folder for the artefact.

    Returns
    -------
    dict with ``PCA`` and ``t-SNE``: np.ndarray [shape=(n_clips, 2)], and ``explained``: shares of the variance of both
    components
    """
    key = {
        "code": study.code_version("describe"),
        "versions": study.versions("numpy", "scikit-learn"),
        "seed": seed,
        "statistics": hashlib.sha256(np.ascontiguousarray(statistics).tobytes()).hexdigest(),
    }
    return study.cached(
        cache,
        key,
        functools.partial(_project, statistics, seed),
        save=lambda found, folder: np.savez(folder / "projections.npz", **found),
        load=lambda folder: dict(np.load(folder / "projections.npz")),
    )


def _project(statistics: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    pca = PCA(2, random_state=seed)
    with threadpool_limits(1):  # sums in another order give other pictures
        flat = pca.fit_transform(statistics)
        start = flat / flat[:, 0].std() * 1e-4
        tsne = TSNE(perplexity=min(30.0, (len(statistics) - 1) / 3), init=start, random_state=seed, n_jobs=1)
        return {"PCA": flat, "t-SNE": tsne.fit_transform(statistics), "explained": pca.explained_variance_ratio_}
