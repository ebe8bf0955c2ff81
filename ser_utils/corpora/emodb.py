"""EmoDB: 10 actors, 7 emotions, 10 German sentences (Burkhardt et al. 2005, doi:10.21437/Interspeech.2005-446)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_utils.corpora.base import Corpus

EMOTIONS = {
    "W": "angry",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
GENDERS = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
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
    >>> row["speaker"], row["emotion"], row["sentence"]
    ('emodb_03', 'happy', 'a01')
    """
    stem = path.stem
    if len(stem) != 7:
        raise ValueError(f"name has {len(stem)} characters, not the 7 of 03a01Fa")
    speaker, sentence, emotion = stem[:2], stem[2:5], stem[5]
    for what, code, known in (
        ("speaker", speaker, GENDERS),
        ("sentence", sentence, SENTENCES),
        ("emotion", emotion, EMOTIONS),
    ):
        if code not in known:
            raise ValueError(f"{what} code '{code}' is not one of {', '.join(known)}")
    return {
        "clip_id": stem,
        "speaker": f"emodb_{speaker}",
        "gender": GENDERS[speaker],
        "emotion": EMOTIONS[emotion],
        "emotion_raw": emotion,
        "intensity": "",
        "sentence": sentence,
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
    address="http://emodb.bilderbar.info/download/download.zip",
    layout="emodb/wav/03a01Fa.wav",
    pattern="**/wav/*",
    parse=parse,
    n_clips=535,
    expected=expected,
    n_speakers=10,
    emotions=tuple(EMOTIONS.values()),
    split="loso",
    notes={"audio": "Players stay out of published reports: the voices are of identifiable people."},
)
