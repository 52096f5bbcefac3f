"""Two storages to which the same happens, one by steps in Python alone: every row of both has to be the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiq.backends.postgres.storage import PostgresStorage
from aiq.storage import Storage
from aiq.testing.clock import Clock
from tests import stores
from tests.postgres_servers import WORKER, postgres_server
from tests.schemas import schemas

OWN = {"storage_id", "applied_at_ms"}
"""Columns in which two storages differ from the first."""


@asynccontextmanager
async def opened(clock: Clock) -> AsyncIterator[tuple[PostgresStorage, str]]:
    """A storage of its own, as a worker has it, and the name of its schema."""
    name = await schemas().take()
    async with stores.opened(postgres_server().url(name, user=WORKER), clock) as storage:
        yield plain_storage(storage), name
    schemas().give_back(name)


def plain_storage(storage: Storage) -> PostgresStorage:
    """The storage, known as what it is."""
    assert isinstance(storage, PostgresStorage)
    return storage


def tables(schema: str) -> dict[str, list[str]]:
    """All rows of a schema, each as a text."""
    named = "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind::text = 'r'"
    return {name: rows(f"{schema}.{name}") for (name,) in sorted(postgres_server().ask(named, schema))}


def rows(table: str) -> list[str]:
    """The rows of a table, in an order that is theirs."""
    without = " - ".join(["to_jsonb(whole.*)", *(f"'{column}'" for column in sorted(OWN))])
    found = postgres_server().ask(f"SELECT ({without})::text FROM {table} AS whole")
    return sorted(text for (text,) in found)
