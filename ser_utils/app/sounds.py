"""Sound that comes in and goes out: any file within limits, noises to add, levels, wav and examples."""

from __future__ import annotations

import functools
import io
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from ser_utils import audio, predicting, study
from ser_utils.corpora import demo, demo_noise

RATE = audio.SAMPLE_RATE
MAX_MB = 20
MAX_S = 60.0
SPEECH_DB = -50.0  # dB of full scale: 20 ms frames above it may be speech
SOFT_DB = -57.0  # and above this one, where they stand out
RISE_DB = 20.0  # of the quietest tenth of the recording, by so much
SPEECH_S = 0.2  # of them; less is no speech
NO_NOISE = "none"
NOISES = (NO_NOISE, *demo_noise.CLASSES[:-1])  # babble takes a synthesiser, the others a few milliseconds


@dataclass(frozen=True)
class Sound:
    """A recording in memory: its name, and its samples [shape=(n_samples,), dtype=float32] at :data:`RATE`, mono."""

    name: str
    y: np.ndarray = field(repr=False)

    @property
    def seconds(self) -> float:
        return len(self.y) / RATE


def read(path: Path | str, *, name: str = "") -> Sound:
    """A sound file of any format; what it holds counts, not what its name says.

    Parameters
    ----------
    path : path
    name : str
        What to call it; default its own name.

    Raises
    ------
    study.UserError
        One sentence for a file that is too large, too long, too short, damaged or no sound.
    """
    path = Path(path)
    name = name or path.name
    try:
        size = path.stat().st_size / 2**20
        if size > MAX_MB:
            raise study.UserError(f"{name} has {size:.0f} MB, more than {MAX_MB} MB; {_ELSEWHERE}")
        piece, *more = predicting.pieces(path, sr=RATE, max_s=MAX_S / 2)
    except ValueError as error:
        raise study.UserError(f"{name}: {error}; record again, or take another file") from error
    except OSError as error:
        raise study.UserError(
            f"{name} cannot be read ({error.strerror}); record again, or take another file"
        ) from error
    if more:
        raise study.UserError(f"{name} lasts longer than {MAX_S:.0f} s; {_ELSEWHERE}")
    return Sound(name, piece.y)


_ELSEWHERE = "cut it, or ask: python -m ser_utils predict FILE"


# --- levels -----------------------------------------------------------------------------------------------------


def speaks(y: np.ndarray) -> bool:
    """Whether a signal at :data:`RATE` is loud enough, for long enough, to be speech: a gate on energy, which a fan
    passes as well as a voice.

    Soft speech counts where it stands out of the quiet around it: 3 % of the clips of RAVDESS never rise above −50 dB.

    Examples
    --------
    >>> speaks(np.zeros(16000)), speaks(np.tile([0.1, -0.1], 8000))
    (False, True)
    """
    if len(y) < SPEECH_S * RATE:
        return False
    power, _ = audio.activity(y - np.median(y), sr=RATE)  # an offset is no sound
    least = np.quantile(power, 0.1) * 10 ** (RISE_DB / 10)
    limit = np.clip(least, 10 ** (SOFT_DB / 10), 10 ** (SPEECH_DB / 10))
    return bool((power > limit).sum() * audio.FRAME_S >= SPEECH_S)


def peak_db(y: np.ndarray) -> float:
    """Greatest sample in dB of full scale, −120 … 0.

    Examples
    --------
    >>> peak_db(np.array([0.1, -1.0]))
    0.0
    """
    return 20 * math.log10(max(float(np.abs(y).max(initial=0.0)), 1e-6))


# --- noise ------------------------------------------------------------------------------------------------------


def in_noise(y: np.ndarray, noise: str, snr_db: float) -> np.ndarray:
    """Speech at :data:`RATE` in a noise of :data:`NOISES`, always the same; see :func:`audio.mix_at_snr`."""
    if noise == NO_NOISE:
        return y
    return audio.mix_at_snr(y, _noise(noise), snr_db, sr=RATE, rng=np.random.default_rng(0)).y


@functools.cache
def _noise(name: str) -> np.ndarray:
    make = getattr(demo_noise, name)
    return np.asarray(make(np.random.default_rng([demo_noise.SEED, NOISES.index(name)])), dtype=np.float32)


# --- files ------------------------------------------------------------------------------------------------------


def wav(y: np.ndarray) -> bytes:
    """A signal at :data:`RATE` as 16-bit wav; louder than full scale, it is clipped."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(y, -1, 1), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


@functools.cache
def examples() -> dict[str, Sound]:
    """The first clip of each emotion of the embedded corpus, spoken anew: name → sound."""
    clips = demo.clips()
    picked = {clip.emotion: clip for clip in reversed(clips) if clip.speaker == clips[0].speaker}
    last = max(clips.index(clip) for clip in picked.values())
    with tempfile.TemporaryDirectory(prefix="ser-") as folder:
        demo.write(Path(folder), clips[: last + 1])
        chosen = {emotion: Path(folder) / picked[emotion].name for emotion in demo.EMOTIONS}
        return {emotion: read(file, name=f"example_{emotion}.wav") for emotion, file in chosen.items()}


def example(emotion: str) -> Sound:
    """One of :func:`examples`.

    Raises
    ------
    study.UserError
        For an unknown emotion.
    """
    if emotion not in demo.EMOTIONS:
        raise study.UserError(f"there is no example of '{emotion}'; use one of {', '.join(demo.EMOTIONS)}")
    return examples()[emotion]
