"""Published weights of nets: what they are, whether they are here, and how to get them.

A file is looked for in ``$SER_PRETRAINED``, then in ``data/pretrained`` below the output root, and used only with its
published content.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser_utils import study, transfer

FOLDER = "SER_PRETRAINED"
NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of published weights."""

    title: str
    file: str  # name in the folder of weights
    address: str
    sha256: str
    size: int  # bytes
    licence: str
    citation: str  # BibTeX


_DTLN = """@inproceedings{westhausen2020dtln,
  title = {Dual-Signal Transformation LSTM Network for Real-Time Noise Suppression},
  author = {Westhausen, Nils L. and Meyer, Bernd T.},
  booktitle = {Proc. Interspeech}, pages = {2477--2481}, year = {2020}, doi = {10.21437/Interspeech.2020-2631}
}"""

WEIGHTS = {
    "dtln_norm_500h": Weights(
        title="DTLN, trained on 500 hours, log spectrum normalised",
        file="DTLN_norm_500h.h5",
        address="https://github.com/breizhn/DTLN/raw/master/pretrained_model/DTLN_norm_500h.h5",
        sha256="378c209ad3f4dedffb185b542169a51472361a23492c13b377feb2485a2a1bb3",
        size=4_003_624,
        licence="MIT",
        citation=_DTLN,
    ),
    "dtln_model": Weights(
        title="DTLN, as in the publication",
        file="DTLN_model.h5",
        address="https://github.com/breizhn/DTLN/raw/master/pretrained_model/model.h5",
        sha256="b6e9ecb8140f51e8ffb373884b62e186dc166e97995fa7eea3fffcc6ef30d55d",
        size=3_989_312,
        licence="MIT",
        citation=_DTLN,
    ),
    "gtcrn": Weights(
        title="GTCRN, streaming ONNX",
        file="gtcrn_simple.onnx",
        address="https://github.com/Xiaobin-Rong/gtcrn/raw/main/stream/onnx_models/gtcrn_simple.onnx",
        sha256="b4718df6228e7bdf1a8a435cf98f838636eb2fd331acabf86ba87c5192ebcb87",
        size=535_190,
        licence="MIT",
        citation="""@inproceedings{rong2024gtcrn,
  title = {GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources},
  author = {Rong, Xiaobin and Sun, Tianchi and Zhang, Xu and Hu, Yuxiang and Zhu, Changbao and Lu, Jing},
  booktitle = {Proc. ICASSP}, pages = {971--975}, year = {2024}, doi = {10.1109/ICASSP48485.2024.10448310}
}""",
    ),
    "dnsmos_p835": Weights(
        title="DNSMOS P.835: speech, background and overall quality",
        file="dnsmos_sig_bak_ovr.onnx",
        address="https://github.com/microsoft/DNS-Challenge/raw/master/DNSMOS/DNSMOS/sig_bak_ovr.onnx",
        sha256="269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        size=1_157_965,
        licence="CC BY 4.0",
        citation="""@inproceedings{reddy2022dnsmos,
  title = {DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric to Evaluate Noise Suppressors},
  author = {Reddy, Chandan K. A. and Gopal, Vishak and Cutler, Ross},
  booktitle = {Proc. ICASSP}, pages = {886--890}, year = {2022}, doi = {10.1109/ICASSP43922.2022.9746108}
}""",
    ),
    "dnsmos_p808": Weights(
        title="DNSMOS P.808: overall quality",
        file="dnsmos_model_v8.onnx",
        address="https://github.com/microsoft/DNS-Challenge/raw/master/DNSMOS/DNSMOS/model_v8.onnx",
        sha256="9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
        size=224_860,
        licence="CC BY 4.0",
        citation="""@inproceedings{reddy2021dnsmos,
  title = {DNSMOS: A Non-Intrusive Perceptual Objective Speech Quality Metric to Evaluate Noise Suppressors},
  author = {Reddy, Chandan K. A. and Gopal, Vishak and Cutler, Ross},
  booktitle = {Proc. ICASSP}, pages = {6493--6497}, year = {2021}, doi = {10.1109/ICASSP39728.2021.9414878}
}""",
    ),
    "byol_s": Weights(
        title="BYOL-S: speech encoder trained without labels of emotion",
        file="byol_s_default512.pth",
        address="https://github.com/Neclow/serab/raw/main/SERAB/checkpoints/"
        "default512_BYOLAs64x96-2107281850-e100-bs256-lr0003-rs42.pth",
        sha256="449f5d0dc6b6fa8433d5e43769097520d3bc0fdae88977a7ac29e2e72ca51b52",
        size=2_409_434,
        licence="MIT",
        citation="""@inproceedings{scheidwasser2022serab,
  title = {SERAB: A Multi-Lingual Benchmark for Speech Emotion Recognition},
  author = {Scheidwasser-Clow, Neil and Kegler, Mikolaj and Beckmann, Pierre and Cernak, Milos},
  booktitle = {Proc. ICASSP}, pages = {7697--7701}, year = {2022}, doi = {10.1109/ICASSP43922.2022.9747348}
}""",
    ),
    "metricgan_plus": Weights(
        title="MetricGAN+ for VoiceBank-DEMAND, from SpeechBrain",
        file="enhance_model.ckpt",
        address="https://huggingface.co/speechbrain/metricgan-plus-voicebank/resolve/"
        "a196ce26b3bdace6fa1d819017584bdbcce462a8/enhance_model.ckpt",
        sha256="147bfb866bac8264603546e035bf283370e716ed2f4b7412d308d2bcee88304f",
        size=7_586_021,
        licence="Apache-2.0",
        citation="""@inproceedings{fu2021metricganplus,
  title = {MetricGAN+: An Improved Version of MetricGAN for Speech Enhancement},
  author = {Fu, Szu-Wei and Yu, Cheng and Hsieh, Tsun-An and Plantinga, Peter and Ravanelli, Mirco and Lu, Xugang
            and Tsao, Yu},
  booktitle = {Proc. Interspeech}, pages = {201--205}, year = {2021}, doi = {10.21437/Interspeech.2021-599}
}""",
    ),
}


