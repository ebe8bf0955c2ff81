"""Run the study: check the profile, let Snakemake run what changed, say why, sum up.

The graph itself is the ``Snakefile``; the functions that it needs are here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ser_utils import parameters, study
from ser_utils.console import OK, Console, shown, summary
from ser_utils.report.record import load_records, load_waiting, save_waiting

# what a notebook leaves under reports/<profile> besides its page, its executed copy and its record
LEAVES = {
    "01_eda": ["tables/01_quality.csv", "tables/01_separability.csv"],
    "02_features": [
        "predictions/02_features.parquet",
        "predictions/02_ladder.parquet",
        "results/02_features.csv",
        "results/02_ladder.csv",
        "tables/02_importance.csv",
        "tables/02_ranking.csv",
        "tables/02_timing.csv",
    ],
    "03_augmentation": ["predictions/03_ablation.parquet", "tables/03_ablation.csv", "tables/03_effects.csv"],
    "04_lstm": [
        "predictions/04_beside.parquet",
        "predictions/04_lstm.parquet",
        "results/04_beside.csv",
        "results/04_lstm.csv",
    ],
    "05_cnn": [
        "predictions/05_beside.parquet",
        "predictions/05_cnn.parquet",
        "results/05_beside.csv",
        "results/05_cnn.csv",
    ],
    "06_denoising": [
        "predictions/06_grid.parquet",
        "predictions/06_public.parquet",
        "tables/06_denoisers.csv",
        "tables/06_quality.csv",
        "tables/06_scores.csv",
        "tables/06_tests.csv",
    ],
    "07_pretrained_fusion": [
        "predictions/07_beside.parquet",
        "predictions/07_pretrained_fusion.parquet",
        "results/07_beside.csv",
        "results/07_pretrained_fusion.csv",
    ],
    "08_generative": [
        "predictions/08_circular.parquet",
        "predictions/08_folds.parquet",
        "results/08_circular.csv",
        "results/08_folds.csv",
        "tables/08_costs.csv",
        "tables/08_measures.csv",
        "tables/08_tests.csv",
    ],
    "09_evaluation": ["results.csv"],
    "10_live_demo": ["tables/10_answers.csv"],
}
EVALUATION = "09_evaluation"  # reads the predictions of every notebook before it
READS = {  # notebook → those whose predictions it joins to its own, or whose nets it asks
    "07_pretrained_fusion": ("04_lstm", "05_cnn"),
    "10_live_demo": ("04_lstm", "05_cnn"),
}
_NOT_SETTINGS = ("title", "notebooks")  # keys of a profile that no result depends on, or that have their own place


# --- what the Snakefile needs -----------------------------------------------------------------------------------


def sources(*modules: str) -> list[Path]:
    """Files of ``ser_utils`` that `modules` consist of, templates and style sheets of packages included.

    Examples
    --------
    >>> [file.name for file in sources("study")]
    ['__init__.py', 'study.py']
    """
    files = study.imported_files(*modules)
    packages = {file.parent for file in files} - {study.PACKAGE}
    beside = (f for folder in packages for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return sorted(files | set(beside))


def upstream(name: str, names: Iterable[str]) -> list[str]:
    """Notebooks among `names` whose results the notebook `name` reads.

    Examples
    --------
    >>> upstream("09_evaluation", ["01_eda", "04_lstm", "09_evaluation"]), upstream("04_lstm", ["01_eda", "04_lstm"])
    (['04_lstm'], [])
    """
    if name in READS:
        return sorted(set(READS[name]) & set(names))
    if name != EVALUATION:
        return []
    scored = (n for n in names if any(file.startswith("predictions/") for file in LEAVES.get(n, [])))
    return sorted(n for n in scored if n < name)


def settings(profile: str, *, without: tuple[str, ...] = ()) -> list[str]:
    """Lines ``key = value`` of a profile that results depend on; Snakemake compares them with those of the last run."""
    found = study.load_profile(profile)
    return [_line(key, value) for key, value in found.items() if key not in (*_NOT_SETTINGS, *without)]


def values(profile: str, name: str) -> list[str]:
    """Lines ``parameter = value`` that a profile gives to a notebook."""
    return [_line(key, value) for key, value in study.load_profile(profile)["notebooks"][name].items()]


def raw_files(profile: str) -> list[str]:
    """One line per corpus of a profile that tells whether its folder changed, without reading its files.

    Examples
    --------
    >>> raw_files("demo")  # synthesised, no folder
    []
    """
    found = study.load_profile(profile)
    data = study.paths(profile).data
    names = [*found["corpora"], *([found["noise"]] if found["noise"] else [])]
    return [_line(f"files of {name}", study.fingerprint(data / name)) for name in names if (data / name).is_dir()]


def _line(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, sort_keys=True, default=str)}"


# --- running ----------------------------------------------------------------------------------------------------


def run(
    profile: str, *, only: str | None = None, start: str | None = None, dry_run: bool = False, cores: int | None = None
) -> int:
    """Bring the results of a profile up to date and show what happened.

    Parameters
    ----------
    profile : str
    only : str, optional
        Number or name of one notebook: bring it, and what it needs, up to date.
    start : str, optional
        Number or name of a notebook: it and all later ones run even if nothing changed.
    dry_run : bool
        Say what would run, and why; run nothing.
    cores : int, optional
        Default: all that this process may use.

    Returns
    -------
    int
        0 when every notebook asked for is up to date, 1 when one failed, 130 when interrupted.

    Raises
    ------
    UserError
        Before anything runs: for an unknown profile, notebook, parameter or corpus, or another run in the same folder.
    """
    from ser_utils import corpora

    names = sorted(study.load_profile(profile)["notebooks"])
    for name in names:
        parameters.check(name, profile)
    corpora.check(profile)
    _check_data(profile, dry_run=dry_run)
    targets = [resolve(only, names, profile)] if only else names
    forced = {
        name: "its last run failed"
        for name, record in load_records(study.paths(profile).records).items()
        if record["status"] != OK
    }
    if start:
        forced |= {name: f"--from {start}" for name in names if name >= resolve(start, names, profile)}
    with _alone():
        _sweep(profile)
        console = Console(profile, forced, dry_run=dry_run)
        code = _snakemake(profile, targets, console, dry_run=dry_run, cores=cores or available_cores())
        if dry_run:
            print("nothing to do" if not console.begun else "dry run: nothing was run", file=sys.stderr)
            return code
        changed = _keep_waiting(profile, names, targets, console)
        summary(profile, names, targets, console)
        print(f"report: {shown(_render(profile, anew=changed))}", file=sys.stderr)
    return code


def resolve(word: str, names: list[str], profile: str) -> str:
    """Notebook of a profile by number or name.

    Examples
    --------
    >>> resolve("4", ["01_eda", "04_lstm"], "demo")
    '04_lstm'
    """
    for name in names:
        if word == name or (word.isdigit() and int(word) == int(name.split("_")[0])):
            return name
    raise study.UserError(f"notebook '{word}' is not in config/{profile}.yaml{parameters.nearest(word, names)}")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_data(profile: str, *, dry_run: bool) -> None:
    """Refuse a data folder that does not exist; bring the mirror of a remote one up to date."""
    data = os.environ.get("SER_DATA")
    if study.remote_data():
        from ser_utils import remote

        remote.check(study.remote_data())
        if not dry_run:
            remote.mirror_profile(profile)
    elif data and not Path(data).expanduser().is_dir():
        raise study.UserError(f"SER_DATA={data} is not a folder; set it to the folder that holds the corpora")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One run at a time in an output folder. The lock vanishes with its process, however that ends."""
    folder = study.output_root() / ".snakemake"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "run.lock", "a+", encoding="utf-8")  # noqa: SIM115 - open as long as the run
    except OSError as error:
        raise study.UserError(f"cannot write to {study.output_root()} ({error.strerror}); set SER_OUT") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise study.UserError(
                f"another run works in {study.output_root()}; wait until it ends, or set SER_OUT to another folder"
            ) from error
        yield


