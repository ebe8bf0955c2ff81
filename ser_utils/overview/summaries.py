"""The leakage ladder, noise, and costs of a run in a few rows each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ser_utils import evaluation, study
from ser_utils.overview.families import answers
from ser_utils.overview.public import NOT_RUN, saved
from ser_utils.report.record import load_records

RUNGS = ("twice", "copies", "random", "sentence", "unseen")  # from most to least leakage
LADDERS = ("02_ladder", "04_beside", "05_beside")
CACHES = ("folds", "classic", "fusion", "text")  # of trainings, below a profile's derived data
SNR_DB = 5.0  # where the noise summary looks first


def ladder(profile: str, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Every ladder of the run: ``corpus, model, rung, UAR, ci_low, ci_high, WA, n_clips, n_speakers``.

    Only ladders of two rungs or more; empty where the run has none.
    """
    rows = []
    for stem in LADDERS:
        table = saved(profile, stem)
        for key, part in table.groupby(["corpus", "model"], sort=False) if table is not None else ():
            rungs = [rung for rung in RUNGS if rung in set(part["split"])]
            for rung in rungs if len(rungs) > 1 else ():
                rows.append([*key, rung, *_scored(part[part["split"] == rung], n_resamples, seed)])
    names = ["corpus", "model", "rung", "UAR", "ci_low", "ci_high", "WA", "n_clips", "n_speakers"]
    return pd.DataFrame(rows, columns=names)


def _scored(table: pd.DataFrame, n_resamples: int, seed: int) -> list[float]:
    """UAR with its interval, WA, clips and speakers of one system; NaN and 0 without rows."""
    if not len(table):
        return [float("nan")] * 4 + [0, 0]
    labels = evaluation.classes(table["y_true"], table["y_pred"])
    counts = evaluation.speaker_counts(table, labels)
    values = evaluation.metrics(counts.sum(axis=0), labels)
    interval = evaluation.bootstrap(counts, labels, n_resamples=n_resamples, seed=seed)["UAR"]
    return [
        float(values["UAR"]),
        *interval,
        float(values["WA"]),
        table["clip_id"].nunique(),
        table["speaker"].nunique(),
    ]


