"""How an operation becomes one atomic step, in the thread of a line. Spec: STORE-1, STORE-3

Those who write wait for each other at one lock of the storage, which goes with the transaction. So a step may look,
decide and write, however many statements that takes, and nothing changes in between.
"""

import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import asyncpg

from aiq.backends.clock import Clock
from aiq.backends.postgres.address import Address
from aiq.backends.postgres.beginning import (
    HAS_WAITED,
    lock_of,
    longest_ms,
    opening,
    patience_ms,
    row_patience_ms,
    trying,
    writers_lock,
)
from aiq.backends.postgres.durable import RELEASED
from aiq.backends.postgres.errors import AGAIN, DRIVERS, LOST, READ_ONLY, UNSENT, ours
from aiq.backends.postgres.isolation import check_isolation
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.migrate import check_version
from aiq.backends.postgres.notice import Notice, number
from aiq.backends.postgres.session import Session
from aiq.backends.process import check_process
from aiq.backends.relational.connection import Row
from aiq.backends.relational.news import News
from aiq.backends.relational.retire import MARKS
from aiq.backends.relational.step import make
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Unavailable

T = TypeVar("T")

_READS: Final = "SET LOCAL enable_seqscan TO off; "
"""For those who only read: they may join as they like, since an audit looks at everything. But a plan that was made of
an empty table, and which reads all of it, must not be kept for when it is full."""
_WAITED: Final = "SELECT 1"
"""What the script that begins a step answers where others had the lock."""
ATTEMPTS: Final = 5
"""How often a step is made again that the server has given up for the sake of another transaction."""
_LONGEST_PAUSE_S: Final = 0.02
_STOPPED: Final = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)
"""Whoever stops the script of a commit may do so between the commit and the flush behind it, where no transaction is
open by which one would know."""
_PLANS: Final = (
    "SET LOCAL enable_seqscan TO off; SET LOCAL enable_hashjoin TO off; SET LOCAL enable_mergejoin TO off; "
    "SET LOCAL plan_cache_mode TO force_generic_plan; "
)
"""For whatever goes through the line of those who write, a look before a step too: what that looks with is planned once
for the connection, and the step uses it as well."""


@dataclass(eq=False, slots=True)
class Home:
    """What siblings share: which schema it is, and what this process knows of it. No clock means that of the server."""

    address: Address
    clock: Clock | None
    news: News = field(default_factory=lambda: News(key=number))
    pid: int = field(default_factory=os.getpid)
    word: str = field(default_factory=lambda: secrets.token_hex(8))
    """What its notifications begin with, so that whoever is at home, and knows, does not look for what is new."""
    is_looked_at: bool = False
    """Whether the role's settings have been looked at, and been warned of."""

    @property
    def channel(self) -> str:
        """On which notifications of this storage are heard."""
        return f"aiq_{hashlib.sha256(self.address.schema.encode()).hexdigest()[:32]}"

    @property
    def notice(self) -> Notice:
        """Where a line gathers what it is to tell of."""
        return Notice(self.channel, self.word)

    def check_process(self) -> None:
        """Refuse to go on in a fork of the process that opened the storage."""
        check_process(self.address.url, self.pid)


def write(
    home: Home,
    line: Line,
    unwanted: Callable[[], bool],
    operation: Callable[[Transaction], T],
    look: Callable[[Transaction], T | None] | None = None,
    *,
    sure: bool = True,
) -> T:
    """Make an operation one step, and tell of it once it is committed: on disk, unless it need not be `sure`.

    `look` may answer without writing; then the lock is not taken, and what it has seen may not be on disk yet. So it
    may answer no more than that there is nothing to do: it leaves a repeat that is given jobs to the operation. It is
    asked again after a wait for the lock, since what many have seen is done by the first of them.
    Whatever is raised leaves nothing behind.

    Raises:
        Unavailable: the server cannot be reached, or others kept the lock for longer than a step may take.
    """

    def attempt(until: float) -> T:
        answer = _looked(home, line, look, until, _PLANS) if look is not None else None
        return _written(home, line, operation, until, look, sure=sure) if answer is None else answer

    return _patiently(home, line, attempt, unwanted)


def read(
    home: Home,
    line: Line,
    unwanted: Callable[[], bool],
    operation: Callable[[Transaction], T],
    *,
    sure: bool = True,
) -> T:
    """Look at one state of the storage, however many statements that takes. What is answered is on disk, unless it need
    not be `sure`: then no second transaction waits for that."""

    def attempt(until: float) -> T:
        return _looked(home, line, operation, until, _READS, sure=sure)

    return _patiently(home, line, attempt, unwanted)


