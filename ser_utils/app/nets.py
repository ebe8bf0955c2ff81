"""Which nets can be asked, on which terms, and the denoisers that can run here."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from ser_utils import denoise, saved, study
from ser_utils.app import sounds
from ser_utils.saved import Card, SavedModel, confidence
from ser_utils.saved.card import SUFFIX

NO_DENOISER = "none"


class Nets:
    """Every saved net below the output root, loaded when it is first asked.

    Parameters
    ----------
    profile : str, optional
        Take nets of this profile alone.
    """

    def __init__(self, profile: str | None = None) -> None:
        self.profile = profile
        self._cards: dict[Path, tuple[int, Card | None]] = {}
        self._loaded: dict[Path, tuple[int, SavedModel]] = {}
        self._lock = threading.Lock()

    def cards(self) -> dict[str, tuple[Path, Card]]:
        """Name → file and card; those of real speech first, the best first. Damaged files are left out.

        A name that two profiles use is followed by its profile.
        """
        found = []
        for file in sorted((study.output_root() / "reports").glob(f"{self.profile or '*'}/models/*{SUFFIX}")):
            card = self._card(file)
            if card is not None:
                found.append((file.parents[1].name, file, card))
        found.sort(key=lambda one: (one[2].facts["synthetic"], -one[2].facts["uar"], one[0], one[1]))
        names = [card.name for _, _, card in found]
        twice = {name for name in names if names.count(name) > 1}
        return {f"{c.name} ({p})" if c.name in twice else c.name: (file, c) for p, file, c in found}

    def _card(self, file: Path) -> Card | None:
        """Card of a file, read again only when the file is another."""
        written = file.stat().st_mtime_ns
        if self._cards.get(file, (0, None))[0] != written:
            try:
                self._cards[file] = written, saved.read_card(file)
            except study.UserError as error:
                study.progress(f"left out: {error}")
                self._cards[file] = written, None
        return self._cards[file][1]

    def load(self, name: str) -> SavedModel:
        """A net by its name in :meth:`cards`; empty takes the first.

        Raises
        ------
        study.UserError
            When there is none of that name, or its file is damaged.
        """
        cards = self.cards()
        if not cards:
            raise study.UserError("no net is saved here yet; train the first one, or run ./run_all.sh demo")
        name = name or next(iter(cards))
        if name not in cards:
            raise study.UserError(f"there is no net '{name}'; use one of {', '.join(cards)}")
        file, written = cards[name][0], cards[name][0].stat().st_mtime_ns
        with self._lock:
            if self._loaded.get(file, (0, None))[0] != written:
                net = saved.load(file)
                net.hear(np.zeros(sounds.RATE, dtype=np.float32))  # the first answer compiles
                self._loaded[file] = (written, net)
            return self._loaded[file][1]


def line(name: str, card: Card) -> str:
    """A net in a list: name, corpus, measured UAR.

    The interval is over unheard speakers, or it is said that there are none.
    """
    facts = card.facts
    what = f"{facts['corpus']}{', synthetic' if facts['synthetic'] else ''}"
    whom = "unseen speakers" if facts["unheard_speakers"] else "known speakers"
    return f"{name} · {what} · UAR {card.score}, {whom}"


def trust(card: Card) -> str:
    """What is known of the confidence of a net, in a sentence or two."""
    told = confidence.known(card.facts)
    if not told:
        return (
            "No validation predictions were kept with this net: its probabilities are shown as they are, and there is "
            "no threshold for “not sure”."
        )
    sizes = f"{told['n_clips']} validation clips of {told['n_speakers']} speakers"
    start = f"Confidence is scaled on {sizes} (temperature {told['temperature']:.2f})"
    if told["threshold"] is None:
        return f"{start}. No threshold there made wrong answers a quarter rarer, so there is no “not sure”."
    return (
        f"{start}. Below {told['threshold']:.0%} the page says “not sure”: there, from this confidence on, "
        f"{told['coverage']:.0%} of the clips were answered and {told['risk']:.0%} of the answers were wrong, against "
        f"{told['risk_of_all']:.0%} of all."
    )


def denoisers() -> dict[str, str]:
    """Name → title of the denoisers that can run here."""
    able = {name: entry for name, entry in denoise.DENOISERS.items() if entry.needs != "clean" and not entry.not_run}
    return {name: entry.title for name, entry in able.items() if name != NO_DENOISER}


def absent() -> dict[str, str]:
    """Name → why of the denoisers that cannot run here."""
    return {name: entry.not_run for name, entry in denoise.DENOISERS.items() if entry.not_run}
