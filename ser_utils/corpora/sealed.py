"""Tables on disk that carry a checksum of their content, so that a later run can tell whether to trust them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ser_utils import study

_CHECKSUM = b"ser_content_sha256"


def write(table: pd.DataFrame, file: Path, **about: str) -> None:
    """Write a table, its checksum and what it is about; complete or not at all.

    Raises
    ------
    study.UserError
        When the disk is full.
    """
    parquet = pa.Table.from_pandas(table, preserve_index=False)
    words = {f"ser_{key}".encode(): value.encode() for key, value in about.items()}
    metadata = (parquet.schema.metadata or {}) | {_CHECKSUM: _checksum(table).encode()} | words
    with study.atomic(file) as temporary:
        pq.write_table(parquet.replace_schema_metadata(metadata), temporary)


def about(file: Path) -> dict[str, str] | None:
    """What a table is about, without reading it; None for a file that :func:`write` did not leave."""
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    words = {key.decode(): value.decode() for key, value in metadata.items() if key.startswith(b"ser_")}
    return {key.removeprefix("ser_"): value for key, value in words.items()} if _CHECKSUM in metadata else None


def read(file: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a table and check it.

    Raises
    ------
    ValueError
        With one clause: a column is missing, or the content no longer fits its checksum.
    OSError
        When the file is no table at all.
    """
    try:
        parquet = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise OSError("not readable as a table") from error
    table = parquet.to_pandas()
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise ValueError(f"column '{missing[0]}' is missing")
    if (parquet.schema.metadata or {}).get(_CHECKSUM, b"").decode() != _checksum(table):
        raise ValueError("its content no longer fits its checksum")
    return table.astype({name: dtype for name, dtype in columns.items() if dtype == "str"})


def _checksum(table: pd.DataFrame) -> str:
    return study.digest(table.to_csv(index=False), length=64)
