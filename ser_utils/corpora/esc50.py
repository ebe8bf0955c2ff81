"""ESC-50: 2000 environmental recordings, 50 classes, 5 folds (Piczak 2015, doi:10.1145/2733373.2806390)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_utils.corpora.base import Corpus, Download

CLASSES = tuple(
    """
    dog rooster pig cow frog cat hen insects sheep crow
    rain sea_waves crackling_fire crickets chirping_birds water_drops wind pouring_water toilet_flush thunderstorm
    crying_baby sneezing clapping breathing coughing footsteps laughing brushing_teeth snoring drinking_sipping
    door_wood_knock mouse_click keyboard_typing door_wood_creaks can_opening washing_machine vacuum_cleaner
    clock_alarm clock_tick glass_breaking
    helicopter chainsaw siren car_horn engine train church_bells airplane fireworks hand_saw
    """.split()  # noqa: SIM905 - fifty quoted words would be harder to read
)


def parse(path: Path) -> dict[str, Any]:
    """Labels from a name such as ``4-172649-A-40``: fold, source recording, take, class.

    Raises
    ------
    ValueError
        When the name has not four fields, or fold or class is out of range.

    Examples
    --------
    >>> row = parse(Path("audio/4-172649-A-40.wav"))
    >>> row["fold"], row["noise_class"], row["source"]
    (4, 'helicopter', '172649')
    """
    fields = path.stem.split("-")
    if len(fields) != 4:
        raise ValueError(f"name has {len(fields)} fields, not the 4 of 4-172649-A-40")
    fold, source, _, target = fields
    if fold not in {"1", "2", "3", "4", "5"}:
        raise ValueError(f"fold '{fold}' is not one of 1 … 5")
    if not (target.isdigit() and int(target) < len(CLASSES)):
        raise ValueError(f"class '{target}' is not one of 0 … {len(CLASSES) - 1}")
    return {"clip_id": path.stem, "noise_class": CLASSES[int(target)], "fold": int(fold), "source": source}


CORPUS = Corpus(
    name="esc50",
    title="ESC-50: Dataset for Environmental Sound Classification",
    version="2.0.0",
    kind="noise",
    licence="CC BY-NC 3.0 (the ESC-10 part: CC BY)",
    citation="""@inproceedings{piczak2015esc,
  title = {ESC: Dataset for Environmental Sound Classification},
  author = {Piczak, Karol J.},
  booktitle = {Proc. ACM Multimedia}, pages = {1015--1018}, year = {2015}, doi = {10.1145/2733373.2806390}
}""",
    address="https://github.com/karolpiczak/ESC-50",
    downloads=lambda: (
        Download(address="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip", to="master.zip"),
    ),
    layout="esc50/audio/4-172649-A-40.wav",
    pattern="**/audio/*",
    parse=parse,
    n_clips=2000,
)
