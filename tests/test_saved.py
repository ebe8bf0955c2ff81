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
from ser_utils.saved import card, export

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


@pytest.mark.parametrize("which", ["first", "lstm"])
def test_a_saved_net_answers_as_its_fold_did(folds, clips, which):
    net = saved.load(saved.save(folds[which], SPEC, name="kept", **HOW))
    np.testing.assert_allclose(net.predict(clips), as_in_training(folds[which], clips), atol=1e-6)


def test_it_says_what_it_is(folds):
    net = saved.load(saved.save(folds["first"], SPEC, name="kept", split="speaker_groups", **HOW))
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


def test_one_clip_is_heard_as_in_training(folds, clips):
    net = saved.load(saved.save(folds["first"], SPEC, name="kept", **HOW))
    heard = net.hear(sentence(0.4, 120))
    np.testing.assert_allclose([heard[label] for label in LABELS], net.predict(clips)[0], atol=1e-6)


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


def test_the_hash_of_the_weights_tells_nets_apart(folds):
    def saved_hash(which):
        return saved.read_card(saved.save(folds[which], SPEC, name="kept", **HOW)).facts["weights_sha256"]

    assert saved_hash("first") == saved_hash("first") != saved_hash("second")


# --- what is refused ------------------------------------------------------------------------------------------------


def altered(file, member, change):
    """Rewrite one member of a saved net."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = change(members[member])
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


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
def test_an_altered_file_is_refused(folds, member, change):
    file = saved.save(folds["first"], SPEC, name="kept", **HOW)
    altered(file, member, change)
    with pytest.raises(study.UserError, match=r"kept\.keras was altered after it was saved"):
        saved.load(file)


def test_other_files_are_refused(folds, tmp_path):
    whole = saved.save(folds["first"], SPEC, name="kept", **HOW)
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole.read_bytes()[:5000])
    for file in (cut, folds["first"].folder / "model.keras"):
        with pytest.raises(study.UserError, match="damaged or no net that this study saved"):
            saved.load(file)
    with pytest.raises(study.UserError, match=r"none\.keras does not exist"):
        saved.load(tmp_path / "none.keras")


def test_a_net_for_features_that_are_computed_otherwise_is_refused(folds, monkeypatch):
    file = saved.save(folds["first"], SPEC, name="kept", **HOW)

    compute = features.frames

    def louder(y, spec):
        x, n_frames = compute(y, spec)
        return x + 1.0 * (np.arange(x.shape[1]) == 2), n_frames

    monkeypatch.setattr(features, "frames", louder)
    with pytest.raises(study.UserError, match=r"now computed otherwise \(mel002_db differs most\)"):
        saved.load(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "My net"}, "'My net' is no name for a net"),
        ({"name": "../up"}, "is no name for a net"),
        ({"labels": LABELS[:2]}, "knows 3 emotions, 2 labels are given"),
    ],
)
def test_what_does_not_fit_is_not_saved(folds, change, message):
    with pytest.raises(study.UserError, match=message):
        saved.save(folds["first"], SPEC, **{"name": "kept", **HOW, **change})
    with pytest.raises(study.UserError, match="the net takes 9 columns, 'mfcc' gives 60"):
        saved.save(folds["first"], features.FrameSpec(kind="mfcc"), name="kept", **HOW)
    assert not card.folder("demo").exists()


# --- which nets are there -------------------------------------------------------------------------------------------


def test_nets_are_listed_with_corpus_and_score_the_best_first(folds, capsys):
    saved.save(folds["first"], SPEC, name="worse", **HOW)
    saved.save(folds["second"], SPEC, name="better", **(HOW | {"uar": (0.7, 0.6, 0.8)}))
    shutil.copy(folds["first"].folder / "model.keras", card.folder("demo") / "foreign.keras")
    listed = saved.available("demo")
    assert listed["name"].tolist() == ["better", "worse"]
    assert listed["UAR [95 %]"].tolist() == ["0.700 [0.600, 0.800]", "0.500 [0.400, 0.600]"]
    assert set(listed["corpus"]) == {"demo"}
    assert "left out" in (said := capsys.readouterr().err)
    assert "foreign.keras" in said
    assert saved.available("smoke").empty


def test_a_net_is_found_by_name_by_path_and_alone(folds, tmp_path):
    with pytest.raises(study.UserError, match=r"no net in .*: run \./run_all\.sh demo to train some"):
        saved.find(None, "demo")
    file = saved.save(folds["first"], SPEC, name="one", **HOW)
    copy = shutil.copy(file, tmp_path / "elsewhere.keras")
    assert saved.find(None, "demo") == saved.find("one", "demo") == file
    assert saved.find(str(copy), "smoke") == copy
    saved.save(folds["first"], SPEC, name="two", **HOW)
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


def test_an_export_that_differs_is_not_written(folds, tmp_path, monkeypatch):
    net = saved.load(saved.save(folds["first"], SPEC, name="kept", **HOW))
    runner = export._lite_runner
    monkeypatch.setattr(export, "_lite_runner", lambda file: lambda x, mask: runner(file)(x * 1.05, mask))
    with pytest.raises(study.UserError, match=r"kept as TensorFlow Lite differs by .* from Keras, more than 0.0001"):
        saved.to_tflite(net, tmp_path / "net.tflite")
    assert not list(tmp_path.glob("*.tflite"))
