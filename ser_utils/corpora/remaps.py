"""Smaller sets of emotions, so that scores compare across corpora that do not label the same classes.

A remap is a function from an emotion of :data:`~ser_utils.corpora.base.EMOTIONS` to an emotion, or to an empty text
where its clips are left out. A score always says which of them it was taken on.
"""

from __future__ import annotations

from collections.abc import Callable

from ser_utils import study
from ser_utils.corpora.base import EMOTIONS

SIX = ("angry", "disgust", "fear", "happy", "neutral", "sad")
FOUR = ("angry", "happy", "neutral", "sad")


def to_seven(emotion: str) -> str:
    """RAVDESS's eight classes as the seven of TESS, SAVEE and MELD: calm counts as neutral, boredom is left out.

    Raises
    ------
    study.UserError
        For a name that is no emotion of this study; so do the others.

    Examples
    --------
    >>> to_seven("calm"), to_seven("surprise"), to_seven("boredom")
    ('neutral', 'surprise', '')
    """
    if emotion not in EMOTIONS:
        raise study.UserError(f"emotion '{emotion}' is unknown; use one of {', '.join(EMOTIONS)}")
    return {"calm": "neutral", "boredom": ""}.get(emotion, emotion)


def to_six(emotion: str) -> str:
    """The six classes that CREMA-D has and every other corpus shares: as :func:`to_seven`, without surprise.

    Examples
    --------
    >>> to_six("calm"), to_six("disgust"), to_six("surprise")
    ('neutral', 'disgust', '')
    """
    seven = to_seven(emotion)
    return seven if seven in SIX else ""


def to_four(emotion: str) -> str:
    """The four classes of most work on IEMOCAP (Busso et al. 2008, doi:10.1007/s10579-008-9076-6).

    Examples
    --------
    >>> to_four("calm"), to_four("sad"), to_four("fear")
    ('neutral', 'sad', '')
    """
    seven = to_seven(emotion)
    return seven if seven in FOUR else ""


REMAPS: dict[str, Callable[[str], str]] = {"7 classes": to_seven, "6 classes": to_six, "4 classes": to_four}