# --- finding ----------------------------------------------------------------------------------------------------


def folders() -> list[Path]:
    """Where weights are looked for, in this order; the last one is where :func:`get` puts them.

    Examples
    --------
    >>> folders()[-1].relative_to(study.output_root()).as_posix()
    'data/pretrained'
    """
    own = os.environ.get(FOLDER)
    project = study.output_root() / "data" / "pretrained"
    return [Path(own).expanduser().resolve(), project] if own else [project]


def entry(name: str) -> Weights:
    """Registered weights.

    Raises
    ------
    study.UserError
        For an unknown name.
    """
    if name not in WEIGHTS:
        raise study.UserError(f"weights '{name}' are unknown; use one of {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def find(name: str) -> Path:
    """File of published weights, its content checked.

    Parameters
    ----------
    name : str
        One of :data:`WEIGHTS`.

    Raises
    ------
    study.UserError
        When the file is not there, cannot be read, or holds anything else than what was published.
    """
    wanted = entry(name)
    places = [folder / wanted.file for folder in folders()]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        raise study.UserError(_missing(name))
    try:
        stat = file.stat()
        found = _sha256(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise study.UserError(f"{file}: cannot be read ({error.strerror}); make it a readable file") from error
    if found != wanted.sha256:
        raise study.UserError(
            f"{file}: {transfer.size(stat.st_size)} with SHA-256 {found[:12]}… are not the published weights '{name}' "
            f"({transfer.size(wanted.size)}, {wanted.sha256[:12]}…); delete it and fetch {wanted.address} again"
        )
    return file


@functools.lru_cache(maxsize=64)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    """Taken once per state of the file in a process: the size and time of change are part of the key."""
    return study.sha256(file)


def _missing(name: str) -> str:
    wanted = WEIGHTS[name]
    return (
        f"{wanted.file} ({wanted.title}, {transfer.size(wanted.size)}, licence {wanted.licence}) is not in "
        f"{' or '.join(map(str, folders()))}; fetch {wanted.address} and put it there as {wanted.file}, or run "
        f"python -c \"from ser_utils import weights; weights.get('{name}')\""
    )


def not_run(name: str) -> str:
    """Why something that needs these weights is not run, and how to get them; empty where they are ready.

    Names no folder of this machine, so that a report may say it.

    Examples
    --------
    >>> all(text == "" or text.startswith("not run: ") for text in map(not_run, WEIGHTS))
    True
    """
    try:
        find(name)
    except study.UserError as error:
        said = str(error)
        for folder, name in zip(reversed(folders()), ("data/pretrained", f"${FOLDER}"), strict=False):
            said = said.replace(str(folder), name)
        return f"{NOT_RUN}: {said}"
    return ""


def status() -> pd.DataFrame:
    """Table for a report: all published weights, whether they are here, and how to get those that are not.

    Returns
    -------
    pd.DataFrame
        ``name, title, state, size, licence, address``; ``state`` is ``ready`` or begins with ``not run``.
    """
    rows = [
        (name, w.title, not_run(name) or "ready", transfer.size(w.size), w.licence, w.address)
        for name, w in WEIGHTS.items()
    ]
    return pd.DataFrame(rows, columns=["name", "title", "state", "size", "licence", "address"])


# --- fetching ---------------------------------------------------------------------------------------------------


def get(name: str) -> Path:
    """File of published weights, fetched first where it is not there; resumed where an earlier call was cut.

    Raises
    ------
    study.UserError
        For an address that does not answer, a wrong checksum, a full disk or a folder that cannot be written.
    """
    from ser_utils.corpora.download import Download, fetch

    wanted = entry(name)
    if any((folder / wanted.file).exists() for folder in folders()):
        return find(name)
    target = folders()[-1]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise study.UserError(
            f"{target} cannot be written ({error.strerror}); set SER_OUT to a folder that can, or put "
            f"{wanted.file} into a folder of your own and set {FOLDER} to it"
        ) from error
    transfer.check_space(target, wanted.size, wanted.title)
    item = Download(address=wanted.address, checksum=f"sha256:{wanted.sha256}", to=wanted.file, size=wanted.size)
    study.progress(f"{name}: fetching {transfer.size(wanted.size)}")
    with transfer.Meter(name, files=1, size=wanted.size) as meter:
        fetch(item, target, meter)
    return find(name)
