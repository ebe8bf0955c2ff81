"""Configuration, paths, seeds, environment card, parallel map and artefact cache.

Used by every other module, uses none of them. Nothing here changes a number, except :func:`seed_everything`.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import functools
import hashlib
import importlib
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(__file__).resolve().parent
WORKER_GROWTH = 2 * 2**30  # bytes that a worker of a parallel map may grow by before it is replaced
PROFILE_DEFAULTS = {
    "title": "",
    "corpora": [],
    "noise": None,
    "embed_audio": False,  # players of real voices in rendered pages
    "exclude": {},  # corpus → path → reason
    "tables": {},  # the user's own corpora: name → settings, see corpora.own
    "max_clips_per_speaker_emotion": 0,  # 0: all
    "notebooks": {},  # notebook → parameters
}
_REASON = "exclude.*.*"
_FORMS = {  # setting and what it holds → type, what to write instead of something else
    "title": (str, "a text, in quotes where it looks like a number"),
    "corpora": (list, "a list of corpora, such as [ravdess, emodb]"),
    "corpora.*": (str, "the name of a corpus, such as ravdess"),
    "noise": (str, "the name of a noise corpus, such as esc50, or null"),
    "embed_audio": (bool, "true or false"),
    "exclude": (dict, "path: reason lines under the name of a corpus"),
    "exclude.*": (dict, "path: reason lines under the name of the corpus"),
    _REASON: (str, "the reason in words"),
    "tables": (dict, "one line per corpus of your own, such as mine: {}"),
    "tables.*": (dict, "'setting: value' lines below it, such as file: labels.csv, or {}"),
    "max_clips_per_speaker_emotion": (int, "a whole number, 0 (all clips) or more"),
    "notebooks": (dict, "one line per notebook, such as 04_lstm: {}"),
    "notebooks.*": (dict, "'parameter: value' lines below it, or {}"),
}


class UserError(Exception):
    """A mistake that the user can mend: one sentence that says what, where, which value, and what to do."""


# --- profiles and paths -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paths:
    """Where one profile reads and writes; all absolute."""

    profile: str
    data: Path  # raw corpora: $SER_DATA (or its mirror), else data/raw
    derived: Path  # artefact cache
    figures: Path
    reports: Path

    @property
    def manifest(self) -> Path:
        return self.derived / "manifest.parquet"

    @property
    def predictions(self) -> Path:
        return self.reports / "predictions"

    @property
    def records(self) -> Path:
        return self.reports / "records"


def paths(profile: str) -> Paths:
    """Folders of a profile. Outputs go below the project, or below ``$SER_OUT`` when set.

    Examples
    --------
    >>> paths("demo").reports.relative_to(output_root()).as_posix()
    'reports/demo'
    """
    out = output_root()
    return Paths(
        profile, data_folder(), out / "data" / "derived" / profile, out / "figures" / profile, out / "reports" / profile
    )


def data_folder() -> Path:
    """Folder of the real corpora: ``$SER_DATA``, else ``data/raw``; of a remote address its mirror, filled or not.

    Examples
    --------
    >>> data_folder().is_absolute()
    True
    """
    if remote_data():
        return output_root() / "data" / "mirror" / digest(remote_data())
    return Path(os.environ.get("SER_DATA") or ROOT / "data" / "raw").expanduser().resolve()


def remote_data() -> str:
    """``$SER_DATA`` where it is an address such as ``s3://bucket/corpora``, else empty."""
    protocol, mark, place = (os.environ.get("SER_DATA") or "").partition("://")
    return protocol + mark + place.rstrip("/") if mark else ""


def output_root() -> Path:
    """Folder that holds ``data/derived``, ``figures`` and ``reports``."""
    return Path(os.environ.get("SER_OUT") or ROOT).expanduser().resolve()


def profiles() -> list[str]:
    """Names of the profiles under ``config/``."""
    return sorted(p.stem for p in (ROOT / "config").glob("*.yaml"))


