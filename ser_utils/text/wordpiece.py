"""Words to the numbers that BERT's uncased models were trained on (Devlin et al. 2019, doi:10.18653/v1/N19-1423)."""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path

from ser_utils import study

LONGEST_WORD = 100  # characters; longer words are unknown
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_CJK = (  # blocks whose characters are words of their own
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class WordPiece:
    """Splits texts into the longest pieces that a vocabulary knows.

    Parameters
    ----------
    file : Path
        ``vocab.txt``: one piece per line, its number is that of the line; pieces that go on within a word begin with
        ``##``.

    Raises
    ------
    study.UserError
        When one of the marks ``[PAD] [UNK] [CLS] [SEP]`` is not in it.
    """

    def __init__(self, file: Path) -> None:
        pieces = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
        self.numbers = {piece: number for number, piece in enumerate(pieces)}
        for mark in _MARKS:
            if mark not in self.numbers:
                raise study.UserError(f"{file}: the vocabulary lacks {mark}; use the file that came with the weights")

    def encode(self, text: str, *, longest: int) -> list[int]:
        """Numbers of the pieces of `text` between ``[CLS]`` and ``[SEP]``, cut at the end to `longest` in all."""
        pieces = [piece for word in words(text) for piece in self._pieces(word)][: longest - 2]
        return [self.numbers[piece] for piece in ("[CLS]", *pieces, "[SEP]")]

    def _pieces(self, word: str) -> list[str]:
        found, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            before = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if before + word[start:end] in self.numbers), None)
            if end is None:
                return ["[UNK]"]
            found.append(before + word[start:end])
            start = end
        return found or ["[UNK]"]


def words(text: str) -> list[str]:
    """Lower-case words without accents; every sign of punctuation is a word.

    Examples
    --------
    >>> words("Déjà-vu, isn't it?")
    ['deja', '-', 'vu', ',', 'isn', "'", 't', 'it', '?']
    """
    spaced = "".join(map(_spaced, text))
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_punctuation(c) else c for c in plain).split()


@functools.lru_cache(maxsize=4096)
def _spaced(character: str) -> str:
    """A character, or what stands for it: nothing for control characters, spaces around ideographs."""
    code, kind = ord(character), unicodedata.category(character)
    if character in "\t\n\r" or kind == "Zs":
        return " "
    if code in (0, 0xFFFD) or kind.startswith("C"):
        return ""
    return f" {character} " if any(low <= code <= high for low, high in _CJK) else character


@functools.lru_cache(maxsize=4096)
def _is_punctuation(character: str) -> bool:
    """Whether it is punctuation for BERT: all signs of ASCII, also those that Unicode calls symbols, such as ``$``."""
    ascii_sign = 33 <= ord(character) < 127 and not character.isalnum()
    return ascii_sign or unicodedata.category(character).startswith("P")
