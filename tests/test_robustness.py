"""The noise grid: what trains, what is tested, and what the tables say of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from sounds import noise as hiss
from sounds import voice

from ser_utils import denoise, evaluation, pretrained, robustness, splits, study
from ser_utils.noise import Condition
from ser_utils.robustness import Bench, Regime, measures, pictures, tables
from ser_utils.splits import Fold

RAIN = Condition("rain", 5.0)


@pytest.fixture(scope="module", autouse=True)
def seeded():
    """Fixes the threads of TensorFlow before anything starts it."""
    study.seed_everything(0)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """The work is too small for other processes."""
    monkeypatch.setenv("SER_JOBS", "1")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[pd.DataFrame, object]:
    """Four speakers; happy is high and sad is low."""
    root, rows = tmp_path_factory.mktemp("clips"), []
    for k, speaker in enumerate(("a", "b", "c", "d")):
        for emotion, hz in {"happy": 260, "sad": 120}.items():
            for take in range(2):
                name = f"{speaker}_{emotion}_{take}"
                y = voice(hz + 7 * k + 3 * take, 0.7)
                soundfile.write(root / f"{name}.wav", y, 16000)
                row = {"clip_id": name, "path": f"{name}.wav", "corpus": "toy", "speaker": speaker, "emotion": emotion}
                rows.append(row | {"sha256": study.sha256(root / f"{name}.wav"), "duration_s": 0.7})
    return pd.DataFrame(rows), root


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> pd.DataFrame:
    root, rows = tmp_path_factory.mktemp("noises"), []
    for k, part in enumerate(("train", "train", "test", "test")):
        file = root / f"{k}.wav"
        soundfile.write(file, hiss(k, 1.0), 16000)
        rows.append({"noise_id": f"n{k}", "noise_class": "rain", "corpus": "toy_noise", "source": str(k)})
        rows[-1] |= {"part": part, "file": str(file)}
    return pd.DataFrame(rows)


@pytest.fixture
def bench(clips, plan, tmp_path) -> Bench:
    rows, root = clips
    ids = {name: part["clip_id"].to_numpy(dtype=str) for name, part in rows.groupby("speaker")}
    folds = [
        Fold(0, np.concatenate([ids["c"], ids["d"]]), ids["b"], ids["a"]),
        Fold(1, np.concatenate([ids["c"], ids["d"]]), ids["a"], ids["b"]),
    ]
    entry = SimpleNamespace(name="toy", version="1", emotions=("happy", "sad"))
    known = {name: denoise.DENOISERS[name] for name in ("wiener", "oracle")}
    return Bench(entry, rows, folds, "loso_folds_1_to_2", root, plan, tmp_path, known, "noise=rain;snr_db=0..20")


# --- regimes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "denoiser"), [("dirty", ""), ("clean", "dtln"), ("denoised", "")])
def test_regimes_that_are_none_are_refused(name, denoiser):
    with pytest.raises(study.UserError, match="training regime"):
        Regime(name, denoiser)


def test_a_regime_with_a_denoiser_is_tested_with_it_alone():
    conditions = [Condition(), RAIN, Condition("rain", 5.0, denoiser="wiener")]
    assert Regime("noisy").tests(conditions) == conditions
    assert Regime("noisy+denoised", "wiener").tests(conditions) == conditions[2:]
    gate = Condition("rain", 5.0, denoiser=denoise.gated(denoise.DENOISERS["wiener"]).name)
    assert Regime("denoised", "wiener").tests([*conditions, gate]) == [conditions[2], gate]


def test_what_each_regime_trains_on(bench):
    own, copies = bench.training(Regime("clean"))
    assert (len(own.table), copies) == (16, [])
    _, [noisy] = bench.training(Regime("noisy"))
    assert set(noisy.table["noise_id"]) == {"n0", "n1"}
    assert noisy.table["snr_db"].between(0, 20).all()
    cleaned, [both] = bench.training(Regime("denoised", "wiener"))
    assert cleaned.table["clip_id"].tolist() == own.table["clip_id"].tolist()
    assert not set(cleaned.table["sha256"]) & set(own.table["sha256"])
    assert not set(both.table["sha256"]) & set(noisy.table["sha256"])
    same, parts = bench.training(Regime("noisy+denoised", "wiener"))
    assert same.table["sha256"].tolist() == own.table["sha256"].tolist()
    assert [part.table["sha256"].tolist() for part in parts] == [
        noisy.table["sha256"].tolist(),
        both.table["sha256"].tolist(),
    ]
    assert not set(parts[0].table["clip_id"]) & set(parts[1].table["clip_id"])


def test_only_tested_clips_are_mixed_for_tests(bench):
    table = bench.tested(RAIN).table
    assert set(table["speaker"]) == {"a", "b"}
    assert set(table["noise_id"]) <= {"n2", "n3"}


def test_the_gate_sees_a_noise_file_on_both_sides(bench):
    _, copies = bench.training(Regime("noisy"))
    bench.gate(copies, [bench.tested(RAIN)])
    leaky = [part._replace(table=part.table.assign(noise_id="n2")) for part in copies]
    with pytest.raises(splits.LeakError, match="noise"):
        bench.gate(leaky, [bench.tested(RAIN)])


# --- models -----------------------------------------------------------------------------------------------------


def test_a_classic_model_answers_under_all_conditions(bench):
    conditions = [
        Condition(),
        RAIN,
        Condition("rain", 5.0, denoiser="wiener"),
        Condition("rain", 5.0, denoiser="oracle"),
    ]
    regimes = [Regime("clean"), Regime("noisy"), Regime("denoised", "wiener"), Regime("noisy+denoised", "wiener")]
    options = {"features": "statistics_110", "model": "logistic", "profile": "demo"}
    table = robustness.classic_grid(bench, regimes, conditions, **options)
    evaluation.validate_predictions(table)
    counts = table.groupby(["train_regime", "condition"])["clip_id"].agg(["size", "nunique"])
    assert (counts == 8).all().all()
    assert len(counts) == 4 + 4 + 1 + 1
    assert set(table["speaker"]) == {"a", "b"}
    clean = table[(table["train_regime"] == "clean") & (table["condition"] == "clean")]
    assert (clean["y_true"] == clean["y_pred"]).mean() > 0.7
    alone = robustness.classic_grid(bench, regimes[:1], conditions[:1], **options)
    assert np.allclose(alone["p_sad"], clean["p_sad"], atol=1e-6)


@pytest.mark.skipif(bool(pretrained.not_run("byol_s")), reason=pretrained.not_run("byol_s"))
def test_layers_of_an_encoder_are_joined_for_a_classic_model(bench):
    from ser_utils.robustness import classic

    name = "byol_s:conv3+dense1:mean_std"
    joined, rows = classic._features(bench.tested(RAIN), name, cache=bench.cache)
    conv, _ = classic._features(bench.tested(RAIN), "byol_s:conv3:mean_std", cache=bench.cache)
    assert joined.x.shape == (len(rows), 2 * conv.x.shape[1])
    assert np.array_equal(joined.x[:, : conv.x.shape[1]], conv.x)
    assert len(set(joined.columns)) == joined.x.shape[1]
    regimes = [Regime("clean"), Regime("denoised", "wiener"), Regime("noisy+denoised", "wiener")]
    gate = denoise.gated(denoise.DENOISERS["wiener"], -18.5)  # the SNR that it finds lies around that
    bench = Bench(**{**vars(bench), "denoisers": {**bench.denoisers, gate.name: gate}})
    always, low = (Condition("rain", 12.0, denoiser=denoiser) for denoiser in ("wiener", gate.name))
    table = robustness.encoder_grid(bench, regimes, [Condition(), always, low], encoder=name, profile="demo")
    evaluation.validate_predictions(table)
    assert set(table.loc[table["condition"] == "clean", "train_regime"]) == {"clean"}
    p = table[table["condition"] != "clean"].pivot_table(
        index=["condition", "clip_id"], columns="train_regime", values="p_sad"
    )
    behind, alone = p[["denoised", "noisy+denoised"]], sorted(bench.left_alone(low))
    assert bench.left_alone(always) == set()
    assert 0 < len(alone) < len(p.loc[str(low)])
    assert np.allclose(p.loc[str(always), "several"], behind.loc[str(always)].mean(axis=1))
    gone = p.loc[str(low)].drop(alone)
    assert np.allclose(gone["several"], gone[["denoised", "noisy+denoised"]].mean(axis=1))
    stay = p.loc[str(low)].loc[alone]
    assert np.allclose(stay["several"], stay[["clean", "denoised", "noisy+denoised"]].mean(axis=1))


def test_the_gate_inside_refuses_noise_files_of_training(bench, plan):
    leaky = Bench(**{**vars(bench), "plan": plan.assign(part="train")})
    object.__setattr__(leaky, "plan", pd.concat([leaky.plan, leaky.plan.assign(part="test")]))
    with pytest.raises(splits.LeakError, match="noise"):
        robustness.classic_grid(
            leaky, [Regime("noisy")], [RAIN], features="statistics_110", model="logistic", profile="demo"
        )


def test_a_net_answers_under_conditions_as_it_did_in_its_fold(bench):
    from ser_utils import augment, features, training
    from ser_utils.robustness import nets

    off = augment.FrameAugmentation(time_mask=0, column_mask=0, mixup=0, speed=0, warp=0)
    options = {
        "model": "small_cnn",
        "arguments": {"filters": 4},
        "spec": features.FrameSpec(n_mels=20, hop_length=320, max_s=1.0, clip_mean="level"),
        "recipe": training.Recipe(epochs=1, patience=1, batch_size=8, augmentation=off),
        "share": 0.5,
        "name": "log_mel",
        "profile": "demo",
    }
    table = nets.net_grid(bench, [Regime("clean"), Regime("noisy")], [Condition(), RAIN], **options)
    evaluation.validate_predictions(table)
    assert len(table) == 2 * 2 * 8
    experiment = nets._experiment(
        bench, Regime("clean"), *(options[k] for k in ("model", "arguments", "spec", "recipe", "share"))
    )
    done = training.cross_validate(experiment, bench.folds, seeds=[0], cache=bench.cache / "folds", jobs=1)
    own = training.predictions_table(done).set_index("clip_id")["p_sad"]
    clean = table[(table["train_regime"] == "clean") & (table["condition"] == "clean")].set_index("clip_id")["p_sad"]
    assert np.allclose(clean, own.loc[clean.index], atol=1e-5)
    noisy = table[(table["train_regime"] == "clean") & (table["condition"] == str(RAIN))].set_index("clip_id")["p_sad"]
    assert not np.allclose(noisy, own.loc[noisy.index], atol=1e-5)


# --- tables -----------------------------------------------------------------------------------------------------


def answers(right: dict[tuple[str, str], int], *, n: int = 10) -> pd.DataFrame:
    """(regime, condition) → how many of each speaker's `n` clips are right, for eight speakers and two emotions."""
    rows = []
    for (regime, condition), hits in right.items():
        for speaker in "abcdefgh":
            for k in range(n):
                truth = ("happy", "sad")[k % 2]
                said = truth if k < hits else ("sad", "happy")[k % 2]
                row = {"clip_id": f"{speaker}{k}", "speaker": speaker, "y_true": truth, "y_pred": said}
                rows.append(row | {"corpus": "toy", "model": "m", "train_regime": regime, "condition": condition})
    return pd.DataFrame(rows)


