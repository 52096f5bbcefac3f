"""Brings a schema to the one that this version works with. Forward only, whole or not at all.

A migration is immutable once it is released, and adds before it changes: the release before must still run on the new
schema, because processes are not replaced at one moment.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
from asyncpg import exceptions as theirs

from aiq.backends.clock import host_clock
from aiq.backends.postgres.address import Address, parse
from aiq.backends.postgres.beginning import IDLE_MS, lock_of, opening, patience_ms, writers_lock
from aiq.backends.postgres.errors import AGAIN, missing, ours
from aiq.backends.postgres.isolation import mend_isolation
from aiq.backends.postgres.line import connect
from aiq.backends.postgres.session import Session
from aiq.backends.relational.connection import Row
from aiq.errors import Misconfigured, StorageMismatch, Unavailable

FOLDER: Final = Path(__file__).parent / "migrations"
OLDEST_SERVER: Final = 13
LONGEST_MS: Final = 600_000
"""How long it may take in all: what it changes may be large, and everybody who writes waits for that."""
WAITING_S: Final = 60.0
"""How long others may be in its way before it gives up."""
PAUSE_S: Final = 1.0
"""How long others work after a turn in which somebody was in its way."""
HELD_MS: Final = 2_000
"""How long a turn waits for a table, while all who write wait for it. Vacuum gives way after one second of that."""
NAMED: Final = 3
"""How many of those who are in its way it names at most."""
_THERE: Final = (
    theirs.DuplicateTableError,
    theirs.DuplicateFunctionError,
    theirs.DuplicateColumnError,
    theirs.DuplicateObjectError,
)
_LOCK: Final = "SELECT pg_advisory_xact_lock(6383986, 1)"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def migrations() -> dict[int, str]:
    """The texts, by number: 1, 2, 3 … One of several parts is a folder of files, in the order of their names."""
    return {int(path.name[:4]): _text(path) for path in sorted(FOLDER.iterdir())}


def _text(path: Path) -> str:
    files = sorted(path.glob("*.sql")) if path.is_dir() else [path]
    return "\n".join([file.read_text(encoding="utf-8") for file in files])


async def migrate(url: str) -> list[int]:
    """Make the schema, apply what is missing, one after the other under a lock, and return the numbers applied.

    All of it is one transaction. Where a transaction of somebody's keeps what has to be changed, such as a report that
    was left open, it is rolled back and tried again after a pause: everybody else would wait behind it. Through a
    pooler the default isolation of the user is looked after as well, see `isolation`.

    Raises:
        StorageMismatch: a later version of aiq has migrated it, or what was applied does not say so.
        Misconfigured: the user may not make schemas or tables there, or the server is too old.
        Unavailable: the server cannot be reached, or somebody was in the way for a minute, whom the text names.
    """
    address = parse(url)
    with ours(replace(address, timeout_ms=LONGEST_MS)):
        async with asyncio.timeout(LONGEST_MS / 1_000):
            connection = await connect(address, address.dsn, address.timeout_ms / 1_000)
            try:
                _check_server(address, connection.get_server_version().major)
                applied = await _patiently(address, connection)
                if address.pooled:
                    await mend_isolation(address, connection)
                return applied
            finally:
                await connection.close(timeout=address.timeout_ms / 1_000)


def _check_server(address: Address, major: int) -> None:
    if major < OLDEST_SERVER:
        raise Misconfigured(f"{address.url} is PostgreSQL {major}, and aiq needs PostgreSQL {OLDEST_SERVER} or newer.")


async def _patiently(address: Address, connection: Connection) -> list[int]:
    until = time.monotonic() + WAITING_S
    while True:
        try:
            return await _turn(address, connection)
        except (theirs.LockNotAvailableError, *AGAIN) as error:
            holders = await _give_up(address, connection)
            if time.monotonic() >= until:
                raise _in_the_way(address, holders) from error
        await asyncio.sleep(PAUSE_S)


async def _turn(address: Address, connection: Connection) -> list[int]:
    """Do all of it, or raise. No transaction of the driver's: to leave one of these waits for the server."""
    await connection.execute(_beginning(address))
    # IF NOT EXISTS would ask for the right to make one where it is there, too.
    if not await connection.fetchval(_HAS_SCHEMA, address.schema):
        await connection.execute(f'CREATE SCHEMA "{address.schema}"')
    found = await connection.fetchval(_VERSION) if await connection.fetchval(_IS_THERE) else 0
    if found > max(migrations()):
        raise newer(address, found)
    applied = [number for number in sorted(migrations()) if number > found]
    for number in applied:
        try:
            await connection.execute(migrations()[number])
        except _THERE as error:
            raise _untold(address, number, error) from error
        await connection.execute("INSERT INTO aiq_migrations VALUES ($1, $2)", number, host_clock())
    await connection.execute("COMMIT")
    return applied


