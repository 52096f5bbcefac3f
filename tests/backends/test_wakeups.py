"""The hub of wake-ups that stores on one host share."""

import asyncio
import threading

from aiq.backends.wakeups import Wakeups

LONG_MS = 60_000
"""Far longer than a test may take: a wait that is not woken fails by the time-out of `within`."""


async def within(waiting: asyncio.Task[str]) -> str:
    async with asyncio.timeout(5):
        return await waiting


async def begun(hub: Wakeups, *topics: str, after: str | None) -> asyncio.Task[str]:
    """A wait that stands."""
    waiting = asyncio.create_task(hub.wait(topics, after=after, timeout_ms=LONG_MS))
    await asyncio.sleep(0)
    return waiting


async def mark_of(hub: Wakeups) -> str:
    return await hub.wait((), after=None, timeout_ms=0)


async def test_a_first_mark_comes_at_once() -> None:
    async with asyncio.timeout(5):
        assert await Wakeups().wait(["queue:a"], after=None, timeout_ms=LONG_MS)


async def test_a_change_wakes_whoever_waits_for_its_topic() -> None:
    hub = Wakeups()
    mark = await mark_of(hub)
    waiting = await begun(hub, "queue:a", "queue:b", after=mark)

    hub.notify(["queue:b"])

    assert await within(waiting) != mark


async def test_a_change_between_the_mark_and_the_wait_is_not_missed() -> None:
    hub = Wakeups()
    mark = await mark_of(hub)
    hub.notify(["queue:a"])
    hub.notify(["queue:other"])

    assert await within(await begun(hub, "queue:a", after=mark)) != mark


async def test_a_change_before_the_mark_or_on_another_topic_wakes_nobody() -> None:
    hub = Wakeups()
    hub.notify(["queue:a"])
    mark = await mark_of(hub)
    waiting = await begun(hub, "queue:a", after=mark)

    hub.notify(["queue:b"])
    await asyncio.sleep(0)

    assert not waiting.done()
    waiting.cancel()


async def test_a_wait_ends_by_its_time_out() -> None:
    hub = Wakeups()
    mark = await mark_of(hub)

    assert await hub.wait(["queue:a"], after=mark, timeout_ms=1) == mark


async def test_a_mark_older_than_what_is_kept_ends_its_wait_at_once() -> None:
    hub = Wakeups(kept=2)
    mark = await mark_of(hub)
    hub.notify(["queue:a", "queue:b", "queue:c"])

    assert await within(await begun(hub, "queue:a", after=mark)) != mark


async def test_what_is_kept_tells_an_old_change_from_a_new_mark() -> None:
    hub = Wakeups(kept=2)
    hub.notify(["queue:a", "queue:b", "queue:c"])
    waiting = await begun(hub, "queue:a", after=await mark_of(hub))

    assert not waiting.done()
    waiting.cancel()


async def test_a_mark_that_this_hub_did_not_give_ends_its_wait_at_once() -> None:
    hub = Wakeups()

    assert await within(await begun(hub, "queue:a", after="7"))
    assert await within(await begun(hub, "queue:a", after=await mark_of(Wakeups())))
    assert await within(await begun(hub, "queue:a", after=f"{(await mark_of(hub)).partition('.')[0]}.x"))


async def test_a_store_that_sees_only_a_foreign_write_wakes_everybody() -> None:
    hub = Wakeups()
    mark = await mark_of(hub)
    waiting = await begun(hub, "queue:a", after=mark)

    hub.notify_all()

    assert await within(waiting) != mark
    assert await within(await begun(hub, "queue:b", after=mark)) != mark


async def test_a_change_made_in_another_thread_wakes_this_loop() -> None:
    hub = Wakeups()
    waiting = await begun(hub, "queue:a", after=await mark_of(hub))

    threading.Thread(target=hub.notify, args=(["queue:a"],)).start()

    await within(waiting)


async def test_a_wait_that_is_cancelled_or_over_leaves_nothing_behind() -> None:
    hub = Wakeups()
    waiting = await begun(hub, "queue:a", "queue:a", after=await mark_of(hub))
    waiting.cancel()
    await asyncio.wait([waiting])
    await hub.wait(["queue:a"], after=await mark_of(hub), timeout_ms=1)

    assert waiting.cancelled()
    assert hub._waiters == {}


def test_a_change_outlives_the_loop_of_a_waiter_that_was_closed_under_him() -> None:
    hub = Wakeups()
    loop = asyncio.new_event_loop()
    mark = loop.run_until_complete(mark_of(hub))
    waiting = loop.create_task(hub.wait(["queue:a"], after=mark, timeout_ms=LONG_MS))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    hub.notify(["queue:a"])

    assert asyncio.run(mark_of(hub)) != mark
    del waiting
