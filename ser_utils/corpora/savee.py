"""SAVEE: 4 men, 7 emotions, 120 sentences each (Haq & Jackson 2010, doi:10.4018/978-1-61520-919-4.ch017)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ser_utils.corpora.base import Corpus

EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}
SPEAKERS = ("DC", "JE", "JK", "KL")
NUMBERS = dict.fromkeys(EMOTIONS, 15) | {"n": 30}  # sentences of each emotion
_NAME = re.compile(r"(?:([a-z]+)_)?([a-z]+)(\d+)", re.IGNORECASE)


def parse(path: Path) -> dict[str, Any]:
    """Labels from ``DC_a01`` or, in a folder of the speaker, ``DC/a01``: speaker, emotion, number of the sentence.

    Raises
    ------
    ValueError
        When the name is another one, names no speaker or other than its folder, or a field is unknown.

    Examples
    --------
    >>> row = parse(Path("AudioData/JK/su03.wav"))
    >>> row["clip_id"], row["speaker"], row["emotion"], row["sentence"]
    ('JK_su03', 'savee_JK', 'surprise', 'su03')
    >>> parse(Path("ALL/JK_su03.wav")) == row
    True
    """
    name = _NAME.fullmatch(path.stem)
    if name is None:
        raise ValueError("name is not DC_a01, or a01 in a folder DC")
    folder = path.parent.name.upper()
    speaker, emotion, number = (name[1] or folder).upper(), name[2].lower(), int(name[3])
    for what, code, known in (("speaker", speaker, SPEAKERS), ("emotion", emotion, EMOTIONS)):
        if code not in known:
            raise ValueError(f"{what} '{code}' is not one of {', '.join(known)}")
    if folder in SPEAKERS and folder != speaker:
        raise ValueError(f"name says speaker {speaker}, but its folder is {path.parent.name}")
    if not 1 <= number <= NUMBERS[emotion]:
        raise ValueError(f"sentence {number} of emotion '{emotion}' is not one of 1 … {NUMBERS[emotion]}")
    sentence = f"{emotion}{number:02d}"
    return {
        "clip_id": f"{speaker}_{sentence}",
        "speaker": f"savee_{speaker}",
        "gender": "male",
        "emotion": EMOTIONS[emotion],
        "emotion_raw": emotion,
        "sentence": sentence,
    }


def expected() -> frozenset[str]:
    """Clips of the four speakers: 15 sentences in each emotion, 30 neutral ones.

    Examples
    --------
    >>> len(expected())
    480
    """
    sentences = [f"{emotion}{number + 1:02d}" for emotion, most in NUMBERS.items() for number in range(most)]
    return frozenset(f"{speaker}_{sentence}" for speaker in SPEAKERS for sentence in sentences)


CORPUS = Corpus(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion (SAVEE)",
    version="1.0",
    language="en",
    licence="by registration, for research only",
    citation="""@incollection{haq2010multimodal,
  title = {Multimodal Emotion Recognition},
  author = {Haq, Sanaul and Jackson, Philip J. B.},
  booktitle = {Machine Audition: Principles, Algorithms and Systems}, editor = {Wang, Wenwu},
  publisher = {IGI Global}, pages = {398--423}, year = {2010}, doi = {10.4018/978-1-61520-919-4.ch017}
}""",
    address="http://kahlan.eps.surrey.ac.uk/savee/",
    steps=(
        "Register at http://kahlan.eps.surrey.ac.uk/savee/ (page Download), wait for the password, download "
        "AudioData.zip and unpack it, so that DC/a01.wav … KL/su15.wav lie anywhere below the corpus folder."
    ),
    layout="savee/DC/a01.wav or savee/DC_a01.wav",
    pattern="**/*",
    parse=parse,
    n_clips=480,
    expected=expected,
    beside=("**/*.txt", "**/*.csv", "**/*.pdf", "**/*.zip"),
    n_speakers=4,
    emotions=tuple(EMOTIONS.values()),
    split="loso",
    notes={
        "speakers": "Four men of 27 to 31 years; who is how old is not published.",
        "sentences": "Sentence ids are of one emotion each, although three sentences are spoken in all of them.",
    },
)
