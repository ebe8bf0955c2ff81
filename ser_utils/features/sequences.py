"""Frame features as sequences of one length, for nets."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import audio, study
from ser_utils.features import spectral, store
from ser_utils.features.spec import FrameSpec
from ser_utils.features.spectral import Spectrum

LOG_MEL = FrameSpec()


@dataclass(frozen=True)
class Frames:
    """Sequences of many clips, padded with zeros at the end to one length.

    Attributes
    ----------
    x : np.ndarray [shape=(n_clips, max_frames, n_columns), dtype=float32]
    n_frames : np.ndarray [shape=(n_clips,), dtype=int32]
        Valid frames of each clip.
    clip_ids : np.ndarray [shape=(n_clips,)]
        Row *i* of everything belongs to ``clip_ids[i]``.
    """

    x: np.ndarray
    n_frames: np.ndarray
    clip_ids: np.ndarray

    def rows(self, clip_ids: np.ndarray) -> np.ndarray:
        """Positions of `clip_ids`, in their order.

        Raises
        ------
        KeyError
            When a clip has no features.
        """
        return store.positions(self.clip_ids, clip_ids)


def log_mel(y: np.ndarray, spec: FrameSpec = LOG_MEL) -> np.ndarray:
    """Log-mel spectrogram in dB relative to full scale.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal at ``spec.sr``.

    Returns
    -------
    np.ndarray [shape=(n_frames, n_mels), dtype=float32]
        −100 dB at the lowest.

    Examples
    --------
    >>> log_mel(np.zeros(16000, dtype=np.float32)).shape
    (101, 64)
    """
    return Spectrum(y, spec).log_mel


def mfcc(y: np.ndarray, spec: FrameSpec = LOG_MEL) -> np.ndarray:
    """Mel-frequency cepstral coefficients with first and second differences (Davis & Mermelstein 1980,
    doi:10.1109/TASSP.1980.1163420).

    Returns
    -------
    np.ndarray [shape=(n_frames, 3 * n_mfcc), dtype=float32]
        Coefficients, Δ, ΔΔ; differences over 9 frames.

    Examples
    --------
    >>> mfcc(np.zeros(16000, dtype=np.float32)).shape
    (101, 60)
    """
    return Spectrum(y, spec).mfcc


def frames(y: np.ndarray, spec: FrameSpec) -> tuple[np.ndarray, int]:
    """Features of one signal, cut and padded to ``spec.max_frames``.

    Returns
    -------
    x : np.ndarray [shape=(max_frames, n_columns), dtype=float32]
    n_frames : int
        Valid frames.
    """
    if spec.trim_db:
        y = audio.trim_silence(y, top_db=spec.trim_db)
    longest = (spec.max_frames - 1) * spec.hop_length
    if len(y) > longest:
        y, _ = audio.fit_length(y, longest)
    values = _centre(spectral.compute(y, spec), y, spec)
    return np.pad(values, ((0, spec.max_frames - len(values)), (0, 0))), len(values)


def _centre(values: np.ndarray, y: np.ndarray, spec: FrameSpec) -> np.ndarray:
    if spec.clip_mean == "keep":
        return values
    centred = values - values.mean(axis=0)
    return centred if spec.clip_mean == "remove" else np.column_stack([centred, Spectrum(y, spec).level])


def extract(manifest: pd.DataFrame, root: Path, spec: FrameSpec, *, cache: Path) -> Frames:
    """Features of every clip of `manifest`, from the cache when its content is there.

    Parameters
    ----------
    manifest : pd.DataFrame
        Columns ``path, clip_id, sha256``; order is kept.
    root : Path
        Folder that the paths are relative to.
    spec : FrameSpec
    cache : Path
        Folder for the artefact; its key holds the spec, the code and the hashes of the clips.

    Returns
    -------
    Frames
        ``x`` is mapped from the disk and cannot be written to.

    Raises
    ------
    study.UserError
        When a file differs from the manifest, or cannot be decoded.
    """
    work = functools.partial(frames, spec=spec)
    desc = f"{spec.kind} of {manifest['corpus'].iloc[0]}"
    shape = (len(manifest), spec.max_frames, len(spec.columns))
    return study.cached(
        cache,
        store.artefact_key(manifest, {"spec": asdict(spec)}),
        lambda: store.results(manifest, root, work, sr=spec.sr, desc=desc),
        save=functools.partial(_save, shape=shape),
        load=_load,
    )


def _save(results: Iterator[tuple[str, tuple[np.ndarray, int]]], folder: Path, *, shape: tuple[int, ...]) -> None:
    clip_ids, n_frames = [], []

    def rows() -> Iterator[np.ndarray]:
        for clip_id, (x, valid) in results:
            clip_ids.append(clip_id)
            n_frames.append(valid)
            yield x

    store.write_rows(folder / "x.npy", rows(), shape=shape)
    np.save(folder / "n_frames.npy", np.array(n_frames, dtype=np.int32))
    np.save(folder / "clip_ids.npy", np.array(clip_ids, dtype=str))


def _load(folder: Path) -> Frames:
    x = np.load(folder / "x.npy", mmap_mode="r")
    return Frames(x, np.load(folder / "n_frames.npy"), np.load(folder / "clip_ids.npy"))
