"""Jobs that were left in transactions of their callers, and are stored by whoever comes next."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from aiq.backends.relational.connection import Row
from aiq.backends.relational.enqueue import enqueue
from aiq.backends.relational.plain.enqueue import may_be_plain
from aiq.backends.relational.retire import require_open
from aiq.backends.relational.rows import numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import plain
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_BATCH, MAX_LEFT_BYTES
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
    return bool(tx.rows(SQL["any"])[0][0])


def take_in(
    tx: Transaction,
    most: int,
    taken: list[int],
    store_plainly: Callable[[Transaction, Sequence[JobSpec]], bool],
) -> None:
    """Store what the oldest rows hold, at most so many of them, as one batch. All of it happens, or nothing.

    `taken` are their numbers in the end, also where they are refused: one of them is to blame then.

    Raises:
        one of REFUSED: it cannot be stored.
    Spec: ENQ-9, ENQ-12
    """
    require_open(tx)
    taken.clear()
    batch = _oldest(tx.rows(SQL["oldest"], {"limit": most, "bytes": MAX_LEFT_BYTES}), taken)
    if not taken:
        return
    check_batch(batch, None)
    # First, so that who may not do it is told by a short statement, with which a server fills no log.
    tx.run(SQL["drop"], {"numbers": numbers(taken)})
    if not (may_be_plain(batch, None) and store_plainly(tx, batch)):
        enqueue(tx, batch, None, bounded=False)


def _oldest(rows: Sequence[Row], taken: list[int]) -> list[JobSpec]:
    """The jobs of as many rows as make one batch. What cannot be read ends it, and is refused when it comes first."""
    batch: list[JobSpec] = []
    for number, content in rows:
        try:
            more = _decoder.decode(content)
        except REFUSED:
            if taken:
                break
            taken.append(number)
            raise
        if taken and len(batch) + len(more) > MAX_BATCH:
            break
        taken.append(number)
        batch += more
    return batch


def put_aside(tx: Transaction, number: int, error: Exception) -> None:
    """Keep a row that cannot be stored, with the reason. Spec: ENQ-10"""
    _log.error("Jobs that were left in a transaction cannot be stored: %s", error)
    tx.run(SQL["put_aside"], {"number": number, "error": f"{type(error).__name__}: {error}".replace("\0", "\\0")})
