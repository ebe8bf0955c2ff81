"""Scores against scikit-learn, intervals against a plain loop, and tables that refuse what would give a wrong score."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from ser_utils import evaluation, study

EMOTIONS = ["angry", "happy", "neutral", "sad"]


def predictions(*, n_speakers=6, per_speaker=20, right=0.6, seeds=(0,), corpus="demo", model="lstm", seed=0, **fixed):
    """A valid table: one fold per speaker, unbalanced classes, `right` of the answers true."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"speaker": np.repeat([f"{corpus}_{i:02d}" for i in range(n_speakers)], per_speaker)})
    frame["clip_id"] = [f"clip{i:05d}" for i in range(len(frame))]
    frame["y_true"] = rng.choice(EMOTIONS, len(frame), p=[0.4, 0.3, 0.2, 0.1])
    frame["fold"] = frame["speaker"].str[-2:].astype(int)
    frames = []
    for run in seeds:
        answer = np.where(rng.random(len(frame)) < right, frame["y_true"], rng.choice(EMOTIONS, len(frame)))
        frames.append(frame.assign(y_pred=answer, seed=run))
    table = pd.concat(frames, ignore_index=True)
    one_hot = pd.get_dummies(table["y_pred"]).reindex(columns=EMOTIONS, fill_value=0).astype(float).add_prefix("p_")
    constants = {
        "run_id": "r1",
        "profile": "demo",
        "corpus": corpus,
        "corpus_version": "1.0",
        "split": "loso",
        "model": model,
        "features": "log_mel",
        "train_regime": "clean",
        "condition": "clean",
    }
    return pd.concat([table, one_hot], axis=1).assign(**(constants | fixed))


def values(results, model="lstm"):
    return results[results["model"] == model].set_index("metric")["value"].to_dict()


# --- metrics ---


def test_metrics_agree_with_scikit_learn():
    table = predictions(right=0.4)
    y, p = table["y_true"], table["y_pred"]
    ours = evaluation.metrics(evaluation.confusion(y, p, EMOTIONS), EMOTIONS)
    assert ours["UAR"] == pytest.approx(recall_score(y, p, average="macro"))
    assert ours["UAR"] == pytest.approx(evaluation.uar(y, p))
    assert ours["WA"] == pytest.approx(accuracy_score(y, p))
    assert ours["macro_F1"] == pytest.approx(f1_score(y, p, average="macro"))
    recalls = recall_score(y, p, labels=EMOTIONS, average=None)
    assert [ours[f"recall_{name}"] for name in EMOTIONS] == pytest.approx(recalls)


def test_classes_without_clips_do_not_count_but_answering_them_is_wrong():
    y, p = ["sad", "sad", "happy", "happy"], ["sad", "angry", "happy", "happy"]
    labels = evaluation.classes(pd.Series(y), pd.Series(p))
    ours = evaluation.metrics(evaluation.confusion(y, p, labels), labels)
    assert labels == ["angry", "happy", "sad"]
    assert ours["UAR"] == pytest.approx(0.75) == pytest.approx(evaluation.uar(y, p))
    assert ours["macro_F1"] == pytest.approx(f1_score(y, p, labels=["happy", "sad"], average="macro"))
    assert np.isnan(ours["recall_angry"])


@pytest.mark.parametrize(("answer", "expected"), [(None, 1.0), ("angry", 0.25)])
def test_perfect_and_constant_predictors(answer, expected):
    table = predictions(right=1.0)
    table["y_pred"] = answer or table["y_true"]
    scores = values(evaluation.results_table(table, n_resamples=50))
    assert scores["UAR"] == expected
    assert scores["WA"] == pytest.approx((table["y_true"] == table["y_pred"]).mean())


# --- bootstrap ---


