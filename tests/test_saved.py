"""Saved nets: one sealed file that answers as the fold did, and exports that answer the same."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
from saved_sample import DEMO, LABELS, SCORE, SPEC, fold_result, sentence

from ser_utils import features, saved, study, training
from ser_utils.features import Frames
from ser_utils.saved import card, export, layers, store

HOW = {"corpora": DEMO, "labels": LABELS, "uar": SCORE, "profile": "demo"}


@pytest.fixture(autouse=True)
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Two folds of a CNN with different weights, one of a recurrent net."""
    root = tmp_path_factory.mktemp("folds")
    return {
        "first": fold_result(root / "0", fold=0, val_uar=0.4, speakers=("a", "b")),
        "second": fold_result(root / "1", fold=1, val_uar=0.6, speakers=("b", "c")),
        "lstm": fold_result(root / "2", "bilstm_attention", fold=2),
    }


@pytest.fixture(scope="module")
def kept(folds, tmp_path_factory):
    """File of the first fold's net."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_OUT", str(tmp_path_factory.mktemp("kept")))
        return saved.save(folds["first"], SPEC, name="kept", split="speaker_groups", **HOW)


@pytest.fixture(scope="module")
def net(kept):
    return saved.load(kept)


@pytest.fixture(scope="module")
def clips():
    """Features of three clips of different length, with rubbish in the padding."""
    x, n_frames = zip(*(features.frames(sentence(s, 100 * s + 80), SPEC) for s in (0.4, 0.9, 1.5)), strict=True)
    x, n_frames = np.stack(x), np.array(n_frames)
    x[np.arange(x.shape[1]) >= n_frames[:, None]] = 1e3
    return Frames(x, n_frames, np.array(["a", "b", "c"]))


def as_in_training(result, clips):
    x = result.normaliser.apply(clips.x, clips.n_frames)
    batches = training.Batches(x, clips.n_frames, np.zeros((len(x), 3), np.float32), training.Recipe())
    return training.predict(training.load_model(result), batches)


def test_a_saved_net_answers_as_its_fold_did(folds, net, clips):
    np.testing.assert_allclose(net.predict(clips), as_in_training(folds["first"], clips), atol=1e-6)


def test_it_says_what_it_is(net):
    assert (net.name, net.labels, net.spec) == ("kept", LABELS, SPEC)
    told = {name: net.facts[name] for name in ("model", "folds", "corpus", "split", "uar", "uar_high", "val_uar")}
    assert told == {
        "model": "small_cnn",
        "folds": [0],
        "corpus": "demo",
        "split": "speaker_groups",
        "uar": 0.5,
        "uar_high": 0.6,
        "val_uar": 0.4,
    }
    assert net.facts["unheard_speakers"] == ["a", "b"]
    assert net.facts["synthetic"]
    assert DEMO.licence in net.facts["licence"]
    assert net.card.score == "0.500 [0.400, 0.600]"


def test_a_split_that_shares_speakers_claims_no_unheard_one(folds):
    file = saved.save(folds["first"], SPEC, name="kept", split="random", **HOW)
    assert saved.read_card(file).facts["unheard_speakers"] == []


def test_one_clip_is_heard_as_in_training(net, clips):
    heard = net.hear(sentence(0.4, 120))
    np.testing.assert_allclose([heard[label] for label in LABELS], net.predict(clips)[0], atol=1e-6)


def test_the_normaliser_leaves_zeros_in_the_padding(folds, clips):
    layer, normaliser = layers.Standardise(), folds["first"].normaliser
    mask = (np.arange(clips.x.shape[1]) < clips.n_frames[:, None]).astype(np.float32)
    layer.build((clips.x.shape, mask.shape))
    layer.set_weights([normaliser.mean, normaliser.std])
    expected = normaliser.apply(clips.x, clips.n_frames)
    np.testing.assert_allclose(layer([clips.x, mask]), expected, atol=1e-6)


def test_validation_chooses_the_fold(folds):
    assert saved.best([folds["first"], folds["second"]]) is folds["second"]
    with pytest.raises(study.UserError, match="no fold was trained"):
        saved.best([])


def test_several_folds_answer_with_their_mean(folds, clips):
    both = [folds["first"], folds["second"]]
    net = saved.load(saved.save(both, SPEC, name="both", **HOW))
    expected = np.mean([as_in_training(result, clips) for result in both], axis=0)
    np.testing.assert_allclose(net.predict(clips), expected, atol=1e-6)
    assert net.facts["folds"] == [0, 1]
    assert net.facts["unheard_speakers"] == ["b"]  # each of the others trained one of the two


def test_equal_weights_have_one_hash(folds, net):
    again = saved.read_card(saved.save(folds["first"], SPEC, name="again", **HOW))
    assert again.facts["weights_sha256"] == net.facts["weights_sha256"]
    weights = net.model.get_weights()
    net.model.set_weights([weights[0] + 1, *weights[1:]])
    assert store._weights_hash(net.model) != net.facts["weights_sha256"]
    net.model.set_weights(weights)


# --- what is refused ------------------------------------------------------------------------------------------------


def altered(file, member, change, target):
    """A copy of a saved net with one member rewritten."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert members[member] != change(members[member])
    members[member] = change(members[member])
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def swap_labels(content):
    known = json.loads(content)
    known["ser_utils"]["card"]["labels"].reverse()
    return json.dumps(known).encode()


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("model.weights.h5", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
        ("config.json", lambda content: content.replace(b'"gelu"', b'"relu"')),
        ("metadata.json", swap_labels),
        ("metadata.json", lambda content: content.replace(b'"n_mels": 8', b'"n_mels": 9')),
        ("metadata.json", lambda content: content.replace(b'"uar": 0.5', b'"uar": 0.9')),
    ],
)
def test_an_altered_file_is_refused(kept, tmp_path, member, change):
    with pytest.raises(study.UserError, match=r"mine\.keras was altered after it was saved"):
        saved.load(altered(kept, member, change, tmp_path / "mine.keras"))


