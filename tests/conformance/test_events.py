"""Chapter 17, first half: the log of events, and what is counted by minute."""

import pytest

from aiq.errors import ForeignCursor, InvalidInput, NotFound
from aiq.model import (
    NOW,
    Cancelled,
    Cause,
    Event,
    Keep,
    MinuteFilter,
    MinuteRow,
    Released,
    RetentionSpec,
    State,
    Usage,
)
from aiq.storage import Storage, events_topic
from aiq.testing.actions import BAD, GOOD, changed, claim_some, end, end_one, enqueue_one, failed, get_one, job, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.moves import reference
from aiq.testing.spending import put_prices, tell

S = State
MINUTE_MS, DAY_MS = 60_000, 24 * 3_600_000


async def told(storage: Storage, after: str | None = None, limit: int = 3) -> list[Event]:
    """Every event behind a cursor, page by page."""
    found: list[Event] = []
    while True:
        page = await storage.read_events(after, limit)
        found += page.events
        after = page.cursor
        if not page.more:
            return found


async def minutes(storage: Storage, **query: object) -> list[MinuteRow]:
    return list((await storage.metrics(MinuteFilter(**query))).rows)  # type: ignore[arg-type]


# The log.


@clause("EVENT-1")
async def test_a_reader_that_goes_on_is_given_every_event_once_those_of_a_job_in_order(storage: Storage) -> None:
    for name in ("a", "b", "c"):
        await enqueue_one(storage, name)
    first = await told(storage)
    for run in await claim_some(storage, 3):
        await end(storage, run, GOOD)
    rest = await told(storage, first[-1].cursor)

    assert [event.job_id for event in first] == ["a", "b", "c"]
    seen = [(event.job_id, event.number) for event in (*first, *rest)]
    assert sorted(seen) == [(name, number) for name in "abc" for number in (1, 2, 3)]
    assert seen == [place for place in seen if place[1] == 1] + sorted(seen[3:], key=seen.index)
    assert [number for name, number in seen if name == "b"] == [1, 2, 3]


@clause("EVENT-1")
async def test_a_page_ends_with_the_cursor_of_its_last_event_and_says_whether_there_are_more(storage: Storage) -> None:
    for name in ("a", "b", "c"):
        await enqueue_one(storage, name)
    page = await storage.read_events(limit=2)
    assert ([event.job_id for event in page.events], page.cursor, page.more) == (
        ["a", "b"],
        page.events[1].cursor,
        True,
    )
    last = await storage.read_events(page.cursor, limit=2)
    assert ([event.job_id for event in last.events], last.more) == (["c"], False)
    nothing = await storage.read_events(last.cursor)
    assert (nothing.events, nothing.cursor, nothing.more, nothing.lost) == ((), last.cursor, False, False)


@clause("EVENT-2")
async def test_an_event_tells_what_happened_to_which_job(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, queue="mail")
    at_ms = clock()
    clock.advance_ms(5)
    run = (await claim_some(storage, 1, "mail"))[0]
    await end(storage, run, failed(7))
    told_of = [
        (e.job_id, e.task, e.queue, e.number, e.row, e.transition, e.source, e.target, e.fence, e.at_ms, e.cause)
        for e in await told(storage)
    ]
    place = ("job", "work", "mail")
    assert told_of == [
        (*place, 1, "T1", "enqueue", None, S.READY, 0, at_ms, None),
        (*place, 2, "T3", "claim", S.READY, S.RUNNING, 1, at_ms + 5, None),
        (*place, 3, "T6", "retry", S.RUNNING, S.SCHEDULED, 1, at_ms + 5, None),
    ]


@clause("EVENT-2")
async def test_the_event_by_which_a_job_dies_tells_why(storage: Storage, clock: Clock) -> None:
    await start(storage, "stalls", lease_ms=1_000, max_stalls=1)
    clock.advance_ms(1_000)
    await storage.upkeep()
    await enqueue_one(storage, "fails")
    await end_one(storage, BAD)
    dead = [(event.job_id, event.row, event.cause) for event in await told(storage) if event.target is S.DEAD]
    assert dead == [("stalls", "T9", Cause.STALLED), ("fails", "T7", Cause.HANDLER)]


@clause("EVENT-3")
async def test_from_now_on_only_what_happens_later_is_told(storage: Storage) -> None:
    await enqueue_one(storage, "before")
    page = await storage.read_events(NOW)
    assert (page.events, page.more, page.lost) == ((), False, False)
    await enqueue_one(storage, "after")
    assert [event.job_id for event in await told(storage, page.cursor)] == ["after"]
    assert [event.job_id for event in await told(storage)] == ["before", "after"]


