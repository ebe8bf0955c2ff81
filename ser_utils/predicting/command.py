"""The commands ``predict`` and ``export``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ser_utils import study

if TYPE_CHECKING:  # it imports much
    from ser_utils.saved import Card, SavedModel


def run(options: argparse.Namespace) -> int:
    """``predict``: print a table, write the CSV; 1 when a file was refused."""
    from ser_utils.predicting import files

    found, refused = files.collect(options.names)
    if options.csv:
        _check_target(options.csv, found)
    if found:
        refused = _predict(found, options) + refused
    print(*(f"refused: {line}" for line in refused), sep="\n", end="\n" if refused else "", file=sys.stderr)
    return int(bool(refused))


def _check_target(target: Path, sounds: Sequence[Path] = ()) -> None:
    """Refuse an output that cannot be written, or that would replace what is read, before the work."""
    if target.is_dir() or target.resolve() in {file.resolve() for file in sounds}:
        raise study.UserError(f"{target} would replace a folder or a sound; name another file to write to")
    place = next(parent for parent in target.resolve().parents if parent.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise study.UserError(f"{target} cannot be written: no files can be made in {place}; name another file")


def _predict(found: list[Path], options: argparse.Namespace) -> list[str]:
    from ser_utils import predicting, saved
    from ser_utils.predicting import table

    denoise = denoiser(options.denoise) if options.denoise else None
    model = _load(saved.find(options.model, options.profile))
    table.check_windows(model, options.window, options.hop)
    print(introduction(model.card), file=sys.stderr)
    start = time.monotonic()
    with Bar(len(found)) as bar:
        rows, refused = predicting.predict(
            found, model, window_s=options.window, hop_s=options.hop, denoise=denoise, watch=bar.at
        )
    print(shown(rows))
    if options.csv:
        predicting.save(rows.assign(model=model.name, denoiser=options.denoise or ""), options.csv)
        print(f"{options.csv}: {len(rows)} rows", file=sys.stderr)
    heard = rows["file"].nunique()
    print(f"{heard} of {len(found)} files in {study.duration(time.monotonic() - start)}", file=sys.stderr)
    return refused


def _load(file: Path) -> SavedModel:
    from ser_utils import saved

    saved.read_card(file)  # what is wrong with the file is told before seconds of imports
    with _without_remarks():
        import keras  # noqa: F401
    return saved.load(file)


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep from the screen what TensorFlow says of the processor when it is imported, at any level of its log."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)


def introduction(card: Card) -> str:
    """Who answers, and how far to trust it."""
    facts = card.facts
    score = f"UAR {card.score} on {'unseen' if facts['unheard_speakers'] else 'known'} speakers"
    if facts["synthetic"]:
        score += "; these are synthetic, so what it says of people means nothing"
    about = f"{card.name}: {facts['model']} on {facts['corpus']} ({facts['language']}), {score}"
    return f"{about}\nit knows {', '.join(card.labels)}; licence of its speech: {facts['licence']}"


def denoiser(name: str) -> Callable:
    """A denoiser that needs nothing but the sound.

    Raises
    ------
    study.UserError
        For an unknown name, naming the known ones, or where its weights are missing.
    """
    from ser_utils import denoise

    known = {key: entry for key, entry in denoise.DENOISERS.items() if entry.needs != "clean"}
    if name not in known:
        raise study.UserError(f"denoiser '{name}' is unknown; use one of {', '.join(known)}")
    if known[name].not_run:
        raise study.UserError(f"denoiser {name}: {known[name].not_run}")
    return known[name]


def shown(rows: pd.DataFrame) -> str:
    """The table as a terminal shows it."""
    cells = [("file", "start_s", "end_s", "emotion", "probability")]
    for row in rows.itertuples(index=False):
        sure = "" if pd.isna(row.probability) else f"{row.probability:.2f}"
        cells.append((row.file, f"{row.start_s:.2f}", f"{row.end_s:.2f}", row.emotion or "(silence)", sure))
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    sides = ("<", ">", ">", "<", ">")
    lines = ("  ".join(f"{c:{s}{w}}" for c, s, w in zip(line, sides, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


class Bar:
    """How many files are done: a bar on a terminal, elsewhere one line every few seconds."""

    def __init__(self, total: int, *, every_s: float = 5.0) -> None:
        self.total, self.every_s = total, every_s
        self.begun = self.said = time.monotonic()
        self.bar = None

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            from tqdm import tqdm

            look = "{percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left"
            self.bar = tqdm(total=self.total, bar_format=look, file=sys.stderr, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def at(self, done: float) -> None:
        """`done` files, parts of one included."""
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.said > self.every_s and 0 < done < self.total:
            self.said = time.monotonic()
            left = (self.said - self.begun) / done * (self.total - done)
            study.progress(f"heard {done / self.total:.0%}, about {study.duration(left)} left")


def export(options: argparse.Namespace) -> int:
    """``export``: write the net in another format, and say how far it is from the original."""
    from ser_utils import saved

    file = saved.find(options.model, options.profile)
    out = options.out or file.with_suffix(f".{options.to}")
    _check_target(out, [file])
    write = {"onnx": saved.to_onnx, "tflite": saved.to_tflite}[options.to]
    difference = write(_load(file), out)
    print(out)
    print(f"probabilities differ by {difference:.1g} at most from those of {file}", file=sys.stderr)
    return 0
