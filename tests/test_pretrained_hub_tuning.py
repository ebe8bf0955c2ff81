"""Fine-tuning of transformers encoders: on tiny models, by the code that tunes real ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from sounds import voice
from tiny_models import make

from ser_utils import classic, evaluation, pretrained, splits, study, training
from ser_utils.augment.frames import FrameAugmentation
from ser_utils.pretrained import finetuning, hub, hub_front, hub_tuning, probes
from ser_utils.pretrained.hub_nets import Learner, Tuning

REASON = "the extra is not installed: pip install -r requirements-pretrained.lock"
LABELS = ("angry", "sad")
STILL = FrameAugmentation(time_mask=0.0, column_mask=0.0, mixup=0.0, speed=0.0)
RECIPE = training.Recipe(epochs=10, patience=10, batch_size=8, learning_rate=0.05, augmentation=STILL)
TASK = {"run_id": "r", "profile": "p", "corpus": "toy", "corpus_version": "1", "split": "speaker_groups"}
TASK |= {"train_regime": "clean", "condition": "clean"}


@pytest.fixture(autouse=True, scope="module")
def _threads_are_fixed():
    study.seed_everything(0)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setenv("SER_JOBS", "1")


def extra():
    pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("transformers", reason=REASON)
    pytest.importorskip("torch").set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Clips of six speakers, the sad ones low and slow to end: manifest and root."""
    root, rows = tmp_path_factory.mktemp("corpus"), []
    for speaker in range(6):
        for number in range(6):
            clip, emotion = f"s{speaker}c{number}", LABELS[number % 2]
            low = emotion == "sad"
            sf.write(
                root / f"{clip}.wav", voice((110 if low else 260) + 3 * speaker, 0.3 + 0.02 * number + 0.1 * low), 16000
            )
            row = {"clip_id": clip, "path": f"{clip}.wav", "speaker": f"s{speaker}", "emotion": emotion}
            rows.append(row | {"gender": "female" if speaker % 2 else "male", "corpus": "toy"})
    manifest = pd.DataFrame(rows)
    return manifest.assign(sha256=[study.sha256(root / path) for path in manifest["path"]]), root


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory):
    extra()
    folder = tmp_path_factory.mktemp("models") / "Tiny"
    make("wav2vec2", folder)
    return str(folder)


@pytest.fixture(scope="module", params=hub.FAMILIES)
def model(request, tmp_path_factory):
    extra()
    folder = tmp_path_factory.mktemp("models") / request.param
    make(request.param, folder)
    return str(folder)


@pytest.fixture(scope="module")
def fronts(corpus, tmp_path_factory):
    """What an encoder is tuned on, of the first clips or of all."""
    cache = tmp_path_factory.mktemp("fronts")

    def find(encoder, n_clips=8):
        return hub_front.frames(corpus[0].head(n_clips), corpus[1], encoder, max_s=1.0, cache=cache)

    return find


def batch(frames, ids, *, size=0):
    """Frames and mask of some clips, padded with rubbish to `size`."""
    rows = frames.rows(np.array(ids))
    longest = size or int(frames.n_frames[rows].max())
    mask = (np.arange(longest) < frames.n_frames[rows][:, None]).astype(np.float32)
    x = np.full((len(rows), longest, frames.x.shape[2]), 7.0, dtype=np.float32)
    for i, row in enumerate(rows):
        x[i, : frames.n_frames[row]] = frames.x[row, : frames.n_frames[row]]
    return [x, mask]


def run(corpus, frames, encoder, cache, **changes):
    manifest, _ = corpus
    settings = {"tuning": Tuning(lora_rank=2), "recipe": RECIPE, "cache": cache, "encoder": encoder}
    settings |= {"folds": splits.make_folds(manifest, "speaker_groups", n_groups=3)[:1]} | changes
    folds = settings.pop("folds")
    return hub_tuning.cross_validate(manifest, frames, folds, LABELS, **settings), folds


