"""Families, claims, ladder, noise and costs, from small tables of predictions that were saved as a run saves them."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from test_evaluation import EMOTIONS, predictions

from ser_utils import evaluation, study
from ser_utils.overview import families, public, summaries, words


def probabilities(table):
    """The table with the answers as sure probabilities."""
    return table.assign(**{f"p_{name}": (table["y_pred"] == name).astype(float) for name in EMOTIONS})


def system(**names):
    """Predictions of one system on the corpus demo; `right` is the share of right answers."""
    right = names.pop("right", 0.6)
    truth = predictions(n_speakers=8, per_speaker=20)
    told = predictions(n_speakers=8, per_speaker=20, right=right, seed=len(str(names)))["y_pred"]
    chosen = told.where(told.index % 10 >= 10 * right, truth["y_true"])
    return probabilities(truth.assign(y_pred=chosen, **names))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that left headline predictions of 02, 04 and 07, a ladder and a noise grid."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    parts = {
        "02_features": [system(model="svm_rbf", right=0.7), system(model="knn", right=0.4)],
        "04_lstm": [system(model="lstm", right=0.5), system(model="lstm+ensemble2", right=0.6)],
        "07_pretrained_fusion": [
            system(model="linear_probe", features="byol_s:mean", right=0.8),
            system(model="linear_probe", features="egemaps", right=0.9),
            system(model="mean", features="several", right=0.3),
        ],
    }
    rungs = {"twice": 0.9, "random": 0.8, "unseen": 0.5}
    parts["02_ladder"] = [system(model="svm_rbf", split=rung, right=right) for rung, right in rungs.items()]
    heard = {"clean": 0.8, "noise=rain;snr_db=5": 0.4, "noise=rain;snr_db=20": 0.7}
    heard |= {"noise=rain;snr_db=5;denoiser=wiener": 0.5, "noise=rain;snr_db=5;denoiser=oracle": 0.9}
    parts["06_grid"] = [system(model="svm_rbf", condition=name, right=right) for name, right in heard.items()]
    parts["06_grid"].append(system(model="svm_rbf", condition="noise=rain;snr_db=5", train_regime="noisy", right=0.6))
    for name, tables in parts.items():
        evaluation.save_predictions(pd.concat(tables, ignore_index=True), "demo", name)
    return study.paths("demo")


def leaders():
    table = evaluation.load_predictions("demo")
    board = evaluation.headline(evaluation.results_table(table, n_resamples=100))
    return table, families.best(families.placed(board, families.made_by("demo")))


def test_each_family_is_led_by_its_best_and_references_lead_nothing(run):
    _, best = leaders()
    assert best["family"].tolist() == ["pretrained", "classic", "ensemble", "LSTM", "fusion"]
    assert best.set_index("family").loc["classic", ["model", "notebook"]].tolist() == ["svm_rbf", "02_features"]


def test_families_are_compared_with_the_best_on_the_same_clips(run):
    table, best = leaders()
    gaps = families.compared(table, best, n_resamples=200).set_index("family")
    parts = {row.family: families.answers(table, row) for row in best.itertuples()}
    uar = {name: evaluation.uar(part["y_true"], part["y_pred"]) for name, part in parts.items()}
    for name, row in gaps.iterrows():
        assert row["difference"] == pytest.approx(uar[name] - uar["pretrained"])
        assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert (gaps.loc["fusion", list(families.TESTS)] < 0.05).all()
    assert gaps.loc["fusion", "p_swap"] == pytest.approx(4 * 2 / 2**8)  # Holm over four families


def test_claims_stand_beside_what_was_run_and_the_rest_is_not_run(run):
    claims = public.side_by_side("demo", ["demo"], n_resamples=100).set_index("claim")
    steps = summaries.ladder("demo", n_resamples=100).set_index("rung")
    first = claims.loc["SVM on 110 statistics"]
    assert first["same protocol here"] == f"{100 * steps.loc['random', 'WA']:.1f}"
    assert first["unseen speakers here"].startswith(f"{100 * steps.loc['unseen', 'WA']:.1f} [")
    assert claims.loc["ResNet-50 on mp3 with effects", "unseen speakers here"] == public.NOT_RUN
    noisy = claims.loc["clean, noisy, and noisy behind MetricGAN+"]
    assert noisy["same protocol here"] == public.NOT_RUN
    assert (public.side_by_side("demo", ["tess"])["here on"] == "none").all()


def test_a_claim_about_people_is_not_answered_with_synthetic_speech_where_people_are(run):
    assert next(name for name in public.CLAIMS[0].corpora if name in ["demo", "ravdess"]) == "ravdess"
    assert public.side_by_side("demo", ["demo", "ravdess"], n_resamples=50)["unseen speakers here"].iloc[0] == "not run"


def test_the_noise_summary_takes_the_best_real_denoiser_at_five_db(run):
    row = summaries.noise("demo", n_resamples=100).iloc[0]
    assert (row["snr_db"], row["denoiser"]) == (5.0, "wiener")
    assert row["noisy"] < row["denoised"] < row["trained"] < row["clean"]
    grid = public.saved("demo", "06_grid")
    part = grid[(grid["condition"] == "noise=rain;snr_db=5") & (grid["train_regime"] == "clean")]
    assert row["noisy"] == pytest.approx(evaluation.uar(part["y_true"], part["y_pred"]))


def test_costs_come_from_the_trainings_of_the_very_predictions(run):
    table, best = leaders()
    for i, (fold, part) in enumerate(system(model="lstm", right=0.5).groupby("fold")):
        folder = run.derived / "folds" / str(fold)
        folder.mkdir(parents=True)
        part.drop(columns=["model"]).to_parquet(folder / "predictions.parquet")
        (folder / "facts.json").write_text(json.dumps({"n_parameters": 500, "wall_s": 2.0 + 2 * (i % 2)}))
    (run.derived / "costs" / "x").mkdir(parents=True)
    (run.derived / "costs" / "x" / "key.json").write_text(json.dumps({"model": "lstm"}))
    cost = {"parameters": 512, "multiply_adds": 1000, "ms": 3.0}
    (run.derived / "costs" / "x" / "cost.json").write_text(json.dumps(cost))
    costs = summaries.costs("demo", table, best, summaries.trainings("demo")).set_index("family")
    assert costs.loc["LSTM", ["parameters", "ms", "real_time_factor", "train_s"]].tolist() == [512, 3.0, 0.001, 3.0]
    assert costs.loc["classic", ["parameters", "train_s"]].isna().all()  # nothing measured it
    calibration, clips = summaries.calibration(table, best, summaries.trainings("demo"))
    assert calibration["why"].str.startswith(public.NOT_RUN).all()
    assert len(clips) == len(best)


def test_without_other_notebooks_nothing_is_invented(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    assert summaries.ladder("demo").empty
    assert summaries.noise("demo").empty
    assert summaries.denoisers("demo") is None
    assert summaries.pages("demo").empty
    assert (
        words.conclusions(
            pd.DataFrame(columns=["corpus", "split"]), *[pd.DataFrame(columns=["corpus", "model"])] * 2, {}
        )
        == []
    )


def test_conclusions_follow_the_numbers(run):
    _, best = leaders()
    steps, heard = summaries.ladder("demo", n_resamples=50), summaries.noise("demo", n_resamples=50)
    lines = words.conclusions(best, steps, heard, {"demo": True})
    assert "synthetic speech; says nothing about people" in lines[0]
    assert f"the best family is pretrained (linear_probe on byol_s:mean), UAR {best['UAR'].iloc[0]:.3f}" in lines[0]
    gap = steps.set_index("rung")["UAR"]
    assert f"{gap['random'] - gap['unseen']:+.2f} come from knowing the voices" in lines[1]
    assert "behind wiener" in lines[2]


def test_the_headline_names_the_cells_and_the_file_that_made_it(run):
    _, best = leaders()
    told = words.made(best)
    assert "pretrained in [07 · " in told
    assert (
        "(07_pretrained_fusion.ipynb#Frozen-encoders-on-unseen-speakers) (`predictions/07_pretrained_fusion.p" in told
    )
    assert "classic in [02 · Acoustic features and classic models](02_features.ipynb#Classic-models)" in told
    for notebook, kind in families.SCORED_AT:  # every heading exists
        text = (study.ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
        assert f'"## {families.SCORED_AT[notebook, kind].replace("-", " ")}' in text


def test_coverages_are_those_of_the_corpora_of_the_board(run):
    board = pd.DataFrame({"corpus": ["demo", "tess"], "n_speakers": [10, 2], "n_clips": [700, 40], "UAR": [0.6, 1.0]})
    found = summaries.coverages(board, n_trials=400)
    assert found["corpus"].tolist() == ["demo", "tess"]
    expected = 100 * evaluation.coverage(10, score=0.6, clips=70, n_trials=400)
    assert found.loc[0, "speakers"] == pytest.approx(expected)
    assert found.loc[0, "clips"] < found.loc[0, "middle"] < found.loc[0, "speakers"]
    assert f"in {found['middle'].min():.0f} % at worst" in words.held(found)
