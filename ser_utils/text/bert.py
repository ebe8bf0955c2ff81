"""The forward pass of BERT in NumPy, and a reader of safetensors: sentence encoders need no other package.

Devlin et al. 2019 (doi:10.18653/v1/N19-1423); sentence vectors as means over tokens: Reimers & Gurevych 2019
(doi:10.18653/v1/D19-1410); MiniLM: Wang et al. 2020 (arXiv:2002.10957).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.special import erf, softmax

from ser_utils import study
from ser_utils.text.wordpiece import WordPiece

TOKENS = 4096  # that one batch may hold: a few hundred MB of memory at most
_KINDS = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file; nothing in it is executed.

    The file holds the length of a JSON header (8 bytes, little-endian), the header with dtype, shape and place of each
    array, then the bytes.

    Raises
    ------
    study.UserError
        When the header cannot be read, an array lies outside the file, or its dtype is not a float or int64.
    """
    data = file.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return {name: _array(entry, memoryview(data)[8 + length :]) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise study.UserError(f"{file}: not a readable safetensors file ({error}); fetch it again") from error


def _array(entry: dict, data: memoryview) -> np.ndarray:
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[begin:end], dtype=_KINDS[entry["dtype"]]).reshape(entry["shape"])


class Bert:
    """A BERT encoder in a folder of the common format: ``config.json``, ``vocab.txt``, ``model.safetensors``.

    Parameters
    ----------
    folder : Path
    longest : int
        Tokens at which a text is cut, ``[CLS]`` and ``[SEP]`` among them.

    Raises
    ------
    study.UserError
        When a file is absent, or the model is not a BERT with GELU and absolute positions.
    """

    def __init__(self, folder: Path, *, longest: int = 256) -> None:
        for name in ("config.json", "vocab.txt", "model.safetensors"):
            if not (folder / name).is_file():
                raise study.UserError(f"{folder}: {name} is not there; fetch the whole model again")
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for key, wanted in {"model_type": "bert", "hidden_act": "gelu"}.items():
            if self.config.get(key) != wanted:
                raise study.UserError(f"{folder}: {key} is {self.config.get(key)}, not {wanted}; use another encoder")
        self.weights = read_safetensors(folder / "model.safetensors")
        self.pieces = WordPiece(folder / "vocab.txt")
        self.longest = min(longest, self.config["max_position_embeddings"])

    def states(self, texts: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Position of each text and the states of its tokens [shape=(1 + n_layers, n_tokens, width), dtype=float32].

        The first are the embeddings that go into the first layer. Texts of one length go through together, so that
        there is no padding to be blind to; the order is by length.
        """
        tokens = [self.pieces.encode(text, longest=self.longest) for text in texts]
        by_length: dict[int, list[int]] = {}
        for position, numbers in enumerate(tokens):
            by_length.setdefault(len(numbers), []).append(position)
        for length in sorted(by_length):
            positions, size = by_length[length], max(1, TOKENS // length)
            for start in range(0, len(positions), size):
                batch = positions[start : start + size]
                yield from zip(batch, self._forward(np.array([tokens[i] for i in batch])), strict=True)

    def _forward(self, numbers: np.ndarray) -> np.ndarray:
        """States of texts of one length [shape=(n_texts, 1 + n_layers, n_tokens, width)]."""
        words, places, kinds = (
            self.weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        )
        x = self._norm(words[numbers] + places[: numbers.shape[1]] + kinds[0], "embeddings.LayerNorm")
        found = [x]
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self._norm(x + self._attention(x, f"{name}.attention"), f"{name}.attention.output.LayerNorm")
            hidden = self._dense(x, f"{name}.intermediate.dense")
            hidden *= 0.5 * (1 + erf(hidden * np.float32(np.sqrt(0.5))))
            x = self._norm(x + self._dense(hidden, f"{name}.output.dense"), f"{name}.output.LayerNorm")
            found.append(x)
        return np.stack(found, axis=1)

    def _attention(self, x: np.ndarray, name: str) -> np.ndarray:
        heads = self.config["num_attention_heads"]
        shape = (*x.shape[:2], heads, x.shape[2] // heads)
        query, key, value = (
            self._dense(x, f"{name}.self.{part}").reshape(shape).swapaxes(1, 2) for part in ("query", "key", "value")
        )
        weights = softmax(query @ key.swapaxes(2, 3) / np.float32(np.sqrt(shape[3])), axis=-1)
        return self._dense((weights @ value).swapaxes(1, 2).reshape(x.shape), f"{name}.output.dense")

    def _dense(self, x: np.ndarray, name: str) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1])  # one large product is several times as fast as one per text
        out = rows @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return out.reshape(*x.shape[:-1], -1)

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(self.config["layer_norm_eps"]))
        return centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
