"""Reading a user's table, CSV or Parquet, as text: every fault is one sentence that names the file and the line."""

from __future__ import annotations

import csv
import functools
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ser_utils import study

SUFFIXES = (".csv", ".tsv", ".parquet")
_SEPARATORS = (",", ";", "\t", "|")
_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"


def find(folder: Path, *, wanted: str, hint: str) -> Path:
    """File of a table: `wanted` below `folder`, else the only table that lies in it.

    Parameters
    ----------
    folder : Path
    wanted : str
        Path below `folder`; empty: look for one.
    hint : str
        What the user writes to choose another, e.g. ``"file: labels.csv under tables: mine: in the profile"``.

    Raises
    ------
    study.UserError
        When it is not there, or when several could be meant.
    """
    found = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if wanted:
        if (folder / wanted).is_file():
            return folder / wanted
        there = f"the tables there are {', '.join(found)}" if found else "no table lies there"
        raise study.UserError(f"{folder / wanted}: no such file; {there}; write {hint}")
    if len(found) == 1:
        return folder / found[0]
    if not found:
        raise study.UserError(
            f"{folder}: no table here; put one there that ends in {', '.join(SUFFIXES)}, with a column of paths and "
            f"one of emotions, or write {hint}"
        )
    raise study.UserError(f"{folder}: holds {len(found)} tables ({', '.join(found)}); write {hint}")


def read(file: Path) -> pd.DataFrame:
    """A table as text, without spaces around its values.

    CSV is UTF-8, with or without a byte order mark, with commas, semicolons, tabs or ``|`` between the fields.

    Returns
    -------
    pd.DataFrame
        Strings; empty where nothing is given. The index is the line of the file (CSV) or the number of the row from 1
        (Parquet).

    Raises
    ------
    study.UserError
        When the file is not UTF-8 text, not whole, has no rows, or a line has another number of fields.
    """
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size).copy()


@functools.lru_cache(maxsize=16)
def _read(file: Path, _changed: int, _size: int) -> pd.DataFrame:
    data = file.read_bytes()
    if data[:4] == _ZIP:
        raise study.UserError(f"{file}: is a spreadsheet or an archive, not a table; save it as 'CSV UTF-8'")
    table = _parquet(file, data) if data[:4] == _PARQUET or file.suffix.lower() == ".parquet" else _csv(file, data)
    if table.empty:
        raise study.UserError(f"{file}: the table has no rows; write one row per clip")
    return table


def _parquet(file: Path, data: bytes) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except (OSError, pa.ArrowInvalid) as error:
        raise study.UserError(f"{file}: not readable as Parquet ({error}); write the table again") from error
    table.columns = [str(name).strip() for name in table.columns]
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table.astype("string").fillna("").apply(lambda column: column.str.strip()).astype("str")


def _csv(file: Path, data: bytes) -> pd.DataFrame:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte 0x{data[error.start]:02x}"
        line = data[: error.start].count(b"\n") + 1
        raise study.UserError(f"{file}: not UTF-8 text ({what} in line {line}); save it as 'CSV UTF-8'") from error
    head = text.lstrip().split("\n", 1)[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append([field.strip() for field in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise study.UserError(f"{file}, line {reader.line_num}: not readable as CSV ({error}); mend it") from error
    if not rows:
        raise study.UserError(f"{file}: the table is empty; write a line of column names and one row per clip")
    if len(rows[0]) == 1:
        raise study.UserError(
            f"{file}, line {lines[0]}: one field, {rows[0][0]!r}, where a table has several; separate them with "
            "commas, semicolons, tabs or |"
        )
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise study.UserError(
                f"{file}, line {line}: {len(row)} fields where the first line has {len(rows[0])}; put texts that hold "
                f"a {separator!r} in double quotes"
            )
    return pd.DataFrame(rows[1:], columns=rows[0], index=lines[1:], dtype="str")