def table_of(results, encoder, **options):
    return finetuning.predictions_table(results, features=hub_tuning.words(encoder), **options, **TASK)


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_it_starts_as_the_published_model_and_padding_changes_nothing(model, corpus, fronts, lora_rank):
    import torch

    frames = fronts(model)
    net = Learner(model, 2, Tuning(lora_rank=lora_rank), RECIPE)
    net.net.eval()
    ids = ["s0c0", "s0c5"]
    with torch.no_grad():
        x, mask = map(torch.from_numpy, batch(frames, ids))
        found = net.pooled(x, mask > 0).numpy()
    for row, clip in zip(found, ids, strict=True):
        y = sf.read(corpus[1] / f"{clip}.wav", dtype="float32")[0]
        np.testing.assert_allclose(row, hub.states(y, model, hub.content(model))[-1].mean(0), atol=2e-5)
    alone = net.predict_on_batch(batch(frames, ids[:1]))
    beside = net.predict_on_batch(batch(frames, ids, size=frames.x.shape[1]))[:1]
    np.testing.assert_allclose(alone, beside, atol=1e-6)


def test_what_is_trained_moves_and_the_rest_stays(model, fronts):
    frames = fronts(model)
    given = batch(frames, ["s0c0", "s0c1"])
    for lora_rank in (0, 2):
        net = Learner(model, 2, Tuning(lora_rank=lora_rank), RECIPE)
        net.optimizer.learning_rate = 0.01
        before = {name: value.clone() for name, value in net.net.state_dict().items()}
        for _ in range(2):  # the first step leaves `down`, whose gradient goes through zeros
            net.train_on_batch(given, np.eye(2), np.ones(2))
        moved = {name for name, value in net.net.state_dict().items() if not value.equal(before[name])}
        assert not any("feature_extractor" in name or "embed_positions" in name for name in moved)
        assert {name for name in moved if name.startswith("head.")}
        inside = {name for name in moved if name.startswith("encoder.")}
        assert all((".up" in name or ".down" in name) == bool(lora_rank) for name in inside)
        parts = (".up", ".down") if lora_rank else ("q_proj.weight", "final_layer_norm.bias")
        for layer in (".layers.0.", ".layers.1."):
            assert all(any(layer in name and part in name for name in inside) for part in parts), (layer, inside)


def test_each_layer_moves_less_than_the_one_after_it_and_gradients_are_clipped(wav2vec2, fronts):
    tuning = Tuning(lora_rank=0, rate=0.1, rate_decay=0.5, dropout=0.0, clip_norm=1e-3)
    net = Learner(wav2vec2, 2, tuning, RECIPE)
    names = {id(weight): name for name, weight in net.net.named_parameters()}
    shares = {names[id(weight)]: group["share"] for group in net.groups() for weight in group["params"]}
    found = {
        part: {share for name, share in shares.items() if part in name}
        for part in ("head.", "layers.1.", "layers.0.", "feature_projection", "pos_conv_embed")
    }
    assert list(found.values()) == [{1.0}, {0.1}, {0.05}, {0.025}, {0.025}]
    assert {id(weight) for weight in net.trained} == {
        id(w) for n, w in net.net.named_parameters() if w.requires_grad and "masked_spec" not in n
    }
    decays = {group["weight_decay"] for group in net.groups() for w in group["params"] if w.ndim < 2}
    assert decays == {0.0}
    net.train_on_batch(batch(fronts(wav2vec2), ["s0c0", "s0c1"]), np.eye(2), np.ones(2))
    norm = sum(float(w.grad.square().sum()) for w in net.trained if w.grad is not None) ** 0.5
    assert norm == pytest.approx(1e-3, rel=1e-2)


def test_it_learns_keeps_the_contract_repeats_itself_and_is_cached(wav2vec2, corpus, fronts, tmp_path, monkeypatch):
    (first,), folds = run(corpus, fronts(wav2vec2, 36), wav2vec2, tmp_path / "a")
    table = table_of([first], wav2vec2)
    evaluation.validate_predictions(table)
    assert (set(table["model"]), set(table["features"])) == ({"lora_tuned"}, {"tiny:tuned"})
    assert evaluation.uar(table["y_true"], table["y_pred"]) > 0.8
    assert set(table["clip_id"]) == set(folds[0].test)
    known = table_of([first], wav2vec2, part="validation")
    assert set(known["clip_id"]) == set(folds[0].validation)
    assert evaluation.uar(known["y_true"], known["y_pred"]) == pytest.approx(first.facts["val_uar"])
    assert first.history["learning_rate"].iloc[0] < RECIPE.learning_rate  # warm-up
    (again,), _ = run(corpus, fronts(wav2vec2, 36), wav2vec2, tmp_path / "b")
    pd.testing.assert_frame_equal(first.predictions, again.predictions, check_exact=True)
    (other,), _ = run(corpus, fronts(wav2vec2, 36), wav2vec2, tmp_path / "b", seed=1)
    assert not first.predictions.equals(other.predictions)
    monkeypatch.setattr(hub_tuning, "fit_fold", lambda *_: pytest.fail("tuned again"))
    (kept,), _ = run(corpus, fronts(wav2vec2, 36), wav2vec2, tmp_path / "a")
    pd.testing.assert_frame_equal(first.predictions, kept.predictions, check_exact=True)
    with pytest.raises(pytest.fail.Exception, match="tuned again"):
        run(corpus, fronts(wav2vec2, 36), wav2vec2, tmp_path / "a", tuning=Tuning(lora_rank=0))


