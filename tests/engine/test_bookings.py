"""How the words of many runs about their calls reach the storage."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from random import Random

import pytest

from aiq.bounds import MAX_BATCH
from aiq.engine.bookings import Bookings
from aiq.engine.tasks import PATIENCE_S
from aiq.errors import Corrupt, InvalidInput, LeaseLost, ReadOnly, StorageFull, Unavailable
from aiq.model import Acquired, Admitted, CallRequest, CallState, Lease, Report, Reported
from tests.engine.world import World, virtually


class Book:
    """A storage's limits. Each round trip takes a second, and fails as planned."""

    def __init__(self) -> None:
        self.trips: list[tuple[str, list[str]]] = []
        self.failures: list[Exception] = []

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        await self._trip("acquire", [f"{call.lease.job_id}{call.number}" for call in calls])
        return [Admitted(max_output=call.number) for call in calls]

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        await self._trip("report", [f"{one.lease.job_id}{one.call}{one.state}" for one in reports])
        return [Reported(late=True) for _ in reports]

    async def _trip(self, kind: str, names: list[str]) -> None:
        self.trips.append((kind, names))
        await asyncio.sleep(1)
        if self.failures:
            raise self.failures.pop(0)


def bookings(book: Book, world: World) -> Bookings:
    return Bookings(book, clock=world.clock, rng=Random(1))  # type: ignore[arg-type]  # it asks for these two only


def call(job: str, number: int) -> CallRequest:
    return CallRequest(lease=Lease(job, 1, "x"), number=number)


def word(job: str, number: int, state: CallState = CallState.SETTLED) -> Report:
    return Report(lease=Lease(job, 1, "x"), call=number, state=state)


def nobody(_: Reported | LeaseLost) -> None:
    pass


