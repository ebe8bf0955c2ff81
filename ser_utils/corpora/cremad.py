"""CREMA-D: 91 actors, 6 emotions, 12 sentences, and human raters (Cao et al. 2014, doi:10.1109/TAFFC.2014.2336244).

``cremad_index.csv`` (names, sums and sizes of the official files) and ``cremad_actors.csv`` (age and sex, from
``VideoDemographics.csv``) are taken from the corpus and stay under its licence, ODbL 1.0.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ser_utils import study
from ser_utils.corpora.base import Corpus, Download, age_group

EMOTIONS = {"ANG": "angry", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": ""}  # XX: the actor was given no level
SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
MISNAMED = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}  # in older copies of the corpus
# The corpus publishes one sum for both names of each pair: one recording under two emotions.
SAME_SOUND = (
    ("1006_TIE_HAP_XX", "1006_TIE_NEU_XX"),
    ("1013_WSI_DIS_XX", "1013_WSI_SAD_XX"),
    ("1017_IWW_ANG_XX", "1017_IWW_FEA_XX"),
)
VOTES = {name[0]: emotion for name, emotion in EMOTIONS.items()}  # how summaryTable.csv writes an emotion
VOTE_COLUMNS = {"voice": "VoiceVote", "face": "FaceVote", "multimodal": "MultiModalVote"}
_REPOSITORY = "CheyneyComputerScience/CREMA-D/master"


@functools.cache
def _actors() -> dict[str, dict[str, Any]]:
    """Age in years and sex by actor."""
    table = pd.read_csv(Path(__file__).with_name("cremad_actors.csv"), dtype={"actor": "str"})
    return table.set_index("actor").to_dict("index")


@functools.cache
def _index() -> pd.DataFrame:
    """``clip_id, sha256, bytes`` of the 7442 official files."""
    return pd.read_csv(Path(__file__).with_name("cremad_index.csv"))


def parse(path: Path) -> dict[str, Any]:
    """Labels from a name such as ``1001_IEO_ANG_HI``: actor, sentence, emotion, level.

    Raises
    ------
    ValueError
        When the name has not four fields, or a field holds an unknown code.

    Examples
    --------
    >>> row = parse(Path("AudioWAV/1001_IEO_ANG_HI.wav"))
    >>> row["speaker"], row["emotion"], row["intensity"], row["age_group"], row["text"]
    ('cremad_1001', 'angry', 'high', '45-59', "It's eleven o'clock.")
    """
    clip = MISNAMED.get(path.stem, path.stem)
    fields = clip.split("_")
    if len(fields) != 4:
        raise ValueError(f"name has {len(fields)} fields, not the 4 of 1001_IEO_ANG_HI")
    actor, sentence, emotion, level = fields
    if actor not in _actors():
        raise ValueError(f"actor '{actor}' is not one of 1001 … 1091")
    for what, code, known in (
        ("sentence", sentence, SENTENCES),
        ("emotion", emotion, EMOTIONS),
        ("level", level, LEVELS),
    ):
        if code not in known:
            raise ValueError(f"{what} code '{code}' is not one of {', '.join(known)}")
    return {
        "clip_id": clip,
        "speaker": f"cremad_{actor}",
        "gender": _actors()[actor]["sex"],
        "age_group": age_group(_actors()[actor]["age"]),
        "emotion": EMOTIONS[emotion],
        "emotion_raw": emotion,
        "intensity": LEVELS[level],
        "sentence": sentence,
        "text": SENTENCES[sentence],
    }


def expected() -> frozenset[str]:
    """Names of the 7442 official clips, from ``cremad_index.csv``: no rule gives them."""
    return frozenset(_index()["clip_id"])


def hashes() -> dict[str, str]:
    """SHA-256 of every official ``.wav`` file by clip, as its git-lfs pointer publishes it."""
    return dict(zip(_index()["clip_id"], _index()["sha256"], strict=True))


def downloads() -> tuple[Download, ...]:
    """Every ``.wav`` file by itself, 606 MB in all, and the tables of actors and votes."""
    sounds = [
        Download(
            address=f"https://media.githubusercontent.com/media/{_REPOSITORY}/AudioWAV/{row.clip_id}.wav",
            checksum=f"sha256:{row.sha256}",
            to=f"AudioWAV/{row.clip_id}.wav",
            size=row.bytes,
        )
        for row in _index().itertuples()
    ]
    raw = f"https://raw.githubusercontent.com/{_REPOSITORY}"
    tables = {"VideoDemographics.csv": "VideoDemographics.csv", "summaryTable.csv": "processedResults/summaryTable.csv"}
    return (*(Download(address=f"{raw}/{path}", to=name) for name, path in tables.items()), *sounds)


def _defects() -> dict[str, str]:
    reason = "the corpus holds the same recording as {} too, so one of the two emotions is wrong"
    pairs = [pair for a, b in SAME_SOUND for pair in ((a, b), (b, a))]
    return {clip: reason.format(twin) for clip, twin in pairs}


# --- human raters ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recognition:
    """How well people recognised the emotion that the actor intended; shares are 0 … 1."""

    accuracy: float  # share of clips; a tie counts by its share
    accuracy_no_ties: float  # the same, where a tie counts as wrong
    uar: float  # mean over emotions of `recall`
    recall: pd.Series  # by intended emotion
    confusion: pd.DataFrame  # clips, intended × perceived; a tie adds 1/k to each of its k emotions
    n_clips: int
    n_ties: int


def votes(folder: Path) -> pd.DataFrame:
    """What most raters of a clip perceived, from ``summaryTable.csv`` in the corpus folder or below it.

    Each clip was rated from voice alone, from the face alone, and from both, by about 10 raters each.

    Parameters
    ----------
    folder : Path
        The corpus folder.

    Returns
    -------
    pd.DataFrame [shape=(7442, 8)]
        ``clip_id``; ``emotion``, as the actor intended; and for each of ``voice``, ``face`` and ``multimodal`` the
        tuple of emotions with most votes (more than one for a tie, which the corpus writes ``A:D``) and, as
        ``voice_level`` …, their mean intensity on the raters' scale of 0 … 100.

    Raises
    ------
    study.UserError
        When the table is not there, or is another one.
    """
    found = sorted(folder.rglob("summaryTable.csv"), key=lambda path: len(path.parts))
    if not found:
        raise study.UserError(
            f"{folder}: no summaryTable.csv, the raters' votes of CREMA-D; get it with `./run_all.sh data get cremad`"
        )
    raw = pd.read_csv(found[0], dtype="str", keep_default_na=False)
    absent = [name for name in ("FileName", *VOTE_COLUMNS.values()) if name not in raw]
    if absent:
        raise study.UserError(f"{found[0]}: no column {absent[0]}; this is not the table of votes of CREMA-D")
    table = pd.DataFrame({"clip_id": raw["FileName"], "emotion": raw["FileName"].str.split("_").str[2].map(EMOTIONS)})
    for name, column in VOTE_COLUMNS.items():
        table[name] = [tuple(VOTES[letter] for letter in vote.split(":")) for vote in raw[column]]
        levels = raw[column.replace("Vote", "Level")].str.split(":")
        table[f"{name}_level"] = [sum(map(float, level)) / len(level) for level in levels]
    return table


def human_recognition(folder: Path, *, modality: str = "voice", clips: list[str] | None = None) -> Recognition:
    """Agreement between what raters perceived and what the actor intended: the human line for a classifier.

    It scores the vote of all raters of a clip. A single rater is less sure: Cao et al. (2014,
    doi:10.1109/TAFFC.2014.2336244) report 40.9 % for single answers to voice alone.

    Parameters
    ----------
    folder : Path
        The corpus folder.
    modality : {"voice", "face", "multimodal"}
    clips : list of str, optional
        Clips to count; all 7442 when not given.

    Returns
    -------
    Recognition
        A tied vote, such as anger and disgust with as many raters each, counts by its share: 1/2 of a clip here.

    Raises
    ------
    study.UserError
        When there is no table of votes, an unknown `modality`, or none of `clips` was rated.
    """
    if modality not in VOTE_COLUMNS:
        raise study.UserError(f"modality '{modality}' is not one of {', '.join(VOTE_COLUMNS)}")
    table = votes(folder)
    if clips is not None:
        table = table[table["clip_id"].isin(clips)]
    if table.empty:
        raise study.UserError("human_recognition: none of the clips is in the table of votes; give clip ids of CREMA-D")
    perceived = table[modality]
    each = table.assign(perceived=perceived, share=1 / perceived.str.len()).explode("perceived")
    confusion = each.pivot_table(index="emotion", columns="perceived", values="share", aggfunc="sum", fill_value=0.0)
    intended = [emotion for emotion in EMOTIONS.values() if emotion in confusion.index]
    confusion = confusion.reindex(index=intended, columns=list(EMOTIONS.values()), fill_value=0.0)
    hits = pd.Series({emotion: confusion.loc[emotion, emotion] for emotion in intended})
    alone = sum(vote == (emotion,) for vote, emotion in zip(perceived, table["emotion"], strict=True))
    recall = hits / confusion.sum(axis=1)
    return Recognition(
        accuracy=float(hits.sum() / len(table)),
        accuracy_no_ties=alone / len(table),
        uar=float(recall.mean()),
        recall=recall,
        confusion=confusion,
        n_clips=len(table),
        n_ties=int((perceived.str.len() > 1).sum()),
    )


CORPUS = Corpus(
    name="cremad",
    title="CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset",
    version="1.0",
    language="en",
    licence="ODbL 1.0, contents DbCL 1.0",
    citation="""@article{cao2014crema,
  title = {{CREMA-D}: Crowd-sourced Emotional Multimodal Actors Dataset},
  author = {Cao, Houwei and Cooper, David G. and Keutmann, Michael K. and Gur, Ruben C. and Nenkova, Ani
    and Verma, Ragini},
  journal = {IEEE Transactions on Affective Computing}, volume = {5}, number = {4}, pages = {377--390},
  year = {2014}, doi = {10.1109/TAFFC.2014.2336244}
}""",
    address="https://github.com/CheyneyComputerScience/CREMA-D",
    downloads=downloads,
    layout="cremad/AudioWAV/1001_DFA_ANG_XX.wav",
    pattern="**/*",
    parse=parse,
    n_clips=7442,
    expected=expected,
    hashes=hashes,
    defects=_defects(),
    beside=(
        "**/AudioMP3/*",  # the same clips as raters heard them, in a full clone
        "**/*.csv",
        "**/*.md",
        "**/*.txt",
        "**/*.R",
        "**/*.flv",
        "**/.git*",
        "**/.git/**/*",
    ),
    n_speakers=91,
    emotions=tuple(EMOTIONS.values()),
    split="speaker_groups",
    n_groups=6,
    notes={
        "twins": "Three recordings are published under two names with two emotions each; all six clips are left out.",
        "level": "Only sentence IEO was spoken at three levels; the others have none.",
        "human": "About ten people rated each clip; human_recognition() scores them as a classifier is scored.",
    },
)
