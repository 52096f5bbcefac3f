"""How what many runs emit reaches the storage."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from random import Random

import pytest

from aiq.bounds import MAX_BATCH, MAX_CHUNK_BYTES
from aiq.engine.appends import CALL_BYTES, Appends
from aiq.engine.outage import patiently
from aiq.engine.timing import MAX_BACKOFF_MS
from aiq.errors import Conflict, Corrupt, LeaseLost, LostReason, ReadOnly, StorageFull, TooLarge, Unavailable
from aiq.model import Append, Appended, Lease, NewChunk
from aiq.storage import AppendRefused
from aiq.testing.actions import chunks
from tests.engine.world import World, virtually


class Shelf:
    """A storage's streams. Each round trip takes a second, and fails as planned."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self.failures: list[Exception] = []
        self.unfit = ""
        """Of this job nothing can be encoded."""

    async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
        names = [one.lease.job_id for one in appends]
        self.trips.append([f"{one.lease.job_id}{len(one.chunks)}" for one in appends])
        await asyncio.sleep(1)
        if self.failures:
            raise self.failures.pop(0)
        if self.unfit in names:
            raise ValueError("not to be encoded")
        return [LeaseLost(name, LostReason.TAKEN) if name == "lost" else Appended(1, False) for name in names]


def gathering(shelf: Shelf) -> Appends:
    return Appends(shelf)  # type: ignore[arg-type]  # it asks for this one only


def say(appends: Appends, job: str, items: Sequence[NewChunk] | None = None) -> "asyncio.Task[Appended]":
    return asyncio.create_task(appends.append(Lease(job, 1, "x"), chunks("a") if items is None else items))


async def ended(*said: "asyncio.Task[Appended]") -> list[type]:
    return [type(answer) for answer in await asyncio.gather(*said, return_exceptions=True)]


@virtually
async def test_what_runs_emit_while_an_append_is_under_way_goes_together_with_the_next(world: World) -> None:
    shelf = Shelf()
    appends = gathering(shelf)
    first = say(appends, "a")
    await asyncio.sleep(0.5)

    assert await ended(first, *[say(appends, job) for job in "bcd"]) == [Appended] * 4
    assert shelf.trips == [["a1"], ["b1", "c1", "d1"]]


@virtually
async def test_runs_that_are_answered_and_go_on_at_once_go_with_those_who_have_waited(world: World) -> None:
    shelf = Shelf()
    appends = gathering(shelf)

    async def twice(job: str) -> None:
        await appends.append(Lease(job, 1, "x"), chunks("a"))
        await appends.append(Lease(job, 1, "x"), chunks("b", "c", first=2))

    going = [asyncio.create_task(twice(job)) for job in "ab"]
    await asyncio.sleep(0.5)
    await asyncio.gather(*going, say(appends, "late"))

    assert shelf.trips == [["a1", "b1"], ["late1", "a2", "b2"]]


@virtually
async def test_a_run_that_is_refused_alone_hears_of_it(world: World) -> None:
    appends = gathering(Shelf())

    assert await ended(*[say(appends, job) for job in ("a", "lost", "b")]) == [Appended, LeaseLost, Appended]


@virtually
async def test_what_nobody_can_store_of_one_run_is_found_out_and_the_others_are_stored(world: World) -> None:
    shelf = Shelf()
    shelf.unfit = "b"
    appends = gathering(shelf)

    assert await ended(*[say(appends, job) for job in "abc"]) == [Appended, ValueError, Appended]
    assert shelf.trips == [["a1", "b1", "c1"], ["a1"], ["b1"], ["c1"]]


@virtually
@pytest.mark.parametrize(
    "error", [TooLarge("chunk", 2, 1, "Smaller."), Conflict("no", reason="chunk"), Corrupt("one of them")]
)
async def test_a_call_that_fails_for_one_of_its_runs_is_made_again_by_each(world: World, error: Exception) -> None:
    shelf = Shelf()
    shelf.failures = [error]
    appends = gathering(shelf)

    assert await ended(say(appends, "a"), say(appends, "b")) == [Appended, Appended]


