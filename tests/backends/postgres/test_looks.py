"""A look before a step: whoever finds nothing to do takes no lock, or keeps it for a moment only."""

import asyncio

from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.storage import PostgresStorage
from aiq.backends.relational.transaction import Transaction
from aiq.model import Beat
from aiq.testing.clock import Clock
from tests.backends.postgres.whole_tables import opened
from tests.postgres_servers import connect, postgres_server

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Work:
    """A step, and a look that finds nothing to do from a certain one on."""

    def __init__(self, *, idle_from: int) -> None:
        self.looks = 0
        self._idle_from = idle_from

    def look(self, _tx: Transaction) -> str | None:
        self.looks += 1
        return "nothing to do" if self.looks >= self._idle_from else None

    def step(self, _tx: Transaction) -> str:
        return "done"


async def made_behind_somebody(storage: PostgresStorage, work: Work) -> str:
    """What a step answers that had to wait for another."""
    server = postgres_server()
    other = await connect(server.port)
    await other.execute(f"BEGIN; {writers_lock(storage._home.address)}")
    making = asyncio.create_task(storage._step(work.step, work.look))
    await asyncio.to_thread(server.until, lambda: server.ask(WAITING) == [(1,)])
    await other.close()
    return await making


async def test_what_nobody_has_to_wait_for_is_looked_at_once() -> None:
    work = Work(idle_from=2)
    async with opened(Clock()) as (storage, _):
        answer = await storage._step(work.step, work.look)

    assert (answer, work.looks) == ("done", 1)


async def test_after_a_wait_for_others_it_is_looked_at_again_since_they_may_have_done_it() -> None:
    work = Work(idle_from=2)
    async with opened(Clock()) as (storage, _):
        answer = await made_behind_somebody(storage, work)

    assert (answer, work.looks) == ("nothing to do", 2)


async def test_what_is_still_to_be_done_after_a_wait_is_done() -> None:
    work = Work(idle_from=3)
    async with opened(Clock()) as (storage, _):
        answer = await made_behind_somebody(storage, work)

    assert (answer, work.looks) == ("done", 2)


async def test_a_look_for_upkeep_does_not_ask_whether_what_it_has_seen_is_on_disk() -> None:
    async with opened(Clock()) as (storage, _):
        await storage.upkeep()
        session = storage._reader._session
        assert session is not None
        session.looked = "ROLLBACK; SELECT 1 / 0"
        upkept = await storage.upkeep()

    assert upkept.total == 0


async def test_a_beat_does_not_wait_for_the_disk() -> None:
    async with opened(Clock()) as (storage, _):
        beat = Beat(worker="w", host="h", pid=1, version="", python="")
        await storage.beat(beat)
        session = storage._writer._session
        assert session is not None
        session.committing = "SELECT 1 / 0"
        await storage.beat(beat)

        (told,) = await storage.workers()

    assert told.beat == beat
