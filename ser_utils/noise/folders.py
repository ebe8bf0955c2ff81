"""Noise collections that a user may have beside the corpora: DEMAND, MUSAN and NOISEX-92, in their official layouts.

They are found by the name of their folder below the data folder, in any case. None of them has official folds: which
recording is for training and which for tests is fixed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ser_utils import study
from ser_utils.corpora.base import AUDIO_SUFFIXES, is_junk

TRAIN, VALIDATION, TEST = "train", "validation", "test"
Labels = tuple[str, str, str]  # class, recording, part


@dataclass(frozen=True, kw_only=True)
class NoiseFolder:
    """One collection."""

    name: str  # in conditions: all of it; its classes are named <name>_<class>
    title: str
    folders: tuple[str, ...]  # names of its folder, lower case
    layout: str  # one line for people
    licence: str
    source: str
    labels: Callable[[tuple[str, ...]], Labels | None] = field(repr=False)  # of the path below the folder, no suffix


# --- DEMAND -----------------------------------------------------------------------------------------------------

_PLACES = {"D": "home", "N": "nature", "O": "office", "P": "public", "S": "street", "T": "transport"}
_SCENES = tuple(
    """DKITCHEN DLIVING DWASHING NFIELD NPARK NRIVER OHALLWAY OMEETING OOFFICE PCAFETER PRESTO PSTATION SCAFE SPSQUARE
    STRAFFIC TBUS TCAR TMETRO""".split()  # noqa: SIM905 - eighteen quoted words would be harder to read
)
_DEMAND_PARTS = {
    **dict.fromkeys(("DLIVING", "OOFFICE", "TBUS", "SCAFE", "SPSQUARE"), TEST),  # those of VoiceBank-DEMAND
    **dict.fromkeys(("NPARK", "PSTATION"), VALIDATION),
}


def _demand(path: tuple[str, ...]) -> Labels | None:
    """Scenes of sixteen channels; the first is taken, as all are the same sound at places a few centimetres apart."""
    scene = path[-2].upper() if len(path) > 1 else ""
    if path[-1].lower() != "ch01" or scene not in _SCENES:
        return None
    return f"demand_{_PLACES[scene[0]]}", scene, _DEMAND_PARTS.get(scene, TRAIN)


# --- MUSAN ------------------------------------------------------------------------------------------------------


def _musan(path: tuple[str, ...]) -> Labels | None:
    """Noise and music; its speech is left to other uses. Parts by the hash of the name: 3 : 1 : 1."""
    kind = next((folder for folder in path[:-1] if folder in ("noise", "music")), "")
    if not kind or not path[-1].startswith(f"{kind}-"):
        return None
    bucket = int(hashlib.sha256(path[-1].encode()).hexdigest(), 16) % 5
    return f"musan_{kind}", path[-1], (TEST, VALIDATION, TRAIN, TRAIN, TRAIN)[bucket]


# --- NOISEX-92 --------------------------------------------------------------------------------------------------

_NOISEX_PARTS = {
    **dict.fromkeys(("buccaneer1", "destroyerengine", "f16", "factory2", "hfchannel", "leopard", "machinegun"), TRAIN),
    **dict.fromkeys(("destroyerops", "pink"), VALIDATION),
    **dict.fromkeys(("babble", "buccaneer2", "factory1", "m109", "volvo", "white"), TEST),
}


def _noisex(path: tuple[str, ...]) -> Labels | None:
    """One recording of four minutes per noise."""
    name = path[-1].lower()
    return (f"noisex_{name}", name, _NOISEX_PARTS[name]) if name in _NOISEX_PARTS else None


FOLDERS = {
    entry.name: entry
    for entry in (
        NoiseFolder(
            name="demand",
            title="DEMAND: Diverse Environments Multichannel Acoustic Noise Database",
            folders=("demand",),
            layout="DEMAND/DKITCHEN/ch01.wav",
            licence="CC BY-SA 3.0",
            source="Thiemann et al. 2013, doi:10.1121/1.4799597; https://zenodo.org/records/1227121",
            labels=_demand,
        ),
        NoiseFolder(
            name="musan",
            title="MUSAN: a music, speech and noise corpus",
            folders=("musan",),
            layout="musan/noise/free-sound/noise-free-sound-0000.wav",
            licence="CC BY 4.0, or public domain, by file",
            source="Snyder et al. 2015, arXiv:1510.08484; https://www.openslr.org/17",
            labels=_musan,
        ),
        NoiseFolder(
            name="noisex",
            title="NOISEX-92",
            folders=("noisex-92", "noisex92", "noisex", "noisex_92"),
            layout="NOISEX-92/babble.wav",
            licence="research use",
            source="Varga & Steeneken 1993, doi:10.1016/0167-6393(93)90095-3",
            labels=_noisex,
        ),
    )
}


def files(data: Path) -> list[dict[str, str]]:
    """Rows of a plan for every noise file of a collection below `data`; see :func:`ser_utils.noise.plan`.

    Raises
    ------
    study.UserError
        When a folder with the name of a collection holds no file in its layout.

    Examples
    --------
    >>> files(Path("no-such-folder"))
    []
    """
    rows = []
    there = {path.name.lower(): path for path in sorted(data.iterdir()) if path.is_dir()} if data.is_dir() else {}
    for entry in FOLDERS.values():
        place = next((there[name] for name in entry.folders if name in there), None)
        if place is None:
            continue
        found = [row for path in sorted(study.files_below(place)) if (row := _row(entry, place, path))]
        if not found:
            raise study.UserError(
                f"{place}: no file of {entry.title} in its layout, such as {entry.layout}; unpack it there as it was "
                "published, or rename the folder"
            )
        rows += found
    return rows


def _row(entry: NoiseFolder, place: Path, path: str) -> dict[str, str] | None:
    file = Path(path)
    if is_junk(path) or file.suffix.lower() not in AUDIO_SUFFIXES:
        return None
    labels = entry.labels((*file.parts[:-1], file.stem))
    if labels is None:
        return None
    noise_class, recording, part = labels
    return {
        "noise_id": f"{entry.name}/{recording}",
        "noise_class": noise_class,
        "corpus": entry.name,
        "source": recording,
        "part": part,
        "file": str(place / path),
    }
