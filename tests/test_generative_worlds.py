"""One small fold from clips to tables: independent judges, honest parents, equal numbers again, and what it may say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ser_utils import evaluation, study, training
from ser_utils.features import Frames, FrameSpec
from ser_utils.generative import experiments, trainer, vae, worlds
from ser_utils.generative.asked import Answers
from ser_utils.generative.diffusion import DiffusionSpec
from ser_utils.generative.gan import GanSpec
from ser_utils.generative.gate import check_generated
from ser_utils.generative.schedule import Schedule
from ser_utils.generative.settings import Net, Settings
from ser_utils.splits import Fold, LeakError
from ser_utils.trials import Task

LABELS = ("angry", "happy", "sad")
SPEC = FrameSpec(sr=16_000, n_fft=512, hop_length=256, n_mels=16, n_mfcc=13, max_s=0.3)
RECIPE = training.Recipe(epochs=2, batch_size=12, patience=2)
BUDGET = trainer.Budget(steps=2, batch_size=4, patch_frames=8, validate_every=1, checkpoint_every=2)
SETTINGS = Settings(
    conditioner=Net("bilstm_attention", {"filters": 8, "stride": 4, "units": 4}, RECIPE, 1),
    evaluator=Net("small_cnn", {"filters": 8, "strides": [2]}, RECIPE, 2),
    vae=vae.VaeSpec(latent=4, block=2, width=4, depth=1),
    diffusion=DiffusionSpec(schedule=Schedule(n_steps=20), stem=2, widths=(4,)),
    latent=DiffusionSpec(space="latent", schedule=Schedule(n_steps=20), stem=1, widths=(4,)),
    gan=GanSpec(stem=2, width=4, blocks=1, widths=(4,)),
    vae_budget=BUDGET,
    diffusion_budget=BUDGET,
    gan_budget=BUDGET,
    kinds=("vae", "latent_diffusion", "hybrid"),
    steps=2,
    n_measured=2,
    n_heard=1,
)


@pytest.fixture(scope="module", autouse=True)
def _seeded():
    study.seed_everything(0)


def clips() -> tuple[pd.DataFrame, Frames]:
    """Four speakers, three emotions that differ in level."""
    rng = np.random.default_rng(0)
    rows = [
        {"clip_id": f"s{s}c{c}", "speaker": f"s{s}", "gender": "female", "emotion": LABELS[c % 3], "path": "none.wav"}
        for s in range(4)
        for c in range(6)
    ]
    table = pd.DataFrame(rows).assign(sha256=lambda t: "hash of " + t["clip_id"], corpus="toy")
    n_frames = rng.integers(10, 20, len(table)).astype(np.int32)
    x = rng.normal(-50, 5, (len(table), SPEC.max_frames, 16)).astype(np.float32)
    x += 10 * table["emotion"].map(LABELS.index).to_numpy(dtype=np.float32)[:, None, None]
    x[np.arange(SPEC.max_frames) >= n_frames[:, None]] = 0
    return table, Frames(x, n_frames, table["clip_id"].to_numpy(dtype=str))


def case(cache, **changes) -> worlds.Case:
    manifest, frames = clips()
    ids = {
        s: manifest.loc[manifest["speaker"].isin(s), "clip_id"].to_numpy(dtype=str)
        for s in (("s0", "s1"), ("s2",), ("s3",))
    }
    copies = manifest.assign(parent=manifest["clip_id"], clip_id=manifest["clip_id"] + "~pitch_shift0", noise_id="")
    made = Frames(frames.x + 1, frames.n_frames, copies["clip_id"].to_numpy(dtype=str))
    known = {"fold": Fold(0, *ids.values()), "n_folds": 2, "seed": 0, "settings": SETTINGS, "spec": SPEC}
    found = worlds.Case(
        name="toy", manifest=manifest, frames=frames, labels=LABELS, cache=cache, copies=(copies, made), **known
    )
    return dataclasses.replace(found, **changes)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def answered(cache) -> tuple[worlds.Case, Answers]:
    toy = case(cache)
    return toy, experiments.run([toy])[0]


def test_every_regime_answers_every_test_clip(answered):
    toy, answers = answered
    regimes = set(answers.regimes["train_regime"])
    kinds = set(SETTINGS.kinds)
    assert regimes == {"real", "real+classical"} | kinds | {f"real+{kind}" for kind in kinds}
    for _, rows in answers.regimes.groupby("train_regime"):
        assert sorted(rows["clip_id"]) == sorted(toy.fold.test)


def test_enhanced_clips_are_judged_by_both_and_told_by_both(answered):
    rows = answered[1].enhanced
    asked = rows.groupby(["kind", "told", "judge"]).size()
    assert len(asked) == 2 + 2 * 2 * len(SETTINGS.kinds)
    assert set(asked) == {6}
    clean = rows[(rows["kind"] == "") & (rows["judge"] == "evaluator")]
    real = answered[1].regimes.query("train_regime == 'real'")
    assert clean["y_pred"].tolist() == real["y_pred"].tolist()  # through the scale and back


def test_generated_clips_have_another_emotion_and_training_parents(cache, answered):
    world = worlds.build(answered[0])  # from the cache
    table, frames, _ = worlds.generated(world, "vae")
    assert set(table["parent"]) == set(world.case.fold.train)
    spoken = world.case.manifest.set_index("clip_id")["emotion"].loc[table["parent"]].to_numpy()
    assert (table["emotion"].to_numpy() != spoken).all()
    assert table["sha256"].nunique() == len(table)
    again, frames_again, _ = worlds.generated(world, "vae")
    assert (frames.x == frames_again.x).all()
    assert (again["sha256"] == table["sha256"]).all()
    heard = dataclasses.replace(world.makers.origins("vae", ["s3c0"], "seed 0")[0])
    with pytest.raises(LeakError, match="vae has heard s3c0"):
        check_generated(world.case.fold, world.case.manifest, table, [heard])


def test_a_conditioner_may_not_judge(cache):
    twin = dataclasses.replace(SETTINGS.conditioner)
    toy = case(cache, settings=dataclasses.replace(SETTINGS, evaluator=twin))
    with pytest.raises(LeakError, match="leak 'judge'"):
        worlds.build(toy)


def test_measures_compare_with_noise_class_mean_and_an_untrained_net(answered):
    measures = answered[1].measures.set_index(["measure", "kind"])["value"]
    distances = measures["Fréchet distance"]
    expected = {
        "noise",
        "class mean",
        "the clips themselves",
        *SETTINGS.kinds,
        *(f"{k}, untrained" for k in SETTINGS.kinds),
    }
    assert set(distances.index) == expected
    assert (distances >= 0).all()
    assert set(measures["reconstruction error"].index) == {"vae", "PCA of equal size"}
    assert measures["mel-cepstral distortion (dB)"].notna().all()


def test_tables_hold_the_contract_of_predictions(answered):
    toy, answers = answered
    task = Task(_Entry(), toy.manifest, [toy.fold, toy.fold])
    ran = [(toy, answers)]
    table = experiments.predictions(task, ran, "demo")
    evaluation.validate_predictions(table)
    assert set(table["condition"]) == {"clean"} | {f"enhanced={kind}" for kind in SETTINGS.kinds}
    around = experiments.circular(task, ran, "demo")
    evaluation.validate_predictions(around)
    assert around["split"].str.contains("_circular").all()
    steps = experiments.steps_to_circular(around, n_resamples=50)
    assert set(steps["judge"]) == {"evaluator", "conditioner"}
    tested = experiments.compared(table, {"toy": (12, 6)}, n_resamples=50)
    assert len(tested) == len(table.groupby(["train_regime", "condition"])) - 1
    assert tested["p"].isna().all()  # one fold says nothing of folds
    assert tested["p_mcnemar_holm"].between(0, 1).all()


class _Entry:
    name, version, split, leaks = "toy", "1", "loso", ()


def test_six_emotions_keep_the_folds(answered):
    toy = answered[0]
    rows = toy.manifest.assign(emotion=toy.manifest["emotion"].replace({"happy": "calm", "sad": "surprise"}))
    task = experiments.six(Task(_Entry(), rows, [toy.fold]), most=1)
    assert set(task.rows["emotion"]) == {"angry", "neutral"}
    assert len(task.rows) == 8
    assert [len(part) for part in (task.folds[0].train, task.folds[0].validation, task.folds[0].test)] == [4, 2, 2]
