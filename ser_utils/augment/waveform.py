"""Augmenting one clip: draw the parameters, render the sound.

A draw depends on the seed, the clip and the name of the augmentation alone, so that any order and any number of
processes give the same sound, and drawing is apart from rendering, so that a drawn recipe can be shown, stored and
replayed.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ser_utils import audio, study
from ser_utils.augment.catalogue import AUGMENTATIONS, Augmentation, Range

Noises = Mapping[str, np.ndarray | Path | str]  # id of a noise clip → its samples at the clip's rate, or its file
Recipe = dict[str, dict[str, Any]]  # augmentation → drawn parameters, in the order of rendering
NOISE_ID = "noise_id"  # parameter that names a noise clip; all others are numbers
SCALED = "scaled_db"  # what apply tells beside the parameters


# --- one clip ---------------------------------------------------------------------------------------------------


def apply(
    y: np.ndarray, name: str, *, sr: int, seed: int, clip_id: str, noises: Noises | None = None, **ranges: Any
) -> tuple[np.ndarray, dict[str, Any]]:
    """Draw for one clip and render.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono, floating point, finite, at least 1 sample.
    name : str
        One of :data:`AUGMENTATIONS`.
    sr : int
        Hz.
    seed : int
    clip_id : str
        The same seed, clip and name give the same bits, whatever was drawn before.
    noises : mapping, optional
        Noise clips for ``background``: id → samples at `sr`, or a file.
    **ranges
        Range to draw from instead of the usual one, ``snr_db=(0, 10)``, or one value, ``snr_db=0``.

    Returns
    -------
    y_out : np.ndarray [shape=(n_samples',), dtype=float32]
        Finite and within ±1.
    drawn : dict
        The parameters, which :func:`render` takes, and ``scaled_db``: below 0 where the sound was scaled down because
        it went beyond ±1.

    Raises
    ------
    study.UserError
        For an unknown name, a value outside its range, and sound that is not mono, floating, finite and there.

    Examples
    --------
    >>> y = 0.1 * np.sin(np.arange(16000) / 10).astype(np.float32)
    >>> y_out, drawn = apply(y, "gain", sr=16000, seed=0, clip_id="a", gain_db=-6)
    >>> drawn, round(float(y_out.max()), 3)
    ({'gain_db': -6.0, 'scaled_db': 0.0}, 0.05)
    """
    parameters = draw(name, clip_rng(seed, clip_id, name), sr=sr, noises=noises or (), **ranges)
    y_out, scaled_db = _render(y, name, parameters, sr, noises)
    return y_out, parameters | {SCALED: scaled_db}


def draw(
    name: str,
    rng: np.random.Generator,
    *,
    sr: int = audio.SAMPLE_RATE,
    noises: Collection[str] = (),
    **ranges: Any,
) -> dict[str, Any]:
    """Parameters of one augmentation.

    Parameters
    ----------
    sr : int
        Rate of the sound to change, Hz: the usual range of a cutoff is lower where the rate is.
    noises : collection of str
        Ids of the noise clips that ``background`` chooses from.

    Examples
    --------
    >>> draw("shift", np.random.default_rng(0), shift_s=0.1)
    {'shift_s': 0.1}
    """
    augmentation = _known(name)
    for parameter in sorted(set(ranges) - set(augmentation.parameters)):
        raise study.UserError(f"{name} has no parameter '{parameter}'; it has {', '.join(augmentation.parameters)}")
    drawn: dict[str, Any] = {}
    for parameter, usual in augmentation.parameters.items():
        low, high = _ends(name, parameter, ranges.get(parameter, usual.ends(sr)), usual)
        drawn[parameter] = usual.draw(rng, low, high)
    if augmentation.needs_noises:
        if not noises:
            raise study.UserError(f"{name} needs noise clips: give noises, a mapping from their ids to sound or files")
        drawn[NOISE_ID] = sorted(noises)[int(rng.integers(len(noises)))]
    return drawn


def render(
    y: np.ndarray, name: str, parameters: Mapping[str, Any], *, sr: int, noises: Noises | None = None
) -> np.ndarray:
    """Change a waveform with drawn parameters; see :func:`apply`.

    Examples
    --------
    >>> len(render(np.zeros(16000, dtype=np.float32), "speed", {"rate": 2.0}, sr=16000))
    8000
    """
    return _render(y, name, parameters, sr, noises)[0]


def replay(y: np.ndarray, recipe: Recipe, *, sr: int, noises: Noises | None = None) -> np.ndarray:
    """Change a waveform with what a :class:`Chain` drew, one augmentation after the other.

    Examples
    --------
    >>> recipe = {"gain": {"gain_db": -6.0}, "speed": {"rate": 2.0}}
    >>> len(replay(np.zeros(16000, dtype=np.float32), recipe, sr=16000))
    8000
    """
    y, _ = _limited(audio.checked(y))
    for name, parameters in recipe.items():
        y = render(y, name, parameters, sr=sr, noises=noises)
    return y


@dataclass(frozen=True)
class Chain:
    """Several augmentations, one after the other, each with its probability.

    Attributes
    ----------
    name : str
        Part of the ids of copies.
    steps : tuple of (str, float)
        Augmentation and probability, in the order of rendering.
    ranges : mapping
        Augmentation → parameter → range to draw from instead of the usual one.

    Examples
    --------
    >>> chain = Chain("both", (("gain", 1.0), ("shift", 0.0)), {"gain": {"gain_db": -6}})
    >>> chain.draw(seed=0, clip_id="a")
    {'gain': {'gain_db': -6.0}}
    """

    name: str
    steps: tuple[tuple[str, float], ...]
    ranges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [_known(name).name for name, _ in self.steps]
        if not self.name or "~" in self.name or len(set(names)) < len(names):
            raise study.UserError(f"chain '{self.name}' needs a name without ~, and each augmentation at most once")
        for name, probability in self.steps:
            if not 0 <= probability <= 1:
                raise study.UserError(f"chain '{self.name}': probability {probability} of {name} must lie in 0 … 1")
        for name in sorted(set(self.ranges) - set(names)):
            raise study.UserError(f"chain '{self.name}' has ranges for {name}, which is none of its steps")

    @classmethod
    def of(cls, name: str) -> Chain:
        """The chain of one augmentation that is always applied."""
        return cls(name, ((name, 1.0),))

    def draw(self, *, seed: int, clip_id: str, sr: int = audio.SAMPLE_RATE, noises: Collection[str] = ()) -> Recipe:
        """What is done to one clip: nothing at all is possible where every probability is below 1."""
        recipe: Recipe = {}
        for name, probability in self.steps:
            if clip_rng(seed, clip_id, f"{name} or not").random() < probability:
                ranges = self.ranges.get(name, {})
                recipe[name] = draw(name, clip_rng(seed, clip_id, name), sr=sr, noises=noises, **ranges)
        return recipe

    def apply(
        self, y: np.ndarray, *, sr: int, seed: int, clip_id: str, noises: Noises | None = None
    ) -> tuple[np.ndarray, Recipe]:
        """Draw for one clip and render; see :func:`apply`, each step tells its ``scaled_db``."""
        recipe = self.draw(seed=seed, clip_id=clip_id, sr=sr, noises=noises or ())
        y = replay(y, {}, sr=sr)
        for name, parameters in recipe.items():
            y, parameters[SCALED] = _render(y, name, parameters, sr, noises)
        return y, recipe


# --- draws ------------------------------------------------------------------------------------------------------


def clip_rng(seed: int, clip_id: str, what: str) -> np.random.Generator:
    """Random numbers for one purpose and clip, whatever was drawn before and in whatever process."""
    key = hashlib.sha256(f"{seed}\n{clip_id}\n{what}".encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))


def _known(name: str) -> Augmentation:
    if name not in AUGMENTATIONS:
        raise study.UserError(f"augmentation '{name}' is unknown; use one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]


def _ends(name: str, parameter: str, given: Any, usual: Range) -> tuple[float, float]:
    ends = tuple(given) if isinstance(given, list | tuple) else (given, given)
    if len(ends) != 2 or not all(_is_number(end) for end in ends) or ends[0] > ends[1]:
        raise study.UserError(f"{name}: {parameter} {given} must be one number, or the two ends of a range that rises")
    for end in ends:
        _check(name, parameter, end, usual)
    return ends


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _check(name: str, parameter: str, value: Any, usual: Range) -> None:
    whole = usual.scale != "whole" or (_is_number(value) and float(value).is_integer())
    if not _is_number(value) or not whole or not usual.least <= value <= usual.most:
        kind = "a whole number" if usual.scale == "whole" else "a number"
        raise study.UserError(
            f"{name}: {parameter} {value} must be {kind} from {usual.least:g} to {usual.most:g} {usual.unit}"
        )


# --- sound ------------------------------------------------------------------------------------------------------


def _render(
    y: np.ndarray, name: str, parameters: Mapping[str, Any], sr: int, noises: Noises | None
) -> tuple[np.ndarray, float]:
    """The changed sound, and by how many dB it was scaled down to stay within ±1."""
    augmentation = _known(name)
    extra = {"noise": _noise(str(parameters.get(NOISE_ID)), noises, sr)} if augmentation.needs_noises else {}
    values = {key: value for key, value in parameters.items() if key not in (SCALED, NOISE_ID)}
    if set(values) != set(augmentation.parameters):
        raise study.UserError(
            f"{name} takes {', '.join(augmentation.parameters)}, not {', '.join(values) or 'nothing'}"
        )
    for parameter, value in values.items():
        usual = augmentation.parameters[parameter]
        _check(name, parameter, value, usual)
        values[parameter] = int(value) if usual.scale == "whole" else float(value)
    loud, before_db = _limited(audio.checked(y))  # transforms overflow on sound far beyond full scale
    y_out, after_db = _limited(augmentation.change(loud, sr=sr, **values, **extra))
    return y_out, before_db + after_db


def _limited(y: np.ndarray) -> tuple[np.ndarray, float]:
    peak = float(np.abs(y).max())
    if peak <= 1:
        return y, 0.0
    return np.clip(y / np.float32(peak), -1, 1), -20 * math.log10(peak)


def _noise(noise_id: str, noises: Noises | None, sr: int) -> np.ndarray:
    if not noises or noise_id not in noises:
        raise study.UserError(f"noise clip '{noise_id}' is not among the {len(noises or ())} given; add it to noises")
    given = noises[noise_id]
    found = (
        audio.checked(given, f"noise clip '{noise_id}'") if isinstance(given, np.ndarray) else _loaded(str(given), sr)
    )
    if not found.any():
        raise study.UserError(f"noise clip '{noise_id}' is silent: it has no level to set; leave it out")
    return found


@functools.lru_cache(maxsize=64)  # a noise clip serves many clips: 64 of 5 s hold 20 MB
def _loaded(file: str, sr: int) -> np.ndarray:
    return audio.load(file, sr=sr)
