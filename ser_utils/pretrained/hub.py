"""Speech encoders of the transformers library, from a folder on the disk: safetensors only, no code of the model's.

Needs the packages of requirements-pretrained.lock, and never the network; :func:`get` alone fetches.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import study, torch_zip, transfer, weights
from ser_utils.pretrained.catalogue import CONFIGS, PICKLED, SAFE, entry, place, places

FAMILIES = ("wav2vec2", "hubert", "wavlm", "whisper")  # model_type in config.json
HUB = "https://huggingface.co"
SAMPLE_RATE = 16_000  # Hz
SHORTEST = 1_600  # samples; anything shorter is filled up with silence, so that a frame comes out
WHISPER_S = 30  # seconds that one pass of Whisper takes; longer sound goes through in pieces
WHISPER_HOP = 320  # samples per frame


# --- loading ------------------------------------------------------------------------------------------------------


def settings(name: str) -> dict[str, Any]:
    """What a model's own files say of it: ``family, layers, n_columns``.

    Raises
    ------
    study.UserError
        When the folder is not complete, the family is another, or the model takes another sample rate.
    """
    folder = place(name)
    config, takes = (_json(folder / file) for file in CONFIGS)
    family = config.get("model_type")
    if family not in FAMILIES:
        raise study.UserError(f"{folder}: model_type {family} is none of {', '.join(FAMILIES)}; use another model")
    if takes.get("sampling_rate") != SAMPLE_RATE:
        raise study.UserError(
            f"{folder}: the model takes {takes.get('sampling_rate')} Hz and the study's sound has {SAMPLE_RATE} Hz; "
            "use a model for that rate"
        )
    depth = config["encoder_layers"] if family == "whisper" else config["num_hidden_layers"]
    columns = config["d_model"] if family == "whisper" else config["hidden_size"]
    return {"family": family, "layers": tuple(f"layer{i:02d}" for i in range(depth + 1)), "n_columns": columns}


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise study.UserError(f"{file}: cannot be read ({error}); fetch the model again") from error


def content(name: str) -> str:
    """Hash of everything that is loaded: weights and settings.

    Raises
    ------
    study.UserError
        When the weights are not those that were published.
    """
    known, folder = entry(name), place(name)
    files = [*sorted(folder.glob("*.safetensors")), *(folder / file for file in CONFIGS)]
    sums = {file.name: _sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files}
    if known.file == SAFE and known.sha256 and sums.get(SAFE) != known.sha256:
        raise study.UserError(
            f"{folder / SAFE}: SHA-256 {str(sums.get(SAFE))[:12]}… is not the published "
            f"{known.sha256[:12]}…; delete the file and get it again"
        )
    return study.digest(sums, length=64)


@functools.lru_cache(maxsize=64)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    return study.sha256(file)


@functools.lru_cache(maxsize=1)
def loaded(name: str, key: str) -> tuple[Any, Any, str]:
    """:func:`load`, kept; `key` is the :func:`content`, so that other weights are another model."""
    return load(name)


def load(name: str) -> tuple[Any, Any, str]:
    """A new copy of (model, what makes its input, family); the model answers, and does not learn, until it is told to.

    Raises
    ------
    study.UserError
        When the folder is not complete, or the weights lack a tensor.
    """
    import torch
    import transformers

    if multiprocessing.parent_process() is not None:  # a worker of a parallel map: one thread each
        torch.set_num_threads(1)
    folder, family = place(name), settings(name)["family"]
    local = {"local_files_only": True, "trust_remote_code": False}
    with _quietly(transformers):
        prepare = transformers.AutoFeatureExtractor.from_pretrained(folder, **local)
        model, report = transformers.AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **local
        )
    absent = sorted(key for key in report["missing_keys"] if family != "whisper" or key.startswith("encoder."))
    if absent:
        raise study.UserError(f"{folder}: the weights lack {len(absent)} tensors, {absent[0]} among them; get it again")
    model = model.get_encoder() if family == "whisper" else model
    return model.eval(), prepare, family


@contextlib.contextmanager
def _quietly(transformers: Any) -> Iterator[None]:
    """Neither bars nor the list of tensors that the heads of other tasks would use."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()


# --- running ------------------------------------------------------------------------------------------------------


def states(y: np.ndarray, name: str, key: str) -> np.ndarray:
    """Frames of every layer [shape=(n_layers, n_frames, n_columns), dtype=float32] of one signal.

    One clip at a time: no padding, and no result that depends on what else is in the batch. Whisper takes 30 s at a
    time by its nature; the frames of what fills a shorter clip up are left out.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal at 16 kHz.
    name : str
        Encoder of kind ``hub``.
    key : str
        Its :func:`content`.
    """
    y = np.pad(np.asarray(y, dtype=np.float32), (0, max(0, SHORTEST - len(y))))
    model, prepare, family = loaded(name, key)
    if family != "whisper":
        return _run(model, prepare(y, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values)
    length = WHISPER_S * SAMPLE_RATE
    pieces = [y[start : start + length] for start in range(0, len(y), length)]
    parts = [_run(model, prepare(p, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features) for p in pieces]
    frames = [-(-len(piece) // WHISPER_HOP) for piece in pieces]
    return np.concatenate([part[:, :count] for part, count in zip(parts, frames, strict=True)], axis=1)


def _run(model: Any, values: Any) -> np.ndarray:
    import torch

    with torch.inference_mode():
        found = model(values, output_hidden_states=True).hidden_states
    return torch.cat(list(found)).numpy()


def clip_statistics(y: np.ndarray, name: str, key: str) -> np.ndarray:
    """Mean, maximum and standard deviation over time of every layer [shape=(n_layers, 3, n_columns)] of a signal."""
    x = states(y, name, key)
    return np.stack([x.mean(axis=1), x.max(axis=1), x.std(axis=1)], axis=1)


# --- fetching -----------------------------------------------------------------------------------------------------


def get(name: str) -> Path:
    """Folder of a model of the Hugging Face hub, fetched first where it is not there, at its pinned commit.

    A file of pickled weights is checked against its published hash, read by :mod:`ser_utils.torch_zip`, which runs
    nothing in it, written anew as safetensors, and removed.

    Raises
    ------
    study.UserError
        For an encoder that is on no hub, an address that does not answer, a wrong checksum, or a full disk.
    """
    from ser_utils.corpora.download import Download, fetch

    known = entry(name)
    if not known.repository:
        raise study.UserError(f"encoder '{name}' is not on the Hugging Face hub; nothing to fetch")
    if any((folder / SAFE).is_file() for folder in places(known)):
        return place(name)
    target = weights.folders()[-1] / known.folder
    transfer.check_space(target, 2 * known.size, known.title)
    with transfer.Meter(name, files=3, size=known.size) as meter:
        for file in (*CONFIGS, known.file):
            checksum = f"sha256:{known.sha256}" if file == known.file and known.sha256 else ""
            address = f"{HUB}/{known.repository}/resolve/{known.revision}/{file}"
            fetch(Download(address=address, checksum=checksum, to=file), target, meter)
    if known.file == PICKLED:
        convert(target)
    return place(name)


def convert(folder: Path) -> Path:
    """Write ``pytorch_model.bin`` of a folder as ``model.safetensors`` and remove it.

    Raises
    ------
    study.UserError
        When it holds anything but tensors, or is of the format before torch 1.6.
    """
    from safetensors.numpy import save_file

    source, target = folder / PICKLED, folder / SAFE
    tensors = {key: np.ascontiguousarray(value) for key, value in torch_zip.read_tensors(source).items()}
    with study.atomic(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    source.unlink()
    return target
