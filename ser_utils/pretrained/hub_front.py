"""What the tuning of a transformers encoder starts from: what its frozen part makes of every clip, computed once."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import audio, study, weights
from ser_utils.features import Frames, store
from ser_utils.pretrained.catalogue import not_run, place
from ser_utils.pretrained.hub import SAMPLE_RATE, SHORTEST, WHISPER_S, content, loaded, settings

ELSEWHERE = ("features", "audio", "weights", "transfer", "torch_zip", "corpora", "pretrained.catalogue")
MEL_HOP = 160  # samples between two frames of Whisper's input; the encoder halves their number
MEL_EDGE = 2  # frames after the last sample that still hear it: Whisper's windows are 400 samples long
LONGEST_MEL = WHISPER_S * SAMPLE_RATE // MEL_HOP


def frames(manifest: pd.DataFrame, root: Path, encoder: str, *, max_s: float = 6.0, cache: Path) -> Frames:
    """What every clip gives to the part of an encoder that is tuned, see :func:`front`.

    Parameters
    ----------
    manifest, root, encoder, max_s, cache
        As for :func:`ser_utils.pretrained.embed_frames`.

    Raises
    ------
    study.UserError
        As there; and for Whisper where `max_s` is above 30 s.
    """
    reason = not_run(encoder)
    if reason:
        raise study.UserError(reason.removeprefix(f"{weights.NOT_RUN}: "))
    family, folder, weights_sum = settings(encoder)["family"], str(place(encoder)), content(encoder)
    n_samples = int(max_s * audio.SAMPLE_RATE)
    if n_samples < SHORTEST or (family == "whisper" and max_s > WHISPER_S):
        raise study.UserError(f"max_s {max_s} must be {SHORTEST / audio.SAMPLE_RATE} to {WHISPER_S} seconds")
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    shape = _shape(config, family, n_samples)
    key = {
        "weights": weights_sum,
        "max_s": max_s,
        "front": study.code_version("pretrained.hub_front", without=ELSEWHERE),
    }
    key |= {"libraries": study.versions("torch", "transformers")}
    work = functools.partial(_front, folder=folder, weights_sum=weights_sum, n_samples=n_samples, n_frames=shape[0])
    desc = f"{Path(encoder).name} of {manifest['corpus'].iloc[0]}, what is tuned on"
    return study.cached(
        cache,
        store.artefact_key(manifest, key),
        lambda: store.results(manifest, root, work, sr=audio.SAMPLE_RATE, desc=desc),
        save=functools.partial(_save_frames, shape=(len(manifest), *shape)),
        load=_load_frames,
    )


def _front(y: np.ndarray, *, folder: str, weights_sum: str, n_samples: int, n_frames: int) -> tuple[np.ndarray, int]:
    y = audio.fit_length(y, n_samples)[0] if len(y) > n_samples else y
    x, valid = front(y, *loaded(folder, weights_sum))
    x = x[:n_frames]
    return np.pad(x, ((0, n_frames - len(x)), (0, 0))), min(valid, n_frames)


def _save_frames(
    results: Iterator[tuple[str, tuple[np.ndarray, int]]], folder: Path, *, shape: tuple[int, ...]
) -> None:
    told = []

    def rows() -> Iterator[np.ndarray]:
        for clip_id, (row, valid) in results:
            told.append((clip_id, valid))
            yield row

    store.write_rows(folder / "x.npy", rows(), shape=shape)
    np.savez(folder / "clips.npz", clip_ids=np.array([c for c, _ in told]), n_frames=np.array([n for _, n in told]))


def _load_frames(folder: Path) -> Frames:
    with np.load(folder / "clips.npz") as told:
        return Frames(np.load(folder / "x.npy", mmap_mode="r"), told["n_frames"].astype(np.int32), told["clip_ids"])


def front(y: np.ndarray, model: Any, prepare: Any, family: str) -> tuple[np.ndarray, int]:
    """What tuning starts from [shape=(n_frames, n_columns)], and how many frames tell of the sound.

    Of wav2vec 2.0, HuBERT and WavLM the output of the convolutions, which stay as published, computed clip by clip:
    some of them normalise over a whole clip, so that padding in front of them would change it. Of Whisper its log-mel
    frames, whose convolutions are tuned with the rest.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal at 16 kHz; for Whisper 30 s at most.
    model, prepare, family
        From :func:`ser_utils.pretrained.hub.load`.
    """
    import torch

    y = np.pad(np.asarray(y, dtype=np.float32), (0, max(0, SHORTEST - len(y))))
    given = prepare(y, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    if family == "whisper":
        return given.input_features[0].numpy().T, -(-len(y) // MEL_HOP) + MEL_EDGE
    with torch.inference_mode():
        x = model.feature_extractor(given.input_values)[0].numpy().T
    return x, len(x)


def _shape(config: Any, family: str, n_samples: int) -> tuple[int, int]:
    """(frames, columns) of :func:`front` that `n_samples` fill; `config` is the content of config.json."""
    if family == "whisper":
        return min(n_samples // MEL_HOP + 2 * MEL_EDGE, LONGEST_MEL), config["num_mel_bins"]
    for kernel, stride in zip(config["conv_kernel"], config["conv_stride"], strict=True):
        n_samples = (n_samples - kernel) // stride + 1
    return n_samples, config["conv_dim"][-1]
