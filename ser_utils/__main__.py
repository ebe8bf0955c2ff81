"""Command line of the study: ``python -m ser_utils --help``; ``./run_all.sh`` is the door to it."""

from __future__ import annotations

import argparse
import os
import sys

from ser_utils import study


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0; 1 when a notebook failed or something does not check; 2 for a user's mistake; 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    keeper = study.ROOT if os.access(study.ROOT, os.W_OK) else study.output_root()
    os.environ.setdefault("NUMBA_CACHE_DIR", str(keeper / "data" / "derived" / ".numba"))  # compiled once per machine
    try:
        return options.command(options)
    except study.UserError as error:
        print(*(f"error: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ser_utils", description="Parts of the study, one command each.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, about: str, *, profile: bool = True) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=about, description=about)
        found.set_defaults(command=function)
        if profile:
            found.add_argument("--profile", default="demo", help="name of a file under config/ (default: demo)")
        return found

    everything = command("run", _run, "bring all results of a profile up to date")
    everything.add_argument("--only", metavar="NN", help="one notebook and what it needs")
    everything.add_argument("--from", dest="start", metavar="NN", help="this and all later notebooks, changed or not")
    everything.add_argument("--dry-run", action="store_true", help="say what would run, and why")
    everything.add_argument("--cores", type=_cores, metavar="N", help="processor cores to use (default: all)")
    command("manifest", _manifest, "check the corpora and write the manifest")
    command("notebook", _notebook, "execute one notebook").add_argument("name", help="such as 04_lstm")
    command("report", _report, "render the report's index and the run record")
    data = command("data", _data, "look at the corpora", profile=False)
    data.add_argument("action", choices=["check"], help="check: name every file that is missing, unreadable or foreign")
    data.add_argument("names", nargs="*", metavar="NAME", help="corpora (default: all found)")
    command("verify", _verify, "compare outputs with the run record, and scores with the predictions")
    command(
        "publish", _publish, "keep the scores of the last run under reports/published and renew the README's tables"
    )
    return parser


def _cores(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of cores, 1 or more")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from ser_utils import graph

    return graph.run(
        options.profile, only=options.only, start=options.start, dry_run=options.dry_run, cores=options.cores
    )


def _manifest(options: argparse.Namespace) -> int:
    from ser_utils import corpora

    corpora.build(options.profile)
    return 0


def _notebook(options: argparse.Namespace) -> int:
    from ser_utils import console, runner

    record = runner.run(options.name, options.profile)
    print(console.sentence(record), file=sys.stderr)
    return 0 if record["status"] == "ok" else 1


def _report(options: argparse.Namespace) -> int:
    from ser_utils import report

    print(report.render_index(options.profile))
    return 0


def _data(options: argparse.Namespace) -> int:
    from ser_utils import corpora

    found = corpora.validate(options.names or None)
    for row in found.itertuples():
        print(f"{row.corpus}: {row.path}: {row.problem} ({row.action})")
    print(f"{len(found)} findings")
    return int((found["action"] == "stops the run").any())


def _publish(options: argparse.Namespace) -> int:
    from ser_utils.report import publish

    print(*(file.relative_to(study.ROOT) for file in publish.publish(options.profile)), sep="\n")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ser_utils import verify

    problems = verify.problems(options.profile)
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    print(f"{options.profile}: {len(problems)} problems" if problems else f"{options.profile}: everything checks")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