def call(
    home: Home, line: Line, unwanted: Callable[[], bool], function: str, given: Sequence[object], *, sure: bool = True
) -> Row:
    """Make a step that a function of the schema makes whole: its row, of one statement that is a transaction by itself.

    What it has written is on disk then, and unless it need not be `sure`, also what it has only seen.

    Raises:
        Unavailable: as for `write`. Where the answer was not heard, nobody knows whether it was made.
    """
    places = ", ".join([f"${number}" for number in range(1, len(given) + 1)])

    def attempt(until: float) -> Row:
        session = _waiting(home, line, until)
        owing = session.owing if sure else RELEASED
        with _surely(home, line, session):
            # The name of a schema has been looked at, see `address`; that of a function is ours.
            text = f'SELECT {owing}, step.* FROM "{home.address.schema}".{function}({places}) AS step'  # noqa: S608
            owes, *row = _asked(home, session, text, given)
        if owes:
            _flush(home, line, session)
        return tuple(row)

    return _patiently(home, line, attempt, unwanted)


def _asked(home: Home, session: Session, text: str, given: Sequence[object]) -> Row:
    try:
        return session.call(text, given)
    except asyncpg.QueryCanceledError as error:
        if not home.address.pooled:
            raise
        raise Unavailable(
            f"A step of one statement was ended by the server of {home.address.url} ({error}). Behind a pooler the "
            "statement_timeout of the role or the database holds for it: give it as long as a step may take, "
            f"ALTER ROLE … SET statement_timeout TO {longest_ms(home.address)}, and let the pooler RECONNECT."
        ) from error


def _waiting(home: Home, line: Line, until: float) -> Session:
    """A connection that waits for a statement. Where it has broken since it was used last, a new one is made: once the
    statement is sent, nobody could say whether it was heard."""
    session = line.session(until)
    try:
        if session.is_alive():
            session.plan_anew(home.news.newest)
            return session
    except TimeoutError:
        raise
    except LOST:
        line.drop()
    return line.session(until)


def alone(home: Home) -> tuple[object, ...]:
    """What a function is given first that writes: the lock, how long it may wait for that, what its commit waits for,
    and the clock, where it is not the server's."""
    address = home.address
    return (lock_of(address), patience_ms(address), address.synchronous_commit, instant(home))


def instant(home: Home) -> int | None:
    """What the clock says, where it is not the server's."""
    return None if home.clock is None else home.clock()


def tell(home: Home, line: Line, topics: Collection[str], changes: range) -> None:
    """Tell of what was committed."""
    if topics or changes:
        home.news.publish(topics, changes)
        line.owe_notice(topics, changes)


def prepare(home: Home, line: Line) -> None:
    """Look whether the schema is there, before the first job is."""
    until = time.monotonic() + home.address.timeout_ms / 1_000
    with ours(home.address):
        check_version(home.address, line.session(until))
        if home.address.pooled and not home.is_looked_at:
            home.is_looked_at = True
            check_isolation(home.address, line.session(until))


def _patiently(home: Home, line: Line, attempt: Callable[[float], T], unwanted: Callable[[], bool]) -> T:
    until = time.monotonic() + home.address.timeout_ms / 1_000
    with ours(home.address):
        for last in range(1, ATTEMPTS + 1):
            try:
                return attempt(until)
            except AGAIN:
                if last == ATTEMPTS or unwanted() or time.monotonic() >= until:
                    raise
            except (READ_ONLY, TimeoutError):
                # The driver may still be busy with it. And a setting is asked for when a connection is made, and of
                # several hosts another may be the primary now.
                line.drop()
                raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - nothing here is a secret
    raise AssertionError


def _looked(
    home: Home, line: Line, operation: Callable[[Transaction], T], until: float, plans: str, *, sure: bool = False
) -> T:
    session = _begin(home, line, opening(line.address, "REPEATABLE READ, READ ONLY", plans), until)
    with ExitStack() as undo:
        undo.callback(_leave, line, session)
        answer = operation(Transaction(session, _now(home, session)))
        if sure:
            session.script(session.looked)
            undo.pop_all()
    return answer


