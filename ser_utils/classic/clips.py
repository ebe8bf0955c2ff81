"""Features and labels of one corpus, aligned, checked and normalised: what classic models work on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ser_utils import study
from ser_utils.features import Table, normalise

SUFFIX = {"training": "", "speaker": "+speaker_norm", "none": "+unscaled"}  # normalisation → how `features` says it


@dataclass(frozen=True)
class Clips:
    """Rows of numbers with their labels, aligned: row *i* of everything is one clip."""

    name: str  # of the corpus
    x: np.ndarray = field(repr=False)
    clips: pd.DataFrame = field(repr=False)  # clip_id, speaker, emotion, sha256 and, where there are some, sentence…
    labels: tuple[str, ...]
    features: str
    scaled: bool
    allow: tuple[str, ...]

    def rows(self, clip_ids: np.ndarray) -> np.ndarray:
        """Positions of `clip_ids`, in their order."""
        return pd.Index(self.clips["clip_id"]).get_indexer_for(clip_ids)


def prepare(
    table: Table,
    manifest: pd.DataFrame,
    labels: Sequence[str],
    *,
    features: str,
    normalisation: str,
    allow: Collection[str],
) -> Clips:
    """Features of the clips of `manifest`, in its order, checked and normalised per speaker where wanted."""
    if normalisation not in SUFFIX:
        raise study.UserError(f"normalisation '{normalisation}' is unknown; use one of {', '.join(SUFFIX)}")
    for name in sorted(set(manifest["emotion"]) - set(labels)):
        raise study.UserError(f"emotion '{name}' is not among the labels {', '.join(labels)}; add it, or leave it out")
    x = np.asarray(table.x[table.rows(manifest["clip_id"].to_numpy(dtype=str))], dtype=np.float32)
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0]
        raise study.UserError(
            f"{features} of clip {manifest['clip_id'].iloc[row]}: {table.columns[column]} is {x[row, column]}; "
            "leave the clip out, or repair the feature"
        )
    if normalisation == "speaker":
        if (manifest["speaker"] == "").any():
            raise study.UserError(
                "normalisation 'speaker' needs the speaker of every clip; use normalisation 'training'"
            )
        x = normalise.per_speaker(x, manifest["speaker"].to_numpy(dtype=str))
    return Clips(
        name=str(manifest["corpus"].iloc[0]),
        x=x,
        clips=manifest.reset_index(drop=True),
        labels=tuple(labels),
        features=features + SUFFIX[normalisation],
        scaled=normalisation != "none",
        allow=tuple(allow),
    )


def content(data: Clips) -> str:
    """Hash of everything that a fold is computed from."""
    digest = hashlib.sha256(np.ascontiguousarray(data.x).tobytes())
    for column in ("clip_id", "emotion", "speaker", "sentence", "sha256"):
        if column in data.clips:
            digest.update("\n".join(data.clips[column]).encode())
    return digest.hexdigest()
