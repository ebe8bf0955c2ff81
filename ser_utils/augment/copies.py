"""Augmented copies of training clips: a table of what to render, and their frame features.

A copy names its parent, so that the leak gate refuses the copy of a test clip, and its noise clip.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import audio, features, study
from ser_utils.augment.waveform import NOISE_ID, Chain, Recipe, replay
from ser_utils.features import store


def copies(
    manifest: pd.DataFrame,
    chains: Sequence[str | Chain],
    *,
    n: int,
    seed: int,
    sr: int = audio.SAMPLE_RATE,
    noises: Collection[str] = (),
) -> pd.DataFrame:
    """`n` augmented copies of every clip with every augmentation, drawn but not yet rendered.

    Parameters
    ----------
    manifest : pd.DataFrame
        Clips to copy: ``clip_id`` and anything else, which is kept: a copy has its parent's labels, file and hash.
    chains : sequence of str or Chain
        Names of augmentations, or chains of several.
    n : int
        Copies per clip and chain, 1 or more.
    seed : int
    sr : int
        Rate at which they will be rendered, Hz: that of the features.
    noises : collection of str
        Ids of the noise clips that ``background`` chooses from: training noises only.

    Returns
    -------
    pd.DataFrame
        One row per copy, with the columns of `manifest` and: ``clip_id``, ``<parent>~<name><number>``; ``parent``;
        ``augmentation``; ``recipe``, what was drawn, as JSON; ``noise_id``, empty where there is none.

    Raises
    ------
    study.UserError
        For a clip that is a copy itself, two chains of one name, or `n` below 1.

    Examples
    --------
    >>> table = copies(pd.DataFrame({"clip_id": ["a", "b"], "emotion": ["sad", "happy"]}), ["noise"], n=2, seed=0)
    >>> table["clip_id"].tolist(), table["parent"].tolist()
    (['a~noise0', 'b~noise0', 'a~noise1', 'b~noise1'], ['a', 'b', 'a', 'b'])
    """
    wanted = [Chain.of(chain) if isinstance(chain, str) else chain for chain in chains]
    names = [chain.name for chain in wanted]
    again = manifest.loc[manifest["clip_id"].str.contains("~"), "clip_id"]
    if len(again):
        raise study.UserError(f"clip '{again.iloc[0]}' is an augmented copy; copy originals only")
    if n < 1 or not names or len(set(names)) < len(names):
        raise study.UserError(f"n {n} must be 1 or more, and chains ({', '.join(names)}) at least one, each named once")
    draw = functools.partial(Chain.draw, seed=seed, sr=sr, noises=noises)
    rows = [_copied(manifest, chain, f"{chain.name}{k}", draw) for chain in wanted for k in range(n)]
    return pd.concat(rows, ignore_index=True)


def _copied(manifest: pd.DataFrame, chain: Chain, suffix: str, draw: Callable[..., Recipe]) -> pd.DataFrame:
    ids = manifest["clip_id"] + f"~{suffix}"
    recipes = [draw(chain, clip_id=clip_id) for clip_id in ids]
    used = [next((p[NOISE_ID] for p in recipe.values() if NOISE_ID in p), "") for recipe in recipes]
    return manifest.assign(
        parent=manifest["clip_id"],
        clip_id=ids,
        augmentation=chain.name,
        recipe=[json.dumps(recipe) for recipe in recipes],
        noise_id=used,
    )


def with_originals(table: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Originals and copies in one table, as the leak gate takes it: an original is its own parent and holds no noise.

    Examples
    --------
    >>> manifest = pd.DataFrame({"clip_id": ["a"]})
    >>> with_originals(copies(manifest, ["gain"], n=1, seed=0), manifest)[["clip_id", "parent"]].values.tolist()
    [['a', 'a'], ['a~gain0', 'a']]
    """
    nothing = {"augmentation": "", "recipe": "{}", "noise_id": ""}
    return pd.concat([manifest.assign(parent=manifest["clip_id"], **nothing), table], ignore_index=True)


def augmented_frames(
    table: pd.DataFrame,
    root: Path,
    spec: features.FrameSpec,
    *,
    cache: Path,
    noises: Mapping[str, Path] | None = None,
) -> features.Frames:
    """Frame features of augmented copies, from the cache when their content is there.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`copies`; order is kept.
    root : Path
        Folder that the paths are relative to.
    spec : FrameSpec
    cache : Path
        Folder for the artefact.
    noises : mapping, optional
        Id → file of the noise clips.

    Returns
    -------
    Frames
        ``x`` is mapped from the disk and cannot be written to.

    Raises
    ------
    study.UserError
        When a file is gone, altered or cannot be decoded, or a noise clip is missing.
    """
    noises = {key: noises[key] for key in sorted(set(table["noise_id"]) - {""}) if noises and key in noises}
    columns = ["clip_id", "sha256", "recipe"]
    key = {
        "spec": asdict(spec),
        "code": study.code_version("augment"),
        "versions": study.versions(*_PACKAGES) | audio.decoders(),
        "clips": hashlib.sha256("\n".join(table[columns].agg("\t".join, axis=1)).encode()).hexdigest(),
        "noises": {name: study.sha256(Path(file)) for name, file in noises.items()},
    }
    work = functools.partial(_copy_frames, root=root, spec=spec, noises=noises)

    items = list(zip(table["path"], table["sha256"], table["recipe"], strict=True))
    return study.cached(
        cache,
        key,
        lambda: study.imap(work, items, desc="augmented copies"),
        save=functools.partial(_save, clip_ids=table["clip_id"].to_numpy(dtype=str), spec=spec),
        load=_load,
    )


_PACKAGES = ("audiomentations", "librosa", "numpy", "pyroomacoustics", "python-stretch", "scipy")


def _copy_frames(
    item: tuple[str, str, str], *, root: Path, spec: features.FrameSpec, noises: Mapping[str, Path]
) -> tuple[np.ndarray, int]:
    path, expected, recipe = item
    file = root / path
    if not file.is_file() or study.sha256(file) != expected:
        raise study.UserError(
            f"{file}: gone or altered since the manifest was built; restore it, or run again to check it anew"
        )
    y = replay(audio.load(file, sr=spec.sr), json.loads(recipe), sr=spec.sr, noises=noises)
    return features.frames(y, spec)


def _save(
    results: Iterator[tuple[np.ndarray, int]], folder: Path, *, clip_ids: np.ndarray, spec: features.FrameSpec
) -> None:
    n_frames: list[int] = []

    def rows() -> Iterator[np.ndarray]:
        for x, valid in results:
            n_frames.append(valid)
            yield x

    store.write_rows(folder / "x.npy", rows(), shape=(len(clip_ids), spec.max_frames, len(spec.columns)))
    np.save(folder / "n_frames.npy", np.array(n_frames, dtype=np.int32))
    np.save(folder / "clip_ids.npy", clip_ids)


def _load(folder: Path) -> features.Frames:
    x = np.load(folder / "x.npy", mmap_mode="r")
    return features.Frames(x, np.load(folder / "n_frames.npy"), np.load(folder / "clip_ids.npy"))
