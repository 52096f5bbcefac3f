"""Brings a schema to the one that this version works with. Forward only, whole or not at all.

A migration is immutable once it is released, and adds before it changes: the release before must still run on the new
schema, because processes are not replaced at one moment.
"""

from pathlib import Path
from typing import Final

from aiq.backends.clock import host_clock
from aiq.backends.postgres.address import Address, parse
from aiq.backends.postgres.beginning import opening, writers_lock
from aiq.backends.postgres.errors import missing, ours
from aiq.backends.postgres.line import connect
from aiq.backends.postgres.session import Session
from aiq.errors import StorageMismatch

FOLDER: Final = Path(__file__).parent / "migrations"
_LOCK: Final = "SELECT pg_advisory_xact_lock(6383986, 1)"


def migrations() -> dict[int, str]:
    """The texts, by number: 1, 2, 3 … One of several parts is a folder of files, in the order of their names."""
    return {int(path.name[:4]): _text(path) for path in sorted(FOLDER.iterdir())}


def _text(path: Path) -> str:
    files = sorted(path.glob("*.sql")) if path.is_dir() else [path]
    return "\n".join([file.read_text(encoding="utf-8") for file in files])


async def migrate(url: str) -> list[int]:
    """Make the schema, apply what is missing, one after the other under a lock, and return the numbers applied.

    Raises:
        StorageMismatch: a later version of aiq has migrated it.
        Misconfigured: the user may not make schemas or tables there.
    """
    address = parse(url)
    with ours(address):
        connection = await connect(address, address.dsn, address.timeout_ms / 1_000)
        try:
            async with connection.transaction(isolation="read_committed"):
                # A step that is under way ends first, and others wait for all of it, rather than for one table each.
                locks = f"{_LOCK}; {writers_lock(address)}"
                await connection.execute(f'SET LOCAL search_path TO "{address.schema}"; {locks}')
                # IF NOT EXISTS would ask for the right to make one where it is there, too.
                if not await connection.fetchval(_HAS_SCHEMA, address.schema):
                    await connection.execute(f'CREATE SCHEMA "{address.schema}"')
                found = await connection.fetchval(_VERSION) if await connection.fetchval(_IS_THERE) else 0
                if found > max(migrations()):
                    raise newer(address, found)
                applied = [number for number in sorted(migrations()) if number > found]
                for number in applied:
                    await connection.execute(migrations()[number])
                    await connection.execute("INSERT INTO aiq_migrations VALUES ($1, $2)", number, host_clock())
                return applied
        finally:
            await connection.close(timeout=address.timeout_ms / 1_000)


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
