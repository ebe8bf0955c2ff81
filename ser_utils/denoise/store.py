"""Denoising many clips in processes, each clip once: what was denoised before is read back."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import study
from ser_utils.denoise.base import Denoiser
from ser_utils.denoise.blocks import RATE


def _itself(item: np.ndarray) -> np.ndarray:
    return item


def apply_all(
    items: Iterable[Any],
    denoiser: Denoiser,
    *,
    cache: Path,
    sound: Callable[[Any], np.ndarray | tuple[np.ndarray, np.ndarray]] = _itself,
    then: Callable[[np.ndarray], Any] | None = None,
    sr: int = RATE,
    jobs: int | None = None,
) -> Iterator[Any]:
    """Denoise clips and hand them over one by one, in their order.

    Parameters
    ----------
    items : iterable
        Picklable, one per clip.
    denoiser : Denoiser
    cache : Path
        Folder of what was denoised, e.g. ``paths(profile).derived / "denoised"``. A clip is known by its samples, so
        that the same mixture is denoised once, whoever asks for it.
    sound : callable
        Item → its samples at `sr`, in the worker; for the oracle a pair, the noisy and the clean ones. By default an
        item is its samples.
    then : callable, optional
        What to make of the denoised samples in the worker, such as features, instead of handing them over.
    sr : int
        Hz.
    jobs : int, optional
        Processes.

    Yields
    ------
    np.ndarray [shape=(n_samples,), dtype=float32], or what `then` gives
        Kept with 11 bits of mantissa: 66 dB below the sample itself.

    Raises
    ------
    study.UserError
        For a full disk, and as the denoiser does.
    """
    key = denoiser.key() | {"sr": sr}
    folder = cache / denoiser.name / study.digest(key)
    if not (folder / "key.json").is_file():
        with study.atomic(folder / "key.json") as temporary:
            temporary.write_text(json.dumps(key, indent=1), encoding="utf-8")
    work = functools.partial(_one, denoiser=denoiser, folder=folder, sound=sound, then=then, sr=sr)
    return study.imap(work, items, desc=f"denoising with {denoiser.name}", jobs=jobs)


def _one(
    item: Any, *, denoiser: Denoiser, folder: Path, sound: Callable, then: Callable | None, sr: int
) -> np.ndarray | Any:
    given = sound(item)
    y, clean = given if isinstance(given, tuple) else (given, None)
    name = hashlib.sha256(b"".join(np.ascontiguousarray(part, np.float32) for part in (y, clean) if part is not None))
    file = folder / name.hexdigest()[:2] / f"{name.hexdigest()[2:32]}.npy"
    if not file.is_file():
        denoised = denoiser(y, sr=sr, clean=clean).astype(np.float16)
        with study.atomic(file) as temporary, open(temporary, "wb") as out:
            np.save(out, denoised)
    denoised = np.load(file).astype(np.float32)
    return then(denoised) if then else denoised
