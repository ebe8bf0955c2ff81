"""Which corpora a profile names, and whether it can mean them: told before anything is fetched, read or run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ser_utils import study
from ser_utils.corpora import own
from ser_utils.corpora.base import Corpus
from ser_utils.corpora.scan import nearest


def check(profile: str, registered: Mapping[str, Corpus]) -> None:
    """Refuse what a profile says of corpora and cannot mean; reads no corpus.

    Parameters
    ----------
    profile : str
    registered : mapping
        Name → entry of the study's own corpora.

    Raises
    ------
    study.UserError
        For no corpus, one that is unknown or named twice, noise among speech, speech as noise, `exclude` of another
        corpus, and wrong settings under ``tables``.
    """
    config, file = study.load_profile(profile), f"config/{profile}.yaml"
    for name, settings in config["tables"].items():
        own.check(name, settings, registered=registered)
    kinds = {name: entry.kind for name, entry in registered.items()} | dict.fromkeys(config["tables"], "speech")
    for name in wanted(config):
        known(name, kinds, where=f"{file}: ")
    _check_speech(config["corpora"], kinds, file)
    if config["noise"] and kinds[config["noise"]] != "noise":
        raise study.UserError(
            f"{file}: noise: {config['noise']} holds speech, not noise; write one of {_of(kinds, 'noise')}, or null"
        )
    for name in sorted(set(config["exclude"]) - set(wanted(config))):
        raise study.UserError(
            f"exclude: {name} is no corpus of profile {profile}{nearest(name, wanted(config))}; its corpora are "
            f"{', '.join(wanted(config))}"
        )


def _check_speech(names: list[str], kinds: Mapping[str, str], file: str) -> None:
    if not names:
        raise study.UserError(f"{file}: corpora is empty; name one or more of {_of(kinds, 'speech')}")
    for name in names:
        if kinds[name] != "speech":
            raise study.UserError(
                f"{file}: corpora: {name} holds noise, not speech; name it in the line 'noise: {name}'"
            )
        if names.count(name) > 1:
            raise study.UserError(f"{file}: corpora: {name} stands there {names.count(name)} times; write it once")


def _of(kinds: Mapping[str, str], kind: str) -> str:
    return ", ".join(name for name, found in kinds.items() if found == kind)


def known(name: str, names: Iterable[str], *, where: str = "") -> None:
    """Refuse a name that is not one of `names`; the message begins with `where`.

    Raises
    ------
    study.UserError
    """
    names = list(names)
    if name not in names:
        raise study.UserError(
            f"{where}corpus '{name}' is unknown{nearest(name, names)}; known corpora are {', '.join(names)}"
        )


def wanted(config: Mapping[str, Any]) -> list[str]:
    """Corpora of a profile, its noise the last.

    Examples
    --------
    >>> wanted({"corpora": ["ravdess", "emodb"], "noise": "esc50"}), wanted({"corpora": ["demo"], "noise": None})
    (['ravdess', 'emodb', 'esc50'], ['demo'])
    """
    return [*config["corpora"], *([config["noise"]] if config["noise"] else [])]
