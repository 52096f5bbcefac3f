"""Many rows in one value. Why they do not come one by one is told in `transaction`."""

from typing import Any

import msgspec

from aiq.backends.relational.connection import Parameters, Reader


def read_table(connection: Reader, statement: str, parameters: Parameters) -> list[list[Any]]:
    """Run a statement that answers one row: a table as JSON, and a column for each of its columns of bytes.

    JSON holds no bytes. So a row of the table ends with the lengths of its bytes, None where there are none, and
    each further column of the answer holds those of all rows on end:

        SELECT json_group_array(json_array(n, length(a))), CAST(group_concat(CAST(a AS TEXT), '') AS BLOB)

    The casts change no byte: text and bytes are the same to a database in UTF-8, which `opening` makes sure of.
    The rows come in no order that SQL would promise.
    """
    text, *columns = connection.rows(statement, parameters)[0]
    rows: list[list[Any]] = msgspec.json.decode(text)
    for place, column in enumerate(columns, start=-len(columns)):
        _fill(rows, place, column or b"")
    return rows


def _fill(rows: list[list[Any]], place: int, column: bytes) -> None:
    """Put bytes in the place of their lengths."""
    start = 0
    for row in rows:
        length = row[place]
        if length is not None:
            row[place] = column[start : start + length]
            start += length