GRID = {
    ("clean", "clean"): 10,
    ("clean", "clean;denoiser=wiener"): 8,
    ("clean", "noise=rain;snr_db=5"): 4,
    ("clean", "noise=rain;snr_db=5;denoiser=wiener"): 6,
    ("noisy", "clean"): 10,
    ("noisy", "noise=rain;snr_db=5"): 8,
    ("noisy", "noise=rain;snr_db=5;denoiser=wiener"): 8,
}


def test_curves_are_uars_per_condition():
    scores = robustness.curves(answers(GRID), n_resamples=50)
    at = scores.set_index(["train_regime", "noise", "snr_db", "denoiser"])["UAR"]
    assert at["clean", "", np.inf, "none"] == 1
    assert at["clean", "rain", 5.0, "wiener"] == pytest.approx(0.6)
    assert (scores["n_speakers"] == 8).all()


def test_what_comes_back_of_the_loss():
    back = robustness.recovered(robustness.curves(answers(GRID), n_resamples=50), noise="rain", snr_db=5.0)
    at = back.set_index(["train_regime", "denoiser"])
    assert at.loc[("clean", "none"), "share"] == pytest.approx(0)
    assert at.loc[("clean", "wiener"), "share"] == pytest.approx(1 / 3)
    assert at.loc[("noisy", "none"), "share"] == pytest.approx(2 / 3)
    assert at.loc[("clean", "wiener"), "clean_change"] == pytest.approx(-0.2)
    best = robustness.best_recovery(back).iloc[0]
    assert (best["train_regime"], best["denoiser"]) == ("noisy", "none")


