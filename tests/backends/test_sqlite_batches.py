"""Many rows come and go as one value, so that a step is as many statements for a hundred jobs as for ten."""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from aiq.backends.relational.plain.shortcuts import Shortcuts
from aiq.backends.relational.table import read_table
from aiq.backends.relational.transaction import Transaction
from aiq.backends.sqlite.connection import Texts
from aiq.backends.sqlite.storage import SQLiteStorage, open_sqlite
from aiq.errors import Misconfigured
from aiq.model import (
    CallRequest,
    ChunkKind,
    Estimate,
    JobRecord,
    LimitSpec,
    Settlement,
    State,
    Succeeded,
    Throttle,
    Waiting,
)
from aiq.storage import append, claim, read
from aiq.testing.actions import chunks, claim_some, end, failed, job, start, wish
from aiq.testing.clock import Clock
from tests.backends.sqlite_files import in_writer, opened, url_of


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def storage(tmp_path: Path, clock: Clock) -> AsyncIterator[SQLiteStorage]:
    async with opened(tmp_path / "jobs.db", clock) as made:
        yield made


async def statements_of(storage: SQLiteStorage, call: Callable[[], Awaitable[object]]) -> int:
    """How many statements the writer runs for a call; a trigger or a row of many would each count as one."""
    seen: list[str] = []
    await in_writer(storage, lambda raw: raw.set_trace_callback(seen.append))
    await call()
    await in_writer(storage, lambda raw: raw.set_trace_callback(None))
    return len(seen)


def settled(runs: Sequence[JobRecord], result: bytes = b"done") -> list[Settlement]:
    return [Settlement(run.lease, "1", Succeeded(result)) for run in runs]


async def test_an_enqueue_of_a_hundred_is_as_many_statements_as_one_of_ten(storage: SQLiteStorage) -> None:
    ten = await statements_of(storage, lambda: storage.enqueue([job(f"a{n}") for n in range(10)]))
    hundred = await statements_of(storage, lambda: storage.enqueue([job(f"b{n}") for n in range(100)]))

    assert ten == hundred


async def test_an_exchange_of_a_hundred_is_as_many_statements_as_one_of_ten(storage: SQLiteStorage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(220)])
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)
    ten = await statements_of(storage, lambda: storage.exchange(settled(few), wish(10)))
    hundred = await statements_of(storage, lambda: storage.exchange(settled(many), wish(100)))

    assert ten == hundred


async def test_renewing_a_hundred_leases_is_as_many_statements_as_ten(storage: SQLiteStorage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(110)])
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)
    ten = await statements_of(storage, lambda: storage.renew([run.lease for run in few]))
    hundred = await statements_of(storage, lambda: storage.renew([run.lease for run in many]))

    assert ten == hundred


