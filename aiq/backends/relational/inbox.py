"""Jobs that were left in transactions of their callers, and are stored by whoever comes next."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from aiq.backends.relational.enqueue import enqueue
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import plain
from aiq.backends.relational.transaction import Transaction
from aiq.errors import InvalidInput, StorageError
from aiq.model import JobSpec

SQL: Final = load("inbox")

AT_ONCE: Final = 16
"""How many rows one step takes in; each holds a batch at most."""

_log: Final = logging.getLogger("aiq.inbox")
_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(list[JobSpec])


def left(batch: Sequence[JobSpec]) -> bytes:
    """Jobs as a row of the inbox holds them."""
    return _encoder.encode(batch)


def anything_left(tx: Transaction) -> bool:
    """Whether jobs were left that nobody has looked at."""
    return bool(tx.rows(SQL["any"])[0][0])


def take_in(tx: Transaction) -> None:
    """Store what was left, oldest first. Spec: ENQ-9, ENQ-10"""
    for number, content in tx.rows(SQL["oldest"], {"limit": AT_ONCE}):
        try:
            enqueue(tx, _decoder.decode(content), None, bounded=False)
        except (StorageError, InvalidInput, msgspec.MsgspecError) as error:
            # It is checked whole before anything of it is written.
            _log.error("Jobs that were left in a transaction cannot be stored: %s", error)
            tx.run(SQL["put_aside"], {"number": number, "error": f"{type(error).__name__}: {error}"})
        else:
            tx.run(SQL["drop"], {"number": number})
