"""Public claims and published scores, each with its protocol, and what this run has beside them.

A claim is what someone else reports; it stands as text with its source and enters no computation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ser_utils import evaluation, study

NOT_RUN = "not run"


@dataclass(frozen=True)
class Rows:
    """Which saved predictions stand for a protocol; every value of `only` may end on ``*``."""

    file: str  # stem of a file of predictions
    only: Mapping[str, str] = field(default_factory=dict)  # column → value


@dataclass(frozen=True)
class Claim:
    """One public claim."""

    what: str
    corpora: tuple[str, ...]  # that it is about; the first that the run has is looked at
    protocol: str
    claimed: str  # percent
    same: tuple[tuple[str, Rows], ...]  # word → rows under the claimed protocol
    unseen: tuple[tuple[str, Rows], ...]
    note: str = ""


def _ladder(stem: str, rung: str) -> Rows:
    return Rows(stem, {"split": rung})


def _noise(stem: str) -> tuple[tuple[str, Rows], ...]:
    """Clean, noisy at 5 dB, and denoised by MetricGAN+, all by the classic model that learnt clean speech."""
    svm = {"model": "svm_rbf", "train_regime": "clean"}
    conditions = {
        "clean": "clean",
        "noisy": "noise=everyday;snr_db=5",
        "denoised": "noise=everyday;snr_db=5;denoiser=metricgan*",
    }
    return tuple((word, Rows(stem, svm | {"condition": told})) for word, told in conditions.items())


def _generated(stem: str, *pairs: tuple[str, Mapping[str, str]]) -> tuple[tuple[str, Rows], ...]:
    return tuple((word, Rows(stem, only)) for word, only in pairs)


ACTED = ("ravdess", "demo")
CLAIMS = (
    Claim(
        "SVM on 110 statistics",
        ACTED,
        "random split",
        "79.2 (executed notebook)",
        (("", _ladder("02_ladder", "random")),),
        (("", _ladder("02_ladder", "unseen")),),
    ),
    Claim(
        "CNN on pictures of MFCC",
        ACTED,
        "random split",
        "60.8 to 76.4",
        (("", _ladder("05_beside", "random")),),
        (("", _ladder("05_beside", "unseen")),),
        "here a CNN on log-mel frames, first folds",
    ),
    Claim(
        "clean, noisy, and noisy behind MetricGAN+",
        ACTED,
        "random split, seen noise",
        "74.7, 18.8 and 51.4",
        _noise("06_public"),
        _noise("06_grid"),
        "SVM on 110 statistics, everyday noise at 5 dB",
    ),
    Claim(
        "CNN on four corpora, copies made before the split",
        ACTED,
        "augmented copies on both sides",
        "56 to 58.5 (committed run; its paper: 96)",
        (("", _ladder("05_beside", "copies")),),
        (("", _ladder("05_beside", "unseen")),),
        "here one corpus",
    ),
    Claim(
        "LSTM on four corpora",
        ACTED,
        "random split, validation clips",
        "60.8 (its page: 67, which is training accuracy)",
        (("", _ladder("04_beside", "random")),),
        (("", _ladder("04_beside", "unseen")),),
        "here one corpus, test clips",
    ),
    Claim(
        "generated speech enhances EmoDB",
        ("emodb", "demo"),
        "judged by the net that steers the generator",
        "82.1 before, 94.3 after",
        _generated(
            "08_circular",
            ("before", {"condition": "kind=none;told=nothing;judge=conditioner"}),
            ("after", {"condition": "kind=diffusion;told=label;judge=conditioner"}),
        ),
        _generated(
            "08_folds",
            ("real", {"train_regime": "real", "condition": "clean"}),
            ("with generated", {"train_regime": "real+diffusion", "condition": "clean"}),
        ),
        "diffusion; the other generators are in 08",
    ),
    Claim(
        "generated speech enhances RAVDESS",
        ("ravdess", "demo"),
        "judged by the net that steers the generator",
        "67.7 before, 77.8 after",
        _generated(
            "08_circular",
            ("before", {"condition": "kind=none;told=nothing;judge=conditioner"}),
            ("after", {"condition": "kind=diffusion;told=label;judge=conditioner"}),
        ),
        _generated(
            "08_folds",
            ("real", {"train_regime": "real", "condition": "clean"}),
            ("with generated", {"train_regime": "real+diffusion", "condition": "clean"}),
        ),
        "diffusion; the other generators are in 08",
    ),
    Claim(
        "ResNet-50 on mp3 with effects",
        ACTED,
        "not told",
        "no number given",
        (),
        (("", Rows("05_beside", {"model": "resnet50", "split": "*fold*"})),),
    ),
)

REFERENCES = pd.DataFrame(
    [
        (
            "emodb",
            "ComParE 2016 and an SVM",
            "leave one speaker out, 7 emotions",
            "UAR 0.77",
            "https://github.com/audeering/w2v2-how-to",
        ),
        (
            "emodb",
            "SVM tuned by Auto-WEKA, 300 of 1582 features",
            "leave one speaker out, 7 emotions",
            "accuracy 0.77; random folds: 0.86",
            "Gjoreski, Gjoreski, Kulakov, Informatica",
        ),
        (
            "ravdess",
            "residual LSTM with soft attention, 46.8 k parameters",
            "speakers kept apart, 8 emotions; the best of its variants",
            "UAR 0.652",
            "arXiv:2606.03359",
        ),
        (
            "ravdess",
            "wav2vec 2.0 (xlsr) and action units of the face",
            "5 folds of subjects, 8 emotions",
            "WA 0.867",
            "doi:10.3390/app12010327",
        ),
        (
            "cremad",
            "human listeners, voice alone",
            "single answers, 6 emotions",
            "WA 0.409",
            "doi:10.1109/TAFFC.2014.2336244",
        ),
    ],
    columns=["corpus", "system", "protocol", "published", "source"],
)


def side_by_side(profile: str, corpora: list[str], *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Every claim beside the scores of this run: ``claim, protocol, claimed, here on, same protocol here, unseen
    speakers here, note``; WA in percent, with intervals over speakers on unseen speakers.

    Parameters
    ----------
    profile : str
    corpora : list of str
        That the run has.
    n_resamples, seed : int
    """
    rows = []
    for claim in CLAIMS:
        corpus = next((name for name in claim.corpora if name in corpora), "")
        same = [_told(word, _score(profile, corpus, r, n_resamples, seed), False) for word, r in claim.same]
        unseen = [_told(word, _score(profile, corpus, r, n_resamples, seed), True) for word, r in claim.unseen]
        rows.append(
            {"claim": claim.what, "protocol": claim.protocol, "claimed": claim.claimed, "here on": corpus or "none"}
            | {"same protocol here": _joined(same), "unseen speakers here": _joined(unseen), "note": claim.note}
        )
    return pd.DataFrame(rows)