def _sweep(profile: str) -> None:
    """Remove what killed runs were writing; what is younger than an hour may belong to an open notebook."""
    where = study.paths(profile)
    for leftover in (path for folder in (where.derived, where.reports) for path in folder.rglob(".tmp-*")):
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)


def _snakemake(profile: str, targets: list[str], console: Console, *, dry_run: bool, cores: int) -> int:
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger
    from snakemake.scheduling.greedy import SchedulerSettings as GreedySettings
    from snakemake.settings import types as smk
    from snakemake.settings.enums import Quietness, RerunTrigger

    os.environ["SER_RUN_ID"] = study.run_id()
    output = smk.OutputSettings(dryrun=dry_run, quiet={Quietness.ALL}, enable_file_logging=False)
    with SnakemakeApi(output) as api:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.addHandler(console)
        workflow = api.workflow(
            resource_settings=smk.ResourceSettings(cores=cores),
            config_settings=smk.ConfigSettings(config={"profile": profile}),
            snakefile=study.ROOT / "Snakefile",
            workdir=study.output_root(),
        )
        dag = workflow.dag(
            smk.DAGSettings(
                targets=set(targets),
                forcerun=set(console.forced),
                force_incomplete=True,  # what a killed run was writing is made anew
                rerun_triggers={RerunTrigger.MTIME, RerunTrigger.PARAMS, RerunTrigger.INPUT},
                max_checksum_file_size=0,
            )
        )
        execution = smk.ExecutionSettings(lock=False, keep_going=True, keep_incomplete=True, latency_wait=0)
        try:
            dag.execute_workflow(
                "dryrun" if dry_run else "local",
                execution_settings=execution,
                scheduling_settings=smk.SchedulingSettings(scheduler="greedy"),
                scheduler_settings=GreedySettings(),
            )
        except WorkflowError as error:
            if not console.failed and not console.interrupted:
                raise study.UserError(f"Snakemake: {' '.join(str(error).split())}") from error
            return 130 if console.interrupted else 1
        except OSError as error:
            raise study.UserError(
                f"{error.filename or study.output_root()}: {error.strerror}; mend it, then run again"
            ) from error
    return 0


def _keep_waiting(profile: str, names: list[str], targets: list[str], console: Console) -> bool:
    """Note which notebooks did not run since what they need failed; a notebook that ran or is current waits no more.

    Returns
    -------
    bool
        Whether the note changed.
    """
    reports = study.paths(profile).reports
    before = load_waiting(reports)
    stuck = console.planned - console.begun
    kept = (set(names) - set(targets) | stuck) - console.begun
    waiting = {name: failed for name, failed in before.items() if name in kept}
    for name in stuck & set(names) if not console.interrupted else ():
        failed = [other for other in ("manifest", *upstream(name, names)) if other in console.failed]
        waiting |= {name: failed} if failed else {}
    if waiting != before:
        save_waiting(reports, waiting)
    return waiting != before


def _render(profile: str, *, anew: bool) -> Path:
    """Render the report's index where it is older than what it shows, or where asked to."""
    where = study.paths(profile)
    index = where.reports / "index.html"
    ages = [file.stat().st_mtime for file in where.records.glob("*.json")]
    if (
        anew
        or not index.is_file()
        or not (where.reports / "run.json").is_file()
        or max(ages, default=0) > index.stat().st_mtime
    ):
        from ser_utils import report

        report.render_index(profile)
    return index
