"""EmoDB: 10 actors, 7 emotions, 10 German sentences (Burkhardt et al. 2005, doi:10.21437/Interspeech.2005-446)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_utils.corpora.base import Corpus, Download, age_group

EMOTIONS = {
    "W": "angry",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
SPEAKERS = {  # sex, age in years
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def parse(path: Path) -> dict[str, Any]:
    """Labels from a name such as ``03a01Fa``: speaker, sentence, emotion letter, version.

    Raises
    ------
    ValueError
        When the name has not seven characters, or a part of it is unknown.

    Examples
    --------
    >>> row = parse(Path("wav/03a01Fa.wav"))
    >>> row["speaker"], row["age_group"], row["emotion"], row["sentence"], row["repetition"]
    ('emodb_03', '30-44', 'happy', 'a01', 'a')
    """
    stem = path.stem
    if len(stem) != 7:
        raise ValueError(f"name has {len(stem)} characters, not the 7 of 03a01Fa")
    speaker, sentence, emotion, version = stem[:2], stem[2:5], stem[5], stem[6]
    for what, code, known in (
        ("speaker", speaker, SPEAKERS),
        ("sentence", sentence, SENTENCES),
        ("emotion", emotion, EMOTIONS),
    ):
        if code not in known:
            raise ValueError(f"{what} code '{code}' is not one of {', '.join(known)}")
    if not "a" <= version <= "z":
        raise ValueError(f"version '{version}' is not a letter from a to z")
    gender, age = SPEAKERS[speaker]
    return {
        "clip_id": stem,
        "speaker": f"emodb_{speaker}",
        "gender": gender,
        "age_group": age_group(age),
        "emotion": EMOTIONS[emotion],
        "emotion_raw": emotion,
        "sentence": sentence,
        "repetition": version,
        "text": SENTENCES[sentence],
    }


def expected() -> frozenset[str]:
    """Names of the 535 official clips, from ``emodb_index.txt``: no rule gives them."""
    return frozenset(Path(__file__).with_name("emodb_index.txt").read_text(encoding="utf-8").split())


CORPUS = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech (EmoDB)",
    version="1.0",
    language="de",
    licence="CC0-1.0 (audEERING's datasheet)",
    citation="""@inproceedings{burkhardt2005database,
  title = {A database of German emotional speech},
  author = {Burkhardt, Felix and Paeschke, Astrid and Rolfes, Miriam and Sendlmeier, Walter F. and Weiss, Benjamin},
  booktitle = {Proc. Interspeech}, pages = {1517--1520}, year = {2005}, doi = {10.21437/Interspeech.2005-446}
}""",
    address="http://emodb.bilderbar.info",
    downloads=lambda: (Download(address="http://emodb.bilderbar.info/download/download.zip", to="download.zip"),),
    layout="emodb/wav/03a01Fa.wav",
    pattern="**/[0-9][0-9][ab]*",  # some copies have no folder wav
    parse=parse,
    n_clips=535,
    expected=expected,
    beside=("**/lab*/*", "**/silb/*"),  # phonetic labels, under the names of the clips
    n_speakers=10,
    emotions=tuple(EMOTIONS.values()),
    split="loso",
    notes={"audio": "Players stay out of published reports: the voices are of identifiable people."},
)
