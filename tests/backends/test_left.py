"""Jobs that were left in transactions of their callers, in large numbers: nothing that is under way waits for them."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from aiq.backends.relational import door
from aiq.backends.relational.inbox import left
from aiq.bounds import MAX_BATCH, MAX_LEFT_BYTES, MAX_LEFT_STEPS, MAX_PAYLOAD_BYTES
from aiq.errors import NotFound, Unavailable
from aiq.model import Beat, JobRecord, JobSpec, Renewed, Settlement, State, Throttle
from aiq.storage import Storage, append, read
from aiq.testing.actions import GOOD, chunks, claim_one, claim_some, enqueue_one, job, start, states, value, wish
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import open_call, put_limit, tell
from tests.backends.postgres.whole_tables import opened as opened_server
from tests.backends.sqlite_files import opened as opened_file
from tests.postgres_servers import postgres_server

MOST = MAX_LEFT_STEPS * MAX_BATCH
"""Rows of a job each that one operation stores."""
LEASE_MS = 1_000


class Shop:
    """A storage, and somebody who leaves jobs there in transactions of his own."""

    def __init__(self, storage: Any, clock: Clock, ask: Callable[..., list[tuple[Any, ...]]]) -> None:
        self.storage, self.clock, self._ask = storage, clock, ask

    def leave(self, *batches: Sequence[JobSpec]) -> None:
        """Commit as many rows."""
        self.put(*[left(batch) for batch in batches])

    def put(self, *contents: bytes) -> None:
        """The same, of whatever they hold."""
        self._ask("INSERT INTO {}aiq_inbox (content) VALUES ", contents)

    def rows(self) -> int:
        """How many of them nobody has looked at."""
        (found,) = self._ask("SELECT count(*) FROM {}aiq_inbox WHERE error IS NULL")
        return int(found[0])

    def errors(self) -> list[str]:
        """Why some could not be stored."""
        return [str(error) for (error,) in self._ask("SELECT error FROM {}aiq_inbox WHERE error IS NOT NULL")]


@asynccontextmanager
async def file(folder: Path) -> AsyncIterator[Shop]:
    clock, path = Clock(), folder / "jobs.db"

    def ask(text: str, contents: Sequence[bytes] = ()) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            if contents:
                connection.executemany(f"{text.format('')} (?)", [(content,) for content in contents])
                return []
            return connection.execute(text.format("")).fetchall()

    async with opened_file(path, clock) as storage:
        yield Shop(storage, clock, ask)


@asynccontextmanager
async def server(_: Path) -> AsyncIterator[Shop]:
    clock = Clock()
    async with opened_server(clock) as (storage, schema):

        def ask(text: str, contents: Sequence[bytes] = ()) -> list[tuple[Any, ...]]:
            whole = text.format(f"{schema}.")
            if contents:
                # In their order, in which they are numbered.
                whole = f"{whole.removesuffix('VALUES ')} SELECT unnest($1::bytea[])"
                return postgres_server().ask(whole, list(contents))
            return postgres_server().ask(whole)

        yield Shop(storage, clock, ask)


@pytest.fixture(params=[file, server], ids=["sqlite", "postgres"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    async with request.param(tmp_path) as found:
        yield found


def single(count: int, name: str = "left", **options: Any) -> list[list[JobSpec]]:
    """Rows of a job each."""
    return [[job(f"{name} {number}", **options)] for number in range(count)]


def names(count: int) -> list[str]:
    return [f"left {number}" for number in range(count)]


async def claimed(storage: Storage) -> list[str]:
    """All that is ready, in its order."""
    found: list[str] = []
    while given := await claim_some(storage, MAX_BATCH):
        found += [record.id for record in given]
    return found


async def call(storage: Storage, run: JobRecord) -> None:
    await open_call(storage, run)
    await tell(storage, run)


GOES_ON: dict[str, Callable[[Storage, JobRecord], Awaitable[Any]]] = {
    "renew": lambda storage, run: storage.renew([run.lease]),
    "settle": lambda storage, run: storage.exchange([Settlement(run.lease, "1", GOOD)]),
    "save_step": lambda storage, run: storage.save_step(run.lease, value("k")),
    "get_steps": lambda storage, run: storage.get_steps(run.id),
    "append": lambda storage, run: append(storage, run.lease, chunks("a")),
    "read": lambda storage, run: read(storage, run.id),
    "acquire and report": call,
    "throttled": lambda storage, _: storage.throttled([Throttle(limit="gpt")]),
    "cancel": lambda storage, run: storage.cancel([run.id]),
    "beat": lambda storage, _: storage.beat(Beat(worker="worker")),
    "leave": lambda storage, _: storage.leave("worker"),
}


@clause("ENQ-11")
@pytest.mark.parametrize("operation", GOES_ON.values(), ids=GOES_ON)
async def test_what_a_run_does_is_done_beside_what_was_left(shop: Shop, operation: Callable[..., Any]) -> None:
    await put_limit(shop.storage)
    run = await start(shop.storage, limits=("gpt",))
    shop.leave(*single(3))

    await operation(shop.storage, run)

    assert shop.rows() == 3


@clause("ENQ-11", "ENQ-12")
async def test_a_lease_of_a_second_outlives_five_thousand_rows(shop: Shop) -> None:
    run, count = await start(shop.storage, lease_ms=LEASE_MS), 5_000
    shop.leave(*single(count))

    while rows := shop.rows():
        await shop.storage.count()
        assert shop.rows() == max(0, rows - MOST)
        shop.clock.advance_ms(LEASE_MS - 1)
        assert isinstance((await shop.storage.renew([run.lease]))[0], Renewed)

    assert (await shop.storage.count())["default"] == {State.RUNNING: 1, State.READY: count}


@clause("ENQ-12")
async def test_who_claims_beside_a_full_inbox_is_given_what_is_ready(shop: Shop) -> None:
    await enqueue_one(shop.storage, "ready before")
    shop.leave(*single(MOST + 1))

    assert (await claim_one(shop.storage)).id == "ready before"
    assert shop.rows() == 1


@clause("ENQ-12")
async def test_who_enqueues_beside_a_full_inbox_is_answered_after_as_many_steps(shop: Shop) -> None:
    shop.leave(*single(MOST + 1))

    assert not (await shop.storage.enqueue([job("new")]))[0].existed
    assert shop.rows() == 1


@clause("ENQ-12")
async def test_a_step_stores_no_more_jobs_than_a_batch_may_have(shop: Shop) -> None:
    half = MAX_BATCH // 2 + 1
    shop.leave(*[[job(f"{row} {number}") for number in range(half)] for row in range(MAX_LEFT_STEPS + 1)])

    await shop.storage.count()

    assert shop.rows() == 1


@clause("ENQ-12")
async def test_a_step_reads_no_more_bytes_than_it_may(shop: Shop) -> None:
    large = b"0" * MAX_PAYLOAD_BYTES
    shop.leave(*single(MAX_LEFT_STEPS + 1, payload=large))

    await shop.storage.count()

    assert 2 * MAX_PAYLOAD_BYTES >= MAX_LEFT_BYTES
    assert shop.rows() == 1


@clause("ENQ-9")
async def test_jobs_are_stored_in_the_order_in_which_they_were_left(shop: Shop) -> None:
    count = 2 * MAX_BATCH + 10
    shop.leave(*single(count))

    assert await claimed(shop.storage) == names(count)


@clause("ENQ-9", "ENQ-10")
@pytest.mark.parametrize("bad", [0, 137, 299])
async def test_one_bad_row_among_many_harms_no_other(shop: Shop, bad: int) -> None:
    await start(shop.storage, "standing")
    rows = single(300)
    rows[bad] = [job("standing", digest="other")]
    shop.leave(*rows)

    found = await claimed(shop.storage)

    assert found == [name for name in names(300) if name != f"left {bad}"]
    assert [error.partition(":")[0] for error in shop.errors()] == ["Conflict"]


@clause("ENQ-10")
async def test_rows_that_nobody_can_read_are_put_aside_one_by_one(shop: Shop) -> None:
    shop.put(b"no json", left([job("a")]), b"[]]", left([job("b")]))

    assert await claimed(shop.storage) == ["a", "b"]
    assert len(shop.errors()) == 2


@clause("ENQ-9")
async def test_jobs_that_are_not_plain_are_stored_beside_those_that_are(shop: Shop) -> None:
    shop.leave([job("a")], [job("b", depends_on=("a",))], [job("c", unique="u")], [job("d", unique="u")])

    assert await states(shop.storage, "a", "b", "c", "d") == [State.READY, State.WAITING, State.READY, None]


@clause("ENQ-9")
async def test_the_same_job_may_be_left_twice(shop: Shop) -> None:
    shop.leave([job("a")], [job("a")], [job("b")])

    assert await claimed(shop.storage) == ["a", "b"]
    assert shop.errors() == []


@clause("ENQ-11")
async def test_who_settles_and_is_given_nothing_stores_one_batch_of_what_was_left_behind_that(shop: Shop) -> None:
    run = await start(shop.storage)
    shop.leave(*single(MAX_BATCH + 1))

    answer = await shop.storage.exchange([Settlement(run.lease, "1", GOOD)], wish(3))

    assert answer.claimed == ()
    assert shop.rows() == 1


@clause("ENQ-11")
async def test_who_settles_and_is_given_a_job_hears_of_it_at_once(shop: Shop) -> None:
    run = await start(shop.storage)
    await enqueue_one(shop.storage, "ready before")
    shop.leave(*single(2))

    answer = await shop.storage.exchange([Settlement(run.lease, "1", GOOD)], wish(3))

    assert [record.id for record in answer.claimed] == ["ready before"]
    assert shop.rows() == 2


@clause("ENQ-9", "ENQ-11")
async def test_a_job_that_was_left_is_found_by_who_cancels_it_or_reads_of_it(shop: Shop) -> None:
    shop.leave([job("a")], [job("b")])
    assert (await shop.storage.cancel(["b"]))[0].state is State.CANCELLED
    shop.leave([job("c")])
    assert await shop.storage.get_steps("c") == []
    shop.leave([job("d")])
    assert (await read(shop.storage, "d")).chunks == ()
    with pytest.raises(NotFound):
        await read(shop.storage, "nobody")


@clause("ENQ-12")
async def test_where_nothing_of_it_can_be_stored_others_go_on_and_less_is_tried(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object, **__: object) -> None:
        raise Unavailable("A statement took longer than a step is given.")

    shop.leave(*single(2))
    monkeypatch.setattr(door, "take_in", slow)

    await enqueue_one(shop.storage, "new")

    assert await claimed(shop.storage) == ["new"]
    assert shop.rows() == 2
    assert shop.storage._left_at_once < MAX_BATCH