@virtually
async def test_what_comes_while_a_round_trip_is_under_way_goes_with_the_next(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    first = asyncio.create_task(desk.acquire(call("a", 1)))
    await asyncio.sleep(0.5)
    rest = [asyncio.create_task(desk.acquire(call(job, 2))) for job in "bcd"]
    answers = await asyncio.gather(first, *rest)

    assert book.trips == [("acquire", ["a1"]), ("acquire", ["b2", "c2", "d2"])]
    assert answers == [Admitted(max_output=1), *[Admitted(max_output=2)] * 3]


@virtually
async def test_a_report_goes_before_the_calls_that_may_wait_for_what_it_gives_back(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    asked = asyncio.create_task(desk.acquire(call("b", 1)))
    await asyncio.sleep(0)
    desk.report(word("a", 1), nobody)
    await asked

    assert book.trips == [("report", ["a1settled"]), ("acquire", ["b1"])]


@virtually
async def test_of_what_was_said_meanwhile_of_one_call_the_newest_goes_out(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    desk.report(word("a", 1, CallState.OPEN), nobody)
    await asyncio.sleep(0.5)
    first = desk.report(word("b", 1, CallState.OPEN), nobody)
    desk.report(word("c", 1), nobody)
    last = desk.report(word("b", 1), nobody)
    await asyncio.wait({last})

    assert first is last
    assert book.trips == [("report", ["a1open"]), ("report", ["b1settled", "c1settled"])]


@virtually
async def test_no_round_trip_is_larger_than_a_batch(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    waits = {desk.report(word("a", number), nobody) for number in range(MAX_BATCH + 1)}
    asked = [asyncio.create_task(desk.acquire(call("b", number))) for number in range(MAX_BATCH + 1)]
    await asyncio.wait({*waits, *asked})

    assert [(kind, len(names)) for kind, names in book.trips] == [
        ("report", MAX_BATCH),
        ("acquire", MAX_BATCH),
        ("report", 1),
        ("acquire", 1),
    ]
    assert [task.result() for task in asked] == [Admitted(max_output=n) for n in range(MAX_BATCH + 1)]


@virtually
@pytest.mark.parametrize(
    "error",
    [Unavailable("lost", outcome_unknown=True), Unavailable("refused"), StorageFull("full"), ReadOnly("a replica")],
)
async def test_a_storage_that_does_not_answer_is_asked_the_same_again(world: World, error: Exception) -> None:
    book = Book()
    desk = bookings(book, world)
    book.failures = [error, error]
    answer = await desk.acquire(call("a", 1))

    assert answer == Admitted(max_output=1)
    assert book.trips == [("acquire", ["a1"])] * 3


@virtually
async def test_a_report_is_repeated_until_it_is_taken(world: World) -> None:
    book, heard = Book(), list[Reported | LeaseLost]()
    desk = bookings(book, world)
    book.failures = [Unavailable("lost", outcome_unknown=True)]
    await asyncio.wait({desk.report(word("a", 1), heard.append)})

    assert book.trips == [("report", ["a1settled"])] * 2
    assert heard == [Reported(late=True)]


@virtually
async def test_an_error_that_no_repeat_mends_is_the_answer_to_each_and_the_next_goes_on(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    book.failures = [Corrupt("a row")] * 3
    answers = await asyncio.gather(desk.acquire(call("a", 1)), desk.acquire(call("b", 1)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Corrupt, Corrupt]
    assert await desk.acquire(call("a", 2)) == Admitted(max_output=2)


@virtually
async def test_reports_that_cannot_be_taken_hold_up_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    desk = bookings(book, world)
    book.failures = [Corrupt("a row")]
    await asyncio.wait({desk.report(word("a", 1), nobody)})

    assert "A report of a call was not taken" in caplog.text
    assert await desk.acquire(call("a", 2)) == Admitted(max_output=2)


class Choosy(Book):
    """Refuses what one job says or asks, and so the round trip that it goes with, as a store does."""

    async def _trip(self, kind: str, names: list[str]) -> None:
        await super()._trip(kind, names)
        if any(name.startswith("bad") for name in names):
            raise InvalidInput("It names a limit twice.")


@virtually
async def test_a_call_that_no_store_could_answer_is_refused_to_its_asker_alone(world: World) -> None:
    desk = bookings(Choosy(), world)
    asked = [desk.acquire(call(job, 1)) for job in ("a", "bad", "b")]
    first, bad, last = await asyncio.gather(*asked, return_exceptions=True)

    assert (first, type(bad), last) == (Admitted(max_output=1), InvalidInput, Admitted(max_output=1))


@virtually
async def test_a_report_that_no_store_could_take_loses_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    book, heard = Choosy(), list[Reported | LeaseLost]()
    desk = bookings(book, world)
    await asyncio.wait({desk.report(word(job, 1), heard.append) for job in ("a", "bad", "b")})

    assert heard == [Reported(late=True)] * 2
    assert book.trips[1:] == [("report", ["a1settled"]), ("report", ["bad1settled"]), ("report", ["b1settled"])]
    assert caplog.text.count("was not taken") == 1


@virtually
async def test_a_call_whose_asker_is_gone_before_it_went_out_is_not_asked_for(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    first = asyncio.create_task(desk.acquire(call("a", 1)))
    await asyncio.sleep(0.5)
    gone, stays = (asyncio.create_task(desk.acquire(call(job, 1))) for job in "bc")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({first, gone, stays})

    assert book.trips == [("acquire", ["a1"]), ("acquire", ["c1"])]


@virtually
async def test_a_caller_who_is_cancelled_while_it_is_under_way_disturbs_no_other(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    gone, stays = (asyncio.create_task(desk.acquire(call(job, 1))) for job in "ab")
    await asyncio.sleep(0.5)
    gone.cancel()
    await asyncio.wait({gone, stays})

    assert gone.cancelled()
    assert stays.result() == Admitted(max_output=1)
    assert len(book.trips) == 1


@virtually
async def test_what_is_left_at_the_end_is_sent_and_what_comes_later_is_not(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    sent = desk.report(word("a", 1), nobody)
    await desk.close()
    desk.report(word("a", 2), nobody)
    await asyncio.sleep(10)

    assert sent.done()
    assert book.trips == [("report", ["a1settled"])]


@virtually
async def test_a_storage_that_never_answers_does_not_keep_a_worker_from_ending(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    book.failures = [Unavailable("gone")] * 1_000
    asked = asyncio.create_task(desk.acquire(call("a", 1)))
    desk.report(word("b", 1), nobody)
    await asyncio.sleep(1)
    before_ms = world.clock()
    await desk.close()
    await asyncio.wait({asked})

    assert asked.cancelled()
    assert world.clock() - before_ms == PATIENCE_S * 1000


SPAN: ContextVar[str] = ContextVar("SPAN", default="none")


@virtually
async def test_no_run_lends_its_context_to_what_is_sent_for_others(world: World) -> None:
    seen: list[str] = []

    class Seeing(Book):
        async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
            seen.append(SPAN.get())
            return await super().acquire(calls)

    desk = bookings(Seeing(), world)
    SPAN.set("of the first")
    await asyncio.gather(desk.acquire(call("a", 1)), desk.acquire(call("b", 1)))

    assert seen == ["none"]


@virtually
async def test_what_waits_behind_a_round_trip_that_is_torn_down_still_goes_out(world: World) -> None:
    book = Book()
    desk = bookings(book, world)
    first = desk.report(word("a", 1), nobody)
    await asyncio.sleep(0.5)
    second = desk.report(word("b", 1), nobody)
    asked = asyncio.create_task(desk.acquire(call("c", 1)))
    await asyncio.sleep(0)
    assert desk._pump is not None
    desk._pump.cancel()
    await asyncio.wait({first, second, asked})

    assert book.trips == [("report", ["a1settled"]), ("report", ["b1settled"]), ("acquire", ["c1"])]
    assert asked.result() == Admitted(max_output=1)


@virtually
async def test_whoever_comes_after_the_end_is_cancelled_at_once(world: World) -> None:
    desk = bookings(Book(), world)
    await desk.close()

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await desk.acquire(call("a", 1))

    assert desk.report(word("a", 1), nobody).cancelled()


@virtually
async def test_each_call_hears_of_a_failure_by_an_error_of_its_own(world: World) -> None:
    book = Book()
    book.failures = [Corrupt("It contradicts itself.") for _ in range(3)]
    desk = bookings(book, world)
    first, other = await asyncio.gather(desk.acquire(call("a", 1)), desk.acquire(call("b", 1)), return_exceptions=True)
    assert isinstance(first, Corrupt)
    first.add_note("job a")

    assert isinstance(other, Corrupt)
    assert not hasattr(other, "__notes__")
