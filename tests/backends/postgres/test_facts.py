"""What doctor hears of a storage in PostgreSQL and what it stands on."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from aiq.backends.postgres import watch
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.facts import transport_fact
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.migrate import migrate
from aiq.backends.postgres.session import Session
from aiq.model import Fact, Level
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one
from tests.chaos.notes import until
from tests.postgres_servers import DATABASE, USER, Pooler, Postgres, private_server
from tests.stores import opened

REFUSE = "REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC"
ALLOW = "GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC"


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    with private_server() as made:
        await migrate(made.url())
        yield made


async def fact(storage: Storage, name: str) -> Fact:
    (found,) = [one for one in await storage.facts() if one.name == name]
    return found


async def test_doctor_hears_whether_notifications_come_through(server: Postgres) -> None:
    async with opened(server.url(), None) as storage:
        assert (await fact(storage, "wake-ups")).level is Level.OK

    server.tell(REFUSE)
    async with opened(server.url(), None) as storage:
        deaf = await fact(storage, "wake-ups")
    assert deaf.level is Level.WARN
    assert "pg_notify" in deaf.advice


async def test_behind_a_pooler_nobody_is_expected_to_hear_them(server: Postgres) -> None:
    pooler = Pooler(server)
    try:
        async with opened(pooler.start().url(more="&pooled=true"), None) as storage:
            quiet = await fact(storage, "wake-ups")
    finally:
        pooler.end()
    assert quiet.level is Level.OK
    assert "listen=" in quiet.text


async def test_a_server_that_refuses_to_notify_is_told_of_once_and_costs_no_connection(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, told, connect, tell = [], [], Line._connect, Line._tell

    def connected(line: Line, until: float) -> Session:
        made.append(line)
        return connect(line, until)

    def noted(line: Line) -> None:
        tell(line)
        told.append(line)

    monkeypatch.setattr(Line, "_connect", connected)
    monkeypatch.setattr(Line, "_tell", noted)

    async def enqueue_and_tell(storage: Storage, job_id: str) -> None:
        before = len(told)
        await enqueue_one(storage, job_id)
        await until(lambda: len(told) > before, "others are told")

    async with opened(server.url(), None) as storage:
        server.tell(REFUSE)
        for number in range(3):
            await enqueue_and_tell(storage, f"{number}")
        server.tell(ALLOW)
        await enqueue_and_tell(storage, "after")

    assert len(made) == 1
    first, last = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "permission denied" in first
    assert "notifies again" in last


async def test_who_cannot_listen_looks_and_listens_as_soon_as_he_can(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "TEST_S", 0.2)
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    server.tell(REFUSE)
    async with opened(server.url(), None) as storage, opened(server.url(), None) as elsewhere:
        mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
        await enqueue_one(elsewhere)
        async with asyncio.timeout(20):
            mark = await storage.wait(["queue:default"], after=mark, timeout_ms=60_000)
        assert not storage._watch.hears

        waiting = asyncio.create_task(storage.wait(["queue:never"], after=mark, timeout_ms=60_000))
        server.tell(ALLOW)
        await until(lambda: storage._watch.hears, "it listens")
        waiting.cancel()

    told = [record.message for record in caplog.records if "heard" in record.message]
    assert len(told) == 2
    assert "permission denied" in told[0]


async def test_a_stricter_isolation_behind_a_pooler_is_warned_of_once_and_mended_by_migrate(
    server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    server.tell(f"ALTER DATABASE {DATABASE} SET default_transaction_isolation = 'serializable'")
    mending = f"ALTER ROLE {USER} IN DATABASE {DATABASE} SET default_transaction_isolation TO 'read committed'"
    pooler = Pooler(server)
    url = pooler.start().url(more="&pooled=true")
    try:
        async with opened(url, None) as storage:
            await (await storage.sibling()).close()
            strict = await fact(storage, "isolation")
            await migrate(url)
        pooler.kill()
        pooler.start()
        async with opened(url, None) as storage:
            mended = await fact(storage, "isolation")
    finally:
        pooler.end()

    warned, run = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert mending in warned
    assert "aiq migrate" in warned
    assert run.endswith(mending)
    assert [one.level for one in (strict, mended)] == [Level.WARN, Level.OK]


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("postgresql://me@db.internal/jobs", Level.WARN),
        ("postgresql://me@db.internal:5432/jobs?sslmode=prefer", Level.WARN),
        ("postgresql://127.0.0.1,db.internal/jobs", Level.WARN),
        ("postgresql://[fd00::1]:5432/jobs", Level.WARN),
        ("postgresql:///jobs?host=db.internal", Level.WARN),
        ("postgresql://me@db.internal/jobs?sslmode=require", Level.OK),
        ("postgresql://me@db.internal/jobs?sslmode=verify-full", Level.OK),
        ("postgresql://me@localhost:5432/jobs", Level.OK),
        ("postgresql://[::1]:5432/jobs", Level.OK),
        ("postgresql:///jobs", Level.OK),
        ("postgresql:///jobs?host=/var/run/postgresql", Level.OK),
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/jobs", Level.OK),
    ],
)
def test_what_may_go_over_a_network_in_clear_is_warned_of(
    url: str, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)

    assert transport_fact(parse(url)).level is level


@pytest.mark.parametrize(
    ("name", "value", "level"), [("PGHOST", "far", Level.WARN), ("PGSSLMODE", "require", Level.OK)]
)
def test_what_the_surroundings_say_of_the_server_holds_there(
    name: str, value: str, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = {"PGHOST": "postgresql:///jobs", "PGSSLMODE": "postgresql://far/jobs"}[name]
    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.setenv(name, value)

    assert transport_fact(parse(url)).level is level
