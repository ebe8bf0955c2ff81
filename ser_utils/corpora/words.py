"""Words of a user's table that are understood: names of columns, emotions, sexes and parts, and what names one person.

Case, spaces and other signs do not count in any of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from ser_utils import study

COLUMNS = {  # what is read → names that a column of it may have, the first that is there
    "path": ("path", "filename", "file", "filepath", "audiopath", "wav", "audio", "clip"),
    "emotion": ("emotion", "emotions", "emotionlabel", "label", "class", "category"),
    "speaker": ("speaker", "speakerid", "spk", "actor", "actorid", "subject", "subjectid"),
    "text": ("text", "transcript", "transcription", "utterance"),
    "sentence": ("sentence", "sentenceid"),
    "gender": ("gender", "sex"),
    "split": ("split", "set", "subset", "partition", "part", "fold"),
    "dialogue": ("dialogue", "dialogueid", "conversation"),
    "intensity": ("intensity",),
    "language": ("language", "lang"),
}
NEEDED = ("path", "emotion")
EMOTIONS = {
    "angry": ("anger", "ang", "rage"),
    "calm": ("calmness",),
    "disgust": ("disgusted", "dis"),
    "fear": ("fearful", "afraid", "scared", "fea"),
    "happy": ("happiness", "joy", "joyful", "hap"),
    "neutral": ("neutrality", "neu"),
    "sad": ("sadness",),
    "surprise": ("surprised", "pleasantsurprise", "pleasantsurprised", "ps", "sur"),
    "boredom": ("bored", "bor"),
}
GENDERS = {"female": ("f", "female", "w", "woman"), "male": ("m", "male", "man")}
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}
NOBODY = ("", "nan", "none", "null", "n/a", "#n/a", "<na>", "unknown", "-", "?")  # in place of a speaker
MOST = 5  # speakers that a message names


def plain(text: str) -> str:
    """A word as it is compared: case, spaces, ``_`` and other signs do not count; nothing is left of signs alone.

    Examples
    --------
    >>> plain("Pleasant_Surprise"), plain("-")
    ('pleasantsurprise', '')
    """
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFC", str(text)).casefold())


def names_nobody(speaker: str) -> bool:
    """Whether what stands in a column of speakers is no name.

    Examples
    --------
    >>> names_nobody("NaN"), names_nobody("Nan Goldin")
    (True, False)
    """
    return speaker.casefold() in NOBODY


def person(speaker: str) -> str:
    """Name of a speaker as it is compared: spellings that may be meant for one person are equal.

    Case, spaces, ``_`` and leading zeros do not count, but numbers that they separate stay two; a name that is a number
    is compared as one.

    Examples
    --------
    >>> [person(name) for name in ("Ann Lee", "ann_lee", "ANNLEE")]
    ['annlee', 'annlee', 'annlee']
    >>> [person(name) for name in ("1", "01", "1.0", "s_01", "S1", "1_11", "11_1")]
    ['1', '1', '1', 's1', 's1', '1|11', '11|1']
    """
    name = unicodedata.normalize("NFKC", speaker).casefold().strip()
    if re.fullmatch(r"[+-]?\d+([.,]\d*)?", name):
        return format(Decimal(name.replace(",", ".")).normalize(), "f")
    name = re.sub(r"(?<=\d)[\s_]+(?=\d)", "|", name)
    return re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", re.sub(r"[\s_]+", "", name))


def check_speakers(written: Iterable[str], where: str) -> None:
    """Refuse spellings that may name one person: in training and in test they would pass for two.

    Parameters
    ----------
    written : iterable of str
        Names as a table gives them, and what :func:`names_nobody`.
    where : str
        Place that the message begins with.

    Raises
    ------
    study.UserError
    """
    groups: dict[str, dict[str, None]] = defaultdict(dict)
    for speaker in written:
        if not names_nobody(speaker):
            groups[person(speaker)][speaker] = None
    several = [" and ".join(f"'{name}'" for name in names) for names in groups.values() if len(names) > 1]
    if several:
        raise study.UserError(
            f"{where} spells what may be one speaker in several ways: {'; '.join(several[:MOST])}"
            f"{' …' if len(several) > MOST else ''}; write one name for each person, and let the names of two differ "
            "in more than case, spaces, _ and leading zeros"
        )
