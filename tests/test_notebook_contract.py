"""Every notebook keeps the contract that its readers count on."""

from __future__ import annotations

import ast
import copy
import re

import pytest

from ser_utils import parameters, study

NOTEBOOKS = sorted((study.ROOT / "notebooks").glob("[0-9]*.ipynb"))
MAX_CODE_CELLS = 30
MAX_LINES = 25  # blank ones not counted
MAX_BLOCK = 5  # code cells in a row without a word
HEADERS = ("Question", "Reads", "Writes", "Expected time", "Previous", "Next")
NETWORK = {"urllib", "requests", "http", "socket", "httpx", "aiohttp", "ftplib"}
ABSOLUTE = re.compile(r"""["'(`](/(home|work|Users|tmp|mnt|data|root|content|opt)\b|~/|[A-Z]:\\)""")


def problems(cells: list[dict]) -> list[str]:
    """What a notebook breaks, one clause each."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return [*_head(cells), *_tail(cells), *_shape(cells, code), *_code(code)]


def _head(cells: list[dict]) -> list[str]:
    first, second, third = cells[:3]
    found = [] if re.match(r"# \d\d · \S", first["source"]) else ["cell 1 does not start with '# NN · Title'"]
    found += [f"cell 1 lacks {word}" for word in HEADERS if not re.search(rf"\*\*{word}[.:]?\*\*", first["source"])]
    if not re.search(r"\*\*Expected time.*\bdemo\b.*\bfull\b", first["source"], re.DOTALL):
        found.append("cell 1 does not give the expected time for demo and full")
    if "parameters" not in second["metadata"].get("tags", []):
        return [*found, "cell 2 is not tagged 'parameters'"]
    found += _parameters(second["source"])
    if third["cell_type"] != "code" or "import" not in third["source"] or "environment" not in third["source"]:
        found.append("cell 3 does not hold the imports and the environment card")
    return found


def _parameters(source: str) -> list[str]:
    found = []
    declared = parameters.parse(source)
    if not declared or next(iter(declared)) != parameters.PROFILE:
        found.append("the first parameter is not 'profile'")
    for parameter in declared.values():
        if not parameter.comment:
            found.append(f"parameter {parameter.name} has no comment with its unit")
        if not parameters.fits(parameter.default, parameter.kind):
            found.append(f"parameter {parameter.name} is {parameter.default!r}, which is not {parameter.kind}")
        if isinstance(parameter.default, dict):
            found.append(f"parameter {parameter.name} is not flat")
    return found


def _tail(cells: list[dict]) -> list[str]:
    """The end: Conclusions, Limits and Next in this order, as headings or in bold; the last cell is text."""
    marks = re.findall(r"^(?:#{2,3} |\*\*)(Conclusions|Limits|Next)\b", "\n".join(_markdown(cells[3:])), re.MULTILINE)
    found = [] if marks == ["Conclusions", "Limits", "Next"] else ["does not end on Conclusions, Limits, Next"]
    return found if cells[-1]["cell_type"] == "markdown" else [*found, "the last cell is not markdown"]


def _markdown(cells: list[dict]) -> list[str]:
    return [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]


def _shape(cells: list[dict], code: list[dict]) -> list[str]:
    found = [f"{len(code)} code cells, more than {MAX_CODE_CELLS}"] if len(code) > MAX_CODE_CELLS else []
    block = 0
    for number, cell in enumerate(cells[3:], 4):
        block = block + 1 if cell["cell_type"] == "code" else 0
        if (number == 4 and block) or block > MAX_BLOCK:
            found.append(f"cell {number} has no prose before it")
    for number, cell in enumerate(cells, 1):
        lines = sum(bool(line.strip()) for line in cell["source"].splitlines())
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []) and lines > MAX_LINES:
            found.append(f"cell {number} has {lines} lines, more than {MAX_LINES}")
        if cell.get("outputs") or cell.get("execution_count"):
            found.append(f"cell {number} is committed with outputs")
    return found


def _code(code: list[dict]) -> list[str]:
    found = []
    for cell in code:
        source = cell["source"]
        start = source.splitlines()[0] if source else "(empty)"
        if re.search(r"^\s*[%!]|get_ipython|subprocess|os\.system", source, re.MULTILINE):
            found.append(f"shell or magic in the cell '{start}'")
            continue
        if ABSOLUTE.search(source):
            found.append(f"an absolute path in the cell '{start}'")
        modules = {name.split(".")[0] for node in ast.walk(ast.parse(source)) for name in _imports(node)}
        if modules & NETWORK or "http://" in source or "https://" in source:
            found.append(f"network access in the cell '{start}'")
    return found


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_contract(notebook):
    assert problems(parameters.cells(notebook)) == []


def test_notebooks_exist():
    assert NOTEBOOKS


def _cell(source: str, *, tags: list[str] | None = None) -> dict:
    metadata = {"tags": tags} if tags else {}
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


def _text(source: str) -> dict:
    return {"cell_type": "markdown", "source": source, "metadata": {}}


GOOD = [
    _text(
        "# 01 · Title\n\n**Question.** Why?\n\n**Reads.** x\n\n**Writes.** y\n\n"
        "**Expected time.** demo 1 min, full 2 min.\n\n**Previous:** none · **Next:** 02"
    ),
    _cell(
        'profile: str = "demo"  # name of a file under config/\nwin_s: float = 0.025  # seconds', tags=["parameters"]
    ),
    _cell("from ser_utils import study\n\nstudy.environment()"),
    _text("## Counting\n\nWe count."),
    _cell("print(1)"),
    _text("## Conclusions\n\nOne."),
    _cell("print(2)"),
    _text("## Limits\n\nFew.\n\n## Next\n\n02"),
]


def test_a_good_notebook_passes():
    assert problems(GOOD) == []


def _replace(number: int, old: str, new: str):
    def change(cells: list[dict]) -> None:
        assert old in cells[number]["source"]
        cells[number]["source"] = cells[number]["source"].replace(old, new)

    return change


BAD = {
    "NN · Title": _replace(0, "# 01 · Title", "# Title"),
    "lacks Writes": _replace(0, "**Writes.**", "Writes"),
    "expected time": _replace(0, ", full 2 min", ""),
    "not tagged": lambda cells: cells[1]["metadata"].clear(),
    "first parameter": _replace(1, "profile", "profil"),
    "no comment": _replace(1, "  # seconds", ""),
    "which is not float": _replace(1, "0.025", "'0.025'"),
    "imports and the environment card": _replace(2, "study.environment()", ""),
    "no prose": lambda cells: cells.pop(3),
    "more than 25": _replace(4, "print(1)", "print(1)\n" * 26),
    "with outputs": lambda cells: cells[4].update(execution_count=3),
    "shell or magic": _replace(4, "print(1)", "!ls"),
    "absolute path": _replace(4, "print(1)", "open('/home/me/a.wav')"),
    "network": _replace(4, "print(1)", "import urllib.request"),
    "Conclusions, Limits, Next": _replace(7, "## Limits", "## Ends"),
    "last cell": lambda cells: cells.append(_cell("print(3)")),
    "no prose before": lambda cells: cells.__setitem__(slice(5, 5), [_cell("1")] * 5),
    "more than 30": lambda cells: cells.__setitem__(slice(4, 4), [_cell("1"), _text("a")] * 30),
}


@pytest.mark.parametrize("expected", BAD)
def test_a_bad_notebook_is_named(expected):
    cells = copy.deepcopy(GOOD)
    BAD[expected](cells)
    assert any(expected in problem for problem in problems(cells)), problems(cells)
