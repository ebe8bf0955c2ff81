"""From files to a table of emotions, through batches of pieces."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_utils import features, study
from ser_utils.features import Frames
from ser_utils.predicting import sound
from ser_utils.predicting.files import shown
from ser_utils.saved import SavedModel

COLUMNS = ("file", "start_s", "end_s", "emotion", "probability")
BATCH = 32  # pieces
SILENCE = ""  # what stands for the emotion of a window without sound


def predict(
    files: Sequence[Path],
    model: SavedModel,
    *,
    window_s: float | None = None,
    hop_s: float | None = None,
    denoise: Callable[..., np.ndarray] | None = None,
    watch: Callable[[float], None] = lambda done: None,
) -> tuple[pd.DataFrame, list[str]]:
    """Emotions of sound files.

    Parameters
    ----------
    files : sequence of Path
    model : SavedModel
    window_s, hop_s : float, optional
        See :func:`sound.pieces`.
    denoise : callable, optional
        ``denoise(y, sr=…) → y``; takes each piece before its features are computed.
    watch : callable
        Told how many files are done, parts of one included.

    Returns
    -------
    table : pd.DataFrame
        ``file, start_s, end_s, emotion, probability, p_<emotion>…``, one row for each utterance or window. A window
        without sound has no emotion, and no probability.
    refused : list of str
        One sentence for each file that could not be heard, or not to its end.

    Raises
    ------
    study.UserError
        For a window or a hop that cannot be.
    """
    check_windows(model, window_s, hop_s)
    refused: list[str] = []
    heard = _heard(files, model, refused, denoise, watch, window_s=window_s, hop_s=hop_s)
    rows: list[dict[str, Any]] = []
    while batch := list(itertools.islice(heard, BATCH)):
        rows += _answers(batch, model)
    watch(len(files))
    table = pd.DataFrame(rows, columns=[*COLUMNS, *(f"p_{label}" for label in model.labels)])
    return _without_silent(table, refused), refused


def hear(
    y: np.ndarray, model: SavedModel, *, denoise: Callable[..., np.ndarray] | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Emotions of sound that is in memory, as :func:`predict` tells them of a file.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono, at ``model.spec.sr``.
    model : SavedModel
    denoise : callable, optional
        As in :func:`predict`.

    Returns
    -------
    table : pd.DataFrame
        ``start_s, end_s, emotion, probability, p_<emotion>…``; a window without sound has no emotion.
    heard : np.ndarray [shape=(n_samples,)]
        What came out of the denoiser; of overlapping windows, the later one.
    """
    heard, batch = y.copy(), []
    for piece in sound.cut(y, sr=model.spec.sr, max_s=model.spec.max_s):
        clean, found = _features(piece, model, denoise)
        start = round(piece.start_s * model.spec.sr)
        heard[start : start + len(clean)] = clean
        batch.append((Path(), piece, found))
    rows = [row for i in range(0, len(batch), BATCH) for row in _answers(batch[i : i + BATCH], model)]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *(f"p_{label}" for label in model.labels)])
    return table.drop(columns="file"), heard


def check_windows(model: SavedModel, window_s: float | None, hop_s: float | None) -> None:
    """Refuse windows that the net cannot hear at once, or that leave gaps.

    Raises
    ------
    study.UserError
    """
    longest, shortest = model.spec.max_s, sound.SHORTEST_S
    if window_s is not None and not shortest <= window_s <= longest:
        raise study.UserError(
            f"a window of {window_s:g} s does not fit {model.name}; use {shortest:g} to {longest:g} s"
        )
    if hop_s is not None and not 0.01 <= hop_s <= (window_s or longest):
        raise study.UserError(
            f"a hop of {hop_s:g} s does not fit windows of {window_s or longest:g} s; use 0.01 s up to a whole window"
        )


def _heard(
    files: Sequence[Path],
    model: SavedModel,
    refused: list[str],
    denoise: Callable[..., np.ndarray] | None,
    watch: Callable[[float], None],
    **windows: float | None,
) -> Iterator[tuple[Path, sound.Piece, tuple[np.ndarray, int] | None]]:
    """Each piece with its features; None where it is silent."""
    for i, file in enumerate(files):
        watch(i)
        for piece in _readable(file, refused, sr=model.spec.sr, max_s=model.spec.max_s, **windows):
            yield file, piece, _features(piece, model, denoise)[1]
            watch(i + np.nan_to_num(piece.share))


def _features(
    piece: sound.Piece, model: SavedModel, denoise: Callable[..., np.ndarray] | None
) -> tuple[np.ndarray, tuple[np.ndarray, int] | None]:
    """A piece as the net hears it, and its features; None where it is silent."""
    y = piece.y
    if denoise is not None and not piece.silent:
        y = denoise(y, sr=model.spec.sr)
    return y, None if sound.is_silent(y) else features.frames(y, model.spec)


def _readable(file: Path, refused: list[str], **how: Any) -> Iterator[sound.Piece]:
    try:
        yield from sound.pieces(file, **how)
    except ValueError as error:
        refused.append(f"{shown(file)}: {error}")
    except OSError as error:
        refused.append(f"{shown(file)}: cannot be read ({error.strerror})")


def _answers(
    batch: list[tuple[Path, sound.Piece, tuple[np.ndarray, int] | None]], model: SavedModel
) -> list[dict[str, Any]]:
    loud = [found for _, _, found in batch if found is not None]
    probabilities = iter(())
    if loud:
        x, n_frames = zip(*loud, strict=True)
        probabilities = iter(model.predict(Frames(np.stack(x), np.array(n_frames), np.arange(len(x)).astype(str))))
    rows = []
    for file, piece, found in batch:
        row = {"file": shown(file), "start_s": piece.start_s, "end_s": piece.end_s, "emotion": SILENCE}
        if found is not None:
            p = next(probabilities)
            row |= {"emotion": model.labels[int(p.argmax())], "probability": float(p.max())}
            row |= {f"p_{label}": float(value) for label, value in zip(model.labels, p, strict=True)}
        rows.append(row)
    return rows


def _without_silent(table: pd.DataFrame, refused: list[str]) -> pd.DataFrame:
    """Refuse files in which nothing was heard."""
    nothing = (table["emotion"] == SILENCE).groupby(table["file"], sort=False).transform("all")
    refused += [
        f"{file}: is silent: its peak is below -60 dB of full scale" for file in table["file"][nothing].unique()
    ]
    return table[~nothing].reset_index(drop=True)


def save(table: pd.DataFrame, file: Path) -> None:
    """Write a table of :func:`predict` as CSV; a killed run leaves no half of it."""
    with study.atomic(file) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n", encoding="utf-8")