def _written(
    home: Home,
    line: Line,
    operation: Callable[[Transaction], T],
    until: float,
    look: Callable[[Transaction], T | None] | None = None,
    *,
    sure: bool,
) -> T:
    session = _begin(home, line, _writing(line.address), until)
    with ExitStack() as undo:
        undo.callback(_leave, line, session)
        # The clock is read under the lock: whoever waited for it must not write an instant that has passed.
        now_ms = _now(home, session)
        if look is not None and session.began == _WAITED and (seen := look(Transaction(session, now_ms))) is not None:
            return seen
        tx = Transaction(session, now_ms)
        answer = make(tx, operation)
        session.send_writes()
        topics, changes = tx.topics, tx.changes
        undo.pop_all()
    _commit(home, line, session, session.committing if sure else session.leaving)
    tell(home, line, topics, changes)
    return answer


def _writing(address: Address) -> str:
    chosen = address.synchronous_commit
    durable = "" if chosen is None else f"SET LOCAL synchronous_commit TO {chosen}; "
    # Whether it may write, the database says: one whose disk runs full, or that is about to be moved, is made read-only
    # by a setting, and to ask for more than that is an error of another kind on a standby.
    rows = f"SET LOCAL lock_timeout TO {row_patience_ms(address)}"
    lock = f"{trying(address)}; {writers_lock(address)}; {rows}; {HAS_WAITED}"
    return opening(address, "READ COMMITTED", f"{_PLANS}{durable}{lock}")


def _begin(home: Home, line: Line, how: str, until: float) -> Session:
    """Begin. Where the connection has broken since it was used last, nothing has happened, and a new one is made."""
    session = line.session(until)
    try:
        _script(home, line, session, how)
    except TimeoutError:
        # Others have the lock, or the server is mute: a new connection would change neither.
        raise
    except LOST:
        line.drop()
        session = line.session(until)
        _script(home, line, session, how)
    return session


def _script(home: Home, line: Line, session: Session, how: str) -> None:
    with ExitStack() as undo:
        undo.callback(_leave, line, session)
        session.begin(how, home.news.newest)
        undo.pop_all()


def _commit(home: Home, line: Line, session: Session, ending: str) -> None:
    try:
        with _surely(home, line, session):
            session.script(ending)
    except asyncpg.InFailedSQLTransactionError as error:
        _leave(line, session)
        raise Unavailable(f"{home.address.url} has undone a step. Try again.") from error
    except _STOPPED as error:
        raise _lost(home, line, error) from error


def _flush(home: Home, line: Line, session: Session) -> None:
    """Wait for the disk with a step that is committed. Whatever fails here, the step may be there."""
    try:
        session.script(session.flush)
    except DRIVERS as error:
        raise _lost(home, line, error) from error


@contextmanager
def _surely(home: Home, line: Line, session: Session) -> Iterator[None]:
    """Where the answer to a commit is not heard, say that nobody knows whether it was made."""
    try:
        yield
    except (UNSENT, asyncpg.InFailedSQLTransactionError):
        raise
    except (*LOST, asyncpg.PostgresError) as error:
        if not _is_unknown(session, error):
            raise
        raise _lost(home, line, error) from error


def _lost(home: Home, line: Line, error: BaseException) -> Unavailable:
    """Let go of the connection; the answer says that nobody knows whether the step was made."""
    line.drop()
    text = f"{home.address.url} was lost while a step was committed ({type(error).__name__})."
    if isinstance(error, TimeoutError):
        text = f"{home.address.url} did not answer within {home.address.timeout_ms:,} ms. Try again."
    return Unavailable(text, outcome_unknown=True)


def _is_unknown(session: Session, error: BaseException) -> bool:
    """Whether the step may be there. A commit that the server refuses ends the transaction; what has failed within one
    may be the flush of a step that is committed."""
    if isinstance(error, LOST) or getattr(error, "severity_en", "ERROR") in ("FATAL", "PANIC"):
        return True
    return session.connection.is_in_transaction()


def _leave(line: Line, session: Session) -> None:
    """End a transaction of which nothing is wanted. It must not hide what went wrong in it."""
    session.forget_writes()
    try:
        session.script("ROLLBACK")
    except DRIVERS:
        line.drop()


def _now(home: Home, session: Session) -> int:
    if home.clock is not None:
        return home.clock()
    session.foresee([("opening.now", {}), MARKS])
    now_ms: int = session.rows("opening.now", {})[0][0]
    return now_ms
