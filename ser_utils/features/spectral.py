"""Spectral features of one clip from one short-time Fourier transform, in float32.

Definitions and values are librosa's (McFee et al. 2015, doi:10.25080/Majora-7b98e3ed-003), the reference in the tests;
only the work is shared: one transform per clip, filters made once, products over all frames at once.
"""

from __future__ import annotations

import functools
import itertools

import librosa
import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from ser_utils.features import pitch
from ser_utils.features.spec import N_CONTRAST, FrameSpec

FLOOR = 1e-10  # power at and below which a band counts as empty: −100 dB
CROSSING = 1e-10  # samples this close to zero count as positive
ROLLOFF = 0.85  # share of the magnitude below the roll-off
DELTA_WIDTH = 9  # frames of a difference
A0_HZ = 27.5
TUNING_RANGE = (150.0, 4000.0)  # Hz
DECIBEL = np.float32(10 / np.log(10))  # NumPy's natural logarithm is several times as fast as log10


class Spectrum:
    """Short-time spectrum of a clip; features are computed when asked for, and share what they need.

    Every feature is an array [shape=(n_frames, n_columns), dtype=float32] with ``n_frames = 1 + n_samples //
    hop_length``; frame *i* is centred at sample ``i * hop_length``, and sound beyond the ends is silence.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal at ``spec.sr``, full scale ±1; any length from 1 sample.
    spec : FrameSpec

    Examples
    --------
    >>> spectrum = Spectrum(np.zeros(16000, dtype=np.float32), FrameSpec())
    >>> spectrum.log_mel.shape, round(float(spectrum.log_mel.max()), 3)
    ((101, 64), -100.0)
    """

    def __init__(self, y: np.ndarray, spec: FrameSpec) -> None:
        self.y, self.spec = np.asarray(y, dtype=np.float32), spec
        self.n_frames = 1 + len(self.y) // spec.hop_length

    @functools.cached_property
    def power(self) -> np.ndarray:
        """Squared magnitude [shape=(n_frames, 1 + n_fft // 2)]; Hann window."""
        n_fft = self.spec.n_fft
        frames = sliding_window_view(np.pad(self.y, n_fft // 2), n_fft)[:: self.spec.hop_length]
        parts = scipy.fft.rfft(frames * _hann(n_fft), axis=1, overwrite_x=True).view(np.float32)
        np.square(parts, out=parts)
        return parts[:, ::2] + parts[:, 1::2]

    @functools.cached_property
    def magnitude(self) -> np.ndarray:
        """Magnitude [shape=(n_frames, 1 + n_fft // 2)]."""
        return np.sqrt(self.power)

    @functools.cached_property
    def log_mel(self) -> np.ndarray:
        """Mel bands in dB of full scale: 10 · log10(max(power, :data:`FLOOR`)), so −100 dB at the lowest."""
        spec = self.spec
        bands = decibels(self.power @ _mel_filters(spec.sr, spec.n_fft, spec.n_mels, spec.fmin, spec.fmax))
        return np.maximum(bands, bands.max() - spec.top_db) if spec.top_db else bands

    @functools.cached_property
    def cepstra(self) -> np.ndarray:
        """Mel-frequency cepstral coefficients (Davis & Mermelstein 1980, doi:10.1109/TASSP.1980.1163420)."""
        return self.log_mel @ _cosines(self.spec.n_mels, self.spec.n_mfcc)

    @functools.cached_property
    def mfcc(self) -> np.ndarray:
        """Cepstra, first and second differences over 9 frames [shape=(n_frames, 3 * n_mfcc)]."""
        return np.concatenate([self.cepstra, delta(self.cepstra, order=1), delta(self.cepstra, order=2)], axis=1)

    @functools.cached_property
    def chroma(self) -> np.ndarray:
        """Energy per pitch class from C to B, the loudest of each frame 1."""
        tuning = self.tuning if self.spec.tuning is None else self.spec.tuning
        raw = self.power @ _chroma_filters(self.spec.sr, self.spec.n_fft, round(tuning, 2))
        loudest = raw.max(axis=1, keepdims=True)
        return raw / np.where(loudest < np.finfo(np.float32).tiny, 1, loudest)

    @functools.cached_property
    def tuning(self) -> float:
        """Deviation of the clip's partials from A = 440 Hz, semitones in [−0.5, 0.5); 0 without any partial."""
        pitches, strengths = self._partials()
        if not len(pitches):
            return 0.0
        strong = pitches[strengths >= np.median(strengths)]
        residual = np.mod(12 * np.log2(strong / A0_HZ), 1.0)
        counts, edges = np.histogram(np.where(residual >= 0.5, residual - 1, residual), np.linspace(-0.5, 0.5, 101))
        return float(edges[counts.argmax()])

    def _partials(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequency, Hz, and power of every spectral peak above a tenth of its frame's highest."""
        hz = self.spec.sr / self.spec.n_fft
        low, high = (int(np.ceil(edge / hz)) for edge in TUNING_RANGE)
        low, high = max(low, 1), min(high, self.power.shape[1] - 1)
        left, middle, right = (self.power[:, low + step : high + step] for step in (-1, 0, 1))
        limit = 0.1 * self.power.max(axis=1, keepdims=True)
        at = np.nonzero((middle > limit) & (middle > left) & (middle >= right))
        left, middle, right = left[at], middle[at], right[at]
        curve, slope = left + right - 2 * middle, (right - left) / 2
        shift = np.divide(-slope, curve, out=np.zeros_like(curve), where=np.abs(slope) < np.abs(curve))
        return (low + at[1] + shift) * hz, middle + 0.5 * slope * shift

    @functools.cached_property
    def zcr(self) -> np.ndarray:
        """Share of the frame's samples at which the sign changes; the first and last sample reach beyond the ends."""
        negative = np.pad(self.y, self.spec.n_fft // 2, mode="edge") < -CROSSING
        changes = np.concatenate([[0, 0], np.cumsum(negative[1:] != negative[:-1])])
        inside = changes[self.spec.n_fft :] - changes[1 : 1 - self.spec.n_fft]
        return (inside[:: self.spec.hop_length, None] / self.spec.n_fft).astype(np.float32)

    @functools.cached_property
    def rms(self) -> np.ndarray:
        """Root mean square of the frame, without a window."""
        total = np.cumsum(np.square(np.pad(self.y, (self.spec.n_fft // 2 + 1, self.spec.n_fft // 2)), dtype=np.float64))
        mean = (total[self.spec.n_fft :] - total[: -self.spec.n_fft])[:: self.spec.hop_length] / self.spec.n_fft
        return np.sqrt(np.maximum(mean, 0))[:, None].astype(np.float32)

    @functools.cached_property
    def level(self) -> np.ndarray:
        """Level of the frame, dB of full scale; −100 at the lowest."""
        return decibels(np.square(self.rms))

    @functools.cached_property
    def _moments(self) -> np.ndarray:
        """Mean and variance of frequency under the magnitude [shape=(n_frames, 2)]; 0 in silence."""
        hz = np.arange(self.power.shape[1]) * (self.spec.sr / self.spec.n_fft)
        sums = self.magnitude.astype(np.float64) @ np.column_stack([np.ones_like(hz), hz, hz**2])
        mass = np.where(sums[:, 0] < np.finfo(np.float32).tiny, 1, sums[:, 0])
        mean = sums[:, 1] / mass
        return np.column_stack([mean, np.maximum(sums[:, 2] / mass - mean**2, 0)])

    @functools.cached_property
    def centroid(self) -> np.ndarray:
        """Mean frequency under the magnitude, Hz; 0 in silence."""
        return self._moments[:, :1].astype(np.float32)

    @functools.cached_property
    def bandwidth(self) -> np.ndarray:
        """Standard deviation of frequency under the magnitude, Hz; 0 in silence."""
        return np.sqrt(self._moments[:, 1:]).astype(np.float32)

    @functools.cached_property
    def rolloff(self) -> np.ndarray:
        """Frequency below which 85 % of the magnitude lies, Hz."""
        total = np.cumsum(self.magnitude, axis=1)
        bins = (total >= np.float32(ROLLOFF) * total[:, -1:]).argmax(axis=1)
        return (bins[:, None] * (self.spec.sr / self.spec.n_fft)).astype(np.float32)

    @functools.cached_property
    def contrast(self) -> np.ndarray:
        """Loudest over quietest bins in octaves from 200 Hz, dB (Jiang et al. 2002, doi:10.1109/ICME.2002.1035731).

        The transform is in 32 bits: where the quietest bins hold next to nothing, a value may lie 1 dB off librosa's.
        """
        bands = [_extremes(self.magnitude[:, a:b], count) for a, b, count in _octaves(self.spec.sr, self.spec.n_fft)]
        valleys, peaks = (_within(decibels(np.column_stack(side)), 80) for side in zip(*bands, strict=True))
        return peaks - valleys

    @functools.cached_property
    def flatness(self) -> np.ndarray:
        """Geometric over arithmetic mean of the power: 1 for white noise and silence, towards 0 for tones."""
        power = np.maximum(self.power, np.float32(FLOOR))
        return (np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1))[:, None]

    @functools.cached_property
    def f0(self) -> np.ndarray:
        """Pitch in semitones above 55 Hz, 0 where unvoiced; and voicing [shape=(n_frames, 2)]."""
        f0_hz, voicing = pitch.f0(
            self.y, sr=self.spec.sr, frame_length=int(0.064 * self.spec.sr), hop_length=self.spec.hop_length
        )
        with np.errstate(invalid="ignore"):
            semitones = np.where(voicing >= pitch.VOICED, 12 * np.log2(f0_hz / 55), 0)
        return np.column_stack([semitones, voicing]).astype(np.float32)


def compute(y: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """Columns of all kinds of `spec` side by side.

    Returns
    -------
    np.ndarray [shape=(n_frames, len(spec.columns)), dtype=float32]
        Of the whole signal: ``max_s``, ``trim_db`` and ``clip_mean`` are not applied here.

    Examples
    --------
    >>> compute(np.ones(1600, dtype=np.float32), FrameSpec(kind="log_mel+zcr")).shape
    (11, 65)
    """
    spectrum = Spectrum(y, spec)
    return np.concatenate([getattr(spectrum, kind) for kind in spec.kinds], axis=1)


def decibels(power: np.ndarray) -> np.ndarray:
    """Power in dB, :data:`FLOOR` at the lowest; float32.

    Examples
    --------
    >>> decibels(np.array([0.0, 1e-3])).round().tolist()
    [-100.0, -30.0]
    """
    return DECIBEL * np.log(np.maximum(power, FLOOR, dtype=np.float32))


def delta(values: np.ndarray, *, order: int) -> np.ndarray:
    """First or second difference over 9 frames, by a least-squares parabola; the ends repeat their value.

    Parameters
    ----------
    values : np.ndarray [shape=(n_frames, n_columns)]
    order : int
        1 or 2.

    Examples
    --------
    >>> round(delta(np.arange(20.0)[:, None], order=1)[10].item(), 6)
    1.0
    """
    half = DELTA_WIDTH // 2
    at = np.arange(-half, half + 1, dtype=np.float64)
    weights = at / (at @ at) if order == 1 else 2 * (at**2 - (at**2).mean()) / ((at**2 - (at**2).mean()) ** 2).sum()
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    out = np.zeros_like(values)
    for weight, start in zip(weights.astype(values.dtype), range(DELTA_WIDTH), strict=True):
        out += weight * padded[start : start + len(values)]
    return out


def _within(values: np.ndarray, top_db: float) -> np.ndarray:
    return np.maximum(values, values.max() - top_db)


def _extremes(band: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the `count` lowest and of the `count` highest values of each row."""
    if count == 1:
        return band.min(axis=1), band.max(axis=1)
    ordered = np.partition(band, (count - 1, band.shape[1] - count), axis=1)
    return ordered[:, :count].mean(axis=1), ordered[:, -count:].mean(axis=1)


# --- what depends on the settings alone: made once per process -----------------------------------------------------


@functools.lru_cache(maxsize=16)
def _hann(n_fft: int) -> np.ndarray:
    return librosa.filters.get_window("hann", n_fft, fftbins=True).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _mel_filters(sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    filters = librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    return np.ascontiguousarray(filters.T)


@functools.lru_cache(maxsize=128)
def _chroma_filters(sr: int, n_fft: int, tuning: float) -> np.ndarray:
    return np.ascontiguousarray(librosa.filters.chroma(sr=sr, n_fft=n_fft, tuning=tuning).T)


@functools.lru_cache(maxsize=16)
def _cosines(n_mels: int, n_mfcc: int) -> np.ndarray:
    """Orthonormal cosine transform as a matrix [shape=(n_mels, n_mfcc)]."""
    matrix = scipy.fft.dct(np.eye(n_mels), axis=1, norm="ortho")[:, :n_mfcc]
    return np.ascontiguousarray(matrix, dtype=np.float32)


@functools.lru_cache(maxsize=16)
def _octaves(sr: int, n_fft: int) -> tuple[tuple[int, int, int], ...]:
    """First bin, bin after the last, and number of bins that count as extreme, of each octave band of the contrast."""
    hz = np.fft.rfftfreq(n_fft, 1 / sr)
    edges = [0.0, *(200.0 * 2**k for k in range(N_CONTRAST))]
    bands = []
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = np.flatnonzero((hz >= low) & (hz <= high))
        last = k == N_CONTRAST - 1
        start, stop = inside[0] - (k > 0), len(hz) if last else inside[-1] + 1
        bands.append((int(start), int(stop - (not last)), max(1, round(0.02 * (stop - start)))))
    return tuple(bands)
