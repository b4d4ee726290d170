"""Reading the rows of a Parquet file as texts, an empty text for what is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dnadiff.data.stream import sha256_of
from dnadiff.errors import InputError


class ParquetRows(NamedTuple):
    """What a file holds.

    Attributes:
        columns: Their names.
        rows: The values of each row by column, in order.
        sha256: Of the file.
    """

    columns: list[str]
    rows: Iterator[dict[str, str]]
    sha256: str


def read_parquet(path: Path) -> ParquetRows:
    """The rows of a file.

    Raises:
        InputError: It cannot be read, or what reads Parquet is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: needs a package that is missing; pip install 'dnadiff[text]' works") from error
    sha256 = sha256_of(path)
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: is no Parquet ({str(error).splitlines()[0]}); a table of CSV would work") from error
    rows = (
        {key: "" if value is None else str(value) for key, value in row.items()}
        for batch in table.to_batches(1024)
        for row in batch.to_pylist()
    )
    return ParquetRows(list(table.column_names), rows, sha256)
