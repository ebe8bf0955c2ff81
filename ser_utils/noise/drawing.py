"""Which noise file, which stretch of it, which SNR and which room a clip gets.

A draw depends on the seed, the clip and the noise alone: any order and any number of processes give the same sound. It
does not depend on the SNR or the denoiser, so that curves over SNR and pairs of denoisers are of the same noises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ser_utils import splits
from ser_utils.augment import rooms
from ser_utils.augment.waveform import clip_rng
from ser_utils.noise.conditions import ANY_ROOM, Condition
from ser_utils.noise.plans import choose
from ser_utils.splits import Fold

NO_ROOM = -1
DRAWN = ("noise_id", "noise_class", "noise_file", "snr_db", "room", "mix_seed")


def draw(
    manifest: pd.DataFrame, condition: Condition | str, plan: pd.DataFrame, *, part: str = "test", seed: int = 0
) -> pd.DataFrame:
    """Give every clip its noise; nothing is mixed yet.

    First one of the names of the condition is drawn, then one of its classes, then one file of the class, each as
    likely as the others.

    Parameters
    ----------
    manifest : pd.DataFrame
        Clips of one corpus, with ``clip_id``.
    condition : Condition or str
        Its denoiser is not looked at.
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.
    part : str
        Which noise files: ``train | validation | test``.
    seed : int

    Returns
    -------
    pd.DataFrame
        The manifest with ``condition``, ``noise_id`` (empty without noise), ``noise_class``, ``noise_file``,
        ``snr_db``, ``room`` (-1 without one) and ``mix_seed`` (draws the stretch of the noise).

    Raises
    ------
    study.UserError
        When the part has no file of that noise.
    """
    condition = condition if isinstance(condition, Condition) else Condition.parse(condition)
    names = condition.noise.split("+") if condition.noise else []
    files = [_by_class(choose(plan, name, part=part)) for name in names]
    rows = [_drawn(clip_id, condition, files, f"{condition.noise} {part}", seed) for clip_id in manifest["clip_id"]]
    drawn = pd.DataFrame(rows, columns=list(DRAWN), index=manifest.index)
    return manifest.assign(condition=str(condition.sound), **{name: drawn[name] for name in DRAWN})


def _by_class(files: pd.DataFrame) -> list[list[tuple[str, str, str]]]:
    columns = ["noise_id", "noise_class", "file"]
    ordered = files.sort_values("noise_id")[columns]
    return [list(rows.itertuples(index=False, name=None)) for _, rows in ordered.groupby("noise_class")]


def _drawn(
    clip_id: str, condition: Condition, files: list[list[list[tuple[str, str, str]]]], what: str, seed: int
) -> tuple[str, str, str, float, int, int]:
    rng = clip_rng(seed, clip_id, what)
    low, high = condition.snr_range
    mix_seed, share, any_room = int(rng.integers(2**32)), rng.random(), int(rng.integers(rooms.N_ROOMS))
    snr_db = low + share * (high - low) if low < high else low
    room = {"": NO_ROOM, ANY_ROOM: any_room}.get(condition.room)
    room = int(condition.room) if room is None else room
    if not files:
        return "", "", "", snr_db, room, mix_seed
    classes = files[rng.integers(len(files))]
    members = classes[rng.integers(len(classes))]
    return *members[rng.integers(len(members))], snr_db, room, mix_seed


def copies(
    manifest: pd.DataFrame,
    condition: Condition | str,
    plan: pd.DataFrame,
    *,
    part: str,
    n: int = 1,
    seed: int = 0,
    name: str = "noisy",
) -> pd.DataFrame:
    """`n` noisy copies of every clip to train or validate on, drawn but not yet mixed.

    Returns
    -------
    pd.DataFrame
        As from :func:`draw`, with ``clip_id`` ``<parent>~<name><number>`` and ``parent``, as the leak gate and
        :class:`ser_utils.training.Copies` take them.
    """
    made = [manifest.assign(parent=manifest["clip_id"], clip_id=manifest["clip_id"] + f"~{name}{k}") for k in range(n)]
    return draw(pd.concat(made, ignore_index=True), condition, plan, part=part, seed=seed)


def gate(fold: Fold, manifest: pd.DataFrame, heard: Mapping[str, Sequence[pd.DataFrame]]) -> None:
    """Raise when a noise file that a fold tests with is known in its training, or anything else leaks.

    Parameters
    ----------
    fold : Fold
    manifest : pd.DataFrame
        All clips of the fold, as they were recorded.
    heard : mapping
        ``train``, ``validation``, ``test`` → tables from :func:`draw` or :func:`copies`. Of each, those clips count
        that are, or are copies of, clips of that part of the fold.

    Raises
    ------
    splits.LeakError
        Naming the kind of leak and an example.
    """
    rows = [manifest.assign(parent=manifest["clip_id"], noise_id="")]
    ids = {part: [getattr(fold, part)] for part in splits.OFFICIAL}
    for part, tables in heard.items():
        for k, table in enumerate(tables):
            named = table.assign(parent=table.get("parent", table["clip_id"]), clip_id=table["clip_id"] + f"~{part}{k}")
            named = named[named["parent"].isin(getattr(fold, part))]
            rows.append(named)
            ids[part].append(named["clip_id"].to_numpy(dtype=str))
    everything = dataclasses.replace(fold, **{part: np.concatenate(parts) for part, parts in ids.items()})
    splits.check_leaks(everything, pd.concat(rows, ignore_index=True), fitted={})
