"""Two storages to which the same happens, one by steps in Python alone: every row of both has to be the same."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiq.backends.postgres.address import parse
from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.storage import PostgresStorage, open_lines
from aiq.testing.clock import Clock
from tests.postgres_servers import WORKER, postgres_server
from tests.schemas import schemas

OWN = {"storage_id", "applied_at_ms"}
"""Columns in which two storages differ from the first."""


class Stepwise(PostgresStorage):
    """A storage that decides every step in Python."""

    async def _shortly(self, operation: Callable[..., object], *args: object, **kwargs: object) -> None:
        return None


@asynccontextmanager
async def opened(
    clock: Clock, kind: type[PostgresStorage] = PostgresStorage
) -> AsyncIterator[tuple[PostgresStorage, str]]:
    """A storage of its own, as a worker has it, and the name of its schema."""
    name = await schemas().take()
    home = Home(parse(postgres_server().url(name, user=WORKER)), clock)
    storage = kind(home, *await open_lines(home))
    try:
        yield storage, name
    finally:
        await storage.close()
    schemas().give_back(name)


def tables(schema: str) -> dict[str, list[str]]:
    """All rows of a schema, each as a text."""
    named = "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind::text = 'r'"
    return {name: rows(f"{schema}.{name}") for (name,) in sorted(postgres_server().ask(named, schema))}


def rows(table: str) -> list[str]:
    """The rows of a table, in an order that is theirs."""
    without = " - ".join(["to_jsonb(whole.*)", *(f"'{column}'" for column in sorted(OWN))])
    found = postgres_server().ask(f"SELECT ({without})::text FROM {table} AS whole")
    return sorted(text for (text,) in found)