def test_denoisers_are_told_from_none_where_they_differ():
    tests = robustness.against_none(answers(GRID), n_resamples=50).set_index(["train_regime", "snr_db"])
    assert tests["verdict"].to_dict() == {
        ("clean", 5.0): "better",
        ("clean", np.inf): "worse",
        ("noisy", 5.0): "not told apart",
    }
    assert tests.loc[("clean", 5.0), "p"] == pytest.approx(2 / 2**8)
    assert tests.loc[("noisy", 5.0), "p"] == 1


def test_holm_counts_the_denoisers_at_one_snr():
    more = answers({key: hits for key, hits in GRID.items() if key[0] == "clean"})
    second = more[more["condition"].str.endswith("wiener")].assign(
        condition=lambda t: t["condition"].str.replace("wiener", "dtln")
    )
    tests = robustness.against_none(pd.concat([more, second]), n_resamples=50)
    assert tests["p_holm"].to_numpy() == pytest.approx(2 * tests["p"].to_numpy())


def test_gates_are_compared_over_the_snrs_that_all_have():
    rows = [("", np.inf, "none", 0.9), ("", np.inf, "wiener", 0.7), ("", np.inf, "gated", 0.9)]
    scores = pd.DataFrame(rows, columns=["noise", "snr_db", "denoiser", "UAR"]).assign(corpus="toy")
    made = robustness.gates(scores, {"wiener": "gated", "dtln": "other"})
    assert len(made) == 1
    assert made.iloc[0][["none", "always", "gated", "better of both"]].tolist() == [0.9, 0.7, 0.9, 0.9]


