"""Bringing a schema up to date while it is used, and by whoever has meddled with it."""

import asyncio
import time
from collections.abc import Callable

import asyncpg
import pytest
from asyncpg.types import ServerVersion

from aiq.backends.postgres import migrate as ours
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.migrate import migrate, migrations
from aiq.errors import Misconfigured, StorageMismatch, Unavailable
from aiq.testing.actions import enqueue_one
from tests.chaos.notes import until
from tests.postgres_servers import Postgres, connect, postgres_server
from tests.schemas import schemas
from tests.stores import opened


@pytest.fixture
def server() -> Postgres:
    return postgres_server()


@pytest.fixture
async def schema() -> str:
    """One that is up to date."""
    name = schemas().name()
    await migrate(postgres_server().url(name))
    return name


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Brings a migration that no schema has yet, and its number. It waits for all who look at jobs."""
    number, known = max(migrations()) + 1, migrations()

    def later() -> int:
        add = {number: "ALTER TABLE aiq_jobs ADD COLUMN later TEXT"}
        monkeypatch.setattr(ours, "migrations", lambda: known | add)
        return number

    return later


async def test_who_keeps_a_table_holds_up_a_migration_and_nobody_else(
    server: Postgres, schema: str, release: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "PAUSE_S", 0.2)
    turns = []
    give_up = ours._give_up

    async def counted(*given: object) -> object:
        turns.append(time.monotonic())
        return await give_up(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ours, "_give_up", counted)
    async with opened(server.url(schema, "&timeout=5"), None) as storage:
        report, later = await connect(server.port), release()
        await report.execute(f"BEGIN; SELECT count(*) FROM {schema}.aiq_jobs")
        migrating = asyncio.create_task(migrate(server.url(schema, "&timeout=1")))
        try:
            await until(lambda: len(turns) > 1, "it waits")
            for number in range(3):
                await enqueue_one(storage, f"{number}")
                await storage.count()
            assert not migrating.done()
        finally:
            await report.close()

        assert await migrating == [later]
        await enqueue_one(storage, "after")


async def test_who_keeps_a_table_for_long_is_named(
    server: Postgres, schema: str, release: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "WAITING_S", 0.0)
    report, later = await connect(server.port), release()
    try:
        await report.execute(f"SET application_name TO report; BEGIN; SELECT count(*) FROM {schema}.aiq_jobs")
        await asyncio.sleep(0.3)
        with pytest.raises(Unavailable) as told:
            await migrate(server.url(schema, "&timeout=1"))
    finally:
        await report.close()

    pid = report.get_server_pid()
    assert f"process {pid} (postgres by report)" in str(told.value)
    assert f"SELECT pg_terminate_backend({pid})" in str(told.value)
    assert server.ask(f"SELECT max(number) FROM {schema}.aiq_migrations") == [(later - 1,)]
    assert await migrate(server.url(schema)) == [later]


async def test_who_keeps_the_lock_of_those_who_write_is_named(
    server: Postgres, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "WAITING_S", 0.0)
    url = server.url(schema, "&timeout=0.5")
    writer = await connect(server.port)
    try:
        await writer.execute(f"BEGIN; {writers_lock(parse(url))}")
        with pytest.raises(Unavailable, match=rf"process {writer.get_server_pid()} "):
            await migrate(url)
    finally:
        await writer.close()

    assert await migrate(url) == []


async def test_those_who_migrate_at_once_wait_for_each_other(server: Postgres) -> None:
    url = server.url(schemas().name())

    done = await asyncio.gather(*(migrate(url) for _ in range(4)))

    assert sorted(done, key=len) == [[], [], [], list(migrations())]


async def test_a_server_that_is_mute_ends_a_migration(
    server: Postgres, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "LONGEST_MS", 300)
    writer = await connect(server.port)
    url = server.url(schema)
    try:
        await writer.execute(f"BEGIN; {writers_lock(parse(url))}")
        with pytest.raises(Unavailable, match=r"300 ms|longer"):
            await migrate(url)
    finally:
        await writer.close()


async def test_a_migration_that_was_applied_and_is_not_told_of_is_not_applied_again(
    server: Postgres, schema: str
) -> None:
    newest = max(migrations())
    server.tell(f"DELETE FROM {schema}.aiq_migrations WHERE number = {newest}")

    with pytest.raises(StorageMismatch) as told:
        await migrate(server.url(schema))

    mend = f"INSERT INTO {schema}.aiq_migrations VALUES ({newest}, 0)"
    assert mend in str(told.value)
    server.tell(mend)
    assert await migrate(server.url(schema)) == []


async def test_a_server_that_is_too_old_is_told_which_is_new_enough(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ServerVersion(12, 22, 0, "final", 0)
    monkeypatch.setattr(asyncpg.Connection, "get_server_version", lambda _: old)

    with pytest.raises(Misconfigured, match="is PostgreSQL 12, and aiq needs PostgreSQL 13 or newer"):
        await migrate(server.url(schemas().name()))


async def test_a_function_that_is_not_there_is_none_that_comes_with_time(server: Postgres, schema: str) -> None:
    async with opened(server.url(schema), None) as storage:
        server.tell(f"ALTER FUNCTION {schema}.aiq_enqueue_4 RENAME TO gone")

        with pytest.raises(StorageMismatch, match=r"aiq_enqueue_4.*aiq migrate"):
            await enqueue_one(storage)