def test_bootstrap_equals_a_plain_loop_over_resampled_clips():
    table = predictions(n_speakers=5, right=0.5)
    speakers = sorted(table["speaker"].unique())
    rng = np.random.default_rng(3)
    draws = rng.multinomial(5, np.full(5, 0.2), size=200)
    scores = []
    for draw in draws:
        clips = pd.concat([table[table["speaker"] == s] for s, n in zip(speakers, draw, strict=True) for _ in range(n)])
        scores.append(
            recall_score(clips["y_true"], clips["y_pred"], labels=sorted(set(clips["y_true"])), average="macro")
        )
    counts = evaluation.speaker_counts(table, EMOTIONS)
    ours = evaluation.bootstrap(counts, EMOTIONS, n_resamples=200, seed=3)["UAR"]
    value = recall_score(table["y_true"], table["y_pred"], average="macro")
    odds = 2.776445 * np.std(scores) * math.sqrt(5 / 4) / (value * (1 - value))  # Student's t, 4 degrees of freedom
    expected = [1 / (1 + (1 - value) / value * math.exp(side * odds)) for side in (1, -1)]
    assert ours == pytest.approx(expected, abs=1e-6)


def test_limits_are_those_of_students_t_and_stay_in_their_range():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.0, 0.01, 20_000)
    for n, t in ((2, 12.7062), (10, 2.2622), (91, 1.9867)):
        reach = t * draws.std() * math.sqrt(n / (n - 1))
        assert evaluation.limits(0.1, draws, n, share=False) == pytest.approx((0.1 - reach, 0.1 + reach), rel=1e-4)
        low, high = evaluation.limits(0.5, draws, n)
        assert (low + high, high - low) == pytest.approx((1, np.tanh(2 * reach)), rel=1e-4)
    assert evaluation.limits(0.99, draws, 4)[1] < 1
    assert evaluation.limits(0.9, 10 * draws, 2, share=False)[1] == 1
    assert evaluation.limits(0.5, np.full(9, 0.5), 4) == (0.5, 0.5)
    assert evaluation.limits(1.0, np.ones(9), 4) == (1.0, 1.0)
    assert np.isnan(evaluation.limits(0.5, np.full(9, np.nan), 4)).all()
    assert evaluation.limits(0.5, np.append(draws, np.nan), 4) == pytest.approx(evaluation.limits(0.5, draws, 4))
    wide = evaluation.limits(0.5, draws, 10, level=0.99)
    assert wide[1] - wide[0] > 1.3 * np.subtract(*evaluation.limits(0.5, draws, 10)[::-1])


def test_interval_comes_from_speakers_not_clips():
    """Speakers that are all right or all wrong: many clips must not narrow the interval."""
    one, zero = np.array([[50, 0], [0, 50]]), np.array([[0, 50], [50, 0]])
    low, high = evaluation.bootstrap(np.stack([one, zero] * 4), ["happy", "sad"])["UAR"]
    assert low <= 0.25
    assert high >= 0.75


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        recall = rng.beta(6, 4, size=(20, 2))  # mean 0.6
        right = rng.binomial(30, recall)
        counts = np.stack([np.diag(r) + np.fliplr(np.diag(30 - r)) for r in right])
        low, high = evaluation.bootstrap(counts, ["happy", "sad"], n_resamples=500)["UAR"]
        hits += low <= 0.6 <= high
    assert 0.92 <= hits / 300 <= 0.98


def test_same_seed_same_interval_and_one_speaker_has_none():
    counts = evaluation.speaker_counts(predictions(), EMOTIONS)
    assert evaluation.bootstrap(counts, EMOTIONS, seed=1) == evaluation.bootstrap(counts, EMOTIONS, seed=1)
    assert evaluation.bootstrap(counts, EMOTIONS, seed=1) != evaluation.bootstrap(counts, EMOTIONS, seed=2)
    assert np.isnan(evaluation.bootstrap(counts[:1], EMOTIONS)["UAR"]).all()


def test_ten_thousand_clips_in_two_seconds():
    counts = evaluation.speaker_counts(predictions(n_speakers=91, per_speaker=110), EMOTIONS)
    start = time.process_time()
    evaluation.bootstrap(counts, EMOTIONS, seed=99)
    assert time.process_time() - start < 2


# --- differences and coverage ---


