"""librosa's functions, compiled once per machine.

Numba keeps what it compiled in ``$NUMBA_CACHE_DIR``. Processes that fill an empty cache side by side spoil it, and a
spoilt one ends Python with a segmentation fault: so one process fills it before others start.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ser_utils import study

COMPILE = """
import numpy as np
import librosa, librosa.beat, librosa.decompose, librosa.effects, librosa.feature, librosa.onset, librosa.sequence
y = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
librosa.effects.harmonic(y)
librosa.feature.chroma_stft(y=y, sr=16000)
librosa.feature.zero_crossing_rate(y)
librosa.yin(y, fmin=65, fmax=500, sr=16000)
"""


def once() -> None:
    """Fill ``$NUMBA_CACHE_DIR`` if no process of this environment has done so; others wait meanwhile.

    What lies there without a mark of completion may be spoilt, and is removed.

    Raises
    ------
    study.UserError
        When the folder cannot be written.
    """
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    versions = study.versions("librosa", "numba", "numpy")
    place = study.digest(sys.prefix, length=8)  # Numba finds what it compiled by the path of the source
    mark = folder / "-".join(["complete", *versions.values(), place])
    if mark.is_file():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.with_name(f"{folder.name}.lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if mark.is_file():
                return
            study.progress("compiling librosa's functions, once: half a minute")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            subprocess.run([sys.executable, "-c", COMPILE], check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
            mark.touch()
    except OSError as error:
        raise study.UserError(
            f"{folder}: {error.strerror}; set NUMBA_CACHE_DIR to a folder that can be written"
        ) from error
