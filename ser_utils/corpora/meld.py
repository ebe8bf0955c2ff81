"""MELD: 13,708 utterances of a television series, with text (Poria et al. 2019, doi:10.18653/v1/P19-1050).

Labels, text, speakers and official parts come from three tables; sound lies in one film per utterance. Both have
defects. Utterances with one stay in the manifest with an ``exclude_reason``:

* the film cannot be decoded, or is not in the archive (github.com/declare-lab/MELD, issues 39 and 22);
* its time code spans less than 0.1 s, which holds no word, or more than 30 s, a film cut wrongly (issue 20);
* its time code is also that of another utterance: the same sound under two ids. With one emotion, one is kept, rather
  of test than of validation than of training, so that no sound is trained and tested on; with two emotions none is.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd

from ser_utils import study
from ser_utils.corpora.base import AUDIO_SUFFIXES, Corpus, Download

EMOTIONS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprise",
}
PARTS = {"train": "train", "dev": "validation", "test": "test"}  # as in names of files → split
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
GENDERS = {  # of the six leads; the tables say nothing of others
    "Chandler": "male",
    "Joey": "male",
    "Monica": "female",
    "Phoebe": "female",
    "Rachel": "female",
    "Ross": "male",
}
SAME_SPEAKER = {  # other spellings, and leads who act a part in the series
    "Phoebe Sr": "Phoebe Sr.",
    "Dr. Leedbetter": "Dr. Ledbetter",
    "Fireman #1": "Fireman No. 1",
    "Ross and Joey": "Joey and Ross",
    "Rachel and Phoebe": "Phoebe and Rachel",
    "Joey/Drake": "Joey",
    "Phoebe/Waitress": "Phoebe",
    "Rachel/actress": "Rachel",
}
DEFECTS = {
    "train_dia125_utt3": "the official film cannot be decoded (declare-lab/MELD, issue 39)",
    "dev_dia110_utt7": "the official archive has no such film (declare-lab/MELD, issue 22)",
}
SHORTEST, LONGEST = 0.1, 30.0  # seconds of a time code that can be right
COLUMNS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)
_CLIP = re.compile(r"(?:(train|dev|val|test)_)?dia(\d+)_utt(\d+)")
_PART = re.compile(r"(?<![a-z])(?:train|dev|val|test)")  # not in a folder named latest
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
# Windows-1252 punctuation that some copies of the tables hold as control characters: U+0092 for an apostrophe.
_CONTROLS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


def table(folder: Path) -> pd.DataFrame:
    """One row per utterance of the three official tables, which may lie anywhere below the corpus folder.

    Returns
    -------
    pd.DataFrame [shape=(13708, 14)]
        Label columns of the manifest, ``path`` below `folder` where the sound lies or would lie, ``exclude_reason``.

    Raises
    ------
    study.UserError
        When a table is absent, is another one, or holds an unknown emotion or the same utterance twice.
    """
    sounds = find_sounds(folder)
    rows = pd.concat([_part(folder, part, sounds) for part in PARTS], ignore_index=True)
    rows["exclude_reason"] = rows["clip_id"].map(DEFECTS).fillna("")
    for reasons in (_odd_time(rows), _same_time(rows)):
        rows["exclude_reason"] = rows["exclude_reason"].where(rows["exclude_reason"] != "", reasons)
    return rows.drop(columns=["start", "end", "episode"])


def find_sounds(folder: Path) -> dict[str, str]:
    """Path below `folder` of the sound of each utterance that has one.

    The part comes from the name (``train_dia0_utt0.wav``) or the innermost folder that names one, such as
    ``dev_splits_complete``. Of several files the format with the least loss is taken, then the shortest path.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*dia*_utt*")):
        path = file.relative_to(folder)
        name = _CLIP.fullmatch(path.stem)
        if name is None or path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        if part := name[1] or _part_of(path):
            clip = f"{part.replace('val', 'dev')}_dia{int(name[2])}_utt{int(name[3])}"
            found.setdefault(clip, []).append(path)
    return {clip: min(paths, key=_preference).as_posix() for clip, paths in found.items()}


def _part_of(path: Path) -> str:
    for folder in reversed(path.parent.parts):
        if part := _PART.search(folder.lower()):
            return part[0]
    return ""


def _preference(path: Path) -> tuple[int, int, str]:
    return AUDIO_SUFFIXES.index(path.suffix.lower()), len(path.parts), path.as_posix()


def _part(folder: Path, part: str, sounds: dict[str, str]) -> pd.DataFrame:
    """Rows of one part, with the time code as seconds in ``start`` and ``end``."""
    raw = _read(folder, part)
    dialogue, utterance = raw["Dialogue_ID"].astype(int), raw["Utterance_ID"].astype(int)
    names = [f"dia{d}_utt{u}" for d, u in zip(dialogue, utterance, strict=True)]
    speaker = raw["Speaker"].map(_repair).str.replace("’", "'").replace(SAME_SPEAKER)
    return pd.DataFrame(
        {
            "path": [sounds.get(f"{part}_{name}", f"{FOLDERS[part]}/{name}.mp4") for name in names],
            "clip_id": [f"{part}_{name}" for name in names],
            "speaker": "meld_" + speaker,
            "gender": speaker.map(GENDERS).fillna("unknown"),
            "emotion": raw["Emotion"].map(EMOTIONS),
            "emotion_raw": raw["Emotion"],
            "text": raw["Utterance"].map(_repair),
            "dialogue": [f"{part}_dia{number}" for number in dialogue],
            "split": PARTS[part],
            "episode": raw["Season"] + "x" + raw["Episode"],
            "start": raw["StartTime"].map(_seconds),
            "end": raw["EndTime"].map(_seconds),
        }
    )