def _untold(address: Address, number: int, error: BaseException) -> StorageMismatch:
    """What is said where a migration has been applied, or something of one, and no row tells of it."""
    table = f"{address.schema}.aiq_migrations"
    row = f"INSERT INTO {table} VALUES ({number}, 0)"  # noqa: S608 - a reader runs it
    return StorageMismatch(
        f"{address.url} has something of migration {number} already ({error}), and no row of {table} tells of it: "
        f"nothing was changed. If that was deleted, put it back: {row}. What is none of aiq's needs another schema."
    )


def _beginning(address: Address) -> str:
    """A step that is under way ends first, and others wait for all of it, rather than for one table each: but not for
    a table that somebody else keeps, since they would have lost patience before he lets go."""
    return (
        f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path TO '{address.schema}'; "
        f"SET LOCAL lock_timeout TO {patience_ms(address)}; SET LOCAL statement_timeout TO {LONGEST_MS}; "
        f"SET LOCAL idle_in_transaction_session_timeout TO {IDLE_MS}; "
        f"{_LOCK}; {writers_lock(address)}; SET LOCAL lock_timeout TO {_held_ms(address)}"
    )


def _held_ms(address: Address) -> int:
    """How long those who write wait with it for a table. All of them do, and some look for work meanwhile."""
    return min(HELD_MS, address.timeout_ms // 5)


async def _give_up(address: Address, connection: Connection) -> list[Row]:
    """End a turn, and look who was in its way: whoever has had locks of this schema for as long as it has waited."""
    await connection.execute("ROLLBACK; BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY")
    rows = await connection.fetch(_HOLDERS, address.schema, lock_of(address) % 2**32, _held_ms(address), NAMED)
    await connection.execute("COMMIT")
    return [tuple(row) for row in rows]


def _in_the_way(address: Address, holders: list[Row]) -> Unavailable:
    """What is said where somebody would not let go."""
    who = ", ".join([f"process {pid} ({user}{' by ' if name else ''}{name})" for pid, user, name in holders])
    ends = " ".join([f"SELECT pg_terminate_backend({pid});" for pid, *_ in holders])
    return Unavailable(
        f"{address.url} could not be migrated for {WAITING_S:,.0f} s, and nothing was changed: "
        f"{who or 'somebody whom pg_stat_activity does not show'} keeps what has to be changed, in a transaction that "
        f"stays open. Let it end{f', or end it ({ends[:-1]})' if ends else ' (see pg_locks, pg_prepared_xacts)'}, and "
        "run `aiq migrate` again."
    )


def check_version(address: Address, session: Session) -> None:
    """Refuse a schema that is older than this version needs.

    A newer one is used: a migration only adds.

    Raises:
        StorageMismatch: it is not there, or older; the text says what to run.
    """
    session.script(opening(address, "READ COMMITTED, READ ONLY"))
    try:
        if not session.do(session.connection.fetchval(_IS_THERE)):
            raise missing(address)
        found = session.do(session.connection.fetchval(_VERSION))
    finally:
        session.script("ROLLBACK")
    if found < max(migrations()):
        raise missing(address, f"schema {found}, and {max(migrations())} is needed,")


def newer(address: Address, found: int) -> StorageMismatch:
    """What is said of a schema that a later version has made."""
    return StorageMismatch(
        f"{address.url} has schema {found}, and this version of aiq knows schemas up to {max(migrations())}. "
        "Install the version of aiq that made it, or a newer one: pip install --upgrade aiq."
    )


_HAS_SCHEMA: Final = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)"
_IS_THERE: Final = "SELECT to_regclass('aiq_migrations') IS NOT NULL"
_VERSION: Final = "SELECT coalesce(max(number), 0) FROM aiq_migrations"
# Those of a table, of the lock of those who write, and of that of those who migrate.
_HOLDERS: Final = """
    SELECT a.pid, coalesce(a.usename::text, 'somebody'), coalesce(a.application_name, '')
    FROM pg_stat_activity AS a
    WHERE coalesce(a.xact_start < clock_timestamp() - $3::bigint * interval '1 ms', true) AND a.pid IN (
        SELECT l.pid
        FROM pg_locks AS l
        WHERE l.granted AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (
                l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace($1))
                OR l.objsubid = 2
                AND (l.classid = 6383985 AND l.objid::bigint = $2 OR l.classid = 6383986 AND l.objid = 1)
            )
    )
    ORDER BY a.xact_start NULLS LAST, a.pid
    LIMIT $4
"""
