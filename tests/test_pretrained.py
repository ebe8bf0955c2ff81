"""Embeddings in step with their clips and their weights; encoders that are not here say what to do."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import importlib.util
import json
import threading

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch_archive
from sounds import noise, voice

from ser_utils import audio, pretrained, study, weights
from ser_utils.features import store
from ser_utils.pretrained import byol_s, catalogue, hub

SECONDS = (0.3, 1.1, 0.7)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Three clips of different length, and where they lie."""
    rows = []
    for i, seconds in enumerate(SECONDS):
        file = tmp_path / f"{i}.wav"
        sf.write(file, voice(110 + 40 * i, seconds) + noise(i, seconds) * 0.1, 16000)
        rows.append({"path": file.name, "clip_id": f"clip{i}", "corpus": "x", "sha256": study.sha256(file)})
    monkeypatch.setenv("SER_JOBS", "1")
    return pd.DataFrame(rows)


def put_weights(folder, monkeypatch, *, seed=0):
    """Random weights in the published format, in the place and with the hash of the published ones."""
    file = torch_archive.byol_s(folder / weights.WEIGHTS["byol_s"].file, seed=seed)
    known = dataclasses.replace(weights.WEIGHTS["byol_s"], sha256=study.sha256(file))
    monkeypatch.setitem(weights.WEIGHTS, "byol_s", known)
    monkeypatch.setenv("SER_PRETRAINED", str(folder))
    return file


@pytest.fixture
def byol(tmp_path, monkeypatch):
    study.seed_everything(0)  # before any net, as it wants to be
    (tmp_path / "weights").mkdir()
    return put_weights(tmp_path / "weights", monkeypatch)


def embed(corpus, tmp_path, **options):
    return pretrained.embed(corpus, tmp_path, "byol_s", cache=tmp_path / "cache", **options)


def computes_nothing(monkeypatch):
    monkeypatch.setattr(store, "results", lambda *_, **__: pytest.fail("computed again"))


def refused(call, *arguments, **options):
    with pytest.raises(study.UserError) as caught:
        call(*arguments, **options)
    return str(caught.value)


# --- embeddings of clips ----------------------------------------------------------------------------------------------


def test_rows_are_the_clips_own_and_come_from_the_cache_the_second_time(corpus, byol, tmp_path, monkeypatch):
    found = embed(corpus, tmp_path, pooling="mean_std")
    assert (found.x.shape, found.layers) == ((3, 5, 1024), byol_s.LAYERS)
    assert found.clip_ids.tolist() == corpus["clip_id"].tolist()
    for row, path in zip(found.x, corpus["path"], strict=True):
        mean, _, std = byol_s.clip_statistics(byol_s.log_mel(audio.load(tmp_path / path)), byol).transpose(1, 0, 2)
        np.testing.assert_allclose(row, np.concatenate([mean, std], axis=1), atol=1e-5)
    computes_nothing(monkeypatch)
    np.testing.assert_array_equal(embed(corpus, tmp_path, pooling="mean_std").x, found.x)
    turned = found.rows(corpus["clip_id"].to_numpy()[::-1])
    np.testing.assert_array_equal(found.table("conv2").x[turned], found.x[::-1, 1])


def test_poolings_and_layers_are_read_from_one_artefact(corpus, byol, tmp_path, monkeypatch):
    parts = embed(corpus, tmp_path, pooling="mean_std").x
    computes_nothing(monkeypatch)
    mean, std = parts[..., :512], parts[..., 512:]
    largest = embed(corpus, tmp_path, pooling="mean_plus_max").x - mean
    assert (largest >= mean - 1e-5).all()
    np.testing.assert_array_equal(embed(corpus, tmp_path, pooling="mean").x, mean)
    both = embed(corpus, tmp_path, pooling="mean_plus_max_std")
    np.testing.assert_allclose(both.x, np.concatenate([mean + largest, std], axis=-1), atol=1e-5)
    one = embed(corpus, tmp_path, pooling="mean", layer="dense1")
    assert (one.layers, one.name()) == (("dense1",), "byol_s:dense1:mean")
    np.testing.assert_array_equal(one.x[:, 0], mean[:, 3])
    np.testing.assert_array_equal(one.table().x, mean[:, 3])


def test_other_weights_are_computed_anew(corpus, byol, tmp_path, monkeypatch):
    first = embed(corpus, tmp_path).x
    put_weights(byol.parent, monkeypatch, seed=1)
    byol_s._nets.cache_clear()
    assert np.abs(embed(corpus, tmp_path).x - first).max() > 0.1
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_layers_in_place_of_time_feed_a_net_that_weighs_them(corpus, byol, tmp_path):
    frames = embed(corpus, tmp_path).frames()
    assert (frames.x.shape, frames.n_frames.tolist()) == ((3, 5, 1024), [5, 5, 5])


