"""What the states of tokens stand for, in words."""

from __future__ import annotations

from ser_utils.text.encoders import entry, files
from ser_utils.text.wordpiece import WordPiece, words


def pieces(said: str, name: str = "minilm") -> list[str]:
    """The pieces of a text whose states :func:`ser_utils.text.tokens` returns, in their order.

    Parameters
    ----------
    said : str
    name : str
        As for :func:`ser_utils.text.encode`.

    Raises
    ------
    study.UserError
        When the encoder cannot be used.

    Examples
    --------
    >>> pieces("Oh, no!", "hashing")
    ['oh', ',', 'no', '!']
    """
    wanted = entry(name)
    if wanted.kind == "hashing":
        return words(said) or [""]
    if wanted.kind == "bert":
        known = WordPiece(files(name) / "vocab.txt")
        named = {number: piece for piece, number in known.numbers.items()}
        return [named[number] for number in known.encode(said, longest=wanted.longest)]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(files(name), local_files_only=True, trust_remote_code=False)
    return tokenizer.convert_ids_to_tokens(tokenizer(said)["input_ids"])
