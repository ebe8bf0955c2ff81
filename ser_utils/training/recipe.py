"""The recipe: everything about how a net is trained that is not the net and not the data."""

from __future__ import annotations

from dataclasses import dataclass, field

from ser_utils import study
from ser_utils.augment.frames import FrameAugmentation

CHOICES = {
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "plateau"),
    "balance": ("weights", "sampling", "none"),
    "averaging": ("none", "swa", "ema"),
    "precision": ("float32", "mixed_bfloat16"),
}


@dataclass(frozen=True)
class Recipe:
    """How a net is trained.

    Parameters
    ----------
    epochs, patience : int
        Most epochs; epochs without a better validation UAR before stopping. The best weights are restored.
    batch_size : int
    learning_rate : float
        Peak rate, after `warmup_epochs`.
    weight_decay : float
        Of ``adamw``; ``adam`` has none.
    label_smoothing : float
        In [0, 1).
    augmentation : FrameAugmentation
        How training batches are disturbed.
    optimizer : str
        ``adamw`` (Loshchilov & Hutter 2019, arXiv:1711.05101) or ``adam``.
    schedule : str
        After the warm-up, ``cosine``: down to zero over all epochs; ``plateau``: half the rate after each
        `plateau_epochs` without a better validation UAR.
    warmup_epochs, plateau_epochs : int
    balance : str
        Against rare classes: ``weights`` (all classes weigh the same in sum), ``sampling`` (each pass draws as many
        clips as there are, every class alike often), or ``none``.
    averaging : str
        Which weights are scored on validation and kept: ``none``, those of the epoch; ``swa``, from the last
        `average_share` of the epochs on their mean so far (Izmailov et al. 2018, arXiv:1803.05407), and no early stop,
        which would leave nothing to average; ``ema``, a moving average over steps that keeps `average_decay` of itself
        in each.
    average_share, average_decay : float
        Of ``swa``, at most 1; of ``ema``, below 1; both above 0.
    precision : str
        ``float32``, or ``mixed_bfloat16`` on a GPU: half the bits in the layers, the weights and the saved net keep
        all. float16 is not offered: its losses would have to be scaled.
    jit_compile : bool
        Let XLA compile the step; slower on CPUs for these nets.
    """

    epochs: int = 50
    patience: int = 15
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    augmentation: FrameAugmentation = field(default_factory=FrameAugmentation)
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup_epochs: int = 1
    plateau_epochs: int = 5
    balance: str = "weights"
    averaging: str = "none"
    average_share: float = 0.25
    average_decay: float = 0.99
    precision: str = "float32"
    jit_compile: bool = False

    def __post_init__(self) -> None:
        counts = ("epochs", "patience", "batch_size", "plateau_epochs")
        study.check_range(self, "1 or more", lambda value: value >= 1, *counts)
        study.check_range(self, "above 0", lambda value: value > 0, "learning_rate")
        study.check_range(self, "0 or more", lambda value: value >= 0, "weight_decay", "warmup_epochs")
        study.check_range(self, "at least 0 and below 1", lambda value: 0 <= value < 1, "label_smoothing")
        study.check_range(self, "above 0 and at most 1", lambda value: 0 < value <= 1, "average_share")
        study.check_range(self, "between 0 and 1", lambda value: 0 < value < 1, "average_decay")
        for name, words in CHOICES.items():
            study.check_range(self, f"one of {', '.join(words)}", lambda value, words=words: value in words, name)