async def test_reserving_for_a_hundred_calls_is_as_many_statements_as_for_ten(storage: SQLiteStorage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", requests=60_000)])
    await storage.enqueue([job(f"job {n}") for n in range(110)])
    few, many = [
        [CallRequest(lease=run.lease, number=1, limits=("gpt",), estimate=Estimate()) for run in runs]
        for runs in (await claim_some(storage, 10), await claim_some(storage, 100))
    ]
    ten = await statements_of(storage, lambda: storage.acquire(few))
    hundred = await statements_of(storage, lambda: storage.acquire(many))

    assert ten == hundred


async def test_revoking_a_hundred_leases_is_as_many_statements_as_ten(storage: SQLiteStorage, clock: Clock) -> None:
    await storage.enqueue([job(f"job {n}", lease_ms=100) for n in range(110)])
    await claim_some(storage, 10)
    clock.advance_ms(100)
    ten = await statements_of(storage, storage.upkeep)
    await claim_some(storage, 100)
    clock.advance_ms(100)
    hundred = await statements_of(storage, storage.upkeep)

    assert ten == hundred
    assert (await storage.count())["default"] == {State.READY: 110}


async def test_the_ends_of_many_children_are_as_many_statements_as_those_of_few(storage: SQLiteStorage) -> None:
    parent = await start(storage, "parent")
    children = [job(f"child {n:03}", queue="children", child_of="key") for n in range(120)]
    await storage.enqueue(children, parent=parent.lease)
    await end(storage, parent, Waiting("key", None))
    few, many = await claim_some(storage, 10, "children"), await claim_some(storage, 100, "children")
    ten = await statements_of(storage, lambda: storage.exchange(settled(few)))
    hundred = await statements_of(storage, lambda: storage.exchange(settled(many)))

    assert ten == hundred
    assert await storage.audit() == []


async def test_a_flow_of_a_hundred_is_as_many_statements_as_one_of_ten(storage: SQLiteStorage) -> None:
    def flow(name: str, size: int) -> Awaitable[object]:
        return storage.enqueue([job(f"{name}{n}", depends_on=(f"{name}{n - 1}",) if n else ()) for n in range(size)])

    assert await statements_of(storage, lambda: flow("a", 10)) == await statements_of(storage, lambda: flow("b", 100))
    assert await storage.audit() == []


async def test_appending_a_hundred_items_is_as_many_statements_as_ten(storage: SQLiteStorage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("first"))
    few, many = [f"{n}" for n in range(10)], [f"{n}" for n in range(100)]
    ten = await statements_of(storage, lambda: append(storage, run.lease, chunks(*few, first=2)))
    hundred = await statements_of(storage, lambda: append(storage, run.lease, chunks(*many, first=12)))

    assert ten == hundred


@pytest.mark.parametrize("by", ["tenant", "key"])
async def test_a_hundred_that_stand_aside_come_back_in_as_many_statements_as_ten(
    storage: SQLiteStorage, clock: Clock, by: str
) -> None:
    # How often a shorter way is tried, which could not make such steps, is another matter.
    storage._shortcuts = Shortcuts({})
    await storage.put_limits([LimitSpec(name="gpt", requests=60_000, by=by)])
    for queue, count in (("few", 10), ("many", 100)):
        parts = [f"{queue} {n}" for n in range(count)]
        await storage.throttled([Throttle(limit="gpt", key=part, retry_after_ms=1_000) for part in parts])
        await storage.enqueue([job(part, queue=queue, limits=("gpt",), **{by: part}) for part in parts])
        while (await storage.exchange((), wish(1, queue))).next_due_ms == 1:
            pass
        await storage.pause(queue)
    clock.advance_ms(60_000)

    # A claim from a paused queue gives nothing, and lets come back what is due.
    ten = await statements_of(storage, lambda: claim(storage, wish(1, "few")))
    hundred = await statements_of(storage, lambda: claim(storage, wish(1, "many")))
    assert ten == hundred
    await storage.resume("many")
    assert len(await claim_some(storage, 200, "many")) == 100


async def test_an_idle_worker_asks_in_a_handful_of_statements(storage: SQLiteStorage) -> None:
    assert await statements_of(storage, lambda: claim(storage, wish(100))) <= 6


async def test_a_worker_that_was_given_jobs_out_of_order_of_their_ids_gets_them_in_theirs(
    storage: SQLiteStorage,
) -> None:
    names = [f"job {n * 37 % 100:03}" for n in range(100)]
    await storage.enqueue([job(name) for name in names])

    assert [run.id for run in await claim_some(storage, 100)] == names


async def test_any_bytes_come_back_as_they_went_in_however_many_go_together(storage: SQLiteStorage) -> None:
    payloads = [b"", b"\x00", b"\xff\xfe\x00\xc3", "ü\x00".encode(), os.urandom(5_000), b"plain"] * 10
    await storage.enqueue([job(f"job {n:02}", payload=payload) for n, payload in enumerate(payloads)])
    runs = await claim_some(storage, 60)
    await storage.exchange([Settlement(run.lease, "1", Succeeded(run.payload)) for run in runs])
    records = await storage.get([f"job {n:02}" for n in range(60)])

    assert [record and (record.payload, record.result) for record in records] == [(data, data) for data in payloads]


async def test_any_bytes_of_a_stream_come_back_in_their_order(storage: SQLiteStorage) -> None:
    run = await start(storage)
    sent = chunks("one", "", "two\x00", "ü")
    await append(storage, run.lease, sent)
    await end(storage, run, failed())
    page = await read(storage, "job")

    assert [(chunk.kind, chunk.data) for chunk in page.chunks] == [(ChunkKind.DATA, chunk.data) for chunk in sent]


def test_a_table_has_its_bytes_in_the_places_of_their_lengths() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (n, a, b)")
    stored = [[1, b"\xff", None], [2, None, b""], [3, b"\x00\x01", b"b"]]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", stored)
    sql = """
        SELECT json_group_array(json_array(n, length(a), length(b))),
            CAST(group_concat(CAST(a AS TEXT), '') AS BLOB), CAST(group_concat(CAST(b AS TEXT), '') AS BLOB) FROM t
    """

    assert read_table(Texts(connection, {"t": sql}), "t", {}) == stored
    connection.close()


def test_of_two_gathered_rows_with_one_key_the_later_is_written() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (n, data)")
    insert = """
        INSERT INTO t
        SELECT json_extract(value, '$.n'), substr(:blobs, json_extract(value, '$.data[0]'),
            json_extract(value, '$.data[1]')) FROM json_each(:rows)
    """
    tx = Transaction(Texts(connection, {"put": insert, "all": "SELECT n, data FROM t ORDER BY n"}), 0)
    tx.later("put", {"n": 1}, key="one", data=b"first")
    tx.later("put", {"n": 2}, key="two", data=None)
    tx.later("put", {"n": 3}, key="one", data=b"\x00last")

    assert tx.rows("all") == [(2, None), (3, b"\x00last")]
    connection.close()


async def test_a_database_in_another_encoding_is_not_for_us(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    other = sqlite3.connect(path)
    other.execute("PRAGMA encoding = 'UTF-16'")
    other.execute("CREATE TABLE theirs (x)")
    other.close()

    with pytest.raises(Misconfigured, match="UTF-16"):
        await open_sqlite(url_of(path))


async def work_of(storage: SQLiteStorage, call: Callable[[], Awaitable[object]]) -> int:
    """How many instructions SQLite runs for a call, of which each row that it reads takes some."""
    done = 0

    def count() -> int:
        nonlocal done
        done += 1
        return 0

    await in_writer(storage, lambda raw: raw.set_progress_handler(count, 1))
    await call()
    await in_writer(storage, lambda raw: raw.set_progress_handler(None, 0))
    return done


async def test_an_append_reads_as_many_rows_behind_hundreds_of_ranges_as_behind_two(storage: SQLiteStorage) -> None:
    run = await start(storage)
    steps = [
        chunk for seq in range(1, 451, 2) for chunk in (*chunks("a", first=seq, step="a"), *chunks("b", first=seq + 1))
    ]
    await append(storage, run.lease, steps[:2])
    early = await work_of(storage, lambda: append(storage, run.lease, steps[2:4]))
    await append(storage, run.lease, steps[4:224])
    await append(storage, run.lease, steps[224:448])

    late = await work_of(storage, lambda: append(storage, run.lease, steps[448:]))

    assert late == early
