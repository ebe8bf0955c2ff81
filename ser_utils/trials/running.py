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
    found = {}
    for task in chosen.values():
        groups: dict[tuple[int, int], list[Variant]] = {}
        for variant in (v for v in variants if not v.corpora or task.name in v.corpora):
            n_folds = min(variant.max_folds or len(task.folds), len(task.folds))
            groups.setdefault((variant.n_seeds, n_folds), []).append(variant)
        for (n_seeds, n_folds), members in groups.items():
            experiments = [
                experiment(v, task, profile, n_folds=n_folds, pretraining=pretraining(v, task, chosen, profile))
                for v in members
            ]
            folds, seeds = task.folds[:n_folds], range(seed, seed + n_seeds)
            cache = study.paths(profile).derived / "folds"
            done = training.cross_validate_all(experiments, folds, seeds=seeds, cache=cache, jobs=jobs)
            found |= {(v, task.name): Trial(v, task, folds, r) for v, r in zip(members, done, strict=True)}
    return [found[v, name] for v in variants for name in chosen if (v, name) in found]
