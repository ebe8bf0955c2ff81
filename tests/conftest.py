"""A whole small project in a temporary folder: the real package, graph and runner over notebooks of a few lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ser_utils import compiled, study

LONGEST = ("test_smoke.py", "test_own_run.py", "test_browser.py")  # files; begun last, they would leave a core idle
NUMBA = study.ROOT / "data" / "derived" / ".numba"

CORPORA = '''"""Stands in for the corpora: a manifest without audio."""

import pandas as pd

from ser_utils import study
from ser_utils.corpora.base import EMOTIONS

CORPORA = {}


def check(profile):
    """The toy corpus is registered nowhere."""


def build(profile):
    where = study.paths(profile)
    table = pd.DataFrame(
        {"path": "a.wav", "corpus": "toy", "corpus_version": "1", "speaker": "s", "exclude_reason": "",
         "duration_s": 1.0, "sha256": "0"}, index=[0]
    )
    for file in (where.manifest, where.derived / "noise.parquet", where.derived / "findings.parquet"):
        with study.atomic(file) as temporary:
            table.to_parquet(temporary)
'''
FEATURES = '"""A module that one notebook uses."""\n\nVALUE = 1\n'
EDA = [
    "from ser_utils import study\n\nstudy.progress('counting')\nprint(rows, profile)",
    "for name in ('01_quality.csv', '01_separability.csv'):\n"
    "    with study.atomic(study.paths(profile).reports / 'tables' / name) as temporary:\n"
    "        temporary.write_text('clip_id\\n')",
]
LSTM = [
    "import pandas as pd\n\nfrom ser_utils import evaluation, features, study",
    "study.progress('fold 1 of 1')\n"
    "rows = [(f'c{i}', f's{i % 4}', truth) for i, truth in enumerate(['happy', 'sad'] * 8)]\n"
    "table = pd.DataFrame(rows, columns=['clip_id', 'speaker', 'y_true'])\n"
    "table['y_pred'] = ['happy' if i < features.VALUE * epochs else 'sad' for i in range(16)]\n"
    "table['p_happy'] = (table['y_pred'] == 'happy').astype(float)\n"
    "table['p_sad'] = 1 - table['p_happy']\n"
    "known = dict(run_id=study.run_id(), profile=profile, corpus='toy', corpus_version='1', split='loso', fold=0)\n"
    "known |= dict(seed=0, model='lstm', features='none', train_regime='clean', condition='clean')\n"
    "table = table.assign(**known)\n"
    "scores = evaluation.results_table(table, n_resamples=100)\n"
    "for name in ('04_lstm', '04_beside'):\n"
    "    evaluation.save_results(scores, study.paths(profile).reports / 'results' / f'{name}.csv')\n"
    "    evaluation.save_predictions(table, profile, name)",
]
EVALUATION = [
    "from ser_utils import evaluation, study",
    "results = evaluation.results_table(evaluation.load_predictions(profile), n_resamples=resamples)\n"
    "evaluation.save_results(results, study.paths(profile).reports / 'results.csv')",
]


def notebook(title: str, parameters: str, cells: list[str]) -> dict:
    """A notebook as nbformat stores it."""

    def cell(kind: str, source: str, number: int, tags: list[str] | None = None) -> dict:
        made = {"cell_type": kind, "id": f"c{number}", "metadata": {"tags": tags} if tags else {}, "source": source}
        return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})

    made = [cell("markdown", f"# {title}", 0), cell("code", parameters, 1, ["parameters"])]
    made += [cell("code", source, number) for number, source in enumerate(cells, 2)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@dataclass
class Project:
    """A project folder with commands."""

    root: Path

    def write(self, name: str, cells: list[str], parameters: str = "") -> None:
        text = 'profile: str = "demo"  # name of a file under config/\n' + parameters
        content = notebook(name.replace("_", " · "), text, cells)
        file = self.root / "notebooks" / f"{name}.ipynb"
        file.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def configure(self, **notebooks: dict) -> None:
        names = {"eda": "01_eda", "lstm": "04_lstm", "evaluation": "09_evaluation"}
        profile = {"title": "Toy", "corpora": ["toy"], "noise": "toy"}
        profile["notebooks"] = {names[key]: values for key, values in notebooks.items()}
        (self.root / "config" / "toy.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SER_")}
        return kept | {"PYTHONPATH": str(self.root), "VIRTUAL_ENV": sys.prefix, "NUMBA_CACHE_DIR": str(NUMBA)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ser_utils", *arguments]

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """``python -m ser_utils …``; `extra` are environment variables."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment | extra,
            capture_output=True,
            text=True,
            check=False,
        )

    def record(self, name: str) -> dict:
        return json.loads((self.root / "reports" / "toy" / "records" / f"{name}.json").read_text(encoding="utf-8"))


def make_project(root: Path) -> Project:
    """Copy the package and the graph, leave corpora and features out, add three notebooks and the profile ``toy``."""
    skip = shutil.ignore_patterns("__pycache__", "corpora", "features")
    shutil.copytree(study.PACKAGE, root / "ser_utils", ignore=skip)
    for name in ("Snakefile", "requirements.lock", "run_all.sh"):
        shutil.copy2(study.ROOT / name, root / name)
    for folder in ("config", "notebooks", "ser_utils/corpora"):
        (root / folder).mkdir()
    shutil.copy2(study.PACKAGE / "corpora" / "base.py", root / "ser_utils" / "corpora")
    (root / "ser_utils" / "corpora" / "__init__.py").write_text(CORPORA, encoding="utf-8")
    (root / "ser_utils" / "features.py").write_text(FEATURES, encoding="utf-8")
    project = Project(root)
    project.write("01_eda", EDA, "rows: int = 5  # rows to show\n")
    project.write("04_lstm", LSTM, "epochs: int = 1  # passes over the data\n")
    project.write("09_evaluation", EVALUATION, "resamples: int = 200  # draws per interval\n")
    project.configure(eda={}, lstm={"epochs": 3}, evaluation={})
    return project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all others in their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def numba() -> Path:
    """Cache of compiled functions, filled: projects of tests share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(NUMBA))
        compiled.once()
    return NUMBA


@pytest.fixture
def project(tmp_path: Path, numba: Path) -> Project:
    return make_project(tmp_path / "project")
