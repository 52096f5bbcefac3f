"""The storages that benchmarks measure: each starts from a new one, and leaves nothing behind."""

import argparse
import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit, urlunsplit

from aiq.backends import migrate_storage
from aiq.backends.postgres.address import parse

T = TypeVar("T")

AT_ONCE = 1_000
"""Keys of a Redis server that are looked for, or removed, in one command."""


def refuse_existing(parser: argparse.ArgumentParser, url: str) -> None:
    """Whoever names a real storage by mistake must not lose it."""
    for file in files(url):
        if file.exists():
            parser.error(f"{file} exists, and each round would remove it. Name a file that does not exist.")
    if url.startswith("postgres") and _tables(url):
        parser.error(f"{url} has tables in it, and each round would remove them. Name another with ?schema=NAME.")
    if url.startswith("redis") and _keys(url, remove=False):
        parser.error(f"{url} has keys in it, and each round would remove them. Name another with ?namespace=NAME.")


def remove(url: str) -> None:
    """A new storage for each round."""
    for file in files(url):
        file.unlink(missing_ok=True)
    if url.startswith("postgres"):
        _renew_schema(url)
    if url.startswith("redis"):
        _keys(url, remove=True)


def files(url: str) -> list[Path]:
    """The files of a storage in SQLite; none of any other."""
    parts = urlsplit(url)
    path = parts.path[1:]
    return [Path(path), Path(f"{path}-wal"), Path(f"{path}-shm")] if parts.scheme == "sqlite" else []


def _keys(url: str, *, remove: bool) -> int:
    """How many keys a namespace of one Redis server has; they are removed if that is asked for."""
    from redis import Redis

    parts = urlsplit(url)
    namespace = parse_qs(parts.query).get("namespace", ["default"])[0]
    with Redis.from_url(urlunsplit(parts._replace(query=""))) as server:
        keys = list(server.scan_iter(match=f"{{aiq:{namespace}}}*", count=AT_ONCE))
        for first in range(0, len(keys) if remove else 0, AT_ONCE):
            server.unlink(*keys[first : first + AT_ONCE])
        return len(keys)


def ask_redis(url: str, *command: str) -> Any:
    """What a Redis server answers to one command."""
    from redis import Redis

    with Redis.from_url(urlunsplit(urlsplit(url)._replace(query=""))) as server:
        return server.execute_command(*command)


def ask_postgres(url: str, sql: str, *values: object) -> Any:
    """The one value that a Postgres server answers to one statement."""

    async def ask() -> Any:
        connection, _ = await connect_postgres(url)
        try:
            return await connection.fetchval(sql, *values)
        finally:
            await connection.close()

    return apart(ask())


def _tables(url: str) -> int:
    """How many tables there are in the schema of a storage in Postgres."""
    found: int = ask_postgres(url, "SELECT count(*) FROM pg_tables WHERE schemaname = $1", parse(url).schema)
    return found


def _renew_schema(url: str) -> None:
    """Remove the schema of a storage in Postgres, and migrate it anew."""

    async def renew() -> None:
        connection, schema = await connect_postgres(url)
        try:
            await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        finally:
            await connection.close()
        await migrate_storage(url)

    apart(renew())


def tidy(url: str) -> None:
    """Do what a Postgres server does by itself in minutes: it must not do that while something is measured."""
    if url.startswith("postgres"):
        ask_postgres(url, "VACUUM ANALYZE")


async def connect_postgres(url: str) -> tuple[Any, str]:
    """A connection to the server of a storage, and its schema there."""
    import asyncpg

    address = parse(url)
    return await asyncpg.connect(address.dsn), address.schema


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Do it in a loop of its own, whether or not the caller is in one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
