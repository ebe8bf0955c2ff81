"""How many training speakers linear models on frozen embeddings need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.pretrained.probes import Bench, Source, per_layer
from ser_utils.splits import Fold


def scarce(source: Source, layers: Sequence[str], bench: Bench, counts: Sequence[int]) -> pd.DataFrame:
    """Predictions after training on few speakers, with default settings; ``train_regime`` is ``speakers_<n>``.

    Parameters
    ----------
    source : Source
    layers : sequence of str
        Of each fold the layer, from :func:`pick`.
    bench : Bench
    counts : sequence of int
        Numbers of training speakers, see :func:`few_speakers`.
    """
    tables = source.tables(bench.manifest, bench.root, bench.profile)
    parts = [
        per_layer(few_speakers(bench, n), layers, tables, source).assign(train_regime=f"speakers_{n}") for n in counts
    ]
    return pd.concat(parts, ignore_index=True)


def training_speakers(bench: Bench) -> int:
    """How many speakers train or validate in the fold that has fewest of them."""
    who = bench.manifest.set_index("clip_id")["speaker"]
    return min(who.loc[np.concatenate([fold.train, fold.validation])].nunique() for fold in bench.folds)


def few_speakers(bench: Bench, n: int) -> Bench:
    """The bench with `n` training speakers in every fold, drawn by chance, of both genders in turn; the tests stay.

    Fewer clips train than in any other fold, so classic models keep the validation clips of these speakers, too.

    Raises
    ------
    study.UserError
        When a fold has fewer training speakers.
    """
    who = bench.manifest.set_index("clip_id")[["speaker", "gender"]]
    folds = []
    for fold in bench.folds:
        ids = np.concatenate([fold.train, fold.validation])
        speakers = who.loc[ids].drop_duplicates("speaker").set_index("speaker")["gender"]
        if not 1 <= n <= len(speakers):
            raise study.UserError(f"fold {fold.index}: {n} training speakers of {len(speakers)} cannot be drawn")
        rng = np.random.default_rng([bench.seed, fold.index, n])
        order = pd.Series(speakers.index[rng.permutation(len(speakers))])
        turn = order.groupby(order.map(speakers)).cumcount()
        kept = set(order.iloc[np.argsort(turn.to_numpy(), kind="stable")[:n]])
        train = ids[who.loc[ids, "speaker"].isin(kept)]
        folds.append(Fold(fold.index, train, train[:0], fold.test))
    return dataclasses.replace(bench, folds=folds)
