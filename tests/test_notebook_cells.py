"""Functions that live in one cell of a notebook, on input that no corpus at hand has."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile as sf

from ser_utils import audio, study


def function(notebook: str, name: str, **namespace):
    """Function `name` of a notebook, compiled on its own with the names that it uses."""
    cells = json.loads((study.ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = (text for text in ("".join(cell["source"]) for cell in cells) if f"def {name}(" in text)
    exec(source[source.index(f"def {name}(") :], namespace)
    return namespace[name]


@pytest.mark.parametrize("n_samples", [1, 399, 400, 16000])
def test_clips_of_any_length_are_measured(tmp_path, n_samples):
    y = 0.1 * np.random.default_rng(0).standard_normal(n_samples)
    sf.write(tmp_path / "clip.wav", y, audio.SAMPLE_RATE, subtype="FLOAT")
    found = function("01_eda", "measure", np=np, audio=audio)(tmp_path / "clip.wav")
    assert found["silence_share"] == found["clipped_share"] == 0
    assert found["level_dbfs"] == pytest.approx(20 * np.log10(np.sqrt(np.mean(y**2))), abs=0.01)
