"""Speech and noise to learn denoising from: crops of clips, remixed anew in every batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ser_utils import audio, study
from ser_utils.denoise.blocks import RATE

SNR_DB = (-5.0, 20.0)  # of the remixed crops
LEVEL_DBFS = (-45.0, -15.0)  # active level of the speech in them: corpora differ that much


@dataclass(frozen=True)
class Pairs:
    """Clips in noise and the same clips without: what a denoiser learns from.

    Attributes
    ----------
    noisy : pd.DataFrame
        From :func:`ser_utils.noise.render` of copies of training clips: ``path, sha256, parent, gain_db``.
    noisy_root : Path
    clean : pd.DataFrame
        Manifest with the parents: ``clip_id, path, sha256, speaker``.
    clean_root : Path
    """

    noisy: pd.DataFrame = field(repr=False)
    noisy_root: Path
    clean: pd.DataFrame = field(repr=False)
    clean_root: Path

    def __post_init__(self) -> None:
        if self.noisy.empty:
            raise study.UserError("no clip is there to learn denoising from; leave speakers untested, or raise n_learn")

    @property
    def heard(self) -> np.ndarray:
        """Ids of the clips that are learnt from."""
        return np.unique(self.noisy["parent"].to_numpy(dtype=str))

    def key(self) -> str:
        """Digest of all sounds."""
        rows = self.noisy.merge(self.clean[["clip_id", "sha256"]], left_on="parent", right_on="clip_id")
        return study.digest(rows[["sha256_x", "sha256_y", "gain_db"]].astype(str).to_numpy().tolist(), length=32)

    def load(self) -> Sounds:
        """All sounds, read.

        Raises
        ------
        study.UserError
            When a file is gone, altered or cannot be decoded.
        """
        known = self.clean.set_index("clip_id")[["path", "sha256"]]
        speech, noise = [], []
        for row in self.noisy.itertuples():
            path, sha256 = known.loc[row.parent]
            gain = np.float32(10 ** (row.gain_db / 20))
            speech.append(audio.load_listed(self.clean_root / path, sha256) * gain)
            noise.append(audio.load_listed(self.noisy_root / row.path, row.sha256) - speech[-1])
        return Sounds(speech, noise)


class Sounds:
    """Speech and noise apart, remixed crop by crop.

    Parameters
    ----------
    speech, noise : list of np.ndarray [shape=(n_samples,)]

    Examples
    --------
    >>> sounds = Sounds([np.ones(100, np.float32)], [np.tile([1, -1], 50).astype(np.float32)])
    >>> [part.shape for part in sounds.draw(np.random.default_rng(0), 4, 160)]
    [(4, 160), (4, 160)]
    """

    def __init__(self, speech: list[np.ndarray], noise: list[np.ndarray]) -> None:
        self.speech = speech
        self.noise = [y for y in noise if y.any()] or noise
        self.levels = [audio.active_level_db(y, sr=RATE) for y in speech]

    def draw(self, rng: np.random.Generator, n: int, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Noisy crops and the speech in them.

        Returns
        -------
        noisy, speech : np.ndarray [shape=(n, n_samples), dtype=float32]
            Speech of one clip with the noise of any, at an SNR of :data:`SNR_DB` and a level of :data:`LEVEL_DBFS`.
        """
        speech, noise = np.zeros((2, n, n_samples), dtype=np.float32)
        for i in range(n):
            at, other = rng.integers(len(self.speech)), rng.integers(len(self.noise))
            level, snr_db = rng.uniform(*LEVEL_DBFS), rng.uniform(*SNR_DB)
            speech[i] = crop(self.speech[at], n_samples, rng) * 10 ** ((level - self.levels[at]) / 20)
            heard = crop(self.noise[other], n_samples, rng)
            noise[i] = heard * 10 ** ((level - snr_db - audio.level_db(heard)) / 20)
        return speech + noise, speech


def crop(y: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """`n_samples` of a sound from somewhere in it; zeros follow a shorter one.

    Examples
    --------
    >>> crop(np.ones(2), 3, np.random.default_rng(0)).tolist()
    [1.0, 1.0, 0.0]
    """
    start = int(rng.integers(max(0, len(y) - n_samples) + 1))
    part = y[start : start + n_samples]
    return np.pad(part, (0, n_samples - len(part)))