# --- embeddings of frames ---------------------------------------------------------------------------------------------


def test_frames_are_those_of_the_layer_with_zeros_after_them(corpus, byol, tmp_path):
    found = pretrained.embed_frames(corpus, tmp_path, "byol_s", layer="conv3", max_s=0.8, cache=tmp_path / "cache")
    assert (found.x.shape, found.clip_ids.tolist()) == ((3, 11, 512), corpus["clip_id"].tolist())
    assert found.n_frames.tolist() == [31 // 8, 81 // 8, 71 // 8]
    for row, n_frames, path in zip(found.x, found.n_frames, corpus["path"], strict=True):
        y = audio.load(tmp_path / path)
        y = audio.fit_length(y, 12800)[0] if len(y) > 12800 else y
        np.testing.assert_allclose(row[:n_frames], byol_s.layer_frames(byol_s.log_mel(y), byol, 2), atol=1e-5)
        assert not row[n_frames:].any()


@pytest.mark.parametrize("max_s", [0.1, 0.7, 1.1])
def test_any_length_has_room_for_the_frames_of_a_longer_clip(max_s, corpus, byol, tmp_path):
    for layer in ("conv1", "dense2"):
        found = pretrained.embed_frames(corpus, tmp_path, "byol_s", layer=layer, max_s=max_s, cache=tmp_path / "cache")
        assert found.n_frames.max() <= found.x.shape[1] <= found.n_frames.max() + 1
    found = pretrained.byol_s_input(corpus, tmp_path, max_s=max_s, cache=tmp_path / "cache")
    assert found.x.shape[1] == round(100 * max_s) + 1


def test_the_input_of_the_net_comes_as_frames_too(corpus, tmp_path):
    found = pretrained.byol_s_input(corpus, tmp_path, max_s=2.0, cache=tmp_path / "cache")
    assert (found.x.shape, found.n_frames.tolist()) == ((3, 201, 64), [31, 111, 71])
    np.testing.assert_array_equal(found.x[0, :31], byol_s.log_mel(audio.load(tmp_path / "0.wav")))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_weights_that_are_absent_or_altered_and_clips_that_changed_are_told(corpus, byol, tmp_path, monkeypatch):
    sf.write(tmp_path / "1.wav", noise(0, 0.3), 16000)
    assert "altered since the manifest was built" in refused(embed, corpus, tmp_path)
    assert pretrained.not_run("byol_s") == ""
    byol.write_bytes(byol.read_bytes()[:-1] + b"x")
    assert "are not the published weights 'byol_s'" in refused(embed, corpus, tmp_path)
    byol.unlink()
    message = refused(embed, corpus, tmp_path)
    assert "fetch https://github.com/Neclow/serab" in message
    assert pretrained.not_run("byol_s").startswith("not run: byol_s_default512.pth")


def test_unknown_names_are_told_with_the_known_ones(corpus, byol, tmp_path):
    assert "one of byol_s, wav2vec2_base" in refused(pretrained.embed, corpus, tmp_path, "vggish", cache=tmp_path)
    assert "use one of conv1, conv2" in refused(embed, corpus, tmp_path, layer="layer03")
    assert "use one of mean, mean_std" in refused(embed, corpus, tmp_path, pooling="median")
    assert "layer 'x' is none of" in refused(
        pretrained.embed_frames, corpus, tmp_path, "byol_s", layer="x", cache=tmp_path
    )
    assert "max_s 0 must be 0.1 seconds or more" in refused(
        pretrained.embed_frames, corpus, tmp_path, "byol_s", max_s=0, cache=tmp_path
    )


@pytest.mark.parametrize("name", ["owner/name", "owner/name@main", "owner/name@" + "a" * 39, "owner/name@" + "A" * 40])
def test_a_model_of_the_hub_needs_a_whole_commit(name):
    assert "all 40 digits of the commit" in refused(pretrained.entry, name)


# --- encoders of the hub: what their files say, without the library ---------------------------------------------------


def put_model(folder, *, model_type="wav2vec2", rate=16000, file="model.safetensors", missing=""):
    folder.mkdir(parents=True)
    settings = {
        "model_type": model_type,
        "num_hidden_layers": 12,
        "hidden_size": 768,
        "encoder_layers": 6,
        "d_model": 512,
    }
    for name, content in {"config.json": settings, "preprocessor_config.json": {"sampling_rate": rate}}.items():
        if name != missing:
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / file).write_bytes(b"weights")
    return str(folder)


