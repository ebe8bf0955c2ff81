"""Which frame features, and how: one frozen description that functions take and that the cache keeps."""

from __future__ import annotations

from dataclasses import dataclass

from ser_utils import audio, study

CLIP_MEANS = ("keep", "remove", "level")
CHROMA = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
N_CONTRAST = 7  # octave bands of the spectral contrast
SINGLE = ("zcr", "rms", "level", "centroid", "bandwidth", "rolloff", "flatness")  # one column each
KINDS = ("log_mel", "mfcc", "chroma", "contrast", *SINGLE, "f0")


@dataclass(frozen=True)
class FrameSpec:
    """Which frame features, and how.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`, or several joined by ``+``, such as ``log_mel+mfcc``: ``log_mel`` (n_mels columns, dB),
        ``mfcc`` (3 · n_mfcc columns: MFCC, Δ, ΔΔ), ``chroma`` (12, the loudest is 1), ``contrast`` (7, dB), ``zcr``
        (sign changes per sample), ``rms`` (full scale 1), ``level`` (dB of full scale), ``centroid``, ``bandwidth`` and
        ``rolloff`` (Hz), ``flatness`` (0 … 1), ``f0`` (2: semitones above 55 Hz, 0 where unvoiced; voicing 0 … 1).
    sr : int
        Sampling rate, Hz.
    n_fft, hop_length : int
        Window and hop, samples.
    n_mels, n_mfcc : int
        Bands and coefficients.
    fmin, fmax : float
        Lowest and highest band edge, Hz.
    max_s : float
        Longer clips are cut evenly from both ends, seconds.
    trim_db : float
        Silence at both ends that is this far below the loudest frame is cut, dB; 0 keeps it.
    clip_mean : str
        ``keep``; ``remove`` each column's mean over the clip (cepstral mean normalisation, Atal 1974,
        doi:10.1121/1.1914702), which takes away microphone, room and much of the voice; or ``level``: remove it, and
        add one column with the level of each frame, so that loudness stays.
    top_db : float
        Bands further below the clip's loudest are raised to that, dB; 0 keeps them.
    tuning : float or None
        Deviation of the chroma bins from A = 440 Hz, in semitones; None estimates it from each clip.

    Examples
    --------
    >>> FrameSpec(kind="chroma+centroid").columns[-3:]
    ('chroma_A#', 'chroma_B', 'centroid_hz')
    """

    kind: str = "log_mel"
    sr: int = audio.SAMPLE_RATE
    n_fft: int = 512
    hop_length: int = 160
    n_mels: int = 64
    n_mfcc: int = 20
    fmin: float = 50.0
    fmax: float = 8000.0
    max_s: float = 4.0
    trim_db: float = 30.0
    clip_mean: str = "keep"
    top_db: float = 0.0
    tuning: float | None = 0.0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise study.UserError(f"features '{kind}' are unknown; use {', '.join(KINDS)}, or some joined by +")
        if len(set(self.kinds)) < len(self.kinds):
            raise study.UserError(f"features '{self.kind}' name a kind twice; name each once")
        study.check_range(self, "128 or more", lambda value: value >= 128, "n_fft")
        positive = ("hop_length", "n_mels", "n_mfcc", "max_s")
        study.check_range(self, "above 0", lambda value: value > 0, *positive)
        study.check_range(self, "0 or more", lambda value: value >= 0, "trim_db", "top_db")
        if self.n_mfcc > self.n_mels:
            raise study.UserError(f"n_mfcc {self.n_mfcc} exceeds n_mels {self.n_mels}; lower it or raise n_mels")
        if self.clip_mean not in CLIP_MEANS:
            raise study.UserError(f"clip_mean '{self.clip_mean}' is unknown; use one of {', '.join(CLIP_MEANS)}")
        if not 0 <= self.fmin < self.fmax <= self.sr / 2:
            raise study.UserError(
                f"fmin {self.fmin} Hz and fmax {self.fmax} Hz must rise and stay below {self.sr / 2} Hz"
            )
        if self.tuning is not None and not -0.5 <= self.tuning < 0.5:
            raise study.UserError(f"tuning {self.tuning} is no part of a semitone; use -0.5 to 0.5, or null")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds in the order of their columns."""
        return tuple(self.kind.split("+"))

    @property
    def columns(self) -> tuple[str, ...]:
        """Name of each column, with its unit where it has one."""
        level = ("clip_level_db",) if self.clip_mean == "level" else ()
        return tuple(name for kind in self.kinds for name in column_names(kind, self)) + level

    @property
    def max_frames(self) -> int:
        """Frames of the longest clip."""
        return 1 + int(self.max_s * self.sr) // self.hop_length


def column_names(kind: str, spec: FrameSpec) -> list[str]:
    """Columns of one kind.

    Examples
    --------
    >>> column_names("f0", FrameSpec())
    ['f0_semitones', 'voicing']
    """
    units = {"centroid": "_hz", "bandwidth": "_hz", "rolloff": "_hz", "level": "_db"}
    if kind == "log_mel":
        return [f"mel{band:03d}_db" for band in range(spec.n_mels)]
    if kind == "mfcc":
        return [f"{order}mfcc{i:02d}" for order in ("", "delta_", "delta2_") for i in range(spec.n_mfcc)]
    if kind == "chroma":
        return [f"chroma_{note}" for note in CHROMA]
    if kind == "contrast":
        return [f"contrast{band}_db" for band in range(N_CONTRAST)]
    return ["f0_semitones", "voicing"] if kind == "f0" else [kind + units.get(kind, "")]