@clause("EVENT-4", "KEEP-6")
async def test_a_reader_that_fell_behind_is_told_and_goes_on_with_the_oldest_event(storage: Storage) -> None:
    await enqueue_one(storage, "a")
    behind = (await storage.read_events()).cursor
    await storage.enqueue([job(name) for name in ("b", "c", "d", "e")])
    await storage.put_retention(RetentionSpec(events=Keep(count=2)))
    await storage.upkeep()

    page = await storage.read_events(behind)
    assert ([event.job_id for event in page.events], page.lost) == (["d", "e"], True)
    again = await storage.read_events(page.events[0].cursor)
    assert ([event.job_id for event in again.events], again.lost) == (["e"], False)
    whole = await storage.read_events()
    assert ([event.job_id for event in whole.events], whole.lost) == (["d", "e"], False)


@clause("EVENT-4")
async def test_a_reader_of_the_last_event_that_was_removed_has_lost_nothing(storage: Storage) -> None:
    await storage.enqueue([job(name) for name in ("a", "b", "c")])
    read = (await storage.read_events(limit=2)).cursor
    await storage.put_retention(RetentionSpec(events=Keep(count=1)))
    await storage.upkeep()
    page = await storage.read_events(read)
    assert ([event.job_id for event in page.events], page.lost) == (["c"], False)


@clause("EVENT-5")
async def test_an_event_ends_a_wait_for_events(storage: Storage) -> None:
    mark = await storage.wait([events_topic()], after=None, timeout_ms=0)
    await enqueue_one(storage)
    assert await changed(storage, mark, events_topic())


@clause("EVENT-6")
async def test_the_events_of_a_job_are_read_by_their_numbers(storage: Storage) -> None:
    await enqueue_one(storage, "other")
    await enqueue_one(storage)
    for run in await claim_some(storage, 2):
        await end(storage, run, GOOD)
    assert [event.row for event in await storage.events_of("job")] == ["T1", "T3", "T5"]
    assert [event.number for event in await storage.events_of("job", after=1, limit=1)] == [2]
    with pytest.raises(NotFound):
        await storage.events_of("unknown")


@clause("EVENT-6", "KEEP-6")
async def test_a_page_of_the_events_of_a_job_begins_with_the_first_that_is_kept(storage: Storage) -> None:
    await enqueue_one(storage)
    for _ in range(3):
        await end_one(storage, Released())
    await storage.put_retention(RetentionSpec(events=Keep(count=2)))
    await storage.upkeep()

    assert [event.number for event in await storage.events_of("job", limit=1)] == [6]
    assert [event.number for event in await storage.events_of("job", after=6, limit=1)] == [7]


@clause("EVENT-7")
async def test_events_of_a_job_that_is_gone_are_told_until_their_time_is_over(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, keep_ms=0)
    await end_one(storage, GOOD)
    await storage.upkeep()
    assert await storage.get(["job"]) == [None]
    assert [(event.job_id, event.task, event.queue) for event in await told(storage)] == [
        ("job", "work", "default")
    ] * 3
    clock.advance_ms(DAY_MS)
    await storage.upkeep()
    assert await told(storage) == []
    assert await storage.audit() == []


@clause("EVENT-8")
@pytest.mark.parametrize("cursor", ["", "x", "-1", "1", "1.5", "9" * 30, "1000000", "\u0663", "1-", "-", "1-x-y"])
async def test_what_is_no_cursor_is_refused(storage: Storage, cursor: str) -> None:
    await enqueue_one(storage)
    with pytest.raises(InvalidInput):
        await storage.read_events(cursor)


@clause("EVENT-8")
async def test_a_cursor_that_was_never_given_out_is_refused(storage: Storage) -> None:
    await enqueue_one(storage)
    cursor = (await storage.read_events()).cursor
    with pytest.raises(InvalidInput):
        await storage.read_events(f"9{cursor}")


@clause("EVENT-9")
async def test_a_cursor_of_another_storage_is_refused_as_such(storage: Storage, clock: Clock) -> None:
    other = await reference(clock)
    await other.enqueue([job(name) for name in ("a", "b", "c")])
    await storage.enqueue([job(name) for name in ("d", "e", "f")])
    theirs, ours = await other.read_events(limit=1), await storage.read_events(limit=1)

    for reader, cursor in ((storage, theirs.cursor), (storage, theirs.events[0].cursor), (other, ours.cursor)):
        with pytest.raises(ForeignCursor, match="another storage"):
            await reader.read_events(cursor)
    await other.close()


@clause("EVENT-9")
async def test_what_came_with_an_empty_page_is_a_cursor_of_its_storage_too(storage: Storage, clock: Clock) -> None:
    other = await reference(clock)
    for after in (None, NOW):
        with pytest.raises(ForeignCursor):
            await storage.read_events((await other.read_events(after)).cursor)
        assert not (await storage.read_events((await storage.read_events(after)).cursor)).lost
    await other.close()


