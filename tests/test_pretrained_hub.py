"""Tiny models with random weights, saved to a folder in the hub's own format, run by the code that runs real ones."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from sounds import noise, voice
from tiny_models import make

from ser_utils import pretrained, study
from ser_utils.pretrained import hub

REASON = "the extra is not installed: pip install -r requirements-pretrained.lock"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)


@pytest.fixture(scope="module", params=hub.FAMILIES)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    return request.param, make(request.param, folder), str(folder)


def states(folder, y):
    return hub.states(y, folder, hub.content(folder))


def refused(call, *arguments):
    with pytest.raises(study.UserError) as caught:
        call(*arguments)
    return str(caught.value)


def test_every_layer_is_that_of_the_library_itself(model):
    family, net, folder = model
    y = voice(150, 0.8)
    prepared = transformers.AutoFeatureExtractor.from_pretrained(folder)(y, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        runs = net.encoder if family == "whisper" else net
        wanted = runs(next(iter(prepared.values())), output_hidden_states=True).hidden_states
    found = states(folder, y)
    assert len(found) == len(wanted) == 3
    n_frames = 40 if family == "whisper" else wanted[0].shape[1]
    assert found.shape == (3, n_frames, 16)
    assert found.std() > 0.1
    for layer, own in zip(found, wanted, strict=True):
        np.testing.assert_allclose(layer, own[0, :n_frames].numpy(), atol=1e-5)


def test_whisper_takes_long_clips_in_pieces_and_leaves_the_filling_out(tmp_path):
    make("whisper", tmp_path / "m")
    y = np.concatenate([noise(0, 30.0), voice(120, 0.5)])
    found = states(str(tmp_path / "m"), y)
    assert found.shape[1] == 1500 + 25
    np.testing.assert_allclose(found[:, 1500:], states(str(tmp_path / "m"), y[480000:]), atol=1e-5)


@pytest.mark.parametrize("y", [np.zeros(0), np.full(1, 0.5), noise(0, 0.02), np.zeros(4000)])
def test_short_and_silent_clips_have_finite_values(model, y):
    found = hub.clip_statistics(y, model[2], hub.content(model[2]))
    assert found.shape == (3, 3, 16)
    assert np.isfinite(found).all()


def test_embeddings_by_the_one_signature(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_JOBS", "1")
    sf.write(tmp_path / "a.wav", voice(120, 0.4), 16000)
    sf.write(tmp_path / "b.wav", voice(200, 0.9), 16000)
    rows = [
        {"path": f"{n}.wav", "clip_id": n, "corpus": "x", "sha256": study.sha256(tmp_path / f"{n}.wav")} for n in "ab"
    ]
    assert pretrained.not_run(model[2]) == ""
    found = pretrained.embed(pd.DataFrame(rows), tmp_path, model[2], pooling="mean", cache=tmp_path / "cache")
    assert (found.x.shape, found.layers) == ((2, 3, 16), ("layer00", "layer01", "layer02"))
    sound = sf.read(tmp_path / "b.wav", dtype="float32")[0]
    np.testing.assert_allclose(found.x[1], states(model[2], sound).mean(1), atol=1e-5)
    frames = pretrained.embed_frames(pd.DataFrame(rows), tmp_path, model[2], max_s=1.0, cache=tmp_path / "cache")
    np.testing.assert_allclose(frames.x[1, : frames.n_frames[1]], states(model[2], sound)[-1], atol=1e-5)


def test_pickled_weights_are_converted_by_the_reader_that_runs_nothing(model, tmp_path):
    _, net, folder = model
    net.save_pretrained(tmp_path / "m")
    transformers.AutoFeatureExtractor.from_pretrained(folder).save_pretrained(tmp_path / "m")
    torch.save(net.state_dict(), tmp_path / "m" / "pytorch_model.bin")
    (tmp_path / "m" / "model.safetensors").unlink()
    assert "weights in a pickle are not loaded" in refused(hub.content, str(tmp_path / "m"))
    hub.convert(tmp_path / "m")
    assert not (tmp_path / "m" / "pytorch_model.bin").exists()
    np.testing.assert_array_equal(states(str(tmp_path / "m"), voice(150, 0.5)), states(folder, voice(150, 0.5)))


def test_the_names_of_old_files_are_understood(tmp_path):
    """Files of 2021 call the two parts of a normalised kernel weight_g and weight_v."""
    from safetensors.numpy import load_file, save_file

    make("wav2vec2", tmp_path / "m")
    before = states(str(tmp_path / "m"), voice(150, 0.5))
    file = tmp_path / "m" / "model.safetensors"
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = {}
    for name, value in load_file(file).items():
        for new_part, old_part in old.items():
            name = name.replace(new_part, old_part)
        tensors[f"wav2vec2.{name}"] = value
    assert any(name.endswith("weight_g") for name in tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    np.testing.assert_array_equal(states(str(tmp_path / "m"), voice(150, 0.5)), before)


def test_weights_that_lack_a_tensor_are_refused_not_filled_with_random_ones(tmp_path):
    from safetensors.numpy import load_file, save_file

    make("hubert", tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    tensors.pop("encoder.layers.1.attention.q_proj.weight")
    save_file(tensors, file, metadata={"format": "pt"})
    assert "the weights lack 1 tensors, encoder.layers.1" in refused(states, str(tmp_path / "m"), voice(150, 0.5))


def test_code_that_a_model_brings_is_not_run(tmp_path):
    make("wav2vec2", tmp_path / "m")
    mark = tmp_path / "was_here"
    (tmp_path / "m" / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Net: pass\n", encoding="utf-8")
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModel": "evil.Net", "AutoConfig": "evil.Net", "AutoFeatureExtractor": "evil.Net"}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    states(str(tmp_path / "m"), voice(150, 0.5))
    assert not mark.exists()
