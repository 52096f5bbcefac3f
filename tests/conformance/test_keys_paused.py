"""Chapter 18: keys that are paused, what is said of a line, and queues that give the newest first."""

from dataclasses import replace

import pytest

from aiq.errors import Conflict, InvalidInput, InvalidName
from aiq.model import Band, Gate, QueueSettings, Redrive, RouteSpec, State, Target
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import (
    BAD,
    GOOD,
    changed,
    claim_one,
    end,
    enqueue_one,
    failed,
    job,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.ordering import DELAY_MS, begin, given, line_up, ordered
from aiq.testing.spending import put_limit, units

NEWEST = QueueSettings(lifo=True)


@clause("KEY-11")
async def test_nothing_of_a_paused_key_starts(storage: Storage) -> None:
    await line_up(storage, "first", "second")
    await enqueue_one(storage, "plain")
    await storage.pause_key("default", "talk")

    assert await given(storage) == ["plain"]


@clause("KEY-11")
async def test_a_key_that_is_not_known_can_be_paused(storage: Storage) -> None:
    await storage.pause_key("default", "talk")
    await line_up(storage, "first")
    assert await given(storage) == []
    await storage.resume_key("default", "talk")

    assert await given(storage) == ["first"]


@clause("KEY-11")
async def test_a_paused_key_of_one_queue_is_open_in_another(storage: Storage) -> None:
    await storage.pause_key("other", "talk")
    await storage.pause_key("default", "chat")
    await line_up(storage, "first")

    assert await given(storage) == ["first"]


@clause("KEY-11")
async def test_what_runs_goes_on_and_a_retry_waits_for_the_key_to_be_resumed(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await storage.pause_key("default", "talk")
    await end(storage, run, failed())
    assert await given(storage) == []
    await storage.resume_key("default", "talk")

    assert await given(storage) == ["first"]


@clause("KEY-11")
async def test_who_follows_on_a_paused_key_starts_when_it_is_resumed(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await storage.pause_key("default", "talk")
    await end(storage, run, GOOD)
    assert await given(storage) == []
    mark = await storage.wait([], after=None, timeout_ms=0)
    await storage.resume_key("default", "talk")

    assert await changed(storage, mark, queue_topic("default"))
    assert await given(storage) == ["second"]


@clause("KEY-11")
async def test_a_job_of_a_paused_key_can_be_cancelled_and_held(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third")
    await storage.pause_key("default", "talk")
    await storage.cancel(["first"])
    await storage.hold(["second"])
    await storage.resume_key("default", "talk")

    assert await given(storage) == ["third"]


@clause("KEY-11")
async def test_a_job_that_a_limit_by_key_keeps_aside_is_paused_with_its_key(storage: Storage) -> None:
    await storage.put_limits([units("turn", 1, by="key")])
    await start(storage, "other", key="talk", limits=("turn",), queue="others")
    await line_up(storage, "first", limits=("turn",))
    assert await given(storage) == []
    await storage.pause_key("default", "talk")
    await storage.cancel(["other"], force=True)
    assert await given(storage) == []
    await storage.resume_key("default", "talk")

    assert await given(storage) == ["first"]


@clause("KEY-11")
async def test_pausing_and_resuming_twice_is_once(storage: Storage) -> None:
    await line_up(storage, "first", "second", per_key=2)
    for _ in range(2):
        await storage.pause_key("default", "talk")
    for _ in range(2):
        await storage.resume_key("default", "talk")

    assert await given(storage) == ["first", "second"]


@clause("KEY-11", "STORE-9")
async def test_what_is_no_name_of_a_key_is_refused(storage: Storage) -> None:
    for operation in (storage.pause_key, storage.resume_key):
        with pytest.raises(InvalidName):
            await operation("no queue", "talk")
        with pytest.raises(InvalidInput):
            await operation("default", "")


@clause("KEY-11")
async def test_patience_with_a_route_changes_nothing_of_a_line(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, "a", concurrency=1)
    await put_limit(storage, "b", concurrency=1)
    await start(storage, "busy", limits=("a",), queue="others")
    ways = (RouteSpec(name="a", limits=("a",), patience_ms=DELAY_MS), RouteSpec(name="b", limits=("b",)))
    await line_up(storage, "first", "second", routes=ways)
    assert await given(storage) == []
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["first"]
    assert await states(storage, "second") == [State.READY]


@clause("KEY-14")
async def test_thousands_in_a_line_hinder_nobody_behind_them(storage: Storage) -> None:
    await begin(storage)
    for batch in range(4):
        await line_up(storage, *(f"waits {batch} {n}" for n in range(250)))
    await enqueue_one(storage, "plain")

    assert await given(storage) == ["plain"]


@clause("KEY-15")
async def test_a_job_in_a_line_is_told_who_holds_its_key(storage: Storage) -> None:
    await begin(storage)
    await line_up(storage, "second", "third", "fourth")
    why = await storage.explain("fourth")

    assert (why.gate, why.name, why.opens_in_ms) == (Gate.KEY, "talk", None)
    assert why.text == 'It stands in the line of key "talk", which job first holds. 2 jobs go before it.'
    assert (await storage.explain("second")).text == 'It stands in the line of key "talk", which job first holds.'


@clause("KEY-15")
async def test_a_job_in_a_line_is_told_how_many_hold_its_key(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third", per_key=2)

    why = await storage.explain("third")
    assert why.text == 'It stands in the line of key "talk", which job first and 1 other hold.'


@clause("KEY-15")
async def test_a_job_in_a_line_is_told_who_goes_first(storage: Storage) -> None:
    await line_up(storage, "first", delay_ms=DELAY_MS)
    await line_up(storage, "second")

    why = await storage.explain("second")
    assert why.text == 'It stands in the line of key "talk". Job first goes first, and is not ready.'


@clause("KEY-15")
async def test_a_job_of_a_paused_key_is_told_so(storage: Storage) -> None:
    await line_up(storage, "first")
    await storage.pause_key("default", "talk")

    why = await storage.explain("first")
    assert (why.gate, why.name, why.text) == (Gate.KEY, "talk", 'Key "talk" of queue "default" is paused.')


@clause("LIFO-1")
async def test_the_newest_goes_first_among_those_that_became_ready_since(storage: Storage) -> None:
    await storage.enqueue([job("old 1"), job("old 2")])
    await storage.configure("default", NEWEST)
    await storage.enqueue([job("new 1"), job("new 2")])

    assert await given(storage) == ["new 2", "new 1", "old 1", "old 2"]


@clause("LIFO-1")
async def test_a_job_whose_delay_is_over_is_the_newest_then(storage: Storage, clock: Clock) -> None:
    await storage.configure("default", NEWEST)
    await enqueue_one(storage, "delayed", delay_ms=DELAY_MS)
    await enqueue_one(storage, "ready")
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["delayed", "ready"]


@clause("LIFO-1")
async def test_what_comes_back_goes_first_and_bands_count_as_ever(storage: Storage, clock: Clock) -> None:
    await storage.configure("default", NEWEST)
    for name in ("back", "back too"):
        await start(storage, name, lease_ms=DELAY_MS)
    await storage.enqueue([job("urgent", band=Band.HIGH), job("new"), job("newer")])
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["urgent", "back", "back too", "newer", "new"]


@clause("LIFO-1")
async def test_jobs_with_limits_are_given_the_newest_first_too(storage: Storage) -> None:
    await storage.put_limits([units("gpt", 9)])
    await storage.configure("default", NEWEST)
    for name in ("one", "two", "three"):
        await enqueue_one(storage, name, limits=("gpt",), tenant="acme")

    assert await given(storage) == ["three", "two", "one"]


@clause("LIFO-1")
async def test_a_queue_that_gives_the_newest_first_no_more_goes_on_in_order(storage: Storage) -> None:
    await storage.configure("default", NEWEST)
    await storage.enqueue([job("one"), job("two")])
    await storage.configure("default", replace(NEWEST, lifo=False))
    await storage.enqueue([job("three"), job("four")])

    assert await given(storage) == ["two", "one", "three", "four"]


@clause("LIFO-1")
async def test_another_queue_keeps_its_order(storage: Storage) -> None:
    await storage.configure("other", NEWEST)
    await storage.enqueue([job("one"), job("two")])

    assert (await storage.get_queue("other")).settings.lifo
    assert await given(storage) == ["one", "two"]


@clause("LIFO-2")
async def test_an_ordered_job_is_refused_where_the_newest_goes_first(storage: Storage) -> None:
    await storage.configure("default", NEWEST)
    with pytest.raises(Conflict, match="newest first") as refused:
        await storage.enqueue([job("plain"), ordered("first")])

    assert refused.value.reason == "lifo"
    assert await states(storage, "plain", "first") == [None, None]


@clause("LIFO-2")
async def test_an_ordered_job_that_was_stored_before_stands_in_the_order_of_arrival(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second", delay_ms=DELAY_MS)
    await storage.configure("default", NEWEST)
    await enqueue_one(storage, "plain")
    await end(storage, run, failed())

    assert await given(storage) == ["plain", "first"]


@clause("KEY-16")
async def test_a_job_that_is_redriven_stands_at_the_end_of_its_line(storage: Storage) -> None:
    await end(storage, await begin(storage), BAD)
    await line_up(storage, "second", "third")
    await storage.redrive(Redrive(id="again", targets=(Target("first", 1),)))

    for name in ("second", "third", "first"):
        run = await claim_one(storage)
        assert run.id == name
        await end(storage, run, GOOD)
