"""How far the probabilities of a net can be trusted: one temperature and one threshold, from validation clips alone.

See :func:`ser_utils.evaluation.calibration.temperature` and :func:`ser_utils.evaluation.selective.threshold`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ser_utils.evaluation.calibration import scaled, temperature
from ser_utils.evaluation.selective import LEAST_CLIPS, threshold


def facts(validation: Sequence[pd.DataFrame], labels: Sequence[str]) -> dict[str, Any]:
    """What a card keeps of the validation clips of its nets.

    Parameters
    ----------
    validation : sequence of pd.DataFrame
        Of each net: ``clip_id, speaker, y_true, p_<emotion>…``, as :class:`training.FoldResult` has it.
    labels : sequence of str

    Returns
    -------
    dict
        ``temperature, threshold, coverage, risk, risk_of_all, n_clips, n_speakers``. The threshold is None where no
        coverage avoids enough wrong answers. Empty without :data:`LEAST_CLIPS` clips that all nets validated on.
    """
    table = _mean(validation, labels)
    if len(table) < LEAST_CLIPS:
        return {}
    p = table[[f"p_{label}" for label in labels]].to_numpy(dtype=np.float64)
    truth = table["y_true"].map({label: i for i, label in enumerate(labels)}).to_numpy()
    found = temperature(p, truth)
    calibrated = scaled(p, found)
    told = threshold(calibrated.max(axis=1), calibrated.argmax(axis=1) == truth)
    sizes = {"n_clips": len(table), "n_speakers": int(table["speaker"].replace("", np.nan).nunique())}
    return {"temperature": found, **told, **sizes}


def _mean(validation: Sequence[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    """Mean probabilities of the clips that every net validated on."""
    tables = [table.set_index("clip_id") for table in validation if len(table)]
    if len(tables) < max(1, len(validation)):
        return pd.DataFrame()
    common = sorted(set.intersection(*(set(table.index) for table in tables)))
    columns = [f"p_{label}" for label in labels]
    p = np.mean([table.loc[common, columns].to_numpy(dtype=np.float64) for table in tables], axis=0)
    return tables[0].loc[common, ["speaker", "y_true"]].assign(**dict(zip(columns, p.T, strict=True)))


def known(card_facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of confidence; empty for nets without validation clips, and those saved before it was kept."""
    return dict(card_facts.get("confidence", {}))
