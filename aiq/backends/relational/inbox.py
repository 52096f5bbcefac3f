"""Jobs that were left in transactions of their callers, and are stored by whoever comes next."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from aiq.backends.relational.enqueue import enqueue
from aiq.backends.relational.retire import require_open
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import plain
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Conflict, Corrupt, InvalidInput, NotFound
from aiq.model import JobSpec
from aiq.rules.validation import check_batch

SQL: Final = load("inbox")

REFUSED: Final = (InvalidInput, Conflict, NotFound, Corrupt, ValueError, TypeError, RecursionError)
"""With these a row can never be stored as things stand. What a database raises otherwise may be over in a moment.
msgspec's errors are ValueErrors, or TypeErrors."""

_log: Final = logging.getLogger("aiq.inbox")
_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(list[JobSpec])


def left(batch: Sequence[JobSpec]) -> bytes:
    """Jobs as a row of the inbox holds them."""
    check_batch(batch, None)
    return _encoder.encode(batch)


def anything_left(tx: Transaction) -> bool:
    """Whether jobs were left that nobody has looked at."""
    return oldest_left(tx) is not None


def oldest_left(tx: Transaction) -> int | None:
    """The row that was left first of those that nobody has looked at."""
    number: int | None = tx.rows(SQL["oldest"])[0][0]
    return number


def take_in(tx: Transaction, number: int) -> None:
    """Store what a row holds, unless somebody has. It is a step of its own: all of it happens, or nothing.

    Raises:
        one of REFUSED: it cannot be stored.
    Spec: ENQ-9
    """
    require_open(tx)
    for (content,) in tx.rows(SQL["content"], {"number": number}):
        batch = _decoder.decode(content)
        check_batch(batch, None)
        enqueue(tx, batch, None, bounded=False)
        tx.run(SQL["drop"], {"number": number})


def put_aside(tx: Transaction, number: int, error: Exception) -> None:
    """Keep a row that cannot be stored, with the reason. Spec: ENQ-10"""
    _log.error("Jobs that were left in a transaction cannot be stored: %s", error)
    tx.run(SQL["put_aside"], {"number": number, "error": f"{type(error).__name__}: {error}".replace("\0", "\\0")})
