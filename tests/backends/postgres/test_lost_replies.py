"""Every write, when the server has committed it and nobody hears of that: it is sent again, and has happened once."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aiq.backends.postgres.atomic import alone
from aiq.backends.postgres.durable import RELEASE
from aiq.backends.postgres.session import Session
from aiq.backends.postgres.storage import PostgresStorage
from aiq.errors import Unavailable
from aiq.model import JobFilter, Settled, Settlement, State, Succeeded
from aiq.storage import Storage
from aiq.testing.actions import claim_one, job, wish
from aiq.testing.clock import Clock
from tests import stores
from tests.chaos.proxy import Proxy, proxied
from tests.conformance import test_lost_replies as scenes
from tests.postgres_servers import DATABASE, USER, postgres_server
from tests.schemas import schemas

COMMIT = RELEASE.encode()
"""What stands before the COMMIT of a step, and nowhere else."""
MADE_BY_A_FUNCTION = frozenset({"renew", "save a step", "append"})
"""Writes that are one statement, which commits by itself."""
COMMON = ("enqueue", "settle and claim", "save a step", "send", "append", "report")
"""Those of the others that are sent most. They are tried whenever anything is."""


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxied(postgres_server().port) as made:
        yield made


@asynccontextmanager
async def behind(proxy: Proxy, clock: Clock) -> AsyncIterator[Storage]:
    name = await schemas().take()
    async with stores.opened(f"postgresql://{USER}@127.0.0.1:{proxy.port}/{DATABASE}?schema={name}", clock) as storage:
        yield storage
    schemas().give_back(name)


def last_word(storage: Storage, write: str) -> bytes:
    """What is in the request that commits a write, and in no other. A function is given the lock of the storage."""
    if write not in MADE_BY_A_FUNCTION:
        return COMMIT
    assert isinstance(storage, PostgresStorage)
    lock = alone(storage._home)[0]
    assert isinstance(lock, int)
    return struct.pack("!ii", 4, lock)


def connection(storage: Storage) -> Session:
    """The one that writes."""
    assert isinstance(storage, PostgresStorage)
    found = storage._writer._session
    assert found is not None
    return found


@pytest.mark.parametrize(
    "write", [pytest.param(name, marks=() if name in COMMON else pytest.mark.faults) for name in scenes.WRITES]
)
async def test_a_write_whose_commit_is_not_heard_of_happens_once_and_is_answered_when_it_is_sent_again(
    proxy: Proxy, write: str
) -> None:
    _, call = scenes.WRITES[write]
    course = await scenes.simple_course(stores.postgres, call)

    async with scenes.scene(lambda clock: behind(proxy, clock)) as storage:
        word = last_word(storage, write)
        proxy.drop_reply(word)
        with pytest.raises(Unavailable, match="while a step was committed") as lost:
            await call(storage)
        assert lost.value.outcome_unknown
        answer = await call(storage)

        assert proxy.lost == [word]
        assert scenes.same(answer, write, course)
        assert await scenes.look_at_all(storage) == course.after


async def test_a_job_whose_only_statement_is_not_heard_of_is_stored_once(proxy: Proxy) -> None:
    plain = job("plain", payload=b'"of a plain job"')
    async with behind(proxy, Clock()) as storage:
        proxy.drop_reply(plain.payload)
        with pytest.raises(Unavailable, match="while a step was committed") as lost:
            await storage.enqueue([plain])
        assert lost.value.outcome_unknown
        (answer,) = await storage.enqueue([plain])

        assert proxy.lost == [plain.payload]
        assert (answer.existed, answer.by) == (True, "id")
        assert [stored.id for stored in (await storage.list(JobFilter())).jobs] == ["plain"]


async def test_a_settlement_and_a_claim_whose_only_statement_is_not_heard_of_happen_once(proxy: Proxy) -> None:
    result = b'"of a plain job"'
    async with behind(proxy, Clock()) as storage:
        await storage.enqueue([job("first"), job("second")])
        run = await claim_one(storage)
        settlement, request = Settlement(run.lease, "done", Succeeded(result)), wish()
        proxy.drop_reply(result)
        with pytest.raises(Unavailable, match="while a step was committed") as lost:
            await storage.exchange([settlement], request)
        assert lost.value.outcome_unknown
        before = await storage.read_events()
        answer = await storage.exchange([settlement], request)

        assert proxy.lost == [result]
        assert answer.settled == (Settled(State.SUCCEEDED),)
        assert [claimed.id for claimed in answer.claimed] == ["second"]
        assert await storage.read_events() == before


def refused(code: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"


@pytest.mark.parametrize("code", ["query_canceled", "lock_not_available"])
async def test_a_step_that_is_stopped_between_its_commit_and_its_flush_may_have_happened(
    clock: Clock, code: str
) -> None:
    async with stores.postgres(clock) as storage:
        await storage.enqueue([job("first", tenant="acme")])
        connection(storage).committing = f"{RELEASE}; COMMIT; {refused(code)}"
        with pytest.raises(Unavailable, match="while a step was committed") as lost:
            await storage.enqueue([job("second", tenant="acme")])
        (answer,) = await storage.enqueue([job("second", tenant="acme")])

        assert (lost.value.outcome_unknown, answer.existed) == (True, True)


@pytest.mark.parametrize("code", ["query_canceled", "lock_not_available", "serialization_failure", "disk_full"])
async def test_a_step_of_one_statement_whose_flush_fails_may_have_happened(clock: Clock, code: str) -> None:
    async with stores.postgres(clock) as storage:
        await storage.enqueue([job("first")])
        connection(storage).owing, connection(storage).flush = "true", refused(code)
        with pytest.raises(Unavailable, match="while a step was committed") as lost:
            await storage.enqueue([job("second")])
        (answer,) = await storage.enqueue([job("second")])

        assert (lost.value.outcome_unknown, answer.existed) == (True, True)
