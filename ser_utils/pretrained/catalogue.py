"""Published speech encoders: what they are, what they have heard, whether they are here, and how to get them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ser_utils import study, transfer, weights

EXTRA = "pip install -r requirements-pretrained.lock"
SAFE = "model.safetensors"
PICKLED = "pytorch_model.bin"
CONFIGS = ("config.json", "preprocessor_config.json")
_PINNED = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_ON_THE_WEB = ("ravdess", "emodb", "cremad", "tess", "savee", "meld")  # corpora that a crawl of the web may have met


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One encoder of speech at 16 kHz.

    Attributes
    ----------
    kind : str
        ``byol_s``, or ``hub``: a model of the transformers library in a folder, of the families of
        :data:`ser_utils.pretrained.hub.FAMILIES`.
    layers : tuple of str
        From the first to the last; empty where only the model's own settings tell.
    n_columns : int
        Of every layer; 0 where only the model's own settings tell.
    hop_s : float
        Seconds from one frame of the last layer to the next.
    trained_on : str
        What it has heard, in words.
    seen, possible : tuple of str
        Corpora of this study that are, or may be, part of that.
    folder, repository, revision, file, sha256, size
        ``hub``: name of its folder among the weights; where it was published, at which commit, in which file, with
        which content and how many bytes.
    """

    title: str
    kind: str = "hub"
    layers: tuple[str, ...] = ()
    n_columns: int = 0
    hop_s: float = 0.02
    n_parameters: int = 0
    trained_on: str = "not known"
    seen: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()
    licence: str = ""
    citation: str = field(default="", repr=False)
    folder: str = ""
    repository: str = ""
    revision: str = ""
    file: str = SAFE
    sha256: str = ""
    size: int = 0


def _twelve(n_layers: int = 12) -> tuple[str, ...]:
    return tuple(f"layer{i:02d}" for i in range(n_layers + 1))


ENCODERS: Mapping[str, Encoder] = {
    "byol_s": Encoder(
        title="BYOL-S",
        kind="byol_s",
        layers=("conv1", "conv2", "conv3", "dense1", "dense2"),
        n_columns=512,
        hop_s=0.08,
        n_parameters=600_192,
        trained_on="speech of AudioSet (clips of YouTube), without labels",
        possible=("meld",),
        licence=weights.WEIGHTS["byol_s"].licence,
        citation=weights.WEIGHTS["byol_s"].citation,
    ),
    "wav2vec2_base": Encoder(
        title="wav2vec 2.0 base",
        layers=_twelve(),
        n_columns=768,
        n_parameters=94_371_712,
        trained_on="LibriSpeech, 960 h of English audiobooks, without labels",
        licence="Apache-2.0",
        citation="Baevski et al. 2020 (arXiv:2006.11477)",
        folder="wav2vec2-base",
        repository="facebook/wav2vec2-base",
        revision="0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
        file=PICKLED,
        sha256="3249fe98bfc62fcbc26067f724716a6ec49d12c4728a2af1df659013905dff21",
        size=380_267_417,
    ),
    "hubert_base": Encoder(
        title="HuBERT base",
        layers=_twelve(),
        n_columns=768,
        n_parameters=94_371_712,
        trained_on="LibriSpeech, 960 h of English audiobooks, without labels",
        licence="Apache-2.0",
        citation="Hsu et al. 2021 (doi:10.1109/TASLP.2021.3122291)",
        folder="hubert-base-ls960",
        repository="facebook/hubert-base-ls960",
        revision="dba3bb02fda4248b6e082697eee756de8fe8aa8a",
        file=PICKLED,
        sha256="062249fffb353eab67547a2fbc129f7c31a2f459faf641b19e8fb007cc5c48ad",
        size=377_569_754,
    ),
    "wavlm_base_plus": Encoder(
        title="WavLM base+",
        layers=_twelve(),
        n_columns=768,
        n_parameters=94_381_936,
        trained_on="94,000 h of Libri-Light, GigaSpeech (podcasts, YouTube) and VoxPopuli, without labels",
        possible=("meld",),
        licence="CC BY-SA 3.0",
        citation="Chen et al. 2022 (doi:10.1109/JSTSP.2022.3188113)",
        folder="wavlm-base-plus",
        repository="microsoft/wavlm-base-plus",
        revision="4c66d4806a428f2e922ccfa1a962776e232d487b",
        file=PICKLED,
        sha256="3bb273a6ace99408b50cfc81afdbb7ef2de02da2eab0234e18db608ce692fe51",
        size=377_617_425,
    ),
    "whisper_base": Encoder(
        title="Whisper base, its encoder",
        layers=_twelve(6),
        n_columns=512,
        n_parameters=20_590_592,
        trained_on="680,000 h of the web with transcripts; which is not published",
        possible=_ON_THE_WEB,
        licence="Apache-2.0",
        citation="Radford et al. 2023 (arXiv:2212.04356)",
        folder="whisper-base",
        repository="openai/whisper-base",
        revision="e37978b90ca9030d5170a5c07aadb050351a65bb",
        sha256="07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b",
        size=290_403_936,
    ),
}