def test_a_leak_stops_it_before_the_first_step(wav2vec2, corpus, fronts, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_tuning, "fit_fold", lambda *_: pytest.fail("tuned"))
    fold = splits.make_folds(corpus[0], "speaker_groups", n_groups=3)[0]
    with pytest.raises(splits.LeakError):
        run(
            corpus,
            fronts(wav2vec2, 36),
            wav2vec2,
            tmp_path,
            folds=[dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))],
        )
    with pytest.raises(study.UserError, match="'validation' has no clip"):
        run(
            corpus,
            fronts(wav2vec2, 36),
            wav2vec2,
            tmp_path,
            folds=[dataclasses.replace(fold, validation=fold.validation[:0])],
        )


def test_the_rows_of_07_frozen_and_tuned_stand_side_by_side(wav2vec2, corpus, fronts, tmp_path, monkeypatch):
    """What the notebook does with an encoder of the list, on a corpus of sounds."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    manifest, root = corpus
    folds = splits.make_folds(manifest, "speaker_groups", n_groups=3)
    source = probes.Source(wav2vec2)
    assert (source.not_run, hub_tuning.chosen([wav2vec2], [wav2vec2])) == ("", {wav2vec2: ""})
    bench = probes.Bench(manifest, root, folds, LABELS, "p")
    frozen = classic.predictions_table(probes.pick(probes.by_layer(source, bench), source), **TASK)
    recipe = dataclasses.replace(RECIPE, epochs=1)
    results, _ = run(corpus, fronts(wav2vec2, 36), wav2vec2, tmp_path, folds=folds, recipe=recipe, tuning=Tuning())
    tuned = table_of(results, wav2vec2)
    scores = evaluation.results_table(pd.concat([frozen, tuned]), n_resamples=50)
    board = probes.with_heard(evaluation.headline(scores), [source])
    rows = board[~board["model"].isin(evaluation.BASELINES)].set_index("features")
    assert set(rows.index) == {"tiny:picked:mean_plus_max_std", "tiny:tuned"}
    assert rows.loc["tiny:tuned", "model"] == "lora_tuned"
    assert (rows["n_clips"] == len(manifest)).all()


def test_without_the_model_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    reason = hub_tuning.chosen(["hubert_base"], ["hubert_base"])["hubert_base"]
    assert reason.startswith("not run: HuBERT base")
    assert "pip install -r requirements-pretrained.lock" in reason
    with pytest.raises(study.UserError, match="hub_tuned names byol_s, which is no encoder of transformers"):
        hub_tuning.chosen(["byol_s"], ["byol_s"])
    with pytest.raises(study.UserError, match="hub_tuned names hubert_base, which encoders does not"):
        hub_tuning.chosen(["hubert_base"], ["byol_s"])
    with pytest.raises(study.UserError, match=r"requirements-pretrained\.lock"):
        hub_front.frames(pd.DataFrame(), tmp_path, "hubert_base", cache=tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora_rank": -1}, "lora_rank -1 must be 0 or more"),
        ({"rate_decay": 0.0}, "rate_decay 0.0 must be above 0 and at most 1"),
        ({"clip_norm": 0.0}, "clip_norm 0.0 must be above 0"),
        ({"dropout": 1.0}, "dropout 1.0 must be at least 0 and below 1"),
    ],
)
def test_options_that_cannot_be_are_refused(changes, words):
    with pytest.raises(study.UserError, match=words):
        Tuning(**changes)


def test_settings_that_only_nets_of_keras_know_are_refused(wav2vec2):
    with pytest.raises(study.UserError, match="averaging 'ema' is not for encoders of transformers"):
        Learner(wav2vec2, 2, Tuning(), dataclasses.replace(RECIPE, averaging="ema"))
    assert pretrained.entry(wav2vec2).kind == "hub"
