"""Precisions, tests over many systems, calibration, selective answers, groups and errors: against known numbers."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn.metrics import f1_score, precision_score
from test_evaluation import EMOTIONS, predictions

from ser_utils import evaluation, study
from ser_utils.evaluation import artefacts, calibration, errors, selective, several


def test_precisions_and_weighted_means_agree_with_scikit_learn():
    table = predictions(right=0.4)
    y, p = table["y_true"], table["y_pred"]
    ours = evaluation.metrics(evaluation.confusion(y, p, EMOTIONS), EMOTIONS)
    for average in ("macro", "weighted"):
        assert ours[f"{average}_precision"] == pytest.approx(precision_score(y, p, average=average))
    assert ours["weighted_F1"] == pytest.approx(f1_score(y, p, average="weighted"))


# --- intervals ---


def corpus(rng, *, n, score, clips=20, spread=0.8):
    """Three emotions by `n` speakers, each of them easier or harder for everyone, and each emotion of each speaker too;
    the mean recall over all people is `score`."""
    people = np.random.default_rng(1).normal(0, np.hypot(spread, 0.4), 100_000)
    centre = optimize.brentq(lambda at: (1 / (1 + np.exp(-at - people))).mean() - score, -9, 9)
    ease = centre + rng.normal(0, spread, (n, 1)) + rng.normal(0, 0.4, (n, 3))
    right = rng.binomial(clips, 1 / (1 + np.exp(-ease)))
    counts = np.zeros((n, 3, 3))
    counts[:, range(3), range(3)] = right
    counts[:, range(3), [1, 2, 0]] = clips - right
    return counts


@pytest.mark.parametrize(("n", "score"), [(10, 0.4), (24, 0.9)])
def test_speaker_intervals_cover_a_known_uar_and_clip_intervals_do_not(n, score):
    """Through the real bootstrap, that of a score and that of every clip as a speaker of its own."""
    rng, labels, n_trials = np.random.default_rng(n), ["angry", "happy", "sad"], 200
    held = {"speakers": 0, "clips": 0}
    for trial in range(n_trials):
        counts = corpus(rng, n=n, score=score)
        low, high = evaluation.bootstrap(counts, labels, n_resamples=1000, seed=trial)["UAR"]
        held["speakers"] += low <= score <= high
        cells = [np.zeros((3, 3)) for _ in range(9)]
        for i, cell in enumerate(cells):
            cell[i // 3, i % 3] = 1
        clips = np.repeat(np.array(cells), counts.sum(axis=0).astype(int).ravel(), axis=0)
        low, high = evaluation.bootstrap(clips, labels, n_resamples=300, seed=trial)["UAR"]
        held["clips"] += low <= score <= high
    assert 0.92 <= held["speakers"] / n_trials <= 0.98
    assert held["clips"] / n_trials < 0.8


def test_intervals_of_differences_cover_a_known_difference():
    """Two systems that share what makes a speaker hard; the second one is worse by 0.08."""
    rng, hits, n_trials = np.random.default_rng(3), 0, 200
    people = pd.DataFrame({"speaker": np.repeat([f"s{i:02}" for i in range(10)], 20)})
    frame = people.assign(clip_id=[f"c{i}" for i in people.index], y_true=["happy", "sad"] * 100)
    wrong = frame["y_true"].map({"happy": "sad", "sad": "happy"})
    for trial in range(n_trials):
        ease = np.clip(rng.normal(0.6, 0.12, 10), 0.2, 0.95)
        gap = np.clip(rng.normal(0.08, 0.05, 10), -0.04, 0.2)
        told = [rng.random(200) < np.repeat(chance, 20) for chance in (ease, ease - gap)]
        a, b = (frame.assign(y_pred=frame["y_true"].where(right, wrong)) for right in told)
        _, low, high = evaluation.difference(b, a, n_resamples=500, seed=trial)
        hits += low <= -0.08 <= high
    assert 0.92 <= hits / n_trials <= 0.98


@pytest.mark.parametrize("n", [10, 24, 30, 90])
def test_the_simulation_says_that_intervals_hold_and_that_the_usual_ones_do_not(n):
    for score, clips in ((0.35, 56), (0.6, 10), (0.9, 56)):
        options = {"score": score, "clips": clips, "n_resamples": 500}
        assert 0.92 <= evaluation.coverage(n, **options) <= 0.98
        assert evaluation.coverage(n, kind="clips", **options) < 0.87
    assert evaluation.coverage(10, kind="middle", n_resamples=1000) < 0.92


def test_few_speakers_are_covered_too_where_the_middle_of_the_draws_fails():
    for n, middle in ((2, 0.6), (4, 0.85)):
        assert 0.9 < evaluation.coverage(n, n_resamples=1000) <= 0.98
        assert evaluation.coverage(n, kind="middle", n_resamples=1000) < middle
    with pytest.raises(study.UserError, match="kind of interval 'words' is unknown"):
        evaluation.coverage(10, kind="words")


# --- many systems ---


def test_wilcoxon_is_scipys_over_speakers():
    a, b = predictions(n_speakers=12, right=0.7), predictions(n_speakers=12, right=0.4, seed=1)
    b = b.drop(columns="y_true").merge(a[["clip_id", "y_true"]], on="clip_id")
    median, p, n = evaluation.wilcoxon(a, b)
    gaps = [
        evaluation.uar(x["y_true"], x["y_pred"]) - evaluation.uar(y["y_true"], y["y_pred"])
        for (_, x), (_, y) in zip(a.groupby("speaker"), b.groupby("speaker"), strict=True)
    ]
    assert (median, n) == (pytest.approx(np.median(gaps)), 12)
    assert p == pytest.approx(stats.wilcoxon(gaps).pvalue)
    assert evaluation.wilcoxon(a, a)[1] == 1.0
    assert np.isnan(evaluation.wilcoxon(*[part[part["speaker"] == "demo_00"] for part in (a, b)])[1])


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_those_of_demsars_table(k, q):
    scores = pd.DataFrame(np.random.default_rng(k).random((14, k)), columns=[f"s{i}" for i in range(k)])
    found = evaluation.ranking(scores)
    assert found.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), rel=1e-3)
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    assert found.ranks.mean() == pytest.approx((k + 1) / 2)


def test_cliques_are_the_longest_runs_that_are_not_told_apart():
    ranks = pd.Series({"a": 1.0, "b": 1.8, "c": 2.6, "d": 4.5})
    found = several.Ranking(ranks, 9.0, 0.01, 1.0, 5)
    assert found.cliques() == [["a", "b"], ["b", "c"]]
    with pytest.raises(study.UserError, match="2 blocks and 3 systems"):
        evaluation.ranking(pd.DataFrame({"a": [0.1], "b": [0.2], "c": [0.3]}))


def test_permuted_labels_fall_to_chance_and_answers_lie_above():
    table = predictions(right=0.6)
    found = evaluation.permuted(table, n_permutations=200)
    assert found.mean == pytest.approx(
        1 / len(EMOTIONS), abs=0.06
    )  # speakers who speak an emotion more often leave a little
    assert found.low < found.mean < found.high < evaluation.uar(table["y_true"], table["y_pred"])
    assert found.p == pytest.approx(1 / 201)
    nothing = evaluation.permuted(predictions(right=0.0, seed=3), n_permutations=200)
    assert nothing.p > 0.02
    assert evaluation.permuted(table.sample(frac=1, random_state=0), n_permutations=50) == evaluation.permuted(
        table, n_permutations=50
    )


# --- calibration and selective answers ---


def overconfident(n=4000, *, factor=3.0, seed=0):
    """Probabilities that are right as often as they say, and the same made too sure by `factor`."""
    rng = np.random.default_rng(seed)
    honest = calibration.scaled(rng.dirichlet(np.ones(4), n), 1.0)
    truth = np.array([rng.choice(4, p=row) for row in honest])
    return honest, calibration.scaled(honest, 1 / factor), truth


def test_temperature_undoes_overconfidence_and_moves_no_answer():
    honest, sure, truth = overconfident()
    found = calibration.temperature(sure, truth)
    assert found == pytest.approx(3.0, rel=0.05)
    assert np.allclose(
        calibration.scaled(sure, 3.0), honest, atol=1e-2
    )  # where p is tiny, a floor keeps the logarithm finite
    assert (calibration.scaled(sure, found).argmax(1) == sure.argmax(1)).all()
    errors_before, errors_after = (
        calibration.ece(p.max(1), p.argmax(1) == truth) for p in (sure, calibration.scaled(sure, found))
    )
    assert errors_before > 0.15 > 0.03 > errors_after


def test_ece_equals_a_plain_loop():
    _, sure, truth = overconfident(500)
    top, right = sure.max(1), sure.argmax(1) == truth
    bins = [(top >= i / 10) & ((top < (i + 1) / 10) | (i == 9)) for i in range(10)]
    plain = sum(b.mean() * abs(top[b].mean() - right[b].mean()) for b in bins if b.any())
    assert calibration.ece(top, right) == pytest.approx(plain)
    assert calibration.reliability(top, right)["n"].sum() == 500


def answers(n, *, seed, fold=0):
    """Overconfident answers of a net as saved predictions."""
    _, p, truth = overconfident(n, seed=seed)
    table = pd.DataFrame({"clip_id": [f"c{seed}_{i}" for i in range(n)], "speaker": "s", "fold": fold, "seed": 0})
    table["y_true"] = np.array(EMOTIONS)[truth]
    table["y_pred"] = np.array(EMOTIONS)[p.argmax(1)]
    return table.assign(**{f"p_{e}": p[:, i] for i, e in enumerate(EMOTIONS)})


def test_temperature_comes_from_the_validation_clips_of_the_same_net_alone(tmp_path):
    test = pd.concat([answers(300, seed=1, fold=0), answers(300, seed=2, fold=1)], ignore_index=True)
    for name, fold in (("first", 0), ("other", 7)):
        folder = tmp_path / name
        folder.mkdir()
        (answers(300, seed=1) if fold == 0 else answers(300, seed=9)).to_parquet(folder / "predictions.parquet")
        answers(2000, seed=5).to_parquet(folder / "validation.parquet")
    held = calibration.validations(artefacts.find(test, artefacts.index(tmp_path, tmp_path / "none")))
    assert list(held) == [(0, 0)]  # nobody kept validation answers of fold 1
    clips, temperatures = calibration.calibrated(test, held, EMOTIONS)
    found = calibration.calibration(clips, temperatures)
    assert (found["n_clips"], found["n_folds"]) == (300, 1)
    own = calibration.temperature(*calibration.positions(answers(2000, seed=5), EMOTIONS))
    assert found["temperature"] == pytest.approx(own)
    assert found["ECE_scaled"] < found["ECE"] / 2
    assert found["log_loss_scaled"] < found["log_loss"]
    assert calibration.calibrated(test, {}, EMOTIONS)[0].empty


def test_risk_falls_with_coverage_and_useless_confidence_has_the_overall_risk():
    sure, right = np.linspace(1, 0, 100), np.r_[np.ones(50), np.zeros(50)].astype(bool)
    points = selective.curve(sure, right)
    assert selective.risk_at(points, 0.5) == 0
    assert selective.risk_at(points, 1.0) == 0.5
    plain = np.mean([(~right[: n + 1]).mean() for n in range(100)])
    assert selective.area(points) == pytest.approx(plain)
    flat = selective.curve(np.ones(100), right)
    assert (len(flat), selective.area(flat)) == (1, 0.5)
    told = selective.threshold(sure, right)
    assert told["risk"] <= 0.75 * told["risk_of_all"] == 0.375
    assert selective.threshold(np.ones(100), right)["threshold"] is None


# --- groups and errors ---


def test_groups_find_the_worst_served():
    table = predictions(n_speakers=8, right=0.8)
    worst = table["speaker"] == "demo_03"
    table.loc[worst, "y_pred"] = table.loc[worst, "y_true"].map(
        dict(zip(EMOTIONS, EMOTIONS[1:] + EMOTIONS[:1], strict=True))
    )
    people = table[["corpus", "clip_id"]].assign(
        gender=np.where(table["speaker"] < "demo_04", "female", "male"), age_group=""
    )
    found = errors.groups(table, people, n_resamples=100)
    assert set(found["by"]) == {"gender", "speaker"}  # nobody's age is known
    gaps = errors.gaps(found).set_index("by")
    assert gaps.loc["speaker", ["worst", "worst_UAR", "n_groups"]].tolist() == ["demo_03", 0.0, 8]
    assert gaps.loc["gender", "worst"] == "female"
    women = table[table["speaker"] < "demo_04"]
    uar = found.set_index("group").loc["female", "UAR"]
    assert uar == pytest.approx(evaluation.uar(women["y_true"], women["y_pred"]))
    with pytest.raises(study.UserError, match="says nothing of age_group"):
        errors.groups(table, people, columns=["age_group"])


def test_errors_are_sorted_by_how_many_models_make_them():
    base = predictions(n_speakers=1, per_speaker=4).assign(y_true=["sad", "sad", "angry", "happy"])
    wrong = {"lstm": ["sad", "happy", "happy", "sad"], "cnn": ["sad", "happy", "angry", "sad"], "svm": ["sad"] * 4}
    table = pd.concat([base.assign(model=m, y_pred=p) for m, p in wrong.items()], ignore_index=True)
    clips = errors.clips(table)
    assert clips["n_right"].tolist() == [3, 1, 1, 0]
    assert clips["kind"].tolist() == [errors.KINDS[i] for i in (3, 1, 1, 0)]
    assert clips["usual"].tolist() == ["", "happy", "happy", "sad"]
    total = errors.taxonomy(clips).set_index("emotion").loc["all"]
    assert (total["n_clips"], total["missed by every model"], total["missed by none"]) == (4, 0.25, 0.25)
    ids = clips["clip_id"].tolist()
    votes = pd.Series([("sad",), ("happy", "sad"), ("sad",)], index=[ids[0], ids[1], ids[3]])
    people = errors.with_people(clips, votes).set_index("kind")
    assert people.loc["missed by every model", ["heard", "agree"]].tolist() == [0.0, 1.0]
    assert people.loc["missed by most", ["n_clips", "heard", "agree"]].tolist() == [1, 0.5, 1.0]
    assert people.loc["all", "n_clips"] == 3