def test_a_difference_equals_a_plain_loop_over_resampled_clips():
    a, b = predictions(n_speakers=5, right=0.7), predictions(n_speakers=5, right=0.4, model="cnn")
    b["y_pred"] = np.random.default_rng(7).permutation(b["y_pred"])
    speakers = sorted(a["speaker"].unique())
    gaps = []
    for draw in np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=200):
        names = [s for s, n in zip(speakers, draw, strict=True) for _ in range(n)]
        one, two = (pd.concat([table[table["speaker"] == s] for s in names]) for table in (a, b))
        gaps.append(evaluation.uar(one["y_true"], one["y_pred"]) - evaluation.uar(two["y_true"], two["y_pred"]))
    value, *limits = evaluation.difference(a, b, n_resamples=200, seed=3)
    assert value == pytest.approx(evaluation.uar(a["y_true"], a["y_pred"]) - evaluation.uar(b["y_true"], b["y_pred"]))
    reach = 2.776445 * np.std(gaps) * math.sqrt(5 / 4)
    assert limits == pytest.approx([value - reach, value + reach], abs=1e-6)
    back = evaluation.difference(b, a, n_resamples=200, seed=3)
    assert back == pytest.approx((-value, -limits[1], -limits[0]))


def test_overlapping_intervals_may_hide_a_sure_difference():
    """Speakers differ a lot, yet one model is a little better on each of them."""
    frame = pd.DataFrame({"speaker": np.repeat([f"s{i}" for i in range(8)], 40)})
    frame = frame.assign(clip_id=[f"c{i}" for i in frame.index], y_true=["happy", "sad"] * 160)
    place, hard = frame.index % 40, np.repeat(np.arange(8) * 4, 40)
    wrong = frame["y_true"].map({"happy": "sad", "sad": "happy"})
    a, b = (frame.assign(y_pred=frame["y_true"].where(place >= hard + more, wrong)) for more in (0, 4))
    own = [
        evaluation.bootstrap(evaluation.speaker_counts(t, ["happy", "sad"]), ["happy", "sad"])["UAR"] for t in (a, b)
    ]
    assert own[0][0] < own[1][1]
    assert evaluation.difference(a, b) == pytest.approx((0.1, 0.1, 0.1))


def test_only_shared_clips_are_compared_and_one_speaker_gives_no_interval():
    a = predictions()
    b = a[a["speaker"] == "demo_00"]
    value, low, high = evaluation.difference(a, b)
    assert value == 0
    assert np.isnan([low, high]).all()
    with pytest.raises(study.UserError, match="share no clip"):
        evaluation.difference(a[a["speaker"] != "demo_00"], b)


def test_every_system_is_compared_with_the_best_of_its_task():
    tables = [predictions(model="a", right=0.2), predictions(model="b", right=0.9), predictions(model="c", right=0.6)]
    noisy = predictions(model="b", right=1.0, condition="noise=rain;snr_db=5;denoiser=none")
    table = pd.concat([*tables, noisy, predictions(corpus="emodb")], ignore_index=True)
    found = evaluation.differences(table, n_resamples=50)
    assert found[["corpus", "model"]].to_numpy().tolist() == [["demo", "c"], ["demo", "a"]]
    expected = evaluation.difference(tables[2], tables[1], n_resamples=50)
    assert tuple(found.loc[0, ["difference", "ci_low", "ci_high"]]) == expected
    assert expected[0] < 0
    assert found["n_clips"].tolist() == [120, 120]


def test_the_middle_of_the_draws_of_few_speakers_holds_the_truth_less_often_than_it_says():
    """Scores of speakers are nearly normal here, for which Student's t says how often such an interval holds."""
    found = [evaluation.coverage(n, kind="middle") for n in (4, 6, 10, 30)]
    assert found == sorted(found)
    assert found[-1] < 0.95
    for n, share in zip((6, 10, 30), found[1:], strict=True):
        expected = 2 * stats.t.cdf(1.96 * np.sqrt((n - 1) / n), n - 1) - 1
        assert share == pytest.approx(expected, abs=0.02)
    assert evaluation.coverage(4, kind="middle") == found[0]


# --- results ---


def test_results_have_the_contracted_columns_and_do_not_depend_on_row_order():
    table = predictions()
    results = evaluation.results_table(table, n_resamples=100)
    expected = (
        "corpus corpus_version split model features train_regime condition metric value ci_low ci_high n_clips "
        "n_speakers n_seeds run_id"
    )
    assert list(results) == expected.split()
    assert set(results["model"]) == {"lstm", "chance", "majority"}
    shuffled = evaluation.results_table(table.sample(frac=1, random_state=1), n_resamples=100)
    pd.testing.assert_frame_equal(results, shuffled)


