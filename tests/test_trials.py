"""Trials of nets: what counts as a score of a corpus, and what compares beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ser_utils import corpora, evaluation, splits, study, training, trials
from ser_utils.features import Frames, FrameSpec
from ser_utils.trials import boards, leakage, mixed, running, tables, variants

RAW = {"red": ("calm", "happy", "sad"), "blue": ("neutral", "happy", "boredom")}
SPEC = FrameSpec(kind="log_mel", n_mels=4, n_mfcc=4, hop_length=16000)  # 5 frames of 4 columns
NET = ("small_cnn", "small_cnn", {"filters": 4, "strides": (2,)}, SPEC, training.Recipe(epochs=1, batch_size=16))
PROFILE = "demo"


def entry(name, **changes):
    known = {"name": name, "emotions": RAW[name], "split": "loso", "version": "1", "folds": (), "leaks": ()}
    return dataclasses.replace(corpora.CORPORA["emodb"], **known | changes)


def task(name, *, n_speakers=3, per_speaker=6, **changes):
    """Clips of a corpus and its folds, one per speaker."""
    rows = [
        {"clip_id": f"{name}_s{s}c{c}", "speaker": f"{name}_s{s}", "gender": "female" if s % 2 else "male"}
        | {"emotion": RAW[name][c % 3], "corpus": name, "corpus_version": "1", "path": f"{name}/{s}{c}.wav"}
        for s in range(n_speakers)
        for c in range(per_speaker)
    ]
    manifest = pd.DataFrame(rows).assign(sha256=lambda t: "hash of " + t["clip_id"])
    return trials.Task(entry(name, **changes), manifest, splits.make_folds(manifest, "loso"))


def sound(rows):
    """Features that give the emotion away."""
    x = np.random.default_rng(0).standard_normal((len(rows), SPEC.max_frames, 4)).astype(np.float32)
    x += rows["emotion"].map({"happy": 2, "sad": -2, "boredom": -2}).fillna(0).to_numpy()[:, None, None]
    return Frames(x, np.full(len(x), SPEC.max_frames, np.int32), rows["clip_id"].to_numpy(dtype=str))


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Toy features, and a folder for what is written."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setenv("SER_RUN_ID", "one")  # it names the second otherwise
    for module in (variants, mixed, leakage):
        monkeypatch.setattr(module, "frames", lambda one, spec, profile: sound(one.rows))
    return tmp_path


def answered(one, *, seeds=(0,), folds=None, right=0.5, **names):
    """A trial as if it had been trained: `right` is the share of right answers, and wrong ones say the next emotion."""
    rng = np.random.default_rng(len(names.get("name", "")))
    labels, results = one.entry.emotions, []
    chosen = one.folds[:folds]
    for seed in seeds:
        for fold in chosen:
            rows = one.rows.set_index("clip_id").loc[fold.test].reset_index()
            true = np.array([labels.index(emotion) for emotion in rows["emotion"]])
            guess = np.where(rng.random(len(true)) < right, true, (true + 1) % len(labels))
            chance = np.full((len(true), len(labels)), 0.1)
            chance[np.arange(len(true)), guess] = 1 - 0.1 * (len(labels) - 1)
            rows = rows[["clip_id", "speaker"]].assign(y_true=rows["emotion"], y_pred=np.array(labels)[guess])
            rows = rows.assign(**{f"p_{label}": chance[:, i] for i, label in enumerate(labels)})
            facts = {
                "fold": fold.index,
                "seed": seed,
                "n_parameters": 10,
                "best_epoch": 3,
                "val_uar": 0.5,
                "wall_s": 30,
            }
            history = pd.DataFrame({"epoch": [1], "loss": [1.0], "val_uar": [0.5], "learning_rate": [0.1]})
            results.append(training.FoldResult(rows, history, facts, None))
    known = {"name": "net", "model": "small_cnn", "arguments": {}, "spec": SPEC, "recipe": NET[-1]} | names
    return trials.Trial(trials.Variant(**known), one, chosen, results)


def test_a_trial_of_some_folds_is_no_score_of_the_corpus():
    red = task("red")
    found = [answered(red, seeds=(0, 1)), answered(red, folds=2, name="small")]
    whole = trials.predictions(found, PROFILE)
    assert set(whole["model"]) == {"net"}
    assert set(whole["split"]) == {"loso"}
    assert whole.groupby("seed")["clip_id"].nunique().tolist() == [18, 18]
    some = trials.on_folds(found, PROFILE)
    assert set(some["split"]) == {"loso_folds_1_to_2"}
    clips = some.groupby("model")["clip_id"].agg(sorted)
    assert clips["net"] == clips["small"] == sorted(np.concatenate([fold.test for fold in red.folds[:2]]))
    assert set(some["seed"]) == {0}
    evaluation.validate_predictions(pd.concat([whole, some], ignore_index=True))


def test_trials_of_all_folds_have_no_part():
    red = task("red")
    assert trials.on_folds([answered(red)], PROFILE).empty


def test_systems_of_several_seeds_get_an_ensemble_and_others_do_not():
    red = task("red")
    found = [answered(red, seeds=(0, 1)), answered(red, name="small")]
    table = trials.with_ensembles(trials.predictions(found, PROFILE))
    assert table.groupby("model")["clip_id"].size().to_dict() == {"net": 36, "net+ensemble2": 18, "small": 18}
    alone = trials.predictions(found[1:], PROFILE)
    assert trials.with_ensembles(alone) is alone


def test_seven_emotions_share_the_probability():
    table = trials.predictions([answered(task("red")), answered(task("blue"))], PROFILE)
    seven = trials.to_seven(table)
    columns = [column for column in seven if column.startswith("p_")]
    assert sorted(columns) == ["p_happy", "p_neutral", "p_sad"]
    assert set(seven["split"]) == {"loso_7"}
    assert (table["y_true"] == "boredom").sum() == len(table) - len(seven) == 6
    assert np.allclose(seven[columns].sum(axis=1), 1)
    assert seven.loc[seven["corpus"] == "blue", "p_sad"].isna().all()  # that corpus has none
    assert (seven[columns].idxmax(axis=1) == "p_" + seven["y_pred"]).all()
    evaluation.validate_predictions(seven)


def test_what_compares_with_a_merged_training_is_on_its_clips():
    own = trials.predictions([answered(task("red"), seeds=(0, 1)), answered(task("blue"))], PROFILE)
    merged = trials.to_seven(own)
    merged = merged[(merged["fold"] < 1) & (merged["seed"] == 0)].assign(split="loso_7_fold_1", train_regime="merged")
    rows = trials.beside(own, merged)
    key = ["corpus", "clip_id", "seed", "split"]
    assert sorted(rows[key].to_numpy().tolist()) == sorted(merged[key].to_numpy().tolist())
    evaluation.validate_predictions(pd.concat([rows, merged], ignore_index=True))


def test_what_is_no_headline_lies_in_files_of_its_own(out):
    table = trials.predictions([answered(task("red")), answered(task("blue"))], PROFILE)
    aside = trials.Aside(PROFILE, "04_beside", n_resamples=50)
    assert aside.add(pd.DataFrame()).empty
    red = aside.add(table[table["corpus"] == "red"])
    blue = aside.add(table[table["corpus"] == "blue"])
    assert (set(red["corpus"]), set(blue["corpus"])) == ({"red"}, {"blue"})
    reports = out / "reports" / PROFILE
    assert [file.name for file in sorted(reports.rglob("*")) if file.is_file()] == [
        "04_beside.parquet",
        "04_beside.csv",
    ]
    stored = evaluation.load_results(reports / "results" / "04_beside.csv")
    pd.testing.assert_frame_equal(stored[stored["corpus"] == "red"].reset_index(drop=True), red)
    assert len(pd.read_parquet(reports / "predictions" / "04_beside.parquet")) == len(table)


def test_mistakes_are_the_surest_ones_and_differ():
    one = answered(task("red"), seeds=(0, 1), right=0.3)
    rows = one.results[2].predictions
    wrong = rows.index[rows["y_true"] != rows["y_pred"]][0]
    rows.loc[wrong, [f"p_{rows.loc[wrong, 'y_pred']}", "p_sad"]] += 0.05
    found = trials.mistakes(one, 9)
    assert found["clip_id"].iloc[0] == rows.loc[wrong, "clip_id"]
    assert (found["y_true"] != found["y_pred"]).all()
    assert not found.duplicated(["y_true", "y_pred"]).any()
    assert found["probability"].is_monotonic_decreasing
    assert found["path"].iloc[0] == f"red/{found['clip_id'].iloc[0][5]}{found['clip_id'].iloc[0][7]}.wav"


def test_choices_and_histories_count_every_run():
    found = [answered(task("red"), seeds=(0, 1)), answered(task("red"), folds=1, name="small")]
    table = trials.choices(found).set_index("model")
    assert table["runs"].to_dict() == {"net": 6, "small": 1}
    assert table["minutes"].to_dict() == {"net": 3.0, "small": 0.5}
    assert trials.histories(found).groupby("model").size().to_dict() == {"net": 6, "small": 1}


@pytest.mark.parametrize(("field", "value"), [("n_seeds", 0), ("max_folds", -1)])
def test_a_variant_without_seeds_or_folds_is_refused(field, value):
    with pytest.raises(study.UserError, match=f"{field} {value}"):
        trials.Variant(*NET, **{field: value})


def test_runs_come_from_the_cache_the_second_time_and_are_equal(out, monkeypatch):
    chosen = {"red": task("red"), "blue": task("blue")}
    wanted = [trials.Variant(*NET), trials.Variant("one", *NET[1:], corpora=("blue",), max_folds=1)]
    found = trials.run(wanted, chosen, PROFILE, jobs=1)
    told = [(t.variant.name, t.task.name, len(t.results), t.split) for t in found]
    assert told == [
        ("small_cnn", "red", 3, "loso"),
        ("small_cnn", "blue", 3, "loso"),
        ("one", "blue", 1, "loso_fold_1"),
    ]
    monkeypatch.setattr(training.folds, "fit_fold", None)
    again = trials.run(wanted, chosen, PROFILE, jobs=1)
    for first, second in zip(found, again, strict=True):
        pd.testing.assert_frame_equal(*(trials.tables._rows(t, PROFILE) for t in (first, second)))


def test_merged_and_crossed_nets_are_named_by_what_they_are(out):
    chosen = {"red": task("red"), "blue": task("blue", n_speakers=2)}
    variant = trials.Variant(*NET)
    merged = trials.merged(variant, chosen, PROFILE, max_folds=2, jobs=1)
    assert merged.groupby("corpus")["split"].unique().map(list).to_dict() == {
        "red": ["loso_7_folds_1_to_2"],
        "blue": ["loso_7"],
    }
    assert set(merged["train_regime"]) == {"merged"}
    assert merged.groupby("corpus")["clip_id"].nunique().to_dict() == {"red": 12, "blue": 8}
    crossed = trials.crossed(variant, chosen, PROFILE, jobs=1)
    assert crossed.groupby("corpus")["train_regime"].unique().map(list).to_dict() == {
        "red": ["trained_on_blue"],
        "blue": ["trained_on_red"],
    }
    assert set(crossed.loc[crossed["corpus"] == "red", "y_true"]) == {"neutral", "happy"}  # blue knows no sad
    evaluation.validate_predictions(pd.concat([merged, crossed], ignore_index=True))


def test_pretraining_takes_the_other_corpora_that_keep_speakers_apart():
    chosen = {"red": task("red"), "blue": task("blue", leaks=("speaker",))}
    assert list(trials.apart(chosen)) == ["red"]
    variant = trials.Variant(*NET, first=NET[-1])
    assert variant.regime == "pretrained"
    with pytest.raises(study.UserError, match="'small_cnn' has no corpus to learn from before red"):
        mixed.pretraining(variant, chosen["red"], chosen, PROFILE)
    assert mixed.pretraining(dataclasses.replace(variant, first=None), chosen["red"], chosen, PROFILE) is None


def test_pretraining_knows_nobody_of_the_corpus(out):
    chosen = {"red": task("red"), "blue": task("blue")}
    before = mixed.pretraining(trials.Variant(*NET, first=NET[-1]), chosen["blue"], chosen, PROFILE)
    assert set(before.manifest["corpus"]) == {"red"}
    assert before.labels == ("happy", "neutral", "sad")


def test_the_net_that_is_kept_is_chosen_by_validation_alone(out, monkeypatch):
    red = task("red")
    found = [answered(red, right=0.9), answered(red, right=0.4, name="better"), answered(red, right=0.9, refit=True)]
    for trial, uar in zip(found, (0.5, 0.6, np.nan), strict=True):
        for result in trial.results:
            result.facts["val_uar"] = uar
    table = trials.predictions(found, PROFILE)
    scores = evaluation.results_table(table, n_resamples=20)
    given = {}
    monkeypatch.setattr(boards.saved, "best", lambda results: results[0])
    monkeypatch.setattr(boards.saved, "save", lambda *a, **k: given.update(k) or out / f"{k['name']}.keras")
    kept = trials.keep(found, {"red": red}, scores, family="lstm", profile=PROFILE)
    assert kept.to_dict("records") == [{"net": "red_lstm", "model": "better", "training": "clean", "emotions": 3}]
    uar = scores[(scores["model"] == "better") & (scores["metric"] == "UAR")].iloc[0]
    assert given["uar"] == (uar["value"], uar["ci_low"], uar["ci_high"])


def copied(table, *_, **__):
    return sound(table)


@pytest.fixture
def rendered(out, monkeypatch):
    for part in (variants, leakage):
        monkeypatch.setattr(part.augment, "augmented_frames", copied)
        monkeypatch.setattr(part.corpora, "audio_root", lambda *_: out)


def test_a_variant_with_copies_trains_on_copies_of_every_corpus(out, rendered, monkeypatch):
    chosen = {"red": task("red"), "blue": task("blue", n_speakers=2)}
    plain = trials.Variant(*NET)
    doubled = dataclasses.replace(plain, chains=("speed",), n_copies=2, share=0.9, regime="")
    assert (plain.regime, doubled.regime) == ("clean", "augmented")
    everything = dataclasses.replace(doubled, first=NET[-1], refit=True, regime="")
    assert everything.regime == "pretrained+augmented+refit"
    assert variants.experiment(everything, chosen["red"], PROFILE).refit
    assert variants.experiment(plain, chosen["red"], PROFILE).copies is None
    given = variants.experiment(doubled, chosen["red"], PROFILE).copies
    assert given.share == 0.9
    assert given.table["parent"].value_counts().eq(2).all()
    assert set(given.table["parent"]) == set(chosen["red"].rows["clip_id"])
    seen = []
    real = training.cross_validate
    monkeypatch.setattr(training, "cross_validate", lambda whole, *a, **k: seen.append(whole) or real(whole, *a, **k))
    trials.merged(doubled, chosen, PROFILE, max_folds=1, jobs=1)
    together = training.train_together
    monkeypatch.setattr(
        training,
        "train_together",
        lambda wanted, *a, **k: seen.extend(w for w, *_ in wanted) or together(wanted, *a, **k),
    )
    climbed = trials.ladder(doubled, chosen["red"], PROFILE, max_folds=1, jobs=1)
    assert set(climbed["train_regime"]) == {"clean"}
    assert seen[0].copies.table.groupby("corpus").size().to_dict() == {"red": 36, "blue": 16}  # boredom is left out
    assert set(seen[0].copies.table["emotion"]) == {"neutral", "happy", "sad"}
    rungs = seen[1:]
    assert [whole.copies for whole in rungs] == [None] * len(rungs) != []  # rungs differ in who is tested alone


@pytest.mark.parametrize(("option", "value"), [("share", 0), ("share", 1.5), ("n_copies", 0)])
def test_copies_that_cannot_be_are_refused(option, value):
    with pytest.raises(study.UserError, match=f"{option} {value} must be"):
        trials.Variant(*NET, **{option: value})


def test_the_rungs_of_the_ladder_leak_what_they_say(out, monkeypatch):
    red = task("red", n_speakers=4)
    monkeypatch.setattr(leakage.augment, "augmented_frames", copied)
    monkeypatch.setattr(leakage.corpora, "audio_root", lambda *_: out)
    seen = {}
    real = training.train_together

    def look(wanted, desc, **options):
        seen.update({experiment.name.split()[-1]: (experiment, folds) for experiment, folds, _ in wanted})
        return real(wanted, desc, **options)

    monkeypatch.setattr(leakage.training, "train_together", look)
    table = trials.ladder(trials.Variant(*NET), red, PROFILE, chains=["noise"], n_groups=4, max_folds=1, jobs=1)
    assert trials.rungs(table).set_index("split")[["n_test", "n_folds"]].T.to_dict("list") == {
        "copies": [12, 1],
        "random": [6, 1],
        "unseen": [24, 4],  # in all folds
    }
    for rung, kind in {"copies": "parent", "random": "speaker"}.items():
        experiment, folds = seen[rung]
        leaks = tuple(leak for leak in experiment.allow_leaks if leak != kind)
        with pytest.raises(splits.LeakError, match=kind):
            training.fit_normaliser(folds[0], dataclasses.replace(experiment, allow_leaks=leaks))
    assert seen["unseen"][0].allow_leaks == ()
    evaluation.validate_predictions(table.drop(columns="n_train"))
    monkeypatch.setattr(leakage.study, "pmap", None)  # nothing is trained twice
    again = trials.ladder(trials.Variant(*NET), red, PROFILE, chains=["noise"], n_groups=4, max_folds=1, jobs=1)
    pd.testing.assert_frame_equal(again, table)


def test_a_corpus_that_shares_speakers_has_no_rung_unseen(out):
    red = task("red", leaks=("speaker",))
    table = trials.ladder(trials.Variant(*NET), red, PROFILE, chains=[], n_groups=3, max_folds=1, jobs=1)
    assert set(table["split"]) == {"random"}


def test_costs_are_measured_once_and_one_row_per_name(tmp_path, monkeypatch):
    wanted = [trials.Variant(*NET), trials.Variant(*NET, n_seeds=2), trials.Variant("wide", "small_cnn", {}, *NET[3:])]
    first = trials.costs(wanted, 3, cache=tmp_path)
    assert first["model"].tolist() == ["small_cnn", "wide"]
    assert first["parameters"].is_monotonic_increasing
    assert (first["ms"] > 0).all()
    monkeypatch.setattr(tables, "_cost", None)
    pd.testing.assert_frame_equal(trials.costs(wanted, 3, cache=tmp_path), first)


def test_tasks_and_their_overview(monkeypatch):
    red = task("red")
    monkeypatch.setattr(variants.corpora, "corpus", lambda name, profile: entry(name))
    made = trials.tasks(red.rows.assign(speaker=red.rows["speaker"]), PROFILE, validation_share=0.5)
    shown = trials.overview(made)
    assert shown["fold"].tolist() == [1, 2, 3]
    assert shown["test speakers"].tolist() == ["red_s0", "red_s1", "red_s2"]
    assert shown["test"].tolist() == ["6\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}1"] * 3
    assert running.run([], made, PROFILE) == []