def test_confusions_name_what_an_emotion_is_taken_for():
    table = robustness.confusions(answers({("clean", "clean"): 8}), ("happy", "sad", "fear"))
    assert table.to_dict("records")[0] == {"emotion": "happy", "recall": 0.8, "taken_for": "sad", "share": 0.2}
    assert table["emotion"].tolist() == ["happy", "sad"]


def test_protocols_show_what_both_have():
    seen, unseen = answers({("clean", "clean"): 10, ("noisy", "clean"): 10}), answers({("clean", "clean"): 5})
    table = robustness.protocols({"seen": seen, "unseen": unseen})
    assert table[["speakers", "accuracy (%)"]].to_numpy().tolist() == [["seen", 100.0], ["unseen", 50.0]]


# --- quality ----------------------------------------------------------------------------------------------------


def test_quality_is_measured_on_the_same_few_clips(bench):
    conditions = [Condition(), RAIN, Condition("rain", 5.0, denoiser="oracle")]
    table = robustness.quality_table(bench, conditions, metrics=["si_sdr"], n_clips=3)
    assert table["n_clips"].tolist() == [3, 3]
    gained = robustness.gains(table, low_db=0, high_db=10)
    assert gained["gain"].iloc[0] > 3
    assert robustness.gains(table, low_db=10, high_db=20).empty