def test_seeds_of_one_model_are_averaged_and_clips_counted_once():
    table = predictions(seeds=(0, 1, 2))
    results = evaluation.results_table(table, n_resamples=100)
    singles = [values(evaluation.results_table(t, n_resamples=10))["UAR"] for _, t in table.groupby("seed")]
    assert values(results)["UAR"] == pytest.approx(np.mean(singles))
    assert len(set(singles)) > 1
    row = results[results["model"] == "lstm"].iloc[0]
    assert (row["n_clips"], row["n_speakers"], row["n_seeds"]) == (120, 6, 3)
    assert results[results["model"] == "majority"].iloc[0]["n_clips"] == 120


def test_systems_and_corpora_are_scored_apart():
    tables = [predictions(), predictions(model="cnn", right=0.9), predictions(corpus="emodb", right=0.1)]
    table = pd.concat(tables, ignore_index=True)
    results = evaluation.results_table(table, n_resamples=10)
    for part in tables:
        key = part.iloc[0][["corpus", "model"]]
        found = results[(results["corpus"] == key["corpus"]) & (results["model"] == key["model"])]
        assert values(found, key["model"])["UAR"] == pytest.approx(evaluation.uar(part["y_true"], part["y_pred"]))


def test_chance_is_the_expected_score_of_a_uniform_guess():
    table = predictions(per_speaker=100)
    scores = values(evaluation.results_table(table, n_resamples=10), "chance")
    assert scores["UAR"] == scores["WA"] == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    guesses = [f1_score(table["y_true"], rng.choice(EMOTIONS, len(table)), average="macro") for _ in range(200)]
    assert scores["macro_F1"] == pytest.approx(np.mean(guesses), abs=0.005)


def test_majority_is_learnt_from_the_other_folds():
    """Two folds whose own majorities are opposite: the training majority is always wrong."""
    table = predictions(n_speakers=2, right=1.0)
    table["y_true"] = np.where(table["fold"] == 0, "sad", "happy")
    scores = values(evaluation.results_table(table, n_resamples=10), "majority")
    assert scores["WA"] == 0


def test_headline_is_wide_sorted_and_warns_of_few_speakers():
    table = pd.concat([predictions(right=0.3), predictions(model="cnn", right=0.9)], ignore_index=True)
    rows = evaluation.headline(evaluation.results_table(table, n_resamples=100))
    assert list(rows["model"][:2]) == ["cnn", "lstm"]
    assert set(rows["model"][2:]) == {"chance", "majority"}
    assert (rows["ci_low"] <= rows["UAR"]).all()
    assert rows["note"][:2].str.contains("6 speakers").all()
    assert (rows["note"][2:] == "").all()
    many = evaluation.headline(evaluation.results_table(predictions(n_speakers=12), n_resamples=100))
    assert (many["note"] == "").all()


def test_uar_by_speaker():
    table = predictions()
    by = evaluation.uar_by(table, "speaker", n_resamples=10).set_index("speaker")
    first = table[table["speaker"] == "demo_00"]
    assert by.loc["demo_00", "UAR"] == pytest.approx(evaluation.uar(first["y_true"], first["y_pred"]))
    assert np.isnan(by.loc["demo_00", "ci_low"])


# --- clips whose speaker nobody knows ---


def test_without_speakers_every_clip_is_drawn_alone_and_the_report_is_told():
    table = predictions(per_speaker=40).assign(speaker="")
    results = evaluation.results_table(table, n_resamples=400)
    assert set(results["n_speakers"]) == {0}
    alone = evaluation.results_table(table.assign(speaker=table["clip_id"]), n_resamples=400)
    ours, theirs = (part.set_index(["model", "metric"])[["ci_low", "ci_high"]] for part in (results, alone))
    pd.testing.assert_frame_equal(ours, theirs)
    board = evaluation.headline(results)
    assert board["note"].tolist() == ["speakers unknown: independence cannot be checked", "", ""]
    assert evaluation.uar_by(table, "speaker", n_resamples=10)["n_speakers"].tolist() == [0]
    more = pd.concat([table, table.assign(model="cnn", y_pred=table["y_true"])], ignore_index=True)
    assert evaluation.differences(more, n_resamples=50)["n_speakers"].tolist() == [0]


