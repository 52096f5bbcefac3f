"""Who waits hears of what others write, in whatever loop that is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from threading import Event

import pytest

from aiq.backends.postgres import notice, watch
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.storage import PostgresStorage
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one
from aiq.testing.clock import Clock
from tests.postgres_servers import WORKER, postgres_server
from tests.schemas import schemas
from tests.stores import opened

LONG_MS = 60_000


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Storage, Storage]]:
    """A storage, and another process's."""
    name = await schemas().take()
    url = postgres_server().url(name, user=WORKER)
    async with opened(url, Clock()) as here, opened(url, Clock()) as elsewhere:
        yield here, elsewhere
    schemas().give_back(name)


@pytest.fixture(autouse=True)
def only_by_notification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HEARING_LOOK_S", 3_600.0)


async def is_woken(storage: Storage, waits: Event) -> bool:
    """Whether something new is heard of by whoever waits here, from when on he says so."""
    mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
    waits.set()
    async with asyncio.timeout(20):
        return await storage.wait(["queue:default"], after=mark, timeout_ms=LONG_MS) != mark


async def woken(storage: Storage, topic: str, mark: str) -> str:
    """The mark of whoever has waited for a change, and was told of it long before the wait is over."""
    async with asyncio.timeout(20):
        return await storage.wait([topic], after=mark, timeout_ms=LONG_MS)


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> list[Home]:
    """Whose looks have begun since."""
    looks: list[Home] = []
    look = watch.Watch._look

    async def counted(self: watch.Watch, connection: watch.Connection) -> None:
        looks.append(self._home)
        await look(self, connection)

    monkeypatch.setattr(watch.Watch, "_look", counted)
    return looks


def home(storage: Storage) -> Home:
    assert isinstance(storage, PostgresStorage)
    return storage._home


async def enqueue_once(elsewhere: Storage, job_id: str, *waiting: Event) -> None:
    """Enqueue elsewhere once all of these wait."""
    for one in waiting:
        await asyncio.to_thread(one.wait, 20)
    await enqueue_one(elsewhere, job_id)


async def test_a_storage_that_is_waited_at_in_two_loops_at_once_wakes_both(pair: tuple[Storage, Storage]) -> None:
    here, elsewhere = pair
    waits = (Event(), Event())
    mine = asyncio.create_task(is_woken(here, waits[0]))
    theirs = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(is_woken(here, waits[1]))))

    await enqueue_once(elsewhere, "a", *waits)

    assert await mine
    assert await theirs


