"""How an operation becomes one atomic step on the file, in the thread of a connection. Spec: STORE-1, STORE-3

Every write begins with BEGIN IMMEDIATE. One that began by reading could find, when it comes to write, that
another process wrote in between, and would be refused at once, however long it is willing to wait.
"""

import os
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aiq.backends.clock import Clock
from aiq.backends.process import check_process
from aiq.backends.relational.news import News
from aiq.backends.relational.step import make
from aiq.backends.relational.transaction import Transaction
from aiq.backends.sqlite.address import Address
from aiq.backends.sqlite.connection import Texts
from aiq.backends.sqlite.errors import gone, is_busy, ours
from aiq.errors import Misconfigured, Unavailable

T = TypeVar("T")

PATIENCE_MS: Final = 5_000
"""How long a step waits for other processes to let go of the file."""
_FIRST_PAUSE_MS: Final = 0.5
_LONGEST_PAUSE_MS: Final = 20.0
_SHARE: Final = 0.5
"""A pause is at most this share of what was waited before it, so that a short lock is not followed by a long sleep."""


@dataclass(eq=False, slots=True)
class Home:
    """What siblings share: which file it is, and what this process knows of it."""

    address: Address
    clock: Clock
    patience_ms: int = PATIENCE_MS
    news: News = field(default_factory=News)
    pid: int = field(default_factory=os.getpid)
    inode: tuple[int, int] | None = None
    """Device and number of the file, once it is open."""

    @property
    def path(self) -> str:
        """The file."""
        return str(self.address.path)

    def check_process(self) -> None:
        """Refuse to go on in a fork of the process that opened the storage."""
        check_process(self.address.url, self.pid)

    def check_file(self) -> None:
        """Refuse to write into a file that nobody can find any more.

        Trying again does not bring it back, so a worker must end by it, and not wait for ever.
        """
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Misconfigured(gone(self.path)) from error
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be looked at just now ({error}).") from error
        found = (status.st_dev, status.st_ino)
        if self.inode is None:
            self.inode = found
        elif found != self.inode:
            raise Misconfigured(gone(self.path))


def write(
    home: Home,
    connection: sqlite3.Connection,
    unwanted: Callable[[], bool],
    operation: Callable[[Transaction], T],
    look: Callable[[Transaction], T | None] | None = None,
) -> T:
    """Make an operation one step, and tell of it once it is committed.

    `look` may answer without writing; then the write lock is not taken. Whatever is raised leaves nothing behind.

    Raises:
        Unavailable: other processes kept the file locked for longer than our patience.
    """

    def attempt() -> T:
        home.check_file()
        answer = _looked(home, connection, look) if look is not None else None
        return _written(home, connection, operation) if answer is None else answer

    return patiently(home, attempt, unwanted)


def read(
    home: Home, connection: sqlite3.Connection, unwanted: Callable[[], bool], operation: Callable[[Transaction], T]
) -> T:
    """Look at one state of the file, however many statements that takes."""

    def attempt() -> T:
        home.check_file()
        return _looked(home, connection, operation)

    return patiently(home, attempt, unwanted)


def patiently(home: Home, attempt: Callable[[], T], unwanted: Callable[[], bool]) -> T:
    """Try until no other process is in the way; an attempt that failed must have left nothing behind.

    The pauses are random, so that processes which wait for the same lock get it in no order rather than in the
    same one each time; SQLite's own waiting starves whoever came first. Patience counts them, and not the time on
    the clock: a process that was itself stopped for long must not take that for somebody else's lock.
    """
    waited_ms, longest_ms = 0.0, _FIRST_PAUSE_MS
    with ours(home.path):
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if unwanted() or waited_ms >= home.patience_ms:
                    text = f"{home.path} was locked by other processes for {home.patience_ms:,} ms. Try again."
                    raise Unavailable(text) from error
            pause_ms = random.uniform(0, longest_ms)  # noqa: S311 - nothing here is a secret
            time.sleep(pause_ms / 1_000)
            waited_ms += pause_ms
            longest_ms = min(max(waited_ms * _SHARE, _FIRST_PAUSE_MS), _LONGEST_PAUSE_MS)


def _looked(home: Home, connection: sqlite3.Connection, operation: Callable[[Transaction], T]) -> T:
    connection.execute("BEGIN")
    try:
        return operation(Transaction(Texts(connection), home.clock()))
    finally:
        _end(connection, "COMMIT")


def _written(home: Home, connection: sqlite3.Connection, operation: Callable[[Transaction], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        topics, changes, answer = _made(home, connection, operation)
        connection.execute("COMMIT")
    finally:
        _end(connection, "ROLLBACK")
    home.news.publish(topics, changes)
    return answer


def _made(
    home: Home, connection: sqlite3.Connection, operation: Callable[[Transaction], T]
) -> tuple[set[str], range, T]:
    """Do it, and say what is to be told of it. Nothing else of the step is left then, so that the collector does not
    go through all that it has read."""
    # The clock is read under the lock: whoever waited for it must not write an instant that has passed.
    tx = Transaction(Texts(connection), home.clock())
    answer = make(tx, operation)
    return tx.topics, tx.changes, answer


def _end(connection: sqlite3.Connection, how: str) -> None:
    # After some errors SQLite has rolled back by itself.
    if connection.in_transaction:
        connection.execute(how)