def test_known_speakers_count_beside_unknown_ones():
    table = predictions(n_speakers=4)
    table["speaker"] = table["speaker"].replace("demo_00", "")
    assert len(evaluation.speaker_counts(table, EMOTIONS)) == 3 + 20
    assert evaluation.results_table(table, n_resamples=10)["n_speakers"].unique().tolist() == [3]


def test_thousands_of_clips_without_speakers_get_the_interval_of_shares_in_little_memory():
    """Recall of a class of n clips is a share of n: its bootstrap interval is that of the binomial distribution."""
    table = predictions(n_speakers=10, per_speaker=1200, right=0.5).assign(speaker="")
    start = time.process_time()
    counts = evaluation.speaker_counts(table, EMOTIONS)
    low, high = evaluation.bootstrap(counts, EMOTIONS)["WA"]
    assert time.process_time() - start < 2
    share = (table["y_true"] == table["y_pred"]).mean()
    assert (high - low) == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / len(table)), rel=0.05)
    assert (low + high) / 2 == pytest.approx(share, abs=0.002)


def test_differences_without_speakers_are_paired():
    """One model is right on the same clips as the other and on 120 more: the clips that both miss cancel."""
    frame = pd.DataFrame({"clip_id": [f"c{i}" for i in range(1200)], "speaker": "", "y_true": ["happy", "sad"] * 600})
    wrong = frame["y_true"].map({"happy": "sad", "sad": "happy"})
    a, b = (frame.assign(y_pred=frame["y_true"].where(frame.index < n, wrong)) for n in (720, 600))
    value, low, high = evaluation.difference(a, b)
    assert value == pytest.approx(0.1)
    assert (high - low) == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / 1200), rel=0.1)


# --- contract and files ---


def _spoil(table, name):
    changes = {
        "column": lambda t: t.drop(columns="speaker"),
        "probabilities": lambda t: t.drop(columns=[c for c in t if c.startswith("p_")]),
        "rows": lambda t: t.iloc[:0],
        "empty": lambda t: t.assign(speaker=t["speaker"].where(t.index != 3)),
        "sum": lambda t: t.assign(p_sad=t["p_sad"] + 0.01),
        "label": lambda t: t.assign(y_pred=t["y_pred"].replace("sad", "bored")),
        "case": lambda t: t.assign(model="LSTM"),
        "twice": lambda t: pd.concat([t, t.iloc[[5]]], ignore_index=True),
        "truth": lambda t: pd.concat([t, t.iloc[[5]].assign(model="cnn", y_true="disgust")], ignore_index=True),
    }
    return changes[name](table)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("column", "lack the columns speaker"),
        ("probabilities", "p_<emotion>"),
        ("rows", "no rows"),
        ("empty", "speaker is empty for clip clip00003 of demo"),
        ("sum", r"clip clip00000 of demo sum to 1\.0100"),
        ("label", "'bored'"),
        ("case", "model is 'LSTM'"),
        ("twice", "clip clip00005 of demo is predicted twice by model lstm"),
        ("truth", "clip00005 of demo has 2 different true emotions"),
    ],
)
def test_wrong_predictions_are_refused_by_name(name, message):
    with pytest.raises(study.UserError, match=message):
        evaluation.validate_predictions(_spoil(predictions(), name))


