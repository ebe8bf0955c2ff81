"""Parameters of a notebook: what its ``parameters`` cell declares, and whether a profile's values fit.

Papermill only warns about a parameter that a notebook does not have; here it is an error before anything runs.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_utils.study import ROOT, UserError, load_profile

PROFILE = "profile"  # the one parameter that the run itself sets
_SCALARS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list, tuple),
    "tuple": (list, tuple),
    "dict": (dict,),
    "object": (object,),
}


@dataclass(frozen=True)
class Parameter:
    """One line of the ``parameters`` cell: ``name: kind = default  # comment``."""

    name: str
    kind: str  # annotation as written, else derived from the default
    default: Any
    comment: str


def cells(notebook: Path) -> list[dict[str, Any]]:
    """Cells of a notebook file, each with its source joined into one string.

    Raises
    ------
    UserError
        When the file is not a notebook.
    """
    try:
        found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return [cell | {"source": "".join(cell["source"])} for cell in found]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{_name(notebook)} is not a Jupyter notebook ({error!r}); restore it from git") from error


def code(notebook: Path) -> str:
    """All Python of a notebook."""
    return "\n".join(cell["source"] for cell in cells(notebook) if cell["cell_type"] == "code")


def declared(notebook: Path) -> dict[str, Parameter]:
    """Parameters that the cell tagged ``parameters`` declares, by name.

    Raises
    ------
    UserError
        When there is no such cell, or when a default is not a literal.
    """
    tagged = [cell for cell in cells(notebook) if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if not tagged:
        raise UserError(f"{_name(notebook)} has no cell tagged 'parameters'; tag its second cell so")
    try:
        return parse(tagged[0]["source"])
    except (SyntaxError, ValueError, AttributeError) as error:
        raise UserError(
            f"{_name(notebook)}: the parameters cell holds more than lines of 'name: type = literal' ({error})"
        ) from error


def parse(source: str) -> dict[str, Parameter]:
    """Parameters that the source of a cell declares, by name.

    Examples
    --------
    >>> parse("win_s: float = 0.025  # seconds")["win_s"]
    Parameter(name='win_s', kind='float', default=0.025, comment='seconds')
    """
    lines = source.splitlines()
    found = [_parameter(node, lines) for node in ast.parse(source).body]
    return {parameter.name: parameter for parameter in found}


def _parameter(node: ast.stmt, lines: list[str]) -> Parameter:
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        default = ast.literal_eval(node.value)
        name, kind = node.target.id, ast.unparse(node.annotation)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        default = ast.literal_eval(node.value)
        name, kind = node.targets[0].id, kind_of(default)
    else:
        raise ValueError(f"line {node.lineno}: {ast.unparse(node)}")
    comment = re.search(r"#\s*(.*)$", lines[node.end_lineno - 1][node.end_col_offset :])
    return Parameter(name, kind, default, comment[1] if comment else "")


def kind_of(value: Any) -> str:
    """Type of a literal as an annotation.

    Examples
    --------
    >>> kind_of(0.5), kind_of([1, 2]), kind_of(None)
    ('float', 'list[int]', 'object')
    """
    if value is None:
        return "object"
    if isinstance(value, list | tuple) and value:
        return f"list[{' | '.join(sorted({kind_of(item) for item in value}))}]"
    return type(value).__name__


def fits(value: Any, kind: str) -> bool:
    """Whether a value from YAML has the type that an annotation names; an integer passes as a float.

    Examples
    --------
    >>> fits(1, "float"), fits(1.5, "int"), fits([1, "a"], "list[int]"), fits(None, "int | None")
    (True, False, False, True)
    """
    return _fits(value, ast.parse(kind, mode="eval").body)


def _fits(value: Any, node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=None):
            return value is None
        case ast.BinOp(op=ast.BitOr()):
            return _fits(value, node.left) or _fits(value, node.right)
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, item])):
            return isinstance(value, dict) and all(_fits(k, key) and _fits(v, item) for k, v in value.items())
        case ast.Subscript(slice=item):
            item = item.elts[0] if isinstance(item, ast.Tuple) else item
            return isinstance(value, list | tuple) and all(_fits(v, item) for v in value)
        case ast.Name(id=name) if name in _SCALARS:
            return isinstance(value, _SCALARS[name]) and (name in ("bool", "object") or not isinstance(value, bool))
    raise UserError(f"a parameter's type {ast.unparse(node)!r} is not understood; use {', '.join(_SCALARS)}")


def check(name: str, profile: str) -> dict[str, Any]:
    """Values that ``config/<profile>.yaml`` gives to the notebook `name`, each known to it and of the right type.

    Raises
    ------
    UserError
        For a notebook that does not exist, an unknown parameter (with the nearest name) or a mistyped value.
    """
    sections = load_profile(profile)["notebooks"]
    place = f"config/{profile}.yaml: notebooks.{name}"
    notebook = ROOT / "notebooks" / f"{name}.ipynb"
    if not notebook.is_file():
        known = sorted(file.stem for file in notebook.parent.glob("[0-9]*.ipynb"))
        raise UserError(f"{place}: notebooks/{name}.ipynb does not exist{nearest(name, known)}")
    section = sections.get(name, {})
    known = declared(notebook)
    for key, value in section.items():
        _check_value(key, value, known, place=place, notebook=notebook)
    return dict(section)


def _check_value(key: str, value: Any, known: Mapping[str, Parameter], *, place: str, notebook: Path) -> None:
    if key == PROFILE:
        raise UserError(f"{place}.{key}: the run sets this parameter itself; delete the line")
    if key not in known:
        names = sorted(set(known) - {PROFILE})
        raise UserError(f"{place}.{key} is not a parameter of {_name(notebook)}{nearest(str(key), names)}")
    if not fits(value, known[key].kind):
        hint = f"; YAML wants a dot and a sign in it, such as {float(value)}" if _number_as_text(value) else ""
        raise UserError(
            f"{place}.{key} is {value!r} ({kind_of(value)}), but {_name(notebook)} wants {known[key].kind}, "
            f"such as {known[key].default!r}{hint}"
        )


def _number_as_text(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", value) is not None


def nearest(word: str, known: list[str]) -> str:
    """End of a sentence that proposes the known word nearest to a wrong one.

    Examples
    --------
    >>> nearest("epoch", ["epochs", "seed"])
    "; did you mean 'epochs'? (known: epochs, seed)"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (f"; did you mean '{close[0]}'?" if close else ";") + f" (known: {', '.join(known) or 'none'})"


def _name(notebook: Path) -> str:
    return f"{notebook.parent.name}/{notebook.name}"