def test_other_files_are_refused(folds, kept, tmp_path):
    cut = tmp_path / "cut.keras"
    cut.write_bytes(kept.read_bytes()[:5000])
    for file in (cut, folds["first"].folder / "model.keras"):
        with pytest.raises(study.UserError, match="damaged or no net that this study saved"):
            saved.load(file)
    with pytest.raises(study.UserError, match=r"none\.keras does not exist"):
        saved.load(tmp_path / "none.keras")


def test_a_net_for_features_that_are_computed_otherwise_is_refused(kept, monkeypatch):
    compute = features.frames

    def louder(y, spec):
        x, n_frames = compute(y, spec)
        return x + 1.0 * (np.arange(x.shape[1]) == 2), n_frames

    monkeypatch.setattr(features, "frames", louder)
    with pytest.raises(study.UserError, match=r"now computed otherwise \(mel002_db differs most\)"):
        saved.load(kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "My net"}, "'My net' is no name for a net"),
        ({"name": "../up"}, "is no name for a net"),
        ({"labels": LABELS[:2]}, "knows 3 emotions, 2 labels are given"),
        ({"spec": features.FrameSpec(kind="mfcc")}, "the net takes 9 columns, 'mfcc' gives 60"),
    ],
)
def test_what_does_not_fit_is_not_saved(folds, change, message):
    with pytest.raises(study.UserError, match=message):
        saved.save(folds["first"], **{"spec": SPEC, "name": "kept", **HOW, **change})
    assert not card.folder("demo").exists()


# --- which nets are there -------------------------------------------------------------------------------------------


def test_nets_are_listed_with_corpus_and_score_the_best_first(folds, kept, capsys):
    card.folder("demo").mkdir(parents=True)
    shutil.copy(kept, card.folder("demo"))
    saved.save(folds["second"], SPEC, name="better", **(HOW | {"uar": (0.7, 0.6, 0.8)}))
    shutil.copy(folds["first"].folder / "model.keras", card.folder("demo") / "foreign.keras")
    listed = saved.available("demo")
    assert listed["name"].tolist() == ["better", "kept"]
    assert listed["UAR [95 %]"].tolist() == ["0.700 [0.600, 0.800]", "0.500 [0.400, 0.600]"]
    assert set(listed["corpus"]) == {"demo"}
    assert "left out" in (said := capsys.readouterr().err)
    assert "foreign.keras" in said
    assert saved.available("smoke").empty


def test_a_net_is_found_by_name_by_path_and_alone(tmp_path):
    with pytest.raises(study.UserError, match=r"no net in .*: run \./run_all\.sh demo to train some"):
        saved.find(None, "demo")
    folder = card.folder("demo")
    folder.mkdir(parents=True)
    for file in (tmp_path / "elsewhere.keras", folder / "one.keras"):
        file.touch()
    assert saved.find(None, "demo") == saved.find("one", "demo") == folder / "one.keras"
    assert saved.find(str(tmp_path / "elsewhere.keras"), "smoke") == tmp_path / "elsewhere.keras"
    (folder / "two.keras").touch()
    with pytest.raises(study.UserError, match=r"several nets in .*: there are one, two; name one with --model"):
        saved.find(None, "demo")
    with pytest.raises(study.UserError, match=r"no net 'three' in .*: there are one, two"):
        saved.find("three", "demo")


# --- other programs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["first", "lstm"])
def test_exports_answer_as_keras_does(folds, clips, tmp_path, which):
    import onnxruntime

    net = saved.load(saved.save(folds[which], SPEC, name="kept", **HOW))
    assert saved.to_onnx(net, tmp_path / "net.onnx") <= export.TOLERANCE
    assert saved.to_tflite(net, tmp_path / "net.tflite") <= export.TOLERANCE
    mask = (np.arange(clips.x.shape[1]) < clips.n_frames[:, None]).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    expected = net.predict(clips)
    np.testing.assert_allclose(session.run(None, {"frames": clips.x, "mask": mask})[0], expected, atol=1e-4)
    run = export._lite_runner(tmp_path / "net.tflite")
    for i in range(3):
        np.testing.assert_allclose(run(clips.x[i : i + 1], mask[i : i + 1])[0], expected[i], atol=1e-4)
    onnx_card = json.loads(session.get_modelmeta().custom_metadata_map[export.CARD])
    with zipfile.ZipFile(tmp_path / "net.tflite") as archive:
        assert json.loads(archive.read(export.CARD)) == onnx_card
    assert tuple(onnx_card["labels"]) == LABELS
    assert tuple(onnx_card["columns"]) == SPEC.columns


def test_an_export_that_differs_or_does_not_run_is_not_written(net, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_flat", lambda saved: b"")
    wrong = lambda file: lambda x, mask: np.asarray(net.model([x, mask])) * np.float32(1.001)  # noqa: E731
    monkeypatch.setattr(export, "_lite_runner", wrong)
    with pytest.raises(study.UserError, match=r"kept as TensorFlow Lite differs by .* from Keras, more than 0.0001"):
        saved.to_tflite(net, tmp_path / "net.tflite")

    def broken(file):
        raise RuntimeError("node 26\nfailed to prepare")

    monkeypatch.setattr(export, "_lite_runner", broken)
    with pytest.raises(study.UserError, match=r"kept cannot be run by TensorFlow Lite \(node 26 failed to prepare\)"):
        saved.to_tflite(net, tmp_path / "net.tflite")
    assert not list(tmp_path.glob("*.tflite"))
