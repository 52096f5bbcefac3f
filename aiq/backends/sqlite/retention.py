"""What the storage keeps of what is over, as it was set."""

from typing import Final

import msgspec

from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import RetentionSpec

SQL: Final = load("retention")
_DEFAULT: Final = RetentionSpec()
_decoder: Final = msgspec.json.Decoder(RetentionSpec)


def put_retention(tx: Transaction, spec: RetentionSpec) -> RetentionSpec:
    """Set it, in the place of what was set before. Spec: KEEP-3"""
    tx.run(SQL["put"], {"spec": msgspec.json.encode(spec).decode()})
    return spec


def get_retention(tx: Transaction) -> RetentionSpec:
    """Read it. Spec: KEEP-3"""
    row = tx.row(SQL["get"])
    return _DEFAULT if row is None else _decoder.decode(row[0])