def test_predictions_of_notebooks_come_back_as_one_table(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    with pytest.raises(study.UserError, match="no predictions"):
        evaluation.load_predictions("demo")
    evaluation.save_predictions(predictions(), "demo", "04_lstm")
    boredom = predictions(corpus="emodb").assign(p_boredom=0.0)
    monkeypatch.setattr(study, "load_profile", lambda _: {"notebooks": {"04_lstm": {}, "05_cnn": {}}})
    evaluation.save_predictions(predictions(model="dropped"), "demo", "07_pretrained_fusion")  # not listed: not read
    file = evaluation.save_predictions(boredom, "demo", "05_cnn")
    assert file == tmp_path / "reports" / "demo" / "predictions" / "05_cnn.parquet"
    both = evaluation.load_predictions("demo")
    assert len(both) == 240
    assert both.groupby("corpus")["p_boredom"].count().to_dict() == {"demo": 0, "emodb": 120}


def test_results_file_is_byte_stable_and_keeps_names_as_text(tmp_path):
    results = evaluation.results_table(predictions(n_speakers=1), n_resamples=10)
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    evaluation.save_results(results, one)
    again = evaluation.load_results(one)
    evaluation.save_results(again, two)
    assert one.read_bytes() == two.read_bytes()
    assert set(again["corpus_version"]) == {"1.0"}
    assert set(again["features"]) == {"log_mel", "none"}
    assert again["ci_low"].isna().all()
    with pytest.raises(study.UserError, match="does not exist"):
        evaluation.load_results(tmp_path / "absent.csv")


def test_what_needs_other_clips_of_the_test_speaker_stands_apart_and_is_never_best():
    knowing = predictions(right=0.9, model="svm", features="egemaps+speaker_norm")
    fair = predictions(right=0.6, model="svm", features="egemaps")
    poor = predictions(right=0.3, model="knn", features="egemaps")
    table = pd.concat([knowing, fair, poor], ignore_index=True)
    board = evaluation.headline(evaluation.results_table(table, n_resamples=50))
    assert board["features"].tolist()[:3] == ["egemaps", "egemaps", "egemaps+speaker_norm"]
    assert board.loc[2, "UAR"] > board.loc[0, "UAR"] > board.loc[1, "UAR"]
    assert board.loc[2, "note"].startswith("needs the test speaker's other clips")
    gaps = evaluation.differences(table, n_resamples=50).set_index(["model", "features"])["difference"]
    assert gaps["svm", "egemaps+speaker_norm"] > 0 > gaps["knn", "egemaps"]


# --- paired tests -----------------------------------------------------------------------------------------------


def _speakers(hits: dict[str, int], *, n: int = 4) -> pd.DataFrame:
    """How many of the `n` clips of each speaker are right; one emotion."""
    rows = [(f"{who}{k}", who, "sad", "sad" if k < right else "happy") for who, right in hits.items() for k in range(n)]
    return pd.DataFrame(rows, columns=["clip_id", "speaker", "y_true", "y_pred"])


def test_swapping_speakers_tries_all_swaps_of_few():
    a, b = _speakers(dict.fromkeys("abcde", 4)), _speakers(dict.fromkeys("abcde", 2))
    assert evaluation.swap_test(a, b) == pytest.approx(2 / 2**5)
    assert evaluation.swap_test(b, a) == pytest.approx(2 / 2**5)
    assert evaluation.swap_test(a, a) == 1
    mixed = _speakers({"a": 4, "b": 0, "c": 4, "d": 0, "e": 2})
    assert evaluation.swap_test(mixed, b) == 1


def test_swapping_many_speakers_draws_and_agrees_with_all_swaps(monkeypatch):
    rng = np.random.default_rng(0)
    names = [f"s{k:02d}" for k in range(12)]
    a = _speakers({name: int(hits) for name, hits in zip(names, rng.integers(1, 5, 12), strict=True)})
    b = _speakers({name: int(hits) for name, hits in zip(names, rng.integers(0, 4, 12), strict=True)})
    exact = evaluation.swap_test(a, b)
    monkeypatch.setattr("ser_utils.evaluation.paired.MOST", 3)
    drawn = evaluation.swap_test(a, b, n_swaps=20_000)
    assert 0.1 < exact < 0.9
    assert drawn == pytest.approx(exact, abs=0.01)


def test_two_systems_without_a_shared_clip_are_not_tested():
    with pytest.raises(study.UserError, match="share no clip"):
        evaluation.swap_test(_speakers({"a": 1}), _speakers({"b": 1}))


def test_holm_raises_and_keeps_the_order():
    assert evaluation.holm([0.04, 0.01, 0.03, 0.9]).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert evaluation.holm([0.6, 0.7]).tolist() == [1, 1]
    assert evaluation.holm([]).tolist() == []