# Metrics.


@clause("METRIC-1")
async def test_each_transition_counts_once_in_its_minute_for_queue_and_task(storage: Storage, clock: Clock) -> None:
    minute_ms = clock() - clock() % MINUTE_MS
    clock.advance_ms(minute_ms + MINUTE_MS - clock())
    minute_ms += MINUTE_MS
    await storage.enqueue([job(f"{n}") for n in range(6)])
    good, bad, again, back, stops, _ = await claim_some(storage, 6)
    await end(storage, good, GOOD)
    await end(storage, bad, BAD)
    await end(storage, again, failed(MINUTE_MS))
    await end(storage, back, Released())
    await storage.cancel([stops.id])
    await end(storage, stops, Cancelled())
    (row,) = await minutes(storage)
    assert (row.minute_ms, row.queue, row.task) == (minute_ms, "default", "work")
    assert (row.enqueued, row.started, row.ended) == (6, 6, 5)
    assert (row.succeeded, row.failed, row.retried, row.dead, row.cancelled) == (1, 2, 1, 1, 1)

    clock.advance_ms(MINUTE_MS)
    await storage.upkeep()
    later = (await minutes(storage))[1]
    assert (later.minute_ms, later.failed, later.retried) == (minute_ms + MINUTE_MS, 1, 1)


@clause("METRIC-1")
async def test_what_is_repeated_counts_once(storage: Storage) -> None:
    await enqueue_one(storage)
    await enqueue_one(storage)
    (run,) = await claim_some(storage, 1)
    await end(storage, run, GOOD)
    (row,) = await minutes(storage)
    assert (row.enqueued, row.started, row.succeeded) == (1, 1, 1)


@clause("METRIC-2")
async def test_a_minute_tells_how_long_jobs_stood_ready_and_runs_lasted(storage: Storage, clock: Clock) -> None:
    clock.advance_ms(MINUTE_MS - clock() % MINUTE_MS)
    await storage.enqueue([job("a"), job("b"), job("late", delay_ms=300)])
    clock.advance_ms(100)
    (a,) = await claim_some(storage, 1)
    clock.advance_ms(50)
    (b,) = await claim_some(storage, 1)
    clock.advance_ms(10)
    await end(storage, a, GOOD)
    clock.advance_ms(1_000)
    await end(storage, b, Released())
    (row,) = await minutes(storage)
    assert (row.waited_ms, row.waited_most_ms) == (250, 150)
    assert (row.ran_ms, row.ran_most_ms) == (60 + 1_010, 1_010)
    assert (await get_one(storage, "late")).state is S.SCHEDULED

    await storage.upkeep()
    clock.advance_ms(7)
    await claim_some(storage, 2)
    (row,) = await minutes(storage)
    assert (row.started, row.waited_ms, row.waited_most_ms) == (4, 250 + 7 + 7, 150)


@clause("METRIC-3")
async def test_what_runs_use_counts_in_the_minute_of_the_report(storage: Storage, clock: Clock) -> None:
    await put_prices(storage, input=1_000_000, output=2_000_000)
    run = await start(storage, queue="calls")
    await tell(storage, run, 1, used=Usage("gpt", 100, 30))
    clock.advance_ms(MINUTE_MS)
    await tell(storage, run, 2, used=Usage("gpt", 1, 0))
    rows = await minutes(storage, queue="calls")
    assert [(row.tokens, row.usd_micros) for row in rows] == [(130, 160), (1, 1)]


@clause("METRIC-4")
async def test_minutes_are_read_in_their_order_page_by_page_and_by_what_is_asked(
    storage: Storage, clock: Clock
) -> None:
    for queue in ("b", "a"):
        await enqueue_one(storage, f"{queue} 1", queue=queue)
    clock.advance_ms(MINUTE_MS)
    await enqueue_one(storage, "a 2", queue="a")
    found, cursor = [], None
    while True:
        page = await storage.metrics(MinuteFilter(), cursor=cursor, limit=2)
        found += [(row.minute_ms, row.queue) for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    now_ms = clock() - clock() % MINUTE_MS
    assert found == [(now_ms - MINUTE_MS, "a"), (now_ms - MINUTE_MS, "b"), (now_ms, "a")]
    assert [row.queue for row in await minutes(storage, queue="b")] == ["b"]
    assert [row.minute_ms for row in await minutes(storage, since_ms=now_ms)] == [now_ms]
    assert len(await minutes(storage, task="work")) == 3
    assert await minutes(storage, task="other") == []
    with pytest.raises(InvalidInput):
        await storage.metrics(MinuteFilter(), cursor="x")
