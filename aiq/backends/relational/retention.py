"""What the storage keeps of what is over, as it was set."""

from typing import Final

import msgspec

from aiq.backends.relational.connection import Question
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import RetentionSpec

SQL: Final = load("retention")
KEPT: Final[Question] = (SQL["get"], {})
"""What asks for how long what is over is kept."""
_DEFAULT: Final = RetentionSpec()
_decoder: Final = msgspec.json.Decoder(RetentionSpec)


def put_retention(tx: Transaction, spec: RetentionSpec) -> RetentionSpec:
    """Set it, in the place of what was set before. Spec: KEEP-3"""
    tx.run(SQL["put"], {"spec": msgspec.json.encode(spec).decode()})
    tx.retention = spec
    return spec


def results_mark(tx: Transaction) -> tuple[int, int]:
    """The end and the number of the last of the jobs that have succeeded at whose results upkeep has looked."""
    row = tx.row(SQL["results_mark"])
    return (-1, 0) if row is None else (row[0], row[1])


def mark_results(tx: Transaction, at_ms: int, n: int) -> None:
    """Put down which was the last. There is a row, since nothing goes before retention was put."""
    tx.run(SQL["mark_results"], {"at_ms": at_ms, "n": n})


def get_retention(tx: Transaction) -> RetentionSpec:
    """Read it. Spec: KEEP-3"""
    if tx.retention is None:
        row = tx.row(*KEPT)
        tx.retention = _DEFAULT if row is None else _decoder.decode(row[0])
    return tx.retention