def test_what_is_not_here_is_told_with_the_two_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    text = pretrained.not_run("hubert_base")
    assert text.startswith("not run: ")
    for command in ("`pip install -r requirements-pretrained.lock`", "pretrained.get('hubert_base')\"`"):
        assert command in text
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs torch and transformers" in pretrained.not_run("hubert_base")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    text = pretrained.not_run("hubert_base")
    assert "HuBERT base (378 MB, licence Apache-2.0) is not in $SER_PRETRAINED/hubert-base-ls960" in text
    assert str(tmp_path) not in text
    put_model(tmp_path / "hubert-base-ls960")
    assert pretrained.not_run("hubert_base") == ""


def test_the_table_of_encoders_tells_what_each_has_heard(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    table = pretrained.status(("ravdess", "meld")).set_index("name")
    assert list(table.index) == list(pretrained.ENCODERS)
    assert table["state"].str.startswith("not run").all()
    assert table.loc["whisper_base", "heard"] == "ravdess (possible), meld (possible)"
    assert table.loc["hubert_base", "heard"] == ""
    assert (table[["licence", "citation", "trained_on"]] != "").all(axis=None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"model_type": "bert"}, "model_type bert is none of wav2vec2, hubert, wavlm, whisper"),
        ({"rate": 8000}, "takes 8000 Hz and the study's sound has 16000 Hz"),
        ({"file": "pytorch_model.bin"}, "weights in a pickle are not loaded"),
        ({"missing": "preprocessor_config.json"}, "preprocessor_config.json missing"),
    ],
)
def test_models_that_cannot_be_used_are_refused_before_anything_is_loaded(model, message, tmp_path):
    assert message in refused(hub.settings, put_model(tmp_path / "m", **model))


@pytest.mark.parametrize(("family", "depth", "columns"), [("wavlm", 12, 768), ("whisper", 6, 512)])
def test_layers_and_columns_come_from_the_model_itself(family, depth, columns, tmp_path):
    told = hub.settings(put_model(tmp_path / "m", model_type=family))
    assert (told["layers"][0], told["layers"][-1], len(told["layers"])) == ("layer00", f"layer{depth:02d}", depth + 1)
    assert told["n_columns"] == columns


def test_a_file_that_is_not_json_is_told(tmp_path):
    folder = put_model(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{", encoding="utf-8")
    assert "config.json: cannot be read" in refused(hub.settings, folder)


def test_the_content_changes_with_the_weights_and_with_the_settings(tmp_path):
    folder = put_model(tmp_path / "m")
    seen = [hub.content(folder)]
    (tmp_path / "m" / "model.safetensors").write_bytes(b"other weights")
    seen.append(hub.content(folder))
    (tmp_path / "m" / "preprocessor_config.json").write_text('{"sampling_rate": 16000, "do_normalize": true}')
    seen.append(hub.content(folder))
    assert len(set(seen)) == 3


def test_published_safetensors_with_another_content_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    put_model(tmp_path / "whisper-base", model_type="whisper")
    assert "is not the published 07cadb9f2567" in refused(hub.content, "whisper_base")


# --- fetching ---------------------------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing of what is asked for."""

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server over a folder, in the place of the hub."""
    (tmp_path / "web").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "web")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        monkeypatch.setattr(hub, "HUB", f"http://127.0.0.1:{found.server_port}")
        monkeypatch.setenv("SER_OUT", str(tmp_path / "out"))
        monkeypatch.delenv("SER_PRETRAINED", raising=False)
        yield tmp_path / "web"
        found.shutdown()


COMMIT = "0123456789" * 4


def test_a_model_comes_from_the_hub_at_its_commit_and_once(server, tmp_path):
    name = f"owner/net@{COMMIT}"
    put_model(server / "owner" / "net" / "resolve" / COMMIT)
    folder = pretrained.get(name)
    assert folder == tmp_path / "out" / "data" / "pretrained" / "net"
    assert sorted(f.name for f in folder.iterdir()) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    (server / "owner" / "net" / "resolve" / COMMIT / "config.json").unlink()
    assert pretrained.get(name) == folder


def test_a_wrong_content_is_not_kept(server, tmp_path, monkeypatch):
    known = catalogue.ENCODERS["whisper_base"]
    put_model(server / known.repository / "resolve" / known.revision)
    assert "is not the published 07cadb9f" in refused(pretrained.get, "whisper_base")
    assert not list((tmp_path / "out").rglob("model.safetensors"))


def test_what_is_on_no_hub_cannot_be_fetched(tmp_path):
    assert "not on the Hugging Face hub" in refused(pretrained.get, "byol_s")
    assert "not on the Hugging Face hub" in refused(pretrained.get, str(tmp_path))
