"""TESS: 2 women, 7 emotions, 200 words (Pichora-Fuller & Dupuis 2020, doi:10.5683/SP2/E8H2MF)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from ser_utils.corpora.base import Corpus, age_group

EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",  # pleasant surprise
    "sad": "sad",
}
SPELLINGS = {  # of copies, in names and folders → as the corpus writes it in names
    "pleasant_surprise": "ps",
    "pleasant_surprised": "ps",
    "surprise": "ps",
    "surprised": "ps",
    "anger": "angry",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
}
SPEAKERS = {"OAF": 64, "YAF": 26}  # older and younger woman: age in years
MISNAMED = {"OA": "OAF"}  # OA_bite_neutral.wav, as published
WORDS = tuple(  # the four lists of Northwestern University Auditory Test No. 6
    """
    back bar base bath bean beg bite boat bone book bought burn cab calm came cause chain chair chalk chat check cheek
    chief choice cool dab date dead death deep dime dip ditch dodge dog doll door fail fall far fat fit five food gap
    gas gaze germ get gin goal good goose gun half hall hash hate have haze hire hit hole home hurl hush jail jar join
    judge jug juice keen keep keg kick kill king kite knock late laud lean learn lease lid life limb live loaf long lore
    lose lot love luck make match merge mess met mill mob mode mood moon mop mouse nag name near neat nice note numb pad
    page pain pass pearl peg perch phone pick pike pole pool puff rag raid rain raise rat reach read red ring ripe road
    room rose rot rough rush said sail search seize sell shack shall shawl sheep shirt should shout size soap soup sour
    south sub such sure take talk tape team tell thin third thought thumb time tip tire ton tool tough turn vine voice
    void vote wag walk wash week wheat when which whip white wife wire witch yearn yes young youth
    """.split()  # noqa: SIM905 - two hundred quoted words would be harder to read
)
_NAME = re.compile(r"([a-z]+)_([a-z]+)_([a-z_]+)")
_FOLDER = re.compile(r"([oy]af)[_ -](.+)")


def _emotion(written: str) -> str:
    """Emotion code of the corpus from one of its spellings.

    Examples
    --------
    >>> _emotion("Pleasant_surprised"), _emotion("Sad")
    ('ps', 'sad')
    """
    plain = re.sub(r"[ -]", "_", written.lower())
    return SPELLINGS.get(plain, plain)


def parse(path: Path) -> dict[str, Any]:
    """Labels from a name such as ``OAF_back_angry``: speaker, word, emotion. Upper and lower case mean the same.

    Raises
    ------
    ValueError
        When the name has not three fields, one is unknown, or its folder is of another speaker or emotion.

    Examples
    --------
    >>> row = parse(Path("YAF_pleasant_surprised/YAF_youth_ps.wav"))
    >>> row["speaker"], row["emotion"], row["age_group"], row["text"]
    ('tess_YAF', 'surprise', '18-29', 'Say the word youth.')
    """
    name = _NAME.fullmatch(path.stem.lower())
    if name is None:
        raise ValueError("name is not speaker_word_emotion as in OAF_back_angry")
    speaker, word, emotion = name[1].upper(), name[2], _emotion(name[3])
    speaker = MISNAMED.get(speaker, speaker)
    for what, code, known in (("speaker", speaker, SPEAKERS), ("emotion", emotion, EMOTIONS)):
        if code not in known:
            raise ValueError(f"{what} '{code}' is not one of {', '.join(known)}")
    if word not in WORDS:
        raise ValueError(f"word '{word}' is not one of the 200 of the corpus")
    folder = _FOLDER.fullmatch(path.parent.name.lower())
    if folder and (folder[1].upper(), _emotion(folder[2])) != (speaker, emotion):
        raise ValueError(f"name says {speaker} and {emotion}, but its folder is {path.parent.name}")
    return {
        "clip_id": f"{speaker}_{word}_{emotion}",
        "speaker": f"tess_{speaker}",
        "gender": "female",
        "age_group": age_group(SPEAKERS[speaker]),
        "emotion": EMOTIONS[emotion],
        "emotion_raw": emotion,
        "sentence": word,
        "text": f"Say the word {word}.",
    }


def expected() -> frozenset[str]:
    """Clips of every word in every emotion by both speakers.

    Examples
    --------
    >>> len(expected())
    2800
    """
    return frozenset("_".join(fields) for fields in itertools.product(SPEAKERS, WORDS, EMOTIONS))


CORPUS = Corpus(
    name="tess",
    title="Toronto emotional speech set (TESS)",
    version="1.0",
    language="en",
    licence="CC BY-NC-ND 4.0",
    citation="""@data{pichorafuller2020tess,
  title = {Toronto emotional speech set ({TESS})},
  author = {Pichora-Fuller, M. Kathleen and Dupuis, Kate},
  publisher = {Borealis}, version = {V1}, year = {2020}, doi = {10.5683/SP2/E8H2MF}
}""",
    address="https://doi.org/10.5683/SP2/E8H2MF",
    steps=(
        "Open https://doi.org/10.5683/SP2/E8H2MF (or https://tspace.library.utoronto.ca/handle/1807/24487), download "
        "all files and unpack them, so that the folders OAF_angry … YAF_sad lie anywhere below the corpus folder."
    ),
    layout="tess/OAF_angry/OAF_back_angry.wav",
    pattern="**/*",
    parse=parse,
    n_clips=2800,
    expected=expected,
    beside=("**/*.txt", "**/*.csv", "**/*.pdf", "**/*.zip"),
    n_speakers=2,
    emotions=tuple(EMOTIONS.values()),
    split="loso",
    notes={
        "speakers": "Two women, so a fold tests on one voice after training on one other voice.",
        "copies": "The archive on Kaggle holds every clip twice; the second copy is found and left out.",
    },
)
