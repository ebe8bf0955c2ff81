"""Denoisers for a bench, taught by the speakers that none of its folds tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import denoise, noise
from ser_utils.denoise import Denoiser, Learnt, Pairs
from ser_utils.splits import Fold

SNR_DB = 0.0  # of the files that crops are remixed from


def teach(
    rows: pd.DataFrame,
    folds: Sequence[Fold],
    root: Path,
    plan: pd.DataFrame,
    *,
    wanted: Mapping[str, Mapping[str, int]],
    noises: Sequence[str],
    n_clips: int,
    seed: int,
    cache: Path,
    shared: bool = False,
) -> dict[str, Learnt]:
    """Train denoisers on clips that no fold tests, in noises of the training part; the gate has let them pass.

    Parameters
    ----------
    rows : pd.DataFrame
        All clips of a corpus.
    folds : sequence of Fold
        Those that are tested.
    root : Path
        Folder that the paths are relative to.
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.
    wanted, seed
        As for :func:`ser_utils.denoise.learn`.
    noises : sequence of str
        Names of noises.
    n_clips : int
        Clips to learn from at most, drawn; 0 for all.
    cache : Path
        Folder below which sounds and denoisers are kept.
    shared : bool
        Whether the split shares speakers by its nature: then only clips are kept apart.

    Returns
    -------
    dict of Learnt

    Raises
    ------
    splits.LeakError
        When a speaker of a test is among those who teach.
    study.UserError
        When nobody is left to teach, or a net or a noise is unknown.
    """
    held = np.concatenate([fold.test for fold in folds])
    left = rows[~rows["clip_id"].isin(held)]
    chosen = left.sample(min(n_clips or len(left), len(left)), random_state=seed).sort_index()
    condition = f"noise={'+'.join(noises)};snr_db={SNR_DB:g}"
    drawn = noise.copies(chosen, condition, plan, part="train", seed=seed, name="learn") if len(chosen) else chosen
    mixed = noise.render(drawn, root, cache=cache / "noise") if len(chosen) else (chosen, root)
    made = denoise.learn(wanted, Pairs(*mixed, rows, root), seed=seed, cache=cache / "denoisers")
    for fold in folds:
        for each in made.values():
            denoise.gate(fold, rows, each, allow=("speaker",) if shared else ())
    return made


def at_hand(learnt: Mapping[str, Learnt], *, gated: Sequence[str], gate_db: float) -> dict[str, Denoiser]:
    """Every denoiser that can run here, by name: those of the catalogue, those trained here, and gated ones.

    Parameters
    ----------
    learnt : mapping
        From :func:`teach`.
    gated : sequence of str
        Names of those to be gated too; those that cannot run are passed over.
    gate_db : float
        dB, see :func:`ser_utils.denoise.gated`.
    """
    found = {name: entry for name, entry in denoise.DENOISERS.items() if not entry.not_run}
    found |= {name: made.denoiser for name, made in learnt.items()}
    gates = [denoise.gated(found[name], gate_db) for name in gated if name in found]
    return found | {entry.name: entry for entry in gates}
