"""Texts as numbers: one signature for all encoders, cached by weights and text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer

from ser_utils import study
from ser_utils.features import Frames, Table
from ser_utils.text.bert import Bert
from ser_utils.text.encoders import entry, files, not_run, weights_sum
from ser_utils.text.wordpiece import words

LAYERS = ("last", "all")
HASHED = 256  # columns
BATCH = 32  # texts that go through a transformers model together
ELSEWHERE = ("features", "weights")  # modules whose code changes no vector


def encode(texts: Sequence[str], name: str = "minilm", *, layers: str = "last", cache: Path) -> np.ndarray:
    """One vector per text: the mean of the states of its tokens, of length 1.

    Parameters
    ----------
    texts : sequence of str [length n]
        Equal texts are encoded once. An empty text has a vector, too.
    name : str
        One of :data:`ENCODERS`, or a folder with a model in the format of transformers (safetensors).
    layers : str
        ``last``, which is the sentence's vector for what was trained on sentences, or ``all``: the vectors of all
        layers one after the other, the embeddings of the words first. Lower layers know more about single words.
    cache : Path
        Folder for the artefact; its key holds the weights' hash, the code and the texts.

    Returns
    -------
    np.ndarray [shape=(n, dim), dtype=float32]

    Raises
    ------
    study.UserError
        When there is no text, for other `layers`, or when the encoder cannot be used (see :func:`not_run`).
    """
    if layers not in LAYERS:
        raise study.UserError(f"layers '{layers}' are unknown; use one of {', '.join(LAYERS)}")
    known = _distinct(texts)
    vectors = study.cached(
        cache,
        _key(known, name, f"vectors {layers}"),
        lambda: _vectors(known, name, layers),
        save=lambda found, folder: np.save(folder / "vectors.npy", found),
        load=lambda folder: np.load(folder / "vectors.npy"),
    )
    return vectors[_places(known, texts)]


def table(manifest: pd.DataFrame, name: str = "minilm", *, layers: str = "last", cache: Path) -> Table:
    """:func:`encode` of the columns ``text`` and ``context`` as a table of features, one row per clip.

    With ``context`` (see :func:`with_context`) a row holds the vector of the text, then the mean of those of the texts
    before it; a text that is not there counts as zeros.
    """
    said = [manifest["text"].tolist()]
    if "context" in manifest:
        said += [list(before) for before in zip(*manifest["context"], strict=True)]
    vectors = encode([text for column in said for text in column], name, layers=layers, cache=cache)
    x, *before = np.split(vectors, len(said))
    if before:
        there = [np.array([text != "" for text in column])[:, None] for column in said[1:]]
        x = np.hstack([x, np.mean([part * known for part, known in zip(before, there, strict=True)], axis=0)])
    columns = tuple(f"{Path(name).name}_{i}" for i in range(x.shape[1]))
    return Table(x, columns, manifest["clip_id"].to_numpy(dtype=str))


def tokens(manifest: pd.DataFrame, name: str = "minilm", *, longest: int = 32, cache: Path) -> Frames:
    """States of the tokens of the column ``text``, of the last layer, as sequences for cross-modal attention.

    Parameters
    ----------
    manifest : pd.DataFrame
        ``clip_id, text``.
    name, cache
        As for :func:`encode`.
    longest : int
        Tokens that are kept of a text, from the first.
    """
    known = _distinct(manifest["text"])
    x, n_tokens = study.cached(
        cache,
        _key(known, name, f"tokens {longest}"),
        lambda: _padded(known, name, longest),
        save=lambda found, folder: np.savez(folder / "tokens.npz", x=found[0], n_tokens=found[1]),
        load=_load_tokens,
    )
    rows = _places(known, manifest["text"])
    return Frames(x[rows], n_tokens[rows], manifest["clip_id"].to_numpy(dtype=str))


def _load_tokens(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder / "tokens.npz") as stored:
        return stored["x"], stored["n_tokens"]


def _distinct(texts: Sequence[str]) -> list[str]:
    known = sorted(set(texts))
    if known in ([], [""]):
        raise study.UserError("no clip has a text; text needs a corpus with transcripts in column text")
    return known


def _places(known: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    at = {text: place for place, text in enumerate(known)}
    return np.array([at[text] for text in texts])


def _key(texts: Sequence[str], name: str, form: str) -> dict[str, object]:
    if reason := not_run(name):
        raise study.UserError(reason)
    folder = files(name)
    settings = sorted(f for f in folder.iterdir() if f.suffix in (".json", ".txt")) if folder else []
    return {
        "kind": entry(name).kind,
        "form": form,
        "weights": weights_sum(folder) if folder else "",
        "settings": {file.name: study.sha256(file) for file in settings},
        "longest": entry(name).longest,
        "texts": study.digest(list(texts)),
        "code": study.code_version("text.embedding", without=ELSEWHERE),
        "versions": study.versions("numpy", "scipy", "scikit-learn", "torch", "transformers"),
    }


def _vectors(texts: Sequence[str], name: str, layers: str) -> np.ndarray:
    found: dict[int, np.ndarray] = {}
    for place, states in _states(texts, name):
        means = states[-1 if layers == "last" else 0 :].mean(axis=1)
        found[place] = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).ravel()
    return np.stack([found[place] for place in range(len(texts))])


def _padded(texts: Sequence[str], name: str, longest: int) -> tuple[np.ndarray, np.ndarray]:
    found = {place: states[-1, :longest] for place, states in _states(texts, name)}
    n_tokens = np.array([len(found[place]) for place in range(len(texts))], dtype=np.int32)
    x = np.zeros((len(texts), n_tokens.max(), found[0].shape[1]), dtype=np.float32)
    for place, states in found.items():
        x[place, : len(states)] = states
    return x, n_tokens


def _states(texts: Sequence[str], name: str) -> Iterator[tuple[int, np.ndarray]]:
    """Place and token states [shape=(n_layers, n_tokens, dim), dtype=float32] of each text, in any order."""
    wanted = entry(name)
    if wanted.kind == "hashing":
        return ((place, _hashed(text)[None]) for place, text in enumerate(texts))
    study.progress(f"{Path(name).name}: encoding {len(texts)} texts")
    if wanted.kind == "bert":
        return Bert(files(name), longest=wanted.longest).states(texts)
    return _transformers(texts, files(name), wanted.longest)


def _hashed(text: str) -> np.ndarray:
    """One row per word: the word and its parts of 3 to 5 letters, hashed with signs; a row of zeros for no word."""
    hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=HASHED, dtype=np.float32)
    return hashing.transform(words(text) or [""]).toarray()


def _transformers(texts: Sequence[str], folder: Path, longest: int) -> Iterator[tuple[int, np.ndarray]]:
    """Through transformers, from a local folder alone: safetensors, no code that came with the weights, no network."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **safe).eval()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise study.UserError(f"{folder}: transformers cannot load this model ({reason}); fetch it again") from error
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        said = [texts[i] for i in batch]
        given = tokenizer(said, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            states = torch.stack(model(**given, output_hidden_states=True).hidden_states, dim=1).float().numpy()
        for place, found, valid in zip(batch, states, given["attention_mask"].numpy() > 0, strict=True):
            yield place, found[:, valid]