def noise(profile: str, *, n_resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """What noise does to each model of the grid of 06, and what helps most: ``corpus, model, snr_db, clean, noisy,
    ci_low, ci_high`` (of noisy), ``denoised, denoiser, trained, n_clips, n_speakers``.

    UAR at the SNR nearest :data:`SNR_DB`, over all noises together. ``clean`` to ``denoised`` are of the model that
    learnt clean speech, ``trained`` is of the one that learnt noisy speech; the denoiser is the best of those in front
    of the first, oracles left out. Empty where the run has no grid.
    """
    grid = saved(profile, "06_grid")
    groups = _spelled(grid).groupby(["corpus", "model"], sort=False) if grid is not None else ()
    rows = [[*key, *_in_noise(part, n_resamples, seed)] for key, part in groups if (part["noise"] != "").any()]
    names = ["corpus", "model", "snr_db", "clean", "noisy", "ci_low", "ci_high", "denoised", "denoiser", "trained"]
    return pd.DataFrame(rows, columns=[*names, "n_clips", "n_speakers"])


def _in_noise(part: pd.DataFrame, n_resamples: int, seed: int) -> list[object]:
    """One row of :func:`noise` without its names."""
    heard, bare = part["noise"] != "", part["denoiser"] == ""
    snr = min(part.loc[heard, "snr_db"].unique(), key=lambda value: (abs(value - SNR_DB), value))
    at, learnt = heard & (part["snr_db"] == snr), part["train_regime"]
    noisy, low, high, _, n_clips, n_speakers = _scored(part[at & bare & (learnt == "clean")], n_resamples, seed)
    behind = part[at & ~bare & (part["denoiser"] != "oracle") & (learnt == "clean")]
    scores = {name: evaluation.uar(p["y_true"], p["y_pred"]) for name, p in behind.groupby("denoiser")}
    top = max(scores, key=scores.get) if scores else ""
    clean, trained = (_uar(part[m]) for m in (~heard & bare & (learnt == "clean"), at & bare & (learnt == "noisy")))
    return [float(snr), clean, noisy, low, high, scores.get(top, float("nan")), top, trained, n_clips, n_speakers]


def _uar(table: pd.DataFrame) -> float:
    return evaluation.uar(table["y_true"], table["y_pred"]) if len(table) else float("nan")


def _spelled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its condition in parts; an absent part is empty."""
    parsed = {text: spelled(text) for text in table["condition"].unique()}
    told = pd.DataFrame([parsed[text] for text in table["condition"]], index=table.index)
    return table.assign(**told)


def spelled(condition: str) -> dict[str, object]:
    """Parts of a condition.

    Examples
    --------
    >>> spelled("noise=rain;snr_db=5;denoiser=dtln"), spelled("clean;denoiser=dtln")["noise"]
    ({'noise': 'rain', 'snr_db': 5.0, 'denoiser': 'dtln'}, '')
    """
    parts = dict(part.split("=", 1) for part in condition.split(";") if "=" in part)
    return {
        "noise": parts.get("noise", ""),
        "snr_db": float(parts.get("snr_db", "inf")),
        "denoiser": parts.get("denoiser", "").replace("none", ""),
    }


def save(table: pd.DataFrame, profile: str, name: str) -> Path:
    """Write ``reports/<profile>/tables/09_<name>.csv`` with six decimals: equal tables give equal bytes."""
    file = study.paths(profile).reports / "tables" / f"09_{name}.csv"
    with study.atomic(file) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n", encoding="utf-8")
    return file


# --- costs --------------------------------------------------------------------------------------------------------


def trainings(profile: str) -> dict[int, Path]:
    """Trainings of the run by their answers, as :func:`evaluation.artefacts.find` wants them."""
    return evaluation.artefacts.index(*(study.paths(profile).derived / name for name in CACHES))


def costs(profile: str, predictions: pd.DataFrame, leaders: pd.DataFrame, known: Mapping[int, Path]) -> pd.DataFrame:
    """What the best system of each family costs, as far as the run has measured it.

    Parameters
    ----------
    profile : str
    predictions, leaders : pd.DataFrame
        From :func:`families.best`.
    known : mapping
        From :func:`trainings`.

    Returns
    -------
    pd.DataFrame
        ``corpus, family, model, UAR, parameters``; ``multiply_adds`` and ``ms`` of one clip of 3 s on one thread, and
        ``real_time_factor`` of that; ``train_s``, mean seconds of one fold. NaN where nothing measured it: ensembles
        and fusions of saved answers train nothing, and classic models are not timed clip by clip.
    """
    nets = _nets(profile)
    rows = []
    for row in leaders.itertuples():
        folders = evaluation.artefacts.find(answers(predictions, row), known).values()
        facts = [json.loads((folder / "facts.json").read_text(encoding="utf-8")) for folder in folders]
        net = nets.get(row.model, {}) if row.notebook in ("04_lstm", "05_cnn") else {}
        size = net.get(
            "parameters", max((fact.get("n_parameters", float("nan")) for fact in facts), default=float("nan"))
        )
        spent = [fact["wall_s"] for fact in facts if "wall_s" in fact]
        ms = net.get("ms", float("nan"))
        rows.append(
            {"corpus": row.corpus, "family": row.family, "model": row.model, "UAR": row.UAR, "parameters": size}
            | {"multiply_adds": net.get("multiply_adds", float("nan")), "ms": ms, "real_time_factor": ms / 3000}
            | {"train_s": sum(spent) / len(spent) if spent else float("nan"), "n_folds": len(facts)}
        )
    return pd.DataFrame(rows)


def _nets(profile: str) -> dict[str, dict[str, float]]:
    """Measured cost of each net of the run by name; of two of one name the larger."""
    found: dict[str, dict[str, float]] = {}
    for file in sorted((study.paths(profile).derived / "costs").glob("*/cost.json")):
        name = json.loads(file.with_name("key.json").read_text(encoding="utf-8"))["model"]
        cost = json.loads(file.read_text(encoding="utf-8"))
        if cost["parameters"] > found.get(name, {}).get("parameters", 0):
            found[name] = cost
    return found


def denoisers(profile: str) -> pd.DataFrame | None:
    """Real-time factor, latency and parameters of each denoiser, from 06; None where it did not run."""
    file = study.paths(profile).reports / "tables" / "06_denoisers.csv"
    return pd.read_csv(file) if file.is_file() else None


def pages(profile: str) -> pd.DataFrame:
    """Wall time and peak memory of each notebook's last run: ``notebook, minutes, peak_mb, status``."""
    records = load_records(study.paths(profile).records)
    rows = [
        (name, record["wall_s"] / 60, record["peak_rss_mb"], record["status"])
        for name, record in sorted(records.items())
        if record.get("wall_s") is not None
    ]
    return pd.DataFrame(rows, columns=["notebook", "minutes", "peak_mb", "status"])


def calibration(
    predictions: pd.DataFrame, leaders: pd.DataFrame, known: Mapping[int, Path], *, n_bins: int = 10
) -> tuple[pd.DataFrame, dict[tuple[str, str], pd.DataFrame]]:
    """Calibration and selective answers of the best system of each family.

    Returns
    -------
    table : pd.DataFrame
        ``corpus, family, model`` and :data:`evaluation.calibration.CALIBRATION` (over the folds with validation
        answers), ``risk`` (share of wrong answers), ``risk_80`` (when the surest 80 % are answered), ``area`` (under
        the risk–coverage curve), ``why`` (empty, or why no temperature is known).
    clips : dict
        (corpus, family) → ``right, sure`` and, where known, ``sure_scaled`` of each answer.
    """
    rows, clips = [], {}
    for row in leaders.itertuples():
        part = answers(predictions, row)
        labels = evaluation.classes(part["y_true"], part["y_pred"])
        columns = [f"p_{label}" for label in labels]
        told = pd.DataFrame({"right": (part["y_true"] == part["y_pred"]).to_numpy(), "sure": part[columns].max(axis=1)})
        held = evaluation.calibration.validations(evaluation.artefacts.find(part, known))
        scaled, temperatures = evaluation.calibration.calibrated(part, held, labels)
        facts: dict[str, object] = {
            "n_clips": len(told),
            "ECE": evaluation.calibration.ece(told["sure"], told["right"], n_bins=n_bins),
        }
        if len(scaled):
            facts = evaluation.calibration.calibration(scaled, temperatures, n_bins=n_bins)
            told = scaled
        points = evaluation.selective.curve(told["sure"].to_numpy(), told["right"].to_numpy())
        risks = {
            "risk": evaluation.selective.risk_at(points, 1.0),
            "risk_80": evaluation.selective.risk_at(points, 0.8),
        }
        why = "" if len(scaled) else f"{NOT_RUN}: no validation answers were kept"
        first = {"corpus": row.corpus, "family": row.family, "model": row.model}
        rows.append(first | facts | risks | {"area": evaluation.selective.area(points), "why": why})
        clips[row.corpus, row.family] = told
    return pd.DataFrame(rows), clips


def coverages(board: pd.DataFrame, *, n_trials: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How often intervals hold the truth in corpora like those of a headline table (:func:`evaluation.coverage`).

    Parameters
    ----------
    board : pd.DataFrame
        One row per corpus, of two known speakers or more; its UAR is the true score of the simulation.
    n_trials, seed : int

    Returns
    -------
    pd.DataFrame
        ``corpus, n_speakers, UAR, speakers, middle, clips``: percent of each kind of interval.
    """
    rows = []
    for row in board.itertuples():
        known = {"score": min(max(row.UAR, 0.02), 0.98), "clips": max(round(row.n_clips / row.n_speakers), 1)}
        found = {
            kind: 100 * evaluation.coverage(row.n_speakers, kind=kind, n_trials=n_trials, seed=seed, **known)
            for kind in evaluation.intervals.KINDS
        }
        rows.append({"corpus": row.corpus, "n_speakers": row.n_speakers, "UAR": row.UAR} | found)
    return pd.DataFrame(rows, columns=["corpus", "n_speakers", "UAR", *evaluation.intervals.KINDS])
