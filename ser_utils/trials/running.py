"""Every variant on its corpora."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ser_utils import study, training
from ser_utils.trials.mixed import pretraining
from ser_utils.trials.variants import Task, Trial, Variant, experiment


def run(
    variants: Sequence[Variant], chosen: Mapping[str, Task], profile: str, *, seed: int = 0, jobs: int | None = None
) -> list[Trial]:
    """Every variant on its corpora, all folds and seeds side by side; finished ones come from the cache.

    Parameters
    ----------
    variants : sequence of Variant
    chosen : mapping
        From :func:`tasks`.
    profile : str
    seed : int
        First seed.
    jobs : int, optional
        Processes; results do not depend on it.

    Returns
    -------
    list of Trial
        Variant by variant, corpus by corpus.

    Raises
    ------
    study.UserError
        When a variant is to learn first from other corpora and there is none.
    """
    found, cache = {}, study.paths(profile).derived / "folds"
    for task in chosen.values():
        members = [v for v in variants if not v.corpora or task.name in v.corpora]
        wanted = []
        for variant in members:
            folds = task.folds[: variant.max_folds or None]
            first = pretraining(variant, task, chosen, profile)
            whole = experiment(variant, task, profile, n_folds=len(folds), pretraining=first)
            wanted.append((whole, folds, range(seed, seed + variant.n_seeds)))
        names = {whole.name for whole, _, _ in wanted}
        name = names.pop() if len(names) == 1 else f"{task.name}, {len(wanted)} experiments"
        done = training.train_together(wanted, name, cache=cache, jobs=jobs)
        for variant, (_, folds, _), results in zip(members, wanted, done, strict=True):
            found[variant, task.name] = Trial(variant, task, folds, results)
    return [found[v, name] for v in variants for name in chosen if (v, name) in found]
