"""Which noise files are for training, which for validation and which for tests.

The plan is one for the whole study, whatever fold of speakers is tested, so that every clip is mixed once: official
folds 1, 2 and 4 of a noise corpus train, 3 validates and 5 is tested on; the classes of :data:`UNSEEN` are tested on,
with all their files. A clip is left out where its recording is also in a part nearer to the test: ESC-50 has a few
recordings in two folds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ser_utils import corpora, study
from ser_utils.noise import babble, folders
from ser_utils.noise.conditions import EVERYDAY, GRID, HELD_OUT, SETS, UNSEEN
from ser_utils.splits import OFFICIAL

PARTS = {1: "train", 2: "train", 3: "validation", 4: "train", 5: "test"}  # official fold → part
COLUMNS = ("noise_id", "noise_class", "corpus", "source", "part", "file")
SYNTHETIC = "demo_noise"
_PLAIN = ("white", "pink", "babble")  # classes that are no everyday noise


def plan(profile: str, corpus: str) -> pd.DataFrame:
    """Noise files that may be mixed with the clips of one corpus, and where.

    Taken from: the noise corpus of the profile; the embedded synthetic noises, all of them where the profile has no
    other, else white and pink; babble of another corpus of the profile, or the synthetic one; and the collections of
    :data:`FOLDERS` that lie below the data folder.

    Parameters
    ----------
    profile : str
    corpus : str
        Corpus of speech that the noise is for: its own people do not babble.

    Returns
    -------
    pd.DataFrame
        One row per file: ``noise_id`` (what the leak gate knows it by), ``noise_class``, ``corpus`` of noise,
        ``source`` (recording), ``part`` (``train | validation | test``), ``file`` (absolute path).

    Raises
    ------
    study.UserError
        When the profile's corpora cannot be read, or a folder of a collection holds no file of it.

    Examples
    --------
    >>> plan("demo", "demo").groupby("part").size().to_dict()  # doctest: +SKIP
    {'test': 64, 'train': 72, 'validation': 24}
    """
    rows = _of_corpus(corpora.usable(corpora.noise_manifest(profile)), profile)
    babbled = [] if any(row["noise_class"] == "babble" for row in rows) else _babble(profile, corpus)
    if not any(row["corpus"] == SYNTHETIC for row in rows):
        wanted = {"white", "pink"} | (set() if babbled else {"babble"})
        rows += [row for row in _synthetic(profile) if not rows or row["noise_class"] in wanted]
    table = pd.DataFrame(rows + babbled + folders.files(study.paths(profile).data), columns=list(COLUMNS))
    return apart(table).sort_values("noise_id", ignore_index=True)


def _of_corpus(table: pd.DataFrame, profile: str) -> list[dict[str, str]]:
    roots = {name: corpora.audio_root(name, profile) for name in table["corpus"].unique()}
    return [_row(row, roots[row["corpus"]] / row["path"]) for row in table.to_dict("records")]


def _synthetic(profile: str) -> list[dict[str, str]]:
    entry, root = corpora.corpus(SYNTHETIC), corpora.audio_root(SYNTHETIC, profile)
    files = sorted((root / SYNTHETIC).glob(entry.pattern))
    return [_row({"corpus": SYNTHETIC, **entry.parse(file)}, file) for file in files]


def _row(labels: dict, file: Path) -> dict[str, str]:
    hidden = labels["noise_class"] in UNSEEN.get(labels["corpus"], ())
    return {
        "noise_id": labels["clip_id"],
        "noise_class": labels["noise_class"],
        "corpus": labels["corpus"],
        "source": labels["source"],
        "part": "test" if hidden else PARTS[labels["fold"]],
        "file": str(file),
    }


def _babble(profile: str, corpus: str) -> list[dict[str, str]]:
    clips = corpora.usable(corpora.manifest(profile))
    spoken = babble.source(clips, corpus)
    if not spoken:
        return []
    clips = babble.neutral(clips[clips["corpus"] == spoken])
    made = babble.folder(clips, corpora.audio_root(spoken, profile), cache=study.paths(profile).derived / "noise")
    name = f"babble_{spoken}"
    return [
        {
            "noise_id": f"{name}/{file.stem}",
            "noise_class": "babble",
            "corpus": name,
            "source": file.stem,
            "part": file.stem.partition("-")[0],
            "file": str(file),
        }
        for file in sorted(made.glob("*.flac"))
    ]


def apart(table: pd.DataFrame) -> pd.DataFrame:
    """The plan with every recording in one part alone, the one nearest to the test; its other clips are left out.

    Examples
    --------
    >>> rows = [("esc50", "209698", "test"), ("esc50", "209698", "train"), ("esc50", "17367", "train")]
    >>> apart(pd.DataFrame(rows, columns=["corpus", "source", "part"])).index.tolist()
    [0, 2]
    """
    rank = table["part"].map(dict(zip(OFFICIAL, range(len(OFFICIAL)), strict=True)))
    return table[rank == rank.groupby([table["corpus"], table["source"]]).transform("max")]


# --- choosing ---------------------------------------------------------------------------------------------------


def choose(table: pd.DataFrame, noise: str, *, part: str) -> pd.DataFrame:
    """Files of one part that a name stands for.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`plan`.
    noise : str
        A class (``rain``), a set (``stationary``, ``impulsive``, ``voices``), ``everyday`` (all classes of the noise
        corpus that may be trained on), ``unseen`` (those that never are), or a collection (``demand``).
    part : str
        ``train | validation | test``.

    Raises
    ------
    study.UserError
        When the part has no such file.
    """
    rows = table[(table["part"] == part) & _named(table, noise)]
    if rows.empty:
        known = ", ".join(available(table, part=part)) or "nothing"
        raise study.UserError(f"noise '{noise}': no file of it is for part '{part}'; use one of {known}")
    return rows


def _named(table: pd.DataFrame, noise: str) -> pd.Series:
    hidden = pd.Series(False, index=table.index)
    for corpus, classes in UNSEEN.items():
        hidden |= (table["corpus"] == corpus) & table["noise_class"].isin(classes)
    if noise == HELD_OUT:
        return hidden
    if noise == EVERYDAY:
        return table["corpus"].isin(UNSEEN) & ~table["noise_class"].isin(_PLAIN) & ~hidden
    if noise in SETS:
        return table["noise_class"].isin(SETS[noise]) & ~hidden
    return (table["noise_class"] == noise) | (table["corpus"] == noise)


def available(table: pd.DataFrame, *, part: str, names: Iterable[str] = ()) -> list[str]:
    """Names that have a file in one part: of `names`, or of all, those of the grid first.

    Examples
    --------
    >>> rows = [("esc50", "rain", "train"), ("esc50", "siren", "test")]
    >>> table = pd.DataFrame(rows, columns=["corpus", "noise_class", "part"])
    >>> available(table, part="train"), available(table, part="test", names=["rain", "unseen"])
    (['everyday', 'stationary', 'rain', 'esc50'], ['unseen'])
    """
    rows = table[table["part"] == part]
    known = [*GRID, *SETS, *sorted(rows["noise_class"].unique()), *sorted(rows["corpus"].unique())]
    return [name for name in dict.fromkeys(names or known) if _named(rows, name).any()]