def _joined(texts: list[str]) -> str:
    return "; ".join(texts) if any(not text.endswith(NOT_RUN) for text in texts) else NOT_RUN


def _told(word: str, score: tuple[float, float, float] | None, interval: bool) -> str:
    if score is None:
        return f"{word} {NOT_RUN}".strip()
    value, low, high = (100 * number for number in score)
    text = f"{value:.1f}" + (f" [{low:.1f}, {high:.1f}]" if interval and high > low else "")
    return f"{word} {text}".strip()


def _score(profile: str, corpus: str, rows: Rows, n_resamples: int, seed: int) -> tuple[float, float, float] | None:
    """WA of the first system that `rows` names, with its interval; None where there is none."""
    table = saved(profile, rows.file)
    if table is None or not corpus:
        return None
    mask = table["corpus"] == corpus
    for column, value in rows.only.items():
        told = table[column].str.startswith(value[:-1]) if value.endswith("*") else table[column] == value
        mask &= table[column].str.contains(value.strip("*")) if value.startswith("*") else told
    part = table[mask]
    if not len(part):
        return None
    system = part[evaluation.SYSTEM].drop_duplicates().iloc[[0]]
    part = part.merge(system, on=evaluation.SYSTEM)
    labels = evaluation.classes(part["y_true"], part["y_pred"])
    counts = evaluation.speaker_counts(part, labels)
    wa = float(evaluation.metrics(counts.sum(axis=0), labels)["WA"])
    return wa, *evaluation.bootstrap(counts, labels, n_resamples=n_resamples, seed=seed)["WA"]


def saved(profile: str, stem: str) -> pd.DataFrame | None:
    """Saved predictions of a file that is no score of a corpus on its own split, such as ``02_ladder``; None where the
    run has none."""
    file = study.paths(profile).predictions / f"{stem}.parquet"
    return pd.read_parquet(file) if file.is_file() else None
