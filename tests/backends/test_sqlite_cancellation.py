"""A cancelled call has happened wholly or not at all, and by the time it ends it is known which."""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiq.backends.sqlite.storage import SQLiteStorage
from aiq.model import CallRequest, State
from aiq.storage import claim
from aiq.testing.actions import claim_one, enqueue_one, job, start, wish
from aiq.testing.faulty import CancelAt, Faulty
from aiq.testing.spending import need, the_limit, units
from tests.backends.sqlite_files import in_transaction, opened

PATIENCE_S = 10


class Gate:
    """A clock at which a step can be held up in the middle of its transaction."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> int:
        self.reached.set()
        assert self.open.wait(PATIENCE_S)
        return 1_700_000_000_000

    async def hold_up(self, call: "asyncio.Task[object]") -> None:
        """Wait until a call stands in its transaction."""
        assert await asyncio.to_thread(self.reached.wait, PATIENCE_S)
        assert not call.done()

    def shut(self) -> None:
        self.reached.clear()
        self.open.clear()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def storage(tmp_path: Path, gate: Gate) -> AsyncIterator[SQLiteStorage]:
    async with opened(tmp_path / "jobs.db", gate) as made:
        yield made


async def test_a_call_that_is_cancelled_in_its_transaction_is_finished_before_the_cancellation_goes_on(
    storage: SQLiteStorage, gate: Gate
) -> None:
    gate.shut()
    call = asyncio.create_task(enqueue_one(storage))
    await gate.hold_up(call)
    call.cancel()
    await asyncio.sleep(0)
    call.cancel("and again")
    await asyncio.sleep(0)
    assert not call.done()
    gate.open.set()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert not await in_transaction(storage)
    assert await storage.count() == {"default": {State.READY: 1}}


async def test_a_call_that_is_cancelled_before_its_turn_never_happens(storage: SQLiteStorage, gate: Gate) -> None:
    gate.shut()
    first = asyncio.create_task(enqueue_one(storage, "first"))
    await gate.hold_up(first)
    second = asyncio.create_task(enqueue_one(storage, "second"))
    await asyncio.sleep(0)
    second.cancel()

    with pytest.raises(asyncio.CancelledError):
        await second
    gate.open.set()
    assert await first == "first"
    assert await storage.get(["second"]) == [None]


async def test_of_two_calls_of_a_run_the_one_that_is_cancelled_in_its_transaction_is_admitted_and_the_other_never_asked(
    storage: SQLiteStorage, gate: Gate
) -> None:
    await storage.put_limits([units("turn", 2)])
    run = await start(storage)
    requests = [CallRequest(lease=run.lease, number=number, limits=("turn",), estimate=need()) for number in (1, 2)]
    gate.shut()
    begun = asyncio.create_task(storage.acquire(requests[:1]))
    await gate.hold_up(begun)
    waiting = asyncio.create_task(storage.acquire(requests[1:]))
    await asyncio.sleep(0)
    waiting.cancel()
    begun.cancel()
    await asyncio.sleep(0)
    gate.open.set()

    assert [type(end) for end in await asyncio.gather(begun, waiting, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]
    assert (await the_limit(storage, "turn")).running == 1
    assert await storage.audit() == []


async def test_a_call_that_is_cancelled_while_it_waits_for_the_file_gives_up_at_once(
    tmp_path: Path, storage: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    storage._home.patience_ms = 60_000
    pausing = threading.Event()
    monkeypatch.setattr(random, "uniform", lambda low, _: pausing.set() or low)
    call = asyncio.create_task(enqueue_one(storage))
    assert await asyncio.to_thread(pausing.wait, PATIENCE_S)
    call.cancel()
    began = time.monotonic()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.monotonic() - began < 5
    other.execute("ROLLBACK")
    other.close()
    assert await storage.count() == {}


async def test_an_error_of_a_call_that_nobody_waits_for_is_dropped_with_it(storage: SQLiteStorage, gate: Gate) -> None:
    await enqueue_one(storage, digest="one")
    gate.shut()
    call = asyncio.create_task(enqueue_one(storage, digest="another"))
    await gate.hold_up(call)
    call.cancel()
    gate.open.set()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert not await in_transaction(storage)


async def test_what_a_cancelled_claim_was_given_is_had_by_claiming_again(storage: SQLiteStorage, gate: Gate) -> None:
    await storage.enqueue([job("a"), job("b")])
    request = wish(2)
    gate.shut()
    call = asyncio.create_task(claim(storage, request))
    await gate.hold_up(call)
    call.cancel()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert [run.id for run in await claim(storage, request)] == ["a", "b"]


async def test_no_point_of_cancellation_lies_inside_a_transaction(storage: SQLiteStorage) -> None:
    faulty, suspension, cancelled = Faulty(storage), 0, True
    while cancelled:
        suspension += 1
        faulty.plan(CancelAt("enqueue", suspension))
        try:
            await enqueue_one(faulty, f"job {suspension}")
            cancelled = False
        except asyncio.CancelledError:
            assert not await in_transaction(storage)
            (found,) = await storage.get([f"job {suspension}"])
            assert found is None or (await claim_one(storage)).id == found.id

    assert suspension > 1
    assert await storage.audit() == []