@virtually
@pytest.mark.parametrize("error", [Unavailable("gone"), StorageFull("full"), ReadOnly("a replica")])
async def test_a_storage_that_is_not_there_is_told_to_each_who_may_try_again(world: World, error: Exception) -> None:
    shelf = Shelf()
    shelf.failures = [error]
    appends = gathering(shelf)

    assert await ended(say(appends, "a"), say(appends, "b")) == [type(error)] * 2
    assert shelf.trips == [["a1", "b1"]]
    assert await ended(say(appends, "a"), say(appends, "b")) == [Appended, Appended]


@virtually
async def test_a_run_that_is_over_while_it_waits_is_left_out(world: World) -> None:
    shelf = Shelf()
    appends = gathering(shelf)
    first = say(appends, "a")
    await asyncio.sleep(0.5)
    over, other = say(appends, "over"), say(appends, "b")
    await asyncio.sleep(0.1)
    over.cancel()

    assert await ended(first, over, other) == [Appended, asyncio.CancelledError, Appended]
    assert shelf.trips == [["a1"], ["b1"]]


@virtually
@pytest.mark.parametrize(
    ("items", "fitting"),
    [
        (chunks(*"x" * (MAX_BATCH // 2)), 2),
        (chunks(*["x" * MAX_CHUNK_BYTES] * 8), CALL_BYTES // MAX_CHUNK_BYTES // 8),
        ([], MAX_BATCH),
    ],
)
async def test_no_append_takes_more_than_its_bounds(world: World, items: list[NewChunk], fitting: int) -> None:
    shelf = Shelf()
    appends = gathering(shelf)

    await asyncio.gather(*[say(appends, "j", items) for _ in range(2 * fitting + 1)])

    assert [len(trip) for trip in shelf.trips] == [fitting, fitting, 1]


@virtually
async def test_closing_gives_up_what_is_not_stored_and_nobody_goes_on_waiting(world: World) -> None:
    shelf = Shelf()
    appends = gathering(shelf)
    under_way = say(appends, "a")
    await asyncio.sleep(0.5)
    waiting = say(appends, "b")
    await asyncio.sleep(0.1)

    await appends.close()

    assert await ended(under_way, waiting, say(appends, "c")) == [Unavailable, *[asyncio.CancelledError] * 2]
    assert shelf.trips == [["a1"]]


@virtually
async def test_who_tries_again_while_a_storage_is_away_does_not_try_for_ever(world: World) -> None:
    shelf = Shelf()
    appends = gathering(shelf)
    saying = patiently(lambda: appends.append(Lease("a", 1, "x"), []), world.outage, rng=Random(1))
    said = asyncio.create_task(saying)
    await asyncio.sleep(0.5)
    await appends.close()
    await asyncio.sleep(MAX_BACKOFF_MS / 1000)

    assert said.cancelled()


SPAN: ContextVar[str] = ContextVar("SPAN", default="none")


@virtually
async def test_no_run_lends_its_context_to_what_is_sent_for_others(world: World) -> None:
    seen: list[str] = []

    class Seeing(Shelf):
        async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
            seen.append(SPAN.get())
            return await super().append(appends)

    appends = gathering(Seeing())
    SPAN.set("of the first")

    assert await ended(say(appends, "a"), say(appends, "b")) == [Appended, Appended]
    assert seen == ["none"]


@virtually
async def test_each_run_hears_of_a_failure_by_an_error_of_its_own(world: World) -> None:
    shelf = Shelf()
    lost = Unavailable("lost", outcome_unknown=True)
    lost.__cause__ = OSError("reset")
    shelf.failures = [lost]
    appends = gathering(shelf)
    first, other = await asyncio.gather(say(appends, "a"), say(appends, "b"), return_exceptions=True)
    assert isinstance(first, Unavailable)
    assert isinstance(other, Unavailable)
    first.add_note("job a")

    assert (str(other), other.outcome_unknown, other.__cause__) == ("lost", True, lost.__cause__)
    assert other.__notes__ == []
