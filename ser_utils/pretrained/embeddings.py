"""Embeddings of clips and of frames by any encoder: one signature, cached by weights, code and clips."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import audio, study, weights
from ser_utils.features import Frames, Table, store
from ser_utils.pretrained.catalogue import ENCODERS, entry, not_run, place

# hashed by their own code, or by the content of the weights
ELSEWHERE = ("features", "audio", "weights", "transfer", "torch_zip", "corpora", "pretrained.catalogue")
SHORTEST = 1_600  # samples that `max_s` is to be at least; encoders fill shorter clips up to no more than that
STATISTICS = ("mean", "max", "std")  # over time, of every column of every layer; what the cache holds
POOLINGS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda mean, largest, std: mean,
    "mean_std": lambda mean, largest, std: np.concatenate([mean, std], axis=-1),
    "mean_plus_max": lambda mean, largest, std: mean + largest,  # BYOL-A's own
    "mean_plus_max_std": lambda mean, largest, std: np.concatenate([mean + largest, std], axis=-1),
}


@dataclass(frozen=True)
class Embeddings:
    """Vectors of many clips.

    Attributes
    ----------
    x : np.ndarray [shape=(n_clips, n_layers, n_columns), dtype=float32]
    layers : tuple of str
    clip_ids : np.ndarray [shape=(n_clips,)]
        Row *i* belongs to ``clip_ids[i]``.
    encoder, pooling : str
    """

    x: np.ndarray
    layers: tuple[str, ...]
    clip_ids: np.ndarray
    encoder: str
    pooling: str

    def rows(self, clip_ids: np.ndarray) -> np.ndarray:
        """Positions of `clip_ids`, in their order.

        Raises
        ------
        KeyError
            When a clip has no embedding.
        """
        return store.positions(self.clip_ids, clip_ids)

    def table(self, layer: str = "") -> Table:
        """One layer as classic models take it; default the last.

        Raises
        ------
        study.UserError
            For a layer that is not there.
        """
        layer = layer or self.layers[-1]
        check_layer(layer, self.layers, self.encoder)
        x = self.x[:, self.layers.index(layer)]
        return Table(x, tuple(f"{layer}_{i:04d}" for i in range(x.shape[1])), self.clip_ids)

    def name(self, layer: str = "") -> str:
        """What the column `features` of predictions says, e.g. ``byol_s:dense2:mean_std``."""
        return f"{Path(self.encoder).name}:{layer or self.layers[-1]}:{self.pooling}"

    def frames(self) -> Frames:
        """Layers in place of time, for nets that weigh layers: see :func:`ser_utils.pretrained.heads.layer_mlp`."""
        return Frames(self.x, np.full(len(self.x), len(self.layers), dtype=np.int32), self.clip_ids)


def embed(
    manifest: pd.DataFrame,
    root: Path,
    encoder: str,
    *,
    layer: str = "",
    pooling: str = "mean_plus_max_std",
    cache: Path,
) -> Embeddings:
    """One vector per clip and layer, from the cache when its content is there.

    Parameters
    ----------
    manifest : pd.DataFrame
        Columns ``path, corpus, clip_id, sha256``; order is kept.
    root : Path
        Folder that the paths are relative to.
    encoder : str
        As :func:`ser_utils.pretrained.entry` takes it.
    layer : str
        One layer; default all of them.
    pooling : str
        One of :data:`POOLINGS`: which statistics over time make up the vector.
    cache : Path
        Folder for the artefact, which holds all layers and statistics; its key holds the hashes of the weights and of
        the clips, the code and the libraries.

    Raises
    ------
    study.UserError
        For an unknown encoder, layer or pooling, an encoder that is not here (see
        :func:`ser_utils.pretrained.not_run`), or a file that differs from the manifest or cannot be decoded.
    """
    if pooling not in POOLINGS:
        raise study.UserError(f"pooling '{pooling}' is unknown; use one of {', '.join(POOLINGS)}")
    way = _way(encoder)
    chosen = [layer] if layer else list(way.layers)
    check_layer(chosen[0], way.layers, encoder)
    work = functools.partial(_pooled, statistics=way.statistics)
    shape = (len(manifest), len(way.layers), len(STATISTICS), way.n_columns)
    found = study.cached(
        cache,
        _key(manifest, way, statistics=STATISTICS),
        lambda: store.results(manifest, root, work, sr=audio.SAMPLE_RATE, desc=_desc(way, manifest)),
        save=functools.partial(_save, shape=shape),
        load=_load,
    )
    positions = [way.layers.index(name) for name in chosen]
    x = POOLINGS[pooling](*(found.x[:, positions, i] for i in range(len(STATISTICS))))
    return Embeddings(np.asarray(x), tuple(chosen), found.clip_ids, encoder, pooling)


def embed_frames(
    manifest: pd.DataFrame, root: Path, encoder: str, *, layer: str = "", max_s: float = 6.0, cache: Path
) -> Frames:
    """Frames of one layer as sequences of one length, for nets over time; padded with zeros at the end.

    Parameters
    ----------
    manifest, root, encoder, cache
        As for :func:`embed`.
    layer : str
        Default the last.
    max_s : float
        Longer clips are cut evenly from both ends, seconds.

    Raises
    ------
    study.UserError
        As for :func:`embed`.
    """
    way = _way(encoder)
    return _embed_frames(manifest, root, way, layer or way.layers[-1], max_s=max_s, cache=cache)


def _embed_frames(manifest: pd.DataFrame, root: Path, way: _Way, layer: str, *, max_s: float, cache: Path) -> Frames:
    check_layer(layer, way.layers, way.encoder)
    position = way.layers.index(layer)
    n_samples = int(max_s * audio.SAMPLE_RATE)
    if n_samples < SHORTEST:
        raise study.UserError(f"max_s {max_s} must be {SHORTEST / audio.SAMPLE_RATE} seconds or more")
    shape = (1 + n_samples // way.hops[position], way.n_columns)
    work = functools.partial(_padded, frames=way.frames, position=position, n_samples=n_samples, n_frames=shape[0])
    return study.cached(
        cache,
        _key(manifest, way, layer=layer, max_s=max_s),
        lambda: store.results(manifest, root, work, sr=audio.SAMPLE_RATE, desc=f"{_desc(way, manifest)}, {layer}"),
        save=functools.partial(_save, shape=(len(manifest), *shape)),
        load=_load,
    )


def byol_s_input(manifest: pd.DataFrame, root: Path, *, max_s: float = 6.0, cache: Path) -> Frames:
    """Input of BYOL-S as sequences of one length, for :func:`ser_utils.pretrained.tuning.byol_s_tuned`.

    Parameters
    ----------
    manifest, root, max_s, cache
        As for :func:`embed_frames`.
    """
    way = _Way("byol_s", ("log_mel",), (160,), 64, _byol_s_log_mel, _byol_s_log_mel, _byol_s_code())
    return _embed_frames(manifest, root, way, "log_mel", max_s=max_s, cache=cache)


def check_layer(layer: str, layers: Sequence[str], encoder: str) -> None:
    """Raise a :class:`study.UserError` for a layer that an encoder has not."""
    if layer not in layers:
        raise study.UserError(f"layer '{layer}' is none of {encoder}; use one of {', '.join(layers)}")


# --- how an encoder is run ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """How one encoder is run in a worker, and what its results depend on."""

    encoder: str
    layers: tuple[str, ...]
    hops: tuple[int, ...]  # samples between frames, per layer
    n_columns: int
    statistics: Callable[[np.ndarray], np.ndarray]  # signal → (layers, statistics, columns)
    frames: Callable[[np.ndarray, int], np.ndarray]  # signal, position of the layer → (frames, columns)
    key: dict[str, Any]


def _way(encoder: str) -> _Way:
    return _byol_s() if entry(encoder).kind == "byol_s" else _hub(encoder)


def _byol_s() -> _Way:
    known, file = ENCODERS["byol_s"], weights.find("byol_s")
    run = functools.partial(_run_byol_s, file=file)
    key = {"weights": weights.WEIGHTS["byol_s"].sha256} | _byol_s_code()
    return _Way("byol_s", known.layers, (320, 640, 1280, 1280, 1280), known.n_columns, run, run, key)


def _byol_s_code() -> dict[str, Any]:
    code = study.code_version("pretrained.byol_s")
    return {"encoder": "byol_s", "encoder_code": code, "libraries": study.versions("keras", "tensorflow")}


def _byol_s_log_mel(y: np.ndarray, position: int = 0) -> np.ndarray:
    from ser_utils.pretrained.byol_s import log_mel

    return log_mel(y)


def _run_byol_s(y: np.ndarray, position: int | None = None, *, file: Path) -> np.ndarray:
    """Statistics of all layers, or the frames of one."""
    from ser_utils.pretrained.byol_s import clip_statistics, layer_frames, log_mel

    _pin_worker()
    x = log_mel(y)
    return clip_statistics(x, file) if position is None else layer_frames(x, file, position)


@functools.cache
def _pin_worker() -> None:
    """In a worker of a parallel map: one thread, as nets that it trains later want it, while TensorFlow can be told."""
    if multiprocessing.parent_process() is not None:
        study.seed_everything(0)


def _hub(encoder: str) -> _Way:
    from ser_utils.pretrained.hub import content, settings

    reason = not_run(encoder)
    if reason:
        raise study.UserError(reason.removeprefix(f"{weights.NOT_RUN}: "))
    told, weights_sum = settings(encoder), content(encoder)
    code = study.code_version("pretrained.hub", without=ELSEWHERE)
    key = {"encoder": "hub", "weights": weights_sum, "encoder_code": code}
    key |= {"libraries": study.versions("torch", "transformers")}
    run = functools.partial(_run_hub, folder=str(place(encoder)), weights_sum=weights_sum)
    return _Way(encoder, told["layers"], (320,) * len(told["layers"]), told["n_columns"], run, run, key)


def _run_hub(y: np.ndarray, position: int | None = None, *, folder: str, weights_sum: str) -> np.ndarray:
    from ser_utils.pretrained.hub import clip_statistics, states

    if position is None:
        return clip_statistics(y, folder, weights_sum)
    return states(y, folder, weights_sum)[position]


# --- cache --------------------------------------------------------------------------------------------------------


def _key(manifest: pd.DataFrame, way: _Way, **settings: Any) -> dict[str, Any]:
    code = study.code_version("pretrained.embeddings", without=(*ELSEWHERE, "pretrained.byol_s", "pretrained.hub"))
    return store.artefact_key(manifest, way.key | settings | {"embeddings_code": code})


def _desc(way: _Way, manifest: pd.DataFrame) -> str:
    return f"{Path(way.encoder).name} of {manifest['corpus'].iloc[0]}"


def _pooled(y: np.ndarray, *, statistics: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, int]:
    return statistics(y), 1


def _padded(
    y: np.ndarray, *, frames: Callable[[np.ndarray, int], np.ndarray], position: int, n_samples: int, n_frames: int
) -> tuple[np.ndarray, int]:
    """Frames of one signal, cut and padded, and how many are valid."""
    x = frames(audio.fit_length(y, n_samples)[0] if len(y) > n_samples else y, position)
    return np.pad(x, ((0, n_frames - len(x)), (0, 0))), len(x)


def _save(results: Iterator[tuple[str, tuple[np.ndarray, int]]], folder: Path, *, shape: tuple[int, ...]) -> None:
    clip_ids, n_frames = [], []

    def rows() -> Iterator[np.ndarray]:
        for clip_id, (row, valid) in results:
            clip_ids.append(clip_id)
            n_frames.append(valid)
            yield row

    store.write_rows(folder / "x.npy", rows(), shape=shape)
    np.save(folder / "n_frames.npy", np.array(n_frames, dtype=np.int32))
    np.save(folder / "clip_ids.npy", np.array(clip_ids, dtype=str))


def _load(folder: Path) -> Frames:
    x = np.load(folder / "x.npy", mmap_mode="r")
    return Frames(x, np.load(folder / "n_frames.npy"), np.load(folder / "clip_ids.npy"))
