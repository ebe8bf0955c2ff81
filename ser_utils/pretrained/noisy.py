"""What noise leaves of linear models on frozen embeddings: trained clean, trained in noise, and behind a denoiser."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import denoise, noise, splits, study
from ser_utils.features import Table
from ser_utils.noise import Condition
from ser_utils.pretrained.probes import Bench, Source, per_layer
from ser_utils.splits import Fold

NOISY = "noisy"  # training regime with noisy copies


def thinned(bench: Bench, per_emotion: int) -> Bench:
    """The bench with the first `per_emotion` clips of every speaker in every emotion; 0 keeps all."""
    if not per_emotion:
        return bench
    rows = bench.manifest.groupby(["speaker", "emotion"], sort=False).head(per_emotion).reset_index(drop=True)
    kept = rows["clip_id"].to_numpy(dtype=str)
    folds = [
        dataclasses.replace(fold, **{part: np.intersect1d(getattr(fold, part), kept) for part in splits.OFFICIAL})
        for fold in bench.folds
    ]
    return dataclasses.replace(bench, manifest=rows, folds=folds)


def heard(bench: Bench, condition: Condition, plan: pd.DataFrame, *, part: str, name: str) -> tuple[pd.DataFrame, Path]:
    """Copies of all clips of a bench in one condition, mixed and, where it says so, denoised: manifest and its root.

    Parameters
    ----------
    bench : Bench
    condition : Condition
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.
    part : str
        Which noise files: ``train`` or ``test``.
    name : str
        Of the copies: their ids are ``<clip>~<name>0``.
    """
    derived = study.paths(bench.profile).derived
    drawn = noise.copies(bench.manifest, condition.sound, plan, part=part, seed=bench.seed, name=name)
    table, root = noise.render(drawn, bench.root, cache=derived / "noise")
    if condition.denoiser:
        table, root = denoise.apply_all(table, root, denoise.DENOISERS[condition.denoiser], cache=derived / "denoised")
    return table, root


def in_noise(
    source: Source,
    layers: Sequence[str],
    bench: Bench,
    conditions: Sequence[Condition],
    trained: Condition,
    plan: pd.DataFrame,
) -> pd.DataFrame:
    """Trained on clean clips, and on clean clips with noisy copies, then tested in every condition.

    Noise files of the tests are heard in no training: the leak gate asks.

    Parameters
    ----------
    source : Source
    layers : sequence of str
        Of each fold the layer, from :func:`pick`.
    bench : Bench
    conditions : sequence of Condition
        Of the test clips.
    trained : Condition
        Of the noisy copies, one of each training clip.
    plan : pd.DataFrame
        From :func:`ser_utils.noise.plan`.

    Returns
    -------
    pd.DataFrame
        Predictions with ``train_regime`` (``clean`` or ``noisy``) and ``condition``.
    """
    made = [heard(bench, c, plan, part="test", name=f"heard{i}x") for i, c in enumerate(conditions)]
    made.append(heard(bench, trained, plan, part="train", name="noisy"))
    tables = [source.tables(bench.manifest, bench.root, bench.profile)]
    tables += [source.tables(table, root, bench.profile) for table, root in made]
    clean = bench.manifest.assign(parent=bench.manifest["clip_id"], noise_id="")
    rows = pd.concat([clean, *(table for table, _ in made)], ignore_index=True)
    joined = {layer: _joined([table[layer] for table in tables]) for layer in dict.fromkeys(layers)}
    parts = []
    for regime in ("clean", NOISY):
        folds = [_with_copies(fold, len(conditions), noisy=regime == NOISY) for fold in bench.folds]
        both = dataclasses.replace(bench, manifest=rows, folds=folds)
        parts.append(per_layer(both, layers, joined, source).assign(train_regime=regime))
    found = pd.concat(parts, ignore_index=True)
    split = found["clip_id"].str.extract(r"^(?P<clip>.*)~heard(?P<number>\d+)x0$")
    names = dict(enumerate(map(str, conditions)))
    return found.assign(clip_id=split["clip"], condition=split["number"].astype(int).map(names))


def _with_copies(fold: Fold, n_conditions: int, *, noisy: bool) -> Fold:
    train = np.concatenate([fold.train, fold.validation])
    test = [f"{clip}~heard{i}x0" for i in range(n_conditions) for clip in fold.test]
    copies = [f"{clip}~noisy0" for clip in train] if noisy else []
    return Fold(fold.index, np.concatenate([train, np.array(copies, dtype=str)]), train[:0], np.array(test))


def _joined(tables: Sequence[Table]) -> Table:
    x = np.concatenate([np.asarray(table.x) for table in tables])
    return Table(x, tables[0].columns, np.concatenate([table.clip_ids for table in tables]))