def ranked(snrs: dict[float, tuple[str, ...]]) -> pd.Series:
    """Rank correlations where the UAR falls as the measure rises, but for denoisers that must not count."""
    rows = []
    for snr, names in snrs.items():
        for gain, name in enumerate(names):
            loss = -gain if name == "oracle" or "_below_" in name else gain
            rows.append(("rain", snr, name, snr + gain, snr / 40 - loss / 100))
    table = pd.DataFrame(rows, columns=["noise", "snr_db", "denoiser", "value", "UAR"]).assign(corpus="toy")
    measured, scores = table.drop(columns="UAR").assign(metric="si_sdr"), table.drop(columns="value")
    return robustness.rank_correlations(measured, scores).iloc[0]


SIX = ("none", "a", "b", "c", "d", "e")


def test_rank_correlation_at_one_snr_is_not_that_over_all():
    ranks = ranked({0.0: SIX, 20.0: SIX})
    assert ranks["rho"] > 0.2
    assert ranks["rho_at_snr"] == -1
    assert (ranks["n_conditions"], ranks["n_sounds"]) == (12, 2)


def test_the_oracle_gates_and_sounds_with_few_denoisers_are_not_ranked():
    gate = "a_below_25db"
    ranks = ranked({0.0: (*SIX, "oracle", gate), 10.0: SIX[:5], 20.0: (*SIX[:4], "oracle", gate)})
    assert (ranks["rho_at_snr"], ranks["n_conditions"], ranks["n_sounds"]) == (-1, 19, 1)
    none = ranked({0.0: SIX[:5], 20.0: (*SIX[:5], gate)})
    assert np.isnan(none["rho_at_snr"])
    assert none["n_sounds"] == 0


def test_uars_that_differ_by_rounding_alone_are_ties():
    uar = pd.Series([0.1 + 0.2, 0.3, 0.5])
    assert uar.nunique() == 3
    assert measures.spearman(pd.Series([1, 2, 3]), uar) == pytest.approx(np.sqrt(3) / 2)
    assert np.isnan(measures.spearman(pd.Series([1, 2, 3]), pd.Series([0.1 + 0.2, 0.3, 0.3])))


def test_what_is_absent_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    absent = robustness.not_run(["wiener", "dtln"], ["si_sdr", "dnsmos_ovr"])
    assert absent["what"].tolist() == ["dtln", "dnsmos_ovr"]
    assert absent["why"].str.contains("https://").all()


def test_costs_leave_the_oracle_out(bench):
    bench = Bench(**{**vars(bench), "denoisers": denoise.DENOISERS})
    made = robustness.costs(["none", "oracle", "wiener"], bench, n_clips=1)
    assert made["denoiser"].tolist() == ["none", "wiener"]
    assert made["real_time_factor"].iloc[1] > 0
    assert measures.NONE == tables.NONE


# --- pictures ---------------------------------------------------------------------------------------------------


def labels(fig) -> list[str]:
    """What all legends of a figure name."""
    legends = [*fig.legends, *(ax.get_legend() for ax in fig.axes if ax.get_legend())]
    return [text.get_text() for each in legends for text in each.get_texts()]


def test_every_denoiser_has_one_look_in_all_panels():
    names = [f"d{k}" for k in range(20)]
    assert len({pictures.look(k)[:2] for k in range(20)}) == 20
    rows = [("a", name) for name in names] + [("b", name) for name in names[::-2]]
    costs = pd.DataFrame(rows, columns=["corpus", "denoiser"]).assign(gain=0.1, ci_low=0.0, ci_high=0.2)
    factors = dict(zip(names, np.geomspace(0.002, 0.05, 20), strict=True))
    fig = pictures.against_cost(costs.assign(real_time_factor=costs["denoiser"].map(factors)))
    looks = [
        {each.get_label(): (each[0].get_marker(), each[0].get_color()) for each in ax.containers} for ax in fig.axes
    ]
    assert looks[1] == {name: looks[0][name] for name in looks[1]}
    assert labels(fig) == names
    fig.canvas.draw()
    for ax in fig.axes:
        low, high = ax.get_xlim()
        told = [text.get_text() for text in ax.get_xticklabels() if low <= text.get_position()[0] <= high]
        assert set(told) <= {"0.002", "0.005", "0.01", "0.02", "0.05"}
        assert len(told) >= 3
        assert not any(text.get_text() for text in ax.get_xticklabels(minor=True))


