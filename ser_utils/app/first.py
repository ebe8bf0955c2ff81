"""The first net, for a page that finds none: a small one on the embedded synthetic corpus, in less than a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ser_utils import corpora, evaluation, features, saved, study, training, trials
from ser_utils.trials import Trial, Variant

PROFILE = "demo"
NAME = "demo_first"
SPEC = features.FrameSpec(n_mels=40, hop_length=320, clip_mean="level")
VARIANT = Variant(
    name="small_cnn",
    model="small_cnn",
    arguments={"filters": 32},
    spec=SPEC,
    recipe=training.Recipe(epochs=12, patience=12, batch_size=32, learning_rate=3e-3),
)


def train(
    *,
    profile: str = PROFILE,
    variant: Variant = VARIANT,
    tell: Callable[[float, str], None] = lambda share, words: None,
) -> Path:
    """Train on every fold of the demo corpus, measure the UAR on the speakers that each did not hear, keep one net.

    Finished folds are kept, so that a second call goes on.

    Parameters
    ----------
    profile : str
        One with the embedded corpus.
    variant : Variant
    tell : callable
        Told the share that is done and what comes next.

    Returns
    -------
    Path
        The net, chosen by the validation speakers of its fold.
    """
    tell(0.0, "speaking the synthetic corpus")
    clips = corpora.usable(corpora.manifest(profile))
    task = trials.tasks(clips[clips["corpus"] == "demo"], profile)["demo"]
    tell(0.1, "computing features")
    experiment = trials.experiment(variant, task, profile)
    results, cache = [], study.paths(profile).derived / "folds"
    for i, fold in enumerate(task.folds):
        tell(0.2 + 0.75 * i / len(task.folds), f"training fold {i + 1} of {len(task.folds)}")
        results += training.cross_validate(experiment, [fold], seeds=[0], cache=cache, jobs=1)
    tell(0.95, "measuring it on unseen speakers")
    found = Trial(variant, task, task.folds, results)
    scores = evaluation.results_table(trials.predictions([found], profile), n_resamples=2000)
    uar = scores[(scores["metric"] == "UAR") & (scores["model"] == variant.name)].iloc[0]
    return saved.save(
        saved.best(results),
        variant.spec,
        name=NAME,
        corpora=task.entry,
        labels=task.entry.emotions,
        uar=(uar["value"], uar["ci_low"], uar["ci_high"]),
        profile=profile,
    )
