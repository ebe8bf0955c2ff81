"""Frame features: log-mel bands and cepstra as sequences, cached by content.

librosa is the reference for every value here (McFee et al. 2015, doi:10.25080/Majora-7b98e3ed-003).
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import librosa
import numpy as np
import pandas as pd

from ser_utils import audio, study

KINDS = ("log_mel", "mfcc", "log_mel+mfcc")
CLIP_MEANS = ("keep", "remove", "level")
FLOOR = 1e-10  # power below which a band counts as empty: −100 dB


@dataclass(frozen=True)
class FrameSpec:
    """Which frame features, and how.

    Parameters
    ----------
    kind : str
        ``log_mel`` (n_mels columns, dB), ``mfcc`` (3 · n_mfcc columns: MFCC, Δ, ΔΔ) or ``log_mel+mfcc``.
    sr : int
        Sampling rate, Hz.
    n_fft, hop_length : int
        Window and hop, samples.
    n_mels, n_mfcc : int
        Bands and coefficients.
    fmin, fmax : float
        Lowest and highest band edge, Hz.
    max_s : float
        Longer clips are cut evenly from both ends, seconds.
    trim_db : float
        Silence at both ends that is this far below the loudest frame is cut, dB; 0 keeps it.
    clip_mean : str
        ``keep``; ``remove`` each column's mean over the clip (cepstral mean normalisation, Atal 1974,
        doi:10.1121/1.1914702), which takes away microphone, room and much of the voice; or ``level``: remove it, and
        add one column with the level of each frame, so that loudness stays.
    """

    kind: str = "log_mel"
    sr: int = audio.SAMPLE_RATE
    n_fft: int = 512
    hop_length: int = 160
    n_mels: int = 64
    n_mfcc: int = 20
    fmin: float = 50.0
    fmax: float = 8000.0
    max_s: float = 4.0
    trim_db: float = 30.0
    clip_mean: str = "keep"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise study.UserError(f"features '{self.kind}' are unknown; use one of {', '.join(KINDS)}")
        positive = ("n_fft", "hop_length", "n_mels", "n_mfcc", "max_s")
        study.check_range(self, "above 0", lambda value: value > 0, *positive)
        study.check_range(self, "0 or more", lambda value: value >= 0, "trim_db")
        if self.clip_mean not in CLIP_MEANS:
            raise study.UserError(f"clip_mean '{self.clip_mean}' is unknown; use one of {', '.join(CLIP_MEANS)}")
        if not 0 < self.fmin < self.fmax <= self.sr / 2:
            raise study.UserError(
                f"fmin {self.fmin} Hz and fmax {self.fmax} Hz must rise and stay below {self.sr / 2} Hz"
            )

    @property
    def max_frames(self) -> int:
        """Frames of the longest clip."""
        return 1 + int(self.max_s * self.sr) // self.hop_length


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
        position = {clip: i for i, clip in enumerate(self.clip_ids)}
        return np.array([position[clip] for clip in clip_ids], dtype=np.int64)


def log_mel(y: np.ndarray, spec: FrameSpec = FrameSpec()) -> np.ndarray:
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
    power = librosa.feature.melspectrogram(
        y=y,
        sr=spec.sr,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
    )
    return (10 * np.log10(np.maximum(power, FLOOR))).T.astype(np.float32)


def mfcc(y: np.ndarray, spec: FrameSpec = FrameSpec()) -> np.ndarray:
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
    return _with_deltas(log_mel(y, spec), spec)


def _with_deltas(bands: np.ndarray, spec: FrameSpec) -> np.ndarray:
    static = librosa.feature.mfcc(S=bands.T, n_mfcc=spec.n_mfcc)
    parts = [static] + [librosa.feature.delta(static, order=order, mode="nearest") for order in (1, 2)]
    return np.concatenate(parts).T.astype(np.float32)


def _both(y: np.ndarray, spec: FrameSpec) -> np.ndarray:
    bands = log_mel(y, spec)
    return np.concatenate([bands, _with_deltas(bands, spec)], axis=1)


_COMPUTE = dict(zip(KINDS, (log_mel, mfcc, _both), strict=True))


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
    # ΔΔ needs 9 frames: a shorter clip is padded, and its padding stays masked
    shortest = 9 * spec.hop_length
    n_frames = 1 + len(y) // spec.hop_length
    values = _COMPUTE[spec.kind](audio.fit_length(y, shortest)[0] if len(y) < shortest else y, spec)[:n_frames]
    values = _normalise(values, y, spec)
    return np.pad(values, ((0, spec.max_frames - n_frames), (0, 0))), n_frames


def _normalise(values: np.ndarray, y: np.ndarray, spec: FrameSpec) -> np.ndarray:
    if spec.clip_mean == "keep":
        return values
    centred = values - values.mean(axis=0)
    if spec.clip_mean == "remove":
        return centred
    power = librosa.feature.rms(y=y, frame_length=spec.n_fft, hop_length=spec.hop_length)[0, : len(values)] ** 2
    level = 10 * np.log10(np.maximum(power, FLOOR)).astype(np.float32)
    return np.column_stack([centred, np.pad(level, (0, len(values) - len(level)), mode="edge")])


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

    Raises
    ------
    study.UserError
        When a file differs from the manifest, or cannot be decoded.
    """
    content = hashlib.sha256("".join(manifest["clip_id"] + manifest["sha256"]).encode()).hexdigest()
    key = {
        "spec": asdict(spec),
        "code": study.code_version("features"),
        "versions": study.versions("librosa", "numpy", "soundfile", "soxr"),
        "clips": content,
    }
    work = functools.partial(_clip_frames, root=root, spec=spec)
    corpus = manifest["corpus"].iloc[0]

    def make() -> Frames:
        items = list(zip(manifest["path"], manifest["sha256"], strict=True))
        results = study.pmap(work, items, desc=f"{spec.kind} of {corpus}")
        x, n_frames = zip(*results, strict=True)
        return Frames(np.stack(x), np.array(n_frames, dtype=np.int32), manifest["clip_id"].to_numpy(dtype=str))

    return study.cached(cache, key, make, save=_save, load=_load)


def _clip_frames(item: tuple[str, str], *, root: Path, spec: FrameSpec) -> tuple[np.ndarray, int]:
    path, expected = item
    file = root / path
    if not file.is_file():
        raise study.UserError(
            f"{file}: the manifest names this file, but it is gone; run again to check the corpus anew"
        )
    if study.sha256(file) != expected:
        raise study.UserError(
            f"{file}: altered since the manifest was built; restore it, or run again to check it anew"
        )
    return frames(audio.load(file, sr=spec.sr), spec)


def _save(frames_: Frames, folder: Path) -> None:
    for name in ("x", "n_frames", "clip_ids"):
        np.save(folder / f"{name}.npy", getattr(frames_, name))


def _load(folder: Path) -> Frames:
    return Frames(*(np.load(folder / f"{name}.npy") for name in ("x", "n_frames", "clip_ids")))