def load_profile(name: str) -> dict[str, Any]:
    """Read ``config/<name>.yaml``.

    Returns
    -------
    dict with the keys and types of :data:`PROFILE_DEFAULTS`; a setting without a value has its default.

    Raises
    ------
    UserError
        For an unknown profile, a file that is not YAML, an unknown key, or a value of the wrong type.
    """
    file = ROOT / "config" / f"{name}.yaml"
    if not file.is_file():
        raise UserError(
            f"profile '{name}' is unknown: config/{name}.yaml does not exist; use one of {', '.join(profiles())}"
        )
    try:
        profile = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise UserError(f"config/{name}.yaml is not valid YAML ({line}); mend that line") from error
    if not isinstance(profile, dict):
        raise UserError(
            f"config/{name}.yaml holds {type(profile).__name__}, not a mapping of keys; see config/demo.yaml"
        )
    for key in sorted(set(profile) - set(PROFILE_DEFAULTS)):
        raise UserError(f"config/{name}.yaml: unknown key '{key}'; known keys are {', '.join(PROFILE_DEFAULTS)}")
    given = {key: value for key, value in profile.items() if value is not None}
    for name_only in ("notebooks", "tables"):
        if isinstance(given.get(name_only), dict):
            given[name_only] = {key: {} if value is None else value for key, value in given[name_only].items()}
    for key, value in given.items():
        _check_form(f"config/{name}.yaml", key, value, form=key)
    for table in sorted(set(given.get("tables", {})) - set(given.get("corpora", []))):
        raise UserError(
            f"config/{name}.yaml: tables: '{table}' is none of the profile's corpora; add it to corpora, or delete its "
            "lines"
        )
    return PROFILE_DEFAULTS | {"title": name} | given


def _check_form(file: str, key: str, value: Any, *, form: str) -> None:
    """Refuse a setting, or a part of one, that is not of its type; a notebook's parameters are checked with it."""
    if form not in _FORMS:
        return
    wanted, advice = _FORMS[form]
    if type(value) is not wanted or (wanted is int and value < 0) or (form == _REASON and not value.strip()):
        shown = textwrap.shorten(json.dumps(value, default=str, ensure_ascii=False), 60, placeholder=" …")
        raise UserError(f"{file}: {key} is {shown}; write {advice}")
    parts = value.items() if wanted is dict else enumerate(value, 1) if wanted is list else ()
    for name, part in parts:
        if wanted is dict and not isinstance(name, str):
            raise UserError(f"{file}: {key} holds the name {name}, which YAML reads as no text; write it in quotes")
        _check_form(file, f"{key}.{name}", part, form=f"{form}.*")


def check_range(settings: Any, words: str, fits: Callable[[Any], bool], *names: str) -> None:
    """Refuse settings outside their range.

    Raises
    ------
    UserError
        Naming the setting, its value and, in `words`, what it must be.
    """
    for name in names:
        if not fits(getattr(settings, name)):
            raise UserError(f"{name} {getattr(settings, name)} must be {words}; change it in the profile")


# --- seeds and provenance ---------------------------------------------------------------------------------------


