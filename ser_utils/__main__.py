"""Command line of the study: ``python -m ser_utils --help``; ``./run_all.sh`` is the door to it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ser_utils import study


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0; 1 when a notebook failed or something does not check; 2 for a user's mistake; 130 when interrupted.
    """
    options = _options(arguments)
    keeper = study.ROOT if os.access(study.ROOT, os.W_OK) else study.output_root()
    os.environ.setdefault("NUMBA_CACHE_DIR", str(keeper / "data" / "derived" / ".numba"))  # compiled once per machine
    try:
        study.n_jobs()  # a wrong SER_JOBS is told before anything is read
        return options.command(options)
    except study.UserError as error:
        print(*(f"error: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough: `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    """Options of one command; names may stand before, between and after them."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "names") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.names = [*options.names, *rest]
    return options


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
    everything.add_argument(
        "--from-predictions", action="store_true", help="train nothing: rebuild the report from saved predictions"
    )
    everything.add_argument("--cores", type=_cores, metavar="N", help="processor cores to use (default: all)")
    command("manifest", _manifest, "check the corpora and write the manifest")
    command("notebook", _notebook, "execute one notebook").add_argument("name", help="such as 04_lstm")
    command("report", _report, "render the report's index and the run record")
    data = command("data", _data, "see, get and check the corpora", profile=False)
    data.add_argument(
        "action",
        choices=["list", "get", "check"],
        help="list: what is here, and how to get the rest; get: fetch, or say how; check: name every file that is "
        "missing, unreadable or foreign",
    )
    data.add_argument("names", nargs="*", metavar="NAME", help="corpora (check: default all found)")
    data.add_argument(
        "--profile", default="full", help="list, check: whose corpora under 'tables' are known too (default: full)"
    )
    data.add_argument("--keep", action="store_true", help="get: keep the archives that were unpacked")
    data.add_argument("--dry-run", action="store_true", help="get: list addresses and sizes, fetch nothing")
    bench = command("bench", _bench, "measure time and memory of the parts", profile=False)
    bench.add_argument("names", nargs="*", metavar="NAME", help="parts, growth, features, app (default: parts)")
    bench.add_argument("--against", type=Path, metavar="FILE", help="compare with the JSON of another commit")
    predict = command("predict", _predict, "tell the emotions of sound files by a saved net")
    predict.add_argument(
        "names", nargs="+", metavar="FILE_OR_FOLDER", help="sound of any format; folders with all below"
    )
    predict.add_argument(
        "--model", metavar="NAME_OR_FILE", help="net of the profile, or a .keras file (default: the only)"
    )
    predict.add_argument("--csv", type=Path, metavar="OUT", help="write the probability of every emotion to this file")
    predict.add_argument("--window", type=float, metavar="S", help="seconds heard at once, of files longer than that")
    predict.add_argument(
        "--hop", type=float, metavar="S", help="seconds from window to window (default: half a window)"
    )
    predict.add_argument("--denoise", metavar="NAME", help="denoise first, such as dtln")
    export = command("export", _export, "write a saved net for other programs")
    export.add_argument("model", metavar="MODEL", help="net of the profile, or a .keras file")
    export.add_argument("--to", required=True, choices=["onnx", "tflite"])
    export.add_argument("--out", type=Path, metavar="FILE", help="default: beside the .keras file")
    app = command("app", _app, "try the nets in the browser: microphone or file", profile=False)
    app.add_argument("--host", default="127.0.0.1", help="address to serve (default: 127.0.0.1, this computer alone)")
    app.add_argument("--port", type=int, default=7860, help="0 takes a free one (default: 7860)")
    app.add_argument("--profile", dest="only", metavar="NAME", help="offer nets of this profile alone (default: all)")
    verify = command(
        "verify", _verify, "compare outputs with the run record, scores with the predictions and with published ones"
    )
    verify.add_argument(
        "--against", type=Path, metavar="DIR", help="another run to compare scores with (default: reports/published)"
    )
    command(
        "publish", _publish, "keep the scores of the last run under reports/published and renew the README's tables"
    )
    return parser


def _cores(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of cores, 1 or more")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from ser_utils import graph

    if options.from_predictions:
        from ser_utils import rebuild

        if options.only or options.start or options.dry_run:
            raise study.UserError(
                "--from-predictions rebuilds the whole report; leave out --only, --from and --dry-run"
            )
        return rebuild.rebuild(options.profile)
    return graph.run(
        options.profile, only=options.only, start=options.start, dry_run=options.dry_run, cores=options.cores
    )


def _manifest(options: argparse.Namespace) -> int:
    from ser_utils import corpora, remote

    corpora.check(options.profile)  # a wrong name is told before anything is fetched
    remote.mirror_profile(options.profile)  # Snakemake's own command comes here without graph.run
    corpora.build(options.profile)
    return 0


def _notebook(options: argparse.Namespace) -> int:
    from ser_utils import compiled, console, runner

    compiled.once()
    record = runner.run(options.name, options.profile)
    print(console.sentence(record), file=sys.stderr)
    return 0 if record["status"] == "ok" else 1


def _report(options: argparse.Namespace) -> int:
    from ser_utils import report

    print(report.render_index(options.profile))
    return 0


def _data(options: argparse.Namespace) -> int:
    return {"list": _data_list, "get": _data_get, "check": _data_check}[options.action](options)


def _data_list(options: argparse.Namespace) -> int:
    from ser_utils.corpora import fetch

    data = study.data_folder()
    _refuse(options.names, "data list takes no names")
    print(f"{study.remote_data()}, mirrored into {data}" if study.remote_data() else data, end="\n\n")
    print(*fetch.table(data, profile=options.profile), sep="\n")
    return 0


def _data_get(options: argparse.Namespace) -> int:
    from ser_utils.corpora import fetch

    _refuse([options.profile] if options.profile != "full" else [], "data get fetches the same for every profile")
    if study.remote_data():
        raise study.UserError(
            f"SER_DATA={study.remote_data()} is a remote folder, and data get writes to a local one; set SER_DATA to a "
            "folder, get the corpora, and copy them to the remote folder"
        )
    return fetch.get(options.names, study.data_folder(), keep=options.keep, dry_run=options.dry_run)


def _data_check(options: argparse.Namespace) -> int:
    from ser_utils import corpora, remote

    names = options.names or corpora.real(options.profile)
    corpora.present(names, options.profile)  # a wrong name is told before anything is fetched
    remote.mirror_for(names)
    text, fine = corpora.check_report(options.names or None, profile=options.profile)
    print(text)
    return int(not fine)


def _refuse(words: list[str], why: str) -> None:
    if words:
        raise study.UserError(f"'{words[0]}' is not understood: {why}")


def _bench(options: argparse.Namespace) -> int:
    from ser_utils import bench

    return bench.main(options.names, against=options.against)


def _predict(options: argparse.Namespace) -> int:
    from ser_utils.predicting import command

    return command.run(options)


def _export(options: argparse.Namespace) -> int:
    from ser_utils.predicting import command

    return command.export(options)


def _app(options: argparse.Namespace) -> int:
    from ser_utils import app

    return app.main(options)


def _publish(options: argparse.Namespace) -> int:
    from ser_utils.report import publish

    print(*(file.relative_to(study.ROOT) for file in publish.publish(options.profile)), sep="\n")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ser_utils import verify
    from ser_utils.report import compare, publish

    problems = verify.problems(options.profile)
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    print(f"{options.profile}: {len(problems)} problems" if problems else f"{options.profile}: everything checks")
    place = options.against or publish.FOLDER
    if not options.against and not (place / f"{options.profile}.csv").is_file():
        return int(bool(problems))  # nothing was published of this profile
    lines, fine = compare.report(options.profile, place)
    print("", *lines, sep="\n")
    return int(bool(problems) or not fine)


if __name__ == "__main__":
    sys.exit(main())