def test_the_legend_holds_the_emotions_of_all_corpora():
    emotions = {"toy": ["angry", "calm", "sad"], "other": ["angry", "boredom", "sad"]}
    recalls = {
        (corpus, snr): pd.DataFrame({"recall": 0.5}, index=names)
        for corpus, names in emotions.items()
        for snr in (0.0, 10.0, np.inf)
    }
    fig = pictures.by_emotion(recalls, {"toy": 1 / 3, "other": 1 / 3})
    assert labels(fig) == ["angry", "calm", "sad", "boredom"]


def test_gated_denoisers_have_no_curve():
    rows = [
        ("toy", regime, snr, name)
        for regime in ("clean", "noisy")
        for snr in (0.0, np.inf)
        for name in ("none", "dtln", "dtln_below_25db")
    ]
    scores = pd.DataFrame(rows, columns=["corpus", "train_regime", "snr_db", "denoiser"])
    scores = scores.assign(UAR=0.5, ci_low=0.4, ci_high=0.6)
    fig = pictures.by_denoiser(scores, {"toy": 0.5}, ["dtln", "dtln_below_25db"])
    assert labels(fig) == ["none", "dtln"]


def test_the_best_way_back_costs_little_on_clean_speech_and_needs_none():
    columns = ["corpus", "model", "train_regime", "denoiser", "clean", "noisy", "UAR", "share", "clean_change"]
    rows = [
        ["red", "svm", "clean", "oracle", 0.7, 0.3, 0.69, 0.98, 0.0],
        ["red", "svm", "denoised", "dtln", 0.7, 0.3, 0.66, 0.90, -0.03],
        ["red", "svm", "several", "dtln", 0.7, 0.3, 0.62, 0.80, -0.02],
        ["red", "svm", "noisy", "none", 0.7, 0.3, 0.50, 0.50, 0.01],
        ["red", "net", "denoised", "dtln", 0.7, 0.3, 0.66, 0.90, -0.03],
        ["red", "net", "noisy", "none", 0.7, 0.3, 0.50, 0.50, -0.09],
        ["red", "net", "clean", "none", 0.7, 0.3, 0.30, 0.00, 0.0],
        ["blue", "svm", "noisy", "none", 0.5, 0.5, 0.50, np.nan, 0.0],
    ]
    best = tables.best_recovery(pd.DataFrame(rows, columns=columns))
    assert best[["corpus", "model", "train_regime", "share", "cheap"]].to_numpy().tolist() == [
        ["red", "net", "denoised", 0.90, False],
        ["red", "svm", tables.SEVERAL, 0.80, True],
    ]


def test_remedies_are_told_from_neither_in_each_noise():
    assert robustness.remedies(answers(GRID), denoiser="dtln", n_resamples=50).empty
    told = robustness.remedies(answers(GRID), denoiser="wiener", n_resamples=50).set_index("remedy")
    assert told["verdict"].to_dict() == {"noise in training": "better", "denoiser": "better", "both": "better"}
    assert told["gain"].to_dict() == pytest.approx({"noise in training": 0.4, "denoiser": 0.2, "both": 0.4})
    assert told["p_holm"].to_numpy() == pytest.approx(3 * told["p"].to_numpy())
    assert (told["UAR"] - told["neither"]).to_numpy() == pytest.approx(told["gain"].to_numpy())


def test_a_noise_file_on_both_sides_is_refused_where_speakers_are_shared_too(bench):
    shared = Bench(**{**vars(bench), "allow": ("speaker",)})
    heard = robustness.Clips(bench.rows.assign(noise_id="n1"), bench.root)
    with pytest.raises(study.UserError, match="noise file n1 is heard in training and in tests"):
        shared.gate([heard], [heard])
    shared.gate([heard], [robustness.Clips(bench.rows.assign(noise_id="n2"), bench.root)])