def entry(name: str) -> Encoder:
    """Registered encoder, or one of your own.

    Parameters
    ----------
    name : str
        One of :data:`ENCODERS`; a folder with a model in the format of transformers; or a model of the Hugging Face
        hub with its commit, ``owner/name@<40 hexadecimal digits>``, whose folder among the weights is called ``name``.

    Raises
    ------
    study.UserError
        For a name that is none of these.

    Examples
    --------
    >>> entry("byol_s").n_columns
    512
    """
    if name in ENCODERS:
        return ENCODERS[name]
    pinned = _PINNED.fullmatch(name)
    if pinned:
        repository = pinned["repository"]
        folder = repository.rpartition("/")[2]
        return Encoder(
            title=repository,
            folder=folder,
            repository=repository,
            revision=pinned["revision"],
            possible=_ON_THE_WEB,
        )
    if Path(name).expanduser().is_dir():
        own = str(Path(name).expanduser().resolve())
        return Encoder(title=Path(own).name, folder=own, possible=_ON_THE_WEB)
    raise study.UserError(
        f"encoder '{name}' is unknown; use one of {', '.join(ENCODERS)}, a folder with a model in it, or "
        "owner/name@commit of the Hugging Face hub with all 40 digits of the commit"
    )


def heard(name: str, corpus: str) -> str:
    """Whether an encoder has heard a corpus in its training: ``no``, ``possible`` or ``yes``.

    Examples
    --------
    >>> heard("byol_s", "ravdess"), heard("whisper_base", "ravdess"), heard("whisper_base", "demo")
    ('no', 'possible', 'no')
    """
    known = entry(name)
    return "yes" if corpus in known.seen else "possible" if corpus in known.possible else "no"


# --- where they are -----------------------------------------------------------------------------------------------


def not_run(name: str) -> str:
    """Why an encoder cannot be used, with the commands that change it; empty where it is ready.

    Names no folder of this machine but one that `name` names, so that a report may say it.

    Examples
    --------
    >>> all(text == "" or text.startswith("not run: ") for text in map(not_run, ENCODERS))
    True
    """
    known = entry(name)
    if known.kind == "byol_s":
        return weights.not_run("byol_s")
    absent = [package for package in ("torch", "transformers") if not importlib.util.find_spec(package)]
    if absent:
        return f"{weights.NOT_RUN}: {known.title} needs {' and '.join(absent)}; {_commands(name)}"
    try:
        place(name)
    except study.UserError as error:
        said = str(error)
        for folder, word in zip(reversed(weights.folders()), ("data/pretrained", f"${weights.FOLDER}"), strict=False):
            said = said.replace(str(folder), word)
        return f"{weights.NOT_RUN}: {said}"
    return ""


def place(name: str) -> Path:
    """Folder of a model of kind ``hub``.

    Raises
    ------
    study.UserError
        When it is not there, lacks a file, or holds its weights as a pickle alone.
    """
    known = entry(name)
    folder = next((f for f in places(known) if f.is_dir()), None)
    if folder is None:
        size = f" ({transfer.size(known.size)}, licence {known.licence})" if known.size else ""
        raise study.UserError(
            f"{known.title}{size} is not in {' or '.join(map(str, places(known)))}; {_commands(name)}"
        )
    missing = [file for file in CONFIGS if not (folder / file).is_file()]
    if missing:
        raise study.UserError(f"{folder}: {' and '.join(missing)} missing; {_commands(name)}")
    if not list(folder.glob("*.safetensors")):
        raise study.UserError(f"{folder}: no {SAFE}, and weights in a pickle are not loaded; {_commands(name)}")
    return folder


def places(known: Encoder) -> list[Path]:
    """Where the folder of a model is looked for, in this order."""
    return list(dict.fromkeys(folder / known.folder for folder in weights.folders()))


def _commands(name: str) -> str:
    """The two commands that bring an encoder."""
    return f"run `{EXTRA}`, then `python -c \"from ser_utils import pretrained; pretrained.get('{name}')\"`"


def status(corpora: tuple[str, ...] = ()) -> pd.DataFrame:
    """Table for a report: every registered encoder, whether it is ready, and what it has heard of `corpora`.

    Returns
    -------
    pd.DataFrame
        ``name, title, state, parameters, columns, trained_on, heard, licence, citation``; ``state`` is ``ready`` or
        begins with ``not run``; ``heard`` names the corpora of `corpora` that it has or may have heard.
    """
    rows = []
    for name, known in ENCODERS.items():
        met = [f"{corpus} ({word})" for corpus in corpora if (word := heard(name, corpus)) != "no"]
        row = {"name": name, "title": known.title, "state": not_run(name) or "ready"}
        row |= {"parameters": known.n_parameters, "columns": known.n_columns, "trained_on": known.trained_on}
        rows.append(row | {"heard": ", ".join(met), "licence": known.licence, "citation": known.citation})
    return pd.DataFrame(rows)
