"""What Postgres and its driver say, in the words of aiq. No driver's exception passes this module."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg
from asyncpg import exceptions as theirs
from asyncpg.exceptions import _base as clients

from aiq.backends.postgres.address import Address
from aiq.errors import (
    Corrupt,
    InvalidInput,
    Misconfigured,
    ReadOnly,
    StorageError,
    StorageFull,
    StorageMismatch,
    Unavailable,
)

AGAIN: Final = (theirs.SerializationError, theirs.DeadlockDetectedError)
"""Refused for the sake of somebody else's step; nothing has happened, and the same step may succeed at once."""
LOST: Final = (
    theirs.PostgresConnectionError,
    theirs.AdminShutdownError,
    theirs.CrashShutdownError,
    theirs.CannotConnectNowError,
    theirs.IdleInTransactionSessionTimeoutError,
    theirs.IdleSessionTimeoutError,
    theirs.InterfaceError,
    theirs.InternalClientError,
    OSError,
)
"""After these the connection is of no use any more."""
READ_ONLY: Final = theirs.ReadOnlySQLTransactionError
DRIVERS: Final = (asyncpg.PostgresError, theirs.InterfaceError, theirs.InternalClientError, OSError)
_NO_TEXT: Final = (theirs.CharacterNotInRepertoireError, theirs.UntranslatableCharacterError)
UNSENT: Final = clients.DataError
"""What the driver says, as one of its InterfaceErrors, of a value that it cannot send: the connection is as it was."""
_NO_VALUE: Final = (theirs.DataError, UNSENT)
_NO_SCHEMA: Final = (theirs.UndefinedTableError, theirs.UndefinedColumnError, theirs.InvalidSchemaNameError)
_MEANINGS: Final[Sequence[tuple[tuple[type[BaseException], ...], type[StorageError], str]]] = (
    (
        (theirs.DiskFullError,),
        StorageFull,
        "{url} cannot grow: its disk is full. Free some space, and repeat the call.",
    ),
    (
        (READ_ONLY,),
        ReadOnly,
        "{url} takes no writes ({error}): a standby, or default_transaction_read_only is on. Name the primary.",
    ),
    (
        (theirs.InvalidAuthorizationSpecificationError, theirs.InvalidPasswordError),
        Misconfigured,
        "{url} does not let us in ({error}). Check user and password.",
    ),
    (
        (theirs.InvalidCatalogNameError,),
        Misconfigured,
        "{url} names no database that is there ({error}). Create it: createdb NAME.",
    ),
    (
        (theirs.InsufficientPrivilegeError,),
        Misconfigured,
        "The user of {url} may not do this ({error}). Grant it the rights that docs/postgres.md lists.",
    ),
    (
        (theirs.InvalidSQLStatementNameError, theirs.DuplicatePreparedStatementError),
        Misconfigured,
        "A pooler stands before {url} ({error}). Add pooled=true to the address.",
    ),
    (
        (theirs.IntegrityConstraintViolationError,),
        Corrupt,
        "Rows of {url} contradict each other ({error}). Run `audit()`, and report what it says.",
    ),
    (
        (theirs.DataCorruptedError, theirs.IndexCorruptedError),
        Corrupt,
        "{url} is damaged ({error}). Nothing was deleted: keep a copy of it, and restore a backup.",
    ),
    (
        (theirs.LockNotAvailableError,),
        Unavailable,
        "Others hold what a step of {url} waits for ({error}). Try again.",
    ),
    (
        (theirs.QueryCanceledError,),
        Unavailable,
        "A statement took longer than {url} gives to a step ({error}). Try again, or give it more: timeout=60.",
    ),
)
"""What each of the driver's errors means, and what is said of it."""


@contextmanager
def ours(address: Address) -> Iterator[None]:
    """Raise errors of aiq in place of the driver's."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{address.url} did not answer within {address.timeout_ms:,} ms. Try again.") from error
    except DRIVERS as error:
        raise translated(error, address) from error


def translated(error: BaseException, address: Address) -> StorageError | InvalidInput:
    """The error of aiq for one of the driver's, of which nothing has come."""
    if isinstance(error, _NO_SCHEMA):
        return missing(address)
    if isinstance(error, theirs.UndefinedFunctionError):
        # `aiq migrate` makes none that its table says is there.
        found = f"not all functions of aiq ({str(error).partition(chr(10))[0]})"
        return missing(address, found, "If it has nothing to do, restore the schema. ")
    if isinstance(error, _NO_TEXT):
        return InvalidInput(f"A text holds a character that no database keeps, such as NUL ({error}).")
    if isinstance(error, _NO_VALUE):
        return InvalidInput(f"A value is none that the database takes ({error}).")
    for kinds, make, text in _MEANINGS:
        if isinstance(error, kinds):
            return make(text.format(url=address.url, error=error))
    return Unavailable(f"{address.url} cannot be used just now ({type(error).__name__}: {error}).")


def missing(address: Address, found: str = "no schema of aiq", more: str = "") -> StorageMismatch:
    """What is said where the schema is not the one that this version works with. `more` is what else may help."""
    return StorageMismatch(
        f"{address.url} has {found} in {address.schema!r}. Run `aiq migrate --url …` with the address of its owner, "
        f"and start again. {more}".rstrip()
    )
