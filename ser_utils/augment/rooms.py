"""Impulse responses of a few rooms, computed by the image source method and kept for the life of the process.

The rooms are shoeboxes after Allen & Berkley 1979 (doi:10.1121/1.382599), computed with pyroomacoustics (Scheibler et
al. 2018, doi:10.1109/ICASSP.2018.8461310).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ser_utils import study

N_ROOMS = 8
SEED = 20240  # of the rooms: another seed builds other rooms
WALL_M = 0.5  # nobody speaks or listens closer to a wall


@dataclass(frozen=True)
class Room:
    """One shoebox with a speaker and a microphone in it.

    Attributes
    ----------
    size_m, source_m, microphone_m : tuple of 3 floats
        Length, width and height; places inside. Metres.
    rt60_s : float
        Reverberation time that the walls are made for by Sabine's formula, seconds. The simulated decay is slower in
        dull rooms, where the formula does not hold: up to 1.4 times.
    """

    size_m: tuple[float, float, float]
    source_m: tuple[float, float, float]
    microphone_m: tuple[float, float, float]
    rt60_s: float

    @property
    def distance_m(self) -> float:
        """Distance between mouth and microphone, metres."""
        return float(np.linalg.norm(np.subtract(self.source_m, self.microphone_m)))


def _build() -> tuple[Room, ...]:
    """The rooms, from the dullest and smallest to the most reverberant and largest."""
    rng = np.random.default_rng(SEED)
    made = []
    for step in np.linspace(0, 1, N_ROOMS):
        size = np.array([3.0, 2.5, 2.4]) + step * np.array([4.0, 3.5, 0.8]) + rng.uniform(0, 0.5, 3)
        places = [rng.uniform(WALL_M, size - WALL_M) for _ in range(2)]
        places = [np.append(place[:2], rng.uniform(1.0, 1.8)) for place in places]
        numbers = [tuple(float(value) for value in np.round(row, 2)) for row in (size, *places)]
        made.append(Room(*numbers, rt60_s=round(0.15 + 0.35 * float(step), 2)))
    return tuple(made)


ROOMS = _build()


@functools.cache
def impulse_response(room: int, *, sr: int) -> np.ndarray:
    """Response from the speaker to the microphone, beginning at the direct sound.

    Parameters
    ----------
    room : int
        Number in :data:`ROOMS`.
    sr : int
        Sampling rate, Hz.

    Returns
    -------
    np.ndarray [shape=(n_taps,), dtype=float32]
        Sample 0 is the direct sound and the largest value, 1; read-only.

    Raises
    ------
    study.UserError
        When there is no such room.

    Examples
    --------
    >>> response = impulse_response(0, sr=16000)
    >>> float(response[0]), bool(abs(response).max() <= 1)
    (1.0, True)
    """
    if not 0 <= room < len(ROOMS):
        raise study.UserError(f"room {room} is not one of 0 … {len(ROOMS) - 1}; use one of these")
    response = _simulate(ROOMS[room], sr)
    peak = int(np.abs(response).argmax())
    response = (response[peak:] / response[peak]).astype(np.float32)
    response.setflags(write=False)
    return response


def _simulate(room: Room, sr: int) -> np.ndarray:
    import pyroomacoustics as pra

    absorption, max_order = pra.inverse_sabine(room.rt60_s, list(room.size_m))
    threads = pra.constants.get("num_threads")
    pra.constants.set("num_threads", 1)  # sums over another number of threads end in other last bits
    try:
        box = pra.ShoeBox(list(room.size_m), fs=sr, materials=pra.Material(absorption), max_order=max_order)
        box.add_source(list(room.source_m))
        box.add_microphone(list(room.microphone_m))
        box.compute_rir()
    finally:
        pra.constants.set("num_threads", threads)
    return box.rir[0][0]
