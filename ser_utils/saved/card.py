"""What a saved net says of itself, read without loading it, and the seal that shows whether the file was altered.

A ``.keras`` file is a ZIP archive of three members. The card lies in its ``metadata.json``, of which Keras reads
nothing, and holds the SHA-256 of the two others: the architecture and the weights.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ser_utils import study
from ser_utils.evaluation import interval_text
from ser_utils.features import FrameSpec

SUFFIX = ".keras"
SEALED = ("config.json", "model.weights.h5")
METADATA = "metadata.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


@dataclass(frozen=True)
class Card:
    """What is known of a saved net.

    Attributes
    ----------
    name : str
    labels : tuple of str
        Emotion of each probability.
    spec : FrameSpec
        The features that it takes.
    facts : mapping
        ``corpus, corpus_version, language, licence, synthetic`` of its training speech; ``split, folds, seeds`` and
        ``unheard_speakers``, the test speakers that it never heard; ``val_uar`` by which it was chosen; ``uar, uar_low,
        uar_high`` of all nets of its kind on their test clips; ``confidence``, from validation clips alone, where there
        are any: see :mod:`ser_utils.saved.confidence`; ``model, n_parameters, weights_sha256, commit, code,
        packages``.
    echo : tuple of float
        Size of each feature of a known sound where the net was saved, so that code that computes others is found.
    """

    name: str
    labels: tuple[str, ...]
    spec: FrameSpec
    facts: Mapping[str, Any]
    echo: tuple[float, ...]

    @property
    def score(self) -> str:
        """UAR with its interval, as people read it."""
        return interval_text(self.facts["uar"], self.facts["uar_low"], self.facts["uar_high"])


def folder(profile: str) -> Path:
    """Where a profile keeps its nets."""
    return study.paths(profile).reports / "models"


def path_of(name: str, profile: str) -> Path:
    """File of a new net.

    Raises
    ------
    study.UserError
        When the name would not do as a file's.

    Examples
    --------
    >>> path_of("emodb_crnn", "demo").name
    'emodb_crnn.keras'
    """
    if not _NAME.fullmatch(name):
        raise study.UserError(f"'{name}' is no name for a net; use small letters, digits, '_', '-', '+' and '.'")
    return folder(profile) / f"{name}{SUFFIX}"


def find(name: str | Path | None, profile: str) -> Path:
    """File of a net, by its name in a profile or by its path; None takes the only one of the profile.

    Raises
    ------
    study.UserError
        When there is none of that name, or several and none was named; lists those that are there.
    """
    files = sorted(folder(profile).glob(f"*{SUFFIX}"))
    if name is not None:
        named = [Path(name)] if Path(name).suffix == SUFFIX else [file for file in files if file.stem == str(name)]
        if named and named[0].is_file():
            return named[0]
    elif len(files) == 1:
        return files[0]
    what = f"no net '{name}'" if name else "several nets" if files else "no net"
    there = f"there {'are' if len(files) > 1 else 'is'} {', '.join(file.stem for file in files)}"
    advice = f"{there}; name one with --model" if files else f"run ./run_all.sh {profile} to train some"
    raise study.UserError(f"{what} in {folder(profile)}: {advice}, or give the path of a {SUFFIX} file")


def available(profile: str) -> pd.DataFrame:
    """The nets of a profile, one row each, read without loading them; the best of a corpus first.

    Returns
    -------
    pd.DataFrame
        ``name, corpus, split, emotions, UAR [95 %], unheard speakers, licence, file``.

    A file that is damaged or altered is left out, with a line that says so.
    """
    cards = {}
    for file in sorted(folder(profile).glob(f"*{SUFFIX}")):
        try:
            cards[file] = read_card(file)
        except study.UserError as error:
            study.progress(f"left out: {error}")
    order = sorted(cards, key=lambda file: (cards[file].facts["corpus"], -cards[file].facts["uar"], file))
    rows = [
        {
            "name": cards[file].name,
            "corpus": cards[file].facts["corpus"],
            "split": cards[file].facts["split"],
            "emotions": len(cards[file].labels),
            "UAR [95 %]": cards[file].score,
            "unheard speakers": ", ".join(cards[file].facts["unheard_speakers"]),
            "licence": cards[file].facts["licence"],
            "file": str(file),
        }
        for file in order
    ]
    return pd.DataFrame(
        rows,
        columns=["name", "corpus", "split", "emotions", "UAR [95 %]", "unheard speakers", "licence", "file"],
    )


def seal(raw: Path, card: Card, target: Path) -> None:
    """Copy what Keras saved to `target`, with the card and the hash of everything in its metadata."""
    with zipfile.ZipFile(raw) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    own = {"card": asdict(card), "sha256": _hash(members, asdict(card))}
    known = json.loads(members[METADATA]) | {"ser_utils": own}
    members[METADATA] = json.dumps(known, indent=1, ensure_ascii=False).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def read_card(file: Path) -> Card:
    """Card of a saved net, once its seal was found whole.

    Raises
    ------
    study.UserError
        When the file is not there, is no saved net of this study, or was altered since it was saved.
    """
    if not file.is_file():
        raise study.UserError(f"{file} does not exist; name a {SUFFIX} file that a notebook of the study saved")
    try:
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in (*SEALED, METADATA)}
        stored = json.loads(members[METADATA])["ser_utils"]
        content, expected = stored["card"], stored["sha256"]
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise study.UserError(
            f"{file} is damaged or no net that this study saved ({error}); save it again, or take another file"
        ) from error
    if _hash(members, content) != expected:
        raise study.UserError(
            f"{file} was altered after it was saved: its content has another hash than its card says; save it again"
        )
    return Card(
        content["name"],
        tuple(content["labels"]),
        FrameSpec(**content["spec"]),
        content["facts"],
        tuple(content["echo"]),
    )


def _hash(members: Mapping[str, bytes], card: Any) -> str:
    parts = [hashlib.sha256(members[name]).hexdigest() for name in SEALED]
    return study.digest([*parts, card], length=64)