def seed_everything(seed: int, *, threads: int = 1) -> None:
    """Make a run repeatable bit for bit on one machine; call it before any other use of Keras.

    Seeds and op determinism alone leave differences between runs: the order in which TensorFlow's inter-op pool
    runs independent ops must be fixed too, and the number of intra-op threads must not vary. One thread per process
    also makes results independent of the number of cores; parallelism comes from folds (:func:`pmap`).

    Parameters
    ----------
    seed : int
        Seed of Python, NumPy and the Keras backend.
    threads : int
        Intra-op threads. Other values give other bits.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        _pin_threads(tf.config.threading, threads)


def _pin_threads(threading: Any, threads: int) -> None:
    pools = {"inter_op": 1, "intra_op": threads}
    for pool, wanted in pools.items():
        if getattr(threading, f"get_{pool}_parallelism_threads")() == wanted:
            continue
        try:
            getattr(threading, f"set_{pool}_parallelism_threads")(wanted)
        except RuntimeError as error:
            raise UserError(
                f"TensorFlow already runs with other {pool} threads than {wanted}, so results would not repeat; "
                "restart the kernel and call study.seed_everything before anything else"
            ) from error


def commit() -> str:
    """Short git commit with ``+`` when tracked files differ from it; ``unknown`` outside a checkout."""
    git = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        head = git(["git", "rev-parse", "--short=12", "HEAD"])
        dirty = git(["git", "status", "--porcelain", "--untracked-files=no"])
    except FileNotFoundError:
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "") if head.returncode == 0 else "unknown"


def cpu_name() -> str:
    """Model name of the processor, as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def environment(*packages: str) -> dict[str, str]:
    """Where numbers come from: commit, Python, machine and versions of `packages`."""
    card = {
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": f"{cpu_name()}, {os.cpu_count()} cores",
    }
    return card | versions(*packages)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions; ``not installed`` where a package is absent.

    Examples
    --------
    >>> versions("no-such-package")
    {'no-such-package': 'not installed'}
    """
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    names = (package, "tensorflow-cpu") if package == "tensorflow" else (package,)
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "not installed"


def run_id() -> str:
    """Identifier of this run, shared by every notebook of one ``run_all.sh`` call."""
    return os.environ.get("SER_RUN_ID") or f"{time.strftime('%Y%m%d-%H%M%S')}-{commit()}"


# --- progress and parallel map ----------------------------------------------------------------------------------


def progress(message: str) -> None:
    """Tell the person who waits. Lines go to ``$SER_PROGRESS`` (set by the runner, who prints them), else to stderr."""
    target = os.environ.get("SER_PROGRESS")
    if not target:
        print(message, file=sys.stderr, flush=True)
        return
    with open(target, "a", encoding="utf-8") as file:  # one short append is atomic, so workers never mix lines
        file.write(message + "\n")


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> duration(42), duration(150), duration(5400)
    ('42 s', '2.5 min', '1.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def n_jobs() -> int:
    """Processes that a parallel map may use: ``$SER_JOBS``, else the number of cores.

    Raises
    ------
    UserError
        When ``$SER_JOBS`` is not a whole number from 1.
    """
    wanted = os.environ.get("SER_JOBS") or str(os.cpu_count() or 1)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UserError(f"SER_JOBS={wanted} is no number of processes; set it to 1 or more, or unset it for all cores")
    return int(wanted)


def pmap(fn: Callable[[Any], T], items: Iterable[Any], *, desc: str, jobs: int | None = None) -> list[T]:
    """Map `fn` over `items` in processes; order is kept, and the first error stops the map.

    With ``$SER_DASK_SCHEDULER`` (``tcp://HOST:PORT``) the processes are the workers of that Dask cluster.

    Parameters
    ----------
    fn : callable
        Picklable; takes one item.
    items : iterable
    desc : str
        What the progress line says, e.g. ``"features of ravdess"``.
    jobs : int, optional
        Processes; default :func:`n_jobs`. With 1 everything runs in this process. A cluster has the number it has.

    Examples
    --------
    >>> pmap(abs, [-1, 2], desc="absolute values", jobs=1)
    [1, 2]
    """
    return list(imap(fn, items, desc=desc, jobs=jobs))


def imap(fn: Callable[[Any], T], items: Iterable[Any], *, desc: str, jobs: int | None = None) -> Iterator[T]:
    """:func:`pmap` that hands over each result as it comes, so that they need not all fit into memory.

    Examples
    --------
    >>> next(imap(abs, [-1, 2], desc="absolute values", jobs=1))
    1
    """
    items = list(items)
    scheduler = os.environ.get("SER_DASK_SCHEDULER")
    if scheduler and jobs is None and items:
        cluster = importlib.import_module("ser_utils.cluster")  # by name: where a thing is computed changes no result
        return _track(cluster.imap(fn, items, desc=desc, address=scheduler), len(items), desc)
    jobs = max(1, min(jobs or n_jobs(), len(items)))
    if jobs == 1:
        return _track(map(fn, items), len(items), desc)
    from joblib import Parallel, delayed

    # no `with`: after an error it would start new workers before the error is raised
    pool = Parallel(n_jobs=jobs, return_as="generator", batch_size="auto", inner_max_num_threads=1, backend="loky")
    work = functools.partial(_patiently, fn)
    return _track(pool(delayed(work)(item) for item in items), len(items), desc, jobs=jobs)


def _patiently(fn: Callable[[Any], T], item: Any) -> T:
    """`fn` of `item` in a worker that may grow: loky ends a worker that grew by 0.3 GB, and TensorFlow grows by more in
    its first task; every new worker would import it again."""
    from joblib.externals.loky import process_executor

    process_executor._MAX_MEMORY_LEAK_SIZE = WORKER_GROWTH
    return fn(item)


def _track(
    results: Iterable[T],
    total: int,
    desc: str,
    *,
    jobs: int = 1,
    every_s: float = 5.0,
    clock: Callable = time.monotonic,
) -> Iterator[T]:
    """Pass `results` on and say every few seconds how far they are.

    `jobs` results come at a time, and the first ones bring the start of the workers with them: what is left is told
    from the rounds after the first.
    """
    start = said = first = clock()
    rounds = -(-total // jobs)
    for done, result in enumerate(results, 1):
        now, behind = clock(), -(-done // jobs)
        first = now if done == 1 else first
        if done < total and now - said > every_s:
            left = (now - first) / (behind - 1) * (rounds - behind) if behind > 1 else 0
            progress(f"{desc}: {done}/{total}" + (f", about {duration(left)} left" if left else ""))
            said = now
        elif done == total and now - start > every_s:
            progress(f"{desc}: {done}/{total} in {duration(now - start)}")
        yield result


# --- artefact cache ---------------------------------------------------------------------------------------------


def digest(value: Any, *, length: int = 16) -> str:
    """Hash of anything that JSON can hold, independent of the order of keys.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(folder: Path) -> str:
    """What tells that files below `folder` were added, removed, renamed or written, without reading one.

    Taken from the path, size and time of change of every file; links are followed as by :func:`files_below`.

    Examples
    --------
    >>> fingerprint(PACKAGE) == fingerprint(PACKAGE)
    True
    """
    facts = []
    for path in files_below(folder):
        try:
            stat = os.stat(folder / path)
            facts.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
        except OSError:  # a link to nothing, or a file that may not be read: reading the corpus reports it
            facts.append(f"{path} unreadable")
    return f"{len(facts)} files, {digest(sorted(facts))}"


def files_below(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, with forward slashes; none where it does not exist.

    Links to folders are followed, and no folder is entered twice, so links that lead back end.

    Examples
    --------
    >>> "study.py" in set(files_below(PACKAGE))
    True
    """
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders.sort(key=lambda name, parent=parent: (os.path.islink(os.path.join(parent, name)), name))
        start = "" if parent == os.fspath(folder) else f"{os.path.relpath(parent, folder)}/".replace(os.sep, "/")
        yield from (start + name for name in names)


@contextlib.contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place when the block ends well, and vanishes when it does not.

    Works for a file and for a folder. A folder that another process completed first is kept and ours is dropped:
    equal keys mean equal content.

    Raises
    ------
    UserError
        When the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
    except OSError as error:
        raise _disk_error(error, target) from error
    try:
        temporary = holder / target.name
        yield temporary
        if not (temporary.is_dir() and target.is_dir()):
            os.replace(temporary, target)
    except Exception as error:
        raise _disk_error(error, target) from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _disk_error(error: Exception, target: Path) -> Exception:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # libraries name a full disk as they like: libsndfile says "System error"
    if not full and not (target.parent.is_dir() and shutil.disk_usage(target.parent).free < 2**16):
        return error
    return UserError(
        f"no space left on the disk of {target.parent} while writing {target.name}; "
        "free some or set SER_OUT to another disk, then run again: finished parts are kept"
    )


def cached(
    folder: Path,
    key: Mapping[str, Any],
    make: Callable[[], T],
    *,
    save: Callable[[T, Path], None],
    load: Callable[[Path], T],
) -> T:
    """Result of `make`, computed once per `key`.

    Parameters
    ----------
    folder : Path
        Kind of artefact, e.g. ``paths(profile).derived / "features"``; the artefact is ``folder/<digest of key>/``.
    key : mapping
        Everything that the result depends on: code version, parameters, content hashes. Kept beside it in ``key.json``.
    make : callable
        Computes the value.
    save, load : callable
        Write the value into a folder and read it back.

    Raises
    ------
    UserError
        When the disk is full. A run that is killed leaves nothing that a later run would trust.
    """
    target = folder / digest(key)
    if not target.is_dir():
        value = make()
        with atomic(target) as temporary:
            temporary.mkdir()
            (temporary / "key.json").write_text(json.dumps(key, indent=1, default=str), encoding="utf-8")
            save(value, temporary)
    return load(target)


def code_version(*modules: str, without: Iterable[str] = ()) -> str:
    """Hash of the code of `modules` and of all of ``ser_utils`` that they import, comments and docstrings left out.

    ``study`` counts only with :func:`seed_everything`, the one function in it that changes numbers. Modules named in
    `without` do not count, nor what only they import.

    Examples
    --------
    >>> code_version("audio") == code_version("audio")
    True
    """
    files = sorted(imported_files(*modules, without=without) - {PACKAGE / "study.py", PACKAGE / "__init__.py"})
    trees = {file.relative_to(PACKAGE).as_posix(): _bare(file.read_text(encoding="utf-8")) for file in files}
    seeding = "".join(inspect.getsource(function) for function in (seed_everything, _pin_threads))
    return digest(trees | {"seed": _bare(seeding)}, length=12)


def imported_files(*modules: str, without: Iterable[str] = ()) -> set[Path]:
    """Source files of `modules` of this package, and of all modules of it that they import, directly or not, but not
    through those named in `without`.

    Examples
    --------
    >>> sorted(file.name for file in imported_files("study"))
    ['__init__.py', 'study.py']
    """
    found: set[Path] = {PACKAGE / "__init__.py"}
    barred = {file for module in without for file in _module_files(module)}
    waiting = [file for module in modules for file in _module_files(module)]
    while waiting:
        file = waiting.pop()
        if file not in found | barred:
            found.add(file)
            waiting += [f for name in imported_modules(file.read_text(encoding="utf-8")) for f in _module_files(name)]
    return found


def imported_modules(source: str) -> set[str]:
    """Modules of ``ser_utils`` that a Python source imports, as dotted names within the package.

    Examples
    --------
    >>> sorted(imported_modules("from ser_utils import audio, study\\nfrom ser_utils.corpora import demo"))
    ['audio', 'corpora', 'corpora.demo', 'study']
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ser_utils":
            base = node.module.split(".")[1:]
            names |= {".".join(base)} | {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {".".join(a.name.split(".")[1:]) for a in node.names if a.name.split(".")[0] == "ser_utils"}
    return {name for name in names if name and _module_files(name)}


def _module_files(module: str) -> list[Path]:
    base = PACKAGE.joinpath(*module.split("."))
    if base.is_dir():
        return sorted(base.glob("*.py"))
    return [base.with_suffix(".py")] if base.with_suffix(".py").is_file() else []


def _bare(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
