# The study as a graph: the manifest, then one rule per notebook that the profile lists. `./run_all.sh PROFILE` runs it;
# a cluster takes it with Snakemake's own executors, see config/cluster:
#   snakemake --config profile=full --profile config/cluster/slurm
# A rule runs again when an input is newer than its outputs, when its part of the profile changed, or when an output
# is missing. Paths of outputs are relative to the output root.

import os
import shlex
import sys

from ser_utils import graph, parameters, study

PROFILE = str(config.get("profile", "demo"))
SETTINGS = study.load_profile(PROFILE)
WHERE = study.paths(PROFILE)
NOTEBOOKS = sorted(SETTINGS["notebooks"])
PYTHON = shlex.quote(sys.executable)


workdir: study.output_root()


def rel(path):
    return os.path.relpath(path, study.output_root())


def left_by(name):
    always = [f"{name}.html", f"notebooks/{name}.ipynb", f"records/{name}.json"]
    return [rel(WHERE.reports / file) for file in always + graph.LEAVES.get(name, [])]


def products_of_upstream(name):
    return [rel(WHERE.reports / file) for other in graph.upstream(name, NOTEBOOKS) for file in graph.LEAVES[other]]


rule all:
    input:
        [left_by(name) for name in NOTEBOOKS],


rule manifest:
    input:
        map(rel, graph.sources("corpora")),
        rel(study.ROOT / "requirements.lock"),
    output:
        rel(WHERE.manifest),
        rel(WHERE.derived / "findings.parquet"),
        *([rel(WHERE.derived / "noise.parquet")] if SETTINGS["noise"] else []),
    params:
        *graph.settings(PROFILE, without=("embed_audio",)),
        *graph.raw_files(PROFILE),
    threads: workflow.cores
    shell:
        "exec env SER_JOBS={threads} " + PYTHON + " -m ser_utils manifest --profile " + PROFILE


for name in NOTEBOOKS:

    rule:
        name:
            name
        input:
            rel(study.ROOT / "notebooks" / f"{name}.ipynb"),
            map(rel, graph.sources(*study.imported_modules(parameters.code(study.ROOT / "notebooks" / f"{name}.ipynb")))),
            rel(study.ROOT / "requirements.lock"),
            rules.manifest.output,
            products_of_upstream(name),
        output:
            left_by(name),
        params:
            *graph.settings(PROFILE),
            *graph.values(PROFILE, name),
        threads: 1 if name == graph.EVALUATION else workflow.cores  # all others spread their work
        priority: -int(name[:2])  # of those that may run, the first in the order of reading
        shell:
            "exec env SER_JOBS={threads} " + PYTHON + " -m ser_utils notebook {rule} --profile " + PROFILE
