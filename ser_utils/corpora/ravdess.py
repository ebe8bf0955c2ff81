"""RAVDESS: 24 actors, 8 emotions, 2 sentences (Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from ser_utils.corpora.base import Corpus, Download, LeftOut

MODALITIES = {"01": "film with sound", "02": "film without sound", "03": "sound"}
CHANNELS = {"01": "speech", "02": "song"}
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
INTENSITIES = {"01": "normal", "02": "strong"}
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
REPETITIONS = ("01", "02")
ACTORS = tuple(f"{number:02d}" for number in range(1, 25))
# The six folds of actors that published results on all eight classes use, so that numbers compare.
FOLDS = (
    ("1", "11", "20", "21"),
    ("4", "10", "12", "14"),
    ("8", "9", "19", "23"),
    ("3", "5", "7", "24"),
    ("2", "15", "16", "18"),
    ("6", "13", "17", "22"),
)


FIELDS = {
    "modality": MODALITIES,
    "channel": CHANNELS,
    "emotion": EMOTIONS,
    "intensity": INTENSITIES,
    "sentence": SENTENCES,
    "repetition": REPETITIONS,
    "actor": ACTORS,
}


def parse(path: Path) -> dict[str, Any]:
    """Labels from a name of seven two-digit fields: modality, channel, emotion, intensity, sentence, repetition, actor.

    Raises
    ------
    ValueError
        When the name has not seven fields, a field holds an unknown code, or the folder is another actor's.
    LeftOut
        For song, and for film.

    Examples
    --------
    >>> row = parse(Path("Actor_12/03-01-06-01-02-01-12.wav"))
    >>> row["emotion"], row["speaker"], row["gender"]
    ('fear', 'ravdess_12', 'female')
    """
    fields = path.stem.split("-")
    if len(fields) != 7:
        raise ValueError(f"name has {len(fields)} fields, not the 7 of 03-01-06-01-02-01-12")
    for (what, known), code in zip(FIELDS.items(), fields, strict=True):
        if code not in known:
            raise ValueError(f"{what} code '{code}' is not one of {', '.join(known)}")
    modality, channel, emotion, intensity, sentence, repetition, actor = fields
    if re.fullmatch(r"Actor_\d+", path.parent.name) and int(path.parent.name[6:]) != int(actor):
        raise ValueError(f"name says actor {actor}, but its folder is {path.parent.name}")
    if CHANNELS[channel] != "speech":
        raise LeftOut(f"{CHANNELS[channel]}, not speech")
    if MODALITIES[modality] != "sound":
        raise LeftOut(f"{MODALITIES[modality]}, not the recording of the sound alone")
    return {
        "clip_id": path.stem,
        "speaker": f"ravdess_{int(actor)}",
        "gender": "male" if int(actor) % 2 else "female",
        "emotion": EMOTIONS[emotion],
        "emotion_raw": emotion,
        "intensity": INTENSITIES[intensity],
        "sentence": sentence,
        "repetition": str(int(repetition)),
        "text": SENTENCES[sentence],
    }


def expected() -> frozenset[str]:
    """Names of the 1440 official clips of speech: every combination, but nobody is strongly neutral.

    Examples
    --------
    >>> len(expected())
    1440
    """
    fields = itertools.product(EMOTIONS, INTENSITIES, SENTENCES, REPETITIONS, ACTORS)
    return frozenset("-".join(("03", "01", *codes)) for codes in fields if codes[:2] != ("01", "02"))


CORPUS = Corpus(
    name="ravdess",
    title="RAVDESS, speech",
    version="1.0.0",
    language="en",
    licence="CC BY-NC-SA 4.0",
    citation="""@article{livingstone2018ravdess,
  title = {The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)},
  author = {Livingstone, Steven R. and Russo, Frank A.},
  journal = {PLoS ONE}, volume = {13}, number = {5}, pages = {e0196391}, year = {2018},
  doi = {10.1371/journal.pone.0196391}
}""",
    address="https://zenodo.org/records/1188976",
    downloads=lambda: (
        Download(
            address="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
            checksum="md5:bc696df654c87fed845eb13823edef8a",
            to="Audio_Speech_Actors_01-24.zip",
        ),
    ),
    layout="ravdess/Actor_01/03-01-01-01-01-01-01.wav",
    pattern="**/Actor_*/*",
    parse=parse,
    n_clips=1440,
    expected=expected,
    n_speakers=24,
    emotions=tuple(EMOTIONS.values()),
    split="published",
    folds=tuple(tuple(f"ravdess_{actor}" for actor in fold) for fold in FOLDS),
    notes={
        "copies": "The archive on Kaggle holds every clip twice; the second copy is found by content and left out.",
        "age": "Actors are 21 to 33 years old; who is how old is not published.",
    },
)
