"""Which of many waiting calls ask again, and when."""

import asyncio
from random import Random

import pytest

import aiq
from aiq.bounds import PLACE_KEPT_MS
from aiq.engine.lines import AT_ONCE, KEEP_MS, Lines
from aiq.engine.tasks import Tasks
from aiq.errors import ReadOnly, StorageError, StorageFull, Unavailable
from aiq.model import Band, MustWait, Usage
from aiq.storage import limit_topic
from aiq.testing import Refuse
from aiq.testing.marks import clause
from tests.engine.booked import Booked, wait
from tests.engine.world import World, virtually


class Crowd:
    """Calls that wait, by name; `turns` names them each time one may ask again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tasks = Tasks()
        self.lines = Lines(world.faults, tasks=self.tasks, rng=Random(1))
        self.turns: list[str] = []
        self.waiting: dict[str, asyncio.Task[None]] = {}
        self.answers: dict[str, MustWait] = {}

    async def join(self, *names: str, limit: str = "gpt", key: str = "", band: Band = Band.NORMAL) -> None:
        for name in names:
            self.answers[name] = MustWait(limit=limit, key=key, wait_ms=None)
            self.waiting[name] = asyncio.create_task(self._wait(name, band))
        await self.settle()

    async def _wait(self, name: str, band: Band) -> None:
        with self.lines.waiting(band) as place:
            while True:
                await self.lines.until_turn(place, self.answers[name])
                self.turns.append(name)

    async def leave(self, *names: str) -> None:
        for name in names:
            self.waiting.pop(name).cancel()
        await self.settle()

    def told(self) -> list[str]:
        turns, self.turns = self.turns, []
        return turns

    def change(self, limit: str = "gpt") -> None:
        self.world.storage._home.wakeups.notify([limit_topic(limit)])  # type: ignore[attr-defined]

    async def changed(self, limit: str = "gpt") -> list[str]:
        """Who asks because something has changed."""
        self.told()
        self.change(limit)
        await self.settle()
        return self.told()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        await self.leave(*self.waiting)
        await self.tasks.cancel_all()
        assert not self.lines._lines


NAMES = [f"c{number}" for number in range(3 * AT_ONCE)]


@virtually
async def test_of_many_calls_the_first_few_ask_when_something_has_changed(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join(*NAMES)

    assert await crowd.changed() == NAMES[:AT_ONCE]
    assert await crowd.changed("other") == []
    await crowd.end()


@virtually
async def test_when_one_goes_on_the_next_that_has_come_up_asks_and_no_other(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join(*NAMES)
    crowd.told()
    await crowd.leave("c1")

    assert crowd.told() == [NAMES[AT_ONCE]]
    assert await crowd.changed() == ["c0", *NAMES[2 : AT_ONCE + 1]]
    await crowd.leave(NAMES[-1])
    assert crowd.told() == []
    await crowd.end()


@virtually
async def test_a_more_urgent_call_stands_before_those_that_came_earlier(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join(*NAMES, band=Band.BATCH)
    await crowd.join("urgent", band=Band.INTERACTIVE)

    assert await crowd.changed() == ["urgent", *NAMES[: AT_ONCE - 1]]
    await crowd.end()


@virtually
async def test_a_call_that_another_limit_keeps_stands_there_as_early_as_it_came(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join("early")
    await crowd.join(*NAMES, limit="other")
    crowd.answers["early"] = MustWait(limit="other", wait_ms=None)
    crowd.change()
    await crowd.settle()

    assert await crowd.changed("other") == ["early", *NAMES[: AT_ONCE - 1]]
    assert await crowd.changed("gpt") == []
    await crowd.end()


@virtually
async def test_each_tenants_part_of_a_limit_has_a_line_of_its_own(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join(*NAMES, key="acme")
    await crowd.join("other", key="beta")

    assert sorted(await crowd.changed()) == sorted([*NAMES[:AT_ONCE], "other"])
    await crowd.end()


@virtually
async def test_a_call_that_comes_to_a_line_asks_once_more_for_what_it_may_have_missed(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join("first")
    assert crowd.told() == ["first"]
    await crowd.join("second")
    assert crowd.told() == ["second"]
    await crowd.join(*NAMES)
    # Whoever stands so far behind cannot have missed anything: those before it would have got it.
    assert crowd.told() == NAMES[: AT_ONCE - 2]
    await crowd.end()


@virtually
async def test_the_first_ask_every_few_seconds_and_the_others_often_enough_to_keep_their_places(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join(*NAMES)
    crowd.told()
    await asyncio.sleep(100)
    turns = crowd.told()

    assert all(100 / 5 - 1 <= turns.count(name) <= 100 for name in NAMES[:AT_ONCE])
    assert all(100_000 // KEEP_MS[1] - 1 <= turns.count(name) <= 100_000 // KEEP_MS[0] for name in NAMES[AT_ONCE:])
    assert 2 * KEEP_MS[1] < PLACE_KEPT_MS
    await crowd.end()


@virtually
async def test_only_the_first_few_go_by_the_time_that_they_were_told(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join(*NAMES)
    crowd.answers = {name: MustWait(limit="gpt", wait_ms=100) for name in NAMES}
    await crowd.changed()
    await asyncio.sleep(0.15)

    assert sorted(crowd.told()) == sorted(NAMES[:AT_ONCE])
    await crowd.end()


@virtually
async def test_nobody_listens_to_a_limit_for_which_nobody_waits(world: World) -> None:
    crowd = Crowd(world)
    await crowd.join("one")
    await crowd.leave("one")

    assert not crowd.tasks._tasks
    await crowd.join("two")
    assert await crowd.changed() == ["two"]
    await crowd.end()


@clause("OUTAGE-1")
@virtually
@pytest.mark.parametrize("error", [Unavailable("away"), StorageFull("no room"), ReadOnly("a replica")])
async def test_a_line_that_could_not_listen_does_so_again(world: World, error: StorageError) -> None:
    crowd = Crowd(world)
    world.faults.plan(Refuse("wait", error), Refuse("wait", error))
    await crowd.join("one")
    await asyncio.sleep(15)

    assert await crowd.changed() == ["one"]
    await crowd.end()


@virtually
async def test_a_run_whose_call_has_ended_asks_for_its_next_one_though_others_stand_before_it(world: World) -> None:
    booked = Booked(world)

    @aiq.task
    async def crowds(ctx: aiq.Context) -> None:
        async def one() -> None:
            async with ctx.call("gpt"):
                await asyncio.sleep(1_000)

        await asyncio.gather(*[one() for _ in range(AT_ONCE)])

    @aiq.task
    async def both(ctx: aiq.Context) -> None:
        async def one() -> None:
            async with ctx.call("gpt") as call:
                await asyncio.sleep(3)
                call.settle(Usage(input=1))

        first = asyncio.create_task(one())
        await asyncio.sleep(0.5)
        booked.answer(*[wait(None)] * 1_000)
        await world.enqueue(crowds.job())
        await asyncio.sleep(0.5)
        second = asyncio.create_task(one())
        await first
        booked._answers.clear()
        await asyncio.sleep(0)
        ended = asyncio.get_running_loop().time()
        await second
        assert asyncio.get_running_loop().time() == ended + 3

    [job] = await world.enqueue(both.job())
    worker = await world.start(both, crowds, grace_ms=0)
    await world.until(job, aiq.State.SUCCEEDED, aiq.State.DEAD, aiq.State.SCHEDULED)

    assert (await world.get(job)).errors == ()
    await worker.stop()