async def test_what_a_process_has_written_itself_it_does_not_look_for(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = pair
    monkeypatch.setattr(notice, "MOST_TOPICS", 0)
    begun = [await storage.wait(["queue:default"], after=None, timeout_ms=0) for storage in pair]
    looks = counted_looks(monkeypatch)

    await enqueue_one(here, "a")
    theirs = await elsewhere.wait(["queue:default"], after=begun[1], timeout_ms=LONG_MS)
    mine = await here.wait(["queue:default"], after=begun[0], timeout_ms=LONG_MS)
    await enqueue_one(elsewhere, "b")
    later = await here.wait(["queue:default"], after=mine, timeout_ms=LONG_MS)

    assert later != mine
    assert theirs != begun[1]
    assert looks == [home(elsewhere), home(here)]


async def test_what_a_notification_names_is_not_looked_for(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = pair
    mark = await here.wait(["queue:default"], after=None, timeout_ms=0)
    looks = counted_looks(monkeypatch)

    for job_id in ("a", "b"):
        await enqueue_one(elsewhere, job_id)
        mark = await woken(here, "queue:default", mark)

    assert looks == []


async def test_what_was_not_heard_is_looked_for_at_the_next_notification(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = pair
    mark = await here.wait(["job:a"], after=None, timeout_ms=0)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Line, "owe_notice", lambda *_: None)
        await enqueue_one(elsewhere, "a")

    await enqueue_one(elsewhere, "b")

    await woken(here, "job:a", mark)


async def test_steps_that_are_heard_in_another_order_are_not_looked_for(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "GAP_S", 3_600.0)
    here, _ = pair
    mark = await here.wait(["queue:default"], after=None, timeout_ms=0)
    looks = counted_looks(monkeypatch)

    for first in (3, 2, 1):
        teller = notice.Notice(home(here).channel, f"other{first}")
        teller.add(["queue:default"], range(first, first + 1))
        await asyncio.to_thread(postgres_server().ask, "SELECT pg_notify($1, $2)", teller.channel, teller.take())
        mark = await woken(here, "queue:default", mark)

    assert looks == []
    assert home(here).news.lacks is None


async def test_nothing_is_looked_for_while_nobody_waits_and_who_comes_back_hears_of_it(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ATTENDED_S", 0.0)
    monkeypatch.setattr(notice, "MOST_TOPICS", 0)
    told, rests = told_of(monkeypatch), rest_of(monkeypatch)
    here, elsewhere = pair
    mark = await here.wait(["queue:default"], after=None, timeout_ms=0)
    async with asyncio.timeout(20):
        await rests.wait()
    looks = counted_looks(monkeypatch)

    await enqueue_one(elsewhere, "a")
    async with asyncio.timeout(20):
        await told.wait()
    assert looks == []
    await woken(here, "queue:default", mark)

    assert looks == [home(here)]


def told_of(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a notification is heard that is no word to oneself."""
    told, hear = asyncio.Event(), watch.Watch._hear

    def noted(self: watch.Watch, connection: object, pid: int, channel: str, said: object) -> None:
        hear(self, connection, pid, channel, said)
        if not str(said).startswith("test "):
            told.set()

    monkeypatch.setattr(watch.Watch, "_hear", noted)
    return told


def rest_of(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when nothing is looked for, since nobody waits."""
    rests, attended = asyncio.Event(), watch.Watch._is_attended

    async def noted(self: watch.Watch) -> bool:
        if not self._waiting:
            rests.set()
        return await attended(self)

    monkeypatch.setattr(watch.Watch, "_is_attended", noted)
    return rests


@pytest.mark.parametrize("last", [10**6, 10**20], ids=["many", "more than there are numbers"])
async def test_a_notification_that_lies_about_what_has_changed_is_forgotten_at_the_next_look(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    monkeypatch.setattr(watch, "HEARING_LOOK_S", 0.1)
    here, elsewhere = pair
    mark = await here.wait(["job:a"], after=None, timeout_ms=0)
    liar = notice.Notice(home(here).channel, "liar")
    liar.add(["job:a"], range(1, last))
    await asyncio.to_thread(postgres_server().ask, "SELECT pg_notify($1, $2)", liar.channel, liar.take())
    mark = await woken(here, "job:a", mark)

    await enqueue_one(elsewhere, "a")

    await woken(here, "job:a", mark)
    assert home(here).news.newest == 1


async def test_what_a_notification_has_left_out_is_found_by_the_next_look(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARING_LOOK_S", 0.1)
    here, elsewhere = pair
    mark = await here.wait(["job:a"], after=None, timeout_ms=0)
    monkeypatch.setattr(Line, "owe_notice", lambda line, _, changes: _owe(line, ["job:b"], changes))

    await enqueue_one(elsewhere, "a")

    await woken(here, "job:a", mark)


_owe = Line.owe_notice


async def test_where_no_word_comes_back_it_is_looked_often(
    pair: tuple[Storage, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = pair
    monkeypatch.setattr(watch.Watch, "_hear", lambda *_: None)
    mark = await here.wait(["job:a"], after=None, timeout_ms=0)

    await enqueue_one(elsewhere, "a")

    await woken(here, "job:a", mark)


async def test_schemas_whose_names_have_one_short_digest_do_not_hear_each_other() -> None:
    one, other = (replace(parse("postgresql://h/d"), schema=name) for name in ("uejgtcuo", "iiwucoup"))

    assert Home(one, None).channel != Home(other, None).channel


async def test_a_storage_goes_on_in_a_new_loop_when_that_in_which_it_was_waited_at_has_ended(
    pair: tuple[Storage, Storage],
) -> None:
    here, elsewhere = pair
    for job_id in ("a", "b"):
        waits = Event()
        woken = asyncio.create_task(asyncio.to_thread(lambda waits: asyncio.run(is_woken(here, waits)), waits))
        await enqueue_once(elsewhere, job_id, waits)
        assert await woken