def _read(folder: Path, part: str) -> pd.DataFrame:
    """An official table as strings, checked."""
    name = f"{part}_sent_emo.csv"
    found = sorted(folder.rglob(name), key=lambda file: len(file.parts))
    if not found:
        raise study.UserError(f"{folder}: no {name}; get the tables of MELD with `./run_all.sh data get meld`")
    data = found[0].read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    raw = pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False)
    absent = [column for column in COLUMNS if column not in raw]
    if absent:
        raise study.UserError(f"{found[0]}: no column {absent[0]}; this is not the official table, get it again")
    _check(raw, found[0])
    return raw


def _check(raw: pd.DataFrame, file: Path) -> None:
    for column in ("Dialogue_ID", "Utterance_ID"):
        for value in raw.loc[~raw[column].str.fullmatch(r"\d+"), column]:
            raise study.UserError(f"{file}: {column} '{value}' is not a number; get the official table again")
    for value in raw.loc[~raw["Emotion"].isin(EMOTIONS), "Emotion"]:
        raise study.UserError(f"{file}: emotion '{value}' is not one of {', '.join(EMOTIONS)}; mend the row")
    for row in raw[raw.duplicated(["Dialogue_ID", "Utterance_ID"])].itertuples():
        raise study.UserError(
            f"{file}: dialogue {row.Dialogue_ID} has utterance {row.Utterance_ID} twice; delete one of the two rows"
        )


def _repair(text: str) -> str:
    """Text without the traces of a wrong encoding and with single spaces.

    Examples
    --------
    >>> _repair("he\\x92s  lost it"), _repair("heâ€™s lost it")
    ('he’s lost it', 'he’s lost it')
    """
    text = text.translate(_CONTROLS)
    if "â€" in text:  # UTF-8 that was read as Windows-1252
        text = text.replace("â€™", "’").replace("â€œ", "“").replace("â€¦", "…").replace("â€”", "—").replace("â€˜", "‘")
    return " ".join(text.split())


def _seconds(time: str) -> float:
    """Seconds of a time code such as ``0:36:59,425``; not a number for any other text."""
    match = _TIME.fullmatch(time.strip())
    if match is None:
        return float("nan")
    hours, minutes, seconds, fraction = match.groups()
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _odd_time(rows: pd.DataFrame) -> pd.Series:
    """Reason for each row whose time code cannot be right; else empty."""
    length = rows["end"] - rows["start"]
    odd = ~length.between(SHORTEST, LONGEST, inclusive="both")
    return length.map("its time code spans {:.3f} s, so the film was cut wrongly".format).where(odd, "")


def _same_time(rows: pd.DataFrame) -> pd.Series:
    """Reason for each row whose sound another row has as well; else empty."""
    reasons = pd.Series("", index=rows.index)
    stretch = ["episode", "start", "end"]
    twice = rows[rows.duplicated(stretch, keep=False) & rows["start"].notna()]
    rank = {split: number for number, split in enumerate(("test", "validation", "train"))}
    for _, same in twice.groupby(stretch):
        same = same.sort_values("split", key=lambda column: column.map(rank), kind="stable")
        kept, others = same.iloc[0], same.iloc[1:]
        if (same["emotion"] == kept["emotion"]).all():
            reasons[others.index] = f"same time code as {kept['clip_id']}, which is kept"
            continue
        for row in same.itertuples():
            twin = next(other for other in same.itertuples() if other.emotion != row.emotion)
            reasons[row.Index] = f"same time code as {twin.clip_id}, which is labelled {twin.emotion_raw}"
    return reasons


def downloads() -> tuple[Download, ...]:
    """The three tables; sound is one archive of 11 GB that a person fetches (see ``CORPUS.steps``)."""
    base = "https://raw.githubusercontent.com/declare-lab/MELD/master/data/MELD"
    return tuple(Download(address=f"{base}/{name}", to=name) for name in CORPUS.tables)


CORPUS = Corpus(
    name="meld",
    title="MELD: Multimodal EmotionLines Dataset",
    version="1.0",
    language="en",
    licence="GPL-3.0 (of the repository)",
    citation="""@inproceedings{poria2019meld,
  title = {{MELD}: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations},
  author = {Poria, Soujanya and Hazarika, Devamanyu and Majumder, Navonil and Naik, Gautam and Cambria, Erik
    and Mihalcea, Rada},
  booktitle = {Proc. ACL}, pages = {527--536}, year = {2019}, doi = {10.18653/v1/P19-1050}
}""",
    address="https://github.com/declare-lab/MELD",
    downloads=downloads,
    steps=(
        "The tables are enough to work on text. For sound, download MELD.Raw.tar.gz (about 11 GB) from "
        "https://huggingface.co/datasets/declare-lab/MELD; it is unpacked with the archives train.tar.gz, dev.tar.gz "
        "and test.tar.gz inside it. The films may be replaced by sound of the same names."
    ),
    layout="meld/train_sent_emo.csv and meld/train_splits/dia0_utt0.mp4 (or .wav, .flac, .mp3)",
    pattern="**/*dia*_utt*",
    table=table,
    tables=tuple(f"{part}_sent_emo.csv" for part in PARTS),
    n_clips=13_708,
    defects=DEFECTS,
    beside=("**/*.csv", "**/*.txt", "**/*.md", "**/*.gz"),
    emotions=tuple(EMOTIONS.values()),
    split="published",
    leaks=("speaker",),
    notes={
        "speakers": "Speakers of the training part say 96 % of the test utterances: no score is one of unseen people.",
        "names": "Names such as Waiter, Woman or All are not one person; sex is known of the six leads only.",
        "sound": "Laughter and music of the series lie under the speech, and cuts follow subtitles, not the voice.",
    },
)
